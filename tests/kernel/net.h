/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets for tests. All are non-blocking; what has to happen is waited for, and fails the test if it does
 * not. Negative errno where a call may be refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct NetAddress {
        struct sockaddr_storage address;
        socklen_t size;
} NetAddress;

NetAddress net_address(const char *ip, uint16_t port);
uint16_t net_local_port(int fd);

int net_socket(int family, int type, int protocol);
int net_tcp(int family);
int net_udp(int family);
int net_bind(int fd, const char *ip, uint16_t port);
/* An option whose value is an int; fails the test if it is refused. */
void net_set_option(int fd, int level, int option, int value);
int net_listener(const char *ip, uint16_t port);
int net_udp_bound(const char *ip, uint16_t port);

/* 0, -EINPROGRESS, or what it is refused with. */
int net_connect(int fd, const char *ip, uint16_t port);

/* Waits for the end of a connect; its errno, or 0. */
int net_wait_connected(int fd);
bool net_is_connecting(int fd);
int net_wait_accepted(int listener);

/* A connection to a listener; returns the connecting end. */
int net_connected_pair(int fd, int listener, const char *ip, uint16_t port, int *ret_accepted);

int net_send(int fd, const char *text);
int net_send_to(int fd, const char *text, const char *ip, uint16_t port);

/* Waits for a message and checks its text. */
void net_expect(int fd, const char *text);
void net_expect_from(int fd, const char *text, NetAddress *ret_from);
int net_reply_to(int fd, const char *text, const NetAddress *to);
bool net_has_data(int fd);
void net_close(int *fd);
