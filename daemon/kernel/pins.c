/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/pins.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/loader.h"
#include "util/macro.h"

#define PIN_NAME_MAX 64U
#define PIN_PATH_MAX (sizeof("/proc/self/fd/-2147483648/") + PIN_NAME_MAX)

static int make_path(int dir_fd, const char *name, char path[PIN_PATH_MAX]) {
        int n = snprintf(path, PIN_PATH_MAX, "/proc/self/fd/%d/%s", dir_fd, name);

        return n < 0 || (size_t)n >= PIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

int pin_object(int fd, int dir_fd, const char *name) {
        char path[PIN_PATH_MAX];
        int r;

        r = make_path(dir_fd, name, path);
        if (r < 0)
                return r;
        return bpf_obj_pin(fd, path) < 0 ? kernel_errno(-errno) : 0;
}

/* BPF_OBJ_GET tells nobody what it opened, and asking a link for its information as if it were a map gives
 * nonsense: the name of the inode tells. The kernel calls a link bpf_link when it makes one and bpf-link
 * when it opens one again. */
static int check_type(int fd, PinType type) {
        const char *name;
        char path[PIN_PATH_MAX], target[64];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        name = startswith(target, "anon_inode:");
        if (!name)
                return -EMEDIUMTYPE;
        if (name[0] == '[')
                name++;
        if (type == PIN_MAP)
                return startswith(name, "bpf-map") ? 0 : -EMEDIUMTYPE;
        return startswith(name, "bpf-link") || startswith(name, "bpf_link") ? 0 : -EMEDIUMTYPE;
}

int pin_open(int dir_fd, const char *name, PinType type, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        char path[PIN_PATH_MAX];
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EMEDIUMTYPE;
        r = make_path(dir_fd, name, path);
        if (r < 0)
                return r;
        fd = bpf_obj_get(path);
        if (fd < 0) /* EACCES: a file of the bpffs that holds no object */
                return errno == EACCES ? -EMEDIUMTYPE : kernel_errno(-errno);
        r = check_type(fd, type);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int pin_open_directory(int dir_fd, const char *name, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOTDIR || errno == ELOOP ? -EMEDIUMTYPE : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
                return -EMEDIUMTYPE;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int pin_directory(int dir_fd, const char *name, int *ret_fd) {
        bool is_new = true;
        int r;

        if (mkdirat(dir_fd, name, 0700) < 0) {
                if (errno != EEXIST)
                        return -errno;
                is_new = false;
        }
        r = pin_open_directory(dir_fd, name, ret_fd);
        if (r < 0) {
                if (is_new)
                        (void)unlinkat(dir_fd, name, AT_REMOVEDIR);
                return r;
        }
        return is_new;
}
