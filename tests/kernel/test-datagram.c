/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UDP and ping: conversations without a connection, remembered by who sent first. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;
static Kernel *kernel;

/* Each under a number of its own: what one test's conversations left must not answer for another's. */
static Subject *attach_to(const char *cgroup, const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, cgroup, ++number, policy);
}

static Subject *attach(const TestPolicy *policy) {
        return attach_to("svc", policy);
}

static int own_udp(const char *ip, uint16_t port) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_udp_bound(ip, port);
        sandbox_leave(sandbox);
        return fd;
}

static int own_unbound(int family, int type, int protocol) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(family, type, protocol);
        sandbox_leave(sandbox);
        return fd;
}

static uint64_t flows(void) {
        uint64_t n, max;

        assert_int_equal(kernel->ops->flows_count(kernel, &n, &max), 0);
        return n;
}

static uint64_t stat_of(uint32_t stat) {
        uint64_t n;

        assert_int_equal(kernel->ops->stat_read(kernel, stat, &n), 0);
        return n;
}

static void test_client(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), other = net_udp(AF_INET);
        _cleanup_close_ int fd = -EBADF;
        uint64_t inserted = stat_of(CGP_STAT_FLOWS_INSERTED), before = flows();
        NetAddress from;
        Subject *s = attach(&policy);

        fd = own_udp("127.0.0.1", 4000);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(net_send_to(fd, "question", "127.0.0.1", 53), 0);
                net_expect_from(server, "question", &from);
                assert_int_equal(net_reply_to(server, "answer", &from), 0);
                net_expect(fd, "answer");
        }
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 6);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).bytes, 3 * (28 + 8) + 3 * (28 + 6));
        assert_int_equal(flows(), before + 1);
        assert_int_equal(stat_of(CGP_STAT_FLOWS_INSERTED), inserted + 1);

        /* The answer of somebody else is an opening. */
        assert_int_equal(net_send_to(other, "forged", "127.0.0.1", 4000), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));
        subject_detach(s);
}

static void test_client_refused(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53 to 127.0.0.1" } };
        static const struct {
                int family;
                const char *ip;
                uint16_t port;
                int result;
        } cases[] = {
                { AF_INET, "127.0.0.1", 54, -EPERM },
                { AF_INET, "127.0.0.2", 53, -EPERM },
                { AF_INET, "0.0.0.0", 54, -EPERM },
                { AF_INET, "0.0.0.0", 53, 0 },
                { AF_INET6, "::1", 53, -EPERM },
                { AF_INET6, "::", 53, -EPERM },
                { AF_INET6, "::ffff:127.0.0.2", 53, -EPERM },
                { AF_INET6, "::ffff:127.0.0.1", 53, 0 },
        };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53);
        Subject *s = attach(&policy);
        uint64_t blocked = 0;

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int loose = own_unbound(cases[i].family, SOCK_DGRAM, 0);
                _cleanup_close_ int connected = own_unbound(cases[i].family, SOCK_DGRAM, 0);

                assert_int_equal(
                        net_send_to(loose, "x", cases[i].ip, cases[i].port), cases[i].result);
                assert_int_equal(
                        net_connect(connected, cases[i].ip, cases[i].port), cases[i].result);
                blocked += cases[i].result < 0 ? 2 : 0;
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, blocked);
                if (cases[i].result == 0)
                        net_expect(server, "x");
        }
        subject_detach(s);
}

static void test_connected_then_sent_elsewhere(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_unbound(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(net_connect(fd, "127.0.0.1", 53), 0);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 54), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(s);
}

static void test_many_messages_at_once(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        NetAddress good = net_address("127.0.0.1", 53), bad = net_address("127.0.0.1", 54);
        struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
        struct mmsghdr messages[3] = {};
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < 3; i++)
                messages[i].msg_hdr = (struct msghdr){
                        .msg_name = i == 1 ? &bad.address : &good.address,
                        .msg_namelen = good.size,
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                };
        fd = own_unbound(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(sendmmsg(fd, messages, 3, 0), 1);
        net_expect(server, "x");
        assert_int_equal(sendmmsg(fd, messages + 1, 2, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_false(net_has_data(server));
        subject_detach(s);
}

static void share_port(int fd) {
        int one = 1;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
}

static void test_server(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53" } };
        _cleanup_close_ int client = net_udp_bound("127.0.0.1", 4000), fd = -EBADF;
        _cleanup_close_ int second = -EBADF;
        NetAddress from;
        Subject *s = attach(&policy);

        fd = own_unbound(AF_INET, SOCK_DGRAM, 0);
        share_port(fd);
        assert_int_equal(net_bind(fd, "127.0.0.1", 53), 0);
        /* Before anybody asked, what it sends is an opening. */
        assert_int_equal(net_send_to(fd, "early", "127.0.0.1", 4000), -EPERM);
        assert_int_equal(net_send_to(client, "question", "127.0.0.1", 53), 0);
        net_expect_from(fd, "question", &from);
        assert_int_equal(net_reply_to(fd, "answer", &from), 0);
        net_expect(client, "answer");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 2);

        /* A QUIC or DTLS server answers from a socket of its own, connected to the peer. */
        second = own_unbound(AF_INET, SOCK_DGRAM, 0);
        share_port(second);
        assert_int_equal(net_bind(second, "127.0.0.1", 53), 0);
        assert_int_equal(net_connect(second, "127.0.0.1", 4000), 0);
        assert_int_equal(net_send(second, "more"), 0);
        net_expect(client, "more");
        assert_int_equal(net_send_to(client, "thanks", "127.0.0.1", 53), 0);
        net_expect(second, "thanks");

        /* But not to a peer that never asked. */
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 4001), -EPERM);
        subject_detach(s);
}

static void test_server_of_both_families(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/53 from 127.0.0.0/8,::1" } };
        _cleanup_close_ int four = net_udp_bound("127.0.0.1", 4000);
        _cleanup_close_ int six = net_udp_bound("::1", 4000), fd = -EBADF;
        NetAddress from;
        Subject *s = attach(&policy);

        fd = own_udp("::", 53);
        assert_int_equal(net_send_to(four, "by four", "127.0.0.1", 53), 0);
        net_expect_from(fd, "by four", &from);
        assert_int_equal(net_reply_to(fd, "to four", &from), 0);
        net_expect(four, "to four");
        assert_int_equal(net_send_to(six, "by six", "::1", 53), 0);
        net_expect_from(fd, "by six", &from);
        assert_int_equal(net_reply_to(fd, "to six", &from), 0);
        net_expect(six, "to six");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 4);
        subject_detach(s);
}

static void test_change_reaches_conversations(void **state) {
        static const TestPolicy in = { .rules = { "allow in udp/53" } };
        static const TestPolicy out = { .rules = { "allow out udp" } };
        _cleanup_close_ int client = net_udp_bound("127.0.0.1", 4000), fd = -EBADF;
        NetAddress from;
        Subject *s = attach(&in);

        fd = own_udp("127.0.0.1", 53);
        assert_int_equal(net_send_to(client, "question", "127.0.0.1", 53), 0);
        net_expect_from(fd, "question", &from);
        /* The peer opened it; that we may call now does not make it ours. */
        subject_publish(s, &out);
        subject_clear(s);
        assert_int_equal(net_reply_to(fd, "answer", &from), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 1);
        assert_int_equal(net_send_to(client, "again", "127.0.0.1", 53), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 2);
        subject_publish(s, &in);
        assert_int_equal(net_reply_to(fd, "answer", &from), 0);
        net_expect(client, "answer");
        subject_detach(s);
}

static void test_both_ways_allowed_remembers_nothing(void **state) {
        static const TestPolicy policy = { .rules = { "allow udp/4000-4999" } };
        _cleanup_close_ int peer = net_udp_bound("127.0.0.1", 4000), fd = -EBADF;
        uint64_t before = flows();
        Subject *s = attach(&policy);

        fd = own_udp("127.0.0.1", 4001);
        assert_int_equal(net_send_to(fd, "out", "127.0.0.1", 4000), 0);
        net_expect(peer, "out");
        assert_int_equal(net_send_to(peer, "in", "127.0.0.1", 4001), 0);
        net_expect(fd, "in");
        assert_int_equal(flows(), before);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 2);
        subject_detach(s);
}

static void test_older_than_the_attachment(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        static const TestPolicy neither = { .rules = { "allow out udp/54" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), connected = -EBADF;
        _cleanup_close_ int loose = -EBADF, cgroup_fd = -EBADF;
        uint64_t id;
        Subject *s;

        cgroup_fd = sandbox_cgroup(sandbox, "svc", &id);
        connected = own_udp("127.0.0.1", 4000);
        assert_int_equal(net_connect(connected, "127.0.0.1", 53), 0);
        loose = own_udp("127.0.0.1", 4001);
        assert_int_equal(net_send_to(loose, "asked before", "127.0.0.1", 53), 0);
        net_expect(server, "asked before");

        /* Connected: the answer passes because calling would be allowed. Unconnected: it does not. */
        s = attach(&policy);
        assert_int_equal(net_send_to(server, "answer", "127.0.0.1", 4000), 0);
        net_expect(connected, "answer");
        assert_int_equal(net_send_to(server, "answer", "127.0.0.1", 4001), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(loose));

        subject_publish(s, &neither);
        subject_clear(s);
        assert_int_equal(net_send_to(server, "answer", "127.0.0.1", 4000), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(net_send(connected, "question"), -EPERM);
        subject_detach(s);
}

static void test_connecting_opens_nothing(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_udp("127.0.0.1", 4000);
        assert_int_equal(net_connect(fd, "127.0.0.1", 53), 0);
        assert_int_equal(net_send_to(server, "unasked", "127.0.0.1", 4000), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(net_send(fd, "question"), 0);
        net_expect(server, "question");
        assert_int_equal(net_send_to(server, "answer", "127.0.0.1", 4000), 0);
        net_expect(fd, "answer");
        subject_detach(s);
}

static void test_multicast(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/5353 from multicast" } };
        _cleanup_close_ int peer = net_udp_bound("127.0.0.1", 4000), fd = -EBADF;
        _cleanup_close_ int stranger = net_udp_bound("127.0.0.1", 4002);
        struct ip_mreqn group = { .imr_ifindex = 1 };
        NetAddress from;
        Subject *s = attach(&policy);

        assert_int_equal(inet_pton(AF_INET, "224.0.0.251", &group.imr_multiaddr), 1);
        fd = own_udp("0.0.0.0", 5353);
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
        assert_int_equal(setsockopt(peer, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)), 0);
        assert_int_equal(net_send_to(peer, "who", "224.0.0.251", 5353), 0);
        net_expect_from(fd, "who", &from);
        assert_int_equal(net_reply_to(fd, "me", &from), 0);
        net_expect(peer, "me");
        /* Sent to us alone by one who never asked, it needs another rule. */
        assert_int_equal(net_send_to(stranger, "who", "127.0.0.1", 5353), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        subject_detach(s);
}

static void test_never(void **state) {
        static const TestPolicy policy = {
                .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never in any from 127.0.0.5", "never out any to 127.0.0.6" },
        };
        _cleanup_close_ int six = net_udp_bound("127.0.0.6", 4000), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_udp("127.0.0.1", 53);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.5", 4000), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).blocked, 1);
        assert_int_equal(net_send_to(six, "x", "127.0.0.1", 53), 0);
        subject_wait_blocked(s, TEST_SLOT_RULE + 1, 1);
        assert_false(net_has_data(fd));
        subject_detach(s);
}

static int ping(int fd, const char *ip, uint16_t id) {
        struct icmphdr echo = { .type = ICMP_ECHO };
        NetAddress to = net_address(ip, 0);
        uint32_t sum;

        echo.un.echo.id = htons(id);
        sum = ICMP_ECHO + echo.un.echo.id;
        echo.checksum = (uint16_t) ~(sum + (sum >> 16));
        if (sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to.address, to.size) < 0)
                return -errno;
        return 0;
}

static void test_ping(void **state) {
        static const TestPolicy policy = { .rules = { "allow out icmp to 127.0.0.1" } };
        static const int types[] = { SOCK_DGRAM, SOCK_RAW };
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < ELEMENTSOF(types); i++) {
                _cleanup_close_ int fd = own_unbound(AF_INET, types[i], IPPROTO_ICMP);

                assert_true(fd >= 0);
                subject_clear(s);
                assert_int_equal(ping(fd, "127.0.0.2", 100), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
                assert_int_equal(ping(fd, "127.0.0.1", 101), 0);
                /* Request and reply. A raw socket is also given the request as the host receives it. */
                subject_wait_packets(s, TEST_SLOT_RULE, types[i] == SOCK_RAW ? 3 : 2);
                assert_true(net_has_data(fd));
        }
        subject_detach(s);
}

static void test_foreign_echo_reply(void **state) {
        static const TestPolicy policy = { .rules = { "allow out icmp" } };
        _cleanup_close_ int other = net_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), fd = -EBADF;
        Subject *s = attach(&policy);

        /* The raw socket gets a copy of every reply to the host: this one is not ours. */
        fd = own_unbound(AF_INET, SOCK_RAW, IPPROTO_ICMP);
        assert_int_equal(ping(other, "127.0.0.1", 102), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 2); /* request and reply */
        assert_false(net_has_data(fd));
        subject_detach(s);
}

static void test_subjects_do_not_share_memory(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Subject *s = attach(&policy), *other;

        fd = own_udp("127.0.0.1", 4005);
        assert_int_equal(net_send_to(fd, "question", "127.0.0.1", 53), 0);
        net_expect(server, "question");
        net_close(&fd);
        other = attach_to("other", &policy);
        sandbox_enter(sandbox, "other");
        fd = net_udp_bound("127.0.0.1", 4005);
        sandbox_leave(sandbox);
        assert_int_equal(net_send_to(server, "answer", "127.0.0.1", 4005), 0);
        subject_wait_blocked(other, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));
        subject_detach(other);
        subject_detach(s);
}

/* Sends to both ports until the parent closes the pipe; the result is what went otherwise than it must. */
static int send_both(int stop) {
        int good = net_udp_bound("127.0.0.1", 4000), bad = net_udp_bound("127.0.0.1", 4001);
        struct pollfd p = { .fd = stop, .events = POLLIN };

        do
                if (net_send_to(good, "x", "127.0.0.1", 53) < 0 ||
                        net_send_to(bad, "x", "127.0.0.1", 54) != -EPERM)
                        return 1;
        while (poll(&p, 1, 0) == 0);
        return 0;
}

/* Two policies agree on port 53 and on port 54: no packet may see something in between. */
static void test_replaced_under_traffic(void **state) {
        static const TestPolicy policies[] = {
                { .rules = { "allow out udp/53" } },
                { .out = POLICY_DEFAULT_ALLOW, .rules = { "deny out udp/54" } },
        };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53);
        _cleanup_close_ int other = net_udp_bound("127.0.0.1", 54);
        Subject *s = attach(&policies[0]);
        int pipe_fds[2], status;
        pid_t pid;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                net_close(&pipe_fds[1]);
                sandbox_enter(sandbox, "svc");
                _exit(send_both(pipe_fds[0]));
        }
        net_expect(server, "x"); /* it is under way */
        for (unsigned i = 1; i <= 40; i++)
                subject_publish(s, &policies[i % 2]);
        net_close(&pipe_fds[1]);
        net_close(&pipe_fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_false(net_has_data(other));
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
                cmocka_unit_test(test_client),
                cmocka_unit_test(test_client_refused),
                cmocka_unit_test(test_connected_then_sent_elsewhere),
                cmocka_unit_test(test_many_messages_at_once),
                cmocka_unit_test(test_server),
                cmocka_unit_test(test_server_of_both_families),
                cmocka_unit_test(test_change_reaches_conversations),
                cmocka_unit_test(test_both_ways_allowed_remembers_nothing),
                cmocka_unit_test(test_older_than_the_attachment),
                cmocka_unit_test(test_connecting_opens_nothing),
                cmocka_unit_test(test_multicast),
                cmocka_unit_test(test_never),
                cmocka_unit_test(test_ping),
                cmocka_unit_test(test_foreign_echo_reply),
                cmocka_unit_test(test_subjects_do_not_share_memory),
                cmocka_unit_test(test_replaced_under_traffic),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
