/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a daemon remembers of a subject: written and read back, and refused in every damaged form. */
#include "core/unit-state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cgp-abi.h"
#include "temp-dir.h"
#include "util/io.h"
#include "util/macro.h"

#define NAME "web"

static UnitState *make_state(void) {
        UnitState *s = NULL;
        UnitStateRule *rule;

        assert_int_equal(unit_state_new(NAME, &s), 0);
        assert_int_equal(s->next_number, CGP_RULE_FIRST);
        s->subject = 4;
        s->cgroup_id = 123456789012345;
        s->generation = 77;
        s->detached = true;
        s->retired_packets = 1ULL << 40;
        s->retired_bytes = 1ULL << 62;
        s->retired_blocked = 3;
        s->retired_would = 2;
        for (unsigned i = 1; i < UNIT_STATE_RESERVED; i++)
                s->reserved[i] = 100 + i;
        assert_int_equal(unit_state_add(s, "runtime/web.json#web.1", &rule), 0);
        rule->slot = 107;
        /* A key is what somebody wrote. */
        assert_int_equal(unit_state_add(s, "local/a\"\\\n\xc3\xa9.json:allow out any", &rule), 0);
        rule->slot = 65535;
        return s;
}

static void assert_states_equal(const UnitState *a, const UnitState *b) {
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->subject, b->subject);
        assert_int_equal(a->cgroup_id, b->cgroup_id);
        assert_int_equal(a->generation, b->generation);
        assert_int_equal(a->detached, b->detached);
        assert_int_equal(a->next_number, b->next_number);
        assert_memory_equal(a->reserved, b->reserved, sizeof(a->reserved));
        assert_int_equal(a->retired_packets, b->retired_packets);
        assert_int_equal(a->retired_bytes, b->retired_bytes);
        assert_int_equal(a->retired_blocked, b->retired_blocked);
        assert_int_equal(a->retired_would, b->retired_would);
        assert_int_equal(a->n_rules, b->n_rules);
        for (size_t i = 0; i < a->n_rules; i++) {
                assert_string_equal(a->rules[i].key, b->rules[i].key);
                assert_int_equal(a->rules[i].number, b->rules[i].number);
                assert_int_equal(a->rules[i].slot, b->rules[i].slot);
        }
}

static void put(int fd, const char *name, const char *text, size_t size) {
        _cleanup_close_ int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(file >= 0);
        assert_int_equal(io_write_all(file, text, size), 0);
}

static char *get(int fd) {
        char *text = NULL;

        assert_int_equal(io_read_file(fd, NAME, 1 << 20, &text, NULL), 0);
        return text;
}

static void test_round_trip(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state(), *copy = NULL, *read = NULL;
        struct stat st;

        assert_int_equal(unit_state_copy(s, &copy), 0);
        assert_states_equal(s, copy);
        assert_int_equal(unit_state_save(s, fd), 0);
        assert_int_equal(fstatat(fd, NAME, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(unit_state_load(fd, NAME, &read), 0);
        assert_states_equal(s, read);

        assert_int_equal(unit_state_delete(fd, NAME), 0);
        assert_int_equal(unit_state_delete(fd, NAME), 0);
        read = unit_state_free(read);
        assert_int_equal(unit_state_load(fd, NAME, &read), -ENOENT);
        assert_null(read);
}

static char *replace(const char *text, const char *what, const char *with) {
        size_t n_before = 0;
        char *s = NULL;

        while (!startswith(text + n_before, what)) {
                if (text[n_before] == '\0')
                        fail_msg("no '%s' in %s", what, text);
                n_before++;
        }
        assert_true(asprintf(&s, "%.*s%s%s", (int)n_before, text, with,
                            text + n_before + strlen(what)) > 0);
        return s;
}

static void assert_refused(int fd, const char *text, size_t size) {
        UnitState *s = NULL;
        int r;

        put(fd, NAME, text, size);
        r = unit_state_load(fd, NAME, &s);
        if (r != -EBADMSG)
                fail_msg("%d: %.*s", r, (int)size, text);
        assert_null(s);
}

static void test_tampered(void **state) {
        static const struct {
                const char *what, *with;
        } changes[] = {
                { "\"version\":1", "\"version\":2" },
                { "\"version\":1", "\"version\":0" },
                { "\"version\":1", "\"version\":\"1\"" },
                { "\"version\":1,", "" },
                { "\"name\":\"web\"", "\"name\":\"db\"" },
                { "\"name\":\"web\"", "\"name\":7" },
                { "\"name\":\"web\",", "" },
                { "\"subject\":4", "\"subject\":0" },
                { "\"subject\":4", "\"subject\":-4" },
                { "\"subject\":4", "\"subject\":4096" },
                { "\"subject\":4", "\"subject\":4294967300" },
                { "\"subject\":4", "\"subject\":4.0" },
                { "\"subject\":4", "\"subject\":true" },
                { "\"subject\":4,", "" },
                { "\"cgroup-id\":123456789012345", "\"cgroup-id\":-1" },
                { "\"generation\":77", "\"generation\":-1" },
                { "\"generation\":77", "\"generation\":null" },
                { "\"detached\":1", "\"detached\":2" },
                { "\"detached\":1", "\"detached\":true" },
                { "\"next-number\":18", "\"next-number\":15" },
                { "\"next-number\":18", "\"next-number\":16016" },
                { "\"next-number\":18", "\"next-number\":65552" },
                { "\"retired-packets\":", "\"retired-packets\":-" },
                { "\"retired-would\":2", "\"retired-would\":\"2\"" },
                { "[0,101,", "[0,0," },
                { "[0,101,", "[0,-101," },
                { "[0,101,", "[0,65536," },
                { "[0,101,", "[0,\"101\"," },
                { "[0,101,", "[0,101.5," },
                { "[0,101,", "[0,[]," },
                { "[0,101,102,", "[0," },
                { "[0,101,", "[0,0,101," },
                { "\"reserved\":[", "\"reserved\":{},\"x\":[" },
                { "\"rules\":[", "\"rules\":7,\"x\":[" },
                { "\"rules\":[{", "\"rules\":[7,{" },
                { "\"number\":16", "\"number\":15" },
                { "\"number\":16", "\"number\":17" }, /* that of the other one */
                { "\"number\":16", "\"number\":16016" },
                { "\"number\":16", "\"number\":65552" },
                { "\"slot\":107", "\"slot\":0" },
                { "\"slot\":107", "\"slot\":65536" },
                { "\"slot\":107", "\"slot\":-1" },
                { "\"slot\":107", "\"slot\":null" },
                { "\"key\":\"runtime\\/web.json#web.1\"", "\"key\":7" },
                { "\"key\":\"runtime\\/web.json#web.1\",", "" },
                { "runtime\\/web.json#web.1", "local\\/a\\\"\\\\\\n\xc3\xa9.json:allow out any" },
        };
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state();
        _cleanup_free_ char *text = NULL;

        assert_int_equal(unit_state_save(s, fd), 0);
        text = get(fd);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_free_ char *bad = replace(text, changes[i].what, changes[i].with);

                assert_refused(fd, bad, strlen(bad));
        }
        /* The text itself is fine. */
        put(fd, NAME, text, strlen(text));
        s = unit_state_free(s);
        assert_int_equal(unit_state_load(fd, NAME, &s), 0);
}

static void test_cut_off_and_more(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state();
        _cleanup_free_ char *text = NULL, *more = NULL;

        assert_int_equal(unit_state_save(s, fd), 0);
        text = get(fd);
        for (size_t n = 0; n < strlen(text); n++)
                assert_refused(fd, text, n);
        assert_refused(fd, text, strlen(text) + 1); /* a NUL */
        assert_true(asprintf(&more, "%s%s", text, text) > 0);
        assert_refused(fd, more, strlen(more));
        assert_refused(fd, more, strlen(text) + 1);
        assert_refused(fd, "[]", 2);
        assert_refused(fd, "null", 4);
        assert_refused(fd, "\xff\xfe", 2);
}

/* Whatever is read is within its limits. */
static void test_random_bytes(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state();
        _cleanup_free_ char *text = NULL;
        uint64_t random = 4711;
        unsigned n_read = 0;

        assert_int_equal(unit_state_save(s, fd), 0);
        text = get(fd);
        for (unsigned i = 0; i < 5000; i++) {
                _cleanup_(unit_state_freep) UnitState *got = NULL;
                _cleanup_free_ char *bad = strdup(text);

                assert_non_null(bad);
                for (unsigned k = 0; k <= i % 3; k++) {
                        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                        bad[(random >> 33) % strlen(text)] = (char)(' ' + (random >> 20) % 95);
                }
                put(fd, NAME, bad, strlen(bad));
                if (unit_state_load(fd, NAME, &got) < 0)
                        continue;
                n_read++;
                assert_in_range(got->subject, 1, CGP_MAX_SUBJECTS - 1);
                assert_in_range(
                        got->next_number, CGP_RULE_FIRST, CGP_RULE_FIRST + CGP_MAX_RULES - 1);
                for (unsigned k = 1; k < UNIT_STATE_RESERVED - 1; k++)
                        assert_in_range(got->reserved[k], 1, CGP_MAX_COUNTERS - 1);
                assert_in_range(got->reserved[UNIT_STATE_RESERVED - 1], 0, CGP_MAX_COUNTERS - 1);
                for (size_t k = 0; k < got->n_rules; k++) {
                        assert_in_range(got->rules[k].number, CGP_RULE_FIRST,
                                CGP_RULE_FIRST + CGP_MAX_RULES - 1);
                        assert_in_range(got->rules[k].slot, 1, CGP_MAX_COUNTERS - 1);
                }
        }
        assert_true(n_read > 0);
}

/* As a predecessor wrote it, that knew no binds. */
static void test_fewer_reserved(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state(), *read = NULL;
        _cleanup_free_ char *text = NULL, *old = NULL;

        assert_int_equal(unit_state_save(s, fd), 0);
        text = get(fd);
        old = replace(text, ",107],", "],");
        put(fd, NAME, old, strlen(old));
        assert_int_equal(unit_state_load(fd, NAME, &read), 0);
        assert_int_equal(read->reserved[6], 106);
        assert_int_equal(read->reserved[7], 0);
}

/* As many as there may be are found, kept and read back without walking them all for each. */
static void test_many_rules(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state(), *copy = NULL, *read = NULL;
        _cleanup_free_ bool *keep = calloc(CGP_MAX_RULES, sizeof(*keep));
        char key[32];

        assert_non_null(keep);
        while (s->n_rules < CGP_MAX_RULES) {
                UnitStateRule *rule;

                (void)snprintf(key, sizeof(key), "many %zu", s->n_rules);
                keep[s->n_rules] = s->n_rules % 3 == 0;
                assert_int_equal(unit_state_add(s, key, &rule), 0);
                rule->slot = (uint32_t)s->n_rules;
        }
        assert_int_equal(unit_state_copy(s, &copy), 0);
        assert_int_equal(unit_state_save(s, fd), 0);
        assert_int_equal(unit_state_load(fd, NAME, &read), 0);
        assert_states_equal(s, read);
        unit_state_keep(copy, keep);
        for (size_t i = 10; i < CGP_MAX_RULES; i++) {
                const UnitStateRule *rule;

                (void)snprintf(key, sizeof(key), "many %zu", i);
                rule = unit_state_find(copy, key);
                assert_int_equal(rule != NULL, i % 3 == 0);
                if (rule)
                        assert_string_equal(rule->key, key);
        }
}

static void remove_one(UnitState *s, size_t i) {
        bool *keep = malloc(s->n_rules * sizeof(*keep));

        assert_non_null(keep);
        for (size_t k = 0; k < s->n_rules; k++)
                keep[k] = k != i;
        unit_state_keep(s, keep);
        free(keep);
}

static void test_numbers_go_round(void **state) {
        _cleanup_(unit_state_freep) UnitState *s = NULL;
        UnitStateRule *rule;
        char key[16];

        assert_int_equal(unit_state_new(NAME, &s), 0);
        for (unsigned i = 0; i < CGP_MAX_RULES; i++) {
                (void)snprintf(key, sizeof(key), "%u", i);
                assert_int_equal(unit_state_add(s, key, &rule), 0);
                assert_int_equal(rule->number, CGP_RULE_FIRST + i);
        }
        assert_int_equal(unit_state_add(s, "more", &rule), -E2BIG);
        assert_int_equal(s->n_rules, CGP_MAX_RULES);

        /* What is free is found, however far away. */
        assert_ptr_equal(unit_state_find(s, "1000"), &s->rules[1000]);
        remove_one(s, 1000);
        assert_null(unit_state_find(s, "1000"));
        assert_int_equal(unit_state_add(s, "more", &rule), 0);
        assert_int_equal(rule->number, CGP_RULE_FIRST + 1000);

        /* And not the one that has just become free. */
        remove_one(s, 0);
        remove_one(s, 2000);
        assert_int_equal(unit_state_add(s, "again", &rule), 0);
        assert_int_not_equal(rule->number, CGP_RULE_FIRST);
        assert_string_equal(unit_state_find(s, "again")->key, "again");
}

/* What is too long to be read back is not written, and what was there stays. */
static void test_too_long(void **state) {
        int fd = ((TempDir *)*state)->fd;
        _cleanup_(unit_state_freep) UnitState *s = make_state(), *big = make_state(), *read = NULL;
        _cleanup_free_ char *key = malloc(64 << 10);

        assert_int_equal(unit_state_save(s, fd), 0);
        assert_non_null(key);
        for (unsigned i = 0; i < 260; i++) {
                UnitStateRule *rule;

                memset(key, 'a', (64 << 10) - 1);
                key[(64 << 10) - 1] = '\0';
                (void)snprintf(key, 8, "%07u", i);
                key[7] = 'x';
                assert_int_equal(unit_state_add(big, key, &rule), 0);
                rule->slot = 200 + i;
        }
        assert_int_equal(unit_state_save(big, fd), -EFBIG);
        assert_int_equal(unit_state_load(fd, NAME, &read), 0);
        assert_states_equal(s, read);
}

int main(void) {
#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, temp_dir_setup, temp_dir_teardown)
        static const struct CMUnitTest tests[] = {
                DIR_TEST(test_round_trip),
                DIR_TEST(test_tampered),
                DIR_TEST(test_cut_off_and_more),
                DIR_TEST(test_random_bytes),
                cmocka_unit_test(test_numbers_go_round),
                DIR_TEST(test_fewer_reserved),
                DIR_TEST(test_many_rules),
                DIR_TEST(test_too_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
