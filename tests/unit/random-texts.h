/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of rules at random, as a person might write them: every word of the grammar, spaces, repetitions
 * and spellings that are not canonical. All of them are valid. */
#pragma once

#include <stdio.h>

#include "policy-test.h"

#define RANDOM_BODY_SIZE 1024U

typedef struct RandomBody {
        uint64_t *random;
        char text[RANDOM_BODY_SIZE];
        size_t n;
} RandomBody;

static inline bool body_chance(RandomBody *b, uint32_t one_in) {
        return test_random(b->random) % one_in == 0;
}

static inline void body_add(RandomBody *b, const char *s) {
        size_t n = strlen(s);

        assert_true(b->n + n < sizeof(b->text));
        memcpy(b->text + b->n, s, n + 1);
        b->n += n;
}

/* Between words, where one space is enough and more do not matter. */
static inline void body_space(RandomBody *b) {
        if (b->n > 0 || body_chance(b, 8))
                body_add(b, body_chance(b, 8) ? "   " : " ");
}

static inline void body_comma(RandomBody *b) {
        static const char *const commas[] = { ",", ",", ",", ", ", " ,", "  ,  " };

        body_add(b, commas[test_random(b->random) % ELEMENTSOF(commas)]);
}

#define BODY_ONE_OF(b, words) body_add(b, (words)[test_random((b)->random) % ELEMENTSOF(words)])

static inline void body_ports(RandomBody *b) {
        static const char *const ports[] = { "0", "1", "22", "80", "443", "1024", "5353", "65535",
                "0-65535", "0-65534", "1-1023", "80-81", "443-443", "1024-65535" };

        for (uint32_t i = 0, n = 1 + test_random(b->random) % 4; i < n; i++) {
                if (i > 0)
                        body_comma(b);
                BODY_ONE_OF(b, ports);
        }
}

static inline void body_what(RandomBody *b, bool bind) {
        static const char *const with_ports[] = { "tcp", "udp", "udplite", "sctp", "6", "17" };
        static const char *const without[] = { "icmp", "icmpv6", "47", "0", "255", "1" };
        uint32_t n = 1 + test_random(b->random) % 3;

        body_space(b);
        if (body_chance(b, 6)) {
                body_add(b, "any");
                return;
        }
        if (body_chance(b, 6)) {
                body_add(b, body_chance(b, 2) ? "https" : "domain");
                return;
        }
        for (uint32_t i = 0; i < n; i++) {
                body_add(b, i > 0 ? "+" : "");
                if (!bind && body_chance(b, 4)) {
                        BODY_ONE_OF(b, without);
                        continue;
                }
                BODY_ONE_OF(b, with_ports);
                if (body_chance(b, 4))
                        continue;
                body_add(b, "/");
                body_ports(b);
        }
}

static inline void body_peers(RandomBody *b) {
        static const char *const peers[] = { "10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",
                "192.0.2.1/32", "0.0.0.0/0", "::/0", "::1", "2001:DB8::/32", "2001:db8::1",
                "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "10.0.0.1-10.0.0.9",
                "10.0.0.0-10.0.0.255", "2001:db8::1-2001:db8::ff", "255.255.255.255", "any",
                "localhost", "link-local", "multicast", "broadcast", "lan", "internet", "@a", "@b",
                "@B", "@bad-hosts_1.x" };

        for (uint32_t i = 0, n = 1 + test_random(b->random) % 5; i < n; i++) {
                if (i > 0)
                        body_comma(b);
                BODY_ONE_OF(b, peers);
        }
}

static inline void random_body(uint64_t *random, RandomBody *b) {
        static const char *const names[] = { "eth0", "wg0", "uplink", "to", "via", "in", "e.1-_@" };
        uint32_t shape = test_random(random) % 16, direction = test_random(random) % 4;
        bool bind = direction == 3, via = !bind && (shape & 4);

        *b = (RandomBody){ .random = random };
        if (direction > 0) {
                static const char *const words[] = { "in", "out", "bind" };

                body_space(b);
                body_add(b, words[direction - 1]);
        }
        if ((shape & 1) || (direction == 0 && !(shape & 2) && !via))
                body_what(b, bind);
        if (shape & 2) {
                body_space(b);
                body_add(b, direction == 1 || (direction == 0 && (shape & 8)) ? "from " : "to ");
                body_peers(b);
        }
        if (via) {
                body_space(b);
                body_add(b, "via ");
                BODY_ONE_OF(b, names);
        }
        if (body_chance(b, 8))
                body_add(b, "  ");
}
