/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status, show, cat: what the daemon holds, and where it comes from. */
#include <fnmatch.h>
#include <inttypes.h>
#include <strings.h>

#include "client.h"
#include "exit-codes.h"
#include "format.h"
#include "policy/diag.h"
#include "util/macro.h"
#include "verbs.h"

static bool is_glob(const char *s) {
        return strpbrk(s, "*?[");
}

static bool is_selected(const char *name, char **args, size_t n_args) {
        for (size_t i = 0; i < n_args; i++)
                if (streq(args[i], name) || (is_glob(args[i]) && fnmatch(args[i], name, 0) == 0))
                        return true;
        return n_args == 0;
}

/* A subject that was named outright has to be there. */
static int check_names(struct json_object *units, char **args, size_t n_args) {
        _cleanup_free_ const char **names = NULL;
        size_t n = json_object_array_length(units);

        names = calloc(n + 1, sizeof(*names));
        if (!names)
                return ctl_oom();
        for (size_t i = 0; i < n; i++)
                names[i] = json_get_string(json_object_array_get_idx(units, i), "name", "");

        for (size_t i = 0; i < n_args; i++) {
                const char *guess;
                size_t k = 0;

                while (k < n && !streq(names[k], args[i]))
                        k++;
                if (k < n || is_glob(args[i]))
                        continue;
                guess = policy_did_you_mean(args[i], names);
                if (guess)
                        return ctl_fail(CTL_NO_SUCH,
                                "no subject '%s' (did you mean '%s'?); 'cgpolicyctl status' "
                                "lists them",
                                args[i], guess);
                return ctl_fail(
                        CTL_NO_SUCH, "no subject '%s'; 'cgpolicyctl status' lists them", args[i]);
        }
        return CTL_OK;
}

static const char *state_color(const char *state) {
        if (streq(state, "attached"))
                return ANSI_GREEN;
        return streq(state, "degraded") ? ANSI_RED : ANSI_YELLOW;
}

static int add_unit(Table *table, struct json_object *unit) {
        struct json_object *rules = json_get_array(unit, "rules");
        struct json_object *defaults = json_get_object(unit, "default");
        const char *in = json_get_string(defaults, "in", "?");
        const char *out = json_get_string(defaults, "out", "?");
        const char *state = json_get_string(unit, "state", "?");
        const char *mode = json_get_string(unit, "mode", "?");
        const char *refusal = json_get_string(unit, "errno", "EPERM");
        uint64_t would = json_get_u64(unit, "would-block");
        char n_rules[24], blocked[64], def[64];

        (void)snprintf(n_rules, sizeof(n_rules), "%zu",
                rules ? json_object_array_length(rules) : (size_t)0);
        (void)snprintf(blocked, sizeof(blocked), "%" PRIu64, json_get_u64(unit, "blocked"));
        if (would)
                (void)snprintf(blocked + strlen(blocked), sizeof(blocked) - strlen(blocked),
                        "+%" PRIu64 "-would", would);
        if (streq(in, out))
                (void)snprintf(def, sizeof(def), "%s", in);
        else
                (void)snprintf(def, sizeof(def), "in=%s,out=%s", in, out);
        if (!streq(refusal, "EPERM"))
                (void)snprintf(def + strlen(def), sizeof(def) - strlen(def), ",errno=%s", refusal);

        return table_add(table,
                (TableCell[]){
                        { json_get_string(unit, "name", "?"), NULL },
                        { mode, streq(mode, "enforce") ? NULL : ANSI_YELLOW },
                        { def, NULL },
                        { n_rules, NULL },
                        { blocked, NULL },
                        { state, state_color(state) },
                });
}

static void print_sentence(const Options *options, const char *what, const char *sentence) {
        _cleanup_free_ char *safe = text_make_safe(sentence);
        bool color = options_use_color(options);

        (void)printf("%s%s%s: %s\n", color ? ANSI_RED : "", what, color ? ANSI_RESET : "",
                safe ? safe : "out of memory");
}

/* Only what is wrong; nothing is said of a healthy daemon. */
static void print_problems(const Options *options, struct json_object *all) {
        struct json_object *degraded = json_get_array(all, "degraded");
        struct json_object *units = json_get_array(all, "units");
        struct json_object *flows = json_get_object(all, "flows");
        uint64_t lost = json_get_u64(all, "lost-events");
        uint64_t evicted = json_get_u64(flows, "evicted"), refused = json_get_u64(flows, "refused");

        for (size_t i = 0; degraded && i < json_object_array_length(degraded); i++)
                print_sentence(options, "Degraded",
                        strempty(json_object_get_string(json_object_array_get_idx(degraded, i))));
        for (size_t i = 0; units && i < json_object_array_length(units); i++) {
                struct json_object *unit = json_object_array_get_idx(units, i);
                const char *problem = json_get_string(unit, "problem", NULL);

                if (problem)
                        print_sentence(options, json_get_string(unit, "name", "?"), problem);
        }
        if (lost)
                (void)printf(
                        "Lost events: %" PRIu64 " (the counters are exact all the same)\n", lost);
        if (evicted || refused)
                (void)printf("Table of conversations: %" PRIu64 " of %" PRIu64 " in use, %" PRIu64
                             " evicted, %" PRIu64 " refused\n",
                        json_get_u64(flows, "entries"), json_get_u64(flows, "max"), evicted,
                        refused);
}

/* Leaves only what was asked for in the daemon's own object. */
static int select_units(
        struct json_object *all, struct json_object *units, char **args, size_t n_args) {
        _cleanup_json_ struct json_object *selected = json_object_new_array();

        if (!selected)
                return ctl_oom();
        for (size_t i = 0; i < json_object_array_length(units); i++) {
                struct json_object *unit = json_object_array_get_idx(units, i);

                if (!is_selected(json_get_string(unit, "name", ""), args, n_args))
                        continue;
                if (json_object_array_add(selected, json_object_get(unit)) < 0) {
                        (void)json_object_put(unit);
                        return ctl_oom();
                }
        }
        return json_put(all, "units", TAKE_PTR(selected)) < 0 ? ctl_oom() : CTL_OK;
}

static int print_units(
        const Options *options, struct json_object *units, char **args, size_t n_args) {
        static const char *const headers[] = {
                "SUBJECT",
                "MODE",
                "DEFAULT",
                "RULES",
                "BLOCKED",
                "STATE",
                NULL,
        };
        _cleanup_(table_freep) Table *table = NULL;
        size_t n = 0;

        if (table_new(headers, &table) < 0)
                return ctl_oom();
        table_align_right(table, 3);
        table_align_right(table, 4);
        for (size_t i = 0; i < json_object_array_length(units); i++) {
                struct json_object *unit = json_object_array_get_idx(units, i);

                if (!is_selected(json_get_string(unit, "name", ""), args, n_args))
                        continue;
                if (add_unit(table, unit) < 0)
                        return ctl_oom();
                n++;
        }
        if (n > 0)
                table_print(table, stdout, options->legend, options_use_color(options));
        else if (options->legend && n_args > 0)
                (void)fputs("No subject matches; 'cgpolicyctl status' lists them all.\n", stderr);
        else if (options->legend)
                (void)fputs("No subjects. 'cgpolicyctl run NAME -- CMD' starts one.\n", stderr);
        return CTL_OK;
}

int verb_status(const Options *options, char **args, size_t n_args) {
        _cleanup_(client_closep) Client *client = NULL;
        _cleanup_json_ struct json_object *all = NULL;
        struct json_object *units;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_describe(client, NULL, &all);
        if (r != CTL_OK)
                return r;
        units = json_get_array(all, "units");
        if (!units)
                return client_bad_message(-EBADMSG);
        r = check_names(units, args, n_args);
        if (r != CTL_OK || options->quiet)
                return r;

        if (options->json != JSON_OFF) {
                r = select_units(all, units, args, n_args);
                if (r == CTL_OK)
                        json_print(options, all);
                return r;
        }
        r = print_units(options, units, args, n_args);
        if (r == CTL_OK)
                print_problems(options, all);
        return r;
}

/* The bus properties' names are understood too. */
static const char *property_alias(const char *name) {
        static const char *const aliases[][2] = {
                { "ControlGroup", "cgroup" },
                { "ControlGroupId", "cgroup-id" },
                { "AttachState", "state" },
                { "SourcePaths", "sources" },
                { "DefaultIn", "default.in" },
                { "DefaultOut", "default.out" },
                { "AllowedPackets", "passed" },
                { "BlockedPackets", "blocked" },
                { "LastBlocked", "last-blocked" },
        };

        for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
                if (strcasecmp(aliases[i][0], name) == 0)
                        return aliases[i][1];
        return name;
}

/* 0: there is none of that name. */
static bool property_find(struct json_object *unit, const char *name, struct json_object **ret) {
        const char *dot = strchr(name, '.');
        size_t n = dot ? (size_t)(dot - name) : strlen(name);

        if (!json_object_is_type(unit, json_type_object))
                return false;
        json_object_object_foreach(unit, key, value) {
                if (strlen(key) != n || strncasecmp(key, name, n) != 0)
                        continue;
                if (dot)
                        return property_find(value, dot + 1, ret);
                *ret = value;
                return true;
        }
        return false;
}

static int print_property(const Options *options, struct json_object *unit, const char *name) {
        _cleanup_free_ char *safe = NULL;
        struct json_object *value = NULL;
        const char *text;

        if (!property_find(unit, property_alias(name), &value))
                return ctl_fail(CTL_USAGE,
                        "no property '%s'; the keys of 'cgpolicyctl show SUBJECT --json=pretty' are "
                        "properties",
                        name);
        if (!value)
                text = "";
        else if (json_object_is_type(value, json_type_string))
                text = json_object_get_string(value);
        else
                text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
        safe = text_make_safe(strempty(text));
        if (!safe)
                return ctl_oom();
        if (options->quiet)
                return CTL_OK;
        if (options->seen & OPTION_VALUE)
                (void)puts(safe);
        else
                (void)printf("%s=%s\n", name, safe);
        return CTL_OK;
}

static int print_properties(const Options *options, struct json_object *unit) {
        for (size_t i = 0; i < options->n_properties; i++) {
                _cleanup_free_ char *list = strdup(options->properties[i]);
                char *rest = list, *name;
                int r;

                if (!list)
                        return ctl_oom();
                while ((name = strsep(&rest, ","))) {
                        r = print_property(options, unit, name);
                        if (r != CTL_OK)
                                return r;
                }
        }
        return CTL_OK;
}

static int add_rule(Table *table, struct json_object *rule, const char *id, const char *layer,
        const char *text, const char *source) {
        char packets[24], bytes[24], blocked[64];
        uint64_t would = json_get_u64(rule, "would-block");

        (void)snprintf(packets, sizeof(packets), "%" PRIu64, json_get_u64(rule, "packets"));
        (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, json_get_u64(rule, "bytes"));
        (void)snprintf(blocked, sizeof(blocked), "%" PRIu64, json_get_u64(rule, "blocked"));
        if (would)
                (void)snprintf(blocked + strlen(blocked), sizeof(blocked) - strlen(blocked),
                        "+%" PRIu64 "-would", would);
        return table_add(table,
                (TableCell[]){
                        { id, NULL },
                        { layer, NULL },
                        { text, startswith(text, "allow") ? ANSI_GREEN : ANSI_RED },
                        { packets, NULL },
                        { bytes, NULL },
                        { blocked, NULL },
                        { source, NULL },
                });
}

static int add_default(Table *table, struct json_object *unit, const char *direction) {
        struct json_object *counts = json_get_object(json_get_object(unit, "defaults"), direction);
        char id[32], text[64];

        (void)snprintf(id, sizeof(id), "default.%s", direction);
        (void)snprintf(text, sizeof(text), "%s %s",
                json_get_string(json_get_object(unit, "default"), direction, "?"), direction);
        return add_rule(table, counts, id, NULL, text,
                json_get_string(json_get_object(unit, "default-source"), direction, NULL));
}

static int print_rules(const Options *options, struct json_object *unit) {
        static const char *const headers[] = {
                "ID",
                "LAYER",
                "RULE",
                "PACKETS",
                "BYTES",
                "BLOCKED",
                "SOURCE",
                NULL,
        };
        struct json_object *rules = json_get_array(unit, "rules");
        _cleanup_(table_freep) Table *table = NULL;

        if (table_new(headers, &table) < 0)
                return ctl_oom();
        for (size_t column = 3; column <= 5; column++)
                table_align_right(table, column);
        for (size_t i = 0; rules && i < json_object_array_length(rules); i++) {
                struct json_object *rule = json_object_array_get_idx(rules, i);

                if (add_rule(table, rule, json_get_string(rule, "id", NULL),
                            json_get_string(rule, "layer", NULL),
                            json_get_string(rule, "rule", "?"),
                            json_get_string(rule, "source", NULL)) < 0)
                        return ctl_oom();
        }
        if (add_default(table, unit, "in") < 0 || add_default(table, unit, "out") < 0)
                return ctl_oom();
        table_print(table, stdout, options->legend, options_use_color(options));
        return CTL_OK;
}

static void print_fact(const char *name, const char *value) {
        _cleanup_free_ char *safe = text_make_safe(value);

        (void)printf("  %-11s %s\n", name, safe ? safe : "out of memory");
}

static void print_facts(struct json_object *unit) {
        const char *problem = json_get_string(unit, "problem", NULL);
        _cleanup_free_ char *name = text_make_safe(json_get_string(unit, "name", "?"));
        uint64_t would = json_get_u64(unit, "would-block");

        (void)printf("%s\n", strempty(name));
        print_fact("state", json_get_string(unit, "state", "?"));
        if (problem)
                print_fact("problem", problem);
        print_fact("mode", json_get_string(unit, "mode", "?"));
        print_fact("errno", json_get_string(unit, "errno", "?"));
        print_fact("profile", json_get_string(unit, "profile", "none"));
        print_fact("cgroup", json_get_string(unit, "cgroup", "none"));
        (void)printf("  %-11s %" PRIu64 "\n", "generation", json_get_u64(unit, "generation"));
        (void)printf("  %-11s %" PRIu64 " packets, %" PRIu64 " bytes\n", "passed",
                json_get_u64(unit, "passed"), json_get_u64(unit, "bytes"));
        (void)printf("  %-11s %" PRIu64 "\n", "blocked", json_get_u64(unit, "blocked"));
        if (would)
                (void)printf("  %-11s %" PRIu64 " (audit)\n", "would-block", would);
        (void)putchar('\n');
}

int verb_show(const Options *options, char **args, size_t n_args) {
        _cleanup_(client_closep) Client *client = NULL;
        _cleanup_json_ struct json_object *unit = NULL;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_describe(client, args[0], &unit);
        if (r != CTL_OK)
                return r;

        if (options->n_properties)
                return print_properties(options, unit);
        if (options->quiet)
                return CTL_OK;
        if (options->json != JSON_OFF) {
                json_print(options, unit);
                return CTL_OK;
        }
        if (options->legend)
                print_facts(unit);
        return print_rules(options, unit);
}

static int add_source(
        struct json_object *array, const char *path, const char *layer, const char *text) {
        _cleanup_json_ struct json_object *source = json_object_new_object();

        if (!source || json_put_string(source, "path", path) < 0 ||
                json_put_string(source, "layer", layer) < 0 ||
                json_put_string(source, "text", text) < 0)
                return -ENOMEM;
        if (json_object_array_add(array, source) < 0)
                return -ENOMEM;
        (void)TAKE_PTR(source);
        return 0;
}

static void print_source(const char *path, const char *text, bool first) {
        _cleanup_free_ char *safe = text_make_safe(path);
        size_t n = strlen(text);

        (void)printf("%s# %s\n%s%s", first ? "" : "\n", safe ? safe : "?", text,
                n > 0 && text[n - 1] != '\n' ? "\n" : "");
}

int verb_cat(const Options *options, char **args, size_t n_args) {
        _cleanup_(client_closep) Client *client = NULL;
        _cleanup_json_ struct json_object *array = json_object_new_array();
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path, *layer, *text;
        bool first = true;
        int r;

        if (!array)
                return ctl_oom();
        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_call(client, args[0], "GetSources", &reply, "s", args[0]);
        if (r != CTL_OK || options->quiet)
                return r;

        r = sd_bus_message_enter_container(reply, 'a', "(sss)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sss)", &path, &layer, &text)) > 0) {
                if (options->json == JSON_OFF)
                        print_source(path, text, first);
                else if (add_source(array, path, layer, text) < 0)
                        return ctl_oom();
                first = false;
        }
        if (r < 0)
                return client_bad_message(r);
        if (options->json != JSON_OFF)
                json_print(options, array);
        return CTL_OK;
}
