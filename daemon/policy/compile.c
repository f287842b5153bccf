/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From stacks to images, and how two of them relate. Each view becomes a grid (compile-grid), two
 * grids are laid over each other where two stacks meet (compile-joint), and grids become tables
 * (compile-tables).
 */
#include "policy/compile.h"

#include <errno.h>

#include "policy/compile-joint.h"
#include "policy/compile-tables.h"
#include "util/macro.h"

static uint32_t mode_to_abi(PolicyMode mode) {
        switch (mode) {
        case POLICY_MODE_AUDIT:
                return CGP_MODE_AUDIT;
        case POLICY_MODE_OFF:
                return CGP_MODE_OFF;
        case POLICY_MODE_ENFORCE:
        case POLICY_MODE_UNSET:
        case _POLICY_MODE_MAX:
                break;
        }
        return CGP_MODE_ENFORCE;
}

static bool stack_refuses(const PolicyStack *stack, unsigned direction) {
        PolicyDefault d =
                direction == POLICY_DIRECTION_OUT ? stack->default_out : stack->default_in;

        if (d != POLICY_DEFAULT_ALLOW)
                return true;
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (rule->directions & direction && rule->verdict != POLICY_ALLOW)
                        return true;
        }
        return false;
}

/* A packet that cannot be judged by its bytes might be any packet: it passes only where every one
 * would. */
static struct cgp_verdict unparsable(const PolicyCompileInput *input, unsigned direction) {
        bool out = direction == POLICY_DIRECTION_OUT;

        return (struct cgp_verdict){
                .counter = out ? input->counter_unparsable_out : input->counter_unparsable_in,
                .rule = out ? CGP_RULE_UNPARSABLE_OUT : CGP_RULE_UNPARSABLE_IN,
                .action =
                        stack_refuses(input->stack, direction) ? CGP_ACTION_DENY : CGP_ACTION_ALLOW,
        };
}

static struct cgp_config config_of(const PolicyCompileInput *input) {
        return (struct cgp_config){
                .subject = input->subject,
                .generation = input->generation,
                .mode = mode_to_abi(input->stack->mode),
                .refusal = policy_errno_to_errno(input->stack->refusal),
                .unparsable_out = unparsable(input, POLICY_DIRECTION_OUT),
                .unparsable_in = unparsable(input, POLICY_DIRECTION_IN),
                .control = {
                        .counter = input->counter_control,
                        .rule = CGP_RULE_CONTROL,
                        .action = CGP_ACTION_ALLOW,
                },
                .broken = {
                        .counter = input->counter_broken,
                        .rule = CGP_RULE_BROKEN,
                        .action = CGP_ACTION_DENY,
                },
        };
}

/* What the places and sets of an image mean, by the last of the sources that has any: it is `to`,
 * where there are two. What does not depend on them does not name them. */
static void config_set_host(struct cgp_config *config, const Tables *tables,
        const GridSource *sources, size_t n_sources) {
        for (size_t i = 0; i < n_sources; i++) {
                const GridSource *source = &sources[i];

                if (tables->n_places > 1 && source->n_places > 1) {
                        config->host_netns = source->numbering->netns;
                        config->interfaces_version = source->numbering->interfaces_version;
                }
                if (tables_ask_sets(tables) && source->sets) {
                        config->set_slot = source->sets->set_slot;
                        config->set_hash = source->sets->set->hash;
                }
        }
}

static size_t size_max(const PolicyCompileInput *input) {
        return input->table_size_max > 0 ? MIN(input->table_size_max, (size_t)CGP_MAX_TABLE_SIZE)
                                         : CGP_MAX_TABLE_SIZE;
}

static int compile_view(Tables *tables, const GridSource *source, unsigned view) {
        _cleanup_(grid_space_done) GridSpace space = {};
        _cleanup_(grid_done) Grid grid = {};
        int r;

        r = grid_space_init(&space, source, 1, view, tables->reterr_failure);
        if (r < 0)
                return r;
        r = grid_init(&grid, &space, source, view);
        if (r < 0)
                return r;
        return tables_add_view(tables, view, &grid, &space, source);
}

int policy_compile(
        const PolicyCompileInput *input, PolicyCompileFailure *reterr_failure, PolicyImage **ret) {
        _cleanup_(tables_done) Tables tables = TABLES_INIT(size_max(input), reterr_failure);
        _cleanup_(grid_source_done) GridSource source = {};
        struct cgp_config config = config_of(input);
        int r;

        r = grid_source_init(&source, input, NULL, 0, reterr_failure);
        if (r < 0)
                return r;
        tables.n_places = source.n_places;

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                unsigned alias = grid_view_alias(input->stack, view);

                if (alias != view) {
                        tables_alias_view(&tables, view, alias);
                        continue;
                }
                r = compile_view(&tables, &source, view);
                if (r < 0)
                        return r;
        }
        config_set_host(&config, &tables, &source, 1);
        return tables_to_image(&tables, &config, ret);
}

/* Two inputs, to be laid over each other. */
typedef struct Pair {
        GridSource sources[2]; /* from, to */
        PolicyCompileFailure *reterr_failure;
} Pair;

static void pair_done(Pair *pair) {
        grid_source_done(&pair->sources[0]);
        grid_source_done(&pair->sources[1]);
}

static int pair_init(Pair *pair, const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure) {
        int r;

        pair->reterr_failure = reterr_failure;
        r = grid_source_init(&pair->sources[0], from, to, 0, reterr_failure);
        if (r < 0)
                return r;
        return grid_source_init(&pair->sources[1], to, NULL, 1, reterr_failure);
}

static bool pair_shares_sets(const Pair *pair) {
        return grid_sources_share_sets(&pair->sources[0], &pair->sources[1]);
}

static bool pair_shares_places(const Pair *pair) {
        return grid_sources_share_places(&pair->sources[0], &pair->sources[1]);
}

static unsigned pair_view_alias(const Pair *pair, unsigned view) {
        return MAX(grid_view_alias(pair->sources[0].stack, view),
                grid_view_alias(pair->sources[1].stack, view));
}

/* Lays the grids of a view over each other. What both ask the set map or the place for must mean
 * the same, else `from` is judged by its strictest. */
static int pair_join(const Pair *pair, GridSpace *space, unsigned view, LineOp *op, Grid *ret) {
        _cleanup_(grid_done) Grid from = {}, to = {};
        int r;

        r = grid_space_init(space, pair->sources, 2, view, pair->reterr_failure);
        if (r < 0)
                return r;
        r = grid_init(&from, space, &pair->sources[0], view);
        if (r < 0)
                return r;
        r = grid_collapse(&from, space, !pair_shares_sets(pair), !pair_shares_places(pair),
                pair->reterr_failure);
        if (r < 0)
                return r;
        r = grid_init(&to, space, &pair->sources[1], view);
        if (r < 0)
                return r;
        return grid_join(&from, &to, space, op, pair->reterr_failure, ret);
}

typedef struct Comparison {
        PolicyMode from_mode;
        PolicyMode to_mode;
        unsigned difference;
} Comparison;

static uint64_t compare_decisions(void *userdata, uint64_t from, uint64_t to) {
        Comparison *c = userdata;

        c->difference |= action_difference(
                decision_action(from), c->from_mode, decision_action(to), c->to_mode);
        return 0;
}

static PolicyChange difference_to_change(unsigned difference) {
        switch (difference) {
        case 0:
                return POLICY_CHANGE_NONE;
        case DIFFERENCE_LOOSER:
                return POLICY_CHANGE_LOOSEN;
        case DIFFERENCE_TIGHTER:
                return POLICY_CHANGE_TIGHTEN;
        default:
                return POLICY_CHANGE_MIXED;
        }
}

static bool input_enforces(const PolicyCompileInput *input) {
        return mode_to_abi(input->stack->mode) == CGP_MODE_ENFORCE;
}

int policy_compare(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyChange *ret) {
        _cleanup_(pair_done) Pair pair = {};
        struct cgp_config a = config_of(from), b = config_of(to);
        Comparison c = { .from_mode = from->stack->mode, .to_mode = to->stack->mode };
        int r;

        r = pair_init(&pair, from, to, reterr_failure);
        if (r < 0)
                return r;

        c.difference = action_difference(a.unparsable_out.action, c.from_mode,
                               b.unparsable_out.action, c.to_mode) |
                action_difference(
                        a.unparsable_in.action, c.from_mode, b.unparsable_in.action, c.to_mode);

        /* What one address or place of the one side is on the other nobody knows. */
        if ((input_enforces(from) || input_enforces(to)) &&
                (!pair_shares_sets(&pair) || !pair_shares_places(&pair))) {
                *ret = POLICY_CHANGE_MIXED;
                return 0;
        }

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                _cleanup_(grid_space_done) GridSpace space = {};
                _cleanup_(line_op_done) LineOp op = LINE_OP_INIT(compare_decisions, &c);
                _cleanup_(grid_done) Grid grid = {};

                if (pair_view_alias(&pair, view) != view)
                        continue;
                r = pair_join(&pair, &space, view, &op, &grid);
                if (r < 0)
                        return r;
        }
        *ret = difference_to_change(c.difference);
        return 0;
}

/* The decision that refuses what either side refuses. It is that of `to` if both refuse or neither
 * does, and a NEVER of either side stays one. */
static uint64_t intersect_decisions(void *userdata, uint64_t from, uint64_t to) {
        const Comparison *c = userdata;
        unsigned from_strictness = action_strictness(decision_action(from), c->from_mode);
        unsigned to_strictness = action_strictness(decision_action(to), c->to_mode);
        bool only_from = from_strictness != STRICTNESS_PASS && to_strictness == STRICTNESS_PASS;
        uint64_t decision = only_from ? from : to;

        return decision_make(strictness_action(MAX(from_strictness, to_strictness)),
                decision_side(decision), decision_entry_plus_one(decision));
}

static void intersect_unparsable(
        struct cgp_verdict *verdict, unsigned from_action, const Comparison *c) {
        unsigned strictness = MAX(action_strictness(from_action, c->from_mode),
                action_strictness(verdict->action, c->to_mode));

        verdict->action = strictness_action(strictness);
}

static int intersect_view(Tables *tables, const Pair *pair, unsigned view, Comparison *c) {
        _cleanup_(line_op_done) LineOp op = LINE_OP_INIT(intersect_decisions, c);
        _cleanup_(grid_space_done) GridSpace space = {};
        _cleanup_(grid_done) Grid grid = {};
        int r;

        r = pair_join(pair, &space, view, &op, &grid);
        if (r < 0)
                return r;
        return tables_add_view(tables, view, &grid, &space, pair->sources);
}

int policy_compile_intersection(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyImage **ret) {
        _cleanup_(tables_done) Tables tables = TABLES_INIT(size_max(to), reterr_failure);
        _cleanup_(pair_done) Pair pair = {};
        Comparison c = { .from_mode = from->stack->mode, .to_mode = to->stack->mode };
        PolicyCompileInput renamed = *to;
        struct cgp_config config, other;
        int r;

        /* Neither refuses anything: `to` as it is also reports what it would refuse. */
        if (!input_enforces(from) && !input_enforces(to))
                return policy_compile(to, reterr_failure, ret);

        renamed.stack = from->stack;
        renamed.host = from->host;
        r = pair_init(&pair, &renamed, to, reterr_failure);
        if (r < 0)
                return r;
        tables.n_places = pair_shares_places(&pair)
                ? MAX(pair.sources[0].n_places, pair.sources[1].n_places)
                : pair.sources[1].n_places;

        other = config_of(&renamed);
        config = config_of(to);
        config.mode = CGP_MODE_ENFORCE;
        intersect_unparsable(&config.unparsable_out, other.unparsable_out.action, &c);
        intersect_unparsable(&config.unparsable_in, other.unparsable_in.action, &c);

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                unsigned alias = pair_view_alias(&pair, view);

                if (alias != view) {
                        tables_alias_view(&tables, view, alias);
                        continue;
                }
                r = intersect_view(&tables, &pair, view, &c);
                if (r < 0)
                        return r;
        }
        config_set_host(&config, &tables, pair.sources, ELEMENTSOF(pair.sources));
        return tables_to_image(&tables, &config, ret);
}
