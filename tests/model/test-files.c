/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy files as people write, break, mask and delete them, and which layer has its way. */
#include <unistd.h>

#include "checks.h"

#define SITE "policy.d/10-site.json"

#define FILE_OF(rules)                                                                        \
        "{ \"cgpolicy\": 1,\n  \"match\": { \"units\": [ \"web\" ] },\n  \"rules\": [ " rules \
        " ] }\n"
/* Line 3, column 15. */
#define BROKEN FILE_OF("\"alow out icmp\"")

static const char *const icmp = "icmp to 192.0.2.7";
static const char *const http = "tcp/80 from 192.0.2.7";

static void test_last_good_version(void **state) {
        World *w = *state;

        job(w, 0, "web", NULL);
        put(w, SITE, FILE_OF("\"allow out icmp\""));
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_not_degraded(w);

        put(w, SITE, BROKEN);
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_degraded(w, SITE ":3:15: ", "its last good version stays in force");
        assert_in_order(w);

        /* Whoever starts over the broken file has only the copy. */
        restart(w);
        assert_true(passes(w, "web", icmp));
        assert_degraded(w, SITE ":3:15: ", "its last good version stays in force");
        assert_in_order(w);
        restart(w);
        assert_true(passes(w, "web", icmp));

        put(w, SITE, NULL);
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_not_degraded(w);
        assert_in_order(w);

        /* What was deleted does not come back under a broken file of its name. */
        put(w, SITE, BROKEN);
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_degraded(w, SITE ":3:15: ", "it is not in force");
        restart(w);
        assert_false(passes(w, "web", icmp));
        assert_in_order(w);
}

static void test_broken_at_first_is_not_in_force(void **state) {
        World *w = *state;

        put(w, SITE, BROKEN);
        restart(w);
        assert_degraded(w, SITE ":3:15: ", "it is not in force");
        job(w, 0, "web", NULL);
        assert_false(passes(w, "web", icmp));
        put(w, SITE, FILE_OF("\"allow out icmp\""));
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_not_degraded(w);
}

static void test_local_overrides_vendor_by_name(void **state) {
        World *w = *state;

        put(w, "vendor.d/10-site.json", FILE_OF("\"allow out icmp\""));
        put(w, "vendor.d/20-other.json", FILE_OF("\"allow in tcp/80\""));
        job(w, 0, "web", NULL);
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));

        put(w, SITE, FILE_OF("\"allow out udp\""));
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));
        assert_true(passes(w, "web", "udp/53 to 192.0.2.53"));

        /* Masked altogether, and back. */
        put(w, SITE, NULL);
        assert_int_equal(symlinkat("/dev/null", w->dir_fd, SITE), 0);
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_false(passes(w, "web", "udp/53 to 192.0.2.53"));
        assert_true(passes(w, "web", http));
        assert_not_degraded(w);
        restart(w);
        assert_false(passes(w, "web", icmp));
        put(w, SITE, NULL);
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_in_order(w);
}

static void test_conflict_is_strict(void **state) {
        World *w = *state;
        static const JobOptions open = { .default_verdict = POLICY_DEFAULT_UNSET,
                .profile = "web-client" };
        _cleanup_close_ int fd = -EBADF;
        ManagerError error = { 0 };
        uint64_t generation;
        Unit *u;

        /* The job's profile states defaults in the runtime layer, so they are asked of another subject. */
        put(w, SITE,
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"db\" ] },"
                " \"default\": \"allow\", \"mode\": \"audit\" }");
        put(w, "policy.d/20-site.json",
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"d*\" ] },"
                " \"default\": \"deny\", \"mode\": \"enforce\" }");
        reload(w);
        u = unit(w, "db");
        assert_string_equal(unit_get_state(u), "inactive");
        assert_string_equal(unit_get_default(u, CGP_DIR_IN), "deny");
        assert_string_equal(unit_get_default(u, CGP_DIR_OUT), "deny");
        assert_string_equal(unit_get_mode(u), "enforce");
        assert_int_equal(u->policy->stack.conflicts,
                POLICY_CONFLICT_MODE | POLICY_CONFLICT_DEFAULT_IN | POLICY_CONFLICT_DEFAULT_OUT);

        assert_ok(
                manager_create_job(w->manager, "web", &open, w, &error, &fd, &generation), &error);
        assert_int_equal(world_enter(w, 0, "web"), 0);
        assert_in_order(w);
}

static void test_profiles(void **state) {
        World *w = *state;
        static const char uses[] =
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"web\" ] }, \"profile\": \"site\" }";
        static const char profile[] = "{ \"cgpolicy\": 1, \"rules\": [ \"allow out icmp\" ] }";
        ManagerError error = { 0 };
        uint64_t generation;

        job(w, 0, "web", NULL);
        put(w, SITE, uses);
        reload(w);
        assert_degraded(w, SITE ":1:", "no profile 'site'", "it is not in force");

        put(w, "profiles/site.json", profile);
        reload(w);
        assert_not_degraded(w);
        assert_true(passes(w, "web", icmp));
        assert_string_equal(unit_get_profile(unit(w, "web")), "site");

        put(w, "profiles/site.json", "{ \"cgpolicy\": 1, \"rules\": [ \"allow in tcp/80\" ] }");
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));

        /* Neither a slip in it nor its loss changes what is in force. */
        put(w, "profiles/site.json", "{ \"cgpolicy\": 1, \"rules\": [ \"allow in tcp/80\" }");
        reload(w);
        assert_true(passes(w, "web", http));
        assert_degraded(w, "profiles/site.json:1:");
        restart(w);
        assert_true(passes(w, "web", http));
        put(w, "profiles/site.json", NULL);
        reload(w);
        assert_true(passes(w, "web", http));
        restart(w);
        assert_true(passes(w, "web", http));
        assert_in_order(w);

        assert_refused(manager_set_profile(w->manager, "web", "sight", &error, &generation), &error,
                MANAGER_ERROR_NO_SUCH_PROFILE, "sight");
        assert_true(passes(w, "web", http));
}

static void test_layers(void **state) {
        World *w = *state;

        job(w, 0, "web", NULL);
        put(w, "vendor.d/10-web.json", FILE_OF("\"deny out icmp\", \"allow in tcp/80\""));
        reload(w);
        assert_false(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));

        /* However narrow a lower layer's rule is, the higher one is asked first. */
        put(w, "vendor.d/10-web.json",
                FILE_OF("\"deny out icmp to 192.0.2.7\", \"allow in tcp/80\""));
        put(w, SITE, FILE_OF("\"allow out icmp\", \"deny in tcp\""));
        reload(w);
        assert_true(passes(w, "web", icmp));
        assert_false(passes(w, "web", http));

        add_only(w, "web", POLICY_DENY, "out any");
        add_only(w, "web", POLICY_ALLOW, "in any");
        assert_false(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));

        /* But a never of the lowest layer beats every allow. */
        put(w, "vendor.d/10-web.json", FILE_OF("\"never in tcp/80 from 192.0.2.0/24\""));
        reload(w);
        assert_false(passes(w, "web", http));
        assert_true(passes(w, "web", "tcp/8080 from 198.51.100.9"));
        add_only(w, "web", POLICY_ALLOW, "in tcp/80 from 192.0.2.7");
        assert_false(passes(w, "web", http));
        assert_in_order(w);
        restart(w);
        assert_false(passes(w, "web", http));
        assert_in_order(w);
}

/* With nothing to be done a reload does nothing. */
static void test_reload_of_the_same(void **state) {
        World *w = *state;
        _cleanup_free_ char *before = NULL, *after = NULL;
        ManagerError error = { 0 };
        uint64_t generation;

        put(w, SITE, FILE_OF("\"allow out icmp\""));
        reload(w);
        job(w, 0, "web", NULL);
        job(w, 1, "db", NULL);
        assert_ok(manager_detach(w->manager, "db", &error, &generation), &error);
        before = world_in_force(w);
        fake_kernel_reset_calls(w->fake);
        reload(w);
        assert_int_equal(fake_kernel_n_calls(w->fake, FAKE_PROGS_LOAD), 0);
        assert_int_equal(fake_kernel_n_calls(w->fake, FAKE_LINK_UPDATE), 0);
        after = world_in_force(w);
        assert_same(before, after, "in force", 0);
}

/* Apply names its files so that none of a person's is hit, and a dry run changes nothing. */
static void test_apply(void **state) {
        World *w = *state;
        _cleanup_free_ char *before = NULL, *after = NULL, *diff = NULL, *files = NULL;
        ManagerError error = { 0 };
        uint64_t generation;

        job(w, 0, "web", NULL);
        put(w, SITE, FILE_OF("\"allow in tcp/80\""));
        reload(w);
        before = world_in_force(w);
        files = world_files(w, NULL);
        assert_ok(manager_apply(w->manager, "10-site.json", FILE_OF("\"allow out icmp\""), true,
                          &error, &generation, &diff),
                &error);
        assert_non_null(strstr(diff, "\"added\":[\"allow out icmp\"]"));
        assert_non_null(strstr(diff, "\"change\":\"loosen\""));
        after = world_in_force(w);
        assert_same(before, after, "in force", 0);
        free(after);
        after = world_files(w, NULL);
        assert_same(files, after, "on disk", 0);

        free(diff);
        diff = NULL;
        assert_ok(manager_apply(w->manager, "10-site.json", FILE_OF("\"allow out icmp\""), false,
                          &error, &generation, &diff),
                &error);
        assert_true(passes(w, "web", icmp));
        assert_true(passes(w, "web", http));
        free(diff);
        diff = NULL;
        assert_refused(
                manager_apply(w->manager, "x.json", BROKEN, false, &error, &generation, &diff),
                &error, MANAGER_ERROR_INVALID_POLICY, "60-apply-x.json:3:15: ");
        assert_refused(
                manager_apply(w->manager, "../x.json", BROKEN, false, &error, &generation, &diff),
                &error, MANAGER_ERROR_INVALID_NAME, "../x.json");
        assert_null(diff);
        assert_in_order(w);
}

static int tests(void) {
#define STARTED(f) cmocka_unit_test_setup_teardown(f, setup_started, world_teardown)
        static const struct CMUnitTest list[] = {
                STARTED(test_last_good_version),
                STARTED(test_broken_at_first_is_not_in_force),
                STARTED(test_local_overrides_vendor_by_name),
                STARTED(test_conflict_is_strict),
                STARTED(test_profiles),
                STARTED(test_layers),
                STARTED(test_reload_of_the_same),
                STARTED(test_apply),
        };

        return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
