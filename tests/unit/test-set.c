/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set map against the plain walk over each list, at every address where something begins or ends. What runs
 * here is the look-up of the programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/set.h"
#include "util/macro.h"

#define LISTS_MAX 20
#define BROKEN    UINT32_MAX

typedef unsigned __int128 Address; /* IPv4 as ::ffff:a.b.c.d */

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint64_t random_word(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state * 0x2545f4914f6cdd1dULL;
}

static void lists_done(PolicyList *(*lists)[LISTS_MAX]) {
        for (size_t i = 0; i < LISTS_MAX; i++)
                policy_list_unref((*lists)[i]);
}

static Address v4(uint32_t a) {
        return (Address)0xffff00000000ULL | a;
}

static Address v6(uint64_t hi, uint64_t lo) {
        return (Address)hi << 64 | lo;
}

static void to_bytes(Address a, uint8_t ret[16]) {
        for (unsigned i = 0; i < 16; i++)
                ret[i] = (uint8_t)(a >> (120 - 8 * i));
}

static uint32_t look_up(const PolicySet *set, Address a) {
        uint8_t address[16];

        to_bytes(a, address);
        return policy_set_lookup(set, address);
}

/* How long the list's longest network is there, as the set has it. */
static int bits_of(const PolicySet *set, uint32_t combination, size_t list) {
        assert_true(combination < set->n_combinations);
        for (uint32_t i = set->first[combination]; i < set->first[combination + 1]; i++)
                if (set->members[i].list == list)
                        return set->members[i].bits;
        return -1;
}

static void check(const PolicySet *set, PolicyList *const *lists, size_t n_lists, Address a) {
        uint32_t combination = look_up(set, a);
        uint8_t address[16];
        size_t n_members = 0;

        to_bytes(a, address);
        for (size_t i = 0; i < n_lists; i++) {
                int bits = policy_list_match(lists[i], address);

                assert_int_equal(bits_of(set, combination, i), bits);
                n_members += bits >= 0;
        }
        assert_int_equal(set->first[combination + 1] - set->first[combination], n_members);
        assert_true(combination == 0 || n_members > 0);
}

static void check_edges(const PolicySet *set, PolicyList *const *lists, size_t n_lists) {
        for (size_t i = 0; i < n_lists; i++) {
                for (size_t k = 0; k < lists[i]->n_networks4; k++) {
                        const PolicyListNetwork4 *n = &lists[i]->networks4[k];
                        uint32_t last = n->address |
                                (n->bits == 0 ? UINT32_MAX
                                              : (uint32_t)((1ULL << (32 - n->bits)) - 1));

                        check(set, lists, n_lists, v4(n->address));
                        check(set, lists, n_lists, v4(n->address - 1));
                        check(set, lists, n_lists, v4(last));
                        check(set, lists, n_lists, v4(last + 1));
                }
                for (size_t k = 0; k < lists[i]->n_networks6; k++) {
                        const PolicyListNetwork6 *n = &lists[i]->networks6[k];
                        Address first = v6(n->hi, n->lo);
                        Address last = first |
                                (n->bits == 0 ? ~(Address)0 : ((Address)1 << (128 - n->bits)) - 1);

                        check(set, lists, n_lists, first);
                        check(set, lists, n_lists, first - 1);
                        check(set, lists, n_lists, last);
                        check(set, lists, n_lists, last + 1);
                }
        }
}

/* Memory that a test writes a list into. */
typedef struct Text {
        char *s;
        size_t n;
        size_t room;
} Text;

static void text_done(Text *t) {
        free(t->s);
}

static void text_add(Text *t, Address a, unsigned bits) {
        int n;

        if (t->n + 64 > t->room) {
                t->room = MAX(t->room * 2, (size_t)4096);
                t->s = realloc(t->s, t->room);
                assert_non_null(t->s);
        }
        n = snprintf(t->s + t->n, 64, "%x:%x:%x:%x:%x:%x:%x:%x/%u\n", (unsigned)(a >> 112),
                (unsigned)(a >> 96 & 0xffff), (unsigned)(a >> 80 & 0xffff),
                (unsigned)(a >> 64 & 0xffff), (unsigned)(a >> 48 & 0xffff),
                (unsigned)(a >> 32 & 0xffff), (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff),
                bits);
        assert_in_range(n, 1, 63);
        t->n += (size_t)n;
}

static PolicyList *text_to_list(const Text *t, const char *name) {
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse(name, "test", t->s, t->n, NULL, &list), 0);
        return list;
}

static PolicyList *list_of(const char *name, const char *text) {
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse(name, "test", text, strlen(text), NULL, &list), 0);
        return list;
}

static PolicySet *build(PolicyList *const *lists, size_t n_lists) {
        PolicySet *set = NULL;

        assert_int_equal(policy_set_build(lists, n_lists, NULL, &set), 0);
        assert_non_null(set);
        return set;
}

static Address cut(Address a, unsigned bits) {
        return bits == 0 ? 0 : a & ~(Address)0 << (128 - bits);
}

/* Networks that lie within, beside and upon each other: few addresses, changed in few bits. */
static void random_network(Text *t, const Address *bases, size_t n_bases) {
        Address a = bases[random_word() % n_bases];
        bool is_v4 = a >> 32 == 0xffff;
        unsigned low = is_v4 ? 96 : 0, bits;

        for (uint64_t i = random_word() % 3; i > 0; i--)
                a ^= (Address)1 << random_word() % (128 - low);
        if (!is_v4 && a >> 32 == 0xffff)
                return;
        bits = low + (unsigned)(random_word() % (129 - low));
        if (random_word() % 4 == 0)
                bits = is_v4 ? 128 : 64;
        text_add(t, cut(a, bits), bits);
}

static void test_random(void **state) {
        for (unsigned round = 0; round < 300; round++) {
                _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
                _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
                size_t n_lists = 1 + random_word() % 6, n_bases = 2 + random_word() % 5;
                Address bases[8];

                for (size_t i = 0; i < n_bases; i++) {
                        Address a = v6(random_word(), random_word());

                        if (i % 3 == 0)
                                a = v4((uint32_t)random_word());
                        else if (random_word() % 2 == 0)
                                a = (a >> 3) | (Address)1 << 125; /* what the index has */
                        bases[i] = a;
                }
                for (size_t i = 0; i < n_lists; i++) {
                        _cleanup_(text_done) Text text = {};

                        for (uint64_t k = random_word() % 60; k > 0; k--)
                                random_network(&text, bases, n_bases);
                        lists[i] = text_to_list(&text, (char[]){ 'a' + (char)i, '\0' });
                }
                set = build(lists, n_lists);
                check_edges(set, lists, n_lists);
                for (unsigned i = 0; i < 200; i++) {
                        check(set, lists, n_lists, v4((uint32_t)random_word()));
                        check(set, lists, n_lists, v6(random_word(), random_word()));
                        check(set, lists, n_lists,
                                bases[random_word() % n_bases] ^ (Address)1 << random_word() % 128);
                }
        }
}

static void test_extremes(void **state) {
        static const char *const texts[] = {
                "",
                "0.0.0.0/0\n",
                "::/0\n",
                "0.0.0.0/0\n::/0\n",
                "0.0.0.0\n255.255.255.255\n::\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n",
                "0.0.0.0/1\n128.0.0.0/1\n::/1\n8000::/1\n",
                "2000::/3\n",
                "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n2000::\n4000::\n",
                "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n",
                "3fff:ffff:ffff:ffff::/64\n",
                "4000::/2\n0.255.255.255\n1.0.0.0/16\n",
                "::/2\n::ffff:0:1.2.3.4\n",
                "2001:db8::1\n2001:db8:0:1::/64\n2001:db8:0:1:8000::/65\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
                        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;

                        lists[0] = list_of("a", texts[i]);
                        lists[1] = list_of("b", texts[k]);
                        set = build(lists, 2);
                        check_edges(set, lists, 2);
                        check(set, lists, 2, 0);
                        check(set, lists, 2, ~(Address)0);
                        check(set, lists, 2, v4(0));
                        check(set, lists, 2, v4(UINT32_MAX));
                        check(set, lists, 2, v4(0) - 1);
                        check(set, lists, 2, v4(UINT32_MAX) + 1);
                        for (unsigned bit = 0; bit < 128; bit++) {
                                check(set, lists, 2, (Address)1 << bit);
                                check(set, lists, 2, ((Address)1 << bit) - 1);
                        }
                }
}

static void test_no_lists(void **state) {
        _cleanup_(policy_set_unrefp) PolicySet *set = build(NULL, 0);

        assert_int_equal(look_up(set, 0), 0);
        assert_int_equal(look_up(set, v4(7)), 0);
        assert_int_equal(set->n_combinations, 1);
        assert_null(set->names[0]);
}

/* Every other of n networks of so many bits, from base on: as many steps as there can be in one place. */
static void check_alternating(Address base, unsigned bits, uint64_t n) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
        _cleanup_(text_done) Text text = {};
        const Address size = (Address)1 << (128 - bits);

        for (uint64_t i = 0; i < n; i += 2)
                text_add(&text, base + i * size, bits);
        lists[0] = text_to_list(&text, "a");
        set = build(lists, 1);
        assert_int_equal(set->n_combinations, 2);
        assert_int_equal(look_up(set, base - 1), 0);
        for (uint64_t i = 0; i < n; i++) {
                assert_int_equal(look_up(set, base + i * size), (i + 1) % 2);
                assert_int_equal(look_up(set, base + i * size + (size - 1)), (i + 1) % 2);
        }
        assert_int_equal(look_up(set, base + (n | 1) * size), 0);
}

static void test_crowded(void **state) {
        static const uint64_t counts[] = { 1, 2, 255, 256, 257, 339, 340, 341, 342, 343, 510, 511,
                512, 513, 514, 681, 682, 683, 684, 1024, 5000 };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                check_alternating(v4(0x0a010000), 128, counts[i]);
                check_alternating(v4(0x0a01ff80), 128, counts[i]);
                check_alternating(v4(0x0a010001), 128, counts[i]);
                check_alternating(v6(0x20010db800000000, 0), 64, counts[i]);
                check_alternating(v6(0xfc00000000000000, 0), 64, counts[i]);
                check_alternating(v6(0x20010db800000000, 0), 128, counts[i]);
                check_alternating(v6(0x20010db800000000, UINT64_MAX - 99), 128, counts[i]);
                check_alternating(v6(0x20010db800000000, 1), 128, counts[i]);
                check_alternating(v6(0x2001200000000000, 0), 20, MIN(counts[i], (uint64_t)100));
        }
        /* A whole bucket; trees of three levels. */
        check_alternating(v4(0x0a010000), 128, 65536);
        check_alternating(v6(0x20010db800000000, 0), 64, 300000);
        check_alternating(v6(0xfc00000000000000, 0), 64, 300000);
        check_alternating(v6(0x20010db800000000, 0), 128, 300000);
        check_alternating(v4(0x0a010000), 124, 300000);
}

/* Many /64 with something inside each. */
static void test_hosts(void **state) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
        _cleanup_(text_done) Text text = {};
        const uint64_t hi = 0x20010db800000000;

        for (uint64_t i = 0; i < 50000; i++)
                text_add(&text, v6(hi + i + i / 3, i * 0x123456789abcdULL), 128);
        lists[0] = text_to_list(&text, "a");
        set = build(lists, 1);
        for (uint64_t i = 0; i < 50000; i++) {
                Address a = v6(hi + i + i / 3, i * 0x123456789abcdULL);

                assert_int_equal(look_up(set, a), 1);
                assert_int_equal(look_up(set, a - 1), 0);
                assert_int_equal(look_up(set, a + 1), 0);
        }
}

static void test_deterministic(void **state) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(lists_done) PolicyList *others[LISTS_MAX] = {};
        _cleanup_(policy_set_unrefp) PolicySet *a = NULL, *b = NULL, *renamed = NULL;
        _cleanup_(policy_set_unrefp) PolicySet *wide = NULL, *halves = NULL;
        struct cgp_set_header header;

        lists[0] = list_of("a", "10.0.0.0/8\n10.1.0.0/16\n2001:db8::/32\n");
        lists[1] = list_of("b", "10.0.0.0/9\n::/0\n2001:db8::1\n");
        a = build(lists, 2);
        b = build(lists, 2);
        assert_int_equal(a->n_pages, b->n_pages);
        assert_memory_equal(a->pages, b->pages, a->n_pages * CGP_SET_PAGE_SIZE);
        assert_int_equal(a->hash, b->hash);
        assert_string_equal(a->names[0], "a");
        assert_string_equal(a->names[1], "b");
        assert_null(a->names[2]);
        memcpy(&header, a->pages, sizeof(header));
        assert_int_equal(header.abi_version, CGP_ABI_VERSION);
        assert_int_equal(header.hash, a->hash);
        assert_int_equal(header.n_pages, a->n_pages);
        assert_int_equal(header.n_combinations, a->n_combinations);

        others[0] = list_of("a", "10.0.0.0/8\n10.1.0.0/16\n2001:db8::/32\n");
        others[1] = list_of("c", "10.0.0.0/9\n::/0\n2001:db8::1\n");
        renamed = build(others, 2);
        assert_int_not_equal(renamed->hash, a->hash);

        /* Equal pages that mean something else. */
        others[2] = list_of("x", "10.0.0.0/8\n");
        others[3] = list_of("x", "10.0.0.0/9\n10.128.0.0/9\n");
        wide = build(&others[2], 1);
        halves = build(&others[3], 1);
        assert_int_equal(wide->n_pages, halves->n_pages);
        assert_memory_equal(wide->pages + sizeof(header), halves->pages + sizeof(header),
                wide->n_pages * CGP_SET_PAGE_SIZE - sizeof(header));
        assert_int_not_equal(wide->hash, halves->hash);
}

static void test_combinations_limit(void **state) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(policy_set_unrefp) PolicySet *most = NULL;
        const char *limit = NULL;
        PolicySet *set = NULL;

        /* List i holds the addresses with bit i set, so that each address is another combination. */
        for (unsigned i = 0; i < 17; i++) {
                _cleanup_(text_done) Text text = {};

                for (uint32_t a = 1U << i; a < 1U << 17; a += 2U << i)
                        text_add(&text, v4(a), 128 - i);
                lists[i] = text_to_list(&text, "x");
        }
        assert_int_equal(policy_set_build(lists, 17, &limit, &set), -E2BIG);
        assert_null(set);
        assert_string_equal(limit, "combinations");
        assert_int_equal(policy_set_build(lists, 16, NULL, &set), -E2BIG);

        most = build(lists, 15);
        assert_int_equal(most->n_combinations, 32768);
        for (uint32_t a = 0; a < 1U << 15; a++) {
                uint32_t combination = look_up(most, v4(a));

                for (unsigned i = 0; i < 15; i++)
                        assert_int_equal(
                                bits_of(most, combination, i), a >> i & 1 ? 32 - (int)i : -1);
        }
}

static void test_size_limit(void **state) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(text_done) Text text = {};
        const char *limit = NULL;
        PolicySet *set = NULL;

        for (uint64_t i = 0; i < 1300000; i++)
                text_add(&text, v6(0x2001000000000000 + 2 * i, 5), 128);
        lists[0] = text_to_list(&text, "x");
        assert_int_equal(policy_set_build(lists, 1, &limit, &set), -E2BIG);
        assert_null(set);
        assert_string_equal(limit, "set size");
}

/* Whatever stands in the pages, a look-up ends and answers with a combination or with BROKEN. The sanitizers and
 * valgrind see what it reads. */
static void test_damage(void **state) {
        _cleanup_(lists_done) PolicyList *lists[LISTS_MAX] = {};
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
        _cleanup_(text_done) Text text = {};
        _cleanup_free_ uint8_t *good = NULL;
        Address probes[64];
        unsigned n_broken = 0;
        size_t size;

        for (unsigned i = 0; i < 3000; i++) {
                text_add(&text, v4(0x0a010000 + 2 * i), 128);
                text_add(&text, v4((uint32_t)random_word() & 0xffffff00), 120);
                text_add(&text, v6(0x20010db800000000 + 3 * i, i), 128);
                text_add(&text, v6(0x20010db800000000, 2 * i), 128);
                text_add(&text, v6(0xfc00000000000000 + 2 * i, 0), 64);
        }
        lists[0] = text_to_list(&text, "a");
        set = build(lists, 1);
        size = set->n_pages * CGP_SET_PAGE_SIZE;
        good = malloc(size);
        assert_non_null(good);
        memcpy(good, set->pages, size);
        for (size_t i = 0; i < ELEMENTSOF(probes); i++) {
                static const uint64_t starts[] = { 0x20010db800000000, 0xfc00000000000000 };

                probes[i] = i % 2 == 0 ? v4(0x0a010000 + (uint32_t)random_word() % 6000)
                                       : v6(starts[i / 2 % 2] + random_word() % 9000, i * 90);
        }

        for (unsigned round = 0; round < 3000; round++) {
                for (uint64_t i = 1 + random_word() % 40; i > 0; i--) {
                        size_t at = random_word() % size;

                        if (i % 4 == 0)
                                memset(set->pages + at / 64 * 64, (int)random_word(), 64);
                        else if (i % 4 == 1)
                                set->pages[16 + random_word() % 48] = (uint8_t)random_word();
                        else
                                set->pages[at] = (uint8_t)random_word();
                }
                if (round % 8 == 0)
                        for (size_t i = sizeof(struct cgp_set_header); i < size; i++)
                                set->pages[i] = (uint8_t)random_word();
                for (size_t i = 0; i < ELEMENTSOF(probes); i++) {
                        struct cgp_set_header header;
                        uint32_t combination = look_up(set, probes[i]);

                        memcpy(&header, set->pages, sizeof(header));
                        n_broken += combination == BROKEN;
                        assert_true(combination == BROKEN || combination < header.n_combinations);
                }
                if (round % 16 == 15)
                        memcpy(set->pages, good, size);
        }
        assert_true(n_broken > 0);

        memcpy(set->pages, good, size);
        assert_int_equal(bits_of(set, look_up(set, v4(0x0a010000)), 0), 32);
        set->pages[offsetof(struct cgp_set_header, hash)] ^= 1;
        assert_int_equal(look_up(set, v4(0x0a010000)), BROKEN);
        policy_set_drop_pages(set);
        assert_int_equal(look_up(set, v4(0x0a010000)), BROKEN);
}

static void test_references(void **state) {
        PolicySet *set = build(NULL, 0);

        assert_ptr_equal(policy_set_ref(set), set);
        assert_null(policy_set_unref(set));
        assert_int_equal(set->n_ref, 1);
        assert_null(policy_set_unref(set));
        assert_null(policy_set_unref(NULL));
        assert_null(policy_set_ref(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_extremes),
                cmocka_unit_test(test_no_lists),
                cmocka_unit_test(test_crowded),
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_deterministic),
                cmocka_unit_test(test_combinations_limit),
                cmocka_unit_test(test_size_limit),
                cmocka_unit_test(test_damage),
                cmocka_unit_test(test_references),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
