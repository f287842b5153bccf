/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One view of one stack, precedence settled: a grid of verdicts over intervals of addresses (rows) and
 * intervals of protocol and port (columns). Private to the compiler.
 *
 * Every key is written left-aligned into 128 bits: an IPv4 address fills the first 32, protocol and port
 * the first 24. So one kind of axis, one kind of prefix and one kind of trie serve all three.
 */
#pragma once

#include <stdbool.h>

#include "policy/compile.h"

/* What is held while compiling, beside the limits of the ABI. Columns and rows are merged only at the end,
 * so more cells than the image may have are allowed on the way. */
#define GRID_CELLS_MAX (4U * CGP_MAX_CELLS)
#define GRID_PREFIXES_MAX \
        (1024U * 1024) /* prefixes of one view and family, a range counts as its cover */

typedef struct GridKey {
        uint64_t hi;
        uint64_t lo;
} GridKey;

/* From `start` up to the next break every key is of this class. */
typedef struct GridBreak {
        GridKey start;
        uint32_t class;
} GridBreak;

typedef struct GridAxis {
        GridBreak *breaks; /* ascending; the first starts at 0 */
        size_t n_breaks;
        size_t n_allocated;
} GridAxis;

enum {
        GRID_IPV4,
        GRID_IPV6,
        GRID_SERVICE,
        _GRID_AXIS_MAX,
};

typedef struct Grid {
        GridAxis axes[_GRID_AXIS_MAX]; /* classes: a row for IPv4 and IPv6, a column for SERVICE */
        uint32_t n_rows;
        uint32_t n_columns;
        uint16_t *cells; /* n_rows * n_columns indices of verdicts */
        struct cgp_verdict *verdicts;
        size_t n_verdicts;
} Grid;

static inline int grid_key_compare(GridKey a, GridKey b) {
        if (a.hi != b.hi)
                return a.hi < b.hi ? -1 : 1;
        if (a.lo != b.lo)
                return a.lo < b.lo ? -1 : 1;
        return 0;
}

/* The last key that shares the first `bits` bits with this one. */
static inline GridKey grid_key_end(GridKey key, unsigned bits) {
        if (bits < 64)
                return (GridKey){ key.hi | UINT64_MAX >> bits, UINT64_MAX };
        return (GridKey){ key.hi, bits < 128 ? key.lo | UINT64_MAX >> (bits - 64) : key.lo };
}

/* Says which limit was exceeded. Returns -E2BIG. */
int grid_fail(PolicyCompileFailure *reterr_failure, const char *limit, size_t needed, size_t max);

/* From start on, where start is not before the last break: class. -ENOMEM. */
int grid_axis_add(GridAxis *axis, GridKey start, uint32_t class) _warn_unused_result_;
void grid_axis_done(GridAxis *axis);

/* Does some `in` rule name multicast? If none does, views IN and IN_MULTICAST are the same. */
bool grid_stack_has_multicast(const PolicyStack *stack);

/* The PolicyDirection bit whose rules a view judges by. */
unsigned grid_view_direction(unsigned view);

/* Errors as policy_compile(). */
int grid_init(Grid *grid, const PolicyCompileInput *input, unsigned view,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void grid_done(Grid *grid);
