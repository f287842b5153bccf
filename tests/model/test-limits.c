/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that a client can make grow comes to an end, with a sentence, and nothing has changed then. */
#include "checks.h"

typedef struct Before {
        char *force;
        char *files;
        uint32_t n_counters;
        uint32_t n_subjects;
} Before;

static Before remember(World *w) {
        return (Before){
                .force = world_in_force(w),
                .files = world_files(w, NULL),
                .n_counters = slots_n_free(w->manager->counters),
                .n_subjects = slots_n_free(w->manager->subjects),
        };
}

static void assert_unchanged(World *w, Before *before) {
        _cleanup_free_ char *force = world_in_force(w), *files = world_files(w, NULL);

        assert_same(before->force, force, "in force", 0);
        assert_same(before->files, files, "on disk", 0);
        assert_int_equal(slots_n_free(w->manager->counters), before->n_counters);
        assert_int_equal(slots_n_free(w->manager->subjects), before->n_subjects);
        free(before->force);
        free(before->files);
        *before = (Before){ 0 };
}

/* A file of n rules, each of a port of its own from first on. Owned. */
static char *file_of(const char *unit, unsigned n, unsigned first) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fprintf(f, "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"%s\" ] }, \"rules\": [", unit);
        for (unsigned i = 0; i < n; i++)
                fprintf(f, "%s\n\"allow out udp/%u\"", i == 0 ? "" : ",", first + i);
        fprintf(f, "] }\n");
        assert_int_equal(fclose(f), 0);
        return text;
}

static int apply(World *w, const char *name, const char *text, ManagerError *error) {
        _cleanup_free_ char *diff = NULL;
        uint64_t generation;

        return manager_apply(w->manager, name, text, false, error, &generation, &diff);
}

static void test_rules_of_a_file(void **state) {
        World *w = *state;
        _cleanup_free_ char *most = file_of("web", POLICY_FILE_RULES_MAX, 1);
        _cleanup_free_ char *more = file_of("web", POLICY_FILE_RULES_MAX + 1, 1);
        ManagerError error = { 0 };
        Before before;

        job(w, 0, "web", NULL);
        before = remember(w);
        assert_refused(
                apply(w, "a.json", more, &error), &error, MANAGER_ERROR_LIMIT_EXCEEDED, "16000");
        assert_unchanged(w, &before);
        assert_ok(apply(w, "a.json", most, &error), &error);
        assert_int_equal(unit_get_n_rules(unit(w, "web")), POLICY_FILE_RULES_MAX);
        assert_in_order(w);
        restart(w);
        assert_int_equal(unit_get_n_rules(unit(w, "web")), POLICY_FILE_RULES_MAX);
        assert_in_order(w);
}

static void test_rules_of_a_subject(void **state) {
        World *w = *state;
        _cleanup_free_ char *half = file_of("web", CGP_MAX_RULES / 2, 1);
        _cleanup_free_ char *rest = file_of("web", CGP_MAX_RULES / 2 + 1, 10000);
        ManagerError error = { 0 };
        uint64_t generation;
        char *id = NULL;
        Before before;

        job(w, 0, "web", NULL);
        assert_ok(apply(w, "a.json", half, &error), &error);
        before = remember(w);
        assert_refused(
                apply(w, "b.json", rest, &error), &error, MANAGER_ERROR_LIMIT_EXCEEDED, "web");
        assert_unchanged(w, &before);

        /* By a file that somebody wrote, at a reload and at a start. */
        put(w, "policy.d/99-more.json", rest);
        before = remember(w);
        assert_refused(manager_reload(w->manager, &error, &generation), &error,
                MANAGER_ERROR_LIMIT_EXCEEDED, "web");
        free(before.files);
        before.files = world_files(w, NULL); /* a copy of what is valid, only too much */
        assert_unchanged(w, &before);
        put(w, "policy.d/99-more.json", NULL);
        reload(w);
        free(rest);
        rest = file_of("web", CGP_MAX_RULES / 2, 10000);
        assert_ok(apply(w, "b.json", rest, &error), &error);
        before = remember(w);
        assert_refused(manager_add_rule(w->manager, "web", POLICY_ALLOW, "out icmp", NULL, &error,
                               &id, &generation),
                &error, MANAGER_ERROR_LIMIT_EXCEEDED, "web");
        assert_null(id);
        assert_unchanged(w, &before);
        assert_in_order(w);
}

/* As many as there may be make room for as many others. */
static void test_all_rules_at_once(void **state) {
        World *w = *state;
        _cleanup_free_ char *first = file_of("web", CGP_MAX_RULES, 1);
        _cleanup_free_ char *second = file_of("web", CGP_MAX_RULES, 20000);
        ManagerError error = { 0 };

        job(w, 0, "web", NULL);
        assert_ok(apply(w, "a.json", first, &error), &error);
        assert_ok(apply(w, "a.json", second, &error), &error);
        assert_true(has_rule(w, "web", "allow out udp/20000"));
        assert_in_order(w);
}

/* Takes all but n of them, as other subjects would. */
static void take_all_but(Slots *slots, uint32_t n) {
        while (slots_n_free(slots) > n) {
                uint32_t number;

                assert_int_equal(slots_take(slots, &number), 0);
        }
}

static void test_counters(void **state) {
        World *w = *state;
        static const char *const two[] = { "allow out icmp", "allow in icmp", NULL };
        ManagerError error = { 0 };
        uint64_t generation;
        char *id = NULL;
        Before before;

        job(w, 0, "web", NULL);
        take_all_but(w->manager->counters, UNIT_STATE_RESERVED);
        /* A job takes seven, and one for each rule. */
        before = remember(w);
        assert_int_equal(world_create(w, "db", POLICY_DEFAULT_DENY, two), -EREMOTEIO);
        assert_unchanged(w, &before);
        assert_int_equal(world_create(w, "db", POLICY_DEFAULT_DENY, two + 1), 0);
        assert_int_equal(world_enter(w, 1, "db"), 0);
        assert_int_equal(slots_n_free(w->manager->counters), 0);

        before = remember(w);
        assert_refused(manager_add_rule(w->manager, "web", POLICY_ALLOW, "out icmp", NULL, &error,
                               &id, &generation),
                &error, MANAGER_ERROR_LIMIT_EXCEEDED, "no counters left");
        assert_null(id);
        assert_unchanged(w, &before);
        remove_rule(w, "db", "allow in icmp");
        add_only(w, "web", POLICY_ALLOW, "out icmp");
        assert_int_equal(slots_n_free(w->manager->counters), 0);
}

static void test_subjects(void **state) {
        World *w = *state;
        JobOptions options = { 0 };
        ManagerError error = { 0 };
        uint64_t generation = 0;
        Before before;
        int fd = -EBADF;

        take_all_but(w->manager->subjects, 0);
        before = remember(w);
        assert_refused(manager_create_job(w->manager, "web", &options, w, &error, &fd, &generation),
                &error, MANAGER_ERROR_LIMIT_EXCEEDED, "subjects");
        assert_int_equal(fd, -EBADF);
        assert_int_equal(generation, 0);
        assert_unchanged(w, &before);
        assert_int_equal(faccessat(w->cgroup_fd, "web", F_OK, 0), -1);
}

static void test_text_of_a_rule(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        _cleanup_free_ char *body = NULL;
        uint64_t generation;
        char *id = NULL;
        Before before;
        size_t size;
        FILE *f = open_memstream(&body, &size);

        assert_non_null(f);
        fprintf(f, "out to 192.0.2.1");
        for (unsigned i = 0; i < POLICY_RULE_TEXT_MAX / 10; i++)
                fprintf(f, ",192.0.2.%u", i % 256);
        assert_int_equal(fclose(f), 0);
        job(w, 0, "web", NULL);
        before = remember(w);
        assert_refused(manager_add_rule(w->manager, "web", POLICY_ALLOW, body, NULL, &error, &id,
                               &generation),
                &error, MANAGER_ERROR_LIMIT_EXCEEDED, "column");
        assert_unchanged(w, &before);
}

/* Many addresses of many rules come to the end of the tables, not of the text. */
static void test_nodes(void **state) {
        World *w = *state;
        ManagerError error = { 0 };
        _cleanup_free_ char *text = NULL;
        Before before;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fprintf(f, "{ \"cgpolicy\": 1, \"match\": { \"units\": [ \"web\" ] }, \"rules\": [");
        for (uint32_t i = 0; i < 60000; i++) {
                uint32_t random = (i + 1) * 2654435761U;

                fprintf(f, "%s%x:%x:%x::%x",
                        i % 20           ? ","
                                : i == 0 ? "\n\"allow out to "
                                         : "\",\n\"allow out to ",
                        0x2001 + i % 13, random >> 16, (random & 0xffff) | 1, i + 1);
        }
        fprintf(f, "\"");
        fprintf(f, "] }\n");
        assert_int_equal(fclose(f), 0);
        job(w, 0, "web", NULL);
        before = remember(w);
        assert_refused(apply(w, "a.json", text, &error), &error, MANAGER_ERROR_LIMIT_EXCEEDED,
                "than a subject may have");
        assert_unchanged(w, &before);
        assert_in_order(w);
}

static int tests(void) {
#define STARTED(f) cmocka_unit_test_setup_teardown(f, setup_started, world_teardown)
        static const struct CMUnitTest list[] = {
                STARTED(test_rules_of_a_file),
                STARTED(test_rules_of_a_subject),
                STARTED(test_all_rules_at_once),
                STARTED(test_counters),
                STARTED(test_subjects),
                STARTED(test_text_of_a_rule),
                STARTED(test_nodes),
        };

        return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void) {
        return world_main(tests);
}
