// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet hooks: the enforcement of record. They see every packet of the sockets that were made in the
 * cgroup, whoever holds them now, as the kernel's IP layer has it: before fragmentation and segmentation
 * on the way out, after reassembly and coalescing on the way in. `current` is any task here.
 */
#include "emit.bpf.h"
#include "pass.bpf.h"

#define CGP_DROP 0
#define CGP_PASS 1

char _license[] SEC("license") = "GPL";

CGP_INLINE struct bpf_sock *cgp_full_sock(struct __sk_buff *skb) {
        struct bpf_sock *sk = skb->sk;

        return sk ? bpf_sk_fullsock(sk) : NULL;
}

/* Without a record in the socket's storage nobody under our programs made it: the kernel's control sockets
 * belong to the cgroup of the task that made their network namespace. A service's own raw socket is
 * held to the rules. */
CGP_INLINE int cgp_is_kernel_control(struct bpf_sock *sk, const struct cgp_tuple *t) {
        struct cgp_sk *storage;

        if (!(t->flags & CGP_TUPLE_CONTROL))
                return 0;
        if (!sk)
                return 1;
        storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
        return !storage || !storage->created;
}

CGP_CALLED int cgp_report_packet(
        struct __sk_buff *skb, const struct cgp_tuple *t, __u64 verdict, __u32 hook) {
        struct bpf_sock *sk = cgp_full_sock(skb);
        struct cgp_denial denial = {};
        struct cgp_sk *storage;

        cgp_event_fill(&denial.first, t, verdict, hook);
        denial.first.ifindex = skb->ifindex;
        if (sk) {
                storage = bpf_sk_storage_get(&cgp_sk, sk, NULL, 0);
                if (storage && storage->created) {
                        denial.first.pid = storage->pid;
                        denial.first.uid = storage->uid;
                        __builtin_memcpy(
                                denial.first.comm, storage->comm, sizeof(denial.first.comm));
                }
        }
        return cgp_emit(skb, &denial);
}

/* Counts under the verdict, reports a refusal, and says what becomes of the packet. */
CGP_INLINE int cgp_conclude(
        struct __sk_buff *skb, const struct cgp_tuple *t, __u64 verdict, __u32 hook) {
        __u32 slot = cgp_verdict_counter(verdict);
        struct cgp_counter *counter;

        /* fail closed: without a counter the image is not what it should be */
        if (cgp_is_allowed(verdict))
                return cgp_count_passed(skb, verdict) < 0 ? CGP_DROP : CGP_PASS;
        counter = bpf_map_lookup_elem(&cgp_counters, &slot);
        if (counter)
                __sync_fetch_and_add(cgp_is_audit() ? &counter->would : &counter->blocked, 1);
        cgp_report_packet(skb, t, verdict, hook);
        return cgp_is_audit() ? CGP_PASS : CGP_DROP;
}

CGP_INLINE __u64 cgp_judge_unparsable(int is_egress) {
        const struct cgp_verdict *v =
                is_egress ? &cgp_image.config.unparsable_out : &cgp_image.config.unparsable_in;
        __u32 direction = is_egress ? CGP_DIR_OUT : CGP_DIR_IN;

        if (v->action == CGP_ACTION_NONE || v->action > CGP_ACTION_NEVER)
                return cgp_verdict_broken(direction);
        return cgp_verdict_pack(v, direction);
}

/* The verdict as it stands in the image, with what the mark of a dry run assumes. */
CGP_INLINE __u64 cgp_judge_dry(struct __sk_buff *skb, struct cgp_tuple *t, int is_egress) {
        __u32 assumed = skb->cb[1];
        __u32 opener = assumed & CGP_DRY_OPENER_MASK;

        if (cgp_is_place_relevant())
                t->place = assumed & CGP_DRY_HOST_NETNS && cgp_image.config.host_netns
                        ? cgp_place_of_interface(skb->cb[2])
                        : CGP_PLACE_ELSEWHERE;
        if (opener == CGP_OPENER_UNKNOWN || opener > CGP_OPENER_IN_BROADCAST)
                opener = cgp_opener_by(t, is_egress);
        return cgp_judge_opened(t, opener);
}

CGP_INLINE int cgp_conclude_dry(struct __sk_buff *skb, __u64 verdict) {
        skb->cb[2] = cgp_verdict_rule(verdict);
        skb->cb[3] = cgp_verdict_action(verdict);
        return cgp_is_allowed(verdict) || cgp_is_audit() || cgp_image.config.mode == CGP_MODE_OFF
                ? CGP_PASS
                : CGP_DROP;
}

/* An open policy has no verdicts, but who opened a connection is noted all the same: the next policy will
 * want to know. */
CGP_INLINE int cgp_pass_open(
        struct bpf_sock *sk, const struct cgp_tuple *t, int is_parsed, int is_egress) {
        if (sk && is_parsed && sk->type == CGP_SOCK_STREAM && sk->protocol == IPPROTO_TCP &&
                t->protocol == IPPROTO_TCP && cgp_is_own_syn(t, sk->state, is_egress))
                (void)cgp_note_own_syn(sk); /* fail open: so is the policy */
        return CGP_PASS;
}

/* In a frame of its own: 512 bytes are shared. */
CGP_CALLED int cgp_read(
        struct __sk_buff *skb, __u32 is_egress, __u32 is_broadcast, struct cgp_tuple *t) {
        return cgp_parse(skb, is_egress, is_broadcast, t);
}

/* The long way: any packet, any state. */
CGP_CALLED int cgp_filter(struct __sk_buff *skb, __u32 hook) {
        int is_egress = hook == CGP_HOOK_EGRESS;
        __u64 is_dry = cgp_any(skb->cb[0] == CGP_DRY_RUN);
        __u64 is_broadcast = cgp_any(is_dry ? !!(skb->cb[1] & CGP_DRY_BROADCAST)
                                            : skb->pkt_type == CGP_PACKET_BROADCAST);
        struct cgp_tuple t = {};
        int is_parsed = cgp_read(skb, is_egress, is_broadcast, &t) == 0;
        struct bpf_sock *sk = cgp_full_sock(skb);
        __u64 verdict;

        if (cgp_is_open() && !is_dry)
                return cgp_pass_open(sk, &t, is_parsed, is_egress);

        if (!is_parsed) {
                verdict = cgp_judge_unparsable(is_egress);
        } else if (cgp_is_kernel_control(sk, &t)) {
                verdict = cgp_verdict_pack(
                        &cgp_image.config.control, is_egress ? CGP_DIR_OUT : CGP_DIR_IN);
        } else if (is_dry) {
                verdict = cgp_judge_dry(skb, &t, is_egress);
        } else {
                if (cgp_is_place_relevant())
                        t.place = cgp_place_of_packet(skb, sk);
                verdict = cgp_judge_packet(sk, &t, is_egress);
        }
        verdict = cgp_any(verdict);
        return is_dry ? cgp_conclude_dry(skb, verdict) : cgp_conclude(skb, &t, verdict, hook);
}

CGP_INLINE int cgp_packet(struct __sk_buff *skb, __u32 hook) {
        int is_egress = hook == CGP_HOOK_EGRESS;

        if (skb->cb[0] != CGP_DRY_RUN) {
                if (cgp_is_open()) {
                        if (!is_egress || !skb->sk || skb->sk->state != BPF_TCP_SYN_SENT)
                                return CGP_PASS;
                } else if (cgp_pass(skb, is_egress)) {
                        return CGP_PASS;
                }
        }
        return cgp_filter(skb, hook);
}

SEC("cgroup_skb/egress")
int cgp_egress(struct __sk_buff *skb) {
        return cgp_packet(skb, CGP_HOOK_EGRESS);
}

SEC("cgroup_skb/ingress")
int cgp_ingress(struct __sk_buff *skb) {
        return cgp_packet(skb, CGP_HOOK_INGRESS);
}
