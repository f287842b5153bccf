/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What single rtnetlink messages say, reduced to what a NetState is made of. Growing arrays of it, which become
 * sorted. Reads no socket and decides nothing about interfaces: what an address or route is worth depends on its
 * interface, and is settled when all are known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/watch.h"

struct nlmsghdr;

typedef struct NetLink {
        uint32_t ifindex;
        uint32_t flags;  /* of IFF_UP, IFF_LOOPBACK, IFF_BROADCAST */
        uint32_t master; /* ifindex of the bridge or VRF it belongs to, or 0 */
        uint32_t order;  /* of arrival; 0: settled */
        bool gone;
        char **names; /* as in NetInterface */
} NetLink;

/* Settled links are sorted by index and unique. What is heard is appended. */
typedef struct NetLinks {
        NetLink *links;
        size_t n;
        size_t n_allocated;
        uint32_t n_heard;
} NetLinks;

typedef struct NetAddress {
        uint32_t ifindex;
        NetNetwork local;     /* 128 bits */
        NetNetwork network;   /* of the address or of its peer */
        NetNetwork broadcast; /* bits 0: none is set */
} NetAddress;

typedef struct NetAddresses {
        NetAddress *addresses;
        size_t n;
        size_t n_allocated;
} NetAddresses;

/* One next hop of a route that is no default route and leads to neighbours and not to a router. */
typedef struct NetRoute {
        NetNetwork network;
        uint32_t ifindex;
} NetRoute;

typedef struct NetRoutes {
        NetRoute *routes;
        size_t n;
        size_t n_allocated;
} NetRoutes;

void net_links_done(NetLinks *links);
void net_addresses_done(NetAddresses *addresses);
void net_routes_done(NetRoutes *routes);

/* Each takes one message and appends at most what it says: 1 if it was of a kind that matters here, 0 if not, -ENOMEM,
 * -EBADMSG. The message of a removal appends a link that is gone, and nothing to the others. */
int net_links_hear(NetLinks *links, struct nlmsghdr *header);
int net_addresses_hear(NetAddresses *addresses, struct nlmsghdr *header);

/* 1: a route of the main table; its network is then in ret_network, whether it is appended or not. */
int net_routes_hear(NetRoutes *routes, struct nlmsghdr *header, NetNetwork *ret_network);

/* Brings what was heard to rest. Returns whether any link differs from what it was or has differed in between. */
bool net_links_settle(NetLinks *links);
void net_addresses_sort(NetAddresses *addresses);
void net_routes_sort(NetRoutes *routes);

/* Of settled links and sorted routes. */
const NetLink *net_links_find(const NetLinks *links, uint32_t ifindex);
bool net_routes_has(const NetRoutes *routes, const NetNetwork *network);

int net_network_compare(const NetNetwork *a, const NetNetwork *b);
/* Clears the bits behind. */
void net_network_mask(NetNetwork *network);
bool net_network_contains(const NetNetwork *outer, const NetNetwork *inner);
bool net_network_is_ipv4(const NetNetwork *network);

/* Not multicast, not 255.255.255.255, not an IPv6 network that all of IPv4 would lie in (::/64), and not so short that
 * it can only be a default route or a piece of one (0.0.0.0/1 and 128.0.0.0/1, 2000::/3), as VPNs and tunnels set
 * them: at least as long as the largest blocks for private use, 10.0.0.0/8 and fc00::/7. Else one such route would
 * make neighbours of the whole internet. */
bool net_network_is_lan(const NetNetwork *network);
