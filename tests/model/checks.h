/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests that must succeed, or fail in one way, in one line. Included by the tests of a started world. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/manager-internal.h"
#include "util/macro.h"
#include "util/strv.h"
#include "world.h"

#define _unused_ __attribute__((unused))

/* Both ways, in each direction */
#define BOTH (1U << CGP_DIR_IN | 1U << CGP_DIR_OUT)

_unused_ static int setup_started(void **state) {
        return world_setup(state) < 0 || world_start(*state) < 0 ? -1 : 0;
}

/* strcmp with a message one can read: the first line that differs. */
_unused_ static void assert_same(
        const char *before, const char *after, const char *what, unsigned n) {
        const char *a = before, *b = after;

        while (*a && *a == *b) {
                a++;
                b++;
        }
        if (*a == *b)
                return;
        while (a > before && a[-1] != '\n') {
                a--;
                b--;
        }
        fail_msg("%s %u: was '%.*s', is '%.*s'", what, n, (int)strcspn(a, "\n"), a,
                (int)strcspn(b, "\n"), b);
}

_unused_ static void assert_in_order(World *w) {
        _cleanup_free_ char *wrong = world_audit(w);

        if (wrong)
                fail_msg("%s", wrong);
}

_unused_ static Unit *unit(World *w, const char *name) {
        Unit *u = manager_get_unit(w->manager, name);

        if (!u)
                fail_msg("no unit '%s'", name);
        return u;
}

/* The probe of this name. */
_unused_ static bool passes(World *w, const char *job, const char *probe) {
        for (unsigned i = 0; i < fake_n_probes; i++)
                if (streq(fake_probes[i].name, probe))
                        return (world_passes(w, job) >> i) & 1;
        fail_msg("no probe '%s'", probe);
        return false;
}

_unused_ static void assert_ok(int r, ManagerError *error) {
        if (r < 0)
                fail_msg("%d: %s", r, strempty(error->message));
        manager_error_done(error);
}

/* It failed with this kind, and a sentence that says this. */
_unused_ static void assert_refused(
        int r, ManagerError *error, ManagerErrorKind kind, const char *says) {
        if (r != -EREMOTEIO || error->kind != kind || !error->message ||
                !strstr(error->message, says))
                fail_msg("%d, kind %d: '%s' does not say '%s'", r, error->kind,
                        strempty(error->message), says);
        manager_error_done(error);
}

/* Adds a rule, returns its id. Owned. */
_unused_ static char *add(World *w, const char *name, PolicyVerdict verdict, const char *body) {
        ManagerError error = { 0 };
        uint64_t generation = 0;
        char *id = NULL;

        assert_ok(manager_add_rule(w->manager, name, verdict, body, NULL, &error, &id, &generation),
                &error);
        assert_true(generation > 0);
        return id;
}

_unused_ static void add_only(World *w, const char *name, PolicyVerdict verdict, const char *body) {
        free(add(w, name, verdict, body));
}

_unused_ static void remove_rule(World *w, const char *name, const char *rule) {
        ManagerError error = { 0 };
        uint64_t generation = 0;

        assert_ok(manager_remove_rule(w->manager, name, rule, &error, &generation), &error);
}

_unused_ static void reload(World *w) {
        ManagerError error = { 0 };
        uint64_t generation = 0;

        assert_ok(manager_reload(w->manager, &error, &generation), &error);
}

_unused_ static void put(World *w, const char *name, const char *text) {
        assert_int_equal(world_put(w, name, text), 0);
}

_unused_ static void restart(World *w) {
        assert_int_equal(world_restart(w), 0);
}

/* Makes a job with a process, that starts closed but for its rules. */
_unused_ static void job(World *w, unsigned process, const char *name, const char *const *rules) {
        assert_int_equal(world_create(w, name, POLICY_DEFAULT_DENY, rules), 0);
        assert_int_equal(world_enter(w, process, name), 0);
}

/* Is there a sentence among those of `status` that says all of this? says ends with NULL. */
_unused_ static bool is_degraded(World *w, const char *const *says) {
        _cleanup_(strv_freep) char **list = manager_get_degraded(w->manager);

        assert_non_null(list);
        for (char **line = list; *line; line++) {
                bool all = true;

                for (size_t i = 0; says[i]; i++)
                        all = all && strstr(*line, says[i]);
                if (all)
                        return true;
        }
        return false;
}
#define assert_degraded(w, ...) \
        assert_true(is_degraded(w, (const char *const[]){ __VA_ARGS__, NULL }))

_unused_ static void assert_not_degraded(World *w) {
        _cleanup_(strv_freep) char **list = manager_get_degraded(w->manager);

        assert_non_null(list);
        if (*list)
                fail_msg("degraded: %s", *list);
}

/* The number of a unit's rule that reads like this. */
_unused_ static size_t rule_index(World *w, const char *name, const char *text) {
        Unit *u = unit(w, name);

        for (size_t i = 0; i < unit_get_n_rules(u); i++) {
                _cleanup_(unit_rule_done) UnitRule rule = { 0 };

                assert_int_equal(unit_get_rule(u, i, &rule), 0);
                if (streq(rule.text, text))
                        return i;
        }
        fail_msg("'%s' has no rule '%s'", name, text);
        return 0;
}

_unused_ static bool has_rule(World *w, const char *name, const char *text) {
        Unit *u = unit(w, name);

        for (size_t i = 0; i < unit_get_n_rules(u); i++) {
                _cleanup_(unit_rule_done) UnitRule rule = { 0 };

                assert_int_equal(unit_get_rule(u, i, &rule), 0);
                if (streq(rule.text, text))
                        return true;
        }
        return false;
}

_unused_ static const PolicyEntry *entry(World *w, const char *name, const char *text) {
        size_t i = rule_index(w, name, text);

        return &unit(w, name)->policy->stack.entries[i];
}
