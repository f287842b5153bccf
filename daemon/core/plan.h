/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In which order the hooks of a subject go from one image to the next. Pure.
 *
 * Hooks cannot be switched together, so for a moment some carry the old image and some the new. A
 * conversation passes only where all its hooks let it, so:
 *   what loosens opens the packet hooks first and the system calls last: nobody is told yes by connect()
 *   and then left to a silent drop;
 *   what tightens goes the other way round: refused with an errno before packets are dropped;
 *   what does both goes through the intersection of the two, so that no moment passes more than both.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cgp-abi.h"
#include "policy/compile.h"

typedef struct PlanStep {
        unsigned hook;
        bool intersection; /* the image between, not the new one */
} PlanStep;

#define PLAN_STEPS_MAX (2 * CGP_N_HOOKS)

/* Fills steps, returns their number. */
size_t plan_publish(PolicyChange change, PlanStep steps[PLAN_STEPS_MAX]);

/* The change that undoes this one. */
PolicyChange plan_reverse(PolicyChange change);
