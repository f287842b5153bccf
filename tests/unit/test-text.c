/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The printed forms of addresses, protocols, rules and files. */
#include "policy/text.h"

#include <netinet/in.h>

#include "policy-test.h"

static void test_address(void **state) {
        static const struct {
                const char *in;
                const char *out; /* NULL: refused */
        } cases[] = {
                { "10.0.0.1", "10.0.0.1" },
                { "255.255.255.255", "255.255.255.255" },
                { "0.0.0.0", "0.0.0.0" },
                { "::", "::" },
                { "::1", "::1" },
                { "2001:DB8:0:0::1", "2001:db8::1" },
                { "::ffff:192.0.2.1", "192.0.2.1" },
                { "::ffff:c000:201", "192.0.2.1" },
                { "0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1" },
                { "::fffe:1.2.3.4", "::fffe:102:304" },
                { "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
                { "", NULL },
                { "10.0.0", NULL },
                { "10.0.0.256", NULL },
                { "10.0.0.01", NULL },
                { "10.0.0.1 ", NULL },
                { " 10.0.0.1", NULL },
                { "0x7f.1", NULL },
                { "2130706433", NULL },
                { "::1%lo", NULL },
                { "1:2:3:4:5:6:7:8:9", NULL },
                { "1::2::3", NULL },
                { "[::1]", NULL },
                { "::ffff:10.0.0.256", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t address[16], again[16], untouched[16];
                char buf[INET6_ADDRSTRLEN];

                memset(address, 0xa5, sizeof(address));
                memset(untouched, 0xa5, sizeof(untouched));
                if (!cases[i].out) {
                        assert_int_equal(policy_address_from_string(cases[i].in, address), -EINVAL);
                        assert_memory_equal(address, untouched, 16);
                        continue;
                }
                assert_int_equal(policy_address_from_string(cases[i].in, address), 0);
                assert_ptr_equal(policy_address_to_string(address, buf), buf);
                assert_string_equal(buf, cases[i].out);
                assert_int_equal(policy_address_from_string(buf, again), 0);
                assert_memory_equal(address, again, 16);
        }
}

static void test_protocol(void **state) {
        static const char *const refused[] = { "", "256", "06", "00", "-1", "+6", "0x6", "6 ",
                "TCP", "any", "tcp6", "4294967302", "99999999999999999999" };
        char buf[8];

        for (int p = 0; p < 256; p++)
                assert_int_equal(policy_protocol_from_string(policy_protocol_to_string(p, buf)), p);
        assert_string_equal(policy_protocol_to_string(IPPROTO_TCP, buf), "tcp");
        assert_string_equal(policy_protocol_to_string(IPPROTO_ICMPV6, buf), "icmpv6");
        assert_string_equal(policy_protocol_to_string(IPPROTO_UDPLITE, buf), "udplite");
        assert_string_equal(policy_protocol_to_string(IPPROTO_SCTP, buf), "sctp");
        assert_string_equal(policy_protocol_to_string(47, buf), "47");
        assert_string_equal(policy_protocol_to_string(POLICY_PROTOCOL_ANY, buf), "any");
        assert_int_equal(policy_protocol_from_string("0"), 0);
        assert_int_equal(policy_protocol_from_string("6"), IPPROTO_TCP);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                assert_int_equal(policy_protocol_from_string(refused[i]), -EINVAL);
}

static void test_expanded(void **state) {
        static const struct {
                PolicyVerdict verdict;
                const char *body;
                const char *expanded;
        } cases[] = {
                { POLICY_ALLOW, "tcp/443", "allow in tcp/443 from any\nallow out tcp/443 to any" },
                { POLICY_DENY, "any", "deny in any from any\ndeny out any to any" },
                { POLICY_NEVER, "to 10.0.0.0/8,localhost",
                        "never out any to 10.0.0.0/8,localhost" },
                { POLICY_ALLOW, "in https from ::1", "allow in tcp/443+udp/443 from ::1" },
                { POLICY_DENY, "out", "deny out any to any" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                _cleanup_free_ char *s = NULL;

                assert_int_equal(policy_parse_body(cases[i].verdict, cases[i].body, NULL, 0, 0,
                                         &test_services, NULL, &rule),
                        0);
                s = policy_rule_to_expanded(rule);
                assert_non_null(s);
                assert_string_equal(s, cases[i].expanded);
        }
}

/* What the parser does not let through yet has its text already. */
static void test_body_of_later_releases(void **state) {
        static char list[] = "bad-hosts", via[] = "eth0";
        PolicyService any = { POLICY_PROTOCOL_ANY, 0, UINT16_MAX };
        PolicyPeer peers[] = {
                { .type = POLICY_PEER_BROADCAST },
                { .type = POLICY_PEER_LAN },
                { .type = POLICY_PEER_INTERNET },
                { .type = POLICY_PEER_LIST, .list = list },
        };
        const PolicyRule rule = {
                .verdict = POLICY_DENY,
                .directions = POLICY_DIRECTION_OUT,
                .services = &any,
                .n_services = 1,
                .peers = peers,
                .n_peers = ELEMENTSOF(peers),
                .via = via,
        };
        const PolicyRule bind = {
                .verdict = POLICY_DENY,
                .directions = POLICY_DIRECTION_BIND,
                .services = &(PolicyService){ IPPROTO_TCP, 1, 1023 },
                .n_services = 1,
                .peers = &(PolicyPeer){ .type = POLICY_PEER_ANY },
                .n_peers = 1,
        };
        _cleanup_free_ char *body = policy_rule_to_body(&rule);
        _cleanup_free_ char *bind_body = policy_rule_to_body(&bind);
        _cleanup_free_ char *bind_expanded = policy_rule_to_expanded(&bind);

        assert_string_equal(body, "out to broadcast,lan,internet,@bad-hosts via eth0");
        assert_string_equal(bind_body, "bind tcp/1-1023");
        assert_string_equal(bind_expanded, "deny bind tcp/1-1023 to any");
}

static void test_json(void **state) {
        static const char *const cases[] = {
                "{\n  \"cgpolicy\": 1\n}\n",
                "{\n  \"cgpolicy\": 1,\n  \"name\": \"a \\\"b\\\\ \xc3\xa4/\",\n"
                "  \"match\": { \"units\": [\"a\", \"b*\"], \"not\": [\"bc\"] },\n"
                "  \"mode\": \"off\",\n  \"default\": { \"in\": \"deny\", \"out\": \"allow\" },\n"
                "  \"profile\": \"web-server\",\n  \"rules\": [\n"
                "    { \"allow\": \"in tcp/80,443\", \"id\": \"web\", \"comment\": \"c\" },\n"
                "    { \"never\": \"out to multicast\" }\n  ]\n}\n",
                "{\n  \"cgpolicy\": 1,\n  \"default\": { \"out\": \"deny\" }\n}\n",
                "{\n  \"cgpolicy\": 1,\n  \"default\": { \"in\": \"deny\" },\n  \"rules\": [\n"
                "    { \"deny\": \"any\", \"comment\": \"\" }\n  ]\n}\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                _cleanup_free_ char *json = NULL;

                assert_int_equal(
                        policy_parse_file("/x", cases[i], strlen(cases[i]), NULL, NULL, &file), 0);
                json = policy_file_to_json(file);
                assert_non_null(json);
                assert_string_equal(json, cases[i]);
        }
}

/* A string that nobody checked must still be JSON. */
static void test_json_of_control_characters(void **state) {
        static char name[] = "a\nb\x01\x1b[31m";
        const PolicyFile file = { .name = name };
        _cleanup_free_ char *json = policy_file_to_json(&file);

        assert_string_equal(
                json, "{\n  \"cgpolicy\": 1,\n  \"name\": \"a\\u000ab\\u0001\\u001b[31m\"\n}\n");
}

#ifdef TEST_MEMORY_FAILS
static PolicyFile *printed;

static void attempt_print(bool *ret_memory_failed) {
        _cleanup_free_ char *json = policy_file_to_json(printed);
        _cleanup_free_ char *body = policy_rule_to_body(printed->rules[0]);
        _cleanup_free_ char *expanded = policy_rule_to_expanded(printed->rules[0]);

        /* Never a piece of it. */
        if (json)
                assert_string_equal(json + strlen(json) - 3, "\n}\n");
        if (body)
                assert_string_equal(body, printed->rules[0]->text);
        *ret_memory_failed = !json || !body || !expanded;
        assert_int_equal(*ret_memory_failed, test_memory_failed());
}

static void test_no_memory(void **state) {
        static const char json[] =
                "{\"cgpolicy\":1,\"rules\":[\"allow in tcp/1,2,3,4,5,6,7,8,9 from 10.0.0.0/8,"
                "192.168.0.0/16,172.16.0.0/12,localhost,multicast,link-local\",\"deny any\"]}";

        assert_int_equal(policy_parse_file("/x", json, strlen(json), NULL, NULL, &printed), 0);
        test_each_allocation_fails(attempt_print);
        printed = policy_file_free(printed);
}
#endif

static void test_endpoint(void **state) {
        static const struct {
                int protocol;
                const char *address, *endpoint;
        } cases[] = {
                { IPPROTO_TCP, "192.0.2.1", "192.0.2.1:443" },
                { IPPROTO_SCTP, "2001:db8::1", "[2001:db8::1]:443" },
                { IPPROTO_UDPLITE, "::", "[::]:443" },
                { IPPROTO_ICMP, "192.0.2.1", "192.0.2.1" },
                { 255, "2001:db8::1", "2001:db8::1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char buf[POLICY_ENDPOINT_SIZE];
                uint8_t address[16];

                assert_int_equal(policy_address_from_string(cases[i].address, address), 0);
                assert_string_equal(policy_endpoint_to_string(cases[i].protocol, address, 443, buf),
                        cases[i].endpoint);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_endpoint),
                cmocka_unit_test(test_address),
                cmocka_unit_test(test_protocol),
                cmocka_unit_test(test_expanded),
                cmocka_unit_test(test_body_of_later_releases),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_of_control_characters),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
