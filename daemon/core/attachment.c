/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/attachment.h"

#include "util/macro.h"

Attachment *attachment_free(Attachment *a) {
        if (!a)
                return NULL;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                a->links[hook] = a->kernel->ops->link_free(a->links[hook]);
        if (a->progs)
                a->progs = a->kernel->ops->progs_free(a->progs);
        free(a);
        return NULL;
}

int attachment_new_empty(Kernel *kernel, uint32_t subject, uint64_t cgroup_id, Attachment **ret) {
        Attachment *a = NULL;

        a = malloc(sizeof(*a));
        if (!a)
                return -ENOMEM;
        *a = (Attachment) {
                .kernel = kernel,
                .subject = subject,
                .cgroup_id = cgroup_id,
                .sets = UINT32_MAX,
                .record = {
                        .abi_version = CGP_ABI_VERSION,
                        .subject = subject,
                        .cgroup_id = cgroup_id,
                },
        };
        *ret = a;
        return 0;
}

static void attachment_record_next(
        Attachment *a, unsigned hook, const KernelProgs *progs, uint64_t hash) {
        a->record.hook[hook].next_hash = hash;
        a->record.hook[hook].next_prog_id = a->kernel->ops->progs_id(progs, hook);
}

static void attachment_record_done(Attachment *a) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                struct cgp_record_hook *h = &a->record.hook[hook];

                if (h->next_prog_id == 0)
                        continue;
                h->cur_hash = h->next_hash;
                h->cur_prog_id = h->next_prog_id;
                h->next_hash = 0;
                h->next_prog_id = 0;
        }
}

static int attachment_create_links(
        Attachment *a, int cgroup_fd, const KernelProgs *progs, uint64_t hash) {
        const KernelOps *ops = a->kernel->ops;
        int r;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (!a->links[hook])
                        attachment_record_next(a, hook, progs, hash);
        r = ops->record_write(a->kernel, &a->record);
        if (r < 0)
                return r;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (a->links[hook])
                        continue;
                r = ops->link_create(a->kernel, progs, hook, cgroup_fd, a->subject, a->cgroup_id,
                        &a->links[hook]);
                if (r < 0)
                        return r;
        }

        attachment_record_done(a);
        return ops->record_write(a->kernel, &a->record);
}

int attachment_new(Kernel *kernel, uint32_t subject, int cgroup_fd, uint64_t cgroup_id,
        KernelProgs **progs, uint64_t hash, Attachment **ret) {
        _cleanup_(attachment_freep) Attachment *a = NULL;
        int r;

        r = attachment_new_empty(kernel, subject, cgroup_id, &a);
        if (r < 0)
                return r;
        r = attachment_create_links(a, cgroup_fd, *progs, hash);
        if (r < 0) {
                (void)attachment_destroy(a);
                return r;
        }

        a->progs = TAKE_PTR(*progs);
        a->hash = hash;
        *ret = TAKE_PTR(a);
        return 0;
}

int attachment_adopt(Attachment *a, unsigned hook, KernelLink **link) {
        if (a->links[hook])
                return -EEXIST;
        a->links[hook] = TAKE_PTR(*link);
        return 0;
}

/* The record in memory then says what the hook carries as cur, so that the next change can write its own
 * programs as next without losing sight of these. */
static int attachment_recognise_hook(Attachment *a, unsigned hook) {
        struct cgp_record_hook *h = &a->record.hook[hook];
        uint64_t cgroup_id;
        uint32_t prog_id;
        int r;

        if (!a->links[hook])
                return -ENOENT;
        r = a->kernel->ops->link_query(a->kernel, a->links[hook], &prog_id, &cgroup_id);
        if (r < 0)
                return r;
        if (prog_id == 0 || (prog_id != h->cur_prog_id && prog_id != h->next_prog_id))
                return -ESTALE;
        if (prog_id == h->next_prog_id) {
                h->cur_hash = h->next_hash;
                h->cur_prog_id = prog_id;
        }
        h->next_hash = 0;
        h->next_prog_id = 0;
        return 0;
}

void attachment_recognise(Attachment *a) {
        struct cgp_record record;
        bool same = true;

        a->hash = 0;
        if (a->kernel->ops->record_read(a->kernel, a->cgroup_id, &record) < 0)
                return;
        if (record.abi_version != CGP_ABI_VERSION || record.subject != a->subject)
                return;
        a->record = record;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                same = attachment_recognise_hook(a, hook) >= 0 && same &&
                        a->record.hook[hook].cur_hash == a->record.hook[0].cur_hash;
        if (same)
                a->hash = a->record.hook[0].cur_hash;
}

int attachment_complete(Attachment *a, int cgroup_fd, const KernelProgs *progs) {
        /* Hash 0: the hooks that are there may carry something else; whoever calls publishes next. */
        return attachment_create_links(a, cgroup_fd, progs, /* hash= */ 0);
}

static int attachment_switch(Attachment *a, unsigned hook, const KernelProgs *progs) {
        int r;

        if (!a->links[hook])
                return 0;
        r = a->kernel->ops->link_update(a->kernel, a->links[hook], progs, hook);
        return r == -ENOLINK ? 0 : r;
}

/* Takes the steps back, last one first, each to what its hook carried before: what was opened goes to the
 * intersection again before anything goes to the old image, or hooks of the new and of the old one would
 * be side by side. That this fails is made up for by the hook's own step to the intersection, which is
 * taken back later. What fails then leaves a newer program on a hook, which the kernel's record knows as
 * cur or next. before is what the record will have to say. */
static int attachment_roll_back(Attachment *a, const PlanStep *steps, size_t n_done,
        const KernelProgs *between, struct cgp_record *before) {
        int ret = 0;

        for (size_t i = n_done; i-- > 0;) {
                struct cgp_record_hook *h = &before->hook[steps[i].hook];
                int r;

                if (between && !steps[i].intersection) {
                        (void)attachment_switch(a, steps[i].hook, between);
                        continue;
                }
                r = attachment_switch(a, steps[i].hook, a->progs);
                if (r < 0 && ret == 0)
                        ret = r;
                /* After an adoption these are not the programs that were there, only their equals. */
                h->cur_hash = a->hash;
                h->cur_prog_id = a->kernel->ops->progs_id(a->progs, steps[i].hook);
        }
        if (ret < 0)
                a->hash = 0;
        return ret;
}

static int attachment_record_steps(Attachment *a, const PlanStep *steps, size_t n,
        bool intersection, const KernelProgs *progs, uint64_t hash) {
        for (size_t i = 0; i < n; i++)
                if (steps[i].intersection == intersection)
                        attachment_record_next(a, steps[i].hook, progs, hash);
        return a->kernel->ops->record_write(a->kernel, &a->record);
}

/* Switches the hooks of one phase (the intersection, or the final image). *n_done counts over phases. */
static int attachment_phase(Attachment *a, const PlanStep *steps, size_t n, bool intersection,
        const KernelProgs *progs, uint64_t hash, size_t *n_done) {
        int r;

        r = attachment_record_steps(a, steps, n, intersection, progs, hash);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (steps[i].intersection != intersection)
                        continue;
                r = attachment_switch(a, steps[i].hook, progs);
                if (r < 0)
                        return r;
                (*n_done)++;
        }
        return 0;
}

int attachment_publish(Attachment *a, PolicyChange change, const KernelProgs *between,
        uint64_t between_hash, KernelProgs **progs, uint64_t hash) {
        struct cgp_record before = a->record;
        PlanStep steps[PLAN_STEPS_MAX];
        KernelProgs *old = a->progs;
        size_t n, n_done = 0;
        int r = 0;

        n = plan_publish(change, steps);
        if (change == POLICY_CHANGE_MIXED) {
                assert(between);
                r = attachment_phase(
                        a, steps, n, /* intersection= */ true, between, between_hash, &n_done);
                /* The record has two programs per hook; from here on cur is the intersection. */
                if (r >= 0)
                        attachment_record_done(a);
        }
        if (r >= 0)
                r = attachment_phase(a, steps, n, /* intersection= */ false, *progs, hash, &n_done);
        if (r >= 0) {
                attachment_record_done(a);
                r = a->kernel->ops->record_write(a->kernel, &a->record);
        }
        if (r < 0) {
                if (!a->progs) {
                        a->hash = 0;
                        return r;
                }
                if (attachment_roll_back(a, steps, n_done, between, &before) >= 0) {
                        a->record = before;
                        (void)a->kernel->ops->record_write(a->kernel, &a->record);
                }
                return r;
        }

        a->progs = *progs;
        a->hash = hash;
        *progs = old;
        return 0;
}

int attachment_destroy(Attachment *a) {
        const KernelOps *ops = a->kernel->ops;
        int r, ret;

        /* Pins without a record are found at the next start and let go of; a record without a pin would be
         * found by nobody. */
        ret = ops->record_delete(a->kernel, a->cgroup_id);
        for (unsigned i = CGP_N_HOOKS; i-- > 0;) {
                if (!a->links[i])
                        continue;
                r = ops->link_destroy(a->kernel, a->links[i]);
                if (r >= 0)
                        a->links[i] = NULL;
                else if (ret >= 0)
                        ret = r;
        }
        return ret;
}

int attachment_restore(Attachment *a, int cgroup_fd) {
        int r;

        assert(a->progs);
        r = attachment_create_links(a, cgroup_fd, a->progs, a->hash);
        if (r < 0)
                a->hash = 0;
        return r;
}

int attachment_verify(Attachment *a) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                uint64_t cgroup_id;
                uint32_t prog_id;
                int r;

                if (!a->links[hook])
                        continue;
                r = a->kernel->ops->link_query(a->kernel, a->links[hook], &prog_id, &cgroup_id);
                if (r < 0)
                        return r;
                if (cgroup_id != 0 && prog_id != a->record.hook[hook].cur_prog_id)
                        a->hash = 0;
        }
        return 0;
}

bool attachment_is_dead(Attachment *a) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                uint64_t cgroup_id;
                uint32_t prog_id;

                if (!a->links[hook])
                        continue;
                if (a->kernel->ops->link_query(a->kernel, a->links[hook], &prog_id, &cgroup_id) < 0)
                        return false;
                return cgroup_id == 0;
        }
        return true;
}
