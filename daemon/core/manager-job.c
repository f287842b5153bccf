/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: from the request for a cgroup with a policy in force, to the moment when nothing lives in it any
 * more. A job's policy is a file of the runtime layer that ends with the job.
 */
#include <fcntl.h>

#include "core/manager-internal.h"
#include "policy/text.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/time.h"

#define SWEEP_FIRST_USEC (20 * USEC_PER_MSEC)
#define SWEEP_MAX_USEC   (10 * USEC_PER_SEC)

/* -- Attachments of jobs that are over ------------------------------------------------------------- */

/* Stays in the list when it cannot be let go: the next sweep tries again. */
static void manager_remove_dying(Manager *m, size_t i) {
        Attachment *a = m->dying[i];
        int r;

        r = attachment_destroy(a);
        if (r < 0) {
                log_warning_errno(
                        r, "Cannot let go of the hooks of subject %u yet: %m", a->subject);
                return;
        }
        slots_give_back(m->subjects, a->subject);
        attachment_free(a);
        m->dying[i] = m->dying[--m->n_dying];
        if (m->now.lists && m->now.lists->n_entries > 0)
                manager_collect_sets(m);
}

static int on_sweep(sd_event_source *s, uint64_t usec, void *userdata) {
        manager_sweep(userdata);
        return 0;
}

void manager_sweep(Manager *m) {
        size_t before = m->n_dying;
        int r;

        for (size_t i = m->n_dying; i-- > 0;)
                if (attachment_is_dead(m->dying[i]))
                        manager_remove_dying(m, i);
        if (m->n_dying == 0) {
                m->sweep = sd_event_source_disable_unref(m->sweep);
                return;
        }

        /* Nobody tells when a cgroup's last socket is gone. Most go at once, some linger for minutes. */
        m->sweep_usec = !m->sweep || m->n_dying < before ? SWEEP_FIRST_USEC
                                                         : MIN(m->sweep_usec * 2, SWEEP_MAX_USEC);
        if (!m->sweep) {
                r = sd_event_add_time_relative(m->event, &m->sweep, CLOCK_MONOTONIC, m->sweep_usec,
                        m->sweep_usec / 4, on_sweep, m);
        } else {
                r = sd_event_source_set_time_relative(m->sweep, m->sweep_usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->sweep, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_warning_errno(r, "Cannot arm the timer for lingering hooks, ignoring: %m");
}

int manager_add_dying(Manager *m, Attachment **attachment) {
        Attachment **dying = NULL;

        if (m->n_dying >= MANAGER_DYING_MAX)
                manager_remove_dying(m, 0);
        dying = reallocarray(m->dying, m->n_dying + 1, sizeof(*dying));
        if (!dying)
                return -ENOMEM;
        m->dying = dying;
        dying[m->n_dying++] = TAKE_PTR(*attachment);
        return 0;
}

void manager_drop_dying(Manager *m, bool all) {
        for (size_t i = m->n_dying; i-- > 0;)
                if (all || !m->dying[i]->has_processes)
                        manager_remove_dying(m, i);
        manager_sweep(m);
}

/* -- The end --------------------------------------------------------------------------------------- */

static void manager_remove_runtime(Manager *m, const char *name) {
        _cleanup_(store_unrefp) Store *store = NULL;
        _cleanup_(store_stage_done) StoreStage stage = STORE_STAGE_INIT;
        _cleanup_free_ char *file = NULL;
        int r;

        if (asprintf(&file, "%s.json", name) < 0)
                return;
        r = store_with(m->store, POLICY_LAYER_RUNTIME, file, NULL, &store);
        if (r >= 0) {
                store_unref(m->store);
                m->store = TAKE_PTR(store);
                r = store_stage(&m->store_dir, POLICY_LAYER_RUNTIME, file, NULL, &stage);
        }
        if (r >= 0)
                r = store_commit(&stage);
        if (r < 0)
                log_warning_errno(r, "%s: cannot remove its runtime policy, ignoring: %m", name);
        (void)store_keep_good(&m->store_dir, POLICY_LAYER_RUNTIME, file, NULL);
}

void manager_end_job(Manager *m, Unit *u) {
        _cleanup_free_ char *name = strdup(u->name);
        int r;

        /* The removal is the check: it fails while a process lives there, whatever we read before. */
        r = cgroup_remove(m->config.cgroup_fd, u->name);
        if (r == -EBUSY)
                return;
        if (r < 0 && r != -ENOENT) {
                log_warning_errno(r, "%s: cannot remove its cgroup, keeping it: %m", u->name);
                return;
        }

        /* While the subject's number has a name. */
        manager_drain(m);
        manager_flush_denials(m, /* missed= */ false);
        u->watch = cgroup_watch_free(u->watch);
        (void)unit_state_delete(m->state_fd, u->name);
        manager_release_slots(m, u->state, NULL);
        if (!u->attachment)
                slots_give_back(m->subjects, u->state->subject);
        else if (manager_add_dying(m, &u->attachment) < 0)
                (void)attachment_destroy(u->attachment);
        manager_remove_unit(m, u);
        if (name) {
                manager_remove_runtime(m, name);
                log_info("%s: the job is over", name);
        }
        r = manager_sync_inactive(m);
        if (r < 0)
                log_warning_errno(r, "Cannot list subjects without a job, ignoring: %m");
        manager_sweep(m);
}

static void on_populated(void *userdata, int populated) {
        Unit *u = userdata;

        if (populated > 0)
                u->was_populated = true;
        else if (populated < 0 || u->was_populated || !u->creator)
                manager_end_job(u->manager, u);
}

int manager_watch_job(Manager *m, Unit *u) {
        int r;

        if (!u->state)
                return 0;
        r = cgroup_watch_new(m->event, u->cgroup_fd, on_populated, u, &u->watch);
        if (r < 0)
                return r;
        r = cgroup_is_populated(u->cgroup_fd);
        if (r > 0)
                u->was_populated = true;
        else if (!u->creator)
                manager_end_job(m, u);
        return 0;
}

void manager_creator_gone(Manager *m, const void *creator) {
        for (size_t i = m->n_units; i-- > 0;) {
                Unit *u = m->units[i];

                if (u->creator != creator || !u->state)
                        continue;
                u->creator = NULL;
                if (cgroup_is_populated(u->cgroup_fd) <= 0)
                        manager_end_job(m, u);
        }
}

/* -- The beginning --------------------------------------------------------------------------------- */

static int job_check_name(Manager *m, const char *name, ManagerError *reterr) {
        Unit *u;

        if (!cgroup_name_is_valid(name) || strchr(name, '\\') || strlen(name) > 200)
                return manager_error_set(reterr, MANAGER_ERROR_INVALID_NAME,
                        "'%.64s'%s cannot name a job; use up to 200 letters, digits and any of : _ . @ - (not first)",
                        name, strlen(name) > 64 ? "..." : "");
        u = manager_get_unit(m, name);
        /* The kernel tells of an empty cgroup up to 10 ms late; who runs a job again does not wait. */
        if (u && u->state && !u->creator && cgroup_is_populated(u->cgroup_fd) == 0) {
                manager_end_job(m, u);
                u = manager_get_unit(m, name);
        }
        if (u && u->state)
                return manager_error_set(reterr, MANAGER_ERROR_CONFLICT,
                        "a job named '%s' is running; choose another name, or end it first", name);
        return 0;
}

static int job_add_rules(Manager *m, PolicyFile *file, const char *name, const char *const *rules,
        ManagerError *reterr) {
        for (size_t i = 0; rules && rules[i]; i++) {
                _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                int r;

                r = policy_parse_rule(rules[i], NULL, 0, 1, m->config.services, &diags, &rule);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return manager_error_set(reterr,
                                r == -EOPNOTSUPP ? MANAGER_ERROR_NOT_SUPPORTED
                                                 : MANAGER_ERROR_INVALID_RULE,
                                "rule '%.200s': %s", rules[i],
                                diags.n_diags > 0 ? diags.diags[0].message : "invalid");
                if (asprintf(&rule->id, "%s.%zu", name, i + 1) < 0) {
                        rule->id = NULL;
                        return -ENOMEM;
                }
                r = policy_file_add_rule(file, &rule);
                if (r == -E2BIG)
                        return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                                "more than %u rules", POLICY_FILE_RULES_MAX);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The job's policy as the text of a file of the runtime layer. */
static int job_policy_text(
        Manager *m, const char *name, const JobOptions *options, ManagerError *reterr, char **ret) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        char *text;
        int r;

        r = policy_file_new("run", &file);
        if (r < 0)
                return r;
        file->has_match = true;
        r = strv_extend(&file->match.units, name);
        if (r < 0)
                return r;
        file->mode = options->mode;
        /* A profile that is asked for brings its own defaults; without one a job starts closed. */
        file->default_in = file->default_out = options->default_verdict;
        if (options->default_verdict == POLICY_DEFAULT_UNSET && !options->profile)
                file->default_in = file->default_out = POLICY_DEFAULT_DENY;
        if (options->profile) {
                file->profile = strdup(options->profile);
                if (!file->profile)
                        return -ENOMEM;
        }
        r = job_add_rules(m, file, name, options->rules, reterr);
        if (r < 0)
                return r;
        text = policy_file_to_json(file);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

/* What exists of a job that is being made, so that each step can be taken back. */
typedef struct NewJob {
        Manager *manager;
        Unit *unit;
        Store *store;
        StoreStage stage;
        KernelProgs *progs;
        char *file_name;
        bool has_cgroup;
        bool has_state;
} NewJob;

static void new_job_done(NewJob *job) {
        Manager *m = job->manager;
        Unit *u = job->unit;

        if (u) {
                bool lingers = u->attachment && attachment_destroy(u->attachment) < 0 &&
                        manager_add_dying(m, &u->attachment) >= 0;

                if (job->has_cgroup) {
                        int r = cgroup_remove(m->config.cgroup_fd, u->name);

                        if (r < 0)
                                log_warning_errno(
                                        r, "%s: cannot remove its cgroup, ignoring: %m", u->name);
                }
                if (job->has_state)
                        (void)unit_state_delete(m->state_fd, u->name);
                if (u->state) {
                        manager_release_slots(m, u->state, NULL);
                        if (!lingers)
                                slots_give_back(m->subjects, u->state->subject);
                }
                if (lingers)
                        manager_sweep(m);
                unit_free(u);
        }
        if (job->progs)
                (void)m->kernel->ops->progs_free(job->progs);
        if (job->stage.committed)
                (void)store_undo(&job->stage);
        store_stage_done(&job->stage);
        store_unref(job->store);
        free(job->file_name);
}

static int new_job_policy(NewJob *job, const char *text, uint64_t generation, ManagerError *reterr,
        PolicyImage **ret) {
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        Manager *m = job->manager;
        Unit *u = job->unit;
        PolicyCompileInput input;
        int r;

        r = store_parse(
                &m->store_dir, m->store, POLICY_LAYER_RUNTIME, job->file_name, text, reterr, &file);
        if (r < 0)
                return r;
        r = store_with(m->store, POLICY_LAYER_RUNTIME, job->file_name, file, &job->store);
        if (r < 0)
                return r;
        /* A rule may name an interface that no other rule names: the others follow first. */
        r = manager_survey(m, job->store, /* reread= */ false, /* lenient= */ false, reterr, &s);
        if (r < 0)
                return r;
        if (s.host != m->now.host)
                manager_take_surroundings(m, &s, "network");
        r = unit_state_new(u->name, &u->state);
        if (r < 0)
                return r;
        r = slots_take(m->subjects, &u->state->subject);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "there are %u subjects already", CGP_MAX_SUBJECTS - 1);
        u->state->generation = generation;
        r = policy_build(m, job->store, &m->now, u->name, u->state, reterr, &u->policy);
        if (r < 0)
                return r;
        input = policy_compile_input(u->policy, u->state, generation);
        return manager_compile(u->name, &input, reterr, ret);
}

static int new_job_cgroup(NewJob *job, ManagerError *reterr) {
        Manager *m = job->manager;
        Unit *u = job->unit;
        int r;

        r = cgroup_create(m->config.cgroup_fd, u->name, /* exclusive= */ true, &u->cgroup_fd);
        if (r == -EEXIST)
                return manager_error_set(reterr, MANAGER_ERROR_CONFLICT,
                        "the cgroup %s/%s is there already; remove it with rmdir, or choose another name",
                        m->config.cgroup, u->name);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "cannot make the cgroup %s/%s: %s", m->config.cgroup, u->name,
                        strerror(-r));
        job->has_cgroup = true;
        return cgroup_get_id(u->cgroup_fd, &u->state->cgroup_id);
}

static int new_job_attach(NewJob *job, const PolicyImage *image, ManagerError *reterr) {
        Manager *m = job->manager;
        Unit *u = job->unit;
        int r;

        r = unit_state_save(u->state, m->state_fd);
        if (r >= 0) {
                job->has_state = true;
                r = store_commit(&job->stage);
        }
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_STORE, "cannot write below %s: %s",
                        m->config.dir, strerror(-r));
        r = attachment_new(m->kernel, u->state->subject, u->cgroup_fd, u->state->cgroup_id,
                &job->progs, image->hash, &u->attachment);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "cannot attach the policy of '%s': %s%s", u->name, strerror(-r),
                        r == -EPERM
                                ? "; a cgroup program with exclusive flags above ours forbids it"
                                : "");
        r = cgroup_watch_new(m->event, u->cgroup_fd, on_populated, u, &u->watch);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "cannot watch the cgroup %s/%s: %s", m->config.cgroup, u->name,
                        strerror(-r));
        r = manager_save_generation(m, u->state->generation);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot write below %s: %s; no job was made", m->config.dir, strerror(-r));
        return 0;
}

/* The unit takes its place in the table; an inactive one of that name makes room. */
static int new_job_register(NewJob *job) {
        Manager *m = job->manager;
        Unit *inactive = manager_get_unit(m, job->unit->name);
        int r;

        r = manager_add_unit(m, &job->unit);
        if (r >= 0 && inactive)
                manager_remove_unit(m, inactive);
        return r;
}

int manager_create_job(Manager *m, const char *name, const JobOptions *options, const void *creator,
        ManagerError *reterr, int *ret_cgroup_fd, uint64_t *ret_generation) {
        _cleanup_(new_job_done) NewJob job = { .manager = m, .stage = STORE_STAGE_INIT };
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        KernelFailure failure = { .hook = -1 };
        uint64_t generation = m->generation + 1;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r;

        r = job_check_name(m, name, reterr);
        if (r < 0)
                return r;
        r = job_policy_text(m, name, options, reterr, &text);
        if (r < 0)
                return r;
        r = unit_new(m, name, &job.unit);
        if (r < 0)
                return r;
        if (asprintf(&job.file_name, "%s.json", name) < 0) {
                job.file_name = NULL;
                return -ENOMEM;
        }
        r = new_job_policy(&job, text, generation, reterr, &image);
        if (r < 0)
                return r;
        r = m->kernel->ops->progs_load(m->kernel, image, &failure, &job.progs);
        if (r < 0)
                return manager_kernel_error(name, r, &failure, reterr);
        r = store_stage(&m->store_dir, POLICY_LAYER_RUNTIME, job.file_name, text, &job.stage);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot write below %s: %s; no job was made", m->config.dir, strerror(-r));
        r = new_job_cgroup(&job, reterr);
        if (r < 0)
                return r;
        r = new_job_attach(&job, image, reterr);
        if (r < 0)
                return r;
        fd = fcntl(job.unit->cgroup_fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;

        job.unit->creator = creator;
        job.unit->content = image_content(image);
        unit_note_sets(job.unit);
        r = new_job_register(&job);
        if (r < 0)
                return r;
        store_finish(&job.stage);
        (void)store_keep_good(&m->store_dir, POLICY_LAYER_RUNTIME, job.file_name, text);
        store_unref(m->store);
        m->store = TAKE_PTR(job.store);
        m->generation = generation;
        *ret_generation = generation;
        *ret_cgroup_fd = TAKE_FD(fd);
        return 0;
}
