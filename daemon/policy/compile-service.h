/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The columns of a view: protocols and ports, cut where some rule begins or ends to match. Private
 * to the compiler.
 */
#pragma once

#include "policy/compile-line.h"
#include "policy/compile-source.h"
#include "policy/compile-trie.h"

#define SERVICE_PROTOCOLS 256U
#define SERVICE_OTHER     SERVICE_PROTOCOLS /* protocols that no rule names: they share columns */
#define SERVICE_LISTS     (SERVICE_PROTOCOLS + 1)
#define SERVICE_KEY_BITS  24U
#define COLUMNS_MAX       (1024U * 1024)

/* The columns of one protocol, or of the others, in order of ports. */
typedef struct ServiceList {
        uint64_t *bounds; /* bit per port at which a column starts; NULL: no list of its own */
        uint16_t *starts; /* the same, as numbers */
        uint32_t n_starts;
        uint32_t first_column;
} ServiceList;

typedef struct ServiceColumns {
        ServiceList lists[SERVICE_LISTS];
        uint32_t n_columns;                /* those of named protocols first, in order */
        uint16_t named[SERVICE_PROTOCOLS]; /* protocols with a list of their own, ascending */
        size_t n_named;
} ServiceColumns;

/* Columns first..last match a service. penalty orders services by precedence, smaller is more
 * specific: the width of the port range, then whether the protocol is named. 17 bits. */
typedef struct ServiceSpan {
        uint32_t first;
        uint32_t last;
        uint32_t penalty;
} ServiceSpan;

/* Columns that no rule of this direction (POLICY_DIRECTION_*) of any of the sources cuts in two.
 * Errors as policy_compile(). */
int service_columns_init(ServiceColumns *columns, const GridSource *sources, size_t n_sources,
        unsigned direction, PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void service_columns_done(ServiceColumns *columns);

/* Writes the spans of a service, which is one that the columns were made for; returns their
 * number. */
size_t service_columns_spans(const ServiceColumns *columns, const PolicyService *service,
        ServiceSpan spans[SERVICE_LISTS]);

/* Runs over columns as breaks over the keys of the service trie; *breaks grows. -ENOMEM. */
int service_columns_breaks(const ServiceColumns *columns, const LineRun *runs, size_t n_runs,
        TrieBreak **breaks, size_t *n_allocated, size_t *ret_n_breaks) _warn_unused_result_;
