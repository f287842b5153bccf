/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads every program three times: as an instance that is loaded ahead, full ("small") and plain, and as one for the
 * largest tables that every kernel takes. Says how it went: one line per program, "NAME/VARIANT ok INSTRUCTIONS" or
 * "NAME/VARIANT failed REASON" and below it the verifier's last words. INSTRUCTIONS is what it processed, "-" on kernels
 * that do not tell (before 5.16). Then the iterators, where the kernel has BTF. Exits 0 if all were loaded.
 * Mounts and attaches nothing, and runs in an initramfs.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgp-abi.h"
#include "kernel/iterators.h"
#include "kernel/loader.h"

/* Before 6.7 the kernel has no larger values. */
#define LARGE_IMAGE_SIZE 131072U
#define LARGE_TABLE_SIZE (3U * 1024 * 1024)

static int report_loaded(const char *name, const char *variant, int fd) {
        uint32_t id, n_verified;
        int r;

        r = loader_info(fd, &id, &n_verified);
        if (r < 0) {
                printf("%s/%s failed info: %s\n", name, variant, strerror(-r));
                return r;
        }
        if (n_verified > 0)
                printf("%s/%s ok %u\n", name, variant, n_verified);
        else
                printf("%s/%s ok -\n", name, variant);
        return 0;
}

static int load_hook(const char *variant, const LoaderInput *all, unsigned hook) {
        _cleanup_(instance_freep) Instance *instance = NULL;
        LoaderInput input = *all;
        LoaderFailure failure = {};
        int r;

        input.hooks = 1U << hook;
        r = loader_load(&input, &failure, &instance);
        if (r < 0) {
                printf("%s/%s failed %s: %s\n", loader_name(hook), variant, failure.step,
                        strerror(-r));
                if (failure.log[0])
                        printf("%s\n", failure.log);
                return r;
        }
        return report_loaded(loader_name(hook), variant, instance->prog_fds[hook]);
}

/* What they need not every kernel has, and says so; anything else that it says is a failure. */
static int load_iterators(void) {
        static char log[8 * 1024 * 1024];
        _cleanup_(iterators_freep) Iterators *iterators = NULL;
        const char *lacking;
        int r;

        if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
                printf("# no iterators: the kernel has no BTF\n");
                return 0;
        }
        r = iterators_load(/* sk_fd= */ -EBADF, log, sizeof(log), &iterators);
        lacking = strstr(log, "unknown func");
        if (r < 0 && lacking) {
                printf("# no iterators: %.*s\n", (int)strcspn(lacking, "\n"), lacking);
                return 0;
        }
        if (r < 0) {
                printf("cgp_iter/btf failed load: %s\n%s\n", strerror(-r), log);
                return r;
        }
        r = report_loaded("cgp_iter_tcp", "btf", iterators_prog_fd(iterators, ITERATOR_TCP));
        if (r == 0)
                r = report_loaded(
                        "cgp_iter_udp", "btf", iterators_prog_fd(iterators, ITERATOR_UDP));
        return r;
}

int main(void) {
        LoaderInput small = {
                .image_size = CGP_SMALL_IMAGE_SIZE,
                .table_size = CGP_SMALL_TABLE_SIZE,
                .tables_fd = -EBADF,
                .can = CGP_INSTANCE_FEATURES,
        };
        LoaderInput plain, large;
        int r, status = EXIT_SUCCESS;

        r = loader_features(&small.features);
        if (r < 0) {
                printf("features failed: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        printf("# bpf_set_retval: %s, network namespace in packet hooks: %s\n",
                small.features.retval ? "yes" : "no", small.features.skb_netns ? "yes" : "no");
        plain = small;
        plain.can = 0;
        large = small;
        large.image_size = LARGE_IMAGE_SIZE;
        large.table_size = LARGE_TABLE_SIZE;
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (load_hook("small", &small, hook) < 0)
                        status = EXIT_FAILURE;
                if (load_hook("plain", &plain, hook) < 0)
                        status = EXIT_FAILURE;
                if (load_hook("large", &large, hook) < 0)
                        status = EXIT_FAILURE;
        }
        if (load_iterators() < 0)
                status = EXIT_FAILURE;
        return status;
}
