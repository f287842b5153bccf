/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hash is stored in the kernel: its values are held against those its authors published. */
#include "util/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

/* Of the bytes 00 01 02 ..., by number of bytes, with the key 00 01 ... 0f. */
static const struct {
        size_t size;
        uint64_t hash;
} reference[] = {
        { 0, 0x726fdb47dd0e0e31ULL },
        { 1, 0x74f839c593dc67fdULL },
        { 2, 0x0d6c8009d9a94f5aULL },
        { 3, 0x85676696d7fb7e2dULL },
        { 4, 0xcf2794e0277187b7ULL },
        { 5, 0x18765564cd99a68dULL },
        { 6, 0xcbc9466e58fee3ceULL },
        { 7, 0xab0200f58b01d137ULL },
        { 8, 0x93f5f5799a932462ULL },
        { 15, 0xa129ca6149be45e5ULL },
};

static void test_reference(void **state) {
        uint8_t bytes[64];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)i;
        for (size_t i = 0; i < ELEMENTSOF(reference); i++)
                assert_int_equal(
                        hash64(bytes, reference[i].size, HASH64_SEED_REFERENCE), reference[i].hash);
}

/* The value is that of `openssl mac SIPHASH`. */
static void test_alignment(void **state) {
        uint8_t bytes[64 + 8];

        for (size_t shift = 0; shift < 8; shift++) {
                for (size_t i = 0; i < 64; i++)
                        bytes[shift + i] = (uint8_t)(i * 31);
                for (size_t i = 64 + shift; i < sizeof(bytes); i++)
                        bytes[i] = (uint8_t)shift; /* must not be read */
                assert_int_equal(hash64(bytes + shift, 64, 5), 0x43366f26c43ef2deULL);
        }
}

/* Every bit of the input and of the seed changes about half of the output. */
static void test_every_bit_counts(void **state) {
        uint8_t bytes[40] = { 0 };
        uint64_t plain = hash64(bytes, sizeof(bytes), 0);

        for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
                uint64_t changed;

                bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
                changed = hash64(bytes, sizeof(bytes), 0) ^ plain;
                bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
                assert_in_range(__builtin_popcountll(changed), 12, 52);
        }
        for (unsigned bit = 0; bit < 64; bit++)
                assert_in_range(
                        __builtin_popcountll(hash64(bytes, sizeof(bytes), 1ULL << bit) ^ plain), 12,
                        52);
        assert_int_not_equal(hash64(bytes, 7, 0), hash64(bytes, 8, 0));
        assert_int_not_equal(hash64(bytes, 8, 0), hash64(bytes, 16, 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reference),
                cmocka_unit_test(test_alignment),
                cmocka_unit_test(test_every_bit_counts),
        };

        return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
