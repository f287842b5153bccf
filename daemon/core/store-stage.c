/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replacing one policy file: staged, committed, and if need be undone. Undoing renames only, so it needs
 * no space and works on a full disk. */
#include <fcntl.h>
#include <sys/stat.h>

#include "core/store.h"
#include "util/io.h"
#include "util/macro.h"

static int stage_open_dir(const StoreDir *dir, PolicyLayer layer) {
        const char *name = store_layer_dir(layer);
        int fd;

        if (!name)
                return -EINVAL;
        fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int store_stage(const StoreDir *dir, PolicyLayer layer, const char *name, const char *text,
        StoreStage *stage) {
        _cleanup_(store_stage_done) StoreStage s = STORE_STAGE_INIT;
        struct stat st;
        int r;

        s.dir_fd = stage_open_dir(dir, layer);
        if (s.dir_fd < 0)
                return s.dir_fd;
        s.name = strdup(name);
        if (!s.name)
                return -ENOMEM;

        if (fstatat(s.dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0) {
                /* Renaming it back needs no space, either. */
                r = io_link_temp(s.dir_fd, name, &s.old_temp);
                if (r < 0)
                        return r;
        } else if (errno != ENOENT)
                return -errno;

        if (text) {
                r = io_stage_file(s.dir_fd, name, text, strlen(text), 0600, &s.temp);
                if (r < 0)
                        return r;
        }

        *stage = s;
        s = (StoreStage)STORE_STAGE_INIT;
        return 0;
}

int store_commit(StoreStage *stage) {
        int r;

        if (stage->temp) {
                r = io_commit_file(stage->dir_fd, stage->temp, stage->name);
                if (r < 0)
                        return r;
                free(stage->temp);
                stage->temp = NULL;
        } else if (unlinkat(stage->dir_fd, stage->name, 0) < 0 && errno != ENOENT)
                return -errno;
        stage->committed = true;
        return 0;
}

int store_undo(StoreStage *stage) {
        int r = 0;

        if (!stage->committed)
                return 0;
        if (stage->old_temp) {
                r = io_commit_file(stage->dir_fd, stage->old_temp, stage->name);
                if (r >= 0) {
                        free(stage->old_temp);
                        stage->old_temp = NULL;
                }
        } else if (unlinkat(stage->dir_fd, stage->name, 0) < 0 && errno != ENOENT)
                r = -errno;
        if (r >= 0)
                stage->committed = false;
        return r < 0 ? r : 0;
}

void store_finish(StoreStage *stage) {
        if (stage->temp)
                (void)io_discard_file(stage->dir_fd, stage->temp);
        if (stage->old_temp)
                (void)io_discard_file(stage->dir_fd, stage->old_temp);
        free(stage->temp);
        free(stage->old_temp);
        free(stage->name);
        (void)close_keep_errno(stage->dir_fd);
        *stage = (StoreStage)STORE_STAGE_INIT;
}

void store_stage_done(StoreStage *stage) {
        store_finish(stage);
}
