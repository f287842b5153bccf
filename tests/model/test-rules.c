/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules one by one: what is added, taken away and refused, what counts stay with them, and what explain says
 * of them and of hooks that somebody tampered with. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checks.h"

static const char *const refused = "tcp/443 to 192.0.2.99";

static const char *const web_rules[] = { "allow out tcp/443", "deny out tcp/443 to 192.0.2.99",
        "allow in tcp/80", NULL };

static int setup_web(void **state) {
        World *w;

        if (setup_started(state) < 0)
                return -1;
        w = *state;
        return world_create(w, "web", POLICY_DEFAULT_DENY, web_rules) < 0
                ? -1
                : world_enter(w, 0, "web");
}

/* -- Adding and removing --------------------------------------------------------------------------- */

static void test_last_word_counts(void **state) {
        World *w = *state;
        _cleanup_free_ char *id = NULL, *again = NULL, *flipped = NULL;
        uint64_t generation;

        assert_false(passes(w, "web", refused));
        flipped = add(w, "web", POLICY_ALLOW, "out tcp/443 to 192.0.2.99");
        assert_true(passes(w, "web", refused));
        assert_false(has_rule(w, "web", "deny out tcp/443 to 192.0.2.99"));
        assert_int_equal(unit_get_n_rules(unit(w, "web")), 3);

        /* Once more, in another spelling, changes nothing and says which rule it is. */
        generation = manager_get_generation(w->manager);
        again = add(w, "web", POLICY_ALLOW, "out  tcp/443-443 to 192.0.2.99/32");
        assert_string_equal(again, flipped);
        assert_int_equal(manager_get_generation(w->manager), generation);
        assert_int_equal(unit_get_n_rules(unit(w, "web")), 3);

        id = add(w, "web", POLICY_NEVER, "out tcp/443 to 192.0.2.99");
        assert_false(passes(w, "web", refused));
        assert_string_not_equal(id, "web.1");
        assert_in_order(w);
}

static void test_remove(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        _cleanup_free_ char *id = NULL;
        uint64_t generation;

        remove_rule(w, "web", "web.2");
        assert_true(passes(w, "web", refused));
        /* As a person may write it. */
        remove_rule(w, "web", "allow  in  tcp/80-80");
        assert_false(passes(w, "web", "tcp/80 from 192.0.2.7"));
        assert_int_equal(unit_get_n_rules(unit(w, "web")), 1);

        assert_refused(manager_remove_rule(w->manager, "web", "web.2", &error, &generation), &error,
                MANAGER_ERROR_NO_SUCH_RULE, "web.2");
        assert_refused(
                manager_remove_rule(w->manager, "web", "deny out tcp/443", &error, &generation),
                &error, MANAGER_ERROR_NO_SUCH_RULE, "deny out tcp/443");
        assert_refused(manager_remove_rule(w->manager, "wep", "web.1", &error, &generation), &error,
                MANAGER_ERROR_NO_SUCH_UNIT, "'web'");
        assert_int_equal(unit_get_n_rules(unit(w, "web")), 1);

        id = add(w, "web", POLICY_ALLOW, "out icmp");
        assert_true(has_rule(w, "web", "allow out icmp"));
        remove_rule(w, "web", id);
        assert_false(has_rule(w, "web", "allow out icmp"));
        assert_in_order(w);
}

static void test_rules_of_files_stay(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        uint64_t generation;

        put(w, "policy.d/10-site.json",
                "{ \"cgpolicy\": 1,\n  \"match\": { \"units\": [ \"web\" ] },\n"
                "  \"rules\": [ \"allow out icmp\", { \"allow\": \"out udp\","
                " \"id\": \"names\" } ] }\n");
        reload(w);
        assert_refused(
                manager_remove_rule(w->manager, "web", "allow out icmp", &error, &generation),
                &error, MANAGER_ERROR_CONFLICT, "policy.d/10-site.json:3");
        assert_refused(manager_remove_rule(w->manager, "web", "names", &error, &generation), &error,
                MANAGER_ERROR_CONFLICT, "policy.d/10-site.json:3");
        assert_true(has_rule(w, "web", "allow out icmp"));
        /* A rule of ours that reads like it can be removed, and then the file's is left. */
        add_only(w, "web", POLICY_ALLOW, "out icmp");
        remove_rule(w, "web", "allow out icmp");
        assert_true(has_rule(w, "web", "allow out icmp"));
        assert_in_order(w);
}

static void test_nonsense_is_refused(void **state) {
        static const struct {
                const char *body;
                ManagerErrorKind kind;
        } bad[] = {
                { "", MANAGER_ERROR_INVALID_RULE },
                { "out tcp/99999", MANAGER_ERROR_INVALID_RULE },
                { "out to example.com", MANAGER_ERROR_INVALID_RULE },
                { "in to 192.0.2.1", MANAGER_ERROR_INVALID_RULE },
                { "out tcp/443 via a/b", MANAGER_ERROR_INVALID_RULE },
                { "bind tcp/80 via", MANAGER_ERROR_INVALID_RULE },
        };
        World *w = *state;
        _cleanup_free_ char *before = world_in_force(w), *files = world_files(w, NULL);
        _cleanup_free_ char *after = NULL, *files_after = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ManagerError error = { 0 };
                uint64_t generation;
                char *id = NULL;
                int r;

                r = manager_add_rule(w->manager, "web", POLICY_ALLOW, bad[i].body, NULL, &error,
                        &id, &generation);
                assert_refused(r, &error, bad[i].kind, "column");
                assert_null(id);
        }
        after = world_in_force(w);
        assert_same(before, after, "in force", 0);
        files_after = world_files(w, NULL);
        assert_same(files, files_after, "on disk", 0);
}

static void test_names_of_jobs(void **state) {
        static const char *const bad[] = { "", ".", "..", "a/b", "../web", "-x", ".x", "a b",
                "cgroup.procs", "a\\x2db", NULL };
        World *w = *state;

        for (size_t i = 0; bad[i]; i++)
                assert_int_equal(world_create(w, bad[i], POLICY_DEFAULT_DENY, NULL), -EREMOTEIO);
        /* A name that is taken, by a job and by a directory of somebody else's. */
        assert_int_equal(world_create(w, "web", POLICY_DEFAULT_DENY, NULL), -EREMOTEIO);
        assert_int_equal(mkdirat(w->cgroup_fd, "theirs", 0755), 0);
        assert_int_equal(world_create(w, "theirs", POLICY_DEFAULT_DENY, NULL), -EREMOTEIO);
        assert_int_equal(unlinkat(w->cgroup_fd, "theirs", AT_REMOVEDIR), 0);
        assert_true(passes(w, "web", "tcp/80 from 192.0.2.7"));
        assert_in_order(w);
}

/* An inactive subject has a policy that its job will have. */
static void test_inactive(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        uint64_t generation;

        put(w, "policy.d/10-db.json",
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"db\" ] }, \"rules\": [] }");
        reload(w);
        assert_string_equal(unit_get_state(unit(w, "db")), "inactive");
        add_only(w, "db", POLICY_ALLOW, "in tcp/8080");
        assert_refused(manager_attach(w->manager, "db", &error, &generation), &error,
                MANAGER_ERROR_CONFLICT, "not running");
        job(w, 1, "db", NULL);
        assert_true(passes(w, "db", "tcp/8080 from 198.51.100.9"));
        assert_in_order(w);
        restart(w);
        assert_true(passes(w, "db", "tcp/8080 from 198.51.100.9"));
        assert_refused(
                manager_remove_rule(w->manager, "db", "allow in tcp/8080", &error, &generation),
                &error, MANAGER_ERROR_CONFLICT, "policy.d/50-cgpolicyctl-db.json");
}

/* -- Counters -------------------------------------------------------------------------------------- */

static UnitTotals totals(World *w) {
        UnitTotals t;

        unit_get_totals(unit(w, "web"), &t);
        return t;
}

static uint64_t rule_packets(World *w, const char *text) {
        _cleanup_(unit_rule_done) UnitRule rule = { 0 };

        assert_int_equal(unit_get_rule(unit(w, "web"), rule_index(w, "web", text), &rule), 0);
        return rule.hits.packets;
}

static void test_counters_are_stable(void **state) {
        static const char text[] = "allow in tcp/80";
        World *w = *state;
        uint32_t slot = entry(w, "web", text)->counter;
        uint16_t number = entry(w, "web", text)->number;

        fake_kernel_count(w->fake, slot, &(struct cgp_counter){ .packets = 7, .bytes = 700 });
        assert_int_equal(rule_packets(w, text), 7);
        add_only(w, "web", POLICY_ALLOW, "out icmp");
        remove_rule(w, "web", "web.1");
        reload(w);
        restart(w);
        put(w, "policy.d/10-site.json",
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"*\" ] }, \"rules\": [ \"deny out udp\" ] }");
        reload(w);
        put(w, "policy.d/10-site.json", NULL);
        restart(w);
        assert_int_equal(entry(w, "web", text)->counter, slot);
        assert_int_equal(entry(w, "web", text)->number, number);
        assert_int_equal(rule_packets(w, text), 7);
        assert_int_equal(totals(w).packets, 7);
        assert_int_equal(totals(w).bytes, 700);
        assert_in_order(w);
}

static void test_counts_of_removed_rules(void **state) {
        static const char text[] = "allow in tcp/80";
        World *w = *state;
        uint32_t slot = entry(w, "web", text)->counter;
        uint16_t number = entry(w, "web", text)->number;
        UnitTotals t;

        fake_kernel_count(w->fake, slot,
                &(struct cgp_counter){ .packets = 7, .bytes = 700, .blocked = 3, .would = 2 });
        remove_rule(w, "web", text);
        t = totals(w);
        assert_int_equal(t.packets, 7);
        assert_int_equal(t.bytes, 700);
        assert_int_equal(t.blocked, 3);
        assert_int_equal(t.would, 2);

        /* The same text again is a new rule: programs that still run may count in the old slot. */
        add_only(w, "web", POLICY_ALLOW, "in tcp/80");
        assert_int_not_equal(entry(w, "web", text)->counter, slot);
        assert_int_not_equal(entry(w, "web", text)->number, number);
        assert_int_equal(rule_packets(w, text), 0);
        assert_int_equal(totals(w).packets, 7);
        restart(w);
        assert_int_equal(totals(w).packets, 7);
        assert_int_equal(totals(w).blocked, 3);

        /* A rule that goes while no daemon runs is not forgotten either. */
        put(w, "policy.d/10-site.json",
                "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"*\" ] }, \"rules\": [ \"deny out udp\" ] }");
        reload(w);
        slot = entry(w, "web", "deny out udp")->counter;
        fake_kernel_count(w->fake, slot, &(struct cgp_counter){ .blocked = 10 });
        assert_int_equal(world_stop(w), 0);
        put(w, "policy.d/10-site.json", NULL);
        assert_int_equal(world_start(w), 0);
        assert_int_equal(totals(w).blocked, 13);
        assert_in_order(w);
}

/* What the deny refused is not said to be of the allow that took its place. */
static void test_flip_is_a_new_rule(void **state) {
        static const char denied[] = "deny out tcp/443 to 192.0.2.99";
        static const char allowed[] = "allow out tcp/443 to 192.0.2.99";
        World *w = *state;
        uint32_t slot = entry(w, "web", denied)->counter;
        uint16_t number = entry(w, "web", denied)->number;
        _cleanup_free_ char *id = NULL;

        /* The last of its file, whose id would be the next one. */
        remove_rule(w, "web", "web.3");
        fake_kernel_count(w->fake, slot, &(struct cgp_counter){ .blocked = 5 });
        id = add(w, "web", POLICY_ALLOW, "out tcp/443 to 192.0.2.99");
        assert_string_not_equal(id, "web.2");
        assert_int_not_equal(entry(w, "web", allowed)->counter, slot);
        assert_int_not_equal(entry(w, "web", allowed)->number, number);
        assert_int_equal(totals(w).blocked, 5);
        assert_in_order(w);
}

static void test_slots_rest(void **state) {
        World *w = *state;
        uint32_t freed = entry(w, "web", "allow in tcp/80")->counter;

        remove_rule(w, "web", "web.3");
        for (unsigned i = 0; i < 50; i++) {
                char body[64];

                (void)snprintf(body, sizeof(body), "out udp/%u", 1000 + i);
                add_only(w, "web", POLICY_ALLOW, body);
        }
        for (size_t i = 0; i < unit_get_n_rules(unit(w, "web")); i++)
                assert_int_not_equal(unit(w, "web")->policy->stack.entries[i].counter, freed);
        assert_in_order(w);
}

/* -- Explain --------------------------------------------------------------------------------------- */

static char *explain(World *w, const PolicyFlow *flow, bool *ret_allow) {
        ManagerError error = { 0 };
        char *json = NULL;

        assert_ok(manager_explain(w->manager, "web", flow, &error, ret_allow, &json), &error);
        return json;
}

static void test_explain_agrees(void **state) {
        World *w = *state;
        bool allow;

        for (unsigned i = 0; i < fake_n_probes; i++) {
                _cleanup_free_ char *json = explain(w, &fake_probes[i].flow, &allow);

                assert_int_equal(allow, passes(w, "web", fake_probes[i].name));
                if (!strstr(json, "\"agrees\":true"))
                        fail_msg("%s: %s", fake_probes[i].name, json);
        }
}

static void test_explain_notices_tampering(void **state) {
        World *w = *state;
        uint64_t id = world_cgroup_id(w, "web");
        _cleanup_free_ char *json = NULL, *detached = NULL;
        ManagerError error = { 0 };
        uint64_t generation;
        bool allow;

        fake_kernel_tamper(w->fake, id, CGP_HOOK_EGRESS);
        json = explain(w, &fake_probes[1].flow, &allow);
        assert_true(allow);
        assert_non_null(strstr(json, "\"agrees\":false"));
        assert_non_null(strstr(json, "\"verdict\":\"deny\""));

        assert_ok(manager_detach(w->manager, "web", &error, &generation), &error);
        detached = explain(w, &fake_probes[2].flow, &allow);
        assert_true(allow);
        assert_non_null(strstr(detached, "\"reason\":\"not-attached\""));
        assert_non_null(strstr(detached, "\"checked\":false"));
}

static int tests(void) {
#define WEB(f) cmocka_unit_test_setup_teardown(f, setup_web, world_teardown)
        static const struct CMUnitTest list[] = {
                WEB(test_last_word_counts),
                WEB(test_remove),
                WEB(test_rules_of_files_stay),
                WEB(test_nonsense_is_refused),
                WEB(test_names_of_jobs),
                WEB(test_inactive),
                WEB(test_counters_are_stable),
                WEB(test_counts_of_removed_rules),
                WEB(test_flip_is_a_new_rule),
                WEB(test_slots_rest),
                WEB(test_explain_agrees),
                WEB(test_explain_notices_tampering),
        };

        return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
