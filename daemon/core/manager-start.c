/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The start: over what a predecessor left in the kernel and on disk, whatever became of it. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "core/manager-internal.h"
#include "util/io.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

#define STATE_DIR "state.d"

static int manager_problem(Manager *m, const char *format, ...) _printf_(2, 3);

static int manager_problem(Manager *m, const char *format, ...) {
        _cleanup_free_ char *line = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&line, format, ap);
        va_end(ap);
        if (n < 0) {
                line = NULL;
                return -ENOMEM;
        }
        log_warning("%s", line);
        return strv_push(&m->problems, &line);
}

static int manager_prepare_dirs(Manager *m) {
        int r;

        r = io_mkdir_open(m->config.dir_fd, STATE_DIR, 0700, &m->state_fd);
        if (r < 0)
                return log_error_errno(r, "Cannot open %s/" STATE_DIR ": %m", m->config.dir);
        r = store_dir_prepare(&m->store_dir);
        if (r < 0)
                return log_error_errno(
                        r, "Cannot prepare the policy directories below %s: %m", m->config.dir);
        r = store_load(&m->store_dir, NULL, &m->store);
        if (r < 0)
                return log_error_errno(r, "Cannot read policies below %s: %m", m->config.dir);
        return 0;
}

/* Everything that images depend on, before one is recognised. */
static int manager_look_around(Manager *m) {
        _cleanup_(manager_error_done) ManagerError error = { 0 };
        int r;

        r = io_mkdir_open(m->config.dir_fd, "good.d", 0700, &m->good_fd);
        if (r < 0)
                return log_error_errno(r, "Cannot open %s/good.d: %m", m->config.dir);
        list_remove_temps(m->good_fd);
        r = manager_start_net(m);
        if (r < 0)
                return r;
        r = manager_survey_files(
                m, NULL, m->store, /* reread= */ true, /* lenient= */ true, &error, &m->now);
        if (r < 0) {
                r = manager_problem(m,
                        "the lists are not there: %s; policies that use one stay as they are",
                        error.message ? error.message : strerror(-r));
                if (r >= 0)
                        r = manager_survey_nothing(m, m->store, &m->now);
        }
        if (r < 0)
                return log_error_errno(r, "Cannot learn what policies depend on: %m");
        r = manager_write_interfaces(m, m->now.host, NULL);
        if (r < 0)
                return log_error_errno(r, "Cannot write which interface is which: %m");
        list_table_keep_good(m->now.lists);
        for (char **p = m->store->problems; p && *p; p++)
                log_warning("%s", *p);
        return 0;
}

/* Attachments that were found, by cgroup; taken by their units, or else left to die. */
typedef struct Found {
        Manager *manager;
        Attachment **attachments;
        size_t n;
} Found;

static void found_done(Found *found) {
        for (size_t i = 0; i < found->n; i++)
                attachment_free(found->attachments[i]);
        free(found->attachments);
}

static Attachment *found_get(const Found *found, uint64_t cgroup_id, uint32_t subject) {
        for (size_t i = 0; i < found->n; i++)
                if (found->attachments[i] && found->attachments[i]->cgroup_id == cgroup_id &&
                        found->attachments[i]->subject == subject)
                        return found->attachments[i];
        return NULL;
}

static Attachment *found_take(Found *found, uint64_t cgroup_id, uint32_t subject) {
        for (size_t i = 0; i < found->n; i++)
                if (found->attachments[i] &&
                        found->attachments[i] == found_get(found, cgroup_id, subject))
                        return TAKE_PTR(found->attachments[i]);
        return NULL;
}

static int found_add(void *userdata, KernelFound *link) {
        Found *found = userdata;
        _cleanup_(attachment_freep) Attachment *a = NULL;
        Attachment **attachments = NULL;
        Attachment *known;
        int r;

        known = found_get(found, link->cgroup_id, link->subject);
        if (!known) {
                r = attachment_new_empty(
                        found->manager->kernel, link->subject, link->cgroup_id, &a);
                if (r >= 0) {
                        attachments = reallocarray(
                                found->attachments, found->n + 1, sizeof(*attachments));
                        r = attachments ? 0 : -ENOMEM;
                }
                if (r < 0) {
                        (void)found->manager->kernel->ops->link_free(TAKE_PTR(link->link));
                        return r;
                }
                found->attachments = attachments;
                known = attachments[found->n++] = TAKE_PTR(a);
        }
        r = attachment_adopt(known, link->hook, &link->link);
        if (r < 0)
                (void)found->manager->kernel->ops->link_free(TAKE_PTR(link->link));
        return r == -EEXIST ? 0 : r;
}

/* Takes the numbers that a state file says are its own. A counter that another subject claimed first is
 * replaced: two subjects must never count into one slot. */
int manager_claim_state(Manager *m, UnitState *state) {
        _cleanup_free_ bool *keep = calloc(MAX(state->n_rules, 1U), sizeof(*keep));
        int r;

        if (!keep)
                return -ENOMEM;
        r = slots_claim(m->subjects, state->subject);
        if (r < 0)
                return r;
        for (size_t i = 1; i < UNIT_STATE_RESERVED; i++)
                if (slots_claim(m->counters, state->reserved[i]) < 0)
                        state->reserved[i] = 0;
        for (size_t i = 0; i < state->n_rules; i++)
                keep[i] = slots_claim(m->counters, state->rules[i].slot) >= 0;
        unit_state_keep(state, keep);
        return 0;
}

/* Makes the hooks carry what the policy says. Recognised by hash, nothing is loaded. Otherwise the new
 * programs replace whatever is there, refusing system calls first: of the image between nothing is
 * known, so no intersection can be made, and the strict order is the one that errs on the safe side. */
int unit_converge(Unit *u) {
        Manager *m = u->manager;
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        KernelFailure failure = { .hook = -1 };
        ManagerError error = { 0 };
        KernelProgs *progs = NULL;
        PolicyCompileInput input;
        bool complete = true;
        int r;

        input = policy_compile_input(u->policy, u->state, u->state->generation);
        r = manager_compile(u->name, &input, &error, &image);
        if (r < 0) {
                log_error("%s: cannot compile its policy: %s", u->name, strempty(error.message));
                manager_error_done(&error);
                return r;
        }
        if (u->attachment->hash == image->hash) {
                u->content = image_content(image);
                unit_note_sets(u);
                return 0;
        }

        r = m->kernel->ops->progs_load(m->kernel, image, &failure, &progs);
        if (r < 0)
                return log_error_errno(r, "%s: cannot load its programs (%s): %m", u->name,
                        strempty(failure.step));
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                complete = complete && u->attachment->links[hook];
        if (!complete) {
                log_notice("%s: a hook is missing, attaching it again", u->name);
                r = attachment_complete(u->attachment, u->cgroup_fd, progs);
        }
        if (r >= 0)
                r = attachment_publish(
                        u->attachment, POLICY_CHANGE_TIGHTEN, NULL, 0, &progs, image->hash);
        if (progs)
                (void)m->kernel->ops->progs_free(progs);
        if (r < 0)
                return log_error_errno(r, "%s: cannot put its policy in force: %m", u->name);
        u->content = image_content(image);
        unit_note_sets(u);
        return 0;
}

/* A job whose cgroup is gone or stands for another one now. Its hooks, if any, are left to die. */
static void manager_forget_job(Manager *m, UnitState *state) {
        _cleanup_free_ char *file = NULL;

        if (asprintf(&file, "%s.json", state->name) >= 0) {
                _cleanup_(store_stage_done) StoreStage stage = STORE_STAGE_INIT;

                int r;

                r = store_stage(&m->store_dir, POLICY_LAYER_RUNTIME, file, NULL, &stage);
                if (r >= 0)
                        r = store_commit(&stage);
                if (r < 0)
                        log_warning_errno(
                                r, "%s: cannot remove its policy, ignoring: %m", state->name);
                (void)store_keep_good(&m->store_dir, POLICY_LAYER_RUNTIME, file, NULL);
        }
        (void)unit_state_delete(m->state_fd, state->name);
        manager_release_slots(m, state, NULL);
}

static int unit_open_cgroup(Unit *u) {
        uint64_t id;
        int r;

        u->cgroup_fd = openat(u->manager->config.cgroup_fd, u->name,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (u->cgroup_fd < 0)
                return -errno;
        r = cgroup_get_id(u->cgroup_fd, &id);
        if (r < 0)
                return r;
        return id == u->state->cgroup_id ? 0 : -ESTALE;
}

static bool job_has_policy(Manager *m, const char *name) {
        _cleanup_free_ char *file = NULL;
        const StoreFile *found;

        if (asprintf(&file, "%s.json", name) < 0) {
                file = NULL;
                return false;
        }
        found = store_find(m->store, POLICY_LAYER_RUNTIME, file);
        return found && found->policy;
}

static int manager_adopt_hooks(Manager *m, Found *found, Unit *u) {
        int r = 0;

        u->attachment = found_take(found, u->state->cgroup_id, u->state->subject);
        if (u->state->detached) {
                if (!u->attachment)
                        return 0;
                /* A predecessor was killed while it let go. */
                r = attachment_destroy(u->attachment);
                if (r < 0)
                        log_warning_errno(
                                r, "%s: cannot let go of all its hooks, ignoring: %m", u->name);
                u->attachment = attachment_free(u->attachment);
                return 0;
        }
        if (!u->attachment)
                r = attachment_new_empty(
                        m->kernel, u->state->subject, u->state->cgroup_id, &u->attachment);
        if (r < 0)
                return r;
        attachment_recognise(u->attachment);
        if (unit_converge(u) < 0)
                return unit_set_problem(u,
                        "its policy could not be put in force; what its hooks carried before stays; "
                        "'cgpolicyctl reload' tries again");
        return 1;
}

static int manager_adopt_job(Manager *m, Found *found, const char *name) {
        _cleanup_(unit_state_freep) UnitState *before = NULL;
        _cleanup_(unit_freep) Unit *u = NULL;
        ManagerError error = { 0 };
        int r;

        r = unit_new(m, name, &u);
        if (r < 0)
                return r;
        r = unit_state_load(m->state_fd, name, &u->state);
        if (r < 0 && cgroup_remove(m->config.cgroup_fd, name) != -EBUSY) {
                log_warning("%s: not a valid state file, but the job is over: removed", name);
                (void)unit_state_delete(m->state_fd, name);
                return 0;
        }
        if (r < 0)
                return manager_problem(m,
                        "%s/" STATE_DIR
                        "/%s: not a valid state file; its hooks stay as they are until its "
                        "processes end",
                        m->config.dir, name);
        m->generation = MAX(m->generation, u->state->generation);
        r = manager_claim_state(m, u->state);
        if (r < 0)
                return manager_problem(m,
                        "%s/" STATE_DIR "/%s: its number is taken by another subject",
                        m->config.dir, name);

        r = unit_open_cgroup(u);
        if (r < 0) {
                log_info("%s: its cgroup is gone, the job is over", name);
                if (!found_get(found, u->state->cgroup_id, u->state->subject)) {
                        (void)m->kernel->ops->record_delete(m->kernel, u->state->cgroup_id);
                        slots_give_back(m->subjects, u->state->subject);
                }
                manager_forget_job(m, u->state);
                return 0;
        }
        r = unit_state_copy(u->state, &before);
        if (r < 0)
                return r;
        /* Without what was given to the job the rest would be wider than what is in force. */
        r = job_has_policy(m, name)
                ? policy_build(m, m->store, &m->now, name, u->state, &error, &u->policy)
                : -ENOENT;
        if (r < 0) {
                r = manager_problem(m,
                        "%s: its policy cannot be read: %s; its hooks stay as they are until its "
                        "processes end",
                        name, error.message ? error.message : strerror(-r));
                manager_error_done(&error);
                return r;
        }
        r = manager_adopt_hooks(m, found, u);
        if (r < 0)
                return r;
        /* Rules of files that changed while nobody looked. */
        if (r > 0 || u->state->detached)
                (void)manager_retire_rules(m, before, u->state);
        r = unit_state_save(u->state, m->state_fd);
        if (r < 0)
                log_warning_errno(r, "%s: cannot save its state, ignoring: %m", name);
        return manager_add_unit(m, &u);
}

static int manager_adopt_jobs(Manager *m, Found *found) {
        _cleanup_closedir_ DIR *d = NULL;
        int r;

        r = io_opendir(m->state_fd, ".", &d);
        if (r < 0)
                return r;
        for (const struct dirent *de; (de = readdir(d));) {
                if (de->d_name[0] == '.')
                        continue;
                r = manager_adopt_job(m, found, de->d_name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Runtime policies without a state: a daemon was killed between writing the two, before the job began. That
 * of a job that could not be adopted is kept: the next start may have better luck. */
static bool policy_is_orphan(Manager *m, const char *name) {
        const Unit *u = manager_get_unit(m, name);

        return !(u && u->state) && faccessat(m->state_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                errno == ENOENT;
}

static int manager_drop_orphans(Manager *m) {
        for (size_t i = 0; i < m->store->n_files;) {
                const StoreFile *file = m->store->files[i];
                _cleanup_(store_unrefp) Store *store = NULL;
                _cleanup_(store_stage_done) StoreStage stage = STORE_STAGE_INIT;
                _cleanup_free_ char *name = NULL;
                int r;

                name = strndup(file->name, strlen(file->name) - strlen(".json"));
                if (!name)
                        return -ENOMEM;
                if (file->layer != POLICY_LAYER_RUNTIME || !policy_is_orphan(m, name)) {
                        i++;
                        continue;
                }
                r = store_stage(&m->store_dir, POLICY_LAYER_RUNTIME, file->name, NULL, &stage);
                if (r >= 0)
                        r = store_commit(&stage);
                if (r >= 0)
                        r = store_with(m->store, POLICY_LAYER_RUNTIME, file->name, NULL, &store);
                if (r < 0)
                        return r;
                (void)store_keep_good(&m->store_dir, POLICY_LAYER_RUNTIME, file->name, NULL);
                store_unref(m->store);
                m->store = TAKE_PTR(store);
        }
        return 0;
}

/* Processes that no job is known for are no less bound by the hooks of their cgroup. */
static void manager_keep_living(Manager *m, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t id;

        fd = openat(m->config.cgroup_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || cgroup_get_id(fd, &id) < 0)
                return;
        for (size_t i = 0; i < m->n_dying; i++)
                if (m->dying[i]->cgroup_id == id)
                        m->dying[i]->has_processes = true;
}

/* Cgroups of ours that no job owns: made by a daemon that was killed before the job began. */
static int manager_clean_cgroups(Manager *m) {
        _cleanup_closedir_ DIR *d = NULL;
        int r;

        r = io_opendir(m->config.cgroup_fd, ".", &d);
        if (r < 0)
                return r;
        for (const struct dirent *de; (de = readdir(d));) {
                Unit *u;

                if (de->d_type != DT_DIR || de->d_name[0] == '.')
                        continue;
                u = manager_get_unit(m, de->d_name);
                if (u && u->state)
                        continue;
                r = cgroup_remove(m->config.cgroup_fd, de->d_name);
                if (r == -EBUSY) {
                        manager_keep_living(m, de->d_name);
                        r = manager_problem(m,
                                "processes run in %s/%s, which no job is known for; end them to get rid of it",
                                m->config.cgroup, de->d_name);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int manager_start(Manager *m) {
        _cleanup_(found_done) Found found = { .manager = m };
        int r;

        manager_load_generation(m);
        r = manager_prepare_dirs(m);
        if (r < 0)
                return r;
        r = manager_look_around(m);
        if (r < 0)
                return r;
        r = m->kernel->ops->links_find(m->kernel, found_add, &found);
        if (r < 0)
                return log_error_errno(r, "Cannot read the pinned links: %m");
        if (r > 0) {
                r = manager_problem(
                        m, "%d pins below ours are not what we make; they were left alone", r);
                if (r < 0)
                        return r;
        }
        r = manager_adopt_jobs(m, &found);
        if (r < 0)
                return log_error_errno(r, "Cannot adopt what is in force: %m");
        for (size_t i = 0; i < found.n; i++)
                if (found.attachments[i]) {
                        r = slots_claim(m->subjects, found.attachments[i]->subject);
                        if (r < 0 && r != -EEXIST)
                                return r;
                        r = manager_add_dying(m, &found.attachments[i]);
                        if (r < 0)
                                return r;
                }
        r = manager_drop_orphans(m);
        if (r < 0)
                return log_error_errno(r, "Cannot remove policies of jobs that are over: %m");
        r = manager_clean_cgroups(m);
        if (r < 0)
                return log_error_errno(r, "Cannot read the cgroups below %s: %m", m->config.cgroup);

        /* Watches may end jobs, and so change the table, only now that all of it is known. */
        for (size_t i = m->n_units; i-- > 0;) {
                r = manager_watch_job(m, m->units[i]);
                if (r < 0)
                        return log_error_errno(r, "Cannot watch a job: %m");
        }
        r = manager_sync_inactive(m);
        if (r < 0)
                return r;
        manager_sweep(m);
        r = manager_start_lists(m);
        if (r < 0)
                return log_error_errno(r, "Cannot watch lists: %m");
        manager_collect_sets(m);
        /* On a full disk a daemon that serves is better than none. The states have the number, too. */
        r = manager_save_generation(m, m->generation);
        if (r < 0)
                log_warning_errno(r, "Cannot write the generation, ignoring: %m");
        return 0;
}
