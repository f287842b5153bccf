/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of named lists: what they hold, what is refused and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/set.h"
#include "util/macro.h"

#define PATH "/lists/bad.txt"

static uint64_t random_state = 0x2545f4914f6cdd1dULL;

static uint64_t random_word(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

static PolicyList *parse(const char *text) {
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse("l", PATH, text, strlen(text), NULL, &list), 0);
        assert_non_null(list);
        return list;
}

static void assert_network4(const PolicyList *list, size_t i, uint32_t address, unsigned bits) {
        assert_true(i < list->n_networks4);
        assert_int_equal(list->networks4[i].address, address);
        assert_int_equal(list->networks4[i].bits, bits);
}

static void assert_network6(
        const PolicyList *list, size_t i, uint64_t hi, uint64_t lo, unsigned bits) {
        assert_true(i < list->n_networks6);
        assert_int_equal(list->networks6[i].hi, hi);
        assert_int_equal(list->networks6[i].lo, lo);
        assert_int_equal(list->networks6[i].bits, bits);
}

static void test_forms(void **state) {
        _cleanup_(policy_list_unrefp) PolicyList *list = parse("# comment \xff\n"
                                                               "\n"
                                                               " \t \r\n"
                                                               "192.0.2.7\r\n"
                                                               "\t10.0.0.0/8 ; SBL1\n"
                                                               "2001:db8::/32 # x\n"
                                                               "10.0.0.0/9\n"
                                                               ";\n"
                                                               "::ffff:198.51.100.0/120\n"
                                                               "::FFFF:198.51.101.1\n"
                                                               "2001:DB8::1\n"
                                                               "10.0.0.0/8\n"
                                                               "0.0.0.0/0\n"
                                                               "::/0\n"
                                                               "2001:db8::/32");

        assert_string_equal(list->name, "l");
        assert_int_equal(list->n_networks4, 6);
        assert_network4(list, 0, 0, 0);
        assert_network4(list, 1, 0x0a000000, 8);
        assert_network4(list, 2, 0x0a000000, 9);
        assert_network4(list, 3, 0xc0000207, 32);
        assert_network4(list, 4, 0xc6336400, 24);
        assert_network4(list, 5, 0xc6336501, 32);
        assert_int_equal(list->n_networks6, 3);
        assert_network6(list, 0, 0, 0, 0);
        assert_network6(list, 1, 0x20010db800000000, 0, 32);
        assert_network6(list, 2, 0x20010db800000000, 1, 128);
}

static void test_empty(void **state) {
        _cleanup_(policy_list_unrefp) PolicyList *list = parse("");
        _cleanup_(policy_list_unrefp) PolicyList *null = NULL;
        uint8_t address[16] = { [15] = 1 };

        assert_int_equal(policy_list_parse("l", PATH, NULL, 0, NULL, &null), 0);
        assert_int_equal(list->n_networks4 + list->n_networks6, 0);
        assert_int_equal(list->hash, null->hash);
        assert_int_equal(policy_list_match(list, address), -1);
}

static void test_ranges(void **state) {
        _cleanup_(policy_list_unrefp) PolicyList *list = parse("10.0.0.1-10.0.0.6\n"
                                                               "192.0.2.0-192.0.2.255\n"
                                                               "198.51.100.1-198.51.100.1\n"
                                                               "::ffff:203.0.113.0-203.0.113.1\n"
                                                               "2001:db8::1-2001:db8::2\n");
        _cleanup_(policy_list_unrefp) PolicyList *all =
                parse("0.0.0.0-255.255.255.255\n"
                      "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n");

        assert_int_equal(list->n_networks4, 7);
        assert_network4(list, 0, 0x0a000001, 32);
        assert_network4(list, 1, 0x0a000002, 31);
        assert_network4(list, 2, 0x0a000004, 31);
        assert_network4(list, 3, 0x0a000006, 32);
        assert_network4(list, 4, 0xc0000200, 24);
        assert_network4(list, 5, 0xc6336401, 32);
        assert_network4(list, 6, 0xcb007100, 31);
        assert_int_equal(list->n_networks6, 2);
        assert_int_equal(all->n_networks4, 1);
        assert_network4(all, 0, 0, 0);
        assert_int_equal(all->n_networks6, 1);
        assert_network6(all, 0, 0, 0, 0);
}

/* A random range is covered without a gap, in as few networks as there can be. */
static void test_random_ranges(void **state) {
        for (unsigned i = 0; i < 2000; i++) {
                _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
                unsigned shift = (unsigned)(random_word() % 33);
                uint32_t a = (uint32_t)random_word();
                uint32_t b = a + (uint32_t)((random_word() & UINT32_MAX) >> shift);
                uint64_t at;
                char text[64];

                if (b < a)
                        b = UINT32_MAX;
                (void)snprintf(text, sizeof(text), "%u.%u.%u.%u-%u.%u.%u.%u", a >> 24,
                        a >> 16 & 255, a >> 8 & 255, a & 255, b >> 24, b >> 16 & 255, b >> 8 & 255,
                        b & 255);
                list = parse(text);
                at = a;
                for (size_t k = 0; k < list->n_networks4; k++) {
                        const PolicyListNetwork4 *n = &list->networks4[k];

                        assert_int_equal(n->address, at);
                        at += 1ULL << (32 - n->bits);
                        /* Two halves of one network would have been one. */
                        if (k > 0 && n[-1].bits == n->bits)
                                assert_int_equal(n[-1].address >> (32 - n->bits) & 1, 1);
                }
                assert_int_equal(at, (uint64_t)b + 1);
        }
}

/* Our own reading of addresses against the C library's. */
static void test_addresses(void **state) {
        static const char *const seeds[] = { "192.0.2.1", "255.255.255.255", "0.0.0.0", "::", "::1",
                "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4",
                "::ffff:1.2.3.4", "1:2:3::5:6:7:8", "1::2:3:4:5:6:7", "fe80::abcd:EF01" };
        static const char letters[] = "0123456789abcdefABCDEF::::....gx ";
        unsigned n_good = 0;

        for (unsigned i = 0; i < 300000; i++) {
                _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
                uint8_t four[4], six[16], expected[16] = { [10] = 0xff, [11] = 0xff };
                char text[64];
                bool good;
                int r;

                strcpy(text, seeds[random_word() % ELEMENTSOF(seeds)]);
                for (uint64_t k = random_word() % 4; k > 0; k--) {
                        size_t n = strlen(text), at = random_word() % (n + 1);
                        char c = letters[random_word() % (sizeof(letters) - 1)];

                        if (random_word() % 3 == 0 && at < n) {
                                memmove(text + at, text + at + 1, n - at);
                        } else if (random_word() % 2 == 0 && at < n) {
                                text[at] = c;
                        } else {
                                memmove(text + at + 1, text + at, n - at + 1);
                                text[at] = c;
                        }
                }
                if (text[0] == '\0' || text[0] == ' ' || text[strlen(text) - 1] == ' ')
                        continue;
                good = true;
                if (inet_pton(AF_INET, text, four) == 1)
                        memcpy(expected + 12, four, 4);
                else if (inet_pton(AF_INET6, text, six) == 1)
                        memcpy(expected, six, 16);
                else
                        good = false;
                r = policy_list_parse("l", PATH, text, strlen(text), NULL, &list);
                assert_int_equal(r, good ? 0 : -EINVAL);
                if (!good)
                        continue;
                n_good++;
                assert_int_equal(list->n_networks4 + list->n_networks6, 1);
                assert_int_equal(
                        policy_list_match(list, expected), list->n_networks4 > 0 ? 32 : 128);
        }
        assert_true(n_good > 50000);
}

/* Whatever the order of the lines, all networks are there, ascending and once. */
static void test_large(void **state) {
        enum { N = 150000 };
        _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
        _cleanup_free_ char *text = NULL;
        const uint64_t first_state = random_state;
        uint8_t address[16] = {};
        size_t used = 0;

        text = malloc(2UL * N * 40);
        assert_non_null(text);
        for (unsigned i = 0; i < N; i++) {
                uint64_t x = random_word() % 50000, y = random_word() % 3;

                used += (size_t)sprintf(text + used, "%x:%x::%x\n", (unsigned)(y * 0x5555 + 1),
                        (unsigned)x, (unsigned)y);
                used += (size_t)sprintf(text + used, "%u.%u.%u.0/24\n", (unsigned)(x >> 8 & 255),
                        (unsigned)(x & 255), (unsigned)y);
        }
        assert_int_equal(policy_list_parse("l", PATH, text, used, NULL, &list), 0);
        for (size_t i = 1; i < list->n_networks4; i++)
                assert_true(list->networks4[i - 1].address < list->networks4[i].address);
        for (size_t i = 1; i < list->n_networks6; i++)
                assert_true(list->networks6[i - 1].hi < list->networks6[i].hi);
        assert_in_range(list->n_networks6, 50000, N - 1);
        assert_int_equal(list->n_networks4, list->n_networks6);

        random_state = first_state;
        for (unsigned i = 0; i < 300; i++) {
                uint64_t x = random_word() % 50000, y = random_word() % 3, group = y * 0x5555 + 1;

                address[0] = (uint8_t)(group >> 8);
                address[1] = (uint8_t)group;
                address[2] = (uint8_t)(x >> 8);
                address[3] = (uint8_t)x;
                address[15] = (uint8_t)y;
                assert_int_equal(policy_list_match(list, address), 128);
        }
}

static void assert_refused(const char *text, size_t size, int error, unsigned line) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse("l", PATH, text, size, &diags, &list), error);
        assert_null(list);
        assert_int_equal(diags.n_errors, 1);
        assert_int_equal(diags.diags[0].severity, POLICY_ERROR);
        assert_string_equal(diags.diags[0].path, PATH);
        assert_int_equal(diags.diags[0].line, line);
        /* Every line that is refused here has a word of it in it. */
        assert_null(strstr(diags.diags[0].message, "77"));
        assert_null(strstr(diags.diags[0].message, "secret"));
}

static void test_refused(void **state) {
        static const char *const lines[] = {
                "secret",
                "77",
                "10.0.0.77/",
                "10.0.0.77/33",
                "10.0.0.77/032",
                "10.0.0.77/+8",
                "10.0.0.77/8",
                "10.0.77.0/8",
                "10.0.0.77/-1",
                "10.0.0.077",
                "10.0.0.256",
                "10.0.77",
                "10.0.0.77.1",
                "10.0.0.77 10.0.0.78",
                "10.0.0.77,10.0.0.78",
                "10.0.0.77\r10.0.0.78",
                "10.0.0.77\x0b",
                "10.0.0.77/32/32",
                "10.0.0.77-",
                "-10.0.0.77",
                "10.0.0.77-10.0.0.76",
                "10.0.0.77-10.0.0.78-10.0.0.79",
                "10.0.0.77 - 10.0.0.78",
                "10.0.0.77/32-10.0.0.78",
                "10.0.0.77-::1",
                "::77-10.0.0.1",
                "2001:db8::77/64",
                "2001:db8::77/129",
                "2001:db8::77-2001:db8::76",
                "::ffff:10.0.0.77/95",
                "::ffff:10.0.0.77/0",
                "::ffff:10.0.0.77/33",
                "fe80::77%eth0",
                "[2001:db8::77]",
                "2001:db8:77",
                "1:2:3:4:5:6:7:8:77",
                "1:2:3:4::5:6:7:77",
                "1::2::77",
                "host77.example.org",
                "http://10.0.0.77/",
                "10.0.0.77\xc2\xa0",
                "\xef\xbb\xbf"
                "10.0.0.77",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                char text[256];
                size_t n;

                n = (size_t)snprintf(text, sizeof(text), "192.0.2.1\n\n%s\n10.0.0.300\n", lines[i]);
                assert_refused(text, n, -EINVAL, 3);
                n = (size_t)snprintf(text, sizeof(text), "192.0.2.1\r\n#\r\n%s", lines[i]);
                assert_refused(text, n, -EINVAL, 3);
        }
}

static void test_zero_bytes(void **state) {
        static const char inside[] = "10.0.0.1\n10.0.0.2\0\n";
        static const char comment[] = "# secret\0\n";

        assert_refused(inside, sizeof(inside) - 1, -EINVAL, 2);
        assert_refused(comment, sizeof(comment) - 1, -EINVAL, 1);
}

static void test_long_lines(void **state) {
        _cleanup_free_ char *text = NULL;
        const size_t n = 1000000;
        PolicyList *list = NULL;

        for (size_t size = 60; size < 70; size++) {
                char line[80];

                memset(line, ' ', sizeof(line));
                memcpy(line + size - 9, "10.0.0.77", 9);
                assert_int_equal(policy_list_parse("l", PATH, line, size, NULL, &list), 0);
                assert_int_equal(list->n_networks4, 1);
                list = policy_list_unref(list);
        }

        text = malloc(n);
        assert_non_null(text);
        memset(text, '1', n);
        assert_refused(text, n, -EINVAL, 1);
        memset(text, ':', n);
        assert_refused(text, n, -EINVAL, 1);
        text[0] = '#';
        assert_int_equal(policy_list_parse("l", PATH, text, n, NULL, &list), 0);
        policy_list_unref(list);
}

static void assert_limit(const char *text, size_t size, unsigned line, const char *limit) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse("l", PATH, text, size, &diags, &list), -E2BIG);
        assert_null(list);
        assert_int_equal(diags.n_errors, 1);
        assert_int_equal(diags.diags[0].line, line);
        assert_non_null(strstr(diags.diags[0].message, limit));
}

static void test_limits(void **state) {
        static const char range[] =
                "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n"; /* 254 networks */
        const size_t n = 10000000, n_ranges = 10000;
        _cleanup_free_ char *text = NULL;
        PolicyList *list = NULL;

        text = malloc(n * 9);
        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                memcpy(text + i * 9, "10.0.0.1\n", 9);
        assert_limit(text, n * 9, POLICY_LIST_NETWORKS_MAX + 1, "2000000");
        assert_int_equal(
                policy_list_parse("l", PATH, text, POLICY_LIST_NETWORKS_MAX * 9, NULL, &list), 0);
        assert_int_equal(list->n_networks4, 1);
        policy_list_unref(list);

        for (size_t i = 0; i < n_ranges; i++)
                memcpy(text + i * strlen(range), range, strlen(range));
        assert_limit(text, n_ranges * strlen(range), POLICY_LIST_NETWORKS_MAX / 254 + 1, "2000000");

        /* Refused unread. */
        assert_limit("10.0.0.1\n", POLICY_LIST_SIZE_MAX + 1UL, 0, "134217728");
}

static void test_strv(void **state) {
        char *good[] = { (char *)"10.0.0.0/8", (char *)"::1-::2", NULL };
        char *bad[][3] = {
                { (char *)"10.0.0.0/8", (char *)"10.0.0.77/8", NULL },
                { (char *)"10.0.0.0/8", (char *)"", NULL },
                { (char *)"10.0.0.0/8", (char *)"10.0.0.1 # secret", NULL },
                { (char *)"10.0.0.0/8", (char *)"10.0.0.1\n10.0.0.2", NULL },
        };
        _cleanup_(policy_list_unrefp) PolicyList *list = NULL, *none = NULL;

        assert_int_equal(policy_list_from_strv("l", PATH, 7, good, NULL, &list), 0);
        assert_int_equal(list->n_networks4, 1);
        assert_int_equal(list->n_networks6, 2);
        assert_int_equal(policy_list_from_strv("l", PATH, 7, NULL, NULL, &none), 0);
        assert_int_equal(none->n_networks4 + none->n_networks6, 0);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                PolicyList *refused = NULL;

                assert_int_equal(
                        policy_list_from_strv("l", PATH, 7, bad[i], &diags, &refused), -EINVAL);
                assert_null(refused);
                assert_int_equal(diags.n_errors, 1);
                assert_string_equal(diags.diags[0].path, PATH);
                assert_int_equal(diags.diags[0].line, 7);
                assert_non_null(strstr(diags.diags[0].message, "network 2 "));
                assert_null(strstr(diags.diags[0].message, "77"));
                assert_null(strstr(diags.diags[0].message, "secret"));
        }
}

/* Hashes tell contents apart, and nothing else. */
static void test_hash(void **state) {
        _cleanup_(policy_list_unrefp) PolicyList *a = parse("10.0.0.0/8\n::1\n10.0.0.1\n");
        _cleanup_(policy_list_unrefp) PolicyList *b =
                parse("# b\n10.0.0.1/32\n10.0.0.0/8\n10.0.0.1\n0:0::1/128\n");
        _cleanup_(policy_list_unrefp) PolicyList *c = parse("10.0.0.0/9\n::1\n10.0.0.1\n");
        _cleanup_(policy_list_unrefp) PolicyList *d = parse("10.0.0.0/8\n::2\n10.0.0.1\n");

        assert_int_equal(a->hash, b->hash);
        assert_int_not_equal(a->hash, c->hash);
        assert_int_not_equal(a->hash, d->hash);
}

/* Every network, one after the other. */
static int walk(const PolicyList *list, uint64_t hi, uint64_t lo, bool v4) {
        int best = -1;

        for (size_t i = 0; v4 && i < list->n_networks4; i++) {
                const PolicyListNetwork4 *n = &list->networks4[i];

                if (n->bits == 0 || ((uint64_t)n->address ^ lo) << 32 >> (64 - n->bits) == 0)
                        best = n->bits > best ? n->bits : best;
        }
        for (size_t i = 0; !v4 && i < list->n_networks6; i++) {
                const PolicyListNetwork6 *n = &list->networks6[i];
                unsigned high = n->bits < 64 ? n->bits : 64, low = n->bits - high;

                if ((high == 0 || (n->hi ^ hi) >> (64 - high) == 0) &&
                        (low == 0 || (n->lo ^ lo) >> (64 - low) == 0))
                        best = n->bits > best ? n->bits : best;
        }
        return best;
}

/* Few bits vary, so that networks are within others, side by side, and at both ends of what there is. */
static void test_match_among_many(void **state) {
        enum { N_LISTS = 300, N_QUESTIONS = 200 };
        const uint64_t few4 = 0xc0018003, few6 = 0xc000000000000001;
        unsigned n_found = 0;

        for (unsigned round = 0; round < N_LISTS; round++) {
                _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
                unsigned n = (unsigned)(random_word() % 40);
                char text[2 * 40 * 64];
                size_t used = 0;

                for (unsigned i = 0; i < n; i++) {
                        unsigned bits4 = (unsigned)(random_word() % 33);
                        unsigned bits6 = (unsigned)(random_word() % 129);
                        uint32_t a = (uint32_t)(random_word() & few4 &
                                (bits4 == 0 ? 0 : UINT32_MAX << (32 - bits4)));
                        uint64_t hi = random_word() & few6 &
                                (bits6 == 0                  ? 0
                                                : bits6 < 64 ? UINT64_MAX << (64 - bits6)
                                                             : UINT64_MAX);
                        uint64_t lo = random_word() & few6 &
                                (bits6 <= 64 ? 0 : UINT64_MAX << (128 - bits6));

                        used += (size_t)sprintf(text + used, "%u.%u.%u.%u/%u\n", a >> 24,
                                a >> 16 & 255, a >> 8 & 255, a & 255, bits4);
                        used += (size_t)sprintf(text + used, "%x:0:0:%x:%x:0:0:%x/%u\n",
                                (unsigned)(hi >> 48), (unsigned)(hi & 0xffff), (unsigned)(lo >> 48),
                                (unsigned)(lo & 0xffff), bits6);
                }
                assert_int_equal(policy_list_parse("l", PATH, text, used, NULL, &list), 0);
                for (unsigned i = 0; i < N_QUESTIONS; i++) {
                        bool v4 = i % 2;
                        uint64_t hi = v4 ? 0 : random_word() & few6;
                        uint64_t lo =
                                v4 ? 0xffff00000000 | (random_word() & few4) : random_word() & few6;
                        uint8_t address[16];
                        int bits;

                        for (unsigned k = 0; k < 8; k++) {
                                address[k] = (uint8_t)(hi >> (56 - 8 * k));
                                address[k + 8] = (uint8_t)(lo >> (56 - 8 * k));
                        }
                        bits = policy_list_match(list, address);
                        assert_int_equal(bits, walk(list, hi, lo, v4));
                        n_found += bits > 0;
                }
        }
        assert_true(n_found > N_LISTS);
}

static void test_match(void **state) {
        _cleanup_(policy_list_unrefp) PolicyList *list =
                parse("10.0.0.0/8\n10.1.0.0/16\n::/0\n2001:db8::/33\n2001:db8::/65\n2001:db8::5\n");
        static const struct {
                const char *address;
                int bits;
        } cases[] = {
                { "::ffff:10.0.0.1", 8 },
                { "::ffff:10.1.255.255", 16 },
                { "::ffff:11.0.0.0", -1 },
                { "::ffff:9.255.255.255", -1 },
                { "::1", 0 },
                { "2001:db8:7fff::1", 33 },
                { "2001:db8:8000::1", 0 },
                { "2001:db8::1", 65 },
                { "2001:db8::5", 128 },
                { "2001:db8::8000:0:0:5", 33 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t address[16];

                assert_int_equal(inet_pton(AF_INET6, cases[i].address, address), 1);
                assert_int_equal(policy_list_match(list, address), cases[i].bits);
        }
}

static void test_references(void **state) {
        PolicyList *list = parse("::1\n");

        assert_ptr_equal(policy_list_ref(list), list);
        assert_null(policy_list_unref(list));
        assert_int_equal(list->n_ref, 1);
        assert_null(policy_list_unref(list));
        assert_null(policy_list_unref(NULL));
        assert_null(policy_list_ref(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_random_ranges),
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_zero_bytes),
                cmocka_unit_test(test_long_lines),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_strv),
                cmocka_unit_test(test_hash),
                cmocka_unit_test(test_match),
                cmocka_unit_test(test_match_among_many),
                cmocka_unit_test(test_references),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
