/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From stacks to images, and how two of them relate. Each view becomes a grid (compile-grid), two grids are
 * laid over each other where two stacks meet (compile-joint), and grids become tables (compile-tables).
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

/* A packet that cannot be judged by its bytes might be any packet: it passes only where every one would. */
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

int policy_compile(
        const PolicyCompileInput *input, PolicyCompileFailure *reterr_failure, PolicyImage **ret) {
        _cleanup_(tables_done) Tables tables = TABLES_INIT(reterr_failure);
        struct cgp_config config = config_of(input);
        int r;

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                _cleanup_(grid_done) Grid grid = {};

                if (view == CGP_VIEW_IN_MULTICAST && !grid_stack_has_multicast(input->stack)) {
                        tables_alias_view(&tables, view, CGP_VIEW_IN);
                        continue;
                }
                r = grid_init(&grid, input, view, reterr_failure);
                if (r < 0)
                        return r;
                r = tables_add_view(&tables, view, &grid);
                if (r < 0)
                        return r;
        }
        return tables_to_image(&tables, &config, ret);
}

/* Both grids of one view and what they have in common. The joint points to the grids: it stays where it
 * is. */
typedef struct ViewPair {
        Grid from;
        Grid to;
        Joint joint;
} ViewPair;

static void view_pair_done(ViewPair *pair) {
        joint_done(&pair->joint);
        grid_done(&pair->from);
        grid_done(&pair->to);
}

static int view_pair_init(ViewPair *pair, const PolicyCompileInput *from,
        const PolicyCompileInput *to, unsigned view, PolicyCompileFailure *reterr_failure) {
        int r;

        r = grid_init(&pair->from, from, view, reterr_failure);
        if (r < 0)
                return r;
        r = grid_init(&pair->to, to, view, reterr_failure);
        if (r < 0)
                return r;
        return joint_init(&pair->joint, &pair->from, &pair->to);
}

static bool pair_has_multicast(const PolicyCompileInput *from, const PolicyCompileInput *to) {
        return grid_stack_has_multicast(from->stack) || grid_stack_has_multicast(to->stack);
}

int policy_compare(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyChange *ret) {
        struct cgp_config a = config_of(from), b = config_of(to);
        PolicyMode from_mode = from->stack->mode, to_mode = to->stack->mode;
        unsigned difference;
        int r;

        difference = verdict_difference(&a.unparsable_out, from_mode, &b.unparsable_out, to_mode) |
                verdict_difference(&a.unparsable_in, from_mode, &b.unparsable_in, to_mode);

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                _cleanup_(view_pair_done) ViewPair pair = {};

                if (view == CGP_VIEW_IN_MULTICAST && !pair_has_multicast(from, to))
                        continue;
                r = view_pair_init(&pair, from, to, view, reterr_failure);
                if (r < 0)
                        return r;
                difference |= joint_difference(&pair.joint, from_mode, to_mode);
        }

        switch (difference) {
        case 0:
                *ret = POLICY_CHANGE_NONE;
                break;
        case DIFFERENCE_LOOSER:
                *ret = POLICY_CHANGE_LOOSEN;
                break;
        case DIFFERENCE_TIGHTER:
                *ret = POLICY_CHANGE_TIGHTEN;
                break;
        default:
                *ret = POLICY_CHANGE_MIXED;
                break;
        }
        return 0;
}

static int tables_add_intersection(Tables *tables, const PolicyCompileInput *from,
        const PolicyCompileInput *to, unsigned view) {
        _cleanup_(view_pair_done) ViewPair pair = {};
        _cleanup_(grid_done) Grid grid = {};
        int r;

        r = view_pair_init(&pair, from, to, view, tables->reterr_failure);
        if (r < 0)
                return r;
        r = joint_to_grid(
                &pair.joint, from->stack->mode, to->stack->mode, tables->reterr_failure, &grid);
        if (r < 0)
                return r;
        return tables_add_view(tables, view, &grid);
}

int policy_compile_intersection(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyImage **ret) {
        _cleanup_(tables_done) Tables tables = TABLES_INIT(reterr_failure);
        PolicyMode from_mode = from->stack->mode, to_mode = to->stack->mode;
        PolicyCompileInput renamed = *to;
        struct cgp_config config, other;
        int r;

        /* Neither refuses anything: `to` as it is also reports what it would refuse. */
        if (mode_to_abi(from_mode) != CGP_MODE_ENFORCE && mode_to_abi(to_mode) != CGP_MODE_ENFORCE)
                return policy_compile(to, reterr_failure, ret);

        renamed.stack = from->stack;
        other = config_of(&renamed);
        config = config_of(to);
        config.mode = CGP_MODE_ENFORCE;
        config.unparsable_out = verdict_intersect(
                &other.unparsable_out, from_mode, &config.unparsable_out, to_mode);
        config.unparsable_in =
                verdict_intersect(&other.unparsable_in, from_mode, &config.unparsable_in, to_mode);

        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                if (view == CGP_VIEW_IN_MULTICAST && !pair_has_multicast(from, to)) {
                        tables_alias_view(&tables, view, CGP_VIEW_IN);
                        continue;
                }
                r = tables_add_intersection(&tables, &renamed, to, view);
                if (r < 0)
                        return r;
        }
        return tables_to_image(&tables, &config, ret);
}
