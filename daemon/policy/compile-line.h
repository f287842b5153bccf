/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines: a value for each column of a grid, as shared trees. Equal lines are one number, a line
 * that differs from another in one column costs one path of a tree, and what was once worked out
 * for two lines is not worked out again. So thousands of rules with ports of their own stay small
 * on the way. Private to the compiler.
 */
#pragma once

#include <stdbool.h>

#include "policy/intern.h"
#include "util/cleanup.h"

#define LINE_FAN        16U
#define LINE_HEIGHT_MAX 6U
#define LINE_NONE       UINT64_MAX

/* What the trees of one view may take while compiling. */
#define LINE_NODES_MAX (1024U * 1024)

/* The root of a tree: number of a leaf << 1, or of a node << 1 | 1. */
typedef uint32_t Line;

/* Of the values in a tree. */
typedef struct LineBounds {
        uint64_t least;
        uint64_t most;
} LineBounds;

typedef struct Lines {
        Intern leaves; /* LINE_FAN * uint64_t */
        Intern nodes;  /* LINE_FAN * Line, all of one height */
        LineBounds *leaf_bounds;
        LineBounds *node_bounds;
        size_t n_leaf_bounds;
        size_t n_node_bounds;
        uint32_t n_columns;
        unsigned height;                /* of the roots; leaves have 0 */
        Line none[LINE_HEIGHT_MAX + 1]; /* LINE_NONE everywhere, by height */
} Lines;

/* n_columns >= 1. -E2BIG: more than 2^24 of them; -ENOMEM. */
int lines_init(Lines *lines, uint32_t n_columns) _warn_unused_result_;
void lines_done(Lines *lines);

static inline Line lines_none(const Lines *lines) {
        return lines->none[lines->height];
}

/* Columns first to last have the value, the others LINE_NONE. Errors as lines_apply(). */
int lines_span(Lines *lines, uint32_t first, uint32_t last, uint64_t value,
        Line *ret) _warn_unused_result_;

/* A function of two values, column by column; remembers what it gave. */
typedef struct LineOp {
        uint64_t (*apply)(void *userdata, uint64_t a, uint64_t b);
        void *userdata;
        bool is_least; /* instead of apply: the smaller of both */
        Intern keys;   /* two lines */
        Line *results;
        size_t n_allocated;
} LineOp;

#define LINE_OP_INIT(function, data) \
        ((LineOp){ .apply = (function), .userdata = (data), .keys = INTERN_INIT(2 * sizeof(Line)) })
#define LINE_OP_LEAST ((LineOp){ .is_least = true, .keys = INTERN_INIT(2 * sizeof(Line)) })

void line_op_done(LineOp *op);

/* Asks the function at least once about each pair of values that some column has, ascending where
 * it had not been asked before, and never about another pair. -E2BIG: over LINE_NODES_MAX;
 * -ENOMEM. */
int lines_apply(Lines *lines, LineOp *op, Line a, Line b, Line *ret) _warn_unused_result_;

/* From this column on, up to the next run. */
typedef struct LineRun {
        uint32_t column;
        uint64_t value;
} LineRun;

/* Writes the runs of a line, neighbours of different values, into an array of n_columns; returns
 * their number. */
size_t lines_runs(const Lines *lines, Line line, LineRun *runs);

/* Columns first .. end - 1 have the value. */
typedef struct LineSegment {
        uint32_t first;
        uint32_t end;
        uint64_t value;
} LineSegment;

/* Segments that hold every column in which the line differs from the other, and tell its values
 * there. Returns how many, or -E2BIG: more than n_max. */
int lines_difference(const Lines *lines, Line line, Line other, LineSegment *segments, int n_max);

/* Makes room for n elements of this size; *array moves. -ENOMEM. */
int compile_reserve(void *array, size_t *n_allocated, size_t n, size_t size) _warn_unused_result_;
