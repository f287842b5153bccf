// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who made a socket. Recorded when it is made, in process context, because nothing later knows: packets
 * are handled in whatever task is running. Holds the definition of the configuration.
 */
#include "maps.bpf.h"

char _license[] SEC("license") = "GPL";

const volatile struct cgp_config cgp_config = {};

SEC("cgroup/sock_create")
int cgp_sock_create(struct bpf_sock *ctx) {
        struct cgp_sk *storage;

        storage = bpf_sk_storage_get(&cgp_sk, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
        /* A socket without a record may still be made. Nothing is wider for it: a connection that it
         * opens stores its opener with the SYN or the SYN is dropped, and a datagram goes by cgp_flows.
         * What it would gain is the benefit of the doubt of an older socket, which takes a connection
         * that no packet opened (TCP_REPAIR); and its events do not name a process. */
        if (!storage)
                return 1;
        storage->netns_cookie = bpf_get_netns_cookie(ctx);
        storage->pid = bpf_get_current_pid_tgid() >> 32;
        storage->uid = (__u32)bpf_get_current_uid_gid();
        if (bpf_get_current_comm(storage->comm, sizeof(storage->comm)) < 0)
                storage->comm[0] = 0;
        storage->created = 1;
        return 1;
}
