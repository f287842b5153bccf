/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the list of diagnostics, their one printed form, and the guess at what a misspelt word was meant
 * to be.
 */
#include "policy/diag.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>

#include "policy/parse-private.h"
#include "util/macro.h"

#define WORD_MAX 64U /* longer words are no typing errors */

void policy_diags_done(PolicyDiags *diags) {
        assert(diags);

        for (size_t i = 0; i < diags->n_diags; i++) {
                free(diags->diags[i].path);
                free(diags->diags[i].message);
        }
        free(diags->diags);
        *diags = (PolicyDiags){};
}

static int diags_grow(PolicyDiags *diags) {
        PolicyDiag *grown;

        if (diags->n_diags >= POLICY_DIAGS_MAX)
                return -E2BIG;
        /* Room is always a power of two. */
        if ((diags->n_diags & (diags->n_diags - 1)) != 0)
                return 0;
        grown = reallocarray(
                diags->diags, diags->n_diags == 0 ? 1 : diags->n_diags * 2, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        diags->diags = grown;
        return 0;
}

static int diags_append(PolicyDiags *diags, PolicyDiag diag, const char *path, const char *format,
        va_list args) _printf_(4, 0);

static int diags_append(
        PolicyDiags *diags, PolicyDiag diag, const char *path, const char *format, va_list args) {
        _cleanup_free_ char *message = NULL, *path_copy = NULL;

        if (vasprintf(&message, format, args) < 0)
                return -ENOMEM;
        if (path) {
                path_copy = strdup(path);
                if (!path_copy)
                        return -ENOMEM;
        }
        if (diags_grow(diags) < 0)
                return -ENOMEM;

        diag.path = TAKE_PTR(path_copy);
        diag.message = TAKE_PTR(message);
        diags->diags[diags->n_diags++] = diag;
        return 0;
}

void policy_diags_add(PolicyDiags *diags, PolicySeverity severity, const char *code,
        const char *path, unsigned line, unsigned column, const char *format, ...) {
        PolicyDiag diag = { .severity = severity, .code = code, .line = line, .column = column };
        va_list args;

        assert(code);
        assert(format);

        if (!diags)
                return;
        if (severity == POLICY_ERROR)
                diags->n_errors++;
        if (diags->n_diags >= POLICY_DIAGS_MAX) {
                diags->n_dropped++;
                return;
        }
        va_start(args, format);
        if (diags_append(diags, diag, path, format, args) < 0)
                diags->n_dropped++;
        va_end(args);
}

char *policy_diag_to_string(const PolicyDiag *diag) {
        _cleanup_free_ char *where = NULL;
        const char *path, *colon;
        char *s = NULL;

        assert(diag);

        path = strempty(diag->path);
        colon = diag->path ? ":" : "";

        if (diag->line > 0 && diag->column > 0) {
                if (asprintf(&where, "%s%s%u:%u: ", path, colon, diag->line, diag->column) < 0)
                        return NULL;
        } else if (diag->line > 0) {
                if (asprintf(&where, "%s%s%u: ", path, colon, diag->line) < 0)
                        return NULL;
        } else if (diag->column > 0) {
                if (asprintf(&where, "%s%scolumn %u: ", path, *colon ? ": " : "", diag->column) < 0)
                        return NULL;
        } else if (asprintf(&where, "%s%s", path, *colon ? ": " : "") < 0)
                return NULL;
        if (asprintf(&s, "%s%s%s", where, diag->severity == POLICY_WARNING ? "warning: " : "",
                    diag->message) < 0)
                return NULL;
        return s;
}

const char *policy_quote(char buf[POLICY_QUOTE_SIZE], const char *s, size_t n) {
        size_t shown = MIN(n, (size_t)POLICY_QUOTE_SIZE - 4);

        for (size_t i = 0; i < shown; i++)
                buf[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
        memcpy(buf + shown, n > shown ? "..." : "", n > shown ? 4 : 1);
        return buf;
}

/* Insertions, deletions, replacements and swaps of neighbours that make one word of the other; case does
 * not count. Only three rows of the table are ever needed. */
static size_t word_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        size_t rows[3][WORD_MAX + 1];
        size_t *before = rows[0], *above = rows[1], *row = rows[2];

        for (size_t k = 0; k <= n_b; k++)
                above[k] = k;
        for (size_t i = 1; i <= n_a; i++) {
                size_t *recycled = before;

                row[0] = i;
                for (size_t k = 1; k <= n_b; k++) {
                        int x = tolower((unsigned char)a[i - 1]);
                        int y = tolower((unsigned char)b[k - 1]);

                        row[k] = above[k - 1] + (x != y);
                        row[k] = MIN(row[k], above[k] + 1);
                        row[k] = MIN(row[k], row[k - 1] + 1);
                        if (i > 1 && k > 1 && x == tolower((unsigned char)b[k - 2]) &&
                                y == tolower((unsigned char)a[i - 2]))
                                row[k] = MIN(row[k], before[k - 2] + 1);
                }
                before = above;
                above = row;
                row = recycled;
        }
        return above[n_b];
}

const char *policy_did_you_mean(const char *word, const char *const *candidates) {
        const char *best = NULL;
        size_t n = 0, best_distance = SIZE_MAX;

        assert(word);
        assert(candidates);

        n = strlen(word);
        if (n < 2 || n > WORD_MAX)
                return NULL;
        for (; *candidates; candidates++) {
                size_t n_candidate = strlen(*candidates), shorter = MIN(n, n_candidate), distance;

                if (n_candidate > WORD_MAX)
                        continue;
                distance = word_distance(word, n, *candidates, n_candidate);
                /* One error in three letters still looks like the word. */
                if (distance < best_distance && distance <= MAX((size_t)1, shorter / 3)) {
                        best = *candidates;
                        best_distance = distance;
                }
        }
        return best;
}
