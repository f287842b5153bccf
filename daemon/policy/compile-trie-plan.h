/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a part of a trie is best laid out. Divides the keys into a binary tree of regions and settles
 * for each one, from the leaves up, whether it becomes a node of 256 entries, a list of paths or a tree of
 * ranges, by the cost that stands in the source. compile-trie.c does what is planned here. Private to it.
 *
 * A list of paths tests pieces, which are disjoint prefixes within its region; what is in none of
 * them has one value, the background. Long lists are halved by a path that tests a prefix of some
 * of the pieces.
 */
#pragma once

#include <stdbool.h>

#include "policy/compile-trie-range.h"

#define PLAN_PIECES_MAX     16U /* of a list */
#define PLAN_CANDIDATES_MAX 4U

/* Keys that begin with the first `len` bits of `start`, and the runs (breaks) that its first and
 * its last key are in. */
typedef struct TrieSlice {
        uint64_t start;
        size_t first;
        size_t last;
        unsigned len;
} TrieSlice;

/* A prefix; all of it has one value, or it is a region of the plan. */
typedef struct Piece {
        uint64_t start;
        uint32_t ref; /* PIECE_CONST | value, or index of a region */
        uint32_t len;
} Piece;

#define PIECE_CONST 0x80000000U

typedef struct PieceList {
        Piece pieces[PLAN_PIECES_MAX]; /* ascending */
        size_t n_pieces;
} PieceList;

/* With one child, what is outside of that has the value `rest`; two are the halves. It becomes a
 * node or a list with a background. `seen_values` are backgrounds with which a list around tests
 * the pieces in here, n_seen of them; with any other it takes the region as one piece. */
typedef struct Region {
        Piece children[2];
        uint64_t start;
        uint32_t cost;
        uint16_t n_runs;
        uint16_t rest;
        uint16_t background;
        uint16_t seen_values[PLAN_CANDIDATES_MAX];
        uint8_t n_seen[PLAN_CANDIDATES_MAX];
        uint8_t n_seen_values;
        uint8_t n_children;
        uint8_t len;
        uint8_t depth; /* steps of the longest walk */
        bool node;
        bool ranges;
        uint32_t first; /* break */
} Region;

typedef struct Planner {
        const TrieBreak *breaks;
        unsigned key_bits;
        uint32_t path_cost;
        Region *regions; /* children before parents */
        size_t n_regions;
        size_t n_allocated;
} Planner;

/* cost is PLAN_IMPOSSIBLE if a walk would be too long. With n_split pieces the first test is
 * whether the key is in `split`, and those, from split_first on, are behind it; else the pieces
 * are tested one by one. */
typedef struct ListPlan {
        uint32_t cost;
        unsigned depth;
        size_t split_first;
        size_t n_split;
        uint64_t split;
        unsigned split_len;
} ListPlan;

#define PLAN_IMPOSSIBLE (UINT32_MAX / 2)

static inline uint64_t prefix_mask(unsigned len) {
        return len == 0 ? 0 : ~UINT64_C(0) << (64 - len);
}

/* Walks take whole bytes off a key: up to where, when the first len bits are known. */
static inline unsigned byte_floor(unsigned len) {
        return len & ~7U;
}

void planner_done(Planner *planner);

RangeCosts planner_range_costs(const Planner *planner);

/* The runs of a region of at most RANGE_RUNS_MAX. Returns how many. */
size_t planner_runs(
        const Planner *planner, const Region *region, TrieBreak ret_runs[RANGE_RUNS_MAX]);

/* The slice of a prefix within a slice. */
TrieSlice planner_narrow(
        const Planner *planner, const TrieSlice *slice, uint64_t start, unsigned len);

/* The longest prefix of a slice of several runs outside of which there is only one value: its
 * length, its start and that value. */
unsigned planner_core(
        const Planner *planner, const TrieSlice *slice, uint64_t *ret_start, uint16_t *ret_rest);

/* Where paths are dear: is a piece that stands alone, when the first len bits are known, a node? */
bool planner_single_is_node(const Planner *planner, Piece child, unsigned len);

/* Plans a slice; forgets what was planned before. */
int planner_plan(Planner *planner, const TrieSlice *slice, Piece *ret_piece) _warn_unused_result_;

/* How many steps a walk may take from a region whose prefix has this length. */
unsigned planner_limit(const Planner *planner, unsigned len);

/* The pieces that a list around this piece tests. */
void planner_collect(const Planner *planner, Piece piece, uint16_t background, PieceList *list);

/* The pieces of a list whose only content is the child. */
ListPlan planner_collect_single(
        const Planner *planner, Piece child, uint16_t rest, unsigned len, PieceList *ret_list);

ListPlan planner_plan_list(
        const Planner *planner, const Piece *pieces, size_t n_pieces, unsigned len, unsigned limit);

/* The pieces that are not behind the split of the plan. Returns how many. */
size_t list_without_split(
        const Piece *pieces, size_t n_pieces, const ListPlan *plan, Piece *ret_pieces);

/* The pieces in the order in which a chain tests them: the widest, which most keys are in,
 * first. */
void planner_order(const Piece *pieces, size_t n_pieces, Piece *ret_pieces);
