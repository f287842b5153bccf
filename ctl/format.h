/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How results look: tables, JSON, colours. What a daemon or a file says is never trusted to be free of bytes
 * that steer a terminal. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "util/cleanup.h"

#define ANSI_RED    "\033[31m"
#define ANSI_GREEN  "\033[32m"
#define ANSI_YELLOW "\033[33m"
#define ANSI_BOLD   "\033[1m"
#define ANSI_RESET  "\033[0m"

static inline void json_freep(struct json_object **object) {
        (void)json_object_put(*object);
}
#define _cleanup_json_ _cleanup_(json_freep)

typedef struct Table Table;

typedef struct TableCell {
        const char *text;  /* copied; NULL and "" show as "-" */
        const char *color; /* ANSI_* or NULL, static */
} TableCell;

/* headers is NULL-terminated and borrowed. -ENOMEM. */
int table_new(const char *const *headers, Table **ret) _warn_unused_result_;
Table *table_free(Table *table);
DEFINE_CLEANUP(Table *, table_freep, table_free);

/* Numbers stand to the right. */
void table_align_right(Table *table, size_t column);

/* One cell for each header. -ENOMEM. */
int table_add(Table *table, const TableCell *cells) _warn_unused_result_;

/* Columns are two blanks apart; lines have no trailing blanks. */
void table_print(const Table *table, FILE *out, bool legend, bool color);

/* A copy with control bytes and bytes that are no UTF-8 as '?'. Owned; NULL without memory. */
char *text_make_safe(const char *s);

/* Columns that the text takes: one for each code point. */
size_t text_width(const char *s);

/* Prints an object on a line or indented, as the options say (JSON_OFF counts as short). */
void json_print(const Options *options, struct json_object *object);

/* Strict, one value and nothing else. -EBADMSG, -ENOMEM. */
int json_parse(const char *text, struct json_object **ret) _warn_unused_result_;

/* Members, with what to take when there is none of that type. Strings are borrowed from the object. */
const char *json_get_string(struct json_object *object, const char *key, const char *fallback);
uint64_t json_get_u64(struct json_object *object, const char *key);
bool json_get_bool(struct json_object *object, const char *key, bool fallback);
/* NULL when there is none of that type. Borrowed. */
struct json_object *json_get_object(struct json_object *object, const char *key);
struct json_object *json_get_array(struct json_object *object, const char *key);

/* Adds a member and takes the value over, also on failure. value NULL is "without memory": -ENOMEM. */
int json_put(struct json_object *object, const char *key, struct json_object *value);
int json_put_string(struct json_object *object, const char *key, const char *s); /* NULL: null */
int json_put_u64(struct json_object *object, const char *key, uint64_t value);
int json_put_bool(struct json_object *object, const char *key, bool value);
