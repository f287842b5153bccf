/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP on the loopback of a namespace: who opened a connection decides, for as long as it lasts. */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static Sandbox *sandbox;
static Kernel *kernel;

static const TestPolicy open_policy = { .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW };

static Subject *attach(const TestPolicy *policy) {
        return subject_attach(sandbox, kernel, "svc", 1, policy);
}

/* A socket made in the subject's cgroup. */
static int own_tcp(int family) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_tcp(family);
        sandbox_leave(sandbox);
        return fd;
}

static int own_listener(const char *ip, uint16_t port) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_listener(ip, port);
        sandbox_leave(sandbox);
        return fd;
}

static void test_out_allowed(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443 to 127.0.0.0/8" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        Subject *s = attach(&policy);

        fd = own_tcp(AF_INET);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(net_send(fd, "question"), 0);
        net_expect(peer, "question");
        assert_int_equal(net_send(peer, "answer"), 0);
        net_expect(fd, "answer");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
        assert_true(subject_counter(s, TEST_SLOT_RULE).packets >= 5);
        subject_detach(s);
}

static void test_out_refused_at_once(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443 to 127.0.0.1" } };
        static const char *const refused[][2] = {
                { "127.0.0.1", "80" },
                { "127.0.0.2", "443" },
                { "::1", "443" },
                { "::ffff:127.0.0.2", "443" },
                { "::ffff:0.0.0.0", "80" },
                { "0.0.0.0", "80" },
                { "::", "443" },
        };
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_close_ int fd = own_tcp(strchr(refused[i][0], ':') ? AF_INET6 : AF_INET);
                uint16_t port = (uint16_t)atoi(refused[i][1]);

                assert_int_equal(net_connect(fd, refused[i][0], port), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, i + 1);
        }
        subject_detach(s);
}

static void test_other_names_of_an_allowed_peer(void **state) {
        static const TestPolicy policy = {
                .rules = { "allow out tcp/443 to 127.0.0.1,127.0.0.9", "allow out tcp/443 to ::1" },
        };
        static const char *const names[] = { "127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1",
                "::ffff:0.0.0.0", "::1", "::" };
        _cleanup_close_ int listener = net_listener("0.0.0.0", 443), bound = -EBADF, peer = -EBADF;
        Subject *s = attach(&policy);

        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_close_ int fd = own_tcp(strchr(names[i], ':') ? AF_INET6 : AF_INET);
                int r = net_connect(fd, names[i], 443);

                assert_true(r == 0 || r == -EINPROGRESS || r == -ECONNREFUSED);
        }
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);

        /* 0.0.0.0 of a socket that is bound means the address it is bound to. */
        bound = own_tcp(AF_INET);
        assert_int_equal(net_bind(bound, "127.0.0.9", 0), 0);
        assert_int_equal(net_connected_pair(bound, listener, "0.0.0.0", 443, &peer), 0);
        net_close(&bound);
        bound = own_tcp(AF_INET);
        assert_int_equal(net_bind(bound, "127.0.0.8", 0), 0);
        assert_int_equal(net_connect(bound, "0.0.0.0", 443), -EPERM);
        subject_detach(s);
}

static void test_in_allowed(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80 from 127.0.0.0/8" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        Subject *s = attach(&policy);

        listener = own_listener("127.0.0.1", 80);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
        assert_int_equal(net_send(child, "greeting"), 0); /* the server speaks first */
        net_expect(fd, "greeting");
        assert_int_equal(net_send(fd, "request"), 0);
        net_expect(child, "request");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
        subject_detach(s);
}

static void test_in_dropped_silently(void **state) {
        static const TestPolicy policy = { .out = POLICY_DEFAULT_ALLOW,
                .rules = { "allow in tcp/81" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET);
        Subject *s = attach(&policy);

        listener = own_listener("127.0.0.1", 80);
        assert_int_equal(net_connect(fd, "127.0.0.1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_true(net_is_connecting(fd));
        assert_false(net_has_data(listener));
        subject_detach(s);
}

static void test_change_reaches_open_connections(void **state) {
        static const TestPolicy first = { .rules = { "allow out tcp/443", "allow in tcp/80" } };
        static const TestPolicy no_out = { .rules = { "allow in tcp/443", "allow in tcp/80" } };
        static const TestPolicy no_in = { .rules = { "allow out tcp/80,443" } };
        _cleanup_close_ int away = net_listener("127.0.0.1", 443), listener = -EBADF;
        _cleanup_close_ int out = -EBADF, out_peer = -EBADF, in = -EBADF, in_peer = -EBADF;
        Subject *s = attach(&first);

        listener = own_listener("127.0.0.1", 80);
        out = own_tcp(AF_INET);
        in_peer = net_tcp(AF_INET);
        assert_int_equal(net_connected_pair(out, away, "127.0.0.1", 443, &out_peer), 0);
        assert_int_equal(net_connected_pair(in_peer, listener, "127.0.0.1", 80, &in), 0);

        /* The connection that we opened is judged as `out`, although 443 could come in. */
        subject_publish(s, &no_out);
        subject_clear(s);
        assert_int_equal(net_send(out_peer, "lost"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        assert_false(net_has_data(out));
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        assert_int_equal(net_send(in_peer, "alive"), 0);
        net_expect(in, "alive");

        /* And the one that the peer opened as `in`, although we could call 80. */
        subject_publish(s, &no_in);
        subject_clear(s);
        assert_int_equal(net_send(in_peer, "lost"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(in));
        net_expect(out, "lost"); /* retransmitted, as TCP does, and allowed again */
        subject_detach(s);
}

static void test_listener_whose_policy_changes(void **state) {
        static const TestPolicy closed = { .out = POLICY_DEFAULT_ALLOW };
        static const TestPolicy opened = { .out = POLICY_DEFAULT_DENY,
                .rules = { "allow in tcp/80" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        Subject *s = attach(&closed);

        listener = own_listener("127.0.0.1", 80);
        assert_int_equal(net_connect(fd, "127.0.0.1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        subject_publish(s, &opened);
        assert_int_equal(net_wait_connected(fd), 0); /* by the SYN's retransmission */
        child = net_wait_accepted(listener);
        assert_int_equal(net_send(child, "hello"), 0);
        net_expect(fd, "hello");
        subject_detach(s);
}

static void test_never_ends_both_directions(void **state) {
        static const TestPolicy never_in = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never in any from 127.0.0.5" } };
        static const TestPolicy never_out = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never out any to 127.0.0.5" } };
        _cleanup_close_ int listener = -EBADF, fd = -EBADF, in = net_tcp(AF_INET);
        Subject *s = attach(&never_in);

        fd = own_tcp(AF_INET);
        assert_int_equal(net_connect(fd, "127.0.0.5", 443), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).blocked, 1);

        subject_publish(s, &never_out);
        subject_clear(s);
        listener = own_listener("0.0.0.0", 80);
        assert_int_equal(net_bind(in, "127.0.0.5", 0), 0);
        assert_int_equal(net_connect(in, "127.0.0.1", 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_RULE, 1);
        assert_true(net_is_connecting(in));
        subject_detach(s);
}

static void test_older_than_the_attachment(void **state) {
        static const TestPolicy only_in = { .rules = { "allow in tcp/80" } };
        static const TestPolicy only_out = { .rules = { "allow out tcp/80" } };
        static const TestPolicy neither = { .rules = { "allow out tcp/81" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        uint64_t id;
        _cleanup_close_ int cgroup_fd = sandbox_cgroup(sandbox, "svc", &id);
        Subject *s;

        listener = own_listener("127.0.0.1", 80);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);

        s = attach(&only_in);
        assert_int_equal(net_send(fd, "one"), 0);
        net_expect(child, "one");

        /* Nobody saw who opened it: port 80 is ours, but the peer's port is another. */
        subject_publish(s, &only_out);
        subject_clear(s);
        assert_int_equal(net_send(fd, "two"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        subject_publish(s, &only_in);
        net_expect(child, "two");

        subject_publish(s, &neither);
        subject_clear(s);
        assert_int_equal(net_send(fd, "three"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);

        /* Its listener is older as well, but the next connection was seen. */
        {
                _cleanup_close_ int late = net_tcp(AF_INET), late_child = -EBADF;

                subject_publish(s, &only_in);
                assert_int_equal(
                        net_connected_pair(late, listener, "127.0.0.1", 80, &late_child), 0);
                subject_publish(s, &only_out);
                subject_clear(s);
                assert_int_equal(net_send(late, "four"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        }
        subject_detach(s);
}

static void test_repair_opens_nothing(void **state) {
        static const TestPolicy one_way[] = {
                { .in = POLICY_DEFAULT_ALLOW },
                { .out = POLICY_DEFAULT_ALLOW },
        };

        for (unsigned i = 0; i < ELEMENTSOF(one_way); i++) {
                Subject *s = attach(&open_policy);
                _cleanup_close_ int fd = own_tcp(AF_INET);
                int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP;

                /* A connection without a handshake: nobody opened it, so both directions must be open. */
                if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0) {
                        subject_detach(s);
                        skip();
                }
                assert_int_equal(net_bind(fd, "127.0.0.1", (uint16_t)(8080 + i)), 0);
                assert_int_equal(net_connect(fd, "127.0.0.1", 9090), 0);
                assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)), 0);
                subject_publish(s, &one_way[i]);
                subject_clear(s);
                assert_int_equal(net_send(fd, "forged"), 0);
                subject_wait_blocked(s, i == 0 ? TEST_SLOT_DEFAULT_OUT : TEST_SLOT_DEFAULT_IN, 1);
                subject_detach(s);
        }
}

static void test_second_life_of_an_accepted_socket(void **state) {
        static const TestPolicy in_only = { .rules = { "allow in tcp/80" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        _cleanup_close_ int away = net_listener("127.0.0.1", 443), other = -EBADF;
        struct sockaddr unspec = { .sa_family = AF_UNSPEC };
        Subject *s = attach(&open_policy);

        listener = own_listener("127.0.0.1", 80);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
        assert_int_equal(connect(child, &unspec, sizeof(unspec)), 0);
        net_close(&listener);
        assert_int_equal(net_connected_pair(child, away, "127.0.0.1", 443, &other), 0);
        /* It calls now, from port 80: `in tcp/80` does not cover that. */
        subject_publish(s, &in_only);
        subject_clear(s);
        assert_int_equal(net_send(child, "call"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        assert_false(net_has_data(other));
        subject_detach(s);
}

static void test_opened_under_an_open_policy(void **state) {
        static const TestPolicy off = { .mode = POLICY_MODE_OFF };
        static const TestPolicy out_only = { .out = POLICY_DEFAULT_ALLOW };
        _cleanup_close_ int away = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        Subject *s = attach(&off);

        fd = own_tcp(AF_INET);
        assert_int_equal(net_connected_pair(fd, away, "127.0.0.1", 443, &peer), 0);
        for (unsigned slot = 0; slot <= TEST_SLOT_BROKEN; slot++)
                assert_int_equal(subject_counter(s, slot).packets, 0);
        subject_publish(s, &out_only);
        assert_int_equal(net_send(peer, "still ours"), 0);
        net_expect(fd, "still ours");
        subject_detach(s);
}

static void test_fast_open_is_a_connect(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        _cleanup_close_ int fd = -EBADF;
        NetAddress to = net_address("127.0.0.1", 80);
        Subject *s = attach(&policy);

        fd = own_tcp(AF_INET);
        assert_int_equal(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
                                 (struct sockaddr *)&to.address, to.size),
                -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(s);
}

static void test_mptcp_is_tcp(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443", "allow in tcp/80" } };
        _cleanup_close_ int away = -EBADF, fd = -EBADF, peer = -EBADF, refused = -EBADF;
        Subject *s = attach(&policy);

        sandbox_enter(sandbox, "svc");
        fd = net_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        refused = net_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        sandbox_leave(sandbox);
        if (fd < 0) {
                subject_detach(s);
                skip();
        }
        away = net_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        assert_int_equal(net_bind(away, "127.0.0.1", 443), 0);
        assert_int_equal(listen(away, 16), 0);
        assert_int_equal(net_connected_pair(fd, away, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(net_send(fd, "over mptcp"), 0);
        net_expect(peer, "over mptcp");
        assert_int_equal(net_send(peer, "and back"), 0);
        net_expect(fd, "and back");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
        assert_int_equal(net_connect(refused, "127.0.0.1", 8443), -EPERM);
        subject_detach(s);
}

static void test_counts_exactly(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        struct tcp_info info = {};
        struct cgp_counter counter;
        socklen_t size = sizeof(info);
        Subject *s = attach(&policy);

        fd = own_tcp(AF_INET);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        for (unsigned i = 0; i < 100; i++) {
                assert_int_equal(net_send(fd, "0123456789"), 0);
                net_expect(peer, "0123456789");
        }
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        counter = subject_counter(s, TEST_SLOT_RULE);
        /* What TCP itself counted, both ways. */
        assert_int_equal(counter.packets, info.tcpi_segs_out + info.tcpi_segs_in);
        assert_int_equal(counter.blocked + counter.would, 0);
        assert_true(counter.bytes > 1000 + 40 * counter.packets);
        subject_detach(s);
}

static void test_audit_lets_pass(void **state) {
        static const TestPolicy policy = { .mode = POLICY_MODE_AUDIT };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        struct cgp_counter counter;
        Subject *s = attach(&policy);

        fd = own_tcp(AF_INET);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(net_send(fd, "seen"), 0);
        net_expect(peer, "seen");
        counter = subject_counter(s, TEST_SLOT_DEFAULT_OUT);
        assert_true(counter.would >= 5);
        assert_int_equal(counter.blocked + counter.packets, 0);
        /* The answers belong to what would have been denied going out: no second cause. */
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).would, 0);
        subject_detach(s);
}

static void test_every_level_judges(void **state) {
        static const TestPolicy outer = { .rules = { "allow out tcp/443,444" } };
        static const TestPolicy inner = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny out tcp/444" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        _cleanup_close_ int refused = -EBADF;
        Subject *parent = attach(&outer);
        Subject *child = subject_attach(sandbox, kernel, "svc/part", 2, &inner);

        sandbox_enter(sandbox, "svc/part");
        fd = net_tcp(AF_INET);
        refused = net_tcp(AF_INET);
        sandbox_leave(sandbox);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        assert_true(subject_counter(parent, TEST_SLOT_RULE).packets > 0);
        assert_true(subject_counter(child, TEST_SLOT_DEFAULT_OUT).packets > 0);
        assert_int_equal(net_connect(refused, "127.0.0.1", 444), -EPERM);
        assert_int_equal(net_connect(refused, "127.0.0.1", 445), -EPERM);
        assert_int_equal(subject_counter(child, TEST_SLOT_RULE).blocked, 1);
        assert_int_equal(subject_counter(parent, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        subject_detach(child);
        subject_detach(parent);
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
                cmocka_unit_test(test_out_allowed),
                cmocka_unit_test(test_out_refused_at_once),
                cmocka_unit_test(test_other_names_of_an_allowed_peer),
                cmocka_unit_test(test_in_allowed),
                cmocka_unit_test(test_in_dropped_silently),
                cmocka_unit_test(test_change_reaches_open_connections),
                cmocka_unit_test(test_listener_whose_policy_changes),
                cmocka_unit_test(test_never_ends_both_directions),
                cmocka_unit_test(test_older_than_the_attachment),
                cmocka_unit_test(test_repair_opens_nothing),
                cmocka_unit_test(test_second_life_of_an_accepted_socket),
                cmocka_unit_test(test_opened_under_an_open_policy),
                cmocka_unit_test(test_fast_open_is_a_connect),
                cmocka_unit_test(test_mptcp_is_tcp),
                cmocka_unit_test(test_counts_exactly),
                cmocka_unit_test(test_audit_lets_pass),
                cmocka_unit_test(test_every_level_judges),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
