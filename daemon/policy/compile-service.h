/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The columns of a grid: protocols and ports, cut where some rule begins or ends to match, and for each
 * rule the columns it matches. Private to the compiler.
 */
#pragma once

#include "policy/compile-grid.h"

/* A service of a rule: the columns first..last. penalty orders services by precedence, smaller is more
 * specific: the width of the port range, then whether the protocol is named. 17 bits. */
typedef struct ServiceSpan {
        uint32_t first;
        uint32_t last;
        uint32_t penalty;
} ServiceSpan;

typedef struct ServiceColumns {
        GridAxis axis;
        uint32_t n_columns;
        ServiceSpan *spans;  /* by entry */
        size_t *first_spans; /* n_entries + 1: where the spans of an entry begin */
} ServiceColumns;

/* Of the entries that have this direction; the others have no spans. Errors as policy_compile(). */
int service_columns_init(ServiceColumns *columns, const PolicyStack *stack, unsigned direction,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void service_columns_done(ServiceColumns *columns);
