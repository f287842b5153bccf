/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bounded log of JSON lines in a directory: NAME, and NAME.1 when NAME reached half the bound. A line is
 * written by one write(2) at the end, so a daemon killed at any moment leaves whole lines, except that the
 * kernel may cut the last one when the disk is full: readers skip what is not a whole line, and the writer
 * begins a new line if the last one is cut. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct LogFile LogFile;

/* dir_fd is duplicated. max_size bounds both files together. Mode 0600. */
int log_file_open(
        int dir_fd, const char *name, uint64_t max_size, LogFile **ret) _warn_unused_result_;
LogFile *log_file_close(LogFile *log);
DEFINE_CLEANUP(LogFile *, log_file_closep, log_file_close);

/* Appends the lines, each without its newline. On failure (-ENOSPC, -EIO, ...) nothing or whole lines were
 * written; what was not is counted in log_file_get_lost(). */
int log_file_append(LogFile *log, const char *line);
uint64_t log_file_get_lost(const LogFile *log);

/* Calls back for the whole lines, oldest first; n_max 0: all. The callback filters: it returns 1 to have a
 * line counted as one of n_max, 0 to pass over it, negative to stop. With n_max, the last n_max lines for
 * which `wanted` says 1 are given to `line`. */
typedef int (*LogFileWanted)(void *userdata, const char *line);
typedef int (*LogFileLine)(void *userdata, const char *line);
int log_file_tail(LogFile *log, size_t n_max, LogFileWanted wanted, LogFileLine line,
        void *userdata) _warn_unused_result_;
