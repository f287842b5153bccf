/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bus/api.h"
#include "bus/message.h"
#include "bus/objects.h"
#include "util/log.h"
#include "util/macro.h"

/* sd-bus holds at most 64 KiB during the handshake, and a message has at least 16 bytes. */
#define HANDSHAKE_MESSAGES_MAX 4096U

struct BusConnection {
        BusServer *server;
        sd_bus *bus;
        bool ready;  /* the handshake is over, and what came with its end was looked at */
        bool doomed; /* to be closed when no handler of it can be running */
};

struct BusServer {
        sd_event *event;
        Manager *manager;
        int listen_fd;
        sd_event_source *source;
        sd_event_source *reaper;
        int spare_fd; /* given up to take a connection when no descriptor is left for one */
        bool is_full; /* and that was said */
        sd_event_source *starter; /* on while a connection is not ready */
        BusConnection **connections;
        size_t n_connections;
        sd_id128_t id;
};

Manager *bus_connection_manager(BusConnection *c) {
        return c->server->manager;
}

static BusConnection *connection_free(BusConnection *c) {
        BusServer *server;

        if (!c)
                return NULL;
        server = c->server;
        for (size_t i = 0; i < server->n_connections; i++) {
                if (server->connections[i] != c)
                        continue;
                server->connections[i] = server->connections[--server->n_connections];
                break;
        }
        /* Whoever made a job and never entered it is gone now. */
        manager_creator_gone(server->manager, c);
        if (c->bus) {
                (void)sd_bus_detach_event(c->bus);
                sd_bus_close_unref(c->bus);
        }
        free(c);
        return NULL;
}
DEFINE_CLEANUP(BusConnection *, connection_freep, connection_free);

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        connection_free(userdata);
        return 0;
}

/* A peer that lets so many messages wait is cut off: it would cost ever more memory, and what it missed it can
 * ask for. Not at once, for a handler of it may be running. */
static bool connection_keeps_up(BusConnection *c, uint64_t n_max) {
        uint64_t n_waiting = 0;

        if (c->doomed)
                return false;
        if (sd_bus_get_n_queued_write(c->bus, &n_waiting) < 0 || n_waiting <= n_max)
                return true;
        log_notice("Closing a connection whose peer does not read");
        c->doomed = true;
        (void)sd_event_source_set_enabled(c->server->reaper, SD_EVENT_ONESHOT);
        return false;
}

/* Also one that asks and asks: what it is owed are messages, too, and larger ones than any signal. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return connection_keeps_up(userdata, BUS_ANSWERS_MAX) ? 0 : 1;
}

static int connection_add_objects(BusConnection *c) {
        int r;

        r = sd_bus_add_filter(c->bus, NULL, on_message, c);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(
                c->bus, NULL, CGPOLICY_PATH, CGPOLICY_MANAGER, manager_vtable, c);
        if (r < 0)
                return r;
        r = sd_bus_add_fallback_vtable(
                c->bus, NULL, CGPOLICY_UNIT_PATH, CGPOLICY_UNIT, unit_vtable, unit_object_find, c);
        if (r < 0)
                return r;
        r = sd_bus_add_node_enumerator(c->bus, NULL, CGPOLICY_UNIT_PATH, unit_object_enumerate, c);
        if (r < 0)
                return r;
        r = sd_bus_add_object_manager(c->bus, NULL, CGPOLICY_PATH);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(
                c->bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", driver_vtable, c);
        if (r < 0)
                return r;
        return sd_bus_match_signal_async(c->bus, NULL, "org.freedesktop.DBus.Local",
                "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
                on_disconnected, NULL, c);
}

static int connection_new(BusServer *server, int *fd) {
        _cleanup_(connection_freep) BusConnection *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->server = server;
        r = sd_bus_new(&c->bus);
        if (r < 0)
                return r;
        (void)sd_bus_set_description(c->bus, "private");
        r = sd_bus_set_fd(c->bus, *fd, *fd);
        if (r < 0)
                return r;
        *fd = -EBADF;
        r = sd_bus_set_server(c->bus, 1, server->id);
        if (r < 0)
                return r;
        r = sd_bus_negotiate_creds(c->bus, 1, SD_BUS_CREDS_PID | SD_BUS_CREDS_EUID);
        if (r < 0)
                return r;
        r = sd_bus_negotiate_fds(c->bus, 1);
        if (r < 0)
                return r;
        r = sd_bus_set_sender(c->bus, CGPOLICY_BUS_NAME);
        if (r < 0)
                return r;
        r = sd_bus_start(c->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(c->bus, server->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = connection_add_objects(c);
        if (r < 0)
                return r;
        server->connections[server->n_connections++] = TAKE_PTR(c);
        return 0;
}

static bool peer_is_allowed(int fd) {
        struct ucred cred;
        socklen_t n = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || n != sizeof(cred))
                return false;
        return cred.uid == 0 || cred.uid == geteuid();
}

/* Without a descriptor to accept with, the connection would stay pending and keep the loop spinning. */
static void server_turn_away(BusServer *server, int error) {
        if (!server->is_full)
                log_warning_errno(error, "Refusing connections until others are closed: %m");
        server->is_full = true;
        server->spare_fd = close_keep_errno(server->spare_fd);
        (void)close_keep_errno(accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC));
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_accept(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        BusServer *server = userdata;
        _cleanup_close_ int peer = -EBADF;
        int r;

        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0) {
                if (errno == EMFILE || errno == ENFILE)
                        server_turn_away(server, -errno);
                else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                        log_warning_errno(-errno, "Cannot accept a connection, ignoring: %m");
                return 0;
        }
        server->is_full = false;
        if (!peer_is_allowed(peer)) {
                log_notice("Refused a connection of another user");
                return 0;
        }
        if (server->n_connections >= BUS_CONNECTIONS_MAX) {
                log_warning("Refused a connection: there are %u already", BUS_CONNECTIONS_MAX);
                return 0;
        }
        r = connection_new(server, &peer);
        if (r < 0) {
                log_warning_errno(r, "Cannot serve a connection, ignoring: %m");
                return 0;
        }
        return sd_event_source_set_enabled(server->starter, SD_EVENT_ON);
}

/* Messages that were read together with the end of the handshake. Nobody else looks at them before the peer
 * sends more, which it does not while it waits for an answer. Bounded: a peer that sends on and on must not
 * keep us here. */
static void connection_begin(BusServer *server, size_t i) {
        BusConnection *c = server->connections[i];

        c->ready = true;
        for (unsigned n = 0; n < HANDSHAKE_MESSAGES_MAX; n++)
                if (sd_bus_process(c->bus, NULL) <= 0 || i >= server->n_connections ||
                        server->connections[i] != c)
                        return;
}

static int on_start(sd_event_source *s, void *userdata) {
        BusServer *server = userdata;
        bool all_ready = true;

        for (size_t i = server->n_connections; i-- > 0;) {
                BusConnection *c = server->connections[i];

                if (!c->ready && sd_bus_is_ready(c->bus) > 0)
                        connection_begin(server, i);
                else
                        all_ready = all_ready && c->ready;
        }
        return all_ready ? sd_event_source_set_enabled(s, SD_EVENT_OFF) : 0;
}

/* Signals are sent from inside handlers, maybe one of the very connection that is to be closed. */
static int on_reap(sd_event_source *s, void *userdata) {
        BusServer *server = userdata;

        for (size_t i = server->n_connections; i-- > 0;)
                if (server->connections[i]->doomed)
                        connection_free(server->connections[i]);
        return 0;
}

/* -- Signals ---------------------------------------------------------------------------------------- */

static bool connection_wants_signals(BusConnection *c) {
        return sd_bus_is_ready(c->bus) > 0 && connection_keeps_up(c, BUS_QUEUE_MAX);
}

static void server_broadcast(BusServer *server,
        int (*build)(sd_bus *bus, void *data, sd_bus_message **ret), void *data) {
        for (size_t i = server->n_connections; i-- > 0;) {
                sd_bus *bus = server->connections[i]->bus;
                _cleanup_message_ sd_bus_message *m = NULL;
                int r;

                if (!connection_wants_signals(server->connections[i]))
                        continue;
                r = build(bus, data, &m);
                if (r >= 0)
                        r = sd_bus_send(bus, m, NULL);
                if (r < 0)
                        log_debug_errno(r, "Cannot send a signal, ignoring: %m");
        }
}

static void server_broadcast_property(BusServer *server, const char *property) {
        for (size_t i = 0; i < server->n_connections; i++)
                if (connection_wants_signals(server->connections[i]))
                        (void)sd_bus_emit_properties_changed(server->connections[i]->bus,
                                CGPOLICY_PATH, CGPOLICY_MANAGER, property, NULL);
}

typedef struct ChangedSignal {
        uint64_t generation;
        const char *const *units;
        const char *source;
        const char *comment;
} ChangedSignal;

static int build_changed(sd_bus *bus, void *data, sd_bus_message **ret) {
        const ChangedSignal *signal = data;
        int r;

        r = sd_bus_message_new_signal(bus, ret, CGPOLICY_PATH, CGPOLICY_MANAGER, "PolicyChanged");
        if (r < 0)
                return r;
        r = sd_bus_message_append(*ret, "t", signal->generation);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(*ret, 'a', "s");
        for (size_t i = 0; r >= 0 && signal->units[i]; i++)
                r = sd_bus_message_append(*ret, "s", signal->units[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(*ret);
        return r < 0 ? r
                     : sd_bus_message_append(*ret, "ss", signal->source, strempty(signal->comment));
}

static void on_policy_changed(void *userdata, uint64_t generation, const char *const *units,
        const char *source, const char *comment) {
        ChangedSignal signal = { generation, units, source, comment };
        BusServer *server = userdata;

        server_broadcast(server, build_changed, &signal);
        server_broadcast_property(server, "Generation");
}

typedef struct BlockedSignal {
        const EventSummary *summary;
        const EventContext *context;
} BlockedSignal;

static int build_blocked(sd_bus *bus, void *data, sd_bus_message **ret) {
        const BlockedSignal *signal = data;
        int r;

        r = sd_bus_message_new_signal(bus, ret, CGPOLICY_PATH, CGPOLICY_MANAGER, "Blocked");
        return r < 0 ? r : object_append_summary(*ret, signal->summary, signal->context);
}

static void on_blocked(void *userdata, const EventSummary *summary, const EventContext *context) {
        BlockedSignal signal = { summary, context };

        server_broadcast(userdata, build_blocked, &signal);
}

static void on_unit(BusServer *server, const char *name, bool added) {
        _cleanup_free_ char *path = NULL;

        if (unit_object_path(name, &path) < 0)
                return;
        for (size_t i = 0; i < server->n_connections; i++) {
                sd_bus *bus = server->connections[i]->bus;

                if (!connection_wants_signals(server->connections[i]))
                        continue;
                (void)(added ? sd_bus_emit_object_added(bus, path)
                             : sd_bus_emit_object_removed(bus, path));
        }
}

static void on_unit_added(void *userdata, const char *name) {
        on_unit(userdata, name, /* added= */ true);
}

static void on_unit_removed(void *userdata, const char *name) {
        on_unit(userdata, name, /* added= */ false);
}

static void on_degraded(void *userdata) {
        server_broadcast_property(userdata, "Degraded");
}

/* -- Life ------------------------------------------------------------------------------------------- */

int bus_server_new(sd_event *event, Manager *manager, int *listen_fd, BusServer **ret) {
        _cleanup_(bus_server_freep) BusServer *server = NULL;
        ManagerListener listener;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->listen_fd = -EBADF;
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        server->manager = manager;
        server->event = sd_event_ref(event);
        server->connections = calloc(BUS_CONNECTIONS_MAX, sizeof(*server->connections));
        if (!server->connections)
                return -ENOMEM;
        r = sd_id128_randomize(&server->id);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &server->source, *listen_fd, EPOLLIN, on_accept, server);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(server->source, "private bus socket");
        r = sd_event_source_set_exit_on_failure(server->source, true);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &server->reaper, on_reap, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->reaper, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_post(event, &server->starter, on_start, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->starter, SD_EVENT_OFF);
        if (r < 0)
                return r;

        listener = (ManagerListener){
                .policy_changed = on_policy_changed,
                .unit_added = on_unit_added,
                .unit_removed = on_unit_removed,
                .blocked = on_blocked,
                .degraded_changed = on_degraded,
                .userdata = server,
        };
        manager_set_listener(manager, &listener);
        server->listen_fd = TAKE_FD(*listen_fd);
        *ret = TAKE_PTR(server);
        return 0;
}

BusServer *bus_server_free(BusServer *server) {
        if (!server)
                return NULL;

        manager_set_listener(server->manager, &(ManagerListener){ 0 });
        while (server->n_connections > 0)
                connection_free(server->connections[0]);
        free(server->connections);
        sd_event_source_disable_unref(server->source);
        sd_event_source_disable_unref(server->reaper);
        sd_event_source_disable_unref(server->starter);
        (void)close_keep_errno(server->listen_fd);
        (void)close_keep_errno(server->spare_fd);
        sd_event_unref(server->event);
        free(server);
        return NULL;
}
