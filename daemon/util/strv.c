/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NULL-terminated string arrays. They are short here, so the length is counted and never stored. */
#include "util/strv.h"

#include "util/macro.h"

char **strv_free(char **l) {
        for (char **s = l; s && *s; s++)
                free(*s);
        free(l);
        return NULL;
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

bool strv_contains(char *const *l, const char *s) {
        assert(s);

        for (; l && *l; l++)
                if (streq(*l, s))
                        return true;
        return false;
}

int strv_push(char ***l, char **value) {
        char **grown;
        size_t n;

        assert(l);
        assert(value && *value);

        n = strv_length(*l);
        grown = reallocarray(*l, n + 2, sizeof(char *));
        if (!grown)
                return -ENOMEM;
        grown[n] = TAKE_PTR(*value);
        grown[n + 1] = NULL;
        *l = grown;
        return 0;
}

int strv_extend(char ***l, const char *value) {
        _cleanup_free_ char *copy = NULL;

        assert(value);

        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        return strv_push(l, &copy);
}

int strv_copy(char *const *l, char ***ret) {
        _cleanup_(strv_freep) char **copy = NULL;
        size_t n = strv_length(l);

        assert(ret);

        copy = calloc(n + 1, sizeof(char *));
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(l[i]);
                if (!copy[i])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

static int strv_compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **strv_sort(char **l) {
        if (l)
                qsort(l, strv_length(l), sizeof(char *), strv_compare);
        return l;
}
