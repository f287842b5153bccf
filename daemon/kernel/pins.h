/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pinned objects by directory fd and name. bpf(2) of the kernels we support takes paths only, so the fd
 * goes in as /proc/self/fd/N; nothing is ever looked up by a path that somebody else could redirect.
 */
#pragma once

#include "util/cleanup.h"

typedef enum PinType {
        PIN_MAP,
        PIN_LINK,
} PinType;

/* Pins the object. -EEXIST: the name is taken. */
int pin_object(int fd, int dir_fd, const char *name) _warn_unused_result_;

/* Opens what is pinned there. -ENOENT; -EMEDIUMTYPE: it is something else (a directory, a symbolic link,
 * another type of object). */
int pin_open(int dir_fd, const char *name, PinType type, int *ret_fd) _warn_unused_result_;

/* Makes (0700) or opens a directory. An existing one must belong to us and be writable by nobody else,
 * or else -EMEDIUMTYPE, as when it is no directory. Returns 1 if it was made, 0 if it was there. */
int pin_directory(int dir_fd, const char *name, int *ret_fd) _warn_unused_result_;

/* As pin_directory() for one that must be there. -ENOENT. */
int pin_open_directory(int dir_fd, const char *name, int *ret_fd) _warn_unused_result_;
