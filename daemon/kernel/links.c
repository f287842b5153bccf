/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the attachments: one link per hook and cgroup, pinned at v2/links/SUBJECT-CGROUPID/HOOK.
 *
 * A link lives as long as its pin or an fd of it. Making one is attach, then pin: whoever dies in between
 * takes the fd along, and so the attachment. Letting go is unpin, then detach: the other way round, a
 * pin of a detached link would be left.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel-private.h"
#include "kernel/pins.h"
#include "util/io.h"
#include "util/macro.h"

#define LINK_DIRECTORY_MAX sizeof("4294967295-0123456789abcdef")

static void link_directory(uint32_t subject, uint64_t cgroup_id, char ret[LINK_DIRECTORY_MAX]) {
        (void)snprintf(ret, LINK_DIRECTORY_MAX, "%" PRIu32 "-%016" PRIx64, subject, cgroup_id);
}

/* Only the very spelling that link_directory() gives. */
static int parse_link_directory(const char *s, uint32_t *ret_subject, uint64_t *ret_cgroup_id) {
        char again[LINK_DIRECTORY_MAX];
        uint64_t cgroup_id;
        uint32_t subject;

        if (strlen(s) >= sizeof(again) ||
                sscanf(s, "%" SCNu32 "-%" SCNx64, &subject, &cgroup_id) != 2)
                return -EINVAL;
        link_directory(subject, cgroup_id, again);
        if (!streq(s, again))
                return -EINVAL;
        *ret_subject = subject;
        *ret_cgroup_id = cgroup_id;
        return 0;
}

static int link_new(int fd, unsigned hook, uint32_t subject, uint64_t cgroup_id, KernelLink **ret) {
        KernelLink *link = malloc(sizeof(*link));

        if (!link)
                return -ENOMEM;
        *link = (KernelLink){
                .fd = fd,
                .hook = hook,
                .subject = subject,
                .cgroup_id = cgroup_id,
        };
        *ret = link;
        return 0;
}

KernelLink *kernel_link_free(KernelLink *link) {
        if (!link)
                return NULL;
        if (link->carrier)
                carrier_lose_link(link->carrier);
        (void)close_keep_errno(link->fd);
        free(link);
        return NULL;
}

/* For a link that is known to carry this from now on; NULL: nothing. */
static void link_set_carrier(KernelLink *link, Carrier *carrier) {
        Carrier *before = link->carrier;

        if (carrier)
                carrier_add_link(carrier);
        link->carrier = carrier;
        if (before)
                carrier_drop_link(before);
}

int kernel_link_create(Kernel *k, const KernelProgs *progs, unsigned hook, int cgroup_fd,
        uint32_t subject, uint64_t cgroup_id, KernelLink **ret) {
        _cleanup_(kernel_link_freep) KernelLink *link = NULL;
        _cleanup_close_ int directory_fd = -EBADF;
        KernelBpf *kernel = kernel_bpf(k);
        char directory[LINK_DIRECTORY_MAX];
        const char *name;
        int r, fd;

        assert(progs);
        assert(hook < CGP_N_HOOKS);
        assert(ret);

        name = kernel_hook_to_string(hook);
        link_directory(subject, cgroup_id, directory);
        r = pin_directory(kernel->links_fd, directory, &directory_fd);
        if (r < 0)
                return r;
        /* Asked first: else both links would be in force until the second fails to be pinned. */
        if (faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return -EEXIST;
        if (errno != ENOENT) {
                r = -errno;
                goto fail;
        }

        fd = bpf_link_create(carrier_instance(progs->carrier)->prog_fds[hook], cgroup_fd,
                loader_attach_type(hook), NULL);
        if (fd < 0) {
                r = kernel_errno(-errno);
                goto fail;
        }
        r = link_new(fd, hook, subject, cgroup_id, &link);
        if (r < 0) {
                /* The kernel detaches in its own time. */
                carrier_add_link(progs->carrier);
                carrier_lose_link(progs->carrier);
                (void)close_keep_errno(fd);
                goto fail;
        }
        link_set_carrier(link, progs->carrier);
        r = pin_object(fd, directory_fd, name);
        if (r < 0)
                goto fail;
        *ret = TAKE_PTR(link);
        return 0;

fail:
        /* The directory goes with its last link; that it still has one is no failure. */
        (void)unlinkat(kernel->links_fd, directory, AT_REMOVEDIR);
        return r;
}

int kernel_link_update(Kernel *k, KernelLink *link, const KernelProgs *progs, unsigned hook) {
        assert(link);
        assert(progs);

        if (hook != link->hook)
                return -EINVAL;
        if (bpf_link_update(link->fd, carrier_instance(progs->carrier)->prog_fds[hook], NULL) < 0)
                return kernel_errno(-errno);
        link_set_carrier(link, progs->carrier);
        return 0;
}

static int link_info(int fd, struct bpf_link_info *ret) {
        struct bpf_link_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
                return kernel_errno(-errno);
        *ret = info;
        return 0;
}

int kernel_link_query(Kernel *k, KernelLink *link, uint32_t *ret_prog_id, uint64_t *ret_cgroup_id) {
        struct bpf_link_info info;
        int r;

        assert(link);

        r = link_info(link->fd, &info);
        if (r < 0)
                return r;
        *ret_prog_id = info.prog_id;
        *ret_cgroup_id = info.cgroup.cgroup_id;
        return 0;
}

int kernel_link_destroy(Kernel *k, KernelLink *link) {
        _cleanup_close_ int directory_fd = -EBADF;
        KernelBpf *kernel = kernel_bpf(k);
        char directory[LINK_DIRECTORY_MAX];
        int r;

        assert(link);

        link_directory(link->subject, link->cgroup_id, directory);
        r = pin_open_directory(kernel->links_fd, directory, &directory_fd);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == 0 && unlinkat(directory_fd, kernel_hook_to_string(link->hook), 0) < 0 &&
                errno != ENOENT)
                return -errno;
        (void)unlinkat(kernel->links_fd, directory, AT_REMOVEDIR);
        /* Closing our fd is enough unless somebody else holds the link, too. ENOLINK: its cgroup is
         * gone, there is nothing to detach from. */
        if (bpf_link_detach(link->fd) < 0 && errno != ENOLINK)
                return kernel_errno(-errno);
        link_set_carrier(link, NULL);
        (void)kernel_link_free(link);
        return 0;
}

/* Opens a pinned link and checks that it is what its place says. */
static int open_link(int directory_fd, unsigned hook, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct bpf_link_info info;
        int r;

        r = pin_open(directory_fd, kernel_hook_to_string(hook), PIN_LINK, &fd);
        if (r < 0)
                return r;
        r = link_info(fd, &info);
        if (r < 0)
                return r;
        if (info.type != BPF_LINK_TYPE_CGROUP ||
                info.cgroup.attach_type != loader_attach_type(hook))
                return -EMEDIUMTYPE;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* The names in a directory that are no hook's. */
static int count_strangers(int directory_fd) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int n = 0, r;

        r = io_opendir(directory_fd, ".", &dir);
        if (r < 0)
                return r;
        for (errno = 0; (entry = readdir(dir)); errno = 0)
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
                        kernel_hook_from_string(entry->d_name) < 0)
                        n++;
        return errno > 0 ? -errno : n;
}

/* Returns the number of pins skipped. */
static int find_in_directory(
        KernelBpf *kernel, const char *name, KernelFoundCallback callback, void *userdata) {
        _cleanup_close_ int directory_fd = -EBADF;
        int r, n_skipped;
        uint64_t cgroup_id;
        uint32_t subject;

        if (parse_link_directory(name, &subject, &cgroup_id) < 0)
                return 1;
        r = pin_open_directory(kernel->links_fd, name, &directory_fd);
        if (r < 0)
                return r == -EMEDIUMTYPE ? 1 : r;
        n_skipped = count_strangers(directory_fd);
        if (n_skipped < 0)
                return n_skipped;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                KernelFound found = { .subject = subject, .cgroup_id = cgroup_id, .hook = hook };
                int fd;

                r = open_link(directory_fd, hook, &fd);
                if (r == -ENOENT)
                        continue;
                if (r == -EMEDIUMTYPE) {
                        n_skipped++;
                        continue;
                }
                if (r < 0)
                        return r;
                r = link_new(fd, hook, subject, cgroup_id, &found.link);
                if (r < 0) {
                        (void)close_keep_errno(fd);
                        return r;
                }
                r = callback(userdata, &found);
                if (r < 0)
                        return r;
        }
        return n_skipped;
}

int kernel_links_find(Kernel *k, KernelFoundCallback callback, void *userdata) {
        KernelBpf *kernel = kernel_bpf(k);
        struct dirent **entries = NULL;
        int r = 0, n, n_skipped = 0;

        assert(callback);

        /* All names first: the callback may remove what it is given. */
        n = scandirat(kernel->links_fd, ".", &entries, NULL, alphasort);
        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                if (r >= 0 && !streq(entries[i]->d_name, ".") && !streq(entries[i]->d_name, "..")) {
                        r = find_in_directory(kernel, entries[i]->d_name, callback, userdata);
                        if (r > 0)
                                n_skipped += r;
                }
                free(entries[i]);
        }
        free(entries);
        return r < 0 ? r : n_skipped;
}
