/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the programs of an image: loading, and finding the culprit when that fails. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel-private.h"

KernelProgs *kernel_progs_free(KernelProgs *progs) {
        if (!progs)
                return NULL;
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                (void)close_keep_errno(progs->fds[hook]);
        free(progs);
        return NULL;
}

uint32_t kernel_progs_id(const KernelProgs *progs, unsigned hook) {
        assert(progs);
        assert(hook < CGP_N_HOOKS);
        return progs->ids[hook];
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
                LoaderInput input = *all;
                LoaderFailure single = {};
                int fds[CGP_N_HOOKS];
                int r;

                input.hooks = 1U << hook;
                r = loader_load(&input, &single, fds);
                if (r < 0) {
                        set_failure(reterr, (int)hook, &single);
                        return r;
                }
                (void)close_keep_errno(fds[hook]);
        }
        set_failure(reterr, -1, failure);
        return error;
}

int kernel_progs_load(
        Kernel *k, const PolicyImage *image, KernelFailure *reterr, KernelProgs **ret) {
        _cleanup_(kernel_progs_freep) KernelProgs *progs = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        LoaderFailure failure = {};
        LoaderInput input = {
                .config = &image->config,
                .tables = image->tables,
                .map_fds = kernel->map_fds,
                .hooks = LOADER_ALL_HOOKS,
        };
        uint32_t n_verified;
        int r;

        assert(image);
        assert(ret);

        progs = malloc(sizeof(*progs));
        if (!progs)
                return -ENOMEM;
        *progs = (KernelProgs){};
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                progs->fds[hook] = -EBADF;

        r = loader_load(&input, &failure, progs->fds);
        if (r < 0) {
                if (!strcmp(failure.step, "load") && (r == -EINVAL || r == -EOPNOTSUPP))
                        return find_culprit(&input, r, &failure, reterr);
                set_failure(reterr, -1, &failure);
                return r;
        }
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                r = loader_info(progs->fds[hook], &progs->ids[hook], &n_verified);
                if (r < 0) {
                        failure.step = "info";
                        set_failure(reterr, (int)hook, &failure);
                        return r;
                }
        }
        *ret = TAKE_PTR(progs);
        return 0;
}
