/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /org/cgpolicy1: each handler decodes, makes one call into the manager, encodes. */
#include <inttypes.h>

#include "bus/api.h"
#include "bus/error.h"
#include "bus/message.h"
#include "bus/objects.h"
#include "util/macro.h"
#include "util/strv.h"

/* -- Reading ---------------------------------------------------------------------------------------- */

static int method_list_units(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Manager *manager = bus_connection_manager(userdata);
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sosstt)");
        for (Unit *u = manager_next_unit(manager, NULL); r >= 0 && u;
                u = manager_next_unit(manager, unit_get_name(u))) {
                _cleanup_free_ char *path = NULL;
                UnitTotals totals;

                r = unit_object_path(unit_get_name(u), &path);
                if (r < 0)
                        break;
                unit_get_totals(u, &totals);
                r = sd_bus_message_append(reply, "(sosstt)", unit_get_name(u), path,
                        unit_get_mode(u), unit_get_state(u), (uint64_t)unit_get_n_rules(u),
                        totals.blocked);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_send(reply);
}

static int method_get_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_free_ char *path = NULL;
        const char *name;
        Unit *u;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = manager_find_unit(bus_connection_manager(userdata), name, &details, &u);
        if (r < 0)
                return bus_error_set(error, r, &details);
        r = unit_object_path(name, &path);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "o", path);
}

static int method_get_unit_by_cgroup(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL;
        uint64_t id;
        Unit *u;
        int r;

        r = sd_bus_message_read(m, "t", &id);
        if (r < 0)
                return r;
        u = manager_get_unit_by_cgroup(bus_connection_manager(userdata), id);
        if (!u)
                return sd_bus_error_setf(error, CGPOLICY_ERROR_NO_SUCH_UNIT,
                        "no subject has the cgroup id %" PRIu64, id);
        r = unit_object_path(unit_get_name(u), &path);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "o", path);
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *json = NULL;
        int r;

        r = manager_describe(bus_connection_manager(userdata), &json);
        if (r < 0)
                return bus_error_set(error, r, NULL);
        return sd_bus_reply_method_return(m, "s", json);
}

static int append_profile(void *userdata, const char *name, const char *source) {
        return sd_bus_message_append(userdata, "(ss)", name, source);
}

static int method_list_profiles(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r >= 0)
                r = manager_each_profile(bus_connection_manager(userdata), append_profile, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_send(reply);
}

static int append_list(sd_bus_message *reply, const ManagerList *list) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ssstttssas");
        if (r >= 0)
                r = sd_bus_message_append(reply, "ssstttss", list->name, list->source,
                        list->defined, (uint64_t)list->n_networks4, (uint64_t)list->n_networks6,
                        list->loaded_usec, list->state, strempty(list->error));
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, list->users);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_list_lists(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        ManagerList *lists;
        size_t n;
        int r;

        r = manager_get_lists(bus_connection_manager(userdata), &lists, &n);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssstttssas)");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_list(reply, &lists[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        manager_lists_free(lists, n);
        return r < 0 ? r : bus_send(reply);
}

static int method_get_sources(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *name;
        Unit *u;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = manager_find_unit(bus_connection_manager(userdata), name, &details, &u);
        if (r < 0)
                return bus_error_set(error, r, &details);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sss)");
        for (size_t i = 0; r >= 0; i++) {
                _cleanup_free_ char *path = NULL;
                const char *layer, *text;

                r = unit_get_source(u, i, &path, &layer, &text);
                if (r <= 0)
                        break;
                r = sd_bus_message_append(reply, "(sss)", path, layer, text);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_send(reply);
}

/* -- Changing --------------------------------------------------------------------------------------- */

static int method_create_job(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_(strv_freep) char **rules = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *name, *verdict = NULL, *mode = NULL;
        JobOptions job = { 0 };
        const BusOption options[] = {
                { "default", 's', &verdict },
                { "profile", 's', &job.profile },
                { "mode", 's', &mode },
                { 0 },
        };
        uint64_t generation;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = sd_bus_message_read_strv(m, &rules);
        if (r >= 0)
                r = bus_read_options(m, options, error);
        if (r >= 0 && verdict)
                r = bus_read_verdict(verdict, &job.default_verdict, error);
        if (r >= 0 && mode)
                r = bus_read_mode(mode, &job.mode, error);
        if (r < 0)
                return r;
        job.rules = (const char *const *)rules;
        r = unit_object_path(name, &path);
        if (r < 0)
                return r;
        r = manager_create_job(
                bus_connection_manager(userdata), name, &job, userdata, &details, &fd, &generation);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "soht", name, path, fd, generation);
}

static int manager_rule(
        sd_bus_message *m, void *userdata, PolicyVerdict verdict, sd_bus_error *error) {
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;
        return object_add_rule(m, bus_connection_manager(userdata), unit, verdict, error);
}

static int method_allow(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return manager_rule(m, userdata, POLICY_ALLOW, error);
}

static int method_deny(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return manager_rule(m, userdata, POLICY_DENY, error);
}

static int method_never(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return manager_rule(m, userdata, POLICY_NEVER, error);
}

static int method_remove_rule(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;
        return object_remove_rule(m, bus_connection_manager(userdata), unit, error);
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r < 0)
                return r;
        return object_explain(m, bus_connection_manager(userdata), unit, error);
}

static int reply_generation(sd_bus_message *m, int r, const ManagerError *details,
        uint64_t generation, sd_bus_error *error) {
        return r < 0 ? bus_error_set(error, r, details)
                     : sd_bus_reply_method_return(m, "t", generation);
}

static int method_set_default(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        const char *unit, *direction, *verdict;
        unsigned directions = 0;
        PolicyDefault d;
        uint64_t generation = 0;
        int r;

        r = sd_bus_message_read(m, "sss", &unit, &direction, &verdict);
        if (r >= 0)
                r = bus_read_options(m, bus_no_options, error);
        if (r >= 0)
                r = bus_read_verdict(verdict, &d, error);
        if (r < 0)
                return r;
        if (streq(direction, "in") || streq(direction, ""))
                directions |= 1U << CGP_DIR_IN;
        if (streq(direction, "out") || streq(direction, ""))
                directions |= 1U << CGP_DIR_OUT;
        if (directions == 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "'%s' is no direction; it is 'in', 'out' or '' for both", direction);
        r = manager_set_default(
                bus_connection_manager(userdata), unit, directions, d, &details, &generation);
        return reply_generation(m, r, &details, generation, error);
}

static int method_set_mode(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        const char *unit, *text;
        uint64_t generation = 0;
        PolicyMode mode;
        int r;

        r = sd_bus_message_read(m, "ss", &unit, &text);
        if (r >= 0)
                r = bus_read_options(m, bus_no_options, error);
        if (r >= 0)
                r = bus_read_mode(text, &mode, error);
        if (r < 0)
                return r;
        r = manager_set_mode(bus_connection_manager(userdata), unit, mode, &details, &generation);
        return reply_generation(m, r, &details, generation, error);
}

static int method_set_profile(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        const char *unit, *profile;
        uint64_t generation = 0;
        int r;

        r = sd_bus_message_read(m, "ss", &unit, &profile);
        if (r >= 0)
                r = bus_read_options(m, bus_no_options, error);
        if (r < 0)
                return r;
        r = manager_set_profile(
                bus_connection_manager(userdata), unit, profile, &details, &generation);
        return reply_generation(m, r, &details, generation, error);
}

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_free_ char *diff = NULL;
        const char *json, *name = "apply.json";
        int dry_run = false;
        const BusOption options[] = { { "name", 's', &name }, { "dry-run", 'b', &dry_run }, { 0 } };
        uint64_t generation = 0;
        int r;

        r = sd_bus_message_read(m, "s", &json);
        if (r >= 0)
                r = bus_read_options(m, options, error);
        if (r < 0)
                return r;
        r = manager_apply(bus_connection_manager(userdata), name, json, dry_run, &details,
                &generation, &diff);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "tos", generation, "/", diff);
}

static int append_diag(sd_bus_message *reply, const PolicyDiag *diag) {
        return sd_bus_message_append(reply, "a{sv}", 5, "severity", "s",
                diag->severity == POLICY_ERROR ? "error" : "warning", "code", "s", diag->code,
                "line", "u", (uint32_t)diag->line, "column", "u", (uint32_t)diag->column, "message",
                "s", strempty(diag->message));
}

static int method_validate(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
        Manager *manager = bus_connection_manager(userdata);
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *json;
        bool valid;
        int r;

        r = sd_bus_message_read(m, "s", &json);
        if (r < 0)
                return r;
        r = manager_validate(manager, json, &diags);
        if (r == -ENOMEM)
                return r;
        valid = r >= 0;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "b", valid);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < diags.n_diags; i++)
                r = append_diag(reply, &diags.diags[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_send(reply);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        uint64_t generation = 0;
        int r;

        r = manager_reload(bus_connection_manager(userdata), &details, &generation);
        return reply_generation(m, r, &details, generation, error);
}

static int attach_or_detach(sd_bus_message *m, void *userdata, sd_bus_error *error,
        int (*call)(Manager *, const char *, ManagerError *, uint64_t *)) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        uint64_t generation = 0;
        const char *unit;
        int r;

        r = sd_bus_message_read(m, "s", &unit);
        if (r >= 0)
                r = bus_read_options(m, bus_no_options, error);
        if (r < 0)
                return r;
        r = call(bus_connection_manager(userdata), unit, &details, &generation);
        return reply_generation(m, r, &details, generation, error);
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return attach_or_detach(m, userdata, error, manager_attach);
}

static int method_detach(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return attach_or_detach(m, userdata, error, manager_detach);
}

static int method_open_event_stream(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_(strv_freep) char **units = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint32_t lines = 10;
        int follow = true;
        const BusOption options[] = {
                { "units", 'A', &units },
                { "lines", 'u', &lines },
                { "follow", 'b', &follow },
                { 0 },
        };
        int r;

        r = bus_read_options(m, options, error);
        if (r < 0)
                return r;
        r = manager_open_stream(bus_connection_manager(userdata),
                strv_length(units) > 0 ? units : NULL, lines == UINT32_MAX ? SIZE_MAX : lines,
                follow, &details, &fd);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "h", fd);
}

/* -- Properties ------------------------------------------------------------------------------------- */

static int property_version(sd_bus *bus, const char *path, const char *interface,
        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", CGPOLICY_VERSION);
}

static int property_mode(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", "private");
}

static int property_generation(sd_bus *bus, const char *path, const char *interface,
        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(
                reply, "t", manager_get_generation(bus_connection_manager(userdata)));
}

static int property_degraded(sd_bus *bus, const char *path, const char *interface,
        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        _cleanup_(strv_freep) char **list = manager_get_degraded(bus_connection_manager(userdata));

        return list ? sd_bus_message_append_strv(reply, list) : -ENOMEM;
}

static int property_capabilities(sd_bus *bus, const char *path, const char *interface,
        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const KernelCapabilities *c = manager_get_capabilities(bus_connection_manager(userdata));
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sb}");
        for (unsigned hook = 0; r >= 0 && hook < CGP_N_HOOKS; hook++)
                r = sd_bus_message_append(
                        reply, "{sb}", kernel_hook_to_string(hook), (int)c->hooks[hook]);
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sb}", "dry-run", (int)c->dry_run);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_lost(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(
                reply, "t", manager_get_lost(bus_connection_manager(userdata)));
}

#define U SD_BUS_VTABLE_UNPRIVILEGED

/* Unprivileged: who may connect to a private socket is decided when it does. */
const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", property_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY(
                "Generation", "t", property_generation, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Mode", "s", property_mode, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY(
                "Degraded", "as", property_degraded, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY(
                "Capabilities", "a{sb}", property_capabilities, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("LostEvents", "t", property_lost, 0, 0),

        SD_BUS_METHOD_WITH_ARGS("ListUnits", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosstt)", units),
                method_list_units, U),
        SD_BUS_METHOD_WITH_ARGS(
                "GetUnit", SD_BUS_ARGS("s", unit), SD_BUS_RESULT("o", path), method_get_unit, U),
        SD_BUS_METHOD_WITH_ARGS("GetUnitByControlGroupId", SD_BUS_ARGS("t", id),
                SD_BUS_RESULT("o", path), method_get_unit_by_cgroup, U),
        SD_BUS_METHOD_WITH_ARGS(
                "Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe, U),
        SD_BUS_METHOD_WITH_ARGS("CreateJob", SD_BUS_ARGS("s", name, "as", rules, "a{sv}", options),
                SD_BUS_RESULT("s", unit, "o", path, "h", cgroup, "t", generation),
                method_create_job, U),
        SD_BUS_METHOD_WITH_ARGS("Allow", SD_BUS_ARGS("s", unit, "s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_allow, U),
        SD_BUS_METHOD_WITH_ARGS("Deny", SD_BUS_ARGS("s", unit, "s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_deny, U),
        SD_BUS_METHOD_WITH_ARGS("Never", SD_BUS_ARGS("s", unit, "s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_never, U),
        SD_BUS_METHOD_WITH_ARGS("RemoveRule", SD_BUS_ARGS("s", unit, "s", rule, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_remove_rule, U),
        SD_BUS_METHOD_WITH_ARGS("SetDefault",
                SD_BUS_ARGS("s", unit, "s", direction, "s", verdict, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_set_default, U),
        SD_BUS_METHOD_WITH_ARGS("SetMode", SD_BUS_ARGS("s", unit, "s", mode, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_set_mode, U),
        SD_BUS_METHOD_WITH_ARGS("SetProfile",
                SD_BUS_ARGS("s", unit, "s", profile, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_set_profile, U),
        SD_BUS_METHOD_WITH_ARGS("ListProfiles", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ss)", profiles),
                method_list_profiles, U),
        SD_BUS_METHOD_WITH_ARGS("ListLists", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssstttssas)", lists),
                method_list_lists, U),
        SD_BUS_METHOD_WITH_ARGS("Apply", SD_BUS_ARGS("s", json, "a{sv}", options),
                SD_BUS_RESULT("t", generation, "o", transaction, "s", diff_json), method_apply, U),
        SD_BUS_METHOD_WITH_ARGS("Validate", SD_BUS_ARGS("s", json),
                SD_BUS_RESULT("b", valid, "aa{sv}", diagnostics), method_validate, U),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("s", unit, "a{sv}", flow),
                SD_BUS_RESULT("s", verdict, "s", json), method_explain, U),
        SD_BUS_METHOD_WITH_ARGS(
                "Reload", SD_BUS_NO_ARGS, SD_BUS_RESULT("t", generation), method_reload, U),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("s", unit, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_attach, U),
        SD_BUS_METHOD_WITH_ARGS("Detach", SD_BUS_ARGS("s", unit, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_detach, U),
        SD_BUS_METHOD_WITH_ARGS("GetSources", SD_BUS_ARGS("s", unit),
                SD_BUS_RESULT("a(sss)", sources), method_get_sources, U),
        SD_BUS_METHOD_WITH_ARGS("OpenEventStream", SD_BUS_ARGS("a{sv}", filter),
                SD_BUS_RESULT("h", stream), method_open_event_stream, U),

        SD_BUS_SIGNAL_WITH_ARGS("PolicyChanged",
                SD_BUS_ARGS("t", generation, "as", units, "s", source, "s", comment), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Blocked", SD_BUS_ARGS("a{sv}", summary), 0),
        SD_BUS_VTABLE_END,
};
