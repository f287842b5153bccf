/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what clients send: option dictionaries with a closed set of keys, and small enumerations; sending an
 * answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "policy/model.h"
#include "util/cleanup.h"

/* One known option. type is a D-Bus basic type ('s', 'b', 'u', 't', 'q'), or 'A' for "as"; target has the C type
 * for sd_bus_message_read_basic(), or char *** owned by the caller. Strings are borrowed from the message. */
typedef struct BusOption {
        const char *key;
        char type;
        void *target;
} BusOption;

/* For a handler that takes options, but knows none yet. */
extern const BusOption bus_no_options[];

/* Reads a{sv}. Unknown keys, wrong types and keys given twice are InvalidArgs. options ends with key NULL. */
int bus_read_options(
        sd_bus_message *m, const BusOption *options, sd_bus_error *error) _warn_unused_result_;

int bus_read_verdict(const char *s, PolicyDefault *ret, sd_bus_error *error) _warn_unused_result_;
int bus_read_mode(const char *s, PolicyMode *ret, sd_bus_error *error) _warn_unused_result_;

DEFINE_CLEANUP(sd_bus_message *, bus_message_unrefp, sd_bus_message_unref);
#define _cleanup_message_ _cleanup_(bus_message_unrefp)

/* Sends the answer that a handler made. Returns what the handler has to. */
int bus_send(sd_bus_message *reply) _warn_unused_result_;
