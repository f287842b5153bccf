/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stacks and hosts at random from a seed, for the tests of the policy library. They crowd around a
 * few addresses, ports, protocols and interfaces, so that rules overlap, tie and touch; look-ups
 * are drawn from the edges of the rules, of the host's networks and of the lists.
 */
#pragma once

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "cgp-abi.h"
#include "policy/compile.h"
#include "policy/eval.h"
#include "policy/image.h"
#include "policy/model.h"
#include "util/macro.h"

#define RANDOM_RULES_MAX    24
#define RANDOM_SERVICES_MAX 4
#define RANDOM_PEERS_MAX    6
#define RANDOM_LISTS        3
#define RANDOM_NETWORKS_MAX 8
#define RANDOM_FILLERS      300 /* so many networks of a list are asked of the set map */

typedef struct Random {
        uint64_t state;
} Random;

typedef struct RandomStack {
        PolicyStack stack;
        PolicyEntry entries[RANDOM_RULES_MAX];
        PolicyRule rules[RANDOM_RULES_MAX];
        PolicyService services[RANDOM_RULES_MAX][RANDOM_SERVICES_MAX];
        PolicyPeer peers[RANDOM_RULES_MAX][RANDOM_PEERS_MAX];
} RandomStack;

/* What a random stack is drawn from. */
typedef struct RandomUniverse {
        const char *const *addresses;
        size_t n_addresses;
        unsigned prefix_min; /* shortest prefix beside 0, counted from the end of the address */
        const uint16_t *ports;
        size_t n_ports;
        const uint8_t *protocols;
        size_t n_protocols;
        bool names;        /* localhost, link-local, multicast, broadcast, internet */
        bool any_protocol; /* also with some ports, which no rule text can say */
        bool places;       /* via, lan */
        bool lists;
} RandomUniverse;

typedef struct RandomHost {
        PolicyHost host;
        PolicyNetwork lan[RANDOM_NETWORKS_MAX];
        PolicyNetwork broadcast[2];
        PolicyList *lists[RANDOM_LISTS];
        PolicySet *set;
} RandomHost;

typedef struct RandomQuestion {
        unsigned view;
        uint8_t remote[16];
        uint8_t protocol;
        uint16_t port;
        uint32_t place; /* CGP_PLACE_* */
} RandomQuestion;

/* Rules hold names that can be written to. */
static char random_interfaces[][8] = { "eth0", "eth1", "wg0", "gone0" };
static char random_lists[RANDOM_LISTS][8] = { "ads", "office", "tor" };

static inline uint64_t random_next(Random *random) {
        random->state += 0x9e3779b97f4a7c15ULL;
        uint64_t z = random->state;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

static inline uint32_t random_below(Random *random, uint32_t n) {
        return random_next(random) % n;
}

static inline bool random_one_in(Random *random, uint32_t n) {
        return random_below(random, n) == 0;
}

static inline void address_parse(const char *text, uint8_t ret[16]) {
        memset(ret, 0, 16);
        if (strchr(text, ':')) {
                assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
                return;
        }
        ret[10] = ret[11] = 0xff;
        assert_int_equal(inet_pton(AF_INET, text, ret + 12), 1);
}

static inline bool address_is_ipv4(const uint8_t address[16]) {
        uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* Sets or clears all bits from `bits` on; bits counts all 16 bytes. */
static inline void address_fill(uint8_t address[16], unsigned bits, bool value) {
        for (unsigned i = bits; i < 128; i++) {
                uint8_t mask = 0x80 >> i % 8;

                address[i / 8] = value ? address[i / 8] | mask : address[i / 8] & ~mask;
        }
}

/* The next or previous address, going round at the end. */
static inline void address_step(uint8_t address[16], int step) {
        for (size_t i = 16; i-- > 0;) {
                uint8_t before = address[i];

                address[i] += step;
                if (step > 0 ? address[i] > before : address[i] < before)
                        return;
        }
}

static inline unsigned random_bits(Random *random, const RandomUniverse *u, unsigned width) {
        unsigned least = width - MIN(u->prefix_min, width);
        unsigned bits = least + random_below(random, width - least + 1);

        if (random_one_in(random, 8))
                return 0;
        if (random_one_in(random, 4))
                return width;
        return random_one_in(random, 2) ? MAX(bits / 8 * 8, least) : bits;
}

static inline bool random_named_peer(Random *random, const RandomUniverse *u, PolicyPeer *ret) {
        static const PolicyPeerType names[] = {
                POLICY_PEER_LOCALHOST,
                POLICY_PEER_LINK_LOCAL,
                POLICY_PEER_MULTICAST,
                POLICY_PEER_BROADCAST,
                POLICY_PEER_INTERNET,
        };

        *ret = (PolicyPeer){ .type = POLICY_PEER_ANY };
        if (random_one_in(random, 6))
                return true;
        if (u->names && random_one_in(random, 4)) {
                ret->type = names[random_below(random, ELEMENTSOF(names))];
                return true;
        }
        if (u->places && random_one_in(random, 6)) {
                ret->type = POLICY_PEER_LAN;
                return true;
        }
        if (u->lists && random_one_in(random, 4)) {
                ret->type = POLICY_PEER_LIST;
                ret->list = random_lists[random_below(random, RANDOM_LISTS)];
                return true;
        }
        return false;
}

static inline void random_peer(Random *random, const RandomUniverse *u, PolicyPeer *ret) {
        PolicyPeer peer = {};
        uint8_t other[16];
        unsigned offset;

        if (random_named_peer(random, u, ret))
                return;

        address_parse(u->addresses[random_below(random, u->n_addresses)], peer.address);
        peer.family = address_is_ipv4(peer.address) ? AF_INET : AF_INET6;
        offset = peer.family == AF_INET ? 96 : 0;
        if (random_one_in(random, 3)) {
                peer.type = POLICY_PEER_RANGE;
                memcpy(other, peer.address, 16);
                address_fill(other, offset + random_bits(random, u, 128 - offset),
                        random_one_in(random, 2));
                if (random_one_in(random, 2))
                        for (uint32_t n = random_below(random, 3); n > 0; n--)
                                address_step(other, memcmp(other, peer.address, 16) >= 0 ? 1 : -1);
                /* Stepping over the end of the family leaves the range as it was. */
                if (address_is_ipv4(other) != (peer.family == AF_INET))
                        memcpy(other, peer.address, 16);
                memcpy(peer.last, other, 16);
                if (memcmp(other, peer.address, 16) < 0) {
                        memcpy(peer.last, peer.address, 16);
                        memcpy(peer.address, other, 16);
                }
        } else {
                peer.type = POLICY_PEER_PREFIX;
                peer.prefix_len = random_bits(random, u, 128 - offset);
                address_fill(peer.address, offset + peer.prefix_len, false);
        }
        *ret = peer;
}

static inline PolicyService random_service(Random *random, const RandomUniverse *u) {
        PolicyService service = {
                .protocol = u->protocols[random_below(random, u->n_protocols)],
                .port_max = UINT16_MAX,
        };
        bool any = random_one_in(random, 4);

        if (any)
                service.protocol = POLICY_PROTOCOL_ANY;
        if (random_one_in(random, 3) || (any && !u->any_protocol))
                return service;

        service.port_min = u->ports[random_below(random, u->n_ports)];
        service.port_max = u->ports[random_below(random, u->n_ports)];
        if (random_one_in(random, 2))
                service.port_max = service.port_min;
        if (service.port_max < service.port_min) {
                uint16_t swap = service.port_min;

                service.port_min = service.port_max;
                service.port_max = swap;
        }
        return service;
}

static inline void random_stack(Random *random, const RandomUniverse *u, RandomStack *s) {
        size_t n = random_below(random, RANDOM_RULES_MAX + 1);
        bool nevers = random_one_in(random, 2);

        if (random_one_in(random, 2))
                n = n / 4;
        memset(s, 0, sizeof(*s));
        s->stack = (PolicyStack){
                .entries = s->entries,
                .n_entries = n,
                .mode = random_one_in(random, 4) ? POLICY_MODE_ENFORCE + random_below(random, 3)
                                                 : POLICY_MODE_ENFORCE,
                .default_in = POLICY_DEFAULT_ALLOW + random_below(random, 2),
                .default_out = POLICY_DEFAULT_ALLOW + random_below(random, 2),
        };

        for (size_t i = 0; i < n; i++) {
                PolicyRule *rule = &s->rules[i];

                *rule = (PolicyRule){
                        .verdict = nevers && random_one_in(random, 6) ? POLICY_NEVER
                                                                      : random_below(random, 2),
                        .directions = 1 + random_below(random, 7),
                        .services = s->services[i],
                        .n_services = 1 + random_below(random, RANDOM_SERVICES_MAX),
                        .peers = s->peers[i],
                        .n_peers = 1 + random_below(random, RANDOM_PEERS_MAX),
                };
                if (u->places && random_one_in(random, 3))
                        rule->via = random_interfaces[random_below(
                                random, ELEMENTSOF(random_interfaces))];
                for (size_t k = 0; k < rule->n_services; k++)
                        rule->services[k] = random_service(random, u);
                for (size_t k = 0; k < rule->n_peers; k++)
                        random_peer(random, u, &rule->peers[k]);

                s->entries[i] = (PolicyEntry){
                        .rule = rule,
                        .rank = random_below(random, random_one_in(random, 2) ? 8 : 2),
                        /* Not in order: numbers are older than the stack. */
                        .number = CGP_RULE_FIRST + (i * 17 + 5) % 31 * 3,
                        .counter = 1000 + i,
                };
                s->entries[i].layer = s->entries[i].rank / 2;
                s->entries[i].from_profile = s->entries[i].rank % 2;
        }
}

/* Points the copy of a stack at its own parts. */
static inline void random_stack_copy(RandomStack *to, const RandomStack *from) {
        *to = *from;
        to->stack.entries = to->entries;
        for (size_t i = 0; i < RANDOM_RULES_MAX; i++) {
                to->entries[i].rule = &to->rules[i];
                to->rules[i].services = to->services[i];
                to->rules[i].peers = to->peers[i];
        }
}

static inline void random_host_done(RandomHost *h) {
        for (size_t i = 0; i < h->host.n_interfaces; i++) {
                for (char **name = h->host.interfaces[i].names; name && *name; name++)
                        free(*name);
                free(h->host.interfaces[i].names);
        }
        free(h->host.interfaces);
        for (size_t i = 0; i < RANDOM_LISTS; i++)
                policy_list_unref(h->lists[i]);
        policy_set_unref(h->set);
}

static inline PolicyNetwork random_network(Random *random, const RandomUniverse *u) {
        PolicyNetwork network = {};
        unsigned offset;

        address_parse(u->addresses[random_below(random, u->n_addresses)], network.address);
        offset = address_is_ipv4(network.address) ? 96 : 0;
        network.bits = offset + random_bits(random, u, 128 - offset);
        /* Shorter than the family's prefix it would be all of IPv6 and more. */
        address_fill(network.address, network.bits, false);
        return network;
}

static inline void network_print(const PolicyNetwork *network, char *text, size_t size) {
        char address[INET6_ADDRSTRLEN];
        bool v4 = network->bits >= 96 && address_is_ipv4(network->address);

        assert_non_null(inet_ntop(v4 ? AF_INET : AF_INET6, network->address + (v4 ? 12 : 0),
                address, sizeof(address)));
        (void)snprintf(text, size, "%s/%u", address, network->bits - (v4 ? 96U : 0U));
}

/* Some networks around the universe's addresses, and sometimes many that lie elsewhere. */
static inline PolicyList *random_list(
        Random *random, const RandomUniverse *u, const char *name, bool big) {
        static char texts[RANDOM_NETWORKS_MAX + RANDOM_FILLERS][INET6_ADDRSTRLEN + 8];
        static char *networks[ELEMENTSOF(texts) + 1];
        size_t n = random_below(random, RANDOM_NETWORKS_MAX + 1);
        PolicyList *list = NULL;

        for (size_t i = 0; i < n; i++) {
                PolicyNetwork network = random_network(random, u);

                network_print(&network, texts[i], sizeof(texts[i]));
        }
        if (big)
                for (size_t i = 0; i < RANDOM_FILLERS; i++, n++)
                        (void)snprintf(texts[n], sizeof(texts[n]), "198.18.%zu.%zu", i / 100,
                                2 * (i % 100));
        for (size_t i = 0; i < n; i++)
                networks[i] = texts[i];
        networks[n] = NULL;
        assert_int_equal(policy_list_from_strv(name, "random", 1, networks, NULL, &list), 0);
        return list;
}

static inline void random_host_interfaces(Random *random, PolicyHost *host) {
        static char *sets[4][3];
        char *const *pointers[4];
        size_t n = random_below(random, ELEMENTSOF(sets) + 1);

        for (size_t i = 0; i < n; i++) {
                size_t first = random_below(random, 3);

                sets[i][0] = random_interfaces[first];
                sets[i][1] = sets[i][2] = NULL;
                if (random_one_in(random, 3))
                        sets[i][1] = random_interfaces[first + 1 < 3 ? first + 1 : 2];
                if (sets[i][1] == sets[i][0])
                        sets[i][1] = NULL;
                pointers[i] = sets[i];
        }
        assert_int_equal(policy_host_set_interfaces(host, pointers, n), 0);
}

/* lan and broadcast lie in the structure, so that it must not move. */
static inline void random_host(Random *random, const RandomUniverse *u, RandomHost *h) {
        const char *limit = NULL;

        memset(h, 0, sizeof(*h));
        h->host.netns = 1 + random_below(random, 2);
        h->host.set_slot = random_below(random, 3);

        for (size_t n = u->places ? random_below(random, 4) : 0; n > 0; n--) {
                PolicyNetwork network = random_network(random, u);

                if (network.bits > 0)
                        h->lan[h->host.n_lan++] = network;
        }
        h->host.lan = h->lan;
        h->host.broadcast = h->broadcast;
        address_parse("10.1.255.255", h->broadcast[0].address);
        h->broadcast[0].bits = 128;
        h->host.n_broadcast = random_below(random, 2);
        if (u->places)
                random_host_interfaces(random, &h->host);

        if (!u->lists)
                return;
        for (size_t i = 0; i < RANDOM_LISTS; i++)
                h->lists[i] = random_list(random, u, random_lists[i], random_one_in(random, 2));
        h->host.lists = h->lists;
        h->host.n_lists = RANDOM_LISTS;
        if (random_one_in(random, 5))
                return;
        assert_int_equal(policy_set_build(h->lists, RANDOM_LISTS, &limit, &h->set), 0);
        h->host.set = h->set;
}

/* An address of a network: its first, its last, or the one asked for. */
static inline void random_in_network(
        Random *random, const uint8_t first[16], unsigned bits, uint8_t ret[16]) {
        memcpy(ret, first, 16);
        if (random_one_in(random, 2))
                address_fill(ret, bits, true);
}

/* An address of the host's networks or lists, if it has any. */
static inline void random_host_remote(Random *random, const PolicyHost *host, uint8_t ret[16]) {
        const PolicyList *list =
                host->n_lists > 0 ? host->lists[random_below(random, host->n_lists)] : NULL;

        if (host->n_lan > 0 && random_one_in(random, 3)) {
                const PolicyNetwork *network = &host->lan[random_below(random, host->n_lan)];

                random_in_network(random, network->address, network->bits, ret);
        } else if (list && list->n_networks4 > 0 && random_one_in(random, 2)) {
                const PolicyListNetwork4 *network =
                        &list->networks4[random_below(random, list->n_networks4)];
                uint8_t first[16] = { [10] = 0xff,
                        0xff,
                        network->address >> 24,
                        network->address >> 16 & 0xff,
                        network->address >> 8 & 0xff,
                        network->address & 0xff };

                random_in_network(random, first, 96U + network->bits, ret);
        } else if (list && list->n_networks6 > 0) {
                const PolicyListNetwork6 *network =
                        &list->networks6[random_below(random, list->n_networks6)];
                uint8_t first[16];

                for (size_t i = 0; i < 8; i++) {
                        first[i] = network->hi >> (56 - 8 * i);
                        first[8 + i] = network->lo >> (56 - 8 * i);
                }
                random_in_network(random, first, network->bits, ret);
        }
}

/* An address at, beside or inside the edges of a random peer, or a well-known one. */
static inline void random_remote(Random *random, const RandomUniverse *u, const RandomStack *s,
        const PolicyHost *host, uint8_t ret[16]) {
        uint8_t address[16];
        const PolicyPeer *peer = NULL;

        address_parse(u->addresses[random_below(random, u->n_addresses)], address);
        if (s->stack.n_entries > 0 && !random_one_in(random, 4)) {
                const PolicyRule *rule = &s->rules[random_below(random, s->stack.n_entries)];

                peer = &rule->peers[random_below(random, rule->n_peers)];
        }
        if (peer && peer->type == POLICY_PEER_PREFIX)
                random_in_network(random, peer->address,
                        peer->prefix_len + (peer->family == AF_INET ? 96U : 0U), address);
        else if (peer && peer->type == POLICY_PEER_RANGE)
                memcpy(address, random_one_in(random, 2) ? peer->address : peer->last, 16);
        else if (host && random_one_in(random, 2))
                random_host_remote(random, host, address);

        if (random_one_in(random, 2))
                address_step(address, random_one_in(random, 2) ? 1 : -1);
        else if (random_one_in(random, 8))
                for (size_t i = random_below(random, 16); i < 16; i++)
                        address[i] = random_next(random);
        memcpy(ret, address, 16);
}

static inline RandomQuestion random_question(
        Random *random, const RandomUniverse *u, const RandomStack *s, const PolicyHost *host) {
        RandomQuestion q = {
                .view = random_below(random, CGP_N_VIEWS),
                .protocol = random_one_in(random, 6)
                        ? random_below(random, 256)
                        : u->protocols[random_below(random, u->n_protocols)],
                .port = u->ports[random_below(random, u->n_ports)],
        };

        random_remote(random, u, s, host, q.remote);
        if (random_one_in(random, 3))
                q.port += random_one_in(random, 2) ? 1 : -1;
        else if (random_one_in(random, 6))
                q.port = random_next(random);
        if (host)
                q.place = random_below(random, CGP_PLACE_FIRST + host->n_interfaces);
        return q;
}

static inline PolicyPlace question_place(const RandomQuestion *q) {
        return (PolicyPlace){
                .elsewhere = q->place == CGP_PLACE_ELSEWHERE,
                .undecided = q->place == CGP_PLACE_UNDECIDED,
                .interface = q->place >= CGP_PLACE_FIRST ? q->place - CGP_PLACE_FIRST : 0,
        };
}

static const PolicyHost random_nowhere = POLICY_HOST_INIT;

/* What the evaluator says. */
static inline const PolicyEntry *question_eval(const PolicyStack *stack, const PolicyHost *host,
        const RandomQuestion *q, unsigned *ret_action) {
        PolicyPlace place = question_place(q);

        return policy_eval_view(stack, host ? host : &random_nowhere, q->view, &place, q->remote,
                q->protocol, q->port, ret_action);
}

/* What the image says; the set map is that of the host. */
static inline struct cgp_verdict question_lookup(
        const PolicyImage *image, const PolicyHost *host, const RandomQuestion *q) {
        return policy_image_lookup(image, q->view, q->place,
                host && host->set ? policy_set_lookup(host->set, q->remote) : 0, q->remote,
                q->protocol, q->port);
}

static const char *const wide_addresses[] = {
        "10.1.2.3",
        "10.1.2.128",
        "10.1.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.251",
        "0.0.0.0",
        "255.255.255.255",
        "::1",
        "::",
        "2001:db8::1",
        "2001:db8:0:1::ffff",
        "fe80::1",
        "febf:ffff::1",
        "ff02::fb",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "::fffe:ffff:ffff",
        "::1:0:0:0",
};
static const uint16_t wide_ports[] = { 0, 1, 53, 79, 80, 81, 255, 256, 257, 443, 511, 512, 1023,
        1024, 32768, 65279, 65280, 65534, 65535 };
static const uint8_t wide_protocols[] = { 0, 1, 6, 17, 58, 132, 136, 255 };

/* Everything that a rule can say. */
static const RandomUniverse wide_universe = {
        .addresses = wide_addresses,
        .n_addresses = ELEMENTSOF(wide_addresses),
        .prefix_min = 128,
        .ports = wide_ports,
        .n_ports = ELEMENTSOF(wide_ports),
        .protocols = wide_protocols,
        .n_protocols = ELEMENTSOF(wide_protocols),
        .names = true,
        .any_protocol = true,
        .places = true,
        .lists = true,
};

static inline PolicyCompileInput random_input(const PolicyStack *stack, const PolicyHost *host) {
        return (PolicyCompileInput){
                .stack = stack,
                .host = host ? host : &random_nowhere,
                .subject = 7,
                .generation = 42,
                .counter_default_out = 1,
                .counter_default_in = 2,
                .counter_unparsable_out = 3,
                .counter_unparsable_in = 4,
                .counter_control = 5,
                .counter_broken = 6,
                .counter_default_bind = 8,
        };
}

static inline unsigned view_default_rule(unsigned view) {
        return view == CGP_VIEW_OUT     ? CGP_RULE_DEFAULT_OUT
                : view == CGP_VIEW_BIND ? CGP_RULE_DEFAULT_BIND
                                        : CGP_RULE_DEFAULT_IN;
}

static inline uint32_t view_default_counter(const PolicyCompileInput *input, unsigned view) {
        return view == CGP_VIEW_OUT     ? input->counter_default_out
                : view == CGP_VIEW_BIND ? input->counter_default_bind
                                        : input->counter_default_in;
}
