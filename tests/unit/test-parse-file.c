/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy files: every file under data/policies and every shipped profile against what stands beside it, the
 * limits, mutants, and each allocation failing once.
 *
 * accepted/NAME.json reads as NAME.canonical, with the warnings in NAME.diag if there is one;
 * rejected/NAME.json is refused with exactly what NAME.diag says: the errno, then a line for each diagnostic.
 */
#include <dirent.h>
#include <stdio.h>

#include "policy-test.h"
#include "policy/set.h"
#include "util/strv.h"

static char *data_path(const char *directory, const char *name, const char *suffix) {
        char *path = NULL;

        assert_non_null(getenv("TEST_DATA"));
        assert_true(
                asprintf(&path, "%s/%s/%s%s", getenv("TEST_DATA"), directory, name, suffix) > 0);
        return path;
}

/* NULL if there is no such file. */
static char *read_data(
        const char *directory, const char *name, const char *suffix, size_t *ret_size) {
        _cleanup_free_ char *path = data_path(directory, name, suffix);
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        size_t size = 1 << 20;
        char *bytes;

        if (!f)
                return NULL;
        bytes = malloc(size);
        assert_non_null(bytes);
        *ret_size = fread(bytes, 1, size - 1, f);
        assert_true(feof(f));
        bytes[*ret_size] = '\0';
        return bytes;
}

/* The names of the JSON files, without the suffix, sorted. */
static char **list_data(const char *directory) {
        _cleanup_free_ char *path = data_path(directory, "", "");
        _cleanup_closedir_ DIR *d = opendir(path);
        _cleanup_(strv_freep) char **names = NULL;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
                char *suffix = strrchr(e->d_name, '.');

                if (!suffix || !streq(suffix, ".json"))
                        continue;
                *suffix = '\0';
                assert_int_equal(strv_extend(&names, e->d_name), 0);
        }
        return strv_sort(TAKE_PTR(names));
}

/* The errno, if there is one, and the diagnostics, as NAME.diag has them. */
static char *report(int r, const PolicyDiags *diags) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        if (r < 0)
                (void)fprintf(f, "%s\n", strerrorname_np(-r));
        for (size_t i = 0; i < diags->n_diags; i++) {
                _cleanup_free_ char *s = policy_diag_to_string(diags->diags + i);

                (void)fprintf(f, "%s [%s]\n", s, diags->diags[i].code);
        }
        assert_int_equal(fclose(f), 0);
        return text;
}

/* What is printed for a file must be the file, also where no service has a name. */
static char *assert_round_trip(const PolicyFile *file) {
        _cleanup_(policy_file_freep) PolicyFile *again = NULL;
        _cleanup_free_ char *json = policy_file_to_json(file), *twice = NULL;

        assert_non_null(json);
        assert_int_equal(policy_parse_file(file->path, json, strlen(json), NULL, NULL, &again), 0);
        assert_files_equal(file, again);
        twice = policy_file_to_json(again);
        assert_string_equal(json, twice);
        return TAKE_PTR(json);
}

static void test_accepted(void **state) {
        _cleanup_(strv_freep) char **names = list_data("policies/accepted");

        assert_true(strv_length(names) >= 10);
        for (char **name = names; *name; name++) {
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                _cleanup_free_ char *bytes = NULL, *canonical = NULL, *expected = NULL,
                                    *json = NULL;
                _cleanup_free_ char *warnings = NULL, *reported = NULL;
                size_t size, ignored;
                int r;

                bytes = read_data("policies/accepted", *name, ".json", &size);
                canonical = read_data("policies/accepted", *name, ".canonical", &ignored);
                warnings = read_data("policies/accepted", *name, ".diag", &ignored);
                r = policy_parse_file(*name, bytes, size, &test_services, &diags, &file);
                reported = report(r, &diags);
                if (r < 0)
                        print_error("%s", reported);
                assert_int_equal(r, 0);
                assert_string_equal(reported, strempty(warnings));
                json = assert_round_trip(file);
                if (!canonical)
                        print_error("%s.canonical:\n%s", *name, json);
                assert_non_null(canonical);
                assert_string_equal(json, canonical);
        }
}

static void test_rejected(void **state) {
        static const PolicyFile untouched;
        _cleanup_(strv_freep) char **names = list_data("policies/rejected");
        size_t n_wrong = 0;

        assert_true(strv_length(names) >= 80);
        for (char **name = names; *name; name++) {
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                _cleanup_free_ char *bytes = NULL, *expected = NULL, *reported = NULL;
                PolicyFile *file = (PolicyFile *)(uintptr_t)&untouched;
                size_t size, ignored;
                int r;

                bytes = read_data("policies/rejected", *name, ".json", &size);
                expected = read_data("policies/rejected", *name, ".diag", &ignored);
                r = policy_parse_file(*name, bytes, size, &test_services, &diags, &file);
                assert_true(r < 0);
                assert_ptr_equal(file, &untouched);
                assert_true(diags.n_errors > 0);
                reported = report(r, &diags);
                if (!streq(reported, strempty(expected))) {
                        print_error("%s.diag:\n%s", *name, reported);
                        n_wrong++;
                }
                /* Who wants no diagnostics gets the same answer. */
                assert_int_equal(
                        policy_parse_file(*name, bytes, size, &test_services, NULL, &file), r);
        }
        assert_int_equal(n_wrong, 0);
}

static void test_profiles(void **state) {
        _cleanup_(strv_freep) char **names = list_data("../../policies/profiles");
        size_t n = 0;

        assert_true(strv_length(names) >= 5);
        for (char **name = names; *name; name++, n++) {
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                _cleanup_free_ char *bytes = NULL, *json = NULL;
                size_t size;

                bytes = read_data("../../policies/profiles", *name, ".json", &size);
                assert_int_equal(policy_parse_file(*name, bytes, size, NULL, &diags, &file), 0);
                assert_int_equal(diags.n_diags, 0);
                assert_string_equal(file->name, *name);
                assert_true(policy_profile_name_is_valid(*name));
                assert_false(file->has_match);
                /* A profile closes: what it does not name is denied. */
                assert_int_equal(file->default_in, POLICY_DEFAULT_DENY);
                assert_int_equal(file->default_out, POLICY_DEFAULT_DENY);
                assert_int_equal(file->mode, POLICY_MODE_UNSET);
                for (size_t i = 0; i < file->n_rules; i++)
                        assert_non_null(file->rules[i]->comment);
                json = assert_round_trip(file);
                assert_string_equal(json, bytes);
                assert_string_equal(policy_builtin_profiles[n], *name);
                assert_string_equal(policy_builtin_profile(*name), bytes);
        }
        assert_null(policy_builtin_profiles[n]);
        assert_null(policy_builtin_profile("no-such-profile"));
        assert_null(policy_builtin_profile(""));
}

static void test_places(void **state) {
        static const char json[] = "{ \"cgpolicy\": 1,\n"
                                   "  \"match\": {\"units\": [\"a\"]},\n"
                                   "  \"mode\": \"audit\", \"profile\":\n"
                                   "    \"p\",\n"
                                   "  \"default\": { \"out\": \"deny\", \"in\": \"allow\" },\n"
                                   "  \"rules\": [ \"deny any\", { \"id\": \"x\",\n"
                                   "    \"allow\": \"tcp\" } ],\n"
                                   "   \"errno\": \"EPERM\", \"lists\":{\n"
                                   "  \"l\": { \"networks\": [ ] } } }";
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", json, strlen(json), NULL, NULL, &file), 0);
        assert_string_equal(file->mode_source.path, "/p");
        assert_int_equal(file->mode_source.line, 3);
        assert_int_equal(file->mode_source.column, 11);
        assert_int_equal(file->profile_source.line, 4);
        assert_int_equal(file->profile_source.column, 5);
        assert_int_equal(file->default_out_source.line, 5);
        assert_int_equal(file->default_out_source.column, 23);
        assert_int_equal(file->default_in_source.column, 37);
        assert_int_equal(file->rules[0]->source.line, 6);
        assert_int_equal(file->rules[0]->source.column, 15);
        assert_int_equal(file->rules[1]->source.line, 7);
        assert_int_equal(file->rules[1]->source.column, 15);
        assert_ptr_equal(file->rules[1]->source.path, file->path);
        assert_string_equal(file->rules[1]->id, "x");
        assert_int_equal(file->refusal_source.line, 8);
        assert_int_equal(file->refusal_source.column, 13);
        assert_string_equal(file->lists[0].name, "l");
        assert_ptr_equal(file->lists[0].source.path, file->path);
        assert_int_equal(file->lists[0].source.line, 9);
        assert_int_equal(file->lists[0].source.column, 3);
}

static void test_default_of_both(void **state) {
        static const char json[] = "{\"cgpolicy\":1,\"default\":\"deny\"}";
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", json, strlen(json), NULL, NULL, &file), 0);
        assert_int_equal(file->default_in, POLICY_DEFAULT_DENY);
        assert_int_equal(file->default_out, POLICY_DEFAULT_DENY);
        assert_int_equal(file->default_in_source.column, 25);
        assert_int_equal(file->default_out_source.column, 25);
}

/* A file of n elements, each made by format from its number. */
static char *repeat(const char *before, const char *format, unsigned n, const char *after) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        (void)fputs(before, f);
        for (unsigned i = 0; i < n; i++) {
                (void)fputs(i > 0 ? "," : "", f);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                (void)fprintf(f, format, i);
#pragma GCC diagnostic pop
        }
        (void)fputs(after, f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void assert_limit(
        const char *before, const char *format, unsigned max, const char *after, const char *code) {
        for (unsigned more = 0; more < 2; more++) {
                _cleanup_free_ char *json = repeat(before, format, max + more, after);
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                int r;

                r = policy_parse_file("/p", json, strlen(json), NULL, &diags, &file);
                assert_int_equal(r, more ? -E2BIG : 0);
                if (more)
                        assert_string_equal(diags.diags[0].code, code);
        }
}

static void test_limits(void **state) {
        assert_limit("{\"cgpolicy\":1,\"rules\":[", "\"allow tcp/%u\"", POLICY_FILE_RULES_MAX, "]}",
                "too-many-rules");
        assert_limit("{\"cgpolicy\":1,\"match\":{\"units\":[", "\"u%u\"", POLICY_FILE_MATCH_MAX,
                "]}}", "too-many-patterns");
        assert_limit("{\"cgpolicy\":1,\"match\":{\"units\":[\"a\"]},\"lists\":{",
                "\"l%u\":{\"networks\":[]}", POLICY_FILE_LISTS_MAX, "}}", "too-many-lists");
        assert_limit("{\"cgpolicy\":1,\"match\":{\"units\":[\"a\"],\"not\":[", "\"u%u\"",
                POLICY_FILE_MATCH_MAX, "]}}", "too-many-patterns");
}

static void test_value_limit(void **state) {
        _cleanup_free_ char *json = repeat("{\"x\":[", "%u", 70000, "]}");
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", json, strlen(json), NULL, &diags, &file), -E2BIG);
        assert_string_equal(diags.diags[0].code, "json-limit");
}

static void test_size_limit(void **state) {
        _cleanup_free_ char *json = malloc(POLICY_FILE_SIZE_MAX + 1);
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        memset(json, ' ', POLICY_FILE_SIZE_MAX + 1);
        memcpy(json, "{\"cgpolicy\":1}", 14);
        assert_int_equal(
                policy_parse_file("/p", json, POLICY_FILE_SIZE_MAX + 1, NULL, &diags, &file),
                -E2BIG);
        assert_string_equal(diags.diags[0].code, "file-too-long");
        assert_int_equal(policy_parse_file("/p", json, POLICY_FILE_SIZE_MAX, NULL, NULL, &file), 0);
}

/* A file full of errors and of rules that cover each other is bounded work and a bounded report. */
static void test_many_diagnostics(void **state) {
        _cleanup_free_ char *bad = repeat(
                "{\"cgpolicy\":1,\"rules\":[", "\"allow tpc/%u\"", POLICY_FILE_RULES_MAX, "]}");
        _cleanup_free_ char *covered = repeat("{\"cgpolicy\":1,\"rules\":[\"allow any\",",
                "\"allow tcp/%u\"", POLICY_FILE_RULES_MAX - 1, "]}");
        _cleanup_(policy_diags_done) PolicyDiags diags = {}, warnings = {};
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", bad, strlen(bad), NULL, &diags, &file), -EINVAL);
        assert_int_equal(diags.n_errors, POLICY_FILE_RULES_MAX);
        assert_int_equal(diags.n_diags, POLICY_DIAGS_MAX);
        assert_int_equal(diags.n_dropped, POLICY_FILE_RULES_MAX - POLICY_DIAGS_MAX);
        assert_int_equal(
                policy_parse_file("/p", covered, strlen(covered), NULL, &warnings, &file), 0);
        assert_int_equal(warnings.n_errors, 0);
        assert_int_equal(warnings.n_diags, POLICY_DIAGS_MAX);
        assert_string_equal(warnings.diags[0].code, "covered-rule");
}

/* Each network of an inline list is one that the reader of lists takes. */
static void test_networks(void **state) {
        static const char json[] =
                "{\"cgpolicy\":1,\"match\":{\"units\":[\"a\"]},\"lists\":{\"l\":{\"networks\":["
                "\"10.0.0.0/8\",\"10.0.0.1\",\"0.0.0.0/0\",\"::/0\",\"::1\",\"2001:db8::/32\","
                "\"10.0.0.1-10.0.0.9\",\"2001:db8::1-2001:db8::ff\",\"::ffff:10.0.0.0/104\","
                "\"::ffff:10.0.0.1\",\"::ffff:0:0/96\",\"::fffe:0:0/95\",\"10.0.0.0-10.0.0.255\","
                "\"::ffff:10.0.0.1-10.0.0.9\",\"0.0.0.0-255.255.255.255\","
                "\"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\"]}}}";
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", json, strlen(json), NULL, NULL, &file), 0);
        assert_int_equal(strv_length(file->lists[0].networks), 16);
        for (char **s = file->lists[0].networks; *s; s++) {
                char *const one[] = { *s, NULL };
                _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
                _cleanup_(policy_diags_done) PolicyDiags diags = {};

                if (policy_list_from_strv("l", "/p", 1, one, &diags, &list) < 0)
                        fail_msg("%s: %s", *s, diags.diags[0].message);
                assert_true(list->n_networks4 + list->n_networks6 > 0);
        }
}

/* An inline list as long as a file lets it be. */
static void test_long_list(void **state) {
        _cleanup_free_ char *json = repeat(
                "{\"cgpolicy\":1,\"match\":{\"units\":[\"a\"]},\"lists\":{\"l\":{\"networks\":[",
                "\"2001:db8::%x\"", 60000, "]}}}");
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_parse_file("/p", json, strlen(json), NULL, NULL, &file), 0);
        assert_int_equal(strv_length(file->lists[0].networks), 60000);
        assert_string_equal(file->lists[0].networks[59999], "2001:db8::ea5f");
}

/* Bytes that end at the end of a page, without a terminator: nothing may be read behind them. */
static void test_no_terminator(void **state) {
        static const char json[] =
                "{\"cgpolicy\":1,\"name\":\"\\u00e4\",\"rules\":[\"deny tcp/80\"]}";

        for (size_t n = 0; n <= strlen(json); n++) {
                _cleanup_free_ char *exact = malloc(MAX(n, (size_t)1));
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                int r;

                memcpy(exact, json, n);
                r = policy_parse_file("/p", exact, n, NULL, NULL, &file);
                assert_int_equal(r, n == strlen(json) ? 0 : -EINVAL);
        }
}

static void test_valid(void **state) {
        static char long_name[POLICY_COMMENT_MAX + 2];

        assert_true(policy_id_is_valid("a.B_9:@-"));
        assert_false(policy_id_is_valid(""));
        assert_false(policy_id_is_valid("a b"));
        assert_false(policy_id_is_valid("a/b"));
        assert_true(policy_profile_name_is_valid("web-server"));
        assert_true(policy_profile_name_is_valid("9.x_y"));
        assert_false(policy_profile_name_is_valid(".."));
        assert_false(policy_profile_name_is_valid("-x"));
        assert_false(policy_profile_name_is_valid("a/b"));
        assert_true(policy_list_name_is_valid("bad-hosts_1.x"));
        assert_false(policy_list_name_is_valid(""));
        assert_false(policy_list_name_is_valid("_x"));
        assert_false(policy_list_name_is_valid("@x"));
        assert_true(policy_list_path_is_valid("../lists/\xc3\xa4 b"));
        assert_false(policy_list_path_is_valid(""));
        assert_false(policy_list_path_is_valid("a\n"));
        assert_true(policy_interface_name_is_valid("e"));
        assert_true(policy_interface_name_is_valid("wg-home.1_x@y+z%d"));
        for (const char *c = "/:,*! \t\n\v\x01\x7f\xc3"; *c; c++) {
                const char name[] = { 'a', *c, 'b', '\0' };

                assert_false(policy_interface_name_is_valid(name));
        }
        assert_false(policy_interface_name_is_valid(""));
        assert_false(policy_interface_name_is_valid("."));
        assert_false(policy_interface_name_is_valid(".."));
        assert_false(policy_interface_name_is_valid("any"));
        assert_false(policy_interface_name_is_valid("tun+"));
        assert_true(policy_comment_is_valid(""));
        assert_true(policy_comment_is_valid("gr\xc3\xbcn"));
        assert_false(policy_comment_is_valid("gr\xfcn"));
        assert_false(policy_comment_is_valid("a\nb"));
        assert_false(policy_comment_is_valid("a\x7f"));
        assert_false(policy_comment_is_valid("a\xc2\x9b"));
        assert_true(policy_glob_is_valid("*"));
        assert_false(policy_glob_is_valid(""));

        memset(long_name, 'x', sizeof(long_name) - 1);
        assert_false(policy_comment_is_valid(long_name));
        long_name[POLICY_COMMENT_MAX] = '\0';
        assert_true(policy_comment_is_valid(long_name));
        long_name[POLICY_NAME_MAX + 1] = '\0';
        assert_false(policy_glob_is_valid(long_name));
        long_name[POLICY_NAME_MAX] = '\0';
        assert_true(policy_glob_is_valid(long_name));
        long_name[POLICY_INTERFACE_MAX + 1] = '\0';
        assert_false(policy_interface_name_is_valid(long_name));
        long_name[POLICY_INTERFACE_MAX] = '\0';
        assert_true(policy_interface_name_is_valid(long_name));
        long_name[POLICY_ID_MAX + 1] = '\0';
        assert_false(policy_list_name_is_valid(long_name));
        assert_false(policy_id_is_valid(long_name));
        assert_false(policy_profile_name_is_valid(long_name));
        long_name[POLICY_ID_MAX] = '\0';
        assert_true(policy_id_is_valid(long_name));
        assert_true(policy_profile_name_is_valid(long_name));
}

static void test_mutations(void **state) {
        static const char *const pieces[] = { "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0041",
                "\\ud83d", "\\u0000", "null", "true", "1", "-", "0", "NaN", "1e9", "\n", " ", "\t",
                "\"cgpolicy\":1", "\"mode\":\"off\",", "\"id\":\"x\",", "\"rules\":[",
                "\"deny any\",", "\"default\":\"deny\",", "\"units\":[\"a\"]", "allow", "deny",
                "never", "comment", "tcp/", "errno", "EACCES", "\"lists\":{",
                "\"x\":{\"networks\":[]},", "networks", "\"file\":\"f\",", "keep-last",
                "10.0.0.0/8", "bind", " via eth0", "@a", "lan", "\xc3\xa4", "\xff", "//", "https",
                NULL };
        _cleanup_(strv_freep) char **names = list_data("policies/accepted");
        struct {
                char *text;
                size_t size;
        } seeds[64];
        size_t n_seeds = strv_length(names), n_accepted = 0;
        uint64_t random = 0x13198a2e03707344ULL;

        assert_in_range(n_seeds, 10, ELEMENTSOF(seeds));
        for (size_t i = 0; i < n_seeds; i++)
                seeds[i].text = read_data("policies/accepted", names[i], ".json", &seeds[i].size);
        for (unsigned i = 0; i < 30000; i++) {
                size_t seed = test_random(&random) % n_seeds, n = seeds[seed].size;
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                _cleanup_free_ char *exact = NULL, *json = NULL;
                char text[2048];
                int r;

                assert_true(n < sizeof(text));
                memcpy(text, seeds[seed].text, n);
                test_mutate(&random, text, &n, sizeof(text), pieces);
                /* Just as long as it is, so that a checker of memory sees one byte too far. */
                exact = malloc(MAX(n, (size_t)1));
                memcpy(exact, text, n);
                r = policy_parse_file("/p", exact, n, &test_services, &diags, &file);
                if (r == 0) {
                        assert_int_equal(diags.n_errors, 0);
                        json = assert_round_trip(file);
                        n_accepted++;
                        continue;
                }
                assert_true(r == -EINVAL || r == -E2BIG || r == -EOPNOTSUPP);
                assert_true(diags.n_errors > 0);
                assert_null(file);
        }
        for (size_t i = 0; i < n_seeds; i++)
                free(seeds[i].text);
        /* Else this would prove nothing about what is accepted. */
        assert_in_range(n_accepted, 1000, 29000);
}

#ifdef TEST_MEMORY_FAILS
static char *full;
static size_t full_size;
static PolicyFile *full_file;

static void attempt_parse(bool *ret_memory_failed) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        int r;

        r = policy_parse_file("full", full, full_size, &test_services, &diags, &file);
        assert_int_equal(r, test_memory_failed() ? -ENOMEM : 0);
        if (r == 0)
                assert_files_equal(file, full_file);
        else {
                assert_true(diags.n_errors > 0);
                assert_null(file);
        }
        *ret_memory_failed = r < 0;
}

static void test_no_memory(void **state) {
        full = read_data("policies/accepted", "full", ".json", &full_size);
        assert_int_equal(
                policy_parse_file("full", full, full_size, &test_services, NULL, &full_file), 0);
        test_each_allocation_fails(attempt_parse);
        full_file = policy_file_free(full_file);
        free(full);
}
#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_rejected),
                cmocka_unit_test(test_profiles),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_default_of_both),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_value_limit),
                cmocka_unit_test(test_size_limit),
                cmocka_unit_test(test_many_diagnostics),
                cmocka_unit_test(test_networks),
                cmocka_unit_test(test_long_list),
                cmocka_unit_test(test_no_terminator),
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_mutations),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("parse-file", tests, NULL, NULL);
}
