/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `explain` is asked about, as it is written on the command line: a conversation, or a bind(). Pure. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef enum FlowDirection {
        FLOW_OUT,
        FLOW_IN,
        FLOW_BIND,
} FlowDirection;

typedef struct Flow {
        FlowDirection direction;
        int protocol;
        char address
                [INET6_ADDRSTRLEN]; /* the peer's; bind: the local one. Canonical, without brackets */
        bool is_ipv6;
        bool has_port; /* false where the protocol has none */
        uint16_t port; /* out: the peer's; in and bind: the subject's own */
        char destination
                [INET6_ADDRSTRLEN]; /* in: the group or broadcast address that is sent to, or "" */
        const char *interface;      /* behind via, borrowed, or NULL */
} Flow;

const char *flow_direction_to_string(FlowDirection direction);

/* The words behind the subject:
 *   out PROTO ADDR:PORT [via IFACE]
 *   in PROTO ADDR:PORT [to ADDR] [via IFACE]      ADDR is the peer's, PORT the subject's own
 *   bind PROTO/PORT [to ADDR]                     without an address: 0.0.0.0
 * ADDR:PORT may be [ADDR]:PORT and ADDR port PORT; protocols without ports take the address alone. protocol: a name of
 * the rule grammar or 0-255. -EINVAL: *reterr_message says what is wrong and how to write it (owned; NULL without
 * memory). */
int flow_parse(
        char *const *words, size_t n_words, char **reterr_message, Flow *ret) _warn_unused_result_;

/* "192.0.2.1:443", "[2001:db8::1]:443", or only the address when there is no port. Owned. */
char *flow_endpoint_to_string(const char *address, bool is_ipv6, bool has_port, uint16_t port);
