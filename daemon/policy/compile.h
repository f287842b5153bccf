/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PolicyStack to PolicyImage. Settles precedence once and for all, so that the programs never walk
 * rules:
 *   a NEVER beats everything, whatever its rank and however wide;
 *   else the smallest rank with a matching element decides; within it the longer peer prefix, then
 *   the narrower port range, then a named protocol before any, then a named interface; on a
 *   tie DENY, then the smaller rule number;
 *   else the default of the direction; what no `bind` rule decides is allowed.
 * A peer `multicast` in an `in` rule means the packet's destination; it counts with the length of
 * the multicast prefix (4 or 8) and is found in view IN_MULTICAST only, where it competes with the
 * rest. `broadcast` likewise, with length 32, in view IN_BROADCAST, and is IPv4 only; `lan` and
 * `@list` count with the length of the network that matched, `internet` with 0.
 *
 * Places (cgp-abi.h), only if some rule has `via` or `lan`: ELSEWHERE, an allow with `via` or of
 * `lan` never matches, a deny or never with `via` always does (as if it had none), one of `lan`
 * where the host's networks are. An interface matches a `via` that is among its names. UNDECIDED
 * gets the least strict of what the interfaces get.
 *
 * Lists go into the tries of the image while those that the policy names have at most 256 networks
 * together; else the host's set map is asked, if it has one.
 *
 * Tables are chosen by size: a matrix, or a service trie of each line where the matrix would be
 * larger.
 */
#pragma once

#include "policy/host.h"
#include "policy/image.h"
#include "policy/model.h"

typedef struct PolicyCompileInput {
        const PolicyStack *stack;
        const PolicyHost *host;
        uint32_t subject;
        uint64_t generation;
        uint32_t counter_default_out; /* slots of what no written rule decides */
        uint32_t counter_default_in;
        uint32_t counter_unparsable_out;
        uint32_t counter_unparsable_in;
        uint32_t counter_control;
        uint32_t counter_broken;
        uint32_t counter_default_bind;
        size_t table_size_max; /* 0: CGP_MAX_TABLE_SIZE */
} PolicyCompileInput;

/* What a caller is told of a policy that exceeds a limit. */
typedef struct PolicyCompileFailure {
        /* static: "nodes", "paths", "cells", "verdicts", "classes" (of addresses or of ports),
         * "places", "table size", "prefixes" (of one family in one view, a range counted as the
         * prefixes that cover it) */
        const char *limit;
        size_t needed; /* as far as it was counted */
        size_t max;
} PolicyCompileFailure;

/* -E2BIG with reterr_failure (may be NULL) filled; -ENOKEY: a rule names a list that the host does
 * not have; -ENOMEM. */
int policy_compile(const PolicyCompileInput *input, PolicyCompileFailure *reterr_failure,
        PolicyImage **ret) _warn_unused_result_;

typedef enum PolicyChange {
        POLICY_CHANGE_NONE,    /* no verdict differs; ids, counters or the generation may */
        POLICY_CHANGE_LOOSEN,  /* every verdict that differs went from refuse to pass */
        POLICY_CHANGE_TIGHTEN, /* every verdict that differs went from pass to refuse */
        POLICY_CHANGE_MIXED,
} PolicyChange;

/* Compares what two compiled inputs let pass, over every address, protocol, port, view, and the
 * verdicts for packets that cannot be parsed. Modes count: in AUDIT and OFF everything passes. A
 * NEVER and a DENY refuse alike, but a verdict that only goes between them counts as a change of
 * the stricter side, because a NEVER also ends conversations of the other direction. The errno of
 * refusals is no verdict.
 *
 * Over each combination of sets and place, too. The hosts may differ: networks are compared as they
 * are; sets where the lists that `from` names are the same on both, places where the host's network
 * namespace is and the interfaces that `from` names are known. Otherwise a change is MIXED. Errors
 * as policy_compile(). */
int policy_compare(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyChange *ret) _warn_unused_result_;

/* The image that passes what both pass and nothing else, for the moment between two images of which
 * neither is stricter. Mode is ENFORCE if either enforces. A refusal carries the rule of the side
 * that refuses (of `to` when both do); what passes carries the rule of `to`. Generation and
 * counters of what no rule decides are those of `to`.
 *
 * It asks the set map and the numbering of places of `to` if that asks any, else those of `from`.
 * Where those of `from` mean something else (as policy_compare() has it), `from` counts as what is
 * strictest of all its sets, or of all its places: for that moment more is refused than either
 * does. Errors as policy_compile(). */
int policy_compile_intersection(const PolicyCompileInput *from, const PolicyCompileInput *to,
        PolicyCompileFailure *reterr_failure, PolicyImage **ret) _warn_unused_result_;
