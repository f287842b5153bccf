/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes tries, children before parents, as compile-trie-plan.c lays them out. Slices of more runs
 * than are planned at once are nodes without further thought, below a path where they share a
 * prefix: a list could not hold them.
 */
#include "policy/compile-trie.h"

#include <errno.h>

#include "policy/compile-trie-plan.h"
#include "util/macro.h"

typedef struct Writer {
        Tries *tries;
        Planner planner;
} Writer;

static int writer_write_piece(Writer *writer, Piece piece, uint16_t *ret_entry);

static void writer_done(Writer *writer) {
        planner_done(&writer->planner);
}

void tries_done(Tries *tries) {
        intern_done(&tries->nodes);
        intern_done(&tries->paths);
}

int tries_add_path(Tries *tries, const struct cgp_path *path, uint16_t *ret_entry) {
        uint32_t index;
        int r;

        r = intern_add(&tries->paths, path, &index);
        if (r < 0)
                return r;
        if (index >= CGP_MAX_PATHS)
                return -E2BIG;
        *ret_entry = CGP_ENTRY_PATH | index;
        return 0;
}

/* A path from keys whose first `len` bits are known and taken off by whole bytes, to those that
 * begin with `to_len` bits of `start`. */
static int tries_add_prefix(Tries *tries, unsigned len, uint64_t start, unsigned to_len,
        uint16_t hit, uint16_t miss, uint16_t *ret_entry) {
        uint64_t mask = prefix_mask(to_len - byte_floor(len));
        struct cgp_path path = {
                .first = start << byte_floor(len) & mask,
                .span = ~mask,
                .hit = hit,
                .miss = miss,
                /* Nothing reads a key after its leaf: equal paths should have equal bytes. */
                .shift = hit & CGP_ENTRY_LEAF ? 0 : byte_floor(to_len) - byte_floor(len),
        };

        return tries_add_path(tries, &path, ret_entry);
}

static int tries_add_node(Tries *tries, const uint16_t *entries, uint16_t *ret_entry) {
        uint32_t index;
        size_t i = 1;
        int r;

        while (i < 256 && entries[i] == entries[0])
                i++;
        if (i == 256 && entries[0] & CGP_ENTRY_LEAF) {
                *ret_entry = entries[0];
                return 0;
        }
        if (i == 256)
                return tries_add_path(tries,
                        &(struct cgp_path){ .span = UINT64_MAX, .hit = entries[0], .shift = 8 },
                        ret_entry);

        r = intern_add(&tries->nodes, entries, &index);
        if (r < 0)
                return r;
        if (index >= CGP_MAX_NODES)
                return -E2BIG;
        *ret_entry = index;
        return 0;
}

static int writer_write_chain(Writer *writer, const Piece *pieces, size_t n_pieces, unsigned len,
        uint16_t background, uint16_t *ret_entry) {
        Piece ordered[PLAN_PIECES_MAX];
        uint16_t entry = CGP_ENTRY_LEAF | background, hit;
        int r;

        planner_order(pieces, n_pieces, ordered);
        for (size_t i = n_pieces; i-- > 0;) {
                r = writer_write_piece(writer, ordered[i], &hit);
                if (r < 0)
                        return r;
                r = tries_add_prefix(
                        writer->tries, len, ordered[i].start, ordered[i].len, hit, entry, &entry);
                if (r < 0)
                        return r;
        }
        *ret_entry = entry;
        return 0;
}

static int writer_write_list(Writer *writer, const Piece *pieces, size_t n_pieces, unsigned len,
        unsigned limit, uint16_t background, uint16_t *ret_entry) {
        ListPlan plan = planner_plan_list(&writer->planner, pieces, n_pieces, len, limit);
        Piece others[PLAN_PIECES_MAX];
        size_t n_others;
        uint16_t hit, miss;
        int r;

        if (plan.n_split == 0)
                return writer_write_chain(writer, pieces, n_pieces, len, background, ret_entry);

        n_others = list_without_split(pieces, n_pieces, &plan, others);
        r = writer_write_list(writer, others, n_others, len, limit - 1, background, &miss);
        if (r < 0)
                return r;
        r = writer_write_list(writer, pieces + plan.split_first, plan.n_split, plan.split_len,
                limit - 1, background, &hit);
        if (r < 0)
                return r;
        return tries_add_prefix(
                writer->tries, len, plan.split, plan.split_len, hit, miss, ret_entry);
}

static void fill_entries(uint16_t *entries, Piece piece, unsigned len, uint16_t entry) {
        size_t first = piece.start >> (64 - len) & 0xff, n = (size_t)1 << (len - piece.len);

        for (size_t i = 0; i < n; i++)
                entries[first + i] = entry;
}

static int writer_write_single(
        Writer *writer, Piece child, uint16_t rest, unsigned len, uint16_t *ret_entry) {
        PieceList list;

        if (planner_single_is_node(&writer->planner, child, len)) {
                uint16_t entries[256], entry;
                int r;

                r = writer_write_piece(writer, child, &entry);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                        entries[i] = CGP_ENTRY_LEAF | rest;
                fill_entries(entries, child, byte_floor(len) + 8, entry);
                return tries_add_node(writer->tries, entries, ret_entry);
        }

        (void)planner_collect_single(&writer->planner, child, rest, len, &list);
        return writer_write_list(writer, list.pieces, list.n_pieces, len,
                planner_limit(&writer->planner, len), rest, ret_entry);
}

/* Fills in the entries of the piece in a node that ends at this length. */
static int writer_write_entries(Writer *writer, Piece piece, unsigned len, uint16_t *entries) {
        const Region *region;
        uint16_t entry;
        int r;

        if (piece.ref & PIECE_CONST || piece.len == len) {
                r = writer_write_piece(writer, piece, &entry);
                if (r < 0)
                        return r;
                fill_entries(entries, piece, len, entry);
                return 0;
        }

        region = &writer->planner.regions[piece.ref];
        if (region->n_children == 1)
                fill_entries(entries, piece, len, CGP_ENTRY_LEAF | region->rest);
        for (size_t i = 0; i < region->n_children; i++) {
                Piece child = region->children[i];

                if (child.len > len) {
                        r = writer_write_single(writer, child, region->rest, len, &entry);
                        if (r < 0)
                                return r;
                        child.len = len;
                        fill_entries(entries, child, len, entry);
                        continue;
                }
                r = writer_write_entries(writer, child, len, entries);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int writer_write_node(Writer *writer, Piece piece, uint16_t *ret_entry) {
        uint16_t entries[256];
        int r;

        /* No key comes to the entries outside of the piece. */
        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                entries[i] = CGP_ENTRY_LEAF | writer->planner.regions[piece.ref].background;
        r = writer_write_entries(writer, piece, byte_floor(piece.len) + 8, entries);
        if (r < 0)
                return r;
        return tries_add_node(writer->tries, entries, ret_entry);
}

static int writer_write_ranges(const Writer *writer, const Region *region, uint16_t *ret_entry) {
        RangeCosts costs = planner_range_costs(&writer->planner);
        TrieBreak runs[RANGE_RUNS_MAX];
        size_t n_runs = planner_runs(&writer->planner, region, runs);

        return range_write(writer->tries, &costs, runs, n_runs, byte_floor(region->len), ret_entry);
}

/* The entry for keys that are known to be in the piece. */
static int writer_write_piece(Writer *writer, Piece piece, uint16_t *ret_entry) {
        const Region *region;
        PieceList list = {};

        if (piece.ref & PIECE_CONST) {
                *ret_entry = CGP_ENTRY_LEAF | (piece.ref & CGP_LEAF_MASK);
                return 0;
        }

        region = &writer->planner.regions[piece.ref];
        if (region->node)
                return writer_write_node(writer, piece, ret_entry);
        if (region->ranges)
                return writer_write_ranges(writer, region, ret_entry);
        if (region->n_children == 1)
                return writer_write_single(
                        writer, region->children[0], region->rest, region->len, ret_entry);
        for (size_t i = 0; i < region->n_children; i++)
                planner_collect(&writer->planner, region->children[i], region->background, &list);
        return writer_write_list(writer, list.pieces, list.n_pieces, region->len,
                planner_limit(&writer->planner, region->len), region->background, ret_entry);
}

static int writer_write_slice(Writer *writer, const TrieSlice *slice, uint16_t *ret_entry) {
        const Planner *planner = &writer->planner;
        uint16_t entries[256], rest, hit;
        uint64_t core;
        unsigned len;
        Piece piece;
        int r;

        if (slice->last - slice->first < writer->tries->plan_runs) {
                r = planner_plan(&writer->planner, slice, &piece);
                if (r < 0)
                        return r;
                return writer_write_piece(writer, piece, ret_entry);
        }

        len = byte_floor(planner_core(planner, slice, &core, &rest));
        if (len > slice->len) {
                TrieSlice narrow = planner_narrow(planner, slice, core & prefix_mask(len), len);

                r = writer_write_slice(writer, &narrow, &hit);
                if (r < 0)
                        return r;
                return tries_add_prefix(writer->tries, slice->len, narrow.start, len, hit,
                        CGP_ENTRY_LEAF | rest, ret_entry);
        }

        for (uint64_t i = 0; i < ELEMENTSOF(entries); i++) {
                TrieSlice block = planner_narrow(
                        planner, slice, slice->start | i << (56 - slice->len), slice->len + 8);

                r = writer_write_slice(writer, &block, &entries[i]);
                if (r < 0)
                        return r;
        }
        return tries_add_node(writer->tries, entries, ret_entry);
}

int tries_add(Tries *tries, const TrieBreak *breaks, size_t n_breaks, unsigned key_bits,
        uint16_t *ret_entry) {
        _cleanup_(writer_done) Writer writer = {
                .tries = tries,
                .planner = {
                        .breaks = breaks,
                        .key_bits = key_bits,
                        .path_cost = tries->path_cost,
                },
        };

        assert(n_breaks > 0 && breaks[0].start == 0);
        assert(key_bits % 8 == 0 && key_bits > 0 && key_bits <= 64);

        return writer_write_slice(&writer, &(TrieSlice){ .last = n_breaks - 1 }, ret_entry);
}
