/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A matrix has a cell for each line and each class of columns that some line tells apart. Lines
 * have a trie each, in full or as changes of another: less where lines are many and say little of
 * their own. Which is smaller is found by writing them.
 */
#include "policy/compile-layout.h"

#include <errno.h>

#include "policy/compile-delta.h"
#include "util/macro.h"

#define RUNS_MAX (32U * 1024 * 1024)

/* A line of so many runs gets a trie of its own without a search. */
#define SHORT_LINE 4U

#define BASES_MAX   8U
#define FEW_CHANGES 3

#define FULL_MANY      16U
#define FULL_MANY_RUNS 48U

/* Columns that no line tells apart. */
typedef struct ColumnClasses {
        uint32_t *starts;  /* columns at which some line changes */
        uint32_t *classes; /* by start */
        uint32_t *first;   /* by class: the first start of it */
        size_t n_starts;
        size_t n_classes;
} ColumnClasses;

static void column_classes_done(ColumnClasses *c) {
        free(c->starts);
        free(c->classes);
        free(c->first);
}

static uint64_t mix(uint64_t line, uint64_t value) {
        uint64_t z = (line << 16 | value) * 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

/* A sum over all lines for each column, by what each run adds and takes away. Returns 0 if there
 * are too many runs to go on with a matrix. */
static int columns_sum(const Layout *layout, LineRun *runs, uint64_t *sums, bool *changes) {
        const Lines *lines = &layout->space->lines;
        size_t n_total = 0;

        for (size_t i = 0; i < layout->n_distinct; i++) {
                size_t n = lines_runs(lines, layout->distinct[i], runs);

                n_total += n;
                if (n_total > RUNS_MAX)
                        return 0;
                for (size_t k = 0; k < n; k++) {
                        uint64_t sum = mix(i, runs[k].value);

                        changes[runs[k].column] = true;
                        sums[runs[k].column] += sum;
                        if (k + 1 < n)
                                sums[runs[k + 1].column] -= sum;
                }
        }
        for (uint32_t c = 1; c < lines->n_columns; c++)
                sums[c] += sums[c - 1];
        return 1;
}

/* Sums say which columns are alike; whether they are, layout_fill_matrix() sees. Returns 0 as
 * columns_sum(). */
static int column_classes_init(ColumnClasses *c, const Layout *layout, LineRun *runs) {
        uint32_t n_columns = layout->space->lines.n_columns;
        _cleanup_(intern_done) Intern found = INTERN_INIT(sizeof(uint64_t));
        _cleanup_free_ uint64_t *sums = calloc(n_columns, sizeof(*sums));
        _cleanup_free_ bool *changes = calloc(n_columns, sizeof(*changes));
        int r;

        c->starts = calloc(n_columns, sizeof(*c->starts));
        c->classes = calloc(n_columns, sizeof(*c->classes));
        c->first = calloc(n_columns, sizeof(*c->first));
        if (!sums || !changes || !c->starts || !c->classes || !c->first)
                return -ENOMEM;

        r = columns_sum(layout, runs, sums, changes);
        if (r <= 0)
                return r;
        for (uint32_t column = 0; column < n_columns; column++) {
                size_t n = c->n_starts;

                if (!changes[column])
                        continue;
                r = intern_add(&found, &sums[column], &c->classes[n]);
                if (r < 0)
                        return r;
                if (r > 0)
                        c->first[c->classes[n]] = n;
                c->starts[n] = column;
                c->n_starts++;
        }
        c->n_classes = found.n_blobs;
        return 1;
}

/* The distinct lines as rows of a matrix. -EUCLEAN: columns that look alike are not. */
static int layout_fill_matrix(
        const Layout *layout, const ColumnClasses *c, LineRun *runs, uint16_t *matrix) {
        _cleanup_free_ uint16_t *values = calloc(c->n_starts, sizeof(*values));
        uint16_t difference = 0;

        if (!values)
                return -ENOMEM;

        for (size_t i = 0; i < layout->n_distinct; i++) {
                size_t n = lines_runs(&layout->space->lines, layout->distinct[i], runs), run = 0;

                for (size_t s = 0; s < c->n_starts; s++) {
                        while (run + 1 < n && runs[run + 1].column <= c->starts[s])
                                run++;
                        values[s] = runs[run].value;
                        difference |= values[s] ^ values[c->first[c->classes[s]]];
                }
                for (size_t k = 0; k < c->n_classes; k++)
                        *matrix++ = values[c->first[k]];
        }
        return difference == 0 ? 0 : -EUCLEAN;
}

/* Every start a class of its own: always right. */
static void column_classes_part(ColumnClasses *c) {
        for (size_t i = 0; i < c->n_starts; i++)
                c->classes[i] = c->first[i] = i;
        c->n_classes = c->n_starts;
}

static int layout_add_trie(const Layout *layout, Tries *tries, const LineRun *runs, size_t n_runs,
        TrieBreak **breaks, size_t *n_allocated, uint16_t *ret_entry) {
        size_t n = 0;
        int r;

        r = service_columns_breaks(&layout->space->columns, runs, n_runs, breaks, n_allocated, &n);
        if (r < 0)
                return r;
        return tries_add(tries, *breaks, n, SERVICE_KEY_BITS, ret_entry);
}

static int layout_write_columns(
        const Layout *layout, const ColumnClasses *c, LineRun *runs, struct cgp_view *view) {
        _cleanup_free_ TrieBreak *breaks = NULL;
        size_t n_allocated = 0;

        if (c->n_classes > CGP_LEAF_MASK + 1U)
                return compile_fail(layout->tables->reterr_failure, "classes", c->n_classes,
                        CGP_LEAF_MASK + 1U);
        for (size_t s = 0; s < c->n_starts; s++)
                runs[s] = (LineRun){ c->starts[s], c->classes[s] };
        return tables_tries_fail(layout->tables,
                layout_add_trie(layout, &layout->tables->tries, runs, c->n_starts, &breaks,
                        &n_allocated, &view->root_service));
}

static int layout_write_matrix(
        const Layout *layout, ColumnClasses *c, LineRun *runs, struct cgp_view *view) {
        _cleanup_free_ uint16_t *rows = NULL, *matrix = NULL;
        size_t n;
        int r;

        do {
                n = layout->n_lines * c->n_classes;
                if (n > CGP_MAX_CELLS)
                        return compile_fail(
                                layout->tables->reterr_failure, "cells", n, CGP_MAX_CELLS);
                free(TAKE_PTR(rows));
                rows = calloc(layout->n_distinct * c->n_classes, sizeof(*rows));
                if (!rows)
                        return -ENOMEM;
                r = layout_fill_matrix(layout, c, runs, rows);
                if (r == -EUCLEAN)
                        column_classes_part(c);
        } while (r == -EUCLEAN);
        if (r < 0)
                return r;

        r = layout_write_columns(layout, c, runs, view);
        if (r < 0)
                return r;
        matrix = calloc(n, sizeof(*matrix));
        if (!matrix)
                return -ENOMEM;
        for (size_t i = 0; i < layout->n_lines; i++)
                memcpy(matrix + i * c->n_classes, rows + layout->lines[i] * c->n_classes,
                        c->n_classes * sizeof(*matrix));
        view->layout = CGP_LAYOUT_MATRIX;
        view->n_columns = c->n_classes;
        return tables_add_part(layout->tables, matrix, n, &view->matrix);
}

/* How the distinct lines become tries: in full, or as changes of one that is in full. */
typedef struct LinePlan {
        uint32_t *others; /* by line: the other one, or itself */
        size_t n_full;
} LinePlan;

static void line_plan_done(LinePlan *plan) {
        free(plan->others);
}

/* Lines that others may be changes of, the last one that was found good first. */
typedef struct Bases {
        uint32_t lines[BASES_MAX];
        size_t n;
} Bases;

static void bases_put_first(Bases *bases, size_t i, uint32_t line) {
        for (; i > 0; i--)
                bases->lines[i] = bases->lines[i - 1];
        bases->lines[0] = line;
}

/* The first base with few changes, else that with the fewest; the line itself if there is none. */
static uint32_t bases_find(Bases *bases, const Layout *layout, uint32_t line) {
        DeltaPath paths[DELTA_PATHS_MAX];
        int best = DELTA_PATHS_MAX + 1;
        size_t at = 0;

        for (size_t i = 0; i < bases->n && best > FEW_CHANGES; i++) {
                int n = delta_find(layout->space, layout->distinct[line],
                        layout->distinct[bases->lines[i]], paths);

                if (n >= 0 && n < best) {
                        best = n;
                        at = i;
                }
        }
        if (best > (int)DELTA_PATHS_MAX) {
                if (bases->n < ELEMENTSOF(bases->lines))
                        bases->n++;
                bases_put_first(bases, bases->n - 1, line);
                return line;
        }
        bases_put_first(bases, at, bases->lines[at]);
        return bases->lines[0];
}

static int line_plan_init(LinePlan *plan, const Layout *layout, LineRun *runs) {
        Bases bases = {};

        plan->others = calloc(layout->n_distinct, sizeof(*plan->others));
        if (!plan->others)
                return -ENOMEM;

        for (uint32_t i = 0; i < layout->n_distinct; i++) {
                plan->others[i] = i;
                /* A short line is a short list of paths anyhow, and a poor base. */
                if (lines_runs(&layout->space->lines, layout->distinct[i], runs) > SHORT_LINE)
                        plan->others[i] = bases_find(&bases, layout, i);
                plan->n_full += plan->others[i] == i;
        }
        return 0;
}

/* Where many are in full each is laid out in less time. */
static uint32_t line_plan_runs(const LinePlan *plan) {
        return plan->n_full > FULL_MANY ? FULL_MANY_RUNS : TRIES_PLAN_RUNS;
}

/* Writers of tries, with what they need beside. */
typedef struct TrieScratch {
        LineRun *runs;
        TrieBreak *breaks;
        size_t n_allocated;
        uint32_t base; /* whose depth is known */
        unsigned base_depth;
} TrieScratch;

static int layout_write_full(const Layout *layout, Tries *tries, uint32_t line,
        TrieScratch *scratch, uint16_t *ret_entry) {
        size_t n = lines_runs(&layout->space->lines, layout->distinct[line], scratch->runs);

        return layout_add_trie(layout, tries, scratch->runs, n, &scratch->breaks,
                &scratch->n_allocated, ret_entry);
}

static int layout_write_line(const Layout *layout, const LinePlan *plan, uint32_t line,
        TrieScratch *scratch, uint16_t *entries) {
        Tries *tries = &layout->tables->tries;
        uint32_t other = plan->others[line];
        DeltaPath paths[DELTA_PATHS_MAX];
        int n;

        if (other != line) {
                n = delta_find(
                        layout->space, layout->distinct[line], layout->distinct[other], paths);
                if (scratch->base != other) {
                        scratch->base = other;
                        scratch->base_depth = delta_depth(tries, entries[other]);
                }
                if (n >= 0 && n + scratch->base_depth <= CGP_WALK_MAX)
                        return delta_write(tries, paths, n, entries[other], &entries[line]);
        }
        return layout_write_full(layout, tries, line, scratch, &entries[line]);
}

/* The entry of each line's trie. */
static int layout_write_lines(
        const Layout *layout, const LinePlan *plan, LineRun *runs, uint16_t *cells) {
        _cleanup_free_ uint16_t *entries = calloc(layout->n_distinct, sizeof(*entries));
        TrieScratch scratch = { .runs = runs, .base = UINT32_MAX };
        const uint32_t plan_runs = layout->tables->tries.plan_runs;
        int r = 0;

        if (!entries)
                return -ENOMEM;

        layout->tables->tries.plan_runs = line_plan_runs(plan);
        for (uint32_t i = 0; r >= 0 && i < layout->n_distinct; i++)
                r = layout_write_line(layout, plan, i, &scratch, entries);
        layout->tables->tries.plan_runs = plan_runs;
        free(scratch.breaks);
        if (r < 0)
                return r;
        for (size_t i = 0; i < layout->n_lines; i++)
                cells[i] = entries[layout->lines[i]];
        return 0;
}

static size_t tries_size(size_t n_nodes, size_t n_paths) {
        return n_nodes * 256 * sizeof(uint16_t) + n_paths * sizeof(struct cgp_path);
}

/* At least so many classes of columns there are: the values of one line. */
static int layout_least_columns(const Layout *layout, LineRun *runs, size_t *ret_n) {
        _cleanup_(intern_done) Intern values = INTERN_INIT(sizeof(uint64_t));
        size_t n = lines_runs(&layout->space->lines, layout->distinct[0], runs);

        for (size_t i = 0; i < n; i++) {
                uint32_t index;
                int r = intern_add(&values, &runs[i].value, &index);

                if (r < 0)
                        return r;
        }
        *ret_n = values.n_blobs;
        return 0;
}

static size_t matrix_size(const Layout *layout, size_t n_columns) {
        return layout->n_lines * n_columns * sizeof(uint16_t);
}

/* Writes lines, and takes them back if a matrix is smaller or they do not fit. */
static int layout_write_smaller(const Layout *layout, ColumnClasses *classes, LineRun *runs,
        size_t least_size, struct cgp_view *view) {
        _cleanup_free_ uint16_t *cells = NULL;
        _cleanup_(line_plan_done) LinePlan plan = {};
        Tries *tries = &layout->tables->tries;
        const size_t n_nodes = tries->nodes.n_blobs, n_paths = tries->paths.n_blobs;
        size_t size;
        int r, written;

        cells = calloc(layout->n_lines, sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        r = line_plan_init(&plan, layout, runs);
        if (r < 0)
                return r;
        written = layout_write_lines(layout, &plan, runs, cells);
        if (written < 0 && written != -E2BIG)
                return written;
        size = tries_size(tries->nodes.n_blobs - n_nodes, tries->paths.n_blobs - n_paths) +
                layout->n_lines * sizeof(uint16_t);

        if (written < 0 || size > least_size) {
                r = classes->n_classes > 0 ? 1 : column_classes_init(classes, layout, runs);
                if (r < 0)
                        return r;
                if (r > 0 && (written < 0 || matrix_size(layout, classes->n_classes) < size) &&
                        layout->n_lines * classes->n_classes <= CGP_MAX_CELLS) {
                        intern_truncate(&tries->nodes, n_nodes);
                        intern_truncate(&tries->paths, n_paths);
                        return layout_write_matrix(layout, classes, runs, view);
                }
        }
        if (written < 0)
                return tables_tries_fail(layout->tables, written);
        view->layout = CGP_LAYOUT_LINES;
        return tables_add_part(layout->tables, cells, layout->n_lines, &view->matrix);
}

int layout_write(const Layout *layout, struct cgp_view *view) {
        _cleanup_(column_classes_done) ColumnClasses classes = {};
        _cleanup_free_ LineRun *runs = NULL;
        size_t least_size;
        int r;

        runs = calloc(layout->space->lines.n_columns, sizeof(*runs));
        if (!runs)
                return -ENOMEM;

        r = layout_least_columns(layout, runs, &least_size);
        if (r < 0)
                return r;
        least_size = matrix_size(layout, least_size);
        if (least_size <= TABLES_MATRIX_SMALL) {
                r = column_classes_init(&classes, layout, runs);
                if (r < 0)
                        return r;
                if (r > 0 && matrix_size(layout, classes.n_classes) <= TABLES_MATRIX_SMALL)
                        return layout_write_matrix(layout, &classes, runs, view);
        }
        return layout_write_smaller(layout, &classes, runs, least_size, view);
}
