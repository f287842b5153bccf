/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manual says is seen, and what it says is not: roads to the wire and packets off it that no other test
 * has. test-around, test-raw and test-belonging prove the rest of that table, test-datagram and test-tcp its
 * common rows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "far.h"
#include "net.h"
#include "packet.h"
#include "subject.h"
#include "uring.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define URING_OP_BIND   56 /* IORING_OP_BIND and _LISTEN of Linux 6.11 */
#define URING_OP_LISTEN 57

static Sandbox *sandbox;
static Kernel *kernel;

static const TestPolicy nothing = {};
static const TestPolicy open_policy = { .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW };

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

static int own_udp(const Subject *s, const char *ip, uint16_t port) {
        int fd = subject_socket(s, strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

        assert_true(fd >= 0);
        assert_int_equal(net_bind(fd, ip, port), 0);
        return fd;
}

static int own_listener(const Subject *s, const char *ip, uint16_t port) {
        int fd = subject_socket(s, strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

        assert_true(fd >= 0);
        assert_int_equal(net_bind(fd, ip, port), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

static int send_packet(int fd, const Packet *p, const char *to) {
        NetAddress a = net_address(to, 0);
        ssize_t n;

        n = sendto(fd, p->bytes, p->size, 0, (struct sockaddr *)&a.address, a.size);
        return n < 0 ? -errno : 0;
}

static void write_setting(const char *path, const char *value) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                fail_msg("no %s", path);
        assert_int_equal(write(fd, value, strlen(value)), strlen(value));
}

/* An IPv6 listener's IPv4 peers are IPv4 addresses to the rules. */
static void test_mapped_peers_of_a_listener(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80 from 127.0.0.1" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        _cleanup_close_ int other = net_tcp(AF_INET), six = net_tcp(AF_INET6);
        Subject *s = attach(&policy);

        listener = own_listener(s, "::", 80);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
        assert_int_equal(net_send(child, "greeting"), 0);
        net_expect(fd, "greeting");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        assert_int_equal(net_bind(other, "127.0.0.2", 0), 0);
        assert_int_equal(net_connect(other, "127.0.0.1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(net_connect(six, "::1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 2);
        assert_true(net_is_connecting(other));
        assert_true(net_is_connecting(six));
        subject_detach(s);
}

/* Whoever the socket was connected to: the call says where this one goes. */
static void test_mapped_sends_of_connected_sockets(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53 to 127.0.0.1,::1" } };
        _cleanup_close_ int server = net_udp_bound("::1", 53), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = subject_socket(s, AF_INET6, SOCK_DGRAM, 0);
        assert_int_equal(net_connect(fd, "::1", 53), 0);
        assert_int_equal(net_send_to(fd, "x", "::ffff:127.0.0.2", 53), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_send_to(fd, "x", "::ffff:127.0.0.1", 54), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
        assert_int_equal(net_send(fd, "allowed"), 0);
        net_expect(server, "allowed");
        subject_detach(s);
}

/* Data that comes with a SYN comes no further than the SYN. */
static void test_fast_open_in(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80" } };
        _cleanup_close_ int listener = -EBADF, closed = -EBADF, fd = net_tcp(AF_INET);
        _cleanup_close_ int bad = net_tcp(AF_INET), child = -EBADF;
        NetAddress good_to = net_address("127.0.0.1", 80), bad_to = net_address("127.0.0.1", 81);
        Subject *s = attach(&policy);

        /* Clients and servers, no cookie needed: the first SYN has the data already. */
        write_setting("/proc/sys/net/ipv4/tcp_fastopen", "1543");
        listener = own_listener(s, "127.0.0.1", 80);
        closed = own_listener(s, "127.0.0.1", 81);
        net_set_option(listener, IPPROTO_TCP, TCP_FASTOPEN, 5);
        net_set_option(closed, IPPROTO_TCP, TCP_FASTOPEN, 5);
        assert_int_equal(sendto(fd, "early", 5, MSG_FASTOPEN, (struct sockaddr *)&good_to.address,
                                 good_to.size),
                5);
        child = net_wait_accepted(listener);
        net_expect(child, "early");
        assert_int_equal(sendto(bad, "early", 5, MSG_FASTOPEN, (struct sockaddr *)&bad_to.address,
                                 bad_to.size),
                5);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(closed));
        write_setting("/proc/sys/net/ipv4/tcp_fastopen", "1");
        subject_detach(s);
}

static void test_io_uring_send_to(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        NetAddress to[] = { net_address("127.0.0.1", 54), net_address("127.0.0.1", 53) };
        Subject *s = attach(&policy);
        Uring ring;

        if (uring_init(&ring, 0) < 0) {
                subject_detach(s);
                skip();
        }
        fd = subject_socket(s, AF_INET, SOCK_DGRAM, 0);
        for (unsigned i = 0; i < ELEMENTSOF(to); i++) {
                const struct io_uring_sqe request = {
                        .opcode = IORING_OP_SEND,
                        .fd = fd,
                        .addr = (uintptr_t) "ringing",
                        .len = 7,
                        .addr2 = (uintptr_t)&to[i].address,
                        .addr_len = (uint16_t)to[i].size,
                };

                assert_int_equal(uring_run(&ring, &request), i == 0 ? -EPERM : 7);
        }
        net_expect(server, "ringing");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        uring_done(&ring);
        subject_detach(s);
}

static void test_io_uring_bind(void **state) {
        static const TestPolicy policy = { .rules = { "deny bind tcp/8000", "allow any" } };
        NetAddress at[] = { net_address("127.0.0.1", 8000), net_address("127.0.0.1", 8001) };
        _cleanup_close_ int fd = -EBADF;
        struct io_uring_sqe request = { .opcode = URING_OP_BIND };
        Subject *s = attach(&policy);
        Uring ring;

        if (uring_init(&ring, 0) < 0) {
                subject_detach(s);
                skip();
        }
        fd = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        request.fd = fd;
        request.addr = (uintptr_t)&at[1].address;
        request.off = at[1].size;
        if (uring_run(&ring, &request) == -EINVAL) { /* before Linux 6.11 */
                uring_done(&ring);
                subject_detach(s);
                skip();
        }
        assert_int_equal(net_local_port(fd), 8001);
        net_close(&fd);
        fd = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        request.fd = fd;
        request.addr = (uintptr_t)&at[0].address;
        assert_int_equal(uring_run(&ring, &request), -EPERM);
        assert_int_equal(net_local_port(fd), 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).blocked, 1);
        uring_done(&ring);
        subject_detach(s);
}

/* A routing header as a socket option: of segment routing, with one hop to go before the call's address. */
static void add_routing_header(int fd, const char *hop) {
        uint8_t header[40] = { [1] = 4, [2] = 4, [3] = 1, [4] = 1 };

        assert_int_equal(inet_pton(AF_INET6, hop, header + 24), 1);
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, header, sizeof(header)), 0);
}

static void test_routing_header_of_a_socket(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53", "allow out tcp/443" } };
        _cleanup_close_ int udp = -EBADF, tcp = -EBADF;
        Subject *s = attach(&policy);

        udp = subject_socket(s, AF_INET6, SOCK_DGRAM, 0);
        tcp = subject_socket(s, AF_INET6, SOCK_STREAM, 0);
        add_routing_header(udp, "::1");
        add_routing_header(tcp, "::1");
        assert_int_equal(net_send_to(udp, "x", "::1", 53), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 1);
        assert_int_equal(net_connect(udp, "::1", 53), 0); /* sends nothing */
        assert_int_equal(net_send(udp, "x"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 2);
        assert_int_equal(net_connect(tcp, "::1", 443), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_UNPARSABLE_OUT, 3);
        assert_true(net_is_connecting(tcp));

        subject_publish(s, &open_policy);
        assert_int_equal(net_send(udp, "x"), 0);
        subject_detach(s);
}

/* Loose and strict, through 127.0.0.2 to where the call says: the header names the first hop. */
static void test_source_route_of_a_socket(void **state) {
        static const TestPolicy policy = {
                .rules = { "allow out udp/53 to 127.0.0.1", "allow out tcp/443 to 127.0.0.1" },
        };
        static const uint8_t kinds[] = { 131, 137 };
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                uint8_t option[8] = { 1, kinds[i], 7, 4, 127, 0, 0, 2 };
                _cleanup_close_ int udp = subject_socket(s, AF_INET, SOCK_DGRAM, 0);
                _cleanup_close_ int tcp = subject_socket(s, AF_INET, SOCK_STREAM, 0);

                subject_publish(s, &policy);
                subject_clear(s);
                assert_int_equal(
                        setsockopt(udp, IPPROTO_IP, IP_OPTIONS, option, sizeof(option)), 0);
                assert_int_equal(
                        setsockopt(tcp, IPPROTO_IP, IP_OPTIONS, option, sizeof(option)), 0);
                assert_int_equal(net_send_to(udp, "x", "127.0.0.1", 53), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 1);
                assert_int_equal(net_send_to(udp, "x", "127.0.0.3", 53), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
                assert_int_equal(net_connect(tcp, "127.0.0.1", 443), -EINPROGRESS);
                subject_wait_blocked(s, TEST_SLOT_UNPARSABLE_OUT, 2);
                assert_true(net_is_connecting(tcp));

                subject_publish(s, &open_policy);
                assert_int_equal(net_send_to(udp, "x", "127.0.0.1", 53), 0);
        }
        subject_detach(s);
}

/* Where the kernel has it; test_sctp_packets holds everywhere. */
static bool has_sctp(void) {
        _cleanup_close_ int fd = net_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

        return fd != -EPROTONOSUPPORT;
}

static void test_sctp_sockets(void **state) {
        static const TestPolicy policy = { .rules = { "allow out sctp/7" } };
        _cleanup_close_ int listener = net_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
        _cleanup_close_ int fd = -EBADF, bad = -EBADF;
        Subject *s;
        int r;

        assert_int_equal(net_bind(listener, "127.0.0.1", 7), 0);
        assert_int_equal(listen(listener, 16), 0);
        s = attach(&policy);
        fd = subject_socket(s, AF_INET, SOCK_STREAM, IPPROTO_SCTP);
        bad = subject_socket(s, AF_INET, SOCK_STREAM, IPPROTO_SCTP);
        r = net_connect(fd, "127.0.0.1", 7);
        assert_true(r == 0 || r == -EINPROGRESS);
        assert_int_equal(net_wait_connected(fd), 0);
        /* The kernel asks no hook for an SCTP connect: the packet is what is refused. */
        r = net_connect(bad, "127.0.0.1", 8);
        assert_true(r < 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        subject_detach(s);
}

/* Not seen: no rule about binding reaches another family. */
static void test_vsock_binds_as_it_likes(void **state) {
        static const TestPolicy policy = { .rules = { "deny bind tcp", "deny bind udp" } };
        struct sockaddr_vm at = {
                .svm_family = AF_VSOCK,
                .svm_cid = VMADDR_CID_ANY,
                .svm_port = VMADDR_PORT_ANY,
        };
        _cleanup_close_ int fd = -EBADF, tcp = -EBADF;
        Subject *s = attach(&policy);

        fd = subject_socket(s, AF_VSOCK, SOCK_STREAM, 0);
        if (fd < 0) {
                subject_detach(s);
                assert_int_equal(fd, -EAFNOSUPPORT);
                skip();
        }
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(fd, 1), 0);
        subject_expect_untouched(s);
        tcp = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(net_bind(tcp, "127.0.0.1", 8000), -EPERM);
        subject_detach(s);
}

/* The request came to one socket, the reply leaves by another of the same port. */
static void test_answer_from_another_socket(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/443" } };
        _cleanup_close_ int client = net_udp_bound("127.0.0.1", 4000), one = -EBADF, two = -EBADF;
        Subject *s = attach(&policy);
        NetAddress from;

        one = subject_socket(s, AF_INET, SOCK_DGRAM, 0);
        two = subject_socket(s, AF_INET, SOCK_DGRAM, 0);
        net_set_option(one, SOL_SOCKET, SO_REUSEPORT, 1);
        net_set_option(two, SOL_SOCKET, SO_REUSEPORT, 1);
        assert_int_equal(net_bind(one, "127.0.0.1", 443), 0);
        assert_int_equal(net_bind(two, "127.0.0.1", 443), 0);
        assert_int_equal(net_send_to(two, "early", "127.0.0.1", 4000), -EPERM);
        assert_int_equal(net_send_to(client, "initial", "127.0.0.1", 443), 0);
        subject_wait_packets(s, TEST_SLOT_RULE, 1);
        /* Whichever of them has it, the other answers. */
        net_expect_from(net_has_data(one) ? one : two, "initial", &from);
        assert_int_equal(net_reply_to(one, "handshake", &from), 0);
        net_expect(client, "handshake");
        assert_int_equal(net_reply_to(two, "and more", &from), 0);
        net_expect(client, "and more");
        /* The conversation is over for both when the rule is. */
        subject_publish(s, &nothing);
        assert_int_equal(net_reply_to(one, "late", &from), -EPERM);
        assert_int_equal(net_reply_to(two, "late", &from), -EPERM);
        subject_detach(s);
}

static Far far;

static int set_up_link(void **state) {
        far = far_open();
        far_link(&far, "cgp1", "10.78.0.1/24 2001:db8:78::1/64", "10.78.0.2/24 2001:db8:78::2/64");
        return 0;
}

static int tear_down_link(void **state) {
        sandbox_leave(sandbox);
        far_leave(&far);
        far_ip_here("link del cgp1\n");
        far_close(&far);
        return 0;
}

static void test_answer_to_a_multicast_of_ipv6(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/5353 to ff02::fb" } };
        static const TestPolicy both = {
                .rules = { "allow out udp/5353 to ff02::fb", "allow in udp/4000" },
        };
        _cleanup_close_ int peer = far_udp_bound(&far, "::", 5353), fd = -EBADF;
        struct ipv6_mreq group = {};
        Subject *s = attach(&policy);
        NetAddress from;

        assert_int_equal(inet_pton(AF_INET6, "ff02::fb", &group.ipv6mr_multiaddr), 1);
        assert_int_equal(setsockopt(peer, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof(group)), 0);
        fd = own_udp(s, "2001:db8:78::1", 4000);
        net_set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)if_nametoindex("cgp1"));
        assert_int_equal(net_send_to(fd, "who", "ff02::fc", 5353), -EPERM);
        assert_int_equal(net_send_to(fd, "who", "ff02::fb", 5353), 0);
        net_expect_from(peer, "who", &from);
        assert_int_equal(net_reply_to(peer, "me", &from), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));
        subject_publish(s, &both);
        assert_int_equal(net_reply_to(peer, "me", &from), 0);
        net_expect(fd, "me");
        subject_detach(s);
}

static int far_broadcaster(void) {
        int fd = far_udp_bound(&far, "10.78.0.2", 4000);

        net_set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "cgp1", 5), 0);
        return fd;
}

/* In an `in` rule `broadcast` is what the packet was sent to: to all, or to all of the network. */
static void test_broadcast_in(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/67 from broadcast" } };
        static const char *const to[] = { "255.255.255.255", "10.78.0.255" };
        _cleanup_close_ int client = -EBADF, fd = -EBADF, stranger = -EBADF;
        Subject *s = attach(&policy);
        NetAddress from;

        fd = own_udp(s, "0.0.0.0", 67);
        client = far_broadcaster();
        stranger = far_udp_bound(&far, "10.78.0.2", 4001);
        assert_int_equal(net_send_to(stranger, "alone", "10.78.0.1", 67), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        for (unsigned i = 0; i < ELEMENTSOF(to); i++) {
                assert_int_equal(net_send_to(client, "discover", to[i], 67), 0);
                net_expect_from(fd, "discover", &from);
                assert_int_equal(net_reply_to(fd, "offer", &from), 0);
                net_expect(client, "offer");
        }
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 4);
        assert_false(net_has_data(fd));
        subject_detach(s);
}

/* As DHCP does it: asked of all, answered by one. */
static void test_answer_to_a_broadcast(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/67 to broadcast" } };
        static const TestPolicy both = {
                .rules = { "allow out udp/67 to broadcast", "allow in udp/68" },
        };
        static const TestPolicy broadcasts = {
                .rules = { "allow out udp/67 to broadcast", "allow in udp/68 from broadcast" },
        };
        _cleanup_close_ int server = -EBADF, fd = -EBADF;
        Subject *s = attach(&policy);
        NetAddress from;

        server = far_udp_bound(&far, "0.0.0.0", 67);
        net_set_option(server, SOL_SOCKET, SO_BROADCAST, 1);
        assert_int_equal(setsockopt(server, SOL_SOCKET, SO_BINDTODEVICE, "cgp1", 5), 0);
        fd = own_udp(s, "0.0.0.0", 68);
        net_set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "cgp1", 5), 0);
        assert_int_equal(net_send_to(fd, "request", "10.78.0.2", 67), -EPERM);
        assert_int_equal(net_send_to(fd, "discover", "255.255.255.255", 67), 0);
        net_expect_from(server, "discover", &from);
        assert_int_equal(net_reply_to(server, "offer", &from), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));
        subject_publish(s, &broadcasts);
        assert_int_equal(net_reply_to(server, "offer", &from), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 2);
        assert_int_equal(net_send_to(server, "to all", "255.255.255.255", 68), 0);
        net_expect(fd, "to all");
        subject_publish(s, &both);
        assert_int_equal(net_reply_to(server, "offer", &from), 0);
        net_expect(fd, "offer");
        subject_detach(s);
}

static void test_closed_port_is_not_seen(void **state) {
        static const TestPolicy policy = { .rules = { "deny in any" } };
        _cleanup_close_ int tcp = net_tcp(AF_INET), udp = net_udp(AF_INET), listener = -EBADF;
        _cleanup_close_ int late = net_tcp(AF_INET);
        Subject *s = attach(&policy);
        int r;

        /* A reset and an ICMP error, from the kernel. */
        listener = own_listener(s, "127.0.0.1", 80);
        net_close(&listener);
        r = net_connect(tcp, "127.0.0.1", 80);
        assert_int_equal(r == -EINPROGRESS ? net_wait_connected(tcp) : r, -ECONNREFUSED);
        assert_int_equal(net_connect(udp, "127.0.0.1", 80), 0);
        assert_int_equal(net_send(udp, "x"), 0);
        assert_int_equal(net_wait_connected(udp), -ECONNREFUSED);
        subject_expect_untouched(s);
        /* With somebody behind it the same port says nothing. */
        listener = own_listener(s, "127.0.0.1", 80);
        assert_int_equal(net_connect(late, "127.0.0.1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_RULE, 1);
        assert_true(net_is_connecting(late));
        subject_detach(s);
}

static uint8_t state_of(int fd) {
        struct tcp_info info = {};
        socklen_t size = sizeof(info);

        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        return info.tcpi_state;
}

/* The service has closed first. What still comes for that connection is answered by what is left of it. */
static void test_time_wait_is_not_seen(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        _cleanup_close_ int raw = net_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        _cleanup_close_ int ears = net_socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
        Subject *s = attach(&policy);
        struct pollfd p = { .fd = ears, .events = POLLIN };
        Packet packet;

        listener = own_listener(s, "127.0.0.1", 80);
        assert_int_equal(net_bind(fd, "127.0.0.1", 4000), 0);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
        net_close(&child);
        net_expect(fd, ""); /* its FIN */
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        while (state_of(fd) != TCP_CLOSE) /* ours was acknowledged */
                assert_true(state_of(fd) == TCP_LAST_ACK || state_of(fd) == TCP_CLOSE);
        net_close(&listener);
        net_close(&fd);

        subject_publish(s, &nothing);
        subject_clear(s);
        while (recv(ears, packet.bytes, sizeof(packet.bytes), 0) > 0)
                ; /* what was said until now */
        packet_ip4(&packet, "127.0.0.1", "127.0.0.1", IPPROTO_TCP, 0);
        packet_add_tcp(&packet, 4000, 80, 0x10);
        packet_set_checksum(&packet, 16);
        assert_int_equal(send_packet(raw, &packet, "127.0.0.1"), 0);
        do { /* from port 80: not the one that was just sent */
                assert_int_equal(poll(&p, 1, 20000), 1);
                assert_true(recv(ears, packet.bytes, sizeof(packet.bytes), 0) >= 40);
        } while (packet.bytes[20] != 0 || packet.bytes[21] != 80);
        assert_true(packet.bytes[33] & 0x10); /* an acknowledgement, no reset: it is remembered */
        assert_false(packet.bytes[33] & 0x04);
        subject_expect_untouched(s);
        subject_detach(s);
}

static void test_implicit_binds(void **state) {
        static const TestPolicy policy = {
                .rules = { "deny bind tcp", "deny bind udp", "allow out any" },
        };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), stranger = net_udp(AF_INET);
        _cleanup_close_ int away = net_listener("127.0.0.1", 443), peer = -EBADF, tcp = -EBADF;
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < 2; i++) {
                _cleanup_close_ int udp = subject_socket(s, AF_INET, SOCK_DGRAM, 0);
                NetAddress from;

                subject_clear(s);
                if (i == 0)
                        assert_int_equal(net_send_to(udp, "question", "127.0.0.1", 53), 0);
                else {
                        assert_int_equal(net_connect(udp, "127.0.0.1", 53), 0);
                        assert_int_equal(net_send(udp, "question"), 0);
                }
                net_expect_from(server, "question", &from);
                assert_int_equal(net_reply_to(server, "answer", &from), 0);
                net_expect(udp, "answer");
                assert_int_equal(subject_counter(s, TEST_SLOT_RULE + 1).blocked, 0);
                if (i > 0)
                        continue; /* a connected socket hears nobody else anyway */
                /* The port is its own, but who was not asked needs an `in` rule to come to it. */
                assert_int_equal(net_send_to(stranger, "x", "127.0.0.1", net_local_port(udp)), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_false(net_has_data(udp));
        }
        tcp = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(net_connected_pair(tcp, away, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).blocked, 0);
        subject_detach(s);
}

static struct cgp_event last_event;
static unsigned n_events;

static void on_event(void *userdata, const void *record, size_t size) {
        assert_int_equal(size, sizeof(last_event));
        memcpy(&last_event, record, size);
        n_events++;
}

static void on_lost(void *userdata, uint64_t n) {
        fail_msg("%llu events lost", (unsigned long long)n);
}

/* listen() alone takes a port: nothing can refuse that, so it is told, and the `in` rule holds. */
static void test_listener_without_bind(void **state) {
        static const TestPolicy policy = { .rules = { "deny bind tcp" } };
        _cleanup_(kernel_ring_freep) KernelRing *ring = NULL;
        _cleanup_close_ int fd = -EBADF, client = net_tcp(AF_INET);
        Subject *s = attach(&policy);
        uint16_t port;

        n_events = 0;
        assert_int_equal(kernel_ring_new(kernel, on_event, on_lost, NULL, &ring), 0);
        fd = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(listen(fd, 4), 0);
        port = net_local_port(fd);
        assert_true(port > 0);
        assert_true(kernel_ring_drain(ring) >= 0);
        assert_int_equal(n_events, 1);
        assert_int_equal(last_event.type, CGP_EVENT_WOULD);
        assert_int_equal(last_event.direction, CGP_DIR_BIND);
        assert_int_equal(last_event.rule, CGP_RULE_FIRST);
        assert_int_equal(last_event.local_port, port);
        assert_int_equal(last_event.protocol, IPPROTO_TCP);
        assert_int_equal(last_event.pid, getpid());
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).would, 1);
        assert_int_equal(net_connect(client, "127.0.0.1", port), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_true(net_is_connecting(client));
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
                cmocka_unit_test(test_mapped_peers_of_a_listener),
                cmocka_unit_test(test_mapped_sends_of_connected_sockets),
                cmocka_unit_test(test_fast_open_in), cmocka_unit_test(test_io_uring_send_to),
                cmocka_unit_test(test_io_uring_bind),
                cmocka_unit_test(test_routing_header_of_a_socket),
                cmocka_unit_test(test_source_route_of_a_socket),
                cmocka_unit_test(test_vsock_binds_as_it_likes),
                cmocka_unit_test(test_answer_from_another_socket),
                cmocka_unit_test_setup_teardown(
                        test_answer_to_a_multicast_of_ipv6, set_up_link, tear_down_link),
                cmocka_unit_test_setup_teardown(test_broadcast_in, set_up_link, tear_down_link),
                cmocka_unit_test_setup_teardown(
                        test_answer_to_a_broadcast, set_up_link, tear_down_link),
                cmocka_unit_test(test_closed_port_is_not_seen),
                cmocka_unit_test(test_time_wait_is_not_seen), cmocka_unit_test(test_implicit_binds),
                cmocka_unit_test(test_listener_without_bind),
                cmocka_unit_test(test_sctp_sockets), /* last: not on every kernel */
        };
        size_t n = ELEMENTSOF(tests);

        sandbox = s;
        if (!has_sctp()) {
                print_message(
                        "# no SCTP sockets on this kernel; its packets: kernel/raw test_sctp_packets\n");
                n--;
        }
        return _cmocka_run_group_tests("coverage", tests, n, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
