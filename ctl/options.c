/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* getopt_long() and what its answers mean. */
#include "options.h"

#include <getopt.h>

#include "exit-codes.h"
#include "policy/diag.h"
#include "util/macro.h"

enum {
        ARG_VERSION = 0x100,
        ARG_PRIVATE,
        ARG_JSON,
        ARG_NO_LEGEND,
        ARG_NO_PAGER,
        ARG_COLOR,
        ARG_VALUE,
        ARG_DRY_RUN,
        ARG_NAME,
        ARG_ALL,
        ARG_DEFAULT,
        ARG_PROFILE,
        ARG_MODE,
        ARG_RULE,
        ARG_COMMENT,
};

static const struct option long_options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, ARG_VERSION },
        { "private", required_argument, NULL, ARG_PRIVATE },
        { "json", required_argument, NULL, ARG_JSON },
        { "no-legend", no_argument, NULL, ARG_NO_LEGEND },
        { "no-pager", no_argument, NULL, ARG_NO_PAGER },
        { "quiet", no_argument, NULL, 'q' },
        { "color", required_argument, NULL, ARG_COLOR },
        { "lines", required_argument, NULL, 'n' },
        { "follow", no_argument, NULL, 'f' },
        { "property", required_argument, NULL, 'p' },
        { "value", no_argument, NULL, ARG_VALUE },
        { "dry-run", no_argument, NULL, ARG_DRY_RUN },
        { "name", required_argument, NULL, ARG_NAME },
        { "all", no_argument, NULL, ARG_ALL },
        { "default", required_argument, NULL, ARG_DEFAULT },
        { "profile", required_argument, NULL, ARG_PROFILE },
        { "mode", required_argument, NULL, ARG_MODE },
        { "rule", required_argument, NULL, ARG_RULE },
        { "comment", required_argument, NULL, ARG_COMMENT },
        { NULL, 0, NULL, 0 },
};

/* In the order of the bits. */
static const char *const option_names[] = {
        "--lines",
        "--follow",
        "--property",
        "--value",
        "--dry-run",
        "--name",
        "--all",
        "--default",
        "--profile",
        "--mode",
        "--rule",
        "--comment",
};

const char *option_to_string(unsigned option) {
        for (size_t i = 0; i < ELEMENTSOF(option_names); i++)
                if (option & (1U << i))
                        return option_names[i];
        return "an option";
}

void options_done(Options *options) {
        free(options->properties);
        free(options->rules);
        free(options->args);
        free(options->argv);
        *options = (Options){};
}

bool options_use_color(const Options *options) {
        const char *no_color, *term;

        if (options->color != COLOR_AUTO)
                return options->color == COLOR_ALWAYS;

        no_color = getenv("NO_COLOR");
        if (no_color && *no_color)
                return false;
        term = getenv("TERM");
        return isatty(STDOUT_FILENO) && term && !streq(term, "dumb");
}

static int parse_json(Options *options, const char *value) {
        if (streq(value, "pretty"))
                options->json = JSON_PRETTY;
        else if (streq(value, "short"))
                options->json = JSON_SHORT;
        else if (streq(value, "off"))
                options->json = JSON_OFF;
        else
                return ctl_fail(CTL_USAGE, "--json=%s: expected one of pretty, short, off", value);
        return CTL_OK;
}

static int parse_color(Options *options, const char *value) {
        if (streq(value, "auto"))
                options->color = COLOR_AUTO;
        else if (streq(value, "always"))
                options->color = COLOR_ALWAYS;
        else if (streq(value, "never"))
                options->color = COLOR_NEVER;
        else
                return ctl_fail(
                        CTL_USAGE, "--color=%s: expected one of auto, always, never", value);
        return CTL_OK;
}

static int parse_lines(Options *options, const char *value) {
        unsigned long lines;
        char *end;

        options->seen |= OPTION_LINES;
        if (streq(value, "all")) {
                options->lines = OPTION_LINES_ALL;
                return CTL_OK;
        }
        errno = 0;
        lines = strtoul(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || errno || lines >= OPTION_LINES_ALL)
                return ctl_fail(CTL_USAGE, "--lines=%s: expected a number or 'all'", value);
        options->lines = (uint32_t)lines;
        return CTL_OK;
}

static int parse_text(Options *options, unsigned option, const char **ret, const char *value) {
        if (options->seen & option)
                return ctl_fail(CTL_USAGE, "%s is given twice", option_to_string(option));
        options->seen |= option;
        *ret = value;
        return CTL_OK;
}

static int unknown_option(int opt, const char *word) {
        const char *names[ELEMENTSOF(long_options)] = {};
        _cleanup_free_ char *name = NULL;
        const char *guess = NULL;

        if (opt == ':')
                return ctl_fail(
                        CTL_USAGE, "option '%s' needs a value; 'cgpolicyctl help' shows it", word);
        for (size_t i = 0; long_options[i].name; i++)
                names[i] = long_options[i].name;
        if (startswith(word, "--"))
                name = strndup(word + 2, strcspn(word + 2, "="));
        if (name)
                guess = policy_did_you_mean(name, names);
        if (guess)
                return ctl_fail(
                        CTL_USAGE, "unknown option '%s' (did you mean '--%s'?)", word, guess);
        return ctl_fail(
                CTL_USAGE, "unknown or malformed option '%s'; 'cgpolicyctl help' lists them", word);
}

static int parse_verb_option(Options *options, int opt, const char *value) {
        switch (opt) {
        case 'n':
                return parse_lines(options, value);
        case 'f':
                options->seen |= OPTION_FOLLOW;
                return CTL_OK;
        case 'p':
                options->seen |= OPTION_PROPERTY;
                options->properties[options->n_properties++] = value;
                return CTL_OK;
        case ARG_VALUE:
                options->seen |= OPTION_VALUE;
                return CTL_OK;
        case ARG_DRY_RUN:
                options->seen |= OPTION_DRY_RUN;
                return CTL_OK;
        case ARG_ALL:
                options->seen |= OPTION_ALL;
                return CTL_OK;
        case ARG_RULE:
                options->seen |= OPTION_RULE;
                options->rules[options->n_rules++] = value;
                return CTL_OK;
        case ARG_NAME:
                return parse_text(options, OPTION_NAME, &options->name, value);
        case ARG_DEFAULT:
                return parse_text(options, OPTION_DEFAULT, &options->default_verdict, value);
        case ARG_PROFILE:
                return parse_text(options, OPTION_PROFILE, &options->profile, value);
        case ARG_MODE:
                return parse_text(options, OPTION_MODE, &options->mode, value);
        case ARG_COMMENT:
                return parse_text(options, OPTION_COMMENT, &options->comment, value);
        default:
                return ctl_fail(CTL_FAILURE, "option %d is not handled", opt);
        }
}

static int parse_option(Options *options, int opt, char *value) {
        switch (opt) {
        case 1: /* no option at all */
                options->args[options->n_args++] = value;
                return CTL_OK;
        case 'h':
                options->help = true;
                return CTL_OK;
        case ARG_VERSION:
                options->version = true;
                return CTL_OK;
        case ARG_PRIVATE:
                options->private_dir = value;
                return CTL_OK;
        case ARG_JSON:
                return parse_json(options, value);
        case 'j':
                options->json = isatty(STDOUT_FILENO) ? JSON_PRETTY : JSON_SHORT;
                return CTL_OK;
        case ARG_NO_LEGEND:
                options->legend = false;
                return CTL_OK;
        case ARG_NO_PAGER: /* nothing is ever paged */
                return CTL_OK;
        case 'q':
                options->quiet = true;
                return CTL_OK;
        case ARG_COLOR:
                return parse_color(options, value);
        default:
                return parse_verb_option(options, opt, value);
        }
}

static int options_alloc(Options *options, int argc, char *argv[]) {
        size_t n = (size_t)argc + 1;
        const char *dir = getenv("CGPOLICY_PRIVATE");

        *options = (Options){
                .private_dir = dir && *dir ? dir : NULL,
                .legend = true,
                .lines = 10,
                .properties = calloc(n, sizeof(char *)),
                .rules = calloc(n, sizeof(char *)),
                .args = calloc(n, sizeof(char *)),
                .argv = calloc(n, sizeof(char *)),
        };
        if (!options->properties || !options->rules || !options->args || !options->argv) {
                options_done(options);
                return ctl_oom();
        }
        memcpy(options->argv, argv, (size_t)argc * sizeof(char *));
        return CTL_OK;
}

int options_parse(Options *options, int argc, char *argv[]) {
        int n = argc, opt, r;

        r = options_alloc(options, argc, argv);
        if (r != CTL_OK)
                return r;

        /* Cut off here, because getopt would not tell afterwards where the "--" stood. */
        for (int i = 1; i < argc; i++)
                if (streq(argv[i], "--")) {
                        n = i;
                        options->command = argv + i + 1;
                        options->n_command = (size_t)(argc - i - 1);
                        options->argv[i] = NULL;
                        break;
                }

        /* The leading '-' hands out arguments in their order, whatever POSIXLY_CORRECT says. */
        opterr = 0;
        optind = 0;
        for (;;) {
                opt = getopt_long(n, options->argv, "-:hjqn:fp:", long_options, NULL);
                if (opt < 0)
                        break;
                if (opt == '?' || opt == ':')
                        r = unknown_option(opt, options->argv[optind - 1]);
                else
                        r = parse_option(options, opt, optarg);
                if (r != CTL_OK) {
                        options_done(options);
                        return r;
                }
        }
        if (options->private_dir && !*options->private_dir) {
                options_done(options);
                return ctl_fail(CTL_USAGE, "--private needs the daemon's directory");
        }
        return CTL_OK;
}
