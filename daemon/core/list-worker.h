/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads a table of lists in a thread, because a list of a million networks takes a second, and tells the event loop
 * when it is done. One table at a time. */
#pragma once

#include <systemd/sd-event.h>

#include "core/lists.h"

typedef struct ListWorker ListWorker;

/* table is the callback's from the call on; error: of list_table_load(). */
typedef void (*ListWorkerCallback)(void *userdata, ListTable *table, int error);

/* dir_fd is borrowed. */
int list_worker_new(sd_event *event, int dir_fd, ListWorkerCallback callback, void *userdata,
        ListWorker **ret) _warn_unused_result_;

/* Waits for the thread, calls nobody back. */
ListWorker *list_worker_free(ListWorker *worker);
DEFINE_CLEANUP(ListWorker *, list_worker_freep, list_worker_free);

bool list_worker_is_busy(const ListWorker *worker);

/* Takes the table over on success: nobody else may have a reference. -EBUSY. */
int list_worker_start(ListWorker *worker, ListTable **table) _warn_unused_result_;
