/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks a text over before json-c reads it, because json-c takes more than JSON and forgets where things
 * stood: it lets the last of several equal keys win, reads NaN, cuts numbers to 64 bits and knows no lines.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"

#define JSON_DEPTH_MAX  16U
#define JSON_VALUES_MAX 65536U
#define JSON_KEYS_MAX   64U  /* of one object */
#define JSON_KEY_SIZE   256U /* bytes of one key, decoded, with the terminator */

/* Where a value stands. Lines and columns count from 1, columns in characters. */
typedef struct JsonPlace {
        size_t offset; /* of the value's first byte */
        unsigned line;
        unsigned column;
        unsigned key_line; /* of its key, or where the value stands if it has none */
        unsigned key_column;
} JsonPlace;

typedef struct JsonPlaces {
        JsonPlace *places; /* of all values, in the order in which they begin */
        size_t n_places;
        size_t size; /* bytes up to the end of the outermost value */
} JsonPlaces;

void places_done(JsonPlaces *places);

/* Accepts RFC 8259 text in UTF-8 of which every reader makes the same: no key twice in an object (also not
 * in another spelling), no unpaired surrogate, no NUL, whole numbers of 64 bits only, nothing after the
 * end. Reports the first thing that is wrong. -EINVAL, -E2BIG (depth, values, keys), -ENOMEM. */
int places_scan(const char *path, const char *bytes, size_t size, PolicyDiags *diags,
        JsonPlaces *ret) _warn_unused_result_;

/* Bytes of the well-formed UTF-8 character that s begins with, at most n; 0 if there is none. */
size_t utf8_character(const char *s, size_t n, uint32_t *ret);
