/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel refuses the n-th call, for every n of every request: nothing has changed, and it is told. */
#include "checks.h"
#include "core/manager-internal.h"
#include "requests.h"

static World *prepared(const Request *request) {
        World *w = world_new();

        assert_non_null(w);
        assert_int_equal(world_start(w), 0);
        assert_int_equal(request->prepare(w), 0);
        return w;
}

static void assert_order(World *w, const char *when, unsigned n) {
        _cleanup_free_ char *wrong = world_audit(w);

        if (wrong)
                fail_msg("%s, call %u: %s", when, n, wrong);
}

static void assert_effect(World *w, const RequestEffect *effect, unsigned n) {
        for (size_t i = 0; i < REQUEST_JOBS; i++) {
                uint64_t passes =
                        world_cgroup_id(w, request_jobs[i]) ? world_passes(w, request_jobs[i]) : 0;

                if (passes != effect->after[i])
                        fail_msg("call %u: %s: not what was asked for passes", n, request_jobs[i]);
        }
}

/* Only what a change does when it is in force already may fail unnoticed. */
static bool may_be_ignored(FakeOp op) {
        return op == FAKE_COUNTER_READ || op == FAKE_SETS_EACH || op == FAKE_SET_DROP ||
                op == FAKE_INTERFACES_WRITE;
}

/* Returns whether the fault came at all. */
static bool fail_nth(const Request *request, const RequestEffect *effect, unsigned n, int error) {
        _cleanup_(manager_error_done) ManagerError e = { 0 };
        _cleanup_free_ char *files = NULL, *files_after = NULL, *force = NULL, *force_after = NULL;
        World *w = prepared(request);
        bool failed;
        FakeOp op;
        int r;

        files = world_files(w, request->files_except);
        force = world_in_force(w);
        assert_order(w, "prepared", n);
        request_watch(w, effect, /* strict= */ true);
        fake_kernel_fail(w->fake, FAKE_OP_ANY, n, error);
        r = request->run(w, &e);
        failed = fake_kernel_has_failed(w->fake, &op);
        fake_kernel_fail(w->fake, FAKE_OP_ANY, 0, 0);

        if (failed && r < 0) {
                if (r != -EREMOTEIO || !e.message || !*e.message)
                        fail_msg("call %u (%s): returns %d without a word", n,
                                fake_op_to_string(op), r);
                assert_int_equal(e.kind, MANAGER_ERROR_KERNEL);
                force_after = world_in_force(w);
                assert_same(force, force_after, "in force, call", n);
                files_after = world_files(w, request->files_except);
                assert_same(files, files_after, "on disk, call", n);
                assert_order(w, fake_op_to_string(op), n);
                r = request->run(w, &e);
        } else if (failed && !may_be_ignored(op) && !request->ends_job)
                fail_msg("call %u (%s) failed and nobody said so", n, fake_op_to_string(op));
        if (r < 0)
                fail_msg("call %u: without a fault: %d %s", n, r, strempty(e.message));
        fake_kernel_unwatch(w->fake);
        assert_effect(w, effect, n);
        /* What could not be given back is given back the next time. */
        if (failed && (op == FAKE_SETS_EACH || op == FAKE_SET_DROP))
                manager_collect_sets(w->manager);
        assert_order(w, "done", n);
        world_free(w);
        return failed;
}

static void test_each_call_fails(void **state) {
        const Request *request = *state;
        RequestEffect effect;
        unsigned n = 1;

        assert_int_equal(request_measure(request, &effect), 0);
        while (fail_nth(request, &effect, n, EIO))
                n++;
        assert_true(n > 3);
        /* Other errnos take other ways. */
        for (unsigned i = 1; i < n; i++) {
                (void)fail_nth(request, &effect, i, ENOMEM);
                (void)fail_nth(request, &effect, i, E2BIG);
        }
}

/* What follows a change of the host has nobody to tell: whatever failed, each job has what it had or what comes,
 * the books are right, and the next time all of it comes. */
static bool fail_nth_unasked(const Request *request, const RequestEffect *effect, unsigned n) {
        _cleanup_(manager_error_done) ManagerError e = { 0 };
        World *w = prepared(request);
        bool failed;
        FakeOp op;

        request_watch(w, effect, /* strict= */ false);
        fake_kernel_fail(w->fake, FAKE_OP_ANY, n, EIO);
        assert_int_equal(request->run(w, &e), 0);
        failed = fake_kernel_has_failed(w->fake, &op);
        fake_kernel_fail(w->fake, FAKE_OP_ANY, 0, 0);
        if (fake_kernel_violation(w->fake))
                fail_msg("call %u: %s", n, fake_kernel_violation(w->fake));
        for (size_t i = 0; i < REQUEST_JOBS; i++) {
                uint64_t passes = world_passes(w, request_jobs[i]);

                /* What the kernel was not told of an interface is judged in the strictest way. */
                if (passes != effect->before[i] && (passes & ~effect->after[i]))
                        fail_msg("call %u (%s): %s: neither what was nor what comes", n,
                                fake_op_to_string(op), request_jobs[i]);
        }
        if (request->again)
                assert_int_equal(request->again(w), 0);
        assert_effect(w, effect, n);
        fake_kernel_unwatch(w->fake);
        assert_order(w, "done", n);
        world_free(w);
        return failed;
}

static void test_each_call_fails_unasked(void **state) {
        const Request *request = *state;
        RequestEffect effect;
        unsigned n = 1;

        assert_int_equal(request_measure(request, &effect), 0);
        while (fail_nth_unasked(request, &effect, n))
                n++;
        assert_true(n > 3);
}

/* That the requests are what their names say, or the tests above would hold nothing. */
static void test_requests_change_what_they_say(void **state) {
        for (size_t i = 0; i < n_requests; i++) {
                RequestEffect effect;
                PolicyChange change;

                assert_int_equal(request_measure(&requests[i], &effect), 0);
                if (requests[i].makes_job || requests[i].ends_job)
                        continue;
                if (effect.before[0] == effect.after[0])
                        change = POLICY_CHANGE_NONE;
                else if ((effect.before[0] & ~effect.after[0]) == 0)
                        change = POLICY_CHANGE_LOOSEN;
                else
                        change = (effect.after[0] & ~effect.before[0]) == 0 ? POLICY_CHANGE_TIGHTEN
                                                                            : POLICY_CHANGE_MIXED;
                if (change != requests[i].change)
                        fail_msg("%s: does %d, not %d", requests[i].name, change,
                                requests[i].change);
        }
}

static int tests(void) {
        struct CMUnitTest list[64] = { cmocka_unit_test(test_requests_change_what_they_say) };
        size_t n = 1;

        assert(n_requests < ELEMENTSOF(list));
        for (size_t i = 0; i < n_requests; i++)
                list[n++] = (struct CMUnitTest){
                        .name = requests[i].name,
                        .test_func = requests[i].nobody_asked ? test_each_call_fails_unasked
                                                              : test_each_call_fails,
                        .initial_state = (void *)(uintptr_t)&requests[i],
                };
        return _cmocka_run_group_tests("fault", list, n, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
