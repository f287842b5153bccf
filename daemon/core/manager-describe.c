/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything as JSON, in the shapes of bus/API.md. */
#include "core/json.h"
#include "core/manager-internal.h"
#include "policy/text.h"
#include "util/macro.h"
#include "util/strv.h"

static int put_totals(json_object *o, const UnitTotals *t) {
        int r;

        r = jo_put_u64(o, "packets", t->packets);
        if (r >= 0)
                r = jo_put_u64(o, "bytes", t->bytes);
        if (r >= 0)
                r = jo_put_u64(o, "blocked", t->blocked);
        if (r >= 0)
                r = jo_put_u64(o, "would-block", t->would);
        return r;
}

static int put_rules(Unit *u, json_object *root) {
        json_object *array;
        int r;

        r = jo_add_new(root, "rules", json_object_new_array(), &array);
        for (size_t i = 0; r >= 0 && i < unit_get_n_rules(u); i++) {
                _cleanup_(unit_rule_done) UnitRule rule = { 0 };
                json_object *o = json_object_new_object();

                r = jo_append_new(array, o);
                if (r >= 0)
                        r = unit_get_rule(u, i, &rule);
                if (r >= 0)
                        r = jo_put_string(o, "id", rule.id);
                if (r >= 0)
                        r = jo_put_string(o, "layer", rule.layer);
                if (r >= 0)
                        r = jo_put_string(o, "rule", rule.text);
                if (r >= 0)
                        r = jo_put_string(o, "source", rule.source);
                if (r >= 0)
                        r = jo_put_string(o, "comment", rule.comment);
                if (r >= 0)
                        r = put_totals(o, &rule.hits);
        }
        return r;
}

static int put_default_totals(Unit *u, json_object *root) {
        static const struct {
                const char *key;
                unsigned rule;
        } defaults[] = { { "in", CGP_RULE_DEFAULT_IN }, { "out", CGP_RULE_DEFAULT_OUT } };
        json_object *object, *o;
        int r;

        r = jo_add_new(root, "defaults", json_object_new_object(), &object);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(defaults); i++) {
                struct cgp_counter c = { 0 };
                UnitTotals t;

                if (u->state)
                        (void)u->manager->kernel->ops->counter_read(
                                u->manager->kernel, u->state->reserved[defaults[i].rule], &c);
                t = (UnitTotals){ c.packets, c.bytes, c.blocked, c.would };
                r = jo_add_new(object, defaults[i].key, json_object_new_object(), &o);
                if (r >= 0)
                        r = put_totals(o, &t);
        }
        return r;
}

/* null: nobody states it. */
static int put_source(json_object *o, const char *key, const PolicySource *source) {
        _cleanup_free_ char *text = policy_source_to_string(source);

        return text ? jo_put_string(o, key, *text ? text : NULL) : -ENOMEM;
}

static int put_policy(Unit *u, json_object *root) {
        const PolicyStack *stack = &u->policy->stack;
        json_object *o;
        int r;

        r = jo_put_string(root, "mode", unit_get_mode(u));
        if (r >= 0)
                r = jo_put_string(root, "errno", policy_errno_to_string(stack->refusal));
        if (r >= 0)
                r = jo_put_u64(root, "generation", unit_get_generation(u));
        if (r >= 0)
                r = jo_put_string(
                        root, "profile", *unit_get_profile(u) ? unit_get_profile(u) : NULL);
        if (r >= 0)
                r = jo_add_new(root, "default", json_object_new_object(), &o);
        if (r >= 0)
                r = jo_put_string(o, "in", unit_get_default(u, CGP_DIR_IN));
        if (r >= 0)
                r = jo_put_string(o, "out", unit_get_default(u, CGP_DIR_OUT));
        if (r >= 0)
                r = jo_add_new(root, "default-source", json_object_new_object(), &o);
        if (r >= 0)
                r = put_source(o, "in", &stack->default_in_source);
        if (r >= 0)
                r = put_source(o, "out", &stack->default_out_source);
        return r;
}

static int put_lists(Unit *u, json_object *root) {
        json_object *array;
        int r;

        r = jo_add_new(root, "hooks", json_object_new_array(), &array);
        for (unsigned hook = 0; r >= 0 && hook < CGP_N_HOOKS; hook++)
                if (unit_has_hook(u, hook))
                        r = jo_append_new(
                                array, json_object_new_string(kernel_hook_to_string(hook)));
        if (r >= 0)
                r = jo_add_new(root, "sources", json_object_new_array(), &array);
        for (size_t i = 0; r >= 0; i++) {
                _cleanup_free_ char *path = NULL;
                const char *layer, *text;

                r = unit_get_source(u, i, &path, &layer, &text);
                if (r <= 0)
                        break;
                r = jo_append_new(array, json_object_new_string(path));
        }
        return r;
}

static int put_last_blocked(Unit *u, json_object *root) {
        _cleanup_free_ char *storage = NULL, *line = NULL;
        EventContext context;
        int r;

        if (!u->has_last_blocked)
                return json_object_object_add(root, "last-blocked", NULL) < 0 ? -ENOMEM : 0;
        r = manager_event_context(u->manager, &u->last_blocked, &context, &storage);
        if (r < 0)
                return r;
        line = event_to_json(&u->last_blocked, &context);
        if (!line)
                return -ENOMEM;
        return jo_put(root, "last-blocked", json_tokener_parse(line));
}

static int unit_to_json(Unit *u, json_object **ret) {
        _cleanup_(jo_putp) json_object *root = json_object_new_object();
        _cleanup_free_ char *cgroup = unit_get_cgroup_path(u);
        UnitTotals t;
        int r;

        if (!root || !cgroup)
                return -ENOMEM;
        r = jo_put_string(root, "name", u->name);
        if (r >= 0)
                r = jo_put_string(root, "state", unit_get_state(u));
        if (r >= 0)
                r = jo_put_string(root, "problem", u->problem);
        if (r >= 0)
                r = jo_put_string(root, "cgroup", *cgroup ? cgroup : NULL);
        if (r >= 0)
                r = jo_put_u64(root, "cgroup-id", unit_get_cgroup_id(u));
        if (r >= 0)
                r = put_policy(u, root);
        unit_get_totals(u, &t);
        if (r >= 0)
                r = jo_put_u64(root, "passed", t.packets);
        if (r >= 0)
                r = jo_put_u64(root, "bytes", t.bytes);
        if (r >= 0)
                r = jo_put_u64(root, "blocked", t.blocked);
        if (r >= 0)
                r = jo_put_u64(root, "would-block", t.would);
        if (r >= 0)
                r = put_lists(u, root);
        if (r >= 0)
                r = put_rules(u, root);
        if (r >= 0)
                r = put_default_totals(u, root);
        if (r >= 0)
                r = put_last_blocked(u, root);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(root);
        return 0;
}

int unit_describe(Unit *u, char **ret) {
        _cleanup_(jo_putp) json_object *root = NULL;
        int r;

        r = unit_to_json(u, &root);
        return r < 0 ? r : jo_to_text(root, ret);
}

static int put_flows(Manager *m, json_object *root) {
        uint64_t entries = 0, max = 0, inserted = 0, refused = 0;
        const KernelOps *ops = m->kernel->ops;
        json_object *o;
        int r;

        r = ops->flows_count(m->kernel, &entries, &max);
        if (r >= 0)
                r = ops->stat_read(m->kernel, CGP_STAT_FLOWS_INSERTED, &inserted);
        if (r >= 0)
                r = ops->stat_read(m->kernel, CGP_STAT_FLOWS_REFUSED, &refused);
        if (r >= 0)
                r = jo_add_new(root, "flows", json_object_new_object(), &o);
        if (r >= 0)
                r = jo_put_u64(o, "entries", entries);
        if (r >= 0)
                r = jo_put_u64(o, "max", max);
        /* Entries leave the map by eviction only: whatever was put in and is not there was evicted. */
        if (r >= 0)
                r = jo_put_u64(o, "evicted", inserted > entries ? inserted - entries : 0);
        if (r >= 0)
                r = jo_put_u64(o, "refused", refused);
        return r;
}

static int put_degraded(Manager *m, json_object *root) {
        _cleanup_(strv_freep) char **list = manager_get_degraded(m);
        json_object *array;
        int r;

        r = jo_add_new(root, "degraded", json_object_new_array(), &array);
        for (char **p = list; r >= 0 && p && *p; p++)
                r = jo_append_new(array, json_object_new_string(*p));
        return r;
}

static int put_capabilities(Manager *m, json_object *root) {
        json_object *o;
        int r;

        r = jo_add_new(root, "capabilities", json_object_new_object(), &o);
        for (unsigned hook = 0; r >= 0 && hook < CGP_N_HOOKS; hook++)
                r = jo_put(o, kernel_hook_to_string(hook),
                        json_object_new_boolean(m->config.capabilities->hooks[hook]));
        if (r >= 0)
                r = jo_put(o, "dry-run", json_object_new_boolean(m->config.capabilities->dry_run));
        return r;
}

int manager_describe(Manager *m, char **ret) {
        _cleanup_(jo_putp) json_object *root = json_object_new_object();
        json_object *array;
        int r;

        if (!root)
                return -ENOMEM;
        manager_drain(m);
        r = jo_put_string(root, "version", CGPOLICY_VERSION);
        if (r >= 0)
                r = jo_put_string(root, "mode", "private");
        if (r >= 0)
                r = jo_put_u64(root, "generation", m->generation);
        if (r >= 0)
                r = put_degraded(m, root);
        if (r >= 0)
                r = put_capabilities(m, root);
        if (r >= 0)
                r = jo_put_u64(root, "lost-events", manager_get_lost(m));
        if (r >= 0)
                r = put_flows(m, root);
        if (r >= 0)
                r = jo_add_new(root, "units", json_object_new_array(), &array);
        for (size_t i = 0; r >= 0 && i < m->n_units; i++) {
                json_object *o = NULL;

                r = unit_to_json(m->units[i], &o);
                if (r >= 0)
                        r = jo_append_new(array, o);
        }
        return r < 0 ? r : jo_to_text(root, ret);
}
