/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/plan.h"

/* The numbers of the hooks are the tightening order, see cgp-abi.h. */
static size_t plan_tighten(PlanStep *steps, bool intersection) {
        for (unsigned i = 0; i < CGP_N_HOOKS; i++)
                steps[i] = (PlanStep){ .hook = i, .intersection = intersection };
        return CGP_N_HOOKS;
}

static size_t plan_loosen(PlanStep *steps) {
        for (unsigned i = 0; i < CGP_N_HOOKS; i++)
                steps[i] = (PlanStep){ .hook = CGP_N_HOOKS - 1 - i };
        return CGP_N_HOOKS;
}

size_t plan_publish(PolicyChange change, PlanStep steps[PLAN_STEPS_MAX]) {
        size_t n = 0;

        switch (change) {
        case POLICY_CHANGE_NONE:
        case POLICY_CHANGE_TIGHTEN:
                return plan_tighten(steps, /* intersection= */ false);
        case POLICY_CHANGE_LOOSEN:
                return plan_loosen(steps);
        case POLICY_CHANGE_MIXED:
                n = plan_tighten(steps, /* intersection= */ true);
                return n + plan_loosen(steps + n);
        }
        return plan_tighten(steps, /* intersection= */ false);
}

PolicyChange plan_reverse(PolicyChange change) {
        switch (change) {
        case POLICY_CHANGE_LOOSEN:
                return POLICY_CHANGE_TIGHTEN;
        case POLICY_CHANGE_TIGHTEN:
                return POLICY_CHANGE_LOOSEN;
        case POLICY_CHANGE_NONE:
        case POLICY_CHANGE_MIXED:
                break;
        }
        return change;
}
