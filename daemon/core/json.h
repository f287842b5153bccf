/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-c with errors that are told: -ENOMEM instead of a NULL that is easily passed on. Values are taken over
 * in any case. */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "util/cleanup.h"

static inline void jo_putp(json_object **o) {
        if (*o)
                (void)json_object_put(*o);
}

int jo_put(json_object *o, const char *key, json_object *value) _warn_unused_result_;
/* NULL becomes JSON's null. */
int jo_put_string(json_object *o, const char *key, const char *s) _warn_unused_result_;
int jo_put_u64(json_object *o, const char *key, uint64_t n) _warn_unused_result_;
/* *ret is borrowed from parent. */
int jo_add_new(json_object *parent, const char *key, json_object *child,
        json_object **ret) _warn_unused_result_;
int jo_append_new(json_object *array, json_object *child) _warn_unused_result_;
/* One line of text, owned. */
int jo_to_text(json_object *o, char **ret) _warn_unused_result_;
