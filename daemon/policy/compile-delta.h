/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service trie as a few changes of another one: a chain of paths that ends in the root of the
 * other. Many hosts with a port or two of their own over a long list for all peers cost a path
 * each. Private to the compiler.
 */
#pragma once

#include "policy/compile-grid.h"
#include "policy/compile-trie.h"

#define DELTA_PATHS_MAX 6U

/* Keys from first to first + span have this value. */
typedef struct DeltaPath {
        uint64_t first;
        uint64_t span;
        uint16_t value;
} DeltaPath;

/* In what the line differs from the other, as disjoint paths. Returns how many, or -E2BIG: more
 * than DELTA_PATHS_MAX, or nothing that paths could say. */
int delta_find(const GridSpace *space, Line line, Line other, DeltaPath paths[DELTA_PATHS_MAX]);

/* The entry of a trie that has the paths and is else the other, whose root it is given. -E2BIG as
 * tries_add(), -ENOMEM. */
int delta_write(Tries *tries, const DeltaPath *paths, size_t n_paths, uint16_t other,
        uint16_t *ret_entry) _warn_unused_result_;

/* How many steps a walk from here takes at most. */
unsigned delta_depth(const Tries *tries, uint16_t entry);
