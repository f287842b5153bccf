/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The conversation that `explain` asks about, as it is written on the command line. Pure. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct Flow {
        bool in;
        int protocol;
        char address[INET6_ADDRSTRLEN]; /* canonical, without brackets */
        bool is_ipv6;
        bool has_port; /* false where the protocol has none */
        uint16_t port; /* out: the peer's; in: the subject's own */
} Flow;

/* direction: in|out; protocol: a name of the rule grammar or 0-255; peer: ADDR:PORT, [ADDR]:PORT, or only the
 * address for protocols without ports. -EINVAL: *reterr_message says what is wrong and how to write it (owned;
 * NULL without memory). */
int flow_parse(const char *direction, const char *protocol, const char *peer, char **reterr_message,
        Flow *ret) _warn_unused_result_;

/* "192.0.2.1:443", "[2001:db8::1]:443", or only the address when there is no port. Owned. */
char *flow_endpoint_to_string(const char *address, bool is_ipv6, bool has_port, uint16_t port);
