/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two lists: causes that wait to be told, in the order in which they are due, and quiet ones, which were told
 * within the last interval and have nothing new. A cause is due one interval after the first event that
 * had to wait, so that the first to wait is the first due.
 */
#include "events/coalesce.h"

#include "events/cause-table.h"
#include "util/macro.h"

#define LIST_WAITING 0
#define LIST_QUIET   1

typedef struct CoalescerCause {
        EventSummary summary; /* of a waiting one */
        uint64_t usec;        /* waiting: when due; quiet: until when what comes has to wait */
} CoalescerCause;

struct EventCoalescer {
        CauseTable table;
        CoalescerCause *causes;
        uint64_t interval_usec;
};

int event_coalescer_new(size_t n_max, uint64_t interval_usec, EventCoalescer **ret) {
        _cleanup_(event_coalescer_freep) EventCoalescer *c = NULL;
        int r;

        assert(ret);

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->interval_usec = interval_usec;
        r = cause_table_init(&c->table, n_max);
        if (r < 0)
                return r;
        c->causes = calloc(n_max, sizeof(*c->causes));
        if (!c->causes)
                return -ENOMEM;

        *ret = TAKE_PTR(c);
        return 0;
}

EventCoalescer *event_coalescer_free(EventCoalescer *c) {
        if (!c)
                return NULL;
        cause_table_done(&c->table);
        free(c->causes);
        free(c);
        return NULL;
}

static uint64_t add_saturating(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static EventSummary event_summary(const Event *event) {
        return (EventSummary){
                .event = *event,
                .count = add_saturating(event->suppressed, 1),
                .first_usec = event->realtime_usec,
                .last_usec = event->realtime_usec,
        };
}

/* Buffers are per CPU: events may come in another order than they happened. */
static void event_summary_add(EventSummary *s, const Event *event) {
        if (event->realtime_usec >= s->last_usec)
                s->event = *event;
        s->count = add_saturating(s->count, add_saturating(event->suppressed, 1));
        s->first_usec = MIN(s->first_usec, event->realtime_usec);
        s->last_usec = MAX(s->last_usec, event->realtime_usec);
}

static void event_coalescer_forget_quiet(EventCoalescer *c, uint64_t now_usec) {
        uint32_t i;

        while ((i = cause_table_first(&c->table, LIST_QUIET)) != CAUSE_NONE &&
                c->causes[i].usec <= now_usec)
                cause_table_remove(&c->table, i);
}

/* Full, and none is quiet: the longest waiting makes room. The new one waits in its place, due at once. */
static void event_coalescer_replace_oldest(EventCoalescer *c, const Event *event,
        const struct cgp_denial_key *key, uint64_t now_usec, EventSummary *ret) {
        uint32_t i = cause_table_first(&c->table, LIST_WAITING);

        *ret = c->causes[i].summary;
        cause_table_remove(&c->table, i);
        i = cause_table_insert(&c->table, key, LIST_WAITING);
        cause_table_move_first(&c->table, i, LIST_WAITING);
        c->causes[i] = (CoalescerCause){ .summary = event_summary(event), .usec = now_usec };
}

int event_coalescer_add(EventCoalescer *c, const Event *event, const struct cgp_denial_key *key,
        uint64_t now_usec, EventSummary *ret) {
        CoalescerCause *cause;
        uint32_t i;

        assert(c);
        assert(event);
        assert(key);
        assert(ret);

        event_coalescer_forget_quiet(c, now_usec);
        i = cause_table_find(&c->table, key);
        if (i != CAUSE_NONE) {
                cause = &c->causes[i];
                if (c->table.links[i].list == LIST_WAITING)
                        event_summary_add(&cause->summary, event);
                else {
                        cause->summary = event_summary(event);
                        cause->usec = add_saturating(now_usec, c->interval_usec);
                        cause_table_move_last(&c->table, i, LIST_WAITING);
                }
                return 0;
        }

        i = cause_table_insert(&c->table, key, LIST_QUIET);
        if (i == CAUSE_NONE) {
                uint32_t quiet = cause_table_first(&c->table, LIST_QUIET);

                if (quiet == CAUSE_NONE) {
                        event_coalescer_replace_oldest(c, event, key, now_usec, ret);
                        return 1;
                }
                cause_table_remove(&c->table, quiet);
                i = cause_table_insert(&c->table, key, LIST_QUIET);
        }
        c->causes[i].usec = add_saturating(now_usec, c->interval_usec);
        *ret = event_summary(event);
        return 1;
}

uint64_t event_coalescer_next(const EventCoalescer *c) {
        uint32_t i = cause_table_first(&c->table, LIST_WAITING);

        return i == CAUSE_NONE ? UINT64_MAX : c->causes[i].usec;
}

int event_coalescer_take(EventCoalescer *c, uint64_t now_usec, EventSummary *ret) {
        uint32_t i = cause_table_first(&c->table, LIST_WAITING);

        assert(ret);

        if (i == CAUSE_NONE || c->causes[i].usec > now_usec)
                return 0;
        *ret = c->causes[i].summary;
        c->causes[i].usec = add_saturating(now_usec, c->interval_usec);
        cause_table_move_last(&c->table, i, LIST_QUIET);
        return 1;
}
