/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An io_uring that does one thing at a time, without a library. */
#pragma once

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Uring {
        int fd;
        unsigned char *rings; /* submission and completion ring: one mapping */
        size_t rings_size;
        struct io_uring_sqe *entries;
        struct io_uring_params params;
} Uring;

/* Flags are those of io_uring_setup(). -ENOSYS, -EPERM: not on this kernel. What else fails, fails the
 * test. */
int uring_init(Uring *ring, uint32_t flags);
void uring_done(Uring *ring);

/* Submits one request and waits for its end; returns what it returned. */
int uring_run(Uring *ring, const struct io_uring_sqe *request);
