// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel's TCP says of a connection's opener. The reply is left alone: it is other programs'. */
#include "maps.bpf.h"

char _license[] SEC("license") = "GPL";

SEC("sockops")
int cgp_sock_ops(struct bpf_sock_ops *ctx) {
        struct cgp_sk *storage;
        struct bpf_sock *sk;

        switch (ctx->op) {
        case BPF_SOCK_OPS_TCP_CONNECT_CB:
                /* A socket that begins another life: an accepted one that was disconnected and connects.
                 * What it was does not count; its SYN will tell, and without one (TCP_REPAIR) nobody
                 * knows. */
                sk = ctx->sk;
                if (!sk)
                        break;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
                if (storage)
                        storage->opener = CGP_OPENER_UNKNOWN;
                break;
        case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
                sk = ctx->sk;
                if (!sk)
                        break;
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
                if (storage)
                        storage->opener = CGP_OPENER_IN;
                break;
        }
        return 1;
}
