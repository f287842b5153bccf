/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where options may stand, and what "--" separates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exit-codes.h"
#include "options.h"
#include "util/macro.h"

/* Static, because the command is borrowed from it. */
#define PARSE(options, ...)                                            \
        ({                                                             \
                static char *_argv[] = { "cgpolicyctl", __VA_ARGS__ }; \
                                                                       \
                options_parse(options, (int)ELEMENTSOF(_argv), _argv); \
        })

static void test_before_and_after_the_verb(void **state) {
        _cleanup_(options_done) Options options = {};

        assert_int_equal(
                PARSE(&options, "-q", "log", "--json=short", "web", "-n", "5", "db", "-f"), CTL_OK);
        assert_int_equal(options.n_args, 3);
        assert_string_equal(options.args[0], "log");
        assert_string_equal(options.args[1], "web");
        assert_string_equal(options.args[2], "db");
        assert_null(options.args[3]);
        assert_int_equal(options.json, JSON_SHORT);
        assert_true(options.quiet);
        assert_int_equal(options.lines, 5);
        assert_int_equal(options.seen, OPTION_LINES | OPTION_FOLLOW);
        assert_null(options.command);
}

/* Also where POSIX behaviour of getopt is asked for. */
static void test_posixly_correct(void **state) {
        _cleanup_(options_done) Options options = {};

        assert_int_equal(setenv("POSIXLY_CORRECT", "1", 1), 0);
        assert_int_equal(PARSE(&options, "status", "--no-legend", "web"), CTL_OK);
        assert_int_equal(unsetenv("POSIXLY_CORRECT"), 0);
        assert_int_equal(options.n_args, 2);
        assert_false(options.legend);
}

static void test_command(void **state) {
        _cleanup_(options_done) Options options = {};

        assert_int_equal(
                PARSE(&options, "run", "web", "--rule=allow out tcp/443", "--rule", "deny in any",
                        "--default=deny", "--", "cmd", "--json=short", "--", "-x"),
                CTL_OK);
        assert_int_equal(options.n_args, 2);
        assert_int_equal(options.n_rules, 2);
        assert_string_equal(options.rules[0], "allow out tcp/443");
        assert_string_equal(options.rules[1], "deny in any");
        assert_string_equal(options.default_verdict, "deny");
        assert_int_equal(options.json, JSON_OFF);
        assert_int_equal(options.n_command, 4);
        assert_string_equal(options.command[0], "cmd");
        assert_string_equal(options.command[2], "--");
        assert_string_equal(options.command[3], "-x");
}

static void test_empty_command(void **state) {
        _cleanup_(options_done) Options options = {};

        assert_int_equal(PARSE(&options, "run", "web", "--"), CTL_OK);
        assert_non_null(options.command);
        assert_int_equal(options.n_command, 0);
}

static void test_private_directory(void **state) {
        _cleanup_(options_done) Options from_environment = {}, from_option = {};

        assert_int_equal(setenv("CGPOLICY_PRIVATE", "/a", 1), 0);
        assert_int_equal(PARSE(&from_environment, "status"), CTL_OK);
        assert_string_equal(from_environment.private_dir, "/a");
        assert_int_equal(PARSE(&from_option, "status", "--private", "/b"), CTL_OK);
        assert_string_equal(from_option.private_dir, "/b");
        assert_int_equal(unsetenv("CGPOLICY_PRIVATE"), 0);
}

static void test_lines(void **state) {
        _cleanup_(options_done) Options all = {}, none = {};

        assert_int_equal(PARSE(&all, "log", "-n", "all"), CTL_OK);
        assert_int_equal(all.lines, OPTION_LINES_ALL);
        assert_int_equal(PARSE(&none, "log", "-n0"), CTL_OK);
        assert_int_equal(none.lines, 0);
}

static void test_refused(void **state) {
        Options options;

        assert_int_equal(PARSE(&options, "status", "--jsn=short"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "status", "--json=yes"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "status", "--color=maybe"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "status", "-Z"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "status", "--private="), CTL_USAGE);
        assert_int_equal(PARSE(&options, "status", "--private"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "log", "-n", "-1"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "log", "-n", "4294967295"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "log", "-n", "99999999999999999999"), CTL_USAGE);
        assert_int_equal(PARSE(&options, "run", "a", "--mode=off", "--mode=audit"), CTL_USAGE);
}

static void test_names_of_bits(void **state) {
        assert_string_equal(option_to_string(OPTION_LINES), "--lines");
        assert_string_equal(option_to_string(OPTION_RULE), "--rule");
        assert_string_equal(option_to_string(OPTION_COMMENT), "--comment");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_before_and_after_the_verb),
                cmocka_unit_test(test_posixly_correct),
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_empty_command),
                cmocka_unit_test(test_private_directory),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_names_of_bits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
