/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The best tree for each span of runs, from those for shorter spans. What a leaf costs is counted once for each
 * run. Where every other run has the same value, as hosts or ports in a background, up to two of them are
 * taken out one by one, and the background is one: more of them are better halved.
 */
#include "policy/compile-trie-range.h"

#include "util/macro.h"

/* plans[i][n - 1]: of n runs from number i on. */
typedef struct RangeTree {
        RangePlan plans[RANGE_RUNS_MAX][RANGE_RUNS_MAX];
} RangeTree;

typedef struct RangeWriter {
        Tries *tries;
        const TrieBreak *runs;
        const RangeTree *tree;
        unsigned known;
} RangeWriter;

static bool is_background(const TrieBreak *runs, size_t n) {
        for (size_t i = 2; i < n; i += 2)
                if (runs[i].value != runs[0].value)
                        return false;
        return true;
}

static RangePlan plan_extraction(const RangeCosts *costs, const TrieBreak *runs, size_t n) {
        uint32_t n_paths = n / 2;

        if ((n != 3 && n != 5) || !is_background(runs, n))
                return (RangePlan){ .cost = UINT32_MAX };
        return (RangePlan){
                .cost = n_paths * costs->path +
                        costs->step * (n_paths * (n_paths + 1) / 2 + n_paths * (n_paths + 1)),
                .depth = n_paths,
        };
}

static void tree_plan(RangeTree *tree, const RangeCosts *costs, const TrieBreak *runs, size_t all) {
        for (size_t i = 0; i < all; i++)
                tree->plans[i][0] = (RangePlan){};
        for (size_t n = 2; n <= all; n++)
                for (size_t i = 0; i + n <= all; i++) {
                        RangePlan best = plan_extraction(costs, runs + i, n);

                        for (size_t k = 1; k < n; k++) {
                                const RangePlan *left = &tree->plans[i][k - 1];
                                const RangePlan *right = &tree->plans[i + k][n - k - 1];
                                uint32_t cost =
                                        costs->path + costs->step * n + left->cost + right->cost;
                                unsigned depth = 1 + MAX(left->depth, right->depth);

                                if (cost < best.cost || (cost == best.cost && depth < best.depth))
                                        best = (RangePlan){
                                                .cost = cost, .depth = depth, .n_left = k
                                        };
                        }
                        tree->plans[i][n - 1] = best;
                }
}

uint32_t range_cost_min(const RangeCosts *costs, size_t n_runs) {
        uint32_t depth = 0;

        if (n_runs <= 5)
                return (n_runs / 2) * costs->path + (n_runs - 1) * costs->step;
        while ((size_t)1 << depth < n_runs)
                depth++;
        return (n_runs / 2) * costs->path + n_runs * (depth - 2) * costs->step;
}

RangePlan range_plan(const RangeCosts *costs, const TrieBreak *runs, size_t n_runs) {
        RangeTree tree;

        assert(n_runs > 0 && n_runs <= RANGE_RUNS_MAX);

        tree_plan(&tree, costs, runs, n_runs);
        return tree.plans[0][n_runs - 1];
}

/* Keys of the n runs from number i on go to hit. The last run of all needs no end: to the last key of all. */
static int writer_add(const RangeWriter *w, size_t i, uint64_t end, uint16_t hit, uint16_t miss,
        uint16_t *ret_entry) {
        struct cgp_path path = {
                .first = w->runs[i].start << w->known,
                .hit = hit,
                .miss = miss,
        };

        path.span = (end << w->known) - 1 - path.first;
        return tries_add_path(w->tries, &path, ret_entry);
}

static int writer_write(const RangeWriter *w, size_t i, size_t n, uint16_t *ret_entry) {
        uint16_t entry = CGP_ENTRY_LEAF | w->runs[i].value, hit;
        size_t n_left = w->tree->plans[i][n - 1].n_left;
        int r;

        if (n == 1) {
                *ret_entry = entry;
                return 0;
        }

        if (n_left > 0) {
                r = writer_write(w, i, n_left, &hit);
                if (r < 0)
                        return r;
                r = writer_write(w, i + n_left, n - n_left, &entry);
                if (r < 0)
                        return r;
                return writer_add(w, i, w->runs[i + n_left].start, hit, entry, ret_entry);
        }

        for (size_t k = i + n - 2; k > i && k < i + n; k -= 2) {
                r = writer_add(w, k, w->runs[k + 1].start, CGP_ENTRY_LEAF | w->runs[k].value, entry,
                        &entry);
                if (r < 0)
                        return r;
        }
        *ret_entry = entry;
        return 0;
}

int range_write(Tries *tries, const RangeCosts *costs, const TrieBreak *runs, size_t n_runs,
        unsigned known, uint16_t *ret_entry) {
        RangeTree tree;
        RangeWriter writer = { .tries = tries, .runs = runs, .tree = &tree, .known = known };

        assert(n_runs > 0 && n_runs <= RANGE_RUNS_MAX);
        assert(known < 64);

        tree_plan(&tree, costs, runs, n_runs);
        return writer_write(&writer, 0, n_runs, ret_entry);
}
