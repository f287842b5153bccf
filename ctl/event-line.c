/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Columns that rarely vary in width are padded so that lines of one service stand below each other. */
#include "event-line.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "format.h"
#include "util/macro.h"

char *event_time_to_local(const char *time, char buf[64]) {
        unsigned usec = 0, digits = 0;
        struct tm tm = {}, local;
        const char *rest;
        time_t seconds;
        size_t n;

        rest = strptime(time, "%Y-%m-%dT%H:%M:%S", &tm);
        if (rest && *rest == '.')
                for (rest++; *rest >= '0' && *rest <= '9'; rest++)
                        if (digits < 6) {
                                usec = usec * 10 + (unsigned)(*rest - '0');
                                digits++;
                        }
        for (; digits < 6; digits++)
                usec *= 10;
        if (!rest || !streq(rest, "Z")) {
                (void)snprintf(buf, 64, "%s", time);
                return buf;
        }

        seconds = timegm(&tm);
        if (!localtime_r(&seconds, &local) ||
                (n = strftime(buf, 48, "%Y-%m-%d %H:%M:%S", &local)) == 0)
                (void)snprintf(buf, 64, "%s", time);
        else
                (void)snprintf(buf + n, 64 - n, ".%03u", usec / 1000);
        return buf;
}

static void print_endpoints(FILE *out, struct json_object *event) {
        const char *local = json_get_string(event, "local", "?");
        const char *remote = json_get_string(event, "remote", "?");
        bool in = streq(json_get_string(event, "direction", ""), "in");

        /* A socket that is about to connect has no address of its own yet. */
        if (streq(local, "0.0.0.0:0") || streq(local, "[::]:0"))
                local = "*";
        (void)fprintf(out, "%s -> %s", in ? remote : local, in ? local : remote);
        if (json_object_object_get_ex(event, "icmp-type", NULL))
                (void)fprintf(out, " type %" PRIu64 " code %" PRIu64,
                        json_get_u64(event, "icmp-type"), json_get_u64(event, "icmp-code"));
}

static void print_task(FILE *out, struct json_object *event) {
        const char *comm = json_get_string(event, "comm", NULL);
        uint64_t pid = json_get_u64(event, "pid");
        struct json_object *uid = NULL;

        if (comm || pid)
                (void)fprintf(out, "  %s", comm ? comm : "?");
        if (pid)
                (void)fprintf(out, "[%" PRIu64 "]", pid);
        if (json_object_object_get_ex(event, "uid", &uid) &&
                json_object_is_type(uid, json_type_int))
                (void)fprintf(out, " uid %" PRIu64, json_object_get_uint64(uid));
}

static void print_event(FILE *out, struct json_object *event) {
        bool would = streq(json_get_string(event, "action", "denied"), "would-deny");
        const char *suggest = json_get_string(event, "suggest", NULL);
        uint64_t suppressed = json_get_u64(event, "suppressed");
        char time[64];

        (void)fprintf(out, "%s %-12s %s %-3s %s ",
                event_time_to_local(json_get_string(event, "time", "?"), time),
                json_get_string(event, "subject", "?"), would ? "WOULD-DENY" : "DENIED",
                json_get_string(event, "direction", "?"), json_get_string(event, "protocol", "?"));
        print_endpoints(out, event);
        print_task(out, event);
        (void)fprintf(out, "  %s  %s", json_get_string(event, "hook", "?"),
                json_get_string(event, "rule", "?"));
        if (suppressed)
                (void)fprintf(out, "  (+%" PRIu64 " suppressed)", suppressed);
        if (json_get_bool(event, "missed", false))
                (void)fputs("  (while no daemon ran)", out);
        if (suggest)
                (void)fprintf(out, "  allow: %s", suggest);
}

int event_line_format(struct json_object *event, bool color, char **ret) {
        bool would = streq(json_get_string(event, "action", ""), "would-deny");
        _cleanup_free_ char *safe = NULL, *line = NULL;
        _cleanup_fclose_ FILE *out = NULL;
        size_t size = 0;
        char *mark;

        if (!json_get_string(event, "subject", NULL) && !json_get_string(event, "direction", NULL))
                return -EBADMSG;

        out = open_memstream(&line, &size);
        if (!out)
                return -ENOMEM;
        print_event(out, event);
        if (fclose(TAKE_PTR(out)) != 0 || !line)
                return -ENOMEM;
        safe = text_make_safe(line);
        if (!safe)
                return -ENOMEM;

        /* Coloured after it was made safe, which would take the escapes away. */
        mark = color ? strstr(safe, would ? " WOULD-DENY " : " DENIED ") : NULL;
        if (mark) {
                int n = would ? 11 : 7;
                char *colored = NULL;

                if (asprintf(&colored, "%.*s%s%.*s" ANSI_RESET "%s", (int)(mark - safe), safe,
                            would ? ANSI_YELLOW : ANSI_RED, n, mark, mark + n) < 0)
                        return -ENOMEM;
                *ret = colored;
                return 0;
        }
        *ret = TAKE_PTR(safe);
        return 0;
}
