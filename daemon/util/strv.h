/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays of owned strings that end with NULL. NULL itself is an empty array everywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

/* Frees the strings and the array. Returns NULL. */
char **strv_free(char **l);
DEFINE_CLEANUP(char **, strv_freep, strv_free);

size_t strv_length(char *const *l);
bool strv_contains(char *const *l, const char *s);

/* Appends. strv_push() takes the string over: on success *value is NULL; strv_extend() copies it. On
 * failure (-ENOMEM) *l and *value are what they were. */
int strv_push(char ***l, char **value) _warn_unused_result_;
int strv_extend(char ***l, const char *value) _warn_unused_result_;

/* Deep copy; the copy of an empty array is an array, not NULL. */
int strv_copy(char *const *l, char ***ret) _warn_unused_result_;

/* By bytes. Returns l. */
char **strv_sort(char **l);
