/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this folder share about cgroup.events. */
#pragma once

#include "util/cleanup.h"

/* An open cgroup.events, or -ENODEV: the cgroup was removed. */
int cgroup_open_events(int cgroup_fd) _warn_unused_result_;

/* The value, 0 or 1, of a key in it. Reading also takes what poll() would report. -ENODEV: the cgroup was
 * removed; -EBADMSG: no such key. */
int cgroup_read_event(int events_fd, const char *key) _warn_unused_result_;
