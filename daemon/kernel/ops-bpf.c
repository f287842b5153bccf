/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The seam's real implementation: nothing but the table. */
#include "kernel/kernel-private.h"

const KernelOps kernel_bpf_ops = {
        .progs_load = kernel_progs_load,
        .progs_free = kernel_progs_free,
        .progs_id = kernel_progs_id,
        .link_create = kernel_link_create,
        .link_update = kernel_link_update,
        .link_query = kernel_link_query,
        .link_destroy = kernel_link_destroy,
        .link_free = kernel_link_free,
        .links_find = kernel_links_find,
        .record_write = kernel_record_write,
        .record_read = kernel_record_read,
        .record_delete = kernel_record_delete,
        .counter_read = kernel_counter_read,
        .counter_clear = kernel_counter_clear,
        .stat_read = kernel_stat_read,
        .flows_count = kernel_flows_count,
        .denials_each = kernel_denials_each,
        .flushed_read = kernel_flushed_read,
        .flushed_write = kernel_flushed_write,
        .set_load = kernel_set_load,
        .set_drop = kernel_set_drop,
        .sets_each = kernel_sets_each,
        .interfaces_write = kernel_interfaces_write,
        .sockets_each = kernel_sockets_each,
        .dry_run = kernel_dry_run,
};
