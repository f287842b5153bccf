/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rule text: tables of everything the grammar takes, with its canonical text, and of what it refuses, with
 * the message and its column; mutants of rules; and each allocation failing once.
 */
#include <netinet/in.h>

#include "policy-test.h"

/* What is printed for a rule must be the rule, on a host without names too. */
static void assert_round_trip(const PolicyRule *rule) {
        _cleanup_(policy_rule_freep) PolicyRule *again = NULL;
        _cleanup_free_ char *expanded = NULL, *whole = NULL;
        char *line, *rest;
        unsigned directions = 0;

        assert_int_equal(
                policy_parse_body(rule->verdict, rule->text, NULL, 0, 0, NULL, NULL, &again), 0);
        assert_rules_equal(rule, again);
        again = policy_rule_free(again);

        assert_true(
                asprintf(&whole, "%s %s", policy_verdict_to_string(rule->verdict), rule->text) > 0);
        assert_int_equal(policy_parse_rule(whole, NULL, 0, 0, NULL, NULL, &again), 0);
        assert_rules_equal(rule, again);

        expanded = policy_rule_to_expanded(rule);
        assert_non_null(expanded);
        for (rest = expanded; (line = strsep(&rest, "\n"));) {
                _cleanup_(policy_rule_freep) PolicyRule *half = NULL;

                assert_int_equal(policy_parse_rule(line, NULL, 0, 0, NULL, NULL, &half), 0);
                assert_int_equal(directions & half->directions, 0);
                assert_int_equal(half->verdict, rule->verdict);
                assert_int_equal(half->n_services, rule->n_services);
                assert_int_equal(half->n_peers, rule->n_peers);
                directions |= half->directions;
        }
        assert_int_equal(directions, rule->directions);
}

static const struct {
        const char *body;
        const char *canonical;
} accepted[] = {
        /* every part may be absent, but not all */
        { "any", "any" },
        { "in", "in any" },
        { "out", "out any" },
        { "in any", "in any" },
        { "to any", "out any" },
        { "from any", "in any" },
        { "any to any", "out any" },
        { "out any to any", "out any" },
        { "in from any", "in any" },
        { "tcp", "tcp" },
        { "out tcp", "out tcp" },
        { "in udp/53", "in udp/53" },
        { "  in   tcp/80   from   10.0.0.0/8  ", "in tcp/80 from 10.0.0.0/8" },
        /* directions */
        { "to 10.0.0.1", "out to 10.0.0.1" },
        { "from 10.0.0.1", "in from 10.0.0.1" },
        { "out to 10.0.0.1", "out to 10.0.0.1" },
        { "tcp/22 from 10.0.0.1", "in tcp/22 from 10.0.0.1" },
        { "any to localhost", "out to localhost" },
        /* protocols */
        { "udplite/5", "udplite/5" },
        { "sctp/1-9", "sctp/1-9" },
        { "icmp", "icmp" },
        { "icmpv6", "icmpv6" },
        { "0", "0" },
        { "1", "icmp" },
        { "6", "tcp" },
        { "6/80", "tcp/80" },
        { "17/53", "udp/53" },
        { "58", "icmpv6" },
        { "132/7", "sctp/7" },
        { "136/7", "udplite/7" },
        { "47", "47" },
        { "255", "255" },
        { "in 47 from 10.0.0.0/8", "in 47 from 10.0.0.0/8" },
        /* ports */
        { "tcp/0", "tcp/0" },
        { "tcp/65535", "tcp/65535" },
        { "tcp/0-65535", "tcp" },
        { "tcp/0-65534", "tcp/0-65534" },
        { "tcp/80-80", "tcp/80" },
        { "tcp/443,80", "tcp/80,443" },
        { "tcp/80,80,80-80", "tcp/80" },
        /* neighbours and overlaps are kept: the narrower one wins over other rules */
        { "tcp/81,80", "tcp/80,81" },
        { "tcp/80-81", "tcp/80-81" },
        { "tcp/1-1000,80", "tcp/1-1000,80" },
        { "tcp/80,0-65535", "tcp/0-65535,80" },
        { "tcp/80, 443 , 8080", "tcp/80,443,8080" },
        { "tcp/80 ,443", "tcp/80,443" },
        /* several protocols: the written-out form of a service */
        { "tcp/443+udp/443", "tcp/443+udp/443" },
        { "udp/443+tcp/443,80", "tcp/80,443+udp/443" },
        { "udp+tcp/1", "tcp/1+udp" },
        { "icmp+icmpv6", "icmp+icmpv6" },
        { "tcp+tcp/80", "tcp/0-65535,80" },
        { "in 6/1+17/1 from ::1", "in tcp/1+udp/1 from ::1" },
        /* services */
        { "https", "tcp/443+udp/443" },
        { "in https", "in tcp/443+udp/443" },
        { "out domain to 192.0.2.53", "out tcp/53+udp/53 to 192.0.2.53" },
        { "ssh from 10.0.0.0/8", "in tcp/22 from 10.0.0.0/8" },
        { "whois++", "tcp/63" },
        { "3com-tsmux", "udp/106" },
        /* addresses */
        { "to 10.0.0.1/32", "out to 10.0.0.1" },
        { "to 0.0.0.0/0", "out to 0.0.0.0/0" },
        { "to ::/0", "out to ::/0" },
        { "to 0.0.0.0", "out to 0.0.0.0" },
        { "to 2001:DB8::/32", "out to 2001:db8::/32" },
        { "to 2001:db8::1/128", "out to 2001:db8::1" },
        { "to ::1", "out to ::1" },
        { "to ::ffff:10.0.0.0/104", "out to 10.0.0.0/8" },
        { "to ::ffff:10.0.0.1", "out to 10.0.0.1" },
        { "to ::ffff:0:0/96", "out to 0.0.0.0/0" },
        { "to ::ffff:a00:1/128", "out to 10.0.0.1" },
        { "to ::fffe:0:0/95", "out to ::fffe:0:0/95" },
        /* ranges */
        { "to 10.0.0.1-10.0.0.9", "out to 10.0.0.1-10.0.0.9" },
        { "to 10.0.0.5-10.0.0.5", "out to 10.0.0.5" },
        { "to 10.0.0.0-10.255.255.255", "out to 10.0.0.0/8" },
        { "to 0.0.0.0-255.255.255.255", "out to 0.0.0.0/0" },
        { "to ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "out to ::/0" },
        { "to ::ffff:10.0.0.1-10.0.0.9", "out to 10.0.0.1-10.0.0.9" },
        { "to 2001:db8::1-2001:db8::ff", "out to 2001:db8::1-2001:db8::ff" },
        { "to 10.0.0.0-10.0.0.2", "out to 10.0.0.0-10.0.0.2" },
        { "to 10.0.0.1-10.0.0.2", "out to 10.0.0.1-10.0.0.2" },
        /* sets */
        { "to localhost", "out to localhost" },
        { "to link-local", "out to link-local" },
        { "from multicast", "in from multicast" },
        /* several peers: sorted, without repetitions, not merged */
        { "from localhost,10.0.0.0/8", "in from 10.0.0.0/8,localhost" },
        { "from 10.0.0.0/8, 10.1.0.0/16", "in from 10.0.0.0/8,10.1.0.0/16" },
        { "from 10.0.0.0/9,10.128.0.0/9", "in from 10.0.0.0/9,10.128.0.0/9" },
        { "from 10.0.0.1,10.0.0.1/32,::ffff:10.0.0.1", "in from 10.0.0.1" },
        { "to ::1,127.0.0.1", "out to 127.0.0.1,::1" },
        { "to any,10.0.0.0/8", "out to any,10.0.0.0/8" },
        { "to any,any", "out any" },
        { "to multicast,link-local,localhost,10.0.0.1-10.0.0.9,::/0,any",
                "out to any,::/0,10.0.0.1-10.0.0.9,localhost,link-local,multicast" },
        { "to internet,lan,broadcast", "out to broadcast,lan,internet" },
        { "tcp/22 from lan", "in tcp/22 from lan" },
        /* lists: by bytes, behind the rest */
        { "to @bad-hosts", "out to @bad-hosts" },
        { "from @b,@a , @b,@B,10.0.0.1,internet", "in from 10.0.0.1,internet,@B,@a,@b" },
        { "to @0.a_b-c", "out to @0.a_b-c" },
        /* bind: the port and the address are ours */
        { "bind", "bind any" },
        { "bind any to any", "bind any" },
        { "bind tcp/8080", "bind tcp/8080" },
        { "bind tcp/443,80+udp", "bind tcp/80,443+udp" },
        { "bind https", "bind tcp/443+udp/443" },
        { "bind udp/5353 to 224.0.0.251", "bind udp/5353 to 224.0.0.251" },
        { "bind to localhost,::,lan,@ours", "bind to ::,localhost,lan,@ours" },
        { "bind sctp/1-1023 to 0.0.0.0", "bind sctp/1-1023 to 0.0.0.0" },
        /* interfaces, also by an altname */
        { "via eth0", "any via eth0" },
        { "out via eth0", "out any via eth0" },
        { "in any from any via eth0", "in any via eth0" },
        { "tcp/443 via wg-home", "tcp/443 via wg-home" },
        { "from lan  via  enp0s31f6 ", "in from lan via enp0s31f6" },
        { "to 10.0.0.1, 10.0.0.2 via eth0.100@x", "out to 10.0.0.1,10.0.0.2 via eth0.100@x" },
        { "out via to", "out any via to" },
        { "out via via", "out any via via" },
        { "in tcp/80 via +a", "in tcp/80 via +a" },
};

static void test_accepted(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(accepted); i++) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                int r;

                r = policy_parse_body(
                        POLICY_DENY, accepted[i].body, "/p", 3, 9, &test_services, &diags, &rule);
                if (r < 0)
                        print_error("\"%s\": %s\n", accepted[i].body, diags.diags[0].message);
                assert_int_equal(r, 0);
                assert_int_equal(diags.n_diags, 0);
                assert_string_equal(rule->text, accepted[i].canonical);
                assert_int_equal(rule->verdict, POLICY_DENY);
                assert_string_equal(rule->source.path, "/p");
                assert_int_equal(rule->source.line, 3);
                assert_int_equal(rule->source.column, 9);
                assert_null(rule->id);
                assert_null(rule->comment);
                assert_round_trip(rule);
        }
}

static void test_model(void **state) {
        static const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
        static const uint8_t last[16] = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 9 };
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;

        assert_int_equal(policy_parse_rule("never tcp/80,443 from 10.0.0.0/8,10.0.0.0-10.0.0.9,any,"
                                           "::1,localhost",
                                 NULL, 0, 0, NULL, NULL, &rule),
                0);
        assert_int_equal(rule->verdict, POLICY_NEVER);
        assert_int_equal(rule->directions, POLICY_DIRECTION_IN);
        assert_int_equal(rule->n_services, 2);
        assert_int_equal(rule->services[1].protocol, IPPROTO_TCP);
        assert_int_equal(rule->services[1].port_min, 443);
        assert_int_equal(rule->services[1].port_max, 443);
        assert_int_equal(rule->n_peers, 5);
        assert_int_equal(rule->peers[0].type, POLICY_PEER_ANY);
        assert_int_equal(rule->peers[0].family, AF_UNSPEC);
        assert_int_equal(rule->peers[1].type, POLICY_PEER_PREFIX);
        assert_int_equal(rule->peers[1].family, AF_INET);
        assert_int_equal(rule->peers[1].prefix_len, 8);
        assert_memory_equal(rule->peers[1].address, v4, 16);
        assert_int_equal(rule->peers[2].type, POLICY_PEER_PREFIX);
        assert_int_equal(rule->peers[2].family, AF_INET6);
        assert_int_equal(rule->peers[2].prefix_len, 128);
        assert_int_equal(rule->peers[3].type, POLICY_PEER_RANGE);
        assert_int_equal(rule->peers[3].family, AF_INET);
        assert_memory_equal(rule->peers[3].last, last, 16);
        assert_int_equal(rule->peers[4].type, POLICY_PEER_LOCALHOST);
        assert_int_equal(rule->peers[4].family, AF_UNSPEC);
        assert_null(rule->via);
        assert_null(rule->source.path);
        rule = policy_rule_free(rule);

        assert_int_equal(
                policy_parse_rule("deny udp to lan,@b via tun0", NULL, 0, 0, NULL, NULL, &rule), 0);
        assert_int_equal(rule->n_peers, 2);
        assert_int_equal(rule->peers[0].type, POLICY_PEER_LAN);
        assert_int_equal(rule->peers[1].type, POLICY_PEER_LIST);
        assert_int_equal(rule->peers[1].family, AF_UNSPEC);
        assert_string_equal(rule->peers[1].list, "b");
        assert_string_equal(rule->via, "tun0");
        rule = policy_rule_free(rule);

        assert_int_equal(policy_parse_rule("deny bind", NULL, 0, 0, NULL, NULL, &rule), 0);
        assert_int_equal(rule->directions, POLICY_DIRECTION_BIND);
        rule = policy_rule_free(rule);

        assert_int_equal(policy_parse_rule("allow any", NULL, 0, 0, NULL, NULL, &rule), 0);
        assert_int_equal(rule->directions, POLICY_DIRECTION_IN | POLICY_DIRECTION_OUT);
        assert_int_equal(rule->n_services, 1);
        assert_int_equal(rule->services[0].protocol, POLICY_PROTOCOL_ANY);
        assert_int_equal(rule->services[0].port_min, 0);
        assert_int_equal(rule->services[0].port_max, UINT16_MAX);
}

typedef struct Rejected {
        const char *text; /* a whole rule if it begins with "!", which does not count */
        unsigned column;
        int error;
        const char *code;
        const char *message;
} Rejected;

static const Rejected rejected[] = {
        { "", 1, -EINVAL, "empty-rule", "the rule is empty (\"any\" stands for everything)" },
        { "   ", 4, -EINVAL, "empty-rule", "the rule is empty (\"any\" stands for everything)" },
        /* verdicts */
        { "!", 1, -EINVAL, "empty-rule",
                "the rule is empty (write \"allow\", \"deny\" or \"never\" and what)" },
        { "!allow", 6, -EINVAL, "empty-rule", "the rule is empty (\"any\" stands for everything)" },
        { "!alow tcp", 1, -EINVAL, "unknown-verdict",
                "unknown verdict \"alow\" (did you mean \"allow\"?)" },
        { "!drop tcp", 1, -EINVAL, "unknown-verdict",
                "unknown verdict \"drop\" (did you mean \"deny\"?)" },
        { "!ALLOW tcp", 1, -EINVAL, "unknown-verdict",
                "unknown verdict \"ALLOW\" (did you mean \"allow\"?)" },
        { "! tcp/80", 2, -EINVAL, "unknown-verdict",
                "unknown verdict \"tcp/80\" (a rule begins with \"allow\", \"deny\" or \"never\")" },
        { "!allow allow tcp", 7, -EINVAL, "unexpected-word",
                "unexpected \"allow\": the verdict is stated already" },
        { "!allow inn tcp", 7, -EINVAL, "unexpected-word",
                "unknown word \"inn\" (did you mean \"in\"?)" },
        /* directions */
        { "ot tcp", 1, -EINVAL, "unexpected-word", "unknown word \"ot\" (did you mean \"out\"?)" },
        { "inbound tcp", 1, -EINVAL, "unexpected-word",
                "unknown word \"inbound\" (did you mean \"in\"?)" },
        { "egress", 1, -EINVAL, "unexpected-word",
                "unknown word \"egress\" (did you mean \"out\"?)" },
        { "in out tcp", 4, -EINVAL, "unexpected-word",
                "unexpected \"out\": a rule has one direction, or none for both" },
        { "tcp/80 in", 8, -EINVAL, "unexpected-word",
                "unexpected \"in\": the direction comes first" },
        { "out tcp from 10.0.0.1", 9, -EINVAL, "direction-conflict",
                "\"from\" does not go with \"out\" (did you mean \"to\"?)" },
        { "in to localhost", 4, -EINVAL, "direction-conflict",
                "\"to\" does not go with \"in\" (did you mean \"from\"?)" },
        /* protocols */
        { "tpc/80", 1, -EINVAL, "unknown-protocol",
                "unknown protocol \"tpc\" (did you mean \"tcp\"?)" },
        { "in ucmp", 4, -EINVAL, "unknown-protocol",
                "unknown protocol \"ucmp\" (did you mean \"icmp\"?)" },
        { "TCP/80", 1, -EINVAL, "unknown-protocol",
                "unknown protocol \"TCP\" (did you mean \"tcp\"?)" },
        { "icmp6", 1, -EINVAL, "unknown-protocol",
                "unknown protocol \"icmp6\" (did you mean \"icmpv6\"?)" },
        { "ipv6-icmp", 1, -EINVAL, "unknown-protocol",
                "unknown protocol \"ipv6-icmp\" (did you mean \"icmpv6\"?)" },
        { "all", 1, -EINVAL, "unknown-protocol",
                "unknown protocol \"all\" (did you mean \"any\"?)" },
        { "quicksand", 1, -EINVAL, "unknown-service",
                "\"quicksand\" is neither a protocol nor a service of this host" },
        { "quicksand/80", 1, -EINVAL, "unknown-protocol", "unknown protocol \"quicksand\"" },
        { "256", 1, -EINVAL, "bad-protocol",
                "\"256\" is not a protocol number (0-255); a port is written \"tcp/443\"" },
        { "in 8080", 4, -EINVAL, "bad-protocol",
                "\"8080\" is not a protocol number (0-255); a port is written \"tcp/443\"" },
        { "443/tcp", 1, -EINVAL, "bad-protocol",
                "the protocol comes before the port (did you mean \"tcp/443\"?)" },
        { "06", 1, -EINVAL, "bad-protocol", "\"06\" is not a protocol number (0-255)" },
        { "0x6", 1, -EINVAL, "bad-protocol", "\"0x6\" is not a protocol number (0-255)" },
        { "+6", 1, -EINVAL, "unknown-protocol", "a protocol is missing here" },
        { "-6", 1, -EINVAL, "unknown-service",
                "\"-6\" is neither a protocol nor a service of this host" },
        { "tcp+", 5, -EINVAL, "unknown-protocol", "a protocol is missing here" },
        { "tcp/80+https", 8, -EINVAL, "unknown-protocol", "unknown protocol \"https\"" },
        { "any+tcp", 1, -EINVAL, "ports-not-allowed",
                "\"any\" takes no ports and no other protocol (write \"tcp/...\" or \"udp/...\")" },
        { "any/80", 1, -EINVAL, "ports-not-allowed",
                "\"any\" takes no ports and no other protocol (write \"tcp/...\" or \"udp/...\")" },
        { "icmp/8", 6, -EINVAL, "ports-not-allowed",
                "\"icmp\" has no ports (tcp, udp, udplite and sctp have)" },
        { "47/1", 4, -EINVAL, "ports-not-allowed",
                "\"47\" has no ports (tcp, udp, udplite and sctp have)" },
        { "port 443", 1, -EINVAL, "unknown-protocol",
                "\"port\" is no protocol; a port is written \"tcp/443\"" },
        { "tcp:443", 1, -EINVAL, "unknown-protocol",
                "\"tcp:443\" is no protocol; a port is written \"tcp/443\"" },
        { "tcp,udp", 1, -EINVAL, "unknown-service",
                "\"tcp,udp\" is neither a protocol nor a service of this host" },
        { "tcp udp", 5, -EINVAL, "unexpected-word",
                "unexpected \"udp\" (a rule is [in|out|bind] [PROTOCOL[/PORTS]] [to|from PEERS] [via INTERFACE])" },
        /* services */
        { "eio", 1, -EINVAL, "service-lookup",
                "cannot look service \"eio\" up: Input/output error" },
        { "endless", 1, -E2BIG, "too-many-ports", "service \"endless\" has more than 256 ports" },
        { "pinglike", 1, -EINVAL, "service-lookup",
                "service \"pinglike\" has a port of a protocol without ports" },
        /* ports */
        { "tcp/", 5, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/80,", 8, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/,80", 5, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/80,,81", 8, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/80-", 8, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/-80", 5, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/65536", 5, -EINVAL, "bad-port", "\"65536\" is not a port (0-65535)" },
        { "tcp/1-65536", 7, -EINVAL, "bad-port", "\"65536\" is not a port (0-65535)" },
        { "tcp/99999999999999999999", 5, -EINVAL, "bad-port",
                "\"99999999999999999999\" is not a port (0-65535)" },
        { "tcp/080", 5, -EINVAL, "bad-port", "\"080\" is not a port (0-65535)" },
        { "tcp/0x50", 5, -EINVAL, "bad-port", "\"0x50\" is not a port (0-65535)" },
        { "tcp/+80", 5, -EINVAL, "bad-port", "a port is missing here" },
        { "tcp/80/81", 5, -EINVAL, "bad-port", "\"80/81\" is not a port (0-65535)" },
        { "tcp/1-2-3", 7, -EINVAL, "bad-port", "\"2-3\" is not a port (0-65535)" },
        { "tcp/443-80", 5, -EINVAL, "bad-port",
                "ports \"443-80\" end before they begin (did you mean \"80-443\"?)" },
        { "tcp/https", 5, -EINVAL, "bad-port",
                "\"https\" is not a port (0-65535); the name of a service stands without a protocol" },
        { "tcp/80 81", 8, -EINVAL, "unexpected-word",
                "unexpected \"81\": a port is written behind its protocol (\"tcp/443\")" },
        { "tcp/80 to 10.0.0.1 81", 20, -EINVAL, "unexpected-word",
                "unexpected \"81\" (a rule is [in|out|bind] [PROTOCOL[/PORTS]] [to|from PEERS] [via INTERFACE])" },
        /* peers */
        { "to", 3, -EINVAL, "missing-peer", "a peer is missing after \"to\"" },
        { "tcp/80 from ", 13, -EINVAL, "missing-peer", "a peer is missing after \"from\"" },
        { "to 10.0.0.1,", 13, -EINVAL, "missing-peer", "a peer is missing here" },
        { "to ,10.0.0.1", 4, -EINVAL, "missing-peer", "a peer is missing here" },
        { "to 10.0.0.1 10.0.0.2", 13, -EINVAL, "unexpected-word",
                "unexpected \"10.0.0.2\" (a rule is [in|out|bind] [PROTOCOL[/PORTS]] [to|from PEERS] [via INTERFACE])" },
        { "to 10.0.0.1 to 10.0.0.2", 13, -EINVAL, "unexpected-word",
                "unexpected \"to\": a rule has one \"to\" or \"from\"" },
        { "to 10.0.0.1 from 10.0.0.2", 13, -EINVAL, "unexpected-word",
                "unexpected \"from\": a rule has one \"to\" or \"from\"" },
        { "tcp/80 10.0.0.1", 8, -EINVAL, "missing-direction",
                "peer \"10.0.0.1\" needs \"to\" or \"from\" before it" },
        { "10.0.0.0/8", 1, -EINVAL, "missing-direction",
                "peer \"10.0.0.0/8\" needs \"to\" or \"from\" before it" },
        { "in localhost", 4, -EINVAL, "missing-direction",
                "peer \"localhost\" needs \"to\" or \"from\" before it" },
        { "out @bad", 5, -EINVAL, "missing-direction",
                "peer \"@bad\" needs \"to\" or \"from\" before it" },
        { "tcp/80 too 10.0.0.1", 8, -EINVAL, "unexpected-word",
                "unexpected \"too\" (did you mean \"to\"?)" },
        { "tcp/80 form 10.0.0.1", 8, -EINVAL, "unexpected-word",
                "unexpected \"form\" (did you mean \"from\"?)" },
        { "to 10.1.2.3/8", 4, -EINVAL, "host-bits",
                "\"10.1.2.3/8\" is not a network (did you mean \"10.0.0.0/8\" or \"10.1.2.3\"?)" },
        { "to 0.0.0.1/0", 4, -EINVAL, "host-bits",
                "\"0.0.0.1/0\" is not a network (did you mean \"0.0.0.0/0\" or \"0.0.0.1\"?)" },
        { "to 2001:db8::1/64", 4, -EINVAL, "host-bits",
                "\"2001:db8::1/64\" is not a network (did you mean \"2001:db8::/64\" or "
                "\"2001:db8::1\"?)" },
        { "to ::ffff:10.1.2.3/104", 4, -EINVAL, "host-bits",
                "\"::ffff:10.1.2.3/104\" is not a network (did you mean \"10.0.0.0/8\" or "
                "\"10.1.2.3\"?)" },
        { "to ::ffff:10.0.0.0/90", 4, -EINVAL, "host-bits",
                "\"::ffff:10.0.0.0/90\" is not a network (did you mean \"::ffc0:0:0/90\" or "
                "\"10.0.0.0\"?)" },
        { "to 10.0.0.0/33", 13, -EINVAL, "bad-prefix", "\"33\" is not a prefix length (0-32)" },
        { "to ::/129", 7, -EINVAL, "bad-prefix", "\"129\" is not a prefix length (0-128)" },
        { "to 10.0.0.0/", 13, -EINVAL, "bad-prefix", "\"\" is not a prefix length (0-32)" },
        { "to 10.0.0.0/08", 13, -EINVAL, "bad-prefix", "\"08\" is not a prefix length (0-32)" },
        { "to 10.0.0.0/255.0.0.0", 13, -EINVAL, "bad-prefix",
                "\"255.0.0.0\" is not a prefix length (0-32)" },
        { "to 10.0.0.256", 4, -EINVAL, "bad-address", "\"10.0.0.256\" is not an address" },
        { "to 10.0.0", 4, -EINVAL, "bad-address", "\"10.0.0\" is not an address" },
        { "to 010.0.0.1", 4, -EINVAL, "bad-address", "\"010.0.0.1\" is not an address" },
        { "to 10", 4, -EINVAL, "bad-address", "\"10\" is not an address" },
        { "to 1:2", 4, -EINVAL, "bad-address", "\"1:2\" is not an address" },
        { "to [::1]", 4, -EINVAL, "bad-address", "\"[::1]\" is not an address" },
        { "to 10.0.0.1:80", 4, -EINVAL, "bad-address",
                "\"10.0.0.1:80\" is not an address; ports go with the protocol (\"tcp/443 to "
                "192.0.2.1\")" },
        { "to fe80::1%eth0", 4, -EINVAL, "bad-address",
                "\"fe80::1%eth0\" names an interface; that is written behind the peers (\"via eth0\")" },
        { "to /8", 4, -EINVAL, "bad-address", "\"/8\" is not an address" },
        { "to 10.0.0.9-10.0.0.1", 4, -EINVAL, "bad-range",
                "range \"10.0.0.9-10.0.0.1\" ends before it begins" },
        { "to 10.0.0.9-::1", 4, -EINVAL, "bad-range",
                "range \"10.0.0.9-::1\" begins in one address family and ends in the other" },
        { "to 10.0.0.1-9", 13, -EINVAL, "bad-range",
                "\"9\" is not an address (a range is ADDRESS-ADDRESS)" },
        { "to 10.0.0.1-", 13, -EINVAL, "bad-range",
                "\"\" is not an address (a range is ADDRESS-ADDRESS)" },
        { "to 10.0.0.1-10.0.0.0/8", 13, -EINVAL, "bad-range",
                "\"10.0.0.0/8\" is not an address (a range is ADDRESS-ADDRESS)" },
        { "to locahost", 4, -EINVAL, "unknown-peer",
                "unknown peer \"locahost\" (did you mean \"localhost\"?)" },
        { "to Localhost", 4, -EINVAL, "unknown-peer",
                "unknown peer \"Localhost\" (did you mean \"localhost\"?)" },
        { "to linklocal", 4, -EINVAL, "unknown-peer",
                "unknown peer \"linklocal\" (did you mean \"link-local\"?)" },
        { "to lna", 4, -EINVAL, "unknown-peer", "unknown peer \"lna\" (did you mean \"lan\"?)" },
        { "to Internet", 4, -EINVAL, "unknown-peer",
                "unknown peer \"Internet\" (did you mean \"internet\"?)" },
        { "to wan", 4, -EINVAL, "unknown-peer",
                "unknown peer \"wan\" (did you mean \"internet\"?)" },
        { "from world", 6, -EINVAL, "unknown-peer",
                "unknown peer \"world\" (did you mean \"any\"?)" },
        { "to 10.0.0.1,example.com", 13, -EINVAL, "host-name",
                "\"example.com\" is a host name; rules take addresses, or a list of them "
                "(\"@example.com\")" },
        { "from db-1", 6, -EINVAL, "host-name",
                "\"db-1\" is a host name; rules take addresses, or a list of them (\"@db-1\")" },
        { "to *.debian.org", 4, -EINVAL, "host-name",
                "\"*.debian.org\" is a host name; rules take addresses, or a list of them "
                "(\"@NAME\")" },
        { "to http://x", 4, -EINVAL, "bad-address", "\"http:\" is not an address" },
        { "to ?", 4, -EINVAL, "unknown-peer", "unknown peer \"?\"" },
        /* lists */
        { "to @", 4, -EINVAL, "bad-list",
                "\"@\" cannot be a list: its name is 1-64 letters, digits and . _ -, a letter or digit "
                "first" },
        { "to 10.0.0.1,@-a", 13, -EINVAL, "bad-list",
                "\"@-a\" cannot be a list: its name is 1-64 letters, digits and . _ -, a letter or digit "
                "first" },
        { "to @a/8", 4, -EINVAL, "bad-list",
                "\"@a/8\" cannot be a list: its name is 1-64 letters, digits and . _ -, a letter or "
                "digit first" },
        { "to @a @b", 7, -EINVAL, "unexpected-word",
                "unexpected \"@b\" (a rule is [in|out|bind] [PROTOCOL[/PORTS]] [to|from PEERS] "
                "[via INTERFACE])" },
        /* interfaces */
        { "via", 4, -EINVAL, "missing-interface", "an interface is missing after \"via\"" },
        { "out to 10.0.0.1 via ", 21, -EINVAL, "missing-interface",
                "an interface is missing after \"via\"" },
        { "via any", 5, -EINVAL, "bad-interface", "a rule without \"via\" holds on any interface" },
        { "via eth0,eth1", 5, -EINVAL, "bad-interface",
                "\"eth0,eth1\" is not an interface; a rule names one (write one rule for each)" },
        { "via eth0, eth1", 5, -EINVAL, "bad-interface",
                "\"eth0, eth1\" is not an interface; a rule names one (write one rule for each)" },
        { "via eth*", 5, -EINVAL, "bad-interface",
                "\"eth*\" is a pattern; interfaces are named in full, also by an altname (\"ip link "
                "property add dev eth0 altname NAME\")" },
        { "via tun+", 5, -EINVAL, "bad-interface",
                "\"tun+\" is a pattern; interfaces are named in full, also by an altname (\"ip link "
                "property add dev eth0 altname NAME\")" },
        { "via !lo", 5, -EINVAL, "bad-interface", "\"!lo\" cannot be the name of an interface" },
        { "via eth0:1", 5, -EINVAL, "bad-interface",
                "\"eth0:1\" cannot be the name of an interface" },
        { "via ..", 5, -EINVAL, "bad-interface", "\"..\" cannot be the name of an interface" },
        { "via a/b", 5, -EINVAL, "bad-interface", "\"a/b\" cannot be the name of an interface" },
        { "via eth0 via eth1", 10, -EINVAL, "unexpected-word",
                "unexpected \"via\": a rule names one interface" },
        { "via eth0 to 10.0.0.1", 10, -EINVAL, "unexpected-word",
                "unexpected \"to\": \"via\" and the interface come last" },
        { "tcp/80 dev eth0", 8, -EINVAL, "unexpected-word",
                "unexpected \"dev\" (did you mean \"via\"?)" },
        { "to 10.0.0.1 on eth0", 13, -EINVAL, "unexpected-word",
                "unexpected \"on\" (did you mean \"via\"?)" },
        /* bind */
        { "bind from lan", 6, -EINVAL, "direction-conflict",
                "\"from\" does not go with \"bind\": nobody has called yet (\"to ADDRESS\" is the "
                "local address; who may call says an \"in\" rule)" },
        { "bind tcp/80 via eth0", 13, -EINVAL, "direction-conflict",
                "\"via\" does not go with \"bind\": a port is bound to an address (\"to ADDRESS\"), "
                "not to an interface" },
        { "bind tcp/80 to ::1 via eth0", 20, -EINVAL, "direction-conflict",
                "\"via\" does not go with \"bind\": a port is bound to an address (\"to ADDRESS\"), "
                "not to an interface" },
        { "bind icmp", 6, -EINVAL, "ports-not-allowed",
                "\"icmp\" has no ports to bind (tcp, udp, udplite and sctp have; \"any\" is all of "
                "them)" },
        { "bind tcp/80+47", 6, -EINVAL, "ports-not-allowed",
                "\"47\" has no ports to bind (tcp, udp, udplite and sctp have; \"any\" is all of "
                "them)" },
        { "in bind tcp/80", 4, -EINVAL, "unexpected-word",
                "unexpected \"bind\": a rule has one direction, or none for both" },
        { "tcp/80 bind", 8, -EINVAL, "unexpected-word",
                "unexpected \"bind\": the direction comes first" },
        { "listen tcp/80", 1, -EINVAL, "unexpected-word",
                "unknown word \"listen\" (did you mean \"bind\"?)" },
        { "bnid tcp/80", 1, -EINVAL, "unexpected-word",
                "unknown word \"bnid\" (did you mean \"bind\"?)" },
        /* characters */
        { "in\ttcp", 3, -EINVAL, "bad-character", "control character 0x09 in a rule" },
        { "in tcp\n", 7, -EINVAL, "bad-character", "control character 0x0a in a rule" },
        { "\x1b[31m", 1, -EINVAL, "bad-character", "control character 0x1b in a rule" },
        { "tcp\x7f", 4, -EINVAL, "bad-character", "control character 0x7f in a rule" },
        { "tcp/\xd9\xa8", 5, -EINVAL, "bad-character", "character outside ASCII in a rule" },
        { "to b\xc3\xbc.de", 5, -EINVAL, "bad-character", "character outside ASCII in a rule" },
        { "tcp\xa0", 4, -EINVAL, "bad-character", "character outside ASCII in a rule" },
        /* a long word is not quoted whole */
        { "to aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 4,
                -EINVAL, "host-name",
                "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" is a host "
                "name; rules take addresses, or a list of them (\"@NAME\")" },
};

static void test_rejected(void **state) {
        static const PolicyRule untouched;

        for (size_t i = 0; i < ELEMENTSOF(rejected); i++) {
                const Rejected *c = rejected + i;
                const char *whole = startswith(c->text, "!");
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                PolicyRule *rule = (PolicyRule *)(uintptr_t)&untouched;
                int r;

                r = whole ? policy_parse_rule(whole, "/p", 7, 1, &test_services, &diags, &rule)
                          : policy_parse_body(POLICY_ALLOW, c->text, "/p", 7, 1, &test_services,
                                    &diags, &rule);
                if (r != c->error || diags.n_diags != 1 ||
                        !streq(diags.diags[0].message, c->message) ||
                        diags.diags[0].column != c->column)
                        print_error("\"%s\": %d, %zu, %u: %s\n", c->text, r, diags.n_diags,
                                diags.n_diags > 0 ? diags.diags[0].column : 0,
                                diags.n_diags > 0 ? diags.diags[0].message : "");
                assert_int_equal(r, c->error);
                assert_ptr_equal(rule, &untouched);
                assert_int_equal(diags.n_diags, 1);
                assert_int_equal(diags.n_errors, 1);
                assert_string_equal(diags.diags[0].code, c->code);
                assert_string_equal(diags.diags[0].message, c->message);
                assert_string_equal(diags.diags[0].path, "/p");
                assert_int_equal(diags.diags[0].line, 7);
                assert_int_equal(diags.diags[0].column, c->column);
        }
}

/* The command line has no lines, a drop-in has its own columns. */
static void test_column(void **state) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        PolicyRule *rule = NULL;

        assert_int_equal(
                policy_parse_body(POLICY_ALLOW, "in tcp/x", NULL, 0, 0, NULL, &diags, &rule),
                -EINVAL);
        assert_int_equal(
                policy_parse_body(POLICY_ALLOW, "in tcp/x", "/u", 4, 7, NULL, &diags, &rule),
                -EINVAL);
        assert_int_equal(
                policy_parse_body(POLICY_ALLOW, "in x", NULL, 0, 0, NULL, NULL, &rule), -EINVAL);
        assert_int_equal(diags.diags[0].column, 0);
        assert_null(diags.diags[0].path);
        assert_int_equal(diags.diags[1].line, 4);
        assert_int_equal(diags.diags[1].column, 14);
        assert_null(rule);
}

static void test_without_services(void **state) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        PolicyRule *rule = NULL;

        assert_int_equal(
                policy_parse_body(POLICY_ALLOW, "https", NULL, 0, 1, NULL, &diags, &rule), -EINVAL);
        assert_string_equal(diags.diags[0].message,
                "unknown protocol \"https\" (names of services are not available here)");
}

/* n times the piece, with a separator between them. */
static char *repeat(const char *before, const char *format, const char *separator, unsigned n) {
        size_t size = strlen(before) + (size_t)n * (strlen(format) + strlen(separator) + 10) + 1;
        char *s = malloc(size), *end = s;

        assert_non_null(s);
        end += sprintf(end, "%s", before);
        for (unsigned i = 0; i < n; i++) {
                end += sprintf(end, "%s", i > 0 ? separator : "");
                end += sprintf(end, format, i / 256, i % 256);
        }
        return s;
}

static int parse_repeated(const char *before, const char *format, const char *separator, unsigned n,
        const char **ret_code) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        _cleanup_free_ char *s = repeat(before, format, separator, n);
        int r;

        r = policy_parse_body(POLICY_ALLOW, s, NULL, 0, 1, NULL, &diags, &rule);
        *ret_code = diags.n_diags > 0 ? diags.diags[0].code : "";
        if (r == 0)
                assert_round_trip(rule);
        return r;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void test_limits(void **state) {
        const char *code;

        assert_int_equal(parse_repeated("to ", "10.0.%u.%u", ",", POLICY_RULE_PEERS_MAX, &code), 0);
        assert_int_equal(
                parse_repeated("to ", "10.0.%u.%u", ",", POLICY_RULE_PEERS_MAX + 1, &code), -E2BIG);
        assert_string_equal(code, "too-many-peers");
        assert_int_equal(
                parse_repeated("tcp/", "%u%03u", ",", POLICY_RULE_PORTS_MAX, &code), -EINVAL);
        assert_int_equal(parse_repeated("tcp/", "1%u%03u", ",", POLICY_RULE_PORTS_MAX, &code), 0);
        assert_int_equal(
                parse_repeated("tcp/", "1%u%03u", ",", POLICY_RULE_PORTS_MAX + 1, &code), -E2BIG);
        assert_string_equal(code, "too-many-ports");
        assert_int_equal(
                parse_repeated("", "tcp/1%u%03u", "+", POLICY_RULE_PORTS_MAX + 1, &code), -E2BIG);
        assert_string_equal(code, "too-many-ports");
        assert_int_equal(parse_repeated("to ", "@l%u-%u", ",", POLICY_RULE_PEERS_MAX, &code), 0);
        assert_int_equal(
                parse_repeated("to ", "@l%u-%u", ",", POLICY_RULE_PEERS_MAX + 1, &code), -E2BIG);
        assert_string_equal(code, "too-many-peers");
        /* Repetitions count: what a client makes us hold is what it wrote. */
        assert_int_equal(
                parse_repeated("to ", "10.0.0.1", ",", POLICY_RULE_PEERS_MAX + 1, &code), -E2BIG);
        /* Grows when it is written out: ::ffff:1 is ::255.255.0.1 to the C library. */
        assert_int_equal(
                parse_repeated("to ", "::ff%02x:%x-::ffff:ffff", ",", 3000, &code), -E2BIG);
        assert_string_equal(code, "rule-too-long");
}
#pragma GCC diagnostic pop

static void test_name_limits(void **state) {
        static char list[] =
                "to @aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        char via[5 + POLICY_INTERFACE_MAX + 1 + 1] = "via ";

        memset(via + 4, 'e', POLICY_INTERFACE_MAX + 1);
        for (unsigned more = 0; more < 2; more++) {
                _cleanup_(policy_rule_freep) PolicyRule *with_list = NULL, *with_via = NULL;

                list[4 + POLICY_ID_MAX + more] = '\0';
                via[4 + POLICY_INTERFACE_MAX + more] = '\0';
                assert_int_equal(
                        policy_parse_body(POLICY_ALLOW, list, NULL, 0, 1, NULL, NULL, &with_list),
                        more ? -EINVAL : 0);
                assert_int_equal(
                        policy_parse_body(POLICY_ALLOW, via, NULL, 0, 1, NULL, NULL, &with_via),
                        more ? -EINVAL : 0);
                list[4 + POLICY_ID_MAX] = 'a';
                via[4 + POLICY_INTERFACE_MAX] = 'e';
                if (more)
                        continue;
                assert_round_trip(with_list);
                assert_round_trip(with_via);
        }
}

static void test_text_limit(void **state) {
        _cleanup_free_ char *s = malloc(POLICY_RULE_TEXT_MAX + 2);
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        _cleanup_(policy_diags_done) PolicyDiags diags = {};

        memset(s, ' ', POLICY_RULE_TEXT_MAX + 1);
        s[POLICY_RULE_TEXT_MAX + 1] = '\0';
        memcpy(s, "any", 3);
        assert_int_equal(
                policy_parse_body(POLICY_ALLOW, s, NULL, 0, 1, NULL, &diags, &rule), -E2BIG);
        assert_string_equal(diags.diags[0].code, "rule-too-long");
        s[POLICY_RULE_TEXT_MAX] = '\0';
        assert_int_equal(policy_parse_body(POLICY_ALLOW, s, NULL, 0, 1, NULL, NULL, &rule), 0);
        assert_string_equal(rule->text, "any");
}

/* Mutants of rules: whatever becomes of them, no crash, and what is accepted reads back as it is. */
static void test_mutations(void **state) {
        static const char *const seeds[] = { "allow in tcp/80,443 from 10.0.0.0/8,localhost",
                "deny out to 192.0.2.1-192.0.2.9,2001:db8::/32", "never any", "allow https",
                "deny udp/1-1024,5000+tcp/53 from ::ffff:10.0.0.0/104,multicast",
                "allow 47 to any,link-local", "allow out icmpv6 to ::/0,::1-::ff",
                "deny bind tcp/1-1023,8080 to 0.0.0.0,lan",
                "allow tcp/22 from lan,@admins via eth0",
                "never to internet,@a,@b,broadcast via wg0" };
        static const char *const pieces[] = { "allow", "deny", "never", "in", "out", "bind", "to",
                "from", "via", "any", "tcp", "udp", "icmp", "sctp", "https", "domain", "/", ",",
                "-", "+", " ", "  ", ":", "::", ".", "@", "0", "1", "9", "255", "65535", "65536",
                "/0", "/32", "/128", "10.0.0.1", "::1", "::ffff:1.2.3.4", "localhost", "lan",
                "internet", "broadcast", "@a", "@a,@b", ",@", "via eth0", " via ", "eth0", "*",
                "\t", "\x01", "\xff", "%", "=", NULL };
        size_t n_accepted = 0;
        uint64_t random = 0x243f6a8885a308d3ULL;

        for (unsigned i = 0; i < 50000; i++) {
                const char *seed = seeds[test_random(&random) % ELEMENTSOF(seeds)];
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                _cleanup_(policy_diags_done) PolicyDiags diags = {};
                char text[257];
                size_t n = strlen(seed);
                int r;

                memcpy(text, seed, n);
                test_mutate(&random, text, &n, sizeof(text) - 1, pieces);
                text[n] = '\0';
                r = policy_parse_rule(text, NULL, 0, 1, &test_services, &diags, &rule);
                if (r == 0) {
                        assert_int_equal(diags.n_errors, 0);
                        assert_round_trip(rule);
                        n_accepted++;
                        continue;
                }
                assert_true(r == -EINVAL || r == -E2BIG || r == -EOPNOTSUPP);
                assert_int_equal(diags.n_errors, 1);
                assert_in_range(diags.diags[0].column, 1, strlen(text) + 1);
                for (const char *c = diags.diags[0].message; *c; c++)
                        assert_in_range(*c, 0x20, 0x7e);
                assert_null(rule);
        }
        /* Else this would prove nothing about what is accepted. */
        assert_in_range(n_accepted, 1500, 45000);
}

#ifdef TEST_MEMORY_FAILS
static void attempt_parse(bool *ret_memory_failed) {
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        int r;

        r = policy_parse_rule("allow in tcp/1,2,3,4,5,6,7,8,9 from 10.0.0.0/8,192.168.0.0/16,"
                              "172.16.0.0/12,localhost,multicast,link-local,@b,@a,@b via eth0",
                "/p", 1, 1, &test_services, &diags, &rule);
        assert_int_equal(r, test_memory_failed() ? -ENOMEM : 0);
        assert_int_equal(diags.n_errors, r < 0);
        *ret_memory_failed = r < 0;
}

static void test_no_memory(void **state) {
        test_each_allocation_fails(attempt_parse);
}
#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_model),
                cmocka_unit_test(test_rejected),
                cmocka_unit_test(test_column),
                cmocka_unit_test(test_without_services),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_name_limits),
                cmocka_unit_test(test_text_limit),
                cmocka_unit_test(test_mutations),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("parse-rule", tests, NULL, NULL);
}
