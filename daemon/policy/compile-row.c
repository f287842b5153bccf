/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settles precedence. Who decides for an address is the least of what all its prefixes say, column
 * by column. Prefixes are swept in address order with a stack of those that cover the present
 * address; a row is its parent's with one more prefix laid over it, computed once for equal ones: a
 * rule with thousands of peers costs one row.
 */
#include "policy/compile-row.h"

#include <errno.h>

#include "util/macro.h"

void rows_done(Rows *rows) {
        line_op_done(&rows->least);
        intern_done(&rows->elements);
        free(rows->element_lines);
        intern_done(&rows->chains);
        intern_done(&rows->steps);
        free(rows->step_rows);
        free(rows->row_lines);
}

int rows_init(Rows *rows, const GridSource *source, GridSpace *space, const Peers *peers) {
        _cleanup_(rows_done) Rows b = {
                .source = source,
                .lines = &space->lines,
                .columns = &space->columns,
                .peers = peers,
                .least = LINE_OP_LEAST,
                .elements = INTERN_INIT(sizeof(RowElement)),
                .chains = INTERN_INIT(2 * sizeof(uint32_t)),
                .steps = INTERN_INIT(2 * sizeof(uint32_t)),
                .n_rows = 1,
        };
        int r;

        r = compile_reserve(&b.row_lines, &b.n_row_lines, source->n_layers, sizeof(*b.row_lines));
        if (r < 0)
                return r;
        for (uint32_t l = 0; l < source->n_layers; l++)
                b.row_lines[l] = lines_none(b.lines);

        *rows = TAKE_GENERIC(b, Rows, (Rows){});
        return 0;
}

static uint64_t entry_precedence(
        const GridSource *source, uint16_t entry, uint32_t length, bool named) {
        const PolicyEntry *e = &source->stack->entries[entry];

        assert(e->rank < PRECEDENCE_RANK_MAX);
        return (e->rule->verdict == POLICY_NEVER ? 0 : PRECEDENCE_NOT_NEVER) |
                (uint64_t)e->rank << PRECEDENCE_RANK |
                (uint64_t)(255 - length) << PRECEDENCE_LENGTH | (named ? 0 : PRECEDENCE_NOT_NAMED) |
                (e->rule->verdict == POLICY_ALLOW ? PRECEDENCE_ALLOW : 0) |
                source->positions[entry];
}

/* The entry's services, laid over a line. */
static int rows_lay_entry(Rows *rows, uint16_t entry, uint32_t length, bool named, Line *line) {
        const PolicyRule *rule = rows->source->stack->entries[entry].rule;
        uint64_t precedence = entry_precedence(rows->source, entry, length, named);
        ServiceSpan spans[SERVICE_LISTS];
        int r;

        for (size_t i = 0; i < rule->n_services; i++) {
                size_t n = service_columns_spans(rows->columns, &rule->services[i], spans);

                for (size_t k = 0; k < n; k++) {
                        Line span;

                        r = lines_span(rows->lines, spans[k].first, spans[k].last,
                                precedence | (uint64_t)spans[k].penalty << PRECEDENCE_SERVICE,
                                &span);
                        if (r < 0)
                                return r;
                        r = lines_apply(rows->lines, &rows->least, *line, span, line);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Does the entry hold in this layer, and as one that names an interface? Elsewhere nobody knows the
 * interface or whose networks these are: what would allow does not, what would refuse does. */
static bool entry_holds(
        const GridSource *source, uint16_t entry, bool lan, uint32_t layer, bool *ret_named) {
        const PolicyRule *rule = source->stack->entries[entry].rule;

        *ret_named = rule->via && layer != LAYER_ELSEWHERE;
        if (source->n_places == 1)
                return true;
        if (layer == LAYER_ELSEWHERE)
                return rule->verdict != POLICY_ALLOW || (!rule->via && !lan);
        return !rule->via || source->via_layers[entry] >> layer & 1;
}

static int rows_element_lines(Rows *rows, RowElement element, Line *lines) {
        const GridSource *source = rows->source;
        bool lan = element.group == peers_named_group(rows->peers, PEERS_LAN), placed = lan;
        size_t n = 0;
        const uint16_t *entries = peers_group(rows->peers, element.group, &n);
        int r;

        for (size_t i = 0; i < n; i++)
                placed = placed ||
                        source->stack->entries[entries ? entries[i] : element.group].rule->via;

        for (uint32_t layer = 0; layer < source->n_layers; layer++) {
                if (layer > 0 && !placed) {
                        lines[layer] = lines[0];
                        continue;
                }
                lines[layer] = lines_none(rows->lines);
                for (size_t i = 0; i < n; i++) {
                        uint16_t entry = entries ? entries[i] : element.group;
                        bool named = false;

                        if (!entry_holds(source, entry, lan, layer, &named))
                                continue;
                        r = rows_lay_entry(rows, entry, element.length, named, &lines[layer]);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int rows_chain(Rows *rows, uint32_t *chain, RowElement element) {
        uint32_t n_layers = rows->source->n_layers, i;
        int r;

        r = intern_add(&rows->elements, &element, &i);
        if (r < 0)
                return r;
        if (r > 0) {
                r = compile_reserve(&rows->element_lines, &rows->n_element_lines,
                        (i + (size_t)1) * n_layers, sizeof(*rows->element_lines));
                if (r < 0)
                        return r;
                r = rows_element_lines(rows, element, rows->element_lines + (size_t)i * n_layers);
                if (r < 0)
                        return lines_fail(r, rows->source->reterr_failure);
        }

        r = intern_add(&rows->chains, (uint32_t[]){ *chain, i }, chain);
        return r < 0 ? r : 0;
}

/* Lays the elements of the chain over the row that was added last. */
static int rows_lay_chain(Rows *rows, uint32_t chain) {
        uint32_t n_layers = rows->source->n_layers;
        Line *lines = rows->row_lines + (size_t)(rows->n_rows - 1) * n_layers;
        int r;

        while (chain != ROWS_NO_CHAIN) {
                const uint32_t *link = intern_get(&rows->chains, chain);
                const Line *element = rows->element_lines + (size_t)link[1] * n_layers;

                for (uint32_t l = 0; l < n_layers; l++) {
                        r = lines_apply(rows->lines, &rows->least, lines[l], element[l], &lines[l]);
                        if (r < 0)
                                return lines_fail(r, rows->source->reterr_failure);
                }
                chain = link[0];
        }
        return 0;
}

int rows_step(Rows *rows, uint32_t row, uint32_t chain, uint32_t *ret_row) {
        size_t n_layers = rows->source->n_layers;
        uint32_t step;
        int r;

        r = intern_add(&rows->steps, (uint32_t[]){ row, chain }, &step);
        if (r < 0)
                return r;
        if (r > 0) {
                if ((rows->n_rows + 1) * n_layers > GRID_LINES_MAX)
                        return compile_fail(rows->source->reterr_failure, "cells",
                                (rows->n_rows + 1) * n_layers, GRID_LINES_MAX);
                r = compile_reserve(&rows->step_rows, &rows->n_step_rows, step + (size_t)1,
                        sizeof(*rows->step_rows));
                if (r < 0)
                        return r;
                r = compile_reserve(&rows->row_lines, &rows->n_row_lines,
                        (rows->n_rows + 1) * n_layers, sizeof(*rows->row_lines));
                if (r < 0)
                        return r;
                memcpy(rows->row_lines + rows->n_rows * n_layers, rows_lines(rows, row),
                        n_layers * sizeof(*rows->row_lines));
                rows->step_rows[step] = rows->n_rows++;
                r = rows_lay_chain(rows, chain);
                if (r < 0)
                        return r;
        }

        *ret_row = rows->step_rows[step];
        return 0;
}

/* What covers the present address, outermost first. */
typedef struct Cover {
        GridKey end;
        uint32_t row;
} Cover;

/* Leaves the covers that end before the prefix. */
static int sweep_leave(const Prefix *prefix, const Cover *covers, size_t *depth, GridAxis *axis) {
        const GridKey last = { UINT64_MAX, UINT64_MAX };
        int r;

        while (*depth > 0 && (!prefix || grid_key_compare(covers[*depth].end, prefix->start) < 0)) {
                GridKey end = covers[(*depth)--].end;

                if (grid_key_compare(end, last) == 0)
                        continue;
                end.lo++;
                end.hi += end.lo == 0;
                r = grid_axis_add(axis, end, covers[*depth].row);
                if (r < 0)
                        return r;
        }
        return 0;
}

int rows_sweep(Rows *rows, unsigned family, GridAxis *axis) {
        Cover covers[1 + 129] = { { .end = { UINT64_MAX, UINT64_MAX } } };
        const Prefix *p = rows->peers->prefixes[family];
        const Prefix *end = p ? p + rows->peers->n_prefixes[family] : p;
        size_t depth = 0;
        int r;

        r = grid_axis_add(axis, (GridKey){}, 0);
        if (r < 0)
                return r;

        while (p < end) {
                const Prefix *next = p;
                uint32_t chain = ROWS_NO_CHAIN;

                r = sweep_leave(p, covers, &depth, axis);
                if (r < 0)
                        return r;
                for (; next < end && next->bits == p->bits &&
                        grid_key_compare(next->start, p->start) == 0;
                        next++) {
                        r = rows_chain(rows, &chain, (RowElement){ next->group, next->length });
                        if (r < 0)
                                return r;
                }

                covers[depth + 1].end = grid_key_end(p->start, p->bits);
                r = rows_step(rows, covers[depth].row, chain, &covers[depth + 1].row);
                if (r < 0)
                        return r;
                depth++;
                r = grid_axis_add(axis, p->start, covers[depth].row);
                if (r < 0)
                        return r;
                p = next;
        }
        return sweep_leave(NULL, covers, &depth, axis);
}
