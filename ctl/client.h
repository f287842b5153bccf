/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection to the daemon and calls over it. All functions return an exit code; what is not CTL_OK has
 * been explained. No call waits longer than CLIENT_TIMEOUT_USEC, whatever the daemon does.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#include "options.h"
#include "util/cleanup.h"

#define CLIENT_TIMEOUT_USEC (25 * 1000000ULL)

typedef struct Client Client;

DEFINE_CLEANUP(sd_bus_message *, bus_message_unrefp, sd_bus_message_unref);
#define _cleanup_message_ _cleanup_(bus_message_unrefp)

/* Connects and makes sure that the daemon answers, and that it is no stranger's: on a private socket its uid
 * must be ours or root. */
int client_open(const Options *options, Client **ret) _warn_unused_result_;
Client *client_close(Client *client);
DEFINE_CLEANUP(Client *, client_closep, client_close);

/* A call of the Manager, to be filled by sd_bus_message_append*(). */
int client_new_call(Client *client, const char *method, sd_bus_message **ret) _warn_unused_result_;

/* Sends the call. subject (may be NULL) is the one that an error may be about: when the daemon does not know
 * it, the nearest name is offered. ret may be NULL. */
int client_send(Client *client, sd_bus_message *call, const char *subject,
        sd_bus_message **ret) _warn_unused_result_;

/* Both at once, with arguments as sd_bus_message_append(). */
int client_call(Client *client, const char *subject, const char *method, sd_bus_message **ret,
        const char *types, ...) _warn_unused_result_;

/* A call whose answer is one generation, "t". */
int client_send_change(Client *client, sd_bus_message *call, const char *subject,
        uint64_t *ret_generation) _warn_unused_result_;

/* Describe() of the manager (unit NULL) or of a unit. */
int client_describe(
        Client *client, const char *unit, struct json_object **ret) _warn_unused_result_;

/* The Degraded property, as warnings on standard error. */
int client_warn_degraded(Client *client) _warn_unused_result_;

/* Explains a failure to make or read a message; r is negative. */
int client_bad_message(int r);

/* Opens a{sv}, puts the strings that are not NULL in, closes it. Pairs of key and value end with NULL.
 * Negative errno. */
int client_append_options(sd_bus_message *call, ...) __attribute__((sentinel));
