/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who opened the conversation that a packet belongs to, and the verdict that follows.
 *
 *   TCP    the opener stands in the socket's storage. Facts are taken from packets and from the kernel's
 *          own callbacks, never from a connect(): it can be refused by others, or never send.
 *   UDP, UDP-Lite, SCTP, ICMP echo   cgp_flows, keyed by subject and addresses, because a reply may leave
 *          from another socket than the request came to. Programs of all levels of the tree run, also
 *          after one of them has dropped the packet: what one subject noted, another does not believe.
 *   rest   has no state: each packet opens, in its own direction.
 */
#pragma once

#include "parse.bpf.h"

#define CGP_SOCK_STREAM 1
#define CGP_SOCK_DGRAM  2
#define CGP_SOCK_RAW    3

/* At most a second: kernels have 100 to 1000 ticks in one. */
#define CGP_FLOW_REFRESH_TICKS 100

/* Beside CGP_OPENER_*: what cgp_tcp_opener() says more. */
#define CGP_OPENER_UNSEEN_OLD 8  /* nobody could see it: older than the attachment */
#define CGP_OPENER_UNSEEN_NEW 9  /* somebody should have */
#define CGP_OPENER_BROKEN     10 /* it cannot be noted */

CGP_INLINE __u32 cgp_opener_by(const struct cgp_tuple *t, int is_egress) {
        return is_egress ? CGP_OPENER_OUT : CGP_OPENER_OF_VIEW(t->arrival);
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

CGP_INLINE int cgp_is_own_syn(const struct cgp_tuple *t, __u32 state, int is_egress) {
        return is_egress && state == BPF_TCP_SYN_SENT &&
                (t->tcp_flags & (CGP_TCP_SYN | CGP_TCP_ACK)) == CGP_TCP_SYN;
}

/* Notes that this side opens. 0, or -1 when the socket can carry no storage. */
CGP_INLINE int cgp_note_own_syn(struct bpf_sock *sk) {
        struct cgp_sk *storage;

        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
        if (!storage)
                return -1;
        if (storage->opener != CGP_OPENER_OUT)
                storage->opener = CGP_OPENER_OUT;
        return 0;
}

CGP_INLINE __u32 cgp_tcp_opener(struct bpf_sock *sk, const struct cgp_tuple *t, __u32 is_egress) {
        __u32 state = sk->state;
        struct cgp_sk *storage;

        /* Also the packets of handshakes in progress: their request sockets show as the listener. Never
         * stored, for its children would inherit it. */
        if (state == BPF_TCP_LISTEN)
                return CGP_OPENER_IN;

        /* fail closed: a connection without an opener would later pass by the benefit of the doubt, and an
         * owner can exhaust the memory that its socket may carry. */
        if (cgp_is_own_syn(t, state, is_egress))
                return cgp_note_own_syn(sk) < 0 ? CGP_OPENER_BROKEN : CGP_OPENER_OUT;

        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        if (storage && storage->opener != CGP_OPENER_UNKNOWN)
                return storage->opener;
        /* A child that the established callback has not been called for yet. */
        if (state == BPF_TCP_SYN_RECV)
                return CGP_OPENER_IN;
        return storage && storage->created ? CGP_OPENER_UNSEEN_NEW : CGP_OPENER_UNSEEN_OLD;
}

CGP_INLINE void cgp_flow_key_init(struct cgp_flow_key *key, const struct cgp_tuple *t) {
        key->subject = cgp_image.config.subject;
        key->local_port = t->flags & CGP_TUPLE_ECHO ? t->echo : t->local_port;
        key->remote_port = t->remote_port;
        __builtin_memcpy(key->remote, t->remote, sizeof(key->remote));
        key->protocol = t->protocol;
        key->_pad[0] = 0;
        key->_pad[1] = 0;
        key->_pad[2] = 0;
}

CGP_INLINE int cgp_flow_is_fresh(const struct cgp_flow *flow, __u64 now) {
        return (__s64)(now - flow->seen) < (__s64)CGP_FLOW_IDLE_NSEC;
}

/* Seen so lately that there is nothing to refresh? Asks no clock. */
CGP_INLINE int cgp_flow_is_current(const struct cgp_flow *flow) {
        return bpf_jiffies64() - flow->tick < CGP_FLOW_REFRESH_TICKS;
}

/* Remembers the conversation that this packet opened. entry: a stale one in its place, or NULL. */
CGP_INLINE int cgp_flow_store(
        const struct cgp_flow_key *key, const struct cgp_flow *entry, __u32 opener, __u64 now) {
        struct cgp_flow flow = { .seen = now, .tick = bpf_jiffies64(), .opener = opener };
        long r;

        /* Never in place: the element may be another conversation's by the time that it is written. */
        r = bpf_map_update_elem(&cgp_flows, key, &flow, entry ? BPF_ANY : BPF_NOEXIST);
        if (r == 0) {
                if (!entry)
                        cgp_stat_add(CGP_STAT_FLOWS_INSERTED);
                return 0;
        }
        if (r == -17) /* EEXIST: another CPU was faster */
                return 0;
        cgp_stat_add(CGP_STAT_FLOWS_REFUSED);
        return -1;
}

/* Is this a connected socket from before the attachment? */
CGP_INLINE int cgp_is_older_connected(struct bpf_sock *sk) {
        struct cgp_sk *storage;

        if (sk->state != BPF_TCP_ESTABLISHED)
                return 0;
        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        return !storage || !storage->created;
}

CGP_CALLED __u64 cgp_judge_datagram(
        struct bpf_sock *sk, const struct cgp_tuple *t, __u32 is_egress) {
        __u64 now, verdict, own, other;
        struct cgp_flow_key key;
        struct cgp_flow *flow;

        /* Where both openers are allowed nothing depends on who it was. */
        own = cgp_judge(t, is_egress ? CGP_VIEW_OUT : t->arrival);
        other = cgp_judge(t, is_egress ? t->arrival : CGP_VIEW_OUT);
        if (cgp_is_allowed(own) && cgp_is_allowed(other))
                return own;

        cgp_flow_key_init(&key, t);
        now = bpf_ktime_get_ns();
        flow = bpf_map_lookup_elem(&cgp_flows, &key);
        if (flow && cgp_flow_is_fresh(flow, now)) {
                if (!cgp_flow_is_current(flow)) {
                        flow->seen = now;
                        flow->tick = bpf_jiffies64();
                }
                return cgp_judge_opened(t, flow->opener);
        }

        if (cgp_is_older_connected(sk))
                return cgp_judge_unseen(own, other, 0);

        verdict = cgp_is_never(other) && cgp_is_allowed(own) ? cgp_never_in_place_of(other, own)
                                                             : own;
        if (t->flags & CGP_TUPLE_ECHO_REPLY)
                return verdict;
        /* In audit it passes whatever the verdict is, and so will the answers. */
        if (!cgp_is_allowed(verdict) && !cgp_is_audit())
                return verdict;
        /* fail closed: the answer would be dropped as an opening of the peer's. */
        if (cgp_flow_store(&key, flow, cgp_opener_by(t, is_egress), now) < 0)
                return cgp_verdict_broken(is_egress ? CGP_DIR_OUT : CGP_DIR_IN);
        return verdict;
}

/* The verdict for a packet of this socket (NULL: none is known). */
CGP_INLINE __u64 cgp_judge_packet(struct bpf_sock *sk, const struct cgp_tuple *t, int is_egress) {
        __u32 opener = cgp_opener_by(t, is_egress);
        __u64 own, other;

        if (sk && sk->protocol == t->protocol) {
                if (t->protocol == IPPROTO_TCP) {
                        if (sk->type == CGP_SOCK_STREAM)
                                opener = cgp_any(cgp_tcp_opener(sk, t, is_egress));
                } else if (cgp_has_ports(t->protocol) ? sk->type != CGP_SOCK_RAW
                                                      : t->flags & CGP_TUPLE_ECHO) {
                        /* ping sockets, and ping with a raw socket, too */
                        return cgp_judge_datagram(sk, t, is_egress);
                }
        }
        if (opener == CGP_OPENER_BROKEN)
                return cgp_verdict_broken(CGP_DIR_OUT);
        if (opener < CGP_OPENER_UNSEEN_OLD)
                return cgp_judge_opened(t, opener);

        /* A socket made under our programs has no business in this state (only TCP_REPAIR and the like get
         * there), so both directions must allow it; one that is older is given the benefit of the doubt. */
        own = cgp_judge(t, is_egress ? CGP_VIEW_OUT : t->arrival);
        other = cgp_judge(t, is_egress ? t->arrival : CGP_VIEW_OUT);
        return cgp_judge_unseen(own, other, opener == CGP_OPENER_UNSEEN_NEW);
}
