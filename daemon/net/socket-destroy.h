/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ends sockets from outside (SOCK_DESTROY of sock_diag), so that what waits on them learns that it is over. */
#pragma once

#include <stdint.h>

#include "util/cleanup.h"

typedef struct NetSocketId {
        uint8_t family;    /* AF_INET, AF_INET6 */
        uint8_t protocol;  /* IPPROTO_TCP, IPPROTO_UDP */
        uint8_t local[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint8_t remote[16];
        uint16_t local_port;
        uint16_t remote_port;
        uint32_t ifindex;
        uint64_t cookie; /* the kernel compares it: never another socket than the one meant */
} NetSocketId;

typedef struct NetDestroyer NetDestroyer;

/* For the network namespace that the caller is in. -EOPNOTSUPP: this kernel cannot (CONFIG_INET_DIAG_DESTROY). */
int net_destroyer_new(NetDestroyer **ret) _warn_unused_result_;
NetDestroyer *net_destroyer_free(NetDestroyer *destroyer);
DEFINE_CLEANUP(NetDestroyer *, net_destroyer_freep, net_destroyer_free);

/* 0, or -ENOENT: it is gone already; -EOPNOTSUPP. */
int net_destroyer_destroy(NetDestroyer *destroyer, const NetSocketId *id);
