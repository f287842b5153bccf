/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration and maps, shared by all programs of an image. Every object defines them weakly; the linker
 * keeps one of each.
 *
 * cgp_image and cgp_tables belong to one instance and are complete before one of its programs is linked. All
 * other maps are pinned and outlive images: the daemon hands them in, and the sizes given here are only
 * what it starts from. cgp_records and cgp_flushed are the daemon's own notes, no program touches them.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "cgp-abi.h"

#define CGP_INLINE    static inline __attribute__((always_inline))
#define CGP_OPAQUE(x) asm volatile("" : "+r"(x))       /* the compiler does not know x any more */
#define CGP_CALLED    static __attribute__((noinline)) /* its own stack frame: 512 bytes are shared */

extern const volatile struct cgp_instance cgp_instance;

/* The two maps of an image are written as variables in sections of their own: array maps of one element
 * whose value the programs address without a look-up. They are declared here with the sizes of an
 * instance that is loaded ahead; the daemon hands in maps of the size that it needs, and says so in
 * cgp_instance, by which every access is bounded. */
extern struct cgp_image cgp_image;
extern struct cgp_tables cgp_tables;

struct {
        __uint(type, BPF_MAP_TYPE_SK_STORAGE);
        __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
        __type(key, int);
        __type(value, struct cgp_sk);
} cgp_sk SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, 65536);
        __type(key, struct cgp_flow_key);
        __type(value, struct cgp_flow);
} cgp_flows SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, CGP_MAX_COUNTERS);
        __type(key, __u32);
        __type(value, struct cgp_counter);
} cgp_counters SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, CGP_N_STATS);
        __type(key, __u32);
        __type(value, __u64);
} cgp_stats SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, 4096);
        __type(key, struct cgp_denial_key);
        __type(value, struct cgp_denial);
} cgp_denials SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, 4096);
        __type(key, struct cgp_denial_key);
        __type(value, struct cgp_flushed);
} cgp_flushed SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, CGP_MAX_SUBJECTS * 2);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, __u64);
        __type(value, struct cgp_record);
} cgp_records SEC(".maps") __weak;

/* Interface index -> place. */
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 16384);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, __u32);
        __type(value, struct cgp_interface);
} cgp_interfaces SEC(".maps") __weak;

/* Set maps by slot. How many pages one has is its own affair. */
struct cgp_set_map {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, CGP_SET_PAGE_SIZE);
};

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
        __uint(max_entries, CGP_MAX_SET_SLOTS);
        __type(key, __u32);
        __array(values, struct cgp_set_map);
} cgp_sets SEC(".maps") __weak;

/* What a subject may still tell: time that was saved up, one event costs CGP_EVENT_COST of it. */
struct cgp_bucket {
        struct bpf_spin_lock lock;
        __u32 _pad;
        __u64 credit;
        __u64 refilled;
};

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, CGP_MAX_SUBJECTS);
        __type(key, __u32);
        __type(value, struct cgp_bucket);
} cgp_buckets SEC(".maps") __weak;

/* When the reader was last woken. */
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, __u64);
} cgp_woken SEC(".maps") __weak;

/* Event records, and beside them the wake-ups: two arrays, because how many records wake a reader is a
 * property of the reader's buffer. */
struct {
        __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(__u32));
} cgp_events SEC(".maps") __weak;

struct {
        __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(__u32));
} cgp_wake SEC(".maps") __weak;

/* A function that the verifier looks at once, by itself, and not again for each path that leads to a call:
 * without this a load would take a hundred times as long. The price is that it can take numbers only
 * (pointers to memory come with 5.12, and a context needs the kernel's BTF). Weak: each object has it, the
 * linked one has it once. */
#define CGP_GLOBAL __weak __attribute__((noinline))

CGP_GLOBAL int cgp_stat_add(__u32 stat) {
        __u64 *value = bpf_map_lookup_elem(&cgp_stats, &stat);

        if (value)
                __sync_fetch_and_add(value, 1);
        return 0;
}

/* x. To the verifier it is any number: it does not follow what comes next for each of the values that x may have. */
CGP_GLOBAL __u64 cgp_any(__u64 x) {
        CGP_OPAQUE(x);
        return x;
}

/* A constant to the verifier, which does not even look at what depends on a feature that is left out. */
CGP_INLINE int cgp_can(__u32 feature) {
        return (cgp_instance.features & feature) != 0;
}

#define CGP_ERRNO_MAX 4095

/* Of a refused system call. Without it the errno is EPERM. */
CGP_INLINE void cgp_refuse_with_errno(void) {
        __u64 refusal = cgp_image.config.refusal;

        /* Recent kernels want it proven that it is an errno (the verifier of 7.2: "should have been in
         * [-4095, 0]"). */
        if (cgp_instance.has_retval && refusal > 0 && refusal <= CGP_ERRNO_MAX)
                (void)bpf_set_retval(-refusal);
}
