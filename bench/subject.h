/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies to measure: loaded as the daemon loads them, without a daemon. */
#pragma once

#include "kernel/kernel.h"
#include "policy/host.h"

/* How rules spread over addresses. Traffic of the benchmarks goes to 127.0.0.0/8 or to fd00:6367::/32. */
typedef struct BenchPolicy {
        unsigned
                n_rules; /* 1..: one lets the traffic pass, the others are about parts of its addresses */
        bool is_v6;       /* addresses of the others */
        bool is_open;     /* default allow both ways: no conversation needs to be known */
        const char *list; /* path of a list that one more rule is about, or NULL */
} BenchPolicy;

/* Compiles the policy. host must outlive nothing. Prints a reason and exits on failure. */
PolicyImage *bench_image(const BenchPolicy *policy, const PolicyHost *host, uint32_t subject);

/* Reads a list, builds its set map and gives it to the kernel. Prints what that took as a line of JSON. */
void bench_host_add_list(PolicyHost *host, Kernel *kernel, const char *path);

/* Loads the programs of an image. */
KernelProgs *bench_progs(Kernel *kernel, const PolicyImage *image);

/* Below a directory on a bpffs. */
Kernel *bench_kernel(const char *bpffs);

/* "empty": programs that let everything pass, of one hook. Returns an fd. */
int bench_empty(unsigned hook);

/* Prints the message with errno r (0: none) and exits. */
_Noreturn void bench_fail(const char *what, int r);

/* CLOCK_MONOTONIC. */
uint64_t bench_now(void);
