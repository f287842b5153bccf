/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small numbers: none twice, none lost, and what was given back comes again as late as can be. */
#include "core/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

#define FIRST 5U
#define LAST  14U
#define N     (LAST - FIRST + 1)

static Slots *new_slots(void) {
        Slots *slots = NULL;

        assert_int_equal(slots_new(FIRST, LAST, &slots), 0);
        return slots;
}

static uint32_t take(Slots *slots) {
        uint32_t number = 0;

        assert_int_equal(slots_take(slots, &number), 0);
        return number;
}

static void test_all_of_them_once(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots();
        bool seen[LAST + 1] = { false };
        uint32_t number = 77;

        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(slots_n_free(slots), N - i);
                number = take(slots);
                assert_in_range(number, FIRST, LAST);
                assert_false(seen[number]);
                seen[number] = true;
        }
        number = 77;
        assert_int_equal(slots_take(slots, &number), -E2BIG);
        assert_int_equal(number, 77);
        assert_int_equal(slots_n_free(slots), 0);
}

static void test_what_comes_back_comes_last(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots();
        uint32_t first = take(slots);

        slots_give_back(slots, first);
        for (unsigned i = 0; i < N - 1; i++)
                assert_int_not_equal(take(slots), first);
        assert_int_equal(take(slots), first);
}

static void test_claim(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots();

        assert_int_equal(slots_claim(slots, FIRST), 0);
        assert_int_equal(slots_claim(slots, FIRST), -EEXIST);
        assert_int_equal(slots_claim(slots, LAST), 0);
        assert_int_equal(slots_claim(slots, FIRST - 1), -ERANGE);
        assert_int_equal(slots_claim(slots, LAST + 1), -ERANGE);
        assert_int_equal(slots_claim(slots, 0), -ERANGE);
        assert_int_equal(slots_claim(slots, UINT32_MAX), -ERANGE);
        assert_int_equal(slots_n_free(slots), N - 2);
        for (unsigned i = 0; i < N - 2; i++)
                assert_in_range(take(slots), FIRST + 1, LAST - 1);
}

static void test_give_back_what_is_not_taken(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots();

        slots_give_back(slots, 0);
        slots_give_back(slots, FIRST);
        slots_give_back(slots, LAST + 1);
        slots_give_back(slots, UINT32_MAX);
        assert_int_equal(slots_n_free(slots), N);
        slots_give_back(slots, take(slots));
        assert_int_equal(slots_n_free(slots), N);
        slots_give_back(slots, FIRST);
        assert_int_equal(slots_n_free(slots), N);
}

/* A successor goes on where its predecessor stopped. */
static void test_next(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots(), *successor = new_slots();
        uint32_t last = 0;

        for (unsigned i = 0; i < 3; i++)
                last = take(slots);
        slots_set_next(successor, slots_get_next(slots));
        assert_int_equal(take(successor), last + 1);
        slots_set_next(successor, LAST + 1);
        slots_set_next(successor, 0);
        assert_int_equal(take(successor), last + 2);
}

/* Against the plainest bookkeeping. */
static void test_against_a_list(void **state) {
        _cleanup_(slots_freep) Slots *slots = new_slots();
        bool taken[LAST + 1] = { false };
        uint64_t random = 42;

        for (unsigned i = 0; i < 20000; i++) {
                uint32_t number, n_free = 0;

                random = random * 6364136223846793005ULL + 1442695040888963407ULL;
                number = FIRST + (uint32_t)(random >> 40) % N;
                for (uint32_t k = FIRST; k <= LAST; k++)
                        n_free += !taken[k];
                assert_int_equal(slots_n_free(slots), n_free);
                switch (random >> 33 & 3) {
                case 0:
                        assert_int_equal(slots_claim(slots, number), taken[number] ? -EEXIST : 0);
                        taken[number] = true;
                        break;
                case 1:
                        slots_give_back(slots, number);
                        taken[number] = false;
                        break;
                default:
                        if (slots_take(slots, &number) < 0) {
                                assert_int_equal(n_free, 0);
                                break;
                        }
                        assert_false(taken[number]);
                        taken[number] = true;
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_of_them_once),
                cmocka_unit_test(test_what_comes_back_comes_last),
                cmocka_unit_test(test_claim),
                cmocka_unit_test(test_give_back_what_is_not_taken),
                cmocka_unit_test(test_next),
                cmocka_unit_test(test_against_a_list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
