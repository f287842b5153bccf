/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what clients send: option dictionaries with a closed set of keys, and small enumerations. */
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

/* Reads a{sv}. Unknown keys, wrong types and keys given twice are InvalidArgs. options ends with key NULL. */
int bus_read_options(
        sd_bus_message *m, const BusOption *options, sd_bus_error *error) _warn_unused_result_;

/* A message may have nothing behind what its handler read; sd-bus checks the signature, so this holds. */
int bus_read_verdict(const char *s, PolicyDefault *ret, sd_bus_error *error) _warn_unused_result_;
int bus_read_mode(const char *s, PolicyMode *ret, sd_bus_error *error) _warn_unused_result_;
