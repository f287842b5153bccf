/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Netlink sockets as this folder uses them: they never wait, they tell the kernel's own errno (libnl's codes lose
 * it), and what one request left unread does not confuse the next. Knows nothing of what the messages mean.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

struct nl_sock *rtnl_socket_free(struct nl_sock *socket);
DEFINE_CLEANUP(struct nl_sock *, rtnl_socket_freep, rtnl_socket_free);

struct nl_msg *rtnl_message_free(struct nl_msg *message);
DEFINE_CLEANUP(struct nl_msg *, rtnl_message_freep, rtnl_message_free);

/* Is handed each message. A negative errno is kept, and nothing more is handed to it. */
typedef int (*RtnlHandler)(struct nlmsghdr *header, void *userdata);

/* A socket of this netlink protocol in the network namespace of the caller. */
int rtnl_socket_new(int protocol, struct nl_sock **ret) _warn_unused_result_;

/* A socket that hears of links, addresses and routes. */
int rtnl_socket_new_listening(struct nl_sock **ret) _warn_unused_result_;

/* A request with `header` behind the netlink header. */
int rtnl_message_new(uint16_t type, uint16_t flags, const void *header, size_t size,
        struct nl_msg **ret) _warn_unused_result_;

/* Sends and takes all of the answer; handler may be NULL. Returns what the kernel says (0 or a negative errno), what
 * the handler said, -EAGAIN if a dump was interrupted by a change and may be wrong, -EIO if there is no answer. */
int rtnl_request(
        struct nl_sock *socket, struct nl_msg *message, RtnlHandler handler, void *userdata);

/* Takes what has arrived, up to max datagrams. Returns how many. -ENOBUFS: something was lost, here or in the kernel;
 * what can be read was read all the same. */
int rtnl_receive(struct nl_sock *socket, size_t max, RtnlHandler handler, void *userdata);
