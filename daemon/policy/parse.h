/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes to model. Pure: what the host knows (names of services) the caller hands in.
 *
 * Grammar of a rule:
 *   rule   := verdict body
 *   body   := [dir] [what] [("to"|"from") peer ("," peer)*] ["via" iface]      (not empty)
 *   dir    := "in" | "out" | "bind"
 *   what   := "any" | protos | service
 *   protos := proto ["/" ports] ("+" proto ["/" ports])*
 *   ports  := port | port "-" port | ports "," ports
 *   proto  := tcp | udp | udplite | sctp | icmp | icmpv6 | 0-255
 *   peer   := ADDR[/LEN] | ADDR-ADDR | @list | any | localhost | link-local | multicast | broadcast
 *             | lan | internet
 * Words are separated by spaces; commas may have spaces around them. A service stands for every protocol
 * that has it; written out it is protos: "tcp/443+udp/443". Ports and peers stay as they were written,
 * sorted and without repetitions: nothing is merged, because the narrower range and the longer prefix win.
 * Without a direction a rule is about in and out; "to" makes it out, "from" in. A bind rule says so: its ports
 * and, behind "to", its addresses are the local ones; it has no "from" and no "via", and only protocols with ports.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/diag.h"
#include "policy/model.h"

/* Looks a service name up among tcp, udp, udplite and sctp: one element for each protocol that has it.
 * Returns how many there are, of which at most n_max are filled in, or -ENOENT when no protocol has it.
 * Another errno makes the rule an error. */
typedef struct PolicyServices {
        int (*lookup)(void *userdata, const char *name, PolicyService *services, size_t n_max);
        void *userdata;
} PolicyServices;

/* Parses a body. path, line and column say where its first byte stands (path NULL: command line); path is
 * borrowed and must outlive the rule. services may be NULL: then a service name is an error.
 * On failure *ret is untouched and diags (may be NULL) has at least one error:
 * -EINVAL malformed, -E2BIG a limit, -ENOMEM. */
int policy_parse_body(PolicyVerdict verdict, const char *body, const char *path, unsigned line,
        unsigned column, const PolicyServices *services, PolicyDiags *diags,
        PolicyRule **ret) _warn_unused_result_;

/* As policy_parse_body() for a whole rule, "allow out tcp/443". */
int policy_parse_rule(const char *text, const char *path, unsigned line, unsigned column,
        const PolicyServices *services, PolicyDiags *diags, PolicyRule **ret) _warn_unused_result_;

/* Parses a policy file or profile. Strict: one JSON object, UTF-8, no duplicate or unknown key, no NaN or
 * Infinity, no number out of range, bounded depth and size, nothing after the end. All errors of a file are
 * collected, as far as one does not hide another. Warnings (a duplicate rule, a rule that another covers)
 * are no failure. path is what diagnostics and sources name, never NULL. A file without "match" is a
 * profile, and a profile that names a profile is an error. On failure *ret is untouched; the errno is that
 * of the first error, as of policy_parse_body(). */
int policy_parse_file(const char *path, const char *bytes, size_t size,
        const PolicyServices *services, PolicyDiags *diags, PolicyFile **ret) _warn_unused_result_;

/* The names of the shipped profiles, NULL-terminated, and their text; NULL for an unknown name. */
extern const char *const policy_builtin_profiles[];
const char *policy_builtin_profile(const char *name);

/* Beside match, mode, default, profile and rules a file may state
 *   "errno": "EPERM" | "ECONNREFUSED" | "EACCES"
 *   "lists": { NAME: { "file": PATH, "on-error": "keep-last" } | { "networks": [ "ADDR/LEN", ... ] } }
 * "on-error" may be absent and is printed. Networks are what peers are but for the words. A profile has no lists.
 */

/* What a file that is read back takes as an id, as a comment, as a pattern of units and as the name of a
 * profile. Whoever makes a PolicyFile of something else than a file asks these first. */
bool policy_id_is_valid(const char *s);        /* 1-64 of A-Z a-z 0-9 . _ : @ - */
bool policy_comment_is_valid(const char *s);   /* UTF-8 without control characters */
bool policy_glob_is_valid(const char *s);      /* likewise, 1-255 bytes */
bool policy_list_name_is_valid(const char *s); /* as profile names */
/* 1-127 printable ASCII characters without / : , * ! and spaces, no + at the end, not ., .. or any: what other
 * firewalls mean by these would be a name here that no interface has. */
bool policy_interface_name_is_valid(const char *s);
bool policy_list_path_is_valid(const char *s); /* as a pattern, up to POLICY_LIST_PATH_MAX bytes */
bool policy_profile_name_is_valid(
        const char *s); /* 1-64 of A-Z a-z 0-9 . _ -, a letter or digit first */
