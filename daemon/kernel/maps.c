/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns reading and writing of the shared maps. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel-private.h"

#define BATCH_MAX 4096U

static int lookup(KernelBpf *kernel, LoaderMap map, const void *key, void *value) {
        return bpf_map_lookup_elem(kernel->map_fds[map], key, value) < 0 ? kernel_errno(-errno) : 0;
}

static int update(KernelBpf *kernel, LoaderMap map, const void *key, const void *value) {
        if (bpf_map_update_elem(kernel->map_fds[map], key, value, BPF_ANY) < 0)
                return kernel_errno(-errno);
        return 0;
}

int kernel_record_write(Kernel *k, const struct cgp_record *record) {
        assert(record);
        return update(kernel_bpf(k), LOADER_MAP_RECORDS, &record->cgroup_id, record);
}

int kernel_record_read(Kernel *k, uint64_t cgroup_id, struct cgp_record *ret) {
        struct cgp_record record;
        int r;

        assert(ret);

        r = lookup(kernel_bpf(k), LOADER_MAP_RECORDS, &cgroup_id, &record);
        if (r < 0)
                return r;
        *ret = record;
        return 0;
}

int kernel_record_delete(Kernel *k, uint64_t cgroup_id) {
        int fd = kernel_bpf(k)->map_fds[LOADER_MAP_RECORDS];

        if (bpf_map_delete_elem(fd, &cgroup_id) < 0 && errno != ENOENT)
                return kernel_errno(-errno);
        return 0;
}

int kernel_counter_read(Kernel *k, uint32_t slot, struct cgp_counter *ret) {
        _cleanup_free_ struct cgp_counter *values = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        struct cgp_counter sum = {};
        int r;

        assert(ret);

        values = calloc((size_t)kernel->n_cpus, sizeof(*values));
        if (!values)
                return -ENOMEM;
        r = lookup(kernel, LOADER_MAP_COUNTERS, &slot, values);
        if (r < 0)
                return r;
        for (int i = 0; i < kernel->n_cpus; i++) {
                sum.packets += values[i].packets;
                sum.bytes += values[i].bytes;
                sum.blocked += values[i].blocked;
                sum.would += values[i].would;
        }
        *ret = sum;
        return 0;
}

int kernel_counter_clear(Kernel *k, uint32_t slot) {
        _cleanup_free_ struct cgp_counter *values = NULL;
        KernelBpf *kernel = kernel_bpf(k);

        values = calloc((size_t)kernel->n_cpus, sizeof(*values));
        if (!values)
                return -ENOMEM;
        return update(kernel, LOADER_MAP_COUNTERS, &slot, values);
}

int kernel_stat_read(Kernel *k, uint32_t stat, uint64_t *ret) {
        _cleanup_free_ uint64_t *values = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        uint64_t sum = 0;
        int r;

        assert(ret);

        values = calloc((size_t)kernel->n_cpus, sizeof(*values));
        if (!values)
                return -ENOMEM;
        r = lookup(kernel, LOADER_MAP_STATS, &stat, values);
        if (r < 0)
                return r;
        for (int i = 0; i < kernel->n_cpus; i++)
                sum += values[i];
        *ret = sum;
        return 0;
}

/* In batches, which is ten times faster. -EOPNOTSUPP, -ENOSPC: not possible here, walk the keys. */
static int count_in_batches(int fd, uint32_t max, uint64_t *ret) {
        _cleanup_free_ struct cgp_flow_key *keys = NULL;
        _cleanup_free_ struct cgp_flow *values = NULL;
        uint64_t n = 0, n_batches = 0;
        uint32_t from, to, count;
        void *start = NULL;

        keys = calloc(BATCH_MAX, sizeof(*keys));
        values = calloc(BATCH_MAX, sizeof(*values));
        if (!keys || !values)
                return -ENOMEM;
        do {
                int r;

                count = BATCH_MAX;
                r = bpf_map_lookup_batch(fd, start, &to, keys, values, &count, NULL);
                if (r < 0 && errno != ENOENT) {
                        r = kernel_errno(-errno);
                        return r == -EINVAL ? -EOPNOTSUPP : r;
                }
                n += count;
                if (r < 0)
                        break; /* ENOENT: that was the last batch */
                from = to;
                start = &from;
        } while (++n_batches <= max); /* each batch is at least one bucket further */
        *ret = n;
        return 0;
}

/* A key that vanishes under the walk makes it start again: the bound ends it, and the count with it. */
static int count_by_key(int fd, uint32_t max, uint64_t *ret) {
        struct cgp_flow_key key, next;
        const void *from = NULL;
        uint64_t n = 0;

        while (n < max && bpf_map_get_next_key(fd, from, &next) == 0) {
                key = next;
                from = &key;
                n++;
        }
        if (n < max && errno != ENOENT)
                return kernel_errno(-errno);
        *ret = n;
        return 0;
}

int kernel_flows_count(Kernel *k, uint64_t *ret_entries, uint64_t *ret_max) {
        KernelBpf *kernel = kernel_bpf(k);
        int fd = kernel->map_fds[LOADER_MAP_FLOWS];
        uint64_t n = 0;
        int r;

        assert(ret_entries);
        assert(ret_max);

        r = count_in_batches(fd, kernel->flows_max, &n);
        if (r == -EOPNOTSUPP || r == -ENOSPC)
                r = count_by_key(fd, kernel->flows_max, &n);
        if (r < 0)
                return r;
        *ret_entries = n < kernel->flows_max ? n : kernel->flows_max;
        *ret_max = kernel->flows_max;
        return 0;
}

int kernel_denials_each(Kernel *k, KernelDenialCallback callback, void *userdata) {
        KernelBpf *kernel = kernel_bpf(k);
        int fd = kernel->map_fds[LOADER_MAP_DENIALS];
        struct cgp_denial_key key, next;
        struct cgp_denial denial;
        const void *from = NULL;
        uint32_t n = 0;
        int r;

        assert(callback);

        /* At most as many as there can be: under a flood, a walk that starts again could last for ever. */
        while (n++ < kernel->denials_max && bpf_map_get_next_key(fd, from, &next) == 0) {
                key = next;
                from = &key;
                if (bpf_map_lookup_elem(fd, &key, &denial) < 0) {
                        if (errno == ENOENT)
                                continue; /* evicted meanwhile */
                        return kernel_errno(-errno);
                }
                r = callback(userdata, &key, &denial);
                if (r < 0)
                        return r;
        }
        if (n <= kernel->denials_max && errno != ENOENT)
                return kernel_errno(-errno);
        return 0;
}

int kernel_flushed_read(Kernel *k, const struct cgp_denial_key *key, struct cgp_flushed *ret) {
        struct cgp_flushed flushed;
        int r;

        assert(key);
        assert(ret);

        r = lookup(kernel_bpf(k), LOADER_MAP_FLUSHED, key, &flushed);
        if (r < 0)
                return r;
        *ret = flushed;
        return 0;
}

int kernel_flushed_write(
        Kernel *k, const struct cgp_denial_key *key, const struct cgp_flushed *flushed) {
        assert(key);
        assert(flushed);
        return update(kernel_bpf(k), LOADER_MAP_FLUSHED, key, flushed);
}
