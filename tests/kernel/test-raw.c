/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that are not what their socket is, and the kernel's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"
#include "packet.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;
static Kernel *kernel;

static const TestPolicy open_policy = { .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW };

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

static int own_socket(int family, int type, int protocol) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(family, type, protocol);
        sandbox_leave(sandbox);
        assert_true(fd >= 0);
        return fd;
}

static int send_packet(int fd, const Packet *p, const char *to) {
        NetAddress a = net_address(to, 0);
        ssize_t n;

        n = sendto(fd, p->bytes, p->size, 0, (struct sockaddr *)&a.address, a.size);
        return n < 0 ? -errno : 0;
}

static int own_udp(const char *ip, uint16_t port) {
        int fd = own_socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

        assert_int_equal(net_bind(fd, ip, port), 0);
        return fd;
}

static void write_setting(const char *path, const char *value) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                fail_msg("no %s", path);
        assert_int_equal(write(fd, value, strlen(value)), strlen(value));
}

static void test_judged_by_its_bytes(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        packet_add_udp(&p, 4000, 53);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), 0);
        net_expect(server, "");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);

        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        packet_add_udp(&p, 4000, 54);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_TCP, 0);
        packet_add_tcp(&p, 4000, 53, 0x12);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
        /* The address of the call is not that of the packet. */
        packet_ip4(&p, "127.0.0.1", "127.0.0.2", IPPROTO_UDP, 0);
        packet_add_udp(&p, 4000, 54);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 3);
        subject_detach(s);
}

static void test_unparsable(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const TestPolicy lenient = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny in udp/1" } };
        _cleanup_close_ int fd = -EBADF, six = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        packet_add_udp(&p, 4000, 53);
        p.bytes[7] = 1; /* fragment offset */
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        packet_add(&p, "ab", 2); /* half of the ports */
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        six = own_socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
        packet_ip6(&p, "::1", "::1", IPPROTO_ROUTING);
        packet_add_extension(&p, IPPROTO_UDP, 3, 4, 1);
        packet_add_udp(&p, 4000, 53);
        assert_int_equal(send_packet(six, &p, "::1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 3);

        /* Where nothing is refused in this direction there is nothing to get around. */
        subject_publish(s, &lenient);
        assert_int_equal(send_packet(six, &p, "::1"), 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).packets, 1);
        subject_detach(s);
}

/* A server's raw socket cannot answer in the name of its UDP socket: it has no conversation. */
static void test_no_state_for_raw_sockets(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int client = net_udp_bound("127.0.0.1", 4000), fd = -EBADF, raw = -EBADF;
        Subject *s = attach(&policy);
        NetAddress from;
        Packet p;

        fd = own_socket(AF_INET, SOCK_DGRAM, 0);
        raw = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        assert_int_equal(net_bind(fd, "127.0.0.1", 53), 0);
        assert_int_equal(net_send_to(client, "question", "127.0.0.1", 53), 0);
        net_expect_from(fd, "question", &from);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        packet_add_udp(&p, 53, 4000);
        assert_int_equal(send_packet(raw, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_reply_to(fd, "answer", &from), 0);
        net_expect(client, "answer");
        subject_detach(s);
}

/* And what the kernel may send on its own account, a service may not under its name. */
static void test_forged_control_traffic(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const uint8_t types[] = { 3, 4, 5, 11, 12 };
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        for (unsigned i = 0; i < ELEMENTSOF(types); i++) {
                packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_ICMP, 0);
                packet_add_icmp(&p, types[i], 0, 0);
                assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        }
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_IGMP, 0);
        packet_add(&p, "12345678", 8);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, ELEMENTSOF(types) + 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_CONTROL).packets, 0);
        subject_detach(s);
}

static int interface_up(void) {
        struct ifreq request = { .ifr_name = "cgptest", .ifr_flags = IFF_TAP | IFF_NO_PI };
        int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC), fd;

        if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
                return -1;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        request.ifr_flags = IFF_UP;
        return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -1 : tun;
}

/* The control sockets of a network namespace belong to the cgroup of whoever made it: IPv6 must come up
 * there although the policy allows nothing. */
/* What a socket may carry is bounded per namespace, by its owner; before Linux 6.8 for the whole host, and
 * then the file is the host's alone. */
static bool set_socket_memory(const char *value) {
        _cleanup_close_ int fd = open("/proc/sys/net/core/optmem_max", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return false;
        assert_int_equal(write(fd, value, strlen(value)), strlen(value));
        return true;
}

static void test_no_socket_without_a_record(void **state) {
        static const TestPolicy closed = { 0 }, audit = { .mode = POLICY_MODE_AUDIT },
                                off = { .mode = POLICY_MODE_OFF };
        int with, without, audited, unjudged;
        Subject *s;

        if (!set_socket_memory("65536")) {
                print_message("optmem_max is the host's here\n");
                skip();
        }
        s = attach(&closed);
        sandbox_enter(sandbox, "svc");
        with = net_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
        (void)set_socket_memory("0");
        without = net_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
        sandbox_leave(sandbox); /* publishing needs a socket of the test's own */
        subject_publish(s, &audit);
        sandbox_enter(sandbox, "svc");
        audited = net_socket(AF_INET, SOCK_DGRAM, 0);
        sandbox_leave(sandbox);
        subject_publish(s, &off);
        sandbox_enter(sandbox, "svc");
        unjudged = net_socket(AF_INET, SOCK_DGRAM, 0);
        (void)set_socket_memory("65536");
        sandbox_leave(sandbox);

        assert_true(with >= 0);
        assert_int_equal(without, -EPERM);
        assert_true(audited >= 0);
        assert_true(unjudged >= 0);
        net_close(&with);
        net_close(&audited);
        net_close(&unjudged);
        subject_detach(s);
}

static void test_kernel_control_traffic_passes(void **state) {
        static const TestPolicy policy = {};
        int ready[2], done[2], status;
        Subject *s = attach(&policy);
        char byte = 0;
        pid_t pid;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(done, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                sandbox_enter(sandbox, "svc");
                byte = unshare(CLONE_NEWNET) == 0 && interface_up() >= 0;
                if (write(ready[1], &byte, 1) != 1)
                        _exit(1);
                (void)close_keep_errno(done[1]);
                (void)!read(done[0], &byte, 1);
                _exit(0);
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        if (byte) {
                subject_wait_packets(s, TEST_SLOT_CONTROL, 2);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
        }
        net_close(&done[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        net_close(&done[0]);
        net_close(&ready[0]);
        net_close(&ready[1]);
        subject_detach(s);
        if (!byte)
                skip();
}

/* A raw socket that listens sees only what `in` rules let come to it. */
static void test_sniffing_by_protocol(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int one = net_udp_bound("127.0.0.1", 53), sender = net_udp(AF_INET);
        _cleanup_close_ int two = net_udp_bound("127.0.0.1", 54), raw = -EBADF;
        Subject *s = attach(&policy);

        raw = own_socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
        assert_int_equal(net_send_to(sender, "x", "127.0.0.1", 54), 0);
        net_expect(two, "x");
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(raw));
        assert_int_equal(net_send_to(sender, "x", "127.0.0.1", 53), 0);
        net_expect(one, "x");
        subject_wait_packets(s, TEST_SLOT_RULE, 1);
        assert_true(net_has_data(raw));
        subject_detach(s);
}

/* One whose hops are used up is a header like others. */
static void test_routing_header_in(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int raw = net_socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
        _cleanup_close_ int allowed = -EBADF, denied = -EBADF;
        Subject *s = attach(&policy);

        allowed = own_udp("::1", 53);
        denied = own_udp("::1", 54);
        /* IPv6 wants a checksum, unless the socket does not care. */
        net_set_option(allowed, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
        net_set_option(denied, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
        for (uint16_t port = 53; port <= 54; port++) {
                Packet p;

                packet_ip6(&p, "::1", "::1", IPPROTO_ROUTING);
                packet_add_extension(&p, IPPROTO_UDP, 3, 2, 0);
                packet_add_udp(&p, 4000, port);
                assert_int_equal(send_packet(raw, &p, "::1"), 0);
        }
        net_expect(allowed, "");
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        assert_false(net_has_data(denied));
        subject_detach(s);
}

static void add_source_route(Packet *p, uint8_t kind, uint8_t pointer) {
        const uint8_t option[8] = { 1, kind, 7, pointer, 127, 0, 0, 1 };

        memcpy(p->bytes + 20, option, sizeof(option));
}

static void test_source_route_in_raw_packets(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const uint8_t kinds[] = { 131, 137 };
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                subject_clear(s);
                packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 8);
                add_source_route(&p, kinds[i], 4);
                packet_add_udp(&p, 4000, 53);
                assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 1);

                /* Used up, it is judged by what it says. */
                add_source_route(&p, kinds[i], 8);
                assert_int_equal(send_packet(fd, &p, "127.0.0.1"), 0);
                assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
                packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 8);
                add_source_route(&p, kinds[i], 8);
                packet_add_udp(&p, 4000, 54);
                assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        }
        subject_detach(s);
}

/* A host that takes source routes at all, which is not the default. */
static void test_source_route_in(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int raw = net_socket(AF_INET, SOCK_RAW, IPPROTO_RAW), fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        write_setting("/proc/sys/net/ipv4/conf/all/accept_source_route", "1");
        write_setting("/proc/sys/net/ipv4/conf/lo/accept_source_route", "1");
        write_setting("/proc/sys/net/ipv4/conf/lo/route_localnet", "1");
        write_setting("/proc/sys/net/ipv4/conf/lo/accept_local", "1");
        fd = own_udp("127.0.0.1", 53);
        packet_ip4(&p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 8);
        add_source_route(&p, 131, 4); /* one hop to go, which is here too */
        packet_add_udp(&p, 4000, 53);
        assert_int_equal(send_packet(raw, &p, "127.0.0.1"), 0);
        subject_wait_blocked(s, TEST_SLOT_UNPARSABLE_IN, 1);
        assert_false(net_has_data(fd));
        add_source_route(&p, 131, 8);
        assert_int_equal(send_packet(raw, &p, "127.0.0.1"), 0);
        net_expect(fd, "");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        subject_detach(s);
}

static void test_fragments_of_ipv6(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
        for (uint16_t port = 53; port <= 54; port++) {
                packet_ip6(&p, "::1", "::1", IPPROTO_FRAGMENT);
                packet_add_fragment(&p, IPPROTO_UDP, 0, 1);
                packet_add_udp(&p, 4000, port);
                assert_int_equal(send_packet(fd, &p, "::1"), port == 53 ? 0 : -EPERM);
        }
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        packet_ip6(&p, "::1", "::1", IPPROTO_FRAGMENT);
        packet_add_fragment(&p, IPPROTO_UDP, 1, 0);
        packet_add_udp(&p, 4000, 53); /* looks like one, but is payload */
        assert_int_equal(send_packet(fd, &p, "::1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 1);
        subject_publish(s, &open_policy);
        assert_int_equal(send_packet(fd, &p, "::1"), 0);
        subject_detach(s);
}

/* A raw socket of a protocol gives the bytes from its header on: ports, type and code are what it says there. */
static void test_raw_socket_of_a_protocol(void **state) {
        static const TestPolicy policy = {
                .rules = { "allow out udp/53", "allow out tcp/443", "allow out icmp to 127.0.0.1" },
        };
        static const struct {
                int protocol;
                uint16_t port;
                const char *to;
                int result;
        } cases[] = {
                { IPPROTO_UDP, 53, "127.0.0.1", 0 },
                { IPPROTO_UDP, 54, "127.0.0.1", -EPERM },
                { IPPROTO_UDP, 443, "127.0.0.1", -EPERM },
                { IPPROTO_TCP, 443, "127.0.0.1", 0 },
                { IPPROTO_TCP, 444, "127.0.0.1", -EPERM },
                { IPPROTO_ICMP, 0, "127.0.0.1", 0 },
                { IPPROTO_ICMP, 0, "127.0.0.2", -EPERM },
                { IPPROTO_GRE, 0, "127.0.0.1", -EPERM },
        };
        Subject *s = attach(&policy);
        uint64_t blocked = 0;

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = own_socket(AF_INET, SOCK_RAW, cases[i].protocol);
                NetAddress to = net_address(cases[i].to, 0);
                Packet p = {};
                ssize_t n;

                if (cases[i].protocol == IPPROTO_UDP)
                        packet_add_udp(&p, 4000, cases[i].port);
                else if (cases[i].protocol == IPPROTO_TCP)
                        packet_add_tcp(&p, 4000, cases[i].port, 0x02);
                else
                        packet_add_icmp(&p, 8, 0, 7);
                n = sendto(fd, p.bytes, p.size, 0, (struct sockaddr *)&to.address, to.size);
                assert_int_equal(n < 0 ? -errno : 0, cases[i].result);
                /* Connected it says the same: not the call is judged, but the packet. */
                assert_int_equal(net_connect(fd, cases[i].to, 0), 0);
                n = send(fd, p.bytes, p.size, 0);
                assert_int_equal(n < 0 ? -errno : 0, cases[i].result);
                blocked += cases[i].result < 0 ? 2 : 0;
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, blocked);
        }
        subject_detach(s);
}

/* Kernels without SCTP carry its packets all the same. */
static void test_sctp_packets(void **state) {
        static const TestPolicy policy = { .rules = { "allow out sctp/7", "allow in sctp/7" } };
        _cleanup_close_ int fd = -EBADF, outside = net_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_SCTP); /* which also gets them */
        for (uint16_t port = 7; port <= 8; port++) {
                static const uint8_t init[20] = { 1, 0, 0, 20 };
                NetAddress to = net_address("127.0.0.2", 0);
                ssize_t n;

                packet_ip4(&p, "127.0.0.2", "127.0.0.1", IPPROTO_SCTP, 0);
                packet_add_udp(&p, 5000, port); /* begins with the ports, too */
                packet_add(&p, init, sizeof(init));
                n = sendto(
                        fd, p.bytes + 20, p.size - 20, 0, (struct sockaddr *)&to.address, to.size);
                assert_int_equal(n < 0 ? -errno : 0, port == 7 ? 0 : -EPERM);
                assert_int_equal(send_packet(outside, &p, "127.0.0.1"), 0);
        }
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        /* Its own comes back to it, as a raw socket's does, and the two from outside. */
        subject_wait_packets(s, TEST_SLOT_RULE + 1, 2);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        subject_detach(s);
}

static int set_up(void **state) {
        kernel = test_kernel(sandbox);
        return 0;
}

static int tear_down(void **state) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel = kernel_close(kernel);
        return 0;
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_judged_by_its_bytes),
                cmocka_unit_test(test_unparsable),
                cmocka_unit_test(test_no_state_for_raw_sockets),
                cmocka_unit_test(test_forged_control_traffic),
                cmocka_unit_test(test_no_socket_without_a_record),
                cmocka_unit_test(test_kernel_control_traffic_passes),
                cmocka_unit_test(test_sniffing_by_protocol),
                cmocka_unit_test(test_routing_header_in),
                cmocka_unit_test(test_source_route_in_raw_packets),
                cmocka_unit_test(test_source_route_in),
                cmocka_unit_test(test_fragments_of_ipv6),
                cmocka_unit_test(test_raw_socket_of_a_protocol),
                cmocka_unit_test(test_sctp_packets),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
