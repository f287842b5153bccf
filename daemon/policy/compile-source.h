/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One stack on its host, prepared for the views: the order of its entries, where rules with `via`
 * hold, and which of its lists are asked of the set map. Private to the compiler.
 */
#pragma once

#include <stdbool.h>

#include "policy/compile.h"

/* The lists of a policy go into the tries of the image if they have at most this many networks
 * together: so many prefixes cost less than a look-up in the set map for each new peer, and a few
 * KB. */
#define SOURCE_EXPAND_MAX 256U

/* Places that no rule of the stack tells apart share a layer. The first two are the places of the
 * same number; without places there is one. */
#define LAYER_ELSEWHERE 0U
#define LAYER_UNDECIDED 1U
#define LAYER_FIRST     2U

typedef struct GridSource {
        const PolicyCompileInput *input;
        const PolicyStack *stack;
        const PolicyHost *host;      /* networks, and the lists that are expanded */
        const PolicyHost *numbering; /* whose interfaces the places are */
        const PolicyHost *sets;      /* whose set map is asked; NULL: every list is expanded */
        unsigned side;               /* 0, or 1 for the second of two */
        uint16_t *order;             /* entries by number */
        uint16_t *positions;         /* of entries in this order */
        uint32_t n_places;           /* 1: places do not matter */
        uint32_t n_layers;
        uint8_t layers[CGP_MAX_PLACES]; /* by place */
        /* By entry: bit per layer of interfaces in which its `via` holds. NULL: no place matters. */
        uint64_t *via_layers;
        bool *lists; /* by list of the host: some rule names it */
        PolicyNetwork *internet;
        size_t n_internet;
        PolicyCompileFailure *reterr_failure;
} GridSource;

/* Says which limit was exceeded. Returns -E2BIG. */
int compile_fail(
        PolicyCompileFailure *reterr_failure, const char *limit, size_t needed, size_t max);

/* other (may be NULL) is what it will be laid over: where both mean the same lists, and all names
 * of interfaces are known there, its set map and its numbering are used, so that both sides can be
 * compared exactly. Errors as policy_compile(). */
int grid_source_init(GridSource *source, const PolicyCompileInput *input,
        const PolicyCompileInput *other, unsigned side,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void grid_source_done(GridSource *source);

/* Index of the host's list of this name, or -ENOKEY. */
int grid_source_list(const GridSource *source, const char *name, size_t *ret_index);

/* Do both ask the same set map, number places the same? One that does not ask agrees with any. */
bool grid_sources_share_sets(const GridSource *a, const GridSource *b);
bool grid_sources_share_places(const GridSource *a, const GridSource *b);
