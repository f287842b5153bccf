/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One image to loaded programs. The only place that knows the generated skeleton. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "util/cleanup.h"

#define PROGRAMS_ALL_HOOKS ((1U << CGP_N_HOOKS) - 1)

/* The maps that all images share, in the order of their names in programs_map_names. */
typedef enum ProgramsMap {
        PROGRAMS_MAP_SK,
        PROGRAMS_MAP_FLOWS,
        PROGRAMS_MAP_COUNTERS,
        PROGRAMS_MAP_STATS,
        PROGRAMS_MAP_DENIALS,
        PROGRAMS_MAP_FLUSHED,
        PROGRAMS_MAP_RECORDS,
        PROGRAMS_MAP_BUCKETS,
        PROGRAMS_MAP_WOKEN,
        PROGRAMS_MAP_EVENTS,
        PROGRAMS_MAP_WAKE,
        _PROGRAMS_MAP_MAX,
} ProgramsMap;

extern const char *const programs_map_names[_PROGRAMS_MAP_MAX]; /* also the names of the pins */

typedef struct ProgramsMapSpec {
        uint32_t type;
        uint32_t key_size;
        uint32_t value_size;
        uint32_t n_entries;
        uint32_t flags;
} ProgramsMapSpec;

/* Creates those shared maps whose fd is negative; the others stay. On success every fd is valid and specs
 * say what each map must be; on failure fds are untouched. */
int programs_create_maps(
        uint32_t flows_max, uint32_t denials_max, int fds[_PROGRAMS_MAP_MAX]) _warn_unused_result_;

/* What each map must be like. */
int programs_map_specs(uint32_t flows_max, uint32_t denials_max,
        ProgramsMapSpec ret[_PROGRAMS_MAP_MAX]) _warn_unused_result_;

typedef struct ProgramsInput {
        const struct cgp_config *config;
        const uint8_t *tables; /* config->table_size bytes */
        const int *map_fds;    /* _PROGRAMS_MAP_MAX of them; NULL: private maps */
        unsigned hooks;        /* bit per hook: which programs to load */
} ProgramsInput;

typedef struct ProgramsFailure {
        const char *step; /* static: "open", "tables", "load" */
        char log[2048];   /* the end of the verifier's log */
} ProgramsFailure;

/* Loads programs; fds of hooks that are not wanted are -EBADF. The caller closes them.
 * -EINVAL: the verifier refuses; -EOPNOTSUPP: it says that it lacks something; -E2BIG: the tables are
 * larger than this kernel's maps (before 6.7: 4 MiB); -EPERM, -ENOMEM. On failure nothing is left. */
int programs_load(const ProgramsInput *input, ProgramsFailure *reterr,
        int ret_fds[CGP_N_HOOKS]) _warn_unused_result_;

const char *programs_name(unsigned hook); /* "cgp_egress", ... */

/* bpf_attach_type of a hook. */
unsigned programs_attach_type(unsigned hook);

/* Id of a loaded program, and how many instructions the verifier processed (0: the kernel does not tell). */
int programs_info(int prog_fd, uint32_t *ret_id, uint32_t *ret_verified) _warn_unused_result_;

/* The kernel's and libbpf's idea of an errno to ours: 524, which user space never sees by name, is
 * -EOPNOTSUPP. */
int kernel_errno(long r);

/* Where libbpf's messages go; NULL: nowhere. Until the first call they go nowhere, too, once any function
 * of this header was called. */
void programs_set_log(void (*callback)(int level, const char *message));
