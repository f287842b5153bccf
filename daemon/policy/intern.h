/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of equally sized blobs that numbers them in the order in which they are first seen. Exact:
 * hashes only find candidates, bytes decide. Equal sequences of blobs get equal numbers on every
 * machine.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct Intern {
        uint8_t *blobs; /* n_blobs * blob_size bytes, owned; moves when a blob is added */
        size_t blob_size;
        size_t n_blobs;
        size_t n_allocated;
        uint64_t *slots; /* open addressing: hash << 32 | index + 1; 0: free */
        size_t n_slots;  /* power of two, or 0 */
} Intern;

#define INTERN_INIT(size) ((Intern){ .blob_size = (size) })

void intern_done(Intern *intern);

/* Finds the blob, or adds a copy of it. The blob must not lie in the set. Returns 1 if it was
 * added, 0 if it was there, -ENOMEM. */
int intern_add(Intern *intern, const void *blob, uint32_t *ret_index) _warn_unused_result_;

/* Forgets all blobs but the first n. */
void intern_truncate(Intern *intern, size_t n);

static inline const void *intern_get(const Intern *intern, uint32_t index) {
        return intern->blobs + index * intern->blob_size;
}
