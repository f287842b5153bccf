/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sd-bus, to a private daemon's socket without a bus in between, or to the system bus. */
#include "client.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "bus/api.h"
#include "exit-codes.h"
#include "format.h"
#include "policy/diag.h"
#include "util/macro.h"

struct Client {
        sd_bus *bus;
        char *private_dir; /* NULL: the system bus */
};

Client *client_close(Client *client) {
        if (!client)
                return NULL;
        sd_bus_close_unref(client->bus); /* every call was answered: nothing is left to flush */
        free(client->private_dir);
        free(client);
        return NULL;
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / NSEC_PER_USEC;
}

static int connect_error(const char *dir, int r) {
        CtlExit code = ctl_exit_from_errno(r);

        if (code == CTL_NOT_AUTHORISED)
                return ctl_fail(code,
                        "no access to the daemon in '%s': %s; run it as root or as the user that "
                        "the daemon runs as",
                        dir, strerror(-r));
        if (code == CTL_UNREACHABLE)
                return ctl_fail(code,
                        "no daemon answers in '%s': %s; start one: cgpolicyd --private '%s'", dir,
                        strerror(-r), dir);
        return ctl_fail(code, "cannot connect to the daemon in '%s': %s", dir, strerror(-r));
}

/* Through /proc/self/fd, because a socket address holds only 107 bytes of path. The kernel's own errno comes
 * back, which sd-bus would fold. */
static int connect_socket(const char *dir, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF, dir_fd = -EBADF;

        dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd,
                CGPOLICY_PRIVATE_SOCKET);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

static int check_peer(const char *dir, int fd) {
        struct ucred cred = {};
        socklen_t size = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return ctl_fail(CTL_FAILURE, "cannot tell who serves '%s': %m", dir);
        if (cred.uid != 0 && cred.uid != geteuid())
                return ctl_fail(CTL_NOT_AUTHORISED,
                        "the daemon in '%s' runs as uid %u: neither yours nor root, so it is not "
                        "trusted; check who owns that directory",
                        dir, cred.uid);
        return CTL_OK;
}

/* sd_bus_call() would wait 90 s for the handshake of a daemon that hangs. */
static int wait_until_ready(sd_bus *bus) {
        uint64_t deadline = now_usec() + CLIENT_TIMEOUT_USEC;
        int r;

        for (;;) {
                uint64_t now;

                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r < 0 ? r : 0;
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                now = now_usec();
                if (now >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static int open_private(Client *client) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = connect_socket(client->private_dir, &fd);
        if (r < 0)
                return connect_error(client->private_dir, r);
        r = check_peer(client->private_dir, fd);
        if (r != CTL_OK)
                return r;

        r = sd_bus_new(&client->bus);
        if (r >= 0)
                r = sd_bus_set_fd(client->bus, fd, fd);
        if (r < 0)
                return connect_error(client->private_dir, r);
        (void)TAKE_FD(fd);
        r = sd_bus_negotiate_fds(client->bus, true);
        if (r >= 0)
                r = sd_bus_start(client->bus);
        if (r >= 0)
                r = wait_until_ready(client->bus);
        return r < 0 ? connect_error(client->private_dir, r) : CTL_OK;
}

#define NO_SYSTEM_DAEMON                                                                 \
        "this release has private daemons only: start one with cgpolicyd --private DIR " \
        "and name it with --private DIR or CGPOLICY_PRIVATE=DIR"

static int open_system(Client *client) {
        int r;

        r = sd_bus_open_system(&client->bus);
        if (r >= 0)
                r = wait_until_ready(client->bus);
        if (r < 0)
                return ctl_fail(
                        CTL_UNREACHABLE, "no system bus (%s); " NO_SYSTEM_DAEMON, strerror(-r));
        return CTL_OK;
}

int client_open(const Options *options, Client **ret) {
        _cleanup_(client_closep) Client *client = NULL;
        int r;

        client = calloc(1, sizeof(*client));
        if (!client)
                return ctl_oom();
        if (options->private_dir) {
                client->private_dir = strdup(options->private_dir);
                if (!client->private_dir)
                        return ctl_oom();
        }

        r = client->private_dir ? open_private(client) : open_system(client);
        if (r != CTL_OK)
                return r;
        *ret = TAKE_PTR(client);
        return CTL_OK;
}

static int new_call(Client *client, const char *path, const char *interface, const char *method,
        sd_bus_message **ret) {
        return sd_bus_message_new_method_call(client->bus, ret,
                client->private_dir ? NULL : CGPOLICY_BUS_NAME, path, interface, method);
}

int client_bad_message(int r) {
        return ctl_fail(CTL_FAILURE,
                "cannot make or read a message of the daemon: %s; are daemon and command of the "
                "same version?",
                strerror(-r));
}

int client_new_call(Client *client, const char *method, sd_bus_message **ret) {
        int r = new_call(client, CGPOLICY_PATH, CGPOLICY_MANAGER, method, ret);

        return r < 0 ? client_bad_message(r) : CTL_OK;
}

/* Only makes an error message better: when it fails, there is no guess. */
static char *guess_subject(Client *client, const char *subject) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_free_ const char **names = NULL;
        size_t n = 0, n_allocated = 0;
        const char *name, *guess;

        if (new_call(client, CGPOLICY_PATH, CGPOLICY_MANAGER, "ListUnits", &call) < 0 ||
                sd_bus_call(client->bus, call, CLIENT_TIMEOUT_USEC, NULL, &reply) < 0 ||
                sd_bus_message_enter_container(reply, 'a', "(sosstt)") < 0)
                return NULL;
        while (sd_bus_message_read(reply, "(sosstt)", &name, NULL, NULL, NULL, NULL, NULL) > 0) {
                if (n + 1 >= n_allocated) {
                        const char **more;

                        n_allocated = MAX(n_allocated * 2, (size_t)64);
                        more = reallocarray(names, n_allocated, sizeof(*names));
                        if (!more)
                                return NULL;
                        names = more;
                }
                names[n++] = name;
                names[n] = NULL;
        }
        guess = names ? policy_did_you_mean(subject, names) : NULL;
        return guess ? strdup(guess) : NULL;
}

static int explain_error(
        Client *client, const sd_bus_error *error, int r, const char *subject, const char *what) {
        CtlExit code = sd_bus_error_is_set(error) ? ctl_exit_from_bus_error(error->name)
                                                  : ctl_exit_from_errno(r);
        _cleanup_free_ char *message = text_make_safe(strempty(error->message));
        const char *next = ctl_next_step(error->name);

        if (code == CTL_FAILURE && error->name && startswith(error->name, "System.Error."))
                code = ctl_exit_from_errno(sd_bus_error_get_errno(error));
        if (code == CTL_UNREACHABLE && !client->private_dir)
                return ctl_fail(code, "no daemon on the system bus; " NO_SYSTEM_DAEMON);
        if (code == CTL_UNREACHABLE)
                return ctl_fail(code,
                        "the daemon in '%s' did not answer '%s' (%s); if it is gone, start it: "
                        "cgpolicyd --private '%s'",
                        client->private_dir, what, message && *message ? message : strerror(-r),
                        client->private_dir);
        if (subject && error->name && streq(error->name, CGPOLICY_ERROR_NO_SUCH_UNIT)) {
                _cleanup_free_ char *guess = guess_subject(client, subject);

                if (guess)
                        return ctl_fail(code, "no subject '%s' (did you mean '%s'?); %s", subject,
                                guess, next);
                return ctl_fail(code, "no subject '%s'; %s", subject, next);
        }
        /* The daemon's own message often goes on with what to do, and then knows it better. */
        if (message && strchr(message, ';'))
                next = NULL;
        return ctl_fail(code, "%s%s%s", message && *message ? message : strerror(-r),
                next ? "; " : "", strempty(next));
}

int client_send(Client *client, sd_bus_message *call, const char *subject, sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_call(client->bus, call, CLIENT_TIMEOUT_USEC, &error, &reply);
        if (r < 0)
                return explain_error(
                        client, &error, r, subject, strempty(sd_bus_message_get_member(call)));
        if (ret)
                *ret = TAKE_PTR(reply);
        return CTL_OK;
}

int client_call(Client *client, const char *subject, const char *method, sd_bus_message **ret,
        const char *types, ...) {
        _cleanup_message_ sd_bus_message *call = NULL;
        va_list ap;
        int r;

        r = client_new_call(client, method, &call);
        if (r != CTL_OK)
                return r;
        if (types) {
                va_start(ap, types);
                r = sd_bus_message_appendv(call, types, ap);
                va_end(ap);
                if (r < 0)
                        return client_bad_message(r);
        }
        return client_send(client, call, subject, ret);
}

int client_send_change(
        Client *client, sd_bus_message *call, const char *subject, uint64_t *ret_generation) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = client_send(client, call, subject, &reply);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "t", ret_generation);
        return r < 0 ? client_bad_message(r) : CTL_OK;
}

static int read_json(sd_bus_message *reply, struct json_object **ret) {
        const char *text;
        int r;

        r = sd_bus_message_read(reply, "s", &text);
        if (r >= 0)
                r = json_parse(text, ret);
        return r < 0 ? client_bad_message(r) : CTL_OK;
}

int client_describe(Client *client, const char *unit, struct json_object **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL, *call = NULL, *description = NULL;
        const char *path;
        int r;

        if (!unit) {
                r = client_call(client, NULL, "Describe", &reply, NULL);
                return r != CTL_OK ? r : read_json(reply, ret);
        }

        r = client_call(client, unit, "GetUnit", &reply, "s", unit);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "o", &path);
        if (r >= 0)
                r = new_call(client, path, CGPOLICY_UNIT, "Describe", &call);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, unit, &description);
        return r != CTL_OK ? r : read_json(description, ret);
}

int client_warn_degraded(Client *client) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *sentence;
        int r;

        r = new_call(client, CGPOLICY_PATH, "org.freedesktop.DBus.Properties", "Get", &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", CGPOLICY_MANAGER, "Degraded");
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, NULL, &reply);
        if (r != CTL_OK)
                return r;

        r = sd_bus_message_enter_container(reply, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "s");
        if (r < 0)
                return client_bad_message(r);
        while ((r = sd_bus_message_read(reply, "s", &sentence)) > 0) {
                _cleanup_free_ char *safe = text_make_safe(sentence);

                if (!safe)
                        return ctl_oom();
                ctl_warn("%s", safe);
        }
        return r < 0 ? client_bad_message(r) : CTL_OK;
}

int client_append_options(sd_bus_message *call, ...) {
        const char *key;
        va_list ap;
        int r;

        r = sd_bus_message_open_container(call, 'a', "{sv}");
        va_start(ap, call);
        while (r >= 0 && (key = va_arg(ap, const char *))) {
                const char *value = va_arg(ap, const char *);

                if (value)
                        r = sd_bus_message_append(call, "{sv}", key, "s", value);
        }
        va_end(ap);
        return r < 0 ? r : sd_bus_message_close_container(call);
}
