/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two grids of one view, written in one space, laid over each other. Private to the compiler. */
#pragma once

#include "policy/compile-grid.h"

/* How strict a verdict is in effect. */
enum {
        STRICTNESS_PASS,
        STRICTNESS_DENY,
        STRICTNESS_NEVER,
        _STRICTNESS_MAX,
};

/* mode: PolicyMode; what does not enforce passes everything. */
unsigned action_strictness(unsigned action, PolicyMode mode);
unsigned strictness_action(unsigned strictness);

/* What differs between two verdicts, or between all of many: bits. */
#define DIFFERENCE_LOOSER  (1U << 0)
#define DIFFERENCE_TIGHTER (1U << 1)

unsigned action_difference(unsigned from, PolicyMode from_mode, unsigned to, PolicyMode to_mode);

/* One class of sets, one place: for each address and service the strictest decision that any of
 * them gives, the first on a tie. For a side whose set map or whose interfaces an image cannot ask.
 * Errors as policy_compile(). */
int grid_collapse(Grid *grid, GridSpace *space, bool sets, bool places,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;

/* The grid of what the function gives for each pair of decisions that some key, combination and
 * place has. The grids share what they have of set maps and places. Errors as policy_compile(). */
int grid_join(const Grid *from, const Grid *to, GridSpace *space, LineOp *op,
        PolicyCompileFailure *reterr_failure, Grid *ret) _warn_unused_result_;
