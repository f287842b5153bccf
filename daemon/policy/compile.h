/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PolicyStack to PolicyImage. Settles precedence once and for all, so that the programs never walk rules:
 *   a NEVER beats everything, whatever its rank and however wide;
 *   else the smallest rank with a matching element decides; within it the longer peer prefix, then the
 *   narrower port range, then a named protocol before any; on a tie DENY, then the smaller rule number;
 *   else the default of the direction.
 * A peer `multicast` in an `in` rule means the packet's destination; it counts with the length of the
 * multicast prefix (4 or 8) and is found in view IN_MULTICAST only, where it competes with the rest.
 */
#pragma once

#include "policy/image.h"
#include "policy/model.h"

typedef struct PolicyCompileInput {
        const PolicyStack *stack;
        uint32_t subject;
        uint64_t generation;
        uint32_t counter_default_out; /* slots of what no written rule decides */
        uint32_t counter_default_in;
        uint32_t counter_unparsable_out;
        uint32_t counter_unparsable_in;
        uint32_t counter_control;
        uint32_t counter_broken;
} PolicyCompileInput;

/* What a caller is told of a policy that exceeds a limit. */
typedef struct PolicyCompileFailure {
        /* static: "nodes", "cells", "verdicts", "classes" (of addresses or of ports), "table size",
         * "prefixes" (of one family in one view, a range counted as the prefixes that cover it) */
        const char *limit;
        size_t needed; /* as far as it was counted */
        size_t max;
} PolicyCompileFailure;

/* -E2BIG with reterr_failure (may be NULL) filled; -EOPNOTSUPP for a rule with `via` or a peer that the
 * parser refuses too (the direction `bind` alone compiles to nothing); -ENOMEM. */
int policy_compile(const PolicyCompileInput *input, PolicyCompileFailure *reterr_failure,
        PolicyImage **ret) _warn_unused_result_;

typedef enum PolicyChange {
        POLICY_CHANGE_NONE,    /* no verdict differs; ids, counters or the generation may */
        POLICY_CHANGE_LOOSEN,  /* every verdict that differs went from refuse to pass */
        POLICY_CHANGE_TIGHTEN, /* every verdict that differs went from pass to refuse */
        POLICY_CHANGE_MIXED,
} PolicyChange;

/* Compares what two compiled inputs let pass, over every address, protocol, port, view, and the verdicts
 * for packets that cannot be parsed. Modes count: in AUDIT and OFF everything passes. A NEVER and a DENY
 * refuse alike, but a verdict that only goes between them counts as a change of the stricter side, because
 * a NEVER also ends conversations of the other direction. Errors as policy_compile(). */
int policy_compare(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyChange *ret) _warn_unused_result_;

/* The image that passes what both pass and nothing else, for the moment between two images of which
 * neither is stricter. Mode is ENFORCE if either enforces. A refusal carries the rule of the side that
 * refuses (of `to` when both do); what passes carries the rule of `to`. Generation and counters of what no
 * rule decides are those of `to`. Errors as policy_compile(). */
int policy_compile_intersection(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyImage **ret) _warn_unused_result_;
