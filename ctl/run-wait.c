/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between start and end of the command. run and command are in one process group, so what the terminal sends
 * reaches both; what somebody sends to run alone is forwarded. When the command is stopped, run stops too, so that
 * a shell sees a stopped job.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "run.h"
#include "util/macro.h"

/* Signals that mean a fault of our own stay as they are. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

static void handled_signals(sigset_t *set) {
        (void)sigfillset(set);
        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                (void)sigdelset(set, faults[i]);
}

int run_signals_block(RunSignals *ret) {
        /* An inherited SIG_IGN would reap the command behind our back. */
        const struct sigaction standard = { .sa_handler = SIG_DFL };
        RunSignals signals = {};
        sigset_t set;

        if (sigaction(SIGCHLD, &standard, &signals.inherited_chld) < 0)
                return -errno;
        handled_signals(&set);
        if (sigprocmask(SIG_BLOCK, &set, &signals.inherited_mask) < 0)
                return -errno;
        *ret = signals;
        return 0;
}

int run_signals_restore(const RunSignals *signals) {
        if (sigaction(SIGCHLD, &signals->inherited_chld, NULL) < 0 ||
                sigprocmask(SIG_SETMASK, &signals->inherited_mask, NULL) < 0)
                return -errno;
        return 0;
}

/* Did the kernel send this to the whole process group, so that the command has it already? Timers and limits are
 * for one process; a hang-up goes to the session's leader alone. */
static bool reached_the_group(const struct signalfd_siginfo *info) {
        if (info->ssi_code != SI_KERNEL)
                return false;
        switch (info->ssi_signo) {
        case SIGINT:
        case SIGQUIT:
        case SIGTSTP:
        case SIGTTIN:
        case SIGTTOU:
        case SIGWINCH:
                return true;
        case SIGHUP:
        case SIGCONT:
                return getsid(0) != getpid();
        default:
                return false;
        }
}

/* The pid cannot be a stranger's: until run_reap() says so, the child is at least a zombie of ours. */
static void forward(pid_t pid, const struct signalfd_siginfo *info) {
        union sigval value = { .sival_ptr = (void *)(uintptr_t)info->ssi_ptr };

        /* What the command itself sends to its process group is not sent back to it. */
        if (reached_the_group(info) || (info->ssi_code <= 0 && (pid_t)info->ssi_pid == pid))
                return;
        /* A command that changed its user may be out of reach: then nobody can do what was asked. */
        if (info->ssi_code == SI_QUEUE)
                (void)sigqueue(pid, (int)info->ssi_signo, value);
        else
                (void)kill(pid, (int)info->ssi_signo);
}

/* Is a job control shell waiting for our process group? */
static bool in_foreground(void) {
        _cleanup_close_ int fd = -EBADF;

        fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
        return fd >= 0 && tcgetpgrp(fd) == getpgrp();
}

static void stop_likewise(int sig) {
        const struct sigaction standard = { .sa_handler = SIG_DFL };
        struct sigaction old;
        sigset_t set;

        if (sig == SIGSTOP) {
                /* Sent to the command by name. Who did so without a shell will continue only the command. */
                if (in_foreground())
                        (void)raise(SIGSTOP);
                return;
        }
        if (sigaction(sig, &standard, &old) < 0)
                return;
        (void)sigemptyset(&set);
        (void)sigaddset(&set, sig);
        (void)raise(sig);
        (void)sigprocmask(
                SIG_UNBLOCK, &set, NULL); /* here we stop, unless our group is an orphan */
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)sigaction(sig, &old, NULL);
}

/* 1: the command ended. */
static int run_reap(pid_t pid, int *ret_status) {
        for (;;) {
                siginfo_t info = {};

                if (waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG) < 0)
                        return -errno;
                if (info.si_pid == 0)
                        return 0;
                if (info.si_code == CLD_STOPPED) {
                        stop_likewise(info.si_status);
                        continue;
                }
                if (info.si_code == CLD_TRAPPED)
                        continue;
                *ret_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
                return 1;
        }
}

/* Takes one signal; 1: the command ended. */
static int handle_signal(int signal_fd, pid_t pid, int *ret_status) {
        struct signalfd_siginfo info;
        ssize_t n;

        n = read(signal_fd, &info, sizeof(info));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n != sizeof(info))
                return -EIO;
        if (info.ssi_signo == SIGCHLD)
                return run_reap(pid, ret_status);
        forward(pid, &info);
        return 0;
}

/* The end of the pipe means that the command is being executed. */
static int handle_report(RunChild *child, RunResult *result) {
        ssize_t n;

        n = read(child->report_fd, &result->report, sizeof(result->report));
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        child->report_fd = close_keep_errno(child->report_fd);
        if (n != 0 && n != sizeof(result->report))
                return -EIO;
        result->started = n == 0;
        return 1;
}

int run_wait(RunChild *child, void (*started)(void *userdata), void *userdata, RunResult *ret) {
        _cleanup_close_ int signal_fd = -EBADF;
        RunResult result = {};
        bool ended = false;
        sigset_t set;
        int r;

        handled_signals(&set);
        signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signal_fd < 0)
                return -errno;

        while (!ended || child->report_fd >= 0) {
                struct pollfd fds[] = {
                        { .fd = child->report_fd, .events = POLLIN }, /* negative: passed over */
                        { .fd = ended ? -1 : signal_fd, .events = POLLIN },
                };

                if (poll(fds, ELEMENTSOF(fds), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (fds[0].revents) {
                        r = handle_report(child, &result);
                        if (r < 0)
                                return r;
                        if (r > 0 && result.started)
                                started(userdata);
                }
                if (fds[1].revents) {
                        r = handle_signal(signal_fd, child->pid, &result.status);
                        if (r < 0)
                                return r;
                        ended = r > 0;
                }
        }
        *ret = result;
        return 0;
}
