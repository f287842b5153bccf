/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cgpolicyctl: from the command line to one verb, and from its result to the exit status. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "exit-codes.h"
#include "options.h"
#include "policy/diag.h"
#include "util/macro.h"
#include "verbs.h"

/* Nothing that we open may become a standard stream. A stream that the caller closed is closed again for what
 * we execute. */
static int ensure_standard_streams(void) {
        for (;;) {
                int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

                if (fd < 0)
                        return CTL_FAILURE; /* there may be nobody to tell */
                if (fd > STDERR_FILENO) {
                        (void)close(fd);
                        return CTL_OK;
                }
        }
}

static int no_such_verb(const char *name) {
        const char *names[32] = {};
        const char *guess;
        size_t n = 0;

        for (const Verb *verb = verbs; verb->name && n + 2 < ELEMENTSOF(names); verb++)
                names[n++] = verb->name;
        names[n] = "help";
        guess = policy_did_you_mean(name, names);
        if (guess)
                return ctl_fail(CTL_USAGE, "unknown verb '%s' (did you mean '%s'?)", name, guess);
        return ctl_fail(CTL_USAGE, "unknown verb '%s'; 'cgpolicyctl help' lists them", name);
}

static int print_help(char *const *args, size_t n_args) {
        const Verb *verb;

        if (n_args > 0 && streq(args[0], "help")) {
                args++;
                n_args--;
        }
        if (n_args == 0) {
                verbs_print_help();
                return CTL_OK;
        }
        verb = verb_find(args[0]);
        if (!verb)
                return no_such_verb(args[0]);
        verb_print_help(verb);
        return CTL_OK;
}

/* For all verbs but run, what follows "--" are further words. */
static int join_command(Options *options) {
        char **args = reallocarray(
                options->args, options->n_args + options->n_command + 1, sizeof(*args));

        if (!args)
                return ctl_oom();
        options->args = args;
        for (size_t i = 0; i < options->n_command; i++)
                args[options->n_args++] = options->command[i];
        args[options->n_args] = NULL;
        options->n_command = 0;
        return CTL_OK;
}

static int run_verb(Options *options) {
        const Verb *verb;
        int r;

        if (options->n_args == 0 || options->args[0] == NULL || streq(options->args[0], "help"))
                verb = NULL;
        else {
                verb = verb_find(options->args[0]);
                if (!verb)
                        return no_such_verb(options->args[0]);
        }
        if (options->command && (!verb || verb->function != verb_run)) {
                r = join_command(options);
                if (r != CTL_OK)
                        return r;
        }
        if (options->help || (options->n_args > 0 && !verb && streq(options->args[0], "help")))
                return print_help(options->args, options->n_args);
        if (!verb)
                return ctl_fail(CTL_USAGE, "no verb is given; 'cgpolicyctl help' lists them");

        if (options->seen & ~verb->options)
                return ctl_fail(CTL_USAGE, "'%s' takes no option %s; see 'cgpolicyctl help %s'",
                        verb->name, option_to_string(options->seen & ~verb->options), verb->name);
        if (verb->function == verb_run && options->n_args > 2 && !options->command)
                return ctl_fail(CTL_USAGE,
                        "no '--' before the command: cgpolicyctl run %s [OPTIONS] -- %s ...",
                        options->args[1], options->args[2]);
        if (options->n_args - 1 < verb->n_min || options->n_args - 1 > verb->n_max)
                return ctl_fail(CTL_USAGE, "too %s words: the form is 'cgpolicyctl %s%s%s'",
                        options->n_args - 1 < verb->n_min ? "few" : "many", verb->name,
                        *verb->form ? " " : "", verb->form);
        return verb->function(options, options->args + 1, options->n_args - 1);
}

/* stdio does not keep the errno of a write that failed in the middle, so the stream is asked itself whether
 * its reader went away. */
static int finish_output(int r) {
        struct pollfd fd = { .fd = STDOUT_FILENO };
        bool failed;

        failed = fflush(stdout) != 0;
        failed = ferror(stdout) || failed;
        if (!failed || r != CTL_OK)
                return r;
        if (poll(&fd, 1, 0) > 0 && fd.revents & (POLLERR | POLLHUP))
                return CTL_OK;
        return ctl_fail(CTL_FAILURE, "the result could not be written to standard output");
}

int main(int argc, char *argv[]) {
        _cleanup_(options_done) Options options = {};
        int r;

        r = ensure_standard_streams();
        if (r != CTL_OK)
                return r;
        r = options_parse(&options, argc, argv);
        if (r != CTL_OK)
                return r;

        /* A reader that has enough is no failure. What run executes inherits what run inherited. */
        if (options.help || options.version || options.n_args == 0 ||
                !streq(options.args[0], "run"))
                (void)signal(SIGPIPE, SIG_IGN);

        if (options.version) {
                (void)puts("cgpolicyctl " CGPOLICY_VERSION);
                r = CTL_OK;
        } else
                r = run_verb(&options);

        return finish_output(r);
}
