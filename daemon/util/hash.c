/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SipHash-2-4, after "SipHash: a fast short-input PRF". Chosen over FNV because it takes eight bytes a step
 * (tables reach megabytes, and all are hashed at a restart) and mixes every bit.
 */
#include "util/hash.h"

#include <endian.h>

#include "util/macro.h"

#define HASH64_KEY_HIGH 0x0f0e0d0c0b0a0908ULL

static inline uint64_t rotate_left(uint64_t x, unsigned n) {
        return x << n | x >> (64 - n);
}

static inline void sip_rounds(uint64_t v[4], unsigned n_rounds) {
        for (unsigned i = 0; i < n_rounds; i++) {
                v[0] += v[1];
                v[2] += v[3];
                v[1] = rotate_left(v[1], 13) ^ v[0];
                v[3] = rotate_left(v[3], 16) ^ v[2];
                v[0] = rotate_left(v[0], 32);
                v[2] += v[1];
                v[0] += v[3];
                v[1] = rotate_left(v[1], 17) ^ v[2];
                v[3] = rotate_left(v[3], 21) ^ v[0];
                v[2] = rotate_left(v[2], 32);
        }
}

uint64_t hash64(const void *data, size_t size, uint64_t seed) {
        const uint8_t *p = data;
        /* "somepseudorandomlygeneratedbytes", as the paper has it. */
        uint64_t v[4] = {
                seed ^ 0x736f6d6570736575ULL,
                HASH64_KEY_HIGH ^ 0x646f72616e646f6dULL,
                seed ^ 0x6c7967656e657261ULL,
                HASH64_KEY_HIGH ^ 0x7465646279746573ULL,
        };
        uint64_t word, last = (uint64_t)size << 56;

        assert(data || size == 0);

        for (size_t left = size / 8; left > 0; left--, p += 8) {
                memcpy(&word, p, sizeof(word));
                word = le64toh(word);
                v[3] ^= word;
                sip_rounds(v, 2);
                v[0] ^= word;
        }

        for (unsigned i = 0; i < size % 8; i++)
                last |= (uint64_t)p[i] << (8 * i);
        v[3] ^= last;
        sip_rounds(v, 2);
        v[0] ^= last;

        v[2] ^= 0xff;
        sip_rounds(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}
