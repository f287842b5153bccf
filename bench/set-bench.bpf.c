/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a look-up in a set map costs: two programs that differ in nothing else. Each run takes the next of a
 * ring of addresses.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* As the programs have it: looked at once by the verifier. */
#define CGP_SET_NODE(set, entry, key) set_node(entry, key)
__u64 set_node(__u64 entry, __u64 key);

#include "../bpf/set.bpf.h"

struct key {
        __u64 hi;
        __u64 lo;
};

struct inner {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_INNER_MAP);
        __uint(max_entries, 1);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, CGP_SET_PAGE_SIZE);
};

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
        __uint(max_entries, CGP_MAX_SET_SLOTS);
        __uint(key_size, sizeof(__u32));
        __array(values, struct inner);
} sets SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE);
        __uint(max_entries, 1 << 20);
        __type(key, __u32);
        __type(value, struct key);
} keys SEC(".maps");

struct control {
        __u64 mask;
        __u64 hash;
        __u64 next;
        __u64 sum;    /* of the answers, so that nothing is optimised away */
        __u64 broken; /* answers that are none */
} control;

__attribute__((noinline)) __u64 set_node(__u64 entry, __u64 key) {
        __u32 slot = 0;
        void *set = bpf_map_lookup_elem(&sets, &slot);

        return set ? cgp_set_node(set, entry, key) : CGP_MATCH_BROKEN;
}

__attribute__((noinline)) __u64 set_lookup(__u64 hi, __u64 lo) {
        __u32 slot = 0;
        void *set = bpf_map_lookup_elem(&sets, &slot);

        return set ? cgp_set_lookup(set, control.hash, hi, lo) : CGP_MATCH_BROKEN;
}

static __attribute__((always_inline)) struct key *next_key(void) {
        __u32 i = control.next++ & control.mask;

        return bpf_map_lookup_elem(&keys, &i);
}

SEC("cgroup_skb/egress")
int run_empty(struct __sk_buff *skb __attribute__((unused))) {
        struct key *key = next_key();

        if (key)
                control.sum += key->hi ^ key->lo;
        return 1;
}

SEC("cgroup_skb/egress")
int run_lookup(struct __sk_buff *skb __attribute__((unused))) {
        struct key *key = next_key();
        __u64 combination;

        if (!key)
                return 1;
        combination = set_lookup(key->hi, key->lo);
        if (combination == CGP_MATCH_BROKEN)
                control.broken++;
        control.sum += combination;
        return 1;
}

char set_bench_license[] SEC("license") = "GPL";
