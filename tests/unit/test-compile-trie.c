/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tries, walked as the kernel walks them. Whatever is built is compared with the steps that it is
 * made from, at their edges and at random, and each walk is counted.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/match.bpf.h"
#include "policy-test.h"
#include "policy/compile-trie.h"

#define A 10
#define D 20

#define BREAKS_MAX 65536U

static const unsigned key_widths[] = { 24, 32, 64 };

/* A step function that is painted prefix by prefix, later ones over earlier ones. */
typedef struct Steps {
        TrieBreak *breaks;
        size_t n;
        unsigned key_bits;
} Steps;

typedef struct Tables {
        uint8_t *bytes;
        size_t size;
        uint64_t paths;
} Tables;

static void steps_done(Steps *steps) {
        free(steps->breaks);
}

static void tables_done(Tables *tables) {
        free(tables->bytes);
}

static uint64_t next_random(uint64_t *state) {
        uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

static Steps steps_new(unsigned key_bits, uint16_t value) {
        Steps steps = {
                .breaks = calloc(BREAKS_MAX, sizeof(TrieBreak)),
                .n = 1,
                .key_bits = key_bits,
        };

        assert_non_null(steps.breaks);
        steps.breaks[0].value = value;
        return steps;
}

/* The break that the key belongs to. */
static size_t steps_find(const Steps *steps, uint64_t key) {
        size_t low = 0, high = steps->n;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (steps->breaks[middle].start <= key)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Makes the key the start of a break, and returns its index. */
static size_t steps_cut(Steps *steps, uint64_t key) {
        size_t i = steps_find(steps, key);

        if (steps->breaks[i].start == key)
                return i;
        assert_true(steps->n < BREAKS_MAX);
        memmove(steps->breaks + i + 2, steps->breaks + i + 1,
                (steps->n - i - 1) * sizeof(TrieBreak));
        steps->n++;
        steps->breaks[i + 1] = (TrieBreak){ .start = key, .value = steps->breaks[i].value };
        return i + 1;
}

static void steps_paint(Steps *steps, uint64_t first, uint64_t last, uint16_t value) {
        size_t from = steps_cut(steps, first), to;

        to = last == UINT64_MAX ? steps->n : steps_cut(steps, last + 1);
        for (size_t i = from; i < to; i++)
                steps->breaks[i].value = value;
}

static void steps_paint_prefix(Steps *steps, uint64_t start, unsigned len, uint16_t value) {
        uint64_t host = len == 0 ? UINT64_MAX : len == 64 ? 0 : UINT64_MAX >> len;

        steps_paint(steps, start & ~host, start | host, value);
}

/* Neighbours differ afterwards. */
static void steps_merge(Steps *steps) {
        size_t n = 1;

        for (size_t i = 1; i < steps->n; i++)
                if (steps->breaks[i].value != steps->breaks[n - 1].value)
                        steps->breaks[n++] = steps->breaks[i];
        steps->n = n;
}

static uint64_t ipv4(const char *text) {
        struct in_addr address;

        assert_int_equal(inet_pton(AF_INET, text, &address), 1);
        return (uint64_t)ntohl(address.s_addr) << 32;
}

static uint64_t service(unsigned protocol, unsigned port) {
        return (uint64_t)protocol << 56 | (uint64_t)port << 40;
}

static void paint_service(
        Steps *steps, unsigned protocol, unsigned first, unsigned last, uint16_t value) {
        steps_paint(steps, service(protocol, first), service(protocol, last) | (UINT64_MAX >> 24),
                value);
}

/* As the parts of an image stand. */
static Tables tables_new(const Tries *tries) {
        Tables tables = {
                .paths = tries->nodes.n_blobs * tries->nodes.blob_size,
                .size = tries->nodes.n_blobs * tries->nodes.blob_size +
                        tries->paths.n_blobs * tries->paths.blob_size,
        };

        tables.bytes = calloc(1, MAX(tables.size, CGP_MATCH_MIN_SIZE));
        assert_non_null(tables.bytes);
        if (tables.paths > 0)
                memcpy(tables.bytes, tries->nodes.blobs, tables.paths);
        if (tables.size > tables.paths)
                memcpy(tables.bytes + tables.paths, tries->paths.blobs, tables.size - tables.paths);
        return tables;
}

static uint64_t walk(const Tables *tables, uint64_t entry, uint64_t key) {
        return cgp_match_walk(
                tables->bytes, MAX(tables->size, CGP_MATCH_MIN_SIZE), tables->paths, entry, key);
}

/* Steps of the walk, without a bound of its own. */
static unsigned count_steps(const Tries *tries, uint16_t entry, uint64_t key) {
        unsigned n = 0;

        for (; !(entry & CGP_ENTRY_LEAF); n++) {
                assert_true(n < 100);
                if (entry & CGP_ENTRY_PATH) {
                        const struct cgp_path *path =
                                intern_get(&tries->paths, entry & CGP_INDEX_MASK);
                        bool hit = key - path->first <= path->span;

                        assert_true((entry & CGP_INDEX_MASK) < tries->paths.n_blobs);
                        assert_true(path->shift < 64);
                        assert_true(path->first <= UINT64_MAX - path->span);
                        key <<= hit ? path->shift : 0;
                        entry = hit ? path->hit : path->miss;
                } else {
                        assert_true(entry < tries->nodes.n_blobs);
                        entry = ((const uint16_t *)intern_get(&tries->nodes, entry))[key >> 56];
                        key <<= 8;
                }
        }
        return n;
}

static unsigned check_key(const Tries *tries, const Tables *tables, const Steps *steps,
        uint16_t entry, uint64_t key) {
        unsigned n = count_steps(tries, entry, key);

        assert_true(n <= CGP_WALK_MAX);
        assert_int_equal(walk(tables, entry, key), steps->breaks[steps_find(steps, key)].value);
        return n;
}

/* Compares all that there is to tell apart. Returns the steps of the longest walk. */
static unsigned check_trie(const Tries *tries, const Steps *steps, uint16_t entry) {
        uint64_t state = steps->n, unit = UINT64_C(1) << (64 - steps->key_bits);
        _cleanup_(tables_done) Tables tables = tables_new(tries);
        unsigned n = 0;

        for (size_t i = 0; i < steps->n; i++) {
                uint64_t start = steps->breaks[i].start;

                n = MAX(n, check_key(tries, &tables, steps, entry, start));
                n = MAX(n, check_key(tries, &tables, steps, entry, start - unit));
                n = MAX(n, check_key(tries, &tables, steps, entry, start + unit));
                /* Near an edge, but somewhere else below it. */
                n = MAX(n,
                        check_key(tries, &tables, steps, entry,
                                (start ^ next_random(&state) >> next_random(&state) % 64) & -unit));
        }
        for (size_t i = 0; i < 500; i++)
                n = MAX(n, check_key(tries, &tables, steps, entry, next_random(&state) & -unit));
        return n;
}

static uint16_t add(Tries *tries, Steps *steps) {
        uint16_t entry;

        steps_merge(steps);
        assert_int_equal(tries_add(tries, steps->breaks, steps->n, steps->key_bits, &entry), 0);
        return entry;
}

static size_t tries_size(const Tries *tries) {
        return tries->nodes.n_blobs * 512 + tries->paths.n_blobs * sizeof(struct cgp_path);
}

/* Adds it to tries of its own, checks it, and returns the size in bytes. */
static size_t check_alone(Steps *steps, unsigned *ret_steps) {
        _cleanup_(tries_done) Tries tries = TRIES_INIT;
        uint16_t entry = add(&tries, steps);
        unsigned n = check_trie(&tries, steps, entry);

        if (ret_steps)
                *ret_steps = n;
        return tries_size(&tries);
}

static void test_constant(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++) {
                _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], CGP_LEAF_MASK);
                _cleanup_(tries_done) Tries tries = TRIES_INIT;

                assert_int_equal(add(&tries, &steps), CGP_ENTRY_LEAF | CGP_LEAF_MASK);
                assert_int_equal(tries_size(&tries), 0);
        }
}

static void test_one_prefix(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++)
                for (unsigned len = 1; len <= key_widths[i]; len++)
                        for (unsigned k = 0; k < 4; k++) {
                                /* First, last, and two within. */
                                uint64_t starts[] = { 0, UINT64_MAX, 0xac10a5a55a5a1234ULL,
                                        0x7fffffffff000000ULL };
                                _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], D);
                                unsigned n;

                                steps_paint_prefix(&steps,
                                        starts[k] & ~(UINT64_MAX >> 1 >> (len - 1)), len, A);
                                assert_int_equal(check_alone(&steps, &n), sizeof(struct cgp_path));
                                assert_int_equal(n, 1);
                        }
}

static void test_one_edge(void **state) {
        uint64_t seed = 1;

        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++)
                for (unsigned k = 0; k < 300; k++) {
                        _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], D);
                        uint64_t edge = next_random(&seed) >> next_random(&seed) % 64;

                        edge &= UINT64_MAX << (64 - key_widths[i]);
                        steps_paint(&steps, edge, UINT64_MAX, A);
                        (void)check_alone(&steps, NULL);
                }
}

/* However it lies to prefixes, a range is a path. */
static void test_ranges(void **state) {
        uint64_t seed = 2;

        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++)
                for (unsigned k = 0; k < 300; k++) {
                        _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], D);
                        uint64_t keys = UINT64_MAX << (64 - key_widths[i]), unit = -keys, edges[4];
                        unsigned n;

                        for (size_t e = 0; e < 4; e++)
                                edges[e] = ((e + 1) << 61) + (next_random(&seed) >> 4 & keys);
                        steps_paint(&steps, edges[0], edges[1] - 1, A);
                        assert_int_equal(check_alone(&steps, &n), sizeof(struct cgp_path));
                        assert_int_equal(n, 1);

                        steps_paint(&steps, edges[2], edges[3] - 1, A + 1);
                        assert_int_equal(check_alone(&steps, &n), 2 * sizeof(struct cgp_path));
                        assert_int_equal(n, 2);

                        /* Seven values side by side. */
                        for (uint64_t e = 0; e < 6; e++)
                                steps_paint(&steps, edges[3] + e * unit, UINT64_MAX,
                                        (uint16_t)(100 + e));
                        assert_true(check_alone(&steps, &n) <= 10 * sizeof(struct cgp_path));
                        assert_true(n <= 5);
                }
}

typedef struct Shape {
        unsigned n_paints;
        unsigned n_values;
        unsigned n_centres; /* 0: anywhere */
        unsigned ranges;    /* of ten */
        unsigned len_min;
} Shape;

static void random_steps(Steps *steps, const Shape *shape, uint64_t *state) {
        uint64_t centres[8], keys = UINT64_MAX << (64 - steps->key_bits);

        for (size_t i = 0; i < ELEMENTSOF(centres); i++)
                centres[i] = i == 0 ? 0 : i == 1 ? UINT64_MAX : next_random(state);

        for (unsigned i = 0; i < shape->n_paints; i++) {
                uint16_t value = next_random(state) % shape->n_values;
                uint64_t start = next_random(state);
                unsigned len = shape->len_min +
                        next_random(state) % (steps->key_bits - shape->len_min + 1);

                if (shape->n_centres > 0) {
                        unsigned distance = next_random(state) % steps->key_bits;

                        start = centres[next_random(state) % shape->n_centres] ^ start >> distance;
                }
                start &= keys;
                if (next_random(state) % 10 < shape->ranges) {
                        uint64_t end = start + (next_random(state) >> len / 2 >> (len - len / 2));

                        steps_paint(steps, start, (end < start ? UINT64_MAX : end) | ~keys, value);
                } else {
                        steps_paint_prefix(steps, start, len, value);
                }
        }
}

static void check_shape(const Shape *shape, unsigned n_times) {
        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++) {
                uint64_t state = shape->n_paints * 100 + shape->n_values * 10 + shape->n_centres;

                for (unsigned k = 0; k < n_times; k++) {
                        _cleanup_(steps_done) Steps steps =
                                steps_new(key_widths[i], next_random(&state) % shape->n_values);

                        random_steps(&steps, shape, &state);
                        (void)check_alone(&steps, NULL);
                }
        }
}

static void test_random_small(void **state) {
        static const Shape shapes[] = {
                { .n_paints = 2, .n_values = 2 },
                { .n_paints = 3, .n_values = 2, .n_centres = 2 },
                { .n_paints = 6, .n_values = 3, .n_centres = 3, .ranges = 3 },
                { .n_paints = 10, .n_values = 2, .ranges = 10 },
                { .n_paints = 12, .n_values = 12, .n_centres = 1 },
                { .n_paints = 20, .n_values = 4, .n_centres = 8, .ranges = 2, .len_min = 8 },
                { .n_paints = 40, .n_values = 2, .n_centres = 4, .len_min = 16 },
                { .n_paints = 40, .n_values = 1000, .n_centres = 1, .ranges = 5 },
                { .n_paints = 100, .n_values = 2, .n_centres = 1, .len_min = 22 },
                { .n_paints = 200, .n_values = 5, .ranges = 1, .len_min = 12 },
        };

        for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
                check_shape(&shapes[i], shapes[i].n_paints < 30 ? 150 : 40);
}

static void test_random_large(void **state) {
        static const Shape shapes[] = {
                { .n_paints = 2000, .n_values = 3, .len_min = 18 },
                { .n_paints = 2000, .n_values = 300, .n_centres = 8, .len_min = 20 },
                { .n_paints = 1000, .n_values = 2, .n_centres = 1, .len_min = 24 },
                { .n_paints = 500, .n_values = 2, .n_centres = 2, .ranges = 10, .len_min = 20 },
        };

        for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
                check_shape(&shapes[i], 2);
}

/* Every key of its own: what no list can hold. */
static void test_dense(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++)
                for (unsigned n_values = 2; n_values <= 300; n_values += 298) {
                        _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], 0);
                        uint64_t unit = UINT64_C(1) << (64 - key_widths[i]);
                        uint64_t base = UINT64_C(0x0123456789abcdef) & -(unit << 12);

                        for (uint64_t k = 0; k < 3000; k++)
                                steps_paint(&steps, base + k * unit, base + (k + 1) * unit - 1,
                                        k % n_values);
                        (void)check_alone(&steps, NULL);
                }
}

/* Each within the one before, down to one key: as deep as a trie gets. */
static void test_nested(void **state) {
        uint64_t seed = 7;

        for (size_t i = 0; i < ELEMENTSOF(key_widths); i++)
                for (unsigned step = 1; step <= 3; step++)
                        for (unsigned n_values = 2; n_values <= 100; n_values += 49) {
                                _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], 0);
                                uint64_t centre = next_random(&seed);

                                for (unsigned len = 1; len <= key_widths[i]; len += step)
                                        steps_paint_prefix(&steps, centre, len, len % n_values);
                                (void)check_alone(&steps, NULL);
                        }
}

static void test_sizes_of_addresses(void **state) {
        static const char *const hosts[] = { "8.8.8.8", "10.1.2.3", "10.77.0.9", "45.11.2.200",
                "93.184.216.34", "104.16.0.7", "151.101.1.69", "185.199.108.153", "192.0.2.1",
                "203.0.113.5" };
        _cleanup_(steps_done) Steps one = steps_new(32, D), named = steps_new(32, D);
        _cleanup_(steps_done) Steps ten = steps_new(32, D), near = steps_new(32, D);
        unsigned n;

        steps_paint_prefix(&one, ipv4("192.0.2.1"), 32, A);
        assert_int_equal(check_alone(&one, NULL), 24);

        /* One hole in one network, beside three others. */
        steps_paint_prefix(&named, ipv4("10.0.0.0"), 8, A);
        steps_paint_prefix(&named, ipv4("10.9.8.7"), 32, D);
        steps_paint_prefix(&named, ipv4("127.0.0.0"), 8, A);
        steps_paint_prefix(&named, ipv4("172.16.0.0"), 12, A);
        steps_paint_prefix(&named, ipv4("192.168.0.0"), 16, A);
        assert_true(check_alone(&named, &n) <= 6 * 24);
        assert_true(n <= 5);

        for (size_t i = 0; i < ELEMENTSOF(hosts); i++)
                steps_paint_prefix(&ten, ipv4(hosts[i]), i % 2 ? 32 : 24, A + i % 3);
        assert_true(check_alone(&ten, &n) < 800);
        assert_true(n <= 3);

        /* 100 hosts of one network: one node, behind one path. */
        for (uint64_t i = 0; i < 100; i++)
                steps_paint_prefix(&near, ipv4("198.51.100.0") | (i * 2) << 32, 32, A);
        assert_int_equal(check_alone(&near, &n), 512 + 24);
        assert_int_equal(n, 2);
}

static void test_sizes_of_ipv6(void **state) {
        _cleanup_(steps_done) Steps high = steps_new(64, D), low = steps_new(64, D);
        _cleanup_(tries_done) Tries tries = TRIES_INIT;

        /* ::1 and fe80::/10, whose first words are 0 and 0xfe80... */
        steps_paint(&high, 0, 0, 1);
        steps_paint_prefix(&high, UINT64_C(0xfe80) << 48, 10, A);
        steps_paint(&low, 1, 1, A);
        check_trie(&tries, &high, add(&tries, &high));
        check_trie(&tries, &low, add(&tries, &low));
        assert_int_equal(tries.nodes.n_blobs, 0);
        assert_int_equal(tries.paths.n_blobs, 3);
}

static void test_sizes_of_services(void **state) {
        _cleanup_(steps_done) Steps web = steps_new(24, D), many = steps_new(24, D);
        _cleanup_(steps_done) Steps range = steps_new(24, D), ephemeral = steps_new(24, D);
        unsigned n;

        paint_service(&web, 6, 443, 443, A);
        paint_service(&web, 17, 53, 53, A);
        assert_int_equal(check_alone(&web, &n), 2 * 24);
        assert_int_equal(n, 2);

        paint_service(&many, 1, 0, 65535, A);
        paint_service(&many, 6, 53, 53, A);
        paint_service(&many, 6, 80, 80, A);
        paint_service(&many, 6, 443, 443, A);
        paint_service(&many, 17, 53, 53, A);
        paint_service(&many, 17, 123, 123, A);
        paint_service(&many, 17, 443, 443, A);
        paint_service(&many, 58, 0, 65535, A);
        assert_true(check_alone(&many, &n) <= 11 * 24);
        assert_true(n <= 6);

        paint_service(&range, 6, 1000, 1999, A);
        assert_true(check_alone(&range, NULL) <= 9 * 24);
        paint_service(&ephemeral, 6, 1024, 65535, A);
        assert_true(check_alone(&ephemeral, NULL) <= 2 * 24);
}

static void test_size_of_many(void **state) {
        _cleanup_(steps_done) Steps steps = steps_new(32, D);
        uint64_t seed = 3;
        unsigned n;

        for (size_t i = 0; i < 10000; i++)
                steps_paint_prefix(&steps, next_random(&seed) & UINT64_MAX << 32,
                        18 + next_random(&seed) % 15, A + i % 5);
        assert_true(check_alone(&steps, &n) <= 512 * 1024);
        assert_true(n <= 8);
}

static void test_sharing(void **state) {
        _cleanup_(steps_done) Steps one = steps_new(32, D), both = steps_new(32, D);
        _cleanup_(steps_done) Steps every = steps_new(24, D);
        _cleanup_(tries_done) Tries tries = TRIES_INIT;
        uint16_t entry;
        size_t size;

        for (uint64_t i = 0; i < 100; i++) {
                steps_paint_prefix(&one, ipv4("10.1.1.0") | (i * 2) << 32, 32, A);
                steps_paint_prefix(&both, ipv4("10.1.1.0") | (i * 2) << 32, 32, A);
                steps_paint_prefix(&both, ipv4("203.0.113.0") | (i * 2) << 32, 32, A);
        }
        entry = add(&tries, &one);
        size = tries_size(&tries);
        assert_int_equal(add(&tries, &one), entry);
        assert_int_equal(tries_size(&tries), size);
        check_trie(&tries, &both, add(&tries, &both));
        assert_int_equal(tries.nodes.n_blobs, 1);
        assert_true(tries.paths.n_blobs <= 3);
        check_trie(&tries, &one, entry);

        /* One port of every protocol: what is behind the first byte is the same for all. */
        for (unsigned i = 0; i < 256; i++)
                paint_service(&every, i, 53, 53, A);
        assert_int_equal(check_alone(&every, NULL), 2 * 24);
}

static void test_deterministic(void **state) {
        _cleanup_(tries_done) Tries a = TRIES_INIT, b = TRIES_INIT;

        for (unsigned k = 0; k < 2; k++)
                for (size_t i = 0; i < ELEMENTSOF(key_widths); i++) {
                        static const Shape shape = { .n_paints = 300, .n_values = 5, .len_min = 9 };
                        _cleanup_(steps_done) Steps steps = steps_new(key_widths[i], D);
                        uint64_t seed = 99;

                        random_steps(&steps, &shape, &seed);
                        (void)add(k == 0 ? &a : &b, &steps);
                }
        assert_int_equal(a.nodes.n_blobs, b.nodes.n_blobs);
        assert_int_equal(a.paths.n_blobs, b.paths.n_blobs);
        assert_memory_equal(a.nodes.blobs, b.nodes.blobs, a.nodes.n_blobs * 512);
        assert_memory_equal(
                a.paths.blobs, b.paths.blobs, a.paths.n_blobs * sizeof(struct cgp_path));
}

static void test_limit_of_paths(void **state) {
        _cleanup_(steps_done) Steps steps = steps_new(32, 0), small = steps_new(32, D);
        _cleanup_(tries_done) Tries tries = TRIES_INIT;
        uint16_t entry = 0xabcd, before;
        uint64_t seed = 5;

        steps_paint_prefix(&small, ipv4("192.0.2.1"), 32, A);
        before = add(&tries, &small);

        for (size_t i = 0; i < 20000; i++)
                steps_paint_prefix(&steps, next_random(&seed) & UINT64_MAX << 32, 32, 1 + i % 1000);
        steps_merge(&steps);
        assert_int_equal(tries_add(&tries, steps.breaks, steps.n, 32, &entry), -E2BIG);
        assert_int_equal(entry, 0xabcd);
        assert_int_equal(tries.paths.n_blobs, CGP_MAX_PATHS + 1);
        assert_true(tries.nodes.n_blobs <= CGP_MAX_NODES);
        check_trie(&tries, &small, before);
        /* What is there can still be found, and nothing can be added. */
        assert_int_equal(add(&tries, &small), before);
        steps_paint_prefix(&small, ipv4("192.0.2.77"), 32, A);
        steps_merge(&small);
        assert_int_equal(tries_add(&tries, small.breaks, small.n, 32, &entry), -E2BIG);
}

static void test_limit_of_nodes(void **state) {
        _cleanup_(tries_done) Tries tries = TRIES_INIT;
        TrieBreak breaks[256];
        uint16_t entry = 0xabcd;
        int r = 0;

        for (unsigned i = 0; r == 0; i++) {
                assert_true(i <= CGP_MAX_NODES);
                for (unsigned k = 0; k < ELEMENTSOF(breaks); k++)
                        breaks[k] = (TrieBreak){ (uint64_t)k << 56, k % 2 ? k : i };
                r = tries_add(&tries, breaks, ELEMENTSOF(breaks), 32, &entry);
                assert_true(r < 0 || entry == i);
        }
        assert_int_equal(r, -E2BIG);
        assert_int_equal(entry, CGP_MAX_NODES - 1);
        assert_int_equal(tries.nodes.n_blobs, CGP_MAX_NODES + 1);
        assert_int_equal(tries.paths.n_blobs, 0);
}

#if TEST_MEMORY_FAILS
static void attempt_add(bool *ret_memory_failed) {
        TrieBreak breaks[64];
        _cleanup_(tries_done) Tries tries = TRIES_INIT;
        uint16_t entry = 0xabcd;
        int r;

        for (uint64_t i = 0; i < ELEMENTSOF(breaks); i++)
                breaks[i] = (TrieBreak){ i * i << 50, i % 5 };
        r = tries_add(&tries, breaks, ELEMENTSOF(breaks), 64, &entry);
        *ret_memory_failed = r == -ENOMEM;
        if (r < 0) {
                assert_int_equal(r, -ENOMEM);
                assert_int_equal(entry, 0xabcd);
        }
        assert_int_equal(r < 0, test_memory_failed());
}

static void test_memory_runs_out(void **state) {
        test_each_allocation_fails(attempt_add);
}
#endif

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_constant),
                cmocka_unit_test(test_one_prefix),
                cmocka_unit_test(test_one_edge),
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_random_small),
                cmocka_unit_test(test_random_large),
                cmocka_unit_test(test_dense),
                cmocka_unit_test(test_nested),
                cmocka_unit_test(test_sizes_of_addresses),
                cmocka_unit_test(test_sizes_of_ipv6),
                cmocka_unit_test(test_sizes_of_services),
                cmocka_unit_test(test_size_of_many),
                cmocka_unit_test(test_sharing),
                cmocka_unit_test(test_deterministic),
                cmocka_unit_test(test_limit_of_paths),
                cmocka_unit_test(test_limit_of_nodes),
#if TEST_MEMORY_FAILS
                cmocka_unit_test(test_memory_runs_out),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
