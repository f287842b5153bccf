/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packs grids into tables. Rows, nodes and verdicts are numbered in the order in which a walk over
 * ascending keys meets them, columns in the order of the grid's: equal policies give equal bytes.
 */
#include "policy/compile-tables.h"

#include <errno.h>
#include <string.h>

#include "util/hash.h"
#include "util/macro.h"

#define UNSEEN UINT32_MAX

/* A grid on its way into the tables. */
typedef struct Packing {
        const Grid *grid;
        uint32_t *row_classes;    /* by row of the grid; UNSEEN: no address has it */
        uint32_t *column_classes; /* by column of the grid */
        Intern rows;              /* n_columns verdict indices each; the distinct rows in use */
        uint32_t *columns;        /* by column class: the first column of the grid that has it */
        uint32_t n_column_classes;
} Packing;

void tables_done(Tables *tables) {
        intern_done(&tables->verdicts);
        intern_done(&tables->nodes);
        free(tables->cells);
        tables->cells = NULL;
        tables->n_cells = 0;
}

static void packing_done(Packing *p) {
        free(p->row_classes);
        free(p->column_classes);
        intern_done(&p->rows);
        free(p->columns);
}

static int packing_init(Packing *p, const Grid *grid) {
        p->grid = grid;
        p->rows = INTERN_INIT(grid->n_columns * sizeof(uint16_t));
        p->row_classes = malloc(grid->n_rows * sizeof(*p->row_classes));
        p->column_classes = calloc(grid->n_columns, sizeof(*p->column_classes));
        p->columns = calloc(grid->n_columns, sizeof(*p->columns));
        if (!p->row_classes || !p->column_classes || !p->columns)
                return -ENOMEM;

        memset(p->row_classes, 0xff, grid->n_rows * sizeof(*p->row_classes));
        return 0;
}

/* Translates the rows that some address has into verdict indices of the image, and merges equal ones. */
static int packing_merge_rows(Packing *p, Tables *tables, unsigned view) {
        const Grid *grid = p->grid;
        _cleanup_free_ uint32_t *map = malloc(grid->n_verdicts * sizeof(*map));
        _cleanup_free_ uint16_t *row = calloc(grid->n_columns, sizeof(*row));
        int r;

        if (!map || !row)
                return -ENOMEM;
        memset(map, 0xff, grid->n_verdicts * sizeof(*map));

        for (unsigned a = GRID_IPV4; a <= GRID_IPV6; a++)
                for (size_t i = 0; i < grid->axes[a].n_breaks; i++) {
                        uint32_t class = grid->axes[a].breaks[i].class;
                        const uint16_t *cells = grid->cells + (size_t) class * grid->n_columns;

                        if (p->row_classes[class] != UNSEEN)
                                continue;
                        for (uint32_t c = 0; c < grid->n_columns; c++) {
                                const struct cgp_verdict *verdict = &grid->verdicts[cells[c]];

                                if (map[cells[c]] == UNSEEN) {
                                        r = intern_add(&tables->verdicts, verdict, &map[cells[c]]);
                                        if (r < 0)
                                                return r;
                                        tables->actions[view] |= 1U << verdict->action;
                                }
                                row[c] = map[cells[c]];
                        }
                        r = intern_add(&p->rows, row, &p->row_classes[class]);
                        if (r < 0)
                                return r;
                        if (tables->verdicts.n_blobs > CGP_MAX_VERDICTS)
                                return grid_fail(tables->reterr_failure, "verdicts",
                                        tables->verdicts.n_blobs, CGP_MAX_VERDICTS);
                }
        return 0;
}

static const uint16_t *packing_row(const Packing *p, uint32_t class) {
        return intern_get(&p->rows, class);
}

/* One try at merging equal columns by a hash of them. Returns 1 if all that got one class are equal, 0 if
 * the hash deceived. */
static int packing_try_columns(Packing *p, uint64_t seed) {
        _cleanup_(intern_done) Intern hashes = INTERN_INIT(sizeof(uint64_t));
        _cleanup_free_ uint64_t *hash = NULL;
        uint32_t n_columns = p->grid->n_columns;
        uint16_t difference = 0;
        int r;

        hash = malloc(n_columns * sizeof(*hash));
        if (!hash)
                return -ENOMEM;

        for (uint32_t c = 0; c < n_columns; c++)
                hash[c] = seed;
        for (uint32_t i = 0; i < p->rows.n_blobs; i++) {
                const uint16_t *row = packing_row(p, i);

                for (uint32_t c = 0; c < n_columns; c++) {
                        hash[c] = (hash[c] + row[c]) * 0x9e3779b97f4a7c15ULL;
                        hash[c] ^= hash[c] >> 29;
                }
        }

        for (uint32_t c = 0; c < n_columns; c++) {
                r = intern_add(&hashes, &hash[c], &p->column_classes[c]);
                if (r < 0)
                        return r;
                if (r > 0)
                        p->columns[p->column_classes[c]] = c;
        }
        p->n_column_classes = hashes.n_blobs;

        for (uint32_t i = 0; i < p->rows.n_blobs; i++) {
                const uint16_t *row = packing_row(p, i);

                for (uint32_t c = 0; c < n_columns; c++)
                        difference |= row[c] ^ row[p->columns[p->column_classes[c]]];
        }
        return difference == 0;
}

static int packing_merge_columns(Packing *p) {
        int r;

        for (uint64_t seed = 1;; seed++) {
                r = packing_try_columns(p, seed);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
}

/* Writes the cells of the distinct rows and columns, or finds that another view has the same. */
static int packing_write_matrix(const Packing *p, Tables *tables, struct cgp_view *view) {
        size_t n = (size_t)p->rows.n_blobs * p->n_column_classes;
        _cleanup_free_ uint16_t *matrix = NULL;
        uint16_t *cells = NULL;

        if (p->rows.n_blobs > CGP_ENTRY_MASK + 1)
                return grid_fail(
                        tables->reterr_failure, "classes", p->rows.n_blobs, CGP_ENTRY_MASK + 1);
        if (p->n_column_classes > CGP_ENTRY_MASK + 1)
                return grid_fail(
                        tables->reterr_failure, "classes", p->n_column_classes, CGP_ENTRY_MASK + 1);

        matrix = malloc(n * sizeof(*matrix));
        if (!matrix)
                return -ENOMEM;
        for (uint32_t i = 0; i < p->rows.n_blobs; i++)
                for (uint32_t c = 0; c < p->n_column_classes; c++)
                        matrix[(size_t)i * p->n_column_classes + c] =
                                packing_row(p, i)[p->columns[c]];

        view->n_address_classes = p->rows.n_blobs;
        view->n_port_classes = p->n_column_classes;

        for (unsigned v = 0; v < CGP_N_VIEWS; v++) {
                const struct cgp_view *other = &tables->views[v];

                if ((size_t)other->n_address_classes * other->n_port_classes == n &&
                        memcmp(tables->cells + other->matrix, matrix, n * sizeof(*matrix)) == 0) {
                        view->matrix = other->matrix;
                        return 0;
                }
        }

        if (tables->n_cells + n > CGP_MAX_CELLS)
                return grid_fail(
                        tables->reterr_failure, "cells", tables->n_cells + n, CGP_MAX_CELLS);
        cells = reallocarray(tables->cells, tables->n_cells + n, sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        memcpy(cells + tables->n_cells, matrix, n * sizeof(*cells));
        view->matrix = tables->n_cells;
        tables->cells = cells;
        tables->n_cells += n;
        return 0;
}

/* A trie under construction: keys are visited in ascending order, `at` is the break that the present key
 * belongs to. */
typedef struct Trie {
        Tables *tables;
        GridAxis axis; /* classes of the image, merged */
        size_t at;
} Trie;

static void trie_done(Trie *trie) {
        grid_axis_done(&trie->axis);
}

static unsigned key_byte(GridKey key, unsigned n) {
        return n < 8 ? key.hi >> (56 - 8 * n) & 0xff : key.lo >> (120 - 8 * n) & 0xff;
}

static GridKey key_with_byte(GridKey key, unsigned n, uint64_t byte) {
        if (n < 8)
                key.hi |= byte << (56 - 8 * n);
        else
                key.lo |= byte << (120 - 8 * n);
        return key;
}

/* Goes on to the break that start belongs to. Returns the next one if it comes before end, else NULL: then
 * all of start to end is one class. */
static const GridBreak *trie_seek(Trie *trie, GridKey start, GridKey end) {
        const GridBreak *breaks = trie->axis.breaks;
        size_t n = trie->axis.n_breaks;

        while (trie->at + 1 < n && grid_key_compare(breaks[trie->at + 1].start, start) <= 0)
                trie->at++;
        if (trie->at + 1 == n || grid_key_compare(breaks[trie->at + 1].start, end) > 0)
                return NULL;
        return &breaks[trie->at + 1];
}

/* The entry for all keys that share the first n_bytes bytes with start. */
static int trie_build(Trie *trie, GridKey start, unsigned n_bytes, uint32_t *ret_entry) {
        GridKey end = grid_key_end(start, n_bytes * 8);
        uint16_t node[TABLES_NODE_ENTRIES];
        uint32_t entry;
        int r;

        if (!trie_seek(trie, start, end)) {
                *ret_entry = CGP_ENTRY_LEAF | trie->axis.breaks[trie->at].class;
                return 0;
        }

        for (unsigned i = 0; i < TABLES_NODE_ENTRIES; i++) {
                const GridBreak *next = trie_seek(trie, key_with_byte(start, n_bytes, i), end);
                unsigned cut = next ? key_byte(next->start, n_bytes) : TABLES_NODE_ENTRIES;

                while (i < cut)
                        node[i++] = CGP_ENTRY_LEAF | trie->axis.breaks[trie->at].class;
                if (!next)
                        break;
                r = trie_build(trie, key_with_byte(start, n_bytes, cut), n_bytes + 1, &entry);
                if (r < 0)
                        return r;
                node[cut] = entry;
        }

        r = intern_add(&trie->tables->nodes, node, ret_entry);
        if (r < 0)
                return r;
        if (trie->tables->nodes.n_blobs > CGP_MAX_NODES)
                return grid_fail(trie->tables->reterr_failure, "nodes", trie->tables->nodes.n_blobs,
                        CGP_MAX_NODES);
        return 0;
}

static int tables_add_trie(
        Tables *tables, const GridAxis *axis, const uint32_t *classes, uint32_t *ret_root) {
        _cleanup_(trie_done) Trie trie = { .tables = tables };
        int r;

        for (size_t i = 0; i < axis->n_breaks; i++) {
                r = grid_axis_add(
                        &trie.axis, axis->breaks[i].start, classes[axis->breaks[i].class]);
                if (r < 0)
                        return r;
        }
        return trie_build(&trie, (GridKey){}, 0, ret_root);
}

int tables_add_view(Tables *tables, unsigned view, const Grid *grid) {
        _cleanup_(packing_done) Packing p = {};
        struct cgp_view v = {};
        int r;

        r = packing_init(&p, grid);
        if (r < 0)
                return r;
        r = packing_merge_rows(&p, tables, view);
        if (r < 0)
                return r;
        r = packing_merge_columns(&p);
        if (r < 0)
                return r;
        r = packing_write_matrix(&p, tables, &v);
        if (r < 0)
                return r;
        r = tables_add_trie(tables, &grid->axes[GRID_IPV4], p.row_classes, &v.root4);
        if (r < 0)
                return r;
        r = tables_add_trie(tables, &grid->axes[GRID_IPV6], p.row_classes, &v.root6);
        if (r < 0)
                return r;
        r = tables_add_trie(tables, &grid->axes[GRID_SERVICE], p.column_classes, &v.root_proto);
        if (r < 0)
                return r;

        tables->views[view] = v;
        return 0;
}

void tables_alias_view(Tables *tables, unsigned view, unsigned other) {
        tables->views[view] = tables->views[other];
        tables->actions[view] = tables->actions[other];
}

static uint32_t tables_features(const Tables *tables, const struct cgp_config *config) {
        unsigned in = tables->actions[CGP_VIEW_IN] | tables->actions[CGP_VIEW_IN_MULTICAST];
        unsigned all = tables->actions[CGP_VIEW_OUT] | in | 1U << config->unparsable_out.action |
                1U << config->unparsable_in.action;
        uint32_t features = 0;

        if (config->mode == CGP_MODE_OFF || all == 1U << CGP_ACTION_ALLOW)
                features |= CGP_FEATURE_OPEN;
        if (tables->actions[CGP_VIEW_OUT] & 1U << CGP_ACTION_NEVER)
                features |= CGP_FEATURE_NEVER_OUT;
        if (in & 1U << CGP_ACTION_NEVER)
                features |= CGP_FEATURE_NEVER_IN;
        return features;
}

int tables_to_image(const Tables *tables, const struct cgp_config *config, PolicyImage **ret) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        size_t verdicts_size = tables->verdicts.n_blobs * tables->verdicts.blob_size;
        size_t nodes_size = tables->nodes.n_blobs * tables->nodes.blob_size;
        size_t matrix_size = tables->n_cells * sizeof(uint16_t);
        size_t size = (verdicts_size + nodes_size + matrix_size + 7) & ~(size_t)7;

        if (size > CGP_MAX_TABLE_SIZE)
                return grid_fail(tables->reterr_failure, "table size", size, CGP_MAX_TABLE_SIZE);

        image = calloc(1, sizeof(*image));
        if (!image)
                return -ENOMEM;
        image->tables = calloc(1, size);
        if (!image->tables)
                return -ENOMEM;

        image->config = *config;
        image->config.abi_version = CGP_ABI_VERSION;
        image->config.features = tables_features(tables, config);
        image->config.n_verdicts = tables->verdicts.n_blobs;
        image->config.n_nodes = tables->nodes.n_blobs;
        image->config.n_cells = tables->n_cells;
        image->config.nodes = verdicts_size;
        image->config.matrix = verdicts_size + nodes_size;
        image->config.table_size = size;
        memcpy(image->config.view, tables->views, sizeof(tables->views));

        memcpy(image->tables, tables->verdicts.blobs, verdicts_size);
        if (nodes_size > 0)
                memcpy(image->tables + image->config.nodes, tables->nodes.blobs, nodes_size);
        memcpy(image->tables + image->config.matrix, tables->cells, matrix_size);

        image->hash = hash64(&image->config, sizeof(image->config), 0);
        image->hash = hash64(image->tables, size, image->hash);
        if (image->hash == 0)
                image->hash = 1;

        *ret = TAKE_PTR(image);
        return 0;
}
