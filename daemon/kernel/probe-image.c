/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/probe-image.h"

#include <assert.h>
#include <string.h>

enum {
        VERDICT_DEFAULT_OUT,
        VERDICT_DEFAULT_IN,
        VERDICT_ALLOW,
        VERDICT_NEVER,
        N_VERDICTS,
};

#define N_CLASSES 2U
#define N_CELLS   (CGP_N_VIEWS * N_CLASSES * N_CLASSES)
#define NODES     (N_VERDICTS * sizeof(struct cgp_verdict))
#define MATRIX    (NODES + 256 * sizeof(__u16))
#define CHOSEN    127U /* byte that selects class 1 */

static_assert(MATRIX + N_CELLS * sizeof(__u16) <= KERNEL_PROBE_TABLE_SIZE, "table size");
static_assert(KERNEL_PROBE_TABLE_SIZE % 8 == 0, "table size");

static void fill_view(struct cgp_config *config, __u16 *matrix, unsigned view) {
        __u16 fallback = view == CGP_VIEW_OUT ? VERDICT_DEFAULT_OUT : VERDICT_DEFAULT_IN;
        __u16 *cells = matrix + view * N_CLASSES * N_CLASSES;

        /* A node number, not a leaf: nothing of the walk can be deleted. */
        config->view[view] = (struct cgp_view){
                .root4 = 0,
                .root6 = 0,
                .root_proto = 0,
                .matrix = view * N_CLASSES * N_CLASSES,
                .n_address_classes = N_CLASSES,
                .n_port_classes = N_CLASSES,
        };
        cells[0] = fallback;
        cells[1] = VERDICT_NEVER;
        cells[2] = VERDICT_ALLOW;
        cells[3] = VERDICT_NEVER;
}

void kernel_probe_image(unsigned mode, unsigned subject, struct cgp_config *ret_config,
        unsigned char ret_tables[KERNEL_PROBE_TABLE_SIZE]) {
        struct cgp_verdict *verdicts = (struct cgp_verdict *)(void *)ret_tables;
        __u16 *node = (__u16 *)(void *)(ret_tables + NODES);
        __u16 *matrix = (__u16 *)(void *)(ret_tables + MATRIX);
        struct cgp_config config = {
                .abi_version = CGP_ABI_VERSION,
                .subject = subject,
                .generation = 1,
                .features = CGP_FEATURE_NEVER_OUT | CGP_FEATURE_NEVER_IN,
                .mode = mode,
                .n_verdicts = N_VERDICTS,
                .n_nodes = 1,
                .n_cells = N_CELLS,
                .nodes = NODES,
                .matrix = MATRIX,
                .table_size = KERNEL_PROBE_TABLE_SIZE,
                .unparsable_out = { .rule = CGP_RULE_UNPARSABLE_OUT, .action = CGP_ACTION_DENY },
                .unparsable_in = { .rule = CGP_RULE_UNPARSABLE_IN, .action = CGP_ACTION_DENY },
                .control = { .rule = CGP_RULE_CONTROL, .action = CGP_ACTION_ALLOW },
                .broken = { .rule = CGP_RULE_BROKEN, .action = CGP_ACTION_DENY },
        };

        memset(ret_tables, 0, KERNEL_PROBE_TABLE_SIZE);
        verdicts[VERDICT_DEFAULT_OUT].rule = CGP_RULE_DEFAULT_OUT;
        verdicts[VERDICT_DEFAULT_OUT].action = CGP_ACTION_DENY;
        verdicts[VERDICT_DEFAULT_IN].rule = CGP_RULE_DEFAULT_IN;
        verdicts[VERDICT_DEFAULT_IN].action = CGP_ACTION_DENY;
        verdicts[VERDICT_ALLOW].rule = CGP_RULE_FIRST;
        verdicts[VERDICT_ALLOW].action = CGP_ACTION_ALLOW;
        verdicts[VERDICT_NEVER].rule = CGP_RULE_FIRST + 1;
        verdicts[VERDICT_NEVER].action = CGP_ACTION_NEVER;

        for (unsigned i = 0; i < 256; i++)
                node[i] = CGP_ENTRY_LEAF | (i == CHOSEN ? 1 : 0);
        for (unsigned view = 0; view < CGP_N_VIEWS; view++)
                fill_view(&config, matrix, view);
        *ret_config = config;
}
