/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named lists as they live in the manager: read again when a file changes, published when they differ. */
#include "core/manager-internal.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

/* -- Reading again ---------------------------------------------------------------------------------- */

static void manager_set_problem(Manager *m, int error) {
        bool had = m->set_problem;

        free(m->set_problem);
        m->set_problem = NULL;
        if (error < 0 &&
                asprintf(&m->set_problem,
                        "the kernel does not take the lists as they are now: %s; what they held "
                        "before stays in force",
                        strerror(-error)) < 0)
                m->set_problem = NULL;
        if (m->listener.degraded_changed && (had || m->set_problem))
                m->listener.degraded_changed(m->listener.userdata);
}

/* The set that was read is loaded beside the one in force, then each user follows. */
static void manager_take_lists(Manager *m, ListTable **table) {
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        int r;

        s.lists = TAKE_PTR(*table);
        (void)list_table_settle(s.lists);
        r = manager_load_set(m, s.lists);
        if (r >= 0)
                r = manager_survey_host(m, s.lists, &s.host);
        manager_set_problem(m, r);
        if (r < 0) {
                log_warning_errno(r, "The kernel does not take the lists as they are now: %m");
                manager_collect_sets(m);
                return;
        }
        for (size_t i = 0; i < s.lists->n_entries; i++)
                if (s.lists->entries[i].error)
                        log_warning("list '%s': %s", s.lists->entries[i].name,
                                s.lists->entries[i].error);
        manager_take_surroundings(m, &s, "lists");
        if (m->listener.degraded_changed)
                m->listener.degraded_changed(m->listener.userdata);
}

static void on_loaded(void *userdata, ListTable *loaded, int error) {
        _cleanup_(list_table_unrefp) ListTable *table = loaded, *base = NULL;
        Manager *m = userdata;

        base = TAKE_PTR(m->list_base);
        if (error < 0)
                log_warning_errno(error, "Cannot read lists: %m");
        else if (base == m->now.lists)
                manager_take_lists(m, &table);
        else
                m->lists_dirty = true; /* a request was faster: this is about what was before it */
        if (m->lists_dirty)
                manager_reread_lists(m);
}

void manager_reread_lists(Manager *m) {
        _cleanup_(list_table_unrefp) ListTable *table = NULL;
        int r;

        m->lists_dirty = true;
        if (!m->list_worker || list_worker_is_busy(m->list_worker))
                return;
        m->lists_dirty = false;
        r = list_table_new(m->store, m->good_fd, &table);
        if (r < 0) {
                log_warning_errno(r, "Cannot read lists again, ignoring: %m");
                return;
        }
        list_table_inherit(table, m->now.lists, /* reread= */ true, m->config.dir_fd);
        if (!list_table_is_wanted(table)) {
                manager_follow(m, "lists");
                manager_collect_sets(m);
                return;
        }
        r = list_worker_start(m->list_worker, &table);
        if (r < 0) {
                log_warning_errno(r, "Cannot start a thread that reads lists, ignoring: %m");
                return;
        }
        m->list_base = list_table_ref(m->now.lists);
}

void manager_watch_lists(Manager *m) {
        int r;

        if (!m->list_watch)
                return;
        r = list_watch_set(m->list_watch, m->now.lists);
        if (r < 0)
                log_warning_errno(r,
                        "Cannot watch the files of all lists; 'cgpolicyctl reload' reads them: %m");
}

static void on_file_changed(void *userdata) {
        Manager *m = userdata;

        /* A directory may be another one now. */
        manager_watch_lists(m);
        manager_reread_lists(m);
}

int manager_start_lists(Manager *m) {
        int r;

        r = list_worker_new(m->event, m->config.dir_fd, on_loaded, m, &m->list_worker);
        if (r >= 0)
                r = list_watch_new(m->event, m->config.dir, on_file_changed, m, &m->list_watch);
        if (r < 0)
                return r;
        manager_watch_lists(m);
        return 0;
}

/* -- Telling ---------------------------------------------------------------------------------------- */

int manager_add_list_problems(const Manager *m, char ***list) {
        const ListTable *table = m->now.lists;

        for (char **p = table->problems; p && *p; p++)
                if (strv_extend(list, *p) < 0)
                        return -ENOMEM;
        if (m->set_problem && strv_extend(list, m->set_problem) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_entries; i++) {
                const ListEntry *entry = &table->entries[i];
                _cleanup_free_ char *line = NULL;

                if (!entry->error)
                        continue;
                if (asprintf(&line, "list '%s': %s; %s", entry->name, entry->error,
                            entry->content ? "its last good content stays in force"
                                           : "no rule can use it") < 0) {
                        line = NULL;
                        return -ENOMEM;
                }
                if (strv_push(list, &line) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static bool unit_uses_list(const Unit *u, const char *name) {
        for (size_t i = 0; u->policy->uses & HOST_LISTS && i < u->policy->stack.n_entries; i++) {
                const PolicyRule *rule = u->policy->stack.entries[i].rule;

                for (size_t k = 0; k < rule->n_peers; k++)
                        if (rule->peers[k].type == POLICY_PEER_LIST &&
                                streq(rule->peers[k].list, name))
                                return true;
        }
        return false;
}

static int list_describe(Manager *m, const ListEntry *entry, ManagerList *ret) {
        *ret = (ManagerList){
                .name = entry->name,
                .source = entry->file ? entry->file : "inline",
                .n_networks4 = entry->content ? entry->content->n_networks4 : 0,
                .n_networks6 = entry->content ? entry->content->n_networks6 : 0,
                .loaded_usec = entry->loaded_usec,
                .state = list_state_to_string(entry->state),
                .error = entry->error,
        };
        if (asprintf(&ret->defined, "%s:%u", entry->source, entry->line) < 0) {
                ret->defined = NULL;
                return -ENOMEM;
        }
        ret->users = calloc(1, sizeof(*ret->users));
        if (!ret->users)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_units; i++) {
                int r = unit_uses_list(m->units[i], entry->name)
                        ? strv_extend(&ret->users, m->units[i]->name)
                        : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

void manager_lists_free(ManagerList *lists, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(lists[i].defined);
                strv_free(lists[i].users);
        }
        free(lists);
}

int manager_get_lists(Manager *m, ManagerList **ret, size_t *ret_n) {
        const ListTable *table = m->now.lists;
        ManagerList *lists = calloc(MAX(table->n_entries, 1U), sizeof(*lists));

        if (!lists)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_entries; i++) {
                int r = list_describe(m, &table->entries[i], &lists[i]);

                if (r < 0) {
                        manager_lists_free(lists, i + 1);
                        return r;
                }
        }
        *ret = lists;
        *ret_n = table->n_entries;
        return 0;
}
