/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The named lists that files define: what each is read from, what it held when it was last read without an error,
 * and the set map that was built of all of them.
 *
 * A table is a snapshot of its own: a change makes a new one that inherits what stays, loads the rest, and takes the
 * old one's place once it is in force. Loading needs nothing but the table and the daemon's directory, so it may
 * run in another thread as long as nobody else has the table.
 *
 * Below the daemon's directory, beside the last good versions of policies:
 *   good.d/list-NAME.txt   the text of each list that was read from a file, when it was last good
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/store.h"
#include "policy/set.h"

typedef enum ListState {
        LIST_NEVER_LOADED, /* nothing may use it */
        LIST_LOADED,
        LIST_KEPT, /* it is broken or gone; what it last held stays in force */
        _LIST_STATE_MAX,
} ListState;

const char *list_state_to_string(ListState state); /* "never-loaded", "loaded", "kept" */

/* What tells that a file is not the one that was read. */
typedef struct ListStamp {
        uint64_t device;
        uint64_t inode;
        uint64_t size;
        int64_t changed_nsec;
} ListStamp;

typedef struct ListEntry {
        char *name;
        char *file;      /* NULL: inline */
        char **networks; /* of an inline list */
        char *source;    /* the file that defines it */
        unsigned line;
        ListState state;
        char *error;          /* why it is not LOADED, "path:line: what"; or NULL */
        uint64_t loaded_usec; /* CLOCK_REALTIME; 0: never */
        PolicyList *content;  /* NULL: never loaded */
        ListStamp stamp;

        bool wanted;       /* list_table_load() is to read it */
        PolicyList *fresh; /* what it read, until list_table_settle() */
        char *temp;        /* in good.d, the text of fresh; or NULL */
} ListEntry;

typedef struct ListTable {
        unsigned n_ref;
        ListEntry *entries; /* by name */
        size_t n_entries;
        char **problems;      /* definitions that contradict each other */
        PolicySet *set;       /* of the content of all; NULL: none has any */
        PolicySet *fresh_set; /* built by list_table_load(), until list_table_settle() */
        bool has_fresh_set;
        bool has_slot;
        uint32_t slot; /* where the kernel has the set */
        int good_fd;   /* of good.d, borrowed, to throw temporary files away */
} ListTable;

ListTable *list_table_ref(ListTable *table);
ListTable *list_table_unref(ListTable *table);
DEFINE_CLEANUP(ListTable *, list_table_unrefp, list_table_unref);

/* The definitions of all files that are in use. Of several of one name that of the highest layer counts, then that
 * of the first file name; profiles come last. good_fd is borrowed for the life of the table.
 * -E2BIG: more than POLICY_LISTS_MAX. */
int list_table_new(const Store *store, int good_fd, ListTable **ret) _warn_unused_result_;

ListEntry *list_table_find(const ListTable *table, const char *name);

/* Do both define the same, whatever it holds? */
bool list_table_same(const ListTable *a, const ListTable *b);

/* Takes the content of equal definitions over; everything else is wanted. reread: so is what is read from a file
 * that is not the one that was read (dir_fd: the daemon's directory). previous may be NULL. */
void list_table_inherit(ListTable *table, const ListTable *previous, bool reread, int dir_fd);

bool list_table_is_wanted(const ListTable *table); /* anything? */
/* Bytes of the files that are wanted, as far as one can tell. */
uint64_t list_table_wanted_size(const ListTable *table, int dir_fd);

/* Reads what is wanted, and builds the set of what is there then. What cannot be read keeps the content it has, or
 * gets that of its last good version, and an error. With a set that does not fit all keep what they have. Touches no
 * reference of what it inherited. -ENOMEM and the like; then the table is good for nothing. */
int list_table_load(ListTable *table, int dir_fd) _warn_unused_result_;

/* To be called by whoever owns references, after a load. Returns whether the set is another than before. */
bool list_table_settle(ListTable *table);

/* The texts that were read become the last good ones, once they are in force. Forgets those of lists that no file
 * defines any more. */
void list_table_keep_good(ListTable *table);

/* Removes what a killed daemon left half written. */
void list_remove_temps(int good_fd);

/* The contents, by name, for policies: only of lists that were loaded. Borrowed elements, owned array. */
int list_table_contents(
        const ListTable *table, PolicyList ***ret, size_t *ret_n) _warn_unused_result_;
