/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages to the operator, on stderr: "PROGRAM: text", or "<N>text" when stderr is a stream to the
 * journal. One message is one line and one write(2); control bytes in it become spaces, a message that is
 * too long is cut. Errno is kept.
 */
#pragma once

#include <syslog.h>

#include "util/cleanup.h"

/* Messages above this level are dropped: LOG_DEBUG is the highest, LOG_INFO the default. */
void log_set_max_level(int level);
int log_get_max_level(void);

void log_full(int level, const char *fmt, ...) _printf_(2, 3);

/* As log_full(), with errno set for %m. error is an errno of either sign; returned as a negative one. */
int log_full_errno(int level, int error, const char *fmt, ...) _printf_(3, 4);

#define log_error(...)   log_full(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_full(LOG_DEBUG, __VA_ARGS__)

#define log_error_errno(r, ...)   log_full_errno(LOG_ERR, r, __VA_ARGS__)
#define log_warning_errno(r, ...) log_full_errno(LOG_WARNING, r, __VA_ARGS__)
#define log_notice_errno(r, ...)  log_full_errno(LOG_NOTICE, r, __VA_ARGS__)
#define log_info_errno(r, ...)    log_full_errno(LOG_INFO, r, __VA_ARGS__)
#define log_debug_errno(r, ...)   log_full_errno(LOG_DEBUG, r, __VA_ARGS__)
