/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parsers of rules and files share among themselves; nobody else includes this. */
#pragma once

#include <stddef.h>

#include "policy/parse.h"

/* As much of a word as a message quotes. */
#define POLICY_QUOTE_SIZE 72

/* Copies what is fit to be printed of n bytes: no control or foreign characters, cut with "..." when it is
 * long. Returns buf. */
const char *policy_quote(char buf[POLICY_QUOTE_SIZE], const char *s, size_t n);

/* A piece of the rule's text, not terminated. */
typedef struct Word {
        const char *s;
        size_t n;
} Word;

typedef struct RuleParser {
        const char *text;   /* the whole text: columns count from its first byte */
        const char *cursor; /* what is not read yet */
        const char *path;   /* where the text stands, for diagnostics */
        unsigned line;
        unsigned column; /* of the first byte of text; 0: unknown */
        const PolicyServices *services;
        PolicyDiags *diags;
        PolicyRule *rule; /* owned: what has been read so far */
        size_t n_peers_room;
        size_t n_services_room;
} RuleParser;

/* Reports one error at a byte of the text and evaluates to the errno. */
#define RULE_FAIL(p, at, error, code, ...)                                                \
        ({                                                                                \
                policy_diags_add((p)->diags, POLICY_ERROR, code, (p)->path, (p)->line,    \
                        (p)->column > 0 ? (p)->column + (unsigned)((at) - (p)->text) : 0, \
                        __VA_ARGS__);                                                     \
                (error);                                                                  \
        })

/* Quotes a word, for as long as the enclosing block lives. */
#define QUOTE_WORD(w) policy_quote((char[POLICY_QUOTE_SIZE]){ 0 }, (w).s, (w).n)

bool word_is(Word w, const char *s);

bool word_is_one_of(Word w, const char *const *words);
bool word_is_digits(Word w);

/* Room for the longest word that can still mean something. */
#define WORD_COPY_SIZE 64

/* Copies the word and terminates it. False if it does not fit. */
bool word_copy(Word w, char *buf, size_t size);

/* Digits only, no sign, no leading zero, at most max. */
bool word_to_number(Word w, unsigned max, unsigned *ret);

/* Takes what stands before the first separator off *rest, without the spaces around it. False when
 * nothing is left. An empty item is an item: "80,,443" has three and "80," has two. */
bool word_split(Word *rest, char separator, Word *ret);

/* The candidate that the word was likely meant to be, also where another firewall calls it so, or NULL. */
const char *word_meant(Word w, const char *const *candidates);

/* The words of a rule that are no protocols and no peers; NULL-terminated. */
extern const char *const rule_verdict_words[];
extern const char *const rule_direction_words[];
extern const char *const rule_peers_words[]; /* and "via" */

/* Reads protocols with ports, "any" or the name of a service. */
int rule_parse_what(RuleParser *p, Word w);

/* Gives one protocol with a range of ports to the rule; at is where it stands. */
int rule_add_service(RuleParser *p, Word at, int protocol, unsigned port_min, unsigned port_max);

/* Reads "to" or "from" lists: every peer between the commas of list goes to the rule. */
int rule_parse_peers(RuleParser *p, Word list);

/* Gives one peer, with what it owns, to the rule; at is where it stands. On failure it stays the caller's. */
int rule_add_peer(RuleParser *p, Word at, const PolicyPeer *peer);

/* Reads an address, prefix or range. */
int rule_parse_network(RuleParser *p, Word w, PolicyPeer *ret);

/* Does the word begin like a peer, so that a "to" or "from" was most likely forgotten? */
bool word_looks_like_peer(Word w);

/* Warns of rules that say nothing: one that stands there already, one that another covers, an allow that a
 * never always beats. A bounded look, which may miss some, and never a false alarm. -ENOMEM. */
int policy_file_check(const PolicyFile *file, PolicyDiags *diags) _warn_unused_result_;

/* Reports ids that are there twice. -EINVAL, -ENOMEM. */
int policy_file_check_ids(const PolicyFile *file, PolicyDiags *diags) _warn_unused_result_;
