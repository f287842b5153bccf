/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded log of JSON lines in a directory: NAME, and NAME.1, to which NAME is renamed when it reached half
 * the bound. A line is written by one write(2) at the end, so a daemon killed at any moment leaves whole
 * lines, except that the kernel may cut the last one when the disk is full: readers skip what does not end
 * with a newline, and the writer removes it before it goes on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

/* Bytes of one line, the newline included. */
#define LOG_FILE_LINE_MAX (64U * 1024)

typedef struct LogFile LogFile;

/* dir_fd is duplicated. max_size bounds both files together and is at least 2 * LOG_FILE_LINE_MAX (-EINVAL);
 * a file that is there already and exceeds half of it is removed. Mode 0600. -EBADFD: not a regular
 * file. */
int log_file_open(
        int dir_fd, const char *name, uint64_t max_size, LogFile **ret) _warn_unused_result_;
LogFile *log_file_close(LogFile *log);
DEFINE_CLEANUP(LogFile *, log_file_closep, log_file_close);

/* Appends one line, given without its newline. -EINVAL: empty, or has a newline inside; -EMSGSIZE: too
 * long. On failure (also -ENOSPC, -EIO, ...) nothing of it can be read, and it is counted in
 * log_file_get_lost(); the next append tries again with a clean end. */
int log_file_append(LogFile *log, const char *line) _warn_unused_result_;
uint64_t log_file_get_lost(const LogFile *log);

/* Gives the last n_max lines (0: all) for which `wanted` says 1 to `line`, oldest first. `wanted` sees each
 * line once, newest first, until there are enough: it returns 1 to have the line, 0 to pass over it.
 * Negative from either stops, and is returned. Lines appended meanwhile are not seen. */
typedef int (*LogFileWanted)(void *userdata, const char *line);
typedef int (*LogFileLine)(void *userdata, const char *line);
int log_file_tail(LogFile *log, size_t n_max, LogFileWanted wanted, LogFileLine line,
        void *userdata) _warn_unused_result_;
