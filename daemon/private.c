/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "bus/api.h"
#include "exit-status.h"
#include "track/cgroup.h"
#include "util/hash.h"
#include "util/io.h"
#include "util/log.h"
#include "util/macro.h"

/* Through what we hold open, not by name: a directory above ours may be somebody else's, who could put a link
 * to another place (/sys/fs, say) under its name. "" stands for the directory itself. */
static int private_proc_path(int dir_fd, const char *name, char **ret) {
        if (asprintf(ret, "/proc/self/fd/%d%s%s", dir_fd, *name ? "/" : "", name) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* Clients other than ours know the socket by its path only. */
static int private_check_length(const PrivateDir *dir) {
        size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

        if (strlen(dir->path) + strlen("/" CGPOLICY_PRIVATE_SOCKET) <= max)
                return 0;
        log_error("The path %s/" CGPOLICY_PRIVATE_SOCKET
                  " is too long for a socket (at most %zu bytes); "
                  "use a directory with a shorter path",
                dir->path, max);
        return EXIT_STATUS_USAGE;
}

static int private_open_dir(const char *path, PrivateDir *dir) {
        _cleanup_free_ char *opened = NULL;
        struct stat st;
        int r;

        r = io_mkdir_open(AT_FDCWD, path, 0700, &dir->fd);
        if (r < 0) {
                log_error_errno(r, "Cannot open the directory %s: %m", path);
                return EXIT_STATUS_FAILURE;
        }
        if (fstat(dir->fd, &st) < 0) {
                log_error_errno(errno, "Cannot stat %s: %m", path);
                return EXIT_STATUS_FAILURE;
        }
        if (st.st_uid != geteuid() || (st.st_mode & 022)) {
                log_error(
                        "%s must belong to the user who runs cgpolicyd, and nobody else may write there; try "
                        "'chmod go-w %s', or use another directory",
                        path, path);
                return EXIT_STATUS_NOT_AUTHORISED;
        }
        r = private_proc_path(dir->fd, "", &opened);
        if (r < 0)
                return EXIT_STATUS_FAILURE;
        dir->path = realpath(opened, NULL);
        if (!dir->path) {
                log_error_errno(errno, "Cannot resolve %s: %m", path);
                return EXIT_STATUS_FAILURE;
        }
        /* Before anything is made that would have to be taken back. */
        return private_check_length(dir);
}

static int private_lock(PrivateDir *dir) {
        dir->lock_fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (dir->lock_fd < 0) {
                log_error_errno(errno, "Cannot open %s/lock: %m", dir->path);
                return EXIT_STATUS_FAILURE;
        }
        if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK) {
                        log_error(
                                "Another cgpolicyd runs on %s; use another directory, or talk to that one "
                                "with 'cgpolicyctl --private %s status'",
                                dir->path, dir->path);
                        return EXIT_STATUS_CONFLICT;
                }
                log_error_errno(errno, "Cannot lock %s/lock: %m", dir->path);
                return EXIT_STATUS_FAILURE;
        }
        return 0;
}

static bool is_bpffs(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) >= 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* A bpffs of our own: its pins are found and removed with it, and nothing of the host's is touched. */
static int private_mount_bpf(PrivateDir *dir) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = io_mkdir_open(dir->fd, "bpf", 0700, &fd);
        if (r < 0) {
                log_error_errno(r, "Cannot make %s/bpf: %m", dir->path);
                return EXIT_STATUS_FAILURE;
        }
        if (!is_bpffs(fd)) {
                r = private_proc_path(fd, "", &path);
                if (r < 0)
                        return EXIT_STATUS_FAILURE;
                if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0) {
                        log_error_errno(errno,
                                "Cannot mount a bpffs on %s/bpf: %m; cgpolicyd needs root in the "
                                "namespaces it runs in, and /proc",
                                dir->path);
                        return errno == EPERM ? EXIT_STATUS_NOT_AUTHORISED
                                              : EXIT_STATUS_NOT_SUPPORTED;
                }
                fd = close_keep_errno(fd);
                fd = openat(dir->fd, "bpf", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || !is_bpffs(fd)) {
                        log_error("%s/bpf is no bpffs after mounting one there", dir->path);
                        return EXIT_STATUS_FAILURE;
                }
        }
        dir->bpf_fd = TAKE_FD(fd);
        return 0;
}

static int private_open_cgroup(PrivateDir *dir) {
        _cleanup_close_ int mount_fd = -EBADF;
        int r;

        r = cgroup_find_mount(&dir->cgroup_mount);
        if (r < 0) {
                log_error_errno(r,
                        "No cgroup2 hierarchy is mounted (%m); 'mount -t cgroup2 cgroup2 DIRECTORY' gives one");
                return EXIT_STATUS_NOT_SUPPORTED;
        }
        if (asprintf(&dir->cgroup, "/cgpolicy-%08" PRIx32,
                    (uint32_t)hash64(dir->path, strlen(dir->path), 0)) < 0) {
                dir->cgroup = NULL;
                return EXIT_STATUS_FAILURE;
        }
        mount_fd = open(dir->cgroup_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0) {
                log_error_errno(errno, "Cannot open %s: %m", dir->cgroup_mount);
                return EXIT_STATUS_FAILURE;
        }
        r = cgroup_create(mount_fd, dir->cgroup + 1, /* exclusive= */ false, &dir->cgroup_fd);
        if (r < 0) {
                log_error_errno(
                        r, "Cannot make the cgroup %s%s: %m", dir->cgroup_mount, dir->cgroup);
                return r == -EACCES || r == -EPERM || r == -EROFS ? EXIT_STATUS_NOT_AUTHORISED
                                                                  : EXIT_STATUS_FAILURE;
        }
        return 0;
}

int private_open(const char *path, PrivateDir *ret) {
        _cleanup_(private_done) PrivateDir dir = PRIVATE_DIR_INIT;
        int status;

        status = private_open_dir(path, &dir);
        if (status == 0)
                status = private_lock(&dir);
        if (status == 0)
                status = private_mount_bpf(&dir);
        if (status == 0)
                status = private_open_cgroup(&dir);
        if (status != 0)
                return status;

        *ret = dir;
        dir = (PrivateDir)PRIVATE_DIR_INIT;
        return 0;
}

int private_listen(PrivateDir *dir) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        mode_t mask;
        int r;

        r = private_proc_path(dir->fd, CGPOLICY_PRIVATE_SOCKET, &path);
        if (r < 0)
                return EXIT_STATUS_FAILURE;
        assert(strlen(path) < sizeof(address.sun_path));
        (void)strcpy(address.sun_path, path);

        /* We hold the lock: whoever listened there is dead. */
        if (unlinkat(dir->fd, CGPOLICY_PRIVATE_SOCKET, 0) < 0 && errno != ENOENT) {
                log_error_errno(errno, "Cannot remove the stale %s/" CGPOLICY_PRIVATE_SOCKET ": %m",
                        dir->path);
                return EXIT_STATUS_FAILURE;
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        mask = umask(0177);
        r = fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r >= 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        if (r < 0) {
                log_error_errno(
                        r, "Cannot listen on %s/" CGPOLICY_PRIVATE_SOCKET ": %m", dir->path);
                return EXIT_STATUS_FAILURE;
        }
        dir->socket_fd = TAKE_FD(fd);
        return 0;
}

void private_close_socket(PrivateDir *dir) {
        (void)unlinkat(dir->fd, CGPOLICY_PRIVATE_SOCKET, 0);
}

void private_cleanup(PrivateDir *dir) {
        _cleanup_close_ int mount_fd = -EBADF;
        _cleanup_free_ char *path = NULL;

        dir->bpf_fd = close_keep_errno(dir->bpf_fd);
        dir->cgroup_fd = close_keep_errno(dir->cgroup_fd);
        if (private_proc_path(dir->fd, "bpf", &path) < 0)
                return;
        if (umount2(path, UMOUNT_NOFOLLOW) < 0)
                log_warning_errno(errno, "Cannot unmount %s/bpf, ignoring: %m", dir->path);
        else
                (void)unlinkat(dir->fd, "bpf", AT_REMOVEDIR);

        mount_fd = open(dir->cgroup_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd >= 0 && unlinkat(mount_fd, dir->cgroup + 1, AT_REMOVEDIR) < 0 &&
                errno != ENOENT && errno != EBUSY)
                log_warning_errno(errno, "Cannot remove the cgroup %s, ignoring: %m", dir->cgroup);
}

void private_done(PrivateDir *dir) {
        dir->socket_fd = close_keep_errno(dir->socket_fd);
        dir->cgroup_fd = close_keep_errno(dir->cgroup_fd);
        dir->bpf_fd = close_keep_errno(dir->bpf_fd);
        dir->lock_fd = close_keep_errno(dir->lock_fd);
        dir->fd = close_keep_errno(dir->fd);
        free(dir->cgroup_mount);
        free(dir->cgroup);
        free(dir->path);
        *dir = (PrivateDir)PRIVATE_DIR_INIT;
}
