/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a packet from its bytes alone: written for the tests, from the RFCs, without the daemon's structures, so
 * that what the daemon builds is read back by somebody else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PacketView {
        unsigned version; /* 4 or 6 */
        uint8_t protocol;
        uint8_t source[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint8_t destination[16];
        bool has_ports;
        uint16_t source_port;
        uint16_t destination_port;
        bool is_syn;  /* TCP: SYN and no other flag */
        bool is_echo; /* ICMP, ICMPv6: an echo request */
} PacketView;

/* -EBADMSG: a length, header or version that does not fit the bytes. */
int packet_view(const uint8_t *packet, size_t size, PacketView *ret);

bool packet_address_is_multicast(const uint8_t address[16]);
