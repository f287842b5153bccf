/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the set maps: slots of the pinned map of maps cgp_sets. A set map is complete and frozen before it is in a
 * slot. What is found in a slot may be another daemon's, so it is asked what it is before it is used.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/kernel-private.h"

/* As bpf/maps.bpf.h has the prototype: the kernel compares. */
#define SET_FLAGS (BPF_F_INNER_MAP | BPF_F_MMAPABLE)

/* The map in a slot. -ENOENT: none. */
static int open_slot(KernelBpf *kernel, uint32_t slot, int *ret_fd, uint32_t *ret_n_pages) {
        struct bpf_map_info info = {};
        _cleanup_close_ int fd = -EBADF;
        uint32_t id, size = sizeof(info);

        if (bpf_map_lookup_elem(kernel->map_fds[LOADER_MAP_SETS], &slot, &id) < 0)
                return kernel_errno(-errno);
        fd = bpf_map_get_fd_by_id(id);
        if (fd < 0)
                return kernel_errno(-errno);
        if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
                return kernel_errno(-errno);
        /* Else the kernel would not have it in there. */
        if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != CGP_SET_PAGE_SIZE)
                return -EUCLEAN;
        *ret_fd = TAKE_FD(fd);
        *ret_n_pages = info.max_entries;
        return 0;
}

static int read_header(int fd, struct cgp_set_header *ret) {
        uint8_t page[CGP_SET_PAGE_SIZE];
        uint32_t zero = 0;

        if (bpf_map_lookup_elem(fd, &zero, page) < 0)
                return kernel_errno(-errno);
        memcpy(ret, page, sizeof(*ret));
        return 0;
}

/* 1: the map has these pages. The hash has no secret: only the bytes tell. */
static int has_pages(int fd, uint32_t n_pages, const PolicySet *set) {
        size_t size = set->n_pages * CGP_SET_PAGE_SIZE;
        void *memory;
        int r;

        if (n_pages != set->n_pages)
                return 0;
        memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        r = memcmp(memory, set->pages, size) == 0;
        (void)munmap(memory, size);
        return r;
}

/* 0: a slot has it; -ENOENT: none has, and *ret is the first free one, or CGP_MAX_SET_SLOTS. */
static int find_slot(KernelBpf *kernel, const PolicySet *set, uint32_t *ret) {
        uint32_t n_pages, free_slot = CGP_MAX_SET_SLOTS;

        for (uint32_t slot = 0; slot < CGP_MAX_SET_SLOTS; slot++) {
                _cleanup_close_ int fd = -EBADF;
                struct cgp_set_header header;
                int r;

                r = open_slot(kernel, slot, &fd, &n_pages);
                if (r == -ENOENT) {
                        if (free_slot == CGP_MAX_SET_SLOTS)
                                free_slot = slot;
                        continue;
                }
                if (r == -EUCLEAN)
                        continue;
                if (r == 0)
                        r = read_header(fd, &header);
                if (r < 0)
                        return r;
                if (header.abi_version != CGP_ABI_VERSION || header.hash != set->hash)
                        continue;
                r = has_pages(fd, n_pages, set);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = slot;
                        return 0;
                }
        }
        *ret = free_slot;
        return -ENOENT;
}

static int make_set(const PolicySet *set, int *ret_fd) {
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = SET_FLAGS);
        size_t size = set->n_pages * CGP_SET_PAGE_SIZE;
        _cleanup_close_ int fd = -EBADF;
        void *memory;

        fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cgp_set", sizeof(uint32_t), CGP_SET_PAGE_SIZE,
                (uint32_t)set->n_pages, &opts);
        if (fd < 0)
                return kernel_errno(fd);
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        memcpy(memory, set->pages, size);
        /* A map cannot be frozen while somebody may write to it. */
        if (munmap(memory, size) < 0)
                return -errno;
        if (bpf_map_freeze(fd) < 0)
                return kernel_errno(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int kernel_set_load(Kernel *k, const PolicySet *set, uint32_t *ret_slot) {
        KernelBpf *kernel = kernel_bpf(k);
        struct cgp_set_header header;
        _cleanup_close_ int fd = -EBADF;
        uint32_t slot;
        int r;

        assert(set);
        assert(ret_slot);

        if (!set->pages || set->n_pages == 0)
                return -EINVAL;
        if (set->n_pages > POLICY_SET_SIZE_MAX / CGP_SET_PAGE_SIZE)
                return -E2BIG;
        memcpy(&header, set->pages, sizeof(header));
        if (header.abi_version != CGP_ABI_VERSION || header.n_pages != set->n_pages ||
                header.hash != set->hash || header.hash == 0)
                return -EINVAL;
        r = find_slot(kernel, set, &slot);
        if (r != -ENOENT) {
                if (r == 0)
                        *ret_slot = slot;
                return r;
        }
        if (slot == CGP_MAX_SET_SLOTS)
                return -ENOSPC;
        r = make_set(set, &fd);
        if (r < 0)
                return r;
        if (bpf_map_update_elem(kernel->map_fds[LOADER_MAP_SETS], &slot, &fd, BPF_ANY) < 0)
                return kernel_errno(-errno);
        *ret_slot = slot;
        return 0;
}

int kernel_set_drop(Kernel *k, uint32_t slot) {
        int fd = kernel_bpf(k)->map_fds[LOADER_MAP_SETS];

        if (slot >= CGP_MAX_SET_SLOTS)
                return -EINVAL;
        if (bpf_map_delete_elem(fd, &slot) < 0 && errno != ENOENT)
                return kernel_errno(-errno);
        return 0;
}

int kernel_sets_each(
        Kernel *k, int (*callback)(void *userdata, uint32_t slot, uint64_t hash), void *userdata) {
        KernelBpf *kernel = kernel_bpf(k);

        assert(callback);

        for (uint32_t slot = 0; slot < CGP_MAX_SET_SLOTS; slot++) {
                _cleanup_close_ int fd = -EBADF;
                struct cgp_set_header header = {};
                uint32_t n_pages;
                int r;

                r = open_slot(kernel, slot, &fd, &n_pages);
                if (r == -ENOENT)
                        continue;
                /* What is no set of ours takes a slot all the same: hash 0, which no set has. */
                if (r == 0)
                        r = read_header(fd, &header);
                if (r < 0 && r != -EUCLEAN)
                        return r;
                r = callback(
                        userdata, slot, header.abi_version == CGP_ABI_VERSION ? header.hash : 0);
                if (r < 0)
                        return r;
        }
        return 0;
}
