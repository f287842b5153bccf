/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the compiler and the evaluator must know of the host: its networks, its interfaces and the contents
 * of the named lists. A snapshot of plain data that the caller hands in; nothing here is looked up by
 * policy code. Two hosts that are equal give equal images.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/set.h"

/* A network in the 16-byte form (IPv4 as ::ffff:a.b.c.d, bits then 96-128); the bits behind are zero. */
typedef struct PolicyNetwork {
        uint8_t address[16];
        uint8_t bits;
} PolicyNetwork;

/* An interface name set: the names that rules use and that one interface has (name and altnames). */
typedef struct PolicyInterface {
        char **names; /* sorted, NULL-terminated; empty: an interface that no rule names */
} PolicyInterface;

typedef struct PolicyHost {
        uint64_t netns; /* cookie of the host's network namespace; 0: unknown */

        /* `lan`: networks of addresses and gateway-less routes on interfaces other than loopback; sorted, none
         * within another. `broadcast`: beside 255.255.255.255. */
        PolicyNetwork *lan;
        size_t n_lan;
        PolicyNetwork *broadcast;
        size_t n_broadcast;

        /* Index is the id in the map cgp_interfaces (place CGP_PLACE_FIRST + id). Id 0 is always the one
         * without names. version is a function of the array's content, never 0. */
        PolicyInterface *interfaces;
        size_t n_interfaces;
        uint32_t interfaces_version;

        /* All named lists, sorted by name, and the set map that was built of them (NULL: no lists). */
        PolicyList **lists;
        size_t n_lists;
        PolicySet *set;
        uint32_t set_slot; /* of cgp_sets, where the kernel has it */
} PolicyHost;

/* A host that nothing is known of: no network, no list. */
#define POLICY_HOST_INIT \
        { 0 }

void policy_host_done(
        PolicyHost *host); /* frees lan, broadcast, interfaces, unrefs lists and set */

/* The list of this name, or NULL. */
const PolicyList *policy_host_list(const PolicyHost *host, const char *name);

/* Makes interfaces and interfaces_version: id 0 without names, then each name set of `sets` (each sorted,
 * without repetitions, not empty), in a fixed order, without repetitions. Takes nothing over. -E2BIG: more than
 * CGP_MAX_PLACES - CGP_PLACE_FIRST. */
int policy_host_set_interfaces(PolicyHost *host, char *const *const *sets, size_t n_sets);

/* The id of exactly these names (sorted), or -ENOENT. */
int policy_host_interface_id(const PolicyHost *host, char *const *names);

/* Is this address of the public internet: global unicast, none of the special-purpose blocks that are not
 * globally reachable, and in no network of lan? */
bool policy_host_is_internet(const PolicyHost *host, const uint8_t address[16]);

/* Every address for which policy_host_is_internet() holds, as sorted disjoint networks, owned by the caller.
 * -ENOMEM. */
int policy_host_internet(const PolicyHost *host, PolicyNetwork **ret, size_t *ret_n);
