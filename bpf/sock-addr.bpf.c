// SPDX-License-Identifier: GPL-2.0-only
/*
 * The system call hooks: a refusal with an errno at once, in the context of the process that asked. They
 * refuse nothing that the packet hooks would let pass, and count refusals only: what passes here is judged
 * and counted as a packet.
 */
#include "conversation.bpf.h"
#include "emit.bpf.h"
#include "place.bpf.h"

#define CGP_REFUSE  0
#define CGP_PROCEED 1

#define CGP_AF_INET       2
#define CGP_AF_INET6      10
#define CGP_IPPROTO_MPTCP 262

char _license[] SEC("license") = "GPL";

CGP_INLINE int cgp_is_any(const __u8 *address) {
        const __u32 *words = (const __u32 *)(const void *)address;

        return !(words[0] | words[1] | words[2] | words[3]);
}

CGP_INLINE __u32 cgp_address_v4(const __u8 *address) {
        return ((const __u32 *)(const void *)address)[3];
}

/* The address and port that the socket is bound to, or zeros. */
CGP_INLINE void cgp_tuple_set_local(struct cgp_tuple *t, struct bpf_sock *sk) {
        __u32 *words = (__u32 *)(void *)t->local;
        __u32 address;

        t->local_port = sk->src_port;
        if (sk->family == CGP_AF_INET) {
                address = sk->src_ip4;
                if (address)
                        cgp_address_from_v4(t->local, address);
        } else if (sk->family == CGP_AF_INET6) {
                words[0] = sk->src_ip6[0];
                words[1] = sk->src_ip6[1];
                words[2] = sk->src_ip6[2];
                words[3] = sk->src_ip6[3];
        }
}

/* Destination 0.0.0.0 is the host itself, by the address that the socket is bound to if it has one. */
CGP_INLINE void cgp_tuple_set_remote4(struct cgp_tuple *t, __u32 address) {
        if (!address && cgp_address_is_v4(t->local))
                address = cgp_address_v4(t->local);
        if (!address)
                address = bpf_htonl(0x7f000001);
        cgp_address_from_v4(t->remote, address);
}

/* Expects the address in t->remote and settles what the kernel will make of it. */
CGP_INLINE void cgp_tuple_settle_remote6(struct cgp_tuple *t) {
        if (cgp_address_is_v4(t->remote)) {
                cgp_tuple_set_remote4(t, cgp_address_v4(t->remote));
                return;
        }
        if (!cgp_is_any(t->remote))
                return;
        if (cgp_address_is_v4(t->local))
                cgp_address_from_v4(t->remote, bpf_htonl(0x7f000001));
        else
                t->remote[15] = 1;
}

/* An answer leaves under the verdict of the conversation that the peer opened, as its packet will. */
CGP_INLINE __u32 cgp_datagram_opener(const struct cgp_tuple *t) {
        struct cgp_flow_key key;
        struct cgp_flow *flow;

        cgp_flow_key_init(&key, t);
        flow = bpf_map_lookup_elem(&cgp_flows, &key);
        if (flow && flow->opener != CGP_OPENER_UNKNOWN &&
                cgp_flow_is_fresh(flow, bpf_ktime_get_ns()))
                return flow->opener;
        return CGP_OPENER_OUT;
}

CGP_CALLED int cgp_report_call(
        struct bpf_sock_addr *ctx, const struct cgp_tuple *t, __u64 verdict, __u32 hook) {
        struct cgp_denial denial = {};

        cgp_event_fill(&denial.first, t, verdict, hook);
        denial.first.pid = bpf_get_current_pid_tgid() >> 32;
        denial.first.uid = (__u32)bpf_get_current_uid_gid();
        if (bpf_get_current_comm(denial.first.comm, sizeof(denial.first.comm)) < 0)
                denial.first.comm[0] = 0;
        return cgp_emit(ctx, &denial);
}

/* Sets what judges this call: protocol and ports. -1: no verdict is given here. */
CGP_INLINE int cgp_tuple_set_service(struct cgp_tuple *t, struct bpf_sock_addr *ctx) {
        __u32 protocol = ctx->protocol;

        if (ctx->type == CGP_SOCK_RAW)
                return -1;
        if (protocol == CGP_IPPROTO_MPTCP)
                protocol = IPPROTO_TCP;
        t->protocol = protocol;
        if (protocol < 256 && cgp_has_ports(protocol)) {
                t->remote_port = bpf_ntohs(ctx->user_port);
                return 0;
        }
        if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
                t->local_port = 0; /* a ping socket's is the echo identifier */
                return 0;
        }
        return -1;
}

/* The interface is not chosen yet, unless the socket is bound to one. */
CGP_INLINE __u8 cgp_place_of_call(struct bpf_sock_addr *ctx) {
        struct bpf_sock *sk = ctx->sk;

        if (!cgp_is_place_relevant())
                return 0;
        if (!cgp_is_host_netns(bpf_get_netns_cookie(ctx)))
                return CGP_PLACE_ELSEWHERE;
        if (sk && sk->bound_dev_if)
                return cgp_place_of_interface(sk->bound_dev_if);
        return CGP_PLACE_UNDECIDED;
}

CGP_CALLED int cgp_judge_call(struct bpf_sock_addr *ctx, struct cgp_tuple *t, __u32 hook) {
        struct cgp_counter *counter;
        __u32 opener = CGP_OPENER_OUT;
        __u64 verdict;
        __u32 slot;

        t->arrival = CGP_VIEW_IN;
        t->place = cgp_place_of_call(ctx);
        cgp_tuple_settle(t);
        if (t->protocol == IPPROTO_UDP || t->protocol == IPPROTO_UDPLITE)
                opener = cgp_datagram_opener(t);
        verdict = cgp_judge_opened(t, opener);
        if (cgp_is_allowed(verdict))
                return CGP_PROCEED;

        verdict = cgp_any(verdict);
        slot = cgp_verdict_counter(verdict);
        counter = bpf_map_lookup_elem(&cgp_counters, &slot);
        if (counter)
                __sync_fetch_and_add(cgp_is_audit() ? &counter->would : &counter->blocked, 1);
        cgp_report_call(ctx, t, verdict, hook);
        if (cgp_is_audit())
                return CGP_PROCEED;
        cgp_refuse_with_errno();
        return CGP_REFUSE;
}

CGP_INLINE int cgp_call4(struct bpf_sock_addr *ctx, __u32 source, __u32 hook) {
        struct cgp_tuple t = {};

        cgp_tuple_set_local(&t, ctx->sk);
        if (source)
                cgp_address_from_v4(t.local, source);
        cgp_tuple_set_remote4(&t, ctx->user_ip4);
        if (cgp_tuple_set_service(&t, ctx) < 0)
                return CGP_PROCEED;
        return cgp_judge_call(ctx, &t, hook);
}

CGP_INLINE int cgp_call6(struct bpf_sock_addr *ctx, __u32 hook) {
        struct cgp_tuple t = {};
        __u32 *words = (__u32 *)(void *)t.remote;

        cgp_tuple_set_local(&t, ctx->sk);
        words[0] = ctx->user_ip6[0];
        words[1] = ctx->user_ip6[1];
        words[2] = ctx->user_ip6[2];
        words[3] = ctx->user_ip6[3];
        cgp_tuple_settle_remote6(&t);
        if (cgp_tuple_set_service(&t, ctx) < 0)
                return CGP_PROCEED;
        return cgp_judge_call(ctx, &t, hook);
}

SEC("cgroup/connect4")
int cgp_connect4(struct bpf_sock_addr *ctx) {
        return cgp_is_open() ? CGP_PROCEED : cgp_call4(ctx, 0, CGP_HOOK_CONNECT4);
}

SEC("cgroup/connect6")
int cgp_connect6(struct bpf_sock_addr *ctx) {
        return cgp_is_open() ? CGP_PROCEED : cgp_call6(ctx, CGP_HOOK_CONNECT6);
}

SEC("cgroup/sendmsg4")
int cgp_sendmsg4(struct bpf_sock_addr *ctx) {
        /* the source that the message asks for, or else that of the socket */
        return cgp_is_open() ? CGP_PROCEED : cgp_call4(ctx, ctx->msg_src_ip4, CGP_HOOK_SENDMSG4);
}

SEC("cgroup/sendmsg6")
int cgp_sendmsg6(struct bpf_sock_addr *ctx) {
        return cgp_is_open() ? CGP_PROCEED : cgp_call6(ctx, CGP_HOOK_SENDMSG6);
}
