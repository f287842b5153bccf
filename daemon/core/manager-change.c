/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What clients may change. Each request becomes a new version of one file of ours (or a new reading of all
 * files), and then one Change.
 *
 * A live job's own policy is its file of the runtime layer and ends with it; any other subject that a file
 * names has 50-cgpolicyctl-NAME.json in the local layer. Files that a person wrote are never rewritten.
 */
#include <inttypes.h>
#include <json-c/json.h>

#include "core/manager-internal.h"
#include "policy/text.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"

#define TOOL_FILE_PREFIX  "50-cgpolicyctl-"
#define APPLY_FILE_PREFIX "60-apply-"

void manager_notify_changed(
        Manager *m, const Change *change, const char *source, const char *comment) {
        _cleanup_free_ const char **names = NULL;
        size_t n = 0;

        names = calloc(change->n_items + 1, sizeof(*names));
        if (!names)
                return;
        for (size_t i = 0; i < change->n_items; i++)
                if (change->items[i].image)
                        names[n++] = change->items[i].unit->name;
        if (m->listener.policy_changed)
                m->listener.policy_changed(
                        m->listener.userdata, m->generation, names, source, comment);
}

/* -- One subject's own file ------------------------------------------------------------------------ */

typedef struct Edit {
        Unit *unit;
        PolicyLayer layer;
        char *name;
        PolicyFile *file; /* a copy, to be changed */
} Edit;

static void edit_done(Edit *edit) {
        policy_file_free(edit->file);
        free(edit->name);
}

static int edit_begin(Manager *m, const char *unit, ManagerError *reterr, Edit *ret) {
        _cleanup_(edit_done) Edit edit = { 0 };
        const StoreFile *file;
        int r;

        r = manager_find_unit(m, unit, reterr, &edit.unit);
        if (r < 0)
                return r;
        edit.layer = edit.unit->state ? POLICY_LAYER_RUNTIME : POLICY_LAYER_LOCAL;
        if (asprintf(&edit.name, "%s%s.json", edit.unit->state ? "" : TOOL_FILE_PREFIX,
                    edit.unit->name) < 0) {
                edit.name = NULL;
                return -ENOMEM;
        }
        file = store_find(m->store, edit.layer, edit.name);
        if (file && file->policy)
                r = policy_file_copy(file->policy, &edit.file);
        else {
                r = policy_file_new(edit.name, &edit.file);
                if (r < 0)
                        return r;
                edit.file->has_match = true;
                r = strv_extend(&edit.file->match.units, edit.unit->name);
        }
        if (r < 0)
                return r;

        *ret = edit;
        edit = (Edit){ 0 };
        return 0;
}

static int manager_store_with(Manager *m, PolicyLayer layer, const char *name, StoreFile *file,
        ManagerError *reterr, Store **ret) {
        int r = store_with(m->store, layer, name, file, ret);

        if (r == -EDQUOT)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "there are %u files in %s/%s already", STORE_FILES_MAX, m->config.dir,
                        store_layer_dir(layer));
        return r;
}

/* What a store with another file in it is compiled with, if all of its lists are there. */
static int manager_survey_change(
        Manager *m, const Store *store, ManagerError *reterr, Surroundings *ret) {
        _cleanup_(surroundings_done) Surroundings s = { 0 };
        int r;

        r = manager_survey(m, store, /* reread= */ false, /* lenient= */ false, reterr, &s);
        if (r < 0)
                return r;
        r = manager_check_lists(&s, store, reterr);
        if (r < 0) {
                manager_collect_sets(m);
                return r;
        }
        *ret = s;
        s = (Surroundings){ 0 };
        return 0;
}

/* Writes the edited file, puts it in force. */
static int edit_commit(Manager *m, Edit *edit, const char *source, const char *comment,
        ManagerError *reterr, uint64_t *ret_generation) {
        _cleanup_(change_done) Change change = { .manager = m, .stage = STORE_STAGE_INIT };
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_(surroundings_done) Surroundings surroundings = { 0 };
        _cleanup_(store_unrefp) Store *store = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        text = policy_file_to_json(edit->file);
        if (!text)
                return -ENOMEM;
        /* Through the reader once more: what is in force is what a restart would read. */
        r = store_parse(&m->store_dir, m->store, edit->layer, edit->name, text, reterr, &file);
        if (r < 0)
                return r;
        r = manager_store_with(m, edit->layer, edit->name, file, reterr, &store);
        if (r < 0)
                return r;
        r = manager_survey_change(m, store, reterr, &surroundings);
        if (r < 0)
                return r;
        r = change_prepare(m, store, &surroundings, edit->unit, reterr, &change);
        if (r < 0)
                return r;
        change.layer = edit->layer;
        change.name = TAKE_PTR(edit->name);
        change.text = TAKE_PTR(text);
        r = change_commit(&change, reterr);
        if (r < 0)
                return r;
        *ret_generation = m->generation;
        manager_notify_changed(m, &change, source, comment);
        return 0;
}

/* The next "NAME.N" of a file, above all that are there. */
static char *edit_next_id(const Edit *edit) {
        size_t n = strlen(edit->unit->name);
        unsigned long highest = 0;
        char *id = NULL;

        for (size_t i = 0; i < edit->file->n_rules; i++) {
                const char *have = edit->file->rules[i]->id;
                unsigned long number;
                char *end;

                if (!have || strncmp(have, edit->unit->name, n) != 0 || have[n] != '.')
                        continue;
                number = strtoul(have + n + 1, &end, 10);
                if (*end == '\0')
                        highest = MAX(highest, number);
        }
        return asprintf(&id, "%s.%lu", edit->unit->name, highest + 1) < 0 ? NULL : id;
}

static int edit_parse(Manager *m, PolicyVerdict verdict, const char *body, ManagerError *reterr,
        PolicyRule **ret) {
        _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
        ManagerErrorKind kind;
        int r;

        r = policy_parse_body(verdict, body, NULL, 0, 1, m->config.services, &diags, ret);
        if (r >= 0 || r == -ENOMEM)
                return r;
        kind = r == -EOPNOTSUPP ? MANAGER_ERROR_NOT_SUPPORTED
                : r == -E2BIG   ? MANAGER_ERROR_LIMIT_EXCEEDED
                                : MANAGER_ERROR_INVALID_RULE;
        return manager_error_set(reterr, kind, "rule '%.200s': column %u: %s", body,
                diags.n_diags > 0 ? diags.diags[0].column : 0,
                diags.n_diags > 0 ? diags.diags[0].message : "invalid");
}

int manager_add_rule(Manager *m, const char *unit, PolicyVerdict verdict, const char *body,
        const char *comment, ManagerError *reterr, char **ret_id, uint64_t *ret_generation) {
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        _cleanup_(edit_done) Edit edit = { 0 };
        _cleanup_free_ char *id = NULL;
        int r;

        r = edit_begin(m, unit, reterr, &edit);
        if (r < 0)
                return r;
        r = edit_parse(m, verdict, body, reterr, &rule);
        if (r < 0)
                return r;

        /* Before one may go: a rule that takes another's place is a rule of its own, with its own counts. */
        rule->id = edit_next_id(&edit);
        if (!rule->id)
                return -ENOMEM;

        /* One text has one verdict in a file of ours: the last word counts. Otherwise an `allow` after a
         * `deny` of the same text would be accepted and do nothing, because a tie is a deny. */
        for (size_t i = 0; i < edit.file->n_rules; i++) {
                PolicyRule *have = edit.file->rules[i];

                if (!streq(have->text, rule->text))
                        continue;
                if (have->verdict == verdict) {
                        *ret_id = strdup(strempty(have->id));
                        *ret_generation = unit_get_generation(edit.unit);
                        return *ret_id ? 0 : -ENOMEM;
                }
                policy_file_remove_rule(edit.file, i);
                break;
        }

        id = strdup(rule->id);
        if (!id)
                return -ENOMEM;
        if (comment && *comment) {
                rule->comment = strdup(comment);
                if (!rule->comment)
                        return -ENOMEM;
        }
        r = policy_file_add_rule(edit.file, &rule);
        if (r == -E2BIG)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "'%s' has %u rules already", unit, POLICY_FILE_RULES_MAX);
        if (r < 0)
                return r;
        r = edit_commit(
                m, &edit, policy_verdict_to_string(verdict), comment, reterr, ret_generation);
        if (r < 0)
                return r;
        *ret_id = TAKE_PTR(id);
        return 0;
}

/* Is this the rule that the client means: by displayed id, or by its text? */
static bool entry_is(const PolicyEntry *entry, const char *rule) {
        const char *body;

        if (streq_ptr(entry->id, rule))
                return true;
        body = startswith(rule, policy_verdict_to_string(entry->rule->verdict));
        return body && *body == ' ' && streq(body + 1, entry->rule->text);
}

/* "allow  IN tcp/80-80" in the client's spelling to the canonical one; NULL if it is no rule. */
static char *rule_canonical(Manager *m, const char *text) {
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        char *s = NULL;

        if (policy_parse_rule(text, NULL, 0, 1, m->config.services, NULL, &rule) < 0)
                return NULL;
        return asprintf(&s, "%s %s", policy_verdict_to_string(rule->verdict), rule->text) < 0 ? NULL
                                                                                              : s;
}

int manager_remove_rule(Manager *m, const char *unit, const char *rule, ManagerError *reterr,
        uint64_t *ret_generation) {
        _cleanup_(edit_done) Edit edit = { 0 };
        _cleanup_free_ char *canonical = NULL;
        const PolicyEntry *elsewhere = NULL;
        int r;

        r = edit_begin(m, unit, reterr, &edit);
        if (r < 0)
                return r;
        canonical = rule_canonical(m, rule);
        for (size_t i = 0; i < edit.unit->policy->stack.n_entries; i++) {
                const PolicyEntry *entry = &edit.unit->policy->stack.entries[i];

                if (!entry_is(entry, rule) && !(canonical && entry_is(entry, canonical)))
                        continue;
                for (size_t k = 0; k < edit.file->n_rules; k++) {
                        if (entry->layer != edit.layer || entry->from_profile ||
                                !streq_ptr(edit.file->rules[k]->id, entry->rule->id) ||
                                !streq(edit.file->rules[k]->text, entry->rule->text))
                                continue;
                        policy_file_remove_rule(edit.file, k);
                        return edit_commit(m, &edit, "remove", "", reterr, ret_generation);
                }
                elsewhere = entry;
        }
        if (elsewhere)
                return manager_error_set(reterr, MANAGER_ERROR_CONFLICT,
                        "rule %s of '%s' stands in %s:%u; change it there, then 'cgpolicyctl reload'",
                        strempty(elsewhere->id), unit, strempty(elsewhere->rule->source.path),
                        elsewhere->rule->source.line);
        if (streq(rule, "default.in") || streq(rule, "default.out"))
                return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_RULE,
                        "a default cannot be removed; 'cgpolicyctl default %s %s allow|deny' sets it",
                        unit, rule + strlen("default."));
        return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_RULE,
                "'%s' has no rule '%.200s'; 'cgpolicyctl show %s' lists them", unit, rule, unit);
}

int manager_set_default(Manager *m, const char *unit, unsigned directions, PolicyDefault verdict,
        ManagerError *reterr, uint64_t *ret_generation) {
        _cleanup_(edit_done) Edit edit = { 0 };
        int r;

        r = edit_begin(m, unit, reterr, &edit);
        if (r < 0)
                return r;
        if (directions & (1U << CGP_DIR_IN))
                edit.file->default_in = verdict;
        if (directions & (1U << CGP_DIR_OUT))
                edit.file->default_out = verdict;
        return edit_commit(m, &edit, "default", "", reterr, ret_generation);
}

int manager_set_mode(Manager *m, const char *unit, PolicyMode mode, ManagerError *reterr,
        uint64_t *ret_generation) {
        _cleanup_(edit_done) Edit edit = { 0 };
        int r;

        r = edit_begin(m, unit, reterr, &edit);
        if (r < 0)
                return r;
        edit.file->mode = mode;
        return edit_commit(m, &edit, "mode", "", reterr, ret_generation);
}

int manager_set_profile(Manager *m, const char *unit, const char *profile, ManagerError *reterr,
        uint64_t *ret_generation) {
        _cleanup_(edit_done) Edit edit = { 0 };
        int r;

        r = edit_begin(m, unit, reterr, &edit);
        if (r < 0)
                return r;
        if (*profile && !store_profile(m->store, profile))
                return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_PROFILE,
                        "no profile '%.200s'; 'cgpolicyctl profile' lists them", profile);
        free(edit.file->profile);
        edit.file->profile = *profile ? strdup(profile) : NULL;
        if (*profile && !edit.file->profile)
                return -ENOMEM;
        return edit_commit(m, &edit, "profile", "", reterr, ret_generation);
}

/* -- Whole files ----------------------------------------------------------------------------------- */

static const char *change_to_string(PolicyChange change) {
        switch (change) {
        case POLICY_CHANGE_NONE:
                return "none";
        case POLICY_CHANGE_LOOSEN:
                return "loosen";
        case POLICY_CHANGE_TIGHTEN:
                return "tighten";
        case POLICY_CHANGE_MIXED:
                return "mixed";
        }
        return "mixed";
}

static int compare_rules(const void *a, const void *b) {
        const PolicyEntry *x = *(const PolicyEntry *const *)a, *y = *(const PolicyEntry *const *)b;

        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        if (x->rule->verdict != y->rule->verdict)
                return x->rule->verdict < y->rule->verdict ? -1 : 1;
        return strcmp(x->rule->text, y->rule->text);
}

static void diff_add_missing(json_object *array, const PolicyStack *in, const PolicyStack *not_in) {
        _cleanup_free_ const PolicyEntry **sorted = NULL;

        sorted = calloc(MAX(not_in->n_entries, 1U), sizeof(*sorted));
        if (!sorted)
                return;
        for (size_t i = 0; i < not_in->n_entries; i++)
                sorted[i] = &not_in->entries[i];
        qsort(sorted, not_in->n_entries, sizeof(*sorted), compare_rules);
        for (size_t i = 0; i < in->n_entries; i++) {
                const PolicyEntry *entry = &in->entries[i];
                _cleanup_free_ char *text = NULL;

                if (bsearch(&entry, sorted, not_in->n_entries, sizeof(*sorted), compare_rules))
                        continue;
                if (asprintf(&text, "%s %s", policy_verdict_to_string(entry->rule->verdict),
                            entry->rule->text) < 0) {
                        text = NULL;
                        continue;
                }
                (void)json_object_array_add(array, json_object_new_string(text));
        }
}

static char *change_to_diff(const Change *change) {
        json_object *root = json_object_new_object(), *units = json_object_new_object();
        char *text;

        (void)json_object_object_add(root, "units", units);
        for (size_t i = 0; i < change->n_items; i++) {
                const ChangeItem *item = &change->items[i];
                json_object *unit, *added, *removed;

                if (!item->image && item->unit->state)
                        continue;
                unit = json_object_new_object();
                added = json_object_new_array();
                removed = json_object_new_array();
                diff_add_missing(added, &item->policy->stack, &item->unit->policy->stack);
                diff_add_missing(removed, &item->unit->policy->stack, &item->policy->stack);
                (void)json_object_object_add(unit, "added", added);
                (void)json_object_object_add(unit, "removed", removed);
                (void)json_object_object_add(
                        unit, "change", json_object_new_string(change_to_string(item->change)));
                (void)json_object_object_add(units, item->unit->name, unit);
        }
        text = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
        (void)json_object_put(root);
        return text;
}

/* Names of applied files have a prefix of their own, so that no file a person wrote is ever hit. */
static int apply_name(const char *name, ManagerError *reterr, char **ret) {
        size_t n = strlen(name);
        char *s = NULL;

        if (n <= 5 || n > 200 || !streq(name + n - 5, ".json") || name[0] == '.' ||
                strspn(name,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") != n)
                return manager_error_set(reterr, MANAGER_ERROR_INVALID_NAME,
                        "'%.200s' cannot name a policy file; use letters, digits and any of . _ @ -, and end it "
                        "with .json",
                        name);
        if (asprintf(&s, "%s%s", startswith(name, APPLY_FILE_PREFIX) ? "" : APPLY_FILE_PREFIX,
                    name) < 0)
                return -ENOMEM;
        *ret = s;
        return 0;
}

int manager_apply(Manager *m, const char *name, const char *json, bool dry_run,
        ManagerError *reterr, uint64_t *ret_generation, char **ret_diff) {
        _cleanup_(change_done) Change change = { .manager = m, .stage = STORE_STAGE_INIT };
        _cleanup_(surroundings_done) Surroundings surroundings = { 0 };
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_(store_unrefp) Store *store = NULL;
        _cleanup_free_ char *file_name = NULL, *diff = NULL;
        int r;

        r = apply_name(name, reterr, &file_name);
        if (r < 0)
                return r;
        r = store_parse(
                &m->store_dir, m->store, POLICY_LAYER_LOCAL, file_name, json, reterr, &file);
        if (r < 0)
                return r;
        r = manager_store_with(m, POLICY_LAYER_LOCAL, file_name, file, reterr, &store);
        if (r < 0)
                return r;
        r = manager_survey_change(m, store, reterr, &surroundings);
        if (r < 0)
                return r;
        r = change_prepare(m, store, &surroundings, NULL, reterr, &change);
        if (r < 0)
                return r;
        diff = change_to_diff(&change);
        if (!diff)
                return -ENOMEM;
        if (!dry_run) {
                change.layer = POLICY_LAYER_LOCAL;
                change.name = TAKE_PTR(file_name);
                change.text = strdup(json);
                if (!change.text)
                        return -ENOMEM;
                r = change_commit(&change, reterr);
                if (r < 0)
                        return r;
                r = manager_sync_inactive(m);
                if (r < 0)
                        return r;
                manager_notify_changed(m, &change, "apply", name);
        }
        *ret_generation = m->generation;
        *ret_diff = TAKE_PTR(diff);
        return 0;
}

int manager_validate(Manager *m, const char *json, PolicyDiags *diags) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        return policy_parse_file("-", json, strlen(json), m->config.services, diags, &file);
}

/* A subject whose hooks do not carry one known image, or no longer the one that was put there, is published again
 * whatever the policy says. */
static int manager_repair(Manager *m) {
        int ret = 0;

        for (size_t i = 0; i < m->n_units; i++) {
                Unit *u = m->units[i];
                int r;

                if (!u->attachment)
                        continue;
                r = attachment_verify(u->attachment);
                if (r >= 0 && u->attachment->hash != 0)
                        continue;
                if (r >= 0) {
                        log_notice("%s: its hooks do not carry its policy, publishing it again",
                                u->name);
                        r = unit_converge(u);
                }
                if (r >= 0)
                        (void)unit_set_problem(u, NULL);
                else if (ret == 0)
                        ret = r;
        }
        return ret;
}

int manager_reload(Manager *m, ManagerError *reterr, uint64_t *ret_generation) {
        _cleanup_(change_done) Change change = { .manager = m, .stage = STORE_STAGE_INIT };
        _cleanup_(surroundings_done) Surroundings surroundings = { 0 };
        _cleanup_(store_unrefp) Store *store = NULL;
        int r;

        r = manager_repair(m);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "some subjects could not be repaired: %s; 'cgpolicyctl status' names them",
                        strerror(-r));
        r = store_load(&m->store_dir, m->store, &store);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot read the policies below %s: %s; the policy in force is unchanged",
                        m->config.dir, strerror(-r));
        r = manager_survey_files(m, m->store, store, /* reread= */ true, /* lenient= */ false,
                reterr, &surroundings);
        if (r < 0)
                return r;
        for (char **p = store->problems; p && *p; p++)
                log_warning("%s", *p);
        r = change_prepare(m, store, &surroundings, NULL, reterr, &change);
        if (r < 0)
                return r;
        r = change_commit(&change, reterr);
        if (r < 0)
                return r;
        if (m->lists_dirty)
                manager_reread_lists(m);
        r = manager_sync_inactive(m);
        if (r < 0)
                return r;
        *ret_generation = m->generation;
        manager_notify_changed(m, &change, "reload", "");
        if (m->listener.degraded_changed)
                m->listener.degraded_changed(m->listener.userdata);
        return 0;
}

/* -- Attach and detach ----------------------------------------------------------------------------- */

static int unit_set_detached(Unit *u, bool detached, uint64_t generation, ManagerError *reterr) {
        UnitState *state = u->state;
        uint64_t before = state->generation;
        int r;

        state->detached = detached;
        state->generation = generation;
        r = unit_state_save(state, u->manager->state_fd);
        if (r < 0) {
                state->detached = !detached;
                state->generation = before;
                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot write below %s: %s; nothing was changed", u->manager->config.dir,
                        strerror(-r));
        }
        return 0;
}

int manager_attach(Manager *m, const char *unit, ManagerError *reterr, uint64_t *ret_generation) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        KernelFailure failure = { .hook = -1 };
        KernelProgs *progs = NULL;
        PolicyCompileInput input;
        uint64_t before;
        Unit *u;
        int r;

        r = manager_find_unit(m, unit, reterr, &u);
        if (r < 0)
                return r;
        if (!u->state)
                return manager_error_set(reterr, MANAGER_ERROR_CONFLICT,
                        "'%s' is not running; start it with 'cgpolicyctl run %s -- COMMAND'", unit,
                        unit);
        *ret_generation = u->state->generation;
        if (u->attachment)
                return 0;

        input = policy_compile_input(u->policy, u->state, m->generation + 1);
        r = manager_compile(u->name, &input, reterr, &image);
        if (r < 0)
                return r;
        r = m->kernel->ops->progs_load(m->kernel, image, &failure, &progs);
        if (r < 0)
                return manager_kernel_error(u->name, r, &failure, reterr);
        before = u->state->generation;
        r = unit_set_detached(u, false, m->generation + 1, reterr);
        if (r >= 0) {
                r = attachment_new(m->kernel, u->state->subject, u->cgroup_fd, u->state->cgroup_id,
                        &progs, image->hash, &u->attachment);
                if (r < 0) {
                        (void)unit_set_detached(u, true, before, NULL);
                        r = manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                                "cannot attach the policy of '%s': %s", unit, strerror(-r));
                }
        }
        if (progs)
                (void)m->kernel->ops->progs_free(progs);
        if (r < 0)
                return r;
        u->content = image_content(image);
        unit_note_sets(u);
        m->generation++;
        manager_note_generation(m);
        *ret_generation = m->generation;
        return 0;
}

/* Attaches again what was let go, as it was. The state first: the generation is part of the image. */
static int unit_reattach(Unit *u, uint64_t generation) {
        int r;

        u->state->detached = false;
        u->state->generation = generation;
        r = unit_state_save(u->state, u->manager->state_fd);
        if (r < 0)
                log_warning_errno(r, "%s: cannot restore its state file, ignoring: %m", u->name);
        r = unit_load_current(u, NULL);
        if (r >= 0)
                r = attachment_restore(u->attachment, u->cgroup_fd);
        if (r < 0) {
                log_error_errno(r, "%s: cannot attach its hooks again: %m", u->name);
                (void)unit_set_problem(u, CHANGE_HALF_WAY);
        }
        return r;
}

static int unit_let_go(Unit *u, uint64_t generation, ManagerError *reterr) {
        uint64_t before = u->state->generation;
        int r;

        r = unit_set_detached(u, true, generation, reterr);
        if (r < 0)
                return r;
        r = attachment_destroy(u->attachment);
        if (r < 0) {
                bool whole = unit_reattach(u, before) >= 0;

                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "some hooks of '%s' could not be let go: %s; %s", u->name, strerror(-r),
                        whole ? "its policy stays in force" : CHANGE_HALF_WAY);
        }
        return 0;
}

/* All of them or none. */
static int detach_units(Unit **units, size_t n_units, uint64_t generation, ManagerError *reterr) {
        _cleanup_free_ uint64_t *before = calloc(MAX(n_units, 1U), sizeof(*before));

        if (!before)
                return -ENOMEM;
        for (size_t i = 0; i < n_units; i++) {
                int r;

                before[i] = units[i]->state->generation;
                r = unit_let_go(units[i], generation, reterr);
                if (r < 0) {
                        while (i-- > 0)
                                (void)unit_reattach(units[i], before[i]);
                        return r;
                }
        }
        for (size_t i = 0; i < n_units; i++) {
                units[i]->attachment = attachment_free(units[i]->attachment);
                (void)unit_set_problem(units[i], NULL);
        }
        return 0;
}

int manager_detach(Manager *m, const char *unit, ManagerError *reterr, uint64_t *ret_generation) {
        _cleanup_free_ Unit **units = calloc(MAX(m->n_units, 1U), sizeof(*units));
        uint64_t generation = m->generation + 1;
        size_t n = 0;
        int r;

        if (!units)
                return -ENOMEM;
        if (*unit) {
                r = manager_find_unit(m, unit, reterr, &units[0]);
                if (r < 0)
                        return r;
                *ret_generation = unit_get_generation(units[0]);
                if (!units[0]->attachment)
                        return 0;
                n = 1;
        } else
                for (size_t i = 0; i < m->n_units; i++)
                        if (m->units[i]->attachment)
                                units[n++] = m->units[i];

        r = detach_units(units, n, generation, reterr);
        if (r < 0)
                return r;
        if (!*unit)
                manager_drop_dying(m, /* all= */ true);
        m->generation = generation;
        manager_note_generation(m);
        *ret_generation = m->generation;
        return 0;
}
