/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line, taken apart. Options may stand before and after the verb and its arguments, up to "--".
 * Which options a verb takes is for the verb table to say; here is only what each of them looks like.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef enum JsonFormat {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
} JsonFormat;

typedef enum ColorMode {
        COLOR_AUTO,
        COLOR_ALWAYS,
        COLOR_NEVER,
} ColorMode;

/* Options that only some verbs take: bits of Options.seen and of the verb table. */
#define OPTION_LINES    (1U << 0)
#define OPTION_FOLLOW   (1U << 1)
#define OPTION_PROPERTY (1U << 2)
#define OPTION_VALUE    (1U << 3)
#define OPTION_DRY_RUN  (1U << 4)
#define OPTION_NAME     (1U << 5)
#define OPTION_ALL      (1U << 6)
#define OPTION_DEFAULT  (1U << 7)
#define OPTION_PROFILE  (1U << 8)
#define OPTION_MODE     (1U << 9)
#define OPTION_RULE     (1U << 10)
#define OPTION_COMMENT  (1U << 11)

#define OPTION_LINES_ALL UINT32_MAX

typedef struct Options {
        const char *private_dir; /* --private or the environment; NULL: the system's daemon */
        JsonFormat json;
        ColorMode color;
        bool legend;
        bool quiet;
        bool help;
        bool version;

        unsigned seen; /* OPTION_* */
        uint32_t lines;
        const char *name;
        const char *default_verdict;
        const char *profile;
        const char *mode;
        const char *comment;
        const char **properties;
        size_t n_properties;
        const char **rules;
        size_t n_rules;

        char **args; /* what is no option, before "--"; args[0] is the verb; NULL-terminated */
        size_t n_args;
        char **command; /* what follows "--", NULL-terminated; NULL: there is no "--" */
        size_t n_command;
        char **argv; /* owned; the strings are the caller's */
} Options;

void options_done(Options *options);

/* Strings are borrowed from argv. Returns an exit code. */
int options_parse(Options *options, int argc, char *argv[]) _warn_unused_result_;

/* The long name of the first option in the set, "--lines". Static. */
const char *option_to_string(unsigned option);

/* Whether results on standard output are coloured. */
bool options_use_color(const Options *options);
