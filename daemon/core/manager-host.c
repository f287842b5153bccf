/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What policies are compiled with beside their files: networks, interfaces, lists. A change of files brings its own
 * along, in one step; a change of what surrounds them is taken unit by unit, because the host is what it is and a
 * unit that cannot follow must not keep the others from it.
 */
#include "core/manager-internal.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

Surroundings surroundings_ref(const Surroundings *surroundings) {
        return (Surroundings){
                .host = surroundings->host ? host_ref(surroundings->host) : NULL,
                .lists = surroundings->lists ? list_table_ref(surroundings->lists) : NULL,
        };
}

void surroundings_done(Surroundings *surroundings) {
        host_unref(surroundings->host);
        list_table_unref(surroundings->lists);
        *surroundings = (Surroundings){ 0 };
}

const NetState *manager_net(const Manager *m) {
        return m->net ? net_watch_state(m->net) : m->config.net;
}

/* -- Survey ----------------------------------------------------------------------------------------- */

/* Large files that are in force already are read in a thread, after the reply. */
#define REREAD_AT_ONCE_MAX (1U << 20)

static int add_via(const PolicyFile *file, char ***names) {
        for (size_t i = 0; file && i < file->n_rules; i++) {
                const char *via = file->rules[i]->via;
                int r = !via || strv_contains(*names, via) ? 0 : strv_extend(names, via);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The names of interfaces in all rules, sorted. */
static int store_via_names(const Store *store, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < store->n_files; i++)
                if (store_file_is_used(store, store->files[i]))
                        r = add_via(store->files[i]->policy, &names);
        for (size_t i = 0; r >= 0 && i < store->n_profiles; i++)
                r = add_via(store->profiles[i], &names);
        if (r < 0)
                return r;
        *ret = strv_sort(TAKE_PTR(names));
        return 0;
}

int manager_load_set(Manager *m, ListTable *table) {
        int r;

        if (!table->set || table->has_slot)
                return 0;
        r = m->kernel->ops->set_load(m->kernel, table->set, &table->slot);
        if (r == -ENOSPC) {
                manager_collect_sets(m);
                r = m->kernel->ops->set_load(m->kernel, table->set, &table->slot);
        }
        if (r < 0)
                return r;
        table->has_slot = true;
        policy_set_drop_pages(table->set);
        return 0;
}

static void defer_large(Manager *m, ListTable *table) {
        if (list_table_wanted_size(table, m->config.dir_fd) <= REREAD_AT_ONCE_MAX)
                return;
        for (size_t i = 0; i < table->n_entries; i++)
                if (table->entries[i].wanted && table->entries[i].content &&
                        table->entries[i].state == LIST_LOADED) {
                        table->entries[i].wanted = false;
                        m->lists_dirty = true;
                }
}

static int survey_lists(
        Manager *m, const Store *store, bool reread, ManagerError *reterr, ListTable **ret) {
        _cleanup_(list_table_unrefp) ListTable *table = NULL;
        int r;

        r = list_table_new(store, m->good_fd, &table);
        if (r == -E2BIG)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "all files together define more than %u lists", POLICY_LISTS_MAX);
        if (r < 0)
                return r;
        if (m->now.lists && !reread && list_table_same(table, m->now.lists)) {
                *ret = list_table_ref(m->now.lists);
                return 0;
        }
        list_table_inherit(table, m->now.lists, reread, m->config.dir_fd);
        if (m->now.lists)
                defer_large(m, table);
        r = list_table_load(table, m->config.dir_fd);
        if (r < 0)
                return r;
        (void)list_table_settle(table);
        r = manager_load_set(m, table);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "the kernel does not take the lists: %s; the policy in force is unchanged",
                        strerror(-r));
        *ret = TAKE_PTR(table);
        return 0;
}

static int survey_host(Manager *m, const Store *store, const ListTable *lists, bool lenient,
        ManagerError *reterr, Host **ret) {
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_free_ PolicyList **contents = NULL;
        _cleanup_(host_unrefp) Host *host = NULL;
        size_t n_contents = 0;
        int r;

        r = store_via_names(store, &names);
        if (r >= 0)
                r = list_table_contents(lists, &contents, &n_contents);
        if (r >= 0)
                r = host_new(manager_net(m), names, contents, n_contents, lists->set, lists->slot,
                        lenient, &host);
        if (r == -E2BIG)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "rules name more than %u interfaces", CGP_MAX_PLACES - CGP_PLACE_FIRST - 1);
        if (r < 0)
                return r;
        if (r > 0 || host->is_blind)
                log_warning(
                        "rules name too many interfaces: those that have several of the names are "
                        "held to the strictest rules");
        *ret = m->now.host && lists == m->now.lists && host_compare(host, m->now.host) == 0
                ? host_ref(m->now.host)
                : TAKE_PTR(host);
        return 0;
}

int manager_survey_host(Manager *m, ListTable *lists, Host **ret) {
        return survey_host(m, m->store, lists, /* lenient= */ true, NULL, ret);
}

int manager_survey(Manager *m, const Store *store, bool reread, bool lenient, ManagerError *reterr,
        Surroundings *ret) {
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        int r;

        r = survey_lists(m, store, reread, reterr, &s.lists);
        if (r < 0)
                return r;
        r = survey_host(m, store, s.lists, lenient, reterr, &s.host);
        if (r < 0)
                return r;
        *ret = s;
        s = (Surroundings){ 0 };
        return 0;
}

int manager_survey_nothing(Manager *m, const Store *store, Surroundings *ret) {
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        Store none = { 0 };
        int r;

        r = list_table_new(&none, m->good_fd, &s.lists);
        if (r >= 0)
                r = survey_host(m, store, s.lists, /* lenient= */ true, NULL, &s.host);
        if (r < 0)
                return r;
        *ret = s;
        s = (Surroundings){ 0 };
        return 0;
}

static bool has_list(void *userdata, const char *name) {
        return policy_host_list(userdata, name);
}

int manager_survey_files(Manager *m, const Store *previous, Store *store, bool reread, bool lenient,
        ManagerError *reterr, Surroundings *ret) {
        int r;

        /* A file that falls back to an older version may define other lists, but never comes back: this ends. */
        for (;;) {
                _cleanup_(surroundings_done) Surroundings s = { 0 };

                r = manager_survey(m, store, reread, lenient, reterr, &s);
                if (r < 0)
                        return r;
                r = store_settle_lists(&m->store_dir, previous, store, has_list, &s.host->host);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                store_accept(&m->store_dir, store);
                *ret = s;
                s = (Surroundings){ 0 };
                return 0;
        }
}

int manager_check_lists(
        const Surroundings *surroundings, const Store *store, ManagerError *reterr) {
        for (size_t i = 0; i < store->n_files; i++) {
                const PolicyRule *rule;
                const char *name;

                if (!store_file_is_used(store, store->files[i]))
                        continue;
                name = store_missing_list(
                        store, store->files[i], has_list, &surroundings->host->host, &rule);
                if (name)
                        return policy_list_missing(rule, name, surroundings->lists, reterr);
        }
        return 0;
}

/* -- Interfaces ------------------------------------------------------------------------------------- */

int manager_write_interfaces(Manager *m, const Host *first, const Host *second) {
        _cleanup_free_ KernelInterface *interfaces = NULL;
        size_t n = 0;
        int r;

        r = host_interfaces(manager_net(m), first, second, &interfaces, &n);
        if (r < 0)
                return r;
        if (m->interfaces_known && n == m->n_interfaces &&
                memcmp(interfaces, m->interfaces, n * sizeof(*interfaces)) == 0)
                return 0;
        m->interfaces_known = false;
        r = m->kernel->ops->interfaces_write(m->kernel, interfaces, n);
        if (r < 0)
                return r;
        free(m->interfaces);
        m->interfaces = TAKE_PTR(interfaces);
        m->n_interfaces = n;
        m->interfaces_known = true;
        return 0;
}

void manager_settle_interfaces(Manager *m) {
        const Host *left = NULL;
        int r;

        for (size_t i = 0; i < m->n_units && !left; i++) {
                const Unit *u = m->units[i];

                if (u->attachment && (u->policy->uses & HOST_INTERFACES) &&
                        host_compare(u->policy->host, m->now.host) & HOST_INTERFACES)
                        left = u->policy->host;
        }
        r = manager_write_interfaces(m, m->now.host, left);
        if (r < 0)
                log_warning_errno(r,
                        "Cannot write which interface is which; interfaces that came meanwhile are "
                        "held to the strictest rules: %m");
}

/* -- Set maps --------------------------------------------------------------------------------------- */

void unit_note_sets(Unit *u) {
        if (!u->attachment)
                return;
        u->attachment->sets = u->policy->uses & HOST_LISTS && u->policy->host->host.set
                ? 1U << u->policy->host->host.set_slot
                : 0;
}

static uint32_t attachment_sets(const Attachment *a) {
        return a->hash == 0 ? UINT32_MAX : a->sets;
}

typedef struct SetSlots {
        uint32_t used;
} SetSlots;

static int note_slot(void *userdata, uint32_t slot, uint64_t hash) {
        SetSlots *slots = userdata;

        if (slot < CGP_MAX_SET_SLOTS)
                slots->used |= 1U << slot;
        return 0;
}

void manager_collect_sets(Manager *m) {
        SetSlots slots = { 0 };
        uint32_t named = 0;
        int r;

        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i]->attachment)
                        named |= attachment_sets(m->units[i]->attachment);
        for (size_t i = 0; i < m->n_dying; i++)
                named |= attachment_sets(m->dying[i]);
        if (m->now.lists && m->now.lists->has_slot)
                named |= 1U << m->now.lists->slot;
        if (named == UINT32_MAX)
                return;
        r = m->kernel->ops->sets_each(m->kernel, note_slot, &slots);
        for (uint32_t slot = 0; r >= 0 && slot < CGP_MAX_SET_SLOTS; slot++)
                if (slots.used & ~named & (1U << slot))
                        r = m->kernel->ops->set_drop(m->kernel, slot);
        if (r < 0)
                log_warning_errno(r, "Cannot give back a set map that nobody uses, ignoring: %m");
}

/* -- From one to the next --------------------------------------------------------------------------- */

bool unit_is_concerned(const Unit *u, const Host *host) {
        return u->policy->uses & host_compare(u->policy->host, host);
}

static void unit_follow(Unit *u, const char *source) {
        Manager *m = u->manager;
        _cleanup_(change_done) Change change = { .manager = m, .stage = STORE_STAGE_INIT };
        _cleanup_(manager_error_done) ManagerError error = { 0 };
        _cleanup_free_ char *problem = NULL;
        int r;

        r = change_prepare_unit(m, m->store, &m->now, u, &error, &change);
        if (r >= 0)
                r = change_commit(&change, &error);
        if (r >= 0) {
                if (change.items[0].content != 0)
                        manager_notify_changed(m, &change, source, "");
                return;
        }
        log_warning("%s: cannot follow a change of the %s: %s", u->name, source,
                error.message ? error.message : strerror(-r));
        if (asprintf(&problem, "it does not follow a change of the %s: %s; what was in force stays",
                    source, error.message ? error.message : strerror(-r)) < 0)
                problem = NULL;
        (void)unit_set_problem(u, problem ? problem : CHANGE_HALF_WAY);
}

void manager_follow(Manager *m, const char *source) {
        for (size_t i = 0; i < m->n_units; i++)
                if (unit_is_concerned(m->units[i], m->now.host))
                        unit_follow(m->units[i], source);
}

void manager_take_surroundings(Manager *m, Surroundings *surroundings, const char *source) {
        Surroundings before = m->now;
        bool renumbers = host_compare(before.host, surroundings->host) & HOST_INTERFACES;
        int r;

        /* Both numberings, before an image has the new one. If the kernel does not take them, images of the new
         * one see no interface, which is strict, until it does. */
        r = renumbers ? manager_write_interfaces(m, before.host, surroundings->host) : 0;
        if (r < 0)
                log_warning_errno(r, "Cannot write the new numbers of interfaces: %m");
        m->now = *surroundings;
        *surroundings = (Surroundings){ 0 };
        manager_follow(m, source);
        if (before.lists != m->now.lists) {
                list_table_keep_good(m->now.lists);
                manager_watch_lists(m);
        }
        surroundings_done(&before);
        manager_settle_interfaces(m);
        manager_collect_sets(m);
}

/* -- The network ------------------------------------------------------------------------------------ */

void manager_net_changed(Manager *m) {
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        int r;

        if (!m->now.host)
                return;
        s.lists = list_table_ref(m->now.lists);
        r = survey_host(m, m->store, s.lists, /* lenient= */ true, NULL, &s.host);
        if (r < 0) {
                log_warning_errno(r, "Cannot follow a change of the network, ignoring: %m");
                return;
        }
        if (s.host == m->now.host) {
                manager_settle_interfaces(m);
                manager_follow(m, "network");
        } else
                manager_take_surroundings(m, &s, "network");
}

static void on_net_changed(void *userdata) {
        manager_net_changed(userdata);
}

int manager_start_net(Manager *m) {
        int r;

        if (!m->config.watch_net)
                return 0;
        r = net_watch_new(m->event, on_net_changed, m, &m->net);
        if (r >= 0)
                return 0;
        log_warning_errno(r, "Cannot watch the host's network: %m");
        m->net = NULL;
        if (asprintf(&m->net_problem,
                    "the host's network cannot be watched: %s; 'lan' is empty, and every interface "
                    "takes the strictest 'via' verdict; start cgpolicyd again",
                    strerror(-r)) < 0) {
                m->net_problem = NULL;
                return -ENOMEM;
        }
        return 0;
}
