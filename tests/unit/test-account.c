/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each denial is told exactly once: against a kernel that forgets causes, buffers that swap records, and a
 * map that tells them again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "events/event.h"
#include "util/macro.h"

static uint64_t seed;

static uint64_t next_random(void) {
        /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

static struct cgp_denial_key make_key(unsigned n) {
        return (struct cgp_denial_key){
                .subject = 1 + n / 7, .rule = 16, .port = (uint16_t)(n % 7)
        };
}

static uint64_t add(
        EventAccount *account, unsigned n, uint64_t epoch, uint64_t total, uint64_t known) {
        struct cgp_denial_key key = make_key(n);

        return event_account_add(account, &key, epoch, total, known);
}

static void test_counts_once(void **state) {
        _cleanup_(event_account_freep) EventAccount *a = NULL;

        assert_int_equal(event_account_new(4, &a), 0);
        assert_int_equal(add(a, 0, 100, 1, 0), 1);
        assert_int_equal(add(a, 0, 100, 1, 0), 0);
        assert_int_equal(add(a, 0, 100, 5, 0), 4);
        assert_int_equal(add(a, 0, 100, 3, 0), 0);
        assert_int_equal(add(a, 0, 100, 6, 0), 1);
        /* What was told before counts only for what is not known. */
        assert_int_equal(add(a, 0, 100, 8, 7), 2);
        assert_int_equal(add(a, 1, 100, 10, 7), 3);
        assert_int_equal(add(a, 2, 100, 10, 12), 0);
        assert_int_equal(add(a, 2, 100, 12, 0), 0);
        assert_int_equal(add(a, 2, 100, 13, 0), 1);
}

static void test_epochs(void **state) {
        _cleanup_(event_account_freep) EventAccount *a = NULL;

        assert_int_equal(event_account_new(4, &a), 0);
        assert_int_equal(add(a, 0, 100, 4, 0), 4);
        assert_int_equal(add(a, 0, 200, 1, 0), 1); /* the kernel forgot it in between */
        assert_int_equal(add(a, 0, 100, 6, 0), 2); /* late, from another CPU */
        assert_int_equal(add(a, 0, 100, 6, 0), 0);
        assert_int_equal(add(a, 0, 200, 3, 0), 2);
        assert_int_equal(add(a, 0, 300, 1, 0), 1);
        assert_int_equal(add(a, 0, 200, 4, 0), 1);
        assert_int_equal(add(a, 0, 50, 9, 8), 1);
        assert_int_equal(add(a, 0, 300, 2, 0), 1);

        /* The first record of an epoch may also be the late one. */
        assert_int_equal(add(a, 1, 300, 2, 0), 2);
        assert_int_equal(add(a, 1, 200, 2, 0), 2);
        assert_int_equal(add(a, 1, 200, 3, 0), 1);
        assert_int_equal(add(a, 1, 300, 3, 0), 1);
}

static void test_forgets_the_least_used(void **state) {
        _cleanup_(event_account_freep) EventAccount *a = NULL;

        assert_int_equal(event_account_new(3, &a), 0);
        for (unsigned n = 0; n < 3; n++)
                assert_int_equal(add(a, n, 1, 5, 0), 5);
        assert_int_equal(add(a, 0, 1, 5, 0), 0); /* now 1 is the least recently used */
        assert_int_equal(add(a, 3, 1, 5, 0), 5);
        assert_int_equal(add(a, 0, 1, 6, 6), 1);
        assert_int_equal(add(a, 2, 1, 6, 6), 1);
        assert_int_equal(add(a, 3, 1, 6, 6), 1);
        assert_int_equal(add(a, 1, 1, 6, 5), 1); /* forgotten: counts from what is known */
        assert_int_equal(add(a, 1, 1, 6, 0), 0);
}

static void test_bad_size(void **state) {
        EventAccount *a = (EventAccount *)1;

        assert_int_equal(event_account_new(0, &a), -EINVAL);
        assert_int_equal(event_account_new(SIZE_MAX, &a), -EINVAL);
        assert_ptr_equal(a, (EventAccount *)1);
        assert_null(event_account_free(NULL));
}

/* The kernel's map: causes with a number that grows, forgotten at random. */
#define N_CAUSES    40
#define N_DENIALS   200000
#define N_IN_FLIGHT 64

typedef struct Record {
        unsigned cause;
        uint64_t epoch;
        uint64_t total;
} Record;

static void test_every_denial_once(void **state) {
        for (seed = 1; seed <= 5; seed++) {
                _cleanup_(event_account_freep) EventAccount *a = NULL;
                uint64_t epoch[N_CAUSES] = { 0 }, total[N_CAUSES] = { 0 };
                uint64_t clock = 0, n_told = 0, kept_seed = seed;
                unsigned in_flight_of[N_CAUSES] = { 0 };
                Record in_flight[N_IN_FLIGHT];
                size_t n_in_flight = 0;

                assert_int_equal(event_account_new(N_CAUSES, &a), 0);
                for (unsigned i = 0; i < N_DENIALS || n_in_flight > 0; i++) {
                        size_t k;

                        if (i < N_DENIALS) {
                                unsigned c = (unsigned)(next_random() % N_CAUSES);

                                /* Not while two epochs are in flight: those are all it can tell apart. */
                                if (total[c] == 0 ||
                                        (next_random() % 50 == 0 && in_flight_of[c] == 0)) {
                                        epoch[c] = ++clock;
                                        total[c] = 0;
                                }
                                total[c]++;
                                in_flight[n_in_flight++] = (Record){ c, epoch[c], total[c] };
                                in_flight_of[c]++;
                                if (n_in_flight < N_IN_FLIGHT)
                                        continue;
                        }
                        k = next_random() % n_in_flight;
                        n_told += add(
                                a, in_flight[k].cause, in_flight[k].epoch, in_flight[k].total, 0);
                        in_flight_of[in_flight[k].cause]--;
                        /* The map says the same once more, at any time. */
                        if (next_random() % 4 == 0)
                                n_told += add(a, in_flight[k].cause, in_flight[k].epoch,
                                        in_flight[k].total, 0);
                        in_flight[k] = in_flight[--n_in_flight];
                }
                assert_int_equal(n_told, N_DENIALS);
                seed = kept_seed;
        }
}

/* The plainest account: a list that is searched from end to end. */
typedef struct Naive {
        unsigned n;
        uint64_t epoch[2], told[2], used;
        bool in_use, has_before;
} Naive;

static uint64_t naive_add(Naive *all, size_t n_max, uint64_t now, unsigned n, uint64_t epoch,
        uint64_t total, uint64_t known) {
        Naive *found = NULL;
        unsigned which;
        uint64_t n_new;

        for (size_t i = 0; i < n_max; i++)
                if (all[i].in_use && all[i].n == n)
                        found = &all[i];
        if (!found) {
                for (size_t i = 0; i < n_max; i++)
                        if (!found || !all[i].in_use ||
                                (found->in_use && all[i].used < found->used))
                                found = found && !found->in_use ? found : &all[i];
                *found = (Naive){ .n = n, .in_use = true, .epoch = { epoch }, .told = { known } };
        }
        found->used = now;
        if (epoch > found->epoch[0]) {
                found->epoch[1] = found->epoch[0];
                found->told[1] = found->told[0];
                found->epoch[0] = epoch;
                found->told[0] = known;
                found->has_before = true;
        }
        if (epoch < found->epoch[0] && (!found->has_before || epoch > found->epoch[1])) {
                found->epoch[1] = epoch;
                found->told[1] = known;
                found->has_before = true;
        }
        for (which = 0; which < 2; which++)
                if ((which == 0 || found->has_before) && found->epoch[which] == epoch)
                        break;
        if (which == 2)
                return total > known ? total - known : 0;
        n_new = total > found->told[which] ? total - found->told[which] : 0;
        found->told[which] += n_new;
        return n_new;
}

static void test_model(void **state) {
        for (unsigned round = 0; round < 20; round++) {
                size_t n_max = 1 + round;
                _cleanup_(event_account_freep) EventAccount *a = NULL;
                Naive all[20] = { 0 };

                seed = 1000 + round;
                assert_int_equal(event_account_new(n_max, &a), 0);
                for (uint64_t now = 1; now < 20000; now++) {
                        unsigned n = (unsigned)(next_random() % (n_max + 4));
                        uint64_t epoch = 1 + now / 100 + next_random() % 4;
                        uint64_t total = 1 + next_random() % 200, known = next_random() % 50;

                        assert_int_equal(add(a, n, epoch, total, known),
                                naive_add(all, n_max, now, n, epoch, total, known));
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counts_once),
                cmocka_unit_test(test_epochs),
                cmocka_unit_test(test_forgets_the_least_used),
                cmocka_unit_test(test_bad_size),
                cmocka_unit_test(test_every_denial_once),
                cmocka_unit_test(test_model),
        };

        return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
