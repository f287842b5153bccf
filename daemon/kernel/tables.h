/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that are too large for an instance of the pool, or one too many. They are frozen, and held once for all images in force
 * that have the same: fifty subjects with one large policy cost the memory of one.
 */
#pragma once

#include "policy/image.h"
#include "util/cleanup.h"

typedef struct Tables Tables;

/* Those in use, by whoever hands it in: NULL in the beginning. */
typedef Tables *TablesRegistry;

/* Finds the image's tables among those in use, or makes them. -E2BIG: larger than this kernel's maps; -ENOMEM. */
int tables_get(
        TablesRegistry *registry, const PolicyImage *image, Tables **ret) _warn_unused_result_;
Tables *tables_unref(Tables *tables);
DEFINE_CLEANUP(Tables *, tables_unrefp, tables_unref);

/* Tables that are still held live on, but are found no more. */
void tables_forget_all(TablesRegistry *registry);

int tables_fd(const Tables *tables);
unsigned tables_users(const Tables *tables);
