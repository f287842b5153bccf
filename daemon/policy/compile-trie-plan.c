/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cost of a layout is its bytes, and STEP_COST for each step to each run of equal keys: what is
 * written of a policy says which keys to expect. A list counts one more run per piece for the
 * background. STEP_COST is a quarter of a cache line, which a step touches when it is cold; warm, a
 * path is a branch that random keys mispredict. So up to three scattered hosts are a chain, up to
 * seven a small tree of paths, and more a node with a path behind each of its entries.
 *
 * Each region is planned before the one around it, and the bound on steps holds in each: with n
 * whole bytes to go, n + SLACK steps. A node goes from one bound to the next, so it is always
 * possible where a list is not.
 */
#include "policy/compile-trie-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

#define NODE_COST     ((uint32_t)(256 * sizeof(uint16_t)))
#define STEP_COST     16U
#define SLACK         (CGP_WALK_MAX - 64 / 8)
#define REGIONS_FIRST 16U

void planner_done(Planner *planner) {
        free(planner->regions);
        *planner = (Planner){};
}

unsigned planner_limit(const Planner *planner, unsigned len) {
        return SLACK + (planner->key_bits - byte_floor(len)) / 8;
}

static size_t planner_find(const Planner *planner, const TrieSlice *slice, uint64_t key) {
        size_t low = slice->first, high = slice->last;

        while (low < high) {
                size_t middle = high - (high - low) / 2;

                if (planner->breaks[middle].start <= key)
                        low = middle;
                else
                        high = middle - 1;
        }
        return low;
}

TrieSlice planner_narrow(
        const Planner *planner, const TrieSlice *slice, uint64_t start, unsigned len) {
        TrieSlice narrow = {
                .start = start,
                .len = len,
                .first = planner_find(planner, slice, start),
                .last = slice->last,
        };

        narrow.last = planner_find(planner, &narrow, start | ~prefix_mask(len));
        return narrow;
}

static unsigned common_prefix(uint64_t a, uint64_t b) {
        return a == b ? 64 : (unsigned)__builtin_clzll(a ^ b);
}

unsigned planner_core(
        const Planner *planner, const TrieSlice *slice, uint64_t *ret_start, uint16_t *ret_rest) {
        const TrieBreak *breaks = planner->breaks;
        uint16_t low = breaks[slice->first].value, high = breaks[slice->last].value;
        uint64_t from = breaks[slice->first + 1].start, to = breaks[slice->last].start - 1;
        unsigned n_low, n_high;

        assert(slice->first < slice->last);

        n_low = common_prefix(from, high == low ? to : slice->start | ~prefix_mask(slice->len));
        n_high = low == high ? 0 : common_prefix(slice->start, to);
        if (n_high > n_low) {
                *ret_start = slice->start & prefix_mask(n_high);
                *ret_rest = high;
                return n_high;
        }
        *ret_start = from & prefix_mask(n_low);
        *ret_rest = low;
        return n_low;
}

static const Region *planner_region(const Planner *planner, Piece piece) {
        return piece.ref & PIECE_CONST ? NULL : &planner->regions[piece.ref];
}

/* Index of the candidate, or -1: a list with this background takes the region as one piece. */
static int region_find_value(const Region *region, uint16_t value) {
        for (int i = 0; i < region->n_seen_values; i++)
                if (region->seen_values[i] == value)
                        return i;
        return -1;
}

static size_t planner_count(const Planner *planner, Piece piece, uint16_t background) {
        const Region *region = planner_region(planner, piece);
        int i;

        if (!region)
                return piece.ref != (PIECE_CONST | background);
        i = region_find_value(region, background);
        return i < 0 ? 1 : region->n_seen[i];
}

void planner_collect(const Planner *planner, Piece piece, uint16_t background, PieceList *list) {
        const Region *region = planner_region(planner, piece);

        if (region && region_find_value(region, background) >= 0) {
                for (size_t i = 0; i < region->n_children; i++)
                        planner_collect(planner, region->children[i], background, list);
                return;
        }
        if (piece.ref == (PIECE_CONST | background))
                return;
        assert(list->n_pieces < PLAN_PIECES_MAX);
        list->pieces[list->n_pieces++] = piece;
}

void planner_order(const Piece *pieces, size_t n_pieces, Piece *ret_pieces) {
        for (size_t i = 0; i < n_pieces; i++) {
                size_t k = i;

                for (; k > 0 && ret_pieces[k - 1].len > pieces[i].len; k--)
                        ret_pieces[k] = ret_pieces[k - 1];
                ret_pieces[k] = pieces[i];
        }
}

static ListPlan planner_plan_chain(
        const Planner *planner, const Piece *pieces, size_t n_pieces, unsigned limit) {
        ListPlan plan = { .cost = n_pieces * (planner->path_cost + STEP_COST * n_pieces),
                .depth = n_pieces };
        Piece ordered[PLAN_PIECES_MAX];

        planner_order(pieces, n_pieces, ordered);
        for (size_t i = 0; i < n_pieces; i++) {
                const Region *region = planner_region(planner, ordered[i]);

                plan.cost += STEP_COST * (i + 1) * (region ? region->n_runs : 1);
                plan.cost += region ? region->cost : 0;
                plan.depth = MAX(plan.depth, i + 1 + (region ? region->depth : 0));
        }
        if (plan.depth > limit)
                plan.cost = PLAN_IMPOSSIBLE;
        return plan;
}

/* The prefix that holds as near to half of the pieces as one can. */
static void find_split(const Piece *pieces, size_t n_pieces, ListPlan *plan) {
        size_t first = 0, n = n_pieces;

        while (n > 1) {
                uint64_t a = pieces[first].start, b = pieces[first + n - 1].start;
                unsigned len = common_prefix(a, b) + 1;
                size_t n_left = 1;

                if (n < n_pieces &&
                        (plan->n_split == 0 || 2 * n >= n_pieces || n_pieces - n < plan->n_split)) {
                        plan->split_first = first;
                        plan->n_split = n;
                        plan->split_len = len - 1;
                        plan->split = a & prefix_mask(len - 1);
                }
                if (2 * n <= n_pieces)
                        return;
                while (common_prefix(a, pieces[first + n_left].start) >= len)
                        n_left++;
                if (2 * n_left < n)
                        first += n_left;
                n = MAX(n_left, n - n_left);
        }
}

size_t list_without_split(
        const Piece *pieces, size_t n_pieces, const ListPlan *plan, Piece *ret_pieces) {
        size_t n = 0;

        for (size_t i = 0; i < n_pieces; i++)
                if (i < plan->split_first || i >= plan->split_first + plan->n_split)
                        ret_pieces[n++] = pieces[i];
        return n;
}

ListPlan planner_plan_list(const Planner *planner, const Piece *pieces, size_t n_pieces,
        unsigned len, unsigned limit) {
        ListPlan chain = planner_plan_chain(planner, pieces, n_pieces, limit), plan = {}, in, out;
        Piece others[PLAN_PIECES_MAX];
        size_t n_others;

        if (n_pieces < 4 || limit < 2)
                return chain;
        find_split(pieces, n_pieces, &plan);
        if (plan.n_split < 2)
                return chain;

        n_others = list_without_split(pieces, n_pieces, &plan, others);
        in = planner_plan_list(
                planner, pieces + plan.split_first, plan.n_split, plan.split_len, limit - 1);
        out = planner_plan_list(planner, others, n_others, len, limit - 1);
        if (in.cost == PLAN_IMPOSSIBLE || out.cost == PLAN_IMPOSSIBLE)
                return chain;
        plan.depth = 1 + MAX(in.depth, out.depth);
        plan.cost = planner->path_cost + in.cost + out.cost + STEP_COST * n_pieces;
        for (size_t i = 0; i < n_pieces; i++) {
                const Region *region = planner_region(planner, pieces[i]);

                plan.cost += STEP_COST * (region ? region->n_runs : 1);
        }
        return plan.cost < chain.cost ? plan : chain;
}

ListPlan planner_collect_single(
        const Planner *planner, Piece child, uint16_t rest, unsigned len, PieceList *ret_list) {
        unsigned limit = planner_limit(planner, len);
        PieceList list = {};
        ListPlan plan;

        planner_collect(planner, child, rest, &list);
        plan = planner_plan_list(planner, list.pieces, list.n_pieces, len, limit);
        if (plan.cost == PLAN_IMPOSSIBLE) {
                list = (PieceList){ .pieces = { child }, .n_pieces = 1 };
                plan = planner_plan_list(planner, list.pieces, list.n_pieces, len, limit);
        }
        *ret_list = list;
        return plan;
}

bool planner_single_is_node(const Planner *planner, Piece child, unsigned len) {
        return planner->path_cost > NODE_COST && child.ref & PIECE_CONST &&
                child.len <= byte_floor(len) + 8;
}

/* Adds what stands behind the entries of a node that ends at this length. */
static void planner_add_blocks(
        const Planner *planner, Piece piece, unsigned len, uint32_t *cost, unsigned *depth) {
        const Region *region = planner_region(planner, piece);

        if (!region)
                return;
        if (region->len == len) {
                *cost += region->cost;
                *depth = MAX(*depth, region->depth);
                return;
        }
        for (size_t i = 0; i < region->n_children; i++) {
                Piece child = region->children[i];
                PieceList list;
                ListPlan plan;

                if (child.len <= len) {
                        planner_add_blocks(planner, child, len, cost, depth);
                        continue;
                }
                if (planner_single_is_node(planner, child, len)) {
                        *cost += NODE_COST + STEP_COST * 2;
                        *depth = MAX(*depth, 1U);
                        continue;
                }
                plan = planner_collect_single(planner, child, region->rest, len, &list);
                assert(plan.cost != PLAN_IMPOSSIBLE);
                *cost += plan.cost;
                *depth = MAX(*depth, plan.depth);
        }
}

static void planner_try_node(const Planner *planner, uint32_t index) {
        Region *region = &planner->regions[index];
        uint32_t cost = NODE_COST + STEP_COST * region->n_runs;
        unsigned len = byte_floor(region->len) + 8, depth = 0;

        /* A path does as well where all but one entry would be alike. */
        if (cost >= region->cost || (region->n_children == 1 && region->children[0].len >= len))
                return;
        planner_add_blocks(
                planner, (Piece){ .ref = index, .len = region->len }, len, &cost, &depth);
        if (cost >= region->cost)
                return;
        region->node = true;
        region->cost = cost;
        region->depth = depth + 1;
}

RangeCosts planner_range_costs(const Planner *planner) {
        return (RangeCosts){ .path = planner->path_cost, .step = STEP_COST };
}

size_t planner_runs(
        const Planner *planner, const Region *region, TrieBreak ret_runs[RANGE_RUNS_MAX]) {
        memcpy(ret_runs, planner->breaks + region->first, region->n_runs * sizeof(*ret_runs));
        ret_runs[0].start = region->start;
        return region->n_runs;
}

static void planner_try_ranges(const Planner *planner, uint32_t index) {
        Region *region = &planner->regions[index];
        RangeCosts costs = planner_range_costs(planner);
        TrieBreak runs[RANGE_RUNS_MAX];
        RangePlan plan;

        if (region->n_runs > RANGE_RUNS_MAX ||
                range_cost_min(&costs, region->n_runs) >= region->cost)
                return;
        plan = range_plan(&costs, runs, planner_runs(planner, region, runs));
        if (plan.cost >= region->cost || plan.depth > planner_limit(planner, region->len))
                return;
        region->node = false;
        region->ranges = true;
        region->cost = plan.cost;
        region->depth = plan.depth;
}

typedef struct Candidate {
        uint32_t cost;
        uint16_t value;
        uint8_t n_seen;
        uint8_t depth;
} Candidate;

typedef struct Candidates {
        Candidate items[PLAN_CANDIDATES_MAX]; /* the cheapest first */
        size_t n;
} Candidates;

static void candidates_add(Candidates *candidates, const Candidate *candidate) {
        Candidate *items = candidates->items;
        size_t i = candidates->n;

        while (i > 0 && items[i - 1].cost > candidate->cost)
                i--;
        if (i == PLAN_CANDIDATES_MAX)
                return;
        candidates->n = MIN(candidates->n + 1, PLAN_CANDIDATES_MAX);
        memmove(items + i + 1, items + i, (candidates->n - i - 1) * sizeof(*items));
        items[i] = *candidate;
}

static void planner_try_background(
        const Planner *planner, const Region *region, uint16_t value, Candidates *candidates) {
        size_t n_seen = 0;
        PieceList list = {};
        ListPlan plan;

        for (size_t i = 0; i < region->n_children; i++)
                n_seen += planner_count(planner, region->children[i], value);
        if (n_seen > PLAN_PIECES_MAX)
                return;
        if (region->n_children == 1) {
                plan = planner_collect_single(
                        planner, region->children[0], value, region->len, &list);
        } else {
                for (size_t i = 0; i < region->n_children; i++)
                        planner_collect(planner, region->children[i], value, &list);
                plan = planner_plan_list(planner, list.pieces, list.n_pieces, region->len,
                        planner_limit(planner, region->len));
        }
        if (plan.cost != PLAN_IMPOSSIBLE)
                candidates_add(candidates,
                        &(Candidate){
                                .cost = plan.cost,
                                .value = value,
                                .n_seen = n_seen,
                                .depth = plan.depth,
                        });
}

/* Every background that one of the halves is well laid out with. */
static void planner_try_halves(
        const Planner *planner, const Region *region, Candidates *candidates) {
        const Region *left = planner_region(planner, region->children[0]);

        for (size_t i = 0; i < 2; i++) {
                Piece piece = region->children[i];
                const Region *half = planner_region(planner, piece);
                size_t n = half ? half->n_seen_values : 1;

                for (size_t k = 0; k < n; k++) {
                        uint16_t value = half ? half->seen_values[k] : piece.ref & CGP_LEAF_MASK;

                        if (i == 1 && left && region_find_value(left, value) >= 0)
                                continue;
                        if (i == 1 && region->children[0].ref == (PIECE_CONST | value))
                                continue;
                        planner_try_background(planner, region, value, candidates);
                }
        }
}

/* Chooses how the region is laid out. */
static void planner_settle(const Planner *planner, uint32_t index) {
        Region *region = &planner->regions[index];
        Candidates candidates = {};
        uint32_t apart;

        if (region->n_children == 1)
                planner_try_background(planner, region, region->rest, &candidates);
        else
                planner_try_halves(planner, region, &candidates);

        region->cost = PLAN_IMPOSSIBLE;
        if (candidates.n > 0) {
                region->background = candidates.items[0].value;
                region->cost = candidates.items[0].cost;
                region->depth = candidates.items[0].depth;
        }
        planner_try_node(planner, index);
        planner_try_ranges(planner, index);
        assert(region->cost != PLAN_IMPOSSIBLE);

        /* A list around sees through to the pieces only where that is cheaper than one path to
         * all of them. */
        apart = region->cost + planner->path_cost + STEP_COST * region->n_runs;
        for (size_t i = 0; i < candidates.n && candidates.items[i].cost < apart; i++) {
                region->seen_values[i] = candidates.items[i].value;
                region->n_seen[i] = candidates.items[i].n_seen;
                region->n_seen_values++;
        }
}

static int planner_add_region(Planner *planner, const Region *region, Piece *ret_piece) {
        uint32_t index = planner->n_regions;

        if (planner->n_regions == planner->n_allocated) {
                size_t n = MAX(planner->n_allocated * 2, REGIONS_FIRST);
                Region *regions = reallocarray(planner->regions, n, sizeof(*regions));

                if (!regions)
                        return -ENOMEM;
                planner->regions = regions;
                planner->n_allocated = n;
        }
        planner->regions[planner->n_regions++] = *region;
        planner_settle(planner, index);

        *ret_piece = (Piece){ .start = region->start, .ref = index, .len = region->len };
        return 0;
}

static int planner_plan_slice(Planner *planner, const TrieSlice *slice, Piece *ret_piece) {
        Region region = {
                .start = slice->start,
                .len = slice->len,
                .n_runs = slice->last - slice->first + 1,
                .first = slice->first,
        };
        TrieSlice children[2];
        unsigned len;
        uint64_t core;
        int r;

        if (slice->first == slice->last) {
                *ret_piece = (Piece){
                        .start = slice->start,
                        .ref = PIECE_CONST | planner->breaks[slice->first].value,
                        .len = slice->len,
                };
                return 0;
        }

        len = planner_core(planner, slice, &core, &region.rest);
        if (len >= slice->len + 2) {
                children[region.n_children++] = planner_narrow(planner, slice, core, len);
                /* Nodes begin at whole bytes; one that is worth it should not begin before this. */
                if (byte_floor(len) > slice->len && children[0].first < children[0].last)
                        children[0] = planner_narrow(planner, slice,
                                core & prefix_mask(byte_floor(len)), byte_floor(len));
        } else {
                uint64_t half = UINT64_C(1) << (63 - slice->len);

                for (; region.n_children < 2; region.n_children++)
                        children[region.n_children] = planner_narrow(planner, slice,
                                slice->start | (region.n_children ? half : 0), slice->len + 1);
        }
        for (size_t i = 0; i < region.n_children; i++) {
                r = planner_plan_slice(planner, &children[i], &region.children[i]);
                if (r < 0)
                        return r;
        }
        return planner_add_region(planner, &region, ret_piece);
}

int planner_plan(Planner *planner, const TrieSlice *slice, Piece *ret_piece) {
        planner->n_regions = 0;
        return planner_plan_slice(planner, slice, ret_piece);
}
