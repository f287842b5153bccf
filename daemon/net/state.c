/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What counts as a network or a broadcast address of the host is decided here and stands in watch.h. */
#include "net/state.h"

#include <net/if.h>

#include "util/macro.h"
#include "util/strv.h"

NetState *net_state_free(NetState *state) {
        if (!state)
                return NULL;
        for (size_t i = 0; i < state->n_interfaces; i++)
                strv_free(state->interfaces[i].names);
        free(state->interfaces);
        free(state->networks);
        free(state->broadcast);
        free(state);
        return NULL;
}

static int compare(const void *a, const void *b) {
        return net_network_compare(a, b);
}

/* Sorts and leaves out what lies in another. A network comes right before all that lies in it. */
static void networks_merge(NetNetwork *networks, size_t *n) {
        size_t n_kept = 0;

        if (*n == 0)
                return;
        qsort(networks, *n, sizeof(*networks), compare);
        for (size_t i = 0; i < *n; i++)
                if (n_kept == 0 || !net_network_contains(&networks[n_kept - 1], &networks[i]))
                        networks[n_kept++] = networks[i];
        *n = n_kept;
}

static int add_interfaces(NetState *state, const NetLinks *links) {
        state->interfaces = calloc(MAX(links->n, 1U), sizeof(*state->interfaces));
        if (!state->interfaces)
                return -ENOMEM;
        for (size_t i = 0; i < links->n; i++) {
                const NetLink *link = &links->links[i];
                NetInterface *interface = &state->interfaces[i];
                int r;

                r = strv_copy(link->names, &interface->names);
                if (r < 0)
                        return r;
                interface->ifindex = link->ifindex;
                interface->is_loopback = link->flags & IFF_LOOPBACK;
                state->n_interfaces++;
        }
        return 0;
}

static bool is_up(const NetLink *link) {
        return link && (link->flags & IFF_UP) && !(link->flags & IFF_LOOPBACK);
}

static void add_broadcast(NetState *state, const NetAddress *address) {
        NetNetwork all_ones = address->network;

        if (!net_network_is_ipv4(&address->network))
                return;
        if (address->broadcast.bits > 0)
                state->broadcast[state->n_broadcast++] = address->broadcast;
        /* The kernel takes this one for a broadcast whatever else is set. */
        if (address->network.bits >= 96 + 31 || address->network.bits == 96)
                return;
        for (unsigned bit = address->network.bits; bit < 128; bit++)
                all_ones.address[bit / 8] |= (uint8_t)(0x80U >> bit % 8);
        all_ones.bits = 128;
        state->broadcast[state->n_broadcast++] = all_ones;
}

static void drop_limited_broadcast(NetState *state) {
        static const uint8_t limited[16] = {
                [10] = 0xff, [11] = 0xff, [12] = 0xff, [13] = 0xff, [14] = 0xff, [15] = 0xff
        };

        if (state->n_broadcast > 0 &&
                memcmp(state->broadcast[state->n_broadcast - 1].address, limited,
                        sizeof(limited)) == 0)
                state->n_broadcast--;
}

static int add_networks(NetState *state, const NetLinks *links, const NetAddresses *addresses,
        const NetRoutes *routes) {
        state->networks = calloc(MAX(addresses->n * 2 + routes->n, 1U), sizeof(*state->networks));
        state->broadcast = calloc(MAX(addresses->n * 2, 1U), sizeof(*state->broadcast));
        if (!state->networks || !state->broadcast)
                return -ENOMEM;
        for (size_t i = 0; i < addresses->n; i++) {
                const NetAddress *address = &addresses->addresses[i];

                if (!is_up(net_links_find(links, address->ifindex)))
                        continue;
                state->networks[state->n_networks++] = address->local;
                if (net_network_is_lan(&address->network))
                        state->networks[state->n_networks++] = address->network;
                add_broadcast(state, address);
        }
        for (size_t i = 0; i < routes->n; i++) {
                const NetLink *link = net_links_find(links, routes->routes[i].ifindex);

                /* Behind an interface without broadcast (a tunnel) is its other end, and that is a router. */
                if (is_up(link) && (link->flags & IFF_BROADCAST))
                        state->networks[state->n_networks++] = routes->routes[i].network;
        }
        networks_merge(state->networks, &state->n_networks);
        networks_merge(state->broadcast, &state->n_broadcast);
        drop_limited_broadcast(state);
        return 0;
}

int net_state_build(const NetLinks *links, const NetAddresses *addresses, const NetRoutes *routes,
        uint64_t netns, NetState **ret) {
        _cleanup_(net_state_freep) NetState *state = NULL;
        int r;

        assert(links->n_heard == 0);
        assert(ret);

        state = calloc(1, sizeof(*state));
        if (!state)
                return -ENOMEM;
        state->netns = netns;
        r = add_interfaces(state, links);
        if (r < 0)
                return r;
        r = add_networks(state, links, addresses, routes);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(state);
        return 0;
}

static bool interface_equal(const NetInterface *a, const NetInterface *b) {
        size_t n = strv_length(a->names);

        if (a->ifindex != b->ifindex || a->is_loopback != b->is_loopback ||
                n != strv_length(b->names))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a->names[i], b->names[i]))
                        return false;
        return true;
}

bool net_state_equal(const NetState *a, const NetState *b) {
        if (a->netns != b->netns || a->n_interfaces != b->n_interfaces ||
                a->n_networks != b->n_networks || a->n_broadcast != b->n_broadcast)
                return false;
        for (size_t i = 0; i < a->n_interfaces; i++)
                if (!interface_equal(&a->interfaces[i], &b->interfaces[i]))
                        return false;
        return memcmp(a->networks, b->networks, a->n_networks * sizeof(*a->networks)) == 0 &&
                memcmp(a->broadcast, b->broadcast, a->n_broadcast * sizeof(*a->broadcast)) == 0;
}
