// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists the TCP and UDP sockets of a network namespace that were made at or below one cgroup: a struct cgp_socket
 * each, written to whoever reads the iterator. An object of its own, because it needs the types of the running
 * kernel, which nothing else here does. Those that are used are declared below as far as they are used, and
 * found by name when the program is loaded.
 */
#include <linux/bpf.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "cgp-abi.h"

#define AF_INET  2
#define AF_INET6 10

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define DEPTH_MAX 128 /* of a cgroup below the one that is asked for */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
        union {
                __u8 u6_addr8[16];
        } in6_u;
};

struct sock_common {
        __be32 skc_daddr;
        __be32 skc_rcv_saddr;
        __be16 skc_dport;
        __u16 skc_num;
        unsigned short skc_family;
        volatile unsigned char skc_state;
        int skc_bound_dev_if;
        struct in6_addr skc_v6_daddr;
        struct in6_addr skc_v6_rcv_saddr;
};

struct kernfs_node {
        __u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
        struct cgroup *cgroup;
        struct cgroup_subsys_state *parent;
};

struct cgroup {
        struct cgroup_subsys_state self;
        struct kernfs_node *kn;
};

struct sock_cgroup_data {
        struct cgroup *cgroup;
};

struct sock {
        struct sock_common __sk_common;
        struct sock_cgroup_data sk_cgrp_data;
};

struct udp_sock {
        int forward_deficit; /* only pointed to: begins with a struct sock */
};

struct bpf_iter_meta {
        struct seq_file *seq;
};

struct bpf_iter__tcp {
        struct bpf_iter_meta *meta;
        struct sock_common *sk_common;
};

struct bpf_iter__udp {
        struct bpf_iter_meta *meta;
        struct udp_sock *udp_sk;
};

#pragma clang attribute pop

char _license[] SEC("license") = "GPL";

/* The same map as the other programs have. */
struct {
        __uint(type, BPF_MAP_TYPE_SK_STORAGE);
        __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
        __type(key, int);
        __type(value, struct cgp_sk);
} cgp_sk SEC(".maps");

/* Which cgroup is asked for. Set before the iterator is opened. */
__u64 cgp_scope = 0;

static __attribute__((always_inline)) int is_in_scope(struct cgroup *cgroup) {
        struct cgroup_subsys_state *css = &cgroup->self;
        int i;

        for (i = 0; i < DEPTH_MAX; i++) {
                if (cgroup->kn->id == cgp_scope)
                        return 1;
                css = cgroup->self.parent;
                if (!css)
                        return 0;
                cgroup = css->cgroup;
        }
        return 0;
}

static __attribute__((always_inline)) void fill_address(
        struct sock_common *sk, struct cgp_socket *record) {
        if (sk->skc_family == AF_INET) {
                __u32 local = sk->skc_rcv_saddr, remote = sk->skc_daddr;

                record->local[10] = record->local[11] = 0xff;
                record->remote[10] = record->remote[11] = 0xff;
                __builtin_memcpy(record->local + 12, &local, sizeof(local));
                __builtin_memcpy(record->remote + 12, &remote, sizeof(remote));
        } else if (bpf_core_field_exists(sk->skc_v6_daddr)) {
                BPF_CORE_READ_INTO(&record->local, sk, skc_v6_rcv_saddr);
                BPF_CORE_READ_INTO(&record->remote, sk, skc_v6_daddr);
        }
}

static __attribute__((always_inline)) int list(
        struct seq_file *seq, struct sock *sk, __u8 protocol) {
        struct sock_common *common = &sk->__sk_common;
        struct cgp_socket record = { .protocol = protocol };
        struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
        struct cgp_sk *storage;

        if (common->skc_family != AF_INET && common->skc_family != AF_INET6)
                return 0;
        if (!cgroup || !is_in_scope(cgroup))
                return 0;
        record.cookie = bpf_get_socket_cookie(sk);
        record.cgroup_id = cgroup->kn->id;
        record.family = common->skc_family;
        record.state = common->skc_state;
        record.local_port = common->skc_num;
        record.remote_port = bpf_ntohs(common->skc_dport);
        record.ifindex = common->skc_bound_dev_if;
        fill_address(common, &record);
        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        if (storage) {
                record.netns_cookie = storage->netns_cookie;
                record.opener = storage->opener;
                record.created = storage->created;
        }
        /* Where the buffer is full the kernel comes back with the same socket. */
        (void)bpf_seq_write(seq, &record, sizeof(record));
        return 0;
}

SEC("iter/tcp")
int cgp_iter_tcp(struct bpf_iter__tcp *ctx) {
        struct sock_common *common = ctx->sk_common;
        struct tcp_sock *tcp;

        if (!common)
                return 0;
        /* Nothing but a socket; what is only a remainder or a beginning of one belongs to no cgroup. */
        tcp = bpf_skc_to_tcp_sock(common);
        return tcp ? list(ctx->meta->seq, (struct sock *)tcp, IPPROTO_TCP) : 0;
}

SEC("iter/udp")
int cgp_iter_udp(struct bpf_iter__udp *ctx) {
        struct udp_sock *udp = ctx->udp_sk;

        return udp ? list(ctx->meta->seq, (struct sock *)udp, IPPROTO_UDP) : 0;
}
