/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/json.h"

#include "util/macro.h"

int jo_put(json_object *o, const char *key, json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(o, key, value) < 0) {
                (void)json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int jo_put_string(json_object *o, const char *key, const char *s) {
        return s ? jo_put(o, key, json_object_new_string(s))
                 : (json_object_object_add(o, key, NULL) < 0 ? -ENOMEM : 0);
}

int jo_put_u64(json_object *o, const char *key, uint64_t n) {
        return jo_put(o, key, json_object_new_uint64(n));
}

int jo_to_text(json_object *o, char **ret) {
        const char *s = json_object_to_json_string_ext(
                o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        char *copy = s ? strdup(s) : NULL;

        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int jo_add_new(json_object *parent, const char *key, json_object *child, json_object **ret) {
        int r;

        r = jo_put(parent, key, child);
        if (r < 0)
                return r;
        *ret = child;
        return 0;
}

int jo_append_new(json_object *array, json_object *child) {
        if (!child)
                return -ENOMEM;
        if (json_object_array_add(array, child) < 0) {
                (void)json_object_put(child);
                return -ENOMEM;
        }
        return 0;
}
