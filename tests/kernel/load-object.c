/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads every program with an image that uses all features, in both modes, and says how it went: one line
 * per program, "NAME/MODE ok INSTRUCTIONS" or "NAME/MODE failed REASON" and below it the verifier's last
 * words. INSTRUCTIONS is what the verifier processed, "-" on kernels that do not tell (before 5.16).
 * Exits 0 if all were loaded. Mounts and attaches nothing, and runs in an initramfs.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgp-abi.h"
#include "kernel/loader.h"
#include "kernel/probe-image.h"

static int report_loaded(const char *mode, unsigned hook, int fd) {
        uint32_t id, n_verified;
        int r;

        r = loader_info(fd, &id, &n_verified);
        if (r < 0) {
                printf("%s/%s failed info: %s\n", loader_name(hook), mode, strerror(-r));
                return r;
        }
        if (n_verified > 0)
                printf("%s/%s ok %u\n", loader_name(hook), mode, n_verified);
        else
                printf("%s/%s ok -\n", loader_name(hook), mode);
        return 0;
}

static int load_hook(const char *mode_name, unsigned mode, unsigned hook) {
        unsigned char tables[KERNEL_PROBE_TABLE_SIZE];
        struct cgp_config config;
        LoaderInput input = { .config = &config, .tables = tables, .hooks = 1U << hook };
        LoaderFailure failure = {};
        int fds[CGP_N_HOOKS];
        int r;

        kernel_probe_image(mode, /* subject= */ 1, &config, tables);
        r = loader_load(&input, &failure, fds);
        if (r < 0) {
                printf("%s/%s failed %s: %s\n", loader_name(hook), mode_name, failure.step,
                        strerror(-r));
                if (failure.log[0])
                        printf("%s\n", failure.log);
                return r;
        }
        r = report_loaded(mode_name, hook, fds[hook]);
        (void)close_keep_errno(fds[hook]);
        return r;
}

int main(void) {
        int status = EXIT_SUCCESS;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (load_hook("enforce", CGP_MODE_ENFORCE, hook) < 0)
                        status = EXIT_FAILURE;
                if (load_hook("audit", CGP_MODE_AUDIT, hook) < 0)
                        status = EXIT_FAILURE;
        }
        return status;
}
