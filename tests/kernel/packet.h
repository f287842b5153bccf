/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets made by hand, from the network header on. Lengths are right unless a test spoils them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 2048U

typedef struct Packet {
        uint8_t bytes[PACKET_MAX];
        size_t size;
} Packet;

/* An IPv4 header of 20 + n_options bytes (a multiple of 4) or an IPv6 header. */
void packet_ip4(Packet *p, const char *from, const char *to, uint8_t protocol, size_t n_options);
void packet_ip6(Packet *p, const char *from, const char *to, uint8_t next_header);

/* Appends and corrects the lengths. */
void packet_add(Packet *p, const void *bytes, size_t size);
void packet_add_tcp(Packet *p, uint16_t from, uint16_t to, uint8_t flags);
void packet_add_udp(Packet *p, uint16_t from, uint16_t to);
void packet_add_icmp(Packet *p, uint8_t type, uint8_t code, uint16_t id);

/* The transport protocol's checksum (over the pseudo header, too), at this place of its header. For packets without
 * extension headers that are complete. */
void packet_set_checksum(Packet *p, size_t at);

/* That of the IPv4 header itself, which raw sockets see to and others do not. */
void packet_set_header_checksum(Packet *p);

/* An IPv6 extension header of n_units * 8 bytes; third and fourth byte as given. */
void packet_add_extension(
        Packet *p, uint8_t next_header, unsigned n_units, uint8_t third, uint8_t fourth);
void packet_add_fragment(Packet *p, uint8_t next_header, unsigned offset, unsigned more);

/* Cuts the packet, header lengths included, or leaves the header's claim as it is. */
void packet_cut(Packet *p, size_t size);
void packet_cut_bytes_only(Packet *p, size_t size);
