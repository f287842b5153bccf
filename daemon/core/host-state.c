/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/host-state.h"

#include "util/macro.h"
#include "util/strv.h"

static_assert(sizeof(NetNetwork) == sizeof(PolicyNetwork), "networks are copied as they stand");
static_assert(offsetof(NetNetwork, bits) == offsetof(PolicyNetwork, bits), "likewise");

Host *host_ref(Host *host) {
        host->n_ref++;
        return host;
}

Host *host_unref(Host *host) {
        if (!host || --host->n_ref > 0)
                return NULL;
        policy_host_done(&host->host);
        free(host);
        return NULL;
}

/* -- Names ------------------------------------------------------------------------------------------ */

/* Those of an interface's names that are among `names`, sorted; an array also if there is none. */
static int names_of(const NetInterface *interface, char *const *names, char ***ret) {
        _cleanup_(strv_freep) char **found = NULL;
        int r;

        found = calloc(1, sizeof(*found));
        if (!found)
                return -ENOMEM;
        for (char **name = interface->names; name && *name; name++) {
                if (!strv_contains(names, *name) || strv_contains(found, *name))
                        continue;
                r = strv_extend(&found, *name);
                if (r < 0)
                        return r;
        }
        *ret = strv_sort(TAKE_PTR(found));
        return 0;
}

/* All names of a numbering. */
static int numbering_names(const PolicyHost *host, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL;

        for (size_t i = 0; i < host->n_interfaces; i++)
                for (char **name = host->interfaces[i].names; name && *name; name++) {
                        int r = strv_contains(names, *name) ? 0 : strv_extend(&names, *name);

                        if (r < 0)
                                return r;
                }
        *ret = TAKE_PTR(names);
        return 0;
}

typedef struct NameSets {
        char ***sets;
        size_t n;
} NameSets;

static void name_sets_done(NameSets *sets) {
        for (size_t i = 0; i < sets->n; i++)
                strv_free(sets->sets[i]);
        free(sets->sets);
}

/* Each name alone, and with the state what each interface has of them. */
static int name_sets_make(const NetState *net, char *const *names, NameSets *ret) {
        _cleanup_(name_sets_done) NameSets sets = { 0 };
        size_t n = strv_length(names) + (net ? net->n_interfaces : 0);
        int r;

        sets.sets = calloc(MAX(n, 1U), sizeof(*sets.sets));
        if (!sets.sets)
                return -ENOMEM;
        for (size_t i = 0; names && names[i]; i++) {
                r = strv_extend(&sets.sets[sets.n], names[i]);
                if (r < 0)
                        return r;
                sets.n++;
        }
        for (size_t i = 0; net && i < net->n_interfaces; i++) {
                _cleanup_(strv_freep) char **has = NULL;

                r = names_of(&net->interfaces[i], names, &has);
                if (r < 0)
                        return r;
                if (*has)
                        sets.sets[sets.n++] = TAKE_PTR(has);
        }
        *ret = sets;
        sets = (NameSets){ 0 };
        return 0;
}

static int host_number(Host *host, const NetState *net, char *const *names) {
        _cleanup_(name_sets_done) NameSets sets = { 0 };
        int r;

        r = name_sets_make(net, names, &sets);
        if (r < 0)
                return r;
        return policy_host_set_interfaces(&host->host, (char *const *const *)sets.sets, sets.n);
}

/* -- Snapshots -------------------------------------------------------------------------------------- */

static int copy_networks(const NetNetwork *networks, size_t n, PolicyNetwork **ret, size_t *ret_n) {
        if (n == 0)
                return 0;
        *ret = calloc(n, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                memcpy((*ret)[i].address, networks[i].address, sizeof((*ret)[i].address));
                (*ret)[i].bits = networks[i].bits;
        }
        *ret_n = n;
        return 0;
}

static int copy_lists(PolicyHost *host, PolicyList *const *lists, size_t n_lists) {
        if (n_lists == 0)
                return 0;
        host->lists = calloc(n_lists, sizeof(PolicyList *));
        if (!host->lists)
                return -ENOMEM;
        for (size_t i = 0; i < n_lists; i++)
                host->lists[host->n_lists++] = policy_list_ref(lists[i]);
        return 0;
}

int host_new(const NetState *net, char *const *names, PolicyList *const *lists, size_t n_lists,
        PolicySet *set, uint32_t set_slot, bool blind, Host **ret) {
        _cleanup_(host_unrefp) Host *host = NULL;
        int r, result = 0;

        host = calloc(1, sizeof(*host));
        if (!host)
                return -ENOMEM;
        host->n_ref = 1;
        host->host.netns = net ? net->netns : 0;
        r = net ? copy_networks(net->networks, net->n_networks, &host->host.lan, &host->host.n_lan)
                : 0;
        if (r >= 0 && net)
                r = copy_networks(net->broadcast, net->n_broadcast, &host->host.broadcast,
                        &host->host.n_broadcast);
        if (r >= 0)
                r = copy_lists(&host->host, lists, n_lists);
        if (r < 0)
                return r;
        host->host.set = set ? policy_set_ref(set) : NULL;
        host->host.set_slot = set_slot;

        r = host_number(host, net, names);
        if (r == -E2BIG) {
                result = 1;
                r = host_number(host, NULL, names);
        }
        if (r == -E2BIG && blind) {
                host->is_blind = true;
                r = host_number(host, NULL, NULL);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(host);
        return result;
}

static bool networks_equal(const PolicyNetwork *a, size_t n_a, const PolicyNetwork *b, size_t n_b) {
        if (n_a != n_b)
                return false;
        for (size_t i = 0; i < n_a; i++)
                if (a[i].bits != b[i].bits ||
                        memcmp(a[i].address, b[i].address, sizeof(a[i].address)) != 0)
                        return false;
        return true;
}

unsigned host_compare(const Host *a, const Host *b) {
        unsigned difference = 0;

        if (a == b)
                return 0;
        if (a->host.netns != b->host.netns)
                difference |= HOST_NETWORKS | HOST_INTERFACES;
        if (!networks_equal(a->host.lan, a->host.n_lan, b->host.lan, b->host.n_lan) ||
                !networks_equal(a->host.broadcast, a->host.n_broadcast, b->host.broadcast,
                        b->host.n_broadcast))
                difference |= HOST_NETWORKS;
        if (a->host.interfaces_version != b->host.interfaces_version || a->is_blind != b->is_blind)
                difference |= HOST_INTERFACES;
        if (!a->host.set != !b->host.set ||
                (a->host.set &&
                        (a->host.set->hash != b->host.set->hash ||
                                a->host.set_slot != b->host.set_slot)))
                difference |= HOST_LISTS;
        return difference;
}

/* -- Interfaces ------------------------------------------------------------------------------------- */

/* The id that an interface has in a numbering; -ENOENT: none. names: of the numbering. */
static int interface_id(const NetInterface *interface, const Host *host, char *const *names) {
        _cleanup_(strv_freep) char **has = NULL;
        int r;

        if (host->is_blind)
                return -ENOENT;
        r = names_of(interface, names, &has);
        if (r < 0)
                return r;
        return *has ? policy_host_interface_id(&host->host, has) : 0;
}

/* Fills in one version of the entry. */
static int interface_set(KernelInterface *entry, unsigned which, const NetInterface *interface,
        const Host *host, char *const *names) {
        int id = interface_id(interface, host, names);

        if (id == -ENOENT)
                return 0;
        if (id < 0)
                return id;
        entry->interface.version[which] = host->host.interfaces_version;
        entry->interface.id[which] = (uint32_t)id;
        return 0;
}

int host_interfaces(const NetState *net, const Host *first, const Host *second,
        KernelInterface **ret, size_t *ret_n) {
        _cleanup_(strv_freep) char **first_names = NULL, **second_names = NULL;
        _cleanup_free_ KernelInterface *entries = NULL;
        size_t n = 0;
        int r;

        if (second && second->host.interfaces_version == first->host.interfaces_version)
                second = NULL;
        r = numbering_names(&first->host, &first_names);
        if (r >= 0 && second)
                r = numbering_names(&second->host, &second_names);
        if (r < 0)
                return r;
        entries = calloc(MAX(net ? net->n_interfaces : 0, 1U), sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        for (size_t i = 0; net && i < net->n_interfaces; i++) {
                KernelInterface entry = { .ifindex = net->interfaces[i].ifindex };

                r = interface_set(&entry, 0, &net->interfaces[i], first, first_names);
                if (r >= 0 && second)
                        r = interface_set(&entry, 1, &net->interfaces[i], second, second_names);
                if (r < 0)
                        return r;
                if (entry.interface.version[0] != 0 || entry.interface.version[1] != 0)
                        entries[n++] = entry;
        }
        *ret = TAKE_PTR(entries);
        *ret_n = n;
        return 0;
}

static bool find_interface(const NetInterface *interface, const Host *host, size_t *ret_id) {
        _cleanup_(strv_freep) char **names = NULL;
        int id;

        if (numbering_names(&host->host, &names) < 0)
                return false;
        id = interface_id(interface, host, names);
        if (id < 0)
                return false;
        *ret_id = (size_t)id;
        return true;
}

bool host_find_interface(const NetState *net, const Host *host, const char *name, size_t *ret_id,
        uint32_t *ret_ifindex) {
        for (size_t i = 0; net && i < net->n_interfaces; i++)
                if (strv_contains(net->interfaces[i].names, name) &&
                        find_interface(&net->interfaces[i], host, ret_id)) {
                        *ret_ifindex = net->interfaces[i].ifindex;
                        return true;
                }
        return false;
}

bool host_find_ifindex(const NetState *net, const Host *host, uint32_t ifindex, size_t *ret_id) {
        for (size_t i = 0; net && i < net->n_interfaces; i++)
                if (net->interfaces[i].ifindex == ifindex)
                        return find_interface(&net->interfaces[i], host, ret_id);
        return false;
}
