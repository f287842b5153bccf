/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The peers of a view: prefixes in the order in which a sweep meets them, each with the group of
 * entries that it stands for. Entries with the same named peer are one group, so that a thousand
 * rules of `internet` cost its networks once. Private to the compiler.
 */
#pragma once

#include "policy/compile-grid.h"

/* Prefixes of one view and family; a range counts as its cover. */
#define PREFIXES_MAX (1024U * 1024)

typedef struct Prefix {
        GridKey start;
        uint32_t group;
        uint8_t bits;
        uint8_t length; /* what it counts as */
} Prefix;

/* Groups 0 .. n_entries - 1: that entry alone. Behind them those of named peers. */
enum {
        PEERS_ANY,
        PEERS_LOCALHOST,
        PEERS_LINK_LOCAL,
        PEERS_MULTICAST,
        PEERS_BROADCAST,
        PEERS_LAN,
        PEERS_INTERNET,
        PEERS_LISTS, /* and one for each of the host's */
};

typedef struct PeerGroup {
        uint16_t *entries;
        size_t n_entries;
        size_t n_allocated;
} PeerGroup;

typedef struct Peers {
        const GridSource *source;
        unsigned view;
        PeerGroup *groups; /* PEERS_LISTS + n_lists */
        size_t n_groups;
        Prefix *prefixes[2]; /* by family, sorted by start, then wider first */
        size_t n_prefixes[2];
        size_t n_allocated[2];
} Peers;

/* Peers of the rules that the view judges by. Errors as policy_compile(). */
int peers_init(Peers *peers, const GridSource *source, unsigned view) _warn_unused_result_;
void peers_done(Peers *peers);

/* The entries of a group; NULL for an entry alone, which has the number of its group. */
const uint16_t *peers_group(const Peers *peers, uint32_t group, size_t *ret_n_entries);

static inline uint32_t peers_named_group(const Peers *peers, size_t kind) {
        return peers->source->stack->n_entries + kind;
}
