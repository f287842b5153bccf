/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random policies, random states, random packets: what the loaded packet programs say against what the
 * reference says. A triple is (policy, state of the conversation and place, packet).
 *
 * Environment: TRIPLES (default 100000), SEED (default: of the clock; printed), PACKETS per policy.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "../kernel/host.h"
#include "../kernel/sandbox.h"
#include "../kernel/subject.h"
#include "kernel/kernel-private.h"
#include "random-policy.h"
#include "reference.h"
#include "util/macro.h"

#define PACKET_MAX 400U
#define UNKNOWN_IF 9999U /* no interface has this index */

static Sandbox *sandbox;
static uint64_t seed;
static unsigned long n_by_rule[CGP_RULE_FIRST + 1]; /* all written rules are one */
static unsigned long n_by_action[CGP_ACTION_NEVER + 1];

static const char *const peer_texts[] = {
        "any",
        "localhost",
        "link-local",
        "multicast",
        "broadcast",
        "lan",
        "internet",
        "@few",
        "@many",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3",
        "10.1.2.3-10.1.2.77",
        "10.64.0.0/10",
        "127.0.0.1",
        "192.168.1.0/24",
        "192.168.1.255",
        "224.0.0.251",
        "255.255.255.255",
        "8.8.8.8",
        "8.8.0.0/15",
        "0.0.0.0/0",
        "::/0",
        "::1",
        "2001:db8::/32",
        "2001:db8:9::/48",
        "2001:db8::1",
        "2001:db8::1-2001:db8::ff:0",
        "fe80::/10",
        "ff02::fb",
        "2600::/12",
        "2600:1:2:3:4:5:6:7",
        "::ffff:10.1.2.3",
};
static const char *const what_texts[] = {
        "",
        "any",
        "tcp",
        "udp",
        "tcp/443",
        "tcp/80,443",
        "tcp/1-1023",
        "udp/53",
        "udp/5353",
        "udp/1000-1999",
        "tcp/53+udp/53",
        "sctp/7",
        "udplite",
        "icmp",
        "icmpv6",
        "47",
        "0",
        "255",
        "tcp/0",
        "tcp/65535",
        "udp/1024-65535",
        "1",
        "58",
};
static const char *const via_texts[] = { "eth0", "wlan0", "uplink", "absent" };

static const char *const bind_texts[] = { "tcp/443" };

static const RandomWords words = {
        .peers = peer_texts,
        .n_peers = ELEMENTSOF(peer_texts),
        .whats = what_texts,
        .n_whats = ELEMENTSOF(what_texts),
        .vias = via_texts,
        .n_vias = ELEMENTSOF(via_texts),
        .binds = bind_texts,
        .n_binds = ELEMENTSOF(bind_texts),
};

static const char *const address_texts[] = {
        "10.1.2.3",
        "10.1.2.77",
        "10.1.2.78",
        "10.1.2.255",
        "10.1.3.0",
        "10.127.255.255",
        "10.128.0.0",
        "11.0.0.0",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.1.1",
        "192.168.1.7",
        "192.168.1.255",
        "192.168.2.1",
        "172.16.0.9",
        "8.8.8.8",
        "8.9.255.255",
        "8.10.0.0",
        "1.2.3.4",
        "100.64.0.1",
        "224.0.0.251",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "44.1.0.7",
        "44.1.255.255",
        "44.2.0.0",
        "203.0.113.9",
        "::1",
        "::",
        "2001:db8::1",
        "2001:db8::ff:0",
        "2001:db8::ff:1",
        "2001:db8:9::5",
        "2001:db9::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::fb",
        "ff05::2",
        "2600::1",
        "2600:1:2:3:4:5:6:7",
        "2600:1:2:3:4:5:6:8",
        "fd00::1",
        "::ffff:10.1.2.3",
        "::ffff:8.8.8.8",
        "2a00:44::1",
};
static const uint16_t ports[] = { 0, 7, 53, 79, 80, 81, 442, 443, 444, 999, 1000, 1023, 1024, 1999,
        2000, 5353, 40000, 65534, 65535 };

typedef struct Bytes {
        uint8_t data[PACKET_MAX];
        size_t size;
} Bytes;

static void put(Bytes *b, const void *data, size_t size) {
        assert_true(b->size + size <= sizeof(b->data));
        memcpy(b->data + b->size, data, size);
        b->size += size;
}

static void put16(Bytes *b, unsigned value) {
        uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

        put(b, bytes, sizeof(bytes));
}

static void random_address(int family, uint8_t *to) {
        size_t size = family == AF_INET ? 4 : 16;

        do {
        } while (inet_pton(family, RANDOM_PICK(address_texts), to) != 1);
        if (random_one_in(6))
                to[size - 1] ^= (uint8_t)(1U << random_below(8));
        if (random_one_in(20))
                for (size_t i = random_below((uint32_t)size); i < size; i++)
                        to[i] = (uint8_t)random_below(256);
}

static void put_transport(Bytes *b, unsigned protocol) {
        static const uint8_t icmp_types[] = { 0, 3, 5, 8, 11, 13, 1, 2, 128, 129, 133, 135, 143,
                144 };
        uint8_t rest[16] = {};

        if (protocol == 1 || protocol == 58) {
                uint8_t type = RANDOM_PICK(icmp_types);

                put(b, &type, 1);
                put(b, rest, 7);
                return;
        }
        put16(b, RANDOM_PICK(ports));
        put16(b, RANDOM_PICK(ports));
        rest[9] = random_one_in(2) ? 0x02 : 0x10; /* SYN or ACK, where TCP has them */
        put(b, rest, 4 + random_below(13));
}

static unsigned random_protocol(void) {
        static const uint8_t protocols[] = { 6, 6, 6, 17, 17, 17, 1, 58, 132, 136, 47, 2, 0, 255,
                50, 59, 43, 44, 51, 60 };

        return RANDOM_PICK(protocols);
}

static void put_v4(Bytes *b) {
        static const uint8_t options[][4] = {
                { 1, 1, 1, 1 },       /* no operation */
                { 148, 4, 0, 0 },     /* router alert */
                { 131, 3, 4, 0 },     /* loose source route, used up or empty */
                { 137, 3, 4, 0 },     /* strict */
                { 7, 3, 4, 0 },       /* record route */
                { 0, 131, 137, 255 }, /* end, and then rubbish */
                { 68, 1, 0, 0 },      /* a length that cannot be */
                { 200, 200, 0, 0 },   /* one that is beyond the end */
        };
        unsigned n_options = random_one_in(4) ? 1 + random_below(4) : 0,
                 protocol = random_protocol();
        uint8_t header[20] = {
                [0] = (uint8_t)(0x45 + n_options), [8] = 64, [9] = (uint8_t)protocol
        };

        if (random_one_in(40))
                header[0] = (uint8_t)random_below(256);
        if ((header[0] >> 4) == 6)
                header[0] = 0x45;
        if (random_one_in(8))
                header[6] = (uint8_t)random_below(256); /* fragments, of all kinds */
        random_address(AF_INET, header + 12);
        random_address(AF_INET, header + 16);
        put(b, header, sizeof(header));
        for (unsigned i = 0; i < n_options; i++)
                put(b, RANDOM_PICK(options), 4);
        put_transport(b, protocol);
        b->data[2] = (uint8_t)(b->size >> 8);
        b->data[3] = (uint8_t)b->size;
        if (random_one_in(20))
                b->data[3] = (uint8_t)random_below(256);
}

static void put_extension(Bytes *b, unsigned type, unsigned next) {
        uint8_t header[24] = { [0] = (uint8_t)next };
        size_t size = 8;

        if (type == 44) {
                header[3] = (uint8_t)(random_one_in(3) ? random_below(256) : random_below(8));
        } else if (type == 43) {
                header[3] = random_one_in(2) ? 0 : (uint8_t)random_below(4);
        } else if (type == 51) {
                header[1] = (uint8_t)(1 + random_below(3));
                size = (header[1] + 2U) * 4;
        } else if (random_one_in(3)) {
                header[1] = 1;
                size = 16;
        }
        put(b, header, size);
}

static void put_v6(Bytes *b) {
        static const uint8_t types[] = { 0, 43, 44, 51, 60 };
        unsigned n = random_one_in(3) ? random_below(random_one_in(6) ? 10 : 4) : 0,
                 protocol = random_protocol();
        uint8_t header[40] = { [0] = 0x60, [7] = 64 }, chain[11];

        for (unsigned i = 0; i < n; i++)
                chain[i] = RANDOM_PICK(types);
        chain[n] = (uint8_t)protocol;
        header[6] = chain[0];
        random_address(AF_INET6, header + 8);
        random_address(AF_INET6, header + 24);
        put(b, header, sizeof(header));
        for (unsigned i = 0; i < n; i++)
                put_extension(b, chain[i], chain[i + 1]);
        put_transport(b, protocol);
        b->data[4] = (uint8_t)((b->size - 40) >> 8);
        b->data[5] = (uint8_t)(b->size - 40);
        if (random_one_in(20))
                b->data[5] = (uint8_t)random_below(256);
}

static void packet_random(Bytes *b) {
        size_t least;

        b->size = 0;
        if (random_one_in(2))
                put_v4(b);
        else
                put_v6(b);
        /* Truncated, but not below what the kernel runs a program with. */
        least = b->data[0] >> 4 == 6 ? 40 : 20;
        if (random_one_in(12))
                b->size = least + random_below((uint32_t)(b->size - least + 1));
}

typedef struct Place {
        const char *name; /* interface of the test's namespace; NULL: index UNKNOWN_IF */
        const char *names[3];
} Place;

#define PLACE_LO 3

static const Place places[] = {
        { "cgpeth0", { "eth0" } },
        { "cgpwlan0", { "wlan0" } },
        { "cgpboth", { "eth0", "uplink" } },
        [PLACE_LO] = { "lo", {} },
        { NULL, {} },
};

static PolicyPlace place_of(const Place *place, bool host_netns) {
        PolicyPlace p = {};
        int id;

        if (!host_netns || !place->name) {
                p.elsewhere = true;
                return p;
        }
        id = policy_host_interface_id(test_host(), (char *const *)(const void *)place->names);
        assert_true(id >= 0 || !place->names[0]);
        p.interface = place->names[0] ? (size_t)id : 0;
        return p;
}

static void dump(const RandomPolicy *p, const Bytes *b, const ReferencePacket *packet,
        const KernelDryRun *run, const ReferenceVerdict *expected) {
        print_message("seed %llu\n", (unsigned long long)seed);
        random_policy_print(p);
        print_message("%s, opener %u, elsewhere %d, interface %zu, broadcast %d:",
                packet->is_egress ? "egress" : "ingress", packet->opener, packet->place.elsewhere,
                packet->place.interface, packet->is_link_broadcast);
        for (size_t i = 0; i < b->size; i++)
                print_message("%s%02x", i % 4 ? "" : " ", b->data[i]);
        print_message("\nprogram: passes %d, rule %u, action %u\nreference: passes %d, rule %u, "
                      "action %u\n",
                run->passes, run->rule, run->action, expected->passes, expected->rule,
                expected->action);
}

/* Which rule is named matters where one decides; of equals any may. */
static bool agree(const KernelDryRun *run, const ReferenceVerdict *expected) {
        return run->passes == expected->passes && run->action == expected->action &&
                run->rule == expected->rule;
}

/* As kernel_dry_run_program() does it, but with nothing in the packet's scratch space. */
static bool run_unmarked(int fd, const uint8_t *bytes, size_t size) {
        uint8_t frame[14 + PACKET_MAX] = {};
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)size + 14,
                .repeat = 1);

        memcpy(frame + 14, bytes, size);
        memcpy(frame + 12, bytes[0] >> 4 == 6 ? "\x86\xdd" : "\x08\x00", 2);
        assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
        return opts.retval & 1;
}

/* Without the mark of a dry run, as packets come in life: what passes and what is counted. The kernel's made-up
 * socket is of no protocol, so that every packet opens a conversation, on lo. */
static void compare_unmarked(
        Kernel *kernel, const RandomPolicy *p, const int fds[2], ReferencePacket packet) {
        struct cgp_counter before, after;
        ReferenceVerdict expected;
        uint32_t slot;
        bool passes;

        packet.opener = CGP_OPENER_UNKNOWN;
        packet.is_link_broadcast = false;
        packet.place = place_of(&places[PLACE_LO], true);
        expected = reference_judge(&p->stack, test_host(), &packet);
        slot = expected.rule < CGP_RULE_FIRST
                ? expected.rule
                : RANDOM_POLICY_COUNTER + (expected.rule - CGP_RULE_FIRST);
        assert_int_equal(kernel->ops->counter_read(kernel, slot, &before), 0);
        passes = run_unmarked(fds[packet.is_egress], packet.bytes, packet.size);
        assert_int_equal(kernel->ops->counter_read(kernel, slot, &after), 0);

        if (passes != expected.passes || (!passes && after.blocked != before.blocked + 1) ||
                (passes && after.blocked != before.blocked) ||
                (expected.action == CGP_ACTION_ALLOW && after.packets == before.packets &&
                        !p->is_open)) {
                KernelDryRun run = { .passes = passes };
                Bytes b = { .size = packet.size };

                memcpy(b.data, packet.bytes, packet.size);
                dump(p, &b, &packet, &run, &expected);
                fail_msg("a packet without mark: blocked %llu, then %llu; packets %llu, then %llu",
                        (unsigned long long)before.blocked, (unsigned long long)after.blocked,
                        (unsigned long long)before.packets, (unsigned long long)after.packets);
        }
}

static void compare_one(Kernel *kernel, const RandomPolicy *p, const int fds[2]) {
        static const unsigned openers[] = { CGP_OPENER_UNKNOWN, CGP_OPENER_UNKNOWN, CGP_OPENER_OUT,
                CGP_OPENER_IN, CGP_OPENER_IN_MULTICAST, CGP_OPENER_IN_BROADCAST };
        const Place *place = &RANDOM_PICK(places);
        bool host_netns = !random_one_in(5);
        ReferenceVerdict expected;
        ReferencePacket packet;
        KernelDryRun run;
        Bytes b;

        packet_random(&b);
        packet = (ReferencePacket){
                .bytes = b.data,
                .size = b.size,
                .is_egress = random_one_in(2),
                .opener = RANDOM_PICK(openers),
                .place = place_of(place, host_netns),
        };
        packet.is_link_broadcast = !packet.is_egress && random_one_in(10);
        run = (KernelDryRun){
                .packet = b.data,
                .size = b.size,
                .opener = packet.opener,
                .ifindex = place->name ? if_nametoindex(place->name) : UNKNOWN_IF,
                .host_netns = host_netns,
                .broadcast = packet.is_link_broadcast,
        };
        assert_int_equal(kernel_dry_run_program(fds[packet.is_egress], &run), 0);
        expected = reference_judge(&p->stack, test_host(), &packet);
        if (!agree(&run, &expected)) {
                dump(p, &b, &packet, &run, &expected);
                fail_msg("the loaded program and the reference disagree");
        }
        n_by_rule[MIN(expected.rule, (unsigned)CGP_RULE_FIRST)]++;
        n_by_action[expected.action]++;
        if (random_one_in(2))
                compare_unmarked(kernel, p, fds, packet);
}

static void compare_policy(Kernel *kernel, unsigned n_packets) {
        KernelProgs *progs;
        int fds[2];
        RandomPolicy p;

        random_policy_init(&p, &words);
        progs = random_policy_load(kernel, &p, 1);
        fds[0] = bpf_prog_get_fd_by_id(kernel->ops->progs_id(progs, CGP_HOOK_INGRESS));
        fds[1] = bpf_prog_get_fd_by_id(kernel->ops->progs_id(progs, CGP_HOOK_EGRESS));
        assert_true(fds[0] >= 0 && fds[1] >= 0);
        for (unsigned i = 0; i < n_packets; i++)
                compare_one(kernel, &p, fds);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)kernel->ops->progs_free(progs);
        random_policy_done(&p);
}

/* A tun device: there for as long as the file is open, so until the process ends. */
static void add_interface(const char *name) {
        struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
}

/* More networks than would be put into an image. */
static char *many_networks(void) {
        static char text[64 * 1024];
        size_t n = 0;

        for (unsigned i = 0; i < 1000; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%u.%u.%u.0/%u\n", 8 + i % 5,
                        i * 37 % 256, i * 11 % 128 * 2, 23 + i % 2);
        (void)snprintf(text + n, sizeof(text) - n,
                "8.8.0.0/16\n10.1.2.0/25\n10.1.2.3\n203.0.113.0/24\n2600::/16\n"
                "2600:1:2:3:4:5:6:7\n2001:db8::/48\n");
        return text;
}

static void set_up_host(Kernel *kernel) {
        static const char *const lan[] = { "10.9.0.0/16", "192.168.1.0/24", "2001:db8:9::/64",
                NULL };
        static const char *const broadcast[] = { "10.9.255.255", "192.168.1.255", NULL };
        TestInterface interfaces[ELEMENTSOF(places)] = {};
        TestList lists[2] = {
                { .name = "few",
                        .networks = { "44.0.0.0/8", "44.1.0.0/16", "2a00:44::/32", "10.1.2.3" } },
                { .name = "many", .text = many_networks() },
        };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                if (!places[i].name)
                        continue;
                interfaces[n].name = places[i].name;
                memcpy(interfaces[n].names, places[i].names, sizeof(places[i].names));
                if (strcmp(places[i].name, "lo") != 0)
                        add_interface(places[i].name);
                n++;
        }
        test_host_set_lan(lan);
        test_host_set_broadcast(broadcast);
        test_host_set_interfaces(kernel, interfaces, n);
        test_host_set_lists(kernel, lists, ELEMENTSOF(lists));
}

static void agrees(void **state) {
        const char *text = getenv("TRIPLES");
        unsigned n_packets = getenv("PACKETS") ? (unsigned)atoi(getenv("PACKETS")) : 500;
        unsigned long n = text ? strtoul(text, NULL, 10) : 100000, done = 0;
        Kernel *kernel = test_kernel(sandbox);

        set_up_host(kernel);
        for (; done < n; done += n_packets)
                compare_policy(kernel, n_packets);
        print_message(
                "# %lu triples, seed %llu: no difference; by default %lu and %lu, unparsable %lu "
                "and %lu, control %lu, by a rule %lu; allow %lu, deny %lu, never %lu\n",
                done, (unsigned long long)seed, n_by_rule[CGP_RULE_DEFAULT_OUT],
                n_by_rule[CGP_RULE_DEFAULT_IN], n_by_rule[CGP_RULE_UNPARSABLE_OUT],
                n_by_rule[CGP_RULE_UNPARSABLE_IN], n_by_rule[CGP_RULE_CONTROL],
                n_by_rule[CGP_RULE_FIRST], n_by_action[CGP_ACTION_ALLOW],
                n_by_action[CGP_ACTION_DENY], n_by_action[CGP_ACTION_NEVER]);
        /* Else the generator has lost what it is for. */
        for (unsigned rule = CGP_RULE_DEFAULT_OUT; rule <= CGP_RULE_CONTROL; rule++)
                assert_true(n_by_rule[rule] > 0);
        assert_true(n_by_rule[CGP_RULE_FIRST] > 0 && n_by_action[CGP_ACTION_NEVER] > 0);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static int run(Sandbox *s) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(agrees) };

        sandbox = s;
        seed = random_begin();
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(run);
}
