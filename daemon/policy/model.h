/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy model: what was written, with where it was written. Nothing here is compiled or merged.
 *
 *   PolicyRule   one rule: verdict, directions, protocols with ports, peers; split into its elements only
 *                by the compiler and the reference evaluator.
 *   PolicyFile   one file (or the runtime layer of one subject): match, mode, defaults, profile, rules.
 *   PolicyStack  what is in force for one subject: borrowed rules of all layers that match it, highest
 *                layer first, with the mode and defaults that win.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

/* Limits on what a client or file can make us hold; exceeding one is -E2BIG with a diagnostic. */
#define POLICY_RULE_TEXT_MAX  (64U * 1024) /* bytes of one rule */
#define POLICY_RULE_PEERS_MAX 4096U        /* peers of one rule */
#define POLICY_RULE_PORTS_MAX 256U         /* port ranges of one rule */
#define POLICY_FILE_SIZE_MAX  (4U * 1024 * 1024)
#define POLICY_FILE_RULES_MAX 16000U
#define POLICY_FILE_MATCH_MAX 1024U
#define POLICY_FILE_LISTS_MAX 256U
#define POLICY_LIST_PATH_MAX  4095U /* bytes of where a list is read from */
#define POLICY_NAME_MAX       255U
#define POLICY_INTERFACE_MAX  127U /* bytes of an interface name or altname */
#define POLICY_ID_MAX         64U
#define POLICY_COMMENT_MAX    1024U

/* Highest first: the first layer with a matching rule decides. A profile named by a layer ranks directly
 * below that layer: its rules get rank (2 * layer + 1), the layer's own 2 * layer. */
typedef enum PolicyLayer {
        POLICY_LAYER_RUNTIME,
        POLICY_LAYER_LOCAL,
        POLICY_LAYER_UNIT,
        POLICY_LAYER_VENDOR,
        _POLICY_LAYER_MAX,
} PolicyLayer;

typedef enum PolicyVerdict {
        POLICY_ALLOW,
        POLICY_DENY,
        POLICY_NEVER,
        _POLICY_VERDICT_MAX,
} PolicyVerdict;

typedef enum PolicyMode {
        POLICY_MODE_UNSET, /* not stated by this file */
        POLICY_MODE_ENFORCE,
        POLICY_MODE_AUDIT,
        POLICY_MODE_OFF,
        _POLICY_MODE_MAX,
} PolicyMode;

/* A default: not stated, or a verdict. */
typedef enum PolicyDefault {
        POLICY_DEFAULT_UNSET,
        POLICY_DEFAULT_ALLOW,
        POLICY_DEFAULT_DENY,
        _POLICY_DEFAULT_MAX,
} PolicyDefault;

/* Bits of PolicyRule.directions. */
#define POLICY_DIRECTION_OUT  (1U << 0)
#define POLICY_DIRECTION_IN   (1U << 1)
#define POLICY_DIRECTION_BIND (1U << 2) /* alone: a rule without direction does not include it */

/* Where something stands. path is owned by the PolicyFile (or static); line and column count from 1, 0
 * means unknown. */
typedef struct PolicySource {
        const char *path;
        unsigned line;
        unsigned column;
} PolicySource;

#define POLICY_PROTOCOL_ANY (-1)

/* One protocol with one port range. Ports 0-65535 stand for "no port given". */
typedef struct PolicyService {
        int protocol; /* IPPROTO_* or POLICY_PROTOCOL_ANY */
        uint16_t port_min;
        uint16_t port_max;
} PolicyService;

typedef enum PolicyPeerType {
        POLICY_PEER_ANY,    /* also a prefix of length 0 of no family */
        POLICY_PEER_PREFIX, /* address and prefix length */
        POLICY_PEER_RANGE,  /* first to last address; stands for the prefixes that cover it */
        POLICY_PEER_LOCALHOST,
        POLICY_PEER_LINK_LOCAL,
        POLICY_PEER_MULTICAST,
        POLICY_PEER_BROADCAST,
        POLICY_PEER_LAN,
        POLICY_PEER_INTERNET,
        POLICY_PEER_LIST,
        _POLICY_PEER_TYPE_MAX,
} PolicyPeerType;

typedef struct PolicyPeer {
        PolicyPeerType type;
        uint8_t family;      /* AF_INET or AF_INET6 for PREFIX and RANGE, else AF_UNSPEC */
        uint8_t prefix_len;  /* PREFIX: 0..32 or 0..128, in the address's own family */
        uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d; PREFIX: host bits are zero */
        uint8_t last[16];    /* RANGE only, inclusive */
        char *list;          /* LIST only, owned */
} PolicyPeer;

typedef struct PolicyRule {
        PolicyVerdict verdict;
        unsigned directions; /* POLICY_DIRECTION_*, never 0 */
        PolicyService *services;
        size_t n_services; /* >= 1 */
        PolicyPeer *peers;
        size_t n_peers; /* >= 1; a rule without peers has one of type ANY */
        char *via;      /* interface name or altname, or NULL */
        char *text;     /* canonical form without the verdict, owned; equal texts are equal rules */
        char *id;       /* as written in the file, or NULL */
        char *comment;  /* or NULL */
        PolicySource source;
} PolicyRule;

/* What "errno" may say: the errno of refused system calls. 0: not stated. */
typedef enum PolicyErrno {
        POLICY_ERRNO_UNSET,
        POLICY_ERRNO_EPERM,
        POLICY_ERRNO_ECONNREFUSED,
        POLICY_ERRNO_EACCES,
        _POLICY_ERRNO_MAX,
} PolicyErrno;

/* A named list, as a file defines it. Names are global: every policy may use a list that any file defines. */
typedef struct PolicyListDefinition {
        char *name;      /* of @NAME: 1-64 of A-Z a-z 0-9 . _ -, a letter or digit first */
        char *file;      /* where it is read from (relative: to the policies' folder), or NULL */
        char **networks; /* or its content, inline, as it was written; NULL-terminated */
        PolicySource source;
} PolicyListDefinition;

typedef struct PolicyMatch {
        char **units; /* NULL-terminated globs (fnmatch without FNM_PATHNAME), or NULL */
        char **not_units;
} PolicyMatch;

typedef struct PolicyFile {
        char *path;     /* what diagnostics and sources name */
        char *name;     /* "name" of the file, or NULL */
        bool has_match; /* false: a profile */
        PolicyMatch match;
        PolicyMode mode;
        PolicyDefault default_in;
        PolicyDefault default_out;
        PolicySource mode_source;
        PolicySource default_in_source;
        PolicySource default_out_source;
        PolicyErrno refusal; /* "errno" */
        PolicySource refusal_source;
        PolicyListDefinition *lists;
        size_t n_lists;
        char *profile; /* named by "profile", or NULL */
        PolicySource profile_source;
        PolicyRule **rules;
        size_t n_rules;
} PolicyFile;

const char *policy_layer_to_string(PolicyLayer layer);
const char *policy_verdict_to_string(PolicyVerdict verdict);
int policy_verdict_from_string(const char *s);         /* -EINVAL */
const char *policy_mode_to_string(PolicyMode mode);    /* NULL for UNSET */
int policy_mode_from_string(const char *s);            /* -EINVAL */
const char *policy_default_to_string(PolicyDefault d); /* NULL for UNSET */
int policy_default_from_string(const char *s);         /* -EINVAL */
const char *policy_errno_to_string(PolicyErrno e);     /* "EPERM"; NULL for UNSET */
int policy_errno_from_string(const char *s);           /* -EINVAL */
int policy_errno_to_errno(PolicyErrno e);              /* EPERM for UNSET */
const char *policy_peer_type_to_string(
        PolicyPeerType type); /* the keyword; NULL for PREFIX, RANGE, LIST */

PolicyRule *policy_rule_free(PolicyRule *rule);
DEFINE_CLEANUP(PolicyRule *, policy_rule_freep, policy_rule_free);

PolicyFile *policy_file_free(PolicyFile *file);
DEFINE_CLEANUP(PolicyFile *, policy_file_freep, policy_file_free);

/* Frees what the definition owns. */
void policy_list_definition_done(PolicyListDefinition *definition);

/* An empty file that states nothing. -ENOMEM. */
int policy_file_new(const char *path, PolicyFile **ret) _warn_unused_result_;

/* Deep copies; the copy of a file owns its rules and their sources point to the copy's path. -ENOMEM. */
int policy_rule_copy(const PolicyRule *rule, PolicyRule **ret) _warn_unused_result_;
int policy_file_copy(const PolicyFile *file, PolicyFile **ret) _warn_unused_result_;

/* Gives the rule to the file; on success *rule is NULL and the rule's source path is the file's.
 * -E2BIG at POLICY_FILE_RULES_MAX, -ENOMEM. */
int policy_file_add_rule(PolicyFile *file, PolicyRule **rule) _warn_unused_result_;

/* Gives the definition to the file; on success *definition owns nothing more and its source path is the
 * file's. -E2BIG at POLICY_FILE_LISTS_MAX, -ENOMEM. */
int policy_file_add_list(PolicyFile *file, PolicyListDefinition *definition) _warn_unused_result_;

/* Takes rule number i out of the file and frees it. */
void policy_file_remove_rule(PolicyFile *file, size_t i);

/* Does the file's match name this subject (some glob of units, none of not_units)? A profile matches
 * nothing. */
bool policy_file_matches(const PolicyFile *file, const char *subject);

/* Does some pattern of the file name exactly this subject, without wildcards? */
bool policy_file_names(const PolicyFile *file, const char *subject);

/* One rule in force. Everything is borrowed from the files, which must outlive the stack. */
typedef struct PolicyEntry {
        const PolicyRule *rule;
        PolicyLayer layer;
        bool from_profile;
        unsigned rank; /* 2 * layer + from_profile: smaller is asked first */
        uint16_t
                number; /* CGP_RULE_FIRST.., stable within the subject; set by the owner of numbers */
        uint32_t counter; /* slot in the counter map; likewise */
        const char *
                id; /* displayed id: the rule's own or one made from the number; likewise, borrowed */
} PolicyEntry;

/* Two files of one layer that state different defaults or modes: what they disagree on. */
#define POLICY_CONFLICT_MODE        (1U << 0)
#define POLICY_CONFLICT_DEFAULT_IN  (1U << 1)
#define POLICY_CONFLICT_DEFAULT_OUT (1U << 2)

typedef struct PolicyStack {
        PolicyEntry *entries; /* by rank, then in file order */
        size_t n_entries;
        PolicyMode mode;           /* never UNSET */
        PolicyDefault default_in;  /* never UNSET */
        PolicyDefault default_out; /* never UNSET */
        PolicyErrno refusal; /* never UNSET; the highest rank that states it, on a tie the first */
        PolicySource mode_source; /* path NULL: nobody states it */
        PolicySource default_in_source;
        PolicySource default_out_source;
        unsigned conflicts; /* POLICY_CONFLICT_* */
} PolicyStack;

/* One file to be stacked. */
typedef struct PolicyStackInput {
        const PolicyFile *file;
        PolicyLayer layer;
        bool from_profile;
} PolicyStackInput;

/* Merges files that were found to apply to one subject. The mode and each default come from the highest
 * rank that states them; if none does: enforce, allow. Files of one rank that disagree: the stricter wins
 * (deny over allow, enforce over audit over off) and the bit is set in conflicts. -ENOMEM; -E2BIG when
 * there are more than CGP_MAX_RULES rules. The caller sets number, counter and id of the entries. */
int policy_stack_init(
        PolicyStack *stack, const PolicyStackInput *inputs, size_t n_inputs) _warn_unused_result_;
void policy_stack_done(PolicyStack *stack);

/* Of the host's changes these concern a policy. */
#define POLICY_USE_LAN       (1U << 0) /* its networks: peer `lan`, and `internet`, which excludes them */
#define POLICY_USE_INTERNET  (1U << 1)
#define POLICY_USE_BROADCAST (1U << 2)
#define POLICY_USE_BIND      (1U << 3) /* some rule is about bind() */

/* What the rules of a stack or file need to know of the host. The names are borrowed from the rules, sorted
 * by bytes and without repetitions. */
typedef struct PolicyUses {
        unsigned flags;     /* POLICY_USE_* */
        const char **lists; /* of peers "@NAME" */
        size_t n_lists;
        const char **interfaces; /* behind "via" */
        size_t n_interfaces;
} PolicyUses;

/* -ENOMEM. */
int policy_stack_uses(const PolicyStack *stack, PolicyUses *ret) _warn_unused_result_;
int policy_file_uses(const PolicyFile *file, PolicyUses *ret) _warn_unused_result_;
void policy_uses_done(PolicyUses *uses);

bool policy_uses_list(const PolicyUses *uses, const char *name);
bool policy_uses_interface(const PolicyUses *uses, const char *name);
