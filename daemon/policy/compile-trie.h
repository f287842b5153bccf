/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Steps over a 64-bit key space to the tries of an image (layout in cgp-abi.h). Equal nodes and
 * paths of all tries are one. Chooses, node by node, between 256 entries and a chain of paths: few
 * cache lines are the aim, then few steps. Private to the compiler.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "policy/intern.h"

/* From `start` up to the next one every key has this value. */
typedef struct TrieBreak {
        uint64_t start;
        uint16_t value; /* at most CGP_LEAF_MASK */
} TrieBreak;

typedef struct Tries {
        Intern nodes; /* 256 * uint16_t */
        Intern paths; /* struct cgp_path */
        /* What a path counts where nodes would do: its bytes, or more where paths are wanted for something
         * else. */
        uint32_t path_cost;
        /* How many runs of equal keys are laid out at once; the time grows faster than they do. */
        uint32_t plan_runs;
} Tries;

#define TRIES_PLAN_RUNS 512U

#define TRIES_INIT                                             \
        ((Tries){                                              \
                .nodes = INTERN_INIT(256 * sizeof(uint16_t)),  \
                .paths = INTERN_INIT(sizeof(struct cgp_path)), \
                .path_cost = sizeof(struct cgp_path),          \
                .plan_runs = TRIES_PLAN_RUNS,                  \
        })

void tries_done(Tries *tries);

/* -E2BIG: over CGP_MAX_PATHS; -ENOMEM. */
int tries_add_path(Tries *tries, const struct cgp_path *path, uint16_t *ret_entry)
        __attribute__((warn_unused_result));

/* Adds the trie of these breaks: ascending, the first starts at 0, neighbours differ; every
 * start is a multiple of 2^(64 - key_bits), key_bits 24, 32 or 64. No walk takes more than
 * CGP_WALK_MAX steps. Equal breaks give the same entry. -E2BIG: over CGP_MAX_NODES or
 * CGP_MAX_PATHS (which, the caller sees by n_blobs); -ENOMEM. */
int tries_add(Tries *tries, const TrieBreak *breaks, size_t n_breaks, unsigned key_bits,
        uint16_t *ret_entry) __attribute__((warn_unused_result));
