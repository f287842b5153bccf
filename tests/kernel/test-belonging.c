/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose policy judges a socket: that of the cgroup that made it, wherever it, or its maker, goes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mptcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "far.h"
#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define MPTCP_FIRST  "10.77.0.2"
#define MPTCP_SECOND "10.77.0.3"

static Sandbox *sandbox;
static Kernel *kernel;

static const TestPolicy nothing = {};

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

static int own_listener(uint16_t port, int protocol) {
        int fd = own_socket(AF_INET, SOCK_STREAM, protocol);

        assert_true(fd >= 0);
        assert_int_equal(net_bind(fd, "127.0.0.1", port), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

/* Runs it in another process and returns what it returns: 0, or which of its steps went wrong. */
static int in_child(int (*run)(int fd), int fd) {
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(run(fd));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

typedef union PassMessage {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
} PassMessage;

static int pass(int channel, int fd) {
        PassMessage control = {};
        struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };

        control.header = (struct cmsghdr){
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
                .cmsg_len = CMSG_LEN(sizeof(fd)),
        };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        return sendmsg(channel, &message, 0) < 0 ? -errno : 0;
}

static int receive_passed(int channel) {
        PassMessage control = {};
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        int fd;

        if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
                return -EIO;
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        return fd;
}

static int pass_own_socket(int channel) {
        sandbox_enter(sandbox, "svc");
        return pass(channel, net_udp(AF_INET)) < 0;
}

static void test_passed_out(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        _cleanup_close_ int unjudged = net_udp(AF_INET), other = net_udp_bound("127.0.0.1", 54);
        Subject *s = attach(&policy);
        int channel[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
        assert_int_equal(in_child(pass_own_socket, channel[1]), 0);
        fd = receive_passed(channel[0]);
        assert_true(fd >= 0);
        /* Who made it is dead, who holds it was never in the cgroup. */
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 54), -EPERM);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1);
        assert_int_equal(net_send_to(fd, "allowed", "127.0.0.1", 53), 0);
        net_expect(server, "allowed");
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 1);
        assert_int_equal(net_send_to(unjudged, "free", "127.0.0.1", 54), 0);
        net_expect(other, "free");
        net_close(&channel[0]);
        net_close(&channel[1]);
        subject_detach(s);
}

static int use_passed_socket(int channel) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = receive_passed(channel);
        if (fd < 0)
                return 1;
        if (net_send_to(net_udp(AF_INET), "own", "127.0.0.1", 53) != -EPERM)
                return 2;
        return net_send_to(fd, "passed in", "127.0.0.1", 53) < 0 ? 3 : 0;
}

/* Documented: not judged. */
static void test_passed_in(void **state) {
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = net_udp(AF_INET);
        Subject *s = attach(&nothing);
        int channel[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
        assert_int_equal(pass(channel[0], fd), 0);
        assert_int_equal(in_child(use_passed_socket, channel[1]), 0);
        net_expect(server, "passed in");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 1); /* its own */
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).packets, 0);
        net_close(&channel[0]);
        net_close(&channel[1]);
        subject_detach(s);
}

static int serve_inherited(int listener) {
        int child;

        sandbox_enter(sandbox, "svc");
        child = net_wait_accepted(listener);
        net_expect(child, "request");
        return net_send(child, "greeting") < 0;
}

/* Socket activation: neither the listener nor what it accepts is judged. */
static void test_activated(void **state) {
        _cleanup_close_ int listener = net_listener("127.0.0.1", 80), fd = net_tcp(AF_INET);
        _cleanup_close_ int own = -EBADF, refused = net_tcp(AF_INET);
        Subject *s = attach(&nothing);
        int r;

        r = net_connect(fd, "127.0.0.1", 80);
        assert_true(r == 0 || r == -EINPROGRESS);
        assert_int_equal(net_wait_connected(fd), 0);
        assert_int_equal(net_send(fd, "request"), 0);
        assert_int_equal(in_child(serve_inherited, listener), 0);
        net_expect(fd, "greeting");
        subject_expect_untouched(s);

        own = own_listener(81, 0);
        assert_int_equal(net_connect(refused, "127.0.0.1", 81), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_true(net_is_connecting(refused));
        subject_detach(s);
}

static int move_on(int unused) {
        int before, after;

        sandbox_enter(sandbox, "svc");
        before = net_udp(AF_INET);
        if (net_send_to(before, "x", "127.0.0.1", 53) != -EPERM)
                return 1;
        sandbox_enter(sandbox, "elsewhere");
        after = net_udp(AF_INET);
        if (net_send_to(before, "x", "127.0.0.1", 53) != -EPERM)
                return 2;
        return net_send_to(after, "new", "127.0.0.1", 53) < 0 ? 3 : 0;
}

static void test_moved(void **state) {
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), cgroup_fd = -EBADF;
        Subject *s = attach(&nothing);
        uint64_t id;

        cgroup_fd = sandbox_cgroup(sandbox, "elsewhere", &id);
        assert_int_equal(in_child(move_on, -EBADF), 0);
        net_expect(server, "new");
        assert_false(net_has_data(server));
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
        net_close(&cgroup_fd);
        sandbox_remove_cgroup(sandbox, "elsewhere");
        subject_detach(s);
}

/* Of a child of the service, and of one that has left it since. */
static int fork_on(int inherited) {
        int own;

        if (net_send_to(inherited, "x", "127.0.0.1", 54) != -EPERM)
                return 1;
        own = net_udp(AF_INET);
        if (net_send_to(own, "x", "127.0.0.1", 54) != -EPERM)
                return 2;
        if (net_send_to(own, "by the child", "127.0.0.1", 53) < 0)
                return 3;
        sandbox_leave(sandbox);
        return net_send_to(inherited, "x", "127.0.0.1", 54) != -EPERM ? 4 : 0;
}

static int fork_within(int unused) {
        sandbox_enter(sandbox, "svc");
        return in_child(fork_on, net_udp(AF_INET));
}

static void test_forked(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53);
        Subject *s = attach(&policy);

        assert_int_equal(in_child(fork_within, -EBADF), 0);
        net_expect(server, "by the child");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 3);
        subject_detach(s);
}

/* Enters a network namespace of its own and uses its loopback. */
static int use_other_network(int unused) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        int older, fd, server, other;

        sandbox_enter(sandbox, "svc");
        older = net_udp(AF_INET);
        if (unshare(CLONE_NEWNET) < 0)
                return 1;
        sandbox_leave(sandbox);
        server = net_udp_bound("0.0.0.0", 53);
        other = net_udp_bound("0.0.0.0", 54);
        sandbox_enter(sandbox, "svc");
        fd = net_udp(AF_INET);
        if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                return 2;
        if (net_send_to(older, "x", "127.0.0.1", 54) != -EPERM)
                return 3;
        if (net_send_to(fd, "x", "127.0.0.1", 54) != -EPERM)
                return 4;
        if (net_send_to(fd, "allowed", "127.0.0.1", 53) < 0)
                return 5;
        net_expect(server, "allowed");
        if (net_has_data(other))
                return 6;
        /* The socket from before speaks in the namespace that it was made in. */
        return net_send_to(older, "still there", "127.0.0.1", 53) < 0 ? 7 : 0;
}

static void test_other_network(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53);
        Subject *s = attach(&policy);

        assert_int_equal(in_child(use_other_network, -EBADF), 0);
        net_expect(server, "still there");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 2);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 2);
        subject_detach(s);
}

static void test_accepted_outlives_its_listener(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80" } };
        _cleanup_close_ int listener = -EBADF, fd = net_tcp(AF_INET), child = -EBADF;
        Subject *s = attach(&policy);

        listener = own_listener(80, 0);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
        net_close(&listener);
        assert_int_equal(net_send(fd, "request"), 0);
        net_expect(child, "request");
        subject_publish(s, &nothing);
        subject_clear(s);
        assert_int_equal(net_send(fd, "late"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(child));
        subject_publish(s, &policy);
        net_expect(child, "late");
        subject_detach(s);
}

/* Data that no send() was called for. */
static void test_spliced(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        FILE *file = tmpfile();
        Subject *s = attach(&policy);
        int pipe_fds[2];
        off_t start = 0;

        assert_non_null(file);
        assert_true(fputs("by sendfile", file) >= 0 && fflush(file) == 0);
        assert_int_equal(pipe(pipe_fds), 0);
        fd = own_socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(sendfile(fd, fileno(file), &start, 11), 11);
        net_expect(peer, "by sendfile");
        assert_int_equal(write(pipe_fds[1], "by splice", 9), 9);
        assert_int_equal(splice(pipe_fds[0], NULL, fd, NULL, 9, 0), 9);
        net_expect(peer, "by splice");

        subject_publish(s, &nothing);
        subject_clear(s);
        start = 0;
        assert_int_equal(sendfile(fd, fileno(file), &start, 11), 11);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        assert_int_equal(write(pipe_fds[1], ", by splice", 11), 11);
        assert_int_equal(splice(pipe_fds[0], NULL, fd, NULL, 11, 0), 11);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 2);
        assert_false(net_has_data(peer));
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).packets, 0);
        (void)fclose(file);
        net_close(&pipe_fds[0]);
        net_close(&pipe_fds[1]);
        subject_detach(s);
}

/* MPTCP makes its TCP sockets in the kernel, for ours: both ends, and also where the peer cannot. */
static void test_mptcp_server(void **state) {
        static const TestPolicy policy = { .rules = { "allow in tcp/80" } };
        static const int protocols[] = { IPPROTO_MPTCP, IPPROTO_TCP };
        _cleanup_close_ int listener = -EBADF, closed = -EBADF, probe = -EBADF;
        Subject *s;

        probe = net_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        if (probe < 0)
                skip();
        s = attach(&policy);
        listener = own_listener(80, IPPROTO_MPTCP);
        closed = own_listener(81, IPPROTO_MPTCP);
        for (unsigned i = 0; i < ELEMENTSOF(protocols); i++) {
                _cleanup_close_ int fd = net_socket(AF_INET, SOCK_STREAM, protocols[i]);
                _cleanup_close_ int bad = net_socket(AF_INET, SOCK_STREAM, protocols[i]);
                _cleanup_close_ int child = -EBADF;

                subject_publish(s, &policy);
                subject_clear(s);
                assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 80, &child), 0);
                assert_int_equal(net_send(child, "greeting"), 0);
                net_expect(fd, "greeting");
                assert_int_equal(net_send(fd, "request"), 0);
                net_expect(child, "request");
                assert_true(subject_counter(s, TEST_SLOT_RULE).packets >= 5);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
                assert_int_equal(net_connect(bad, "127.0.0.1", 81), -EINPROGRESS);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_true(net_is_connecting(bad));
                /* It is closed to what is open, too. */
                subject_publish(s, &nothing);
                subject_clear(s);
                net_close(&bad);
                assert_int_equal(net_send(fd, "late"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_false(net_has_data(child));
        }
        subject_detach(s);
}

/* The peer knows nothing of MPTCP: the connection goes on as TCP, and is judged on. */
static void test_mptcp_client_falls_back(void **state) {
        static const TestPolicy policy = { .rules = { "allow out tcp/443" } };
        _cleanup_close_ int listener = net_listener("127.0.0.1", 443), fd = -EBADF, peer = -EBADF;
        _cleanup_close_ int refused = -EBADF;
        Subject *s = attach(&policy);

        fd = own_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        refused = own_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        if (fd < 0) {
                subject_detach(s);
                skip();
        }
        assert_int_equal(net_connect(refused, "127.0.0.1", 80), -EPERM);
        assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", 443, &peer), 0);
        assert_int_equal(net_send(peer, "greeting"), 0);
        net_expect(fd, "greeting");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
        subject_publish(s, &nothing);
        subject_clear(s);
        assert_int_equal(net_send(fd, "late"), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
        assert_false(net_has_data(peer));
        subject_publish(s, &policy);
        net_expect(peer, "late");
        subject_detach(s);
}

/* The service's addresses are .1 and .4 here, the peer's .2 and .3 there. */
static Far multipath_open(void) {
        Far far = far_open();

        far_link(&far, "cgp0", "10.77.0.1/24 10.77.0.4/24", MPTCP_FIRST "/24 " MPTCP_SECOND "/24");
        far_ip_here("mptcp limits set subflow 2 add_addr_accepted 2\n");
        far_ip_there(&far, "mptcp limits set subflow 2 add_addr_accepted 2\n");
        return far;
}

static void multipath_close(Far *far) {
        far_ip_here("link del cgp0\nmptcp endpoint flush\n");
        far_close(far);
}

static bool has_multipath(void) {
        _cleanup_close_ int fd = net_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

        return fd >= 0;
}

static int multipath_listener(int fd, const char *ip, uint16_t port) {
        assert_true(fd >= 0);
        assert_int_equal(net_bind(fd, ip, port), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

/* How many subflows have joined the first. */
static unsigned n_joined(int fd) {
        struct mptcp_info info = {};
        socklen_t size = sizeof(info);

        assert_int_equal(getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &size), 0);
        return info.mptcpi_subflows;
}

static void wait_joined(int fd) {
        struct timespec begin, now;

        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        while (n_joined(fd) == 0) {
                (void)sched_yield();
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
                if (now.tv_sec - begin.tv_sec > 20)
                        fail_msg("no subflow joined");
        }
}

/* The peer announces its second address, and the kernel connects there, for the service. */
static void test_mptcp_joins_of_a_client(void **state) {
        static const TestPolicy one = { .rules = { "allow out tcp/443 to " MPTCP_FIRST } };
        static const TestPolicy both = { .rules = { "allow out tcp/443 to 10.77.0.0/24" } };
        Subject *s;
        Far far;

        if (!has_multipath())
                skip();
        far = multipath_open();
        far_ip_there(&far, "mptcp endpoint add " MPTCP_SECOND " dev cgp0 signal\n");
        s = attach(&one);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_close_ int listener =
                        far_socket(&far, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
                _cleanup_close_ int fd = subject_socket(s, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
                _cleanup_close_ int peer = -EBADF;

                subject_publish(s, i == 0 ? &one : &both);
                subject_clear(s);
                listener = multipath_listener(listener, "0.0.0.0", 443);
                assert_int_equal(net_connected_pair(fd, listener, MPTCP_FIRST, 443, &peer), 0);
                assert_int_equal(net_send(fd, "question"), 0);
                net_expect(peer, "question");
                if (i == 0) {
                        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
                        assert_int_equal(n_joined(fd), 0);
                        assert_int_equal(net_send(peer, "answer"), 0);
                        net_expect(fd, "answer");
                        continue;
                }
                wait_joined(peer);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
                /* The one that joined was opened by us as well: it is closed with the rule. */
                subject_publish(s, &nothing);
                subject_clear(s);
                assert_int_equal(net_send(peer, "late"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
                assert_false(net_has_data(fd));
        }
        subject_detach(s);
        multipath_close(&far);
}

/* The peer joins from its second address. */
static void test_mptcp_joins_of_a_server(void **state) {
        static const TestPolicy one = { .rules = { "allow in tcp/80 from " MPTCP_FIRST } };
        static const TestPolicy both = { .rules = { "allow in tcp/80 from 10.77.0.0/24" } };
        Subject *s;
        Far far;

        if (!has_multipath())
                skip();
        far = multipath_open();
        far_ip_there(&far, "mptcp endpoint add " MPTCP_SECOND " dev cgp0 subflow\n");
        s = attach(&one);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_close_ int listener = multipath_listener(
                        subject_socket(s, AF_INET, SOCK_STREAM, IPPROTO_MPTCP), "10.77.0.1", 80);
                _cleanup_close_ int fd = far_socket(&far, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
                _cleanup_close_ int child = -EBADF;

                subject_publish(s, i == 0 ? &one : &both);
                subject_clear(s);
                assert_int_equal(net_bind(fd, MPTCP_FIRST, 0), 0);
                assert_int_equal(net_connected_pair(fd, listener, "10.77.0.1", 80, &child), 0);
                assert_int_equal(net_send(fd, "request"), 0);
                net_expect(child, "request");
                if (i == 0) {
                        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                        assert_int_equal(n_joined(child), 0);
                        assert_int_equal(net_send(child, "greeting"), 0);
                        net_expect(fd, "greeting");
                        continue;
                }
                wait_joined(child);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 0);
                subject_publish(s, &nothing);
                subject_clear(s);
                assert_int_equal(net_send(fd, "late"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, 0);
                assert_false(net_has_data(child));
        }
        subject_detach(s);
        multipath_close(&far);
}

/* A socket keeps its cgroup, and the links in force, after the cgroup was removed. */
static void test_removed_cgroup(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp/53" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Subject *s = attach(&policy);
        uint64_t cgroup_id;
        uint32_t prog_id;

        fd = own_socket(AF_INET, SOCK_DGRAM, 0);
        net_close(&s->cgroup_fd);
        sandbox_remove_cgroup(sandbox, "svc");
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 54), -EPERM);
                assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, i + 1);
                assert_int_equal(net_send_to(fd, "allowed", "127.0.0.1", 53), 0);
                net_expect(server, "allowed");
                for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                        assert_int_equal(kernel->ops->link_query(
                                                 kernel, s->links[hook], &prog_id, &cgroup_id),
                                0);
                        assert_int_equal(cgroup_id, s->cgroup_id);
                }
                subject_publish(s, &policy); /* and can be given another policy */
        }
        net_close(&fd);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                do /* the kernel lets go of a cgroup in its own time */
                        assert_int_equal(kernel->ops->link_query(
                                                 kernel, s->links[hook], &prog_id, &cgroup_id),
                                0);
                while (cgroup_id != 0);
                assert_int_equal(kernel->ops->link_destroy(kernel, s->links[hook]), 0);
        }
        kernel->ops->progs_free(s->progs);
        free(s);
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
                cmocka_unit_test(test_passed_out),
                cmocka_unit_test(test_passed_in),
                cmocka_unit_test(test_activated),
                cmocka_unit_test(test_moved),
                cmocka_unit_test(test_other_network),
                cmocka_unit_test(test_accepted_outlives_its_listener),
                cmocka_unit_test(test_spliced),
                cmocka_unit_test(test_mptcp_server),
                cmocka_unit_test(test_mptcp_client_falls_back),
                cmocka_unit_test(test_mptcp_joins_of_a_client),
                cmocka_unit_test(test_mptcp_joins_of_a_server),
                cmocka_unit_test(test_forked),
                cmocka_unit_test(test_removed_cgroup),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
