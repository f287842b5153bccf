/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real kernel: shared maps, pins, programs. The only folder that knows libbpf.
 *
 * Below the bpffs directory that kernel_open() is given:
 *   v2/maps/NAME                          shared maps (2 is CGP_ABI_VERSION)
 *   v2/links/SUBJECT-CGROUPID/HOOK        links; SUBJECT decimal, CGROUPID 16 hex digits
 * Invariants:
 *   I1  a link is never unpinned before something stricter or equal is pinned in its place, except by
 *       link_destroy.
 *   I2  what is found pinned is untrusted: type, key size, value size, entries and flags of a map, type
 *       and attach type of a link are checked before use.
 *   I3  the data of a program is written only while no hook carries it (carrier.h).
 * Pins of another version are another directory, left alone: they enforce until whoever made them lets go.
 *
 * Threads of its own load programs ahead and make used ones usable again (pool.h). They begin with the first
 * progs_load and end with kernel_close(). All calls belong to one other thread.
 */
#pragma once

#include "kernel/ops.h"

/* What this kernel can do, found by loading the very programs. */
typedef struct KernelCapabilities {
        bool hooks[CGP_N_HOOKS];
        bool dry_run;   /* BPF_PROG_TEST_RUN with a context */
        bool refusal;   /* another errno than EPERM for refused system calls */
        bool skb_netns; /* the packet hooks can ask for the network namespace */
} KernelCapabilities;

typedef struct KernelConfig {
        uint32_t flows_max;   /* entries of the conversation memory; 0: 65536 */
        uint32_t denials_max; /* entries of the last-denials map; 0: 4096 */
} KernelConfig;

/* Opens or creates the pins below the directory dir_fd, which must be on a bpffs (-ENOTSUP otherwise).
 * -ESTALE: pins of another layout are in the way (reterr->log names the first). -EPERM: lacks privileges.
 * On failure, what this call created is removed again. */
int kernel_open(int dir_fd, const KernelConfig *config, KernelFailure *reterr, Kernel **ret)
        __attribute__((warn_unused_result));

/* Closes handles; the kernel stays as it is. Handles of programs and links may be freed before or after. */
Kernel *kernel_close(Kernel *k);
DEFINE_CLEANUP(Kernel *, kernel_closep, kernel_close);

/* Removes the map pins and the directories that kernel_open() made, if no link is pinned any more;
 * -ENOTEMPTY otherwise and then nothing is removed. */
int kernel_remove_pins(Kernel *k);

/* Tries every hook with an empty policy. Loads programs, attaches nothing. */
int kernel_probe(Kernel *k, KernelCapabilities *ret, KernelFailure *reterr);

const char *kernel_hook_to_string(unsigned hook); /* "ingress", "connect4", ... */
int kernel_hook_from_string(const char *s);       /* -EINVAL */

/* Routes libbpf's own messages; level 0 warning, 1 info, 2 debug. NULL: silence (the default). */
void kernel_set_log(void (*callback)(int level, const char *message));

/* Event records. One reader per Kernel; the second fails with -EBUSY. A record is not aligned: copy it. */
typedef struct KernelRing KernelRing;
typedef void (*KernelRecordCallback)(void *userdata, const void *record, size_t size);
typedef void (*KernelLostCallback)(void *userdata, uint64_t n_records);

/* From this call on programs find a reader. */
int kernel_ring_new(Kernel *k, KernelRecordCallback on_record, KernelLostCallback on_lost,
        void *userdata, KernelRing **ret) __attribute__((warn_unused_result));
KernelRing *kernel_ring_free(KernelRing *ring);
DEFINE_CLEANUP(KernelRing *, kernel_ring_freep, kernel_ring_free);

/* Readable at most once per CGP_WAKE_NSEC, when there is something to drain. Records that come within
 * CGP_WAKE_NSEC of a wake-up do not wake again: whoever is woken must drain, and drain once more
 * CGP_WAKE_NSEC later. */
int kernel_ring_fd(KernelRing *ring);

/* Takes the wake-up and all records that are there now. Returns the number of records. */
int kernel_ring_drain(KernelRing *ring);
