/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* apply, check, reload, attach, detach: policy files, and whether they are enforced. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "check-lists.h"
#include "client.h"
#include "exit-codes.h"
#include "format.h"
#include "rule-text.h"
#include "util/macro.h"
#include "verbs.h"

typedef struct PolicyText {
        const char *path; /* what diagnostics name */
        const char *file; /* where it stands, or NULL */
        char *bytes;
        size_t size;
} PolicyText;

static void policy_text_done(PolicyText *text) {
        free(text->bytes);
}

static int read_all(int fd, PolicyText *text) {
        size_t allocated = 0;

        for (;;) {
                ssize_t n;

                /* One byte stays free for a NUL: the text also travels as a string. */
                if (text->size + 1 >= allocated) {
                        size_t more = MAX(allocated * 2, (size_t)64 * 1024);
                        char *bytes = realloc(text->bytes, more);

                        if (!bytes)
                                return -ENOMEM;
                        text->bytes = bytes;
                        allocated = more;
                }
                n = read(fd, text->bytes + text->size, allocated - text->size - 1);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                text->size += n > 0 ? (size_t)n : 0;
                if (text->size > POLICY_FILE_SIZE_MAX)
                        return -EFBIG;
        }
        text->bytes[text->size] = '\0';
        return 0;
}

/* A file, a pipe (for `<(command)`), or standard input. */
static int policy_text_read(const char *path, PolicyText *ret) {
        bool standard_input = streq(path, "-");
        _cleanup_(policy_text_done)
                PolicyText text = { .path = path, .file = standard_input ? NULL : path };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (standard_input)
                text.path = "<stdin>";
        else {
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (fd < 0)
                        return ctl_fail(CTL_FAILURE, "cannot open '%s': %m", path);
        }
        r = read_all(standard_input ? STDIN_FILENO : fd, &text);
        if (r == -EFBIG)
                return ctl_fail(CTL_INVALID,
                        "%s: longer than %u bytes; split it into several files", text.path,
                        POLICY_FILE_SIZE_MAX);
        if (r < 0)
                return ctl_fail(CTL_FAILURE, "cannot read '%s': %s", text.path, strerror(-r));
        *ret = text;
        text.bytes = NULL;
        return CTL_OK;
}

/* CTL_INVALID without a word: the diagnostics tell, and the caller prints them. */
static int policy_text_parse(
        const PolicyText *text, bool with_lists, PolicyDiags *diags, size_t *ret_n_rules) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        int r;

        r = policy_parse_file(text->path, text->bytes, text->size, &ctl_services, diags, &file);
        if (r == -ENOMEM)
                return ctl_oom();
        if (r < 0)
                return CTL_INVALID;
        *ret_n_rules = file->n_rules;
        r = with_lists ? check_lists(file, text->file, diags) : 0;
        if (r == -ENOMEM)
                return ctl_oom();
        if (r < 0)
                return CTL_INVALID;
        return CTL_OK;
}

static int add_diagnostic(struct json_object *array, const PolicyDiag *diag) {
        struct json_object *object = json_object_new_object();

        if (!object || json_object_array_add(array, object) < 0) {
                (void)json_object_put(object);
                return -ENOMEM;
        }
        if (json_put_string(object, "path", diag->path) < 0 ||
                json_put_u64(object, "line", diag->line) < 0 ||
                json_put_u64(object, "column", diag->column) < 0 ||
                json_put_string(object, "severity",
                        diag->severity == POLICY_ERROR ? "error" : "warning") < 0 ||
                json_put_string(object, "code", diag->code) < 0 ||
                json_put_string(object, "message", diag->message) < 0)
                return -ENOMEM;
        return 0;
}

/* One file's entry in the answer of check. */
static int add_checked(struct json_object *files, const PolicyText *text, const PolicyDiags *diags,
        bool valid, size_t n_rules) {
        struct json_object *object = json_object_new_object();
        struct json_object *array;

        if (!object || json_object_array_add(files, object) < 0) {
                (void)json_object_put(object);
                return -ENOMEM;
        }
        array = json_object_new_array();
        if (json_put_string(object, "path", text->path) < 0 ||
                json_put_bool(object, "valid", valid) < 0 ||
                json_put_u64(object, "rules", n_rules) < 0 ||
                json_put(object, "diagnostics", array) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < diags->n_diags; i++)
                if (add_diagnostic(array, &diags->diags[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static int check_file(const Options *options, const char *path, struct json_object *files) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_(policy_text_done) PolicyText text = {};
        size_t n_rules = 0;
        int r;

        r = policy_text_read(path, &text);
        if (r != CTL_OK)
                return r;
        r = policy_text_parse(&text, /* with_lists= */ true, &diags, &n_rules);
        if (r != CTL_OK && r != CTL_INVALID)
                return r;
        if (options->json != JSON_OFF)
                return add_checked(files, &text, &diags, r == CTL_OK, n_rules) < 0 ? ctl_oom() : r;

        (void)fflush(stdout);
        diags_print(&diags);
        if (r == CTL_OK && !options->quiet)
                (void)printf(
                        "%s: valid, %zu rule%s\n", text.path, n_rules, n_rules == 1 ? "" : "s");
        return r;
}

int verb_check(const Options *options, char **args, size_t n_args) {
        _cleanup_json_ struct json_object *answer = json_object_new_object();
        struct json_object *files = json_object_new_array();
        int result = CTL_OK;

        if (!answer || json_put(answer, "files", files) < 0)
                return ctl_oom();
        for (size_t i = 0; i < n_args; i++) {
                int r = check_file(options, args[i], files);

                /* A file that cannot be read weighs more than one that is invalid. */
                if (r == CTL_INVALID ? result == CTL_OK : r != CTL_OK)
                        result = r;
        }
        if (options->json != JSON_OFF && !options->quiet) {
                if (json_put_bool(answer, "valid", result == CTL_OK) < 0)
                        return ctl_oom();
                json_print(options, answer);
        }
        return result;
}

static void print_diff_lines(
        const Options *options, struct json_object *unit, const char *key, char sign) {
        struct json_object *rules = json_get_array(unit, key);
        bool color = options_use_color(options);

        for (size_t i = 0; rules && i < json_object_array_length(rules); i++) {
                struct json_object *rule = json_object_array_get_idx(rules, i);
                _cleanup_free_ char *safe = text_make_safe(strempty(json_object_get_string(rule)));

                (void)printf("%s  %c %s%s\n",
                        !color                ? ""
                                : sign == '+' ? ANSI_GREEN
                                              : ANSI_RED,
                        sign, strempty(safe), color ? ANSI_RESET : "");
        }
}

static int print_diff(
        const Options *options, struct json_object *diff, uint64_t generation, bool dry_run) {
        struct json_object *units = json_get_object(diff, "units");

        if (options->json != JSON_OFF) {
                if (json_put_u64(diff, "generation", generation) < 0 ||
                        json_put_bool(diff, "dry-run", dry_run) < 0)
                        return ctl_oom();
                json_print(options, diff);
                return CTL_OK;
        }

        if (units) {
                json_object_object_foreach(units, name, unit) {
                        _cleanup_free_ char *safe = text_make_safe(name);

                        (void)printf(
                                "%s: %s\n", strempty(safe), json_get_string(unit, "change", "?"));
                        print_diff_lines(options, unit, "added", '+');
                        print_diff_lines(options, unit, "removed", '-');
                }
        }
        if (dry_run)
                (void)printf("dry run: nothing was changed   generation %" PRIu64 "\n", generation);
        else
                (void)printf("applied   generation %" PRIu64 "\n", generation);
        return CTL_OK;
}

/* A file is kept under its own name, so that another one does not replace it. Owned; NULL without memory. */
static char *apply_name(const char *path) {
        const char *base = strrchr(path, '/');
        size_t n;
        char *name;

        base = base ? base + 1 : path;
        n = strlen(base);
        if (streq(base, "-"))
                return strdup("stdin.json");
        if (n > 5 && streq(base + n - 5, ".json"))
                return strdup(base);
        return asprintf(&name, "%s.json", base) < 0 ? NULL : name;
}

static int append_apply_options(sd_bus_message *call, const char *name, bool dry_run) {
        int r;

        r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0 && name)
                r = sd_bus_message_append(call, "{sv}", "name", "s", name);
        if (r >= 0 && dry_run)
                r = sd_bus_message_append(call, "{sv}", "dry-run", "b", true);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int call_apply(const Options *options, const char *json, const char *name) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        bool dry_run = options->seen & OPTION_DRY_RUN;
        _cleanup_json_ struct json_object *diff = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        const char *diff_text;
        uint64_t generation;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, "Apply", &call);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_append(call, "s", json);
        if (r >= 0)
                r = append_apply_options(call, name, dry_run);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, NULL, &reply);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_read(reply, "tos", &generation, NULL, &diff_text);
        if (r >= 0)
                r = json_parse(diff_text, &diff);
        if (r < 0)
                return client_bad_message(r);
        return options->quiet ? CTL_OK : print_diff(options, diff, generation, dry_run);
}

int verb_apply(const Options *options, char **args, size_t n_args) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_free_ char *name = NULL;
        _cleanup_(policy_text_done) PolicyText text = {};
        size_t n_rules;
        int r;

        r = policy_text_read(args[0], &text);
        if (r != CTL_OK)
                return r;
        /* The daemon reads the lists, and knows where. */
        r = policy_text_parse(&text, /* with_lists= */ false, &diags, &n_rules);
        diags_print(&diags);
        if (r == CTL_INVALID)
                return ctl_fail(r, "'%s' is invalid: nothing was changed", text.path);
        if (r != CTL_OK)
                return r;
        name = apply_name(args[0]);
        if (!name)
                return ctl_oom();
        return call_apply(options, text.bytes, options->name ? options->name : name);
}

static int print_generation(
        const Options *options, const char *unit, const char *what, uint64_t generation) {
        _cleanup_json_ struct json_object *answer = NULL;

        if (options->quiet)
                return CTL_OK;
        if (options->json == JSON_OFF) {
                (void)printf("%s%s%s   generation %" PRIu64 "\n", strempty(unit), unit ? ": " : "",
                        what, generation);
                return CTL_OK;
        }
        answer = json_object_new_object();
        if (!answer || (unit && json_put_string(answer, "unit", unit) < 0) ||
                json_put_u64(answer, "generation", generation) < 0)
                return ctl_oom();
        json_print(options, answer);
        return CTL_OK;
}

int verb_reload(const Options *options, char **args, size_t n_args) {
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        uint64_t generation;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, "Reload", &call);
        if (r != CTL_OK)
                return r;
        r = client_send_change(client, call, NULL, &generation);
        if (r != CTL_OK)
                return r;
        r = client_warn_degraded(client);
        return r != CTL_OK ? r : print_generation(options, NULL, "reloaded", generation);
}

static int attach_or_detach(
        const Options *options, const char *method, const char *unit, const char *what) {
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        uint64_t generation;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, method, &call);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_append(call, "s", unit);
        if (r >= 0)
                r = client_append_options(call, NULL);
        if (r < 0)
                return client_bad_message(r);
        r = client_send_change(client, call, *unit ? unit : NULL, &generation);
        return r != CTL_OK ? r : print_generation(options, *unit ? unit : NULL, what, generation);
}

int verb_attach(const Options *options, char **args, size_t n_args) {
        if (!*args[0])
                return ctl_fail(CTL_USAGE, "a subject has no empty name");
        return attach_or_detach(options, "Attach", args[0], "attached");
}

int verb_detach(const Options *options, char **args, size_t n_args) {
        bool all = options->seen & OPTION_ALL;

        if (all == (n_args == 1) || (n_args == 1 && !*args[0]))
                return ctl_fail(CTL_USAGE,
                        "detach which? Write 'cgpolicyctl detach SUBJECT' or 'cgpolicyctl detach "
                        "--all'");
        return attach_or_detach(options, "Detach", all ? "" : args[0],
                all ? "detached all" : "detached: it runs on, unrestricted");
}
