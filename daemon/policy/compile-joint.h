/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two grids of the same view laid over each other. Private to the compiler. */
#pragma once

#include "policy/compile-grid.h"
#include "policy/intern.h"

/* How strict a verdict is in effect. */
enum {
        STRICTNESS_PASS,
        STRICTNESS_DENY,
        STRICTNESS_NEVER,
        _STRICTNESS_MAX,
};

/* mode: PolicyMode; what does not enforce passes everything. */
unsigned verdict_strictness(const struct cgp_verdict *verdict, PolicyMode mode);

/* The verdict that refuses what either side refuses. It is that of `to` if both refuse or neither does, and a
 * NEVER of either side stays one. */
struct cgp_verdict verdict_intersect(const struct cgp_verdict *from, PolicyMode from_mode,
        const struct cgp_verdict *to, PolicyMode to_mode);

/* What differs between two verdicts, or between all of many: bits. */
#define DIFFERENCE_LOOSER  (1U << 0)
#define DIFFERENCE_TIGHTER (1U << 1)

unsigned verdict_difference(const struct cgp_verdict *from, PolicyMode from_mode,
        const struct cgp_verdict *to, PolicyMode to_mode);

/* Pairs of classes that some key has, in the order in which a walk over ascending keys meets them. */
typedef struct Joint {
        const Grid *from;
        const Grid *to;
        GridAxis axes[_GRID_AXIS_MAX]; /* classes: pairs of rows, of columns */
        Intern rows;                   /* uint32_t[2]: row of from, row of to */
        Intern columns;
} Joint;

/* -ENOMEM. The grids must outlive it. */
int joint_init(Joint *joint, const Grid *from, const Grid *to) _warn_unused_result_;
void joint_done(Joint *joint);

/* DIFFERENCE_* over all pairs. */
unsigned joint_difference(const Joint *joint, PolicyMode from_mode, PolicyMode to_mode);

/* The grid of the intersected verdicts; takes the axes out of the joint. -E2BIG, -ENOMEM. */
int joint_to_grid(Joint *joint, PolicyMode from_mode, PolicyMode to_mode,
        PolicyCompileFailure *reterr_failure, Grid *ret) _warn_unused_result_;
