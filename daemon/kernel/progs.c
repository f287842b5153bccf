/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the programs of an image: an instance from the pool or a new one, and finding the culprit when loading fails. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel-private.h"

KernelProgs *kernel_progs_free(KernelProgs *progs) {
        if (!progs)
                return NULL;
        carrier_drop_handle(progs->carrier);
        free(progs);
        return NULL;
}

uint32_t kernel_progs_id(const KernelProgs *progs, unsigned hook) {
        assert(progs);
        assert(hook < CGP_N_HOOKS);
        return carrier_instance(progs->carrier)->prog_ids[hook];
}

static void set_failure(KernelFailure *reterr, int hook, const LoaderFailure *failure) {
        if (!reterr)
                return;
        reterr->step = failure->step;
        reterr->hook = hook;
        memcpy(reterr->log, failure->log, sizeof(reterr->log));
}

/* libbpf loads all or nothing and does not say which it failed at: one by one it shows. */
static int find_culprit(
        const LoaderInput *all, int error, const LoaderFailure *failure, KernelFailure *reterr) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                _cleanup_(instance_freep) Instance *instance = NULL;
                LoaderInput input = *all;
                LoaderFailure single = {};
                int r;

                input.hooks = 1U << hook;
                r = loader_load(&input, &single, &instance);
                if (r < 0) {
                        set_failure(reterr, (int)hook, &single);
                        return r;
                }
        }
        set_failure(reterr, -1, failure);
        return error;
}

int kernel_load_instance(const LoaderInput *input, KernelFailure *reterr, Instance **ret) {
        LoaderFailure failure = {};
        int r;

        r = loader_load(input, &failure, ret);
        if (r == 0)
                return 0;
        if (!strcmp(failure.step, "load") && (r == -EINVAL || r == -EOPNOTSUPP))
                return find_culprit(input, r, &failure, reterr);
        set_failure(reterr, -1, &failure);
        return r;
}

LoaderInput kernel_small_input(const KernelBpf *kernel) {
        return (LoaderInput){
                .features = kernel->features,
                .can = CGP_INSTANCE_FEATURES,
                .image_size = CGP_SMALL_IMAGE_SIZE,
                .table_size = CGP_SMALL_TABLE_SIZE,
                .tables_fd = -EBADF,
                .map_fds = kernel->map_fds,
                .hooks = LOADER_ALL_HOOKS,
        };
}

static int get_pooled(KernelBpf *kernel, PoolKind kind, KernelFailure *reterr, Instance **ret) {
        LoaderInput input = pool_input(kernel->pool, kind);
        LoaderFailure ahead = {};
        int r, error = 0;

        r = pool_take(kernel->pool, kind, &error, &ahead, ret);
        if (r < 0) {
                if (error < 0)
                        set_failure(reterr, -1, &ahead);
                r = kernel_load_instance(&input, reterr, ret);
                if (r < 0)
                        return r;
        }
        /* Only now, so that no load ahead competes with the one that somebody waits for. Without
         * threads each change loads for itself, and the next tries again. */
        (void)pool_start(kernel->pool);
        return 0;
}

static int get_large(KernelBpf *kernel, const PolicyImage *image, KernelFailure *reterr,
        Tables **ret_tables, Instance **ret) {
        _cleanup_(tables_unrefp) Tables *tables = NULL;
        LoaderInput input = kernel_small_input(kernel);
        int r;

        r = tables_get(&kernel->tables, image, &tables);
        if (r < 0) {
                if (reterr)
                        reterr->step = "tables";
                return r;
        }
        input.image_size = instance_image_size(image);
        input.table_size = instance_table_size(image);
        input.tables_fd = tables_fd(tables);
        if (!(image->config.features & CGP_INSTANCE_FEATURES))
                input.can = 0;
        r = kernel_load_instance(&input, reterr, ret);
        if (r < 0)
                return r;
        *ret_tables = TAKE_PTR(tables);
        return 0;
}

int kernel_progs_load(
        Kernel *k, const PolicyImage *image, KernelFailure *reterr, KernelProgs **ret) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        _cleanup_(tables_unrefp) Tables *tables = NULL;
        _cleanup_free_ KernelProgs *progs = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        PoolKind kind;
        int r;

        assert(image);
        assert(ret);

        if (reterr)
                *reterr = (KernelFailure){ .step = "image", .hook = -1 };
        r = instance_check_image(image);
        if (r < 0)
                return r;
        progs = malloc(sizeof(*progs));
        if (!progs)
                return -ENOMEM;
        if (pool_choose(kernel->pool, image, &kind))
                r = get_pooled(kernel, kind, reterr, &instance);
        else
                r = get_large(kernel, image, reterr, &tables, &instance);
        if (r < 0)
                return r;
        if (reterr)
                *reterr = (KernelFailure){ .step = "fill", .hook = -1 };
        r = instance_fill(instance, image);
        if (r == 0)
                r = carrier_new(kernel->pool, instance, tables, &progs->carrier);
        if (r < 0)
                return r;
        instance = NULL;
        tables = NULL;
        *ret = TAKE_PTR(progs);
        return 0;
}
