/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what rtnetlink says and what rules name to the PolicyHost that policies are compiled with, and to what the
 * programs must know of each interface. Pure: the caller brings state and takes the result away.
 *
 * Interfaces are numbered by the names that rules use: present interfaces by all that they have of these, and each
 * name alone, so that an interface that comes or goes changes no number and no image.
 */
#pragma once

#include "kernel/ops.h"
#include "net/watch.h"
#include "policy/host.h"

/* A snapshot; immutable, counted references. Policies hold the one they were compiled with. */
typedef struct Host {
        unsigned n_ref;
        PolicyHost host;
        /* The names that rules use are too many to be numbered: every interface must be unknown to the programs,
         * which then take the strictest verdict. */
        bool is_blind;
} Host;

Host *host_ref(Host *host);
Host *host_unref(Host *host);
DEFINE_CLEANUP(Host *, host_unrefp, host_unref);

/* net NULL: nothing is known of the network. names: of interfaces, as rules use them, sorted, without repetitions.
 * lists are sorted by name; references are taken.
 * 0, or 1: only the names alone could be numbered, an interface with several of them is unknown.
 * -E2BIG: not even those; with blind then the snapshot is made all the same, and is blind. */
int host_new(const NetState *net, char *const *names, PolicyList *const *lists, size_t n_lists,
        PolicySet *set, uint32_t set_slot, bool blind, Host **ret) _warn_unused_result_;

/* What two snapshots differ in, for a policy that was compiled with one of them. */
#define HOST_NETWORKS   (1U << 0) /* `lan`, `internet`, `broadcast`, the host's network namespace */
#define HOST_INTERFACES (1U << 1) /* the numbering, the host's network namespace */
#define HOST_LISTS      (1U << 2) /* the set map */
unsigned host_compare(const Host *a, const Host *b);

/* The content of cgp_interfaces for images of both numberings; second may be NULL or the same. Sorted by index. */
int host_interfaces(const NetState *net, const Host *first, const Host *second,
        KernelInterface **ret, size_t *ret_n) _warn_unused_result_;

/* Where a packet by this interface is, as the programs of an image of this host see it. */
bool host_find_interface(const NetState *net, const Host *host, const char *name, size_t *ret_id,
        uint32_t *ret_ifindex);
/* The same by index. false: the programs do not know it. */
bool host_find_ifindex(const NetState *net, const Host *host, uint32_t ifindex, size_t *ret_id);
