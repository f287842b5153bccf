/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killing a cgroup, also where the kernel has no cgroup.kill (before 5.14). There, a process that forks while
 * the others are signalled would escape, so all are frozen first; a frozen process dies from SIGKILL as
 * others do. That "frozen" is reported is not enough: 6.18 reports it while a fork is still under way. But
 * what is born into a frozen cgroup is frozen too, so signalling until it is empty leaves nobody out.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "track/cgroup-private.h"
#include "track/cgroup.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/time.h"

#define PROCS_MAX       (64U * 1024 * 1024)
#define KILL_MSEC_MAX   250U
#define KILL_AGAIN_MSEC 10

static int cgroup_write(int cgroup_fd, const char *file, const char *value) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(cgroup_fd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        return io_write_all(fd, value, strlen(value));
}

/* A removed cgroup has no files, or files that say -ENODEV. */
static bool cgroup_error_is_gone(int r) {
        return r == -ENOENT || r == -ENODEV;
}

/* Signals the processes of this one cgroup. */
static int cgroup_signal_procs(int cgroup_fd) {
        _cleanup_free_ char *procs = NULL;
        char *rest, *line;
        int r, failure = 0;

        r = io_read_file(cgroup_fd, "cgroup.procs", PROCS_MAX, &procs, NULL);
        if (r < 0)
                return cgroup_error_is_gone(r) ? 0 : r;

        rest = procs;
        while ((line = strsep(&rest, "\n"))) {
                char *end;
                long pid;

                if (*line == '\0')
                        continue;
                errno = 0;
                pid = strtol(line, &end, 10);
                if (errno != 0 || *end != '\0' || pid < 0 || pid > INT_MAX)
                        return -EBADMSG;
                /* 0 stands for a process that our pid namespace cannot name; kill() takes it for us. */
                if (pid == 0)
                        failure = -EPERM;
                else if (kill((pid_t)pid, SIGKILL) < 0 && errno != ESRCH)
                        failure = -errno;
        }
        return failure;
}

static int cgroup_push_children(int cgroup_fd, const char *path, char ***todo) {
        _cleanup_closedir_ DIR *dir = NULL;
        int r;

        r = io_opendir(cgroup_fd, ".", &dir);
        if (r < 0)
                return cgroup_error_is_gone(r) ? 0 : r;

        for (;;) {
                struct dirent *entry;
                char *child = NULL;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (entry->d_type != DT_DIR || streq(entry->d_name, ".") ||
                        streq(entry->d_name, ".."))
                        continue;
                if (asprintf(&child, "%s/%s", path, entry->d_name) < 0)
                        return -ENOMEM;
                r = strv_push(todo, &child);
                if (r < 0) {
                        free(child);
                        return r;
                }
        }
}

/* Signals in the whole tree, going on after a failure. -ENAMETOOLONG: nested deeper than a path can say. */
static int cgroup_signal_tree(int cgroup_fd) {
        _cleanup_(strv_freep) char **todo = NULL;
        int r, failure = 0;
        size_t n;

        r = strv_extend(&todo, ".");
        if (r < 0)
                return r;
        while ((n = strv_length(todo)) > 0) {
                _cleanup_free_ char *path = TAKE_PTR(todo[n - 1]);
                _cleanup_close_ int fd = -EBADF;

                fd = openat(cgroup_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0) {
                        if (!cgroup_error_is_gone(-errno))
                                failure = -errno;
                        continue;
                }
                r = cgroup_signal_procs(fd);
                if (r < 0)
                        failure = r;
                r = cgroup_push_children(fd, path, &todo);
                if (r < 0)
                        failure = r;
        }
        return failure;
}

/* Signals until nobody is left. -EAGAIN: one takes too long to die (it waits for a disk, say). */
static int cgroup_signal_until_empty(int cgroup_fd, int events_fd) {
        uint64_t end = time_now_usec(CLOCK_MONOTONIC) + KILL_MSEC_MAX * USEC_PER_MSEC;

        for (;;) {
                struct pollfd p = { .fd = events_fd, .events = POLLPRI };
                int r;

                r = cgroup_signal_tree(cgroup_fd);
                if (r < 0)
                        return r;
                r = cgroup_read_event(events_fd, "populated");
                if (r <= 0)
                        return r;
                if (time_now_usec(CLOCK_MONOTONIC) >= end)
                        return -EAGAIN;
                if (poll(&p, 1, KILL_AGAIN_MSEC) < 0 && errno != EINTR)
                        return -errno;
        }
}

int cgroup_kill_by_signal(int cgroup_fd) {
        _cleanup_close_ int events_fd = -EBADF;
        int r, thawed;

        events_fd = cgroup_open_events(cgroup_fd);
        if (events_fd < 0)
                return events_fd;
        r = cgroup_write(cgroup_fd, "cgroup.freeze", "1");
        if (r < 0)
                return r == -ENOENT ? -ENODEV : r;

        r = cgroup_signal_until_empty(cgroup_fd, events_fd);
        thawed = cgroup_write(cgroup_fd, "cgroup.freeze", "0");
        if (cgroup_error_is_gone(thawed))
                return -ENODEV;
        return r < 0 ? r : thawed;
}

int cgroup_kill(int cgroup_fd) {
        int r;

        r = cgroup_write(cgroup_fd, "cgroup.kill", "1");
        /* No such file: an old kernel, or no such cgroup any more. */
        return r == -ENOENT ? cgroup_kill_by_signal(cgroup_fd) : r;
}
