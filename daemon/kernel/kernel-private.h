/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the real kernel that its files share. */
#pragma once

#include <assert.h>

#include "kernel/carrier.h"
#include "kernel/iterators.h"
#include "kernel/kernel.h"
#include "kernel/loader.h"
#include "kernel/pool.h"
#include "kernel/tables.h"

typedef struct KernelBpf {
        Kernel kernel; /* first: a Kernel * is a KernelBpf * */
        int dir_fd;    /* the caller's directory, on a bpffs; our own duplicate */
        int maps_fd;   /* v2/maps */
        int links_fd;  /* v2/links */
        int map_fds[_LOADER_MAP_MAX];
        uint32_t map_sizes[_LOADER_MAP_MAX]; /* in entries */
        uint32_t flows_max;
        uint32_t denials_max;
        int n_cpus; /* possible ones: elements of a per-CPU value */
        bool has_reader;
        LoaderFeatures features;
        Pool *pool;
        TablesRegistry tables;
        Iterators *iterators; /* NULL: not loaded yet */
} KernelBpf;

struct KernelProgs {
        Carrier *carrier;
};

struct KernelLink {
        int fd;
        unsigned hook;
        uint32_t subject;
        uint64_t cgroup_id;
        Carrier *carrier; /* of the program that it carries; NULL: adopted, none that we loaded */
};

static inline KernelBpf *kernel_bpf(Kernel *k) {
        assert(k);
        return (KernelBpf *)(void *)k;
}

extern const KernelOps kernel_bpf_ops;

/* programs */
int kernel_progs_load(
        Kernel *k, const PolicyImage *image, KernelFailure *reterr, KernelProgs **ret);
KernelProgs *kernel_progs_free(KernelProgs *progs);
uint32_t kernel_progs_id(const KernelProgs *progs, unsigned hook);

/* How a small instance is loaded that can do everything. */
LoaderInput kernel_small_input(const KernelBpf *kernel);
/* Loads an instance; a failure names the hook. */
int kernel_load_instance(const LoaderInput *input, KernelFailure *reterr, Instance **ret);

/* links */
int kernel_link_create(Kernel *k, const KernelProgs *progs, unsigned hook, int cgroup_fd,
        uint32_t subject, uint64_t cgroup_id, KernelLink **ret);
int kernel_link_update(Kernel *k, KernelLink *link, const KernelProgs *progs, unsigned hook);
int kernel_link_query(Kernel *k, KernelLink *link, uint32_t *ret_prog_id, uint64_t *ret_cgroup_id);
int kernel_link_destroy(Kernel *k, KernelLink *link);
KernelLink *kernel_link_free(KernelLink *link);
int kernel_links_find(Kernel *k, KernelFoundCallback callback, void *userdata);

DEFINE_CLEANUP(KernelLink *, kernel_link_freep, kernel_link_free);
DEFINE_CLEANUP(KernelProgs *, kernel_progs_freep, kernel_progs_free);

/* maps */
int kernel_record_write(Kernel *k, const struct cgp_record *record);
int kernel_record_read(Kernel *k, uint64_t cgroup_id, struct cgp_record *ret);
int kernel_record_delete(Kernel *k, uint64_t cgroup_id);
int kernel_counter_read(Kernel *k, uint32_t slot, struct cgp_counter *ret);
int kernel_counter_clear(Kernel *k, uint32_t slot);
int kernel_stat_read(Kernel *k, uint32_t stat, uint64_t *ret);
int kernel_flows_count(Kernel *k, uint64_t *ret_entries, uint64_t *ret_max);
int kernel_denials_each(Kernel *k, KernelDenialCallback callback, void *userdata);
int kernel_flushed_read(Kernel *k, const struct cgp_denial_key *key, struct cgp_flushed *ret);
int kernel_flushed_write(
        Kernel *k, const struct cgp_denial_key *key, const struct cgp_flushed *flushed);

/* sets and interfaces */
int kernel_set_load(Kernel *k, const PolicySet *set, uint32_t *ret_slot);
int kernel_set_drop(Kernel *k, uint32_t slot);
int kernel_sets_each(
        Kernel *k, int (*callback)(void *userdata, uint32_t slot, uint64_t hash), void *userdata);
int kernel_interfaces_write(Kernel *k, const KernelInterface *interfaces, size_t n);

/* sockets */
int kernel_sockets_each(Kernel *k, int cgroup_fd, KernelSocketCallback callback, void *userdata);

/* dry runs */
int kernel_dry_run(Kernel *k, KernelLink *link, KernelDryRun *run);

/* A dry run of a program that needs no link. -EOPNOTSUPP: the kernel has no runs with a context. */
int kernel_dry_run_program(int prog_fd, KernelDryRun *run);
