/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole files, read with a bound and replaced atomically.
 *
 * A file is replaced in two steps, so that a caller can do everything that may fail before the new
 * content is seen: io_stage_file() writes a hidden temporary file in the same directory and brings it to
 * the disk, io_commit_file() renames it. What a killed process left behind is told by its name.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/cleanup.h"

/* Reads a regular file. name is relative to dir_fd, may be a path, and links are followed; never blocks on
 * a FIFO and never gets a terminal. The result is owned and has a NUL behind its end. With ret_size NULL
 * the content must have no NUL inside (-EBADMSG).
 * -EFBIG: longer than max bytes; -EISDIR, -EBADFD: a directory, or not a regular file otherwise; -ENOENT. */
int io_read_file(int dir_fd, const char *name, size_t max, char **ret,
        size_t *ret_size) _warn_unused_result_;

/* Writes all of it, over short writes and signals. -EAGAIN: fd does not block and is full; then, as after
 * any failure, some of it may be written. */
int io_write_all(int fd, const void *data, size_t size) _warn_unused_result_;

/* Writes data to a new temporary file in dir_fd, beside name, with exactly this mode, and brings it to the
 * disk. name is one path component (-EINVAL). *ret_temp is the temporary name, owned. On failure
 * nothing is left. */
int io_stage_file(int dir_fd, const char *name, const void *data, size_t size, mode_t mode,
        char **ret_temp) _warn_unused_result_;

/* Gives a file a second name, a temporary one. Needs no space. -ENOENT: there is no such file. */
int io_link_temp(int dir_fd, const char *name, char **ret_temp) _warn_unused_result_;

/* Replaces name by temp (a file beside it, or in another directory of the same file system): readers see either. Not
 * brought to the disk, nor does it wait for one: for what is worth nothing after a power cut. */
int io_replace(int dir_fd, const char *temp, const char *name) _warn_unused_result_;

/* Renames a staged file to name, replacing it, and brings the directory to the disk.
 * 0: done and durable. 1: done, but the directory could not be synchronised: readers see the new file, and
 * a power cut may bring the old one back. Negative: name is what it was and temp is still there. */
int io_commit_file(int dir_fd, const char *temp, const char *name) _warn_unused_result_;

/* Removes a staged file that is not wanted any more. That it is gone already is no failure. -EINVAL: not
 * a temporary name. */
int io_discard_file(int dir_fd, const char *temp);

/* Stage and commit in one. Returns as io_commit_file(); on failure name is what it was and no temporary
 * file is left. */
int io_write_file(int dir_fd, const char *name, const void *data, size_t size,
        mode_t mode) _warn_unused_result_;

/* Was this name made by io_stage_file()? */
bool io_is_temp_name(const char *name);

/* Removes all temporary files from the directory: only for its one writer, while nothing is staged. Returns
 * how many were removed. On failure the rest was tried all the same. */
int io_remove_temps(int dir_fd);

/* Opens a directory, made with exactly this mode if it is not there; an existing one keeps its mode. name
 * may be a path, of which only the last component is made and may not be a link (-ENOTDIR, -ELOOP).
 * Returns 1 if it was made, 0 if it was there. */
int io_mkdir_open(int dir_fd, const char *name, mode_t mode, int *ret_fd) _warn_unused_result_;

/* Opens a directory for readdir(), from its first entry: also "." of a descriptor that others read. Owned. */
int io_opendir(int dir_fd, const char *name, DIR **ret) _warn_unused_result_;
