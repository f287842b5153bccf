/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests of program instances: a kernel of their own, images of each kind that all allow the same, and links by
 * hand. What fails here fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/kernel-private.h"
#include "kernel/probe-image.h"
#include "sandbox.h"

#define SUBJECT 7U
#define INSIDE  "127.0.0.1" /* what the images allow */

extern Sandbox *sandbox; /* set by the test */

typedef struct Attached {
        Kernel *kernel;
        int cgroup_fd;
        uint64_t cgroup_id;
        KernelLink *links[CGP_N_HOOKS];
} Attached;

Kernel *open_kernel(void);
void close_kernel(Kernel *kernel);

/* Waits until the pool has nothing to do. Returns the number of spares. */
unsigned settle_kind(Kernel *kernel, PoolKind kind);

/* A probe image that goes into an instance of that kind. It restricts no binds, whatever it says. */
void make_image(PoolKind kind, KernelProbeImage *ret);

KernelProgs *load_image(Kernel *kernel, const PolicyImage *image);
KernelProgs *load_kind(Kernel *kernel, PoolKind kind, uint64_t generation);

/* To a new cgroup, and away from it again. */
void attach(Attached *a, Kernel *kernel, const char *name, const KernelProgs *progs);
void publish(Attached *a, const KernelProgs *progs, unsigned first, unsigned last);
void detach(Attached *a, const char *name);

/* Is the program among those that whoever takes everything that was loaded ahead gets? Gives back all of them. */
bool comes_back_as(Kernel *kernel, PoolKind kind, uint32_t prog_id);

/* What a new socket in the cgroup gets for sending to INSIDE. */
int udp_to_self(const char *cgroup);

int count_fds(void);
