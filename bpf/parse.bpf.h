/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet's own bytes to a tuple. Nothing of the socket is believed here, and nothing is guessed: what
 * cannot be read for certain (truncated headers, a non-first fragment, a routing header that is not
 * used up, a chain of more than CGP_MAX_EXTENSIONS headers) is unparsable, and the policy has a verdict for
 * that.
 *
 * The common headers, at constant offsets, are read in place. Everything else goes through
 * bpf_skb_load_bytes(): it reads non-linear packets too, and an offset that the verifier need not bound
 * keeps its work small.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "judge.bpf.h"

#define CGP_MAX_EXTENSIONS 8

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

#define CGP_TCP_FLAGS_OFFSET 13
#define CGP_PORTS_SIZE       4
#define CGP_TCP_SIZE         14 /* up to and with the flags */
#define CGP_ICMP_SIZE        2  /* type and code */
#define CGP_ECHO_SIZE        8

CGP_INLINE int cgp_has_ports(__u8 protocol) {
        return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
                protocol == IPPROTO_SCTP;
}

/* Bytes offset.. of the packet, or NULL. `offset` is a constant wherever is_constant is. */
CGP_INLINE const __u8 *cgp_peek(
        struct __sk_buff *skb, int is_constant, __u32 offset, __u32 size, __u8 *buffer) {
        const __u8 *data = (const __u8 *)(long)skb->data;
        const __u8 *end = (const __u8 *)(long)skb->data_end;

        if (is_constant && data + offset + size <= end)
                return data + offset;
        if (bpf_skb_load_bytes(skb, offset, buffer, size) < 0)
                return NULL;
        return buffer;
}

CGP_INLINE void cgp_tuple_set_ports(struct cgp_tuple *t, const __u8 *header, int is_egress) {
        __u16 source = header[0] << 8 | header[1];
        __u16 destination = header[2] << 8 | header[3];

        t->local_port = is_egress ? source : destination;
        t->remote_port = is_egress ? destination : source;
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

CGP_INLINE int cgp_parse_icmp(struct __sk_buff *skb, int is_constant, __u32 offset, __u32 limit,
        int is_v4, struct cgp_tuple *t) {
        const __u8 *header;
        __u8 buffer[CGP_ECHO_SIZE] = {};

        if (offset + CGP_ICMP_SIZE > limit)
                return -1;
        header = cgp_peek(skb, is_constant, offset, CGP_ICMP_SIZE, buffer);
        if (!header)
                return -1;
        t->icmp = header[0] << 8 | header[1];
        t->flags |= cgp_icmp_flags(is_v4, header[0]);
        if (!(t->flags & CGP_TUPLE_ECHO))
                return 0;

        if (offset + CGP_ECHO_SIZE > limit)
                return -1;
        header = cgp_peek(skb, is_constant, offset, CGP_ECHO_SIZE, buffer);
        if (!header)
                return -1;
        t->echo = header[4] << 8 | header[5];
        return 0;
}

/* The transport header at `offset`; the packet ends at `limit`. */
CGP_INLINE int cgp_parse_transport(struct __sk_buff *skb, int is_constant, __u32 offset,
        __u32 limit, int is_v4, int is_egress, struct cgp_tuple *t) {
        __u8 buffer[CGP_TCP_SIZE] = {};
        const __u8 *header;

        if (t->protocol == IPPROTO_TCP) {
                if (offset + CGP_TCP_SIZE > limit)
                        return -1;
                header = cgp_peek(skb, is_constant, offset, CGP_TCP_SIZE, buffer);
                if (!header)
                        return -1;
                t->tcp_flags = header[CGP_TCP_FLAGS_OFFSET];
                cgp_tuple_set_ports(t, header, is_egress);
                return 0;
        }
        if (cgp_has_ports(t->protocol)) {
                if (offset + CGP_PORTS_SIZE > limit)
                        return -1;
                header = cgp_peek(skb, is_constant, offset, CGP_PORTS_SIZE, buffer);
                if (!header)
                        return -1;
                cgp_tuple_set_ports(t, header, is_egress);
                return 0;
        }
        if (t->protocol == (is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
                return cgp_parse_icmp(skb, is_constant, offset, limit, is_v4, t);
        if (is_v4 && t->protocol == IPPROTO_IGMP)
                t->flags |= CGP_TUPLE_CONTROL;
        return 0;
}

CGP_CALLED int cgp_parse_transport4_at(
        struct __sk_buff *skb, __u32 offset, __u32 limit, __u32 is_egress, struct cgp_tuple *t) {
        return cgp_parse_transport(skb, 0, offset, limit, 1, is_egress, t);
}

CGP_CALLED int cgp_parse_transport6_at(
        struct __sk_buff *skb, __u32 offset, __u32 limit, __u32 is_egress, struct cgp_tuple *t) {
        return cgp_parse_transport(skb, 0, offset, limit, 0, is_egress, t);
}

CGP_INLINE void cgp_address_from_v4(__u8 *to, __u32 address) {
        __u32 *words = (__u32 *)(void *)to;

        words[0] = 0;
        words[1] = 0;
        words[2] = bpf_htonl(0xffff);
        words[3] = address;
}

CGP_INLINE void cgp_address_from_v6(__u8 *to, const struct in6_addr *address) {
        __u32 *words = (__u32 *)(void *)to;

        words[0] = address->in6_u.u6_addr32[0];
        words[1] = address->in6_u.u6_addr32[1];
        words[2] = address->in6_u.u6_addr32[2];
        words[3] = address->in6_u.u6_addr32[3];
}

/* Is this an IPv4 address, by its bytes? */
CGP_INLINE int cgp_address_is_v4(const __u8 *address) {
        const __u32 *words = (const __u32 *)(const void *)address;

        return !(words[0] | words[1]) && words[2] == bpf_htonl(0xffff);
}

/* By what a packet was sent to: the view of who sent it. */
CGP_INLINE __u8 cgp_arrival_view(struct __sk_buff *skb, const __u8 *local) {
        const __u32 *words = (const __u32 *)(const void *)local;

        if (!cgp_address_is_v4(local))
                return local[0] == 0xff ? CGP_VIEW_IN_MULTICAST : CGP_VIEW_IN;
        if ((local[12] & 0xf0) == 0xe0)
                return CGP_VIEW_IN_MULTICAST;
        if (words[3] == 0xffffffff || skb->pkt_type == CGP_PACKET_BROADCAST)
                return CGP_VIEW_IN_BROADCAST;
        return CGP_VIEW_IN;
}

CGP_INLINE int cgp_parse4(struct __sk_buff *skb, int is_egress, struct cgp_tuple *t) {
        __u8 buffer[sizeof(struct iphdr)] = {};
        const struct iphdr *ip;
        __u32 offset, limit;

        ip = (const struct iphdr *)(const void *)cgp_peek(skb, 1, 0, sizeof(*ip), buffer);
        if (!ip)
                return -1;
        cgp_address_from_v4(t->local, is_egress ? ip->saddr : ip->daddr);
        cgp_address_from_v4(t->remote, is_egress ? ip->daddr : ip->saddr);
        t->protocol = ip->protocol;

        offset = ip->ihl * 4;
        if (ip->version != 4 || offset < sizeof(*ip))
                return -1;
        /* Super-packets of 64 KiB and more have no total length. */
        limit = bpf_ntohs(ip->tot_len);
        if (limit == 0 && skb->len > 0xffff)
                limit = skb->len;
        if (limit > skb->len || offset > limit)
                return -1;
        if (ip->frag_off & bpf_htons(0x1fff))
                return -1;
        if (offset == sizeof(*ip))
                return cgp_parse_transport(skb, 1, sizeof(*ip), limit, 1, is_egress, t);
        return cgp_parse_transport4_at(skb, offset, limit, is_egress, t);
}

CGP_INLINE int cgp_is_extension(__u8 protocol) {
        return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
                protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
                protocol == IPPROTO_AH;
}

/* Walks the extension headers from the one behind the IPv6 header on. */
CGP_CALLED int cgp_parse_extensions(
        struct __sk_buff *skb, __u32 limit, __u32 is_egress, struct cgp_tuple *t) {
        __u32 offset = sizeof(struct ipv6hdr);
        __u8 protocol = t->protocol;
        __u8 header[4];
        int i;

        for (i = 0; i < CGP_MAX_EXTENSIONS; i++) {
                if (!cgp_is_extension(protocol))
                        break;
                if (offset + sizeof(header) > limit ||
                        bpf_skb_load_bytes(skb, offset, header, sizeof(header)) < 0)
                        return -1;
                /* Segments left: the address in the header is not where the packet ends up. */
                if (protocol == IPPROTO_ROUTING && header[3] != 0)
                        return -1;
                if (protocol == IPPROTO_FRAGMENT) {
                        if (header[2] != 0 || (header[3] & 0xf8) != 0)
                                return -1;
                        offset += 8;
                } else if (protocol == IPPROTO_AH) {
                        offset += (header[1] + 2) * 4;
                } else {
                        offset += (header[1] + 1) * 8;
                }
                protocol = header[0];
        }
        t->protocol = protocol;
        if (cgp_is_extension(protocol) || offset > limit)
                return -1;
        return cgp_parse_transport6_at(skb, offset, limit, is_egress, t);
}

CGP_INLINE int cgp_parse6(struct __sk_buff *skb, int is_egress, struct cgp_tuple *t) {
        __u8 buffer[sizeof(struct ipv6hdr)] = {};
        const struct ipv6hdr *ip;
        __u32 limit;

        ip = (const struct ipv6hdr *)(const void *)cgp_peek(skb, 1, 0, sizeof(*ip), buffer);
        if (!ip)
                return -1;
        cgp_address_from_v6(t->local, is_egress ? &ip->saddr : &ip->daddr);
        cgp_address_from_v6(t->remote, is_egress ? &ip->daddr : &ip->saddr);
        t->protocol = ip->nexthdr;

        if (ip->version != 6)
                return -1;
        /* Super-packets of 64 KiB and more have no payload length; jumbograms are received so, too. */
        limit = bpf_ntohs(ip->payload_len) + sizeof(*ip);
        if (limit == sizeof(*ip) && skb->len > 0xffff)
                limit = skb->len;
        if (limit > skb->len)
                return -1;
        if (cgp_is_extension(ip->nexthdr))
                return cgp_parse_extensions(skb, limit, is_egress, t);
        return cgp_parse_transport(skb, 1, sizeof(*ip), limit, 0, is_egress, t);
}

/* Fills what can be read, also of a packet that it then refuses. Returns 0, or -1: unparsable. */
CGP_INLINE int cgp_parse(struct __sk_buff *skb, int is_egress, struct cgp_tuple *t) {
        int r;

        if (skb->protocol == bpf_htons(ETH_P_IP))
                r = cgp_parse4(skb, is_egress, t);
        else if (skb->protocol == bpf_htons(ETH_P_IPV6))
                r = cgp_parse6(skb, is_egress, t);
        else
                r = -1;
        t->arrival = is_egress ? CGP_VIEW_IN : cgp_arrival_view(skb, t->local);
        return r;
}
