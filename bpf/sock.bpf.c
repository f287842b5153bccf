// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who made a socket. Recorded when it is made, in process context, because nothing later knows: packets
 * are handled in whatever task is running. Holds the definition of the configuration.
 */
#include "judge.bpf.h"

char _license[] SEC("license") = "GPL";

const volatile struct cgp_instance cgp_instance = {
        .image_size = CGP_SMALL_IMAGE_SIZE,
        .table_size = CGP_SMALL_TABLE_SIZE,
        .features = CGP_INSTANCE_FEATURES,
};
struct cgp_image cgp_image SEC(".data.image") = {};
struct cgp_tables cgp_tables SEC(".data.tables") = {};

SEC("cgroup/sock_create")
int cgp_sock_create(struct bpf_sock *ctx) {
        struct cgp_sk *storage;

        storage = bpf_sk_storage_get(&cgp_sk, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
        /* fail closed: without a record a raw socket would pass for the kernel's own, and a connected one for
         * older than the attachment. The owner of a network namespace can bring this about: its optmem_max
         * bounds what a socket may carry. */
        if (!storage) {
                if (cgp_is_open() || cgp_image.config.mode == CGP_MODE_AUDIT)
                        return 1;
                cgp_refuse_with_errno();
                return 0;
        }
        storage->netns_cookie = bpf_get_netns_cookie(ctx);
        storage->pid = bpf_get_current_pid_tgid() >> 32;
        storage->uid = (__u32)bpf_get_current_uid_gid();
        if (bpf_get_current_comm(storage->comm, sizeof(storage->comm)) < 0)
                storage->comm[0] = 0;
        storage->created = 1;
        return 1;
}
