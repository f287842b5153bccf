/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reference.h"

#include <string.h>

#include "cgp-abi.h"

/* What the bytes say. */
typedef struct Reading {
        bool is_readable;
        bool is_v4; /* by the header, not by the addresses */
        uint8_t local[16];
        uint8_t remote[16];
        unsigned protocol;
        unsigned local_port;
        unsigned remote_port;
        bool is_control;
} Reading;

static unsigned get16(const uint8_t *at) {
        return (unsigned)at[0] << 8 | at[1];
}

static void map_v4(uint8_t to[16], const uint8_t from[4]) {
        memset(to, 0, 16);
        to[10] = to[11] = 0xff;
        memcpy(to + 12, from, 4);
}

static bool is_mapped(const uint8_t a[16]) {
        static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

        return memcmp(a, prefix, 12) == 0;
}

static bool protocol_has_ports(unsigned protocol) {
        return protocol == 6 || protocol == 17 || protocol == 132 || protocol == 136;
}

/* What kernels send of their own accord: errors, multicast memberships, neighbours. */
static bool icmp_is_control(bool is_v4, unsigned type) {
        static const uint8_t v4[] = { 3, 4, 5, 11, 12 };

        if (is_v4)
                return memchr(v4, (int)type, sizeof(v4)) != NULL;
        return (type >= 1 && type <= 4) || (type >= 130 && type <= 137) || type == 143;
}

/* The header behind the network's, at offset `at` of `end` bytes. */
static bool read_transport(
        Reading *r, const uint8_t *bytes, size_t at, size_t end, bool is_egress) {
        const uint8_t *h = bytes + at;

        if (protocol_has_ports(r->protocol)) {
                /* of TCP also the flags, which tell an opening */
                if (at + (r->protocol == 6 ? 14 : 4) > end)
                        return false;
                r->local_port = get16(is_egress ? h : h + 2);
                r->remote_port = get16(is_egress ? h + 2 : h);
                return true;
        }
        if (r->protocol == (r->is_v4 ? 1U : 58U)) {
                bool is_echo;

                if (at + 2 > end)
                        return false;
                is_echo = r->is_v4 ? h[0] == 0 || h[0] == 8 : h[0] == 128 || h[0] == 129;
                r->is_control = icmp_is_control(r->is_v4, h[0]);
                return !is_echo || at + 8 <= end;
        }
        if (r->is_v4 && r->protocol == 2)
                r->is_control = true;
        return true;
}

/* A source route that is not used up sends the packet elsewhere than its header says. At most eight options are
 * read, one byte of padding being one; what cannot be read to the end counts as such a route. */
static bool options_route(const uint8_t *options, size_t size, size_t packet_left) {
        unsigned n = 0;

        for (size_t i = 0; i < size; n++) {
                /* an option is looked at as three bytes, which only a packet without payload may lack */
                if (n == 8 || i + 3 > packet_left)
                        return true;
                if (options[i] == 0)
                        return false;
                if (options[i] == 1) {
                        i++;
                        continue;
                }
                if (options[i + 1] < 2)
                        return true;
                if ((options[i] == 131 || options[i] == 137) && options[i + 2] <= options[i + 1])
                        return true;
                i += options[i + 1];
        }
        return false;
}

static bool read_v4(Reading *r, const uint8_t *bytes, size_t size, bool is_egress) {
        size_t header, total;

        if (size < 20 || bytes[0] >> 4 != 4)
                return false;
        map_v4(r->local, bytes + (is_egress ? 12 : 16));
        map_v4(r->remote, bytes + (is_egress ? 16 : 12));
        header = (bytes[0] & 15U) * 4;
        total = get16(bytes + 2);
        if (header < 20 || header > total || total > size)
                return false;
        if (get16(bytes + 6) & 0x1fff)
                return false;
        if (options_route(bytes + 20, header - 20, size - 20))
                return false;
        r->protocol = bytes[9];
        return read_transport(r, bytes, header, total, is_egress);
}

static bool is_extension(unsigned next) {
        return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static bool read_v6(Reading *r, const uint8_t *bytes, size_t size, bool is_egress) {
        size_t at = 40, end, n = 0;
        unsigned next;

        if (size < 40 || bytes[0] >> 4 != 6)
                return false;
        memcpy(r->local, bytes + (is_egress ? 8 : 24), 16);
        memcpy(r->remote, bytes + (is_egress ? 24 : 8), 16);
        end = 40 + get16(bytes + 4);
        if (end > size)
                return false;
        for (next = bytes[6]; is_extension(next); n++) {
                const uint8_t *h = bytes + at;

                if (n == 8 || at + 4 > end)
                        return false;
                if (next == 43 && h[3] != 0)
                        return false;
                if (next == 44 && (get16(h + 2) & 0xfff8) != 0)
                        return false;
                if (next == 44)
                        at += 8;
                else
                        at += next == 51 ? (h[1] + 2U) * 4 : (h[1] + 1U) * 8;
                next = h[0];
        }
        if (at > end)
                return false;
        r->protocol = next;
        return read_transport(r, bytes, at, end, is_egress);
}

static unsigned entry_rule(const PolicyEntry *entry, unsigned view) {
        if (entry)
                return entry->number;
        return view == CGP_VIEW_OUT ? CGP_RULE_DEFAULT_OUT : CGP_RULE_DEFAULT_IN;
}

/* One view's verdict. */
static ReferenceVerdict ask(const PolicyStack *stack, const PolicyHost *host, const Reading *r,
        const PolicyPlace *place, unsigned view) {
        ReferenceVerdict v = {};
        unsigned port = 0;

        if (protocol_has_ports(r->protocol))
                port = view == CGP_VIEW_OUT ? r->remote_port : r->local_port;
        v.rule = entry_rule(policy_eval_view(stack, host, view, place, r->remote,
                                    (uint8_t)r->protocol, (uint16_t)port, &v.action),
                view);
        return v;
}

/* Does anything in a direction deny? Then what cannot be read is dropped in it. */
static bool direction_denies(const PolicyStack *stack, bool is_out) {
        unsigned bit = is_out ? POLICY_DIRECTION_OUT : POLICY_DIRECTION_IN;

        if ((is_out ? stack->default_out : stack->default_in) == POLICY_DEFAULT_DENY)
                return true;
        for (size_t i = 0; i < stack->n_entries; i++)
                if ((stack->entries[i].rule->directions & bit) &&
                        stack->entries[i].rule->verdict != POLICY_ALLOW)
                        return true;
        return false;
}

/* The view of an arrival, by where it was sent to. */
static unsigned arrival_view(const ReferencePacket *p, const Reading *r) {
        static const uint8_t all_ones[4] = { 255, 255, 255, 255 };
        const uint8_t *to = r->local;

        if (p->is_egress)
                return CGP_VIEW_IN;
        if (is_mapped(to) ? (to[12] & 0xf0) == 0xe0 : to[0] == 0xff)
                return CGP_VIEW_IN_MULTICAST;
        if (is_mapped(to) && (p->is_link_broadcast || memcmp(to + 12, all_ones, 4) == 0))
                return CGP_VIEW_IN_BROADCAST;
        return CGP_VIEW_IN;
}

static unsigned opener_view(unsigned opener) {
        switch (opener) {
        case CGP_OPENER_IN_MULTICAST:
                return CGP_VIEW_IN_MULTICAST;
        case CGP_OPENER_IN_BROADCAST:
                return CGP_VIEW_IN_BROADCAST;
        default:
                return CGP_VIEW_IN;
        }
}

static ReferenceVerdict judge(const PolicyStack *stack, const PolicyHost *host,
        const ReferencePacket *p, const Reading *r) {
        unsigned arrival = arrival_view(p, r), opener = p->opener;
        ReferenceVerdict verdict, other;
        unsigned own, cross;

        if (opener == CGP_OPENER_UNKNOWN)
                own = p->is_egress ? CGP_VIEW_OUT : arrival;
        else
                own = opener == CGP_OPENER_OUT ? CGP_VIEW_OUT : opener_view(opener);
        cross = own == CGP_VIEW_OUT ? arrival : CGP_VIEW_OUT;

        verdict = ask(stack, host, r, &p->place, own);
        if (verdict.action != CGP_ACTION_ALLOW)
                return verdict;
        other = ask(stack, host, r, &p->place, cross);
        return other.action == CGP_ACTION_NEVER ? other : verdict;
}

ReferenceVerdict reference_judge(
        const PolicyStack *stack, const PolicyHost *host, const ReferencePacket *packet) {
        ReferenceVerdict verdict = {};
        Reading r = { .is_v4 = packet->size == 0 || packet->bytes[0] >> 4 != 6 };

        r.is_readable = r.is_v4 ? read_v4(&r, packet->bytes, packet->size, packet->is_egress)
                                : read_v6(&r, packet->bytes, packet->size, packet->is_egress);
        if (!r.is_readable) {
                bool denies = direction_denies(stack, packet->is_egress);

                verdict.rule = packet->is_egress ? CGP_RULE_UNPARSABLE_OUT : CGP_RULE_UNPARSABLE_IN;
                verdict.action = denies ? CGP_ACTION_DENY : CGP_ACTION_ALLOW;
        } else if (r.is_control) {
                verdict.rule = CGP_RULE_CONTROL;
                verdict.action = CGP_ACTION_ALLOW;
        } else {
                verdict = judge(stack, host, packet, &r);
        }
        verdict.passes = verdict.action == CGP_ACTION_ALLOW || stack->mode != POLICY_MODE_ENFORCE;
        return verdict;
}
