/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is in a world, as text that can be compared, and what of it should not be there. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/manager-internal.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"
#include "world.h"

/* -- Files ----------------------------------------------------------------------------------------- */

static void list_tree(int dir_fd, const char *prefix, char ***ret) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *de;

        d = fdopendir(openat(dir_fd, *prefix ? prefix : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        while (d && (de = readdir(d))) {
                _cleanup_free_ char *path = NULL;

                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;
                if (asprintf(&path, "%s%s%s", prefix, *prefix ? "/" : "", de->d_name) < 0)
                        abort();
                if (strv_extend(ret, path) < 0)
                        abort();
                if (de->d_type == DT_DIR)
                        list_tree(dir_fd, path, ret);
        }
}

char *world_files(World *w, const char *except) {
        _cleanup_(strv_freep) char **paths = NULL;
        char *text = NULL;
        size_t size;
        FILE *f;

        if (w->manager)
                manager_finish_now(w->manager);
        list_tree(w->dir_fd, "", &paths);
        (void)strv_sort(paths);
        f = open_memstream(&text, &size);
        if (!f)
                abort();
        for (char **path = paths; path && *path; path++) {
                _cleanup_free_ char *content = NULL;
                struct stat st;

                if (except && startswith(*path, except))
                        continue;
                if (fstatat(w->dir_fd, *path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                fprintf(f, "%s %o\n", *path, st.st_mode);
                if (S_ISREG(st.st_mode) &&
                        io_read_file(w->dir_fd, *path, 64 << 20, &content, NULL) >= 0)
                        fprintf(f, "%s\n", content);
        }
        (void)fclose(f);
        return text;
}

/* -- In force -------------------------------------------------------------------------------------- */

static void print_unit(FILE *f, World *w, Unit *u) {
        fprintf(f,
                "%s %s generation %" PRIu64 " mode %s in %s out %s profile '%s' cgroup %" PRIu64
                "\n",
                u->name, unit_get_state(u), unit_get_generation(u), unit_get_mode(u),
                unit_get_default(u, CGP_DIR_IN), unit_get_default(u, CGP_DIR_OUT),
                unit_get_profile(u), unit_get_cgroup_id(u));
        for (size_t i = 0; i < unit_get_n_rules(u); i++) {
                const PolicyEntry *entry = &u->policy->stack.entries[i];
                _cleanup_(unit_rule_done) UnitRule rule = { 0 };

                if (unit_get_rule(u, i, &rule) < 0)
                        abort();
                fprintf(f, "  %s %s '%s' %s number %u slot %u\n", rule.id, rule.layer, rule.text,
                        rule.source, entry->number, entry->counter);
        }
        for (unsigned hook = 0; u->attachment && hook < CGP_N_HOOKS; hook++)
                fprintf(f, "  hook %u %016" PRIx64 "\n", hook,
                        fake_kernel_hook_hash(w->fake, u->state->cgroup_id, hook));
}

char *world_in_force(World *w) {
        _cleanup_(strv_freep) char **degraded = manager_get_degraded(w->manager);
        char *text = NULL;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f || !degraded)
                abort();
        fprintf(f, "generation %" PRIu64 "\n", manager_get_generation(w->manager));
        for (char **p = degraded; *p; p++)
                fprintf(f, "degraded: %s\n", *p);
        for (size_t i = 0; i < w->manager->n_units; i++)
                print_unit(f, w, w->manager->units[i]);
        fprintf(f, "links %u records %u\n", fake_kernel_n_links(w->fake),
                fake_kernel_n_records(w->fake));
        (void)fclose(f);
        return text;
}

/* -- The books ------------------------------------------------------------------------------------- */

static char *complain(const char *format, ...) _printf_(1, 2);

static char *complain(const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                abort();
        va_end(ap);
        return text;
}

static PolicyPlace probe_place(World *w, Unit *u, uint32_t ifindex) {
        PolicyPlace place = { 0 };

        place.elsewhere = ifindex == 0 || u->policy->host->host.netns == 0 ||
                !host_find_ifindex(
                        manager_net(w->manager), u->policy->host, ifindex, &place.interface);
        return place;
}

static char *audit_passes(World *w, Unit *u) {
        uint64_t passes = fake_kernel_passes(w->fake, u->state->cgroup_id);

        for (unsigned i = 0; i < fake_n_probes; i++) {
                PolicyFlow flow = fake_probes[i].flow;
                PolicyJudgement j;

                flow.place = probe_place(w, u, fake_probes[i].ifindex);
                j = policy_eval_flow(&u->policy->stack, &u->policy->host->host, &flow);
                if (j.passes != ((passes >> i) & 1))
                        return complain("%s: by its rules %s %s, by its hooks not", u->name,
                                fake_probes[i].name, j.passes ? "passes" : "is refused");
        }
        return NULL;
}

static bool record_knows(const struct cgp_record_hook *h, uint32_t id, uint64_t hash) {
        return (h->cur_prog_id == id && h->cur_hash == hash) ||
                (h->next_prog_id == id && h->next_hash == hash);
}

static char *audit_attached(World *w, Unit *u) {
        const Attachment *a = u->attachment;

        if (a->hash == 0)
                return complain("%s: not known what its hooks carry", u->name);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                struct cgp_record record;
                uint64_t hash = fake_kernel_hook_hash(w->fake, a->cgroup_id, hook);
                uint32_t id = fake_kernel_hook_program(w->fake, a->cgroup_id, hook);

                if (!a->links[hook] || hash != a->hash)
                        return complain("%s: hook %u carries %016" PRIx64 ", not %016" PRIx64,
                                u->name, hook, hash, a->hash);
                if (a->record.hook[hook].cur_prog_id != id)
                        return complain("%s: hook %u carries a program that its next change would "
                                        "lose sight of",
                                u->name, hook);
                if (w->kernel->ops->record_read(w->kernel, a->cgroup_id, &record) < 0 ||
                        record.subject != a->subject || !record_knows(&record.hook[hook], id, hash))
                        return complain("%s: hook %u: the record does not know it", u->name, hook);
        }
        return audit_passes(w, u);
}

/* The images that an attachment needs. After an adoption the way back may be loaded beside the predecessor's
 * programs of the same image, and after a return hooks may carry either. */
static unsigned count_images(World *w, const Attachment *a) {
        uint32_t first_ids[CGP_N_HOOKS + 1];
        unsigned n = 0;

        for (unsigned i = 0; i <= CGP_N_HOOKS; i++) {
                uint32_t id;
                bool known = false;

                if (i == CGP_N_HOOKS && !a->progs)
                        break;
                id = i == CGP_N_HOOKS ? w->kernel->ops->progs_id(a->progs, 0)
                                      : fake_kernel_hook_program(w->fake, a->cgroup_id, i) - i;
                for (unsigned k = 0; k < n; k++)
                        known = known || first_ids[k] == id;
                if (!known)
                        first_ids[n++] = id;
        }
        return n;
}

/* Set maps that nobody can name any more are given back. */
static char *audit_lists(World *w) {
        const Manager *m = w->manager;
        uint32_t named = m->now.lists->has_slot ? 1U << m->now.lists->slot : 0;

        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i]->attachment)
                        named |= m->units[i]->attachment->sets;
        for (uint32_t slot = 0; slot < CGP_MAX_SET_SLOTS; slot++)
                if (!!(named & (1U << slot)) != (fake_kernel_lists_hash(w->fake, slot) != 0))
                        return complain(
                                "set map %u is %s", slot, named & (1U << slot) ? "gone" : "left");
        return NULL;
}

static char *audit_slots(World *w) {
        uint32_t n_counters = 0, n_subjects = 0;
        const Manager *m = w->manager;

        for (size_t i = 0; i < m->n_units; i++) {
                const UnitState *state = m->units[i]->state;

                if (!state)
                        continue;
                n_subjects++;
                n_counters += UNIT_STATE_RESERVED - 1 + (uint32_t)state->n_rules;
        }
        n_subjects += (uint32_t)m->n_dying;
        if (slots_n_free(m->counters) != CGP_MAX_COUNTERS - 1 - n_counters)
                return complain("%u counters are free where %u should be",
                        slots_n_free(m->counters), CGP_MAX_COUNTERS - 1 - n_counters);
        if (slots_n_free(m->subjects) != CGP_MAX_SUBJECTS - 1 - n_subjects)
                return complain("%u subject numbers are free where %u should be",
                        slots_n_free(m->subjects), CGP_MAX_SUBJECTS - 1 - n_subjects);
        return NULL;
}

/* Files of jobs that are not, and what is half written. */
static char *audit_files(World *w) {
        _cleanup_(strv_freep) char **paths = NULL;

        manager_finish_now(w->manager);
        list_tree(w->dir_fd, "", &paths);
        for (char **p = paths; p && *p; p++) {
                const char *base = strrchr(*p, '/') ? strrchr(*p, '/') + 1 : *p;
                _cleanup_free_ char *name = NULL;
                const char *job;
                const Unit *u;

                if (base[0] == '.' || strstr(base, ".new"))
                        return complain("%s is left", *p);
                job = startswith(*p, "state.d/");
                job = job ? job : startswith(*p, "runtime.d/");
                job = job ? job : startswith(*p, "good.d/runtime-");
                if (!job)
                        continue;
                name = strdup(job);
                if (!startswith(*p, "state.d/"))
                        name[strlen(name) - strlen(".json")] = '\0';
                u = manager_get_unit(w->manager, name);
                if (!u || !u->state)
                        return complain("%s is left of a job that is over", *p);
        }
        return NULL;
}

static char *audit_cgroups(World *w) {
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *de;

        d = fdopendir(openat(w->cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        while (d && (de = readdir(d))) {
                const Unit *u;

                if (de->d_type != DT_DIR || de->d_name[0] == '.')
                        continue;
                u = manager_get_unit(w->manager, de->d_name);
                if (!u || !u->state)
                        return complain("the cgroup %s is left", de->d_name);
        }
        return NULL;
}

char *world_audit(World *w) {
        unsigned n_attached = 0, n_handles = 0, n_images = 0;
        const Manager *m = w->manager;
        char *wrong;

        if (fake_kernel_violation(w->fake))
                return strdup(fake_kernel_violation(w->fake));
        for (size_t i = 0; i < m->n_units; i++) {
                Unit *u = m->units[i];

                if (u->state && !u->attachment != u->state->detached)
                        return complain("%s: attached or detached?", u->name);
                if (!u->attachment)
                        continue;
                n_attached++;
                n_images += count_images(w, u->attachment);
                n_handles += CGP_N_HOOKS + (u->attachment->progs != NULL);
                wrong = audit_attached(w, u);
                if (wrong)
                        return wrong;
        }
        if (m->n_dying > 0)
                return complain("%zu attachments do not die", m->n_dying);
        if (fake_kernel_n_links(w->fake) != n_attached * CGP_N_HOOKS)
                return complain("%u links for %u jobs", fake_kernel_n_links(w->fake), n_attached);
        if (fake_kernel_n_records(w->fake) != n_attached)
                return complain(
                        "%u records for %u jobs", fake_kernel_n_records(w->fake), n_attached);
        if (fake_kernel_n_images(w->fake) != n_images)
                return complain("%u images are loaded where %u should be",
                        fake_kernel_n_images(w->fake), n_images);
        if (fake_kernel_n_handles(w->fake) != n_handles)
                return complain("%u handles are open where %u should be",
                        fake_kernel_n_handles(w->fake), n_handles);
        wrong = audit_slots(w);
        if (!wrong)
                wrong = audit_lists(w);
        if (!wrong)
                wrong = audit_files(w);
        return wrong ? wrong : audit_cgroups(w);
}
