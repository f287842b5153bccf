/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet's own bytes to a tuple. Nothing of the socket is believed here, and nothing is guessed: what
 * cannot be read for certain (truncated headers, a non-first fragment, a source route or routing header
 * that is not used up, more than CGP_MAX_EXTENSIONS headers or CGP_MAX_OPTIONS options) is unparsable, and
 * the policy has a verdict for that.
 *
 * Complete, not fast: pass.bpf.h reads the common packets. All goes through bpf_skb_load_bytes(), which reads
 * non-linear packets too; an offset that the verifier need not bound keeps its work small.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "judge.bpf.h"

#define CGP_MAX_EXTENSIONS 8
#define CGP_MAX_OPTIONS    8

#define CGP_PACKET_BROADCAST 1 /* of <linux/if_packet.h> */

#define CGP_TCP_SYN 0x02
#define CGP_TCP_ACK 0x10

/* <linux/icmp.h> wants the C library of a target that there is none for. */
#define CGP_ICMP_ECHO_REPLY    0
#define CGP_ICMP_UNREACHABLE   3
#define CGP_ICMP_SOURCE_QUENCH 4
#define CGP_ICMP_REDIRECT      5
#define CGP_ICMP_ECHO_REQUEST  8
#define CGP_ICMP_TIME_EXCEEDED 11
#define CGP_ICMP_PARAMETER     12
#define CGP_ICMP6_ECHO_REQUEST 128
#define CGP_ICMP6_ECHO_REPLY   129
#define CGP_ICMP6_ERROR_FIRST  1 /* unreachable, too big, time exceeded, parameter problem */
#define CGP_ICMP6_ERROR_LAST   4
#define CGP_ICMP6_MLD_FIRST    130 /* query, report, done, and then neighbour discovery: router and */
#define CGP_ICMP6_ND_LAST      137 /* neighbour solicitation and advertisement, redirect */
#define CGP_ICMP6_MLD2_REPORT  143

#define CGP_IP_OPTION_END  0
#define CGP_IP_OPTION_NOP  1
#define CGP_IP_OPTION_LSRR 131
#define CGP_IP_OPTION_SSRR 137

#define CGP_TCP_FLAGS_OFFSET 13
#define CGP_PORTS_SIZE       4
#define CGP_TCP_SIZE         14 /* up to and with the flags */
#define CGP_ICMP_SIZE        2  /* type and code */
#define CGP_ECHO_SIZE        8

CGP_INLINE int cgp_has_ports(__u8 protocol) {
        return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
                protocol == IPPROTO_SCTP;
}

CGP_INLINE __u8 cgp_icmp_flags(int is_v4, __u8 type) {
        if (is_v4) {
                if (type == CGP_ICMP_ECHO_REQUEST)
                        return CGP_TUPLE_ICMP | CGP_TUPLE_ECHO_REQUEST;
                if (type == CGP_ICMP_ECHO_REPLY)
                        return CGP_TUPLE_ICMP | CGP_TUPLE_ECHO_REPLY;
                if (type == CGP_ICMP_UNREACHABLE || type == CGP_ICMP_SOURCE_QUENCH ||
                        type == CGP_ICMP_REDIRECT || type == CGP_ICMP_TIME_EXCEEDED ||
                        type == CGP_ICMP_PARAMETER)
                        return CGP_TUPLE_ICMP | CGP_TUPLE_CONTROL;
                return CGP_TUPLE_ICMP;
        }
        if (type == CGP_ICMP6_ECHO_REQUEST)
                return CGP_TUPLE_ICMP | CGP_TUPLE_ECHO_REQUEST;
        if (type == CGP_ICMP6_ECHO_REPLY)
                return CGP_TUPLE_ICMP | CGP_TUPLE_ECHO_REPLY;
        if ((type >= CGP_ICMP6_ERROR_FIRST && type <= CGP_ICMP6_ERROR_LAST) ||
                (type >= CGP_ICMP6_MLD_FIRST && type <= CGP_ICMP6_ND_LAST) ||
                type == CGP_ICMP6_MLD2_REPORT)
                return CGP_TUPLE_ICMP | CGP_TUPLE_CONTROL;
        return CGP_TUPLE_ICMP;
}

CGP_INLINE int cgp_parse_icmp(
        struct __sk_buff *skb, __u32 offset, __u32 limit, int is_v4, struct cgp_tuple *t) {
        __u8 header[CGP_ECHO_SIZE] = {};

        if (offset + CGP_ICMP_SIZE > limit ||
                bpf_skb_load_bytes(skb, offset, header, CGP_ICMP_SIZE) < 0)
                return -1;
        t->icmp = header[0] << 8 | header[1];
        t->flags |= cgp_icmp_flags(is_v4, header[0]);
        if (!(t->flags & CGP_TUPLE_ECHO))
                return 0;

        if (offset + CGP_ECHO_SIZE > limit ||
                bpf_skb_load_bytes(skb, offset, header, CGP_ECHO_SIZE) < 0)
                return -1;
        t->echo = header[4] << 8 | header[5];
        return 0;
}

/* The transport header at `offset`; the packet ends at `limit`. */
CGP_INLINE int cgp_parse_transport(struct __sk_buff *skb, __u32 offset, __u32 limit, int is_v4,
        int is_egress, struct cgp_tuple *t) {
        __u8 header[CGP_TCP_SIZE] = {};
        __u16 source, destination;

        if (cgp_has_ports(t->protocol)) {
                __u32 size = t->protocol == IPPROTO_TCP ? CGP_TCP_SIZE : CGP_PORTS_SIZE;

                if (offset + size > limit || bpf_skb_load_bytes(skb, offset, header, size) < 0)
                        return -1;
                t->tcp_flags = header[CGP_TCP_FLAGS_OFFSET];
                source = header[0] << 8 | header[1];
                destination = header[2] << 8 | header[3];
                t->local_port = is_egress ? source : destination;
                t->remote_port = is_egress ? destination : source;
                return 0;
        }
        if (t->protocol == (is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
                return cgp_parse_icmp(skb, offset, limit, is_v4, t);
        if (is_v4 && t->protocol == IPPROTO_IGMP)
                t->flags |= CGP_TUPLE_CONTROL;
        return 0;
}

CGP_INLINE void cgp_address_from_v4(__u8 *to, __u32 address) {
        __u32 *words = (__u32 *)(void *)to;

        words[0] = 0;
        words[1] = 0;
        words[2] = bpf_htonl(0xffff);
        words[3] = address;
}

/* Is this an IPv4 address, by its bytes? */
CGP_INLINE int cgp_address_is_v4(const __u8 *address) {
        const __u32 *words = (const __u32 *)(const void *)address;

        return !(words[0] | words[1]) && words[2] == bpf_htonl(0xffff);
}

/* By what a packet was sent to: the view of who sent it. */
CGP_INLINE __u8 cgp_arrival_view(const __u8 *local, int is_broadcast) {
        const __u32 *words = (const __u32 *)(const void *)local;

        if (!cgp_address_is_v4(local))
                return local[0] == 0xff ? CGP_VIEW_IN_MULTICAST : CGP_VIEW_IN;
        if ((local[12] & 0xf0) == 0xe0)
                return CGP_VIEW_IN_MULTICAST;
        if (words[3] == 0xffffffff || is_broadcast)
                return CGP_VIEW_IN_BROADCAST;
        return CGP_VIEW_IN;
}

/* How far an IPv4 option reaches, from its first bytes as a word in network byte order; 0: the list ends. -1: a
 * source route with hops left (the destination in the header is not where the packet ends up), or nonsense. */
CGP_GLOBAL long cgp_option_size(__u64 word) {
        __u8 kind = word >> 24, size = word >> 16, next = word >> 8;

        if (kind == CGP_IP_OPTION_END)
                return 0;
        if (kind == CGP_IP_OPTION_NOP)
                return 1;
        if (size < 2 ||
                ((kind == CGP_IP_OPTION_LSRR || kind == CGP_IP_OPTION_SSRR) && next <= size))
                return -1;
        return size;
}

/* Walks the options of an IPv4 header of `end` bytes. */
CGP_INLINE int cgp_parse_options(struct __sk_buff *skb, __u64 end) {
        __u64 offset = cgp_any(sizeof(struct iphdr));
        __u32 word = 0;
        long size;
        int i;

        for (i = 0; i < CGP_MAX_OPTIONS; i++) {
                /* Three bytes can be read where an option begins, or there is no transport header either. */
                if (bpf_skb_load_bytes(skb, offset, &word, 3) < 0)
                        return -1;
                size = cgp_option_size(bpf_ntohl(word));
                if (size < 0)
                        return -1;
                offset += size;
                if (size == 0 || offset >= end)
                        return 0;
        }
        return -1;
}

/* Where the transport header is, or -1. */
CGP_INLINE long cgp_parse4(
        struct __sk_buff *skb, int is_egress, struct cgp_tuple *t, __u32 *ret_limit) {
        __u32 offset, limit;
        struct iphdr ip;

        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
                return -1;
        cgp_address_from_v4(t->local, is_egress ? ip.saddr : ip.daddr);
        cgp_address_from_v4(t->remote, is_egress ? ip.daddr : ip.saddr);
        t->protocol = ip.protocol;

        offset = ip.ihl * 4;
        if (ip.version != 4 || offset < sizeof(ip))
                return -1;
        /* Super-packets of 64 KiB and more have no total length. */
        limit = bpf_ntohs(ip.tot_len);
        if (limit == 0 && skb->len > 0xffff)
                limit = skb->len;
        if (limit > skb->len || offset > limit)
                return -1;
        if (ip.frag_off & bpf_htons(0x1fff))
                return -1;
        if (offset > sizeof(ip) && cgp_parse_options(skb, offset) < 0)
                return -1;
        *ret_limit = limit;
        return offset;
}

CGP_INLINE int cgp_is_extension(__u8 protocol) {
        return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
                protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
                protocol == IPPROTO_AH;
}

#define CGP_UNREADABLE (1ULL << 32)

/* What an extension header (protocol, and its first bytes as a word in network byte order, or CGP_UNREADABLE)
 * says: its size << 8 | the protocol of the next. 0: it is none. -1: what is behind it cannot be told. */
CGP_GLOBAL long cgp_extension(__u64 protocol, __u64 word) {
        __u64 next = word >> 24 & 0xff, size = word >> 16 & 0xff;

        if (!cgp_is_extension(protocol))
                return 0;
        /* Segments left: the address in the header is not where the packet ends up. */
        if ((word & CGP_UNREADABLE) || (protocol == IPPROTO_ROUTING && (word & 0xff)))
                return -1;
        if (protocol == IPPROTO_FRAGMENT)
                return word & 0xfff8 ? -1 : (long)(8 << 8 | next);
        if (protocol == IPPROTO_AH)
                return (size + 2) * 4 << 8 | next;
        return (size + 1) * 8 << 8 | next;
}

/* Walks the extension headers from the one behind the IPv6 header on, to the transport header. */
CGP_INLINE long cgp_parse_extensions(struct __sk_buff *skb, __u64 limit, struct cgp_tuple *t) {
        __u64 offset = cgp_any(sizeof(struct ipv6hdr));
        __u64 protocol = t->protocol;
        __u32 word = 0;
        long found = 0, r;
        int i;

        for (i = 0; i <= CGP_MAX_EXTENSIONS; i++) {
                r = bpf_skb_load_bytes(skb, offset, &word, sizeof(word));
                found = cgp_extension(protocol, bpf_ntohl(word) | ((__u64)r & 1ULL << 63) >> 31);
                if (found <= 0)
                        break;
                offset += found >> 8;
                protocol = found & 0xff;
        }
        t->protocol = protocol;
        return found != 0 || offset > limit ? -1 : (long)offset;
}

CGP_INLINE long cgp_parse6(
        struct __sk_buff *skb, int is_egress, struct cgp_tuple *t, __u32 *ret_limit) {
        struct ipv6hdr ip;
        __u32 limit;

        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
                return -1;
        __builtin_memcpy(t->local, is_egress ? &ip.saddr : &ip.daddr, sizeof(t->local));
        __builtin_memcpy(t->remote, is_egress ? &ip.daddr : &ip.saddr, sizeof(t->remote));
        t->protocol = ip.nexthdr;

        if (ip.version != 6)
                return -1;
        /* Super-packets of 64 KiB and more have no payload length; jumbograms are received so, too. */
        limit = bpf_ntohs(ip.payload_len) + sizeof(ip);
        if (limit == sizeof(ip) && skb->len > 0xffff)
                limit = skb->len;
        if (limit > skb->len)
                return -1;
        *ret_limit = limit;
        return cgp_parse_extensions(skb, limit, t);
}

/* Fills what can be read, also of a packet that it then refuses; t is zeroed. Returns 0, or -1: unparsable. */
CGP_INLINE int cgp_parse(
        struct __sk_buff *skb, __u32 is_egress, __u32 is_broadcast, struct cgp_tuple *t) {
        int is_v4 = skb->protocol == bpf_htons(ETH_P_IP);
        __u32 limit = 0;
        long offset = -1;

        if (is_v4)
                offset = cgp_parse4(skb, is_egress, t, &limit);
        else if (skb->protocol == bpf_htons(ETH_P_IPV6))
                offset = cgp_parse6(skb, is_egress, t, &limit);
        is_v4 = cgp_any(is_v4);
        limit = cgp_any(limit);
        offset = cgp_any(offset);
        cgp_tuple_settle(t);
        t->arrival = is_egress ? CGP_VIEW_IN : cgp_any(cgp_arrival_view(t->local, is_broadcast));
        if (offset >= 0)
                offset = cgp_parse_transport(skb, offset, limit, is_v4, is_egress, t);
        cgp_tuple_settle(t);
        return cgp_any(offset);
}
