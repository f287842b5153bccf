/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* String arrays: who owns what after each call, and NULL as the empty array. */
#include "util/strv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

static void test_empty(void **state) {
        _cleanup_(strv_freep) char **copy = NULL;

        assert_int_equal(strv_length(NULL), 0);
        assert_false(strv_contains(NULL, ""));
        assert_null(strv_sort(NULL));
        assert_null(strv_free(NULL));
        assert_int_equal(strv_copy(NULL, &copy), 0);
        assert_non_null(copy);
        assert_null(copy[0]);
}

static void test_push(void **state) {
        _cleanup_(strv_freep) char **l = NULL;
        char *value = strdup("one"), *kept = value;

        assert_non_null(value);
        assert_int_equal(strv_push(&l, &value), 0);
        assert_null(value);
        assert_ptr_equal(l[0], kept);
        assert_null(l[1]);

        assert_int_equal(strv_extend(&l, kept), 0);
        assert_int_equal(strv_length(l), 2);
        assert_string_equal(l[1], "one");
        assert_ptr_not_equal(l[1], kept);
        assert_null(l[2]);
        assert_true(strv_contains(l, "one"));
        assert_false(strv_contains(l, "on"));
        assert_false(strv_contains(l, "ones"));
}

static void test_copy_is_deep(void **state) {
        _cleanup_(strv_freep) char **l = NULL, **copy = NULL;

        assert_int_equal(strv_extend(&l, "a"), 0);
        assert_int_equal(strv_extend(&l, ""), 0);
        assert_int_equal(strv_copy(l, &copy), 0);
        l[0][0] = 'z';
        assert_string_equal(copy[0], "a");
        assert_string_equal(copy[1], "");
        assert_int_equal(strv_length(copy), 2);
}

static void test_sort(void **state) {
        const char *const words[] = { "b", "", "a", "B", "aa", "\xff", "a" };
        const char *const sorted[] = { "", "B", "a", "a", "aa", "b", "\xff" };
        _cleanup_(strv_freep) char **l = NULL;

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                assert_int_equal(strv_extend(&l, words[i]), 0);
        assert_ptr_equal(strv_sort(l), l);
        assert_int_equal(strv_length(l), ELEMENTSOF(words));
        for (size_t i = 0; i < ELEMENTSOF(sorted); i++)
                assert_string_equal(l[i], sorted[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_push),
                cmocka_unit_test(test_copy_is_deep),
                cmocka_unit_test(test_sort),
        };

        return cmocka_run_group_tests_name("strv", tests, NULL, NULL);
}
