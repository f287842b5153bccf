/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's life but for its start, and what can be read of it as a whole. */
#include "core/manager.h"

#include <fcntl.h>
#include <inttypes.h>

#include "core/manager-internal.h"
#include "util/io.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

#define GENERATION_FILE "generation"

#define BLIND_PROBLEM                                                                   \
        "rules name more interfaces than can be told apart; every interface takes the " \
        "strictest 'via' verdict"

int manager_new(sd_event *event, Kernel *kernel, const ManagerConfig *config, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->event = sd_event_ref(event);
        m->kernel = kernel;
        m->config = *config;
        m->state_fd = -EBADF;
        m->good_fd = -EBADF;
        m->finished = (StoreStage)STORE_STAGE_INIT;
        m->store_dir = (StoreDir){
                .fd = config->dir_fd, .path = config->dir, .services = config->services
        };

        r = slots_new(1, CGP_MAX_COUNTERS - 1, &m->counters);
        if (r < 0)
                return r;
        r = slots_new(1, CGP_MAX_SUBJECTS - 1, &m->subjects);
        if (r < 0)
                return r;
        r = stream_list_new(event, &m->streams);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        m->listener = (ManagerListener){ 0 };
        stream_list_free(m->streams);
        sd_event_source_unref(m->ring_source);
        sd_event_source_unref(m->drain_timer);
        sd_event_source_unref(m->flush_timer);
        sd_event_source_unref(m->coalesce_timer);
        sd_event_source_unref(m->sweep);
        kernel_ring_free(m->ring);
        event_account_free(m->account);
        event_coalescer_free(m->coalescer);
        log_file_close(m->log);
        while (m->n_units > 0)
                unit_free(m->units[--m->n_units]);
        free(m->units);
        while (m->n_dying > 0)
                attachment_free(m->dying[--m->n_dying]);
        free(m->dying);
        manager_finish_now(m);
        list_watch_free(m->list_watch);
        list_worker_free(m->list_worker);
        list_table_unref(m->list_base);
        manager_forget_conversations(m);
        net_destroyer_free(m->destroyer);
        surroundings_done(&m->now);
        net_watch_free(m->net);
        free(m->net_problem);
        free(m->set_problem);
        free(m->interfaces);
        store_unref(m->store);
        strv_free(m->problems);
        slots_free(m->counters);
        slots_free(m->subjects);
        (void)close_keep_errno(m->state_fd);
        (void)close_keep_errno(m->good_fd);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

void manager_set_listener(Manager *m, const ManagerListener *listener) {
        m->listener = *listener;
}

/* -- Generation ----------------------------------------------------------------------------------- */

int manager_save_generation(Manager *m, uint64_t generation) {
        char text[32];
        _cleanup_close_ int fd = -EBADF;
        int n, r;

        /* And the next subject's number: what the kernel remembers of conversations must not fall to the
         * first new job after a restart. */
        n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu32 "\n", generation,
                slots_get_next(m->subjects));
        fd = openat(m->config.dir_fd, GENERATION_FILE ".new",
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = io_write_all(fd, text, (size_t)n);
        if (r >= 0)
                r = io_replace(m->config.dir_fd, GENERATION_FILE ".new", GENERATION_FILE);
        if (r < 0)
                (void)unlinkat(m->config.dir_fd, GENERATION_FILE ".new", 0);
        return r;
}

void manager_load_generation(Manager *m) {
        _cleanup_free_ char *text = NULL;
        unsigned long next;
        char *end, *tail;
        uint64_t n;

        if (io_read_file(m->config.dir_fd, GENERATION_FILE, 64, &text, NULL) < 0)
                return;
        errno = 0;
        n = strtoull(text, &end, 10);
        if (errno == 0 && end != text && n < INT64_MAX)
                m->generation = n;
        next = strtoul(end, &tail, 10);
        if (errno == 0 && tail != end && next <= UINT32_MAX)
                slots_set_next(m->subjects, (uint32_t)next);
}

bool manager_finish(Manager *m) {
        bool in_force = false;

        for (size_t i = 0; i < m->n_units; i++)
                in_force = in_force || m->units[i]->attachment;
        if (!in_force)
                manager_drop_dying(m, /* all= */ false);
        return in_force || m->n_dying > 0;
}

/* -- Reading -------------------------------------------------------------------------------------- */

uint64_t manager_get_generation(const Manager *m) {
        return m->generation;
}

const KernelCapabilities *manager_get_capabilities(const Manager *m) {
        return m->config.capabilities;
}

char **manager_get_degraded(Manager *m) {
        _cleanup_(strv_freep) char **list = NULL;

        if (strv_copy(m->problems, &list) < 0)
                return NULL;
        for (char **p = m->store->problems; p && *p; p++)
                if (strv_extend(&list, *p) < 0)
                        return NULL;
        if (m->net_problem && strv_extend(&list, m->net_problem) < 0)
                return NULL;
        if (m->now.host->is_blind && strv_extend(&list, BLIND_PROBLEM) < 0)
                return NULL;
        if (manager_add_list_problems(m, &list) < 0)
                return NULL;
        for (size_t i = 0; i < m->n_units; i++) {
                _cleanup_free_ char *line = NULL;

                if (!m->units[i]->problem)
                        continue;
                if (asprintf(&line, "%s: %s", m->units[i]->name, m->units[i]->problem) < 0) {
                        line = NULL;
                        return NULL;
                }
                if (strv_push(&list, &line) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

uint64_t manager_get_lost(Manager *m) {
        uint64_t n = 0;

        (void)m->kernel->ops->stat_read(m->kernel, CGP_STAT_UNITEMISED, &n);
        return n + m->n_records_bad + (m->log ? log_file_get_lost(m->log) : 0);
}

int manager_each_profile(Manager *m,
        int (*callback)(void *userdata, const char *name, const char *source), void *userdata) {
        for (size_t i = 0; i < m->store->n_profiles; i++) {
                const char *path = m->store->profiles[i]->path;
                const char *base = strrchr(path, '/');
                _cleanup_free_ char *name = strdup(base ? base + 1 : path);
                size_t n;
                int r;

                if (!name)
                        return -ENOMEM;
                n = strlen(name);
                if (n > 5 && streq(name + n - 5, ".json"))
                        name[n - 5] = '\0';
                if (store_profile(m->store, name) != m->store->profiles[i])
                        continue;
                r = callback(userdata, name, startswith(path, "profile/") ? "built in" : path);
                if (r < 0)
                        return r;
        }
        return 0;
}
