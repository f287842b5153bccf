/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table from what the core says to what a client of the bus is told. */
#pragma once

#include <systemd/sd-bus.h>

#include "core/error.h"

/* For a handler to return: sets error from what the manager returned (-EREMOTEIO with details, or a bare
 * errno). */
int bus_error_set(sd_bus_error *error, int r, const ManagerError *details);

/* The name for a kind; NULL for NONE. */
const char *bus_error_name(ManagerErrorKind kind);
