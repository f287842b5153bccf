/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From who decides to what is decided: rows of all addresses and combinations of sets, with the
 * layers that follow from others; what no decision tells apart becomes one row or class.
 */
#include "policy/compile-grid.h"

#include <errno.h>

#include "policy/compile-row.h"
#include "util/macro.h"

#define UNSEEN UINT32_MAX

void grid_axis_done(GridAxis *axis) {
        free(axis->breaks);
        *axis = (GridAxis){};
}

int grid_axis_add(GridAxis *axis, GridKey start, uint32_t row) {
        GridBreak *last = axis->n_breaks > 0 ? &axis->breaks[axis->n_breaks - 1] : NULL;
        int r;

        if (last && grid_key_compare(last->start, start) == 0) {
                axis->n_breaks--;
                last = axis->n_breaks > 0 ? last - 1 : NULL;
        }
        if (last && last->row == row)
                return 0;

        r = compile_reserve(
                &axis->breaks, &axis->n_allocated, axis->n_breaks + 1, sizeof(*axis->breaks));
        if (r < 0)
                return r;
        axis->breaks[axis->n_breaks++] = (GridBreak){ start, row };
        return 0;
}

int lines_fail(int r, PolicyCompileFailure *reterr_failure) {
        if (r != -E2BIG)
                return r;
        return compile_fail(reterr_failure, "cells", (size_t)LINE_NODES_MAX * LINE_FAN + 1,
                (size_t)LINE_NODES_MAX * LINE_FAN);
}

unsigned grid_view_direction(unsigned view) {
        switch (view) {
        case CGP_VIEW_OUT:
                return POLICY_DIRECTION_OUT;
        case CGP_VIEW_BIND:
                return POLICY_DIRECTION_BIND;
        default:
                return POLICY_DIRECTION_IN;
        }
}

static bool stack_has_in_peer(const PolicyStack *stack, PolicyPeerType type) {
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & POLICY_DIRECTION_IN))
                        continue;
                for (size_t k = 0; k < rule->n_peers; k++)
                        if (rule->peers[k].type == type)
                                return true;
        }
        return false;
}

unsigned grid_view_alias(const PolicyStack *stack, unsigned view) {
        if (view == CGP_VIEW_IN_MULTICAST && !stack_has_in_peer(stack, POLICY_PEER_MULTICAST))
                return CGP_VIEW_IN;
        if (view == CGP_VIEW_IN_BROADCAST && !stack_has_in_peer(stack, POLICY_PEER_BROADCAST))
                return CGP_VIEW_IN;
        return view;
}

void grid_space_done(GridSpace *space) {
        service_columns_done(&space->columns);
        lines_done(&space->lines);
}

int grid_space_init(GridSpace *space, const GridSource *sources, size_t n_sources, unsigned view,
        PolicyCompileFailure *reterr_failure) {
        _cleanup_(grid_space_done) GridSpace s = {};
        int r;

        r = service_columns_init(
                &s.columns, sources, n_sources, grid_view_direction(view), reterr_failure);
        if (r < 0)
                return r;
        r = lines_init(&s.lines, s.columns.n_columns);
        if (r < 0)
                return r;

        *space = TAKE_GENERIC(s, GridSpace, (GridSpace){});
        return 0;
}

void grid_done(Grid *grid) {
        for (size_t i = 0; i < _GRID_AXIS_MAX; i++)
                grid_axis_done(&grid->axes[i]);
        free(grid->set_classes);
        free(grid->lines);
        *grid = (Grid){};
}

static unsigned verdict_action(PolicyVerdict verdict) {
        switch (verdict) {
        case POLICY_ALLOW:
                return CGP_ACTION_ALLOW;
        case POLICY_NEVER:
                return CGP_ACTION_NEVER;
        case POLICY_DENY:
        case _POLICY_VERDICT_MAX:
                break;
        }
        return CGP_ACTION_DENY;
}

static unsigned default_action(const PolicyStack *stack, unsigned view) {
        switch (grid_view_direction(view)) {
        case POLICY_DIRECTION_OUT:
                return stack->default_out == POLICY_DEFAULT_ALLOW ? CGP_ACTION_ALLOW
                                                                  : CGP_ACTION_DENY;
        case POLICY_DIRECTION_IN:
                return stack->default_in == POLICY_DEFAULT_ALLOW ? CGP_ACTION_ALLOW
                                                                 : CGP_ACTION_DENY;
        default:
                return CGP_ACTION_ALLOW; /* binding a port alone reaches nobody */
        }
}

static struct cgp_verdict default_verdict(const PolicyCompileInput *input, unsigned view) {
        switch (grid_view_direction(view)) {
        case POLICY_DIRECTION_OUT:
                return (struct cgp_verdict){
                        .counter = input->counter_default_out,
                        .rule = CGP_RULE_DEFAULT_OUT,
                };
        case POLICY_DIRECTION_IN:
                return (struct cgp_verdict){
                        .counter = input->counter_default_in,
                        .rule = CGP_RULE_DEFAULT_IN,
                };
        default:
                return (struct cgp_verdict){
                        .counter = input->counter_default_bind,
                        .rule = CGP_RULE_DEFAULT_BIND,
                };
        }
}

struct cgp_verdict grid_verdict(const GridSource *sources, unsigned view, uint64_t decision) {
        const GridSource *source = &sources[decision_side(decision)];
        size_t entry = decision_entry_plus_one(decision);
        struct cgp_verdict verdict = default_verdict(source->input, view);

        if (entry > 0) {
                verdict.counter = source->stack->entries[entry - 1].counter;
                verdict.rule = source->stack->entries[entry - 1].number;
        }
        verdict.action = decision_action(decision);
        return verdict;
}

/* A grid on its way. */
typedef struct GridBuilder {
        Grid *grid;
        GridSpace *space;
        const GridSource *source;
        unsigned view;
        Peers peers;
        Rows rows;
        LineOp decide;
        LineOp mildest;
        uint32_t *class_rows; /* by class: row 0 with its lists laid over it */
        size_t n_class_rows;
        Intern found; /* rows: n_classes * n_layers lines of decisions */
        Line *scratch;
} GridBuilder;

static void grid_builder_done(GridBuilder *b) {
        rows_done(&b->rows);
        peers_done(&b->peers);
        line_op_done(&b->decide);
        line_op_done(&b->mildest);
        free(b->class_rows);
        intern_done(&b->found);
        free(b->scratch);
}

static uint64_t decide(void *userdata, uint64_t precedence, uint64_t same) {
        const GridBuilder *b = userdata;
        const PolicyStack *stack = b->source->stack;
        size_t entry;

        if (precedence == LINE_NONE)
                return decision_make(default_action(stack, b->view), b->source->side, 0);
        entry = b->source->order[precedence & PRECEDENCE_POSITION];
        return decision_make(
                verdict_action(stack->entries[entry].rule->verdict), b->source->side, entry + 1);
}

/* The first of the least strict: actions are numbered by strictness. */
static uint64_t mildest(void *userdata, uint64_t a, uint64_t b) {
        return decision_action(b) < decision_action(a) ? b : a;
}

/* Bits of the lengths that prefixes of the view count as: between two of them lengths of lists
 * matter only as to which is longer. */
static void grid_lengths(const GridBuilder *b, bool lengths[129]) {
        lengths[0] = true;
        for (unsigned family = 0; family < _GRID_AXIS_MAX; family++)
                for (size_t i = 0; i < b->peers.n_prefixes[family]; i++)
                        lengths[b->peers.prefixes[family][i].length] = true;
}

typedef struct ListMatch {
        uint32_t group;
        uint8_t length;
} ListMatch;

/* Replaces each length by the least that compares alike with the lengths of prefixes and the other
 * matches, so that fewer combinations differ. */
static void matches_settle(ListMatch *matches, size_t n, const bool lengths[129]) {
        uint8_t settled[129], next = 0;
        bool used[129] = {};

        for (size_t i = 0; i < n; i++)
                used[matches[i].length] = true;
        for (unsigned length = 0; length <= 128; length++) {
                if (lengths[length])
                        next = length;
                if (lengths[length] || used[length])
                        settled[length] = next++;
        }
        for (size_t i = 0; i < n; i++)
                matches[i].length = settled[matches[i].length];
}

/* The lists of a combination that the policy names, as a chain. */
static int grid_combination(GridBuilder *b, const uint32_t *groups, const bool lengths[129],
        size_t combination, uint32_t *ret_chain) {
        const PolicySet *set = b->source->sets->set;
        ListMatch matches[POLICY_LISTS_MAX];
        uint32_t chain = ROWS_NO_CHAIN;
        size_t n = 0;
        int r;

        for (uint32_t m = set->first[combination]; m < set->first[combination + 1]; m++) {
                const PolicySetMember *member = &set->members[m];

                if (groups[member->list] != UNSEEN && n < ELEMENTSOF(matches))
                        matches[n++] = (ListMatch){ groups[member->list], member->bits };
        }
        matches_settle(matches, n, lengths);
        for (size_t i = 0; i < n; i++) {
                r = rows_chain(
                        &b->rows, &chain, (RowElement){ matches[i].group, matches[i].length });
                if (r < 0)
                        return r;
        }
        *ret_chain = chain;
        return 0;
}

/* By list of the set map: its group, if the view's rules name it. */
static int grid_list_groups(const GridBuilder *b, uint32_t **ret, bool *ret_any) {
        const PolicyHost *sets = b->source->sets;
        _cleanup_free_ uint32_t *groups = calloc(sets->n_lists + 1, sizeof(*groups));
        size_t list = 0;

        if (!groups)
                return -ENOMEM;

        *ret_any = false;
        for (size_t i = 0; i < sets->n_lists; i++) {
                groups[i] = UNSEEN;
                if (!sets->set->names[i])
                        break;
                if (grid_source_list(b->source, sets->set->names[i], &list) < 0 ||
                        b->peers.groups[PEERS_LISTS + list].n_entries == 0)
                        continue;
                groups[i] = peers_named_group(&b->peers, PEERS_LISTS + list);
                *ret_any = true;
        }
        *ret = TAKE_PTR(groups);
        return 0;
}

static int grid_add_class(GridBuilder *b, uint32_t chain) {
        size_t n = b->grid->n_classes;
        int r;

        r = compile_reserve(&b->class_rows, &b->n_class_rows, n + 1, sizeof(*b->class_rows));
        if (r < 0)
                return r;
        r = rows_step(&b->rows, 0, chain, &b->class_rows[n]);
        if (r < 0)
                return r;
        b->grid->n_classes++;
        return 0;
}

static int grid_fill_classes(GridBuilder *b) {
        _cleanup_(intern_done) Intern chains = INTERN_INIT(sizeof(uint32_t));
        _cleanup_free_ uint32_t *groups = NULL;
        Grid *grid = b->grid;
        bool lengths[129] = {}, any = false;
        int r;

        r = grid_add_class(b, ROWS_NO_CHAIN);
        if (r < 0 || !b->source->sets)
                return r;
        r = grid_list_groups(b, &groups, &any);
        if (r < 0 || !any)
                return r;

        grid->n_combinations = b->source->sets->set->n_combinations;
        grid->set_classes = calloc(grid->n_combinations + 1, sizeof(*grid->set_classes));
        if (!grid->set_classes)
                return -ENOMEM;
        grid_lengths(b, lengths);

        for (size_t i = 0; i < grid->n_combinations; i++) {
                uint32_t chain = ROWS_NO_CHAIN, class;

                r = grid_combination(b, groups, lengths, i, &chain);
                if (r < 0)
                        return r;
                if (chain == ROWS_NO_CHAIN)
                        continue;
                r = intern_add(&chains, &chain, &class);
                if (r < 0)
                        return r;
                if (r > 0) {
                        r = grid_add_class(b, chain);
                        if (r < 0)
                                return r;
                }
                grid->set_classes[i] = class + 1;
        }
        return 0;
}

/* The decisions of one row and class, for all layers. */
static int grid_decide(GridBuilder *b, uint32_t row, uint32_t class, Line *decisions) {
        const Line *over = rows_lines(&b->rows, b->class_rows[class]);
        const Line *lines = rows_lines(&b->rows, row);
        int r;

        for (uint32_t l = 0; l < b->grid->n_layers; l++) {
                Line line;

                r = lines_apply(&b->space->lines, &b->rows.least, lines[l], over[l], &line);
                if (r < 0)
                        return r;
                r = lines_apply(&b->space->lines, &b->decide, line, line, &decisions[l]);
                if (r < 0)
                        return r;
        }
        if (b->grid->n_places == 1)
                return 0;

        decisions[LAYER_UNDECIDED] = decisions[LAYER_FIRST];
        for (uint32_t l = LAYER_FIRST + 1; l < b->grid->n_layers; l++) {
                r = lines_apply(&b->space->lines, &b->mildest, decisions[LAYER_UNDECIDED],
                        decisions[l], &decisions[LAYER_UNDECIDED]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int grid_find_row(GridBuilder *b, uint32_t row, uint32_t *ret_row) {
        Grid *grid = b->grid;
        size_t n = (size_t)grid->n_classes * grid->n_layers;
        int r;

        for (uint32_t class = 0; class < grid->n_classes; class ++) {
                r = grid_decide(b, row, class, b->scratch + (size_t) class * grid->n_layers);
                if (r < 0)
                        return lines_fail(r, b->source->reterr_failure);
        }
        r = intern_add(&b->found, b->scratch, ret_row);
        if (r < 0)
                return r;
        if (b->found.n_blobs * n > GRID_LINES_MAX)
                return compile_fail(
                        b->source->reterr_failure, "cells", b->found.n_blobs * n, GRID_LINES_MAX);
        return 0;
}

/* Rows of decisions in the order in which ascending addresses meet them. */
static int grid_fill_rows(GridBuilder *b, const GridAxis axes[_GRID_AXIS_MAX]) {
        _cleanup_(intern_done) Intern distinct = INTERN_INIT(b->grid->n_layers * sizeof(Line));
        _cleanup_free_ uint32_t *found = calloc(b->rows.n_rows, sizeof(*found));
        Grid *grid = b->grid;
        int r;

        b->scratch = calloc((size_t)grid->n_classes * grid->n_layers, sizeof(*b->scratch));
        if (!found || !b->scratch)
                return -ENOMEM;
        b->found = INTERN_INIT((size_t)grid->n_classes * grid->n_layers * sizeof(Line));

        for (unsigned a = 0; a < _GRID_AXIS_MAX; a++)
                for (size_t i = 0; i < axes[a].n_breaks; i++) {
                        uint32_t row;

                        r = intern_add(
                                &distinct, rows_lines(&b->rows, axes[a].breaks[i].row), &row);
                        if (r < 0)
                                return r;
                        if (r > 0) {
                                r = grid_find_row(b, axes[a].breaks[i].row, &found[row]);
                                if (r < 0)
                                        return r;
                        }
                        r = grid_axis_add(&grid->axes[a], axes[a].breaks[i].start, found[row]);
                        if (r < 0)
                                return r;
                }

        grid->n_rows = b->found.n_blobs;
        grid->lines = (Line *)(void *)TAKE_PTR(b->found.blobs);
        return 0;
}

int grid_init(Grid *grid, GridSpace *space, const GridSource *source, unsigned view) {
        _cleanup_(grid_done)
                Grid g = { .n_layers = source->n_layers, .n_places = source->n_places };
        _cleanup_(grid_builder_done) GridBuilder b = {
                .grid = &g,
                .space = space,
                .source = source,
                .view = view,
                .decide = LINE_OP_INIT(decide, &b),
                .mildest = LINE_OP_INIT(mildest, NULL),
        };
        GridAxis axes[_GRID_AXIS_MAX] = {};
        int r;

        memcpy(g.layers, source->layers, sizeof(g.layers));
        r = peers_init(&b.peers, source, view);
        if (r < 0)
                return r;
        r = rows_init(&b.rows, source, space, &b.peers);
        if (r < 0)
                return r;
        for (unsigned a = 0; r >= 0 && a < _GRID_AXIS_MAX; a++)
                r = rows_sweep(&b.rows, a, &axes[a]);
        if (r >= 0)
                r = grid_fill_classes(&b);
        if (r >= 0)
                r = grid_fill_rows(&b, axes);
        for (unsigned a = 0; a < _GRID_AXIS_MAX; a++)
                grid_axis_done(&axes[a]);
        if (r < 0)
                return r;

        *grid = TAKE_GENERIC(g, Grid, (Grid){});
        return 0;
}
