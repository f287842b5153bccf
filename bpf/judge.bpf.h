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

/* One packet or system call, seen from our side. */
struct cgp_tuple {
        __u8 local[16];
        __u8 remote[16];
        __u16 local_port; /* 0 where the protocol has none, or when not known yet */
        __u16 remote_port;
        __u16 icmp; /* type << 8 | code */
        __u16 echo; /* identifier of an echo request or reply */
        __u8 protocol;
        __u8 flags;
        __u8 is_v4;        /* of the remote address */
        __u8 is_multicast; /* received, and sent to a multicast address */
        __u8 tcp_flags;
        __u8 _pad[3];
};

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

CGP_INLINE __u64 cgp_judge_view(const struct cgp_tuple *t, __u32 view, __u16 port) {
        __u32 direction = view == CGP_VIEW_OUT ? CGP_DIR_OUT : CGP_DIR_IN;
        struct cgp_verdict verdict;
        const __u8 *tables;
        __u32 zero = 0;

        tables = bpf_map_lookup_elem(&cgp_tables, &zero);
        if (!tables)
                return cgp_verdict_broken(direction);
        cgp_match(&cgp_config, tables, view, t->remote, t->is_v4, t->protocol, port, &verdict);
        return cgp_verdict_pack(verdict.counter, verdict.rule, verdict.action, direction);
}

CGP_CALLED __u64 cgp_judge_out(const struct cgp_tuple *t) {
        return cgp_judge_view(t, CGP_VIEW_OUT, t->remote_port);
}

CGP_CALLED __u64 cgp_judge_in(const struct cgp_tuple *t) {
        return cgp_judge_view(t, CGP_VIEW_IN, t->local_port);
}

CGP_CALLED __u64 cgp_judge_multicast(const struct cgp_tuple *t) {
        return cgp_judge_view(t, CGP_VIEW_IN_MULTICAST, t->local_port);
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

/* A conversation whose opener is known. */
CGP_CALLED __u64 cgp_judge_opened(const struct cgp_tuple *t, __u32 opener) {
        __u64 verdict, other;

        if (opener == CGP_OPENER_OUT) {
                verdict = cgp_judge_out(t);
                if (!(cgp_config.features & CGP_FEATURE_NEVER_IN) || !cgp_is_allowed(verdict))
                        return verdict;
                other = cgp_judge_arrival(t);
        } else {
                verdict = opener == CGP_OPENER_IN_MULTICAST ? cgp_judge_multicast(t)
                                                            : cgp_judge_in(t);
                if (!(cgp_config.features & CGP_FEATURE_NEVER_OUT) || !cgp_is_allowed(verdict))
                        return verdict;
                other = cgp_judge_out(t);
        }
        return cgp_is_never(other) ? cgp_never_in_place_of(other, verdict) : verdict;
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
