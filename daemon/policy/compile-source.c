/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all views of a stack have in common. */
#include "policy/compile-source.h"

#include <errno.h>

#include "util/macro.h"

int compile_fail(
        PolicyCompileFailure *reterr_failure, const char *limit, size_t needed, size_t max) {
        if (reterr_failure)
                *reterr_failure = (PolicyCompileFailure){ limit, needed, max };
        return -E2BIG;
}

static int host_list_index(const PolicyHost *host, const char *name, size_t *ret_index) {
        size_t low = 0, high = host->n_lists;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(name, host->lists[middle]->name);

                if (order == 0) {
                        *ret_index = middle;
                        return 0;
                }
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return -ENOKEY;
}

int grid_source_list(const GridSource *source, const char *name, size_t *ret_index) {
        return host_list_index(source->host, name, ret_index);
}

static int compare_u32(const void *a, const void *b) {
        const uint32_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* By number; entries of equal numbers, which a caller should not make, by place in the stack. */
static int source_order(GridSource *source) {
        size_t n = source->stack->n_entries;
        _cleanup_free_ uint32_t *keys = NULL;
        bool sorted = true;

        keys = calloc(n + 1, sizeof(*keys));
        source->order = calloc(n + 1, sizeof(*source->order));
        source->positions = calloc(n + 1, sizeof(*source->positions));
        if (!keys || !source->order || !source->positions)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                keys[i] = (uint32_t)source->stack->entries[i].number << 16 | i;
                sorted = sorted && (i == 0 || keys[i] > keys[i - 1]);
        }
        if (!sorted)
                qsort(keys, n, sizeof(*keys), compare_u32);
        for (size_t i = 0; i < n; i++) {
                source->order[i] = keys[i] & 0xffff;
                source->positions[source->order[i]] = i;
        }
        return 0;
}

static bool interface_has(const PolicyInterface *interface, const char *name) {
        for (char **n = interface->names; n && *n; n++)
                if (streq(*n, name))
                        return true;
        return false;
}

/* Bit per interface that has the name. */
static uint64_t host_interfaces_named(const PolicyHost *host, const char *name) {
        uint64_t mask = 0;

        for (size_t i = 0; i < host->n_interfaces; i++)
                if (interface_has(&host->interfaces[i], name))
                        mask |= UINT64_C(1) << i;
        return mask;
}

static bool stack_names_interface(const PolicyStack *stack, const char *name) {
        for (size_t i = 0; i < stack->n_entries; i++)
                if (streq_ptr(stack->entries[i].rule->via, name))
                        return true;
        return false;
}

/* Splits each class of interfaces by who of it is in the mask. */
static size_t classes_split(uint64_t classes[], size_t n_classes, uint64_t mask) {
        size_t n = n_classes;

        for (size_t i = 0; i < n_classes; i++) {
                uint64_t in = classes[i] & mask, out = classes[i] & ~mask;

                if (in == 0 || out == 0)
                        continue;
                classes[i] = in;
                classes[n++] = out;
        }
        return n;
}

static int compare_lowest_bit(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return __builtin_ctzll(*x) - __builtin_ctzll(*y);
}

static int source_layers(GridSource *source) {
        const PolicyStack *stack = source->stack;
        size_t n_interfaces = source->numbering->n_interfaces, n_classes = 1;
        uint64_t classes[CGP_MAX_PLACES] = {};

        if (n_interfaces > CGP_MAX_PLACES - CGP_PLACE_FIRST)
                return compile_fail(source->reterr_failure, "places",
                        n_interfaces + CGP_PLACE_FIRST, CGP_MAX_PLACES);

        source->via_layers = calloc(stack->n_entries, sizeof(*source->via_layers));
        if (!source->via_layers)
                return -ENOMEM;

        /* A host that nothing is known of still has an interface without names, to decide for. */
        classes[0] = UINT64_MAX >> (64 - MAX(n_interfaces, (size_t)1));
        for (size_t i = 0; i < stack->n_entries; i++) {
                const char *via = stack->entries[i].rule->via;

                if (!via)
                        continue;
                if (i > 0 && streq_ptr(stack->entries[i - 1].rule->via, via)) {
                        source->via_layers[i] = source->via_layers[i - 1];
                        continue;
                }
                source->via_layers[i] = host_interfaces_named(source->numbering, via);
                n_classes = classes_split(classes, n_classes, source->via_layers[i]);
        }
        qsort(classes, n_classes, sizeof(*classes), compare_lowest_bit);

        source->n_places = CGP_PLACE_FIRST + n_interfaces;
        source->n_layers = LAYER_FIRST + n_classes;
        source->layers[CGP_PLACE_ELSEWHERE] = LAYER_ELSEWHERE;
        source->layers[CGP_PLACE_UNDECIDED] = LAYER_UNDECIDED;
        for (size_t c = 0; c < n_classes; c++)
                for (size_t i = 0; i < n_interfaces; i++)
                        if (classes[c] >> i & 1)
                                source->layers[CGP_PLACE_FIRST + i] = LAYER_FIRST + c;

        for (size_t i = 0; i < stack->n_entries; i++) {
                uint64_t interfaces = source->via_layers[i];

                source->via_layers[i] = 0;
                for (size_t c = 0; c < n_classes; c++)
                        if (interfaces & classes[c])
                                source->via_layers[i] |= UINT64_C(1) << (LAYER_FIRST + c);
        }
        return 0;
}

/* Which named sets do the rules need, and do places matter to them? */
static int source_scan(GridSource *source, bool *ret_placed, bool *ret_internet) {
        bool placed = false, internet = false;
        size_t list = 0;
        int r;

        source->lists = calloc(source->host->n_lists + 1, sizeof(*source->lists));
        if (!source->lists)
                return -ENOMEM;

        for (size_t i = 0; i < source->stack->n_entries; i++) {
                const PolicyRule *rule = source->stack->entries[i].rule;

                placed = placed || rule->via;
                for (size_t k = 0; k < rule->n_peers; k++) {
                        const PolicyPeer *peer = &rule->peers[k];

                        placed = placed || peer->type == POLICY_PEER_LAN;
                        internet = internet || peer->type == POLICY_PEER_INTERNET;
                        if (peer->type != POLICY_PEER_LIST)
                                continue;
                        r = grid_source_list(source, peer->list, &list);
                        if (r < 0)
                                return r;
                        source->lists[list] = true;
                }
        }
        *ret_placed = placed;
        *ret_internet = internet;
        return 0;
}

static bool set_has(const PolicySet *set, const char *name, const PolicyHost *host) {
        for (size_t i = 0; i < host->n_lists && set->names[i]; i++)
                if (streq(set->names[i], name))
                        return true;
        return false;
}

/* Expanded if they are few, or if there is no set map. */
static int source_choose_sets(GridSource *source) {
        const PolicyHost *host = source->host;
        size_t n = 0;

        for (size_t i = 0; i < host->n_lists; i++)
                if (source->lists[i])
                        n += host->lists[i]->n_networks4 + host->lists[i]->n_networks6;
        if (n <= SOURCE_EXPAND_MAX || !host->set)
                return 0;

        for (size_t i = 0; i < host->n_lists; i++)
                if (source->lists[i] && !set_has(host->set, host->lists[i]->name, host))
                        return -ENOKEY;
        source->sets = host;
        return 0;
}

/* Are all lists that the source names the same in the other host? */
static bool lists_are_equal(const GridSource *source, const PolicyHost *other) {
        size_t k = 0;

        for (size_t i = 0; i < source->host->n_lists; i++)
                if (source->lists[i] &&
                        (host_list_index(other, source->host->lists[i]->name, &k) < 0 ||
                                other->lists[k]->hash != source->host->lists[i]->hash))
                        return false;
        return true;
}

/* A name that the other numbering does not have, and that nobody wanted it to have, may still be
 * that of an interface. */
static bool interfaces_are_known(const PolicyStack *stack, const PolicyCompileInput *other) {
        for (size_t i = 0; i < stack->n_entries; i++) {
                const char *via = stack->entries[i].rule->via;

                if (via && host_interfaces_named(other->host, via) == 0 &&
                        !stack_names_interface(other->stack, via))
                        return false;
        }
        return true;
}

static void source_adopt(GridSource *source, const PolicyCompileInput *other, bool placed) {
        const PolicyHost *host = other->host;

        if (!host || host == source->host)
                return;
        if (source->sets && host->set && lists_are_equal(source, host))
                source->sets = host;
        if (placed && host->netns == source->host->netns &&
                host->n_interfaces <= CGP_MAX_PLACES - CGP_PLACE_FIRST &&
                interfaces_are_known(source->stack, other))
                source->numbering = host;
}

void grid_source_done(GridSource *source) {
        free(source->order);
        free(source->positions);
        free(source->via_layers);
        free(source->lists);
        free(source->internet);
        *source = (GridSource){};
}

int grid_source_init(GridSource *source, const PolicyCompileInput *input,
        const PolicyCompileInput *other, unsigned side, PolicyCompileFailure *reterr_failure) {
        static const PolicyHost nowhere = POLICY_HOST_INIT;
        _cleanup_(grid_source_done) GridSource s = {
                .input = input,
                .stack = input->stack,
                .host = input->host ? input->host : &nowhere,
                .side = side,
                .n_places = 1,
                .n_layers = 1,
                .reterr_failure = reterr_failure,
        };
        bool placed = false, internet = false;
        int r;

        assert(s.stack->n_entries <= CGP_MAX_RULES);
        s.numbering = s.host;

        r = source_order(&s);
        if (r < 0)
                return r;
        r = source_scan(&s, &placed, &internet);
        if (r < 0)
                return r;
        r = source_choose_sets(&s);
        if (r < 0)
                return r;
        if (other)
                source_adopt(&s, other, placed);
        if (placed) {
                r = source_layers(&s);
                if (r < 0)
                        return r;
        }
        if (internet) {
                r = policy_host_internet(s.host, &s.internet, &s.n_internet);
                if (r < 0)
                        return r;
        }

        *source = TAKE_GENERIC(s, GridSource, (GridSource){});
        return 0;
}

bool grid_sources_share_sets(const GridSource *a, const GridSource *b) {
        return !a->sets || !b->sets || a->sets->set->hash == b->sets->set->hash;
}

bool grid_sources_share_places(const GridSource *a, const GridSource *b) {
        return a->n_places == 1 || b->n_places == 1 ||
                (a->numbering->netns == b->numbering->netns &&
                        a->numbering->n_interfaces == b->numbering->n_interfaces &&
                        a->numbering->interfaces_version == b->numbering->interfaces_version);
}
