/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/facts.h"

#include "util/macro.h"
#include "util/strv.h"

#define SHORTEST_LAN_IPV4 (96 + 8)
#define SHORTEST_LAN_IPV6 7

void net_links_done(NetLinks *links) {
        for (size_t i = 0; i < links->n; i++)
                strv_free(links->links[i].names);
        free(links->links);
        *links = (NetLinks){ 0 };
}

void net_addresses_done(NetAddresses *addresses) {
        free(addresses->addresses);
        *addresses = (NetAddresses){ 0 };
}

void net_routes_done(NetRoutes *routes) {
        free(routes->routes);
        *routes = (NetRoutes){ 0 };
}

int net_network_compare(const NetNetwork *a, const NetNetwork *b) {
        int r = memcmp(a->address, b->address, sizeof(a->address));

        return r != 0 ? r : (int)a->bits - (int)b->bits;
}

void net_network_mask(NetNetwork *network) {
        for (unsigned i = 0; i < sizeof(network->address); i++) {
                int left = MAX((int)network->bits - (int)i * 8, 0);
                int kept = MIN(left, 8);

                network->address[i] &= (uint8_t)(0xff00U >> kept);
        }
}

static const NetNetwork all_ipv4 = { .address = { [10] = 0xff, [11] = 0xff }, .bits = 96 };

bool net_network_contains(const NetNetwork *outer, const NetNetwork *inner) {
        NetNetwork cut = *inner;

        if (inner->bits < outer->bits)
                return false;
        cut.bits = outer->bits;
        net_network_mask(&cut);
        return net_network_compare(outer, &cut) == 0;
}

bool net_network_is_ipv4(const NetNetwork *network) {
        return net_network_contains(&all_ipv4, network);
}

bool net_network_is_lan(const NetNetwork *network) {
        static const uint8_t all_ones[4] = { 0xff, 0xff, 0xff, 0xff };
        const uint8_t *ipv4 = network->address + 12;

        if (!net_network_is_ipv4(network))
                return network->bits >= SHORTEST_LAN_IPV6 && network->address[0] != 0xff &&
                        !net_network_contains(network, &all_ipv4);
        return network->bits >= SHORTEST_LAN_IPV4 && (ipv4[0] & 0xf0U) != 0xe0U &&
                memcmp(ipv4, all_ones, sizeof(all_ones)) != 0;
}

static int number_compare(uint32_t a, uint32_t b) {
        return a < b ? -1 : a > b;
}

static int link_compare(const void *a, const void *b) {
        const NetLink *x = a, *y = b;
        int r = number_compare(x->ifindex, y->ifindex);

        return r != 0 ? r : number_compare(x->order, y->order);
}

static int address_compare(const void *a, const void *b) {
        const NetAddress *x = a, *y = b;
        int r = net_network_compare(&x->local, &y->local);

        if (r == 0)
                r = net_network_compare(&x->network, &y->network);
        if (r == 0)
                r = net_network_compare(&x->broadcast, &y->broadcast);
        return r != 0 ? r : number_compare(x->ifindex, y->ifindex);
}

static int route_compare(const void *a, const void *b) {
        const NetRoute *x = a, *y = b;
        int r = net_network_compare(&x->network, &y->network);

        return r != 0 ? r : number_compare(x->ifindex, y->ifindex);
}

static int route_network_compare(const void *key, const void *route) {
        return net_network_compare(key, &((const NetRoute *)route)->network);
}

static int link_index_compare(const void *key, const void *link) {
        return number_compare(*(const uint32_t *)key, ((const NetLink *)link)->ifindex);
}

static bool names_equal(char *const *a, char *const *b) {
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}

static bool link_equal(const NetLink *a, const NetLink *b) {
        return a->gone == b->gone && a->flags == b->flags && a->master == b->master &&
                names_equal(a->names, b->names);
}

/* A link that went down and came up again is what it was, but its routes may be lost, of which the kernel says
 * nothing: so each step counts, not only the last. */
bool net_links_settle(NetLinks *links) {
        bool changed = false;
        size_t n = 0;

        if (links->n_heard == 0)
                return false;
        qsort(links->links, links->n, sizeof(*links->links), link_compare);
        for (size_t i = 0; i < links->n; i++) {
                NetLink *link = &links->links[i];
                const NetLink *before =
                        i > 0 && link[-1].ifindex == link->ifindex ? link - 1 : NULL;

                if (link->order > 0 && (before ? !link_equal(before, link) : !link->gone))
                        changed = true;
        }
        for (size_t i = 0; i < links->n; i++) {
                NetLink *link = &links->links[i];
                bool is_last = i + 1 == links->n || link[1].ifindex != link->ifindex;

                link->order = 0;
                if (!is_last || link->gone)
                        strv_free(link->names);
                else
                        links->links[n++] = *link;
        }
        links->n = n;
        links->n_heard = 0;
        return changed;
}

void net_addresses_sort(NetAddresses *addresses) {
        if (addresses->n > 0)
                qsort(addresses->addresses, addresses->n, sizeof(*addresses->addresses),
                        address_compare);
}

void net_routes_sort(NetRoutes *routes) {
        if (routes->n > 0)
                qsort(routes->routes, routes->n, sizeof(*routes->routes), route_compare);
}

const NetLink *net_links_find(const NetLinks *links, uint32_t ifindex) {
        if (links->n == 0)
                return NULL;
        return bsearch(&ifindex, links->links, links->n, sizeof(*links->links), link_index_compare);
}

bool net_routes_has(const NetRoutes *routes, const NetNetwork *network) {
        return routes->n > 0 &&
                bsearch(network, routes->routes, routes->n, sizeof(*routes->routes),
                        route_network_compare);
}
