/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named lists of networks, and the set map that is built of all of them together.
 *
 *   PolicyList  what one list holds: sorted networks, immutable, counted references.
 *   PolicySet   the pages of a set map as they stand in the kernel, and what its combinations mean.
 *
 * Pure: bytes in, structures out; the caller reads files. A list of a million networks is a normal one, so
 * everything here is linear or n log n, and compact.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "policy/diag.h"
#include "util/cleanup.h"

#define POLICY_LIST_SIZE_MAX     (128U * 1024 * 1024) /* bytes of a file */
#define POLICY_LIST_NETWORKS_MAX 2000000U             /* of one list, both families */
#define POLICY_LISTS_MAX         256U
#define POLICY_SET_SIZE_MAX      (64U * 1024 * 1024)

/* An IPv4 network: 32 bits, host byte order, host bits zero. */
typedef struct PolicyListNetwork4 {
        uint32_t address;
        uint8_t bits;
} PolicyListNetwork4;

typedef struct PolicyListNetwork6 {
        uint64_t hi; /* host byte order */
        uint64_t lo;
        uint8_t bits;
} PolicyListNetwork6;

typedef struct PolicyList {
        unsigned n_ref;
        char *name;
        PolicyListNetwork4 *networks4; /* sorted by address, then wider first; no repetitions */
        size_t n_networks4;
        PolicyListNetwork6 *networks6;
        size_t n_networks6;
        uint64_t hash; /* of the networks */
} PolicyList;

PolicyList *policy_list_ref(PolicyList *list);
PolicyList *policy_list_unref(PolicyList *list);
DEFINE_CLEANUP(PolicyList *, policy_list_unrefp, policy_list_unref);

/* Parses a list: one ADDR, ADDR/LEN or ADDR-ADDR a line; '#' and ';' begin comments; blank lines are
 * nothing; IPv4-mapped IPv6 is IPv4. Rejected as a whole, with path and line of the first offence and never
 * with what stands there: -EINVAL (garbage, host bits set, a range that runs backwards), -E2BIG (a limit, which
 * the diagnostic names). path is borrowed by the diagnostics. -ENOMEM. */
int policy_list_parse(const char *name, const char *path, const char *bytes, size_t size,
        PolicyDiags *diags, PolicyList **ret) _warn_unused_result_;

/* The same from single texts (an inline list); entry numbers take the place of lines. */
int policy_list_from_strv(const char *name, const char *path, unsigned line, char *const *networks,
        PolicyDiags *diags, PolicyList **ret) _warn_unused_result_;

/* The longest network of the list that holds the address, in bits of its own family, or -1. For the reference
 * evaluator: it shares nothing with sets. Takes a few searches, not a walk: the sockets of a subject, which are as many
 * as it likes, are each asked about. */
int policy_list_match(const PolicyList *list, const uint8_t address[16]);

/* One member of a combination: a list, and how long its longest matching network is. */
typedef struct PolicySetMember {
        uint16_t list; /* index into the lists that the set was built of */
        uint8_t bits;  /* in the address's own family */
} PolicySetMember;

typedef struct PolicySet {
        unsigned n_ref;
        uint8_t *
                pages; /* header.n_pages * CGP_SET_PAGE_SIZE bytes; page 0 begins with the header */
        size_t n_pages;
        uint64_t hash; /* as in the header: content and meaning */
        /* Combination i has members first[i] .. first[i + 1] - 1, by list. Combination 0 has none. */
        uint32_t *first;
        PolicySetMember *members;
        size_t n_combinations;
        char **names; /* of the lists, in order */
} PolicySet;

PolicySet *policy_set_ref(PolicySet *set);
PolicySet *policy_set_unref(PolicySet *set);
DEFINE_CLEANUP(PolicySet *, policy_set_unrefp, policy_set_unref);

/* Builds the set of all lists (sorted by name). Deterministic. -E2BIG with *reterr_limit (static: "combinations",
 * "set size") when it does not fit; -ENOMEM. */
int policy_set_build(PolicyList *const *lists, size_t n_lists, const char **reterr_limit,
        PolicySet **ret) _warn_unused_result_;

/* The combination of an address, by the code that the programs use (bpf/set.bpf.h on the host). */
uint32_t policy_set_lookup(const PolicySet *set, const uint8_t address[16]);

/* Lets go of the pages (the kernel has them); policy_set_lookup() must not be called any more. */
void policy_set_drop_pages(PolicySet *set);
