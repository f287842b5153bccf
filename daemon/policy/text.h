/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Model to text: the one form in which rules and files are printed and stored. */
#pragma once

#include "policy/model.h"

/* The canonical body: "in tcp/80,443 from 10.0.0.0/8,localhost via eth0", "out any", "tcp/443" (in and out),
 * "bind udp/5353 to 224.0.0.251".
 * Direction (unless in and out), what (unless any), peers (unless any), interface; never empty: at the least
 * "any", which also stands where otherwise only "via" would.
 * Parsing it gives the same rule again, also on a host that lacks the service names it was written with.
 * Owned; NULL without memory. */
char *policy_rule_to_body(const PolicyRule *rule);

/* The rule as the tool echoes it: one line per direction, everything spelled out, no trailing newline:
 * "allow in tcp/443 from any" and "allow out tcp/443 to any", "allow bind tcp/8080 to any". Owned; NULL
 * without memory. */
char *policy_rule_to_expanded(const PolicyRule *rule);

/* Canonical JSON of a file: keys in a fixed order, rules as objects {"allow": body, "id":, "comment":}, one
 * per line, ends with a newline. Parsing it gives an equal file, if its strings are valid (parse.h) and it
 * is not longer than POLICY_FILE_SIZE_MAX: who stores it looks. Owned; NULL without memory. */
char *policy_file_to_json(const PolicyFile *file);

/* "2001:db8::1" or "10.0.0.1" of a 16-byte address (IPv4 as v4-mapped). buf holds INET6_ADDRSTRLEN.
 * Returns buf. */
char *policy_address_to_string(const uint8_t address[16], char *buf);

/* The inverse: accepts IPv4, IPv6 and v4-mapped IPv6. -EINVAL. */
int policy_address_from_string(const char *s, uint8_t ret[16]) _warn_unused_result_;

/* "tcp", "icmpv6", or the number. buf holds 8 bytes. Returns buf or a static string. */
const char *policy_protocol_to_string(int protocol, char buf[8]);

/* A name of the grammar or 0-255. Returns the protocol or -EINVAL. */
int policy_protocol_from_string(const char *s);

/* TCP, UDP, UDP-Lite, SCTP. */
bool policy_protocol_has_ports(int protocol);

/* "192.0.2.1:443", "[2001:db8::1]:443"; the address alone for protocols without ports. buf holds
 * POLICY_ENDPOINT_SIZE bytes. Returns buf. */
#define POLICY_ENDPOINT_SIZE 64U
char *policy_endpoint_to_string(int protocol, const uint8_t address[16], uint16_t port, char *buf);

/* "@ads", "10.0.0.0/8", "lan", as in a rule. Owned; NULL without memory. */
char *policy_peer_to_string(const PolicyPeer *peer);

/* "path:line", as much as is known, "" for nothing. Owned; NULL without memory. */
char *policy_source_to_string(const PolicySource *source);
