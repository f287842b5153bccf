/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hands out small numbers: counter slots, subject numbers. A number that was given back is handed out
 * again as late as possible, because programs and events that still know its old meaning may be on their
 * way. */
#pragma once

#include <stdint.h>

#include "util/cleanup.h"

typedef struct Slots Slots;

/* Numbers first..last. */
int slots_new(uint32_t first, uint32_t last, Slots **ret) _warn_unused_result_;
Slots *slots_free(Slots *slots);
DEFINE_CLEANUP(Slots *, slots_freep, slots_free);

/* -E2BIG: all taken. */
int slots_take(Slots *slots, uint32_t *ret) _warn_unused_result_;

/* Takes this one. -EEXIST: taken; -ERANGE. */
int slots_claim(Slots *slots, uint32_t number) _warn_unused_result_;

/* Giving back what is not taken (0 for example) does nothing. */
void slots_give_back(Slots *slots, uint32_t number);

/* Where the search for a free number begins next, and how a successor goes on there. A number that there is
 * not changes nothing. */
uint32_t slots_get_next(const Slots *slots);
void slots_set_next(Slots *slots, uint32_t number);

uint32_t slots_n_free(const Slots *slots);
