/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash that is stored: its values outlive the process and must never change. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson and Bernstein, 2012) of the bytes. The key is seed and a constant, which is chosen so
 * that seed HASH64_SEED_REFERENCE gives the authors' reference vectors. The same on every machine. To
 * hash several pieces, pass the hash of one as the seed of the next. */
#define HASH64_SEED_REFERENCE 0x0706050403020100ULL

uint64_t hash64(const void *data, size_t size, uint64_t seed);
