/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binds: which are refused, when, and with what errno; and what cannot be refused is reported. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;
static Kernel *kernel;
static Subject *subject;

static const TestPolicy policy = {
        .rules = {
                "deny bind tcp/8000-8999",               /* 0 */
                "allow bind tcp/8080",                   /* 1 */
                "deny bind udp to 127.2.0.0/16",         /* 2 */
                "never bind tcp/8443",                   /* 3 */
                "deny bind udp/1024-65535 to ::1",       /* 4 */
                "deny bind udp to 127.3.0.0/16",         /* 5 */
                "allow any",                             /* 6 */
        },
};

static int set_up(void **state) {
        kernel = test_kernel(sandbox);
        subject = subject_attach(sandbox, kernel, "bind", 1, &policy);
        sandbox_enter(sandbox, "bind");
        return 0;
}

static int tear_down(void **state) {
        subject_detach(subject);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
        return 0;
}

static int clear(void **state) {
        subject_clear(subject);
        return 0;
}

/* 0 or a negative errno; the port that the socket then has. */
static int try_bind(int family, int type, const char *ip, uint16_t port, uint16_t *ret_port) {
        _cleanup_close_ int fd = net_socket(family, type, 0);
        int r;

        assert_true(fd >= 0);
        r = net_bind(fd, ip, port);
        if (ret_port)
                *ret_port = net_local_port(fd);
        return r;
}

static void refuses_by_port(void **state) {
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8000, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8999, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "0.0.0.0", 8500, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET6, SOCK_STREAM, "::", 8500, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 9000, NULL), 0);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.0.0.1", 8000, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 0).blocked, 4);
}

static void lets_the_narrower_rule_win(void **state) {
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8080, NULL), 0);
        assert_int_equal(try_bind(AF_INET6, SOCK_STREAM, "::1", 8080, NULL), 0);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8443, NULL), -EPERM);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 3).blocked, 1);
}

static void refuses_by_local_address(void **state) {
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.2.0.1", 5000, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.1.0.1", 5000, NULL), 0);
        /* the same through an IPv6 socket */
        assert_int_equal(try_bind(AF_INET6, SOCK_DGRAM, "::ffff:127.2.0.1", 5000, NULL), -EPERM);
        assert_int_equal(try_bind(AF_INET6, SOCK_DGRAM, "::ffff:127.1.0.1", 5000, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 2).blocked, 2);
}

/* The port is chosen by the kernel, and given back. */
static void refuses_a_chosen_port(void **state) {
        uint16_t port = 0;

        assert_int_equal(try_bind(AF_INET6, SOCK_DGRAM, "::1", 0, &port), -EPERM);
        assert_int_equal(port, 0);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.3.0.1", 0, NULL), -EPERM);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 4).blocked, 1);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 5).blocked, 1);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.1.0.1", 0, &port), 0);
        assert_int_not_equal(port, 0);
}

static void leaves_a_refused_socket_usable(void **state) {
        _cleanup_close_ int fd = net_tcp(AF_INET);

        assert_int_equal(net_bind(fd, "127.0.0.1", 8000), -EPERM);
        assert_int_equal(net_bind(fd, "127.0.0.1", 8080), 0);
}

static void judges_mptcp_as_tcp(void **state) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262);

        if (fd < 0)
                skip();
        assert_int_equal(net_bind(fd, "127.0.0.1", 8000), -EPERM);
}

static void uses_the_chosen_errno(void **state) {
        TestPolicy other = policy;

        other.refusal = POLICY_ERRNO_EACCES;
        subject_publish(subject, &other);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8000, NULL), -EACCES);
        assert_int_equal(try_bind(AF_INET6, SOCK_STREAM, "::1", 8000, NULL), -EACCES);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.3.0.1", 0, NULL), -EACCES);
        subject_publish(subject, &policy);
}

static void only_reports_in_audit(void **state) {
        TestPolicy audit = policy;

        audit.mode = POLICY_MODE_AUDIT;
        subject_publish(subject, &audit);
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8000, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 0).would, 1);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.3.0.1", 0, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 5).would, 1);
        subject_publish(subject, &policy);
}

/* Each level counts for itself, once: what the one has seen of a socket is nothing to the other. */
static void reports_on_each_level(void **state) {
        TestPolicy audit = policy;
        Subject *inner;

        audit.mode = POLICY_MODE_AUDIT;
        subject_publish(subject, &audit);
        inner = subject_attach(sandbox, kernel, "bind/inner", 2, &audit);
        sandbox_enter(sandbox, "bind/inner");
        assert_int_equal(try_bind(AF_INET, SOCK_STREAM, "127.0.0.1", 8000, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 0).would, 1);
        assert_int_equal(subject_counter(inner, TEST_SLOT_RULE + 0).would, 1);
        assert_int_equal(try_bind(AF_INET, SOCK_DGRAM, "127.3.0.1", 0, NULL), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 5).would, 1);
        assert_int_equal(subject_counter(inner, TEST_SLOT_RULE + 5).would, 1);
        subject_detach(inner);
        sandbox_enter(sandbox, "bind");
        subject_publish(subject, &policy);
}

/* listen() without bind() takes a port that nothing could refuse. */
static void reports_a_listener_without_bind(void **state) {
        TestPolicy all = { .rules = { "deny bind tcp", "allow any" } };
        _cleanup_close_ int fd = -EBADF;

        subject_publish(subject, &all);
        fd = net_tcp(AF_INET);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 0).would, 1);
        assert_int_equal(subject_counter(subject, TEST_SLOT_RULE + 0).blocked, 0);
        subject_publish(subject, &policy);
}

static int run(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(refuses_by_port, clear),
                cmocka_unit_test_setup(lets_the_narrower_rule_win, clear),
                cmocka_unit_test_setup(refuses_by_local_address, clear),
                cmocka_unit_test_setup(refuses_a_chosen_port, clear),
                cmocka_unit_test_setup(leaves_a_refused_socket_usable, clear),
                cmocka_unit_test_setup(judges_mptcp_as_tcp, clear),
                cmocka_unit_test_setup(uses_the_chosen_errno, clear),
                cmocka_unit_test_setup(only_reports_in_audit, clear),
                cmocka_unit_test_setup(reports_on_each_level, clear),
                cmocka_unit_test_setup(reports_a_listener_without_bind, clear),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(run);
}
