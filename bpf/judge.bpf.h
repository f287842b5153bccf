/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a tuple and the opener of its conversation to a verdict. Reads configuration and tables only: what
 * is remembered of conversations is the business of conversation.bpf.h.
 *
 * A verdict travels as one __u64, because a BPF function returns nothing larger: counter in bits 0-31, rule
 * in 32-47, action in 48-55, and in 56-63 the direction of the conversation that it was given for.
 */
#pragma once

#include "maps.bpf.h"
#include "match.bpf.h"

/* One packet or system call, seen from our side. Addresses are also read as words. */
struct cgp_tuple {
        __u8 local[16];
        __u8 remote[16];
        __u16 local_port; /* 0 where the protocol has none, or when not known yet */
        __u16 remote_port;
        __u16 icmp; /* type << 8 | code */
        __u16 echo; /* identifier of an echo request or reply */
        __u8 protocol;
        __u8 flags;
        __u8 is_multicast; /* received, and sent to a multicast address */
        __u8 tcp_flags;
        __u8 _pad[4];
} __attribute__((aligned(8)));

#define CGP_TUPLE_ICMP         (1U << 0) /* icmp is set */
#define CGP_TUPLE_ECHO_REQUEST (1U << 1)
#define CGP_TUPLE_ECHO_REPLY   (1U << 2)
#define CGP_TUPLE_CONTROL      (1U << 3) /* what kernels send on their own account */

#define CGP_TUPLE_ECHO (CGP_TUPLE_ECHO_REQUEST | CGP_TUPLE_ECHO_REPLY)

CGP_INLINE int cgp_is_open(void) {
        return (cgp_config.features & CGP_FEATURE_OPEN) || cgp_config.mode == CGP_MODE_OFF;
}

CGP_INLINE __u64 cgp_verdict_pack(__u32 counter, __u16 rule, __u8 action, __u32 direction) {
        return counter | (__u64)rule << 32 | (__u64)action << 48 | (__u64)direction << 56;
}

CGP_INLINE __u32 cgp_verdict_counter(__u64 verdict) {
        return (__u32)verdict;
}

CGP_INLINE __u16 cgp_verdict_rule(__u64 verdict) {
        return verdict >> 32;
}

CGP_INLINE __u8 cgp_verdict_action(__u64 verdict) {
        return verdict >> 48;
}

CGP_INLINE __u32 cgp_verdict_direction(__u64 verdict) {
        return verdict >> 56;
}

/* What is neither allowed nor refused fails closed. */
CGP_INLINE __u64 cgp_verdict_broken(__u32 direction) {
        return cgp_verdict_pack(
                cgp_config.broken.counter, cgp_config.broken.rule, CGP_ACTION_DENY, direction);
}

CGP_INLINE int cgp_is_allowed(__u64 verdict) {
        return cgp_verdict_action(verdict) == CGP_ACTION_ALLOW;
}

CGP_INLINE int cgp_is_never(__u64 verdict) {
        return cgp_verdict_action(verdict) == CGP_ACTION_NEVER;
}

/* A function that the verifier looks at once, by itself, and not again for each path that leads to a call:
 * without this a load would take a hundred times as long. The price is that it can take numbers only
 * (pointers to memory come with 5.12, and a context needs the kernel's BTF). Weak: each object has it, the
 * linked one has it once. service is protocol << 16 | port. */
__weak __u64 cgp_judge_view(__u64 remote_high, __u64 remote_low, __u32 view, __u32 service);

__weak __attribute__((noinline)) __u64 cgp_judge_view(
        __u64 remote_high, __u64 remote_low, __u32 view, __u32 service) {
        __u32 direction = view == CGP_VIEW_OUT ? CGP_DIR_OUT : CGP_DIR_IN;
        __u64 remote[2] = { remote_high, remote_low };
        struct cgp_verdict verdict;
        const __u8 *tables;
        __u32 zero = 0;

        tables = bpf_map_lookup_elem(&cgp_tables, &zero);
        if (!tables)
                return cgp_verdict_broken(direction);
        cgp_match(&cgp_config, tables, view, (const __u8 *)remote,
                cgp_match_is_v4((const __u8 *)remote), service >> 16, service, &verdict);
        return cgp_verdict_pack(verdict.counter, verdict.rule, verdict.action, direction);
}

CGP_INLINE __u64 cgp_judge(const struct cgp_tuple *t, __u32 view, __u16 port) {
        const __u64 *remote = (const __u64 *)(const void *)t->remote;

        return cgp_judge_view(remote[0], remote[1], view, (__u32)t->protocol << 16 | port);
}

CGP_INLINE __u64 cgp_judge_out(const struct cgp_tuple *t) {
        return cgp_judge(t, CGP_VIEW_OUT, t->remote_port);
}

CGP_INLINE __u64 cgp_judge_in(const struct cgp_tuple *t) {
        return cgp_judge(t, CGP_VIEW_IN, t->local_port);
}

CGP_INLINE __u64 cgp_judge_multicast(const struct cgp_tuple *t) {
        return cgp_judge(t, CGP_VIEW_IN_MULTICAST, t->local_port);
}

/* As an opening by the peer. */
CGP_INLINE __u64 cgp_judge_arrival(const struct cgp_tuple *t) {
        return t->is_multicast ? cgp_judge_multicast(t) : cgp_judge_in(t);
}

CGP_INLINE __u32 cgp_arrival_opener(const struct cgp_tuple *t) {
        return t->is_multicast ? CGP_OPENER_IN_MULTICAST : CGP_OPENER_IN;
}

/* The direction stays that of the conversation: it is what the operator sees talking. */
CGP_INLINE __u64 cgp_never_in_place_of(__u64 never, __u64 verdict) {
        return (never & ~(0xffULL << 56)) | (verdict & (0xffULL << 56));
}

__weak __u64 cgp_judge_words(__u64 remote_high, __u64 remote_low, __u32 ports, __u32 how);

/* ports: local << 16 | remote; how: opener << 16 | is_multicast << 8 | protocol. */
__weak __attribute__((noinline)) __u64 cgp_judge_words(
        __u64 remote_high, __u64 remote_low, __u32 ports, __u32 how) {
        __u32 opener = how >> 16;
        __u32 arrival = how & 0x100 ? CGP_VIEW_IN_MULTICAST : CGP_VIEW_IN;
        __u32 out = (how & 0xff) << 16 | (ports & 0xffff);
        __u32 in = (how & 0xff) << 16 | ports >> 16;
        __u64 verdict, other;

        if (opener == CGP_OPENER_OUT) {
                verdict = cgp_judge_view(remote_high, remote_low, CGP_VIEW_OUT, out);
                if (!(cgp_config.features & CGP_FEATURE_NEVER_IN) || !cgp_is_allowed(verdict))
                        return verdict;
                other = cgp_judge_view(remote_high, remote_low, arrival, in);
        } else {
                __u32 view =
                        opener == CGP_OPENER_IN_MULTICAST ? CGP_VIEW_IN_MULTICAST : CGP_VIEW_IN;

                verdict = cgp_judge_view(remote_high, remote_low, view, in);
                if (!(cgp_config.features & CGP_FEATURE_NEVER_OUT) || !cgp_is_allowed(verdict))
                        return verdict;
                other = cgp_judge_view(remote_high, remote_low, CGP_VIEW_OUT, out);
        }
        return cgp_is_never(other) ? cgp_never_in_place_of(other, verdict) : verdict;
}

/* A conversation whose opener is known. */
CGP_INLINE __u64 cgp_judge_opened(const struct cgp_tuple *t, __u32 opener) {
        const __u64 *remote = (const __u64 *)(const void *)t->remote;

        return cgp_judge_words(remote[0], remote[1], (__u32)t->local_port << 16 | t->remote_port,
                opener << 16 | (__u32)t->is_multicast << 8 | t->protocol);
}

/* A conversation whose opener nobody saw. own: as if the sender of this packet had opened it; other: as if
 * the other side had. With `both` it passes only if each would be allowed, else if one of them is. */
CGP_INLINE __u64 cgp_judge_unseen(__u64 own, __u64 other, int both) {
        if (cgp_is_never(own))
                return own;
        if (cgp_is_never(other))
                return other;
        if (both)
                return cgp_is_allowed(own) ? other : own;
        return cgp_is_allowed(own) || !cgp_is_allowed(other) ? own : other;
}
