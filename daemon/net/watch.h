/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What rtnetlink says of the host's interfaces, addresses and routes, kept current in an event loop. The network
 * namespace is the one the caller is in. One of the few users of libnl.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

typedef struct NetInterface {
        uint32_t ifindex;
        char **names; /* the name, then the altnames; NULL-terminated */
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
        NetNetwork *
                networks; /* of addresses and gateway-less unicast routes, all but loopback; none in another */
        size_t n_networks;
        NetNetwork *broadcast; /* IPv4, 128 bits each */
        size_t n_broadcast;
} NetState;

NetState *net_state_free(NetState *state);
DEFINE_CLEANUP(NetState *, net_state_freep, net_state_free);

typedef struct NetWatch NetWatch;

/* Reads everything, then calls back in the event loop whenever it changed, at most every 20 ms, and at once for
 * the first change after a quiet time. A lost message (ENOBUFS) makes it read everything again. event NULL: no
 * watching, the state stays as it was read. */
int net_watch_new(sd_event *event, void (*changed)(void *userdata), void *userdata,
        NetWatch **ret) _warn_unused_result_;
NetWatch *net_watch_free(NetWatch *watch);
DEFINE_CLEANUP(NetWatch *, net_watch_freep, net_watch_free);

/* Borrowed until control is back in the event loop. */
const NetState *net_watch_state(const NetWatch *watch);

/* Takes what has arrived on the sockets by now, without waiting. Calls nobody back. */
int net_watch_dispatch(NetWatch *watch);
