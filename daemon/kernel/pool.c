/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/pool.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

#define STACK_SIZE (512U * 1024)

struct Pool {
        unsigned n_ref; /* of the owner's thread */
        LoaderInput input;
        pthread_t thread;
        bool is_running;

        /* The rest is shared with the thread. */
        pthread_mutex_t lock;
        pthread_cond_t wanted; /* the thread has something to do */
        pthread_cond_t done;   /* it has done something */
        bool is_stopping;
        bool is_busy;
        bool is_recycling;
        Instance *spares;
        unsigned n_spares;
        Instance *retired;
        int error; /* of the last load ahead; no other is tried until somebody was told */
        LoaderFailure failure;
};

/* The thread's own. */
typedef struct Grace {
        int outer_fd;
        int inner_fd;
} Grace;

static void push(Instance **queue, Instance *instance) {
        instance->next = *queue;
        *queue = instance;
}

static Instance *pop(Instance **queue) {
        Instance *instance = *queue;

        if (instance) {
                *queue = instance->next;
                instance->next = NULL;
        }
        return instance;
}

static void free_all(Instance *queue) {
        while (queue)
                (void)instance_free(pop(&queue));
}

static int make_grace(Grace *grace) {
        LIBBPF_OPTS(bpf_map_create_opts, opts);
        _cleanup_close_ int inner_fd = -EBADF;
        int outer_fd;

        if (grace->outer_fd >= 0)
                return 0;
        inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cgp_grace", 4, 4, 1, NULL);
        if (inner_fd < 0)
                return kernel_errno(inner_fd);
        opts.inner_map_fd = (uint32_t)inner_fd;
        outer_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "cgp_graces", 4, 4, 1, &opts);
        if (outer_fd < 0)
                return kernel_errno(outer_fd);
        *grace = (Grace){ .outer_fd = outer_fd, .inner_fd = TAKE_FD(inner_fd) };
        return 0;
}

/* Whoever replaces an inner map is promised that no program uses the old one when the call returns: the kernel
 * waits until every program that was running has ended. That it is not this map which they use makes no
 * difference. */
static int wait_for_grace(Grace *grace) {
        uint32_t zero = 0;
        int r;

        r = make_grace(grace);
        if (r < 0)
                return r;
        if (bpf_map_update_elem(grace->outer_fd, &zero, &grace->inner_fd, BPF_ANY) < 0)
                return kernel_errno(-errno);
        return 0;
}

/* Gives back a queue of those that can be used again; what cannot is closed. */
static Instance *recycle(Grace *grace, Instance *retired) {
        Instance *instance, *clean = NULL;

        if (wait_for_grace(grace) < 0) {
                free_all(retired);
                return NULL;
        }
        while ((instance = pop(&retired))) {
                if (instance_clear(instance) < 0)
                        (void)instance_free(instance);
                else
                        push(&clean, instance);
        }
        return clean;
}

static void recycle_retired(Pool *pool, Grace *grace) {
        Instance *instance, *retired = TAKE_PTR(pool->retired), *clean, *surplus = NULL;

        pool->is_recycling = true;
        (void)pthread_mutex_unlock(&pool->lock);
        clean = recycle(grace, retired);
        (void)pthread_mutex_lock(&pool->lock);
        pool->is_recycling = false;
        while ((instance = pop(&clean))) {
                if (pool->n_spares < POOL_SPARES_MAX) {
                        push(&pool->spares, instance);
                        pool->n_spares++;
                } else
                        push(&surplus, instance);
        }
        if (!surplus)
                return;
        (void)pthread_cond_broadcast(&pool->done);
        (void)pthread_mutex_unlock(&pool->lock);
        free_all(surplus);
        (void)pthread_mutex_lock(&pool->lock);
}

static void load_spare(Pool *pool) {
        LoaderFailure failure = {};
        Instance *instance = NULL;
        int r;

        (void)pthread_mutex_unlock(&pool->lock);
        r = loader_load(&pool->input, &failure, &instance);
        (void)pthread_mutex_lock(&pool->lock);
        if (r < 0) {
                pool->error = r;
                pool->failure = failure;
                return;
        }
        push(&pool->spares, instance);
        pool->n_spares++;
}

static void *run(void *userdata) {
        Grace grace = { .outer_fd = -EBADF, .inner_fd = -EBADF };
        Pool *pool = userdata;

        loader_be_quiet();
        (void)pthread_mutex_lock(&pool->lock);
        while (!pool->is_stopping) {
                pool->is_busy = true;
                if (pool->retired)
                        recycle_retired(pool, &grace);
                else if (pool->n_spares < POOL_SPARES && pool->error == 0)
                        load_spare(pool);
                else
                        pool->is_busy = false;
                (void)pthread_cond_broadcast(&pool->done);
                if (!pool->is_busy)
                        (void)pthread_cond_wait(&pool->wanted, &pool->lock);
        }
        pool->is_busy = false;
        (void)pthread_mutex_unlock(&pool->lock);
        (void)close_keep_errno(grace.outer_fd);
        (void)close_keep_errno(grace.inner_fd);
        return NULL;
}

int pool_new(const LoaderInput *input, Pool **ret) {
        Pool *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return -ENOMEM;
        pool->n_ref = 1;
        pool->input = *input;
        (void)pthread_mutex_init(&pool->lock, NULL);
        (void)pthread_cond_init(&pool->wanted, NULL);
        (void)pthread_cond_init(&pool->done, NULL);
        *ret = pool;
        return 0;
}

Pool *pool_ref(Pool *pool) {
        assert(pool && pool->n_ref > 0);
        pool->n_ref++;
        return pool;
}

Pool *pool_unref(Pool *pool) {
        if (!pool || --pool->n_ref > 0)
                return NULL;
        pool_stop(pool);
        (void)pthread_cond_destroy(&pool->done);
        (void)pthread_cond_destroy(&pool->wanted);
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
}

int pool_start(Pool *pool) {
        pthread_attr_t attributes;
        sigset_t all, before;
        int r;

        if (pool->is_running || pool->is_stopping)
                return 0;
        r = pthread_attr_init(&attributes);
        if (r > 0)
                return -r;
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
        /* Signals are for the thread with the event loop. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&pool->thread, &attributes, run, pool);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        if (r > 0)
                return -r;
        pool->is_running = true;
        return 0;
}

void pool_stop(Pool *pool) {
        (void)pthread_mutex_lock(&pool->lock);
        pool->is_stopping = true;
        (void)pthread_cond_signal(&pool->wanted);
        (void)pthread_mutex_unlock(&pool->lock);
        if (pool->is_running)
                (void)pthread_join(pool->thread, NULL);
        pool->is_running = false;
        free_all(TAKE_PTR(pool->spares));
        free_all(TAKE_PTR(pool->retired));
        pool->n_spares = 0;
}

int pool_take(Pool *pool, int *reterr_error, LoaderFailure *reterr, Instance **ret) {
        Instance *instance;

        (void)pthread_mutex_lock(&pool->lock);
        while (pool->is_running && !pool->spares && (pool->retired || pool->is_recycling))
                (void)pthread_cond_wait(&pool->done, &pool->lock);
        instance = pop(&pool->spares);
        if (instance)
                pool->n_spares--;
        else {
                *reterr_error = pool->error;
                *reterr = pool->failure;
        }
        /* Somebody asked: it is worth another try. */
        pool->error = 0;
        (void)pthread_cond_signal(&pool->wanted);
        (void)pthread_mutex_unlock(&pool->lock);
        if (!instance)
                return -EAGAIN;
        *ret = instance;
        return 0;
}

void pool_give_unused(Pool *pool, Instance *instance) {
        (void)pthread_mutex_lock(&pool->lock);
        if (!pool->is_stopping) {
                push(&pool->spares, TAKE_PTR(instance));
                pool->n_spares++;
        }
        (void)pthread_mutex_unlock(&pool->lock);
        (void)instance_free(instance);
}

void pool_give(Pool *pool, Instance *instance) {
        if (!pool->is_running) {
                (void)instance_free(instance);
                return;
        }
        (void)pthread_mutex_lock(&pool->lock);
        push(&pool->retired, instance);
        (void)pthread_cond_signal(&pool->wanted);
        (void)pthread_mutex_unlock(&pool->lock);
}

unsigned pool_settle(Pool *pool) {
        unsigned n;

        (void)pthread_mutex_lock(&pool->lock);
        while (pool->is_running &&
                (pool->is_busy || pool->retired ||
                        (pool->n_spares < POOL_SPARES && pool->error == 0)))
                (void)pthread_cond_wait(&pool->done, &pool->lock);
        n = pool->n_spares;
        (void)pthread_mutex_unlock(&pool->lock);
        return n;
}
