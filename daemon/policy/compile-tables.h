/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grids to the tables of an image: merges what no verdict tells apart, shares what is equal.
 * Private to the compiler. */
#pragma once

#include "policy/compile-grid.h"
#include "policy/compile-trie.h"

/* A matrix up to this size is not compared with lines: it is one step less, and small anyhow. */
#define TABLES_MATRIX_SMALL (64U * 1024)

/* From so many rows on addresses leave the paths to services. */
#define TABLES_ROWS_LARGE      2048U
#define TABLES_PATH_COST_LARGE 4096U /* several nodes */

/* Matrices, pairs and classes of all views. */
#define TABLES_PARTS_MAX (3U * CGP_N_VIEWS)

typedef struct TablesPart {
        uint32_t first; /* among the cells */
        uint32_t n;
} TablesPart;

typedef struct Tables {
        Intern verdicts; /* struct cgp_verdict */
        Tries tries;
        Intern lows;     /* uint16_t: where walks of the last 64 bits begin; the first cells */
        uint16_t *cells; /* behind those */
        size_t n_cells;
        size_t n_cells_allocated;
        TablesPart parts[TABLES_PARTS_MAX];
        size_t n_parts;
        struct cgp_view views[CGP_N_VIEWS]; /* indices of cells do not count the lows yet */
        unsigned actions[CGP_N_VIEWS]; /* bit per CGP_ACTION_* that some key of the view gets */
        uint32_t n_places;
        size_t size_max;
        PolicyCompileFailure *reterr_failure;
} Tables;

#define TABLES_INIT(max, failure)                                    \
        ((Tables){                                                   \
                .verdicts = INTERN_INIT(sizeof(struct cgp_verdict)), \
                .tries = TRIES_INIT,                                 \
                .lows = INTERN_INIT(sizeof(uint16_t)),               \
                .n_places = 1,                                       \
                .size_max = (max),                                   \
                .reterr_failure = (failure),                         \
        })

void tables_done(Tables *tables);

/* sources: by side of the grid's decisions. n_places is that of all views. Errors as
 * policy_compile(). */
int tables_add_view(Tables *tables, unsigned view, const Grid *grid, GridSpace *space,
        const GridSource *sources) _warn_unused_result_;

/* Makes `view` the same as `other`, which was added. */
void tables_alias_view(Tables *tables, unsigned view, unsigned other);

static inline bool tables_ask_sets(const Tables *tables) {
        for (unsigned v = 0; v < CGP_N_VIEWS; v++)
                if (tables->views[v].n_set_classes > 1)
                        return true;
        return false;
}

/* Completes the configuration (everything that describes the tables and what they can say; the
 * members unparsable_*, mode, and those of places and sets are input) and makes the image of both.
 * Errors as policy_compile(). */
int tables_to_image(const Tables *tables, const struct cgp_config *config,
        PolicyImage **ret) _warn_unused_result_;

/* -E2BIG of tries_add(), said in our words. */
int tables_tries_fail(const Tables *tables, int r);

/* The tries of both families over the grid's axes; classes: by row of the grid. Errors as
 * policy_compile(). */
int tables_add_addresses(Tables *tables, const Grid *grid, const uint32_t *classes,
        struct cgp_view *view) _warn_unused_result_;

/* Appends cells, or finds them where another part has them. Errors as policy_compile(). */
int tables_add_part(
        Tables *tables, const uint16_t *cells, size_t n, uint32_t *ret_first) _warn_unused_result_;
