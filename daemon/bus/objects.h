/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects of the daemon, to be added to a connection. userdata of their handlers is a BusConnection. */
#pragma once

#include <systemd/sd-bus.h>

#include "bus/server.h"

extern const sd_bus_vtable manager_vtable[];
extern const sd_bus_vtable unit_vtable[];
extern const sd_bus_vtable driver_vtable[];

/* Path of a unit's object. Owned. */
int unit_object_path(const char *name, char **ret) _warn_unused_result_;
/* sd_bus_object_find_t and sd_bus_node_enumerator_t for units. */
int unit_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
        void **ret_found, sd_bus_error *error);
int unit_object_enumerate(
        sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error);

/* Handlers that the manager's and the unit's object share, once the unit is known. */
int object_add_rule(sd_bus_message *m, Manager *manager, const char *unit, PolicyVerdict verdict,
        sd_bus_error *error);
int object_remove_rule(sd_bus_message *m, Manager *manager, const char *unit, sd_bus_error *error);
int object_explain(sd_bus_message *m, Manager *manager, const char *unit, sd_bus_error *error);

/* Appends a summary as a{sv}. */
int object_append_summary(
        sd_bus_message *m, const EventSummary *summary, const EventContext *context);
