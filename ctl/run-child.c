/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The child: nothing of the command runs before it is in the cgroup. What it inherits (streams, environment,
 * directory, session, process group, signal dispositions) is what run inherited.
 */
#include <fcntl.h>
#include <sys/prctl.h>

#include "run.h"
#include "util/macro.h"

static void report(int fd, RunStage stage, int error) __attribute__((noreturn));

static void report(int fd, RunStage stage, int error) {
        const RunReport message = { .stage = stage, .error = error };

        /* Smaller than PIPE_BUF: whole or not at all. Without a reader there is nobody to tell. */
        (void)!write(fd, &message, sizeof(message));
        _exit(stage != RUN_STAGE_EXEC ? 1 : error == ENOENT ? 127 : 126);
}

static int enter_cgroup(int cgroup_fd) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return write(fd, "0", 1) == 1 ? 0 : -errno;
}

static void child(pid_t parent, int cgroup_fd, int report_fd, char *const *command,
        const RunSignals *signals) __attribute__((noreturn));

static void child(pid_t parent, int cgroup_fd, int report_fd, char *const *command,
        const RunSignals *signals) {
        int r;

        /* Lost again when a set-user-ID program is executed: then only the keeper is left. The parent may
         * have died before the call, hence the second look. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                report(report_fd, RUN_STAGE_PARENT, errno);
        if (getppid() != parent)
                report(report_fd, RUN_STAGE_PARENT, ESRCH);

        r = enter_cgroup(cgroup_fd);
        if (r < 0)
                report(report_fd, RUN_STAGE_CGROUP, -r);
        r = run_signals_restore(signals);
        if (r < 0)
                report(report_fd, RUN_STAGE_SIGNALS, -r);

        (void)execvp(command[0], command);
        report(report_fd, RUN_STAGE_EXEC, errno);
}

int run_child_start(int cgroup_fd, int keeper_fd, char *const *command, const RunSignals *signals,
        RunChild *ret) {
        _cleanup_close_ int report_read = -EBADF, report_write = -EBADF;
        pid_t parent = getpid(), pid;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        report_read = fds[0];
        report_write = fds[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void)close(keeper_fd); /* ours would hide from the keeper that run is dead */
                child(parent, cgroup_fd, report_write, command, signals);
        }
        *ret = (RunChild){ .pid = pid, .report_fd = TAKE_FD(report_read) };
        return 0;
}
