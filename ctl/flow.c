/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads DIRECTION PROTOCOL ADDR:PORT. */
#include "flow.h"

#include <stdarg.h>

#include "policy/text.h"
#include "util/macro.h"

static int flow_error(char **reterr_message, const char *format, ...) _printf_(2, 3);

static int flow_error(char **reterr_message, const char *format, ...) {
        char *message = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&message, format, ap);
        va_end(ap);
        *reterr_message = r < 0 ? NULL : message;
        return -EINVAL;
}

static int parse_port(const char *s, uint16_t *ret) {
        unsigned long port;
        char *end;

        if (*s < '0' || *s > '9' || strlen(s) > 5)
                return -EINVAL;
        port = strtoul(s, &end, 10);
        if (*end || port == 0 || port > UINT16_MAX)
                return -EINVAL;
        *ret = (uint16_t)port;
        return 0;
}

/* Cuts the writable copy of "ADDR:PORT", "[ADDR]:PORT", "[ADDR]" or "ADDR" into its parts. *ret_port is NULL
 * when there is no port. A bare IPv6 address has no port: which of its colons would begin it? */
static int split_endpoint(char *s, char **ret_address, char **ret_port) {
        char *colon, *end;

        if (*s == '[') {
                end = strchr(s, ']');
                if (!end || (end[1] && end[1] != ':'))
                        return -EINVAL;
                *ret_port = end[1] ? end + 2 : NULL;
                *end = '\0';
                *ret_address = s + 1;
                return strchr(s + 1, ':') ? 0 : -EINVAL;
        }

        colon = strchr(s, ':');
        *ret_address = s;
        *ret_port = NULL;
        if (colon && !strchr(colon + 1, ':')) {
                *colon = '\0';
                *ret_port = colon + 1;
        }
        return 0;
}

static int parse_peer(const char *peer, const char *protocol, char **reterr_message, Flow *flow) {
        _cleanup_free_ char *copy = strdup(peer);
        char *address = NULL, *port = NULL;
        uint8_t bytes[16];

        if (!copy)
                return flow_error(reterr_message, "out of memory");
        if (split_endpoint(copy, &address, &port) < 0 ||
                policy_address_from_string(address, bytes) < 0)
                return flow_error(reterr_message,
                        "'%s' is no address; write ADDR:PORT or [IPV6]:PORT, without a host name",
                        peer);
        (void)policy_address_to_string(bytes, flow->address);
        flow->is_ipv6 = strchr(flow->address, ':');

        if (!policy_protocol_has_ports(flow->protocol)) {
                if (port)
                        return flow_error(reterr_message, "%s has no ports; write only '%s'",
                                protocol, address);
                return 0;
        }
        if (!port)
                return flow_error(reterr_message, "'%s' lacks the %s port; write %s", peer,
                        flow->in ? "local" : "remote", flow->is_ipv6 ? "[ADDR]:PORT" : "ADDR:PORT");
        if (parse_port(port, &flow->port) < 0)
                return flow_error(reterr_message, "'%s' is no port; write 1-65535", port);
        flow->has_port = true;
        return 0;
}

int flow_parse(const char *direction, const char *protocol, const char *peer, char **reterr_message,
        Flow *ret) {
        Flow flow = {};
        int r;

        if (streq(direction, "in"))
                flow.in = true;
        else if (!streq(direction, "out"))
                return flow_error(
                        reterr_message, "'%s' is no direction; write in or out", direction);

        flow.protocol = policy_protocol_from_string(protocol);
        if (flow.protocol < 0 && strchr(protocol, '/'))
                return flow_error(reterr_message,
                        "'%s' is no protocol; the port goes with the address: %.*s ADDR:%s",
                        protocol, (int)strcspn(protocol, "/"), protocol, strchr(protocol, '/') + 1);
        if (flow.protocol < 0)
                return flow_error(reterr_message,
                        "unknown protocol '%s'; write tcp, udp, udplite, sctp, icmp, icmpv6 or "
                        "a number",
                        protocol);

        r = parse_peer(peer, protocol, reterr_message, &flow);
        if (r < 0)
                return r;
        *ret = flow;
        return 0;
}

char *flow_endpoint_to_string(const char *address, bool is_ipv6, bool has_port, uint16_t port) {
        char *s = NULL;
        int r;

        if (!has_port)
                return strdup(address);
        r = asprintf(&s, is_ipv6 ? "[%s]:%u" : "%s:%u", address, port);
        return r < 0 ? NULL : s;
}
