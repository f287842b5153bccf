/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/rtnl.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include "util/macro.h"

#define RTNL_MESSAGE_BUFFER (32U * 1024U)
#define RTNL_NOTICE_BUFFER  (1024 * 1024)
#define RTNL_MAX_FAILURES   16U

/* One request, or one run over what has arrived. */
typedef struct RtnlExchange {
        RtnlHandler handler;
        void *userdata;
        uint32_t seq;
        bool has_seq;
        bool done;
        int error;
} RtnlExchange;

struct nl_sock *rtnl_socket_free(struct nl_sock *socket) {
        nl_socket_free(socket);
        return NULL;
}

struct nl_msg *rtnl_message_free(struct nl_msg *message) {
        nlmsg_free(message);
        return NULL;
}

static int errno_from_nl(int code) {
        switch (-code) {
        case NLE_NOMEM:
                return -ENOMEM;
        case NLE_PERM:
        case NLE_NOACCESS:
                return -EPERM;
        case NLE_AF_NOSUPPORT:
                return -EAFNOSUPPORT;
        case NLE_PROTO_MISMATCH:
                return -EPROTONOSUPPORT;
        case NLE_OPNOTSUPP:
                return -EOPNOTSUPP;
        case NLE_AGAIN:
        case NLE_DUMP_INTR:
                return -EAGAIN;
        default:
                return -EIO;
        }
}

static bool exchange_is_mine(const RtnlExchange *x, uint32_t seq) {
        return !x->has_seq || x->seq == seq;
}

static int on_message(struct nl_msg *message, void *userdata) {
        RtnlExchange *x = userdata;
        struct nlmsghdr *header = nlmsg_hdr(message);
        const struct sockaddr_nl *source = nlmsg_get_src(message);

        /* Whoever has CAP_NET_ADMIN may send to the groups; only the kernel has port 0. */
        if (source->nl_pid == 0 && x->handler && x->error == 0 &&
                exchange_is_mine(x, header->nlmsg_seq))
                x->error = MIN(x->handler(header, x->userdata), 0);
        return NL_OK;
}

/* A dump that failed at its start says so in its end and nowhere else. */
static int on_finish(struct nl_msg *message, void *userdata) {
        RtnlExchange *x = userdata;
        struct nlmsghdr *header = nlmsg_hdr(message);
        int r = 0;

        if (!exchange_is_mine(x, header->nlmsg_seq))
                return NL_OK;
        if (nlmsg_datalen(header) >= (int)sizeof(r))
                memcpy(&r, nlmsg_data(header), sizeof(r));
        if (r < 0 && x->error == 0)
                x->error = r;
        x->done = true;
        return NL_OK;
}

static int on_ack(struct nl_msg *message, void *userdata) {
        RtnlExchange *x = userdata;

        if (exchange_is_mine(x, nlmsg_hdr(message)->nlmsg_seq))
                x->done = true;
        return NL_OK;
}

static int on_error(struct sockaddr_nl *source, struct nlmsgerr *e, void *userdata) {
        RtnlExchange *x = userdata;

        if (exchange_is_mine(x, e->msg.nlmsg_seq)) {
                if (x->error == 0)
                        x->error = e->error;
                x->done = true;
        }
        return NL_SKIP;
}

static int socket_set_exchange(struct nl_sock *socket, RtnlExchange *x) {
        int r = nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, x);

        if (r >= 0)
                r = nl_socket_modify_cb(socket, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, x);
        if (r >= 0)
                r = nl_socket_modify_cb(socket, NL_CB_ACK, NL_CB_CUSTOM, on_ack, x);
        if (r >= 0)
                r = nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, on_error, x);
        return r < 0 ? errno_from_nl(r) : 0;
}

int rtnl_socket_new(int protocol, struct nl_sock **ret) {
        _cleanup_(rtnl_socket_freep) struct nl_sock *socket = NULL;
        const int on = 1;
        int r;

        assert(ret);

        socket = nl_socket_alloc();
        if (!socket)
                return -ENOMEM;
        /* libnl's own check gives a socket up for good when one answer is not read to its end. */
        nl_socket_disable_seq_check(socket);
        r = nl_connect(socket, protocol);
        if (r < 0)
                return errno_from_nl(r);
        r = nl_socket_set_nonblocking(socket);
        if (r < 0)
                return errno_from_nl(r);
        r = nl_socket_set_msg_buf_size(socket, RTNL_MESSAGE_BUFFER);
        if (r < 0)
                return errno_from_nl(r);
        /* Lets the kernel leave out the other tables. Where it cannot, they are skipped here. */
        (void)setsockopt(
                nl_socket_get_fd(socket), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
        *ret = TAKE_PTR(socket);
        return 0;
}

int rtnl_socket_new_listening(struct nl_sock **ret) {
        _cleanup_(rtnl_socket_freep) struct nl_sock *socket = NULL;
        const int size = RTNL_NOTICE_BUFFER;
        int fd, r;

        assert(ret);

        r = rtnl_socket_new(NETLINK_ROUTE, &socket);
        if (r < 0)
                return r;
        fd = nl_socket_get_fd(socket);
        /* Without the capability as much as the limit allows; a loss is noticed and made good. */
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        r = nl_socket_add_memberships(socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
                RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NONE);
        if (r < 0)
                return errno_from_nl(r);
        *ret = TAKE_PTR(socket);
        return 0;
}

int rtnl_message_new(
        uint16_t type, uint16_t flags, const void *header, size_t size, struct nl_msg **ret) {
        _cleanup_(rtnl_message_freep) struct nl_msg *message = NULL;
        void *data;

        message = nlmsg_alloc_simple(type, flags);
        if (!message)
                return -ENOMEM;
        data = nlmsg_reserve(message, size, NLMSG_ALIGNTO);
        if (!data)
                return -ENOMEM;
        memcpy(data, header, size);
        *ret = TAKE_PTR(message);
        return 0;
}

int rtnl_request(
        struct nl_sock *socket, struct nl_msg *message, RtnlHandler handler, void *userdata) {
        RtnlExchange x = { .handler = handler, .userdata = userdata, .has_seq = true };
        unsigned n_failures = 0;
        int r, failure = 0;

        assert(socket);
        assert(message);

        r = socket_set_exchange(socket, &x);
        if (r < 0)
                return r;
        nl_complete_msg(socket, message);
        nlmsg_hdr(message)->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        x.seq = nlmsg_hdr(message)->nlmsg_seq;
        r = nl_send(socket, message);
        if (r < 0)
                return errno_from_nl(r);
        /* The kernel answers within the call that asks, or goes on with a dump. Read to the end whatever happens: an
         * unfinished dump would make the next one fail with EBUSY. */
        while (!x.done && n_failures < RTNL_MAX_FAILURES) {
                r = nl_recvmsgs_default(socket);
                if (r == -NLE_AGAIN) {
                        failure = failure ?: -EIO;
                        break;
                }
                if (r < 0) {
                        failure = failure ?: errno_from_nl(r);
                        n_failures++;
                }
        }
        return x.error ?: failure;
}

int rtnl_receive(struct nl_sock *socket, size_t max, RtnlHandler handler, void *userdata) {
        RtnlExchange x = { .handler = handler, .userdata = userdata };
        unsigned n_failures = 0;
        int r, n = 0;

        assert(socket);
        assert(handler);

        r = socket_set_exchange(socket, &x);
        if (r < 0)
                return r;
        while ((size_t)n < max && n_failures < RTNL_MAX_FAILURES) {
                r = nl_recvmsgs_default(socket);
                if (r == -NLE_AGAIN)
                        break;
                if (r < 0)
                        n_failures++;
                else
                        n++;
        }
        if (n_failures > 0)
                return -ENOBUFS;
        return x.error ?: n;
}
