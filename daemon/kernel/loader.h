/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared maps, and programs for an instance. The only place that knows their generated skeleton. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "kernel/instance.h"
#include "util/cleanup.h"

#define LOADER_ALL_HOOKS ((1U << CGP_N_HOOKS) - 1)

/* The maps that all images share, in the order of their names in loader_map_names. */
typedef enum LoaderMap {
        LOADER_MAP_SK,
        LOADER_MAP_FLOWS,
        LOADER_MAP_COUNTERS,
        LOADER_MAP_STATS,
        LOADER_MAP_DENIALS,
        LOADER_MAP_FLUSHED,
        LOADER_MAP_RECORDS,
        LOADER_MAP_INTERFACES,
        LOADER_MAP_SETS,
        LOADER_MAP_BUCKETS,
        LOADER_MAP_WOKEN,
        LOADER_MAP_EVENTS,
        LOADER_MAP_WAKE,
        _LOADER_MAP_MAX,
} LoaderMap;

extern const char *const loader_map_names[_LOADER_MAP_MAX]; /* also the names of the pins */

typedef struct LoaderMapSpec {
        uint32_t type;
        uint32_t key_size;
        uint32_t value_size;
        uint32_t n_entries;
        uint32_t flags;
} LoaderMapSpec;

/* Creates those shared maps whose fd is negative; the others stay. On success every fd is valid and specs
 * say what each map must be; on failure fds are untouched. */
int loader_create_maps(
        uint32_t flows_max, uint32_t denials_max, int fds[_LOADER_MAP_MAX]) _warn_unused_result_;

/* What each map must be like. */
int loader_map_specs(uint32_t flows_max, uint32_t denials_max,
        LoaderMapSpec ret[_LOADER_MAP_MAX]) _warn_unused_result_;

/* What only some kernels have, found by loading the exact call. */
typedef struct LoaderFeatures {
        bool retval;    /* bpf_set_retval() in the hooks of bind, connect and sendmsg */
        bool skb_netns; /* bpf_get_netns_cookie() in the packet hooks */
} LoaderFeatures;

/* -EPERM, -ENOMEM: could not be found out. */
int loader_features(LoaderFeatures *ret) _warn_unused_result_;

typedef struct LoaderInput {
        LoaderFeatures features;
        uint32_t can;        /* of CGP_INSTANCE_FEATURES: what images may ask for */
        uint32_t image_size; /* values of the two data maps; at least CGP_SMALL_* */
        uint32_t table_size;
        int tables_fd;      /* a map of table_size to share; negative: one of its own */
        const int *map_fds; /* _LOADER_MAP_MAX of them; NULL: private maps */
        unsigned hooks;     /* bit per hook: which programs to load */
} LoaderInput;

typedef struct LoaderFailure {
        const char *step; /* static: "open", "tables", "load", "info" */
        char log[2048];   /* the end of the verifier's log */
} LoaderFailure;

/* Loads an instance whose data is zero. May be called in any thread; one that is quiet passes nothing on to
 * loader_set_log(). -EINVAL: the verifier refuses; -EOPNOTSUPP: it says that it lacks something; -E2BIG: the
 * maps are larger than this kernel's (before 6.7: 4 MiB); -EPERM, -ENOMEM. On failure nothing is left. */
int loader_load(
        const LoaderInput *input, LoaderFailure *reterr, Instance **ret) _warn_unused_result_;

/* Keeps libbpf from writing to stderr. Whatever opens an object calls it first. */
void loader_init(void);

/* This thread's messages of libbpf are dropped from now on. */
void loader_be_quiet(void);

const char *loader_name(unsigned hook); /* "cgp_egress", ... */

/* bpf_attach_type of a hook. */
unsigned loader_attach_type(unsigned hook);

/* Id of a loaded program, and how many instructions the verifier processed (0: the kernel does not tell). */
int loader_info(int prog_fd, uint32_t *ret_id, uint32_t *ret_verified) _warn_unused_result_;

/* The kernel's and libbpf's idea of an errno to ours: 524, which user space never sees by name, is
 * -EOPNOTSUPP. */
int kernel_errno(long r);

/* Where libbpf's messages go; NULL: nowhere, which is the beginning. */
void loader_set_log(void (*callback)(int level, const char *message));
