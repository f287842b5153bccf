/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy files of all layers, as last read, and how one of them is replaced. A Store is a snapshot: a
 * change makes a new one, which takes the old one's place once it is in force.
 *
 * Below the daemon's directory:
 *   policy.d/   layer local      vendor.d/   layer vendor      runtime.d/  layer runtime (one file a job)
 *   profiles/   profiles that override the built-in ones
 *   good.d/     LAYER-NAME and profile-NAME, the last version of each file that was valid
 * A file of policy.d with the same name overrides one of vendor.d; a link to /dev/null masks it.
 */
#pragma once

#include "core/error.h"
#include "policy/parse.h"

#define STORE_FILES_MAX 4096U /* of one layer; what a directory holds beyond is an error */

typedef struct StoreFile {
        unsigned n_ref;
        PolicyLayer layer;
        char *name;         /* file name, "10-web.json" */
        char *text;         /* bytes of the version in use */
        PolicyFile *policy; /* NULL: masked, or broken and never valid */
        bool from_good;     /* the file is broken, policy is its last good version */
        bool is_fresh;      /* read from disk, and not yet kept as the last good version */
        bool mask;          /* a link to /dev/null: hides the vendor's file of this name */
} StoreFile;

typedef struct Store {
        unsigned n_ref;
        StoreFile **files; /* by layer, then by name */
        size_t n_files;
        PolicyFile **profiles; /* from profiles/; path says where from */
        size_t n_profiles;
        char **problems; /* one sentence for each broken file */
} Store;

/* Where a store lives: borrowed by all functions, outlives them. */
typedef struct StoreDir {
        int fd; /* the daemon's directory */
        const char *path;
        const PolicyServices *services;
} StoreDir;

Store *store_ref(Store *store);
Store *store_unref(Store *store);
DEFINE_CLEANUP(Store *, store_unrefp, store_unref);

/* Makes the directories that are missing and removes what a killed daemon left half written. */
int store_dir_prepare(const StoreDir *dir) _warn_unused_result_;

/* Reads everything. A broken file is replaced by its last good version (that of previous, which may be NULL,
 * else the one kept in good.d) and named in problems. So is a profile, also one that is gone while a file names it, and a file of the runtime layer that is gone.
 * A file that was never valid states nothing. Fails only for want of memory or when a directory cannot be
 * read. */
int store_load(const StoreDir *dir, const Store *previous, Store **ret) _warn_unused_result_;

/* Replaces each file that was just read and uses a list that has_list() does not know, itself or by its profile, by
 * its last good version, and names it in problems; what has not even that is not in force. Returns whether there
 * was one: then other lists may be defined now. */
typedef bool (*StoreHasList)(void *userdata, const char *name);
int store_settle_lists(const StoreDir *dir, const Store *previous, Store *store,
        StoreHasList has_list, void *userdata) _warn_unused_result_;

/* The name of a list that the file uses, itself or by its profile, and that has_list() does not know; with the rule
 * that names it. NULL: there is none. */
const char *store_missing_list(const Store *store, const StoreFile *file, StoreHasList has_list,
        void *userdata, const PolicyRule **ret_rule);

/* What was read is from now on what is good, and what no file stands for any more is forgotten. */
void store_accept(const StoreDir *dir, Store *store);

/* Keeps text as the last good version. Not synced: it matters when the daemon restarts, not after a power
 * cut. text NULL: forgets it. */
int store_keep_good(const StoreDir *dir, PolicyLayer layer, const char *name, const char *text);

/* Parses text as a file of the layer; on failure the error carries every diagnostic, one a line. Also
 * refuses a profile that does not exist. */
int store_parse(const StoreDir *dir, const Store *store, PolicyLayer layer, const char *name,
        const char *text, ManagerError *reterr, StoreFile **ret) _warn_unused_result_;

StoreFile *store_file_unref(StoreFile *file);
DEFINE_CLEANUP(StoreFile *, store_file_unrefp, store_file_unref);

/* A new snapshot in which file replaces the one of its layer and name (file NULL: that one is gone).
 * Nothing is written. -EDQUOT: the layer has STORE_FILES_MAX files already. */
int store_with(const Store *store, PolicyLayer layer, const char *name, StoreFile *file,
        Store **ret) _warn_unused_result_;

const StoreFile *store_find(const Store *store, PolicyLayer layer, const char *name);

/* "policy.d"; NULL for a layer that has no files of ours. */
const char *store_layer_dir(PolicyLayer layer);

/* A file's own path, "DIR/policy.d/10-web.json". Owned, NULL without memory. */
char *store_path(const StoreDir *dir, PolicyLayer layer, const char *name);

/* The profile, from the directory or built in; NULL: none of that name. */
const PolicyFile *store_profile(const Store *store, const char *name);

/* Does it state anything: valid, and not hidden by a file of a higher layer? */
bool store_file_is_used(const Store *store, const StoreFile *file);

bool store_file_applies(const Store *store, const StoreFile *file, const char *subject);

/* The files that apply to a subject, highest layer first, profiles behind the file that names them. The
 * array is owned by the caller, its content by the store. */
int store_inputs(const Store *store, const char *subject, PolicyStackInput **ret,
        size_t *ret_n) _warn_unused_result_;

/* One replacement on disk in two steps, so that what can fail (space) fails before anything changes:
 * store_stage() writes and syncs the new text beside the old; store_commit() puts it in place and keeps the
 * old text aside until store_finish() or, to take it all back, store_undo(). text NULL: remove the file. */
typedef struct StoreStage {
        int dir_fd; /* of the layer */
        char *name;
        char *temp;     /* staged text, or NULL */
        char *old_temp; /* the file as it was, or NULL */
        bool committed;
} StoreStage;
#define STORE_STAGE_INIT \
        { .dir_fd = -EBADF }

int store_stage(const StoreDir *dir, PolicyLayer layer, const char *name, const char *text,
        StoreStage *stage) _warn_unused_result_;
int store_commit(StoreStage *stage) _warn_unused_result_;
int store_undo(StoreStage *stage);
void store_finish(StoreStage *stage);

/* Finishes if committed, else throws the staged text away. */
void store_stage_done(StoreStage *stage);
