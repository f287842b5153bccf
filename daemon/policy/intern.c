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

/* Only slots depend on it, nothing that is stored: made for speed, a multiplication for each word. */
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

/* The slot of an equal blob, or the free one where it belongs. Blobs are far away: few of other hashes are
 * looked at. */
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

static int intern_grow_slots(Intern *intern) {
        _cleanup_free_ uint64_t *old = NULL;
        size_t n_old = intern->n_slots, n = n_old > 0 ? n_old * 4 : SLOTS_MIN;
        uint64_t *slots = calloc(n, sizeof(*slots));

        if (!slots)
                return -ENOMEM;

        old = intern->slots;
        intern->slots = slots;
        intern->n_slots = n;
        for (size_t i = 0; i < n_old; i++) {
                size_t at = old[i] >> 32 & (n - 1);

                if (old[i] == 0)
                        continue;
                while (slots[at] != 0)
                        at = (at + 1) & (n - 1);
                slots[at] = old[i];
        }
        return 0;
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
