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

static const struct {
        uint32_t image_size;
        uint32_t table_size;
        uint32_t can;
        unsigned n_ahead;
        bool only_if_used; /* those ahead */
        unsigned n_max;
} kinds[_POOL_KIND_MAX] = {
        [POOL_SMALL_PLAIN] = { CGP_SMALL_IMAGE_SIZE, CGP_SMALL_TABLE_SIZE, 0,
                POOL_SMALL_PLAIN_AHEAD, false, POOL_SMALL_MAX },
        [POOL_SMALL_FULL] = { CGP_SMALL_IMAGE_SIZE, CGP_SMALL_TABLE_SIZE, CGP_INSTANCE_FEATURES,
                POOL_SMALL_FULL_AHEAD, false, POOL_SMALL_MAX },
        [POOL_MEDIUM_PLAIN] = { CGP_MEDIUM_IMAGE_SIZE, CGP_MEDIUM_TABLE_SIZE, 0, POOL_MEDIUM_AHEAD,
                true, POOL_MEDIUM_MAX },
        [POOL_MEDIUM_FULL] = { CGP_MEDIUM_IMAGE_SIZE, CGP_MEDIUM_TABLE_SIZE, CGP_INSTANCE_FEATURES,
                POOL_MEDIUM_AHEAD, true, POOL_MEDIUM_MAX },
};

/* Of one kind. */
typedef struct Shelf {
        Instance *spares;
        unsigned n_spares;
        unsigned n_returning; /* retired, or being made usable again */
        unsigned n_in_use;
        int error; /* of the last load ahead; no other is tried until somebody was told */
        LoaderFailure failure;
} Shelf;

struct Pool {
        unsigned n_ref; /* of the owner's thread */
        LoaderInput input;
        pthread_t loader;
        pthread_t recycler;
        bool is_running;

        /* The rest is shared with the threads. */
        pthread_mutex_t lock;
        pthread_cond_t changed; /* any of it */
        bool is_stopping;
        unsigned n_busy;
        Shelf shelves[_POOL_KIND_MAX];
        Instance *retired;
};

/* The recycler's own. */
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

static bool kind_of_instance(const Instance *instance, PoolKind *ret) {
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                if (instance->tables_fd >= 0 && instance->image_size == kinds[kind].image_size &&
                        instance->table_size == kinds[kind].table_size &&
                        instance->can == kinds[kind].can) {
                        *ret = kind;
                        return true;
                }
        return false;
}

static Shelf *shelf_of(Pool *pool, const Instance *instance) {
        PoolKind kind;

        return kind_of_instance(instance, &kind) ? &pool->shelves[kind] : NULL;
}

static void add_spare(Shelf *shelf, Instance *instance) {
        push(&shelf->spares, instance);
        shelf->n_spares++;
}

static void recycle_retired(Pool *pool, Grace *grace) {
        Instance *instance, *retired = TAKE_PTR(pool->retired), *clean, *surplus = NULL;
        unsigned n_taken[_POOL_KIND_MAX];

        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                n_taken[kind] = pool->shelves[kind].n_returning;
        (void)pthread_mutex_unlock(&pool->lock);
        clean = recycle(grace, retired);
        (void)pthread_mutex_lock(&pool->lock);
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                pool->shelves[kind].n_returning -= n_taken[kind];
        while ((instance = pop(&clean))) {
                PoolKind kind;

                if (kind_of_instance(instance, &kind) &&
                        pool->shelves[kind].n_spares < kinds[kind].n_max)
                        add_spare(&pool->shelves[kind], instance);
                else
                        push(&surplus, instance);
        }
        if (!surplus)
                return;
        (void)pthread_cond_broadcast(&pool->changed);
        (void)pthread_mutex_unlock(&pool->lock);
        free_all(surplus);
        (void)pthread_mutex_lock(&pool->lock);
}

static bool find_shortage(const Pool *pool, PoolKind *ret) {
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++) {
                const Shelf *shelf = &pool->shelves[kind];

                if (shelf->error == 0 && (shelf->n_in_use > 0 || !kinds[kind].only_if_used) &&
                        shelf->n_spares + shelf->n_returning < kinds[kind].n_ahead) {
                        *ret = kind;
                        return true;
                }
        }
        return false;
}

static void load_spare(Pool *pool, PoolKind kind) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        Shelf *shelf = &pool->shelves[kind];
        LoaderInput input = pool_input(pool, kind);
        LoaderFailure failure = {};
        int r;

        (void)pthread_mutex_unlock(&pool->lock);
        r = loader_load(&input, &failure, &instance);
        (void)pthread_mutex_lock(&pool->lock);
        if (r < 0) {
                shelf->error = r;
                shelf->failure = failure;
                return;
        }
        /* Others may have come back meanwhile. */
        if (shelf->n_spares < kinds[kind].n_max)
                add_spare(shelf, TAKE_PTR(instance));
}

static void *run_recycler(void *userdata) {
        Grace grace = { .outer_fd = -EBADF, .inner_fd = -EBADF };
        Pool *pool = userdata;

        (void)pthread_mutex_lock(&pool->lock);
        while (!pool->is_stopping) {
                if (!pool->retired) {
                        (void)pthread_cond_wait(&pool->changed, &pool->lock);
                        continue;
                }
                pool->n_busy++;
                recycle_retired(pool, &grace);
                pool->n_busy--;
                (void)pthread_cond_broadcast(&pool->changed);
        }
        (void)pthread_mutex_unlock(&pool->lock);
        (void)close_keep_errno(grace.outer_fd);
        (void)close_keep_errno(grace.inner_fd);
        return NULL;
}

static void *run_loader(void *userdata) {
        Pool *pool = userdata;
        PoolKind kind;

        loader_be_quiet();
        (void)pthread_mutex_lock(&pool->lock);
        while (!pool->is_stopping) {
                if (!find_shortage(pool, &kind)) {
                        (void)pthread_cond_wait(&pool->changed, &pool->lock);
                        continue;
                }
                pool->n_busy++;
                load_spare(pool, kind);
                pool->n_busy--;
                (void)pthread_cond_broadcast(&pool->changed);
        }
        (void)pthread_mutex_unlock(&pool->lock);
        return NULL;
}

int pool_new(const LoaderInput *input, Pool **ret) {
        Pool *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return -ENOMEM;
        pool->n_ref = 1;
        pool->input = *input;
        (void)pthread_mutex_init(&pool->lock, NULL);
        (void)pthread_cond_init(&pool->changed, NULL);
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
        (void)pthread_cond_destroy(&pool->changed);
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
}

static int start_threads(Pool *pool, const pthread_attr_t *attributes) {
        int r;

        r = pthread_create(&pool->recycler, attributes, run_recycler, pool);
        if (r > 0)
                return -r;
        r = pthread_create(&pool->loader, attributes, run_loader, pool);
        if (r == 0)
                return 0;
        (void)pthread_mutex_lock(&pool->lock);
        pool->is_stopping = true;
        (void)pthread_cond_broadcast(&pool->changed);
        (void)pthread_mutex_unlock(&pool->lock);
        (void)pthread_join(pool->recycler, NULL);
        pool->is_stopping = false;
        return -r;
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
        r = start_threads(pool, &attributes);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        if (r < 0)
                return r;
        pool->is_running = true;
        return 0;
}

void pool_stop(Pool *pool) {
        (void)pthread_mutex_lock(&pool->lock);
        pool->is_stopping = true;
        (void)pthread_cond_broadcast(&pool->changed);
        (void)pthread_mutex_unlock(&pool->lock);
        if (pool->is_running) {
                (void)pthread_join(pool->loader, NULL);
                (void)pthread_join(pool->recycler, NULL);
        }
        pool->is_running = false;
        free_all(TAKE_PTR(pool->retired));
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++) {
                Shelf *shelf = &pool->shelves[kind];

                free_all(TAKE_PTR(shelf->spares));
                shelf->n_spares = shelf->n_returning = 0;
        }
}

bool pool_choose(Pool *pool, const PolicyImage *image, PoolKind *ret) {
        bool is_full = image->config.features & CGP_INSTANCE_FEATURES;
        uint32_t image_size = instance_image_size(image), table_size = instance_table_size(image);
        unsigned n_medium;

        if (image_size <= CGP_SMALL_IMAGE_SIZE && table_size <= CGP_SMALL_TABLE_SIZE) {
                *ret = is_full ? POOL_SMALL_FULL : POOL_SMALL_PLAIN;
                return true;
        }
        if (image_size > CGP_MEDIUM_IMAGE_SIZE || table_size > CGP_MEDIUM_TABLE_SIZE)
                return false;
        (void)pthread_mutex_lock(&pool->lock);
        n_medium = pool->shelves[POOL_MEDIUM_PLAIN].n_in_use +
                pool->shelves[POOL_MEDIUM_FULL].n_in_use;
        (void)pthread_mutex_unlock(&pool->lock);
        if (n_medium >= POOL_MEDIUM_USERS_MAX)
                return false;
        *ret = is_full ? POOL_MEDIUM_FULL : POOL_MEDIUM_PLAIN;
        return true;
}

LoaderInput pool_input(const Pool *pool, PoolKind kind) {
        LoaderInput input = pool->input;

        input.image_size = kinds[kind].image_size;
        input.table_size = kinds[kind].table_size;
        input.tables_fd = -EBADF;
        input.can = kinds[kind].can;
        return input;
}

int pool_take(Pool *pool, PoolKind kind, int *reterr_error, LoaderFailure *reterr, Instance **ret) {
        Shelf *shelf = &pool->shelves[kind];
        Instance *instance;

        (void)pthread_mutex_lock(&pool->lock);
        while (pool->is_running && !shelf->spares && shelf->n_returning > 0)
                (void)pthread_cond_wait(&pool->changed, &pool->lock);
        instance = pop(&shelf->spares);
        if (instance)
                shelf->n_spares--;
        else {
                *reterr_error = shelf->error;
                *reterr = shelf->failure;
        }
        /* Somebody asked: it is worth another try. */
        shelf->error = 0;
        (void)pthread_cond_broadcast(&pool->changed);
        (void)pthread_mutex_unlock(&pool->lock);
        if (!instance)
                return -EAGAIN;
        *ret = instance;
        return 0;
}

void pool_use(Pool *pool, const Instance *instance) {
        Shelf *shelf = shelf_of(pool, instance);

        if (!shelf)
                return;
        (void)pthread_mutex_lock(&pool->lock);
        shelf->n_in_use++;
        (void)pthread_cond_broadcast(&pool->changed);
        (void)pthread_mutex_unlock(&pool->lock);
}

static void give(Pool *pool, Instance *instance, bool is_lost) {
        Shelf *shelf = shelf_of(pool, instance);

        if (shelf) {
                (void)pthread_mutex_lock(&pool->lock);
                assert(shelf->n_in_use > 0);
                shelf->n_in_use--;
                if (pool->is_running && !is_lost) {
                        shelf->n_returning++;
                        push(&pool->retired, TAKE_PTR(instance));
                        (void)pthread_cond_broadcast(&pool->changed);
                }
                (void)pthread_mutex_unlock(&pool->lock);
        }
        (void)instance_free(instance);
}

void pool_give(Pool *pool, Instance *instance) {
        give(pool, instance, /* is_lost= */ false);
}

void pool_lose(Pool *pool, Instance *instance) {
        give(pool, instance, /* is_lost= */ true);
}

void pool_give_unused(Pool *pool, Instance *instance) {
        Shelf *shelf = shelf_of(pool, instance);

        assert(shelf);
        (void)pthread_mutex_lock(&pool->lock);
        if (!pool->is_stopping)
                add_spare(shelf, TAKE_PTR(instance));
        (void)pthread_mutex_unlock(&pool->lock);
        (void)instance_free(instance);
}

unsigned pool_settle(Pool *pool, PoolKind kind) {
        PoolKind shortage;
        unsigned n;

        (void)pthread_mutex_lock(&pool->lock);
        while (pool->is_running &&
                (pool->n_busy > 0 || pool->retired || find_shortage(pool, &shortage)))
                (void)pthread_cond_wait(&pool->changed, &pool->lock);
        n = pool->shelves[kind].n_spares;
        (void)pthread_mutex_unlock(&pool->lock);
        return n;
}
