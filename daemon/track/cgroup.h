/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The cgroup2 hierarchy: where it is mounted, our own subtree in it, and when a cgroup gets empty. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

/* Where cgroup2 is mounted, from /proc/self/mountinfo (it may be /sys/fs/cgroup/unified). The mount whose
 * root is the namespace's root wins. -ENOENT: not mounted. Owned. */
int cgroup_find_mount(char **ret) _warn_unused_result_;

/* All mount points of cgroup2 in the text of a mountinfo file, those whose root is "/" first, else in the order
 * of the text. Pure. -ENOENT: none. Owned. */
int cgroup_parse_mounts(const char *mountinfo, char ***ret) _warn_unused_result_;

/* The id that links report for this directory (an open fd of it): its 64-bit inode number. */
int cgroup_get_id(int cgroup_fd, uint64_t *ret) _warn_unused_result_;

/* Is name usable as one path component of ours: 1..255 bytes, [A-Za-z0-9:_.@\\-], not beginning with '.' or
 * '-', not a file that cgroupfs itself may make (cgroup.*, memory.*, ...: no dot-prefixed controller name)? */
bool cgroup_name_is_valid(const char *name);

/* Makes the directory name below parent_fd and opens it. With exclusive, -EEXIST if it is there. -EINVAL: not
 * a valid name. */
int cgroup_create(
        int parent_fd, const char *name, bool exclusive, int *ret_fd) _warn_unused_result_;

/* Removes the cgroup and its descendants, deepest first. -EBUSY: a process lives in it; then nothing of
 * it is usable for certain, but the named cgroup itself is still there. -ENOENT: already gone. */
int cgroup_remove(int parent_fd, const char *name) _warn_unused_result_;

/* 1 if some process lives in the cgroup or below it, 0 if none. -ENODEV: the cgroup was removed. */
int cgroup_is_populated(int cgroup_fd) _warn_unused_result_;

/* Kills every process in it and below: cgroup.kill, or signal by signal where the kernel has none (<5.14);
 * returns when the signals are sent, not when the processes are gone. -ENODEV: the cgroup was removed. */
int cgroup_kill(int cgroup_fd) _warn_unused_result_;

/* The second way of cgroup_kill(), for it and its test: freezes, signals until nobody is left, thaws. Blocks
 * for up to 250 ms. -EAGAIN: everything that was seen was signalled, but did not die in time. */
int cgroup_kill_by_signal(int cgroup_fd) _warn_unused_result_;

/* Watches "populated". The callback comes from the event loop after each change with the state then read
 * (0, 1, or -ENODEV when the cgroup is gone: then for the last time; another negative errno: it could not
 * be read); it may free the watch. A state may come twice: what lay between was too short to be seen. What
 * the state is at the begin, the caller asks after this. cgroup_fd is not kept. -ENODEV: already gone. */
typedef struct CgroupWatch CgroupWatch;
typedef void (*CgroupWatchCallback)(void *userdata, int populated);

int cgroup_watch_new(sd_event *event, int cgroup_fd, CgroupWatchCallback callback, void *userdata,
        CgroupWatch **ret) _warn_unused_result_;
CgroupWatch *cgroup_watch_free(CgroupWatch *watch);
DEFINE_CLEANUP(CgroupWatch *, cgroup_watch_freep, cgroup_watch_free);
