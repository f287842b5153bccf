/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One subject: what it is called, what is in force for it, what was counted. */
#include "core/manager-internal.h"
#include "policy/text.h"
#include "util/macro.h"
#include "util/strv.h"

int unit_new(Manager *m, const char *name, Unit **ret) {
        _cleanup_(unit_freep) Unit *u = NULL;

        u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->manager = m;
        u->cgroup_fd = -EBADF;
        u->name = strdup(name);
        if (!u->name)
                return -ENOMEM;

        *ret = TAKE_PTR(u);
        return 0;
}

Unit *unit_free(Unit *u) {
        if (!u)
                return NULL;

        cgroup_watch_free(u->watch);
        attachment_free(u->attachment);
        policy_free(u->policy);
        unit_state_free(u->state);
        (void)close_keep_errno(u->cgroup_fd);
        free(u->problem);
        free(u->name);
        free(u);
        return NULL;
}

int unit_set_problem(Unit *u, const char *problem) {
        Manager *m = u->manager;
        char *copy = NULL;

        if (streq_ptr(problem, u->problem))
                return 0;
        if (problem) {
                copy = strdup(problem);
                if (!copy)
                        return -ENOMEM;
        }
        free(u->problem);
        u->problem = copy;
        if (m->listener.degraded_changed)
                m->listener.degraded_changed(m->listener.userdata);
        return 0;
}

const char *unit_get_name(const Unit *u) {
        return u->name;
}

const char *unit_get_state(const Unit *u) {
        if (!u->state)
                return "inactive";
        if (!u->attachment)
                return "detached";
        return u->problem ? "degraded" : "attached";
}

const char *unit_get_mode(const Unit *u) {
        return policy_mode_to_string(u->policy->stack.mode);
}

const char *unit_get_default(const Unit *u, unsigned direction) {
        return policy_default_to_string(direction == CGP_DIR_OUT ? u->policy->stack.default_out
                                                                 : u->policy->stack.default_in);
}

const char *unit_get_profile(const Unit *u) {
        for (size_t i = 0; i < u->policy->store->n_files; i++) {
                const StoreFile *file = u->policy->store->files[i];

                if (store_file_applies(u->policy->store, file, u->name) && file->policy->profile)
                        return file->policy->profile;
        }
        return "";
}

uint64_t unit_get_generation(const Unit *u) {
        return u->state ? u->state->generation : u->manager->generation;
}

uint64_t unit_get_cgroup_id(const Unit *u) {
        return u->state ? u->state->cgroup_id : 0;
}

char *unit_get_cgroup_path(const Unit *u) {
        char *path = NULL;

        if (!u->state)
                return strdup("");
        if (asprintf(&path, "%s/%s", u->manager->config.cgroup, u->name) < 0)
                return NULL;
        return path;
}

size_t unit_get_n_rules(const Unit *u) {
        return u->policy->stack.n_entries;
}

bool unit_has_hook(const Unit *u, unsigned hook) {
        return u->attachment && hook < CGP_N_HOOKS && u->attachment->links[hook];
}

static void totals_add_slot(Manager *m, uint32_t slot, UnitTotals *t) {
        struct cgp_counter counter;

        if (slot == 0 || m->kernel->ops->counter_read(m->kernel, slot, &counter) < 0)
                return;
        t->packets += counter.packets;
        t->bytes += counter.bytes;
        t->blocked += counter.blocked;
        t->would += counter.would;
}

void unit_get_totals(Unit *u, UnitTotals *ret) {
        UnitTotals t = { 0 };

        if (u->state) {
                t = (UnitTotals){
                        .packets = u->state->retired_packets,
                        .bytes = u->state->retired_bytes,
                        .blocked = u->state->retired_blocked,
                        .would = u->state->retired_would,
                };
                for (size_t i = 1; i < UNIT_STATE_RESERVED; i++)
                        totals_add_slot(u->manager, u->state->reserved[i], &t);
                for (size_t i = 0; i < u->state->n_rules; i++)
                        totals_add_slot(u->manager, u->state->rules[i].slot, &t);
        }
        *ret = t;
}

void unit_rule_done(UnitRule *rule) {
        free(rule->text);
        free(rule->source);
        *rule = (UnitRule){ 0 };
}

int unit_get_rule(Unit *u, size_t i, UnitRule *ret) {
        _cleanup_(unit_rule_done) UnitRule rule = { 0 };
        const PolicyEntry *entry;

        if (i >= u->policy->stack.n_entries)
                return -ENOENT;
        entry = &u->policy->stack.entries[i];
        rule.id = entry->id;
        rule.layer = policy_layer_to_string(entry->layer);
        rule.comment = entry->rule->comment;
        rule.source = policy_source_to_string(&entry->rule->source);
        if (!rule.source ||
                asprintf(&rule.text, "%s %s", policy_verdict_to_string(entry->rule->verdict),
                        entry->rule->text) < 0) {
                rule.text = NULL;
                return -ENOMEM;
        }
        totals_add_slot(u->manager, entry->counter, &rule.hits);

        *ret = rule;
        rule = (UnitRule){ 0 };
        return 0;
}

int unit_get_source(
        Unit *u, size_t i, char **ret_path, const char **ret_layer, const char **ret_text) {
        const Store *store = u->policy->store;
        size_t n = 0;

        for (size_t k = 0; k < store->n_files; k++) {
                const StoreFile *file = store->files[k];
                char *path;

                if (!store_file_applies(store, file, u->name) || n++ != i)
                        continue;
                path = store_path(&u->manager->store_dir, file->layer, file->name);
                if (!path)
                        return -ENOMEM;
                *ret_path = path;
                *ret_layer = policy_layer_to_string(file->layer);
                *ret_text = file->text;
                return 1;
        }
        return 0;
}

const Event *unit_get_last_blocked(const Unit *u) {
        return u->has_last_blocked ? &u->last_blocked : NULL;
}

/* -- The manager's table of units ----------------------------------------------------------------- */

Unit *manager_get_unit(Manager *m, const char *name) {
        for (size_t i = 0; i < m->n_units; i++)
                if (streq(m->units[i]->name, name))
                        return m->units[i];
        return NULL;
}

Unit *manager_get_unit_by_cgroup(Manager *m, uint64_t cgroup_id) {
        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i]->state && m->units[i]->state->cgroup_id == cgroup_id)
                        return m->units[i];
        return NULL;
}

Unit *manager_next_unit(Manager *m, const char *after) {
        for (size_t i = 0; i < m->n_units; i++)
                if (!after || strcmp(m->units[i]->name, after) > 0)
                        return m->units[i];
        return NULL;
}

int manager_find_unit(Manager *m, const char *name, ManagerError *reterr, Unit **ret) {
        _cleanup_free_ const char **names = NULL;
        const char *near;
        Unit *u;

        u = manager_get_unit(m, name);
        if (u) {
                *ret = u;
                return 0;
        }
        names = calloc(m->n_units + 1, sizeof(*names));
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_units; i++)
                names[i] = m->units[i]->name;
        near = policy_did_you_mean(name, names);
        return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_UNIT, "no subject '%.200s'%s%s%s",
                name, near ? " (did you mean '" : "", strempty(near), near ? "'?)" : "");
}

int manager_add_unit(Manager *m, Unit **unit) {
        Unit **units = NULL;
        size_t i;

        units = reallocarray(m->units, m->n_units + 1, sizeof(*units));
        if (!units)
                return -ENOMEM;
        m->units = units;
        for (i = m->n_units; i > 0 && strcmp(units[i - 1]->name, (*unit)->name) > 0; i--)
                units[i] = units[i - 1];
        units[i] = TAKE_PTR(*unit);
        m->n_units++;
        if (m->listener.unit_added)
                m->listener.unit_added(m->listener.userdata, units[i]->name);
        return 0;
}

void manager_remove_unit(Manager *m, Unit *unit) {
        for (size_t i = 0; i < m->n_units; i++) {
                if (m->units[i] != unit)
                        continue;
                memmove(&m->units[i], &m->units[i + 1], (m->n_units - i - 1) * sizeof(*m->units));
                m->n_units--;
                if (m->listener.unit_removed)
                        m->listener.unit_removed(m->listener.userdata, unit->name);
                unit_free(unit);
                return;
        }
}

/* Does a file of a lasting layer name it, without wildcards? */
static bool store_names(const Store *store, const char *name) {
        for (size_t i = 0; i < store->n_files; i++)
                if (store->files[i]->layer != POLICY_LAYER_RUNTIME && store->files[i]->policy &&
                        policy_file_names(store->files[i]->policy, name))
                        return true;
        return false;
}

static int manager_add_inactive(Manager *m, const char *name) {
        _cleanup_(unit_freep) Unit *u = NULL;
        int r;

        r = unit_new(m, name, &u);
        if (r < 0)
                return r;
        r = policy_build(m, m->store, &m->now, name, NULL, NULL, &u->policy);
        if (r == -EREMOTEIO) /* too many rules: it is told when somebody starts it */
                return 0;
        if (r < 0)
                return r;
        return manager_add_unit(m, &u);
}

int manager_sync_inactive(Manager *m) {
        int r;

        for (size_t i = m->n_units; i-- > 0;)
                if (!m->units[i]->state && !store_names(m->store, m->units[i]->name))
                        manager_remove_unit(m, m->units[i]);

        for (size_t i = 0; i < m->store->n_files; i++) {
                const PolicyFile *file = m->store->files[i]->policy;

                for (char **name = file ? file->match.units : NULL; name && *name; name++) {
                        if (!cgroup_name_is_valid(*name) || manager_get_unit(m, *name) ||
                                !store_names(m->store, *name))
                                continue;
                        r = manager_add_inactive(m, *name);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}
