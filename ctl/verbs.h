/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs: what each takes, what its help says, and who does it. */
#pragma once

#include <stddef.h>

#include "options.h"

/* args are the words behind the verb. Returns the exit code. */
typedef int (*VerbFunction)(const Options *options, char **args, size_t n_args);

#define VERB_ANY SIZE_MAX

typedef struct Verb {
        const char *name;
        VerbFunction function;
        size_t n_min;
        size_t n_max;
        unsigned options; /* OPTION_* */
        const char *form; /* "SUBJECT RULE..." */
        const char *summary;
        const char *help; /* further lines, each with its newline, or "" */
} Verb;

/* Ends with an entry without a name. */
extern const Verb verbs[];

/* NULL when there is none. */
const Verb *verb_find(const char *name);

/* What --help prints: of one verb, or of all. */
void verb_print_help(const Verb *verb);
void verbs_print_help(void);

int verb_status(const Options *options, char **args, size_t n_args);
int verb_show(const Options *options, char **args, size_t n_args);
int verb_cat(const Options *options, char **args, size_t n_args);
int verb_log(const Options *options, char **args, size_t n_args);
int verb_explain(const Options *options, char **args, size_t n_args);
int verb_run(const Options *options, char **args, size_t n_args);
int verb_allow(const Options *options, char **args, size_t n_args);
int verb_deny(const Options *options, char **args, size_t n_args);
int verb_never(const Options *options, char **args, size_t n_args);
int verb_default(const Options *options, char **args, size_t n_args);
int verb_mode(const Options *options, char **args, size_t n_args);
int verb_remove(const Options *options, char **args, size_t n_args);
int verb_profile(const Options *options, char **args, size_t n_args);
int verb_lists(const Options *options, char **args, size_t n_args);
int verb_apply(const Options *options, char **args, size_t n_args);
int verb_check(const Options *options, char **args, size_t n_args);
int verb_reload(const Options *options, char **args, size_t n_args);
int verb_attach(const Options *options, char **args, size_t n_args);
int verb_detach(const Options *options, char **args, size_t n_args);
