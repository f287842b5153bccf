/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of `run`: a child that is in the cgroup before its first foreign instruction, a keeper that ends the
 * job if we are killed, and the wait in between.
 *
 *   run     stays outside the cgroup; forwards signals, passes the exit status on
 *   child   moves itself into the cgroup and executes the command
 *   keeper  in a session of its own; blocks on a pipe that only run holds the other end of
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "util/cleanup.h"

typedef struct RunSignals {
        sigset_t inherited_mask;
        struct sigaction inherited_chld;
} RunSignals;

typedef struct Keeper {
        pid_t pid;
        int fd; /* the only writing end of its pipe */
} Keeper;

#define KEEPER_NONE ((Keeper){ .fd = -EBADF })

/* Where the child's start can fail. */
typedef enum RunStage {
        RUN_STAGE_PARENT, /* run was gone before the child could ask to die with it */
        RUN_STAGE_CGROUP,
        RUN_STAGE_SIGNALS,
        RUN_STAGE_EXEC,
} RunStage;

/* What the child writes on its report pipe; success is the end of the pipe without it. */
typedef struct RunReport {
        RunStage stage;
        int error; /* errno */
} RunReport;

typedef struct RunChild {
        pid_t pid;
        int report_fd;
} RunChild;

/* What became of the command. */
typedef struct RunResult {
        bool started;
        RunReport report; /* if not started */
        int status;       /* exit status, 128 + N after signal N */
} RunResult;

/* Starts the keeper. It kills what is in the cgroup when the pipe ends without keeper_dismiss(). */
int keeper_start(int cgroup_fd, Keeper *ret) _warn_unused_result_;

/* The job is over in order: what is left in the cgroup stays. Waits for the keeper's end. */
void keeper_dismiss(Keeper *keeper);

/* Blocks the signals that run_wait() handles and makes SIGCHLD reach us, whatever was inherited. */
int run_signals_block(RunSignals *ret) _warn_unused_result_;

/* Undoes it; async-signal-safe, for the child. */
int run_signals_restore(const RunSignals *signals) _warn_unused_result_;

/* Forks. In the child nothing returns. keeper_fd is closed in the child. */
int run_child_start(int cgroup_fd, int keeper_fd, char *const *command, const RunSignals *signals,
        RunChild *ret) _warn_unused_result_;

/* Waits for the end of the command; forwards signals and stops with it. started() is called once, when the
 * command is executed. Closes report_fd. */
int run_wait(RunChild *child, void (*started)(void *userdata), void *userdata,
        RunResult *ret) _warn_unused_result_;
