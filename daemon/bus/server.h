/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The private bus: a socket on which peers speak D-Bus to the daemon directly. Each connection gets the
 * objects of the daemon and a small part of the bus driver (Hello, AddMatch, ...), so that tools made for a
 * bus work on it.
 *
 * Only root and the daemon's own uid are let in, by the credentials of the socket. The number of
 * connections is bounded, and one whose peer does not read is closed: at the next signal when BUS_QUEUE_MAX messages
 * wait, at its next call when BUS_ANSWERS_MAX do. What the socket itself holds (8 MiB) comes before that.
 */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/manager.h"

#define BUS_CONNECTIONS_MAX 256U
#define BUS_QUEUE_MAX       1024U
#define BUS_ANSWERS_MAX     64U

typedef struct BusServer BusServer;

/* listen_fd is taken over on success. The server becomes the manager's listener. */
int bus_server_new(
        sd_event *event, Manager *manager, int *listen_fd, BusServer **ret) _warn_unused_result_;
BusServer *bus_server_free(BusServer *server);
DEFINE_CLEANUP(BusServer *, bus_server_freep, bus_server_free);

/* What a handler's userdata is: its own connection, so that what is bound to it ends with it. */
typedef struct BusConnection BusConnection;
Manager *bus_connection_manager(BusConnection *c);
