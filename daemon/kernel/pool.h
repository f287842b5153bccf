/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Program instances that were loaded ahead, so that a change need not wait for the verifier. A thread of its own
 * keeps some, and makes those that were used usable again.
 *
 * Before an instance is written to again, nothing may run in its programs: no link carries them (the caller says
 * so by giving it back) and a grace period of RCU has passed since. The thread waits for one; where it cannot,
 * the instance is closed. It sleeps while there is nothing to do, touches nothing but its queues, and logs
 * nothing.
 */
#pragma once

#include "kernel/loader.h"

#define POOL_SPARES     3U  /* kept loaded ahead */
#define POOL_SPARES_MAX 16U /* beyond that, what comes back is closed */

typedef struct Pool Pool;

/* The thread starts with pool_start(). input says how spares are loaded and is copied; its map_fds are borrowed
 * until pool_stop(). */
int pool_new(const LoaderInput *input, Pool **ret) _warn_unused_result_;
Pool *pool_ref(Pool *pool);
Pool *pool_unref(Pool *pool); /* the last one stops it, too */
DEFINE_CLEANUP(Pool *, pool_unrefp, pool_unref);

/* Begins to load ahead. Once it runs this does nothing. -EAGAIN: no thread can be had. */
int pool_start(Pool *pool);

/* Ends the thread, waiting for what it is doing, and closes all spares. From here on there is none to take, and what
 * is given back is closed. */
void pool_stop(Pool *pool);

/* Takes a spare: its data is zero. If there is none but one comes back, waits for that: a grace period is shorter
 * than a load. -EAGAIN: there is none, load one; *reterr then has what the thread failed with last, errno and all,
 * or 0. */
int pool_take(Pool *pool, int *reterr_error, LoaderFailure *reterr, Instance **ret);

/* Takes over an instance that no link ever carried and whose data is zero: a spare at once, thread or not. */
void pool_give_unused(Pool *pool, Instance *instance);

/* Takes over an instance that no link carries any more. */
void pool_give(Pool *pool, Instance *instance);

/* Waits until the thread has nothing to do. Returns the number of spares. */
unsigned pool_settle(Pool *pool);
