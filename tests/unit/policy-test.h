/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the policy library share: comparison of what was parsed, a made-up services(5), random
 * numbers that are the same in every run, and memory that runs out at a chosen moment. Included by one file
 * of a program.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/parse.h"
#include "policy/text.h"
#include "util/macro.h"

#define _unused_ __attribute__((unused))

_unused_ static int test_lookup(
        void *userdata, const char *name, PolicyService *services, size_t n_max) {
        static const struct {
                const char *name;
                int protocol;
                uint16_t port;
        } known[] = {
                { "https", 6, 443 },
                { "https", 17, 443 },
                { "domain", 6, 53 },
                { "domain", 17, 53 },
                { "ssh", 6, 22 },
                { "whois++", 6, 63 },
                { "3com-tsmux", 17, 106 },
                { "pinglike", 1, 8 },
        };
        int n = 0;

        if (streq(name, "eio"))
                return -EIO;
        if (streq(name, "endless"))
                return (int)n_max + 1;
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (!streq(known[i].name, name))
                        continue;
                if ((size_t)n < n_max)
                        services[n] =
                                (PolicyService){ known[i].protocol, known[i].port, known[i].port };
                n++;
        }
        return n > 0 ? n : -ENOENT;
}

_unused_ static const PolicyServices test_services = { .lookup = test_lookup };

_unused_ static void assert_rules_equal(const PolicyRule *a, const PolicyRule *b) {
        assert_int_equal(a->verdict, b->verdict);
        assert_int_equal(a->directions, b->directions);
        assert_int_equal(a->n_services, b->n_services);
        for (size_t i = 0; i < a->n_services; i++) {
                assert_int_equal(a->services[i].protocol, b->services[i].protocol);
                assert_int_equal(a->services[i].port_min, b->services[i].port_min);
                assert_int_equal(a->services[i].port_max, b->services[i].port_max);
        }
        assert_int_equal(a->n_peers, b->n_peers);
        for (size_t i = 0; i < a->n_peers; i++) {
                assert_int_equal(a->peers[i].type, b->peers[i].type);
                assert_int_equal(a->peers[i].family, b->peers[i].family);
                assert_int_equal(a->peers[i].prefix_len, b->peers[i].prefix_len);
                assert_memory_equal(a->peers[i].address, b->peers[i].address, 16);
                assert_memory_equal(a->peers[i].last, b->peers[i].last, 16);
                assert_true(streq_ptr(a->peers[i].list, b->peers[i].list));
        }
        assert_true(streq_ptr(a->via, b->via));
        assert_string_equal(a->text, b->text);
        assert_true(streq_ptr(a->id, b->id));
        assert_true(streq_ptr(a->comment, b->comment));
}

_unused_ static void assert_strings_equal(char **a, char **b) {
        assert_true(!a == !b);
        for (; a && *a; a++, b++) {
                assert_non_null(*b);
                assert_string_equal(*a, *b);
        }
        assert_true(!b || !*b);
}

_unused_ static void assert_files_equal(const PolicyFile *a, const PolicyFile *b) {
        assert_true(streq_ptr(a->path, b->path));
        assert_true(streq_ptr(a->name, b->name));
        assert_int_equal(a->has_match, b->has_match);
        assert_strings_equal(a->match.units, b->match.units);
        assert_strings_equal(a->match.not_units, b->match.not_units);
        assert_int_equal(a->mode, b->mode);
        assert_int_equal(a->default_in, b->default_in);
        assert_int_equal(a->default_out, b->default_out);
        assert_true(streq_ptr(a->profile, b->profile));
        assert_int_equal(a->refusal, b->refusal);
        assert_int_equal(a->n_lists, b->n_lists);
        for (size_t i = 0; i < a->n_lists; i++) {
                assert_string_equal(a->lists[i].name, b->lists[i].name);
                assert_true(streq_ptr(a->lists[i].file, b->lists[i].file));
                assert_int_equal(!a->lists[i].networks, !b->lists[i].networks);
                assert_strings_equal(a->lists[i].networks, b->lists[i].networks);
        }
        assert_int_equal(a->n_rules, b->n_rules);
        for (size_t i = 0; i < a->n_rules; i++)
                assert_rules_equal(a->rules[i], b->rules[i]);
}

/* xorshift64*: the same numbers for the same seed, everywhere. */
_unused_ static uint32_t test_random(uint64_t *state) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (uint32_t)((*state * 0x2545f4914f6cdd1dULL) >> 32);
}

/* Changes a text of *n bytes in a buffer of size bytes at a few random places; pieces are what is likely to
 * mean something there. */
_unused_ static void test_mutate(
        uint64_t *state, char *s, size_t *n, size_t size, const char *const *pieces) {
        size_t n_pieces = 0;

        while (pieces[n_pieces])
                n_pieces++;
        for (uint32_t k = 1 + test_random(state) % 3; k > 0; k--) {
                size_t at = test_random(state) % (*n + 1);
                const char *piece = pieces[test_random(state) % n_pieces];
                size_t n_piece = strlen(piece), n_cut = MIN(*n - at, test_random(state) % 8);

                switch (test_random(state) % 8) {
                case 0: /* another byte */
                        if (at < *n)
                                s[at] = (char)test_random(state);
                        break;
                case 1: /* a bit of it */
                        if (at < *n)
                                s[at] ^= (char)(1U << test_random(state) % 8);
                        break;
                case 2: /* gone */
                case 3:
                        memmove(s + at, s + at + n_cut, *n - at - n_cut);
                        *n -= n_cut;
                        break;
                case 4: /* twice */
                        if (*n + n_cut > size)
                                break;
                        memmove(s + at + n_cut, s + at, *n - at);
                        *n += n_cut;
                        break;
                default: /* something put in */
                        if (*n + n_piece > size)
                                break;
                        memmove(s + at + n_piece, s + at, *n - at);
                        memcpy(s + at, piece, n_piece);
                        *n += n_piece;
                }
        }
}

#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
/* A sanitizer brings its own memory, and with it no failures. */
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
#define TEST_MEMORY_FAILS 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static struct {
        bool armed;
        size_t until_failure; /* allocations that still succeed; the one after fails, and only it */
        bool failed;
        long live; /* allocated and not freed since it was armed */
} test_memory;

static bool test_memory_fails(void) {
        if (!test_memory.armed || test_memory.failed)
                return false;
        if (test_memory.until_failure-- > 0)
                return false;
        test_memory.failed = true;
        errno = ENOMEM;
        return true;
}

/* These stand in for those of the C library, for everything in the program. */
__attribute__((visibility("default"))) void *malloc(size_t size) {
        void *p = test_memory_fails() ? NULL : __libc_malloc(size);

        test_memory.live += test_memory.armed && p;
        return p;
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
        void *p = test_memory_fails() ? NULL : __libc_calloc(n, size);

        test_memory.live += test_memory.armed && p;
        return p;
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size) {
        void *p = test_memory_fails() ? NULL : __libc_realloc(old, size);

        test_memory.live += test_memory.armed && !old && p;
        return p;
}

__attribute__((visibility("default"))) void free(void *p) {
        test_memory.live -= test_memory.armed && p;
        __libc_free(p);
}

/* Do the functions above serve the program? Valgrind puts its own in their place. */
static bool test_memory_serves(void) {
        /* Through a pointer, or the compiler takes it for granted that malloc() looks at nothing here. */
        void *(*volatile allocate)(size_t size) = malloc;
        void *p;

        test_memory.until_failure = 0;
        test_memory.failed = false;
        test_memory.armed = true;
        p = allocate(1);
        test_memory.armed = false;
        free(p);
        return test_memory.failed;
}

/* Runs attempt with each of its allocations failing in turn, until it gets through without a failure, and
 * holds that nothing is left behind. attempt itself says what is right. */
_unused_ static void test_each_allocation_fails(void (*attempt)(bool *ret_memory_failed)) {
        if (!test_memory_serves())
                skip();
        for (size_t n = 0;; n++) {
                bool memory_failed = false;

                assert_true(n < 1000000);
                test_memory.until_failure = n;
                test_memory.failed = false;
                test_memory.live = 0;
                test_memory.armed = true;
                attempt(&memory_failed);
                test_memory.armed = false;
                assert_int_equal(test_memory.live, 0);
                if (!test_memory.failed) {
                        assert_false(memory_failed);
                        assert_true(n > 0);
                        return;
                }
        }
}

/* Has the failure come? What an attempt returns is judged by it. */
_unused_ static bool test_memory_failed(void) {
        return test_memory.failed;
}
#endif
