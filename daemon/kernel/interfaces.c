/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the map that says what an interface index is. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "kernel/kernel-private.h"

static int compare_indices(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

/* All keys first: a walk over a map that changes may start again. */
static int read_keys(int fd, uint32_t max, uint32_t **ret, size_t *ret_n) {
        _cleanup_free_ uint32_t *keys = NULL;
        const void *from = NULL;
        size_t n = 0;

        keys = calloc(max, sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        while (n < max && bpf_map_get_next_key(fd, from, &keys[n]) == 0) {
                from = &keys[n];
                n++;
        }
        if (n < max && errno != ENOENT)
                return kernel_errno(-errno);
        *ret = TAKE_PTR(keys);
        *ret_n = n;
        return 0;
}

static int put(int fd, const KernelInterface *interfaces, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (bpf_map_update_elem(
                            fd, &interfaces[i].ifindex, &interfaces[i].interface, BPF_ANY) < 0)
                        return kernel_errno(-errno);
        return 0;
}

/* Those of the keys that are not wanted. */
static int remove_others(
        int fd, const uint32_t *keys, size_t n_keys, const uint32_t *wanted, size_t n_wanted) {
        for (size_t i = 0; i < n_keys; i++)
                if (!bsearch(&keys[i], wanted, n_wanted, sizeof(*wanted), compare_indices) &&
                        bpf_map_delete_elem(fd, &keys[i]) < 0 && errno != ENOENT)
                        return kernel_errno(-errno);
        return 0;
}

int kernel_interfaces_write(Kernel *k, const KernelInterface *interfaces, size_t n) {
        _cleanup_free_ uint32_t *wanted = NULL, *keys = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        int r, fd = kernel->map_fds[LOADER_MAP_INTERFACES];
        uint32_t max = kernel->map_sizes[LOADER_MAP_INTERFACES];
        size_t n_keys = 0;
        bool is_full;

        assert(interfaces || n == 0);

        if (n > max)
                return -E2BIG;
        wanted = calloc(n + 1, sizeof(*wanted));
        if (!wanted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                wanted[i] = interfaces[i].ifindex;
        qsort(wanted, n, sizeof(*wanted), compare_indices);
        r = read_keys(fd, max, &keys, &n_keys);
        if (r < 0)
                return r;
        r = put(fd, interfaces, n);
        /* No room for what is gone beside what is new: for a moment an interface that is new is one that is
         * not known, which is strict and no accident. */
        is_full = r == -E2BIG;
        if (r < 0 && !is_full)
                return r;
        r = remove_others(fd, keys, n_keys, wanted, n);
        if (r < 0)
                return r;
        return is_full ? put(fd, interfaces, n) : 0;
}
