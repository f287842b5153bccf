/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request and one answer per socket. The kernel finds a socket by its addresses and then compares the cookie, so
 * an identity that has gone stale hits nothing.
 */
#include "net/socket-destroy.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/rtnl.h"
#include "util/macro.h"

/* No socket has it: the first cookie that the kernel gives out is 1. */
#define COOKIE_NONE 0U
/* INET_DIAG_NOCOOKIE in both halves: the kernel compares nothing then. */
#define COOKIE_ANY UINT64_MAX

struct NetDestroyer {
        struct nl_sock *socket;
        bool has_tcp;
        bool has_udp;
};

static int diag_request(NetDestroyer *destroyer, uint16_t type, uint16_t flags,
        const struct inet_diag_req_v2 *request) {
        _cleanup_(rtnl_message_freep) struct nl_msg *message = NULL;
        int r;

        r = rtnl_message_new(type, flags, request, sizeof(*request), &message);
        if (r < 0)
                return r;
        return rtnl_request(destroyer->socket, message, NULL, NULL);
}

/* To a socket that cannot be, "cannot destroy" and "not found" are different answers. But a kernel without the
 * protocol's module also says "not found", so this is asked first, by listing the sockets in no state at all. */
static int probe(NetDestroyer *destroyer, uint8_t protocol, bool *ret) {
        struct inet_diag_req_v2 request = {
                .sdiag_family = AF_INET,
                .sdiag_protocol = protocol,
        };
        int r;

        r = diag_request(destroyer, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request);
        if (r == -ENOENT || r == -EOPNOTSUPP) {
                *ret = false;
                return 0;
        }
        if (r < 0)
                return r;
        r = diag_request(destroyer, SOCK_DESTROY, 0, &request);
        if (r != -ENOENT && r != -EOPNOTSUPP)
                return r < 0 ? r : -EIO;
        *ret = r == -ENOENT;
        return 0;
}

int net_destroyer_new(NetDestroyer **ret) {
        _cleanup_(net_destroyer_freep) NetDestroyer *destroyer = NULL;
        int r;

        assert(ret);

        destroyer = calloc(1, sizeof(*destroyer));
        if (!destroyer)
                return -ENOMEM;
        r = rtnl_socket_new(NETLINK_SOCK_DIAG, &destroyer->socket);
        if (r < 0)
                return r == -EPROTONOSUPPORT ? -EOPNOTSUPP : r;
        r = probe(destroyer, IPPROTO_TCP, &destroyer->has_tcp);
        if (r < 0)
                return r;
        r = probe(destroyer, IPPROTO_UDP, &destroyer->has_udp);
        if (r < 0)
                return r;
        if (!destroyer->has_tcp && !destroyer->has_udp)
                return -EOPNOTSUPP;
        *ret = TAKE_PTR(destroyer);
        return 0;
}

NetDestroyer *net_destroyer_free(NetDestroyer *destroyer) {
        if (!destroyer)
                return NULL;
        (void)rtnl_socket_free(destroyer->socket);
        free(destroyer);
        return NULL;
}

/* An IPv4 socket's address; nothing at all stands for 0.0.0.0. */
static bool take_ipv4(const uint8_t address[16], __be32 *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, zero[16] = { 0 };

        if (memcmp(address, mapped, sizeof(mapped)) != 0 &&
                memcmp(address, zero, sizeof(zero)) != 0)
                return false;
        memcpy(ret, address + 12, sizeof(*ret));
        return true;
}

int net_destroyer_destroy(NetDestroyer *destroyer, const NetSocketId *id) {
        struct inet_diag_req_v2 request = { 0 };

        assert(destroyer);
        assert(id);

        if (id->cookie == COOKIE_NONE || id->cookie == COOKIE_ANY)
                return -EINVAL;
        if (!(id->protocol == IPPROTO_TCP && destroyer->has_tcp) &&
                !(id->protocol == IPPROTO_UDP && destroyer->has_udp))
                return -EOPNOTSUPP;
        request.sdiag_family = id->family;
        request.sdiag_protocol = id->protocol;
        if (id->family == AF_INET) {
                if (!take_ipv4(id->local, &request.id.idiag_src[0]) ||
                        !take_ipv4(id->remote, &request.id.idiag_dst[0]))
                        return -EINVAL;
        } else if (id->family == AF_INET6) {
                memcpy(request.id.idiag_src, id->local, sizeof(id->local));
                memcpy(request.id.idiag_dst, id->remote, sizeof(id->remote));
        } else
                return -EINVAL;
        request.id.idiag_sport = htons(id->local_port);
        request.id.idiag_dport = htons(id->remote_port);
        request.id.idiag_if = id->ifindex;
        request.id.idiag_cookie[0] = (uint32_t)id->cookie;
        request.id.idiag_cookie[1] = (uint32_t)(id->cookie >> 32);
        return diag_request(destroyer, SOCK_DESTROY, 0, &request);
}
