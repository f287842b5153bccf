/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes every peer as prefixes of one family: ranges as the fewest that cover them, names as what they
 * stand for. */
#include "policy/compile-prefix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/macro.h"

#define IPV4_BITS 32U
#define IPV6_BITS 128U

/* Any destination in 224.0.0.0/4 and ff00::/8: what an `in` rule from multicast counts as. */
#define MULTICAST4_BITS 4U
#define MULTICAST6_BITS 8U

static uint64_t read_be64(const uint8_t *bytes) {
        uint64_t value = 0;

        for (size_t i = 0; i < 8; i++)
                value = value << 8 | bytes[i];
        return value;
}

static GridKey address_to_key(const uint8_t address[16], unsigned axis) {
        uint64_t lo = read_be64(address + 8);

        if (axis == GRID_IPV4)
                return (GridKey){ .hi = lo << 32 };
        return (GridKey){ read_be64(address), lo };
}

static int prefix_list_add(PrefixList *list, GridKey start, unsigned bits, uint16_t entry,
        PolicyCompileFailure *reterr_failure) {
        GridKey host = grid_key_end((GridKey){}, bits);

        if (list->n_prefixes == list->n_allocated) {
                size_t n = MAX(list->n_allocated * 2, 16U);
                Prefix *prefixes = NULL;

                if (list->n_prefixes >= GRID_PREFIXES_MAX)
                        return grid_fail(reterr_failure, "prefixes", list->n_prefixes + 1,
                                GRID_PREFIXES_MAX);
                prefixes = reallocarray(list->prefixes, n, sizeof(*prefixes));
                if (!prefixes)
                        return -ENOMEM;
                list->prefixes = prefixes;
                list->n_allocated = n;
        }

        list->prefixes[list->n_prefixes++] = (Prefix){
                .start = { start.hi & ~host.hi, start.lo & ~host.lo },
                .bits = bits,
                .entry = entry,
        };
        return 0;
}

/* The fewest prefixes that cover first..last, found by halving from `bits` bits of `start` down. */
static int prefix_list_add_range(PrefixList *list, GridKey start, unsigned bits, GridKey first,
        GridKey last, uint16_t entry, PolicyCompileFailure *reterr_failure) {
        GridKey end = grid_key_end(start, bits), half = start;
        int r;

        if (grid_key_compare(end, first) < 0 || grid_key_compare(start, last) > 0)
                return 0;
        if (grid_key_compare(start, first) >= 0 && grid_key_compare(end, last) <= 0)
                return prefix_list_add(list, start, bits, entry, reterr_failure);

        if (bits < 64)
                half.hi |= UINT64_C(1) << (63 - bits);
        else
                half.lo |= UINT64_C(1) << (127 - bits);

        r = prefix_list_add_range(list, start, bits + 1, first, last, entry, reterr_failure);
        if (r < 0)
                return r;
        return prefix_list_add_range(list, half, bits + 1, first, last, entry, reterr_failure);
}

/* Every prefix of this length: matches all addresses, but counts as that specific. */
static int prefix_list_add_all(
        PrefixList *list, unsigned bits, uint16_t entry, PolicyCompileFailure *reterr_failure) {
        int r;

        for (uint64_t i = 0; i < UINT64_C(1) << bits; i++) {
                r = prefix_list_add(
                        list, (GridKey){ .hi = i << (64 - bits) }, bits, entry, reterr_failure);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int prefix_list_add_multicast(PrefixList *list, unsigned view, unsigned axis, uint16_t entry,
        PolicyCompileFailure *reterr_failure) {
        bool v4 = axis == GRID_IPV4;

        switch (view) {
        case CGP_VIEW_OUT:
                return prefix_list_add(list, (GridKey){ .hi = v4 ? 0xe0ULL << 56 : 0xffULL << 56 },
                        v4 ? MULTICAST4_BITS : MULTICAST6_BITS, entry, reterr_failure);
        case CGP_VIEW_IN_MULTICAST:
                return prefix_list_add_all(
                        list, v4 ? MULTICAST4_BITS : MULTICAST6_BITS, entry, reterr_failure);
        default:
                return 0;
        }
}

static int prefix_list_add_peer(PrefixList *list, const PolicyPeer *peer, unsigned view,
        unsigned axis, uint16_t entry, PolicyCompileFailure *reterr_failure) {
        bool v4 = axis == GRID_IPV4;
        GridKey address = address_to_key(peer->address, axis), last;

        switch (peer->type) {
        case POLICY_PEER_ANY:
                return prefix_list_add(list, (GridKey){}, 0, entry, reterr_failure);
        case POLICY_PEER_PREFIX:
                assert(peer->prefix_len <= (peer->family == AF_INET ? IPV4_BITS : IPV6_BITS));
                if ((peer->family == AF_INET) != v4)
                        return 0;
                return prefix_list_add(list, address, peer->prefix_len, entry, reterr_failure);
        case POLICY_PEER_RANGE:
                if ((peer->family == AF_INET) != v4)
                        return 0;
                last = address_to_key(peer->last, axis);
                if (v4)
                        last = grid_key_end(last, IPV4_BITS);
                return prefix_list_add_range(
                        list, (GridKey){}, 0, address, last, entry, reterr_failure);
        case POLICY_PEER_LOCALHOST:
                return prefix_list_add(list,
                        v4 ? (GridKey){ .hi = 127ULL << 56 } : (GridKey){ .lo = 1 },
                        v4 ? 8 : IPV6_BITS, entry, reterr_failure);
        case POLICY_PEER_LINK_LOCAL:
                return prefix_list_add(list,
                        (GridKey){ .hi = v4 ? 0xa9feULL << 48 : 0xfe80ULL << 48 }, v4 ? 16 : 10,
                        entry, reterr_failure);
        case POLICY_PEER_MULTICAST:
                return prefix_list_add_multicast(list, view, axis, entry, reterr_failure);
        case POLICY_PEER_BROADCAST:
        case POLICY_PEER_LAN:
        case POLICY_PEER_INTERNET:
        case POLICY_PEER_LIST:
        case _POLICY_PEER_TYPE_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

static int prefix_compare(const void *a, const void *b) {
        const Prefix *x = a, *y = b;
        int r = grid_key_compare(x->start, y->start);

        if (r != 0)
                return r;
        if (x->bits != y->bits)
                return x->bits < y->bits ? -1 : 1;
        return (x->entry > y->entry) - (x->entry < y->entry);
}

static void prefix_list_sort(PrefixList *list) {
        size_t n = 0;

        if (list->n_prefixes == 0)
                return;

        qsort(list->prefixes, list->n_prefixes, sizeof(*list->prefixes), prefix_compare);
        for (size_t i = 1; i < list->n_prefixes; i++)
                if (prefix_compare(&list->prefixes[n], &list->prefixes[i]) != 0)
                        list->prefixes[++n] = list->prefixes[i];
        list->n_prefixes = n + 1;
}

void prefix_list_done(PrefixList *list) {
        free(list->prefixes);
        *list = (PrefixList){};
}

int prefix_list_init(PrefixList *list, const PolicyStack *stack, unsigned view, unsigned axis,
        PolicyCompileFailure *reterr_failure) {
        _cleanup_(prefix_list_done) PrefixList l = {};
        int r;

        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & grid_view_direction(view)))
                        continue;
                if (rule->via)
                        return -EOPNOTSUPP;
                for (size_t k = 0; k < rule->n_peers; k++) {
                        r = prefix_list_add_peer(
                                &l, &rule->peers[k], view, axis, i, reterr_failure);
                        if (r < 0)
                                return r;
                }
        }
        prefix_list_sort(&l);

        *list = TAKE_GENERIC(l, PrefixList, (PrefixList){});
        return 0;
}
