/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon must remember of a subject beyond its policy, so that a successor goes on where it
 * stopped: its number, cgroup, generation, and which number and counter each rule has. One small file per
 * subject in state.d/, replaced by rename. It describes kernel objects that are gone after a reboot, so it
 * is not synced to disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

/* Counters of what no written rule decides; slots[i] counts rule number i, 1..7 of cgp-abi.h. */
#define UNIT_STATE_RESERVED 8

typedef struct UnitStateIndex UnitStateIndex;

typedef struct UnitStateRule {
        char *key; /* "FILE#ID" or "FILE:VERDICT BODY": the same rule in the next version of the file */
        uint16_t number;
        uint32_t slot;
} UnitStateRule;

typedef struct UnitState {
        char *name;
        uint32_t subject;
        uint64_t cgroup_id;
        uint64_t generation;
        bool detached;
        uint16_t next_number;
        uint32_t reserved[UNIT_STATE_RESERVED]; /* [0] unused */
        UnitStateRule *rules;
        size_t n_rules;
        /* Sums over rules that are gone. */
        uint64_t retired_packets;
        uint64_t retired_bytes;
        uint64_t retired_blocked;
        uint64_t retired_would;
        UnitStateIndex *index; /* of many rules by key and number; made when it is needed */
} UnitState;

UnitState *unit_state_free(UnitState *state);
DEFINE_CLEANUP(UnitState *, unit_state_freep, unit_state_free);

int unit_state_new(const char *name, UnitState **ret) _warn_unused_result_;
int unit_state_copy(const UnitState *state, UnitState **ret) _warn_unused_result_;

/* The rule with this key, or NULL. */
UnitStateRule *unit_state_find(UnitState *state, const char *key);

/* Adds a rule with the next free number; the caller sets the slot. -E2BIG when all numbers are taken. */
int unit_state_add(UnitState *state, const char *key, UnitStateRule **ret) _warn_unused_result_;

/* Keeps rule i of the array if keep[i]. */
void unit_state_keep(UnitState *state, const bool *keep);

/* Reads and writes NAME in the directory. save replaces the file atomically. load: -EBADMSG: not one of
 * ours, or values out of range. A file of a predecessor that knew fewer reserved rules leaves the slots of the
 * others 0. */
int unit_state_save(const UnitState *state, int dir_fd) _warn_unused_result_;
int unit_state_load(int dir_fd, const char *name, UnitState **ret) _warn_unused_result_;
int unit_state_delete(int dir_fd, const char *name);
