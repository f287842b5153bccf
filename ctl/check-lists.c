/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads list files beside a policy file, with the daemon's own parser. */
#include "check-lists.h"

#include <fcntl.h>

#include "policy/set.h"
#include "util/io.h"
#include "util/macro.h"

/* "DIR/file", DIR being the folder of path, or the one above it. Owned; NULL without memory. */
static char *beside(const char *path, bool above, const char *file) {
        const char *slash = strrchr(path, '/');
        char *s;
        int r;

        r = slash ? asprintf(&s, "%.*s/%s%s", (int)(slash - path), path, above ? "../" : "", file)
                  : asprintf(&s, "%s%s", above ? "../" : "", file);
        return r < 0 ? NULL : s;
}

static bool is_in_policy_d(const char *path) {
        static const char folder[] = "policy.d/";
        const char *slash = strrchr(path, '/');
        size_t n = sizeof(folder) - 1, before = slash ? (size_t)(slash + 1 - path) : 0;

        return before >= n && memcmp(slash + 1 - n, folder, n) == 0 &&
                (before == n || slash[-(ptrdiff_t)n] == '/');
}

/* *ret_path is where it was found, or is named if it was not; *ret the bytes. -ENOENT and other errno. */
static int list_read(
        const char *policy, const char *file, char **ret_path, char **ret, size_t *ret_size) {
        _cleanup_free_ char *path = NULL;
        int r = -ENOENT;

        if (*file == '/') {
                path = strdup(file);
                if (!path)
                        return -ENOMEM;
                r = io_read_file(AT_FDCWD, path, POLICY_LIST_SIZE_MAX, ret, ret_size);
        }
        for (unsigned above = 0;
                *file != '/' && policy && above <= is_in_policy_d(policy) && r == -ENOENT;
                above++) {
                free(path);
                path = beside(policy, above, file);
                if (!path)
                        return -ENOMEM;
                r = io_read_file(AT_FDCWD, path, POLICY_LIST_SIZE_MAX, ret, ret_size);
        }
        *ret_path = TAKE_PTR(path);
        return r;
}

static int check_file(const PolicyListDefinition *list, const char *policy, PolicyDiags *diags) {
        _cleanup_(policy_list_unrefp) PolicyList *content = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t size = 0;
        int r;

        r = list_read(policy, list->file, &path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r == -EFBIG) {
                policy_diags_add(diags, POLICY_ERROR, "list-too-large", path, 0, 0,
                        "the file is longer than %u bytes", POLICY_LIST_SIZE_MAX);
                return -EINVAL;
        }
        if (r == -ENOENT && *list->file != '/') {
                policy_diags_add(diags, POLICY_WARNING, "list-not-checked", list->source.path,
                        list->source.line, list->source.column,
                        "what the list '%s' holds was not checked: '%s' is relative to the daemon's "
                        "directory and not found beside this file",
                        list->name, list->file);
                return 0;
        }
        if (r < 0) {
                policy_diags_add(diags, POLICY_WARNING, "list-not-checked", list->source.path,
                        list->source.line, list->source.column,
                        "what the list '%s' holds was not checked: '%s' cannot be read: %s",
                        list->name, path, strerror(-r));
                return 0;
        }
        r = policy_list_parse(list->name, path, text, size, diags, &content);
        return r == -ENOMEM || r >= 0 ? r : -EINVAL;
}

static int check_inline(const PolicyListDefinition *list, PolicyDiags *diags) {
        _cleanup_(policy_list_unrefp) PolicyList *content = NULL;
        int r;

        r = policy_list_from_strv(
                list->name, list->source.path, list->source.line, list->networks, diags, &content);
        return r == -ENOMEM || r >= 0 ? r : -EINVAL;
}

int check_lists(const PolicyFile *file, const char *path, PolicyDiags *diags) {
        int result = 0;

        for (size_t i = 0; i < file->n_lists; i++) {
                const PolicyListDefinition *list = &file->lists[i];
                int r = list->file ? check_file(list, path, diags) : check_inline(list, diags);

                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        result = r;
        }
        return result;
}
