/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settles precedence. Prefixes are swept in address order with a stack of those that cover the present
 * address; each row is its parent's row with the rules of one more prefix laid over it. Prefixes on the
 * stack are nested, so what a row takes over from its parent always comes from a shorter prefix: it gives way
 * to a rule of the same rank, and lengths need not be compared at all.
 */
#include "policy/compile-grid.h"

#include <errno.h>
#include <string.h>

#include "policy/compile-prefix.h"
#include "policy/compile-service.h"
#include "policy/intern.h"
#include "util/macro.h"

/* Precedence as a number, smaller is stronger. Above PRECEDENCE_OUTER lies what decides before the length of
 * the prefix does, below it what decides after. */
#define PRECEDENCE_NOT_NEVER (UINT64_C(1) << 63)
#define PRECEDENCE_RANK      48
#define PRECEDENCE_OUTER     PRECEDENCE_RANK
#define PRECEDENCE_SERVICE   30
#define PRECEDENCE_ALLOW     (UINT64_C(1) << 29)
#define PRECEDENCE_RANK_MAX  0x7fffU
#define PRECEDENCE_DEFAULT   UINT64_MAX

typedef struct RowBuilder {
        ServiceColumns columns;
        Intern rows;         /* n_columns cells each; row 0 is the default everywhere */
        Intern sets;         /* {set, entry}: a list of entries, as a chain */
        Intern steps;        /* {row, set}: a row with a list of entries laid over it */
        uint32_t *step_rows; /* by step: the row that comes out */
        size_t n_step_rows;  /* allocated */
        uint64_t
                *precedences; /* by cell value: 0 the default, else entry + 1; service bits are 0 */
        uint64_t *best;       /* scratch, by column */
        uint16_t *row;        /* scratch */
        PolicyCompileFailure *reterr_failure;
} RowBuilder;

int grid_fail(PolicyCompileFailure *reterr_failure, const char *limit, size_t needed, size_t max) {
        if (reterr_failure)
                *reterr_failure = (PolicyCompileFailure){ limit, needed, max };
        return -E2BIG;
}

void grid_axis_done(GridAxis *axis) {
        free(axis->breaks);
        *axis = (GridAxis){};
}

int grid_axis_add(GridAxis *axis, GridKey start, uint32_t class) {
        GridBreak *last = axis->n_breaks > 0 ? &axis->breaks[axis->n_breaks - 1] : NULL;

        if (last && grid_key_compare(last->start, start) == 0) {
                axis->n_breaks--;
                last = axis->n_breaks > 0 ? last - 1 : NULL;
        }
        if (last && last->class == class)
                return 0;

        if (axis->n_breaks == axis->n_allocated) {
                size_t n = MAX(axis->n_allocated * 2, 8U);
                GridBreak *breaks = reallocarray(axis->breaks, n, sizeof(*breaks));

                if (!breaks)
                        return -ENOMEM;
                axis->breaks = breaks;
                axis->n_allocated = n;
        }
        axis->breaks[axis->n_breaks++] = (GridBreak){ start, class };
        return 0;
}

unsigned grid_view_direction(unsigned view) {
        return view == CGP_VIEW_OUT ? POLICY_DIRECTION_OUT : POLICY_DIRECTION_IN;
}

bool grid_stack_has_multicast(const PolicyStack *stack) {
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & POLICY_DIRECTION_IN))
                        continue;
                for (size_t k = 0; k < rule->n_peers; k++)
                        if (rule->peers[k].type == POLICY_PEER_MULTICAST)
                                return true;
        }
        return false;
}

static void row_builder_done(RowBuilder *b) {
        service_columns_done(&b->columns);
        intern_done(&b->rows);
        intern_done(&b->sets);
        intern_done(&b->steps);
        free(b->step_rows);
        free(b->precedences);
        free(b->best);
        free(b->row);
}

static int row_builder_init(RowBuilder *b, const PolicyStack *stack, unsigned view) {
        uint32_t row;
        int r;

        r = service_columns_init(&b->columns, stack, grid_view_direction(view), b->reterr_failure);
        if (r < 0)
                return r;

        b->rows = INTERN_INIT(b->columns.n_columns * sizeof(uint16_t));
        b->sets = INTERN_INIT(2 * sizeof(uint32_t));
        b->steps = INTERN_INIT(2 * sizeof(uint32_t));
        b->precedences = calloc(stack->n_entries + 1, sizeof(*b->precedences));
        b->best = calloc(b->columns.n_columns, sizeof(*b->best));
        b->row = calloc(b->columns.n_columns, sizeof(*b->row));
        if (!b->precedences || !b->best || !b->row)
                return -ENOMEM;

        b->precedences[0] = PRECEDENCE_DEFAULT;
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyEntry *e = &stack->entries[i];

                assert(e->rank < PRECEDENCE_RANK_MAX);
                b->precedences[i + 1] =
                        (e->rule->verdict == POLICY_NEVER ? 0 : PRECEDENCE_NOT_NEVER) |
                        (uint64_t)e->rank << PRECEDENCE_RANK |
                        (e->rule->verdict == POLICY_ALLOW ? PRECEDENCE_ALLOW : 0) | e->number;
        }

        r = intern_add(&b->rows, b->row, &row);
        return r < 0 ? r : 0;
}

/* Lays the entries of one prefix over a row. */
static int row_builder_lay(
        RowBuilder *b, uint32_t parent, const Prefix *prefixes, size_t n, uint32_t *ret_row) {
        uint32_t n_columns = b->columns.n_columns;
        const uint16_t *below;
        int r;

        memset(b->best, 0xff, n_columns * sizeof(*b->best));
        memset(b->row, 0, n_columns * sizeof(*b->row));

        for (size_t i = 0; i < n; i++) {
                uint32_t entry = prefixes[i].entry;

                for (size_t s = b->columns.first_spans[entry];
                        s < b->columns.first_spans[entry + 1]; s++) {
                        const ServiceSpan *span = &b->columns.spans[s];
                        uint64_t precedence = b->precedences[entry + 1] |
                                (uint64_t)span->penalty << PRECEDENCE_SERVICE;

                        for (uint32_t c = span->first; c <= span->last; c++)
                                if (precedence < b->best[c]) {
                                        b->best[c] = precedence;
                                        b->row[c] = entry + 1;
                                }
                }
        }

        below = intern_get(&b->rows, parent);
        for (uint32_t c = 0; c < n_columns; c++)
                if (b->best[c] >> PRECEDENCE_OUTER > b->precedences[below[c]] >> PRECEDENCE_OUTER ||
                        b->row[c] == 0)
                        b->row[c] = below[c];

        r = intern_add(&b->rows, b->row, ret_row);
        if (r < 0)
                return r;
        if (b->rows.n_blobs * n_columns > GRID_CELLS_MAX)
                return grid_fail(
                        b->reterr_failure, "cells", b->rows.n_blobs * n_columns, GRID_CELLS_MAX);
        return 0;
}

/* As row_builder_lay(), computed once for equal lists of entries over equal rows: a rule with thousands
 * of peers costs one row. */
static int row_builder_step(
        RowBuilder *b, uint32_t parent, const Prefix *prefixes, size_t n, uint32_t *ret_row) {
        uint32_t set = UINT32_MAX, step;
        int r;

        for (size_t i = 0; i < n; i++) {
                r = intern_add(&b->sets, (uint32_t[]){ set, prefixes[i].entry }, &set);
                if (r < 0)
                        return r;
        }

        r = intern_add(&b->steps, (uint32_t[]){ parent, set }, &step);
        if (r < 0)
                return r;
        if (r > 0) {
                if (step >= b->n_step_rows) {
                        size_t n_rows = MAX(b->n_step_rows * 2, 16U);
                        uint32_t *rows = reallocarray(b->step_rows, n_rows, sizeof(*rows));

                        if (!rows)
                                return -ENOMEM;
                        b->step_rows = rows;
                        b->n_step_rows = n_rows;
                }
                r = row_builder_lay(b, parent, prefixes, n, &b->step_rows[step]);
                if (r < 0)
                        return r;
        }

        *ret_row = b->step_rows[step];
        return 0;
}

/* What covers the present address, outermost first. */
typedef struct Cover {
        GridKey end;
        uint32_t row;
} Cover;

static int sweep(RowBuilder *b, const PrefixList *list, GridAxis *axis) {
        Cover covers[1 + 129] = { { .end = { UINT64_MAX, UINT64_MAX } } };
        const GridKey last = { UINT64_MAX, UINT64_MAX };
        size_t depth = 0, i = 0;
        int r;

        r = grid_axis_add(axis, (GridKey){}, 0);
        if (r < 0)
                return r;

        for (;;) {
                const Prefix *p = i < list->n_prefixes ? &list->prefixes[i] : NULL;
                size_t n = 1;

                while (depth > 0 && (!p || grid_key_compare(covers[depth].end, p->start) < 0)) {
                        GridKey end = covers[depth--].end;

                        if (grid_key_compare(end, last) == 0)
                                continue;
                        end.lo++;
                        end.hi += end.lo == 0;
                        r = grid_axis_add(axis, end, covers[depth].row);
                        if (r < 0)
                                return r;
                }
                if (!p)
                        return 0;

                while (i + n < list->n_prefixes && p[n].bits == p->bits &&
                        grid_key_compare(p[n].start, p->start) == 0)
                        n++;

                covers[depth + 1].end = grid_key_end(p->start, p->bits);
                r = row_builder_step(b, covers[depth].row, p, n, &covers[depth + 1].row);
                if (r < 0)
                        return r;
                depth++;
                r = grid_axis_add(axis, p->start, covers[depth].row);
                if (r < 0)
                        return r;
                i += n;
        }
}

static int grid_fill_verdicts(Grid *grid, const PolicyCompileInput *input, unsigned view) {
        const PolicyStack *stack = input->stack;
        bool out = view == CGP_VIEW_OUT;
        PolicyDefault d = out ? stack->default_out : stack->default_in;

        grid->n_verdicts = stack->n_entries + 1;
        grid->verdicts = calloc(grid->n_verdicts, sizeof(*grid->verdicts));
        if (!grid->verdicts)
                return -ENOMEM;

        grid->verdicts[0] = (struct cgp_verdict){
                .counter = out ? input->counter_default_out : input->counter_default_in,
                .rule = out ? CGP_RULE_DEFAULT_OUT : CGP_RULE_DEFAULT_IN,
                .action = d == POLICY_DEFAULT_ALLOW ? CGP_ACTION_ALLOW : CGP_ACTION_DENY,
        };
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyEntry *e = &stack->entries[i];

                grid->verdicts[i + 1] = (struct cgp_verdict){
                        .counter = e->counter,
                        .rule = e->number,
                        .action = e->rule->verdict == POLICY_ALLOW ? CGP_ACTION_ALLOW
                                : e->rule->verdict == POLICY_NEVER ? CGP_ACTION_NEVER
                                                                   : CGP_ACTION_DENY,
                };
        }
        return 0;
}

void grid_done(Grid *grid) {
        for (size_t i = 0; i < _GRID_AXIS_MAX; i++)
                grid_axis_done(&grid->axes[i]);
        free(grid->cells);
        free(grid->verdicts);
        *grid = (Grid){};
}

int grid_init(Grid *grid, const PolicyCompileInput *input, unsigned view,
        PolicyCompileFailure *reterr_failure) {
        _cleanup_(grid_done) Grid g = {};
        _cleanup_(row_builder_done) RowBuilder builder = { .reterr_failure = reterr_failure };
        int r;

        assert(input->stack->n_entries <= CGP_MAX_RULES);

        r = row_builder_init(&builder, input->stack, view);
        if (r < 0)
                return r;

        for (unsigned axis = GRID_IPV4; axis <= GRID_IPV6; axis++) {
                _cleanup_(prefix_list_done) PrefixList list = {};

                r = prefix_list_init(&list, input->stack, view, axis, reterr_failure);
                if (r < 0)
                        return r;
                r = sweep(&builder, &list, &g.axes[axis]);
                if (r < 0)
                        return r;
        }

        r = grid_fill_verdicts(&g, input, view);
        if (r < 0)
                return r;

        g.axes[GRID_SERVICE] = TAKE_GENERIC(builder.columns.axis, GridAxis, (GridAxis){});
        g.n_rows = builder.rows.n_blobs;
        g.n_columns = builder.columns.n_columns;
        g.cells = (uint16_t *)(void *)TAKE_PTR(builder.rows.blobs);

        *grid = TAKE_GENERIC(g, Grid, (Grid){});
        return 0;
}
