/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a packet or call as seen from our side to a verdict. Reads configuration, tables and sets only: what
 * is remembered of conversations is the business of conversation.bpf.h.
 *
 * A verdict travels as one __u64, because a BPF function returns nothing larger: counter in bits 0-31, rule
 * in 32-47, action in 48-55, and in 56-63 the direction of the conversation that it was given for.
 */
#pragma once

#include <bpf/bpf_endian.h>

#include "maps.bpf.h"

__u64 cgp_walk(__u64 paths, __u64 entry, __u64 key);
#define CGP_MATCH_WALK(tables, size, paths, entry, key) cgp_walk(paths, entry, key)

__u64 cgp_set_step(__u64 entry, __u64 key);
#define CGP_SET_NODE(set, entry, key) cgp_set_step(entry, key)

#define CGP_MATCH_HAS_SETS cgp_can(CGP_FEATURE_SETS)

#include "match.bpf.h"
#include "set.bpf.h"

/* One packet or system call, seen from our side. Addresses are also read as words. */
struct cgp_tuple {
        __u8 local[16];
        __u8 remote[16];
        __u16 local_port; /* 0 where the protocol has none, or when not known yet */
        __u16 remote_port;
        __u16 icmp; /* type << 8 | code */
        __u16 echo; /* identifier of an echo request or reply */
        __u8 protocol;
        __u8 flags;
        __u8 arrival; /* CGP_VIEW_IN_*: the view of who sent to us, by what it was sent to */
        __u8 tcp_flags;
        __u8 place; /* CGP_PLACE_* */
        __u8 _pad[3];
} __attribute__((aligned(8)));

#define CGP_TUPLE_ICMP         (1U << 0) /* icmp is set */
#define CGP_TUPLE_ECHO_REQUEST (1U << 1)
#define CGP_TUPLE_ECHO_REPLY   (1U << 2)
#define CGP_TUPLE_CONTROL      (1U << 3) /* what kernels send on their own account */

/* Changes nothing. After it the verifier knows nothing of t, whichever way it came. */
CGP_INLINE void cgp_tuple_settle(struct cgp_tuple *t) {
        __u64 *words = (__u64 *)(void *)t;

        _Static_assert(sizeof(*t) == 6 * sizeof(*words), "size of a tuple");
        words[0] = cgp_any(words[0]);
        words[1] = cgp_any(words[1]);
        words[2] = cgp_any(words[2]);
        words[3] = cgp_any(words[3]);
        words[4] = cgp_any(words[4]);
        words[5] = cgp_any(words[5]);
}

#define CGP_TUPLE_ECHO (CGP_TUPLE_ECHO_REQUEST | CGP_TUPLE_ECHO_REPLY)

/* The view that judges what such an opener began, and back. */
#define CGP_VIEW_OF_OPENER(opener) ((opener)-1)
#define CGP_OPENER_OF_VIEW(view)   ((view) + 1)

_Static_assert(CGP_VIEW_OF_OPENER(CGP_OPENER_OUT) == CGP_VIEW_OUT &&
                CGP_VIEW_OF_OPENER(CGP_OPENER_IN) == CGP_VIEW_IN &&
                CGP_VIEW_OF_OPENER(CGP_OPENER_IN_MULTICAST) == CGP_VIEW_IN_MULTICAST &&
                CGP_VIEW_OF_OPENER(CGP_OPENER_IN_BROADCAST) == CGP_VIEW_IN_BROADCAST,
        "openers and views");

CGP_INLINE int cgp_is_open(void) {
        return (cgp_image.config.features & CGP_FEATURE_OPEN) ||
                cgp_image.config.mode == CGP_MODE_OFF;
}

/* Does the image ask for what this instance was loaded without? */
CGP_INLINE int cgp_is_beyond(void) {
        __u32 lacking = CGP_INSTANCE_FEATURES & ~cgp_instance.features;

        return lacking && (cgp_image.config.features & lacking);
}

/* Read again wherever it is asked, so that the verifier does not keep the two cases apart. */
CGP_INLINE int cgp_is_audit(void) {
        return *(const volatile __u32 *)&cgp_image.config.mode == CGP_MODE_AUDIT;
}

/* With direction 0, which is CGP_DIR_OUT. */
CGP_INLINE __u64 cgp_verdict_of(const struct cgp_verdict *v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return *(const __u64 *)(const void *)v; /* whose padding is zero */
#else
        return v->counter | (__u64)v->rule << 32 | (__u64)v->action << 48;
#endif
}

CGP_INLINE __u64 cgp_verdict_pack(const struct cgp_verdict *v, __u32 direction) {
        return cgp_verdict_of(v) | (__u64)direction << 56;
}

CGP_INLINE __u32 cgp_verdict_counter(__u64 verdict) {
        return (__u32)verdict;
}

CGP_INLINE __u16 cgp_verdict_rule(__u64 verdict) {
        return verdict >> 32;
}

CGP_INLINE __u8 cgp_verdict_action(__u64 verdict) {
        return verdict >> 48;
}

CGP_INLINE __u32 cgp_verdict_direction(__u64 verdict) {
        return verdict >> 56;
}

/* What is neither allowed nor refused fails closed. */
CGP_INLINE __u64 cgp_verdict_broken(__u32 direction) {
        return cgp_image.config.broken.counter | (__u64)cgp_image.config.broken.rule << 32 |
                (__u64)CGP_ACTION_DENY << 48 | (__u64)direction << 56;
}

CGP_INLINE int cgp_is_allowed(__u64 verdict) {
        return cgp_verdict_action(verdict) == CGP_ACTION_ALLOW;
}

CGP_INLINE int cgp_is_never(__u64 verdict) {
        return cgp_verdict_action(verdict) == CGP_ACTION_NEVER;
}

CGP_INLINE __u32 cgp_direction_of_view(__u32 view) {
        if (view == CGP_VIEW_OUT)
                return CGP_DIR_OUT;
        return view == CGP_VIEW_BIND ? CGP_DIR_BIND : CGP_DIR_IN;
}

CGP_GLOBAL __u64 cgp_walk(__u64 paths, __u64 entry, __u64 key) {
        return cgp_match_walk(cgp_tables.bytes, cgp_instance.table_size, paths, entry, key);
}

CGP_INLINE void *cgp_set_map(void) {
        __u32 slot = cgp_image.config.set_slot;

        return bpf_map_lookup_elem(&cgp_sets, &slot);
}

/* One node of the set map, see CGP_SET_NODE. A slot that is emptied meanwhile reads as broken. */
CGP_GLOBAL __u64 cgp_set_step(__u64 entry, __u64 key) {
        void *set;

        if (!cgp_can(CGP_FEATURE_SETS))
                return CGP_MATCH_BROKEN;
        set = cgp_set_map();
        return set ? cgp_set_node(set, entry, key) : CGP_MATCH_BROKEN;
}

/* The combination of lists that an address is in, or CGP_MATCH_BROKEN. */
CGP_GLOBAL __u64 cgp_combination(__u64 hi, __u64 lo) {
        void *set;

        if (!cgp_can(CGP_FEATURE_SETS))
                return CGP_MATCH_BROKEN;
        set = cgp_set_map();
        return set ? cgp_set_lookup(set, cgp_image.config.set_hash, hi, lo) : CGP_MATCH_BROKEN;
}

/* The verdict of one view, without a direction. hi, lo: the address's words in host byte order; service:
 * protocol << 32 | local port << 16 | remote port, of which the view takes its own. */
CGP_GLOBAL __u64 cgp_classify(__u64 hi, __u64 lo, __u64 view, __u64 service, __u64 place) {
        const struct cgp_config *config = &cgp_image.config;
        __u64 broken = config->broken.counter | (__u64)config->broken.rule << 32 |
                (__u64)CGP_ACTION_DENY << 48;
        __u64 number, combination = 0, offset;

        if (view >= CGP_N_VIEWS)
                return broken;
        if (view != CGP_VIEW_OUT)
                service >>= 16;
        if (cgp_is_beyond())
                return broken;
        if (cgp_can(CGP_FEATURE_SETS) && (config->features & CGP_FEATURE_SETS) &&
                config->view[view].n_set_classes > 1) {
                combination = cgp_combination(hi, lo);
                if (combination > CGP_MAX_SET_COMBINATIONS)
                        return broken;
        }
        number = cgp_match(cgp_tables.bytes, cgp_instance.table_size, config, &config->view[view],
                hi, lo, view == CGP_VIEW_OUT ? service >> 32 : service >> 16, service, place,
                combination);
        if (number >= config->n_verdicts)
                return broken;
        offset = (config->verdicts & ~7ULL) + number * sizeof(struct cgp_verdict);
        CGP_MATCH_OPAQUE(offset);
        if (offset > cgp_instance.image_size - sizeof(struct cgp_verdict))
                return broken;
        return cgp_verdict_of((const struct cgp_verdict *)((const char *)&cgp_image + offset));
}

CGP_INLINE __u64 cgp_judge_view(__u64 hi, __u64 lo, __u64 view, __u64 service, __u64 place) {
        return cgp_classify(hi, lo, view, service, place) |
                (__u64)cgp_direction_of_view(view) << 56;
}

CGP_INLINE __u64 cgp_judge(const struct cgp_tuple *t, __u32 view) {
        const __u64 *remote = (const __u64 *)(const void *)t->remote;

        return cgp_judge_view(bpf_be64_to_cpu(remote[0]), bpf_be64_to_cpu(remote[1]), view,
                (__u64)t->protocol << 32 | (__u64)t->local_port << 16 | t->remote_port, t->place);
}

/* The direction stays that of the conversation: it is what the operator sees talking. */
CGP_INLINE __u64 cgp_never_in_place_of(__u64 never, __u64 verdict) {
        return (never & ~(0xffULL << 56)) | (verdict & (0xffULL << 56));
}

/* As below. openers: opener | arrival << 8; the rest as cgp_classify() has it. */
CGP_GLOBAL __u64 cgp_judge_words(__u64 hi, __u64 lo, __u64 openers, __u64 service, __u64 place) {
        __u64 view = CGP_VIEW_OF_OPENER(openers & 0xff), other_view = CGP_VIEW_OUT;
        __u32 never = CGP_FEATURE_NEVER_OUT;
        __u64 verdict, other;

        if (view == CGP_VIEW_OUT) {
                other_view = openers >> 8;
                never = CGP_FEATURE_NEVER_IN;
        }
        verdict = cgp_judge_view(hi, lo, view, service, place);
        if (!(cgp_image.config.features & never) || !cgp_is_allowed(verdict))
                return verdict;
        other = cgp_classify(hi, lo, other_view, service, place);
        return cgp_is_never(other) ? cgp_never_in_place_of(other, verdict) : verdict;
}

/* A conversation whose opener is known. */
CGP_INLINE __u64 cgp_judge_opened(const struct cgp_tuple *t, __u32 opener) {
        const __u64 *remote = (const __u64 *)(const void *)t->remote;

        return cgp_judge_words(bpf_be64_to_cpu(remote[0]), bpf_be64_to_cpu(remote[1]),
                (__u64)t->arrival << 8 | opener,
                (__u64)t->protocol << 32 | (__u64)t->local_port << 16 | t->remote_port, t->place);
}

/* The binding of the local port. */
CGP_INLINE __u64 cgp_judge_local(const struct cgp_tuple *t) {
        const __u64 *local = (const __u64 *)(const void *)t->local;

        return cgp_judge_view(bpf_be64_to_cpu(local[0]), bpf_be64_to_cpu(local[1]), CGP_VIEW_BIND,
                (__u64)t->protocol << 32 | (__u64)t->local_port << 16, t->place);
}
