/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listing sockets by cgroup: all of them, only them, and what the programs remember of each. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define SOCKETS_MAX 4096U

static Sandbox *sandbox;

static const TestPolicy open_policy = {
        .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW, .rules = { "deny out tcp/1" }
};

typedef struct Listing {
        KernelSocket sockets[SOCKETS_MAX];
        size_t n;
} Listing;

static int add_socket(void *userdata, const KernelSocket *socket) {
        Listing *all = userdata;

        assert_true(all->n < SOCKETS_MAX);
        all->sockets[all->n++] = *socket;
        return 0;
}

static const Listing *sockets_of(Kernel *kernel, int cgroup_fd) {
        static Listing all;

        all.n = 0;
        assert_int_equal(kernel->ops->sockets_each(kernel, cgroup_fd, add_socket, &all), 0);
        return &all;
}

static uint64_t get_cookie(int fd, int option) {
        uint64_t cookie = 0;
        socklen_t size = sizeof(cookie);

        assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &cookie, &size), 0);
        return cookie;
}

static const KernelSocket *find(const Listing *all, int fd) {
        const KernelSocket *found = NULL;
        uint64_t cookie = get_cookie(fd, SO_COOKIE);

        for (size_t i = 0; i < all->n; i++) {
                if (all->sockets[i].cookie != cookie)
                        continue;
                assert_null(found); /* each once */
                found = &all->sockets[i];
        }
        return found;
}

static const KernelSocket *expect(const Listing *all, int fd, unsigned family, unsigned protocol,
        unsigned state, uint64_t cgroup_id) {
        const KernelSocket *s = find(all, fd);

        assert_non_null(s);
        assert_int_equal(s->family, family);
        assert_int_equal(s->protocol, protocol);
        assert_int_equal(s->state, state);
        assert_true(s->cgroup_id == cgroup_id);
        assert_int_equal(s->local_port, net_local_port(fd));
        return s;
}

static void expect_address(const uint8_t address[16], const char *text) {
        uint8_t wanted[16] = {};

        assert_int_equal(inet_pton(AF_INET6, text, wanted), 1);
        assert_memory_equal(address, wanted, sizeof(wanted));
}

static void close_all(Subject *s, Kernel *kernel) {
        subject_detach(s);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_what_is_told(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 1, &open_policy);
        int listener, client, accepted = -EBADF, udp, connected_udp, listener6, stranger;
        const KernelSocket *found;
        const Listing *all;
        uint64_t netns;

        sandbox_enter(sandbox, "svc");
        listener = net_listener("127.0.0.1", 80);
        client = net_tcp(AF_INET);
        udp = net_udp_bound("127.0.0.1", 53);
        connected_udp = net_udp(AF_INET6);
        listener6 = net_listener("::1", 80);
        sandbox_leave(sandbox);
        stranger = net_udp_bound("127.0.0.1", 54);
        assert_int_equal(net_connected_pair(client, listener, "127.0.0.1", 80, &accepted), 0);
        assert_int_equal(net_connect(connected_udp, "::1", 99), 0);
        assert_int_equal(setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
        netns = get_cookie(client, SO_NETNS_COOKIE);

        all = sockets_of(kernel, s->cgroup_fd);
        assert_int_equal(all->n, 6);
        assert_null(find(all, stranger));
        for (size_t i = 0; i < all->n; i++) {
                assert_true(all->sockets[i].created);
                assert_true(all->sockets[i].netns == netns);
        }
        found = expect(all, listener, AF_INET, IPPROTO_TCP, TCP_LISTEN, s->cgroup_id);
        expect_address(found->local, "::ffff:127.0.0.1");
        assert_int_equal(found->opener, CGP_OPENER_UNKNOWN);
        assert_int_equal(found->remote_port, 0);
        found = expect(all, client, AF_INET, IPPROTO_TCP, TCP_ESTABLISHED, s->cgroup_id);
        expect_address(found->remote, "::ffff:127.0.0.1");
        assert_int_equal(found->remote_port, 80);
        assert_int_equal(found->opener, CGP_OPENER_OUT);
        found = expect(all, accepted, AF_INET, IPPROTO_TCP, TCP_ESTABLISHED, s->cgroup_id);
        assert_int_equal(found->remote_port, net_local_port(client));
        assert_int_equal(found->opener, CGP_OPENER_IN);
        found = expect(all, udp, AF_INET, IPPROTO_UDP, TCP_CLOSE, s->cgroup_id);
        expect_address(found->remote, "::ffff:0.0.0.0");
        assert_int_equal(found->ifindex, 1);
        found = expect(all, connected_udp, AF_INET6, IPPROTO_UDP, TCP_ESTABLISHED, s->cgroup_id);
        expect_address(found->remote, "::1");
        assert_int_equal(found->remote_port, 99);
        assert_int_equal(found->ifindex, 0);
        found = expect(all, listener6, AF_INET6, IPPROTO_TCP, TCP_LISTEN, s->cgroup_id);
        expect_address(found->local, "::1");

        net_close(&listener);
        net_close(&client);
        net_close(&accepted);
        net_close(&udp);
        net_close(&connected_udp);
        net_close(&listener6);
        net_close(&stranger);
        close_all(s, kernel);
}

/* The hash tables of TCP hold more than sockets: what is only left of one, or only the beginning. */
static void test_remainders_and_beginnings(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 1, &open_policy);
        int listener, deferring, client, accepted = -EBADF, half_open, one = 1;
        const Listing *all;

        sandbox_enter(sandbox, "svc");
        listener = net_listener("127.0.0.1", 80);
        deferring = net_listener("127.0.0.1", 81);
        client = net_tcp(AF_INET);
        sandbox_leave(sandbox);
        half_open = net_tcp(AF_INET);
        assert_int_equal(net_connected_pair(client, listener, "127.0.0.1", 80, &accepted), 0);
        /* Who closes first waits. */
        net_close(&client);
        net_close(&accepted);
        /* Without data the third packet of the handshake makes no socket yet. */
        assert_int_equal(
                setsockopt(deferring, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one)), 0);
        assert_int_equal(net_connect(half_open, "127.0.0.1", 81), -EINPROGRESS);
        assert_int_equal(net_wait_connected(half_open), 0);

        all = sockets_of(kernel, s->cgroup_fd);
        assert_non_null(find(all, listener));
        assert_non_null(find(all, deferring));
        assert_null(find(all, half_open));
        assert_int_equal(all->n, 2);
        net_close(&half_open);
        net_close(&listener);
        net_close(&deferring);
        close_all(s, kernel);
}

static void test_below_and_beside(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 1, &open_policy);
        uint64_t child_id, deep_id, beside_id;
        int child_fd = sandbox_cgroup(sandbox, "svc/child", &child_id);
        int deep_fd = sandbox_cgroup(sandbox, "svc/child/deep", &deep_id);
        int beside_fd = sandbox_cgroup(sandbox, "svc2", &beside_id);
        int own, child, deep, beside;
        const Listing *all;

        sandbox_enter(sandbox, "svc");
        own = net_udp_bound("127.0.0.1", 1001);
        sandbox_enter(sandbox, "svc/child");
        child = net_udp_bound("127.0.0.1", 1002);
        sandbox_enter(sandbox, "svc/child/deep");
        deep = net_listener("127.0.0.1", 1003);
        sandbox_enter(sandbox, "svc2");
        beside = net_udp_bound("127.0.0.1", 1004);
        sandbox_leave(sandbox);

        all = sockets_of(kernel, s->cgroup_fd);
        assert_int_equal(all->n, 3);
        expect(all, own, AF_INET, IPPROTO_UDP, TCP_CLOSE, s->cgroup_id);
        expect(all, child, AF_INET, IPPROTO_UDP, TCP_CLOSE, child_id);
        expect(all, deep, AF_INET, IPPROTO_TCP, TCP_LISTEN, deep_id);
        all = sockets_of(kernel, child_fd);
        assert_int_equal(all->n, 2);
        assert_null(find(all, own));
        all = sockets_of(kernel, beside_fd);
        assert_int_equal(all->n, 1);
        assert_false(expect(all, beside, AF_INET, IPPROTO_UDP, TCP_CLOSE, beside_id)->created);

        /* A cgroup that is gone keeps its place as long as it has a socket. */
        net_close(&deep_fd);
        sandbox_remove_cgroup(sandbox, "svc/child/deep");
        all = sockets_of(kernel, s->cgroup_fd);
        assert_int_equal(all->n, 3);
        expect(all, deep, AF_INET, IPPROTO_TCP, TCP_LISTEN, deep_id);

        net_close(&own);
        net_close(&child);
        net_close(&deep);
        net_close(&beside);
        net_close(&child_fd);
        net_close(&beside_fd);
        sandbox_remove_cgroup(sandbox, "svc/child");
        sandbox_remove_cgroup(sandbox, "svc2");
        close_all(s, kernel);
}

static int stop_at_once(void *userdata, const KernelSocket *socket) {
        (*(unsigned *)userdata)++;
        return -ECANCELED;
}

/* More than the kernel gives at once; and another namespace's are not seen. */
static void test_many(void **state) {
        enum { N = 1000 };
        static int fds[N];
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 1, &open_policy);
        const Listing *all;
        unsigned n = 0;

        assert_int_equal(sockets_of(kernel, s->cgroup_fd)->n, 0);
        sandbox_enter(sandbox, "svc");
        for (unsigned i = 0; i < N; i++)
                fds[i] = i % 2 ? net_udp_bound("127.0.0.1", (uint16_t)(10000 + i))
                               : net_listener("127.0.0.1", (uint16_t)(10000 + i));
        sandbox_leave(sandbox);
        all = sockets_of(kernel, s->cgroup_fd);
        assert_int_equal(all->n, N);
        for (unsigned i = 0; i < N; i++)
                assert_non_null(find(all, fds[i]));
        assert_int_equal(
                kernel->ops->sockets_each(kernel, s->cgroup_fd, stop_at_once, &n), -ECANCELED);
        assert_int_equal(n, 1);
        assert_int_equal(unshare(CLONE_NEWNET), 0);
        assert_int_equal(sockets_of(kernel, s->cgroup_fd)->n, 0);
        for (unsigned i = 0; i < N; i++)
                net_close(&fds[i]);
        close_all(s, kernel);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_told),
                cmocka_unit_test(test_remainders_and_beginnings),
                cmocka_unit_test(test_below_and_beside),
                cmocka_unit_test(test_many), /* last: leaves the network namespace */
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
