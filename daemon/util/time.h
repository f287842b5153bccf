/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks. Folders that are pure are handed the result. */
#pragma once

#include <stdint.h>
#include <time.h>

/* Now, in microseconds of the clock. The clocks used here always exist. */
uint64_t time_now_usec(clockid_t clock);

/* CLOCK_REALTIME minus CLOCK_MONOTONIC, to put times that the kernel took into the calendar. It changes
 * whenever the clock is set: do not keep it for long. */
int64_t time_realtime_offset_nsec(void);
