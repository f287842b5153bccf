/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The coalescer: nothing is lost, nothing is told too often, and it holds no more than it was allowed. */
#include "events/coalesce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/macro.h"

#define INTERVAL 1000

static uint64_t seed;

static uint64_t next_random(void) {
        /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

/* The cause is told by the event's subject. */
static int add(EventCoalescer *c, uint32_t cause, uint64_t suppressed, uint64_t realtime,
        uint64_t now, EventSummary *ret) {
        struct cgp_denial_key key = { .subject = cause, .rule = 16, .type = CGP_EVENT_DENIED };
        Event event = {
                .subject = cause,
                .suppressed = suppressed,
                .realtime_usec = realtime,
                .pid = (uint32_t)realtime,
        };

        return event_coalescer_add(c, &event, &key, now, ret);
}

static void test_first_at_once(void **state) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        EventSummary s = { 0 };

        assert_int_equal(event_coalescer_new(4, INTERVAL, &c), 0);
        assert_int_equal(event_coalescer_next(c), UINT64_MAX);
        assert_int_equal(add(c, 1, 2, 500, 10, &s), 1);
        assert_int_equal(s.event.subject, 1);
        assert_int_equal(s.count, 3);
        assert_int_equal(s.first_usec, 500);
        assert_int_equal(s.last_usec, 500);
        assert_int_equal(event_coalescer_next(c), UINT64_MAX);
        assert_int_equal(event_coalescer_take(c, UINT64_MAX, &s), 0);
}

static void test_the_rest_is_summed(void **state) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        EventSummary s = { 0 };

        assert_int_equal(event_coalescer_new(4, INTERVAL, &c), 0);
        assert_int_equal(add(c, 1, 0, 500, 0, &s), 1);
        assert_int_equal(add(c, 1, 0, 520, 20, &s), 0);
        assert_int_equal(add(c, 1, 4, 540, 40, &s), 0);
        assert_int_equal(add(c, 1, 0, 510, 50, &s), 0); /* late, from another CPU */
        assert_int_equal(event_coalescer_next(c), 20 + INTERVAL);
        assert_int_equal(event_coalescer_take(c, 19 + INTERVAL, &s), 0);
        assert_int_equal(event_coalescer_take(c, 20 + INTERVAL, &s), 1);
        assert_int_equal(s.count, 7);
        assert_int_equal(s.first_usec, 510);
        assert_int_equal(s.last_usec, 540);
        assert_int_equal(s.event.pid, 540);
        assert_int_equal(event_coalescer_take(c, 20 + INTERVAL, &s), 0);

        /* Told at 1020: quiet until 2020, then the next is a first again. */
        assert_int_equal(add(c, 1, 0, 3, 19 + 2 * INTERVAL, &s), 0);
        assert_int_equal(event_coalescer_take(c, 19 + 3 * INTERVAL, &s), 1);
        assert_int_equal(s.count, 1);
        assert_int_equal(add(c, 1, 0, 3, 19 + 4 * INTERVAL, &s), 1);
}

static void test_full(void **state) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        EventSummary s = { 0 };

        assert_int_equal(event_coalescer_new(2, INTERVAL, &c), 0);
        assert_int_equal(add(c, 1, 0, 1, 0, &s), 1);
        assert_int_equal(add(c, 2, 0, 2, 0, &s), 1);
        /* 1 has nothing to tell: it makes room. */
        assert_int_equal(add(c, 3, 0, 3, 1, &s), 1);
        assert_int_equal(s.event.subject, 3);
        assert_int_equal(add(c, 3, 0, 4, 2, &s), 0);
        assert_int_equal(add(c, 2, 0, 5, 3, &s), 0);
        /* Both wait: the older is told for the new one, which is due at once. */
        assert_int_equal(add(c, 4, 0, 6, 4, &s), 1);
        assert_int_equal(s.event.subject, 3);
        assert_int_equal(s.count, 1);
        assert_int_equal(event_coalescer_next(c), 4);
        assert_int_equal(event_coalescer_take(c, 4, &s), 1);
        assert_int_equal(s.event.subject, 4);
        assert_int_equal(event_coalescer_next(c), 3 + INTERVAL);
}

static void test_saturates(void **state) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        EventSummary s = { 0 };

        assert_int_equal(event_coalescer_new(1, UINT64_MAX, &c), 0);
        assert_int_equal(add(c, 1, UINT64_MAX, 1, 5, &s), 1);
        assert_int_equal(s.count, UINT64_MAX);
        assert_int_equal(add(c, 1, UINT64_MAX, 1, 5, &s), 0);
        assert_int_equal(add(c, 1, 5, 1, 5, &s), 0);
        assert_int_equal(event_coalescer_next(c), UINT64_MAX);
        assert_int_equal(event_coalescer_take(c, UINT64_MAX, &s), 1);
        assert_int_equal(s.count, UINT64_MAX);
}

static void test_bad_size(void **state) {
        EventCoalescer *c = (EventCoalescer *)1;

        assert_int_equal(event_coalescer_new(0, INTERVAL, &c), -EINVAL);
        assert_int_equal(event_coalescer_new(SIZE_MAX, INTERVAL, &c), -EINVAL);
        assert_ptr_equal(c, (EventCoalescer *)1);
        assert_null(event_coalescer_free(NULL));
}

/* The plainest coalescer: an array in the order of the lists' meaning, searched from end to end. */
typedef struct Naive {
        uint32_t cause;
        bool waiting;
        uint64_t usec;
        int64_t order; /* among those that wait: by when; among quiet ones: since when */
        uint64_t count, first, last;
} Naive;

typedef struct Model {
        Naive all[16];
        size_t n, n_max;
        int64_t counter;
} Model;

static Naive *naive_oldest(Model *m, bool waiting) {
        Naive *best = NULL;

        for (size_t i = 0; i < m->n; i++)
                if (m->all[i].waiting == waiting && (!best || m->all[i].order < best->order))
                        best = &m->all[i];
        return best;
}

static void naive_remove(Model *m, Naive *which) {
        *which = m->all[--m->n];
}

static int naive_add(
        Model *m, uint32_t cause, uint64_t count, uint64_t realtime, uint64_t now, Naive *ret) {
        Naive fresh = { .cause = cause, .count = count, .first = realtime, .last = realtime };
        Naive *found = NULL, *oldest;

        while ((oldest = naive_oldest(m, false)) && oldest->usec <= now)
                naive_remove(m, oldest);
        for (size_t i = 0; i < m->n; i++)
                if (m->all[i].cause == cause)
                        found = &m->all[i];
        if (found && found->waiting) {
                found->count += count;
                found->first = MIN(found->first, realtime);
                found->last = MAX(found->last, realtime);
                return 0;
        }
        if (found) {
                fresh.waiting = true;
                fresh.usec = now + INTERVAL;
                fresh.order = ++m->counter;
                *found = fresh;
                return 0;
        }

        *ret = fresh;
        fresh.usec = now + INTERVAL;
        fresh.order = ++m->counter;
        if (m->n == m->n_max) {
                oldest = naive_oldest(m, false);
                if (!oldest) {
                        oldest = naive_oldest(m, true);
                        *ret = *oldest;
                        fresh.waiting = true;
                        fresh.usec = now;
                        fresh.order = -fresh.order;
                }
                naive_remove(m, oldest);
        }
        m->all[m->n++] = fresh;
        return 1;
}

static int naive_take(Model *m, uint64_t now, Naive *ret) {
        Naive *oldest = naive_oldest(m, true);

        if (!oldest || oldest->usec > now)
                return 0;
        *ret = *oldest;
        oldest->waiting = false;
        oldest->usec = now + INTERVAL;
        oldest->order = ++m->counter;
        return 1;
}

static void assert_same(const EventSummary *s, const Naive *n) {
        assert_int_equal(s->event.subject, n->cause);
        assert_int_equal(s->count, n->count);
        assert_int_equal(s->first_usec, n->first);
        assert_int_equal(s->last_usec, n->last);
}

static void check_round(unsigned round) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        Model model = { .n_max = 1 + round % 16 };
        uint64_t n_added = 0, n_told = 0, now = 0;
        EventSummary s;
        Naive n;
        int r;

        seed = round;
        assert_int_equal(event_coalescer_new(model.n_max, INTERVAL, &c), 0);
        for (unsigned i = 0; i < 20000; i++) {
                uint32_t cause = 1 + (uint32_t)(next_random() % (1 + round % 23));
                uint64_t count = 1 + next_random() % 9, realtime = now + next_random() % 5;

                now += next_random() % (1 + round * 7);
                r = add(c, cause, count - 1, realtime, now, &s);
                assert_int_equal(r, naive_add(&model, cause, count, realtime, now, &n));
                n_added += count;
                if (r > 0) {
                        assert_same(&s, &n);
                        n_told += s.count;
                }
                /* The timer comes late now and then. */
                if (next_random() % 8 == 0)
                        continue;
                while ((r = event_coalescer_take(c, now, &s)) > 0) {
                        assert_int_equal(naive_take(&model, now, &n), 1);
                        assert_same(&s, &n);
                        n_told += s.count;
                }
                assert_int_equal(naive_take(&model, now, &n), 0);
                assert_true(event_coalescer_next(c) > now);
        }
        while (event_coalescer_take(c, UINT64_MAX, &s) > 0)
                n_told += s.count;
        assert_int_equal(n_told, n_added);
        assert_int_equal(event_coalescer_next(c), UINT64_MAX);
}

static void test_model(void **state) {
        for (unsigned round = 0; round < 60; round++)
                check_round(round);
}

/* With room for all, a cause is told at most once an interval, and never later than one after it came. */
static void test_pace(void **state) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        uint64_t told[9] = { 0 }, since[9] = { 0 }, now = INTERVAL;
        EventSummary s;

        seed = 7;
        assert_int_equal(event_coalescer_new(8, INTERVAL, &c), 0);
        for (unsigned i = 0; i < 100000; i++) {
                uint32_t cause = 1 + (uint32_t)(next_random() % 8);
                int r;

                now += next_random() % 40;
                while (event_coalescer_next(c) <= now) {
                        uint64_t due = event_coalescer_next(c);

                        assert_int_equal(event_coalescer_take(c, due, &s), 1);
                        assert_true(due >= told[s.event.subject] + INTERVAL);
                        assert_true(due <= since[s.event.subject] + INTERVAL);
                        told[s.event.subject] = due;
                        since[s.event.subject] = 0;
                }
                r = add(c, cause, 0, now, now, &s);
                if (r > 0) {
                        assert_true(now >= told[cause] + INTERVAL);
                        told[cause] = now;
                } else if (since[cause] == 0)
                        since[cause] = now;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_at_once),
                cmocka_unit_test(test_the_rest_is_summed),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_saturates),
                cmocka_unit_test(test_bad_size),
                cmocka_unit_test(test_model),
                cmocka_unit_test(test_pace),
        };

        return cmocka_run_group_tests_name("coalesce", tests, NULL, NULL);
}
