/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "track/cgroup.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define EXIT_SKIP 77
#define PREFIX    "cgpolicy-kernel-test-"

static int skipped(const char *why) {
        printf("1..0 # SKIP %s: %s\n", why, strerror(errno));
        return EXIT_SKIP;
}

static int write_file(int dir_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int loopback_up(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                return -errno;
        return 0;
}

/* In the child: everything that goes with the process. Returns 0, or an exit status. */
static int enter(Sandbox *sandbox) {
        if (mkdirat(sandbox->cgroup_fd, "home", 0755) < 0)
                return skipped("mkdir in cgroup2");
        /* Not yet in a cgroup of the sandbox: the network namespace's control sockets belong to where we
         * are now. */
        if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
                return skipped("unshare");
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return skipped("private mounts");
        if (mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") < 0)
                return skipped("mount of bpffs");
        sandbox->bpffs_fd = open("/sys/fs/bpf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sandbox->bpffs_fd < 0)
                return skipped("open bpffs");
        if (loopback_up() < 0)
                return skipped("lo");
        /* Ping sockets for root, whose group the default leaves out. */
        if (write_file(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647") < 0)
                return skipped("ping_group_range");
        if (write_file(sandbox->cgroup_fd, "home/cgroup.procs", "0") < 0)
                return skipped("cgroup.procs");
        return 0;
}

/* Removes what tests whose parent was killed, too, have left: their names tell who made them. */
static void remove_leftovers(int mount_fd) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int fd;

        fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return;
        dir = fdopendir(fd);
        if (!dir) {
                (void)close_keep_errno(fd);
                return;
        }
        while ((entry = readdir(dir))) {
                const char *pid = startswith(entry->d_name, PREFIX);

                if (!pid || kill((pid_t)atoi(pid), 0) == 0 || errno != ESRCH)
                        continue;
                if (cgroup_remove(mount_fd, entry->d_name) < 0)
                        fprintf(stderr, "cgroup %s stays\n", entry->d_name);
        }
}

static int run_child(Sandbox *sandbox, int (*test)(Sandbox *sandbox)) {
        int status;
        pid_t pid;

        (void)fflush(stdout);
        pid = fork();
        if (pid < 0)
                return skipped("fork");
        if (pid == 0) {
                /* A test that outlived its parent would keep the cgroup. */
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                status = enter(sandbox);
                if (status == 0)
                        status = test(sandbox);
                (void)fflush(stdout);
                _exit(status);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return EXIT_FAILURE;
        if (WIFSIGNALED(status)) {
                fprintf(stderr, "test killed by signal %d\n", WTERMSIG(status));
                return EXIT_FAILURE;
        }
        return WEXITSTATUS(status);
}

int sandbox_run(int (*test)(Sandbox *sandbox)) {
        _cleanup_free_ char *mount_path = NULL;
        _cleanup_close_ int mount_fd = -EBADF;
        Sandbox sandbox = { .cgroup_fd = -EBADF, .bpffs_fd = -EBADF };
        char name[64];
        int r, status;

        errno = EPERM;
        if (geteuid() != 0)
                return skipped("not root");
        r = cgroup_find_mount(&mount_path);
        if (r < 0) {
                errno = -r;
                return skipped("no cgroup2 mount");
        }
        mount_fd = open(mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return skipped("open cgroup2");
        remove_leftovers(mount_fd);
        (void)snprintf(name, sizeof(name), PREFIX "%d", (int)getpid());
        r = cgroup_create(mount_fd, name, /* exclusive= */ true, &sandbox.cgroup_fd);
        if (r < 0) {
                errno = -r;
                return skipped("create cgroup");
        }
        status = run_child(&sandbox, test);
        r = cgroup_kill(sandbox.cgroup_fd);
        (void)close_keep_errno(sandbox.cgroup_fd);
        if (r == 0)
                r = cgroup_remove(mount_fd, name);
        if (r < 0) {
                fprintf(stderr, "cgroup %s stays: %s\n", name, strerror(-r));
                return EXIT_FAILURE;
        }
        return status;
}

/* The parent of a cgroup that is named by a path, and its last component. */
static const char *open_parent(Sandbox *sandbox, const char *path, int *ret_fd) {
        const char *slash = strrchr(path, '/');
        char parent[256];

        (void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1,
                slash ? path : ".");
        *ret_fd = openat(sandbox->cgroup_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(*ret_fd >= 0);
        return slash ? slash + 1 : path;
}

int sandbox_cgroup(Sandbox *sandbox, const char *path, uint64_t *ret_id) {
        _cleanup_close_ int parent_fd = -EBADF;
        const char *name = open_parent(sandbox, path, &parent_fd);
        int fd;

        assert_int_equal(cgroup_create(parent_fd, name, /* exclusive= */ false, &fd), 0);
        assert_int_equal(cgroup_get_id(fd, ret_id), 0);
        return fd;
}

void sandbox_enter(Sandbox *sandbox, const char *path) {
        char file[256];

        (void)snprintf(file, sizeof(file), "%s/cgroup.procs", path);
        assert_int_equal(write_file(sandbox->cgroup_fd, file, "0"), 0);
}

void sandbox_leave(Sandbox *sandbox) {
        sandbox_enter(sandbox, "home");
}

void sandbox_remove_cgroup(Sandbox *sandbox, const char *path) {
        _cleanup_close_ int parent_fd = -EBADF;
        const char *name = open_parent(sandbox, path, &parent_fd);

        assert_int_equal(cgroup_remove(parent_fd, name), 0);
}
