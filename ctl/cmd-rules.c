/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* allow, deny, never, default, mode, remove, profile: changes of one subject. */
#include <inttypes.h>

#include "client.h"
#include "exit-codes.h"
#include "format.h"
#include "rule-text.h"
#include "util/macro.h"
#include "verbs.h"

/* A change as JSON: the unit and the generation, and between them pairs of key and string that end with NULL
 * (a NULL string is null). */
static int print_change(const Options *options, const char *unit, struct json_object *rules,
        uint64_t generation, ...) __attribute__((sentinel));

static int print_change(const Options *options, const char *unit, struct json_object *rules,
        uint64_t generation, ...) {
        _cleanup_json_ struct json_object *change = json_object_new_object();
        const char *key;
        va_list ap;
        int r;

        if (!change)
                return ctl_oom();
        r = json_put_string(change, "unit", unit);
        if (r >= 0 && rules)
                r = json_put(change, "rules", json_object_get(rules));
        va_start(ap, generation);
        while (r >= 0 && (key = va_arg(ap, const char *)))
                r = json_put_string(change, key, va_arg(ap, const char *));
        va_end(ap);
        if (r >= 0)
                r = json_put_u64(change, "generation", generation);
        if (r < 0)
                return ctl_oom();
        json_print(options, change);
        return CTL_OK;
}

static int lines_to_json(const char *lines, struct json_object **ret) {
        _cleanup_json_ struct json_object *array = json_object_new_array();
        _cleanup_free_ char *copy = strdup(lines);
        char *rest = copy, *line;

        if (!array || !copy)
                return -ENOMEM;
        while ((line = strsep(&rest, "\n"))) {
                struct json_object *string = *line ? json_object_new_string(line) : NULL;

                if (*line && (!string || json_object_array_add(array, string) < 0)) {
                        (void)json_object_put(string);
                        return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(array);
        return 0;
}

static int print_rules(const Options *options, const char *unit, const char *expanded,
        const char *id, uint64_t generation) {
        _cleanup_json_ struct json_object *rules = NULL;
        size_t width = 0, n;

        if (options->quiet)
                return CTL_OK;
        if (lines_to_json(expanded, &rules) < 0)
                return ctl_oom();
        if (options->json != JSON_OFF)
                return print_change(options, unit, rules, generation, "id", id, NULL);

        n = json_object_array_length(rules);
        for (size_t i = 0; i < n; i++)
                width = MAX(
                        width, strlen(json_object_get_string(json_object_array_get_idx(rules, i))));
        for (size_t i = 0; i < n; i++)
                (void)printf("%s: %-*s   rule %s  generation %" PRIu64 "\n", unit, (int)width,
                        json_object_get_string(json_object_array_get_idx(rules, i)), id,
                        generation);
        return CTL_OK;
}

/* What a person who writes the first bind rule will not expect. */
static void print_bind_note(PolicyVerdict verdict, const char *expanded) {
        const char *body = strchr(expanded, ' ');

        if (!body || !startswith(body, " bind "))
                return;
        (void)fflush(stdout);
        if (verdict == POLICY_ALLOW)
                (void)fputs(
                        "Note: a bind that no rule is about is allowed; 'deny SUBJECT bind' refuses "
                        "the others.\n",
                        stderr);
        else
                (void)fputs(
                        "Note: ports that are taken without bind(), by connect() or listen(), are not "
                        "refused; 'in' rules decide who reaches them.\n",
                        stderr);
}

static int add_rule(const Options *options, char **args, size_t n_args, PolicyVerdict verdict,
        const char *method) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_free_ char *body = NULL, *expanded = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        const char *id;
        uint64_t generation;
        int r;

        body = words_join(args + 1, n_args - 1);
        if (!body)
                return ctl_oom();
        r = rule_check_body(verdict, body, &expanded);
        if (r != CTL_OK)
                return r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, method, &call);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_append(call, "ss", args[0], body);
        if (r >= 0)
                r = client_append_options(call, "comment", options->comment, NULL);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, args[0], &reply);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "st", &id, &generation);
        if (r < 0)
                return client_bad_message(r);
        r = print_rules(options, args[0], expanded, id, generation);
        if (r == CTL_OK && options->legend && !options->quiet && options->json == JSON_OFF)
                print_bind_note(verdict, expanded);
        return r;
}

int verb_allow(const Options *options, char **args, size_t n_args) {
        return add_rule(options, args, n_args, POLICY_ALLOW, "Allow");
}

int verb_deny(const Options *options, char **args, size_t n_args) {
        return add_rule(options, args, n_args, POLICY_DENY, "Deny");
}

int verb_never(const Options *options, char **args, size_t n_args) {
        return add_rule(options, args, n_args, POLICY_NEVER, "Never");
}

/* A call with strings and no options, answered by a generation. b and c may be NULL. */
static int change(const Options *options, const char *method, const char *unit, const char *b,
        const char *c, uint64_t *ret_generation) {
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, method, &call);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_append(call, "s", unit);
        if (r >= 0 && b)
                r = sd_bus_message_append(call, "s", b);
        if (r >= 0 && c)
                r = sd_bus_message_append(call, "s", c);
        if (r >= 0)
                r = client_append_options(call, NULL);
        if (r < 0)
                return client_bad_message(r);
        return client_send_change(client, call, unit, ret_generation);
}

int verb_default(const Options *options, char **args, size_t n_args) {
        const char *direction = n_args == 3 ? args[1] : "", *verdict = args[n_args - 1];
        uint64_t generation;
        int r;

        if (*direction && !streq(direction, "in") && !streq(direction, "out"))
                return ctl_fail(CTL_USAGE, "'%s' is no direction; write in or out", direction);
        if (policy_default_from_string(verdict) < 0)
                return ctl_fail(CTL_USAGE, "'%s' is no default; write allow or deny", verdict);

        r = change(options, "SetDefault", args[0], direction, verdict, &generation);
        if (r != CTL_OK || options->quiet)
                return r;
        if (options->json != JSON_OFF)
                return print_change(options, args[0], NULL, generation, "direction",
                        *direction ? direction : NULL, "default", verdict, NULL);
        if (!*direction || streq(direction, "in"))
                (void)printf("%s: default in %s   generation %" PRIu64 "\n", args[0], verdict,
                        generation);
        if (!*direction || streq(direction, "out"))
                (void)printf("%s: default out %s   generation %" PRIu64 "\n", args[0], verdict,
                        generation);
        return CTL_OK;
}

int verb_mode(const Options *options, char **args, size_t n_args) {
        uint64_t generation;
        int r;

        if (policy_mode_from_string(args[1]) < 0)
                return ctl_fail(CTL_USAGE, "'%s' is no mode; write enforce, audit or off", args[1]);
        r = change(options, "SetMode", args[0], args[1], NULL, &generation);
        if (r != CTL_OK || options->quiet)
                return r;
        if (options->json != JSON_OFF)
                return print_change(options, args[0], NULL, generation, "mode", args[1], NULL);
        (void)printf("%s: mode %s   generation %" PRIu64 "\n", args[0], args[1], generation);
        return CTL_OK;
}

int verb_remove(const Options *options, char **args, size_t n_args) {
        bool whole = n_args > 2 || strchr(args[1], ' ');
        _cleanup_json_ struct json_object *rules = NULL;
        _cleanup_free_ char *rule = NULL, *expanded = NULL;
        uint64_t generation;
        int r;

        rule = words_join(args + 1, n_args - 1);
        if (!rule)
                return ctl_oom();
        if (whole && !startswith(rule, "allow ") && !startswith(rule, "deny ") &&
                !startswith(rule, "never "))
                return ctl_fail(CTL_USAGE,
                        "'%s' is neither a rule's id nor a whole rule; write the verdict too: "
                        "cgpolicyctl remove %s allow %s",
                        rule, args[0], rule);
        if (whole) {
                r = rule_check_whole(rule, &expanded);
                if (r != CTL_OK)
                        return r;
                if (lines_to_json(expanded, &rules) < 0)
                        return ctl_oom();
        }

        r = change(options, "RemoveRule", args[0], rule, NULL, &generation);
        if (r != CTL_OK || options->quiet)
                return r;
        if (options->json != JSON_OFF && whole)
                return print_change(options, args[0], rules, generation, NULL);
        if (options->json != JSON_OFF)
                return print_change(options, args[0], NULL, generation, "id", rule, NULL);
        (void)printf("%s: removed %s   generation %" PRIu64 "\n", args[0], rule, generation);
        return CTL_OK;
}

static int list_profiles(const Options *options) {
        static const char *const headers[] = { "PROFILE", "SOURCE", NULL };
        _cleanup_json_ struct json_object *array = json_object_new_array();
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        _cleanup_(table_freep) Table *table = NULL;
        const char *name, *source;
        int r;

        if (!array || table_new(headers, &table) < 0)
                return ctl_oom();
        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_call(client, NULL, "ListProfiles", &reply, NULL);
        if (r != CTL_OK || options->quiet)
                return r;

        r = sd_bus_message_enter_container(reply, 'a', "(ss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &name, &source)) > 0) {
                struct json_object *profile = json_object_new_object();

                if (!profile || json_object_array_add(array, profile) < 0) {
                        (void)json_object_put(profile);
                        return ctl_oom();
                }
                if (json_put_string(profile, "profile", name) < 0 ||
                        json_put_string(profile, "source", source) < 0 ||
                        table_add(table, (TableCell[]){ { name, NULL }, { source, NULL } }) < 0)
                        return ctl_oom();
        }
        if (r < 0)
                return client_bad_message(r);
        if (options->json != JSON_OFF)
                json_print(options, array);
        else
                table_print(table, stdout, options->legend, options_use_color(options));
        return CTL_OK;
}

int verb_profile(const Options *options, char **args, size_t n_args) {
        const char *profile;
        uint64_t generation;
        int r;

        if (n_args == 0)
                return list_profiles(options);
        if (n_args == 1)
                return ctl_fail(CTL_USAGE,
                        "which profile? Write 'cgpolicyctl profile %s NAME' or 'none'; 'cgpolicyctl "
                        "profile' lists them",
                        args[0]);

        profile = streq(args[1], "none") ? "" : args[1];
        r = change(options, "SetProfile", args[0], profile, NULL, &generation);
        if (r != CTL_OK || options->quiet)
                return r;
        if (options->json != JSON_OFF)
                return print_change(options, args[0], NULL, generation, "profile",
                        *profile ? profile : NULL, NULL);
        (void)printf("%s: profile %s   generation %" PRIu64 "\n", args[0], args[1], generation);
        return CTL_OK;
}
