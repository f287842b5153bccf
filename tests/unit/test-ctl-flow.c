/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `explain` accepts as a conversation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow.h"
#include "util/macro.h"

static void test_accepted(void **state) {
        static const struct {
                const char *direction, *protocol, *peer;
                const char *address;
                const char *endpoint;
                int number;
                uint16_t port;
        } cases[] = {
                { "out", "tcp", "192.0.2.1:443", "192.0.2.1", "192.0.2.1:443", 6, 443 },
                { "in", "udp", "10.0.0.1:65535", "10.0.0.1", "10.0.0.1:65535", 17, 65535 },
                { "out", "tcp", "[2001:db8::1]:1", "2001:db8::1", "[2001:db8::1]:1", 6, 1 },
                { "out", "6", "[2001:DB8:0::1]:1", "2001:db8::1", "[2001:db8::1]:1", 6, 1 },
                { "out", "tcp", "[::ffff:10.0.0.1]:1", "10.0.0.1", "10.0.0.1:1", 6, 1 },
                { "in", "icmp", "192.0.2.1", "192.0.2.1", "192.0.2.1", 1, 0 },
                { "in", "icmpv6", "fe80::1", "fe80::1", "fe80::1", 58, 0 },
                { "in", "icmpv6", "[fe80::1]", "fe80::1", "fe80::1", 58, 0 },
                { "out", "47", "192.0.2.1", "192.0.2.1", "192.0.2.1", 47, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL, *endpoint = NULL;
                Flow flow;

                assert_int_equal(flow_parse(cases[i].direction, cases[i].protocol, cases[i].peer,
                                         &message, &flow),
                        0);
                assert_null(message);
                assert_string_equal(flow.address, cases[i].address);
                assert_int_equal(flow.protocol, cases[i].number);
                assert_int_equal(flow.has_port ? flow.port : 0, cases[i].port);
                assert_int_equal(flow.in, streq(cases[i].direction, "in"));
                endpoint = flow_endpoint_to_string(
                        flow.address, flow.is_ipv6, flow.has_port, flow.port);
                assert_string_equal(endpoint, cases[i].endpoint);
        }
}

/* Each is refused with a sentence that has the given words in it. */
static void test_refused(void **state) {
        static const struct {
                const char *direction, *protocol, *peer, *words;
        } cases[] = {
                { "bind", "tcp", "192.0.2.1:1", "write in or out" },
                { "", "tcp", "192.0.2.1:1", "write in or out" },
                { "out", "tpc", "192.0.2.1:1", "unknown protocol 'tpc'" },
                { "out", "tcp/443", "192.0.2.1", "goes with the address: tcp ADDR:443" },
                { "out", "256", "192.0.2.1:1", "unknown protocol" },
                { "out", "tcp", "192.0.2.1", "lacks the remote port" },
                { "in", "tcp", "192.0.2.1", "lacks the local port" },
                { "out", "tcp", "2001:db8::1:443", "write [ADDR]:PORT" },
                { "out", "tcp", "192.0.2.1:", "is no port" },
                { "out", "tcp", "192.0.2.1:0", "is no port" },
                { "out", "tcp", "192.0.2.1:65536", "is no port" },
                { "out", "tcp", "192.0.2.1:4294967377", "is no port" },
                { "out", "tcp", "192.0.2.1:+80", "is no port" },
                { "out", "tcp", "192.0.2.1: 80", "is no port" },
                { "out", "tcp", "192.0.2.1:80x", "is no port" },
                { "out", "tcp", "example.org:80", "without a host name" },
                { "out", "tcp", ":80", "is no address" },
                { "out", "tcp", "", "is no address" },
                { "out", "tcp", "[192.0.2.1]:80", "is no address" },
                { "out", "tcp", "[2001:db8::1:80", "is no address" },
                { "out", "tcp", "[2001:db8::1]80", "is no address" },
                { "out", "tcp", "192.0.2.0/24:80", "is no address" },
                { "out", "icmp", "192.0.2.1:8", "icmp has no ports" },
                { "in", "icmpv6", "[fe80::1]:8", "icmpv6 has no ports" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL;
                Flow flow;

                assert_int_equal(flow_parse(cases[i].direction, cases[i].protocol, cases[i].peer,
                                         &message, &flow),
                        -EINVAL);
                assert_non_null(message);
                if (!strstr(message, cases[i].words))
                        fail_msg("case %zu: '%s' lacks '%s'", i, message, cases[i].words);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
