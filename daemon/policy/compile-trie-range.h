/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A few runs of keys as a tree of ranges, which need not begin or end where prefixes do: a run between two that are
 * alike is one test, else a comparison halves them. Private to compile-trie.c and compile-trie-plan.c.
 */
#pragma once

#include "policy/compile-trie.h"

#define RANGE_RUNS_MAX 16U

/* What a step to each run, and each path, counts. */
typedef struct RangeCosts {
        uint32_t path;
        uint32_t step;
} RangeCosts;

typedef struct RangePlan {
        uint32_t cost;
        uint8_t depth;
        uint8_t n_left; /* of the runs, are tested for first; 0: those between the others, one by one */
} RangePlan;

/* No tree of so many runs is cheaper; most are not nearly as cheap. */
uint32_t range_cost_min(const RangeCosts *costs, size_t n_runs);

/* Of at most RANGE_RUNS_MAX runs. */
RangePlan range_plan(const RangeCosts *costs, const TrieBreak *runs, size_t n_runs);

/* The entry for keys in one of the runs, `known` bits of which were taken off before. */
int range_write(Tries *tries, const RangeCosts *costs, const TrieBreak *runs, size_t n_runs,
        unsigned known, uint16_t *ret_entry) __attribute__((warn_unused_result));
