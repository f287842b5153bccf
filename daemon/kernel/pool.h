/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Program instances that are used again, so that a change need not wait for the verifier. Small ones, which most
 * policies fit into, are loaded ahead. Medium ones are while there are some in use, so that the second change of a
 * policy of a thousand rules is as quick as that of a small one. Of both there are plain ones, without the code for
 * sets, places and binds, and full ones. Whatever is larger is not of the pool.
 *
 * Before an instance is written to again, nothing may run in its programs: no link carries them (the caller says
 * so by giving it back) and a grace period of RCU has passed since. One thread waits for that and makes them usable
 * again; where it cannot, the instance is closed. Another loads ahead: so whoever waits for one that comes back never
 * waits for the verifier. They sleep while there is nothing to do, touch nothing but their queues, and log nothing.
 */
#pragma once

#include "kernel/loader.h"

/* In the order in which they are loaded ahead. */
typedef enum PoolKind {
        POOL_SMALL_PLAIN,
        POOL_SMALL_FULL,
        POOL_MEDIUM_PLAIN,
        POOL_MEDIUM_FULL,
        _POOL_KIND_MAX,
} PoolKind;

/* How many are kept loaded ahead. */
#define POOL_SMALL_PLAIN_AHEAD 3U
#define POOL_SMALL_FULL_AHEAD  1U
#define POOL_MEDIUM_AHEAD      1U /* while there are some in use */

/* Of each kind: beyond that, what comes back is closed. */
#define POOL_SMALL_MAX  16U
#define POOL_MEDIUM_MAX 4U

/* A medium instance has tables of its own: half a megabyte. While there are that many, plain and full, images of
 * their size are treated as larger ones, whose equal tables are held once for all subjects. */
#define POOL_MEDIUM_USERS_MAX 32U

typedef struct Pool Pool;

/* The threads start with pool_start(). input says how instances are loaded, all but their sizes and what they can, and
 * is copied; its map_fds are borrowed until pool_stop(). */
int pool_new(const LoaderInput *input, Pool **ret) _warn_unused_result_;
Pool *pool_ref(Pool *pool);
Pool *pool_unref(Pool *pool); /* the last one stops it, too */
DEFINE_CLEANUP(Pool *, pool_unrefp, pool_unref);

/* Begins to load ahead. Once it runs this does nothing. -EAGAIN: no threads can be had. */
int pool_start(Pool *pool);

/* Ends the threads, waiting for what they are doing, and closes all spares. From here on there is none to take, and
 * what is given back is closed. */
void pool_stop(Pool *pool);

/* Which kind holds the image; false: none does, it is too large, or too many are in use. */
bool pool_choose(Pool *pool, const PolicyImage *image, PoolKind *ret);

/* How an instance of that kind is loaded. */
LoaderInput pool_input(const Pool *pool, PoolKind kind);

/* Takes a spare: its data is zero. If there is none but one comes back, waits for that: a grace period is shorter
 * than a load. -EAGAIN: there is none, load one; *reterr then has what was last failed with ahead, errno and
 * all, or 0. */
int pool_take(Pool *pool, PoolKind kind, int *reterr_error, LoaderFailure *reterr, Instance **ret);

/* An instance, whether taken or loaded, of one of the kinds or not, is in use until it is given back or lost. */
void pool_use(Pool *pool, const Instance *instance);

/* Takes over one in use that no link carries any more. Closes it if it is of none of the kinds. */
void pool_give(Pool *pool, Instance *instance);

/* Closes one in use that a link may still carry. */
void pool_lose(Pool *pool, Instance *instance);

/* Takes over an instance of one of the kinds that no link ever carried and whose data is zero: a spare at once, threads
 * or not. */
void pool_give_unused(Pool *pool, Instance *instance);

/* Waits until the threads have nothing to do. Returns the number of spares of that kind. */
unsigned pool_settle(Pool *pool, PoolKind kind);
