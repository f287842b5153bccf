/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Last good versions: what stays in force when a file, or a profile that a file names, is broken or gone.
 * Without them a slip in an editor would open every subject that the file was for. */
#include <fcntl.h>

#include "core/store-private.h"
#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

#define KIND_PROFILE "profile"

static int good_keep(const StoreDir *dir, const char *kind, const char *name, const char *text) {
        _cleanup_free_ char *path = NULL, *temp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&path, STORE_DIR_GOOD "/%s-%s", kind, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (asprintf(&temp, "%s.new", path) < 0) {
                temp = NULL;
                return -ENOMEM;
        }
        if (!text)
                return unlinkat(dir->fd, path, 0) < 0 && errno != ENOENT ? -errno : 0;

        fd = openat(dir->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = io_write_all(fd, text, strlen(text));
        if (r >= 0)
                r = io_replace(dir->fd, temp, path);
        if (r < 0)
                (void)unlinkat(dir->fd, temp, 0);
        return r;
}

int store_keep_good(const StoreDir *dir, PolicyLayer layer, const char *name, const char *text) {
        return good_keep(dir, policy_layer_to_string(layer), name, text);
}

static int good_read(const StoreDir *dir, const char *kind, const char *name, char **ret) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, STORE_DIR_GOOD "/%s-%s", kind, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return io_read_file(dir->fd, path, POLICY_FILE_SIZE_MAX, ret, NULL);
}

/* -- Files ------------------------------------------------------------------------------------------ */

/* The version that is in force now, as it was read then: the host may have lost a name of a service since,
 * and its text be no longer valid. */
static int file_copy_previous(const Store *store, const StoreFile *before, StoreFile **ret) {
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        int r;

        if (before->policy->profile && !store_profile(store, before->policy->profile))
                return -ENOENT;
        file = calloc(1, sizeof(*file));
        if (!file)
                return -ENOMEM;
        file->n_ref = 1;
        file->layer = before->layer;
        file->name = strdup(before->name);
        file->text = strdup(before->text);
        if (!file->name || !file->text)
                return -ENOMEM;
        r = policy_file_copy(before->policy, &file->policy);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(file);
        return 0;
}

int store_load_good(const StoreDir *dir, const Store *store, const Store *previous,
        PolicyLayer layer, const char *name, StoreFile **ret) {
        const StoreFile *before = previous ? store_find(previous, layer, name) : NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (before && before->policy)
                return file_copy_previous(store, before, ret);
        r = good_read(dir, policy_layer_to_string(layer), name, &text);
        if (r < 0)
                return r;
        /* Parsed again: the directory is not to be trusted more than any other. */
        return store_parse(dir, store, layer, name, text, NULL, ret);
}

/* -- Profiles --------------------------------------------------------------------------------------- */

static int store_push_profile(Store *store, PolicyFile **profile) {
        PolicyFile **profiles;

        profiles = reallocarray(store->profiles, store->n_profiles + 1, sizeof(*profiles));
        if (!profiles)
                return -ENOMEM;
        store->profiles = profiles;
        profiles[store->n_profiles++] = TAKE_PTR(*profile);
        return 0;
}

/* On failure *ret_message says why, unless it is for want of memory. */
static int profile_parse(const StoreDir *dir, const char *path, const char *text,
        char **ret_message, PolicyFile **ret) {
        _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
        _cleanup_(policy_file_freep) PolicyFile *profile = NULL;
        int r;

        r = policy_parse_file(path, text, strlen(text), dir->services, &diags, &profile);
        if (r >= 0 && !profile->has_match) {
                *ret = TAKE_PTR(profile);
                return 0;
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                *ret_message = store_diags_to_text(&diags);
        else if (asprintf(ret_message, "%s: a profile has no \"match\"", path) < 0)
                *ret_message = NULL;
        return *ret_message ? -EBADMSG : -ENOMEM;
}

static const PolicyFile *profile_find_path(const Store *store, const char *path) {
        for (size_t i = 0; store && i < store->n_profiles; i++)
                if (streq(store->profiles[i]->path, path))
                        return store->profiles[i];
        return NULL;
}

/* Adds the last good version of a profile. 1: added, 0: there is none. */
static int store_add_good_profile(const StoreDir *dir, const Store *previous, const char *name,
        const char *path, Store *store) {
        _cleanup_(policy_file_freep) PolicyFile *profile = NULL;
        const PolicyFile *before = profile_find_path(previous, path);
        _cleanup_free_ char *text = NULL, *message = NULL;
        int r;

        if (before)
                r = policy_file_copy(before, &profile);
        else {
                r = good_read(dir, KIND_PROFILE, name, &text);
                if (r >= 0)
                        r = profile_parse(dir, path, text, &message, &profile);
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 0;
        r = store_push_profile(store, &profile);
        return r < 0 ? r : 1;
}

static int store_load_profile(const StoreDir *dir, const Store *previous, int profiles_fd,
        const char *name, const char *path, Store *store) {
        _cleanup_(policy_file_freep) PolicyFile *profile = NULL;
        _cleanup_free_ char *text = NULL, *message = NULL;
        int r;

        r = io_read_file(profiles_fd, name, POLICY_FILE_SIZE_MAX, &text, NULL);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                r = profile_parse(dir, path, text, &message, &profile);
        else if (asprintf(&message, "%s: cannot be read: %s", path, strerror(-r)) < 0) {
                message = NULL;
                return -ENOMEM;
        }
        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                (void)good_keep(dir, KIND_PROFILE, name, text);
                return store_push_profile(store, &profile);
        }
        r = store_add_good_profile(dir, previous, name, path, store);
        return r < 0 ? r
                     : store_problem(store, message,
                               r > 0 ? "its last good version stays in force"
                                     : "the profile is not in use");
}

static int store_load_builtin_profiles(const StoreDir *dir, Store *store) {
        for (size_t i = 0; policy_builtin_profiles[i]; i++) {
                _cleanup_(policy_file_freep) PolicyFile *profile = NULL;
                _cleanup_free_ char *path = NULL, *message = NULL;
                int r;

                if (asprintf(&path, "profile/%s", policy_builtin_profiles[i]) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = profile_parse(dir, path, policy_builtin_profile(policy_builtin_profiles[i]),
                        &message, &profile);
                if (r == -EBADMSG)
                        r = store_problem(store, message, "the profile is not in use");
                else if (r >= 0)
                        r = store_push_profile(store, &profile);
                if (r < 0)
                        return r;
        }
        return 0;
}

static char *profile_path(const StoreDir *dir, const char *name) {
        char *path = NULL;

        return asprintf(&path, "%s/" STORE_DIR_PROFILES "/%s", dir->path, name) < 0 ? NULL : path;
}

static int store_load_lost_profiles(
        const StoreDir *dir, const Store *previous, char *const *present, Store *store) {
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = store_list(dir->fd, STORE_DIR_GOOD, NULL, &fd, &names);
        if (r < 0)
                return r;
        for (size_t i = 0; names && names[i]; i++) {
                const char *name = startswith(names[i], KIND_PROFILE "-");
                _cleanup_free_ char *path = NULL;

                if (!name || strv_contains(present, name))
                        continue;
                path = profile_path(dir, name);
                r = path ? store_add_good_profile(dir, previous, name, path, store) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Files first: the first profile of a name is the one that counts. */
int store_load_profiles(
        const StoreDir *dir, const Store *previous, Store *store, size_t *ret_n_present) {
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = store_list(dir->fd, STORE_DIR_PROFILES, store, &fd, &names);
        if (r < 0)
                return r;
        for (size_t i = 0; names && names[i]; i++) {
                _cleanup_free_ char *path = profile_path(dir, names[i]);

                r = path ? store_load_profile(dir, previous, fd, names[i], path, store) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        r = store_load_builtin_profiles(dir, store);
        if (r < 0)
                return r;
        *ret_n_present = store->n_profiles;
        return store_load_lost_profiles(dir, previous, names, store);
}

static bool store_uses_profile(const Store *store, const PolicyFile *profile) {
        for (size_t i = 0; i < store->n_files; i++) {
                const PolicyFile *policy = store->files[i]->policy;

                if (policy && policy->profile && store_profile(store, policy->profile) == profile)
                        return true;
        }
        return false;
}

int store_settle_lost_profiles(Store *store, size_t n_present) {
        for (size_t i = store->n_profiles; i-- > n_present;) {
                PolicyFile *profile = store->profiles[i];

                if (store_uses_profile(store, profile)) {
                        int r = store_problem(store, profile->path,
                                "the profile is gone, but named by a policy; its last good version "
                                "stays in force there");

                        if (r < 0)
                                return r;
                        continue;
                }
                policy_file_free(profile);
                store->profiles[i] = store->profiles[--store->n_profiles];
        }
        return 0;
}

/* -- What nobody needs any more --------------------------------------------------------------------- */

static bool good_is_needed(const StoreDir *dir, const Store *store, const char *good) {
        _cleanup_free_ char *path = NULL;
        const char *name;

        name = startswith(good, KIND_PROFILE "-");
        if (name) {
                path = profile_path(dir, name);
                return !path || profile_find_path(store, path);
        }
        for (PolicyLayer layer = 0; layer < _POLICY_LAYER_MAX; layer++) {
                const StoreFile *file;

                name = startswith(good, policy_layer_to_string(layer));
                if (!name || *name != '-')
                        continue;
                file = store_find(store, layer, name + 1);
                return file && !file->mask;
        }
        return true; /* not ours */
}

void store_prune_good(const StoreDir *dir, const Store *store) {
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (store_list(dir->fd, STORE_DIR_GOOD, NULL, &fd, &names) < 0)
                return;
        for (size_t i = 0; names && names[i]; i++)
                if (!good_is_needed(dir, store, names[i]))
                        (void)unlinkat(fd, names[i], 0);
}
