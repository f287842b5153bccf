/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How jobs end, what of them outlives them, and what a start makes of a directory and a kernel that somebody
 * damaged. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checks.h"

static const char *const http = "tcp/80 from 192.0.2.7";
static const char *const dns = "udp/53 to 192.0.2.53";
static const char *const web_rules[] = { "allow in tcp/80", NULL };

static int setup_web(void **state) {
        World *w;

        if (setup_started(state) < 0)
                return -1;
        w = *state;
        return world_create(w, "web", POLICY_DEFAULT_DENY, web_rules) < 0 ||
                        world_enter(w, 0, "web") < 0 || world_wait_seen(w) < 0
                ? -1
                : 0;
}

static bool web_is_gone(World *w) {
        return !manager_get_unit(w->manager, "web");
}

static bool nothing_is_attached(World *w) {
        return fake_kernel_n_links(w->fake) == 0 && fake_kernel_n_records(w->fake) == 0;
}

/* -- Ends ------------------------------------------------------------------------------------------ */

static void test_sockets_outlive_their_job(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web"), passing = world_passes(w, "web");
        uint32_t subject = unit(w, "web")->state->subject;

        fake_kernel_linger(w->fake, id);
        world_kill(w, 0);
        assert_int_equal(world_wait(w, web_is_gone), 0);
        assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);

        /* Another job of that name is another subject. */
        assert_int_equal(world_create(w, "web", POLICY_DEFAULT_ALLOW, NULL), 0);
        assert_int_equal(world_enter(w, 1, "web"), 0);
        assert_int_not_equal(unit(w, "web")->state->subject, subject);
        assert_int_equal(fake_kernel_n_links(w->fake), 2 * CGP_N_HOOKS);
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);

        /* Neither a restart nor a change lets go of them. */
        restart(w);
        assert_int_equal(fake_kernel_n_links(w->fake), 2 * CGP_N_HOOKS);
        add_only(w, "web", POLICY_DENY, "out udp");
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);
        assert_int_equal(w->manager->n_dying, 1);

        fake_kernel_linger(w->fake, id);
        restart(w);
        assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
        assert_in_order(w);
}

static bool one_job_is_attached(World *w) {
        return fake_kernel_n_links(w->fake) == CGP_N_HOOKS && w->manager->n_dying == 0;
}

/* Nobody tells when the last socket is gone: the manager looks. */
static void test_last_socket_goes(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web");

        job(w, 1, "db", NULL);
        fake_kernel_linger(w->fake, id);
        world_kill(w, 0);
        assert_int_equal(world_wait(w, web_is_gone), 0);
        assert_int_equal(w->manager->n_dying, 1);
        fake_kernel_linger(w->fake, id);
        assert_int_equal(world_wait(w, one_job_is_attached), 0);
        assert_in_order(w);
}

static void test_finish(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        uint64_t generation, id = world_cgroup_id(w, "web");

        assert_true(manager_finish(w->manager));
        assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
        fake_kernel_linger(w->fake, id);
        world_kill(w, 0);
        assert_int_equal(world_wait(w, web_is_gone), 0);
        /* What only lingers is let go, unless it cannot be. */
        fake_kernel_fail(w->fake, FAKE_LINK_DESTROY, 3, EROFS);
        assert_true(manager_finish(w->manager));
        assert_false(manager_finish(w->manager));
        assert_true(nothing_is_attached(w));

        job(w, 1, "db", NULL);
        assert_ok(manager_detach(w->manager, "", &error, &generation), &error);
        assert_true(nothing_is_attached(w));
        assert_false(manager_finish(w->manager));
        assert_in_order(w);
}

static void test_creator_goes(void **state) {
        World *w = *state;

        /* Nobody ever came: kept while its creator may still come. */
        assert_int_equal(world_create(w, "empty", POLICY_DEFAULT_DENY, NULL), 0);
        manager_creator_gone(w->manager, "somebody else");
        assert_non_null(manager_get_unit(w->manager, "empty"));
        manager_creator_gone(w->manager, w);
        assert_null(manager_get_unit(w->manager, "empty"));
        assert_non_null(manager_get_unit(w->manager, "web"));
        assert_in_order(w);
        world_kill(w, 0);
        assert_int_equal(world_wait(w, nothing_is_attached), 0);
        assert_in_order(w);
}

/* -- What was damaged while nobody looked ---------------------------------------------------------- */

static void stop(World *w) {
        assert_int_equal(world_stop(w), 0);
}

static void start(World *w) {
        fake_kernel_reset_calls(w->fake);
        assert_int_equal(world_start(w), 0);
}

static void test_torn_off_hook(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web");

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                stop(w);
                fake_kernel_tear_off(w->fake, id, hook);
                start(w);
                assert_int_equal(fake_kernel_n_calls(w->fake, FAKE_LINK_CREATE), 1);
                assert_not_degraded(w);
                assert_in_order(w);
        }
        stop(w);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                fake_kernel_tear_off(w->fake, id, hook);
        start(w);
        assert_true(passes(w, "web", http));
        assert_false(passes(w, "web", dns));
        assert_in_order(w);
}

static void test_damaged_record(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web");
        struct cgp_record good, bad;

        assert_int_equal(w->kernel->ops->record_read(w->kernel, id, &good), 0);
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(w->kernel->ops->record_read(w->kernel, id, &good), 0);
                bad = good;
                if (i == 0)
                        bad.abi_version++;
                if (i == 1)
                        bad.subject++;
                if (i == 2)
                        bad.hook[CGP_HOOK_EGRESS].cur_prog_id++;
                if (i == 3)
                        bad.hook[CGP_HOOK_INGRESS].cur_hash ^= 1;
                if (i == 4)
                        assert_int_equal(w->kernel->ops->record_delete(w->kernel, id), 0);
                else
                        assert_int_equal(w->kernel->ops->record_write(w->kernel, &bad), 0);
                stop(w);
                fake_kernel_watch(w->fake, id, fake_kernel_passes(w->fake, id), 0, true);
                start(w);
                assert_int_equal(fake_kernel_n_calls(w->fake, FAKE_PROGS_LOAD), 1);
                assert_not_degraded(w);
                assert_in_order(w);
                fake_kernel_unwatch(w->fake);
        }
}

/* It cannot be told what is in force, so it stays, whatever that is. */
static void assert_hooks_stay(World *w, uint64_t id, uint64_t passing, const char *why) {
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);
        assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
        assert_degraded(w, "web", why);
}

static void test_damaged_state(void **state) {
        static const char *const bad[] = { "", "{}", "[1]", "{ \"version\": 1 }", "nonsense" };
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web"), passing = world_passes(w, "web");

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                stop(w);
                put(w, "state.d/web", bad[i]);
                start(w);
                assert_hooks_stay(w, id, passing, "not a valid state file");
        }
        /* Nor does a daemon that ends let go of them. */
        assert_true(manager_finish(w->manager));
        assert_hooks_stay(w, id, passing, "not a valid state file");
        /* When its processes end, all of it goes. */
        world_kill(w, 0);
        stop(w);
        while (fake_kernel_n_links(w->fake) > 0) {
                start(w);
                assert_int_equal(sd_event_run(w->event, 20 * USEC_PER_MSEC) < 0, 0);
                stop(w);
        }
        start(w);
        assert_in_order(w);
        assert_int_equal(world_create(w, "web", POLICY_DEFAULT_DENY, NULL), 0);
}

static void test_state_of_another(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web"), passing = world_passes(w, "web");
        _cleanup_free_ char *web = NULL, *db = NULL;
        uint64_t db_id, db_passing;

        job(w, 1, "db", NULL);
        db_id = world_cgroup_id(w, "db");
        db_passing = world_passes(w, "db");
        web = world_get(w, "state.d/web");
        db = world_get(w, "state.d/db");
        stop(w);
        put(w, "state.d/web", db);
        put(w, "state.d/db", web);
        start(w);
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);
        assert_int_equal(fake_kernel_passes(w->fake, db_id), db_passing);
        assert_int_equal(fake_kernel_n_links(w->fake), 2 * CGP_N_HOOKS);
}

static void test_lost_policy(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web"), passing = world_passes(w, "web");

        /* There is a copy of the last good version for a broken one... */
        stop(w);
        put(w, "runtime.d/web.json", "broken");
        start(w);
        assert_int_equal(fake_kernel_passes(w->fake, id), passing);
        assert_int_equal(fake_kernel_n_calls(w->fake, FAKE_PROGS_LOAD), 0);
        assert_degraded(w, "runtime.d/web.json:1:", "last good version");
        /* ... and without one nothing is made up. */
        stop(w);
        put(w, "runtime.d/web.json", "broken");
        put(w, "good.d/runtime-web.json", NULL);
        start(w);
        assert_hooks_stay(w, id, passing, "policy");
}

static void test_orphans(void **state) {
        World *w = *state;
        static const char file[] =
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"ghost\" ] }, \"rules\": [] }";
        ManagerError error = { 0 };
        uint64_t generation;

        stop(w);
        put(w, "runtime.d/ghost.json", file);
        put(w, "good.d/runtime-ghost.json", file);
        assert_int_equal(mkdirat(w->cgroup_fd, "ghost", 0755), 0);
        assert_int_equal(mkdirat(w->cgroup_fd, "ghost/child", 0755), 0);
        start(w);
        assert_null(manager_get_unit(w->manager, "ghost"));
        assert_not_degraded(w);
        assert_in_order(w);

        /* With a process in it it cannot go, and is named. */
        stop(w);
        assert_int_equal(mkdirat(w->cgroup_fd, "ghost", 0755), 0);
        assert_int_equal(world_enter(w, 1, "ghost"), 0);
        start(w);
        assert_degraded(w, "ghost", "processes run");
        assert_true(passes(w, "web", http));

        /* With everything that is asked to be let go, what nobody owns goes, too. */
        stop(w);
        put(w, "state.d/web", "damaged");
        start(w);
        assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
        assert_ok(manager_detach(w->manager, "", &error, &generation), &error);
        assert_true(nothing_is_attached(w));
        assert_false(manager_finish(w->manager));
}

static void test_strangers(void **state) {
        World *w = *state;

        stop(w);
        fake_kernel_set_strangers(w->fake, 3);
        start(w);
        assert_degraded(w, "3 pins");
        assert_in_order(w);
}

/* -- A kernel that refuses while the manager starts ------------------------------------------------ */

static void test_start_under_faults(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web"), before = world_passes(w, "web"), after;
        static const char site[] =
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"web\" ] }, \"rules\":"
                " [ \"allow out udp\", \"deny in tcp\" ] }";
        bool failed = true;

        put(w, "policy.d/10-site.json", site);
        reload(w);
        after = world_passes(w, "web");
        assert_int_not_equal(before, after);
        put(w, "policy.d/10-site.json", NULL);
        reload(w);

        for (unsigned n = 1; failed; n++) {
                int r;

                stop(w);
                /* There and back, so that each start has something to do. */
                put(w, "policy.d/10-site.json", n % 2 ? site : NULL);
                fake_kernel_watch(w->fake, id, before, after, false);
                fake_kernel_fail(w->fake, FAKE_OP_ANY, (n + 1) / 2, EIO);
                r = world_start(w);
                failed = fake_kernel_has_failed(w->fake, NULL);
                fake_kernel_fail(w->fake, FAKE_OP_ANY, 0, 0);
                if (fake_kernel_violation(w->fake))
                        fail_msg("call %u: %s", n, fake_kernel_violation(w->fake));
                assert_int_equal(fake_kernel_n_links(w->fake), CGP_N_HOOKS);
                if (r >= 0 && failed && manager_get_unit(w->manager, "web"))
                        reload(w);
                stop(w);
                start(w);
                assert_not_degraded(w);
                assert_int_equal(world_passes(w, "web"), n % 2 ? after : before);
                fake_kernel_unwatch(w->fake);
                assert_in_order(w);
        }
}

static int tests(void) {
#define WEB(f) cmocka_unit_test_setup_teardown(f, setup_web, world_teardown)
        static const struct CMUnitTest list[] = {
                WEB(test_sockets_outlive_their_job),
                WEB(test_last_socket_goes),
                WEB(test_finish),
                WEB(test_creator_goes),
                WEB(test_torn_off_hook),
                WEB(test_damaged_record),
                WEB(test_damaged_state),
                WEB(test_state_of_another),
                WEB(test_lost_policy),
                WEB(test_orphans),
                WEB(test_strangers),
                WEB(test_start_under_faults),
        };

        return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
