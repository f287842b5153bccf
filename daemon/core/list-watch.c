/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/list-watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "util/macro.h"
#include "util/strv.h"

/* Programs that write lists touch a file many times; they are done soon. */
#define SETTLE_USEC (100 * USEC_PER_MSEC)

typedef struct WatchedDir {
        ListWatch *watch;
        char *path;
        char **names;
        sd_event_source *source;
        dev_t device;
        ino_t inode;
        bool wanted;
        bool gone; /* removed: what has the path now, if anything, is another */
} WatchedDir;

struct ListWatch {
        sd_event *event;
        const char *dir;
        void (*changed)(void *userdata);
        void *userdata;
        WatchedDir **dirs;
        size_t n_dirs;
        sd_event_source *timer;
};

static WatchedDir *watched_dir_free(WatchedDir *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->source);
        strv_free(d->names);
        free(d->path);
        free(d);
        return NULL;
}

DEFINE_CLEANUP(WatchedDir *, watched_dir_freep, watched_dir_free);

static int on_settled(sd_event_source *s, uint64_t usec, void *userdata) {
        ListWatch *watch = userdata;

        watch->timer = sd_event_source_disable_unref(watch->timer);
        watch->changed(watch->userdata);
        return 0;
}

/* A file that is only just made is not written yet: its writer closes it. A link is whole at once, and a directory
 * is to be watched at once. */
static bool is_whole(const WatchedDir *d, const char *name) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s/%s", d->path, name) < 0) {
                path = NULL;
                return true;
        }
        return lstat(path, &st) >= 0 && (!S_ISREG(st.st_mode) || st.st_nlink > 1);
}

static int on_inotify(sd_event_source *s, const struct inotify_event *event, void *userdata) {
        WatchedDir *d = userdata;
        ListWatch *watch = d->watch;

        if (event->mask & (IN_DELETE_SELF | IN_IGNORED | IN_UNMOUNT))
                d->gone = true;
        if (event->len > 0 &&
                (!strv_contains(d->names, event->name) ||
                        ((event->mask & IN_CREATE) && !is_whole(d, event->name))))
                return 0;
        /* Not put off by what follows: a file that is never left alone is read all the same. */
        if (!watch->timer)
                (void)sd_event_add_time_relative(watch->event, &watch->timer, CLOCK_MONOTONIC,
                        SETTLE_USEC, SETTLE_USEC / 4, on_settled, watch);
        return 0;
}

int list_watch_new(sd_event *event, const char *dir, void (*changed)(void *userdata),
        void *userdata, ListWatch **ret) {
        ListWatch *watch = calloc(1, sizeof(*watch));

        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->dir = dir;
        watch->changed = changed;
        watch->userdata = userdata;
        *ret = watch;
        return 0;
}

ListWatch *list_watch_free(ListWatch *watch) {
        if (!watch)
                return NULL;
        while (watch->n_dirs > 0)
                watched_dir_free(watch->dirs[--watch->n_dirs]);
        free(watch->dirs);
        sd_event_source_disable_unref(watch->timer);
        sd_event_unref(watch->event);
        free(watch);
        return NULL;
}

static bool is_watching(const WatchedDir *d, const char *path, const struct stat *st) {
        return streq(d->path, path) && !d->gone && d->device == st->st_dev &&
                d->inode == st->st_ino;
}

static int watch_get_dir(ListWatch *watch, const char *path, WatchedDir **ret) {
        _cleanup_(watched_dir_freep) WatchedDir *d = NULL;
        _cleanup_close_ int fd = -EBADF;
        WatchedDir **dirs;
        struct stat st;
        int r;

        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        for (size_t i = 0; i < watch->n_dirs; i++)
                if (is_watching(watch->dirs[i], path, &st)) {
                        *ret = watch->dirs[i];
                        return 0;
                }
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        d->watch = watch;
        d->device = st.st_dev;
        d->inode = st.st_ino;
        d->path = strdup(path);
        if (!d->path)
                return -ENOMEM;
        r = sd_event_add_inotify_fd(watch->event, &d->source, fd,
                IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE |
                        IN_DELETE_SELF | IN_ONLYDIR,
                on_inotify, d);
        if (r < 0)
                return r;
        dirs = reallocarray(watch->dirs, watch->n_dirs + 1, sizeof(*dirs));
        if (!dirs)
                return -ENOMEM;
        watch->dirs = dirs;
        *ret = dirs[watch->n_dirs++] = TAKE_PTR(d);
        return 0;
}

/* One name, which splits the path. */
static int watch_add_name(ListWatch *watch, char *path) {
        char *slash = strrchr(path, '/');
        WatchedDir *d = NULL;
        int r;

        *slash = '\0';
        r = watch_get_dir(watch, *path ? path : "/", &d);
        if (r < 0)
                return r;
        d->wanted = true;
        return strv_contains(d->names, slash + 1) ? 0 : strv_extend(&d->names, slash + 1);
}

static int watch_add(ListWatch *watch, const char *file) {
        _cleanup_free_ char *path = NULL;
        int r, q;

        if (asprintf(&path, "%s%s%s", *file == '/' ? "" : watch->dir, *file == '/' ? "" : "/",
                    file) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = watch_add_name(watch, path);
        /* The directory itself may be put in the place of another, or come back. */
        q = strrchr(path, '/') ? watch_add_name(watch, path) : 0;
        return r < 0 && r != -ENOENT ? r : q;
}

static bool is_gone(const WatchedDir *d) {
        return d->gone;
}

static bool is_unwanted(const WatchedDir *d) {
        return !d->wanted;
}

static void watch_drop(ListWatch *watch, bool (*drop)(const WatchedDir *d)) {
        for (size_t i = watch->n_dirs; i-- > 0;)
                if (drop(watch->dirs[i])) {
                        watched_dir_free(watch->dirs[i]);
                        watch->dirs[i] = watch->dirs[--watch->n_dirs];
                }
}

int list_watch_set(ListWatch *watch, const ListTable *table) {
        int ret = 0;

        for (size_t i = 0; i < watch->n_dirs; i++) {
                watch->dirs[i]->names = strv_free(watch->dirs[i]->names);
                watch->dirs[i]->wanted = false;
        }
        /* First, as another may have the same inode. */
        watch_drop(watch, is_gone);
        for (size_t i = 0; i < table->n_entries; i++) {
                int r = table->entries[i].file ? watch_add(watch, table->entries[i].file) : 0;

                if (r < 0 && ret == 0)
                        ret = r;
        }
        watch_drop(watch, is_unwanted);
        return ret;
}
