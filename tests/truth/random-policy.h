/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies at random from a seed, as text that goes through the parser, in up to four layers; drawn from the words
 * that a test gives, so that rules overlap each other and what the test tries. One sequence of numbers per process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kernel/subject.h"
#include "policy/model.h"
#include "util/macro.h"

typedef struct RandomWords {
        const char *const *peers;
        size_t n_peers;
        const char *const *whats; /* "" among them */
        size_t n_whats;
        const char *const *vias;
        size_t n_vias;
        const char *const *binds; /* what stands behind "bind" */
        size_t n_binds;
} RandomWords;

typedef struct RandomPolicy {
        PolicyFile *files[_POLICY_LAYER_MAX];
        PolicyStack stack;
        bool is_open; /* once loaded: the programs count nothing, as no packet is denied or the mode is off */
} RandomPolicy;

/* Begins the sequence: by SEED of the environment, or else by the clock. Returns the seed, to be printed. */
uint64_t random_begin(void);
uint32_t random_below(uint32_t n);
bool random_one_in(uint32_t n);

#define RANDOM_PICK(array) ((array)[random_below(ELEMENTSOF(array))])

/* All of these fail the test if they cannot. Counters: 1-7 for what no rule decides, then one per rule from
 * RANDOM_POLICY_COUNTER on. */
#define RANDOM_POLICY_COUNTER 64U

void random_policy_init(RandomPolicy *p, const RandomWords *words);
void random_policy_done(RandomPolicy *p);
KernelProgs *random_policy_load(Kernel *kernel, RandomPolicy *p, uint32_t subject);

/* The sum of what was blocked, by whatever decided. */
uint64_t random_policy_blocked(Kernel *kernel, const RandomPolicy *p);
void random_policy_print(const RandomPolicy *p);
