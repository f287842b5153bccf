/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns finding out what this kernel can do, by loading the very programs, complete and unabridged. */
#include <errno.h>
#include <string.h>

#include "kernel/kernel-private.h"
#include "kernel/probe-image.h"

static int probe_hook(
        KernelBpf *kernel, unsigned hook, KernelCapabilities *caps, KernelFailure *reterr) {
        unsigned char tables[KERNEL_PROBE_TABLE_SIZE];
        LoaderFailure failure = {};
        struct cgp_config config;
        LoaderInput input = {
                .config = &config,
                .tables = tables,
                .map_fds = kernel->map_fds,
                .hooks = 1U << hook,
        };
        int fds[CGP_N_HOOKS];
        int r;

        kernel_probe_image(CGP_MODE_ENFORCE, /* subject= */ 0, &config, tables);
        r = loader_load(&input, &failure, fds);
        if (r < 0) {
                if (reterr) {
                        reterr->step = failure.step;
                        reterr->hook = (int)hook;
                        memcpy(reterr->log, failure.log, sizeof(reterr->log));
                }
                return r == -EINVAL || r == -EOPNOTSUPP ? 0 : r;
        }
        caps->hooks[hook] = true;
        if (hook == CGP_HOOK_EGRESS) {
                static const unsigned char nonsense[20];
                KernelDryRun run = { .packet = nonsense, .size = sizeof(nonsense) };

                /* That is no packet: a program that was run says so. */
                caps->dry_run = kernel_dry_run_program(fds[hook], &run) == 0 &&
                        run.rule == CGP_RULE_UNPARSABLE_OUT;
        }
        (void)close_keep_errno(fds[hook]);
        return 0;
}

int kernel_probe(Kernel *k, KernelCapabilities *ret, KernelFailure *reterr) {
        KernelCapabilities caps = {};

        assert(ret);

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                int r = probe_hook(kernel_bpf(k), hook, &caps, reterr);

                if (r < 0)
                        return r;
        }
        *ret = caps;
        return 0;
}
