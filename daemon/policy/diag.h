/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Diagnostics: what is wrong in what somebody wrote, where, and what to write instead. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

typedef enum PolicySeverity {
        POLICY_ERROR,
        POLICY_WARNING,
} PolicySeverity;

typedef struct PolicyDiag {
        PolicySeverity severity;
        const char *code; /* static, stable, dash-case: "unknown-key", "duplicate-rule", ... */
        char *path;       /* file, or NULL for a rule from the command line */
        unsigned line;    /* from 1; 0: unknown */
        unsigned column;  /* from 1; 0: unknown */
        char *message;    /* without location, without trailing full stop; a hint is part of it */
} PolicyDiag;

#define POLICY_DIAGS_MAX 100U /* further ones are counted in n_dropped */

typedef struct PolicyDiags {
        PolicyDiag *diags;
        size_t n_diags;
        size_t n_errors;
        size_t n_dropped;
} PolicyDiags;

void policy_diags_done(PolicyDiags *diags);

/* Adds one. path may be NULL. Never fails visibly: without memory the error is still counted, so
 * n_errors is reliable. diags may be NULL. */
void policy_diags_add(PolicyDiags *diags, PolicySeverity severity, const char *code,
        const char *path, unsigned line, unsigned column, const char *format, ...) _printf_(7, 8);

/* "path:line:column: message" with the parts that are known; "warning: " before a warning's message.
 * Returns an owned string or NULL without memory. */
char *policy_diag_to_string(const PolicyDiag *diag);

/* The candidate that is closest to word, if it is close enough to be a likely typing error, else NULL.
 * candidates is NULL-terminated. */
const char *policy_did_you_mean(const char *word, const char *const *candidates);
