/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What rtnetlink says of the host's interfaces, addresses and routes, kept current in an event loop. The network
 * namespace is the one the caller is in. One of the few users of libnl.
 *
 * Networks are what is reached without a router, over interfaces that are set up (with or without a cable) and are not
 * loopback: the network of each address, or of its peer; the address itself; and each unicast route of the main table
 * that names no gateway, next hop object or encapsulation, over an interface with broadcast. A route into a tunnel
 * (WireGuard, tun, PPP) does not count, since the tunnel's other end is a router. Link-local networks count, as
 * the kernel has them. Multicast, 255.255.255.255 and whatever is shorter than /8 in IPv4 or /7 in IPv6 do not: that
 * is a default route or a piece of one, and would make neighbours of the whole internet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

typedef struct NetInterface {
        uint32_t ifindex;
        /* The name, then the altnames, sorted; NULL-terminated. Of a change of altnames while the interface is
         * down the kernel does not tell: they are current once it is up. */
        char **names;
        bool is_loopback;
} NetInterface;

/* A network: IPv4 as ::ffff:a.b.c.d with bits 96-128; the bits behind are zero. */
typedef struct NetNetwork {
        uint8_t address[16];
        uint8_t bits;
} NetNetwork;

/* A snapshot. Everything sorted and without repetitions, so that equal networks are equal bytes. */
typedef struct NetState {
        uint64_t netns;           /* cookie of the network namespace; 0: the kernel does not tell */
        NetInterface *interfaces; /* by index */
        size_t n_interfaces;
        NetNetwork *networks; /* see above; none lies in another */
        size_t n_networks;
        /* IPv4, 128 bits each: what is set, and the last address of the network. Never 255.255.255.255. */
        NetNetwork *broadcast;
        size_t n_broadcast;
} NetState;

NetState *net_state_free(NetState *state);
DEFINE_CLEANUP(NetState *, net_state_freep, net_state_free);

typedef struct NetWatch NetWatch;

/* Reads everything, then calls back in the event loop whenever it changed, at most every 20 ms (seldomer where one
 * reading takes long), and at once for the first change after a quiet time. A lost message (ENOBUFS) makes it read
 * everything again. What cannot be read later on is tried again until it can, and the state stays what it was. The
 * callback may free the watch. event NULL: no watching, the state stays as it was read. */
int net_watch_new(sd_event *event, void (*changed)(void *userdata), void *userdata,
        NetWatch **ret) _warn_unused_result_;
NetWatch *net_watch_free(NetWatch *watch);
DEFINE_CLEANUP(NetWatch *, net_watch_freep, net_watch_free);

/* Borrowed until control is back in the event loop, or until net_watch_dispatch(). Never NULL. */
const NetState *net_watch_state(const NetWatch *watch);

/* Takes what has arrived on the sockets by now, without waiting. Calls nobody back. 1: the state is another than
 * before, 0: it is not, or a negative errno: it could not be read, is what it was, and will be tried again. */
int net_watch_dispatch(NetWatch *watch);
