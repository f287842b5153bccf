/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private directory for a test, as cmocka setup and teardown: *state is the directory's TempDir. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct TempDir {
        char path[64];
        int fd;
} TempDir;

static inline int temp_dir_setup(void **state) {
        TempDir *t = calloc(1, sizeof(*t));

        if (!t)
                return -1;
        (void)snprintf(t->path, sizeof(t->path), "/tmp/cgpolicy-test-XXXXXX");
        if (!mkdtemp(t->path)) {
                free(t);
                return -1;
        }
        t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = t;
        return t->fd < 0 ? -1 : 0;
}

static inline int temp_dir_remove_one(
        const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline int temp_dir_teardown(void **state) {
        TempDir *t = *state;
        int r = nftw(t->path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);

        (void)close(t->fd);
        free(t);
        return r;
}
