/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/probe-image.h"

#include <assert.h>
#include <string.h>

enum {
        VERDICT_DEFAULT_OUT,
        VERDICT_DEFAULT_IN,
        VERDICT_DEFAULT_BIND,
        VERDICT_ALLOW,
        VERDICT_NEVER,
        N_VERDICTS,
};

#define N_ROWS    2U
#define N_COLUMNS 2U
#define N_CELLS   (CGP_N_VIEWS * N_ROWS * N_COLUMNS)
#define N_NODES   2U
#define CELLS     (N_NODES * 256 * sizeof(__u16))
#define CHOSEN    127U /* byte that selects row 1 or column 1 */

static_assert(N_VERDICTS == KERNEL_PROBE_VERDICTS, "number of verdicts");
static_assert(CELLS + N_CELLS * sizeof(__u16) == KERNEL_PROBE_TABLE_SIZE, "table size");
static_assert(KERNEL_PROBE_TABLE_SIZE % 8 == 0, "table size");

static void fill_view(struct cgp_config *config, __u16 *all_cells, unsigned view) {
        __u16 fallback = view == CGP_VIEW_OUT ? VERDICT_DEFAULT_OUT
                : view == CGP_VIEW_BIND       ? VERDICT_DEFAULT_BIND
                                              : VERDICT_DEFAULT_IN;
        unsigned matrix = view * N_ROWS * N_COLUMNS;
        __u16 *cells = all_cells + matrix;

        config->view[view] = (struct cgp_view){
                .root4 = 0,
                .root6 = 1,
                .root_service = 0,
                .layout = CGP_LAYOUT_MATRIX,
                .matrix = matrix,
                .n_rows = N_ROWS,
                .n_columns = N_COLUMNS,
                .n_trie_rows = N_ROWS,
        };
        cells[0] = fallback;
        cells[1] = VERDICT_NEVER;
        cells[2] = VERDICT_ALLOW;
        cells[3] = VERDICT_NEVER;
}

static void fill_verdict(struct cgp_verdict *verdict, unsigned rule, unsigned action) {
        *verdict = (struct cgp_verdict){ .rule = (__u16)rule, .action = (__u8)action };
}

void kernel_probe_image(unsigned mode, unsigned subject, KernelProbeImage *ret) {
        __u16 *node4 = (__u16 *)(void *)ret->tables, *node6 = node4 + 256;
        __u16 *cells = (__u16 *)(void *)(ret->tables + CELLS);
        struct cgp_config *config = &ret->image.config;

        memset(ret, 0, sizeof(*ret));
        *config = (struct cgp_config){
                .abi_version = CGP_ABI_VERSION,
                .subject = subject,
                .generation = 1,
                .features = CGP_FEATURE_NEVER_OUT | CGP_FEATURE_NEVER_IN | CGP_FEATURE_BIND,
                .mode = mode,
                .n_verdicts = N_VERDICTS,
                .verdicts = sizeof(struct cgp_config),
                .n_nodes = N_NODES,
                .paths = CELLS,
                .n_cells = N_CELLS,
                .cells = CELLS,
                .table_size = KERNEL_PROBE_TABLE_SIZE,
                .n_places = 1,
        };
        fill_verdict(&config->unparsable_out, CGP_RULE_UNPARSABLE_OUT, CGP_ACTION_DENY);
        fill_verdict(&config->unparsable_in, CGP_RULE_UNPARSABLE_IN, CGP_ACTION_DENY);
        fill_verdict(&config->control, CGP_RULE_CONTROL, CGP_ACTION_ALLOW);
        fill_verdict(&config->broken, CGP_RULE_BROKEN, CGP_ACTION_DENY);

        fill_verdict(&ret->verdicts[VERDICT_DEFAULT_OUT], CGP_RULE_DEFAULT_OUT, CGP_ACTION_DENY);
        fill_verdict(&ret->verdicts[VERDICT_DEFAULT_IN], CGP_RULE_DEFAULT_IN, CGP_ACTION_DENY);
        fill_verdict(&ret->verdicts[VERDICT_DEFAULT_BIND], CGP_RULE_DEFAULT_BIND, CGP_ACTION_ALLOW);
        fill_verdict(&ret->verdicts[VERDICT_ALLOW], CGP_RULE_FIRST, CGP_ACTION_ALLOW);
        fill_verdict(&ret->verdicts[VERDICT_NEVER], CGP_RULE_FIRST + 1, CGP_ACTION_NEVER);

        for (unsigned i = 0; i < 256; i++) {
                node4[i] = CGP_ENTRY_LEAF | (i == CHOSEN ? 1 : 0);
                node6[i] = CGP_ENTRY_LEAF | (i == CHOSEN ? 1 << 1 : 0);
        }
        for (unsigned view = 0; view < CGP_N_VIEWS; view++)
                fill_view(config, cells, view);
        ret->image.verdicts = ret->verdicts;
        ret->image.tables = ret->tables;
        ret->image.hash = 1;
        ret->image.tables_hash = 1;
}
