/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hooks of one subject at one cgroup, and how they go from image to image. The kernel keeps them
 * whether or not this structure exists: freeing it closes handles, attachment_destroy() lets go.
 *
 * The record in the kernel always names, per hook, the program that the hook carries or is about to carry:
 * it is written before the first hook is switched and once more when all are. A daemon killed anywhere in
 * between is followed by one that can tell what each hook carries (I1).
 */
#pragma once

#include "core/plan.h"
#include "kernel/ops.h"

typedef struct Attachment {
        Kernel *kernel; /* borrowed */
        uint32_t subject;
        uint64_t cgroup_id;
        KernelLink *links[CGP_N_HOOKS];
        struct cgp_record record;
        KernelProgs *progs; /* what all hooks carry; NULL after an adoption */
        uint64_t hash;      /* of the image they carry; 0: not all the same, or not known */
        uint32_t sets;      /* bit i: slot i of the set maps; all, with hash 0: not known */
        bool has_processes; /* of nobody's job: not to be let go of but on request */
} Attachment;

/* Attaches every hook to the cgroup. On success *progs is NULL, the attachment owns them. On failure
 * nothing is attached and *progs is as before. */
int attachment_new(Kernel *kernel, uint32_t subject, int cgroup_fd, uint64_t cgroup_id,
        KernelProgs **progs, uint64_t hash, Attachment **ret) _warn_unused_result_;

/* Closes handles; returns NULL. */
Attachment *attachment_free(Attachment *a);
DEFINE_CLEANUP(Attachment *, attachment_freep, attachment_free);

/* An attachment without hooks yet, to be filled by attachment_adopt(). */
int attachment_new_empty(Kernel *kernel, uint32_t subject, uint64_t cgroup_id,
        Attachment **ret) _warn_unused_result_;

/* Gives a link that was found pinned to the attachment. -EEXIST: it has this hook already. */
int attachment_adopt(Attachment *a, unsigned hook, KernelLink **link) _warn_unused_result_;

/* After all links are adopted: reads the record and works out which image the hooks carry; sets hash if
 * all carry the same one and no hook is missing. Never fails: what cannot be told leaves hash 0. */
void attachment_recognise(Attachment *a);

/* Attaches what is missing (after a crash while attaching, or when somebody removed a pin). */
int attachment_complete(
        Attachment *a, int cgroup_fd, const KernelProgs *progs) _warn_unused_result_;

/* Switches all hooks in the order of the change; for a MIXED one `between` holds the programs of the
 * intersection. On success *progs is what was carried before (maybe NULL), for attachment_undo(). On
 * failure the old programs are in force on every hook again and *progs is as before, unless they were not
 * known (a->progs NULL), when the hooks carry a mixture and hash is 0.
 * -ENOLINK never comes back: hooks of a dead cgroup count as switched. */
int attachment_publish(Attachment *a, PolicyChange change, const KernelProgs *between,
        uint64_t between_hash, KernelProgs **progs, uint64_t hash) _warn_unused_result_;

/* Deletes the record and lets go of every hook, packet hooks first. Goes on after an error and returns the
 * first one. The structure stays; after an error with the links that could not be let go, to try again. */
int attachment_destroy(Attachment *a);

/* Attaches again what attachment_destroy() let go. a->progs must be programs of the image that the hooks
 * carried. On failure hash is 0. */
int attachment_restore(Attachment *a, int cgroup_fd) _warn_unused_result_;

/* Does each hook carry the program that was put there? hash is 0 if somebody else put another one there. */
int attachment_verify(Attachment *a) _warn_unused_result_;

/* Are the cgroup and its last socket gone, so that no hook can ever run again? */
bool attachment_is_dead(Attachment *a);
