/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper of a job: a process that does nothing until run ends. When run was killed, PR_SET_PDEATHSIG took only
 * the command itself; the keeper takes all that lives in the cgroup. It holds two descriptors, no terminal and no
 * standard stream, so that nobody waits for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "run.h"
#include "util/io.h"
#include "util/macro.h"

#define KEEPER_PIPE   0
#define KEEPER_CGROUP 1
#define TREE_DEPTH    64
#define DISMISSED     'd'

static void keeper_close_fds(void) {
        if (close_range(KEEPER_CGROUP + 1, ~0U, 0) == 0)
                return;
        for (int fd = KEEPER_CGROUP + 1, n = (int)sysconf(_SC_OPEN_MAX); fd < n; fd++)
                (void)close(fd);
}

/* Best effort: each only makes it less likely that somebody else ends the keeper first. Lowering the score needs
 * a capability. */
static void keeper_harden(void) {
        int fd;

        (void)prctl(PR_SET_NAME, "cgpolicy-keeper");
        (void)setsid();
        (void)!chdir("/");
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                (void)!write(fd, "-1000", 5);
                (void)close(fd);
        }
}

static int write_file(int dir_fd, const char *name, const char *value) {
        _cleanup_close_ int fd = -EBADF;
        ssize_t n = (ssize_t)strlen(value);

        fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return write(fd, value, (size_t)n) == n ? 0 : -errno;
}

static void kill_listed(int dir_fd) {
        _cleanup_fclose_ FILE *procs = NULL;
        int pid, fd;

        fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return; /* removed: nobody is in it */
        procs = fdopen(fd, "r");
        if (!procs) {
                (void)close(fd);
                return;
        }
        while (fscanf(procs, "%d", &pid) == 1)
                if (pid > 0) /* 0: of a foreign pid namespace; kill(0) would be us */
                        (void)kill(pid, SIGKILL);
}

static void kill_tree(int dir_fd, unsigned depth) {
        _cleanup_closedir_ DIR *dir = NULL;

        kill_listed(dir_fd);
        if (io_opendir(dir_fd, ".", &dir) < 0)
                return;
        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_close_ int child = -EBADF;

                if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || depth == 0)
                        continue;
                child = openat(
                        dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child >= 0)
                        kill_tree(child, depth - 1);
        }
}

static bool is_populated(int events_fd) {
        char buffer[256];
        ssize_t n;

        n = pread(events_fd, buffer, sizeof(buffer) - 1, 0);
        if (n <= 0)
                return false; /* removed */
        buffer[n] = '\0';
        return strstr(buffer, "populated 1");
}

/* Before 5.14 there is no cgroup.kill. Frozen processes do not fork, do not end and so give no pid away to a
 * stranger, but a SIGKILL reaches them. */
static void kill_without_kernel(int dir_fd) {
        _cleanup_close_ int events = -EBADF;

        (void)write_file(dir_fd, "cgroup.freeze", "1"); /* without it: round by round */
        events = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (events < 0) {
                kill_tree(dir_fd, TREE_DEPTH);
                return;
        }
        while (is_populated(events)) {
                struct pollfd poll_fd = { .fd = events, .events = POLLPRI };

                kill_tree(dir_fd, TREE_DEPTH);
                if (is_populated(events))
                        (void)poll(&poll_fd, 1, -1);
        }
}

static void keeper(int pipe_fd, int cgroup_fd) __attribute__((noreturn));

static void keeper(int pipe_fd, int cgroup_fd) {
        sigset_t all;
        ssize_t n;
        char byte;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        if (dup2(pipe_fd, KEEPER_PIPE) < 0 || dup2(cgroup_fd, KEEPER_CGROUP) < 0)
                _exit(1);
        keeper_close_fds();
        keeper_harden();

        do
                n = read(KEEPER_PIPE, &byte, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1 && byte == DISMISSED)
                _exit(0);

        if (write_file(KEEPER_CGROUP, "cgroup.kill", "1") < 0)
                kill_without_kernel(KEEPER_CGROUP);
        _exit(0);
}

int keeper_start(int cgroup_fd, Keeper *ret) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        pid_t pid;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                keeper(read_fd, cgroup_fd);
        *ret = (Keeper){ .pid = pid, .fd = TAKE_FD(write_fd) };
        return 0;
}

void keeper_dismiss(Keeper *keeper) {
        const char byte = DISMISSED;

        if (keeper->fd < 0)
                return;
        /* SIGPIPE is blocked by then: a keeper that was killed is no reason to die. */
        (void)!write(keeper->fd, &byte, 1);
        keeper->fd = close_keep_errno(keeper->fd);
        while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
                ;
}
