/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The peers of a stack as prefixes, in the order in which a sweep meets them. Private to the compiler. */
#pragma once

#include "policy/compile-grid.h"

typedef struct Prefix {
        GridKey start;
        uint8_t bits;
        uint16_t entry; /* index into the stack's entries */
} Prefix;

typedef struct PrefixList {
        Prefix *prefixes;
        size_t n_prefixes;
        size_t n_allocated;
} PrefixList;

/* All peers of the rules that the view judges by, in one family (GRID_IPV4 or GRID_IPV6), sorted by start,
 * then wider first, then entry; without duplicates. -EOPNOTSUPP for a peer that cannot be compiled, else
 * as policy_compile(). */
int prefix_list_init(PrefixList *list, const PolicyStack *stack, unsigned view, unsigned axis,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void prefix_list_done(PrefixList *list);
