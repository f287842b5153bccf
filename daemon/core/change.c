/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One change from a new store to what is in force. Everything that can fail for want of memory, space,
 * numbers or the verifier's consent happens in change_prepare() and before the commit of the file; after
 * that only link updates and renames are left, and each of these has its way back.
 */
#include "core/manager-internal.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/macro.h"

static int compile_error(
        const char *name, int error, const PolicyCompileFailure *failure, ManagerError *reterr) {
        if (error == -ENOKEY)
                return manager_error_set(reterr, MANAGER_ERROR_INVALID_POLICY,
                        "%s: a rule names a list that was never loaded; 'cgpolicyctl lists' tells why",
                        name);
        if (error != -E2BIG)
                return error;
        return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                "%s: the policy needs more %s than a subject may have (%zu of at most %zu); use fewer or "
                "wider peers and ports",
                name, failure->limit, failure->needed, failure->max);
}

uint64_t image_content(const PolicyImage *image) {
        struct cgp_config config = image->config;
        uint64_t hash;

        config.generation = 0;
        hash = hash64(&config, sizeof(config), image->tables_hash);
        hash = hash64(image->verdicts, config.n_verdicts * sizeof(*image->verdicts), hash);
        return hash ? hash : 1;
}

int manager_compile(const char *name, const PolicyCompileInput *input, ManagerError *reterr,
        PolicyImage **ret) {
        PolicyCompileFailure failure = { .limit = "tables" };
        int r;

        r = policy_compile(input, &failure, ret);
        return r < 0 ? compile_error(name, r, &failure, reterr) : 0;
}

int manager_kernel_error(
        const char *name, int error, const KernelFailure *failure, ManagerError *reterr) {
        const char *hook =
                failure->hook >= 0 ? kernel_hook_to_string((unsigned)failure->hook) : NULL;

        return manager_error_set(reterr,
                error == -EOPNOTSUPP ? MANAGER_ERROR_NOT_SUPPORTED : MANAGER_ERROR_KERNEL,
                "%s: the kernel refused to %s%s%s: %s; the policy in force is unchanged%s%s", name,
                strempty(failure->step), hook ? " hook " : "", strempty(hook), strerror(-error),
                failure->log[0] ? "\n" : "", failure->log);
}

void manager_release_slots(Manager *m, const UnitState *state, const UnitState *other) {
        uint8_t kept[CGP_MAX_COUNTERS / 8] = { 0 };

        if (!state)
                return;
        for (size_t i = 1; other && i < UNIT_STATE_RESERVED; i++)
                kept[other->reserved[i] / 8] |= (uint8_t)(1U << (other->reserved[i] % 8));
        for (size_t i = 0; other && i < other->n_rules; i++)
                kept[other->rules[i].slot / 8] |= (uint8_t)(1U << (other->rules[i].slot % 8));
        for (size_t i = 1; i < UNIT_STATE_RESERVED; i++)
                if (!(kept[state->reserved[i] / 8] & (1U << (state->reserved[i] % 8))))
                        slots_give_back(m->counters, state->reserved[i]);
        for (size_t i = 0; i < state->n_rules; i++)
                if (!(kept[state->rules[i].slot / 8] & (1U << (state->rules[i].slot % 8))))
                        slots_give_back(m->counters, state->rules[i].slot);
}

int unit_load_current(Unit *u, ManagerError *reterr) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        Kernel *kernel = u->manager->kernel;
        KernelFailure failure = { .hook = -1 };
        PolicyCompileInput input;
        int r;

        if (u->attachment->progs)
                return 0;
        input = policy_compile_input(u->policy, u->state, u->state->generation);
        r = manager_compile(u->name, &input, reterr, &image);
        if (r < 0)
                return r;
        r = kernel->ops->progs_load(kernel, image, &failure, &u->attachment->progs);
        return r < 0 ? manager_kernel_error(u->name, r, &failure, reterr) : 0;
}

/* Compares, compiles the image between if need be, loads. */
static int item_load(
        Change *change, ChangeItem *item, const PolicyCompileInput *to, ManagerError *reterr) {
        Kernel *kernel = change->manager->kernel;
        PolicyCompileFailure compile_failure = { .limit = "tables" };
        KernelFailure failure = { .hook = -1 };
        Unit *u = item->unit;
        PolicyCompileInput from;
        int r;

        from = policy_compile_input(u->policy, u->state, u->state->generation);
        r = policy_compare(&from, to, &compile_failure, &item->change);
        if (r < 0)
                return compile_error(u->name, r, &compile_failure, reterr);
        if (item->change == POLICY_CHANGE_MIXED) {
                r = policy_compile_intersection(&from, to, &compile_failure, &item->between_image);
                if (r < 0)
                        return compile_error(u->name, r, &compile_failure, reterr);
                r = kernel->ops->progs_load(kernel, item->between_image, &failure, &item->between);
                if (r < 0)
                        return manager_kernel_error(u->name, r, &failure, reterr);
        }
        /* The way back must be ready before the first step. */
        r = unit_load_current(u, reterr);
        if (r < 0)
                return r;
        r = kernel->ops->progs_load(kernel, item->image, &failure, &item->progs);
        if (r < 0)
                return manager_kernel_error(u->name, r, &failure, reterr);
        return 0;
}

/* Is this the image that is in force, or of a detached unit the one that would be? Whatever its generation: that
 * only grows when something changes. */
static int unit_has_content(Unit *u, uint64_t content, ManagerError *reterr) {
        _cleanup_(policy_image_freep) PolicyImage *current = NULL;
        PolicyCompileInput input;
        int r;

        if (u->attachment && u->attachment->hash == 0)
                return false;
        if (u->content == 0) {
                input = policy_compile_input(u->policy, u->state, u->state->generation);
                r = manager_compile(u->name, &input, reterr, &current);
                if (r < 0)
                        return r;
                if (u->attachment && u->attachment->hash != current->hash)
                        return false;
                u->content = image_content(current);
        }
        return u->content == content;
}

static int item_prepare(Change *change, ChangeItem *item, ManagerError *reterr) {
        Manager *m = change->manager;
        Unit *u = item->unit;
        PolicyCompileInput input;
        int r;

        if (u->state) {
                r = unit_state_copy(u->state, &item->state);
                if (r < 0)
                        return r;
        }
        r = policy_build(m, change->store, &change->surroundings, u->name, item->state, reterr,
                &item->policy);
        if (r < 0 || !u->state)
                return r;

        input = policy_compile_input(item->policy, item->state, change->generation);
        r = manager_compile(u->name, &input, reterr, &item->image);
        if (r < 0)
                return r;
        item->content = image_content(item->image);
        r = unit_has_content(u, item->content, reterr);
        if (r != 0) {
                item->image = policy_image_free(item->image);
                return MIN(r, 0);
        }
        item->state->generation = change->generation;
        return u->attachment ? item_load(change, item, &input, reterr) : 0;
}

static int prepare(Manager *m, Store *store, const Surroundings *surroundings, Unit *only,
        bool alone, ManagerError *reterr, Change *ret) {
        _cleanup_(change_done) Change change = {
                .manager = m,
                .store = store_ref(store),
                .surroundings = surroundings_ref(surroundings),
                .generation = m->generation + 1,
                .stage = STORE_STAGE_INIT,
        };
        int r;

        change.items = calloc(MAX(m->n_units, 1U), sizeof(*change.items));
        if (!change.items)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_units; i++) {
                if (only && m->units[i] != only &&
                        (alone || !unit_is_concerned(m->units[i], surroundings->host)))
                        continue;
                change.items[change.n_items++].unit = m->units[i];
                r = item_prepare(&change, &change.items[change.n_items - 1], reterr);
                if (r < 0)
                        return r;
        }

        *ret = change;
        change = (Change){ .manager = m, .stage = STORE_STAGE_INIT };
        return 0;
}

int change_prepare(Manager *m, Store *store, const Surroundings *surroundings, Unit *only,
        ManagerError *reterr, Change *ret) {
        return prepare(m, store, surroundings, only, /* alone= */ false, reterr, ret);
}

int change_prepare_unit(Manager *m, Store *store, const Surroundings *surroundings, Unit *unit,
        ManagerError *reterr, Change *ret) {
        return prepare(m, store, surroundings, unit, /* alone= */ true, reterr, ret);
}

/* The new numbers of interfaces must mean something before an image has them, and the old ones as long as some
 * image may. */
static int change_publish_interfaces(Change *change, ManagerError *reterr) {
        Manager *m = change->manager;
        int r;

        if (!(host_compare(m->now.host, change->surroundings.host) & HOST_INTERFACES))
                return 0;
        r = manager_write_interfaces(m, m->now.host, change->surroundings.host);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "the kernel refused the new numbers of interfaces: %s; the policy in force "
                        "is unchanged",
                        strerror(-r));
        return 0;
}

static int change_publish(Change *change, ManagerError *reterr) {
        int r;

        r = change_publish_interfaces(change, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < change->n_items; i++) {
                ChangeItem *item = &change->items[i];

                if (!item->progs)
                        continue;
                item->old_hash = item->unit->attachment->hash;
                r = attachment_publish(item->unit->attachment, item->change, item->between,
                        item->between_image ? item->between_image->hash : 0, &item->progs,
                        item->image->hash);
                if (r < 0) {
                        bool whole = item->unit->attachment->hash != 0;

                        if (!whole)
                                (void)unit_set_problem(item->unit, CHANGE_HALF_WAY);
                        return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                                "%s: the kernel refused to switch programs: %s; %s",
                                item->unit->name, strerror(-r),
                                whole ? "the policy in force is unchanged" : CHANGE_HALF_WAY);
                }
                item->published = true;
        }
        return 0;
}

/* Back to the programs before. item->progs are those; what is carried now has no other way back. */
static void change_unpublish(Change *change) {
        for (size_t i = change->n_items; i-- > 0;) {
                ChangeItem *item = &change->items[i];
                int r;

                if (!item->published)
                        continue;
                r = attachment_publish(item->unit->attachment, plan_reverse(item->change),
                        item->between, item->between_image ? item->between_image->hash : 0,
                        &item->progs, item->old_hash);
                if (r < 0) {
                        log_error_errno(
                                r, "%s: cannot put the previous policy back: %m", item->unit->name);
                        (void)unit_set_problem(item->unit, CHANGE_HALF_WAY);
                }
                item->published = false;
        }
        manager_settle_interfaces(change->manager);
}

bool manager_retire_rules(Manager *m, const UnitState *old, UnitState *state) {
        bool retired = false;

        for (size_t i = 0; i < old->n_rules; i++) {
                struct cgp_counter counter;

                if (unit_state_find(state, old->rules[i].key))
                        continue;
                if (m->kernel->ops->counter_read(m->kernel, old->rules[i].slot, &counter) < 0)
                        continue;
                state->retired_packets += counter.packets;
                state->retired_bytes += counter.bytes;
                state->retired_blocked += counter.blocked;
                state->retired_would += counter.would;
                retired = true;
        }
        manager_release_slots(m, old, state);
        return retired;
}

static void item_retire(Manager *m, ChangeItem *item) {
        const UnitState *old = item->unit->state;
        int r;

        if (!manager_retire_rules(m, old, item->state))
                return;
        r = unit_state_save(item->state, m->state_fd);
        if (r < 0)
                log_warning_errno(
                        r, "%s: cannot save the sums of removed rules, ignoring: %m", old->name);
}

static int change_save_states(Change *change) {
        Manager *m = change->manager;

        for (size_t i = 0; i < change->n_items; i++) {
                ChangeItem *item = &change->items[i];
                int r;

                if (!item->state)
                        continue;
                r = unit_state_save(item->state, m->state_fd);
                if (r < 0)
                        return r;
        }
        return manager_save_generation(m, change->generation);
}

/* A generation that cannot be written is made up for by the states, which have it. */
void manager_note_generation(Manager *m) {
        int r = manager_save_generation(m, m->generation);

        if (r < 0)
                log_warning_errno(r, "Cannot write the generation, ignoring: %m");
}

static void change_restore_states(Change *change) {
        for (size_t i = 0; i < change->n_items; i++)
                if (change->items[i].state) {
                        int r = unit_state_save(
                                change->items[i].unit->state, change->manager->state_fd);

                        if (r < 0)
                                log_warning_errno(r,
                                        "%s: cannot restore its state file, ignoring: %m",
                                        change->items[i].unit->name);
                }
        manager_note_generation(change->manager);
}

static int change_stage(Change *change, ManagerError *reterr) {
        Manager *m = change->manager;
        int r;

        if (!change->name)
                return 0;
        r = store_stage(&m->store_dir, change->layer, change->name, change->text, &change->stage);
        if (r < 0) {
                _cleanup_free_ char *path = store_path(&m->store_dir, change->layer, change->name);

                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot write %s: %s; the policy in force is unchanged", strempty(path),
                        strerror(-r));
        }
        return 0;
}

static void item_adopt(Manager *m, ChangeItem *item) {
        Unit *u = item->unit;

        if (item->state) {
                item_retire(m, item);
                unit_state_free(u->state);
                u->state = TAKE_PTR(item->state);
        }
        policy_free(u->policy);
        u->policy = TAKE_PTR(item->policy);
        if (item->content != 0)
                u->content = item->content;
        unit_note_sets(u);
        if (item->published &&
                (item->change == POLICY_CHANGE_TIGHTEN || item->change == POLICY_CHANGE_MIXED))
                u->was_tightened = true;
        (void)unit_set_problem(u, NULL);
}

/* What surrounds the policies is from now on that of the change. */
static void change_adopt_surroundings(Change *change) {
        Manager *m = change->manager;
        Surroundings before = m->now;
        bool lists = before.lists != change->surroundings.lists;
        bool host = before.host != change->surroundings.host;

        m->now = surroundings_ref(&change->surroundings);
        surroundings_done(&before);
        if (host) {
                manager_settle_interfaces(m);
                manager_collect_sets(m);
        }
        if (lists) {
                list_table_keep_good(m->now.lists);
                manager_watch_lists(m);
        }
}

static bool change_does_something(const Change *change) {
        for (size_t i = 0; i < change->n_items; i++)
                if (change->items[i].image)
                        return true;
        return false;
}

void manager_finish_now(Manager *m) {
        m->finish_source = sd_event_source_disable_unref(m->finish_source);
        store_finish(&m->finished);
}

static int on_finish(sd_event_source *s, void *userdata) {
        manager_finish_now(userdata);
        return 0;
}

void manager_finish_later(Manager *m, StoreStage *stage) {
        int r;

        manager_finish_now(m);
        m->finished = *stage;
        *stage = (StoreStage)STORE_STAGE_INIT;
        r = sd_event_add_defer(m->event, &m->finish_source, on_finish, m);
        if (r >= 0)
                r = sd_event_source_set_priority(m->finish_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                manager_finish_now(m);
}

int change_commit(Change *change, ManagerError *reterr) {
        Manager *m = change->manager;
        int r;

        if (!change->name && !change_does_something(change))
                change->generation = m->generation;
        r = change_stage(change, reterr);
        if (r < 0)
                return r;
        /* States first: a rule number in an event must mean something to a daemon that follows. */
        r = change_save_states(change);
        if (r >= 0 && change->name)
                r = store_commit(&change->stage);
        if (r < 0) {
                change_restore_states(change);
                return manager_error_set(reterr, MANAGER_ERROR_STORE,
                        "cannot write below %s: %s; the policy in force is unchanged",
                        m->config.dir, strerror(-r));
        }
        r = change_publish(change, reterr);
        if (r < 0) {
                int k;

                change_unpublish(change);
                k = store_undo(&change->stage);
                if (k < 0)
                        log_error_errno(
                                k, "Cannot take a change of '%s' back: %m", strempty(change->name));
                change_restore_states(change);
                return r;
        }

        if (change->name) {
                r = store_keep_good(&m->store_dir, change->layer, change->name, change->text);
                if (r < 0)
                        log_warning_errno(
                                r, "Cannot keep a copy of '%s', ignoring: %m", change->name);
        }
        manager_finish_later(m, &change->stage);
        for (size_t i = 0; i < change->n_items; i++)
                item_adopt(m, &change->items[i]);
        m->generation = change->generation;
        store_unref(m->store);
        m->store = store_ref(change->store);
        change_adopt_surroundings(change);
        manager_end_conversations(m);
        return 0;
}

void change_done(Change *change) {
        const KernelOps *ops = change->manager->kernel->ops;

        for (size_t i = 0; i < change->n_items; i++) {
                ChangeItem *item = &change->items[i];

                if (item->state)
                        manager_release_slots(change->manager, item->state, item->unit->state);
                unit_state_free(item->state);
                policy_free(item->policy);
                policy_image_free(item->image);
                policy_image_free(item->between_image);
                if (item->progs)
                        (void)ops->progs_free(item->progs);
                if (item->between)
                        (void)ops->progs_free(item->between);
        }
        free(change->items);
        store_stage_done(&change->stage);
        store_unref(change->store);
        /* Given up: the set map that was loaded for it may have no other use. */
        if (change->surroundings.lists && change->surroundings.lists != change->manager->now.lists)
                manager_collect_sets(change->manager);
        surroundings_done(&change->surroundings);
        free(change->name);
        free(change->text);
        *change = (Change){ .manager = change->manager, .stage = STORE_STAGE_INIT };
}
