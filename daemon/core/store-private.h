/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the store share among themselves and with nobody else. */
#pragma once

#include "core/store.h"

#define STORE_DIR_GOOD     "good.d"
#define STORE_DIR_PROFILES "profiles"

/* store.c */

/* All errors, one a line; NULL without memory. Owned. */
char *store_diags_to_text(const PolicyDiags *diags);

/* Notes "message; consequence". */
int store_problem(Store *store, const char *message, const char *consequence) _warn_unused_result_;

/* The names in a directory that end in .json, sorted, and the directory. A name that could not be shown to
 * anybody is left out and noted as a problem of the store (NULL: is left out). */
int store_list(int parent_fd, const char *name, Store *store, int *ret_fd,
        char ***ret) _warn_unused_result_;

/* The last good version of a file that cannot be in force, noted as a problem, or else an empty one. */
int store_replace_broken(const StoreDir *dir, const Store *previous, Store *store,
        PolicyLayer layer, const char *name, const char *why, StoreFile **ret) _warn_unused_result_;

/* store-good.c */

/* The last good version of a broken file. -ENOENT or a parser's error: there is none. */
int store_load_good(const StoreDir *dir, const Store *store, const Store *previous,
        PolicyLayer layer, const char *name, StoreFile **ret) _warn_unused_result_;

/* Profiles from files, then those built in, then the last good versions of files that are gone, of which
 * there may be users: *ret_n_present is how many profiles come before these. */
int store_load_profiles(const StoreDir *dir, const Store *previous, Store *store,
        size_t *ret_n_present) _warn_unused_result_;

/* To be called when all files are read: drops the profiles that are gone and have no user, and notes those
 * that have one. */
int store_settle_lost_profiles(Store *store, size_t n_present) _warn_unused_result_;

/* Removes good versions that no file or profile of the store stands for any more, so that a file that was
 * deleted does not come back under a broken one of its name. */
void store_prune_good(const StoreDir *dir, const Store *store);
