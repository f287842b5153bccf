/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the life of the handle and the directories and maps that are pinned for all subjects. */
#include "kernel/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "kernel/kernel-private.h"
#include "kernel/pins.h"
#include "util/macro.h"

#define FLOWS_DEFAULT   65536U
#define DENIALS_DEFAULT 4096U
#define ENTRIES_MAX     (4U * 1024 * 1024)

#define VERSION_DIRECTORY "v2"
static_assert(CGP_ABI_VERSION == 2, "the directory is named after the version");

static const char *const hook_names[CGP_N_HOOKS] = {
        [CGP_HOOK_SOCK_CREATE] = "sock_create",
        [CGP_HOOK_SOCK_OPS] = "sock_ops",
        [CGP_HOOK_BIND4] = "bind4",
        [CGP_HOOK_BIND6] = "bind6",
        [CGP_HOOK_POST_BIND4] = "post_bind4",
        [CGP_HOOK_POST_BIND6] = "post_bind6",
        [CGP_HOOK_CONNECT4] = "connect4",
        [CGP_HOOK_CONNECT6] = "connect6",
        [CGP_HOOK_SENDMSG4] = "sendmsg4",
        [CGP_HOOK_SENDMSG6] = "sendmsg6",
        [CGP_HOOK_EGRESS] = "egress",
        [CGP_HOOK_INGRESS] = "ingress",
};

const char *kernel_hook_to_string(unsigned hook) {
        return hook < CGP_N_HOOKS ? hook_names[hook] : NULL;
}

int kernel_hook_from_string(const char *s) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (streq(s, hook_names[hook]))
                        return (int)hook;
        return -EINVAL;
}

void kernel_set_log(void (*callback)(int level, const char *message)) {
        loader_set_log(callback);
}

/* What kernel_open() has made so far, to take it back. */
typedef struct Opening {
        KernelBpf *kernel;
        int version_fd;
        bool made_version, made_maps, made_links;
        bool pinned[_LOADER_MAP_MAX];
        bool done;
} Opening;

static void opening_undo(Opening *o) {
        if (o->done)
                return;
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                if (o->pinned[i])
                        (void)unlinkat(o->kernel->maps_fd, loader_map_names[i], 0);
        if (o->made_maps)
                (void)unlinkat(o->version_fd, "maps", AT_REMOVEDIR);
        if (o->made_links)
                (void)unlinkat(o->version_fd, "links", AT_REMOVEDIR);
        if (o->made_version)
                (void)unlinkat(o->kernel->dir_fd, VERSION_DIRECTORY, AT_REMOVEDIR);
        o->version_fd = close_keep_errno(o->version_fd);
}

static int stale(KernelFailure *reterr, const char *what, const char *why) {
        if (reterr)
                (void)snprintf(reterr->log, sizeof(reterr->log), "%s: %s", what, why);
        return -ESTALE;
}

static int check_bpffs(int dir_fd) {
        struct statfs fs;

        if (fstatfs(dir_fd, &fs) < 0)
                return -errno;
        return fs.f_type == BPF_FS_MAGIC ? 0 : -ENOTSUP;
}

static int open_directory(int dir_fd, const char *name, const char *label, KernelFailure *reterr,
        int *ret_fd, bool *ret_made) {
        int r = pin_directory(dir_fd, name, ret_fd);

        if (r == -EMEDIUMTYPE)
                return stale(reterr, label, "not a directory of ours");
        if (r < 0)
                return r;
        *ret_made = r > 0;
        return 0;
}

static int open_directories(Opening *o, KernelFailure *reterr) {
        KernelBpf *kernel = o->kernel;
        int r;

        r = open_directory(kernel->dir_fd, VERSION_DIRECTORY, VERSION_DIRECTORY, reterr,
                &o->version_fd, &o->made_version);
        if (r < 0)
                return r;
        r = open_directory(o->version_fd, "maps", VERSION_DIRECTORY "/maps", reterr,
                &kernel->maps_fd, &o->made_maps);
        if (r < 0)
                return r;
        return open_directory(o->version_fd, "links", VERSION_DIRECTORY "/links", reterr,
                &kernel->links_fd, &o->made_links);
}

static int check_map(int fd, const char *name, const LoaderMapSpec *spec) {
        struct bpf_map_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
                return kernel_errno(-errno);
        if (info.type != spec->type || info.key_size != spec->key_size ||
                info.value_size != spec->value_size || info.max_entries != spec->n_entries ||
                info.map_flags != spec->flags || !streq(info.name, name))
                return -ESTALE;
        return 0;
}

/* Opens the maps that are pinned and makes the others: all of them before the first is pinned. */
static int open_maps(Opening *o, KernelFailure *reterr) {
        LoaderMapSpec specs[_LOADER_MAP_MAX];
        KernelBpf *kernel = o->kernel;
        bool found[_LOADER_MAP_MAX];
        int r;

        r = loader_map_specs(kernel->flows_max, kernel->denials_max, specs);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++) {
                const char *name = loader_map_names[i];

                r = pin_open(kernel->maps_fd, name, PIN_MAP, &kernel->map_fds[i]);
                if (r == -EMEDIUMTYPE)
                        return stale(reterr, name, "not a map");
                if (r < 0 && r != -ENOENT)
                        return r;
                found[i] = r == 0;
                if (!found[i])
                        continue;
                r = check_map(kernel->map_fds[i], name, &specs[i]);
                if (r == -ESTALE)
                        return stale(reterr, name, "a map of another type or size");
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                kernel->map_sizes[i] = specs[i].n_entries;
        r = loader_create_maps(kernel->flows_max, kernel->denials_max, kernel->map_fds);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++) {
                if (found[i])
                        continue;
                r = pin_object(kernel->map_fds[i], kernel->maps_fd, loader_map_names[i]);
                if (r < 0)
                        return r;
                o->pinned[i] = true;
        }
        return 0;
}

static int kernel_new(int dir_fd, const KernelConfig *config, KernelBpf **ret) {
        KernelBpf *kernel = malloc(sizeof(*kernel));

        if (!kernel)
                return -ENOMEM;
        *kernel = (KernelBpf){
                .kernel = { .ops = &kernel_bpf_ops },
                .dir_fd = -EBADF,
                .maps_fd = -EBADF,
                .links_fd = -EBADF,
                .flows_max = config && config->flows_max ? config->flows_max : FLOWS_DEFAULT,
                .denials_max =
                        config && config->denials_max ? config->denials_max : DENIALS_DEFAULT,
                .n_cpus = libbpf_num_possible_cpus(),
        };
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                kernel->map_fds[i] = -EBADF;
        *ret = kernel;
        return 0;
}

static Kernel *close_value(KernelBpf *kernel) {
        return kernel_close(&kernel->kernel);
}

DEFINE_CLEANUP(KernelBpf *, close_valuep, close_value);

int kernel_open(int dir_fd, const KernelConfig *config, KernelFailure *reterr, Kernel **ret) {
        _cleanup_(close_valuep) KernelBpf *kernel = NULL;
        _cleanup_(opening_undo) Opening opening = { .version_fd = -EBADF };
        LoaderInput input;
        int r;

        assert(ret);

        if (reterr)
                *reterr = (KernelFailure){ .step = "open", .hook = -1 };
        r = check_bpffs(dir_fd);
        if (r < 0)
                return r;
        r = kernel_new(dir_fd, config, &kernel);
        if (r < 0)
                return r;
        if (kernel->n_cpus < 0)
                return kernel->n_cpus;
        if (kernel->flows_max > ENTRIES_MAX || kernel->denials_max > ENTRIES_MAX)
                return -EINVAL;
        kernel->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        if (kernel->dir_fd < 0)
                return -errno;
        opening.kernel = kernel;

        if (reterr)
                reterr->step = "directories";
        r = open_directories(&opening, reterr);
        if (r < 0)
                return r;
        if (reterr)
                reterr->step = "maps";
        r = open_maps(&opening, reterr);
        if (r < 0)
                return r;
        if (reterr)
                reterr->step = "features";
        r = loader_features(&kernel->features);
        if (r < 0)
                return r;
        input = kernel_small_input(kernel);
        r = pool_new(&input, &kernel->pool);
        if (r < 0)
                return r;
        opening.done = true;
        opening.version_fd = close_keep_errno(opening.version_fd);
        *ret = &TAKE_PTR(kernel)->kernel;
        return 0;
}

Kernel *kernel_close(Kernel *k) {
        KernelBpf *kernel = (KernelBpf *)(void *)k;

        if (!kernel)
                return NULL;
        if (kernel->pool)
                pool_stop(kernel->pool);
        (void)pool_unref(kernel->pool);
        tables_forget_all(&kernel->tables);
        (void)iterators_free(kernel->iterators);
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                (void)close_keep_errno(kernel->map_fds[i]);
        (void)close_keep_errno(kernel->links_fd);
        (void)close_keep_errno(kernel->maps_fd);
        (void)close_keep_errno(kernel->dir_fd);
        free(kernel);
        return NULL;
}

static bool is_ours(const char *name) {
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                if (streq(name, loader_map_names[i]))
                        return true;
        return false;
}

/* -ENOTEMPTY if the directory has an entry, or one that is no map of ours. */
static int check_removable(int dir_fd, bool maps_are_fine) {
        struct dirent **entries = NULL;
        int n, r = 0;

        n = scandirat(dir_fd, ".", &entries, NULL, NULL);
        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                const char *name = entries[i]->d_name;

                if (!streq(name, ".") && !streq(name, "..") && !(maps_are_fine && is_ours(name)))
                        r = -ENOTEMPTY;
                free(entries[i]);
        }
        free(entries);
        return r;
}

int kernel_remove_pins(Kernel *k) {
        _cleanup_close_ int version_fd = -EBADF;
        KernelBpf *kernel = kernel_bpf(k);
        int r;

        r = check_removable(kernel->links_fd, /* maps_are_fine= */ false);
        if (r == 0)
                r = check_removable(kernel->maps_fd, /* maps_are_fine= */ true);
        if (r < 0)
                return r;
        r = pin_open_directory(kernel->dir_fd, VERSION_DIRECTORY, &version_fd);
        if (r < 0)
                return r;
        /* Refuses if a link was pinned meanwhile; then nothing else was removed yet. */
        if (unlinkat(version_fd, "links", AT_REMOVEDIR) < 0)
                return -errno;
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                if (unlinkat(kernel->maps_fd, loader_map_names[i], 0) < 0 && errno != ENOENT)
                        return -errno;
        if (unlinkat(version_fd, "maps", AT_REMOVEDIR) < 0)
                return -errno;
        if (unlinkat(kernel->dir_fd, VERSION_DIRECTORY, AT_REMOVEDIR) < 0)
                return -errno;
        return 0;
}
