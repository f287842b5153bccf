/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The printed forms of addresses, protocols, rules and files. */
#include "policy/text.h"

#include <netinet/in.h>

#include "random-texts.h"
#include "util/strv.h"

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
                { POLICY_ALLOW, "bind tcp/8080", "allow bind tcp/8080 to any" },
                { POLICY_DENY, "bind", "deny bind any to any" },
                { POLICY_ALLOW, "bind udp/5353 to multicast", "allow bind udp/5353 to multicast" },
                { POLICY_NEVER, "via eth0",
                        "never in any from any via eth0\nnever out any to any via eth0" },
                { POLICY_ALLOW, "tcp/22 from lan,@admins via eth0",
                        "allow in tcp/22 from lan,@admins via eth0" },
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

/* Whatever may be written is printed in one form, and that form says the same. */
static void test_random_rules(void **state) {
        uint64_t random = 0x452821e638d01377ULL;
        size_t n_other = 0;

        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL, *again = NULL;
                _cleanup_free_ char *body = NULL, *expanded = NULL;
                unsigned directions = 0;
                RandomBody b;
                char *rest, *line;

                random_body(&random, &b);
                if (policy_parse_body(i % _POLICY_VERDICT_MAX, b.text, NULL, 0, 0, &test_services,
                            NULL, &rule) < 0)
                        fail_msg("\"%s\"", b.text);
                assert_int_equal(policy_parse_body(
                                         rule->verdict, rule->text, NULL, 0, 0, NULL, NULL, &again),
                        0);
                assert_rules_equal(rule, again);
                body = policy_rule_to_body(again);
                assert_string_equal(body, rule->text);
                n_other += !streq(rule->text, b.text);

                expanded = policy_rule_to_expanded(rule);
                for (rest = expanded; (line = strsep(&rest, "\n"));) {
                        _cleanup_(policy_rule_freep) PolicyRule *part = NULL;

                        assert_int_equal(policy_parse_rule(line, NULL, 0, 0, NULL, NULL, &part), 0);
                        directions |= part->directions;
                        /* But for the direction it is the rule. */
                        part->directions = rule->directions;
                        free(part->text);
                        part->text = policy_rule_to_body(part);
                        assert_rules_equal(rule, part);
                }
                assert_int_equal(directions, rule->directions);
        }
        assert_true(n_other > 1000);
}

static void random_file(uint64_t *random, PolicyFile *file) {
        file->has_match = true;
        assert_int_equal(strv_extend(&file->match.units, "a"), 0);
        file->mode = test_random(random) % _POLICY_MODE_MAX;
        file->default_in = test_random(random) % _POLICY_DEFAULT_MAX;
        file->default_out = test_random(random) % _POLICY_DEFAULT_MAX;
        file->refusal = test_random(random) % _POLICY_ERRNO_MAX;
        for (uint32_t i = test_random(random) % 4; i > 0; i--) {
                _cleanup_(policy_list_definition_done) PolicyListDefinition list = {};

                assert_true(asprintf(&list.name, "list-%u", i) > 0);
                if (test_random(random) % 2)
                        list.file = strdup("lists/\"q\\ \xc3\xa4");
                else {
                        assert_int_equal(strv_copy(NULL, &list.networks), 0);
                        if (test_random(random) % 2)
                                assert_int_equal(strv_extend(&list.networks, "10.0.0.0/8"), 0);
                        if (test_random(random) % 2)
                                assert_int_equal(strv_extend(&list.networks, "::1-::9"), 0);
                }
                assert_int_equal(policy_file_add_list(file, &list), 0);
        }
        for (uint32_t i = test_random(random) % 6; i > 0; i--) {
                PolicyRule *rule = NULL;
                RandomBody b;

                random_body(random, &b);
                assert_int_equal(policy_parse_body(i % _POLICY_VERDICT_MAX, b.text, NULL, 0, 0,
                                         &test_services, NULL, &rule),
                        0);
                if (test_random(random) % 2)
                        assert_true(asprintf(&rule->id, "id-%u", i) > 0);
                if (test_random(random) % 2)
                        rule->comment = strdup("\"c\" \\");
                assert_int_equal(policy_file_add_rule(file, &rule), 0);
        }
}

static void test_random_files(void **state) {
        uint64_t random = 0xbe5466cf34e90c6cULL;

        for (unsigned i = 0; i < 3000; i++) {
                _cleanup_(policy_file_freep) PolicyFile *file = NULL, *again = NULL;
                _cleanup_free_ char *json = NULL, *twice = NULL;

                assert_int_equal(policy_file_new("/x", &file), 0);
                random_file(&random, file);
                json = policy_file_to_json(file);
                assert_int_equal(
                        policy_parse_file("/x", json, strlen(json), NULL, NULL, &again), 0);
                assert_files_equal(file, again);
                twice = policy_file_to_json(again);
                assert_string_equal(json, twice);
        }
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
                "{\n  \"cgpolicy\": 1,\n  \"match\": { \"units\": [\"a\"] },\n"
                "  \"errno\": \"EACCES\",\n  \"profile\": \"p\",\n  \"lists\": {\n"
                "    \"b\": { \"file\": \"l/b\", \"on-error\": \"keep-last\" },\n"
                "    \"a\": { \"networks\": [\"10.0.0.1\", \"::/0\"] },\n"
                "    \"e\": { \"networks\": [] }\n  },\n  \"rules\": [\n"
                "    { \"allow\": \"bind tcp/80 to lan,@a\" }\n  ]\n}\n",
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
                "{\"cgpolicy\":1,\"errno\":\"EACCES\",\"match\":{\"units\":[\"a\"]},"
                "\"lists\":{\"a\":{\"networks\":[\"::1\"]},\"b\":{\"file\":\"f\"}},"
                "\"rules\":[\"allow in tcp/1,2,3,4,5,6,7,8,9 from 10.0.0.0/8,192.168.0.0/16,"
                "172.16.0.0/12,localhost,multicast,link-local,@a via eth0\",\"deny any\"]}";

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
                cmocka_unit_test(test_random_rules),
                cmocka_unit_test(test_random_files),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_of_control_characters),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
