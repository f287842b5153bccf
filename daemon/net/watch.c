/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When what is read. Links are followed message by message. Addresses and routes are read again when a message tells
 * of one that matters: the kernel drops IPv4 routes with an address or an interface without a word, so following
 * their messages alone would keep what is gone. Two sockets, so that answers and notices never mix.
 */
#include "net/watch.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/socket.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/rtnl.h"
#include "net/state.h"
#include "util/macro.h"
#include "util/time.h"

#define NET_HOLD_USEC (20 * USEC_PER_MSEC)
/* After a failure: of memory, or of a table that changes faster than it can be read. */
#define NET_RETRY_USEC (200 * USEC_PER_MSEC)
/* Of the time at most a quarter is spent on reading, however much there is to read. */
#define NET_HOLD_FACTOR 3
#define NET_READ_TRIES  5
/* More than fits into the buffer: all that has arrived, but no flood keeps us for ever. */
#define NET_MAX_NOTICES 4096

/* What has to be read or made again. */
enum {
        STALE_LINKS = 1U << 0,
        STALE_ADDRESSES = 1U << 1,
        STALE_ROUTES = 1U << 2,
        STALE_STATE = 1U << 3,
        STALE_ALL = STALE_LINKS | STALE_ADDRESSES | STALE_ROUTES | STALE_STATE,
};

struct NetWatch {
        struct nl_sock *requests;
        struct nl_sock *notices; /* NULL: no watching */
        NetLinks links;
        NetAddresses addresses;
        NetRoutes routes;
        unsigned stale;
        uint64_t netns;
        NetState *state;
        sd_event_source *io_source;
        sd_event_source *timer_source;
        void (*changed)(void *userdata);
        void *userdata;
};

static int hear_link(struct nlmsghdr *header, void *userdata) {
        return net_links_hear(userdata, header);
}

static int hear_address(struct nlmsghdr *header, void *userdata) {
        return net_addresses_hear(userdata, header);
}

static int hear_route(struct nlmsghdr *header, void *userdata) {
        NetNetwork network;

        return net_routes_hear(userdata, header, &network);
}

static int dump(NetWatch *watch, uint16_t type, const void *header, size_t size,
        RtnlHandler handler, void *userdata) {
        _cleanup_(rtnl_message_freep) struct nl_msg *message = NULL;
        int r;

        r = rtnl_message_new(type, NLM_F_DUMP, header, size, &message);
        if (r < 0)
                return r;
        if (type == RTM_GETLINK && nla_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
                return -ENOMEM;
        return rtnl_request(watch->requests, message, handler, userdata);
}

/* Messages that come before the end of what they tell of are sent under the kernel's lock for changes. What asks for
 * this lock thus waits until what was heard of is done. */
static void wait_for_kernel(NetWatch *watch) {
        const struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = 1 };
        _cleanup_(rtnl_message_freep) struct nl_msg *message = NULL;

        if (rtnl_message_new(RTM_GETLINK, 0, &header, sizeof(header), &message) >= 0)
                (void)rtnl_request(watch->requests, message, NULL, NULL);
}

static int read_links(NetWatch *watch) {
        const struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
        NetLinks links = { 0 };
        int r;

        r = dump(watch, RTM_GETLINK, &header, sizeof(header), hear_link, &links);
        if (r < 0) {
                net_links_done(&links);
                return r;
        }
        net_links_done(&watch->links);
        watch->links = links;
        (void)net_links_settle(&watch->links);
        return 0;
}

static int read_addresses(NetWatch *watch) {
        const struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
        NetAddresses addresses = { 0 };
        int r;

        r = dump(watch, RTM_GETADDR, &header, sizeof(header), hear_address, &addresses);
        if (r < 0) {
                net_addresses_done(&addresses);
                return r;
        }
        net_addresses_sort(&addresses);
        if (addresses.n != watch->addresses.n ||
                (addresses.n > 0 &&
                        memcmp(addresses.addresses, watch->addresses.addresses,
                                addresses.n * sizeof(*addresses.addresses)) != 0))
                watch->stale |= STALE_ROUTES;
        net_addresses_done(&watch->addresses);
        watch->addresses = addresses;
        return 0;
}

static int read_routes(NetWatch *watch) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        NetRoutes routes = { 0 };
        int r;

        wait_for_kernel(watch);
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                const struct rtmsg header = { .rtm_family = families[i],
                        .rtm_table = RT_TABLE_MAIN };

                r = dump(watch, RTM_GETROUTE, &header, sizeof(header), hear_route, &routes);
                /* The table comes into being with its first route. */
                if (r < 0 && r != -ENOENT) {
                        net_routes_done(&routes);
                        return r;
                }
        }
        net_routes_sort(&routes);
        net_routes_done(&watch->routes);
        watch->routes = routes;
        return 0;
}

static int read_one(NetWatch *watch, unsigned what, int (*read_it)(NetWatch *watch)) {
        int r = -EAGAIN;

        if (!(watch->stale & what))
                return 0;
        for (unsigned i = 0; i < NET_READ_TRIES && r == -EAGAIN; i++)
                r = read_it(watch);
        if (r < 0)
                return r;
        watch->stale &= ~what;
        return 0;
}

/* In this order: what is found changed has the next one read again. */
static int net_watch_read(NetWatch *watch) {
        int r;

        r = read_one(watch, STALE_LINKS, read_links);
        if (r < 0)
                return r;
        if (net_links_settle(&watch->links))
                watch->stale |= STALE_ROUTES;
        r = read_one(watch, STALE_ADDRESSES, read_addresses);
        if (r < 0)
                return r;
        return read_one(watch, STALE_ROUTES, read_routes);
}

static int on_notice(struct nlmsghdr *header, void *userdata) {
        NetWatch *watch = userdata;
        NetAddresses addresses = { 0 };
        NetRoutes routes = { 0 };
        NetNetwork network;
        int r;

        r = net_links_hear(&watch->links, header);
        if (r != 0) {
                watch->stale |= STALE_STATE;
                return r;
        }
        r = net_addresses_hear(&addresses, header);
        net_addresses_done(&addresses);
        if (r != 0) {
                watch->stale |= STALE_STATE | STALE_ADDRESSES;
                if (header->nlmsg_type == RTM_DELADDR)
                        watch->stale |= STALE_ROUTES;
                return r;
        }
        r = net_routes_hear(&routes, header, &network);
        /* Routes by way of routers come and go by the thousand where there is a routing daemon. They matter only
         * where one takes the place of another. */
        if (r > 0 && (routes.n > 0 || net_routes_has(&watch->routes, &network)))
                watch->stale |= STALE_STATE | STALE_ROUTES;
        net_routes_done(&routes);
        return r;
}

/* 1: the state is another than before. 0: it is not, or nothing was heard, which ret_heard tells apart. */
static int net_watch_update(NetWatch *watch, bool *ret_heard) {
        _cleanup_(net_state_freep) NetState *state = NULL;
        int r = 0;

        if (watch->notices)
                r = rtnl_receive(watch->notices, NET_MAX_NOTICES, on_notice, watch);
        if (r < 0)
                watch->stale = STALE_ALL;
        *ret_heard = r != 0 || watch->stale;
        if (!watch->stale)
                return 0;
        r = net_watch_read(watch);
        if (r < 0)
                return r;
        r = net_state_build(&watch->links, &watch->addresses, &watch->routes, watch->netns, &state);
        if (r < 0)
                return r;
        watch->stale = 0;
        if (watch->state && net_state_equal(watch->state, state))
                return 0;
        (void)net_state_free(watch->state);
        watch->state = TAKE_PTR(state);
        return 1;
}

/* Leaves what arrives unheard for a while. From now on, and not from the loop's idea of now: reading took its time. */
static void net_watch_hold(NetWatch *watch, uint64_t usec) {
        uint64_t end = time_now_usec(CLOCK_MONOTONIC) + usec;

        if (sd_event_source_set_time(watch->timer_source, end) >= 0 &&
                sd_event_source_set_enabled(watch->timer_source, SD_EVENT_ONESHOT) >= 0)
                (void)sd_event_source_set_enabled(watch->io_source, SD_EVENT_OFF);
}

/* The callback may free the watch: nothing of it is touched afterwards. */
static int net_watch_run(NetWatch *watch) {
        uint64_t begin = time_now_usec(CLOCK_MONOTONIC);
        bool heard = false;
        int r;

        (void)sd_event_source_set_enabled(watch->io_source, SD_EVENT_ON);
        r = net_watch_update(watch, &heard);
        if (r < 0)
                net_watch_hold(watch, NET_RETRY_USEC);
        else if (heard)
                net_watch_hold(watch,
                        MAX(NET_HOLD_USEC,
                                NET_HOLD_FACTOR * (time_now_usec(CLOCK_MONOTONIC) - begin)));
        if (r > 0)
                watch->changed(watch->userdata);
        return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        return net_watch_run(userdata);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        return net_watch_run(userdata);
}

static int net_watch_listen(NetWatch *watch, sd_event *event) {
        int r;

        r = rtnl_socket_new_listening(&watch->notices);
        if (r < 0)
                return r;
        r = sd_event_add_io(
                event, &watch->io_source, nl_socket_get_fd(watch->notices), EPOLLIN, on_io, watch);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(watch->io_source, "net-notices");
        r = sd_event_add_time(
                event, &watch->timer_source, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, watch);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(watch->timer_source, "net-hold");
        return sd_event_source_set_enabled(watch->timer_source, SD_EVENT_OFF);
}

int net_watch_new(
        sd_event *event, void (*changed)(void *userdata), void *userdata, NetWatch **ret) {
        _cleanup_(net_watch_freep) NetWatch *watch = NULL;
        bool heard;
        int r;

        assert(!event || changed);
        assert(ret);

        watch = malloc(sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        *watch = (NetWatch){ .stale = STALE_ALL, .changed = changed, .userdata = userdata };
        r = rtnl_socket_new(NETLINK_ROUTE, &watch->requests);
        if (r < 0)
                return r;
        /* Since 5.14; without it the cookie is 0. */
        (void)getsockopt(nl_socket_get_fd(watch->requests), SOL_SOCKET, SO_NETNS_COOKIE,
                &watch->netns, &(socklen_t){ sizeof(watch->netns) });
        /* Before the first reading: what happens in between is heard of. */
        if (event) {
                r = net_watch_listen(watch, event);
                if (r < 0)
                        return r;
        }
        r = net_watch_update(watch, &heard);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

NetWatch *net_watch_free(NetWatch *watch) {
        if (!watch)
                return NULL;
        (void)sd_event_source_disable_unref(watch->io_source);
        (void)sd_event_source_disable_unref(watch->timer_source);
        (void)rtnl_socket_free(watch->notices);
        (void)rtnl_socket_free(watch->requests);
        net_links_done(&watch->links);
        net_addresses_done(&watch->addresses);
        net_routes_done(&watch->routes);
        (void)net_state_free(watch->state);
        free(watch);
        return NULL;
}

const NetState *net_watch_state(const NetWatch *watch) {
        assert(watch);

        return watch->state;
}

int net_watch_dispatch(NetWatch *watch) {
        bool heard;
        int r;

        assert(watch);

        if (!watch->notices)
                return 0;
        r = net_watch_update(watch, &heard);
        if (r < 0)
                net_watch_hold(watch, NET_RETRY_USEC);
        return r;
}
