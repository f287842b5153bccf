/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /org/cgpolicy1/unit/NAME. */
#include "bus/api.h"
#include "bus/error.h"
#include "bus/objects.h"
#include "util/macro.h"
#include "util/strv.h"

int unit_object_path(const char *name, char **ret) {
        return sd_bus_path_encode(CGPOLICY_UNIT_PATH, name, ret);
}

/* The unit that a message is for. */
static Unit *unit_of_path(BusConnection *c, const char *path) {
        _cleanup_free_ char *name = NULL;

        if (sd_bus_path_decode(path, CGPOLICY_UNIT_PATH, &name) <= 0)
                return NULL;
        return manager_get_unit(bus_connection_manager(c), name);
}

int unit_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
        void **ret_found, sd_bus_error *error) {
        if (!unit_of_path(userdata, path))
                return 0;
        *ret_found = userdata;
        return 1;
}

int unit_object_enumerate(
        sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Manager *manager = bus_connection_manager(userdata);
        _cleanup_(strv_freep) char **nodes = NULL;
        int r;

        for (Unit *u = manager_next_unit(manager, NULL); u;
                u = manager_next_unit(manager, unit_get_name(u))) {
                _cleanup_free_ char *path = NULL;

                r = unit_object_path(unit_get_name(u), &path);
                if (r < 0)
                        return r;
                r = strv_push(&nodes, &path);
                if (r < 0)
                        return r;
        }
        *ret_nodes = TAKE_PTR(nodes);
        return 1;
}

/* -- Methods ---------------------------------------------------------------------------------------- */

/* A unit that went between the look-up of the object and this call is an error like an unknown one. */
static const char *unit_name_of(sd_bus_message *m, BusConnection *c, char **ret) {
        if (sd_bus_path_decode(sd_bus_message_get_path(m), CGPOLICY_UNIT_PATH, ret) <= 0)
                return NULL;
        return *ret;
}

static int unit_rule(
        sd_bus_message *m, void *userdata, PolicyVerdict verdict, sd_bus_error *error) {
        _cleanup_free_ char *storage = NULL;
        const char *name = unit_name_of(m, userdata, &storage);

        return name ? object_add_rule(m, bus_connection_manager(userdata), name, verdict, error)
                    : -ENOMEM;
}

static int method_allow(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return unit_rule(m, userdata, POLICY_ALLOW, error);
}

static int method_deny(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return unit_rule(m, userdata, POLICY_DENY, error);
}

static int method_never(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return unit_rule(m, userdata, POLICY_NEVER, error);
}

static int method_remove_rule(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *storage = NULL;
        const char *name = unit_name_of(m, userdata, &storage);

        return name ? object_remove_rule(m, bus_connection_manager(userdata), name, error)
                    : -ENOMEM;
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_free_ char *storage = NULL;
        const char *name = unit_name_of(m, userdata, &storage);

        return name ? object_explain(m, bus_connection_manager(userdata), name, error) : -ENOMEM;
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Unit *u = unit_of_path(userdata, sd_bus_message_get_path(m));
        _cleanup_free_ char *json = NULL;
        int r;

        if (!u)
                return sd_bus_error_set(error, CGPOLICY_ERROR_NO_SUCH_UNIT, "the subject is gone");
        r = unit_describe(u, &json);
        if (r < 0)
                return bus_error_set(error, r, NULL);
        return sd_bus_reply_method_return(m, "s", json);
}

/* -- Properties ------------------------------------------------------------------------------------- */

#define PROPERTY(name)                                                        \
        static int name(sd_bus *bus, const char *path, const char *interface, \
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error)

#define GET_UNIT(u)                             \
        Unit *u = unit_of_path(userdata, path); \
        if (!u)                                 \
        return -ENOENT

PROPERTY(property_string) {
        _cleanup_free_ char *cgroup = NULL;
        const char *s;
        GET_UNIT(u);

        if (streq(property, "Name"))
                s = unit_get_name(u);
        else if (streq(property, "Mode"))
                s = unit_get_mode(u);
        else if (streq(property, "DefaultIn"))
                s = unit_get_default(u, CGP_DIR_IN);
        else if (streq(property, "DefaultOut"))
                s = unit_get_default(u, CGP_DIR_OUT);
        else if (streq(property, "Profile"))
                s = unit_get_profile(u);
        else if (streq(property, "AttachState"))
                s = unit_get_state(u);
        else
                s = cgroup = unit_get_cgroup_path(u);
        return s ? sd_bus_message_append(reply, "s", s) : -ENOMEM;
}

PROPERTY(property_number) {
        UnitTotals totals = { 0 };
        uint64_t n;
        GET_UNIT(u);

        if (streq(property, "ControlGroupId"))
                n = unit_get_cgroup_id(u);
        else if (streq(property, "Generation"))
                n = unit_get_generation(u);
        else {
                unit_get_totals(u, &totals);
                n = streq(property, "AllowedPackets") ? totals.packets : totals.blocked;
        }
        return sd_bus_message_append(reply, "t", n);
}

PROPERTY(property_rules) {
        int r;
        GET_UNIT(u);

        r = sd_bus_message_open_container(reply, 'a', "(sssstttt)");
        for (size_t i = 0; r >= 0 && i < unit_get_n_rules(u); i++) {
                _cleanup_(unit_rule_done) UnitRule rule = { 0 };

                r = unit_get_rule(u, i, &rule);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(sssstttt)", rule.id, rule.layer,
                                rule.text, rule.source, rule.hits.packets, rule.hits.bytes,
                                rule.hits.blocked, rule.hits.would);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

PROPERTY(property_sources) {
        int r;
        GET_UNIT(u);

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0; i++) {
                _cleanup_free_ char *source = NULL;
                const char *layer, *text;

                r = unit_get_source(u, i, &source, &layer, &text);
                if (r <= 0)
                        break;
                r = sd_bus_message_append(reply, "s", source);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

PROPERTY(property_hooks) {
        int r;
        GET_UNIT(u);

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (unsigned hook = 0; r >= 0 && hook < CGP_N_HOOKS; hook++)
                if (unit_has_hook(u, hook))
                        r = sd_bus_message_append(reply, "s", kernel_hook_to_string(hook));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

PROPERTY(property_last_blocked) {
        _cleanup_free_ char *storage = NULL;
        EventSummary summary = { 0 };
        EventContext context;
        const Event *event;
        int r;
        GET_UNIT(u);

        event = unit_get_last_blocked(u);
        if (!event)
                return sd_bus_message_append(reply, "a{sv}", 0);
        r = manager_event_context(bus_connection_manager(userdata), event, &context, &storage);
        if (r < 0)
                return r;
        summary = (EventSummary){
                .event = *event,
                .count = 1 + event->suppressed,
                .first_usec = event->realtime_usec,
                .last_usec = event->realtime_usec,
        };
        return object_append_summary(reply, &summary, &context);
}

#define U     SD_BUS_VTABLE_UNPRIVILEGED
#define CONST SD_BUS_VTABLE_PROPERTY_CONST
#define NOTE  0 /* changes are told by the manager's PolicyChanged, or by nobody */

const sd_bus_vtable unit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", property_string, 0, CONST),
        SD_BUS_PROPERTY("ControlGroup", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("ControlGroupId", "t", property_number, 0, NOTE),
        SD_BUS_PROPERTY("Mode", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("DefaultIn", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("DefaultOut", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("Profile", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("Rules", "a(sssstttt)", property_rules, 0, NOTE),
        SD_BUS_PROPERTY("SourcePaths", "as", property_sources, 0, NOTE),
        SD_BUS_PROPERTY("Generation", "t", property_number, 0, NOTE),
        SD_BUS_PROPERTY("Hooks", "as", property_hooks, 0, NOTE),
        SD_BUS_PROPERTY("AttachState", "s", property_string, 0, NOTE),
        SD_BUS_PROPERTY("AllowedPackets", "t", property_number, 0, NOTE),
        SD_BUS_PROPERTY("BlockedPackets", "t", property_number, 0, NOTE),
        SD_BUS_PROPERTY("LastBlocked", "a{sv}", property_last_blocked, 0, NOTE),

        SD_BUS_METHOD_WITH_ARGS("Allow", SD_BUS_ARGS("s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_allow, U),
        SD_BUS_METHOD_WITH_ARGS("Deny", SD_BUS_ARGS("s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_deny, U),
        SD_BUS_METHOD_WITH_ARGS("Never", SD_BUS_ARGS("s", rule, "a{sv}", options),
                SD_BUS_RESULT("s", rule_id, "t", generation), method_never, U),
        SD_BUS_METHOD_WITH_ARGS("RemoveRule", SD_BUS_ARGS("s", rule, "a{sv}", options),
                SD_BUS_RESULT("t", generation), method_remove_rule, U),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", flow),
                SD_BUS_RESULT("s", verdict, "s", json), method_explain, U),
        SD_BUS_METHOD_WITH_ARGS(
                "Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe, U),
        SD_BUS_VTABLE_END,
};
