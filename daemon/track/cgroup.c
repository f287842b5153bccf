/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cgroup2 hierarchy through its files. Who lives in a cgroup may make cgroups below it, as many and as
 * deep as it likes: nothing here recurses, and a walk holds two directories open whatever the depth.
 */
#include "track/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "track/cgroup-private.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

#define MOUNTINFO_MAX (16U * 1024 * 1024)
#define EVENTS_MAX    4096U

/* Against somebody who makes cgroups as fast as we remove them. */
#define REMOVE_STEPS_MAX 1000000U

/* The controllers, whose files are in every cgroup directory as CONTROLLER.FILE, those of cgroup v1 included:
 * what the kernel may add to cgroup2 is not known yet. */
static const char *const reserved_prefixes[] = {
        "blkio",
        "cgroup",
        "cpu",
        "cpuacct",
        "cpuset",
        "debug",
        "devices",
        "dmem",
        "freezer",
        "hugetlb",
        "io",
        "irq",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
};

/* Decodes \OOO, in place. */
static void mountinfo_unescape(char *s) {
        char *out = s;

        for (; *s; s++)
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                        s[3] >= '0' && s[3] <= '7') {
                        *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else
                        *out++ = *s;
        *out = '\0';
}

/* Splits "id parent device root mountpoint options [tag...] - fstype ...", in place. */
static bool mountinfo_parse_line(char *line, char **ret_root, char **ret_path) {
        char *fields[6], *type;

        type = strstr(line, " - ");
        if (!type)
                return false;
        *type = '\0';
        type += strlen(" - ");
        if (!startswith(type, "cgroup2 "))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                fields[i] = strsep(&line, " ");
                if (!fields[i])
                        return false;
        }

        mountinfo_unescape(fields[3]);
        mountinfo_unescape(fields[4]);
        *ret_root = fields[3];
        *ret_path = fields[4];
        return true;
}

int cgroup_parse_mounts(const char *mountinfo, char ***ret) {
        _cleanup_free_ char *copy = NULL;
        _cleanup_(strv_freep) char **whole = NULL, **partial = NULL;
        char *rest, *line;
        int r;

        assert(mountinfo);
        assert(ret);

        copy = strdup(mountinfo);
        if (!copy)
                return -ENOMEM;
        rest = copy;
        while ((line = strsep(&rest, "\n"))) {
                char *root, *path;

                if (!mountinfo_parse_line(line, &root, &path))
                        continue;
                r = strv_extend(streq(root, "/") ? &whole : &partial, path);
                if (r < 0)
                        return r;
        }
        for (char **p = partial; p && *p; p++) {
                r = strv_extend(&whole, *p);
                if (r < 0)
                        return r;
        }
        if (!whole)
                return -ENOENT;

        *ret = TAKE_PTR(whole);
        return 0;
}

int cgroup_find_mount(char **ret) {
        _cleanup_free_ char *mountinfo = NULL;
        _cleanup_(strv_freep) char **paths = NULL;
        int r;

        assert(ret);

        r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo, NULL);
        if (r < 0)
                return r;
        r = cgroup_parse_mounts(mountinfo, &paths);
        if (r < 0)
                return r;

        for (char **p = paths; *p; p++) {
                struct statfs fs;

                /* Another mount may lie over it. */
                if (statfs(*p, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
                        continue;
                *ret = strdup(*p);
                return *ret ? 0 : -ENOMEM;
        }
        return -ENOENT;
}

int cgroup_get_id(int cgroup_fd, uint64_t *ret) {
        struct stat st;

        assert(ret);

        if (fstat(cgroup_fd, &st) < 0)
                return -errno;
        *ret = st.st_ino;
        return 0;
}

bool cgroup_name_is_valid(const char *name) {
        static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    ":_.@\\-";
        size_t n = strlen(name), n_prefix = strcspn(name, ".");

        if (n == 0 || n > NAME_MAX || name[0] == '.' || name[0] == '-')
                return false;
        if (strspn(name, valid) != n)
                return false;
        if (n_prefix == n)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(reserved_prefixes); i++)
                if (strlen(reserved_prefixes[i]) == n_prefix &&
                        memcmp(reserved_prefixes[i], name, n_prefix) == 0)
                        return false;
        return true;
}

static int cgroup_open_at(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int cgroup_create(int parent_fd, const char *name, bool exclusive, int *ret_fd) {
        bool made;
        int fd;

        assert(name);
        assert(ret_fd);

        if (!cgroup_name_is_valid(name))
                return -EINVAL;
        made = mkdirat(parent_fd, name, 0755) >= 0;
        if (!made && (errno != EEXIST || exclusive))
                return -errno;
        fd = cgroup_open_at(parent_fd, name);
        if (fd < 0) {
                if (made)
                        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
                return fd;
        }
        *ret_fd = fd;
        return 0;
}

/* The first directory in it; NULL if there is none. Owned. -ENOENT: it was removed. */
static int cgroup_first_child(int cgroup_fd, char **ret) {
        _cleanup_closedir_ DIR *dir = NULL;
        int r;

        r = io_opendir(cgroup_fd, ".", &dir);
        if (r < 0)
                return r;

        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry && errno != 0)
                        return -errno;
                if (!entry) {
                        *ret = NULL;
                        return 0;
                }
                if (entry->d_type == DT_DIR && !streq(entry->d_name, ".") &&
                        !streq(entry->d_name, "..")) {
                        *ret = strdup(entry->d_name);
                        return *ret ? 0 : -ENOMEM;
                }
        }
}

/* Goes one step towards a deepest cgroup: removes the first child of *fd, or steps into it. 1: there was one,
 * 0: there is none. */
static int cgroup_remove_step(int *fd, unsigned *depth) {
        _cleanup_free_ char *child = NULL, *grandchild = NULL;
        _cleanup_close_ int child_fd = -EBADF;
        int r;

        r = cgroup_first_child(*fd, &child);
        if (r < 0)
                return r == -ENOENT ? 0 : r; /* removed meanwhile, so it was empty */
        if (!child)
                return 0;

        if (unlinkat(*fd, child, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                return 1;
        if (errno != EBUSY)
                return -errno;

        child_fd = cgroup_open_at(*fd, child);
        if (child_fd < 0)
                return child_fd == -ENOENT ? 1 : child_fd;
        r = cgroup_first_child(child_fd, &grandchild);
        if (r < 0 && r != -ENOENT)
                return r;
        if (!grandchild) {
                /* Either a process lives there, or the last cgroup in it went away a moment ago. */
                if (unlinkat(*fd, child, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        return -errno;
                return 1;
        }

        (void)close_keep_errno(*fd);
        *fd = TAKE_FD(child_fd);
        (*depth)++;
        return 1;
}

int cgroup_remove(int parent_fd, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        unsigned depth = 0;

        assert(name);

        if (!cgroup_name_is_valid(name))
                return -EINVAL;
        fd = cgroup_open_at(parent_fd, name);
        if (fd < 0)
                return fd;

        for (unsigned i = 0; i < REMOVE_STEPS_MAX; i++) {
                _cleanup_free_ char *child = NULL;
                int r, up;

                r = cgroup_remove_step(&fd, &depth);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;

                if (depth > 0) {
                        up = cgroup_open_at(fd, "..");
                        if (up < 0)
                                return up;
                        (void)close_keep_errno(fd);
                        fd = up;
                        depth--;
                        continue;
                }
                if (unlinkat(parent_fd, name, AT_REMOVEDIR) >= 0)
                        return 0;
                if (errno != EBUSY)
                        return -errno;
                r = cgroup_first_child(fd, &child);
                if (r < 0)
                        return r;
                if (!child)
                        return -EBUSY;
        }
        return -EBUSY;
}

int cgroup_open_events(int cgroup_fd) {
        int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return errno == ENOENT ? -ENODEV : -errno;
        return fd;
}

int cgroup_read_event(int events_fd, const char *key) {
        char buf[EVENTS_MAX], *rest = buf, *line;
        ssize_t n;

        n = pread(events_fd, buf, sizeof(buf) - 1, 0);
        if (n < 0)
                return -errno;
        buf[n] = '\0';
        while ((line = strsep(&rest, "\n"))) {
                const char *value = startswith(line, key);

                if (value && streq(value, " 0"))
                        return 0;
                if (value && streq(value, " 1"))
                        return 1;
        }
        return -EBADMSG;
}

int cgroup_is_populated(int cgroup_fd) {
        _cleanup_close_ int fd = -EBADF;

        fd = cgroup_open_events(cgroup_fd);
        if (fd < 0)
                return fd;
        return cgroup_read_event(fd, "populated");
}
