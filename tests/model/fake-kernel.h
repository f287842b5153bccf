/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel in shared memory, behind KernelOps. It outlives daemons: a process may open it, be killed, and
 * another one finds what was pinned. What it does not have is packets: in their place a fixed set of probe
 * flows is judged by the image that each hook carries, at every change, and the first moment that lets
 * through what it must not is written down.
 *
 * It can refuse the n-th call, and end the process at the n-th moment: before a call, or between its effect
 * and its return.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/ops.h"
#include "policy/eval.h"

typedef enum FakeOp {
        FAKE_PROGS_LOAD,
        FAKE_LINK_CREATE,
        FAKE_LINK_UPDATE,
        FAKE_LINK_QUERY,
        FAKE_LINK_DESTROY,
        FAKE_LINKS_FIND,
        FAKE_RECORD_WRITE,
        FAKE_RECORD_READ,
        FAKE_RECORD_DELETE,
        FAKE_COUNTER_READ,
        FAKE_COUNTER_CLEAR,
        FAKE_STAT_READ,
        FAKE_FLOWS_COUNT,
        FAKE_DENIALS_EACH,
        FAKE_FLUSHED_READ,
        FAKE_FLUSHED_WRITE,
        FAKE_DRY_RUN,
        FAKE_SET_LOAD,
        FAKE_SET_DROP,
        FAKE_SETS_EACH,
        FAKE_INTERFACES_WRITE,
        FAKE_SOCKETS_EACH,
        FAKE_PROGS_FREE, /* these two cannot fail */
        FAKE_LINK_FREE,
        _FAKE_OP_MAX,
        FAKE_OP_ANY = _FAKE_OP_MAX,
} FakeOp;

const char *fake_op_to_string(FakeOp op);

typedef struct FakeKernel FakeKernel;

/* Cgroups live as long as their directories below cgroup_fd (borrowed). */
int fake_kernel_new(int cgroup_fd, FakeKernel **ret);
FakeKernel *fake_kernel_free(FakeKernel *fake);

/* A daemon's handle; NULL without memory. Closing it changes nothing in the kernel. */
Kernel *fake_kernel_open(FakeKernel *fake);
void fake_kernel_close(Kernel *kernel);

/* Handles that a daemon holds now. A killed one's are gone with it. */
unsigned fake_kernel_n_handles(const FakeKernel *fake);
void fake_kernel_forget_handles(FakeKernel *fake);

/* -- Faults ---------------------------------------------------------------------------------------- */

/* From now on the n-th call (from 1) of op fails with the errno (positive), and only that. n 0: none. */
void fake_kernel_fail(FakeKernel *fake, FakeOp op, unsigned n, int error);

/* Has it happened, and to which call? */
bool fake_kernel_has_failed(const FakeKernel *fake, FakeOp *ret_op);

/* From now on: before the call number n / 2 + 1 (n even) or after it has taken effect (n odd), the process
 * exits with FAKE_KILLED. Negative: never. */
#define FAKE_KILLED 9
void fake_kernel_kill(FakeKernel *fake, int n);

/* Called before each call, in the process that calls. NULL: nothing. */
void fake_kernel_on_call(
        FakeKernel *fake, void (*callback)(void *userdata, FakeOp op), void *userdata);

/* Calls since the last reset. */
unsigned fake_kernel_n_calls(const FakeKernel *fake, FakeOp op);
void fake_kernel_reset_calls(FakeKernel *fake);

/* -- What is in force ------------------------------------------------------------------------------ */

typedef struct FakeProbe {
        const char *name;
        PolicyFlow flow;
        unsigned
                hooks; /* 1 << CGP_HOOK_*: those that see the first packet, or the call before it */
        uint32_t ifindex; /* of the packet; 0: in another network namespace than the host's */
} FakeProbe;

/* Interfaces of the host that probes go by. */
#define FAKE_ETH0 2
#define FAKE_WG0  3

#define FAKE_PROBES_MAX 64
extern const FakeProbe fake_probes[];
extern const unsigned fake_n_probes;

/* A set of probes: bit i is fake_probes[i]. */
uint64_t fake_kernel_passes(const FakeKernel *fake, uint64_t cgroup_id);

/* From now on nothing may pass in this cgroup that neither `before` nor `after` has. With strict all that
 * passes must at every moment be of one of them: not some by the one and some by the other. */
void fake_kernel_watch(
        FakeKernel *fake, uint64_t cgroup_id, uint64_t before, uint64_t after, bool strict);
/* From now on none of them is strict. */
void fake_kernel_relax(FakeKernel *fake);
void fake_kernel_unwatch(FakeKernel *fake);
/* The first moment of all that was wrong; NULL: none. */
const char *fake_kernel_violation(const FakeKernel *fake);

/* Hash of the image that a hook carries; 0: no link. */
uint64_t fake_kernel_hook_hash(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook);

uint32_t fake_kernel_hook_program(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook);

unsigned fake_kernel_n_links(const FakeKernel *fake);
unsigned fake_kernel_n_records(const FakeKernel *fake);
/* Loaded images: held by a daemon or carried by a hook. */
unsigned fake_kernel_n_images(const FakeKernel *fake);

/* -- What others do -------------------------------------------------------------------------------- */

/* What the programs would do. */
void fake_kernel_count(FakeKernel *fake, uint32_t slot, const struct cgp_counter *add);

/* The cgroup's sockets outlive its directory, until taken back. */
void fake_kernel_linger(FakeKernel *fake, uint64_t cgroup_id);

/* Somebody removes a hook's pin and detaches it; turns a byte of the tables that a hook carries. */
void fake_kernel_tear_off(FakeKernel *fake, uint64_t cgroup_id, unsigned hook);
void fake_kernel_tamper(FakeKernel *fake, uint64_t cgroup_id, unsigned hook);

/* Set maps that are loaded now; the hash of the one in a slot, 0: none. */
unsigned fake_kernel_n_lists(const FakeKernel *fake);
uint64_t fake_kernel_lists_hash(const FakeKernel *fake, uint32_t slot);

/* What the programs take this interface for under a numbering; -1: they do not know it. */
int fake_kernel_interface_id(const FakeKernel *fake, uint32_t ifindex, uint32_t version);

/* A socket that sockets_each() tells of, if its cgroup is asked for. */
void fake_kernel_add_socket(FakeKernel *fake, const KernelSocket *socket);

/* Pins that are not ours: how many links_find() reports as skipped. */
void fake_kernel_set_strangers(FakeKernel *fake, unsigned n);
