/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/store-private.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "util/io.h"
#include "util/macro.h"
#include "util/strv.h"

static const char *const layer_dirs[_POLICY_LAYER_MAX] = {
        [POLICY_LAYER_RUNTIME] = "runtime.d",
        [POLICY_LAYER_LOCAL] = "policy.d",
        [POLICY_LAYER_UNIT] = NULL, /* drop-ins are not files of ours */
        [POLICY_LAYER_VENDOR] = "vendor.d",
};

const char *store_layer_dir(PolicyLayer layer) {
        return layer_dirs[layer];
}

StoreFile *store_file_unref(StoreFile *file) {
        if (!file || --file->n_ref > 0)
                return NULL;

        policy_file_free(file->policy);
        free(file->name);
        free(file->text);
        free(file);
        return NULL;
}

Store *store_ref(Store *store) {
        store->n_ref++;
        return store;
}

Store *store_unref(Store *store) {
        if (!store || --store->n_ref > 0)
                return NULL;

        for (size_t i = 0; i < store->n_files; i++)
                store_file_unref(store->files[i]);
        free(store->files);
        for (size_t i = 0; i < store->n_profiles; i++)
                policy_file_free(store->profiles[i]);
        free(store->profiles);
        strv_free(store->problems);
        free(store);
        return NULL;
}

static int store_new(Store **ret) {
        Store *store = calloc(1, sizeof(*store));

        if (!store)
                return -ENOMEM;
        store->n_ref = 1;
        *ret = store;
        return 0;
}

/* Takes over a reference. Keeps the order by layer, then name. */
static int store_add(Store *store, StoreFile **file) {
        StoreFile **files = NULL;
        size_t i;

        files = reallocarray(store->files, store->n_files + 1, sizeof(*files));
        if (!files)
                return -ENOMEM;
        store->files = files;
        for (i = store->n_files; i > 0; i--) {
                const StoreFile *before = files[i - 1];

                if (before->layer < (*file)->layer ||
                        (before->layer == (*file)->layer &&
                                strcmp(before->name, (*file)->name) < 0))
                        break;
                files[i] = files[i - 1];
        }
        files[i] = TAKE_PTR(*file);
        store->n_files++;
        return 0;
}

const StoreFile *store_find(const Store *store, PolicyLayer layer, const char *name) {
        for (size_t i = 0; i < store->n_files; i++)
                if (store->files[i]->layer == layer && streq(store->files[i]->name, name))
                        return store->files[i];
        return NULL;
}

char *store_path(const StoreDir *dir, PolicyLayer layer, const char *name) {
        char *path = NULL;

        if (asprintf(&path, "%s/%s/%s", dir->path, layer_dirs[layer], name) < 0)
                return NULL;
        return path;
}

const PolicyFile *store_profile(const Store *store, const char *name) {
        for (size_t i = 0; i < store->n_profiles; i++) {
                const char *base = strrchr(store->profiles[i]->path, '/');
                size_t n = strlen(name);

                base = base ? base + 1 : store->profiles[i]->path;
                if (strncmp(base, name, n) == 0 && (base[n] == '\0' || streq(base + n, ".json")))
                        return store->profiles[i];
        }
        return NULL;
}

char *store_diags_to_text(const PolicyDiags *diags) {
        char *text = NULL;

        for (size_t i = 0; i < diags->n_diags; i++) {
                _cleanup_free_ char *line = NULL;
                char *joined;

                if (diags->diags[i].severity != POLICY_ERROR)
                        continue;
                line = policy_diag_to_string(&diags->diags[i]);
                if (!line ||
                        asprintf(&joined, "%s%s%s", strempty(text), text ? "\n" : "", line) < 0) {
                        free(text);
                        return NULL;
                }
                free(text);
                text = joined;
        }
        return text;
}

int store_parse(const StoreDir *dir, const Store *store, PolicyLayer layer, const char *name,
        const char *text, ManagerError *reterr, StoreFile **ret) {
        _cleanup_(policy_diags_done) PolicyDiags diags = { 0 };
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_free_ char *path = NULL, *message = NULL;
        int r;

        path = store_path(dir, layer, name);
        file = calloc(1, sizeof(*file));
        if (!path || !file)
                return -ENOMEM;
        file->n_ref = 1;
        file->layer = layer;
        file->name = strdup(name);
        file->text = strdup(text);
        if (!file->name || !file->text)
                return -ENOMEM;

        r = policy_parse_file(path, text, strlen(text), dir->services, &diags, &file->policy);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                message = store_diags_to_text(&diags);
                return manager_error_set(reterr,
                        r == -EOPNOTSUPP      ? MANAGER_ERROR_NOT_SUPPORTED
                                : r == -E2BIG ? MANAGER_ERROR_LIMIT_EXCEEDED
                                              : MANAGER_ERROR_INVALID_POLICY,
                        "%s", message ? message : path);
        }
        if (!file->policy->has_match)
                return manager_error_set(reterr, MANAGER_ERROR_INVALID_POLICY,
                        "%s: no \"match\": this is a profile and belongs in profiles/", path);
        if (file->policy->profile && !store_profile(store, file->policy->profile))
                return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_PROFILE,
                        "%s:%u:%u: no profile '%s'; 'cgpolicyctl profile' lists them", path,
                        file->policy->profile_source.line, file->policy->profile_source.column,
                        file->policy->profile);

        *ret = TAKE_PTR(file);
        return 0;
}

static size_t store_count(const Store *store, PolicyLayer layer) {
        size_t n = 0;

        for (size_t i = 0; i < store->n_files; i++)
                n += store->files[i]->layer == layer;
        return n;
}

int store_with(
        const Store *store, PolicyLayer layer, const char *name, StoreFile *file, Store **ret) {
        _cleanup_(store_unrefp) Store *copy = NULL;
        int r;

        r = store_new(&copy);
        if (r < 0)
                return r;
        for (size_t i = 0; i < store->n_files; i++) {
                _cleanup_(store_file_unrefp) StoreFile *f = store->files[i];

                f->n_ref++;
                if (f->layer == layer && streq(f->name, name))
                        continue;
                r = store_add(copy, &f);
                if (r < 0)
                        return r;
        }
        if (file) {
                _cleanup_(store_file_unrefp) StoreFile *f = file;

                f->n_ref++;
                /* More could not be read again. */
                if (store_count(copy, layer) >= STORE_FILES_MAX)
                        return -EDQUOT;
                r = store_add(copy, &f);
                if (r < 0)
                        return r;
        }

        copy->profiles = calloc(MAX(store->n_profiles, 1U), sizeof(*copy->profiles));
        if (!copy->profiles)
                return -ENOMEM;
        for (size_t i = 0; i < store->n_profiles; i++) {
                r = policy_file_copy(store->profiles[i], &copy->profiles[i]);
                if (r < 0)
                        return r;
                copy->n_profiles++;
        }
        r = strv_copy(store->problems, &copy->problems);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(copy);
        return 0;
}

/* A local file overrides the vendor's of the same name, unless it is broken and never was valid: then the
 * vendor's is better than nothing. */
static bool store_is_masked(const Store *store, const StoreFile *file) {
        const StoreFile *local;

        if (file->layer != POLICY_LAYER_VENDOR)
                return false;
        local = store_find(store, POLICY_LAYER_LOCAL, file->name);
        return local && (local->policy || local->mask);
}

bool store_file_is_used(const Store *store, const StoreFile *file) {
        return file->policy && !store_is_masked(store, file);
}

bool store_file_applies(const Store *store, const StoreFile *file, const char *subject) {
        return store_file_is_used(store, file) && policy_file_matches(file->policy, subject);
}

int store_inputs(const Store *store, const char *subject, PolicyStackInput **ret, size_t *ret_n) {
        _cleanup_free_ PolicyStackInput *inputs = NULL;
        size_t n = 0;

        inputs = calloc(2 * store->n_files + 1, sizeof(*inputs));
        if (!inputs)
                return -ENOMEM;
        for (size_t i = 0; i < store->n_files; i++) {
                const StoreFile *file = store->files[i];
                const PolicyFile *profile;

                if (!store_file_applies(store, file, subject))
                        continue;
                inputs[n++] = (PolicyStackInput){ .file = file->policy, .layer = file->layer };
                profile =
                        file->policy->profile ? store_profile(store, file->policy->profile) : NULL;
                if (profile)
                        inputs[n++] = (PolicyStackInput){
                                .file = profile,
                                .layer = file->layer,
                                .from_profile = true,
                        };
        }

        *ret = TAKE_PTR(inputs);
        *ret_n = n;
        return 0;
}

int store_dir_prepare(const StoreDir *dir) {
        static const char *const names[] = { "runtime.d", "policy.d", "vendor.d", STORE_DIR_GOOD,
                STORE_DIR_PROFILES };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_close_ int fd = -EBADF;
                int r;

                r = io_mkdir_open(dir->fd, names[i], 0700, &fd);
                if (r < 0)
                        return r;
                r = io_remove_temps(fd);
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_problem(Store *store, const char *message, const char *consequence) {
        _cleanup_free_ char *line = NULL;

        if (asprintf(&line, "%s; %s", message, consequence) < 0)
                return -ENOMEM;
        return strv_push(&store->problems, &line);
}

static int store_file_empty(PolicyLayer layer, const char *name, StoreFile **ret) {
        _cleanup_(store_file_unrefp) StoreFile *file = calloc(1, sizeof(*file));

        if (!file)
                return -ENOMEM;
        file->n_ref = 1;
        file->layer = layer;
        file->name = strdup(name);
        if (!file->name)
                return -ENOMEM;
        *ret = TAKE_PTR(file);
        return 0;
}

static bool is_dev_null(int dir_fd, const char *name) {
        struct stat st, null;

        return fstatat(dir_fd, name, &st, 0) >= 0 && stat("/dev/null", &null) >= 0 &&
                S_ISCHR(st.st_mode) && st.st_rdev == null.st_rdev;
}

int store_replace_broken(const StoreDir *dir, const Store *previous, Store *store,
        PolicyLayer layer, const char *name, const char *why, StoreFile **ret) {
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        int r;

        r = store_load_good(dir, store, previous, layer, name, &file);
        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                file->from_good = true;
                r = store_problem(store, why, "its last good version stays in force");
        } else {
                r = store_file_empty(layer, name, &file);
                if (r < 0)
                        return r;
                r = store_problem(store, why, "it is not in force");
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(file);
        return 0;
}

static int store_load_file(const StoreDir *dir, const Store *previous, int layer_fd,
        PolicyLayer layer, const char *name, Store *store) {
        _cleanup_(manager_error_done) ManagerError error = { 0 };
        _cleanup_(store_file_unrefp) StoreFile *file = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (is_dev_null(layer_fd, name)) {
                r = store_file_empty(layer, name, &file);
                if (r < 0)
                        return r;
                file->mask = true;
                return store_add(store, &file);
        }

        r = io_read_file(layer_fd, name, POLICY_FILE_SIZE_MAX, &text, NULL);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                _cleanup_free_ char *path = store_path(dir, layer, name);

                r = manager_error_set(&error, MANAGER_ERROR_INVALID_POLICY,
                        "%s: cannot be read: %s", strempty(path), strerror(-r));
        } else
                r = store_parse(dir, store, layer, name, text, &error, &file);
        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                file->is_fresh = true;
                return store_add(store, &file);
        }

        r = store_replace_broken(dir, previous, store, layer, name, strempty(error.message), &file);
        return r < 0 ? r : store_add(store, &file);
}

/* '?' for what is not printable: the bytes of a file name are its maker's. */
static int store_problem_name(Store *store, const char *dir, const char *name) {
        _cleanup_free_ char *message = NULL;

        if (asprintf(&message, "%s/%s", dir, name) < 0) {
                message = NULL;
                return -ENOMEM;
        }
        for (char *p = message; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
        return store_problem(
                store, message, "a file name has to be printable UTF-8; it is not in force");
}

int store_list(int parent_fd, const char *name, Store *store, int *ret_fd, char ***ret) {
        _cleanup_closedir_ DIR *d = NULL;
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t n_names = 0;
        int r;

        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = io_opendir(fd, ".", &d);
        if (r < 0)
                return r;
        for (;;) {
                const struct dirent *de;
                size_t n;

                errno = 0;
                de = readdir(d);
                if (!de) {
                        if (errno > 0)
                                return -errno;
                        break;
                }
                n = strlen(de->d_name);
                if (de->d_name[0] == '.' || n < 6 || !streq(de->d_name + n - 5, ".json"))
                        continue;
                /* The good versions of all layers lie in one directory. */
                if (store && ++n_names > STORE_FILES_MAX)
                        return -E2BIG;
                if (policy_glob_is_valid(de->d_name))
                        r = strv_extend(&names, de->d_name);
                else
                        r = store ? store_problem_name(store, name, de->d_name) : 0;
                if (r < 0)
                        return r;
        }

        *ret = strv_sort(TAKE_PTR(names));
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Only we write the runtime layer: a job whose file was taken away has lost nothing of its policy. */
static int store_keep_runtime(const StoreDir *dir, const Store *previous, Store *store) {
        for (size_t i = 0; previous && i < previous->n_files; i++) {
                _cleanup_(store_file_unrefp) StoreFile *file = previous->files[i];
                _cleanup_free_ char *path = NULL;
                int r;

                file->n_ref++;
                if (file->layer != POLICY_LAYER_RUNTIME ||
                        store_find(store, file->layer, file->name))
                        continue;
                path = store_path(dir, file->layer, file->name);
                r = path ? store_problem(
                                   store, path, "the file is gone; its last version stays in force")
                         : -ENOMEM;
                if (r < 0)
                        return r;
                r = store_add(store, &file);
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_load(const StoreDir *dir, const Store *previous, Store **ret) {
        _cleanup_(store_unrefp) Store *store = NULL;
        size_t n_present;
        int r;

        r = store_new(&store);
        if (r < 0)
                return r;
        r = store_load_profiles(dir, previous, store, &n_present);
        if (r < 0)
                return r;
        for (PolicyLayer layer = 0; layer < _POLICY_LAYER_MAX; layer++) {
                _cleanup_(strv_freep) char **names = NULL;
                _cleanup_close_ int fd = -EBADF;

                if (!layer_dirs[layer])
                        continue;
                r = store_list(dir->fd, layer_dirs[layer], store, &fd, &names);
                if (r < 0)
                        return r;
                for (size_t i = 0; names && names[i]; i++) {
                        r = store_load_file(dir, previous, fd, layer, names[i], store);
                        if (r < 0)
                                return r;
                }
        }
        r = store_keep_runtime(dir, previous, store);
        if (r < 0)
                return r;
        r = store_settle_lost_profiles(store, n_present);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(store);
        return 0;
}
