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

#define CGP_FLOW_REFRESH_NSEC (1000ULL * 1000 * 1000)

CGP_INLINE __u64 cgp_judge_as_opening(const struct cgp_tuple *t, int is_egress) {
        return cgp_judge_opened(t, is_egress ? CGP_OPENER_OUT : CGP_OPENER_OF_VIEW(t->arrival));
}

/* Nobody saw the opener. A socket made under our programs has no business in this state (only TCP_REPAIR
 * and the like get there), so both directions must allow it; one that is older is given the benefit of
 * the doubt. */
CGP_CALLED __u64 cgp_judge_unknown(const struct cgp_tuple *t, __u32 is_egress, __u32 both) {
        __u64 out = cgp_judge(t, CGP_VIEW_OUT);
        __u64 in = cgp_judge(t, t->arrival);

        return is_egress ? cgp_judge_unseen(out, in, both) : cgp_judge_unseen(in, out, both);
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

CGP_CALLED __u64 cgp_judge_tcp(struct bpf_sock *sk, const struct cgp_tuple *t, __u32 is_egress) {
        struct cgp_sk *storage;
        __u32 opener = CGP_OPENER_UNKNOWN;
        __u32 state = sk->state;
        __u32 created = 0;

        /* Also the packets of handshakes in progress: their request sockets show as the listener. Never
         * stored, for its children would inherit it. */
        if (state == BPF_TCP_LISTEN)
                return cgp_judge_opened(t, CGP_OPENER_IN);

        if (cgp_is_own_syn(t, state, is_egress)) {
                /* fail closed: a connection without an opener would later pass by the benefit of the
                 * doubt, and an owner can exhaust the memory that its socket may carry. */
                if (cgp_note_own_syn(sk) < 0)
                        return cgp_verdict_broken(CGP_DIR_OUT);
                return cgp_judge_opened(t, CGP_OPENER_OUT);
        }

        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        if (storage) {
                opener = storage->opener;
                created = storage->created;
        }
        /* A child that the established callback has not been called for yet. */
        if (opener == CGP_OPENER_UNKNOWN && state == BPF_TCP_SYN_RECV)
                opener = CGP_OPENER_IN;
        if (opener != CGP_OPENER_UNKNOWN)
                return cgp_judge_opened(t, opener);
        return cgp_judge_unknown(t, is_egress, created);
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

/* Remembers the conversation that this packet opened. entry: a stale one in its place, or NULL. */
CGP_INLINE int cgp_flow_store(
        const struct cgp_flow_key *key, struct cgp_flow *entry, __u32 opener, __u64 now) {
        struct cgp_flow flow = { .seen = now, .opener = opener };
        long r;

        if (entry) {
                entry->opener = opener;
                entry->seen = now;
                return 0;
        }
        r = bpf_map_update_elem(&cgp_flows, key, &flow, BPF_NOEXIST);
        if (r == 0) {
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
        __u64 now, verdict, out, in;
        struct cgp_flow_key key;
        struct cgp_flow *flow;

        /* Where both openers are allowed nothing depends on who it was. */
        out = cgp_judge(t, CGP_VIEW_OUT);
        in = cgp_judge(t, t->arrival);
        if (cgp_is_allowed(out) && cgp_is_allowed(in))
                return is_egress ? out : in;

        cgp_flow_key_init(&key, t);
        now = bpf_ktime_get_ns();
        flow = bpf_map_lookup_elem(&cgp_flows, &key);
        if (flow && cgp_flow_is_fresh(flow, now)) {
                if ((__s64)(now - flow->seen) > (__s64)CGP_FLOW_REFRESH_NSEC)
                        flow->seen = now;
                return cgp_judge_opened(t, flow->opener);
        }

        if (cgp_is_older_connected(sk))
                return is_egress ? cgp_judge_unseen(out, in, 0) : cgp_judge_unseen(in, out, 0);

        verdict = cgp_judge_as_opening(t, is_egress);
        if (t->flags & CGP_TUPLE_ECHO_REPLY)
                return verdict;
        /* In audit it passes whatever the verdict is, and so will the answers. */
        if (!cgp_is_allowed(verdict) && cgp_image.config.mode != CGP_MODE_AUDIT)
                return verdict;
        /* fail closed: the answer would be dropped as an opening of the peer's. */
        if (cgp_flow_store(&key, flow, is_egress ? CGP_OPENER_OUT : CGP_OPENER_OF_VIEW(t->arrival),
                    now) < 0)
                return cgp_verdict_broken(is_egress ? CGP_DIR_OUT : CGP_DIR_IN);
        return verdict;
}

/* The verdict for a packet of this socket (NULL: none is known). */
CGP_INLINE __u64 cgp_judge_packet(struct bpf_sock *sk, const struct cgp_tuple *t, int is_egress) {
        __u32 type;

        if (!sk || sk->protocol != t->protocol)
                return cgp_judge_as_opening(t, is_egress);
        type = sk->type;
        if (t->protocol == IPPROTO_TCP) {
                if (type == CGP_SOCK_STREAM)
                        return cgp_judge_tcp(sk, t, is_egress);
        } else if (cgp_has_ports(t->protocol)) {
                if (type != CGP_SOCK_RAW)
                        return cgp_judge_datagram(sk, t, is_egress);
        } else if (t->flags & CGP_TUPLE_ECHO) {
                /* ping sockets, and ping with a raw socket */
                return cgp_judge_datagram(sk, t, is_egress);
        }
        return cgp_judge_as_opening(t, is_egress);
}
