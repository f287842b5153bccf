/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads link, address and route messages. By hand and not by libnl-route, whose 3.7 knows neither the alternative
 * names of a link nor the attributes by which newer kernels say where a route leads.
 */
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include "net/facts.h"
#include "util/macro.h"
#include "util/strv.h"

static const struct nla_policy link_policy[IFLA_MAX + 1] = {
        [IFLA_IFNAME] = { .type = NLA_STRING, .minlen = 1 },
        [IFLA_MASTER] = { .type = NLA_U32 },
        [IFLA_PROP_LIST] = { .type = NLA_NESTED },
};
static const struct nla_policy route_policy[RTA_MAX + 1] = {
        [RTA_TABLE] = { .type = NLA_U32 },
        [RTA_OIF] = { .type = NLA_U32 },
};

/* Room for one more. The array is what it was on failure. */
static int grow(void **array, size_t *n_allocated, size_t n, size_t size) {
        size_t wanted = *n_allocated > 0 ? *n_allocated * 2 : 16;
        void *p;

        if (n < *n_allocated)
                return 0;
        p = reallocarray(*array, wanted, size);
        if (!p)
                return -ENOMEM;
        *array = p;
        *n_allocated = wanted;
        return 0;
}

#define GROW(list, member)                                                                         \
        ({                                                                                         \
                void *_array = (list)->member;                                                     \
                int _r =                                                                           \
                        grow(&_array, &(list)->n_allocated, (list)->n, sizeof((list)->member[0])); \
                (list)->member = _array;                                                           \
                _r;                                                                                \
        })

static int read_names(struct nlattr *const *tb, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL;
        struct nlattr *a;
        int rest, r;

        r = strv_extend(&names, nla_get_string(tb[IFLA_IFNAME]));
        if (r < 0)
                return r;
        if (tb[IFLA_PROP_LIST])
                nla_for_each_nested(a, tb[IFLA_PROP_LIST], rest) {
                        _cleanup_free_ char *name = NULL;

                        if (nla_type(a) != IFLA_ALT_IFNAME || nla_len(a) < 1)
                                continue;
                        name = strndup(nla_data(a), (size_t)nla_len(a));
                        if (!name)
                                return -ENOMEM;
                        r = strv_push(&names, &name);
                        if (r < 0)
                                return r;
                }
        strv_sort(names + 1);
        *ret = TAKE_PTR(names);
        return 0;
}

int net_links_hear(NetLinks *links, struct nlmsghdr *header) {
        struct nlattr *tb[IFLA_MAX + 1];
        const struct ifinfomsg *info;
        NetLink link = { 0 };
        int r;

        if (header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK)
                return 0;
        if (nlmsg_parse(header, sizeof(*info), tb, IFLA_MAX, link_policy) < 0)
                return -EBADMSG;
        info = nlmsg_data(header);
        /* A bridge tells of its ports with the same messages; RTM_DELLINK then means that one has left it. */
        if (info->ifi_family != AF_UNSPEC)
                return 0;
        if (info->ifi_index <= 0)
                return -EBADMSG;
        r = GROW(links, links);
        if (r < 0)
                return r;
        link.ifindex = (uint32_t)info->ifi_index;
        link.order = links->n_heard + 1;
        link.gone = header->nlmsg_type == RTM_DELLINK;
        if (!link.gone) {
                if (!tb[IFLA_IFNAME])
                        return -EBADMSG;
                link.flags = info->ifi_flags & (IFF_UP | IFF_LOOPBACK | IFF_BROADCAST);
                link.master = tb[IFLA_MASTER] ? nla_get_u32(tb[IFLA_MASTER]) : 0;
                r = read_names(tb, &link.names);
                if (r < 0)
                        return r;
        }
        links->links[links->n++] = link;
        links->n_heard++;
        return 1;
}

static bool read_address(unsigned family, const struct nlattr *a, NetNetwork *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        size_t size = family == AF_INET ? 4 : 16, at = 16 - size;

        if ((size_t)nla_len(a) < size)
                return false;
        memcpy(ret->address, mapped, at);
        memcpy(ret->address + at, nla_data(a), size);
        ret->bits = 128;
        return true;
}

static bool network_set_bits(NetNetwork *network, unsigned family, unsigned bits) {
        if (bits > (family == AF_INET ? 32U : 128U))
                return false;
        network->bits = (uint8_t)(family == AF_INET ? 96 + bits : bits);
        net_network_mask(network);
        return true;
}

int net_addresses_hear(NetAddresses *addresses, struct nlmsghdr *header) {
        struct nlattr *tb[IFA_MAX + 1], *local, *network;
        const struct ifaddrmsg *info;
        NetAddress address = { 0 };
        int r;

        if (header->nlmsg_type != RTM_NEWADDR && header->nlmsg_type != RTM_DELADDR)
                return 0;
        if (nlmsg_parse(header, sizeof(*info), tb, IFA_MAX, NULL) < 0)
                return -EBADMSG;
        info = nlmsg_data(header);
        if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
                return 0;
        if (header->nlmsg_type == RTM_DELADDR)
                return 1;
        /* IFA_ADDRESS is the peer's where there is one; IPv6 has IFA_LOCAL only then. */
        network = tb[IFA_ADDRESS] ?: tb[IFA_LOCAL];
        local = tb[IFA_LOCAL] ?: tb[IFA_ADDRESS];
        if (!network || !read_address(info->ifa_family, network, &address.network) ||
                !read_address(info->ifa_family, local, &address.local) ||
                !network_set_bits(&address.network, info->ifa_family, info->ifa_prefixlen))
                return -EBADMSG;
        if (info->ifa_family == AF_INET && tb[IFA_BROADCAST] &&
                !read_address(AF_INET, tb[IFA_BROADCAST], &address.broadcast))
                return -EBADMSG;
        address.ifindex = info->ifa_index;
        r = GROW(addresses, addresses);
        if (r < 0)
                return r;
        addresses->addresses[addresses->n++] = address;
        return 1;
}

static int routes_add(NetRoutes *routes, const NetNetwork *network, int ifindex) {
        int r;

        if (ifindex <= 0)
                return -EBADMSG;
        r = GROW(routes, routes);
        if (r < 0)
                return r;
        routes->routes[routes->n++] =
                (NetRoute){ .network = *network, .ifindex = (uint32_t)ifindex };
        return 0;
}

/* All next hops or none: where one is a router, packets may go to it. */
static int routes_add_multipath(
        NetRoutes *routes, const NetNetwork *network, const struct nlattr *multipath) {
        const struct rtnexthop *hop;
        size_t rest, n_before = routes->n;
        int r;

        hop = nla_data(multipath);
        rest = (size_t)nla_len(multipath);
        while (rest >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= rest) {
                struct nlattr *tb[RTA_MAX + 1];
                size_t step = MIN((size_t)RTNH_ALIGN(hop->rtnh_len), rest);

                if (nla_parse(tb, RTA_MAX, (struct nlattr *)RTNH_DATA(hop),
                            hop->rtnh_len - (int)sizeof(*hop), NULL) < 0)
                        return -EBADMSG;
                if (tb[RTA_GATEWAY] || tb[RTA_VIA] || tb[RTA_ENCAP_TYPE]) {
                        routes->n = n_before;
                        return 0;
                }
                r = routes_add(routes, network, hop->rtnh_ifindex);
                if (r < 0)
                        return r;
                hop = (const struct rtnexthop *)((const uint8_t *)hop + step);
                rest -= step;
        }
        return rest == 0 ? 0 : -EBADMSG;
}

int net_routes_hear(NetRoutes *routes, struct nlmsghdr *header, NetNetwork *ret_network) {
        struct nlattr *tb[RTA_MAX + 1];
        const struct rtmsg *info;
        NetNetwork network = { .address = { 0 } };
        int r = 0;

        if (header->nlmsg_type != RTM_NEWROUTE && header->nlmsg_type != RTM_DELROUTE)
                return 0;
        if (nlmsg_parse(header, sizeof(*info), tb, RTA_MAX, route_policy) < 0)
                return -EBADMSG;
        info = nlmsg_data(header);
        if ((info->rtm_family != AF_INET && info->rtm_family != AF_INET6) ||
                (info->rtm_flags & RTM_F_CLONED) ||
                (tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : info->rtm_table) != RT_TABLE_MAIN)
                return 0;
        if (info->rtm_family == AF_INET)
                network.address[10] = network.address[11] = 0xff;
        if ((tb[RTA_DST] && !read_address(info->rtm_family, tb[RTA_DST], &network)) ||
                !network_set_bits(&network, info->rtm_family, info->rtm_dst_len))
                return -EBADMSG;
        *ret_network = network;
        if (header->nlmsg_type == RTM_DELROUTE || info->rtm_type != RTN_UNICAST ||
                net_network_is_ipv4(&network) != (info->rtm_family == AF_INET) ||
                !net_network_is_lan(&network))
                return 1;
        /* A next hop object can change without a word of the routes that use it. */
        if (tb[RTA_GATEWAY] || tb[RTA_VIA] || tb[RTA_NH_ID] || tb[RTA_ENCAP_TYPE])
                return 1;
        if (tb[RTA_MULTIPATH])
                r = routes_add_multipath(routes, &network, tb[RTA_MULTIPATH]);
        else if (tb[RTA_OIF])
                r = routes_add(routes, &network, (int)nla_get_u32(tb[RTA_OIF]));
        return r < 0 ? r : 1;
}
