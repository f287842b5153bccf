/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watching a cgroup get populated, empty and removed. The kernel reports changes of cgroup.events on the
 * file, but nothing at all on the file or the directory when the cgroup is removed, and a last change may
 * get lost then (it is held back up to 10 ms, and dropped with the file). Only the parent tells of that.
 */
#include <limits.h>
#include <sys/inotify.h>

#include "track/cgroup-private.h"
#include "track/cgroup.h"
#include "util/macro.h"

struct CgroupWatch {
        sd_event_source *events_source;
        sd_event_source *parent_source;
        char *name; /* in its parent; cgroup2 has no rename */
        int events_fd;
        bool gone;
        CgroupWatchCallback callback;
        void *userdata;
};

/* The callback may free the watch: nothing of it is touched afterwards. */
static void cgroup_watch_call(CgroupWatch *watch) {
        int populated;

        if (watch->gone)
                return;
        populated = cgroup_read_event(watch->events_fd, "populated");
        watch->gone = populated == -ENODEV;
        watch->callback(watch->userdata, populated);
}

static int on_events(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        cgroup_watch_call(userdata);
        return 0;
}

static int on_parent(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        CgroupWatch *watch = userdata;

        /* After an overflow of the queue the name is not known. */
        if (event->len == 0 || streq(event->name, watch->name))
                cgroup_watch_call(watch);
        return 0;
}

static int cgroup_get_name(int cgroup_fd, char **ret) {
        char link[sizeof("/proc/self/fd/") + 11], path[PATH_MAX];
        const char *slash;
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%i", cgroup_fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return -errno;
        path[n] = '\0';
        slash = strrchr(path, '/');
        if (!slash || slash[1] == '\0')
                return -EINVAL;
        *ret = strdup(slash + 1);
        return *ret ? 0 : -ENOMEM;
}

static int cgroup_watch_add(CgroupWatch *watch, sd_event *event, int cgroup_fd) {
        char path[sizeof("/proc/self/fd//cgroup.events") + 11];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%i/..", cgroup_fd);
        r = sd_event_add_inotify(
                event, &watch->parent_source, path, IN_DELETE | IN_ONLYDIR, on_parent, watch);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(watch->parent_source, "cgroup-parent");

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%i/cgroup.events", cgroup_fd);
        r = sd_event_add_inotify(
                event, &watch->events_source, path, IN_MODIFY | IN_DELETE_SELF, on_events, watch);
        if (r < 0)
                return r == -ENOENT ? -ENODEV : r;
        (void)sd_event_source_set_description(watch->events_source, "cgroup-events");
        return 0;
}

int cgroup_watch_new(sd_event *event, int cgroup_fd, CgroupWatchCallback callback, void *userdata,
        CgroupWatch **ret) {
        _cleanup_(cgroup_watch_freep) CgroupWatch *watch = NULL;
        int r;

        assert(event);
        assert(callback);
        assert(ret);

        watch = malloc(sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        *watch = (CgroupWatch){
                .events_fd = -EBADF,
                .callback = callback,
                .userdata = userdata,
        };
        r = cgroup_get_name(cgroup_fd, &watch->name);
        if (r < 0)
                return r;
        watch->events_fd = cgroup_open_events(cgroup_fd);
        if (watch->events_fd < 0)
                return watch->events_fd;
        r = cgroup_watch_add(watch, event, cgroup_fd);
        if (r < 0)
                return r;
        /* Removed before the parent was watched: nothing would ever be reported. */
        r = cgroup_read_event(watch->events_fd, "populated");
        if (r < 0)
                return r;

        *ret = TAKE_PTR(watch);
        return 0;
}

CgroupWatch *cgroup_watch_free(CgroupWatch *watch) {
        if (!watch)
                return NULL;
        (void)sd_event_source_disable_unref(watch->events_source);
        (void)sd_event_source_disable_unref(watch->parent_source);
        (void)close_keep_errno(watch->events_fd);
        free(watch->name);
        free(watch);
        return NULL;
}
