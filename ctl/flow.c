/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the words of `explain`. */
#include "flow.h"

#include <stdarg.h>

#include "policy/parse.h"
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

const char *flow_direction_to_string(FlowDirection direction) {
        static const char *const names[] = {
                [FLOW_OUT] = "out",
                [FLOW_IN] = "in",
                [FLOW_BIND] = "bind",
        };

        return names[direction];
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

static int parse_address(
        const char *s, char **reterr_message, char ret[INET6_ADDRSTRLEN], bool *ret_is_ipv6) {
        uint8_t bytes[16];

        if (policy_address_from_string(s, bytes) < 0)
                return flow_error(reterr_message,
                        "'%s' is no address; write one, without a port and without a host name", s);
        (void)policy_address_to_string(bytes, ret);
        if (ret_is_ipv6)
                *ret_is_ipv6 = strchr(ret, ':');
        return 0;
}

static int parse_peer(const char *peer, char **reterr_message, Flow *flow) {
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
        if (!port)
                return 0;
        if (!policy_protocol_has_ports(flow->protocol))
                return flow_error(
                        reterr_message, "this protocol has no ports; write only '%s'", address);
        if (parse_port(port, &flow->port) < 0)
                return flow_error(reterr_message, "'%s' is no port; write 1-65535", port);
        flow->has_port = true;
        return 0;
}

static int parse_protocol(const char *protocol, char **reterr_message, Flow *flow) {
        flow->protocol = policy_protocol_from_string(protocol);
        if (flow->protocol >= 0)
                return 0;
        if (strchr(protocol, '/'))
                return flow_error(reterr_message,
                        "'%s' is no protocol; the port goes with the address: %.*s ADDR:%s",
                        protocol, (int)strcspn(protocol, "/"), protocol, strchr(protocol, '/') + 1);
        return flow_error(reterr_message,
                "unknown protocol '%s'; write tcp, udp, udplite, sctp, icmp, icmpv6 or a number",
                protocol);
}

/* The pairs of words behind the first three (bind: two): port N, to ADDR, via IFACE. */
static int parse_pair(const char *key, const char *value, char **reterr_message, Flow *flow) {
        if (streq(key, "port") && flow->direction != FLOW_BIND) {
                if (!policy_protocol_has_ports(flow->protocol))
                        return flow_error(reterr_message, "this protocol has no ports");
                if (flow->has_port)
                        return flow_error(reterr_message, "the port is given twice");
                if (parse_port(value, &flow->port) < 0)
                        return flow_error(reterr_message, "'%s' is no port; write 1-65535", value);
                flow->has_port = true;
                return 0;
        }
        if (streq(key, "to") && flow->direction == FLOW_BIND)
                return parse_address(value, reterr_message, flow->address, &flow->is_ipv6);
        if (streq(key, "to") && flow->direction == FLOW_IN) {
                bool is_ipv6 = false;

                if (*flow->destination)
                        return flow_error(reterr_message, "'to' is given twice");
                if (parse_address(value, reterr_message, flow->destination, &is_ipv6) < 0)
                        return -EINVAL;
                if (is_ipv6 != flow->is_ipv6)
                        return flow_error(reterr_message,
                                "'%s' and '%s' are of different families: no packet has both",
                                flow->address, flow->destination);
                return 0;
        }
        if (streq(key, "via") && flow->direction != FLOW_BIND) {
                if (flow->interface)
                        return flow_error(reterr_message, "'via' is given twice");
                if (!policy_interface_name_is_valid(value))
                        return flow_error(reterr_message, "'%s' is no name of an interface", value);
                flow->interface = value;
                return 0;
        }
        return flow_error(reterr_message, "'%s' has no place here; the forms are %s", key,
                flow->direction == FLOW_OUT          ? "out PROTO ADDR:PORT [via IFACE]"
                        : flow->direction == FLOW_IN ? "in PROTO ADDR:PORT [to ADDR] [via IFACE]"
                                                     : "bind PROTO/PORT [to ADDR]");
}

/* "tcp/8080". */
static int parse_bound(const char *what, char **reterr_message, Flow *flow) {
        _cleanup_free_ char *protocol = strdup(what);
        char *slash;

        if (!protocol)
                return flow_error(reterr_message, "out of memory");
        slash = strchr(protocol, '/');
        if (slash)
                *slash = '\0';
        if (parse_protocol(protocol, reterr_message, flow) < 0)
                return -EINVAL;
        if (!policy_protocol_has_ports(flow->protocol))
                return flow_error(reterr_message,
                        "%s has no ports; a bind is asked about as bind tcp/8080", protocol);
        if (!slash || parse_port(slash + 1, &flow->port) < 0)
                return flow_error(reterr_message,
                        "'%s' lacks the port; a bind is asked about as bind %s/8080", what,
                        protocol);
        flow->has_port = true;
        strcpy(flow->address, "0.0.0.0");
        return 0;
}

static int parse_direction(const char *word, char **reterr_message, FlowDirection *ret) {
        for (FlowDirection d = FLOW_OUT; d <= FLOW_BIND; d++)
                if (streq(word, flow_direction_to_string(d))) {
                        *ret = d;
                        return 0;
                }
        return flow_error(reterr_message, "'%s' is no direction; write in, out or bind", word);
}

int flow_parse(char *const *words, size_t n_words, char **reterr_message, Flow *ret) {
        size_t i = 2;
        Flow flow = {};
        int r;

        if (n_words == 0 || parse_direction(words[0], reterr_message, &flow.direction) < 0)
                return n_words == 0 ? flow_error(reterr_message, "write in, out or bind") : -EINVAL;
        if (n_words < 2 || (n_words < 3 && flow.direction != FLOW_BIND))
                return flow_error(reterr_message, "too few words; write %s",
                        flow.direction == FLOW_BIND ? "bind PROTO/PORT"
                                                    : "a protocol and ADDR:PORT");

        if (flow.direction == FLOW_BIND)
                r = parse_bound(words[1], reterr_message, &flow);
        else {
                r = parse_protocol(words[1], reterr_message, &flow);
                if (r >= 0)
                        r = parse_peer(words[i++], reterr_message, &flow);
        }
        for (; r >= 0 && i < n_words; i += 2)
                r = i + 1 < n_words ? parse_pair(words[i], words[i + 1], reterr_message, &flow)
                                    : flow_error(reterr_message, "nothing follows '%s'", words[i]);
        if (r < 0)
                return -EINVAL;
        if (!flow.has_port && policy_protocol_has_ports(flow.protocol))
                return flow_error(reterr_message, "'%s' lacks the %s port; write %s", words[2],
                        flow.direction == FLOW_IN ? "local" : "remote",
                        flow.is_ipv6 ? "[ADDR]:PORT" : "ADDR:PORT");
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
