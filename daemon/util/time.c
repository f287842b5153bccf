/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks. */
#include "util/time.h"

#include "util/macro.h"

static int64_t clock_nsec(clockid_t clock) {
        struct timespec ts = { 0 };
        int r = clock_gettime(clock, &ts);

        assert(r >= 0);
        (void)r;
        return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

uint64_t time_now_usec(clockid_t clock) {
        return (uint64_t)clock_nsec(clock) / NSEC_PER_USEC;
}

int64_t time_realtime_offset_nsec(void) {
        int64_t offset = 0, best = INT64_MAX;

        /* Being preempted between the readings would shift the result: of a few tries, the one that took the
         * shortest time is the most exact. */
        for (unsigned i = 0; i < 3; i++) {
                int64_t before = clock_nsec(CLOCK_MONOTONIC);
                int64_t realtime = clock_nsec(CLOCK_REALTIME);
                int64_t after = clock_nsec(CLOCK_MONOTONIC);

                if (after - before >= best)
                        continue;
                best = after - before;
                offset = realtime - (before + best / 2);
        }
        return offset;
}
