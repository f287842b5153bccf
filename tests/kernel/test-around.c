/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other roads to the wire than connect() and sendto(): each is refused what they are refused, and, so that
 * this means something, gets through with what they may. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "net.h"
#include "packet.h"
#include "subject.h"
#include "uring.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;
static Kernel *kernel;

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

static int own_socket(int family, int type, int protocol) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(family, type, protocol);
        sandbox_leave(sandbox);
        return fd;
}

static int own_udp(const char *ip, uint16_t port) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_udp_bound(ip, port);
        sandbox_leave(sandbox);
        return fd;
}

static int send_packet(int fd, const Packet *p, const char *to) {
        NetAddress a = net_address(to, 0);
        ssize_t n;

        n = sendto(fd, p->bytes, p->size, 0, (struct sockaddr *)&a.address, a.size);
        return n < 0 ? -errno : 0;
}

static struct io_uring_sqe uring_connect(int fd, const NetAddress *to) {
        return (struct io_uring_sqe){
                .opcode = IORING_OP_CONNECT,
                .fd = fd,
                .addr = (uintptr_t)&to->address,
                .off = to->size,
        };
}

/* The socket itself is made by the ring, too. */
static int uring_socket(Uring *ring, int type) {
        const struct io_uring_sqe request = {
                .opcode = IORING_OP_SOCKET,
                .fd = AF_INET,
                .off = (unsigned)type | SOCK_NONBLOCK,
        };
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = uring_run(ring, &request);
        sandbox_leave(sandbox);
        return fd == -EINVAL ? own_socket(AF_INET, type, 0) : fd; /* before 5.19 */
}

static void check_uring_stream(Uring *ring, Subject *s) {
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), peer = -EBADF;
        _cleanup_close_ int good = -EBADF, bad = -EBADF;
        NetAddress allowed = net_address("127.0.0.1", 443), denied = net_address("127.0.0.1", 80);
        struct io_uring_sqe request;
        int r;

        good = uring_socket(ring, SOCK_STREAM);
        bad = uring_socket(ring, SOCK_STREAM);
        assert_true(good >= 0 && bad >= 0);
        request = uring_connect(bad, &denied);
        assert_int_equal(uring_run(ring, &request), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        request = uring_connect(good, &allowed);
        r = uring_run(ring, &request);
        assert_true(r == 0 || r == -EINPROGRESS);
        assert_int_equal(net_wait_connected(good), 0);
        peer = net_wait_accepted(listener);
        request = (struct io_uring_sqe){
                .opcode = IORING_OP_SEND,
                .fd = good,
                .addr = (uintptr_t) "by ring",
                .len = 7,
        };
        assert_int_equal(uring_run(ring, &request), 7);
        net_expect(peer, "by ring");
}

static void check_uring_datagram(Uring *ring, Subject *s) {
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        NetAddress to[] = { net_address("127.0.0.1", 54), net_address("127.0.0.1", 53) };
        struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
        struct io_uring_sqe request = { .opcode = IORING_OP_SENDMSG };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        fd = uring_socket(ring, SOCK_DGRAM);
        assert_true(fd >= 0);
        request.fd = fd;
        request.addr = (uintptr_t)&message;
        for (unsigned i = 0; i < ELEMENTSOF(to); i++) {
                message.msg_name = &to[i].address;
                message.msg_namelen = to[i].size;
                assert_int_equal(uring_run(ring, &request), i == 0 ? -EPERM : 1);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
        }
        net_expect(server, "x");
}

/* The thread that the kernel polls with is a member of the process and goes where that goes. */
static void check_uring(uint32_t flags) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443", "allow out udp/53" } };
        Subject *s = attach(&policy);
        Uring ring;
        int r;

        r = uring_init(&ring, flags);
        if (r < 0) {
                subject_detach(s);
                skip();
        }
        check_uring_stream(&ring, s);
        check_uring_datagram(&ring, s);
        uring_done(&ring);
        subject_detach(s);
}

static void test_io_uring(void **state) {
        check_uring(0);
}

static void test_io_uring_with_a_kernel_thread(void **state) {
        check_uring(IORING_SETUP_SQPOLL);
}

static int send_fast_open(int fd, const char *text, const char *ip, uint16_t port) {
        NetAddress to = net_address(ip, port);
        ssize_t n = sendto(fd, text, strlen(text), MSG_FASTOPEN | MSG_NOSIGNAL,
                (struct sockaddr *)&to.address, to.size);

        return n < 0 ? -errno : 0;
}

static void test_fast_open(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), peer = -EBADF;
        _cleanup_close_ int bad = -EBADF, good = -EBADF;
        Subject *s = attach(&policy);
        int r;

        bad = own_socket(AF_INET, SOCK_STREAM, 0);
        good = own_socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(send_fast_open(bad, "early", "127.0.0.1", 80), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        r = send_fast_open(good, "early", "127.0.0.1", 443);
        assert_true(r == 0 || r == -EINPROGRESS); /* without a cookie the data is not taken yet */
        assert_int_equal(net_wait_connected(good), 0);
        peer = net_wait_accepted(listener);
        if (r < 0)
                assert_int_equal(net_send(good, "early"), 0);
        net_expect(peer, "early");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(s);
}

/* connect() that sends nothing: the call is judged, and so is the packet that a later write sends. */
static void test_deferred_connect(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        static const TestPolicy other = { .rules = { "allow out tcp/444" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), peer = -EBADF;
        _cleanup_close_ int bad = -EBADF, good = -EBADF;
        Subject *s = attach(&policy);
        int one = 1;

        bad = own_socket(AF_INET, SOCK_STREAM, 0);
        good = own_socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(setsockopt(bad, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)), 0);
        assert_int_equal(setsockopt(good, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)), 0);
        assert_int_equal(net_connect(bad, "127.0.0.1", 80), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_connected_pair(good, listener, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(net_send(good, "allowed"), 0);
        net_expect(peer, "allowed");
        subject_publish(s, &other);
        subject_clear(s);
        assert_int_equal(net_send(good, "no longer"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        assert_false(net_has_data(peer));
        subject_detach(s);
}

static void add_extension(int fd, int option) {
        static const uint8_t padding[8] = { 0, 0, 1, 4 }; /* one unit, one PadN option */

        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, option, padding, sizeof(padding)), 0);
}

/* The headers of a socket's own options stand between the addresses and the port. */
static void test_extension_headers(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const int options[] = { IPV6_DSTOPTS, IPV6_HOPOPTS };
        _cleanup_close_ int server = net_udp_bound("::1", 53), marker = net_udp_bound("::1", 54);
        Subject *s = attach(&policy);

        for (unsigned i = 0; i <= ELEMENTSOF(options); i++) {
                _cleanup_close_ int loose = own_socket(AF_INET6, SOCK_DGRAM, 0);
                _cleanup_close_ int connected = own_socket(AF_INET6, SOCK_DGRAM, 0);

                /* The last time all of them. */
                for (unsigned k = 0; k < ELEMENTSOF(options); k++) {
                        if (k != i && i < ELEMENTSOF(options))
                                continue;
                        add_extension(loose, options[k]);
                        add_extension(connected, options[k]);
                }
                subject_clear(s);
                assert_int_equal(net_send_to(loose, "x", "::1", 54), -EPERM);
                assert_int_equal(net_send_to(loose, "loose", "::1", 53), 0);
                net_expect(server, "loose");
                assert_int_equal(net_connect(connected, "::1", 54), -EPERM);
                assert_int_equal(net_connect(connected, "::1", 53), 0);
                assert_int_equal(net_send(connected, "connected"), 0);
                net_expect(server, "connected");
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
                assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 2);
        }
        assert_false(net_has_data(marker));
        subject_detach(s);
}

/* The packet hook alone, after the call was allowed. */
static void test_extension_headers_in_packets(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const TestPolicy other = { .rules = { "allow out udp/54" } };
        _cleanup_close_ int server = net_udp_bound("::1", 53), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_socket(AF_INET6, SOCK_DGRAM, 0);
        add_extension(fd, IPV6_DSTOPTS);
        assert_int_equal(net_connect(fd, "::1", 53), 0);
        assert_int_equal(net_send(fd, "allowed"), 0);
        net_expect(server, "allowed");
        subject_publish(s, &other);
        subject_clear(s);
        assert_int_equal(net_send(fd, "no longer"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 0);
        assert_false(net_has_data(server));
        subject_detach(s);
}

/* A datagram of 16 bytes in two pieces, the ports in the first. */
static void make_fragment(Packet *p, uint16_t port, unsigned piece) {
        packet_ip4(p, "127.0.0.1", "127.0.0.1", IPPROTO_UDP, 0);
        p->bytes[4] = 0x12; /* an identifier of its own, or the kernel chooses one for each */
        p->bytes[5] = (uint8_t)port;
        if (piece == 0) {
                packet_add_udp(p, 4000, port);
                p->bytes[25] = 16;
                p->bytes[6] = 0x20; /* more fragments */
        } else {
                packet_add(p, "in half!", 8);
                p->bytes[7] = 1;
        }
}

static void test_fragments_out(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const TestPolicy open = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny in udp/1" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        fd = own_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        make_fragment(&p, 54, 0);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        make_fragment(&p, 53, 0);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        make_fragment(&p, 53, 1);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_OUT).blocked, 1);
        assert_false(net_has_data(server));

        /* The rest of it completes what waits at the receiver. */
        subject_publish(s, &open);
        assert_int_equal(send_packet(fd, &p, "127.0.0.1"), 0);
        net_expect(server, "in half!");
        subject_detach(s);
}

/* What arrives in pieces is judged as the whole. */
static void test_fragments_in(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int raw = net_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
        _cleanup_close_ int allowed = -EBADF, denied = -EBADF;
        Subject *s = attach(&policy);
        Packet p;

        allowed = own_udp("127.0.0.1", 53);
        denied = own_udp("127.0.0.1", 54);
        for (uint16_t port = 53; port <= 54; port++)
                for (unsigned piece = 0; piece < 2; piece++) {
                        make_fragment(&p, port, piece);
                        assert_int_equal(send_packet(raw, &p, "127.0.0.1"), 0);
                }
        net_expect(allowed, "in half!");
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_UNPARSABLE_IN).blocked, 0);
        assert_false(net_has_data(denied));
        subject_detach(s);
}

static int set_mtu(int mtu) {
        _cleanup_close_ int fd = net_udp(AF_INET);
        struct ifreq request = { .ifr_name = "lo" };
        int old;

        assert_int_equal(ioctl(fd, SIOCGIFMTU, &request), 0);
        old = request.ifr_mtu;
        request.ifr_mtu = mtu;
        assert_int_equal(ioctl(fd, SIOCSIFMTU, &request), 0);
        return old;
}

/* And what the kernel is about to cut is one packet still. */
static void test_cut_by_the_kernel(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        static char text[4000];
        NetAddress to = net_address("127.0.0.1", 53), bad = net_address("127.0.0.1", 54);
        Subject *s = attach(&policy);
        ssize_t n;
        int mtu;

        fd = own_socket(AF_INET, SOCK_DGRAM, 0);
        mtu = set_mtu(1500);
        n = sendto(fd, text, sizeof(text), 0, (struct sockaddr *)&bad.address, bad.size);
        assert_int_equal(n, -1);
        assert_int_equal(errno, EPERM);
        n = sendto(fd, text, sizeof(text), 0, (struct sockaddr *)&to.address, to.size);
        (void)set_mtu(mtu);
        assert_int_equal(n, sizeof(text));
        net_expect(server, "");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).bytes, sizeof(text) + 28);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(s);
}

static void test_udplite(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udplite/53" } };
        static const TestPolicy udp_only = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
        _cleanup_close_ int fd = -EBADF, other = -EBADF;
        NetAddress from;
        Subject *s;

        if (server < 0) {
                assert_int_equal(server, -EPROTONOSUPPORT);
                skip();
        }
        assert_int_equal(net_bind(server, "127.0.0.1", 53), 0);
        s = attach(&policy);
        fd = own_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 54), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_send_to(fd, "lite", "127.0.0.1", 53), 0);
        net_expect_from(server, "lite", &from);
        assert_int_equal(net_reply_to(server, "answer", &from), 0);
        net_expect(fd, "answer");
        other = own_socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(net_send_to(other, "x", "127.0.0.1", 53), -EPERM);
        /* Nor the other way round, also in a conversation that was. */
        subject_publish(s, &udp_only);
        assert_int_equal(net_send_to(fd, "lite", "127.0.0.1", 53), -EPERM);
        subject_detach(s);
}

static uint16_t checksum(const uint8_t *bytes, size_t size, uint32_t sum) {
        for (size_t i = 0; i < size; i += 2)
                sum += (uint32_t)bytes[i] << 8 | (i + 1 < size ? bytes[i + 1] : 0);
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)~sum;
}

/* Documented: not seen. A rule cannot stop it, CAP_NET_RAW can. */
static void test_packet_socket_is_not_seen(void **state) {
        static const TestPolicy policy = {};
        _cleanup_close_ int server = net_udp_bound("::1", 53), fd = -EBADF, udp = -EBADF;
        struct sockaddr_ll to = {
                .sll_family = AF_PACKET,
                .sll_protocol = htons(ETH_P_IPV6),
                .sll_ifindex = 1,
                .sll_halen = ETH_ALEN,
        };
        Subject *s = attach(&policy);
        uint16_t sum;
        Packet p;

        packet_ip6(&p, "::1", "::1", IPPROTO_UDP);
        packet_add_udp(&p, 4000, 53);
        /* From the addresses on; the pseudo header adds the length and the protocol. */
        sum = checksum(p.bytes + 8, p.size - 8, 8 + IPPROTO_UDP);
        p.bytes[46] = (uint8_t)(sum >> 8);
        p.bytes[47] = (uint8_t)sum;
        fd = own_socket(AF_PACKET, SOCK_DGRAM, 0);
        assert_true(fd >= 0);
        assert_int_equal(
                sendto(fd, p.bytes, p.size, 0, (struct sockaddr *)&to, sizeof(to)), p.size);
        net_expect(server, "");
        subject_expect_untouched(s);
        udp = own_socket(AF_INET6, SOCK_DGRAM, 0);
        assert_int_equal(net_send_to(udp, "x", "::1", 53), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(s);
}

/* Likewise: another family than IP is none of ours. */
static void test_vsock_is_not_seen(void **state) {
        static const TestPolicy policy = {};
        struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL };
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_socket(AF_VSOCK, SOCK_STREAM, 0);
        if (fd < 0) {
                subject_detach(s);
                assert_int_equal(fd, -EAFNOSUPPORT);
                skip();
        }
        /* What becomes of it depends on the machine; we have no say. */
        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                assert_int_not_equal(errno, EPERM);
        subject_expect_untouched(s);
        subject_detach(s);
}

/* A port that two services share: each packet is judged for the one that gets it. */
static void test_shared_port(void **state) {
        enum { N = 64 };
        static const TestPolicy closed = {}, opened = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int other = net_udp(AF_INET), own = -EBADF;
        uint64_t n_own, n_other = 0;
        Subject *s = attach(&closed);
        int one = 1, n_passed = 0;

        own = own_socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(setsockopt(own, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
        assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
        assert_int_equal(net_bind(own, "127.0.0.1", 53), 0);
        assert_int_equal(net_bind(other, "127.0.0.1", 53), 0);
        for (uint16_t i = 0; i < 2 * N; i++) {
                _cleanup_close_ int fd = net_udp_bound("127.0.0.1", (uint16_t)(4000 + i % N));

                if (i == N) {
                        n_own = subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked;
                        for (; net_has_data(other); n_other++)
                                net_expect(other, "x");
                        assert_true(n_own > 0);
                        assert_int_equal(n_own + n_other, N);
                        assert_false(net_has_data(own));
                        subject_publish(s, &opened);
                }
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 53), 0);
        }
        /* Which of them gets what depends on the sender's port only. */
        for (; net_has_data(own); n_passed++)
                net_expect(own, "x");
        assert_int_equal(n_passed, n_own);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, n_own);
        subject_detach(s);
}

/* A server that goes on from another port does not answer: it calls. */
static void test_answer_from_another_port(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        static const TestPolicy both = { .rules = { "allow in udp/53", "allow out udp/4000" } };
        _cleanup_close_ int client = net_udp_bound("127.0.0.1", 4000), fd = -EBADF;
        _cleanup_close_ int second = -EBADF;
        NetAddress from;
        Subject *s = attach(&policy);

        fd = own_udp("127.0.0.1", 53);
        second = own_udp("127.0.0.1", 55);
        assert_int_equal(net_send_to(client, "question", "127.0.0.1", 53), 0);
        net_expect_from(fd, "question", &from);
        assert_int_equal(net_reply_to(second, "answer", &from), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_reply_to(fd, "right port", &from), 0);
        net_expect(client, "right port");
        subject_publish(s, &both);
        assert_int_equal(net_reply_to(second, "answer", &from), 0);
        net_expect(client, "answer");
        subject_detach(s);
}

/* Nobody sent to the address that answers. */
static void test_answer_to_a_multicast(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/5353 to 224.0.0.251" } };
        static const TestPolicy both = {
                .rules = { "allow out udp/5353 to 224.0.0.251", "allow in udp/4000" },
        };
        _cleanup_close_ int peer = net_udp_bound("0.0.0.0", 5353), fd = -EBADF;
        struct ip_mreqn group = { .imr_ifindex = 1 };
        NetAddress from;
        Subject *s = attach(&policy);

        assert_int_equal(inet_pton(AF_INET, "224.0.0.251", &group.imr_multiaddr), 1);
        assert_int_equal(setsockopt(peer, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
        fd = own_udp("127.0.0.1", 4000);
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)), 0);
        assert_int_equal(net_send_to(fd, "who", "224.0.0.252", 5353), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_send_to(fd, "who", "224.0.0.251", 5353), 0);
        net_expect_from(peer, "who", &from);
        assert_int_equal(net_reply_to(peer, "me", &from), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));
        subject_publish(s, &both);
        assert_int_equal(net_reply_to(peer, "me", &from), 0);
        net_expect(fd, "me");
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
                cmocka_unit_test(test_io_uring),
                cmocka_unit_test(test_io_uring_with_a_kernel_thread),
                cmocka_unit_test(test_fast_open),
                cmocka_unit_test(test_deferred_connect),
                cmocka_unit_test(test_extension_headers),
                cmocka_unit_test(test_extension_headers_in_packets),
                cmocka_unit_test(test_fragments_out),
                cmocka_unit_test(test_fragments_in),
                cmocka_unit_test(test_cut_by_the_kernel),
                cmocka_unit_test(test_udplite),
                cmocka_unit_test(test_packet_socket_is_not_seen),
                cmocka_unit_test(test_vsock_is_not_seen),
                cmocka_unit_test(test_shared_port),
                cmocka_unit_test(test_answer_from_another_port),
                cmocka_unit_test(test_answer_to_a_multicast),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
