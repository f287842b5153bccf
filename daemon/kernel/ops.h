/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seam between the daemon and the kernel. Two implementations: ops-bpf.c, and the fake of the model
 * tests that fails the n-th call. Everything above it is ordinary code.
 *
 * Kernel objects have two lifetimes: closing a handle (…_free, …_close) changes nothing in the kernel as
 * long as the object is pinned or attached; only link_destroy lets go of a hook.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "policy/image.h"
#include "policy/set.h"

typedef struct Kernel Kernel;
typedef struct KernelOps KernelOps;
typedef struct KernelProgs KernelProgs; /* the programs of one image, one per hook */
typedef struct KernelLink KernelLink;   /* one attached hook */

/* First member of every implementation's own structure. */
struct Kernel {
        const KernelOps *ops;
};

/* What failed, for the operator. Valid after a negative return of a call that takes one. */
typedef struct KernelFailure {
        const char *step; /* static: "open", "load", "attach", ... */
        int hook;         /* CGP_HOOK_*, or -1 */
        char log[2048];   /* the end of the verifier's log, or "" */
} KernelFailure;

/* A pinned link found at start. */
typedef struct KernelFound {
        uint32_t subject;   /* from the pin's name, untrusted until compared with the record */
        uint64_t cgroup_id; /* likewise: the cgroup it was attached to */
        unsigned hook;
        KernelLink *link; /* owned by the callback from the call on */
} KernelFound;

typedef int (*KernelFoundCallback)(void *userdata, KernelFound *found);

/* Return negative to stop; the call that iterates then returns that. */
typedef int (*KernelDenialCallback)(
        void *userdata, const struct cgp_denial_key *key, const struct cgp_denial *denial);

/* A dry run of one packet through the program that a link carries. */
typedef struct KernelDryRun {
        const void *packet; /* from the network header on */
        size_t size;
        uint32_t opener; /* CGP_OPENER_* to assume */
        uint32_t ifindex;
        bool host_netns; /* the socket is in the host's network namespace */
        bool broadcast;  /* received as a link-layer broadcast */
        bool passes;     /* out: the program's verdict */
        uint32_t rule;   /* out: rule number */
        uint32_t action; /* out: CGP_ACTION_* */
} KernelDryRun;

/* What interface an index is, for cgp_interfaces. */
typedef struct KernelInterface {
        uint32_t ifindex;
        struct cgp_interface interface;
} KernelInterface;

/* An IP socket and what the programs remember of it. */
typedef struct KernelSocket {
        uint64_t cookie;
        uint64_t cgroup_id; /* where it was made */
        uint64_t netns;     /* cookie; 0: unknown */
        uint8_t family;     /* AF_INET, AF_INET6 */
        uint8_t protocol;   /* TCP or UDP */
        uint8_t state;      /* TCP_ESTABLISHED.. of <netinet/tcp.h>, also for UDP */
        uint8_t opener;     /* CGP_OPENER_* */
        bool created;       /* made under our programs */
        uint8_t local[16];
        uint8_t remote[16];
        uint16_t local_port;
        uint16_t remote_port;
        uint32_t ifindex; /* bound to; 0: none */
} KernelSocket;

typedef int (*KernelSocketCallback)(void *userdata, const KernelSocket *socket);

struct KernelOps {
        /* Makes programs that carry the image, one per hook: an instance that was loaded ahead is filled, or one
         * is loaded where none is left or the image is large. Nothing is attached.
         * -EOPNOTSUPP: this kernel lacks a hook (reterr->hook says which); -EINVAL: the verifier refuses
         * (reterr->log); -ENOMEM; -EPERM. */
        int (*progs_load)(
                Kernel *k, const PolicyImage *image, KernelFailure *reterr, KernelProgs **ret);
        /* The handle. Programs that no link carries are used again once no packet can be running in them. */
        KernelProgs *(*progs_free)(KernelProgs *progs);
        uint32_t (*progs_id)(const KernelProgs *progs, unsigned hook);

        /* Attaches a hook to a cgroup and pins the link under the name that (subject, cgroup_id, hook)
         * gives. On failure nothing is attached and nothing pinned. -EEXIST: the pin exists; -EPERM: a
         * program with exclusive flags is on the path; -E2BIG: 64 programs already. */
        int (*link_create)(Kernel *k, const KernelProgs *progs, unsigned hook, int cgroup_fd,
                uint32_t subject, uint64_t cgroup_id, KernelLink **ret);

        /* Replaces the link's program atomically. On failure the old one is in force. -ENOLINK: the cgroup
         * is gone for good, destroy the link. */
        int (*link_update)(Kernel *k, KernelLink *link, const KernelProgs *progs, unsigned hook);

        /* What the link carries now. cgroup_id 0: the cgroup and its last socket are gone. */
        int (*link_query)(
                Kernel *k, KernelLink *link, uint32_t *ret_prog_id, uint64_t *ret_cgroup_id);

        /* Unpins, detaches, frees the handle. Fails only when the pin cannot be removed; then the hook stays
         * attached and the handle is valid, to try again or to be freed. */
        int (*link_destroy)(Kernel *k, KernelLink *link);

        /* Frees the handle only; returns NULL. */
        KernelLink *(*link_free)(KernelLink *link);

        /* Calls back for each pinned link of ours. What does not look like ours is left alone (counted in
         * the return value, which is the number of pins skipped). */
        int (*links_find)(Kernel *k, KernelFoundCallback callback, void *userdata);

        /* Records, keyed by cgroup id; survive the daemon. read: -ENOENT. */
        int (*record_write)(Kernel *k, const struct cgp_record *record);
        int (*record_read)(Kernel *k, uint64_t cgroup_id, struct cgp_record *ret);
        int (*record_delete)(Kernel *k, uint64_t cgroup_id); /* no record is no error */

        /* Sums over all CPUs. */
        int (*counter_read)(Kernel *k, uint32_t slot, struct cgp_counter *ret);
        int (*counter_clear)(Kernel *k, uint32_t slot);
        int (*stat_read)(Kernel *k, uint32_t stat, uint64_t *ret);

        /* The remembered UDP and ICMP conversations: entries now, and capacity. Walks the map. */
        int (*flows_count)(Kernel *k, uint64_t *ret_entries, uint64_t *ret_max);

        /* The last denials, and the account of what was flushed from them. read: -ENOENT. */
        int (*denials_each)(Kernel *k, KernelDenialCallback callback, void *userdata);
        int (*flushed_read)(Kernel *k, const struct cgp_denial_key *key, struct cgp_flushed *ret);
        int (*flushed_write)(
                Kernel *k, const struct cgp_denial_key *key, const struct cgp_flushed *flushed);

        /* Puts a set map into a free slot, or finds the slot that holds one of this hash. -ENOSPC: all are taken;
         * -E2BIG, -ENOMEM. The set's pages may be dropped after it. */
        int (*set_load)(Kernel *k, const PolicySet *set, uint32_t *ret_slot);
        /* Empties a slot; no image in force may name it. An empty one is no error. */
        int (*set_drop)(Kernel *k, uint32_t slot);
        /* Calls back for each slot in use. */
        int (*sets_each)(Kernel *k, int (*callback)(void *userdata, uint32_t slot, uint64_t hash),
                void *userdata);

        /* Makes cgp_interfaces hold exactly these. Each entry is replaced as a whole; what is new comes before
         * what is gone is removed. */
        int (*interfaces_write)(Kernel *k, const KernelInterface *interfaces, size_t n);

        /* Every TCP and UDP socket of the calling process's network namespace that was made in this cgroup or below
         * it. -EOPNOTSUPP: no iterators here (they need BTF). */
        int (*sockets_each)(
                Kernel *k, int cgroup_fd, KernelSocketCallback callback, void *userdata);

        /* Runs the packet hook's loaded program on a made-up packet. Changes nothing. -EINVAL: not the link of a
         * packet hook, or (recent kernels) a packet shorter than an IP header; -EMSGSIZE: over 2 KiB. */
        int (*dry_run)(Kernel *k, KernelLink *link, KernelDryRun *run);
};
