/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trees of fixed height with 16 branches; equal subtrees are one by construction, so comparing two
 * of them is comparing two numbers. Columns behind the last one repeat it: they never add a value.
 * Bounds of what is in a subtree settle most questions without a walk.
 */
#include "policy/compile-line.h"

#include <errno.h>
#include <string.h>

#include "util/macro.h"

#define LINE_BITS 4U

int compile_reserve(void *array, size_t *n_allocated, size_t n, size_t size) {
        size_t n_wanted = MAX(*n_allocated * 2, n + 8);
        void *p;

        if (n <= *n_allocated)
                return 0;

        /* *array is a pointer to some type: read and written as bytes. */
        memcpy(&p, array, sizeof(p));
        p = reallocarray(p, n_wanted, size);
        if (!p)
                return -ENOMEM;
        memcpy(array, &p, sizeof(p));
        *n_allocated = n_wanted;
        return 0;
}

static LineBounds line_bounds(const Lines *lines, Line line) {
        return line & 1 ? lines->node_bounds[line >> 1] : lines->leaf_bounds[line >> 1];
}

static int lines_add_leaf(Lines *lines, const uint64_t values[LINE_FAN], Line *ret) {
        LineBounds bounds = { values[0], values[0] };
        uint32_t i;
        int r;

        r = intern_add(&lines->leaves, values, &i);
        if (r < 0)
                return r;
        *ret = i << 1;
        if (r == 0)
                return 0;

        if (i >= LINE_NODES_MAX)
                return -E2BIG;
        r = compile_reserve(&lines->leaf_bounds, &lines->n_leaf_bounds, i + (size_t)1,
                sizeof(*lines->leaf_bounds));
        if (r < 0)
                return r;
        for (size_t k = 1; k < LINE_FAN; k++) {
                bounds.least = MIN(bounds.least, values[k]);
                bounds.most = MAX(bounds.most, values[k]);
        }
        lines->leaf_bounds[i] = bounds;
        return 0;
}

static int lines_add_node(Lines *lines, const Line branches[LINE_FAN], Line *ret) {
        LineBounds bounds = line_bounds(lines, branches[0]);
        uint32_t i;
        int r;

        r = intern_add(&lines->nodes, branches, &i);
        if (r < 0)
                return r;
        *ret = i << 1 | 1;
        if (r == 0)
                return 0;

        if (i >= LINE_NODES_MAX)
                return -E2BIG;
        r = compile_reserve(&lines->node_bounds, &lines->n_node_bounds, i + (size_t)1,
                sizeof(*lines->node_bounds));
        if (r < 0)
                return r;
        for (size_t k = 1; k < LINE_FAN; k++) {
                LineBounds other = line_bounds(lines, branches[k]);

                bounds.least = MIN(bounds.least, other.least);
                bounds.most = MAX(bounds.most, other.most);
        }
        lines->node_bounds[i] = bounds;
        return 0;
}

/* The lines that have one value everywhere, of every height. */
static int lines_add_uniform(Lines *lines, uint64_t value, Line ret[LINE_HEIGHT_MAX + 1]) {
        uint64_t values[LINE_FAN];
        int r;

        for (size_t i = 0; i < LINE_FAN; i++)
                values[i] = value;
        r = lines_add_leaf(lines, values, &ret[0]);

        for (unsigned h = 1; r >= 0 && h <= lines->height; h++) {
                Line branches[LINE_FAN];

                for (size_t i = 0; i < LINE_FAN; i++)
                        branches[i] = ret[h - 1];
                r = lines_add_node(lines, branches, &ret[h]);
        }
        return r;
}

void lines_done(Lines *lines) {
        intern_done(&lines->leaves);
        intern_done(&lines->nodes);
        free(TAKE_PTR(lines->leaf_bounds));
        free(TAKE_PTR(lines->node_bounds));
}

int lines_init(Lines *lines, uint32_t n_columns) {
        _cleanup_(lines_done) Lines l = {
                .leaves = INTERN_INIT(LINE_FAN * sizeof(uint64_t)),
                .nodes = INTERN_INIT(LINE_FAN * sizeof(Line)),
                .n_columns = n_columns,
        };
        int r;

        assert(n_columns > 0);
        while ((n_columns - 1) >> (l.height + 1) * LINE_BITS != 0)
                if (++l.height == LINE_HEIGHT_MAX)
                        return -E2BIG;

        r = lines_add_uniform(&l, LINE_NONE, l.none);
        if (r < 0)
                return r;
        *lines = TAKE_GENERIC(l, Lines, (Lines){});
        return 0;
}

typedef struct Span {
        uint64_t first;
        uint64_t last;
        uint64_t value;
        Line inside[LINE_HEIGHT_MAX + 1];
} Span;

static int span_build(Lines *lines, const Span *span, unsigned height, uint64_t base, Line *ret) {
        uint64_t width = UINT64_C(1) << (height + 1) * LINE_BITS;
        uint64_t values[LINE_FAN];
        Line branches[LINE_FAN];
        int r;

        if (span->last < base || span->first >= base + width) {
                *ret = lines->none[height];
                return 0;
        }
        if (span->first <= base && span->last >= base + width - 1) {
                *ret = span->inside[height];
                return 0;
        }

        if (height == 0) {
                for (size_t i = 0; i < LINE_FAN; i++)
                        values[i] = base + i >= span->first && base + i <= span->last ? span->value
                                                                                      : LINE_NONE;
                return lines_add_leaf(lines, values, ret);
        }
        for (size_t i = 0; i < LINE_FAN; i++) {
                r = span_build(
                        lines, span, height - 1, base + i * (width / LINE_FAN), &branches[i]);
                if (r < 0)
                        return r;
        }
        return lines_add_node(lines, branches, ret);
}

int lines_span(Lines *lines, uint32_t first, uint32_t last, uint64_t value, Line *ret) {
        Span span = {
                .first = first,
                .last = last + 1 == lines->n_columns ? UINT64_MAX : last,
                .value = value,
        };
        int r;

        assert(first <= last && last < lines->n_columns);

        r = lines_add_uniform(lines, value, span.inside);
        if (r < 0)
                return r;
        return span_build(lines, &span, lines->height, 0, ret);
}

void line_op_done(LineOp *op) {
        intern_done(&op->keys);
        free(op->results);
        op->results = NULL;
}

static int apply_leaf(Lines *lines, LineOp *op, Line a, Line b, Line *ret) {
        uint64_t values[LINE_FAN];

        for (size_t i = 0; i < LINE_FAN; i++) {
                const uint64_t *x = intern_get(&lines->leaves, a >> 1);
                const uint64_t *y = intern_get(&lines->leaves, b >> 1);

                values[i] = op->is_least ? MIN(x[i], y[i]) : op->apply(op->userdata, x[i], y[i]);
        }
        return lines_add_leaf(lines, values, ret);
}

static int apply(Lines *lines, LineOp *op, unsigned height, Line a, Line b, Line *ret) {
        Line branches[LINE_FAN], result;
        uint32_t key;
        int r;

        if (op->is_least) {
                LineBounds x = line_bounds(lines, a), y = line_bounds(lines, b);

                if (a == b || x.most <= y.least || y.most < x.least) {
                        *ret = a == b || x.most <= y.least ? a : b;
                        return 0;
                }
        }

        r = intern_add(&op->keys, (Line[]){ a, b }, &key);
        if (r < 0)
                return r;
        if (r == 0) {
                *ret = op->results[key];
                return 0;
        }
        r = compile_reserve(&op->results, &op->n_allocated, key + 1, sizeof(*op->results));
        if (r < 0)
                return r;

        if (height == 0) {
                r = apply_leaf(lines, op, a, b, &result);
                if (r < 0)
                        return r;
        } else {
                /* Nodes move when one is added. */
                for (size_t i = 0; i < LINE_FAN; i++) {
                        const Line *x = intern_get(&lines->nodes, a >> 1);
                        const Line *y = intern_get(&lines->nodes, b >> 1);

                        r = apply(lines, op, height - 1, x[i], y[i], &branches[i]);
                        if (r < 0)
                                return r;
                }
                r = lines_add_node(lines, branches, &result);
                if (r < 0)
                        return r;
        }

        *ret = op->results[key] = result;
        return 0;
}

int lines_apply(Lines *lines, LineOp *op, Line a, Line b, Line *ret) {
        return apply(lines, op, lines->height, a, b, ret);
}

/* Is the tree one value everywhere? */
static bool line_is_uniform(const Lines *lines, Line line, uint64_t *ret_value) {
        LineBounds bounds = line_bounds(lines, line);

        *ret_value = bounds.least;
        return bounds.least == bounds.most;
}

typedef struct RunWriter {
        const Lines *lines;
        LineRun *runs;
        size_t n_runs;
} RunWriter;

static void run_push(RunWriter *w, uint64_t column, uint64_t value) {
        if (column >= w->lines->n_columns ||
                (w->n_runs > 0 && w->runs[w->n_runs - 1].value == value))
                return;
        w->runs[w->n_runs++] = (LineRun){ column, value };
}

static void runs_walk(RunWriter *w, Line line, unsigned height, uint64_t base) {
        uint64_t value;

        if (base >= w->lines->n_columns)
                return;
        if (line_is_uniform(w->lines, line, &value)) {
                run_push(w, base, value);
                return;
        }
        if (height == 0) {
                const uint64_t *values = intern_get(&w->lines->leaves, line >> 1);

                for (size_t i = 0; i < LINE_FAN; i++)
                        run_push(w, base + i, values[i]);
                return;
        }
        for (size_t i = 0; i < LINE_FAN; i++) {
                const Line *branches = intern_get(&w->lines->nodes, line >> 1);

                runs_walk(w, branches[i], height - 1, base + ((uint64_t)i << height * LINE_BITS));
        }
}

size_t lines_runs(const Lines *lines, Line line, LineRun *runs) {
        RunWriter w = { .lines = lines, .runs = runs };

        runs_walk(&w, line, lines->height, 0);
        return w.n_runs;
}

typedef struct SegmentWriter {
        const Lines *lines;
        LineSegment *segments;
        int n_segments;
        int n_max;
        uint64_t end; /* of the last segment, with what follows and has the same value in both */
} SegmentWriter;

/* Goes on with the last segment where that has the value: it may hold what does not differ. */
static int segment_push(
        SegmentWriter *w, uint64_t first, uint64_t end, uint64_t value, bool differs) {
        LineSegment *last = w->n_segments > 0 ? &w->segments[w->n_segments - 1] : NULL;

        if (first >= w->lines->n_columns)
                return 0;
        end = MIN(end, (uint64_t)w->lines->n_columns);
        if (last && w->end == first && last->value == value) {
                w->end = end;
                if (differs)
                        last->end = end;
                return 0;
        }
        if (!differs)
                return 0;
        if (w->n_segments == w->n_max)
                return -E2BIG;
        w->segments[w->n_segments++] = (LineSegment){ first, end, value };
        w->end = end;
        return 0;
}

static int difference_walk(
        SegmentWriter *w, Line line, Line other, unsigned height, uint64_t base) {
        uint64_t width = UINT64_C(1) << height * LINE_BITS, value = 0;
        int r = 0;

        if (base >= w->lines->n_columns)
                return 0;
        if (line_is_uniform(w->lines, line, &value))
                return segment_push(w, base, base + width * LINE_FAN, value, line != other);
        if (line == other)
                return 0;

        for (size_t i = 0; r >= 0 && i < LINE_FAN; i++) {
                if (height == 0) {
                        const uint64_t *x = intern_get(&w->lines->leaves, line >> 1);
                        const uint64_t *y = intern_get(&w->lines->leaves, other >> 1);

                        r = segment_push(w, base + i, base + i + 1, x[i], x[i] != y[i]);
                } else {
                        const Line *x = intern_get(&w->lines->nodes, line >> 1);
                        const Line *y = intern_get(&w->lines->nodes, other >> 1);

                        r = difference_walk(w, x[i], y[i], height - 1, base + i * width);
                }
        }
        return r;
}

int lines_difference(const Lines *lines, Line line, Line other, LineSegment *segments, int n_max) {
        SegmentWriter w = { .lines = lines, .segments = segments, .n_max = n_max };
        int r = difference_walk(&w, line, other, lines->height, 0);

        return r < 0 ? r : w.n_segments;
}
