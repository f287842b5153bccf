/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The common refinement of two grids: only pairs of rows, of classes and of layers that occur
 * together are looked at, and pairs of lines only once, so that two policies that differ in one
 * rule cost about as much as one.
 */
#include "policy/compile-joint.h"

#include <errno.h>

#include "util/macro.h"

unsigned action_strictness(unsigned action, PolicyMode mode) {
        if (mode == POLICY_MODE_AUDIT || mode == POLICY_MODE_OFF || action == CGP_ACTION_ALLOW)
                return STRICTNESS_PASS;
        return action == CGP_ACTION_NEVER ? STRICTNESS_NEVER : STRICTNESS_DENY;
}

unsigned strictness_action(unsigned strictness) {
        static const uint8_t actions[_STRICTNESS_MAX] = {
                [STRICTNESS_PASS] = CGP_ACTION_ALLOW,
                [STRICTNESS_DENY] = CGP_ACTION_DENY,
                [STRICTNESS_NEVER] = CGP_ACTION_NEVER,
        };

        assert(strictness < _STRICTNESS_MAX);
        return actions[strictness];
}

unsigned action_difference(unsigned from, PolicyMode from_mode, unsigned to, PolicyMode to_mode) {
        unsigned a = action_strictness(from, from_mode), b = action_strictness(to, to_mode);

        if (a == b)
                return 0;
        return b < a ? DIFFERENCE_LOOSER : DIFFERENCE_TIGHTER;
}

static uint64_t strictest(void *userdata, uint64_t a, uint64_t b) {
        return decision_action(b) > decision_action(a) ? b : a;
}

int grid_collapse(Grid *grid, GridSpace *space, bool sets, bool places,
        PolicyCompileFailure *reterr_failure) {
        _cleanup_(line_op_done) LineOp op = LINE_OP_INIT(strictest, NULL);
        uint32_t n_classes = sets ? 1 : grid->n_classes, n_layers = places ? 1 : grid->n_layers;
        _cleanup_free_ Line *lines = NULL;
        int r;

        if (n_classes == grid->n_classes && n_layers == grid->n_layers)
                return 0;
        lines = calloc((size_t)grid->n_rows * n_classes * n_layers, sizeof(*lines));
        if (!lines)
                return -ENOMEM;

        for (uint32_t row = 0; row < grid->n_rows; row++)
                for (uint32_t class = 0; class < grid->n_classes; class ++)
                        for (uint32_t layer = 0; layer < grid->n_layers; layer++) {
                                Line line = grid_lines(grid, row, class)[layer];
                                bool first = (!sets || class == 0) && (!places || layer == 0);
                                Line *to = lines +
                                        ((size_t)row * n_classes + (sets ? 0 : class)) * n_layers +
                                        (places ? 0 : layer);

                                if (first) {
                                        *to = line;
                                        continue;
                                }
                                r = lines_apply(&space->lines, &op, *to, line, to);
                                if (r < 0)
                                        return lines_fail(r, reterr_failure);
                        }

        free(grid->lines);
        grid->lines = TAKE_PTR(lines);
        grid->n_classes = n_classes;
        grid->n_layers = n_layers;
        if (sets) {
                free(TAKE_PTR(grid->set_classes));
                grid->n_combinations = 0;
        }
        if (places) {
                grid->n_places = 1;
                grid->layers[0] = 0;
        }
        return 0;
}

static int axis_join(const GridAxis *from, const GridAxis *to, Intern *pairs, GridAxis *ret) {
        size_t i = 0, k = 0;
        int r;

        for (;;) {
                const GridBreak *a = &from->breaks[i], *b = &to->breaks[k];
                bool more_a = i + 1 < from->n_breaks, more_b = k + 1 < to->n_breaks;
                uint32_t row;
                int order;

                r = intern_add(pairs, (uint32_t[]){ a->row, b->row }, &row);
                if (r < 0)
                        return r;
                r = grid_axis_add(
                        ret, grid_key_compare(a->start, b->start) > 0 ? a->start : b->start, row);
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

static uint32_t grid_class(const Grid *grid, size_t combination) {
        return combination < grid->n_combinations ? grid->set_classes[combination] : 0;
}

static int classes_join(const Grid *from, const Grid *to, Intern *pairs, Grid *ret) {
        uint32_t class;
        int r;

        r = intern_add(pairs, (uint32_t[]){ 0, 0 }, &class);
        if (r < 0)
                return r;

        ret->n_combinations = MAX(from->n_combinations, to->n_combinations);
        if (ret->n_combinations > 0) {
                ret->set_classes = calloc(ret->n_combinations, sizeof(*ret->set_classes));
                if (!ret->set_classes)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < ret->n_combinations; i++) {
                r = intern_add(
                        pairs, (uint32_t[]){ grid_class(from, i), grid_class(to, i) }, &class);
                if (r < 0)
                        return r;
                ret->set_classes[i] = class;
        }
        ret->n_classes = pairs->n_blobs;
        return 0;
}

static uint32_t grid_layer(const Grid *grid, uint32_t place) {
        return grid->n_places == 1 ? 0 : grid->layers[place];
}

static int layers_join(const Grid *from, const Grid *to, Intern *pairs, Grid *ret) {
        int r;

        ret->n_places = MAX(from->n_places, to->n_places);
        for (uint32_t place = 0; place < ret->n_places; place++) {
                uint32_t layer;

                r = intern_add(pairs,
                        (uint32_t[]){ grid_layer(from, place), grid_layer(to, place) }, &layer);
                if (r < 0)
                        return r;
                ret->layers[place] = layer;
        }
        ret->n_layers = pairs->n_blobs;
        return 0;
}

static int lines_join(const Grid *from, const Grid *to, GridSpace *space, LineOp *op,
        const Intern pairs[3], Grid *ret) {
        int r;

        for (uint32_t row = 0; row < ret->n_rows; row++) {
                const uint32_t *rows = intern_get(&pairs[0], row);

                for (uint32_t class = 0; class < ret->n_classes; class ++) {
                        const uint32_t *classes = intern_get(&pairs[1], class);
                        const Line *a = grid_lines(from, rows[0], classes[0]);
                        const Line *b = grid_lines(to, rows[1], classes[1]);
                        Line *lines = grid_lines(ret, row, class);

                        for (uint32_t l = 0; l < ret->n_layers; l++) {
                                const uint32_t *layers = intern_get(&pairs[2], l);

                                r = lines_apply(
                                        &space->lines, op, a[layers[0]], b[layers[1]], &lines[l]);
                                if (r < 0)
                                        return r;
                        }
                }
        }
        return 0;
}

static int join(const Grid *from, const Grid *to, GridSpace *space, LineOp *op, Intern pairs[3],
        PolicyCompileFailure *reterr_failure, Grid *ret) {
        size_t n;
        int r;

        for (unsigned a = 0; a < _GRID_AXIS_MAX; a++) {
                r = axis_join(&from->axes[a], &to->axes[a], &pairs[0], &ret->axes[a]);
                if (r < 0)
                        return r;
        }
        ret->n_rows = pairs[0].n_blobs;
        r = classes_join(from, to, &pairs[1], ret);
        if (r < 0)
                return r;
        r = layers_join(from, to, &pairs[2], ret);
        if (r < 0)
                return r;

        n = (size_t)ret->n_rows * ret->n_classes * ret->n_layers;
        if (n > GRID_LINES_MAX)
                return compile_fail(reterr_failure, "cells", n, GRID_LINES_MAX);
        ret->lines = calloc(n, sizeof(*ret->lines));
        if (!ret->lines)
                return -ENOMEM;
        r = lines_join(from, to, space, op, pairs, ret);
        return lines_fail(r, reterr_failure);
}

int grid_join(const Grid *from, const Grid *to, GridSpace *space, LineOp *op,
        PolicyCompileFailure *reterr_failure, Grid *ret) {
        _cleanup_(grid_done) Grid grid = {};
        Intern pairs[3] = {
                INTERN_INIT(2 * sizeof(uint32_t)),
                INTERN_INIT(2 * sizeof(uint32_t)),
                INTERN_INIT(2 * sizeof(uint32_t)),
        };
        int r;

        r = join(from, to, space, op, pairs, reterr_failure, &grid);
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                intern_done(&pairs[i]);
        if (r < 0)
                return r;

        *ret = TAKE_GENERIC(grid, Grid, (Grid){});
        return 0;
}
