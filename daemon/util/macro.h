/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small language helpers without a home of their own. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define MIN(a, b)                   \
        ({                          \
                typeof(a) _a = (a); \
                typeof(b) _b = (b); \
                _a < _b ? _a : _b;  \
        })
#define MAX(a, b)                   \
        ({                          \
                typeof(a) _a = (a); \
                typeof(b) _b = (b); \
                _a > _b ? _a : _b;  \
        })

#define USEC_PER_SEC  1000000ULL
#define USEC_PER_MSEC 1000ULL
#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_USEC 1000ULL

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* As streq(), but NULL equals NULL and nothing else. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline const char *strempty(const char *s) {
        return s ? s : "";
}

/* What follows the prefix in s, or NULL if s does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
