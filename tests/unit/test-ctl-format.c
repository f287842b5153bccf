/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables, what reaches a terminal, strict JSON, and lines of the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "event-line.h"
#include "format.h"
#include "util/macro.h"

static char *print_table(const Table *table, bool legend, bool color) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        table_print(table, out, legend, color);
        assert_int_equal(fclose(out), 0);
        return text;
}

static void test_table(void **state) {
        static const char *const headers[] = { "UNIT", "RULES", "STATE", NULL };
        _cleanup_free_ char *with = NULL, *without = NULL, *colored = NULL;
        _cleanup_(table_freep) Table *table = NULL;

        assert_int_equal(table_new(headers, &table), 0);
        table_align_right(table, 1);
        assert_int_equal(
                table_add(
                        table, (TableCell[]){ { "w", NULL }, { "7", NULL }, { "ok", ANSI_GREEN } }),
                0);
        assert_int_equal(
                table_add(
                        table, (TableCell[]){ { "grün", NULL }, { "123", NULL }, { NULL, NULL } }),
                0);

        with = print_table(table, true, false);
        assert_string_equal(with,
                "UNIT  RULES  STATE\n"
                "w         7  ok\n"
                "grün    123  -\n");
        without = print_table(table, false, false);
        assert_string_equal(without,
                "w       7  ok\n"
                "grün  123  -\n");
        colored = print_table(table, false, true);
        assert_string_equal(colored,
                "w       7  " ANSI_GREEN "ok" ANSI_RESET "\n"
                "grün  123  -\n");
}

static void test_many_rows(void **state) {
        static const char *const headers[] = { "N", NULL };
        _cleanup_(table_freep) Table *table = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(table_new(headers, &table), 0);
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(table_add(table, (TableCell[]){ { "x", NULL } }), 0);
        text = print_table(table, true, false);
        assert_int_equal(strlen(text), 2 * 101);
}

static void test_terminal_bytes(void **state) {
        static const char *const cases[][2] = {
                { "plain ümlaut €", "plain ümlaut €" },
                { "\033[31mred\007\r\n\t\x7f", "?[31mred?????" },
                { "c1 \xc2\x9b"
                  "2J",
                        "c1 ??2J" },
                { "cut \xe2\x82", "cut ??" },
                { "overlong \xc0\xaf", "overlong ??" },
                { "overlong \xe0\x9f\xbf", "overlong ???" },
                { "surrogate \xed\xa0\x80", "surrogate ???" },
                { "beyond \xf4\x90\x80\x80", "beyond ????" },
                { "lone \x80", "lone ?" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *safe = text_make_safe(cases[i][0]);

                assert_string_equal(safe, cases[i][1]);
        }
}

static void test_json(void **state) {
        static const char *const refused[] = {
                "",
                "{",
                "{} x",
                "{\"a\":1,}",
                "nonsense",
                "{\"a\":\"\xff\"}",
                "'a'",
        };
        _cleanup_json_ struct json_object *object = NULL;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                assert_int_equal(json_parse(refused[i], &object), -EBADMSG);
        assert_null(object);

        assert_int_equal(
                json_parse("{\"s\":\"x\",\"n\":18446744073709551615,\"b\":true,\"o\":{},\"a\":[],"
                           "\"z\":null}",
                        &object),
                0);
        assert_string_equal(json_get_string(object, "s", "y"), "x");
        assert_string_equal(json_get_string(object, "n", "y"), "y");
        assert_string_equal(json_get_string(object, "z", "y"), "y");
        assert_true(json_get_u64(object, "n") == UINT64_MAX);
        assert_true(json_get_u64(object, "s") == 0);
        assert_true(json_get_bool(object, "b", false));
        assert_true(json_get_bool(object, "none", true));
        assert_non_null(json_get_object(object, "o"));
        assert_null(json_get_object(object, "a"));
        assert_non_null(json_get_array(object, "a"));
        assert_null(json_get_array(NULL, "a"));
}

static void test_time(void **state) {
        char buf[64];

        assert_int_equal(setenv("TZ", "ZZZ-1", 1), 0);
        tzset();
        assert_string_equal(
                event_time_to_local("2026-12-31T23:01:02.123999Z", buf), "2027-01-01 00:01:02.123");
        assert_string_equal(
                event_time_to_local("2026-01-01T00:00:00Z", buf), "2026-01-01 01:00:00.000");
        assert_string_equal(
                event_time_to_local("2026-01-01T00:00:00.5Z", buf), "2026-01-01 01:00:00.500");
        assert_string_equal(event_time_to_local("yesterday", buf), "yesterday");
        assert_string_equal(
                event_time_to_local("2026-01-01T00:00:00+02:00", buf), "2026-01-01T00:00:00+02:00");
}

static char *line_of(const char *json, bool color) {
        _cleanup_json_ struct json_object *event = NULL;
        char *line = NULL;

        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        tzset();
        assert_int_equal(json_parse(json, &event), 0);
        assert_int_equal(event_line_format(event, color, &line), 0);
        return line;
}

#define EVENT                                                                     \
        "{\"time\":\"2026-11-22T00:01:02.123456Z\",\"subject\":\"web\","          \
        "\"direction\":\"%s\",\"protocol\":\"tcp\",\"local\":\"10.0.0.2:40112\"," \
        "\"remote\":\"[2001:db8::1]:443\",\"pid\":%s,\"comm\":%s,\"uid\":%s,"     \
        "\"hook\":\"connect4\",\"rule\":\"default.out\",\"suppressed\":%s,"       \
        "\"generation\":7,\"action\":\"%s\",\"suggest\":%s}"

static char *event_of(const char *direction, const char *task, const char *uid,
        const char *suppressed, const char *action, const char *suggest) {
        _cleanup_free_ char *comm = NULL;
        char *json = NULL;

        assert_true(asprintf(&comm, streq(task, "null") ? "null" : "\"nginx\"") > 0);
        assert_true(asprintf(&json, EVENT, direction, task, comm, uid, suppressed, action,
                            suggest) > 0);
        return json;
}

static void test_event_line(void **state) {
        _cleanup_free_ char *out = event_of("out", "812", "33", "3", "denied", "\"out tcp/443\"");
        _cleanup_free_ char *in = event_of("in", "null", "null", "0", "would-deny", "null");
        _cleanup_free_ char *out_line = line_of(out, false), *in_line = line_of(in, false);
        _cleanup_free_ char *colored = line_of(out, true);

        assert_string_equal(out_line,
                "2026-11-22 00:01:02.123 web          DENIED out tcp 10.0.0.2:40112 -> "
                "[2001:db8::1]:443  nginx[812] uid 33  connect4  default.out  (+3 suppressed)  "
                "allow: out tcp/443");
        assert_string_equal(in_line,
                "2026-11-22 00:01:02.123 web          WOULD-DENY in  tcp [2001:db8::1]:443 -> "
                "10.0.0.2:40112  connect4  default.out");
        assert_non_null(strstr(colored, ANSI_RED " DENIED" ANSI_RESET " out"));
}

static void test_event_before_connect(void **state) {
        _cleanup_free_ char *line = line_of("{\"subject\":\"web\",\"direction\":\"out\","
                                            "\"local\":\"[::]:0\",\"remote\":\"[::1]:1\"}",
                false);

        assert_non_null(strstr(line, " * -> [::1]:1"));
}

/* A process names itself as it likes; the terminal must not follow its orders. */
static void test_hostile_event(void **state) {
        _cleanup_free_ char *line =
                line_of("{\"subject\":\"w\\u001b[2J\",\"comm\":\"a\\nb\"}", true);
        _cleanup_json_ struct json_object *array = NULL;
        char *none = NULL;

        assert_null(strchr(line, '\n'));
        assert_null(strstr(line, "\033[2J"));
        assert_int_equal(json_parse("[]", &array), 0);
        assert_int_equal(event_line_format(array, false, &none), -EBADMSG);
        assert_null(none);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_many_rows),
                cmocka_unit_test(test_terminal_bytes),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_event_line),
                cmocka_unit_test(test_event_before_connect),
                cmocka_unit_test(test_hostile_event),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
