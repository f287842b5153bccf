/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Diagnostics: how they are kept, printed and bounded, and which misspelt words are guessed. */
#include "policy/diag.h"

#include "policy-test.h"

static void test_add(void **state) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};

        policy_diags_add(&diags, POLICY_ERROR, "bad-port", "a.json", 3, 7, "port %d", 99999);
        policy_diags_add(&diags, POLICY_WARNING, "duplicate-rule", NULL, 0, 0, "twice");
        assert_int_equal(diags.n_diags, 2);
        assert_int_equal(diags.n_errors, 1);
        assert_int_equal(diags.n_dropped, 0);
        assert_string_equal(diags.diags[0].code, "bad-port");
        assert_string_equal(diags.diags[0].path, "a.json");
        assert_int_equal(diags.diags[0].line, 3);
        assert_int_equal(diags.diags[0].column, 7);
        assert_string_equal(diags.diags[0].message, "port 99999");
        assert_null(diags.diags[1].path);

        policy_diags_add(NULL, POLICY_ERROR, "bad-port", NULL, 0, 0, "nobody listens");
}

static void test_limit(void **state) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};

        for (unsigned i = 0; i < POLICY_DIAGS_MAX + 5; i++)
                policy_diags_add(&diags, i % 2 ? POLICY_WARNING : POLICY_ERROR, "some", "p", i, 1,
                        "number %u", i);
        assert_int_equal(diags.n_diags, POLICY_DIAGS_MAX);
        assert_int_equal(diags.n_dropped, 5);
        assert_int_equal(diags.n_errors, (POLICY_DIAGS_MAX + 5 + 1) / 2);
        assert_string_equal(diags.diags[POLICY_DIAGS_MAX - 1].message, "number 99");

        policy_diags_done(&diags);
        assert_null(diags.diags);
        assert_int_equal(diags.n_diags, 0);
        assert_int_equal(diags.n_errors, 0);
}

static void test_to_string(void **state) {
        static char path[] = "/etc/x.json", message[] = "no such thing";
        static const struct {
                PolicyDiag diag;
                const char *expected;
        } cases[] = {
                { { POLICY_ERROR, "c", path, 2, 14, message }, "/etc/x.json:2:14: no such thing" },
                { { POLICY_ERROR, "c", path, 2, 0, message }, "/etc/x.json:2: no such thing" },
                { { POLICY_ERROR, "c", path, 0, 0, message }, "/etc/x.json: no such thing" },
                { { POLICY_ERROR, "c", path, 0, 4, message },
                        "/etc/x.json: column 4: no such thing" },
                { { POLICY_ERROR, "c", NULL, 0, 0, message }, "no such thing" },
                { { POLICY_ERROR, "c", NULL, 0, 4, message }, "column 4: no such thing" },
                { { POLICY_ERROR, "c", NULL, 2, 14, message }, "2:14: no such thing" },
                { { POLICY_WARNING, "c", path, 2, 14, message },
                        "/etc/x.json:2:14: warning: no such thing" },
                { { POLICY_WARNING, "c", NULL, 0, 0, message }, "warning: no such thing" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *s = policy_diag_to_string(&cases[i].diag);

                assert_non_null(s);
                assert_string_equal(s, cases[i].expected);
        }
}

static void test_did_you_mean(void **state) {
        static const char *const words[] = { "allow", "deny", "never", "in", "out", "tcp", "udp",
                "web-server", "web-client", NULL };
        static const struct {
                const char *word;
                const char *expected;
        } cases[] = {
                { "alow", "allow" },   /* one letter short */
                { "alllow", "allow" }, /* one too many */
                { "allwo", "allow" },  /* swapped */
                { "tpc", "tcp" },      /* swapped */
                { "ucp", "tcp" },      /* the first of two that are as close */
                { "TCP", "tcp" },      /* case */
                { "dney", "deny" },    /* swapped */
                { "inn", "in" },       /* one too many in a short word */
                { "webserver", "web-server" },
                { "web-serveer", "web-server" },
                { "wep-klient", "web-client" }, /* two of ten */
                { "x", NULL },                  /* one letter is no evidence */
                { "", NULL },
                { "quic", NULL },
                { "banana", NULL },
                { "adeny", "deny" },
                { "xxdeny", NULL }, /* two errors in four letters */
                { "tcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcptcp",
                        NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *meant = policy_did_you_mean(cases[i].word, words);

                if (cases[i].expected) {
                        assert_non_null(meant);
                        assert_string_equal(meant, cases[i].expected);
                } else
                        assert_null(meant);
        }
        assert_null(policy_did_you_mean("allow", (const char *const[]){ NULL }));
}

#ifdef TEST_MEMORY_FAILS
static void attempt_add(bool *ret_memory_failed) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_free_ char *s = NULL;

        for (unsigned i = 1; i <= 5; i++)
                policy_diags_add(&diags, POLICY_ERROR, "some", "path", i, 1, "number %u", i);
        /* The count holds whatever happens to the text. */
        assert_int_equal(diags.n_errors, 5);
        assert_int_equal(diags.n_diags + diags.n_dropped, 5);
        *ret_memory_failed = diags.n_dropped > 0;
        if (diags.n_diags > 0) {
                s = policy_diag_to_string(diags.diags);
                *ret_memory_failed |= !s;
        }
}

static void test_no_memory(void **state) {
        test_each_allocation_fails(attempt_add);
}
#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_add),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_to_string),
                cmocka_unit_test(test_did_you_mean),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
