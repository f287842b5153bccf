/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes every peer as prefixes of one family: ranges as the fewest that cover them, names as what
 * they stand for on this host. */
#include "policy/compile-prefix.h"

#include <errno.h>
#include <sys/socket.h>

#include "util/macro.h"

#define IPV4_BITS 32U
#define IPV6_BITS 128U

/* 224.0.0.0/4 and ff00::/8. In an `in` rule the destination has to be there, and the peer may be
 * any. */
#define MULTICAST4_BITS 4U
#define MULTICAST6_BITS 8U

static uint64_t read_be64(const uint8_t *bytes) {
        uint64_t value = 0;

        for (size_t i = 0; i < 8; i++)
                value = value << 8 | bytes[i];
        return value;
}

static GridKey address_to_key(const uint8_t address[16], unsigned family) {
        uint64_t lo = read_be64(address + 8);

        if (family == GRID_IPV4)
                return (GridKey){ .hi = lo << 32 };
        return (GridKey){ read_be64(address), lo };
}

static int peers_add(Peers *peers, unsigned family, GridKey start, unsigned bits, unsigned length,
        uint32_t group) {
        GridKey host = grid_key_end((GridKey){}, bits);
        int r;

        if (peers->n_prefixes[family] >= PREFIXES_MAX)
                return compile_fail(peers->source->reterr_failure, "prefixes",
                        peers->n_prefixes[family] + 1, PREFIXES_MAX);
        r = compile_reserve(&peers->prefixes[family], &peers->n_allocated[family],
                peers->n_prefixes[family] + 1, sizeof(Prefix));
        if (r < 0)
                return r;

        peers->prefixes[family][peers->n_prefixes[family]++] = (Prefix){
                .start = { start.hi & ~host.hi, start.lo & ~host.lo },
                .group = group,
                .bits = bits,
                .length = length,
        };
        return 0;
}

/* The fewest prefixes that cover first..last, found by halving from `bits` bits of `start` down. */
static int peers_add_range(Peers *peers, unsigned family, GridKey start, unsigned bits,
        GridKey first, GridKey last, uint32_t group) {
        GridKey end = grid_key_end(start, bits), half = start;
        int r;

        if (grid_key_compare(end, first) < 0 || grid_key_compare(start, last) > 0)
                return 0;
        if (grid_key_compare(start, first) >= 0 && grid_key_compare(end, last) <= 0)
                return peers_add(peers, family, start, bits, bits, group);

        if (bits < 64)
                half.hi |= UINT64_C(1) << (63 - bits);
        else
                half.lo |= UINT64_C(1) << (127 - bits);

        r = peers_add_range(peers, family, start, bits + 1, first, last, group);
        if (r < 0)
                return r;
        return peers_add_range(peers, family, half, bits + 1, first, last, group);
}

/* length: NULL for the networks' own. */
static int peers_add_networks(Peers *peers, const PolicyNetwork *networks, size_t n,
        const unsigned *length, uint32_t group) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        int r;

        for (size_t i = 0; i < n; i++) {
                const PolicyNetwork *network = &networks[i];
                bool v4 = network->bits >= 96 &&
                        memcmp(network->address, mapped, sizeof(mapped)) == 0;
                unsigned family = v4 ? GRID_IPV4 : GRID_IPV6;
                unsigned bits = network->bits - (v4 ? 96U : 0U);

                r = peers_add(peers, family, address_to_key(network->address, family), bits,
                        length ? *length : bits, group);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int peers_add_list(Peers *peers, const PolicyList *list, uint32_t group) {
        int r;

        for (size_t i = 0; i < list->n_networks4; i++) {
                const PolicyListNetwork4 *network = &list->networks4[i];

                r = peers_add(peers, GRID_IPV4, (GridKey){ .hi = (uint64_t)network->address << 32 },
                        network->bits, network->bits, group);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < list->n_networks6; i++) {
                const PolicyListNetwork6 *network = &list->networks6[i];

                r = peers_add(peers, GRID_IPV6, (GridKey){ network->hi, network->lo },
                        network->bits, network->bits, group);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Broadcast addresses of the host, where the peer is one; IPv6 has none. */
static int peers_add_broadcast(Peers *peers, uint32_t group) {
        const PolicyHost *host = peers->source->host;
        const unsigned length = IPV4_BITS;
        int r;

        if (grid_view_direction(peers->view) == POLICY_DIRECTION_IN)
                return peers->view == CGP_VIEW_IN_BROADCAST
                        ? peers_add(peers, GRID_IPV4, (GridKey){}, 0, length, group)
                        : 0;

        r = peers_add(peers, GRID_IPV4, (GridKey){ .hi = UINT64_C(0xffffffff) << 32 }, IPV4_BITS,
                length, group);
        if (r < 0)
                return r;
        return peers_add_networks(peers, host->broadcast, host->n_broadcast, &length, group);
}

static int peers_add_both(Peers *peers, Prefix v4, Prefix v6, uint32_t group) {
        int r;

        r = peers_add(peers, GRID_IPV4, v4.start, v4.bits, v4.length, group);
        if (r < 0)
                return r;
        return peers_add(peers, GRID_IPV6, v6.start, v6.bits, v6.length, group);
}

static int peers_add_multicast(Peers *peers, uint32_t group) {
        bool in = grid_view_direction(peers->view) == POLICY_DIRECTION_IN;
        Prefix v4 = {
                .start = { .hi = UINT64_C(0xe0) << 56 },
                .bits = in ? 0 : MULTICAST4_BITS,
                .length = MULTICAST4_BITS,
        };
        Prefix v6 = {
                .start = { .hi = UINT64_C(0xff) << 56 },
                .bits = in ? 0 : MULTICAST6_BITS,
                .length = MULTICAST6_BITS,
        };

        if (in && peers->view != CGP_VIEW_IN_MULTICAST)
                return 0;
        return peers_add_both(peers, v4, v6, group);
}

/* What a named peer stands for; the lists that the set map is asked of have no prefixes. */
static int peers_add_named(Peers *peers, size_t kind) {
        static const unsigned internet_length = 0;
        const GridSource *source = peers->source;
        uint32_t group = peers_named_group(peers, kind);

        if (peers->groups[kind].n_entries == 0)
                return 0;

        switch (kind) {
        case PEERS_ANY:
                return peers_add_both(peers, (Prefix){}, (Prefix){}, group);
        case PEERS_LOCALHOST:
                return peers_add_both(peers,
                        (Prefix){ .start = { .hi = UINT64_C(127) << 56 }, .bits = 8, .length = 8 },
                        (Prefix){ .start = { .lo = 1 }, .bits = IPV6_BITS, .length = IPV6_BITS },
                        group);
        case PEERS_LINK_LOCAL:
                return peers_add_both(peers,
                        (Prefix){ .start = { .hi = UINT64_C(0xa9fe) << 48 },
                                .bits = 16,
                                .length = 16 },
                        (Prefix){ .start = { .hi = UINT64_C(0xfe80) << 48 },
                                .bits = 10,
                                .length = 10 },
                        group);
        case PEERS_MULTICAST:
                return peers_add_multicast(peers, group);
        case PEERS_BROADCAST:
                return peers_add_broadcast(peers, group);
        case PEERS_LAN:
                return peers_add_networks(
                        peers, source->host->lan, source->host->n_lan, NULL, group);
        case PEERS_INTERNET:
                return peers_add_networks(
                        peers, source->internet, source->n_internet, &internet_length, group);
        default:
                return source->sets
                        ? 0
                        : peers_add_list(peers, source->host->lists[kind - PEERS_LISTS], group);
        }
}

static int peers_join(Peers *peers, size_t kind, uint16_t entry) {
        PeerGroup *group = &peers->groups[kind];
        int r;

        if (group->n_entries > 0 && group->entries[group->n_entries - 1] == entry)
                return 0;
        r = compile_reserve(&group->entries, &group->n_allocated, group->n_entries + 1,
                sizeof(*group->entries));
        if (r < 0)
                return r;
        group->entries[group->n_entries++] = entry;
        return 0;
}

static int peers_add_peer(Peers *peers, const PolicyPeer *peer, uint16_t entry) {
        unsigned family = peer->family == AF_INET ? GRID_IPV4 : GRID_IPV6;
        GridKey address = address_to_key(peer->address, family), last;
        size_t list = 0;
        int r;

        switch (peer->type) {
        case POLICY_PEER_ANY:
                return peers_join(peers, PEERS_ANY, entry);
        case POLICY_PEER_PREFIX:
                assert(peer->prefix_len <= (family == GRID_IPV4 ? IPV4_BITS : IPV6_BITS));
                return peers_add(peers, family, address, peer->prefix_len, peer->prefix_len, entry);
        case POLICY_PEER_RANGE:
                last = address_to_key(peer->last, family);
                if (family == GRID_IPV4)
                        last = grid_key_end(last, IPV4_BITS);
                return peers_add_range(peers, family, (GridKey){}, 0, address, last, entry);
        case POLICY_PEER_LOCALHOST:
                return peers_join(peers, PEERS_LOCALHOST, entry);
        case POLICY_PEER_LINK_LOCAL:
                return peers_join(peers, PEERS_LINK_LOCAL, entry);
        case POLICY_PEER_MULTICAST:
                return peers_join(peers, PEERS_MULTICAST, entry);
        case POLICY_PEER_BROADCAST:
                return peers_join(peers, PEERS_BROADCAST, entry);
        case POLICY_PEER_LAN:
                return peers_join(peers, PEERS_LAN, entry);
        case POLICY_PEER_INTERNET:
                return peers_join(peers, PEERS_INTERNET, entry);
        case POLICY_PEER_LIST:
                r = grid_source_list(peers->source, peer->list, &list);
                return r < 0 ? r : peers_join(peers, PEERS_LISTS + list, entry);
        case _POLICY_PEER_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

static int prefix_compare(const void *a, const void *b) {
        const Prefix *x = a, *y = b;
        int r = grid_key_compare(x->start, y->start);

        if (r != 0)
                return r;
        if (x->bits != y->bits)
                return x->bits < y->bits ? -1 : 1;
        if (x->group != y->group)
                return x->group < y->group ? -1 : 1;
        return (x->length > y->length) - (x->length < y->length);
}

static void peers_sort(Peers *peers, unsigned family) {
        Prefix *prefixes = peers->prefixes[family];
        size_t n = 0;

        if (peers->n_prefixes[family] == 0)
                return;

        qsort(prefixes, peers->n_prefixes[family], sizeof(*prefixes), prefix_compare);
        for (size_t i = 1; i < peers->n_prefixes[family]; i++)
                if (prefix_compare(&prefixes[n], &prefixes[i]) != 0)
                        prefixes[++n] = prefixes[i];
        peers->n_prefixes[family] = n + 1;
}

void peers_done(Peers *peers) {
        for (size_t i = 0; i < peers->n_groups; i++)
                free(peers->groups[i].entries);
        free(peers->groups);
        free(peers->prefixes[0]);
        free(peers->prefixes[1]);
        *peers = (Peers){};
}

int peers_init(Peers *peers, const GridSource *source, unsigned view) {
        _cleanup_(peers_done) Peers p = { .source = source, .view = view };
        int r;

        p.groups = calloc(PEERS_LISTS + source->host->n_lists, sizeof(*p.groups));
        if (!p.groups)
                return -ENOMEM;
        p.n_groups = PEERS_LISTS + source->host->n_lists;

        for (size_t i = 0; i < source->stack->n_entries; i++) {
                const PolicyRule *rule = source->stack->entries[i].rule;

                if (!(rule->directions & grid_view_direction(view)))
                        continue;
                for (size_t k = 0; k < rule->n_peers; k++) {
                        r = peers_add_peer(&p, &rule->peers[k], i);
                        if (r < 0)
                                return r;
                }
        }
        for (size_t kind = 0; kind < p.n_groups; kind++) {
                r = peers_add_named(&p, kind);
                if (r < 0)
                        return r;
        }
        peers_sort(&p, GRID_IPV4);
        peers_sort(&p, GRID_IPV6);

        *peers = TAKE_GENERIC(p, Peers, (Peers){});
        return 0;
}

const uint16_t *peers_group(const Peers *peers, uint32_t group, size_t *ret_n_entries) {
        size_t n = peers->source->stack->n_entries;

        if (group < n) {
                *ret_n_entries = 1;
                return NULL;
        }
        *ret_n_entries = peers->groups[group - n].n_entries;
        return peers->groups[group - n].entries;
}
