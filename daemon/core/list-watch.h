/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells when the file of a list may be another one: inotify on the directories that they are in, and
 * on those above, coalesced. */
#pragma once

#include <systemd/sd-event.h>

#include "core/lists.h"

typedef struct ListWatch ListWatch;

/* dir: what relative files are relative to, borrowed. */
int list_watch_new(sd_event *event, const char *dir, void (*changed)(void *userdata),
        void *userdata, ListWatch **ret) _warn_unused_result_;
ListWatch *list_watch_free(ListWatch *watch);
DEFINE_CLEANUP(ListWatch *, list_watch_freep, list_watch_free);

/* From now on the files of this table are watched, and no others; with the directories that they are in, which may be
 * replaced, go and come. To be called again after each change that it tells of, before the files are read. What
 * cannot be watched is left out, and the first such errno returned. */
int list_watch_set(ListWatch *watch, const ListTable *table);
