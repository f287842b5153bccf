/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet programs on packets made by hand: how bytes become a verdict, and under which rule. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "packet.h"
#include "subject.h"
#include "util/macro.h"

#define RULE(i) (CGP_RULE_FIRST + (i))

static Sandbox *sandbox;

typedef struct Setup {
        Kernel *kernel;
        Subject *subject;
} Setup;

static const TestPolicy policy = {
        .rules = {
                "allow out tcp/443 to 10.0.0.0/8",       /* 0 */
                "allow in tcp/80 from 10.0.0.0/8",       /* 1 */
                "allow out udp/53 to 2001:db8::/32",     /* 2 */
                "allow in udp/5353 from multicast",      /* 3 */
                "allow out icmp to 10.0.0.0/8",          /* 4 */
                "allow out icmpv6 to 2001:db8::/32",     /* 5 */
                "never out any to 10.6.6.6",             /* 6 */
                "never in any from 10.7.7.7",            /* 7 */
                "allow out tcp/443 to 2001:db8::/32",    /* 8 */
                "allow out 47 to 10.0.0.0/8",            /* 9 */
        },
};

static int set_up(void **state) {
        static Setup setup;

        setup.kernel = test_kernel(sandbox);
        setup.subject = subject_attach(sandbox, setup.kernel, "dry", 1, &policy);
        *state = &setup;
        return 0;
}

static int tear_down(void **state) {
        Setup *setup = *state;

        subject_detach(setup->subject);
        assert_int_equal(kernel_remove_pins(setup->kernel), 0);
        kernel_close(setup->kernel);
        return 0;
}

static KernelDryRun run(void **state, unsigned hook, uint32_t opener, const Packet *p) {
        Setup *setup = *state;
        KernelDryRun run = { .packet = p->bytes, .size = p->size, .opener = opener };

        assert_int_equal(
                setup->kernel->ops->dry_run(setup->kernel, setup->subject->links[hook], &run), 0);
        return run;
}

#define expect(state, hook, opener, p, expected_rule, expected_action)      \
        do {                                                                \
                KernelDryRun _r = run(state, hook, opener, p);              \
                                                                            \
                assert_int_equal(_r.rule, expected_rule);                   \
                assert_int_equal(_r.action, expected_action);               \
                assert_int_equal(_r.passes, _r.action == CGP_ACTION_ALLOW); \
        } while (0)

#define expect_out(state, p, rule, action) \
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_UNKNOWN, p, rule, action)
#define expect_in(state, p, rule, action) \
        expect(state, CGP_HOOK_INGRESS, CGP_OPENER_UNKNOWN, p, rule, action)
#define expect_unparsable(state, p)                                             \
        do {                                                                    \
                expect_out(state, p, CGP_RULE_UNPARSABLE_OUT, CGP_ACTION_DENY); \
                expect_in(state, p, CGP_RULE_UNPARSABLE_IN, CGP_ACTION_DENY);   \
        } while (0)

static void test_direction_and_ports(void **state) {
        Packet p;

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 443, 40000, 0x02); /* the remote port counts, not the local one */
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);

        packet_ip4(&p, "192.0.2.1", "11.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);

        packet_ip4(&p, "10.1.2.3", "192.0.2.1", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 80, 0x02);
        expect_in(state, &p, RULE(1), CGP_ACTION_ALLOW);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_UDP, 0);
        packet_add_udp(&p, 40000, 443);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);

        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_UDP);
        packet_add_udp(&p, 40000, 53);
        expect_out(state, &p, RULE(2), CGP_ACTION_ALLOW);

        /* no ports: the rule for the protocol */
        packet_ip4(&p, "192.0.2.1", "10.1.2.3", 47, 0);
        packet_add(&p, "abcd", 4);
        expect_out(state, &p, RULE(9), CGP_ACTION_ALLOW);
}

static void test_opener_decides(void **state) {
        Packet p;

        /* A reply to the conversation that we opened, and a packet of the one that the peer opened. */
        packet_ip4(&p, "10.1.2.3", "192.0.2.1", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 443, 40000, 0x10);
        expect(state, CGP_HOOK_INGRESS, CGP_OPENER_OUT, &p, RULE(0), CGP_ACTION_ALLOW);
        expect(state, CGP_HOOK_INGRESS, CGP_OPENER_IN, &p, CGP_RULE_DEFAULT_IN, CGP_ACTION_DENY);

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 80, 40000, 0x10);
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_IN, &p, RULE(1), CGP_ACTION_ALLOW);
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_OUT, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_UDP, 0);
        packet_add_udp(&p, 5353, 5353);
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_IN_MULTICAST, &p, RULE(3), CGP_ACTION_ALLOW);
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_IN, &p, CGP_RULE_DEFAULT_IN, CGP_ACTION_DENY);
}

static void test_never_beats_the_other_direction(void **state) {
        Packet p;

        packet_ip4(&p, "192.0.2.1", "10.6.6.6", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 80, 40000, 0x10);
        expect_out(state, &p, RULE(6), CGP_ACTION_NEVER);
        expect(state, CGP_HOOK_EGRESS, CGP_OPENER_IN, &p, RULE(6), CGP_ACTION_NEVER);

        packet_ip4(&p, "10.7.7.7", "192.0.2.1", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 443, 40000, 0x10);
        expect_in(state, &p, RULE(7), CGP_ACTION_NEVER);
        expect(state, CGP_HOOK_INGRESS, CGP_OPENER_OUT, &p, RULE(7), CGP_ACTION_NEVER);
}

static void test_multicast(void **state) {
        Packet p;

        packet_ip4(&p, "10.1.2.3", "224.0.0.251", IPPROTO_UDP, 0);
        packet_add_udp(&p, 5353, 5353);
        expect_in(state, &p, RULE(3), CGP_ACTION_ALLOW);
        packet_ip6(&p, "fe80::1", "ff02::fb", IPPROTO_UDP);
        packet_add_udp(&p, 5353, 5353);
        expect_in(state, &p, RULE(3), CGP_ACTION_ALLOW);
        packet_ip4(&p, "10.1.2.3", "192.0.2.1", IPPROTO_UDP, 0);
        packet_add_udp(&p, 5353, 5353);
        expect_in(state, &p, CGP_RULE_DEFAULT_IN, CGP_ACTION_DENY);
}

static void test_ipv4_options_and_lengths(void **state) {
        Packet p;

        for (size_t options = 0; options <= 40; options += 4) {
                packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, options);
                packet_add_tcp(&p, 40000, 443, 0x02);
                /* Up to eight of them are read, whatever they are. */
                if (options > 8)
                        expect_unparsable(state, &p);
                if (options > 0) {
                        p.bytes[20] = 68; /* one that takes all of it: time stamps */
                        p.bytes[21] = (uint8_t)options;
                }
                expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);
        }
        /* A source route: the address in the header is the last one only when it is used up. */
        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 8);
        packet_add_tcp(&p, 40000, 443, 0x02);
        p.bytes[20] = 131;
        p.bytes[21] = 7;
        p.bytes[22] = 8;
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);
        p.bytes[22] = 4;
        expect_unparsable(state, &p);
        p.bytes[20] = 137;
        expect_unparsable(state, &p);
        /* Every cut that takes away what is needed: TCP up to its flags. Dry runs have no shorter packets than an
         * IP header on recent kernels. */
        for (size_t size = 20; size < 20 + 14; size++) {
                packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
                packet_add_tcp(&p, 40000, 443, 0x02);
                packet_cut(&p, size);
                expect_unparsable(state, &p);
        }
        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        packet_cut(&p, 20 + 14);
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);

        /* The header claims more than there is, or less than its own length. */
        packet_add(&p, "12345678", 8);
        packet_cut_bytes_only(&p, p.size - 1);
        expect_unparsable(state, &p);
        packet_cut(&p, 20 + 14);
        p.bytes[3] = 19;
        expect_unparsable(state, &p);
        /* Bytes behind the end are not the packet's: ports there do not count. */
        p.bytes[3] = 20;
        expect_unparsable(state, &p);
}

static void test_ipv4_header(void **state) {
        Packet p;

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        p.bytes[0] = 0x44; /* header of 16 bytes */
        expect_unparsable(state, &p);
        p.bytes[0] = 0x55; /* version 5 */
        expect_unparsable(state, &p);
        p.bytes[0] = 0x4f; /* longer than the packet */
        expect_unparsable(state, &p);
}

static void test_fragments(void **state) {
        Packet p;

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        p.bytes[6] = 0x40; /* may not be fragmented */
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);
        p.bytes[6] = 0x20; /* first of several: has the ports */
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);
        p.bytes[7] = 1;
        expect_unparsable(state, &p);
        p.bytes[6] = 0x1f;
        p.bytes[7] = 0;
        expect_unparsable(state, &p);

        for (unsigned offset = 0; offset <= 8191; offset += 4095) {
                packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_FRAGMENT);
                packet_add_fragment(&p, IPPROTO_TCP, offset, 1);
                packet_add_tcp(&p, 40000, 443, 0x02);
                if (offset == 0)
                        expect_out(state, &p, RULE(8), CGP_ACTION_ALLOW);
                else
                        expect_unparsable(state, &p);
        }
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_FRAGMENT);
        packet_add_fragment(&p, IPPROTO_TCP, 1, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_unparsable(state, &p);
}

static void test_ipv6_extensions(void **state) {
        static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS };
        Packet p;

        /* Chains of one to nine headers: eight are read. */
        for (unsigned n = 1; n <= 9; n++) {
                packet_ip6(&p, "2001:db9::1", "2001:db8::1", kinds[1 % 2]);
                for (unsigned i = 1; i <= n; i++)
                        packet_add_extension(
                                &p, i == n ? IPPROTO_TCP : kinds[(i + 1) % 2], i, 1, 4);
                packet_add_tcp(&p, 40000, 443, 0x02);
                if (n <= 8)
                        expect_out(state, &p, RULE(8), CGP_ACTION_ALLOW);
                else
                        expect_unparsable(state, &p);
        }

        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_ROUTING);
        packet_add_extension(&p, IPPROTO_TCP, 3, 4, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, RULE(8), CGP_ACTION_ALLOW);
        p.bytes[43] = 1; /* segments left */
        expect_unparsable(state, &p);

        /* The authentication header counts in units of four bytes, less two. */
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_AH);
        packet_add_extension(&p, IPPROTO_TCP, 3, 0, 0);
        p.bytes[41] = 4;
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, RULE(8), CGP_ACTION_ALLOW);

        /* The longest header there is, and one that ends behind the packet. */
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_DSTOPTS);
        packet_add_extension(&p, IPPROTO_TCP, 200, 0, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, RULE(8), CGP_ACTION_ALLOW);
        p.bytes[41] = 255;
        expect_unparsable(state, &p);

        /* What lies behind is protected or nothing: judged by its number. */
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_ESP);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_NONE);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);
}

static void test_ipv6_truncated(void **state) {
        Packet p;

        for (size_t size = 40; size < 40 + 8 + 14; size++) {
                packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_HOPOPTS);
                packet_add_extension(&p, IPPROTO_TCP, 1, 1, 4);
                packet_add_tcp(&p, 40000, 443, 0x02);
                packet_cut(&p, size);
                expect_unparsable(state, &p);
        }
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_TCP);
        packet_add_tcp(&p, 40000, 443, 0x02);
        packet_cut_bytes_only(&p, p.size - 1);
        expect_unparsable(state, &p);
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_TCP);
        packet_add_tcp(&p, 40000, 443, 0x02);
        p.bytes[0] = 0x40; /* comes with the ethertype of IPv4 then, but is no such packet */
        expect_unparsable(state, &p);
}

static void test_mapped_addresses_are_ipv4(void **state) {
        Packet p;

        packet_ip6(&p, "2001:db9::1", "::ffff:10.1.2.3", IPPROTO_TCP);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, RULE(0), CGP_ACTION_ALLOW);
        packet_ip6(&p, "2001:db9::1", "::10.1.2.3", IPPROTO_TCP);
        packet_add_tcp(&p, 40000, 443, 0x02);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);
}

static void test_icmp(void **state) {
        Packet p;

        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_ICMP, 0);
        packet_add_icmp(&p, 8, 0, 77);
        expect_out(state, &p, RULE(4), CGP_ACTION_ALLOW);
        packet_cut(&p, 27); /* an echo without all of its identifier and sequence */
        expect_unparsable(state, &p);
        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_ICMP, 0);
        packet_add_icmp(&p, 13, 0, 0);
        packet_cut(&p, 22); /* type and code are enough for the others */
        expect_out(state, &p, RULE(4), CGP_ACTION_ALLOW);
        packet_cut(&p, 21);
        expect_unparsable(state, &p);
        packet_ip6(&p, "2001:db9::1", "2001:db8::1", IPPROTO_ICMPV6);
        packet_add_icmp(&p, 128, 0, 77);
        expect_out(state, &p, RULE(5), CGP_ACTION_ALLOW);
}

static void test_kernel_control_traffic(void **state) {
        static const uint8_t control4[] = { 3, 4, 5, 11, 12 };
        Packet p;

        /* Dry runs have a socket that nobody made under our programs: as the kernel's own. */
        for (unsigned type = 0; type < 256; type++) {
                bool is_control = memchr(control4, (int)type, sizeof(control4));

                packet_ip4(&p, "192.0.2.1", "172.16.0.1", IPPROTO_ICMP, 0);
                packet_add_icmp(&p, (uint8_t)type, 0, 0);
                expect_out(state, &p, is_control ? CGP_RULE_CONTROL : CGP_RULE_DEFAULT_OUT,
                        is_control ? CGP_ACTION_ALLOW : CGP_ACTION_DENY);

                is_control =
                        (type >= 1 && type <= 4) || (type >= 130 && type <= 137) || type == 143;
                packet_ip6(&p, "fe80::1", "ff02::1", IPPROTO_ICMPV6);
                packet_add_icmp(&p, (uint8_t)type, 0, 0);
                expect_out(state, &p, is_control ? CGP_RULE_CONTROL : CGP_RULE_DEFAULT_OUT,
                        is_control ? CGP_ACTION_ALLOW : CGP_ACTION_DENY);
        }
        packet_ip4(&p, "192.0.2.1", "224.0.0.22", IPPROTO_IGMP, 4);
        packet_add(&p, "12345678", 8);
        expect_out(state, &p, CGP_RULE_CONTROL, CGP_ACTION_ALLOW);
        /* ICMPv6 in IPv4 is no neighbour discovery. */
        packet_ip4(&p, "192.0.2.1", "172.16.0.1", IPPROTO_ICMPV6, 0);
        packet_add_icmp(&p, 135, 0, 0);
        expect_out(state, &p, CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);
}

static void test_modes(void **state) {
        TestPolicy changed = policy;
        Setup *setup = *state;
        KernelDryRun r;
        Packet p;

        packet_ip4(&p, "192.0.2.1", "11.1.2.3", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 40000, 443, 0x02);
        changed.mode = POLICY_MODE_AUDIT;
        subject_publish(setup->subject, &changed);
        r = run(state, CGP_HOOK_EGRESS, CGP_OPENER_UNKNOWN, &p);
        assert_true(r.passes);
        assert_int_equal(r.rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(r.action, CGP_ACTION_DENY);

        changed.mode = POLICY_MODE_OFF;
        subject_publish(setup->subject, &changed);
        r = run(state, CGP_HOOK_EGRESS, CGP_OPENER_UNKNOWN, &p);
        assert_true(r.passes);
        assert_int_equal(r.rule, CGP_RULE_DEFAULT_OUT);
        assert_int_equal(r.action, CGP_ACTION_DENY);
        subject_publish(setup->subject, &policy);
}

/* What a packet does not say of itself is handed in: interface, network namespace, how it was received. */
static void test_where_it_is(void **state) {
        static const TestPolicy placed = {
                .rules = { "allow out udp/1000 via lo", "allow in udp/68 from broadcast" },
        };
        static const TestInterface interfaces[] = { { "lo", { "lo" } } };
        static const struct {
                uint32_t ifindex;
                bool host_netns, passes;
        } cases[] = { { 1, true, true }, { 1, false, false }, { 9, true, false } };
        Setup *setup = *state;
        KernelDryRun r;
        Packet p;

        test_host_set_interfaces(setup->kernel, interfaces, ELEMENTSOF(interfaces));
        subject_publish(setup->subject, &placed);
        packet_ip4(&p, "192.0.2.1", "10.1.2.3", IPPROTO_UDP, 0);
        packet_add_udp(&p, 40000, 1000);
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                r = (KernelDryRun){ .packet = p.bytes,
                        .size = p.size,
                        .ifindex = cases[i].ifindex,
                        .host_netns = cases[i].host_netns };
                assert_int_equal(setup->kernel->ops->dry_run(
                                         setup->kernel, setup->subject->links[CGP_HOOK_EGRESS], &r),
                        0);
                assert_int_equal(r.passes, cases[i].passes);
                assert_int_equal(r.rule, r.passes ? RULE(0) : CGP_RULE_DEFAULT_OUT);
        }
        packet_ip4(&p, "10.1.2.3", "10.255.255.255", IPPROTO_UDP, 0);
        packet_add_udp(&p, 67, 68);
        for (unsigned broadcast = 0; broadcast < 2; broadcast++) {
                r = (KernelDryRun){ .packet = p.bytes, .size = p.size, .broadcast = broadcast };
                assert_int_equal(setup->kernel->ops->dry_run(setup->kernel,
                                         setup->subject->links[CGP_HOOK_INGRESS], &r),
                        0);
                assert_int_equal(r.passes, broadcast);
                assert_int_equal(r.rule, r.passes ? RULE(1) : CGP_RULE_DEFAULT_IN);
        }
        subject_publish(setup->subject, &policy);
        test_host_reset();
}

/* Of all the dry runs above nothing may be left. */
static void test_changes_nothing(void **state) {
        Setup *setup = *state;
        uint64_t n, max;

        for (unsigned slot = 0; slot < TEST_SLOT_RULE + TEST_RULES_MAX; slot++) {
                struct cgp_counter c = subject_counter(setup->subject, slot);

                assert_int_equal(c.packets + c.bytes + c.blocked + c.would, 0);
        }
        assert_int_equal(setup->kernel->ops->flows_count(setup->kernel, &n, &max), 0);
        assert_int_equal(n, 0);
        assert_int_equal(max, 4096);
        for (unsigned stat = 0; stat < CGP_N_STATS; stat++) {
                assert_int_equal(setup->kernel->ops->stat_read(setup->kernel, stat, &n), 0);
                assert_int_equal(n, 0);
        }
}

static void test_refuses_bad_requests(void **state) {
        Setup *setup = *state;
        KernelDryRun r = { .packet = "", .size = 4096 };

        assert_int_equal(setup->kernel->ops->dry_run(
                                 setup->kernel, setup->subject->links[CGP_HOOK_EGRESS], &r),
                -EMSGSIZE);
        r.size = 1;
        assert_int_equal(setup->kernel->ops->dry_run(
                                 setup->kernel, setup->subject->links[CGP_HOOK_CONNECT4], &r),
                -EINVAL);
        r.opener = CGP_DRY_HOST_NETNS;
        assert_int_equal(setup->kernel->ops->dry_run(
                                 setup->kernel, setup->subject->links[CGP_HOOK_EGRESS], &r),
                -EINVAL);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_direction_and_ports),
                cmocka_unit_test(test_opener_decides),
                cmocka_unit_test(test_never_beats_the_other_direction),
                cmocka_unit_test(test_multicast),
                cmocka_unit_test(test_ipv4_options_and_lengths),
                cmocka_unit_test(test_ipv4_header),
                cmocka_unit_test(test_fragments),
                cmocka_unit_test(test_ipv6_extensions),
                cmocka_unit_test(test_ipv6_truncated),
                cmocka_unit_test(test_mapped_addresses_are_ipv4),
                cmocka_unit_test(test_icmp),
                cmocka_unit_test(test_kernel_control_traffic),
                cmocka_unit_test(test_modes),
                cmocka_unit_test(test_where_it_is),
                cmocka_unit_test(test_refuses_bad_requests),
                cmocka_unit_test(test_changes_nothing),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
