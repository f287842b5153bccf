/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads every program in both sizes, as an instance that is loaded ahead and as one for the largest tables that every
 * kernel takes, and says how it went: one line per program, "NAME/SIZE ok INSTRUCTIONS" or "NAME/SIZE failed
 * REASON" and below it the verifier's last words. INSTRUCTIONS is what the verifier processed, "-" on kernels that do
 * not tell (before 5.16). Then the iterators, where the kernel has BTF. Exits 0 if all were loaded.
 * Mounts and attaches nothing, and runs in an initramfs.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgp-abi.h"
#include "kernel/loader.h"
#include "sock-iter.skel.h"

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

/* Is there BTF, and is a socket's cgroup where the iterators look for it (5.15 and later)? */
static bool can_have_iterators(void) {
        struct btf *btf = btf__load_vmlinux_btf();
        const struct btf_type *type;
        bool found = false;
        int id;

        if (!btf)
                return false;
        id = btf__find_by_name_kind(btf, "sock_cgroup_data", BTF_KIND_STRUCT);
        type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
        for (unsigned i = 0; type && i < btf_vlen(type); i++)
                found = found ||
                        !strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), "cgroup");
        btf__free(btf);
        return found;
}

static int load_iterators(void) {
        struct cgp_iter *skeleton;
        int r;

        if (!can_have_iterators()) {
                printf("# no iterators: the kernel has no BTF, or none that they can use\n");
                return 0;
        }
        skeleton = cgp_iter__open();
        if (!skeleton)
                return -ENOMEM;
        r = cgp_iter__load(skeleton);
        if (r < 0)
                printf("cgp_iter/btf failed load: %s\n", strerror(-r));
        if (r == 0)
                r = report_loaded(
                        "cgp_iter_tcp", "btf", bpf_program__fd(skeleton->progs.cgp_iter_tcp));
        if (r == 0)
                r = report_loaded(
                        "cgp_iter_udp", "btf", bpf_program__fd(skeleton->progs.cgp_iter_udp));
        cgp_iter__destroy(skeleton);
        return r;
}

int main(void) {
        LoaderInput small = {
                .image_size = CGP_SMALL_IMAGE_SIZE,
                .table_size = CGP_SMALL_TABLE_SIZE,
                .tables_fd = -EBADF,
        };
        LoaderInput large;
        int r, status = EXIT_SUCCESS;

        r = loader_features(&small.features);
        if (r < 0) {
                printf("features failed: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        printf("# bpf_set_retval: %s, network namespace in packet hooks: %s\n",
                small.features.retval ? "yes" : "no", small.features.skb_netns ? "yes" : "no");
        large = small;
        large.image_size = LARGE_IMAGE_SIZE;
        large.table_size = LARGE_TABLE_SIZE;
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (load_hook("small", &small, hook) < 0)
                        status = EXIT_FAILURE;
                if (load_hook("large", &large, hook) < 0)
                        status = EXIT_FAILURE;
        }
        if (load_iterators() < 0)
                status = EXIT_FAILURE;
        return status;
}
