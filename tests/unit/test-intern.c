/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbering of equal blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/intern.h"

static void test_numbers(void **state) {
        _cleanup_(intern_done) Intern intern = INTERN_INIT(sizeof(uint64_t));
        uint32_t index;

        /* Enough to grow both arrays many times. */
        for (uint64_t i = 0; i < 5000; i++) {
                uint64_t blob = i * 0x100000001ULL;

                assert_int_equal(intern_add(&intern, &blob, &index), 1);
                assert_int_equal(index, i);
        }
        for (uint64_t i = 5000; i-- > 0;) {
                uint64_t blob = i * 0x100000001ULL;

                assert_int_equal(intern_add(&intern, &blob, &index), 0);
                assert_int_equal(index, i);
                assert_memory_equal(intern_get(&intern, index), &blob, sizeof(blob));
        }
        assert_int_equal(intern.n_blobs, 5000);
}

static void test_whole_blob_counts(void **state) {
        _cleanup_(intern_done) Intern intern = INTERN_INIT(700);
        uint8_t blob[700] = {};
        uint32_t index;

        assert_int_equal(intern_add(&intern, blob, &index), 1);
        for (uint32_t i = 0; i < 700; i++) {
                blob[i] = 1;
                assert_int_equal(intern_add(&intern, blob, &index), 1);
                assert_int_equal(index, i + 1);
        }
        blob[699] = 0;
        assert_int_equal(intern_add(&intern, blob, &index), 0);
        assert_int_equal(index, 699);
}

static void test_truncate(void **state) {
        _cleanup_(intern_done) Intern intern = INTERN_INIT(sizeof(uint32_t));
        uint32_t index;

        for (uint32_t i = 0; i < 1000; i++)
                assert_int_equal(intern_add(&intern, &i, &index), 1);
        intern_truncate(&intern, 2000);
        assert_int_equal(intern.n_blobs, 1000);
        intern_truncate(&intern, 400);
        assert_int_equal(intern.n_blobs, 400);
        for (uint32_t i = 0; i < 400; i++) {
                assert_int_equal(intern_add(&intern, &i, &index), 0);
                assert_int_equal(index, i);
        }
        for (uint32_t i = 999; i >= 400; i--) {
                assert_int_equal(intern_add(&intern, &i, &index), 1);
                assert_int_equal(index, 400 + 999 - i);
        }
        intern_truncate(&intern, 0);
        assert_int_equal(intern_add(&intern, &index, &index), 1);
        assert_int_equal(index, 0);
}

static void test_done(void **state) {
        Intern intern = INTERN_INIT(4);
        uint32_t index;

        assert_int_equal(intern_add(&intern, "abcd", &index), 1);
        intern_done(&intern);
        assert_int_equal(intern.n_blobs, 0);
        assert_int_equal(intern_add(&intern, "efgh", &index), 1);
        assert_int_equal(index, 0);
        intern_done(&intern);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_whole_blob_counts),
                cmocka_unit_test(test_truncate),
                cmocka_unit_test(test_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
