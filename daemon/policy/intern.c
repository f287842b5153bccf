/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbering of equal blobs: one array of blobs and one open-addressed index of it. */
#include "policy/intern.h"

#include <errno.h>
#include <string.h>

#include "util/macro.h"

#define SLOTS_MIN 32U

void intern_done(Intern *intern) {
        free(intern->blobs);
        free(intern->slots);
        *intern = (Intern){ .blob_size = intern->blob_size };
}

/* Only slots depend on it, nothing that is stored: made for speed, a multiplication for each
 * word. */
static uint32_t blob_hash(const uint8_t *blob, size_t size) {
        uint64_t hash = size * 0x9e3779b97f4a7c15ULL, word;
        unsigned __int128 product;

        for (; size > 0; blob += MIN(size, sizeof(word)), size -= MIN(size, sizeof(word))) {
                word = 0;
                if (size >= sizeof(word))
                        memcpy(&word, blob, sizeof(word));
                else
                        memcpy(&word, blob, size);
                product = (unsigned __int128)(hash ^ word) * 0xa0761d6478bd642fULL;
                hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ 0xe7037ed1a0b428dbULL;
        }
        product = (unsigned __int128)hash * 0x8ebc6af09c88c6e3ULL;
        return (uint32_t)product ^ (uint32_t)(product >> 64);
}

/* The slot of an equal blob, or the free one where it belongs. Blobs are far away: few of other
 * hashes are looked at. */
static uint64_t *intern_find_slot(const Intern *intern, const void *blob, uint32_t hash) {
        size_t i = hash & (intern->n_slots - 1);

        for (;; i = (i + 1) & (intern->n_slots - 1)) {
                uint64_t *slot = &intern->slots[i];

                if (*slot == 0 ||
                        (*slot >> 32 == hash &&
                                memcmp(intern_get(intern, (uint32_t)*slot - 1), blob,
                                        intern->blob_size) == 0))
                        return slot;
        }
}

static void slots_put(uint64_t *slots, size_t n_slots, uint64_t value) {
        size_t i = value >> 32 & (n_slots - 1);

        while (slots[i] != 0)
                i = (i + 1) & (n_slots - 1);
        slots[i] = value;
}

static int intern_grow_slots(Intern *intern) {
        size_t n = intern->n_slots > 0 ? intern->n_slots * 4 : SLOTS_MIN;
        uint64_t *slots = calloc(n, sizeof(*slots));

        if (!slots)
                return -ENOMEM;

        for (size_t i = 0; i < intern->n_slots; i++)
                if (intern->slots[i] != 0)
                        slots_put(slots, n, intern->slots[i]);
        free(intern->slots);
        intern->slots = slots;
        intern->n_slots = n;
        return 0;
}

void intern_truncate(Intern *intern, size_t n) {
        if (n >= intern->n_blobs)
                return;

        /* What stays is found anew: slots that are freed may stand in the way to others. */
        memset(intern->slots, 0, intern->n_slots * sizeof(*intern->slots));
        intern->n_blobs = n;
        for (size_t i = 0; i < n; i++)
                slots_put(intern->slots, intern->n_slots,
                        (uint64_t)blob_hash(intern_get(intern, i), intern->blob_size) << 32 |
                                (i + 1));
}

static int intern_grow_blobs(Intern *intern) {
        size_t n = intern->n_allocated > 0 ? intern->n_allocated * 2 : 4;
        uint8_t *blobs = reallocarray(intern->blobs, n, intern->blob_size);

        if (!blobs)
                return -ENOMEM;

        intern->blobs = blobs;
        intern->n_allocated = n;
        return 0;
}

int intern_add(Intern *intern, const void *blob, uint32_t *ret_index) {
        uint32_t hash = blob_hash(blob, intern->blob_size);
        uint64_t *slot;
        int r;

        if (intern->n_blobs * 2 >= intern->n_slots) {
                r = intern_grow_slots(intern);
                if (r < 0)
                        return r;
        }

        slot = intern_find_slot(intern, blob, hash);
        if (*slot != 0) {
                *ret_index = (uint32_t)*slot - 1;
                return 0;
        }

        if (intern->n_blobs == intern->n_allocated) {
                r = intern_grow_blobs(intern);
                if (r < 0)
                        return r;
        }

        memcpy(intern->blobs + intern->n_blobs * intern->blob_size, blob, intern->blob_size);
        *ret_index = intern->n_blobs++;
        *slot = (uint64_t)hash << 32 | (*ret_index + 1U);
        return 1;
}
