/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration and maps, shared by all programs of an image. Every object defines them weakly; the linker
 * keeps one of each.
 *
 * cgp_config and cgp_tables belong to one image and are complete before anything is loaded. All other maps
 * are pinned and outlive images: the daemon hands them in, and the sizes given here are only what it
 * starts from. cgp_records and cgp_flushed are the daemon's own notes, no program touches them.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "cgp-abi.h"

#define CGP_INLINE static inline __attribute__((always_inline))
#define CGP_CALLED static __attribute__((noinline)) /* its own stack frame: 512 bytes are shared */

extern const volatile struct cgp_config cgp_config;

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __uint(map_flags, BPF_F_MMAPABLE);
        __type(key, __u32);
        __type(value, __u64); /* replaced by a value of cgp_config.table_size bytes */
} cgp_tables SEC(".maps") __weak;

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

CGP_INLINE void cgp_stat_add(__u32 stat) {
        __u64 *value = bpf_map_lookup_elem(&cgp_stats, &stat);

        if (value)
                __sync_fetch_and_add(value, 1);
}
