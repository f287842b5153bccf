/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lists: the named lists, what is in force of them, and why it is not what their files say. */
#include <fnmatch.h>
#include <inttypes.h>
#include <time.h>

#include "client.h"
#include "event-line.h"
#include "exit-codes.h"
#include "format.h"
#include "policy/diag.h"
#include "util/macro.h"
#include "util/strv.h"
#include "verbs.h"

/* RFC 3339 in UTC. buf holds 64 bytes. Returns buf, or NULL for never. */
static const char *time_to_string(uint64_t usec, char buf[64]) {
        time_t seconds = (time_t)(usec / 1000000);
        struct tm tm;
        size_t n;

        if (usec == 0 || !gmtime_r(&seconds, &tm))
                return NULL;
        n = strftime(buf, 64, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(buf + n, 64 - n, ".%06uZ", (unsigned)(usec % 1000000));
        return buf;
}

static int add_users(struct json_object *object, char **users) {
        struct json_object *array = json_object_new_array();

        if (json_put(object, "used-by", array) < 0)
                return -ENOMEM;
        for (char **user = users; user && *user; user++) {
                struct json_object *name = json_object_new_string(*user);

                if (!name || json_object_array_add(array, name) < 0) {
                        (void)json_object_put(name);
                        return -ENOMEM;
                }
        }
        return 0;
}

/* One element of the answer. Returns as sd_bus_message_read() does. */
static int read_list(sd_bus_message *reply, struct json_object *array) {
        const char *name, *source, *defined, *state, *error;
        _cleanup_(strv_freep) char **users = NULL;
        struct json_object *object;
        uint64_t n4, n6, loaded;
        char time[64];
        int r;

        r = sd_bus_message_enter_container(reply, 'r', "ssstttssas");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(
                reply, "ssstttss", &name, &source, &defined, &n4, &n6, &loaded, &state, &error);
        if (r >= 0)
                r = sd_bus_message_read_strv(reply, &users);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r < 0)
                return r;

        object = json_object_new_object();
        if (!object || json_object_array_add(array, object) < 0) {
                (void)json_object_put(object);
                return -ENOMEM;
        }
        if (json_put_string(object, "name", name) < 0 || json_put_u64(object, "ipv4", n4) < 0 ||
                json_put_u64(object, "ipv6", n6) < 0 ||
                json_put_string(object, "source", source) < 0 ||
                json_put_string(object, "defined", defined) < 0 ||
                json_put_string(object, "state", state) < 0 ||
                json_put_string(object, "error", *error ? error : NULL) < 0 ||
                json_put_string(object, "loaded", time_to_string(loaded, time)) < 0 ||
                add_users(object, users) < 0)
                return -ENOMEM;
        return 1;
}

static int ask(const Options *options, struct json_object *array) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_call(client, NULL, "ListLists", &reply, NULL);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_enter_container(reply, 'a', "(ssstttssas)");
        while (r > 0)
                r = read_list(reply, array);
        return r < 0 ? client_bad_message(r) : CTL_OK;
}

static bool is_glob(const char *s) {
        return strpbrk(s, "*?[");
}

static const char *list_name(struct json_object *lists, size_t i) {
        return json_get_string(json_object_array_get_idx(lists, i), "name", "");
}

/* A list that was named outright has to be there. "@ads" is "ads". */
static int check_names(struct json_object *lists, char **args, size_t n_args) {
        size_t n = json_object_array_length(lists);
        _cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));

        if (!names)
                return ctl_oom();
        for (size_t i = 0; i < n; i++)
                names[i] = list_name(lists, i);
        for (size_t i = 0; i < n_args; i++) {
                const char *guess;
                size_t k = 0;

                while (k < n && !streq(names[k], args[i]))
                        k++;
                if (k < n || is_glob(args[i]))
                        continue;
                guess = policy_did_you_mean(args[i], names);
                return ctl_fail(CTL_NO_SUCH, "no list '%s'%s%s%s; %s", args[i],
                        guess ? " (did you mean '" : "", strempty(guess), guess ? "'?)" : "",
                        n > 0 ? "'cgpolicyctl lists' shows them"
                              : "define it in a policy file, see cgpolicyctl(1)");
        }
        return CTL_OK;
}

static int select_lists(
        struct json_object *lists, char **args, size_t n_args, struct json_object **ret) {
        _cleanup_json_ struct json_object *selected = json_object_new_array();

        if (!selected)
                return ctl_oom();
        for (size_t i = 0; i < json_object_array_length(lists); i++) {
                struct json_object *list = json_object_array_get_idx(lists, i);
                bool wanted = n_args == 0;

                for (size_t k = 0; k < n_args && !wanted; k++)
                        wanted = streq(args[k], list_name(lists, i)) ||
                                fnmatch(args[k], list_name(lists, i), 0) == 0;
                if (!wanted)
                        continue;
                if (json_object_array_add(selected, json_object_get(list)) < 0) {
                        (void)json_object_put(list);
                        return ctl_oom();
                }
        }
        *ret = TAKE_PTR(selected);
        return CTL_OK;
}

/* "a,b". Owned; NULL without memory. */
static char *users_to_string(struct json_object *users) {
        char *text = strdup("");

        for (size_t i = 0; text && users && i < json_object_array_length(users); i++) {
                _cleanup_free_ char *before = text;

                if (asprintf(&text, "%s%s%s", before, i > 0 ? "," : "",
                            strempty(json_object_get_string(json_object_array_get_idx(users, i)))) <
                        0)
                        text = NULL;
        }
        return text;
}

static const char *state_color(const char *state) {
        if (streq(state, "loaded"))
                return ANSI_GREEN;
        return streq(state, "kept") ? ANSI_YELLOW : ANSI_RED;
}

static int add_row(Table *table, struct json_object *list) {
        _cleanup_free_ char *users = users_to_string(json_get_array(list, "used-by"));
        const char *loaded = json_get_string(list, "loaded", NULL);
        const char *state = json_get_string(list, "state", "?");
        char n4[24], n6[24], time[64];

        if (!users)
                return -ENOMEM;
        (void)snprintf(n4, sizeof(n4), "%" PRIu64, json_get_u64(list, "ipv4"));
        (void)snprintf(n6, sizeof(n6), "%" PRIu64, json_get_u64(list, "ipv6"));
        return table_add(table,
                (TableCell[]){
                        { json_get_string(list, "name", "?"), NULL },
                        { n4, NULL },
                        { n6, NULL },
                        { json_get_string(list, "source", NULL), NULL },
                        { state, state_color(state) },
                        { loaded ? event_time_to_local(loaded, time) : NULL, NULL },
                        { users, NULL },
                        { json_get_string(list, "defined", NULL), NULL },
                });
}

static int print_lists(const Options *options, struct json_object *lists) {
        static const char *const headers[] = {
                "LIST",
                "IPV4",
                "IPV6",
                "SOURCE",
                "STATE",
                "LOADED",
                "USED BY",
                "DEFINED",
                NULL,
        };
        _cleanup_(table_freep) Table *table = NULL;
        size_t n = json_object_array_length(lists);

        if (n == 0) {
                if (options->legend)
                        (void)fputs("No lists. \"lists\" in a policy file defines them.\n", stderr);
                return CTL_OK;
        }
        if (table_new(headers, &table) < 0)
                return ctl_oom();
        table_align_right(table, 1);
        table_align_right(table, 2);
        for (size_t i = 0; i < n; i++)
                if (add_row(table, json_object_array_get_idx(lists, i)) < 0)
                        return ctl_oom();
        table_print(table, stdout, options->legend, options_use_color(options));
        for (size_t i = 0; i < n; i++) {
                struct json_object *list = json_object_array_get_idx(lists, i);
                const char *error = json_get_string(list, "error", NULL);
                _cleanup_free_ char *safe = text_make_safe(strempty(error));

                if (error)
                        (void)printf("%s: %s; %s\n", list_name(lists, i), strempty(safe),
                                streq(json_get_string(list, "state", ""), "kept")
                                        ? "its last good content stays in force"
                                        : "no rule can use it");
        }
        return CTL_OK;
}

int verb_lists(const Options *options, char **args, size_t n_args) {
        _cleanup_json_ struct json_object *all = json_object_new_array(), *lists = NULL;
        int r;

        if (!all)
                return ctl_oom();
        for (size_t i = 0; i < n_args; i++)
                if (*args[i] == '@')
                        args[i]++;
        r = ask(options, all);
        if (r != CTL_OK)
                return r;
        r = check_names(all, args, n_args);
        if (r != CTL_OK || options->quiet)
                return r;
        r = select_lists(all, args, n_args, &lists);
        if (r != CTL_OK)
                return r;
        if (options->json == JSON_OFF)
                return print_lists(options, lists);
        json_print(options, lists);
        return CTL_OK;
}
