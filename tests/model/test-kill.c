/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon is killed at each moment of each request: before every call of the kernel, and after it has
 * taken effect. Whoever comes next finds the old policy or the new one in force, all of it, and nothing
 * else; and whoever comes after that has nothing to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "requests.h"
#include "util/macro.h"

#define EXIT_PREPARE 2
#define EXIT_RUN     3

/* In a child: what it returns is its exit status. Nothing in it may fail the test itself. */
static int be_killed(World *w, const Request *request, const RequestEffect *effect, int moment) {
        ManagerError e = { 0 };

        if (world_start(w) < 0 || request->prepare(w) < 0)
                return EXIT_PREPARE;
        request_watch(w, effect, /* strict= */ true);
        fake_kernel_kill(w->fake, moment);
        return request->run(w, &e) < 0 ? EXIT_RUN : 0;
}

static int be_killed_at_start(World *w, int moment) {
        fake_kernel_kill(w->fake, moment);
        return world_start(w) < 0 ? EXIT_RUN : 0;
}

/* Returns whether the child was killed: else it came to its end, without cleaning up. */
static bool reap(World *w, pid_t pid, int moment) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != FAKE_KILLED))
                fail_msg("moment %d: the child ended with %#x", moment, status);
        fake_kernel_kill(w->fake, -1);
        fake_kernel_forget_handles(w->fake);
        /* A successor does not know the old image, so it cannot go through the intersection. */
        fake_kernel_relax(w->fake);
        return WEXITSTATUS(status) == FAKE_KILLED;
}

static bool kill_request(
        World *w, const Request *request, const RequestEffect *effect, int moment) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(be_killed(w, request, effect, moment));
        return reap(w, pid, moment);
}

static bool kill_start(World *w, int moment) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(be_killed_at_start(w, moment));
        return reap(w, pid, moment);
}

static void assert_in_order(World *w, const char *when, int moment) {
        _cleanup_free_ char *wrong = world_audit(w), *force = world_in_force(w);

        if (wrong)
                fail_msg("%s, moment %d: %s", when, moment, wrong);
        if (strstr(force, "degraded"))
                fail_msg("%s, moment %d: %s", when, moment, strstr(force, "degraded"));
}

/* All jobs by the old policy or all by the new one. */
static void assert_whole(
        World *w, const Request *request, const RequestEffect *effect, int moment) {
        bool all_old = true, all_new = true;

        for (size_t i = 0; i < REQUEST_JOBS; i++) {
                uint64_t passes;

                if ((request->ends_job && i == 0) || (request->makes_job && i == REQUEST_JOBS - 1))
                        continue;
                assert_true(world_cgroup_id(w, request_jobs[i]) != 0);
                passes = world_passes(w, request_jobs[i]);
                all_old = all_old && passes == effect->before[i];
                all_new = all_new && passes == effect->after[i];
                if (passes != effect->before[i] && passes != effect->after[i])
                        fail_msg(
                                "moment %d: %s: neither the old policy nor the new one is in force",
                                moment, request_jobs[i]);
        }
        if (!all_old && !all_new && !request->one_by_one)
                fail_msg("moment %d: some jobs have the old policy and some the new one", moment);
        /* Nobody was given its cgroup, or nobody lives in it. */
        if (request->makes_job)
                assert_int_equal(world_cgroup_id(w, request_jobs[REQUEST_JOBS - 1]), 0);
        if (request->ends_job && world_cgroup_id(w, request_jobs[0]) != 0)
                fail_msg("moment %d: the job that ended is still there", moment);
}

static void assert_nothing_to_do(World *w, int moment) {
        _cleanup_free_ char *files = NULL, *files_after = NULL, *force = NULL, *force_after = NULL;

        force = world_in_force(w);
        assert_int_equal(world_stop(w), 0);
        files = world_files(w, NULL);
        fake_kernel_reset_calls(w->fake);
        assert_int_equal(world_start(w), 0);
        if (fake_kernel_n_calls(w->fake, FAKE_PROGS_LOAD) > 0 ||
                fake_kernel_n_calls(w->fake, FAKE_LINK_UPDATE) > 0 ||
                fake_kernel_n_calls(w->fake, FAKE_LINK_CREATE) > 0 ||
                fake_kernel_n_calls(w->fake, FAKE_LINK_DESTROY) > 0 ||
                fake_kernel_n_calls(w->fake, FAKE_RECORD_WRITE) > 0 ||
                fake_kernel_n_calls(w->fake, FAKE_COUNTER_CLEAR) > 0)
                fail_msg("moment %d: the next start was no adoption", moment);
        force_after = world_in_force(w);
        assert_string_equal(force, force_after);
        files_after = world_files(w, NULL);
        assert_string_equal(files, files_after);
        assert_in_order(w, "adopted", moment);
}

static void assert_usable(World *w, int moment) {
        _cleanup_(manager_error_done) ManagerError e = { 0 };
        _cleanup_free_ char *id = NULL;
        uint64_t generation;

        fake_kernel_unwatch(w->fake);
        if (manager_add_rule(
                    w->manager, "db", POLICY_ALLOW, "out tcp/80", "", &e, &id, &generation) < 0)
                fail_msg("moment %d: no rule can be added: %s", moment, strempty(e.message));
        assert_in_order(w, "used", moment);
}

static World *new_world(void) {
        World *w = world_new();

        assert_non_null(w);
        return w;
}

static void assert_recovers(
        World *w, const Request *request, const RequestEffect *effect, int moment) {
        assert_int_equal(world_start(w), 0);
        assert_in_order(w, "started", moment);
        assert_whole(w, request, effect, moment);
        assert_nothing_to_do(w, moment);
        assert_usable(w, moment);
}

static void test_killed_at_each_moment(void **state) {
        const Request *request = *state;
        RequestEffect effect;
        bool killed = true;
        int moment;

        assert_int_equal(request_measure(request, &effect), 0);
        for (moment = 0; killed; moment++) {
                World *w = new_world();

                killed = kill_request(w, request, &effect, moment);
                assert_recovers(w, request, &effect, moment);
                world_free(w);
        }
        assert_true(moment > 6);
}

/* The successor is killed, too, at each moment of its start. */
static void test_killed_again(void **state) {
        const Request *request = *state;
        RequestEffect effect;
        bool killed = true;

        assert_int_equal(request_measure(request, &effect), 0);
        /* A prime, so that over time each kind of moment has its turn. */
        for (int moment = 3; killed; moment += 13) {
                bool killed_again = true;

                for (int again = 0; killed_again; again++) {
                        World *w = new_world();

                        killed = kill_request(w, request, &effect, moment);
                        killed_again = kill_start(w, again);
                        assert_recovers(w, request, &effect, moment * 1000 + again);
                        world_free(w);
                }
        }
}

static int tests(void) {
        struct CMUnitTest list[64] = { 0 };

        assert(n_requests <= ELEMENTSOF(list));
        for (size_t i = 0; i < n_requests; i++)
                list[i] = (struct CMUnitTest){
                        .name = requests[i].name,
                        .test_func = test_killed_at_each_moment,
                        .initial_state = (void *)(uintptr_t)&requests[i],
                };
        return _cmocka_run_group_tests("kill", list, n_requests, NULL, NULL);
}

static int tests_again(void) {
        static const char *const names[] = { "create", "attach", "apply over three jobs",
                "end of a job" };
        struct CMUnitTest list[ELEMENTSOF(names)] = { 0 };
        size_t n = 0;

        for (size_t i = 0; i < n_requests; i++)
                for (size_t k = 0; k < ELEMENTSOF(names); k++)
                        if (streq(requests[i].name, names[k]))
                                list[n++] = (struct CMUnitTest){
                                        .name = names[k],
                                        .test_func = test_killed_again,
                                        .initial_state = (void *)(uintptr_t)&requests[i],
                                };
        assert(n == ELEMENTSOF(names));
        return _cmocka_run_group_tests("kill again", list, n, NULL, NULL);
}

/* One program, started twice side by side: most of the time both wait for the kernel to let go of watches. */
int main(int argc, char *argv[]) {
        return world_main(argc > 1 && streq(argv[1], "again") ? tests_again : tests);
}
