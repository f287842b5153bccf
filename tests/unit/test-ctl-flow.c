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
        const struct {
                char *direction, *protocol, *peer;
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
                char *words[] = { cases[i].direction, cases[i].protocol, cases[i].peer };
                Flow flow;

                assert_int_equal(flow_parse(words, ELEMENTSOF(words), &message, &flow), 0);
                assert_null(message);
                assert_null(flow.interface);
                assert_string_equal(flow.destination, "");
                assert_string_equal(flow.address, cases[i].address);
                assert_int_equal(flow.protocol, cases[i].number);
                assert_int_equal(flow.has_port ? flow.port : 0, cases[i].port);
                assert_string_equal(flow_direction_to_string(flow.direction), cases[i].direction);
                endpoint = flow_endpoint_to_string(
                        flow.address, flow.is_ipv6, flow.has_port, flow.port);
                assert_string_equal(endpoint, cases[i].endpoint);
        }
}

/* Each is refused with a sentence that has the given words in it. */
static void test_refused(void **state) {
        const struct {
                char *direction, *protocol, *peer;
                const char *words;
        } cases[] = {
                { "binds", "tcp", "192.0.2.1:1", "write in, out or bind" },
                { "", "tcp", "192.0.2.1:1", "write in, out or bind" },
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
                { "out", "icmp", "192.0.2.1:8", "has no ports; write only" },
                { "in", "icmpv6", "[fe80::1]:8", "has no ports; write only" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL;
                char *words[] = { cases[i].direction, cases[i].protocol, cases[i].peer };
                Flow flow;

                assert_int_equal(flow_parse(words, ELEMENTSOF(words), &message, &flow), -EINVAL);
                assert_non_null(message);
                if (!strstr(message, cases[i].words))
                        fail_msg("case %zu: '%s' lacks '%s'", i, message, cases[i].words);
        }
}

/* Cuts a line at its blanks. */
static size_t split(char *line, char *words[16]) {
        size_t n = 0;

        for (char *word; n < 16 && (word = strsep(&line, " "));)
                words[n++] = word;
        return n;
}

/* What else can be said: a port apart, a destination, an interface, a bind. */
static void test_more_words(void **state) {
        static const struct {
                const char *line;
                FlowDirection direction;
                const char *address;
                int port;
                const char *destination;
                const char *interface; /* or NULL */
        } cases[] = {
                { "out tcp 192.0.2.1:443 via eth0", FLOW_OUT, "192.0.2.1", 443, "", "eth0" },
                { "out tcp 192.0.2.1 port 443", FLOW_OUT, "192.0.2.1", 443, "", NULL },
                { "out tcp 2001:db8::1 via wg0 port 1", FLOW_OUT, "2001:db8::1", 1, "", "wg0" },
                { "out icmp 192.0.2.1 via eth0.7", FLOW_OUT, "192.0.2.1", 0, "", "eth0.7" },
                { "in udp 192.0.2.1 port 67 to 255.255.255.255", FLOW_IN, "192.0.2.1", 67,
                        "255.255.255.255", NULL },
                { "in udp [fe80::1]:5353 via eth0 to ff02::fb", FLOW_IN, "fe80::1", 5353,
                        "ff02::fb", "eth0" },
                { "bind tcp/8080", FLOW_BIND, "0.0.0.0", 8080, "", NULL },
                { "bind udp/5353 to ff02::fb", FLOW_BIND, "ff02::fb", 5353, "", NULL },
                { "bind 132/7 to ::ffff:10.0.0.1", FLOW_BIND, "10.0.0.1", 7, "", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL, *line = strdup(cases[i].line);
                char *words[16];
                Flow flow;

                assert_non_null(line);
                if (flow_parse(words, split(line, words), &message, &flow) < 0)
                        fail_msg("%s: %s", cases[i].line, message);
                assert_int_equal(flow.direction, cases[i].direction);
                assert_string_equal(flow.address, cases[i].address);
                assert_int_equal(flow.has_port ? flow.port : 0, cases[i].port);
                assert_int_equal(flow.is_ipv6, strchr(cases[i].address, ':') != NULL);
                assert_string_equal(flow.destination, cases[i].destination);
                if (cases[i].interface)
                        assert_string_equal(flow.interface, cases[i].interface);
                else
                        assert_null(flow.interface);
        }
}

static void test_more_words_refused(void **state) {
        static const struct {
                const char *line, *words;
        } cases[] = {
                { "out", "too few words" },
                { "out tcp", "too few words" },
                { "bind", "too few words; write bind PROTO/PORT" },
                { "bind tcp", "lacks the port" },
                { "bind tcp/0", "lacks the port" },
                { "bind tcp/x", "lacks the port" },
                { "bind icmp/1", "has no ports" },
                { "bind tpc/1", "unknown protocol 'tpc'" },
                { "bind tcp/1 to", "nothing follows 'to'" },
                { "bind tcp/1 to host", "is no address" },
                { "bind tcp/1 via eth0", "the forms are bind" },
                { "bind tcp/1 port 2", "the forms are bind" },
                { "out tcp 192.0.2.1:1 via", "nothing follows 'via'" },
                { "out tcp 192.0.2.1:1 via eth*", "no name of an interface" },
                { "out tcp 192.0.2.1:1 via eth0 via eth1", "'via' is given twice" },
                { "out tcp 192.0.2.1:1 to 192.0.2.2", "the forms are out" },
                { "out tcp 192.0.2.1:1 port 2", "the port is given twice" },
                { "out tcp 192.0.2.1 via eth0", "lacks the remote port" },
                { "out icmp 192.0.2.1 port 2", "has no ports" },
                { "out tcp 192.0.2.1 port 65536", "is no port" },
                { "in udp 192.0.2.1:1 to ff02::1", "different families" },
                { "in udp 192.0.2.1:1 to 255.255.255.255:1", "is no address" },
                { "in udp 192.0.2.1:1 to 224.0.0.1 to 224.0.0.2", "'to' is given twice" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL, *line = strdup(cases[i].line);
                char *words[16];
                Flow flow;

                assert_non_null(line);
                if (flow_parse(words, split(line, words), &message, &flow) >= 0)
                        fail_msg("'%s' was taken", cases[i].line);
                assert_non_null(message);
                if (!strstr(message, cases[i].words))
                        fail_msg("%s: '%s' lacks '%s'", cases[i].line, message, cases[i].words);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_more_words),
                cmocka_unit_test(test_more_words_refused),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
