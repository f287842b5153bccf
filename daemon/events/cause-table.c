/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Causes in a chained hash table and doubly linked lists, all by index. Pages of the arrays that were never
 * used cost no memory. */
#include "events/cause-table.h"

#include <sys/random.h>

#include "util/hash.h"
#include "util/macro.h"

int cause_table_init(CauseTable *t, size_t n_max) {
        _cleanup_free_ CauseLink *links = NULL;
        _cleanup_free_ uint32_t *buckets = NULL;
        uint32_t n_buckets = 1;
        uint64_t seed;

        assert(t);

        if (n_max == 0 || n_max > CAUSE_TABLE_MAX)
                return -EINVAL;
        while (n_buckets < n_max)
                n_buckets *= 2;
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
                return -errno;
        links = calloc(n_max, sizeof(*links));
        buckets = calloc(n_buckets, sizeof(*buckets));
        if (!links || !buckets)
                return -ENOMEM;

        *t = (CauseTable){
                .links = TAKE_PTR(links),
                .buckets = TAKE_PTR(buckets),
                .bucket_mask = n_buckets - 1,
                .n_max = (uint32_t)n_max,
                .free = CAUSE_NONE,
                .seed = seed,
        };
        for (unsigned i = 0; i < CAUSE_TABLE_LISTS; i++)
                t->head[i] = t->tail[i] = CAUSE_NONE;
        return 0;
}

void cause_table_done(CauseTable *t) {
        free(t->links);
        free(t->buckets);
        *t = (CauseTable){ 0 };
}

/* Buckets hold the number plus one, so that zeroed memory is an empty table. */
static uint32_t *cause_table_bucket(const CauseTable *t, const struct cgp_denial_key *key) {
        return &t->buckets[hash64(key, sizeof(*key), t->seed) & t->bucket_mask];
}

uint32_t cause_table_find(const CauseTable *t, const struct cgp_denial_key *key) {
        uint32_t i = *cause_table_bucket(t, key) - 1;

        while (i != CAUSE_NONE && memcmp(&t->links[i].key, key, sizeof(*key)) != 0)
                i = t->links[i].next_in_bucket;
        return i;
}

static void cause_table_unlink(CauseTable *t, uint32_t cause) {
        CauseLink *link = &t->links[cause];

        if (link->prev == CAUSE_NONE)
                t->head[link->list] = link->next;
        else
                t->links[link->prev].next = link->next;
        if (link->next == CAUSE_NONE)
                t->tail[link->list] = link->prev;
        else
                t->links[link->next].prev = link->prev;
}

static void cause_table_link(CauseTable *t, uint32_t cause, unsigned list, uint32_t prev) {
        CauseLink *link = &t->links[cause];

        link->list = list;
        link->prev = prev;
        link->next = prev == CAUSE_NONE ? t->head[list] : t->links[prev].next;
        if (link->prev == CAUSE_NONE)
                t->head[list] = cause;
        else
                t->links[link->prev].next = cause;
        if (link->next == CAUSE_NONE)
                t->tail[list] = cause;
        else
                t->links[link->next].prev = cause;
}

uint32_t cause_table_insert(CauseTable *t, const struct cgp_denial_key *key, unsigned list) {
        uint32_t cause, *bucket;

        assert(list < CAUSE_TABLE_LISTS);
        assert(cause_table_find(t, key) == CAUSE_NONE);

        if (t->free != CAUSE_NONE) {
                cause = t->free;
                t->free = t->links[cause].next_in_bucket;
        } else if (t->n_used < t->n_max)
                cause = t->n_used++;
        else
                return CAUSE_NONE;

        bucket = cause_table_bucket(t, key);
        t->links[cause].key = *key;
        t->links[cause].next_in_bucket = *bucket - 1;
        *bucket = cause + 1;
        cause_table_link(t, cause, list, t->tail[list]);
        return cause;
}

uint32_t cause_table_first(const CauseTable *t, unsigned list) {
        assert(list < CAUSE_TABLE_LISTS);
        return t->head[list];
}

void cause_table_move_last(CauseTable *t, uint32_t cause, unsigned list) {
        assert(list < CAUSE_TABLE_LISTS);
        cause_table_unlink(t, cause);
        cause_table_link(t, cause, list, t->tail[list]);
}

void cause_table_move_first(CauseTable *t, uint32_t cause, unsigned list) {
        assert(list < CAUSE_TABLE_LISTS);
        cause_table_unlink(t, cause);
        cause_table_link(t, cause, list, CAUSE_NONE);
}

void cause_table_remove(CauseTable *t, uint32_t cause) {
        uint32_t *bucket = cause_table_bucket(t, &t->links[cause].key);

        if (*bucket - 1 == cause)
                *bucket = t->links[cause].next_in_bucket + 1;
        else {
                uint32_t i = *bucket - 1;

                while (t->links[i].next_in_bucket != cause)
                        i = t->links[i].next_in_bucket;
                t->links[i].next_in_bucket = t->links[cause].next_in_bucket;
        }
        cause_table_unlink(t, cause);
        t->links[cause].next_in_bucket = t->free;
        t->free = cause;
}
