/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends sockets from outside (SOCK_DESTROY of sock_diag), so that what waits on them learns that it is over. */
#pragma once

#include <stdint.h>

#include "util/cleanup.h"

typedef struct NetSocketId {
        uint8_t family;    /* of the socket, not of the packets: AF_INET, AF_INET6 */
        uint8_t protocol;  /* IPPROTO_TCP, IPPROTO_UDP */
        uint8_t local[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint8_t remote[16];
        uint16_t local_port; /* in the host's byte order, as is the other */
        uint16_t remote_port;
        uint32_t ifindex;
        uint64_t cookie; /* the kernel compares it: never another socket than the one meant */
} NetSocketId;

typedef struct NetDestroyer NetDestroyer;

/* For the network namespace that the caller is in. -EOPNOTSUPP: this kernel cannot (CONFIG_INET_DIAG_DESTROY). */
int net_destroyer_new(NetDestroyer **ret) _warn_unused_result_;
NetDestroyer *net_destroyer_free(NetDestroyer *destroyer);
DEFINE_CLEANUP(NetDestroyer *, net_destroyer_freep, net_destroyer_free);

/* What waits on the socket fails with ECONNABORTED. A TCP connection is reset; a UDP socket stays, disconnected, and
 * can be connected anew. 0, or -ENOENT: it is gone already, or other sockets with the same addresses (SO_REUSEPORT)
 * stand before it; -EOPNOTSUPP: not for this protocol; -EINVAL: no identity (a cookie of 0 or all ones, which would
 * hit any socket); -EPERM. */
int net_destroyer_destroy(NetDestroyer *destroyer, const NetSocketId *id);
