/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies of odd shapes: deep, dense, wide, right at an edge, or many. Each is compiled and asked at every
 * edge of its rules, where the image must say what the reference evaluator says, and be no larger than it
 * should.
 */
#include <stdio.h>

#include "policy-random.h"
#include "policy/eval.h"
#include "policy/image.h"
#include "policy/parse.h"

#define RULES_MAX     2000U
#define EDGES_MAX     20000U
#define QUESTIONS_MAX 4000U

typedef struct Shape {
        PolicyStack stack;
        PolicyEntry entries[RULES_MAX];
        PolicyRule *rules[RULES_MAX];
} Shape;

typedef struct Edges {
        uint8_t addresses[EDGES_MAX][16];
        size_t n_addresses;
        PolicyService services[EDGES_MAX]; /* of one port */
        size_t n_services;
} Edges;

static Shape shape;
static Edges edges;

static int setup(void **state) {
        shape.stack = (PolicyStack){
                .entries = shape.entries,
                .mode = POLICY_MODE_ENFORCE,
                .default_in = POLICY_DEFAULT_DENY,
                .default_out = POLICY_DEFAULT_ALLOW,
                .refusal = POLICY_ERRNO_EPERM,
        };
        edges.n_addresses = edges.n_services = 0;
        return 0;
}

static int teardown(void **state) {
        for (size_t i = 0; i < shape.stack.n_entries; i++)
                policy_rule_free(shape.rules[i]);
        return 0;
}

_printf_(1, 2) static void add_rule(const char *format, ...) {
        size_t i = shape.stack.n_entries;
        char text[4096];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        assert_in_range(n, 1, sizeof(text) - 1);
        assert_true(i < RULES_MAX);
        assert_int_equal(policy_parse_rule(text, NULL, 0, 0, NULL, NULL, &shape.rules[i]), 0);
        shape.entries[i] = (PolicyEntry){
                .rule = shape.rules[i],
                .number = CGP_RULE_FIRST + i,
                .counter = 100 + i,
        };
        shape.stack.n_entries++;
}

/* The address and its neighbours. */
static void add_address(const uint8_t address[16]) {
        for (int step = -1; step <= 1; step++) {
                uint8_t *edge = edges.addresses[edges.n_addresses++];

                assert_true(edges.n_addresses <= EDGES_MAX);
                memcpy(edge, address, 16);
                if (step != 0)
                        address_step(edge, step);
        }
}

static void add_service(int protocol, int port) {
        assert_true(edges.n_services < EDGES_MAX);
        edges.services[edges.n_services++] = (PolicyService){
                .protocol = protocol & 0xff,
                .port_min = port & 0xffff,
        };
}

static void find_edges(void) {
        for (size_t i = 0; i < shape.stack.n_entries; i++) {
                const PolicyRule *rule = shape.rules[i];

                for (size_t k = 0; k < rule->n_services; k++) {
                        const PolicyService *service = &rule->services[k];

                        for (int step = -1; step <= 1; step++) {
                                add_service(service->protocol, service->port_min + step);
                                add_service(service->protocol, service->port_max + step);
                                add_service(service->protocol + step, service->port_min);
                        }
                }
                for (size_t k = 0; k < rule->n_peers; k++) {
                        const PolicyPeer *peer = &rule->peers[k];
                        unsigned bits = peer->prefix_len + (peer->family == AF_INET ? 96 : 0);
                        uint8_t last[16];

                        add_address(peer->address);
                        memcpy(last, peer->address, 16);
                        if (peer->type == POLICY_PEER_PREFIX)
                                address_fill(last, bits, true);
                        add_address(peer->type == POLICY_PEER_RANGE ? peer->last : last);
                }
        }
        add_service(0, 0);
        add_service(255, 65535);
        add_service(IPPROTO_TCP, 12345);
        for (size_t i = 0; i < 2; i++) {
                uint8_t address[16] = {};

                if (i == 1)
                        memcpy(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7", 16);
                add_address(address);
        }
}

static void ask(const PolicyImage *image, unsigned view, const uint8_t remote[16],
        const PolicyService *service) {
        static const PolicyHost host = POLICY_HOST_INIT;
        static const PolicyPlace place = { .elsewhere = true };
        struct cgp_verdict verdict;
        const PolicyEntry *entry;
        unsigned action;

        entry = policy_eval_view(&shape.stack, &host, view, &place, remote, service->protocol,
                service->port_min, &action);
        verdict = policy_image_lookup(
                image, view, CGP_PLACE_ELSEWHERE, 0, remote, service->protocol, service->port_min);
        assert_int_equal(verdict.action, action);
        if (entry)
                assert_int_equal(verdict.rule, entry->number);
        else
                assert_true(verdict.rule < CGP_RULE_FIRST && verdict.rule != CGP_RULE_BROKEN);
}

/* Every pair of edges if they are few, else as many at random and each edge at least once. */
static void check(size_t size_max) {
        static const PolicyHost host = POLICY_HOST_INIT;
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileInput input = { .stack = &shape.stack, .host = &host };
        PolicyCompileFailure failure = {};
        Random random = { .state = 17 };
        size_t n_pairs;

        assert_int_equal(policy_compile(&input, &failure, &image), 0);
        if (image->config.table_size > size_max)
                fail_msg("%u bytes instead of %zu", image->config.table_size, size_max);

        find_edges();
        n_pairs = edges.n_addresses * edges.n_services;
        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                for (size_t i = 0; i < MIN(n_pairs, (size_t)QUESTIONS_MAX); i++) {
                        size_t pair = n_pairs <= QUESTIONS_MAX ? i : random_next(&random) % n_pairs;

                        ask(image, view, edges.addresses[pair / edges.n_services],
                                &edges.services[pair % edges.n_services]);
                }
                for (size_t i = 0; i < edges.n_addresses && n_pairs > QUESTIONS_MAX; i += 7)
                        ask(image, view, edges.addresses[i],
                                &edges.services[random_next(&random) % edges.n_services]);
        }
}

static void test_nothing(void **state) {
        check(64);
}

static void test_edges_of_ports(void **state) {
        add_rule("deny out tcp/0");
        add_rule("deny out tcp/65535");
        add_rule("allow out udp/1-65534");
        add_rule("deny out udp/1-65533");
        add_rule("deny in udplite/65534-65535");
        add_rule("allow in 0");
        add_rule("allow in 255");
        check(400);
}

static void test_every_second_port(void **state) {
        for (unsigned port = 0; port < 4096; port += 256) {
                char text[2048];
                size_t n = 0;

                for (unsigned k = 0; k < 256; k += 2)
                        n += snprintf(text + n, sizeof(text) - n, "%s%u", n ? "," : "", port + k);
                add_rule("deny out tcp/%s", text);
        }
        check(10000);
}

static void test_every_second_protocol(void **state) {
        for (unsigned i = 0; i < 256; i += 2)
                if (i != IPPROTO_TCP && i != IPPROTO_UDP)
                        add_rule("deny out %u", i);
        check(1000);
}

/* Every length, each the opposite of the one around it. */
static void add_nested(int family, const char *text, unsigned n_bits) {
        for (unsigned bits = 0; bits <= n_bits; bits++) {
                size_t at = family == AF_INET ? 12 : 0;
                char prefix[INET6_ADDRSTRLEN];
                uint8_t address[16] = {};

                assert_int_equal(inet_pton(family, text, address + at), 1);
                address_fill(address, bits + 8 * at, false);
                assert_non_null(inet_ntop(family, address + at, prefix, sizeof(prefix)));
                add_rule("%s out any to %s/%u", bits % 2 ? "deny" : "allow", prefix, bits);
        }
}

static void test_nested_prefixes(void **state) {
        add_nested(AF_INET, "172.21.170.85", 32);
        add_nested(AF_INET6, "2001:db8:aaaa:5555:aaaa:5555:aaaa:5555", 128);
        check(14000);
}

static void test_nested_ports(void **state) {
        for (unsigned i = 0; i < 500; i++)
                add_rule("%s out tcp/%u-%u", i % 2 ? "deny" : "allow", 1000 + i * 7, 60000 - i * 3);
        check(16000);
}

static void test_all_but_one(void **state) {
        add_rule("deny out any to 0.0.0.1-255.255.255.254");
        add_rule("deny out any to ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
        add_rule("never in any from 10.0.0.1-10.255.255.254");
        check(400);
}

/* Ranges and prefixes on both sides of the middle of an IPv6 address, where one trie ends. */
static void test_middle_of_address(void **state) {
        add_rule("deny out tcp to 2001:db8:0:0:ffff:ffff:ffff:fff0-2001:db8:0:1::f");
        add_rule("deny out udp to 2001:db8:0:1:ffff:ffff:ffff:ffff-2001:db8:0:3::");
        add_rule("allow out udp to 2001:db8:0:2::/64");
        add_rule("allow out any to 2001:db8:0:2::/65");
        add_rule("deny out any to 2001:db8:0:2::/63");
        add_rule("deny out any to 2001:db8:0:2::1");
        check(500);
}

static void test_around_mapped_addresses(void **state) {
        add_rule("deny out any to ::fffe:0:0-::fffe:ffff:ffff");
        add_rule("deny out any to 0:0:0:0:1::/80");
        add_rule("deny out any to ::/64");
        add_rule("allow out any to 0.0.0.0/1");
        check(200);
}

static void test_equal_low_words(void **state) {
        for (unsigned i = 0; i < 100; i++)
                add_rule("deny out any to 2001:db8:%x::1", i * 77);
        check(8000);
}

static void test_port_of_its_own_for_each_host(void **state) {
        for (unsigned i = 0; i < 1000; i++)
                add_rule("deny out tcp/%u to 10.%u.%u.%u", 1000 + i * 3, i * 37 % 256, i * 91 % 256,
                        i % 256);
        check(45000);
}

static void test_chequered_networks(void **state) {
        for (unsigned i = 0; i < 512; i++)
                add_rule("%s tcp/%u-%u to 192.%u.%u.0/24", i % 2 ? "deny" : "allow", i % 5 * 100,
                        i % 7 * 100 + 500, 168 + i / 256, i % 256);
        check(20000);
}

static void test_ten_rules(void **state) {
        add_rule("allow out tcp/443 to 93.184.216.34");
        add_rule("allow out tcp/443 to 151.101.1.0/24");
        add_rule("allow out tcp/5432 to 10.20.30.40");
        add_rule("allow out udp/53 to 10.20.0.2");
        add_rule("allow out udp/123 to 10.20.0.3");
        add_rule("allow in tcp/80,443");
        add_rule("allow in tcp/22 from 10.0.0.0/8");
        add_rule("allow in tcp/9100 from 10.20.30.41");
        add_rule("allow any to localhost");
        add_rule("allow in any from localhost");
        shape.stack.default_out = POLICY_DEFAULT_DENY;
        check(800);
}

#define shape_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                shape_test(test_nothing),
                shape_test(test_edges_of_ports),
                shape_test(test_every_second_port),
                shape_test(test_every_second_protocol),
                shape_test(test_nested_prefixes),
                shape_test(test_nested_ports),
                shape_test(test_all_but_one),
                shape_test(test_middle_of_address),
                shape_test(test_around_mapped_addresses),
                shape_test(test_equal_low_words),
                shape_test(test_port_of_its_own_for_each_host),
                shape_test(test_chequered_networks),
                shape_test(test_ten_rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
