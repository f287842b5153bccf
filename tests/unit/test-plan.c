/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which hooks are switched: after every single step what passes is within the old policy or
 * within the new one, whatever hooks a conversation meets. */
#include "core/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

static const PolicyChange changes[] = { POLICY_CHANGE_NONE, POLICY_CHANGE_LOOSEN,
        POLICY_CHANGE_TIGHTEN, POLICY_CHANGE_MIXED };

static void test_every_hook_ends_with_the_new_image(void **state) {
        for (size_t c = 0; c < ELEMENTSOF(changes); c++) {
                PlanStep steps[PLAN_STEPS_MAX];
                size_t n = plan_publish(changes[c], steps);
                unsigned n_final[CGP_N_HOOKS] = { 0 }, n_between[CGP_N_HOOKS] = { 0 };

                assert_true(n <= PLAN_STEPS_MAX);
                for (size_t i = 0; i < n; i++) {
                        assert_in_range(steps[i].hook, 0, CGP_N_HOOKS - 1);
                        if (steps[i].intersection) {
                                /* All of them before any carries the new one. */
                                assert_int_equal(n_final[steps[i].hook], 0);
                                n_between[steps[i].hook]++;
                        } else
                                n_final[steps[i].hook]++;
                }
                for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                        assert_int_equal(n_final[hook], 1);
                        assert_int_equal(
                                n_between[hook], changes[c] == POLICY_CHANGE_MIXED ? 1 : 0);
                }
        }
}

/* Policies as sets of conversations, which are bits; hooks as what they let pass. */
typedef struct Example {
        PolicyChange change;
        uint8_t before;
        uint8_t after;
} Example;

static void test_no_moment_is_wider_than_both(void **state) {
        static const Example examples[] = {
                { POLICY_CHANGE_NONE, 0x3c, 0x3c },
                { POLICY_CHANGE_LOOSEN, 0x0c, 0x3c },
                { POLICY_CHANGE_TIGHTEN, 0x3c, 0x0c },
                { POLICY_CHANGE_MIXED, 0x0f, 0x3c },
        };

        for (size_t e = 0; e < ELEMENTSOF(examples); e++) {
                const Example *x = &examples[e];
                uint8_t carried[CGP_N_HOOKS];
                PlanStep steps[PLAN_STEPS_MAX];
                size_t n = plan_publish(x->change, steps);

                memset(carried, x->before, sizeof(carried));
                for (size_t i = 0; i < n; i++) {
                        uint8_t passes = 0;

                        carried[steps[i].hook] =
                                steps[i].intersection ? x->before & x->after : x->after;
                        /* Some meet one hook only, so each counts. */
                        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                                passes |= carried[hook];
                        if ((passes & ~x->before) && (passes & ~x->after))
                                fail_msg("change %d, step %zu: %#x passes", x->change, i, passes);
                }
                for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                        assert_int_equal(carried[hook], x->after);
        }
}

static size_t position(const PlanStep *steps, size_t n, unsigned hook) {
        for (size_t i = 0; i < n; i++)
                if (steps[i].hook == hook && !steps[i].intersection)
                        return i;
        fail();
        return 0;
}

/* Nobody is told yes by a system call and then left to a silent drop. */
static void test_refused_by_errno_first(void **state) {
        static const unsigned calls[] = { CGP_HOOK_CONNECT4, CGP_HOOK_CONNECT6, CGP_HOOK_SENDMSG4,
                CGP_HOOK_SENDMSG6 };
        static const unsigned packets[] = { CGP_HOOK_EGRESS, CGP_HOOK_INGRESS };
        PlanStep loosen[PLAN_STEPS_MAX], tighten[PLAN_STEPS_MAX];
        size_t n_loosen = plan_publish(POLICY_CHANGE_LOOSEN, loosen);
        size_t n_tighten = plan_publish(POLICY_CHANGE_TIGHTEN, tighten);

        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                for (size_t k = 0; k < ELEMENTSOF(packets); k++) {
                        assert_true(position(loosen, n_loosen, packets[k]) <
                                position(loosen, n_loosen, calls[i]));
                        assert_true(position(tighten, n_tighten, calls[i]) <
                                position(tighten, n_tighten, packets[k]));
                }
        /* Who made a socket must be known before its first packet. */
        assert_true(position(tighten, n_tighten, CGP_HOOK_SOCK_CREATE) == 0);
}

static void test_reverse(void **state) {
        assert_int_equal(plan_reverse(POLICY_CHANGE_LOOSEN), POLICY_CHANGE_TIGHTEN);
        assert_int_equal(plan_reverse(POLICY_CHANGE_TIGHTEN), POLICY_CHANGE_LOOSEN);
        assert_int_equal(plan_reverse(POLICY_CHANGE_MIXED), POLICY_CHANGE_MIXED);
        assert_int_equal(plan_reverse(POLICY_CHANGE_NONE), POLICY_CHANGE_NONE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_hook_ends_with_the_new_image),
                cmocka_unit_test(test_no_moment_is_wider_than_both),
                cmocka_unit_test(test_refused_by_errno_first),
                cmocka_unit_test(test_reverse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
