/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * The only contract between the programs in bpf/ and the daemon.
 *
 * Every structure here is laid out by hand: fixed-width members, explicit padding, no implicit
 * holes. Padding is zero: keys are compared bytewise. Addresses are 16 bytes in network byte order; an
 * IPv4 address a.b.c.d is stored as ::ffff:a.b.c.d. Ports are in host byte order unless said otherwise.
 * Times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns).
 *
 * CGP_ABI_VERSION changes whenever the meaning or layout of anything in this file changes.
 */
#pragma once

#include <linux/types.h>

#define CGP_ABI_VERSION 2

/* Hooks, in the order in which they are attached and in which a change that tightens is published:
 * who made a socket must be known before its first packet, and a refusal by errno must come before a
 * silent drop. A change that loosens goes the other way round. */
#define CGP_HOOK_SOCK_CREATE 0
#define CGP_HOOK_SOCK_OPS    1
#define CGP_HOOK_BIND4       2
#define CGP_HOOK_BIND6       3
#define CGP_HOOK_POST_BIND4  4
#define CGP_HOOK_POST_BIND6  5
#define CGP_HOOK_CONNECT4    6
#define CGP_HOOK_CONNECT6    7
#define CGP_HOOK_SENDMSG4    8
#define CGP_HOOK_SENDMSG6    9
#define CGP_HOOK_EGRESS      10
#define CGP_HOOK_INGRESS     11
#define CGP_N_HOOKS          12

/* Direction of a conversation: who opened it; or the binding of a local port. Values of
 * cgp_event.direction and of rules. */
#define CGP_DIR_OUT  0
#define CGP_DIR_IN   1
#define CGP_DIR_BIND 2

/* What is remembered of a conversation. 0 must stay "nobody saw it". */
#define CGP_OPENER_UNKNOWN      0
#define CGP_OPENER_OUT          1
#define CGP_OPENER_IN           2
#define CGP_OPENER_IN_MULTICAST 3 /* the opening packet was sent to a multicast address of ours */
#define CGP_OPENER_IN_BROADCAST 4 /* likewise, to a broadcast address */

/* Views: one classifier each. OUT: remote address and remote port. IN: remote address and local port.
 * IN_MULTICAST, IN_BROADCAST: as IN, for packets whose destination is a multicast or broadcast address
 * (there "from multicast", "from broadcast" hold). BIND: local address and local port. */
#define CGP_VIEW_OUT          0
#define CGP_VIEW_IN           1
#define CGP_VIEW_IN_MULTICAST 2
#define CGP_VIEW_IN_BROADCAST 3
#define CGP_VIEW_BIND         4
#define CGP_N_VIEWS           5

/* Verdict actions. 0 is no verdict: what reads it fails closed. */
#define CGP_ACTION_NONE  0
#define CGP_ACTION_ALLOW 1
#define CGP_ACTION_DENY  2
#define CGP_ACTION_NEVER 3

/* Modes, in cgp_config.mode. 0 is no mode: treated as ENFORCE. */
#define CGP_MODE_ENFORCE 1
#define CGP_MODE_AUDIT   2
#define CGP_MODE_OFF     3

/* cgp_config.features: what the policy can do at all; code for what is absent is passed over. */
#define CGP_FEATURE_OPEN \
        (1U << 0) /* no verdict of any packet view denies: nothing to look up or remember */
#define CGP_FEATURE_NEVER_OUT (1U << 1) /* view OUT has a NEVER: in-conversations must ask it too */
#define CGP_FEATURE_NEVER_IN  (1U << 2) /* some IN view has a NEVER: out-conversations ask it too */
#define CGP_FEATURE_BIND      (1U << 3) /* view BIND denies something */
#define CGP_FEATURE_PLACE \
        (1U << 4) /* verdicts depend on the interface or network namespace: n_places > 1 */
#define CGP_FEATURE_SETS (1U << 5) /* some view asks the set map in set_slot */

/* Of these an instance's programs do what cgp_instance.features says. An image that asks for more gets no verdicts
 * there: what it does not leave open is refused. */
#define CGP_INSTANCE_FEATURES (CGP_FEATURE_SETS | CGP_FEATURE_PLACE | CGP_FEATURE_BIND)

/* Rule numbers: stable within a subject for as long as the rule exists. Below CGP_RULE_FIRST they are
 * reserved for what no written rule decides. */
#define CGP_RULE_NONE           0
#define CGP_RULE_DEFAULT_OUT    1
#define CGP_RULE_DEFAULT_IN     2
#define CGP_RULE_UNPARSABLE_OUT 3 /* egress packet that cannot be judged by its bytes */
#define CGP_RULE_UNPARSABLE_IN  4 /* ingress packet, likewise */
#define CGP_RULE_CONTROL        5 /* built in: neighbour discovery, MLD, ICMP errors of the kernel */
#define CGP_RULE_BROKEN         6 /* a table look-up missed: fails closed */
#define CGP_RULE_DEFAULT_BIND   7
#define CGP_RULE_FIRST          16
#define CGP_MAX_RULES           16000 /* rule numbers are < CGP_RULE_FIRST + CGP_MAX_RULES */

#define CGP_MAX_SUBJECTS 4096 /* subject numbers are 1..CGP_MAX_SUBJECTS-1 */
#define CGP_MAX_COUNTERS \
        65536 /* slots of the counter map, shared by all subjects; slot 0 is unused */

/* An image is two array maps of one element each. cgp_image: struct cgp_config, and at config.verdicts
 * n_verdicts * struct cgp_verdict. It names subject, counters and generation and so belongs to one subject.
 * cgp_tables: what does not, so that equal tables can be shared. Layout, every part 8-byte aligned:
 *   nodes     at 0             n_nodes * 256 * __u16
 *   paths     at config.paths  n_paths * struct cgp_path
 *   cells     at config.cells  n_cells * __u16
 *
 * Tries. A walk consumes a 64-bit key from its most significant bit on, starting from an entry:
 *   CGP_ENTRY_LEAF set   the walk ends with this value (15 bits)
 *   CGP_ENTRY_PATH set   a path: where the key is at least `first` and at most `first` + `span`, goes on with `hit` and
 *                        the key shifted left by `shift` bits; else with `miss` and the key as it is. A range may
 *                        wrap around.
 *   else                 a node: takes the key's first byte off and goes on with that one of its 256 entries
 * A walk that has not ended after CGP_WALK_MAX steps is broken. Keys:
 *   IPv4     view.root4; the address, left-aligned
 *   IPv6     view.root6; the first 64 bits of the address; its leaf has the low bit clear: value >> 1 is the
 *            row; low bit set: value >> 1 is the cell that holds the entry at which the walk of the last
 *            64 bits begins, whose leaf is the row
 *   service  protocol << 56 | port << 40; the port is 0 for protocols that have none
 *
 * From row to verdict, all indices into cells:
 *   with CGP_FEATURE_SETS and n_set_classes > 1: the address is looked up in the set map, which gives a
 *   combination of sets; k = cells[view.set_classes + combination];
 *   row = cells[view.pairs + row * n_set_classes + k].
 *   place (0 unless CGP_FEATURE_PLACE), see below: line = place * n_rows + row.
 *   CGP_LAYOUT_MATRIX    column = leaf of the service walk from view.root_service;
 *                        verdict = cells[view.matrix + line * n_columns + column]
 *   CGP_LAYOUT_LINES     verdict = leaf of the service walk from entry cells[view.matrix + line]
 */
#define CGP_ENTRY_LEAF     0x8000U
#define CGP_ENTRY_PATH     0x4000U
#define CGP_LEAF_MASK      0x7fffU
#define CGP_INDEX_MASK     0x3fffU /* of a node or path */
#define CGP_WALK_MAX       12U     /* steps within one key */
#define CGP_MAX_NODES      16384
#define CGP_MAX_PATHS      16384
#define CGP_MAX_CELLS      (8U * 1024 * 1024)
#define CGP_MAX_VERDICTS   16384
#define CGP_MAX_TABLE_SIZE (16U * 1024 * 1024)

#define CGP_LAYOUT_MATRIX 0
#define CGP_LAYOUT_LINES  1

/* Tables and verdicts up to these sizes go into an instance that was loaded ahead. */
#define CGP_SMALL_IMAGE_SIZE 4096U
#define CGP_SMALL_TABLE_SIZE 16384U

/* Up to these, into one whose programs are used again. */
#define CGP_MEDIUM_IMAGE_SIZE 65536U
#define CGP_MEDIUM_TABLE_SIZE 524288U

struct cgp_path {
        __u64 first;
        __u64 span;
        __u16 hit;
        __u16 miss;
        __u16 shift; /* 0-63 */
        __u16 _pad;
};

struct cgp_verdict {
        __u32 counter; /* slot in the counter map */
        __u16 rule;    /* rule number, CGP_RULE_* */
        __u8 action;   /* CGP_ACTION_* */
        __u8 _pad;
};

struct cgp_view {
        __u16 root4;
        __u16 root6;
        __u16 root_service;
        __u16 layout; /* CGP_LAYOUT_* */
        __u32 matrix;
        __u32 n_rows;
        __u32 n_columns;
        __u32 set_classes;
        __u32 n_set_classes; /* 0 or 1: the view asks no sets */
        __u32 pairs;
        __u32 n_trie_rows; /* rows that the address walks give; without sets n_rows */
        __u32 _pad;
};

/* A place: where a packet is, as far as rules with `via` and `lan` care. Each is one layer of the matrix.
 *   0 ELSEWHERE  another network namespace than the host's, an interface that the image does not know, or
 *                one that nothing is known of: the strictest
 *   1 UNDECIDED  in the host's, interface not chosen yet: for system calls, which refuse only what every
 *                interface would
 *   2..          the interface's id in the map cgp_interfaces, plus CGP_PLACE_FIRST
 * The host's network namespace is the one whose cookie is config.host_netns. */
#define CGP_PLACE_ELSEWHERE 0
#define CGP_PLACE_UNDECIDED 1
#define CGP_PLACE_FIRST     2
#define CGP_MAX_PLACES      64

/* Map cgp_interfaces: interface index -> which combination of the names in rules it has, under two versions of
 * the numbering, so that images of both can be in force while it changes. Neither version is the image's:
 * ELSEWHERE. */
struct cgp_interface {
        __u32 version[2]; /* 0: none */
        __u32 id[2];
};

/* The data of a program instance. Written before the first of its programs is attached, and not again while
 * one is. */
struct cgp_config {
        __u32 abi_version;
        __u32 subject;
        __u64 generation;
        __u64 host_netns; /* cookie; 0: unknown, everything is elsewhere */
        __u32 features;   /* CGP_FEATURE_* */
        __u32 mode;       /* CGP_MODE_* */
        __u32 refusal; /* errno of a refused system call, where the kernel lets us choose; 0: EPERM */
        __u32 n_verdicts;
        __u32 verdicts; /* byte offset in cgp_image */
        __u32 n_nodes;
        __u32 n_paths;
        __u32 paths; /* byte offset in cgp_tables */
        __u32 n_cells;
        __u32 cells; /* byte offset in cgp_tables */
        __u32 table_size;
        __u32 n_places;
        __u32 interfaces_version; /* of the numbering that places mean */
        __u32 set_slot;           /* element of cgp_sets */
        __u64 set_hash;           /* what that set map must say of itself */
        struct cgp_view view[CGP_N_VIEWS];
        struct cgp_verdict unparsable_out;
        struct cgp_verdict unparsable_in;
        struct cgp_verdict control; /* the built-in rule's counter; always ALLOW */
        struct cgp_verdict broken;  /* always DENY */
};

/* The values of those two maps in an instance that was loaded ahead. */
struct cgp_image {
        struct cgp_config config;
        __u8 rest[CGP_SMALL_IMAGE_SIZE - sizeof(struct cgp_config)];
};

struct cgp_tables {
        __u8 bytes[CGP_SMALL_TABLE_SIZE];
};

/* What programs are loaded with: constants in frozen .rodata, by which the verifier bounds and passes over. The
 * sizes are those of the values of the two maps, at least CGP_SMALL_*. */
struct cgp_instance {
        __u32 image_size;   /* of the value of map .data.image, that is cgp_image */
        __u32 table_size;   /* of the value of map .data.tables, that is cgp_tables */
        __u32 features;     /* of CGP_INSTANCE_FEATURES: the rest was left out */
        __u8 has_retval;    /* bpf_set_retval() exists in the system call hooks */
        __u8 has_skb_netns; /* bpf_get_netns_cookie() exists in the packet hooks */
        __u8 _pad[2];
};

/* A set map: all named lists at once, address -> which lists hold it, each with its longest prefix. An array
 * of pages; an element of the array of maps cgp_sets. Page 0 begins with struct cgp_set_header. The
 * combination 0 is "in no list". Layout of the rest: bpf/set.bpf.h. */
#define CGP_SET_PAGE_SIZE        4096U
#define CGP_MAX_SET_SLOTS        16
#define CGP_MAX_SET_COMBINATIONS 65535

struct cgp_set_header {
        __u32 abi_version;
        __u32 n_pages;
        __u64 hash; /* over everything behind this member, and what combinations mean; never 0 */
        __u32 n_combinations;
        __u32 param[11]; /* as set.bpf.h has it */
};

/* One element per CPU of map cgp_counters. A packet counts in exactly one member group. */
struct cgp_counter {
        __u64 packets; /* passed; a GSO packet counts as its segments */
        __u64 bytes;   /* passed, from the network header on */
        __u64 blocked; /* packets dropped and system calls refused */
        __u64 would;   /* as blocked, in mode audit: let pass */
};

/* cgp_stats, one per-CPU array for all subjects. */
#define CGP_STAT_FLOWS_INSERTED 0 /* entries ever added to cgp_flows */
#define CGP_STAT_FLOWS_REFUSED  1 /* an entry could not be added: the packet was dropped */
#define CGP_STAT_EVENTS_LOST    2 /* no reader, or its buffer was full */
#define CGP_STAT_UNITEMISED \
        3 /* denials counted in their rule but not in cgp_denials (map failure) */
#define CGP_N_STATS 4

/* Per-socket storage (cgp_sk, BPF_F_CLONE: an accepted socket starts with a copy of its listener's). */
struct cgp_sk {
        __u64 netns_cookie;
        __u32 pid; /* thread group that made the socket; 0: unknown */
        __u32 uid;
        char comm[16];
        __u8 created;     /* 1: made under a cgpolicy program, so not older than the attachment */
        __u8 opener;      /* CGP_OPENER_*, TCP and connected sockets only */
        __u16 asked_port; /* mode audit: what the last bind() asked for, as bind4 and bind6 report it */
        __u16 chosen_port; /* likewise, what the kernel chose, as post_bind reports it */
        __u8 _pad[2];
};

/* The memory of a UDP, UDP-Lite, SCTP or ICMP echo conversation (map cgp_flows, LRU). */
struct cgp_flow_key {
        __u32 subject;
        __u16 local_port; /* ICMP echo: the identifier */
        __u16 remote_port;
        __u8 remote[16];
        __u8 protocol;
        __u8 _pad[3];
};

struct cgp_flow {
        __u64 seen;  /* last packet, refreshed at most once a second */
        __u64 tick;  /* the kernel's jiffies then: cheaper to compare with */
        __u8 opener; /* CGP_OPENER_*, never UNKNOWN */
        __u8 _pad[7];
};

#define CGP_FLOW_IDLE_NSEC (180ULL * 1000 * 1000 * 1000)

/* An event record, the payload of a perf sample. */
#define CGP_EVENT_DENIED 1 /* blocked */
#define CGP_EVENT_WOULD \
        2 /* would have been blocked: mode audit, or the kernel has no way to refuse (listen()
                            * without bind()) */

struct cgp_event {
        __u16 version; /* CGP_ABI_VERSION */
        __u16 type;    /* CGP_EVENT_* */
        __u32 size;    /* sizeof(struct cgp_event) */
        __u64 time;
        __u64 epoch; /* when counting of this cause began */
        __u64 total; /* denials of this cause since epoch, this one included */
        __u64 generation;
        __u32 subject;
        __u32 pid; /* 0: unknown */
        __u32 uid; /* meaningful when pid is not 0 */
        __u32 ifindex;
        char comm[16];
        __u8 local[16];
        __u8 remote[16];
        __u16 local_port; /* ICMP: type << 8 | code in local_port, echo identifier in remote_port */
        __u16 remote_port;
        __u16 rule;
        __u8 hook;
        __u8 direction; /* CGP_DIR_* of the conversation */
        __u8 protocol;
        __u8 _pad[7];
};

/* The last denials (map cgp_denials, LRU): same rule, direction, protocol, peer and port are one cause.
 * total only grows. reported is total at the last event that a reader got; what lies between is flushed
 * by the daemon, which keeps its own account in map cgp_flushed (never touched by programs). */
struct cgp_denial_key {
        __u32 subject;
        __u16 rule;
        __u16 port; /* out: remote port; in: local port; ICMP: type << 8 | code */
        __u8 remote[16];
        __u8 direction;
        __u8 protocol;
        __u8 type; /* CGP_EVENT_* */
        __u8 _pad[5];
};

struct cgp_denial {
        __u64 total;
        __u64 reported;
        __u64 last_event; /* when an event was last sent for it; 0: never */
        struct cgp_event first;
};

struct cgp_flushed {
        __u64 epoch;
        __u64 total;
};

/* An event of one cause is sent at most once per this time; the rest is counted as suppressed. */
#define CGP_DENIAL_WINDOW_NSEC (1000ULL * 1000 * 1000)

/* Token bucket per subject: events of different causes. */
#define CGP_EVENT_BURST       50
#define CGP_EVENTS_PER_SECOND 10

/* At most one wake-up of the reader per this time; records in between wait for its timer. */
#define CGP_WAKE_NSEC (200ULL * 1000 * 1000)

/* What the daemon wrote about the hooks of a subject (map cgp_records), so that a restarted daemon can
 * tell which image each hook carries: the hook's link reports a program id, which is that of cur or next. */
struct cgp_record_hook {
        __u64 cur_hash;
        __u64 next_hash;
        __u32 cur_prog_id;
        __u32 next_prog_id;
};

struct cgp_record {
        __u32 abi_version;
        __u32 subject;
        __u64 cgroup_id;
        struct cgp_record_hook hook[CGP_N_HOOKS];
};

/* __sk_buff.cb in BPF_PROG_TEST_RUN. A live packet always arrives with cb zero (the kernel clears it for
 * programs that read it), so nothing on the wire can set this mark. */
#define CGP_DRY_RUN \
        0x43475059U /* cb[0] in: judge only, count and report nothing, remember nothing */
/* cb[1] in: CGP_OPENER_* to assume for the conversation (UNKNOWN: the packet opens it), and CGP_DRY_*.
 * cb[2] in: interface index to assume. Out: rule number. cb[3] out: action. */
#define CGP_DRY_OPENER_MASK 0xffU
#define CGP_DRY_HOST_NETNS  (1U << 8) /* the socket is in the host's network namespace */
#define CGP_DRY_BROADCAST   (1U << 9) /* received as a link-layer broadcast */

/* A socket as the iterator writes it (bpf/sock-iter.bpf.c). */
struct cgp_socket {
        __u64 cookie;
        __u64 cgroup_id;    /* where it was made */
        __u64 netns_cookie; /* 0: unknown */
        __u8 local[16];
        __u8 remote[16];
        __u16 local_port;
        __u16 remote_port;
        __u32 ifindex; /* bound to; 0: none */
        __u8 family;   /* AF_INET, AF_INET6 */
        __u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
        __u8 state;    /* as the kernel's TCP numbers them, also for UDP */
        __u8 opener;   /* CGP_OPENER_* */
        __u8 created;  /* 1: made under a cgpolicy program */
        __u8 _pad[3];
};
