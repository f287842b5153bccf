/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * Classification: remote address, protocol and port to a verdict, over the tables of one image. Pure: it
 * reads the configuration and the tables, and nothing else. The programs include it, and the daemon
 * compiles the same lines for the host, so that what is tested there is what runs in the kernel.
 *
 * Every access is checked against the limits of the configuration. A table that is not what it claims
 * to be gives the `broken` verdict and never an access out of bounds.
 *
 * What the verifier needs (5.10 and later): the size of the value behind `tables` is table_size of the same
 * configuration, and the configuration lies in frozen .rodata, so that its members are constants. A
 * `view` that is a constant at the call makes roots constants too, and the walk of a family without
 * rules is then deleted as dead code. A variable view is correct, only longer.
 */
#pragma once

#include <linux/types.h>

#include "cgp-abi.h"

/* Not __always_inline: <linux/stddef.h> defines that as a plain `inline`, and a call would lose the bounds
 * and the constants. */
#define CGP_MATCH_INLINE static inline __attribute__((always_inline))

/* Makes the value opaque to the compiler. Without it clang computes the address from the parts of an index
 * ((entry << 9) + (byte << 1)) beside the comparison with the whole, and the verifier, which bounds
 * registers and not values, refuses the access as unbounded. */
#ifdef __bpf__
#define CGP_MATCH_OPAQUE(x) asm volatile("" : "+r"(x))
#else
#define CGP_MATCH_OPAQUE(x) ((void)(x))
#endif

/* No class: the walk met an index outside of the nodes, or used up the key before a leaf. A class has 15
 * bits. */
#define CGP_MATCH_NO_CLASS (~0ULL)

/* One step of a walk: leaves at a leaf, else takes the entry that the key byte selects. A macro written out
 * once per key byte: clang 14 does not unroll the loop after it has merged the walks of both families,
 * and a loop costs the verifier a state per turn and path. Scalars are 64 bits wide because without
 * 32-bit jumps the compiler compares a zero-extended copy of an index and then uses the original. */
#define CGP_MATCH_STEP(byte)                                                          \
        do {                                                                          \
                __u64 _idx;                                                           \
                                                                                      \
                if (entry & CGP_ENTRY_LEAF)                                           \
                        goto leaf;                                                    \
                _idx = (entry << 8) + (byte);                                         \
                CGP_MATCH_OPAQUE(_idx);                                               \
                if (_idx >= n_entries)                                                \
                        return CGP_MATCH_NO_CLASS;                                    \
                entry = *(const __u16 *)(const void *)(nodes + _idx * sizeof(__u16)); \
        } while (0)

CGP_MATCH_INLINE __u64 cgp_match_walk4(
        const __u8 *nodes, __u64 n_entries, __u64 entry, const __u8 *remote) {
        CGP_MATCH_STEP(remote[12]);
        CGP_MATCH_STEP(remote[13]);
        CGP_MATCH_STEP(remote[14]);
        CGP_MATCH_STEP(remote[15]);
leaf:
        return entry & CGP_ENTRY_LEAF ? entry & CGP_ENTRY_MASK : CGP_MATCH_NO_CLASS;
}

CGP_MATCH_INLINE __u64 cgp_match_walk6(
        const __u8 *nodes, __u64 n_entries, __u64 entry, const __u8 *remote) {
        CGP_MATCH_STEP(remote[0]);
        CGP_MATCH_STEP(remote[1]);
        CGP_MATCH_STEP(remote[2]);
        CGP_MATCH_STEP(remote[3]);
        CGP_MATCH_STEP(remote[4]);
        CGP_MATCH_STEP(remote[5]);
        CGP_MATCH_STEP(remote[6]);
        CGP_MATCH_STEP(remote[7]);
        CGP_MATCH_STEP(remote[8]);
        CGP_MATCH_STEP(remote[9]);
        CGP_MATCH_STEP(remote[10]);
        CGP_MATCH_STEP(remote[11]);
        CGP_MATCH_STEP(remote[12]);
        CGP_MATCH_STEP(remote[13]);
        CGP_MATCH_STEP(remote[14]);
        CGP_MATCH_STEP(remote[15]);
leaf:
        return entry & CGP_ENTRY_LEAF ? entry & CGP_ENTRY_MASK : CGP_MATCH_NO_CLASS;
}

CGP_MATCH_INLINE __u64 cgp_match_walk_service(
        const __u8 *nodes, __u64 n_entries, __u64 entry, __u8 protocol, __u16 port) {
        CGP_MATCH_STEP(protocol);
        CGP_MATCH_STEP(port >> 8);
        CGP_MATCH_STEP(port & 0xff);
leaf:
        return entry & CGP_ENTRY_LEAF ? entry & CGP_ENTRY_MASK : CGP_MATCH_NO_CLASS;
}

/* Is this 16-byte address an IPv4 one (::ffff:0:0/96)? */
CGP_MATCH_INLINE int cgp_match_is_v4(const __u8 *address) {
        __u8 any = address[0] | address[1] | address[2] | address[3] | address[4] | address[5] |
                address[6] | address[7] | address[8] | address[9];

        return !any && address[10] == 0xff && address[11] == 0xff;
}

CGP_MATCH_INLINE void cgp_match_broken(
        const volatile struct cgp_config *config, struct cgp_verdict *ret) {
        ret->counter = config->broken.counter;
        ret->rule = config->broken.rule;
        ret->action = CGP_ACTION_DENY; /* fail closed: whatever the configuration says */
        ret->_pad = 0;
}

/* The verdict of one view. `remote` is 16 bytes; is_v4 says which root to take: pass a constant where the
 * family is known. protocol and port: as the view has it, the port in host byte order and 0 for protocols
 * that have none. Always sets *ret, to config->broken and DENY if the tables do not hold. */
CGP_MATCH_INLINE void cgp_match(const volatile struct cgp_config *config, const __u8 *tables,
        __u32 view, const __u8 *remote, int is_v4, __u8 protocol, __u16 port,
        struct cgp_verdict *ret) {
        const struct cgp_verdict *verdict;
        __u64 n_entries, address_class, port_class, idx;
        const __u8 *nodes;

        if (view >= CGP_N_VIEWS)
                goto broken;

        nodes = tables + config->nodes;
        n_entries = (__u64)config->n_nodes << 8;

        if (is_v4)
                address_class = cgp_match_walk4(nodes, n_entries, config->view[view].root4, remote);
        else
                address_class = cgp_match_walk6(nodes, n_entries, config->view[view].root6, remote);
        port_class = cgp_match_walk_service(
                nodes, n_entries, config->view[view].root_proto, protocol, port);

        /* A class out of range, NO_CLASS included, would read another view's cell. */
        if (address_class >= config->view[view].n_address_classes ||
                port_class >= config->view[view].n_port_classes)
                goto broken;

        idx = config->view[view].matrix + address_class * config->view[view].n_port_classes +
                port_class;
        CGP_MATCH_OPAQUE(idx);
        if (idx >= config->n_cells)
                goto broken;
        idx = *(const __u16 *)(const void *)(tables + config->matrix + idx * sizeof(__u16));
        CGP_MATCH_OPAQUE(idx);
        if (idx >= config->n_verdicts)
                goto broken;

        verdict = (const struct cgp_verdict *)(const void *)(tables + idx * sizeof(*verdict));
        if (verdict->action == CGP_ACTION_NONE || verdict->action > CGP_ACTION_NEVER)
                goto broken;
        ret->counter = verdict->counter;
        ret->rule = verdict->rule;
        ret->action = verdict->action;
        ret->_pad = 0;
        return;

broken:
        cgp_match_broken(config, ret);
}
