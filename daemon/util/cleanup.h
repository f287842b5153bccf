/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scope-bound ownership: every local that owns something carries _cleanup_, every hand-over is a TAKE_*. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _warn_unused_result_ __attribute__((warn_unused_result))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _cleanup_free_       _cleanup_(freep)
#define _cleanup_close_      _cleanup_(closep)
#define _cleanup_fclose_     _cleanup_(fclosep)
#define _cleanup_closedir_   _cleanup_(closedirp)

#define TAKE_GENERIC(var, type, nullvalue) \
        ({                                 \
                type *_p = &(var);         \
                type _v = *_p;             \
                *_p = (nullvalue);         \
                _v;                        \
        })
#define TAKE_PTR(ptr) TAKE_GENERIC(ptr, typeof(ptr), NULL)
#define TAKE_FD(fd)   TAKE_GENERIC(fd, int, -EBADF)

/* Defines x_freep() for _cleanup_ from a destructor that takes a pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, name, destructor) \
        static inline void name(type *p) {     \
                if (*p)                        \
                        (void)destructor(*p);  \
        }                                      \
        struct cleanup_needs_semicolon

/* Closes an fd if it is one, keeps errno, returns -EBADF to assign back. */
static inline int close_keep_errno(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void closep(int *fd) {
        *fd = close_keep_errno(*fd);
}

DEFINE_CLEANUP(FILE *, fclosep, fclose);
DEFINE_CLEANUP(DIR *, closedirp, closedir);
