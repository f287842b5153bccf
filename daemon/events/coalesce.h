/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gathers denials per cause for the signal `Blocked`: the first of a cause is told at once, what follows is
 * summed and told at most every interval. Pure: the clock is handed in. Bounded. */
#pragma once

#include "events/event.h"

typedef struct EventCoalescer EventCoalescer;

typedef struct EventSummary {
        Event event; /* the latest of the cause */
        uint64_t count;
        uint64_t first_usec; /* realtime */
        uint64_t last_usec;
} EventSummary;

int event_coalescer_new(
        size_t n_max, uint64_t interval_usec, EventCoalescer **ret) _warn_unused_result_;
EventCoalescer *event_coalescer_free(EventCoalescer *c);
DEFINE_CLEANUP(EventCoalescer *, event_coalescer_freep, event_coalescer_free);

/* Adds an event (1 + suppressed denials) at monotonic time now. Returns 1 and fills *ret when there is
 * something to tell now, 0 when it waits. When full, a cause with nothing to tell is forgotten; if all are
 * waiting, the oldest of them is told early (1, and *ret is of that one) and the new one is due at once. */
int event_coalescer_add(EventCoalescer *c, const Event *event, const struct cgp_denial_key *key,
        uint64_t now_usec, EventSummary *ret);

/* When the next waiting cause is due; UINT64_MAX: nothing waits. */
uint64_t event_coalescer_next(const EventCoalescer *c);

/* Takes one cause that is due. 1 and *ret, or 0. Call until 0. */
int event_coalescer_take(EventCoalescer *c, uint64_t now_usec, EventSummary *ret);
