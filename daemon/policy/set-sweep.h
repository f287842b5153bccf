/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sweep over the networks of many lists at once, in ascending order: where something begins or ends, which
 * lists hold what follows, each with its longest network. What is equal gets an equal number.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "policy/set.h"

/* Combinations, numbered in the order in which they are first seen; 0 is the empty one. */
typedef struct SetCombinations {
        uint8_t *current; /* of each list: bits + 1, or 0 */
        size_t n_lists;
        size_t n_current;      /* lists that are not 0 */
        uint64_t current_hash; /* a sum over them */
        uint32_t *first;       /* as in PolicySet */
        PolicySetMember *members;
        uint64_t *hashes;
        size_t n;
        size_t room;
        size_t n_members;
        size_t room_members;
        uint32_t *slots; /* open addressing, number + 1, 0: free */
} SetCombinations;

void set_combinations_done(SetCombinations *c);
int set_combinations_init(SetCombinations *c, size_t n_lists) _warn_unused_result_;

/* What is to be done at each step. A negative return ends the sweep. */
typedef int (*SetStepFn)(void *userdata, unsigned __int128 address, uint16_t combination);

/* Sweeps over one family: width is 32 or 128. The first step is at 0, and each differs from the one before.
 * -EOVERFLOW: more than CGP_MAX_SET_COMBINATIONS. -ENOMEM. */
int set_sweep(PolicyList *const *lists, size_t n_lists, unsigned width, SetCombinations *c,
        SetStepFn step, void *userdata) _warn_unused_result_;
