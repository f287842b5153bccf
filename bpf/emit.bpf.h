/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting of refusals by cause, and events about them.
 *
 * Lossless is only the count: the rule's counter first, then the cause's total in cgp_denials. Events are a
 * courtesy to a reader: one per cause and CGP_DENIAL_WINDOW_NSEC, as the subject's bucket allows. Each
 * carries the total, so what had no event of its own is found in the next one, or in cgp_denials.
 *
 * Programs can be preempted: nothing here uses per-CPU scratch space.
 */
#pragma once

#include "judge.bpf.h"

#define CGP_EVENT_COST   (1000ULL * 1000 * 1000 / CGP_EVENTS_PER_SECOND)
#define CGP_CREDIT_LIMIT (CGP_EVENT_BURST * CGP_EVENT_COST)

/* Takes an event's worth out of the subject's bucket. An untouched bucket is full. */
CGP_GLOBAL int cgp_bucket_take(__u32 subject, __u64 now) {
        struct cgp_bucket *bucket = bpf_map_lookup_elem(&cgp_buckets, &subject);
        __u64 credit;
        int taken = 0;

        if (!bucket)
                return 0;
        bpf_spin_lock(&bucket->lock);
        credit = bucket->credit;
        if (now > bucket->refilled) {
                credit += now - bucket->refilled;
                if (credit > CGP_CREDIT_LIMIT)
                        credit = CGP_CREDIT_LIMIT;
                bucket->refilled = now;
        }
        if (credit >= CGP_EVENT_COST) {
                credit -= CGP_EVENT_COST;
                taken = 1;
        }
        bucket->credit = credit;
        bpf_spin_unlock(&bucket->lock);
        return taken;
}

/* The record was lost: so it cost nothing. */
CGP_GLOBAL int cgp_event_lost(__u32 subject) {
        struct cgp_bucket *bucket = bpf_map_lookup_elem(&cgp_buckets, &subject);

        cgp_stat_add(CGP_STAT_EVENTS_LOST);
        if (!bucket)
                return 0;
        bpf_spin_lock(&bucket->lock);
        bucket->credit += CGP_EVENT_COST;
        bpf_spin_unlock(&bucket->lock);
        return 0;
}

/* Is it time to wake the reader? If so, it counts as woken. Two CPUs may both be told so; a wake-up too many is
 * harmless. */
CGP_GLOBAL int cgp_wake_is_due(__u64 now) {
        __u32 zero = 0;
        __u64 *woken;

        woken = bpf_map_lookup_elem(&cgp_woken, &zero);
        if (!woken || (*woken != 0 && (__s64)(now - *woken) < (__s64)CGP_WAKE_NSEC))
                return 0;
        *woken = now;
        return 1;
}

CGP_GLOBAL int cgp_wake_failed(void) {
        __u32 zero = 0;
        __u64 *woken;

        woken = bpf_map_lookup_elem(&cgp_woken, &zero);
        if (woken)
                *woken = 0;
        return 0;
}

/* Called when the record is in the buffer already, and looks at the clock itself: a reader that drains
 * CGP_WAKE_NSEC after a wake-up then finds every record that did not wake it. */
CGP_INLINE int cgp_wake_reader(void *ctx) {
        __u64 now = bpf_ktime_get_ns();

        if (!cgp_wake_is_due(now))
                return 0;
        if (bpf_perf_event_output(ctx, &cgp_wake, BPF_F_CURRENT_CPU, &now, sizeof(now)) < 0)
                return cgp_wake_failed();
        return 0;
}

/* The cause's entry, made if need be, with this denial counted in it. NULL: the map has no room. */
CGP_INLINE struct cgp_denial *cgp_denial_count(
        const struct cgp_denial_key *key, struct cgp_denial *denial) {
        struct cgp_denial *entry;

        entry = bpf_map_lookup_elem(&cgp_denials, key);
        if (!entry) {
                if (bpf_map_update_elem(&cgp_denials, key, denial, BPF_NOEXIST) == 0)
                        return bpf_map_lookup_elem(&cgp_denials, key);
                entry = bpf_map_lookup_elem(&cgp_denials, key); /* another CPU was faster */
                if (!entry)
                        return NULL;
        }
        __sync_fetch_and_add(&entry->total, 1);
        return entry;
}

/* Accounts for one refusal and tells a reader, if it is due. The caller has filled denial->first but for
 * version, size, times and total. */
CGP_CALLED int cgp_emit(void *ctx, struct cgp_denial *denial) {
        struct cgp_event *event = &denial->first;
        struct cgp_denial_key key = {};
        struct cgp_denial *entry;
        __u32 subject = event->subject;
        __u64 now = bpf_ktime_get_ns();
        __u64 port;

        event->version = CGP_ABI_VERSION;
        event->size = sizeof(*event);
        event->time = now;
        event->epoch = now;
        event->total = 1;
        denial->total = 1;
        denial->reported = 0;
        denial->last_event = 0;

        key.subject = subject;
        key.rule = event->rule;
        port = event->local_port;
        if (event->direction == CGP_DIR_OUT && event->protocol != 1 && event->protocol != 58)
                port = event->remote_port;
        key.port = cgp_any(port);
        __builtin_memcpy(key.remote, event->remote, sizeof(key.remote));
        key.direction = event->direction;
        key.protocol = event->protocol;
        key.type = event->type;

        entry = cgp_denial_count(&key, denial);
        if (entry) {
                __u64 last = entry->last_event;

                if (last != 0 && (__s64)(now - last) < (__s64)CGP_DENIAL_WINDOW_NSEC)
                        return 0;
                event->epoch = entry->first.epoch;
                event->total = *(volatile __u64 *)&entry->total;
        } else {
                cgp_stat_add(CGP_STAT_UNITEMISED);
        }

        if (!cgp_bucket_take(subject, now))
                return 0;
        if (bpf_perf_event_output(ctx, &cgp_events, BPF_F_CURRENT_CPU, event, sizeof(*event)) < 0)
                return cgp_event_lost(subject);
        if (entry) {
                entry->reported = event->total;
                entry->last_event = now;
        }
        return cgp_wake_reader(ctx);
}

CGP_INLINE __u16 cgp_event_type(void) {
        return cgp_is_audit() ? CGP_EVENT_WOULD : CGP_EVENT_DENIED;
}

/* What an event says of a tuple and its verdict. */
CGP_INLINE void cgp_event_fill(
        struct cgp_event *event, const struct cgp_tuple *t, __u64 verdict, __u32 hook) {
        event->type = cgp_any(cgp_event_type());
        event->generation = cgp_image.config.generation;
        event->subject = cgp_image.config.subject;
        event->rule = cgp_verdict_rule(verdict);
        event->direction = cgp_verdict_direction(verdict);
        event->hook = hook;
        event->protocol = t->protocol;
        __builtin_memcpy(event->local, t->local, sizeof(event->local));
        __builtin_memcpy(event->remote, t->remote, sizeof(event->remote));
        event->local_port = cgp_any(t->flags & CGP_TUPLE_ICMP ? t->icmp : t->local_port);
        event->remote_port = cgp_any(t->flags & CGP_TUPLE_ICMP ? t->echo : t->remote_port);
}
