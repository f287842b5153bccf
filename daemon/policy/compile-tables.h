/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grids to the tables of an image: merges what no verdict tells apart, shares what is equal. Private to the
 * compiler. */
#pragma once

#include "policy/compile-grid.h"
#include "policy/intern.h"

#define TABLES_NODE_ENTRIES 256U

typedef struct Tables {
        Intern verdicts; /* struct cgp_verdict */
        Intern nodes;    /* TABLES_NODE_ENTRIES * uint16_t; equal nodes of all tries are one */
        uint16_t *cells;
        size_t n_cells;
        struct cgp_view views[CGP_N_VIEWS];
        unsigned actions[CGP_N_VIEWS]; /* bit per CGP_ACTION_* that some key of the view gets */
        PolicyCompileFailure *reterr_failure;
} Tables;

#define TABLES_INIT(failure)                                                  \
        ((Tables){                                                            \
                .verdicts = INTERN_INIT(sizeof(struct cgp_verdict)),          \
                .nodes = INTERN_INIT(TABLES_NODE_ENTRIES * sizeof(uint16_t)), \
                .reterr_failure = (failure),                                  \
        })

void tables_done(Tables *tables);

/* Errors as policy_compile(). */
int tables_add_view(Tables *tables, unsigned view, const Grid *grid) _warn_unused_result_;

/* Makes `view` the same as `other`, which was added. */
void tables_alias_view(Tables *tables, unsigned view, unsigned other);

/* Completes the configuration (everything that describes the tables and what they can say; the members
 * unparsable_* and mode are input) and makes the image of both. Errors as policy_compile(). */
int tables_to_image(const Tables *tables, const struct cgp_config *config,
        PolicyImage **ret) _warn_unused_result_;
