/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packet.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static void put16(uint8_t *to, size_t value) {
        to[0] = (uint8_t)(value >> 8);
        to[1] = (uint8_t)value;
}

static void set_lengths(Packet *p) {
        if (p->bytes[0] >> 4 == 4 && p->size >= 20)
                put16(p->bytes + 2, p->size);
        else if (p->bytes[0] >> 4 == 6 && p->size >= 40)
                put16(p->bytes + 4, p->size - 40);
}

void packet_ip4(Packet *p, const char *from, const char *to, uint8_t protocol, size_t n_options) {
        *p = (Packet){ .size = 20 + n_options };
        p->bytes[0] = (uint8_t)(0x40 | p->size / 4);
        p->bytes[8] = 64;
        p->bytes[9] = protocol;
        assert_int_equal(inet_pton(AF_INET, from, p->bytes + 12), 1);
        assert_int_equal(inet_pton(AF_INET, to, p->bytes + 16), 1);
        memset(p->bytes + 20, 1, n_options); /* no-operation */
        set_lengths(p);
}

void packet_ip6(Packet *p, const char *from, const char *to, uint8_t next_header) {
        *p = (Packet){ .size = 40 };
        p->bytes[0] = 0x60;
        p->bytes[6] = next_header;
        p->bytes[7] = 64;
        assert_int_equal(inet_pton(AF_INET6, from, p->bytes + 8), 1);
        assert_int_equal(inet_pton(AF_INET6, to, p->bytes + 24), 1);
}

void packet_add(Packet *p, const void *bytes, size_t size) {
        assert_true(p->size + size <= sizeof(p->bytes));
        memcpy(p->bytes + p->size, bytes, size);
        p->size += size;
        set_lengths(p);
}

void packet_add_tcp(Packet *p, uint16_t from, uint16_t to, uint8_t flags) {
        uint8_t header[20] = { [12] = 0x50, [13] = flags };

        put16(header, from);
        put16(header + 2, to);
        packet_add(p, header, sizeof(header));
}

void packet_add_udp(Packet *p, uint16_t from, uint16_t to) {
        uint8_t header[8] = { [5] = 8 };

        put16(header, from);
        put16(header + 2, to);
        packet_add(p, header, sizeof(header));
}

void packet_add_icmp(Packet *p, uint8_t type, uint8_t code, uint16_t id) {
        uint8_t header[8] = { type, code };

        put16(header + 4, id);
        packet_add(p, header, sizeof(header));
}

void packet_add_extension(
        Packet *p, uint8_t next_header, unsigned n_units, uint8_t third, uint8_t fourth) {
        uint8_t header[256 * 8] = { next_header, (uint8_t)(n_units - 1), third, fourth };

        packet_add(p, header, (size_t)n_units * 8);
}

void packet_add_fragment(Packet *p, uint8_t next_header, unsigned offset, unsigned more) {
        uint8_t header[8] = { next_header };

        put16(header + 2, offset << 3 | more);
        packet_add(p, header, sizeof(header));
}

void packet_cut(Packet *p, size_t size) {
        p->size = size;
        set_lengths(p);
}

void packet_cut_bytes_only(Packet *p, size_t size) {
        p->size = size;
}

static uint32_t sum_of(const uint8_t *bytes, size_t size) {
        uint32_t sum = 0;

        for (size_t i = 0; i < size; i++)
                sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
        return sum;
}

static uint16_t folded(uint32_t sum) {
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)~sum;
}

void packet_set_checksum(Packet *p, size_t at) {
        bool is_v4 = p->bytes[0] >> 4 == 4;
        size_t header = is_v4 ? (p->bytes[0] & 0xfU) * 4 : 40;
        uint32_t sum;

        assert_true(header + at + 2 <= p->size);
        put16(p->bytes + header + at, 0);
        sum = sum_of(p->bytes + (is_v4 ? 12 : 8), is_v4 ? 8 : 32);
        sum += p->bytes[is_v4 ? 9 : 6] + (uint32_t)(p->size - header);
        sum += sum_of(p->bytes + header, p->size - header);
        put16(p->bytes + header + at, folded(sum));
}

void packet_set_header_checksum(Packet *p) {
        put16(p->bytes + 10, 0);
        put16(p->bytes + 10, folded(sum_of(p->bytes, (p->bytes[0] & 0xfU) * 4)));
}
