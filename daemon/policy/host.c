/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the snapshot of the host: the numbering of interfaces, and what `internet` means. That is answered twice,
 * by a walk for one address and by cutting ranges for all of them, so that the evaluator and the compiler
 * do not share a mistake.
 */
#include "policy/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/list-private.h"
#include "util/hash.h"
#include "util/macro.h"
#include "util/strv.h"

typedef unsigned __int128 Address;

#define V4 0xffff00000000ULL /* ::ffff:0:0 */

/* What is public and what is not. Of the blocks that hold an address the longest decides; an address in none is
 * reserved. From IANA's registries: the special-purpose addresses of both families, "globally reachable" as they
 * have it, and of IPv6 what is given out as global unicast. Two choices where they say neither: 6to4,
 * its relays and Teredo count as public, because that is where such packets go; the first ORCHIDs do not. */
typedef struct Block {
        uint64_t hi;
        uint64_t lo;
        uint8_t bits;
        bool is_public;
} Block;

#define BLOCK4(a, b, c, d, length, public) \
        { 0, V4 | (uint64_t)(a) << 24 | (b) << 16 | (c) << 8 | (d), 96 + (length), public }

/* Shorter ones first. */
static const Block blocks[] = {
        { 0x2000000000000000, 0, 3, true },                          /* global unicast */
        { 0x5f00000000000000, 0, 16, false },                        /* segment identifiers */
        { 0x3fff000000000000, 0, 20, false },                        /* documentation */
        { 0x2001000000000000, 0, 23, false },                        /* protocol assignments */
        { 0x2001002000000000, 0, 28, true },                         /* ORCHIDv2 */
        { 0x2001003000000000, 0, 28, true },                         /* drone identifiers */
        { 0x2001000000000000, 0, 32, true },                         /* Teredo */
        { 0x2001000300000000, 0, 32, true },                         /* AMT */
        { 0x20010db800000000, 0, 32, false },                        /* documentation */
        { 0x2001000200000000, 0, 48, false },                        /* benchmarks */
        { 0x2001000401120000, 0, 48, true },                         /* AS112 */
        { 0x0064ff9b00000000, 0, 96, true },                         /* NAT64 */
        BLOCK4(0, 0, 0, 0, 0, true), BLOCK4(224, 0, 0, 0, 4, false), /* multicast */
        BLOCK4(240, 0, 0, 0, 4, false),                              /* class E */
        BLOCK4(0, 0, 0, 0, 8, false),                                /* this network */
        BLOCK4(10, 0, 0, 0, 8, false),                               /* private */
        BLOCK4(127, 0, 0, 0, 8, false),                              /* loopback */
        BLOCK4(100, 64, 0, 0, 10, false),                            /* carrier NAT */
        BLOCK4(172, 16, 0, 0, 12, false),                            /* private */
        BLOCK4(198, 18, 0, 0, 15, false),                            /* benchmarks */
        BLOCK4(169, 254, 0, 0, 16, false),                           /* link-local */
        BLOCK4(192, 168, 0, 0, 16, false),                           /* private */
        BLOCK4(192, 0, 0, 0, 24, false),                             /* protocol assignments */
        BLOCK4(192, 0, 2, 0, 24, false),                             /* documentation */
        BLOCK4(198, 51, 100, 0, 24, false), BLOCK4(203, 0, 113, 0, 24, false),
        BLOCK4(192, 0, 0, 9, 32, true),       /* port control, anycast */
        BLOCK4(192, 0, 0, 10, 32, true),      /* TURN, anycast */
        BLOCK4(192, 88, 99, 2, 32, false),    /* 6a44 relays */
        { 0x2001000100000000, 1, 128, true }, /* port control, anycast */
        { 0x2001000100000000, 2, 128, true }, /* TURN, anycast */
        { 0x2001000100000000, 3, 128, true }, /* service registration, anycast */
};

static void interfaces_free(PolicyInterface *interfaces, size_t n) {
        for (size_t i = 0; i < n; i++)
                strv_free(interfaces[i].names);
        free(interfaces);
}

void policy_host_done(PolicyHost *host) {
        assert(host);

        free(host->lan);
        free(host->broadcast);
        interfaces_free(host->interfaces, host->n_interfaces);
        for (size_t i = 0; i < host->n_lists; i++)
                policy_list_unref(host->lists[i]);
        free(host->lists);
        policy_set_unref(host->set);
        *host = (PolicyHost)POLICY_HOST_INIT;
}

const PolicyList *policy_host_list(const PolicyHost *host, const char *name) {
        size_t low = 0, high;

        assert(host);
        assert(name);

        high = host->n_lists;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(host->lists[middle]->name, name);

                if (order == 0)
                        return host->lists[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

static int names_compare(char *const *a, char *const *b) {
        for (;; a++, b++) {
                int order;

                if (!*a || !*b)
                        return (*a != NULL) - (*b != NULL);
                order = strcmp(*a, *b);
                if (order != 0)
                        return order;
        }
}

static int interface_compare(const void *a, const void *b) {
        const PolicyInterface *x = a, *y = b;

        return names_compare(x->names, y->names);
}

static uint32_t interfaces_version(const PolicyInterface *interfaces, size_t n) {
        uint64_t hash = 0;

        for (size_t i = 0; i < n; i++) {
                for (char **name = interfaces[i].names; *name; name++)
                        hash = hash64(*name, strlen(*name) + 1, hash);
                hash = hash64("", 1, hash); /* no name is empty */
        }
        hash ^= hash >> 32;
        return (uint32_t)hash != 0 ? (uint32_t)hash : 1;
}

int policy_host_set_interfaces(PolicyHost *host, char *const *const *sets, size_t n_sets) {
        static char *const no_names[] = { NULL };
        PolicyInterface *all, *grown;
        size_t n = 0;

        assert(host);
        assert(sets || n_sets == 0);

        all = calloc(1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i <= n_sets; i++) {
                char *const *names = i == 0 ? no_names : sets[i - 1];
                size_t at = 0;

                while (at < n && names_compare(all[at].names, names) != 0)
                        at++;
                if (at < n)
                        continue;
                if (n >= CGP_MAX_PLACES - CGP_PLACE_FIRST) {
                        interfaces_free(all, n);
                        return -E2BIG;
                }
                grown = reallocarray(all, n + 1, sizeof(*all));
                if (grown)
                        all = grown;
                if (!grown || strv_copy(names, &all[n].names) < 0) {
                        interfaces_free(all, n);
                        return -ENOMEM;
                }
                n++;
        }
        /* The empty one sorts first. */
        qsort(all, n, sizeof(*all), interface_compare);
        interfaces_free(host->interfaces, host->n_interfaces);
        host->interfaces = all;
        host->n_interfaces = n;
        host->interfaces_version = interfaces_version(all, n);
        return 0;
}

int policy_host_interface_id(const PolicyHost *host, char *const *names) {
        assert(host);
        assert(names);

        for (size_t i = 0; i < host->n_interfaces; i++)
                if (names_compare(host->interfaces[i].names, names) == 0)
                        return (int)i;
        return -ENOENT;
}

static void address_words(const uint8_t address[16], uint64_t *ret_hi, uint64_t *ret_lo) {
        uint64_t hi = 0, lo = 0;

        for (unsigned i = 0; i < 8; i++) {
                hi = hi << 8 | address[i];
                lo = lo << 8 | address[i + 8];
        }
        *ret_hi = hi;
        *ret_lo = lo;
}

/* A network of IPv6 holds no IPv4 address, though its bits may say so. */
static bool network_holds(const uint8_t network[16], unsigned bits, const uint8_t address[16]) {
        static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };

        if (bits < 96 && memcmp(address, v4, sizeof(v4)) == 0)
                return false;
        for (unsigned i = 0; i < bits; i++)
                if (((network[i / 8] ^ address[i / 8]) & (0x80U >> i % 8)) != 0)
                        return false;
        return true;
}

bool policy_host_is_internet(const PolicyHost *host, const uint8_t address[16]) {
        const Block *longest = NULL;
        uint64_t hi, lo;

        assert(host);

        for (size_t i = 0; i < host->n_lan; i++)
                if (network_holds(host->lan[i].address, host->lan[i].bits, address))
                        return false;

        address_words(address, &hi, &lo);
        for (const Block *b = blocks; b < blocks + ELEMENTSOF(blocks); b++) {
                bool holds = b->bits <= 64
                        ? (hi ^ b->hi) >> (64 - b->bits) == 0
                        : hi == b->hi && (b->bits == 64 || (lo ^ b->lo) >> (128 - b->bits) == 0);

                if (holds && (!longest || b->bits > longest->bits))
                        longest = b;
        }
        return longest && longest->is_public;
}

/* Disjoint ranges in ascending order, both ends included. */
typedef struct Ranges {
        struct {
                Address first;
                Address last;
        } * items;
        size_t n;
        size_t room;
} Ranges;

static void ranges_done(Ranges *r) {
        free(r->items);
}

static int ranges_insert(Ranges *r, size_t at, Address first, Address last) {
        if (r->n >= r->room) {
                size_t room = r->room > 0 ? r->room * 2 : 64;
                void *grown = reallocarray(r->items, room, sizeof(*r->items));

                if (!grown)
                        return -ENOMEM;
                r->items = grown;
                r->room = room;
        }
        memmove(&r->items[at + 1], &r->items[at], (r->n - at) * sizeof(*r->items));
        r->items[at].first = first;
        r->items[at].last = last;
        r->n++;
        return 0;
}

/* The first range that ends at or behind the address. */
static size_t ranges_find(const Ranges *r, Address address) {
        size_t low = 0, high = r->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (r->items[middle].last < address)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int ranges_subtract(Ranges *r, Address first, Address last) {
        size_t at = ranges_find(r, first), end;

        if (at < r->n && r->items[at].first < first) {
                Address behind = r->items[at].last;

                r->items[at].last = first - 1;
                at++;
                if (behind > last)
                        return ranges_insert(r, at, last + 1, behind);
        }
        for (end = at; end < r->n && r->items[end].last <= last;)
                end++;
        if (end > at)
                memmove(&r->items[at], &r->items[end], (r->n - end) * sizeof(*r->items));
        r->n -= end - at;
        if (at < r->n && r->items[at].first <= last)
                r->items[at].first = last + 1;
        return 0;
}

static Address network_last(Address first, unsigned bits) {
        return bits == 0 ? ~(Address)0 : first | (((Address)1 << (128 - bits)) - 1);
}

/* The same as network_holds(), for ranges. */
static int ranges_subtract_network(Ranges *r, const PolicyNetwork *network) {
        const Address v4 = V4, behind_v4 = v4 + ((Address)1 << 32);
        Address first, last;
        uint64_t hi, lo;
        int error;

        address_words(network->address, &hi, &lo);
        first = (Address)hi << 64 | lo;
        last = network_last(first, network->bits);
        if (network->bits >= 96 || first > v4 || last < v4)
                return ranges_subtract(r, first, last);
        if (first < v4) {
                error = ranges_subtract(r, first, v4 - 1);
                if (error < 0)
                        return error;
        }
        return ranges_subtract(r, behind_v4, last);
}

static int ranges_make(const PolicyHost *host, Ranges *ranges) {
        int r = 0;

        for (const Block *b = blocks; b < blocks + ELEMENTSOF(blocks) && r >= 0; b++) {
                Address first = (Address)b->hi << 64 | b->lo, last = network_last(first, b->bits);

                r = ranges_subtract(ranges, first, last);
                if (r >= 0 && b->is_public)
                        r = ranges_insert(ranges, ranges_find(ranges, first), first, last);
        }
        for (size_t i = 0; i < host->n_lan && r >= 0; i++)
                r = ranges_subtract_network(ranges, &host->lan[i]);
        return r;
}

/* Counts, and if there is where, writes the networks of which a range is made. */
static size_t range_networks(Address first, Address last, PolicyNetwork *networks) {
        for (size_t n = 0;; n++) {
                unsigned free_bits = policy_list_block_bits(first, last, 128);
                Address end = network_last(first, 128 - free_bits);

                if (networks) {
                        networks[n].bits = (uint8_t)(128 - free_bits);
                        for (unsigned i = 0; i < 16; i++)
                                networks[n].address[i] = (uint8_t)(first >> (120 - 8 * i));
                }
                if (end == last)
                        return n + 1;
                first = end + 1;
        }
}

int policy_host_internet(const PolicyHost *host, PolicyNetwork **ret, size_t *ret_n) {
        _cleanup_(ranges_done) Ranges ranges = {};
        _cleanup_free_ PolicyNetwork *networks = NULL;
        size_t n = 0;
        int r;

        assert(host);
        assert(ret);
        assert(ret_n);

        r = ranges_make(host, &ranges);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ranges.n; i++)
                n += range_networks(ranges.items[i].first, ranges.items[i].last, NULL);
        networks = calloc(MAX(n, (size_t)1), sizeof(*networks));
        if (!networks)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < ranges.n; i++)
                n += range_networks(ranges.items[i].first, ranges.items[i].last, &networks[n]);
        *ret = TAKE_PTR(networks);
        *ret_n = n;
        return 0;
}
