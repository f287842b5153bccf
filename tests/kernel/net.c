/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "util/cleanup.h"

#define PATIENCE_MSEC 20000 /* only how long a test that fails takes */

NetAddress net_address(const char *ip, uint16_t port) {
        NetAddress a = {};
        struct sockaddr_in *in = (struct sockaddr_in *)&a.address;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.address;

        if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
                in->sin_family = AF_INET;
                in->sin_port = htons(port);
                a.size = sizeof(*in);
        } else {
                assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons(port);
                a.size = sizeof(*in6);
        }
        return a;
}

uint16_t net_local_port(int fd) {
        struct sockaddr_in6 address;
        socklen_t size = sizeof(address);

        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        return ntohs(address.sin6_port); /* at the same place in both families */
}

int net_socket(int family, int type, int protocol) {
        int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

        return fd < 0 ? -errno : fd;
}

int net_tcp(int family) {
        int fd = net_socket(family, SOCK_STREAM, IPPROTO_TCP);

        assert_true(fd >= 0);
        return fd;
}

int net_udp(int family) {
        int fd = net_socket(family, SOCK_DGRAM, IPPROTO_UDP);

        assert_true(fd >= 0);
        return fd;
}

int net_bind(int fd, const char *ip, uint16_t port) {
        NetAddress a = net_address(ip, port);
        int one = 1;

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
        return bind(fd, (struct sockaddr *)&a.address, a.size) < 0 ? -errno : 0;
}

void net_set_option(int fd, int level, int option, int value) {
        assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

int net_listener(const char *ip, uint16_t port) {
        int fd = net_tcp(strchr(ip, ':') ? AF_INET6 : AF_INET);

        assert_int_equal(net_bind(fd, ip, port), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

int net_udp_bound(const char *ip, uint16_t port) {
        int fd = net_udp(strchr(ip, ':') ? AF_INET6 : AF_INET);

        assert_int_equal(net_bind(fd, ip, port), 0);
        return fd;
}

int net_connect(int fd, const char *ip, uint16_t port) {
        NetAddress a = net_address(ip, port);

        return connect(fd, (struct sockaddr *)&a.address, a.size) < 0 ? -errno : 0;
}

static void wait_for(int fd, short events, const char *what) {
        struct pollfd p = { .fd = fd, .events = events };

        if (poll(&p, 1, PATIENCE_MSEC) != 1)
                fail_msg("nothing came: %s", what);
}

int net_wait_connected(int fd) {
        int error;
        socklen_t size = sizeof(error);

        wait_for(fd, POLLOUT, "connect");
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
        return -error;
}

bool net_is_connecting(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return poll(&p, 1, 0) == 0;
}

int net_wait_accepted(int listener) {
        int fd;

        wait_for(listener, POLLIN, "accept");
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

int net_connected_pair(int fd, int listener, const char *ip, uint16_t port, int *ret_accepted) {
        int r = net_connect(fd, ip, port);

        if (r < 0 && r != -EINPROGRESS)
                return r;
        r = net_wait_connected(fd);
        if (r < 0)
                return r;
        *ret_accepted = net_wait_accepted(listener);
        return 0;
}

int net_send(int fd, const char *text) {
        return send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int net_send_to(int fd, const char *text, const char *ip, uint16_t port) {
        NetAddress a = net_address(ip, port);

        return net_reply_to(fd, text, &a);
}

int net_reply_to(int fd, const char *text, const NetAddress *to) {
        ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL,
                (const struct sockaddr *)&to->address, to->size);

        return n < 0 ? -errno : 0;
}

void net_expect_from(int fd, const char *text, NetAddress *ret_from) {
        char buffer[256];
        NetAddress from = { .size = sizeof(from.address) };
        ssize_t n;

        wait_for(fd, POLLIN, text);
        n = recvfrom(
                fd, buffer, sizeof(buffer) - 1, 0, (struct sockaddr *)&from.address, &from.size);
        assert_true(n >= 0);
        buffer[n] = 0;
        assert_string_equal(buffer, text);
        if (ret_from)
                *ret_from = from;
}

void net_expect(int fd, const char *text) {
        net_expect_from(fd, text, NULL);
}

bool net_has_data(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

void net_close(int *fd) {
        *fd = close_keep_errno(*fd);
}
