// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's TCP says of a connection's opener, and of ports that are bound by listen() alone. The reply
 * is left alone: it is other programs'.
 */
#include "emit.bpf.h"
#include "place.bpf.h"

#define CGP_AF_INET6    10
#define CGP_IPPROTO_TCP 6

char _license[] SEC("license") = "GPL";

/* A port that is denied is listened on all the same: the kernel has no way to refuse here, and did not ask
 * before. So the operator is told. */
CGP_CALLED int cgp_report_listen(struct bpf_sock_ops *ctx, struct cgp_sk *storage) {
        struct cgp_denial denial = {};
        struct cgp_counter *counter;
        struct cgp_tuple t = {};
        __u32 *local = (__u32 *)(void *)t.local;
        __u32 address = ctx->local_ip4;
        __u64 verdict;
        __u32 slot;

        t.protocol = CGP_IPPROTO_TCP;
        t.local_port = ctx->local_port;
        if (ctx->family == CGP_AF_INET6) {
                local[0] = ctx->local_ip6[0];
                local[1] = ctx->local_ip6[1];
                local[2] = ctx->local_ip6[2];
                local[3] = ctx->local_ip6[3];
        } else {
                local[2] = bpf_htonl(0xffff);
                local[3] = address;
        }
        if (cgp_is_place_relevant() && storage && cgp_is_host_netns(storage->netns_cookie))
                t.place = CGP_PLACE_UNDECIDED;
        cgp_tuple_settle(&t);
        verdict = cgp_judge_local(&t);
        if (cgp_is_allowed(verdict))
                return 0;

        slot = cgp_verdict_counter(verdict);
        counter = bpf_map_lookup_elem(&cgp_counters, &slot);
        if (counter)
                __sync_fetch_and_add(&counter->would, 1);
        cgp_event_fill(&denial.first, &t, verdict, CGP_HOOK_SOCK_OPS);
        denial.first.type = CGP_EVENT_WOULD;
        if (storage && storage->created) {
                denial.first.pid = storage->pid;
                denial.first.uid = storage->uid;
                __builtin_memcpy(denial.first.comm, storage->comm, sizeof(denial.first.comm));
        }
        return cgp_emit(ctx, &denial);
}

SEC("sockops")
int cgp_sock_ops(struct bpf_sock_ops *ctx) {
        struct cgp_sk *storage;
        struct bpf_sock *sk;

        switch (ctx->op) {
        case BPF_SOCK_OPS_TCP_CONNECT_CB:
                /* A socket that begins another life: an accepted one that was disconnected and connects.
                 * What it was does not count; its SYN will tell, and without one (TCP_REPAIR) nobody
                 * knows. */
                sk = ctx->sk;
                if (!sk)
                        break;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
                if (storage)
                        storage->opener = CGP_OPENER_UNKNOWN;
                break;
        case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
                sk = ctx->sk;
                if (!sk)
                        break;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
                if (storage)
                        storage->opener = CGP_OPENER_IN;
                break;
        case BPF_SOCK_OPS_TCP_LISTEN_CB:
                if (!cgp_can(CGP_FEATURE_BIND))
                        break;
                sk = ctx->sk;
                if (!sk || !(cgp_image.config.features & CGP_FEATURE_BIND) ||
                        cgp_image.config.mode == CGP_MODE_OFF)
                        break;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
                if (storage &&
                        (storage->asked_port == ctx->local_port ||
                                storage->chosen_port == ctx->local_port))
                        break;
                cgp_report_listen(ctx, storage);
                break;
        }
        return 1;
}
