/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The short way for the packets that make up nearly all traffic: TCP and UDP without IP options or extension
 * headers, of a conversation that is known, and allowed. It works in registers and changes nothing but
 * counters. Whatever else it meets, a denial included, it leaves to the long way (conversation.bpf.h), which
 * looks at the packet afresh: there is one place only where a packet is refused, reported or remembered.
 *
 * It must never pass what the long way would not.
 */
#pragma once

#include "conversation.bpf.h"
#include "place.bpf.h"

/* The place of a packet of this socket. The socket's record says which network
 * namespace it is in, or else the kernel, where it can. */
CGP_CALLED __u64 cgp_place_of_packet(struct __sk_buff *skb, struct bpf_sock *sk) {
        struct cgp_sk *storage = NULL;
        __u64 cookie = 0;

        if (sk)
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        if (storage)
                cookie = storage->netns_cookie;
        if (cookie == 0 && cgp_instance.has_skb_netns)
                cookie = bpf_get_netns_cookie(skb);
        if (!cgp_is_host_netns(cookie))
                return CGP_PLACE_ELSEWHERE;
        return cgp_place_of_interface(skb->ifindex);
}

/* A packet as this way sees it. Wide members: the narrower ones cost two shifts at each use. */
struct cgp_glance {
        __u64 hi; /* remote address, host byte order */
        __u64 lo;
        __u64 service; /* as cgp_judge_view() takes it */
        __u64 arrival; /* CGP_VIEW_IN_* */
        __u64 place;
};

CGP_INLINE __u64 cgp_glance_service(__u32 ports, __u64 protocol, int is_egress) {
        __u64 host = bpf_ntohl(ports); /* source << 16 | destination */

        return protocol << 32 | (is_egress ? host : (host >> 16 | (host & 0xffff) << 16));
}

/* 0, or -1: not for this way. */
CGP_INLINE int cgp_glance4(struct __sk_buff *skb, int is_egress, struct cgp_glance *g) {
        const __u8 *data = (const __u8 *)(long)skb->data;
        const __u8 *end = (const __u8 *)(long)skb->data_end;
        __u64 protocol, limit, remote;

        if (data + sizeof(struct iphdr) + 8 > end || data[0] != 0x45 ||
                (*(const __u16 *)(const void *)(data + 6) & bpf_htons(0x1fff)))
                return -1;
        limit = bpf_ntohs(*(const __u16 *)(const void *)(data + 2));
        if (limit > skb->len)
                return -1;
        protocol = data[9];
        if (protocol == IPPROTO_TCP)
                limit -= CGP_TCP_SIZE;
        else if (protocol == IPPROTO_UDP)
                limit -= CGP_PORTS_SIZE;
        else
                return -1;
        if ((__s64)limit < (__s64)sizeof(struct iphdr))
                return -1;

        g->arrival = CGP_VIEW_IN;
        if (is_egress) {
                remote = *(const __u32 *)(const void *)(data + 16);
        } else {
                remote = *(const __u32 *)(const void *)(data + 12);
                if (data[16] >= 0xe0 || skb->pkt_type == CGP_PACKET_BROADCAST)
                        return -1;
        }
        g->hi = 0;
        g->lo = 0xffffULL << 32 | bpf_ntohl(remote);
        g->service = cgp_glance_service(
                *(const __u32 *)(const void *)(data + sizeof(struct iphdr)), protocol, is_egress);
        return 0;
}

CGP_INLINE int cgp_glance6(struct __sk_buff *skb, int is_egress, struct cgp_glance *g) {
        const __u8 *data = (const __u8 *)(long)skb->data;
        const __u8 *end = (const __u8 *)(long)skb->data_end;
        __u64 protocol, limit;

        if (data + sizeof(struct ipv6hdr) + 8 > end || (data[0] & 0xf0) != 0x60)
                return -1;
        limit = bpf_ntohs(*(const __u16 *)(const void *)(data + 4));
        if (limit + sizeof(struct ipv6hdr) > skb->len)
                return -1;
        protocol = data[6];
        if (protocol == IPPROTO_TCP)
                limit -= CGP_TCP_SIZE;
        else if (protocol == IPPROTO_UDP)
                limit -= CGP_PORTS_SIZE;
        else
                return -1;
        if ((__s64)limit < 0)
                return -1;

        g->arrival = CGP_VIEW_IN;
        if (!is_egress && data[24] == 0xff)
                return -1;
        data += is_egress ? 24 : 8;
        g->hi = bpf_be64_to_cpu(*(const __u64 *)(const void *)data);
        g->lo = bpf_be64_to_cpu(*(const __u64 *)(const void *)(data + 8));
        data += is_egress ? 16 : 32;
        g->service = cgp_glance_service(*(const __u32 *)(const void *)data, protocol, is_egress);
        return 0;
}

/* Counts a packet that passes. Returns 0, or -1: the image is not what it should be. */
CGP_INLINE int cgp_count_passed(struct __sk_buff *skb, __u64 verdict) {
        __u32 slot = cgp_verdict_counter(verdict);
        struct cgp_counter *counter;
        __u64 segments = skb->gso_segs;

        counter = bpf_map_lookup_elem(&cgp_counters, &slot);
        if (!counter)
                return -1;
        if (segments == 0)
                segments = 1;
        __sync_fetch_and_add(&counter->packets, segments);
        __sync_fetch_and_add(&counter->bytes, skb->len);
        return 0;
}

CGP_INLINE __u64 cgp_glance_judge(const struct cgp_glance *g, __u64 view) {
        return cgp_classify(g->hi, g->lo, view, g->service, g->place);
}

/* Who opened the UDP conversation; CGP_OPENER_UNKNOWN where the long way has something to write, too. */
CGP_INLINE __u64 cgp_glance_opener(const struct cgp_glance *g) {
        struct cgp_flow_key key = {};
        __u64 *remote = (__u64 *)(void *)key.remote;
        struct cgp_flow *flow;

        key.subject = cgp_image.config.subject;
        key.local_port = g->service >> 16;
        key.remote_port = g->service;
        remote[0] = bpf_cpu_to_be64(g->hi);
        remote[1] = bpf_cpu_to_be64(g->lo);
        key.protocol = IPPROTO_UDP;
        flow = bpf_map_lookup_elem(&cgp_flows, &key);
        return flow && cgp_flow_is_current(flow) ? flow->opener : CGP_OPENER_UNKNOWN;
}

/* The verdict of a UDP packet that the long way need not see; 0: it must. If the sender opened the conversation
 * and is allowed to, no other verdict than that can result, but for a never of the other view. */
CGP_INLINE __u64 cgp_glance_datagram(const struct cgp_glance *g, int is_egress) {
        __u64 own_view = is_egress ? CGP_VIEW_OUT : g->arrival;
        __u64 other_view = is_egress ? g->arrival : CGP_VIEW_OUT;
        __u32 never = is_egress ? CGP_FEATURE_NEVER_IN : CGP_FEATURE_NEVER_OUT;
        __u64 own, other, opener;

        own = cgp_glance_judge(g, own_view);
        if (cgp_is_never(own))
                return 0;
        opener = cgp_glance_opener(g);
        if (cgp_is_allowed(own)) {
                if (opener == CGP_OPENER_OF_VIEW(own_view) && !(cgp_image.config.features & never))
                        return own;
        } else if (opener != CGP_OPENER_OF_VIEW(other_view)) {
                return 0;
        }

        other = cgp_glance_judge(g, other_view);
        if (cgp_is_never(other))
                return 0;
        if (cgp_is_allowed(own) &&
                (cgp_is_allowed(other) || opener == CGP_OPENER_OF_VIEW(own_view)))
                return own;
        return opener == CGP_OPENER_OF_VIEW(other_view) ? other : 0;
}

/* Likewise of a TCP packet, or one that is not of its socket's protocol and so always an opening. */
CGP_INLINE __u64 cgp_glance_opened(const struct cgp_glance *g, __u64 view) {
        __u64 verdict = cgp_glance_judge(g, view);
        __u32 features = cgp_image.config.features;

        if (view == CGP_VIEW_OUT) {
                if ((features & CGP_FEATURE_NEVER_IN) &&
                        cgp_is_never(cgp_glance_judge(g, g->arrival)))
                        return 0;
        } else if ((features & CGP_FEATURE_NEVER_OUT) &&
                cgp_is_never(cgp_glance_judge(g, CGP_VIEW_OUT))) {
                return 0;
        }
        return verdict;
}

/* 1: the packet was counted and passes. 0: the long way decides. */
CGP_INLINE int cgp_pass(struct __sk_buff *skb, int is_egress) {
        struct cgp_glance g;
        struct cgp_sk *storage;
        struct bpf_sock *sk;
        __u64 verdict, view, protocol;

        if (skb->protocol == bpf_htons(ETH_P_IP)) {
                if (cgp_glance4(skb, is_egress, &g) < 0)
                        return 0;
        } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
                if (cgp_glance6(skb, is_egress, &g) < 0)
                        return 0;
        } else {
                return 0;
        }
        sk = skb->sk;
        if (!sk)
                return 0;
        sk = bpf_sk_fullsock(sk);
        if (!sk)
                return 0;
        g.place = cgp_is_place_relevant() ? cgp_place_of_packet(skb, sk) : CGP_PLACE_ELSEWHERE;

        protocol = g.service >> 32;
        view = is_egress ? CGP_VIEW_OUT : g.arrival;
        if (sk->protocol == protocol) {
                if (protocol != IPPROTO_TCP) {
                        if (sk->type == CGP_SOCK_RAW)
                                return 0;
                        verdict = cgp_glance_datagram(&g, is_egress);
                        goto conclude;
                }
                if (sk->type != CGP_SOCK_STREAM || sk->state != BPF_TCP_ESTABLISHED)
                        return 0;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
                if (!storage)
                        return 0;
                view = CGP_VIEW_OF_OPENER((__u64)storage->opener);
                if (view > CGP_VIEW_IN_BROADCAST)
                        return 0;
        }
        verdict = cgp_glance_opened(&g, view);
conclude:
        return cgp_is_allowed(verdict) && cgp_count_passed(skb, verdict) == 0;
}
