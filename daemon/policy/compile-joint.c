/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The common refinement of two grids: only pairs of rows and of columns that occur together under some key
 * are looked at, so that two policies that differ in one rule cost about as much as one.
 */
#include "policy/compile-joint.h"

#include <errno.h>

#include "util/macro.h"

unsigned verdict_strictness(const struct cgp_verdict *verdict, PolicyMode mode) {
        if (mode == POLICY_MODE_AUDIT || mode == POLICY_MODE_OFF ||
                verdict->action == CGP_ACTION_ALLOW)
                return STRICTNESS_PASS;
        return verdict->action == CGP_ACTION_NEVER ? STRICTNESS_NEVER : STRICTNESS_DENY;
}

unsigned verdict_difference(const struct cgp_verdict *from, PolicyMode from_mode,
        const struct cgp_verdict *to, PolicyMode to_mode) {
        unsigned from_strictness = verdict_strictness(from, from_mode);
        unsigned to_strictness = verdict_strictness(to, to_mode);

        if (from_strictness == to_strictness)
                return 0;
        return to_strictness < from_strictness ? DIFFERENCE_LOOSER : DIFFERENCE_TIGHTER;
}

static int axis_join(const GridAxis *from, const GridAxis *to, Intern *pairs, GridAxis *ret) {
        size_t i = 0, k = 0;
        int r;

        for (;;) {
                const GridBreak *a = &from->breaks[i], *b = &to->breaks[k];
                bool more_a = i + 1 < from->n_breaks, more_b = k + 1 < to->n_breaks;
                uint32_t class;
                int order;

                r = intern_add(pairs, (uint32_t[]){ a->class, b->class }, &class);
                if (r < 0)
                        return r;
                r = grid_axis_add(
                        ret, grid_key_compare(a->start, b->start) > 0 ? a->start : b->start, class);
                if (r < 0)
                        return r;

                if (!more_a && !more_b)
                        return 0;
                if (more_a && more_b)
                        order = grid_key_compare(a[1].start, b[1].start);
                else
                        order = more_a ? -1 : 1;
                i += order <= 0;
                k += order >= 0;
        }
}

void joint_done(Joint *joint) {
        for (size_t i = 0; i < _GRID_AXIS_MAX; i++)
                grid_axis_done(&joint->axes[i]);
        intern_done(&joint->rows);
        intern_done(&joint->columns);
}

int joint_init(Joint *joint, const Grid *from, const Grid *to) {
        _cleanup_(joint_done) Joint j = {
                .from = from,
                .to = to,
                .rows = INTERN_INIT(2 * sizeof(uint32_t)),
                .columns = INTERN_INIT(2 * sizeof(uint32_t)),
        };
        int r;

        for (unsigned a = 0; a < _GRID_AXIS_MAX; a++) {
                r = axis_join(&from->axes[a], &to->axes[a],
                        a == GRID_SERVICE ? &j.columns : &j.rows, &j.axes[a]);
                if (r < 0)
                        return r;
        }

        *joint = TAKE_GENERIC(j, Joint, (Joint){});
        return 0;
}

static const uint16_t *grid_row(const Grid *grid, uint32_t row) {
        return grid->cells + (size_t)row * grid->n_columns;
}

unsigned joint_difference(const Joint *joint, PolicyMode from_mode, PolicyMode to_mode) {
        const uint32_t(*columns)[2] = intern_get(&joint->columns, 0);
        unsigned difference = 0;

        for (uint32_t i = 0; i < joint->rows.n_blobs; i++) {
                const uint32_t *rows = intern_get(&joint->rows, i);
                const uint16_t *from = grid_row(joint->from, rows[0]);
                const uint16_t *to = grid_row(joint->to, rows[1]);

                for (uint32_t c = 0; c < joint->columns.n_blobs; c++)
                        difference |= verdict_difference(
                                &joint->from->verdicts[from[columns[c][0]]], from_mode,
                                &joint->to->verdicts[to[columns[c][1]]], to_mode);
        }
        return difference;
}

/* The verdicts of an intersected grid: those of `to` once for each strictness, then those of `from` that
 * refuse on their own. */
static size_t joint_verdict_index(const Joint *joint, size_t from, unsigned from_strictness,
        size_t to, unsigned to_strictness) {
        if (from_strictness != STRICTNESS_PASS && to_strictness == STRICTNESS_PASS)
                return _STRICTNESS_MAX * joint->to->n_verdicts + from;
        return MAX(from_strictness, to_strictness) * joint->to->n_verdicts + to;
}

static const uint8_t strictness_action[_STRICTNESS_MAX] = {
        [STRICTNESS_PASS] = CGP_ACTION_ALLOW,
        [STRICTNESS_DENY] = CGP_ACTION_DENY,
        [STRICTNESS_NEVER] = CGP_ACTION_NEVER,
};

static int joint_fill_verdicts(const Joint *joint, PolicyMode from_mode, Grid *grid) {
        size_t n_from = joint->from->n_verdicts, n_to = joint->to->n_verdicts;

        grid->n_verdicts = _STRICTNESS_MAX * n_to + n_from;
        grid->verdicts = calloc(grid->n_verdicts, sizeof(*grid->verdicts));
        if (!grid->verdicts)
                return -ENOMEM;

        for (size_t s = 0; s < _STRICTNESS_MAX; s++)
                for (size_t i = 0; i < n_to; i++) {
                        grid->verdicts[s * n_to + i] = joint->to->verdicts[i];
                        grid->verdicts[s * n_to + i].action = strictness_action[s];
                }
        for (size_t i = 0; i < n_from; i++) {
                const struct cgp_verdict *verdict = &joint->from->verdicts[i];

                grid->verdicts[_STRICTNESS_MAX * n_to + i] = *verdict;
                grid->verdicts[_STRICTNESS_MAX * n_to + i].action =
                        strictness_action[verdict_strictness(verdict, from_mode)];
        }
        return 0;
}

/* A cell is 16 bits wide. */
static_assert(_STRICTNESS_MAX * (CGP_MAX_RULES + 1) + CGP_MAX_RULES + 1 <= UINT16_MAX,
        "the verdicts of an intersection fit a cell");

static int joint_fill_cells(const Joint *joint, PolicyMode from_mode, PolicyMode to_mode,
        PolicyCompileFailure *reterr_failure, Grid *grid) {
        const uint32_t(*columns)[2] = intern_get(&joint->columns, 0);
        size_t n_cells = joint->rows.n_blobs * joint->columns.n_blobs;
        uint16_t *cell;

        if (n_cells > GRID_CELLS_MAX)
                return grid_fail(reterr_failure, "cells", n_cells, GRID_CELLS_MAX);

        grid->n_rows = joint->rows.n_blobs;
        grid->n_columns = joint->columns.n_blobs;
        grid->cells = cell = calloc(n_cells, sizeof(*grid->cells));
        if (!grid->cells)
                return -ENOMEM;

        for (uint32_t i = 0; i < grid->n_rows; i++) {
                const uint32_t *rows = intern_get(&joint->rows, i);
                const uint16_t *from = grid_row(joint->from, rows[0]);
                const uint16_t *to = grid_row(joint->to, rows[1]);

                for (uint32_t c = 0; c < grid->n_columns; c++) {
                        uint16_t f = from[columns[c][0]], t = to[columns[c][1]];

                        *cell++ = joint_verdict_index(joint, f,
                                verdict_strictness(&joint->from->verdicts[f], from_mode), t,
                                verdict_strictness(&joint->to->verdicts[t], to_mode));
                }
        }
        return 0;
}

int joint_to_grid(Joint *joint, PolicyMode from_mode, PolicyMode to_mode,
        PolicyCompileFailure *reterr_failure, Grid *ret) {
        _cleanup_(grid_done) Grid grid = {};
        int r;

        r = joint_fill_verdicts(joint, from_mode, &grid);
        if (r < 0)
                return r;
        r = joint_fill_cells(joint, from_mode, to_mode, reterr_failure, &grid);
        if (r < 0)
                return r;
        for (size_t i = 0; i < _GRID_AXIS_MAX; i++)
                grid.axes[i] = TAKE_GENERIC(joint->axes[i], GridAxis, (GridAxis){});

        *ret = TAKE_GENERIC(grid, Grid, (Grid){});
        return 0;
}

struct cgp_verdict verdict_intersect(const struct cgp_verdict *from, PolicyMode from_mode,
        const struct cgp_verdict *to, PolicyMode to_mode) {
        unsigned from_strictness = verdict_strictness(from, from_mode);
        unsigned to_strictness = verdict_strictness(to, to_mode);
        bool only_from = from_strictness != STRICTNESS_PASS && to_strictness == STRICTNESS_PASS;
        struct cgp_verdict verdict = only_from ? *from : *to;

        verdict.action = strictness_action[MAX(from_strictness, to_strictness)];
        return verdict;
}
