/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns finding out what this kernel can do, by loading the very programs, complete and unabridged. */
#include <errno.h>
#include <string.h>

#include "kernel/kernel-private.h"
#include "kernel/probe-image.h"

static void probe_dry_run(Instance *instance, KernelCapabilities *caps) {
        static const unsigned char nonsense[20];
        KernelDryRun run = { .packet = nonsense, .size = sizeof(nonsense) };

        /* That is no packet: a program that was run says so. */
        caps->dry_run = kernel_dry_run_program(instance->prog_fds[CGP_HOOK_EGRESS], &run) == 0 &&
                run.rule == CGP_RULE_UNPARSABLE_OUT;
}

static int fill_and_run(Instance *instance, KernelCapabilities *caps) {
        KernelProbeImage probe;
        int r;

        kernel_probe_image(CGP_MODE_ENFORCE, /* subject= */ 0, &probe);
        r = instance_fill(instance, &probe.image);
        if (r < 0)
                return r;
        probe_dry_run(instance, caps);
        return 0;
}

/* One by one, where not all can be loaded. */
static int probe_hook(
        const LoaderInput *all, unsigned hook, KernelCapabilities *caps, KernelFailure *reterr) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        LoaderInput input = *all;
        LoaderFailure failure = {};
        int r;

        input.hooks = 1U << hook;
        r = loader_load(&input, &failure, &instance);
        if (r < 0) {
                if (reterr) {
                        reterr->step = failure.step;
                        reterr->hook = (int)hook;
                        memcpy(reterr->log, failure.log, sizeof(reterr->log));
                }
                return r == -EINVAL || r == -EOPNOTSUPP ? 0 : r;
        }
        caps->hooks[hook] = true;
        return hook == CGP_HOOK_EGRESS ? fill_and_run(instance, caps) : 0;
}

/* As a rule all of them can be, and then the instance is the first that was loaded ahead. */
static int probe_all(
        KernelBpf *kernel, const LoaderInput *input, KernelCapabilities *caps, bool *ret_done) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        LoaderFailure failure = {};
        int r;

        r = loader_load(input, &failure, &instance);
        if (r < 0)
                return r == -EINVAL || r == -EOPNOTSUPP ? 0 : r;
        r = fill_and_run(instance, caps);
        if (r == 0)
                r = instance_clear(instance);
        if (r < 0)
                return r;
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                caps->hooks[hook] = true;
        pool_give_unused(kernel->pool, TAKE_PTR(instance));
        *ret_done = true;
        return 0;
}

int kernel_probe(Kernel *k, KernelCapabilities *ret, KernelFailure *reterr) {
        KernelBpf *kernel = kernel_bpf(k);
        LoaderInput input = kernel_small_input(kernel);
        KernelCapabilities caps = {
                .refusal = kernel->features.retval,
                .skb_netns = kernel->features.skb_netns,
        };
        bool done = false;
        int r;

        assert(ret);

        r = probe_all(kernel, &input, &caps, &done);
        for (unsigned hook = 0; r == 0 && !done && hook < CGP_N_HOOKS; hook++)
                r = probe_hook(&input, hook, &caps, reterr);
        if (r < 0)
                return r;
        *ret = caps;
        return 0;
}
