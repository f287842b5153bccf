/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packs grids into tables. Verdicts, rows and classes are numbered in the order in which a walk
 * over ascending keys meets them: equal policies give equal bytes, whatever their counters.
 */
#include "policy/compile-tables.h"

#include <errno.h>

#include "policy/compile-layout.h"
#include "util/hash.h"
#include "util/macro.h"

/* A leaf of the first 64 bits of an IPv6 address has a bit that says whether a row or a cell
 * follows. */
#define LEAF6_MAX (CGP_LEAF_MASK >> 1)

static size_t round8(size_t n) {
        return (n + 7) & ~(size_t)7;
}

void tables_done(Tables *tables) {
        intern_done(&tables->verdicts);
        tries_done(&tables->tries);
        intern_done(&tables->lows);
        free(TAKE_PTR(tables->cells));
        tables->n_cells = 0;
}

int tables_tries_fail(const Tables *tables, int r) {
        bool nodes = tables->tries.nodes.n_blobs >= CGP_MAX_NODES;

        if (r != -E2BIG)
                return r;
        return compile_fail(tables->reterr_failure, nodes ? "nodes" : "paths",
                (nodes ? CGP_MAX_NODES : CGP_MAX_PATHS) + 1U,
                nodes ? CGP_MAX_NODES : CGP_MAX_PATHS);
}

int tables_add_part(Tables *tables, const uint16_t *cells, size_t n, uint32_t *ret_first) {
        int r;

        for (size_t i = 0; i < tables->n_parts; i++)
                if (tables->parts[i].n == n &&
                        memcmp(tables->cells + tables->parts[i].first, cells, n * sizeof(*cells)) ==
                                0) {
                        *ret_first = tables->parts[i].first;
                        return 0;
                }

        if (tables->n_cells + n > CGP_MAX_CELLS)
                return compile_fail(
                        tables->reterr_failure, "cells", tables->n_cells + n, CGP_MAX_CELLS);
        r = compile_reserve(&tables->cells, &tables->n_cells_allocated, tables->n_cells + n,
                sizeof(*tables->cells));
        if (r < 0)
                return r;
        assert(tables->n_parts < ELEMENTSOF(tables->parts));
        memcpy(tables->cells + tables->n_cells, cells, n * sizeof(*cells));
        tables->parts[tables->n_parts++] = (TablesPart){ tables->n_cells, n };
        *ret_first = tables->n_cells;
        tables->n_cells += n;
        return 0;
}

/* Breaks of one trie under construction. */
typedef struct TrieWriter {
        TrieBreak *breaks;
        size_t n_breaks;
        size_t n_allocated;
} TrieWriter;

static void trie_writer_done(TrieWriter *w) {
        free(w->breaks);
}

static int trie_push(TrieWriter *w, uint64_t start, uint16_t value) {
        int r;

        if (w->n_breaks > 0 && w->breaks[w->n_breaks - 1].value == value)
                return 0;
        r = compile_reserve(&w->breaks, &w->n_allocated, w->n_breaks + 1, sizeof(*w->breaks));
        if (r < 0)
                return r;
        w->breaks[w->n_breaks++] = (TrieBreak){ .start = start, .value = value };
        return 0;
}

static int tables_add_ipv4(
        Tables *tables, const GridAxis *axis, const uint32_t *classes, uint16_t *ret_root) {
        _cleanup_(trie_writer_done) TrieWriter w = {};
        int r;

        for (size_t i = 0; i < axis->n_breaks; i++) {
                uint32_t class = classes[axis->breaks[i].row];

                if (class > CGP_LEAF_MASK)
                        return compile_fail(
                                tables->reterr_failure, "classes", class + 1U, CGP_LEAF_MASK + 1U);
                r = trie_push(&w, axis->breaks[i].start.hi, class);
                if (r < 0)
                        return r;
        }
        return tables_tries_fail(
                tables, tries_add(&tables->tries, w.breaks, w.n_breaks, 32, ret_root));
}

/* The leaf for one value of the first 64 bits, within which breaks first..end - 1 lie. before: the
 * class ahead of the first of them. */
static int tables_add_low(Tables *tables, const GridAxis *axis, const uint32_t *classes,
        size_t first, size_t end, uint32_t before, uint16_t *ret_leaf) {
        _cleanup_(trie_writer_done) TrieWriter w = {};
        uint16_t entry;
        uint32_t cell;
        int r;

        r = axis->breaks[first].start.lo != 0 ? trie_push(&w, 0, before) : 0;
        for (size_t i = first; r >= 0 && i < end; i++)
                r = trie_push(&w, axis->breaks[i].start.lo, classes[axis->breaks[i].row]);
        if (r < 0)
                return r;
        if (w.n_breaks == 1) {
                *ret_leaf = w.breaks[0].value << 1;
                return 0;
        }

        r = tries_add(&tables->tries, w.breaks, w.n_breaks, 64, &entry);
        if (r < 0)
                return tables_tries_fail(tables, r);
        r = intern_add(&tables->lows, &entry, &cell);
        if (r < 0)
                return r;
        if (cell > LEAF6_MAX)
                return compile_fail(tables->reterr_failure, "classes", cell + 1U, LEAF6_MAX + 1U);
        *ret_leaf = cell << 1 | 1;
        return 0;
}

static int tables_add_ipv6(
        Tables *tables, const GridAxis *axis, const uint32_t *classes, uint16_t *ret_root) {
        _cleanup_(trie_writer_done) TrieWriter w = {};
        uint32_t class = 0;
        size_t next;
        int r;

        for (size_t i = 0; i < axis->n_breaks; i++)
                if (classes[axis->breaks[i].row] > LEAF6_MAX)
                        return compile_fail(tables->reterr_failure, "classes",
                                classes[axis->breaks[i].row] + 1U, LEAF6_MAX + 1U);

        for (size_t i = 0; i < axis->n_breaks; i = next) {
                uint64_t hi = axis->breaks[i].start.hi;
                uint16_t leaf = 0;

                for (next = i + 1; next < axis->n_breaks && axis->breaks[next].start.hi == hi;)
                        next++;
                r = tables_add_low(tables, axis, classes, i, next, class, &leaf);
                if (r < 0)
                        return r;
                r = trie_push(&w, hi, leaf);
                if (r < 0)
                        return r;
                class = classes[axis->breaks[next - 1].row];
                if (hi == UINT64_MAX ||
                        (next < axis->n_breaks && axis->breaks[next].start.hi == hi + 1))
                        continue;
                r = trie_push(&w, hi + 1, class << 1);
                if (r < 0)
                        return r;
        }
        return tables_tries_fail(
                tables, tries_add(&tables->tries, w.breaks, w.n_breaks, 64, ret_root));
}

/* The paths of a large policy are for its services, where nodes would be several for one. */
int tables_add_addresses(
        Tables *tables, const Grid *grid, const uint32_t *classes, struct cgp_view *view) {
        const uint32_t path_cost = tables->tries.path_cost;
        int r;

        if (grid->n_rows > TABLES_ROWS_LARGE)
                tables->tries.path_cost = TABLES_PATH_COST_LARGE;
        r = tables_add_ipv6(tables, &grid->axes[GRID_IPV6], classes, &view->root6);
        if (r >= 0)
                r = tables_add_ipv4(tables, &grid->axes[GRID_IPV4], classes, &view->root4);
        tables->tries.path_cost = path_cost;
        return r;
}

/* A grid on its way into the tables. */
typedef struct Packing {
        Tables *tables;
        const Grid *grid;
        GridSpace *space;
        const GridSource *sources;
        unsigned view;
        LineOp number;
        int error;
        Intern distinct;       /* Line of verdicts */
        Intern rows;           /* n_layers numbers of distinct lines */
        uint32_t *pairs;       /* rows, [row of the grid][class] */
        Intern trie_rows;      /* n_classes rows: what the address tries give */
        uint32_t *row_classes; /* by row of the grid: its trie row */
        uint32_t *set_classes; /* by class of the grid: its class */
        uint32_t *set_first;   /* by class: the first class of the grid that it is */
        uint32_t n_set_classes;
} Packing;

static void packing_done(Packing *p) {
        line_op_done(&p->number);
        intern_done(&p->distinct);
        intern_done(&p->rows);
        intern_done(&p->trie_rows);
        free(p->pairs);
        free(p->row_classes);
        free(p->set_classes);
        free(p->set_first);
}

/* The number of a decision's verdict in the image. */
static uint64_t number(void *userdata, uint64_t decision, uint64_t same) {
        Packing *p = userdata;
        Tables *tables = p->tables;
        struct cgp_verdict verdict = grid_verdict(p->sources, p->view, decision);
        uint32_t i = 0;
        int r;

        if (p->error < 0)
                return 0;
        r = intern_add(&tables->verdicts, &verdict, &i);
        if (r < 0)
                p->error = r;
        else if (i >= CGP_MAX_VERDICTS)
                p->error = compile_fail(
                        tables->reterr_failure, "verdicts", i + (size_t)1, CGP_MAX_VERDICTS);
        tables->actions[p->view] |= 1U << verdict.action;
        return i;
}

static int packing_line(Packing *p, Line decisions, uint32_t *ret_number) {
        Line line;
        int r;

        r = lines_apply(&p->space->lines, &p->number, decisions, decisions, &line);
        if (p->error < 0)
                return p->error;
        if (r < 0)
                return lines_fail(r, p->tables->reterr_failure);
        r = intern_add(&p->distinct, &line, ret_number);
        return r < 0 ? r : 0;
}

/* Rows by what their lines say in all layers. */
static int packing_fill_rows(Packing *p) {
        const Grid *grid = p->grid;
        _cleanup_free_ uint32_t *lines = calloc(grid->n_layers, sizeof(*lines));
        int r;

        p->pairs = calloc((size_t)grid->n_rows * grid->n_classes, sizeof(*p->pairs));
        if (!lines || !p->pairs)
                return -ENOMEM;

        for (uint32_t row = 0; row < grid->n_rows; row++)
                for (uint32_t class = 0; class < grid->n_classes; class ++) {
                        for (uint32_t l = 0; l < grid->n_layers; l++) {
                                r = packing_line(p, grid_lines(grid, row, class)[l], &lines[l]);
                                if (r < 0)
                                        return r;
                        }
                        r = intern_add(
                                &p->rows, lines, &p->pairs[(size_t)row * grid->n_classes + class]);
                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Rows of the grid and classes of sets that no verdict tells apart become one. */
static int packing_merge(Packing *p) {
        const Grid *grid = p->grid;
        _cleanup_(intern_done) Intern classes = {};
        _cleanup_free_ uint32_t *class_rows = NULL;
        int r;

        p->row_classes = calloc(grid->n_rows, sizeof(*p->row_classes));
        p->set_classes = calloc(grid->n_classes, sizeof(*p->set_classes));
        p->set_first = calloc(grid->n_classes, sizeof(*p->set_first));
        if (!p->row_classes || !p->set_classes || !p->set_first)
                return -ENOMEM;

        for (uint32_t row = 0; row < grid->n_rows; row++) {
                r = intern_add(&p->trie_rows, p->pairs + (size_t)row * grid->n_classes,
                        &p->row_classes[row]);
                if (r < 0)
                        return r;
        }

        classes = INTERN_INIT(p->trie_rows.n_blobs * sizeof(uint32_t));
        class_rows = calloc(p->trie_rows.n_blobs, sizeof(*class_rows));
        if (!class_rows)
                return -ENOMEM;
        for (uint32_t class = 0; class < grid->n_classes; class ++) {
                for (uint32_t t = 0; t < p->trie_rows.n_blobs; t++)
                        class_rows[t] = ((const uint32_t *)intern_get(&p->trie_rows, t))[class];
                r = intern_add(&classes, class_rows, &p->set_classes[class]);
                if (r < 0)
                        return r;
                if (r > 0)
                        p->set_first[p->set_classes[class]] = class;
        }
        p->n_set_classes = classes.n_blobs;
        return 0;
}

static int packing_write_sets(const Packing *p, struct cgp_view *view) {
        const Grid *grid = p->grid;
        size_t n_pairs = p->trie_rows.n_blobs * p->n_set_classes;
        _cleanup_free_ uint16_t *classes = NULL, *pairs = NULL;
        int r;

        if (p->rows.n_blobs > UINT16_MAX + 1U)
                return compile_fail(
                        p->tables->reterr_failure, "classes", p->rows.n_blobs, UINT16_MAX + 1U);
        if (n_pairs > CGP_MAX_CELLS)
                return compile_fail(p->tables->reterr_failure, "cells", n_pairs, CGP_MAX_CELLS);

        classes = calloc(grid->n_combinations, sizeof(*classes));
        pairs = calloc(n_pairs, sizeof(*pairs));
        if (!classes || !pairs)
                return -ENOMEM;
        for (size_t i = 0; i < grid->n_combinations; i++)
                classes[i] = p->set_classes[grid->set_classes[i]];
        for (uint32_t t = 0; t < p->trie_rows.n_blobs; t++) {
                const uint32_t *rows = intern_get(&p->trie_rows, t);

                for (uint32_t k = 0; k < p->n_set_classes; k++)
                        pairs[(size_t)t * p->n_set_classes + k] = rows[p->set_first[k]];
        }

        view->n_set_classes = p->n_set_classes;
        r = tables_add_part(p->tables, classes, grid->n_combinations, &view->set_classes);
        if (r < 0)
                return r;
        return tables_add_part(p->tables, pairs, n_pairs, &view->pairs);
}

/* Rows of all places, and the tables that their verdicts are in. */
static int packing_write_lines(const Packing *p, struct cgp_view *view) {
        const Grid *grid = p->grid;
        size_t n_rows = p->rows.n_blobs, n = n_rows * p->tables->n_places;
        _cleanup_free_ uint32_t *lines = NULL;
        Layout layout = {
                .tables = p->tables,
                .space = p->space,
                .distinct = intern_get(&p->distinct, 0),
                .n_distinct = p->distinct.n_blobs,
                .n_lines = n,
        };

        if (n > CGP_MAX_CELLS)
                return compile_fail(p->tables->reterr_failure, "cells", n, CGP_MAX_CELLS);
        layout.lines = lines = calloc(n, sizeof(*lines));
        if (!lines)
                return -ENOMEM;
        for (uint32_t place = 0; place < p->tables->n_places; place++)
                for (size_t row = 0; row < n_rows; row++) {
                        const uint32_t *layers = intern_get(&p->rows, row);

                        lines[place * n_rows + row] =
                                layers[grid->n_places == 1 ? 0 : grid->layers[place]];
                }

        view->n_rows = n_rows;
        return layout_write(&layout, view);
}

int tables_add_view(Tables *tables, unsigned view, const Grid *grid, GridSpace *space,
        const GridSource *sources) {
        _cleanup_(packing_done) Packing p = {
                .tables = tables,
                .grid = grid,
                .space = space,
                .sources = sources,
                .view = view,
                .number = LINE_OP_INIT(number, &p),
                .distinct = INTERN_INIT(sizeof(Line)),
                .rows = INTERN_INIT(grid->n_layers * sizeof(uint32_t)),
                .trie_rows = INTERN_INIT(grid->n_classes * sizeof(uint32_t)),
        };
        struct cgp_view v = {};
        int r;

        assert(grid->n_places == 1 || grid->n_places == tables->n_places);

        r = packing_fill_rows(&p);
        if (r < 0)
                return r;
        r = packing_merge(&p);
        if (r < 0)
                return r;
        r = tables_add_addresses(tables, grid, p.row_classes, &v);
        if (r < 0)
                return r;
        v.n_trie_rows = p.trie_rows.n_blobs;
        if (p.n_set_classes > 1) {
                r = packing_write_sets(&p, &v);
                if (r < 0)
                        return r;
        }
        r = packing_write_lines(&p, &v);
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
        unsigned in = tables->actions[CGP_VIEW_IN] | tables->actions[CGP_VIEW_IN_MULTICAST] |
                tables->actions[CGP_VIEW_IN_BROADCAST];
        unsigned all = tables->actions[CGP_VIEW_OUT] | in | 1U << config->unparsable_out.action |
                1U << config->unparsable_in.action;
        bool off = config->mode == CGP_MODE_OFF;
        uint32_t features = 0;

        if (off || all == 1U << CGP_ACTION_ALLOW)
                features |= CGP_FEATURE_OPEN;
        if (tables->actions[CGP_VIEW_OUT] & 1U << CGP_ACTION_NEVER)
                features |= CGP_FEATURE_NEVER_OUT;
        if (in & 1U << CGP_ACTION_NEVER)
                features |= CGP_FEATURE_NEVER_IN;
        if (!off && tables->actions[CGP_VIEW_BIND] != 1U << CGP_ACTION_ALLOW)
                features |= CGP_FEATURE_BIND;
        if (tables->n_places > 1)
                features |= CGP_FEATURE_PLACE;
        if (tables_ask_sets(tables))
                features |= CGP_FEATURE_SETS;
        return features;
}

/* Sizes and offsets. Where the cells of low walks come first, all others lie behind them. */
static void tables_describe(const Tables *tables, struct cgp_config *config) {
        uint32_t n_lows = tables->lows.n_blobs;

        config->abi_version = CGP_ABI_VERSION;
        config->features = tables_features(tables, config);
        config->n_verdicts = tables->verdicts.n_blobs;
        config->verdicts = round8(sizeof(*config));
        config->n_nodes = tables->tries.nodes.n_blobs;
        config->n_paths = tables->tries.paths.n_blobs;
        config->paths = config->n_nodes * tables->tries.nodes.blob_size;
        config->n_cells = n_lows + tables->n_cells;
        config->cells = config->paths + config->n_paths * sizeof(struct cgp_path);
        config->n_places = tables->n_places;
        memcpy(config->view, tables->views, sizeof(config->view));
        for (unsigned v = 0; v < CGP_N_VIEWS; v++) {
                config->view[v].matrix += n_lows;
                if (config->view[v].n_set_classes <= 1)
                        continue;
                config->view[v].set_classes += n_lows;
                config->view[v].pairs += n_lows;
        }
}

static void copy(uint8_t *to, const void *from, size_t size) {
        if (size > 0)
                memcpy(to, from, size);
}

int tables_to_image(const Tables *tables, const struct cgp_config *config, PolicyImage **ret) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        size_t size, n_lows = tables->lows.n_blobs;

        image = calloc(1, sizeof(*image));
        if (!image)
                return -ENOMEM;
        image->config = *config;
        tables_describe(tables, &image->config);

        /* What programs index has a smallest size. */
        size = round8(image->config.cells + (size_t)image->config.n_cells * sizeof(uint16_t));
        size = MAX(size, (size_t)64);
        if (size > tables->size_max)
                return compile_fail(tables->reterr_failure, "table size", size, tables->size_max);
        image->config.table_size = size;

        image->verdicts = calloc(tables->verdicts.n_blobs, sizeof(*image->verdicts));
        image->tables = calloc(1, size);
        if (!image->verdicts || !image->tables)
                return -ENOMEM;
        memcpy(image->verdicts, tables->verdicts.blobs,
                tables->verdicts.n_blobs * sizeof(*image->verdicts));
        copy(image->tables, tables->tries.nodes.blobs, image->config.paths);
        copy(image->tables + image->config.paths, tables->tries.paths.blobs,
                image->config.n_paths * sizeof(struct cgp_path));
        copy(image->tables + image->config.cells, tables->lows.blobs, n_lows * sizeof(uint16_t));
        copy(image->tables + image->config.cells + n_lows * sizeof(uint16_t), tables->cells,
                tables->n_cells * sizeof(uint16_t));

        image->tables_hash = hash64(image->tables, size, 0);
        image->hash = hash64(&image->config, sizeof(image->config), image->tables_hash);
        image->hash = hash64(
                image->verdicts, tables->verdicts.n_blobs * sizeof(*image->verdicts), image->hash);
        if (image->hash == 0)
                image->hash = 1;
        if (image->tables_hash == 0)
                image->tables_hash = 1;

        *ret = TAKE_PTR(image);
        return 0;
}
