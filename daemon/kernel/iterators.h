/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The programs that list sockets. The only place that knows their generated skeleton. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef enum IteratorType {
        ITERATOR_TCP,
        ITERATOR_UDP,
        _ITERATOR_MAX,
} IteratorType;

typedef struct Iterators Iterators;

/* Loads them. sk_fd: the map cgp_sk; negative: one of their own. log (may be NULL) gets the verifier's words about the
 * first. -EOPNOTSUPP: the kernel has no BTF, or lacks a field, a helper or the iterators; -ENOMEM, -EPERM, -EMFILE. */
int iterators_load(int sk_fd, char *log, size_t log_size, Iterators **ret) _warn_unused_result_;
Iterators *iterators_free(Iterators *iterators);
DEFINE_CLEANUP(Iterators *, iterators_freep, iterators_free);

int iterators_prog_fd(const Iterators *iterators, IteratorType type);

/* A file that gives a struct cgp_socket for each socket of the caller's network namespace that was made in this
 * cgroup or below it. One at a time: the cgroup is that of the last call. */
int iterators_open(Iterators *iterators, IteratorType type, uint64_t cgroup_id,
        int *ret_fd) _warn_unused_result_;
