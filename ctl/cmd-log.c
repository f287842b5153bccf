/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log: the daemon's stream of denials, which comes over a socket of its own, a JSON object a line. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>

#include "client.h"
#include "event-line.h"
#include "exit-codes.h"
#include "format.h"
#include "util/macro.h"
#include "verbs.h"

#define STREAM_LINE_MAX (256U * 1024)

static int append_filter(
        const Options *options, sd_bus_message *call, char **units, size_t n_units) {
        int r;

        r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0 && n_units > 0) {
                r = sd_bus_message_open_container(call, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(call, "s", "units");
                if (r >= 0)
                        r = sd_bus_message_open_container(call, 'v', "as");
                if (r >= 0)
                        r = sd_bus_message_append_strv(call, units);
                if (r >= 0)
                        r = sd_bus_message_close_container(call);
                if (r >= 0)
                        r = sd_bus_message_close_container(call);
        }
        if (r >= 0)
                r = sd_bus_message_append(call, "{sv}{sv}", "lines", "u", options->lines, "follow",
                        "b", (int)!!(options->seen & OPTION_FOLLOW));
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int open_stream(const Options *options, char **units, size_t n_units, int *ret_fd) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        int fd, r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, "OpenEventStream", &call);
        if (r != CTL_OK)
                return r;
        r = append_filter(options, call, units, n_units);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, n_units == 1 ? units[0] : NULL, &reply);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return client_bad_message(r);
        fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (fd < 0)
                return ctl_fail(CTL_FAILURE, "cannot keep the event stream: %m");
        *ret_fd = fd;
        return CTL_OK;
}

static int print_line(const Options *options, const char *line) {
        _cleanup_json_ struct json_object *event = NULL;
        _cleanup_free_ char *text = NULL;
        struct json_object *lost = NULL;
        int r;

        r = json_parse(line, &event);
        if (r >= 0 && json_object_object_get_ex(event, "lost", &lost)) {
                ctl_warn("%" PRIu64 " denials are not shown: they came faster than they were read",
                        json_get_u64(event, "lost"));
                if (options->json == JSON_OFF)
                        return CTL_OK;
        }
        if (options->quiet)
                return CTL_OK;
        if (r >= 0 && options->json == JSON_SHORT)
                (void)puts(line);
        else if (r >= 0 && options->json == JSON_PRETTY)
                json_print(options, event);
        else if (r >= 0)
                r = event_line_format(event, options_use_color(options), &text);
        if (r == -ENOMEM)
                return ctl_oom();
        if (r < 0)
                return ctl_fail(CTL_FAILURE, "the daemon sent a line that is no event");
        if (text)
                (void)puts(text);
        return CTL_OK;
}

/* Prints the whole lines in the buffer and keeps the rest. */
static int print_lines(const Options *options, char *buffer, size_t *size) {
        size_t begin = 0;
        char *newline;

        while ((newline = memchr(buffer + begin, '\n', *size - begin))) {
                int r;

                *newline = '\0';
                r = print_line(options, buffer + begin);
                if (r != CTL_OK)
                        return r;
                begin = (size_t)(newline - buffer) + 1;
        }
        memmove(buffer, buffer + begin, *size - begin);
        *size -= begin;
        if (*size == STREAM_LINE_MAX)
                return ctl_fail(CTL_FAILURE, "the daemon sent a line of more than %u bytes",
                        STREAM_LINE_MAX);
        return CTL_OK;
}

/* 1: there is something to read. 0: nobody reads what we print. */
static int wait_for_stream(int fd) {
        struct pollfd fds[] = {
                { .fd = fd, .events = POLLIN },
                { .fd = STDOUT_FILENO },
        };

        for (;;) {
                if (poll(fds, ELEMENTSOF(fds), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (fds[0].revents)
                        return 1;
                if (fds[1].revents)
                        return 0;
        }
}

static int print_stream(const Options *options, int fd) {
        _cleanup_free_ char *buffer = malloc(STREAM_LINE_MAX);
        size_t size = 0;

        if (!buffer)
                return ctl_oom();
        for (;;) {
                ssize_t n;
                int r;

                r = wait_for_stream(fd);
                if (r == 0)
                        return CTL_OK;
                if (r > 0) {
                        n = read(fd, buffer + size, STREAM_LINE_MAX - size);
                        r = n < 0 ? -errno : 0;
                }
                if (r == -EINTR || r == -EAGAIN)
                        continue;
                if (r < 0)
                        return ctl_fail(
                                CTL_FAILURE, "cannot read the event stream: %s", strerror(-r));
                if (n == 0)
                        break;
                size += (size_t)n;
                r = print_lines(options, buffer, &size);
                if (r != CTL_OK)
                        return r;
                if (fflush(stdout) != 0)
                        return CTL_OK; /* main() tells a reader that has enough from a full disk */
        }
        if (options->seen & OPTION_FOLLOW)
                return ctl_fail(CTL_UNREACHABLE,
                        "the daemon ended the stream; if it is gone, start it and follow again");
        return CTL_OK;
}

int verb_log(const Options *options, char **args, size_t n_args) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_stream(options, args, n_args, &fd);
        return r != CTL_OK ? r : print_stream(options, fd);
}
