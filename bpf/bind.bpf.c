// SPDX-License-Identifier: GPL-2.0-only
/*
 * Explicit binds. bind4 and bind6 refuse before anything has happened; a bind to port 0 has its port only when
 * the kernel has chosen one, and is judged by post_bind, after which the kernel gives the port back. A port
 * that is bound implicitly (connect(), sendto(), listen()) passes none of these.
 *
 * A wildcard address is judged as what it is, 0.0.0.0 or ::, and not as every address that it stands for.
 */
#include "emit.bpf.h"
#include "place.bpf.h"

#define CGP_REFUSE  0
#define CGP_PROCEED 1

#define CGP_IPPROTO_UDP     17
#define CGP_IPPROTO_UDPLITE 136
#define CGP_IPPROTO_TCP     6
#define CGP_IPPROTO_SCTP    132
#define CGP_IPPROTO_MPTCP   262

#define CGP_SOCK_RAW 3

char _license[] SEC("license") = "GPL";

/* The protocol as rules have it, or -1: no port, no verdict. */
CGP_INLINE int cgp_bind_protocol(__u32 type, __u32 protocol) {
        if (type == CGP_SOCK_RAW)
                return -1;
        if (protocol == CGP_IPPROTO_MPTCP)
                return CGP_IPPROTO_TCP;
        if (protocol == CGP_IPPROTO_TCP || protocol == CGP_IPPROTO_UDP ||
                protocol == CGP_IPPROTO_UDPLITE || protocol == CGP_IPPROTO_SCTP)
                return protocol;
        return -1;
}

CGP_INLINE int cgp_bind_is_unrestricted(void) {
        return !(cgp_image.config.features & CGP_FEATURE_BIND) ||
                cgp_image.config.mode == CGP_MODE_OFF;
}

/* An image that restricts binds where they cannot be judged. In audit, which refuses nothing, the packets tell. */
CGP_INLINE int cgp_bind_beyond(void) {
        if (cgp_is_audit())
                return CGP_PROCEED;
        cgp_refuse_with_errno();
        return CGP_REFUSE;
}

CGP_INLINE __u64 cgp_bind_place(void *ctx) {
        if (!cgp_is_place_relevant())
                return 0;
        return cgp_is_host_netns(bpf_get_netns_cookie(ctx)) ? CGP_PLACE_UNDECIDED
                                                            : CGP_PLACE_ELSEWHERE;
}

CGP_CALLED int cgp_bind_report(void *ctx, const struct cgp_tuple *t, __u64 verdict, __u32 hook) {
        struct cgp_denial denial = {};

        cgp_event_fill(&denial.first, t, verdict, hook);
        denial.first.pid = bpf_get_current_pid_tgid() >> 32;
        denial.first.uid = (__u32)bpf_get_current_uid_gid();
        if (bpf_get_current_comm(denial.first.comm, sizeof(denial.first.comm)) < 0)
                denial.first.comm[0] = 0;
        return cgp_emit(ctx, &denial);
}

/* The tuple's local address, port and protocol are set; the peer of a bind is nobody. */
CGP_INLINE int cgp_bind_judge(void *ctx, struct cgp_tuple *t, __u32 hook) {
        struct cgp_counter *counter;
        __u64 verdict;
        __u32 slot;

        t->place = cgp_bind_place(ctx);
        cgp_tuple_settle(t);
        verdict = cgp_judge_local(t);
        if (cgp_is_allowed(verdict))
                return CGP_PROCEED;

        verdict = cgp_any(verdict);
        slot = cgp_verdict_counter(verdict);
        counter = bpf_map_lookup_elem(&cgp_counters, &slot);
        if (counter)
                __sync_fetch_and_add(cgp_is_audit() ? &counter->would : &counter->blocked, 1);
        cgp_bind_report(ctx, t, verdict, hook);
        if (cgp_is_audit())
                return CGP_PROCEED;
        cgp_refuse_with_errno();
        return CGP_REFUSE;
}

/* In audit a bind goes on after it was reported, and post_bind would report it again. Nothing but a count
 * depends on this: in enforce every hook judges for itself. All subjects above share the notes: a hook skips what
 * another hook of its own has seen, and never what another subject's program of the same hook has. */
CGP_INLINE struct cgp_sk *cgp_bind_notes(struct bpf_sock *sk) {
        if (!cgp_is_audit() || !sk)
                return NULL;
        return bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
}

CGP_INLINE int cgp_bind_call(struct bpf_sock_addr *ctx, struct cgp_tuple *t, __u32 hook) {
        int protocol = cgp_bind_protocol(ctx->type, ctx->protocol);
        struct cgp_sk *notes;

        t->local_port = bpf_ntohs(ctx->user_port);
        if (protocol < 0)
                return CGP_PROCEED;
        notes = cgp_bind_notes(ctx->sk);
        if (notes)
                notes->asked_port = t->local_port;
        if (t->local_port == 0)
                return CGP_PROCEED;
        t->protocol = protocol;
        return cgp_bind_judge(ctx, t, hook);
}

CGP_INLINE void cgp_bind_set_v4(struct cgp_tuple *t, __u32 address) {
        __u32 *words = (__u32 *)(void *)t->local;

        words[2] = bpf_htonl(0xffff);
        words[3] = address;
}

SEC("cgroup/bind4")
int cgp_bind4(struct bpf_sock_addr *ctx) {
        struct cgp_tuple t = {};

        if (cgp_bind_is_unrestricted())
                return CGP_PROCEED;
        if (!cgp_can(CGP_FEATURE_BIND))
                return cgp_bind_beyond();
        cgp_bind_set_v4(&t, ctx->user_ip4);
        return cgp_bind_call(ctx, &t, CGP_HOOK_BIND4);
}

/* Also of IPv4-mapped addresses, which are IPv4. */
SEC("cgroup/bind6")
int cgp_bind6(struct bpf_sock_addr *ctx) {
        struct cgp_tuple t = {};
        __u32 *words = (__u32 *)(void *)t.local;

        if (cgp_bind_is_unrestricted())
                return CGP_PROCEED;
        if (!cgp_can(CGP_FEATURE_BIND))
                return cgp_bind_beyond();
        words[0] = ctx->user_ip6[0];
        words[1] = ctx->user_ip6[1];
        words[2] = ctx->user_ip6[2];
        words[3] = ctx->user_ip6[3];
        return cgp_bind_call(ctx, &t, CGP_HOOK_BIND6);
}

CGP_INLINE int cgp_bind_done(struct bpf_sock *ctx, struct cgp_tuple *t, __u32 hook) {
        int protocol = cgp_bind_protocol(ctx->type, ctx->protocol);
        struct cgp_sk *notes;

        if (protocol < 0)
                return CGP_PROCEED;
        t->local_port = ctx->src_port;
        t->protocol = protocol;
        notes = cgp_bind_notes(ctx);
        if (notes && notes->asked_port == t->local_port)
                return CGP_PROCEED;
        if (notes)
                notes->chosen_port = t->local_port;
        return cgp_bind_judge(ctx, t, hook);
}

SEC("cgroup/post_bind4")
int cgp_post_bind4(struct bpf_sock *ctx) {
        struct cgp_tuple t = {};

        if (cgp_bind_is_unrestricted())
                return CGP_PROCEED;
        if (!cgp_can(CGP_FEATURE_BIND))
                return cgp_bind_beyond();
        cgp_bind_set_v4(&t, ctx->src_ip4);
        return cgp_bind_done(ctx, &t, CGP_HOOK_POST_BIND4);
}

SEC("cgroup/post_bind6")
int cgp_post_bind6(struct bpf_sock *ctx) {
        struct cgp_tuple t = {};
        __u32 *words = (__u32 *)(void *)t.local;

        if (cgp_bind_is_unrestricted())
                return CGP_PROCEED;
        if (!cgp_can(CGP_FEATURE_BIND))
                return cgp_bind_beyond();
        words[0] = ctx->src_ip6[0];
        words[1] = ctx->src_ip6[1];
        words[2] = ctx->src_ip6[2];
        words[3] = ctx->src_ip6[3];
        return cgp_bind_done(ctx, &t, CGP_HOOK_POST_BIND6);
}
