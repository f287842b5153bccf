/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded set of causes, each in one of a few ordered lists. Numbers the causes 0..n_max-1, so that the
 * owner keeps what it knows of them in an array of its own. Allocates once: after that nothing fails.
 *
 * The hash is seeded at random: peers choose the keys.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "util/cleanup.h"

#define CAUSE_NONE        UINT32_MAX
#define CAUSE_TABLE_MAX   (1U << 20)
#define CAUSE_TABLE_LISTS 2

typedef struct CauseLink {
        struct cgp_denial_key key;
        uint32_t next_in_bucket;
        uint32_t prev;
        uint32_t next;
        uint32_t list;
} CauseLink;

typedef struct CauseTable {
        CauseLink *links;
        uint32_t *buckets;
        uint32_t bucket_mask;
        uint32_t n_max;
        uint32_t n_used; /* links below this were in use at some time */
        uint32_t free;   /* chained by next_in_bucket */
        uint64_t seed;
        uint32_t head[CAUSE_TABLE_LISTS];
        uint32_t tail[CAUSE_TABLE_LISTS];
} CauseTable;

/* -EINVAL: n_max is 0 or above CAUSE_TABLE_MAX. -ENOMEM. */
int cause_table_init(CauseTable *t, size_t n_max) _warn_unused_result_;
void cause_table_done(CauseTable *t);

/* The cause's number, or CAUSE_NONE. */
uint32_t cause_table_find(const CauseTable *t, const struct cgp_denial_key *key);

/* Adds a cause that is not there, at the end of the list. Returns its number; CAUSE_NONE: full. */
uint32_t cause_table_insert(CauseTable *t, const struct cgp_denial_key *key, unsigned list);

/* The first of a list, or CAUSE_NONE. */
uint32_t cause_table_first(const CauseTable *t, unsigned list);

void cause_table_move_last(CauseTable *t, uint32_t cause, unsigned list);
void cause_table_move_first(CauseTable *t, uint32_t cause, unsigned list);
void cause_table_remove(CauseTable *t, uint32_t cause);
