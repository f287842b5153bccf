/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "cgp-abi.h"
#include "util/macro.h"

#define ICMPV6_ECHO_REQUEST_TYPE 128

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t local4[4] = { 192, 0, 2, 1 }; /* TEST-NET-1, RFC 5737 */
static const uint8_t broadcast4[4] = { 255, 255, 255, 255 };
static const uint8_t multicast4[4] = { 224, 0, 0, 251 };
static const uint8_t local6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }; /* RFC 3849 */
static const uint8_t multicast6[16] = { 0xff, 0x02, [15] = 0xfb };

static size_t packet_transport(const PolicyFlow *flow, uint8_t *p) {
        bool out = flow->direction == CGP_DIR_OUT;
        uint16_t source = htons(out ? flow->local_port : flow->remote_port);
        uint16_t destination = htons(out ? flow->remote_port : flow->local_port);

        switch (flow->protocol) {
        case IPPROTO_TCP: {
                struct tcphdr tcp = { .source = source, .dest = destination, .doff = 5, .syn = 1 };

                memcpy(p, &tcp, sizeof(tcp));
                return sizeof(tcp);
        }
        case IPPROTO_UDP:
        case IPPROTO_UDPLITE: {
                struct udphdr udp = {
                        .source = source, .dest = destination, .len = htons(sizeof(udp))
                };

                memcpy(p, &udp, sizeof(udp));
                return sizeof(udp);
        }
        case IPPROTO_ICMP:
        case IPPROTO_ICMPV6: {
                struct icmphdr icmp = {
                        .type = flow->protocol == IPPROTO_ICMP ? ICMP_ECHO
                                                               : ICMPV6_ECHO_REQUEST_TYPE,
                };

                memcpy(p, &icmp, sizeof(icmp));
                return sizeof(icmp);
        }
        default:
                /* Ports first, as SCTP has them; others do not look. */
                memcpy(p, &source, sizeof(source));
                memcpy(p + 2, &destination, sizeof(destination));
                memset(p + 4, 0, 16);
                return 20;
        }
}

static int packet_build4(const PolicyFlow *flow, uint8_t *packet) {
        const uint8_t *local = flow->local_is_multicast ? multicast4
                : flow->local_is_broadcast              ? broadcast4
                                                        : local4;
        bool out = flow->direction == CGP_DIR_OUT;
        struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = flow->protocol };
        size_t n;

        n = sizeof(ip) + packet_transport(flow, packet + sizeof(ip));
        ip.tot_len = htons((uint16_t)n);
        memcpy(&ip.saddr, out ? local : flow->remote + 12, 4);
        memcpy(&ip.daddr, out ? flow->remote + 12 : local, 4);
        memcpy(packet, &ip, sizeof(ip));
        return (int)n;
}

static int packet_build6(const PolicyFlow *flow, uint8_t *packet) {
        const uint8_t *local = flow->local_is_multicast ? multicast6 : local6;
        bool out = flow->direction == CGP_DIR_OUT;
        struct ip6_hdr ip = {
                .ip6_flow = htonl(6U << 28), .ip6_nxt = flow->protocol, .ip6_hlim = 64
        };
        size_t n;

        switch (flow->protocol) {
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_FRAGMENT:
        case IPPROTO_DSTOPTS:
        case IPPROTO_AH:
                return -EOPNOTSUPP;
        default:
                break;
        }
        n = packet_transport(flow, packet + sizeof(ip));
        ip.ip6_plen = htons((uint16_t)n);
        memcpy(&ip.ip6_src, out ? local : flow->remote, 16);
        memcpy(&ip.ip6_dst, out ? flow->remote : local, 16);
        memcpy(packet, &ip, sizeof(ip));
        return (int)(sizeof(ip) + n);
}

int packet_build(const PolicyFlow *flow, uint8_t packet[PACKET_SIZE_MAX]) {
        if (flow->direction == CGP_DIR_BIND)
                return -EOPNOTSUPP;
        if (memcmp(flow->remote, mapped_prefix, sizeof(mapped_prefix)) == 0)
                return packet_build4(flow, packet);
        if (flow->local_is_broadcast)
                return -EOPNOTSUPP;
        return packet_build6(flow, packet);
}
