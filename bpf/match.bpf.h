/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * Classification: address, service and place to a verdict, over the data of one image. Pure: it reads the
 * configuration and the tables, and nothing else. The programs include it, and the daemon compiles the same
 * lines for the host, so that what is tested there is what runs in the kernel.
 *
 * Every access is checked against the sizes of the memory. A table that is not what it claims to be gives
 * no verdict (CGP_MATCH_BROKEN), and never an access out of bounds.
 *
 * What the verifier needs (5.10 and later): `size` is a constant, the size of the value behind `tables`; it is
 * at least CGP_MATCH_MIN_SIZE. A walk is the costly part of its work: define CGP_MATCH_WALK as a call of a global
 * function that does cgp_match_walk(), and it looks at it once.
 */
#pragma once

#include <linux/types.h>

#include "cgp-abi.h"

/* Not __always_inline: <linux/stddef.h> defines that as a plain `inline`, and a call would lose the bounds
 * and the constants. */
#define CGP_MATCH_INLINE static inline __attribute__((always_inline))

/* Makes the value opaque to the compiler. Without it clang computes the address from the parts of an index
 * beside the comparison with the whole, and the verifier, which bounds registers and not values, refuses the
 * access as unbounded. */
#ifdef __bpf__
#define CGP_MATCH_OPAQUE(x) asm volatile("" : "+r"(x))
#else
#define CGP_MATCH_OPAQUE(x) ((void)(x))
#endif

#define CGP_MATCH_BROKEN   (~0ULL)
#define CGP_MATCH_MIN_SIZE 64U

/* One step of a walk that has not ended: from `entry` to the next, which is returned, with *key advanced.
 * BROKEN: out of bounds. Scalars are 64 bits wide because without 32-bit jumps the compiler compares a
 * zero-extended copy of an index and then uses the original.
 * A jump for hit and miss: predicted, it takes the wait for the comparison out of the chain of loads. */
CGP_MATCH_INLINE __u64 cgp_match_step(
        const __u8 *tables, __u64 size, __u64 paths, __u64 entry, __u64 *key) {
        const struct cgp_path *path;
        __u64 offset;

        if (__builtin_expect(entry & CGP_ENTRY_PATH, 1)) {
                offset = paths + (entry & CGP_INDEX_MASK) * sizeof(*path);
                CGP_MATCH_OPAQUE(offset);
                if (offset > size - sizeof(*path))
                        return CGP_MATCH_BROKEN;
                path = (const struct cgp_path *)(const void *)(tables + offset);
                if (*key - path->first > path->span)
                        return path->miss;
                *key <<= path->shift & 63;
                return path->hit;
        }
        offset = (entry << 8 | *key >> 56) * sizeof(__u16);
        CGP_MATCH_OPAQUE(offset);
        if (offset > size - sizeof(__u16))
                return CGP_MATCH_BROKEN;
        *key <<= 8;
        return *(const __u16 *)(const void *)(tables + offset);
}

/* The leaf at which the walk ends, or BROKEN, which is a leaf to the steps. Written out: a loop would be followed
 * by the verifier all the same, with more to compare. */
CGP_MATCH_INLINE __u64 cgp_match_walk(
        const __u8 *tables, __u64 size, __u64 paths, __u64 entry, __u64 key) {
#define CGP_MATCH_STEP()            \
        if (entry & CGP_ENTRY_LEAF) \
                goto end;           \
        entry = cgp_match_step(tables, size, paths, entry, &key)
#define CGP_MATCH_STEPS() \
        CGP_MATCH_STEP(); \
        CGP_MATCH_STEP(); \
        CGP_MATCH_STEP(); \
        CGP_MATCH_STEP()

        paths &= ~7ULL;
        CGP_MATCH_STEPS();
        CGP_MATCH_STEPS();
        CGP_MATCH_STEPS();
        if (!(entry & CGP_ENTRY_LEAF))
                return CGP_MATCH_BROKEN;
end:
        return entry == CGP_MATCH_BROKEN ? entry : entry & CGP_LEAF_MASK;
#undef CGP_MATCH_STEPS
#undef CGP_MATCH_STEP
}

_Static_assert(CGP_WALK_MAX == 12, "as many steps as are written out");

#ifndef CGP_MATCH_WALK
#define CGP_MATCH_WALK(tables, size, paths, entry, key) \
        cgp_match_walk(tables, size, paths, entry, key)
#endif

/* A constant, where there are users that know that no view asks sets. */
#ifndef CGP_MATCH_HAS_SETS
#define CGP_MATCH_HAS_SETS 1
#endif

/* Cell number `index`, or BROKEN. */
CGP_MATCH_INLINE __u64 cgp_match_cell(
        const __u8 *tables, __u64 size, const struct cgp_config *config, __u64 index) {
        __u64 offset;

        if (index >= config->n_cells)
                return CGP_MATCH_BROKEN;
        offset = (config->cells & ~1ULL) + index * sizeof(__u16);
        CGP_MATCH_OPAQUE(offset);
        if (offset > size - sizeof(__u16))
                return CGP_MATCH_BROKEN;
        return *(const __u16 *)(const void *)(tables + offset);
}

/* Is this an IPv4 address (::ffff:0:0/96), given as words in host byte order? */
CGP_MATCH_INLINE int cgp_match_is_v4(__u64 hi, __u64 lo) {
        return hi == 0 && lo >> 32 == 0xffff;
}

/* The row that the address tries give. */
CGP_MATCH_INLINE __u64 cgp_match_trie_row(const __u8 *tables, __u64 size,
        const struct cgp_config *config, const struct cgp_view *view, __u64 hi, __u64 lo) {
        __u64 leaf, entry;

        if (cgp_match_is_v4(hi, lo))
                return CGP_MATCH_WALK(tables, size, config->paths, view->root4, lo << 32);

        leaf = CGP_MATCH_WALK(tables, size, config->paths, view->root6, hi);
        if (!(leaf & 1)) /* BROKEN is odd */
                return leaf >> 1;
        entry = cgp_match_cell(tables, size, config, leaf >> 1);
        if (entry == CGP_MATCH_BROKEN)
                return CGP_MATCH_BROKEN;
        return CGP_MATCH_WALK(tables, size, config->paths, entry, lo);
}

/* The number of the verdict for an address (hi, lo: its words in host byte order), a service (protocol and port in host
 * byte order, as the view has it, 0 for protocols without ports), a place and the combination of sets that the
 * address is in. BROKEN if the tables do not hold. */
CGP_MATCH_INLINE __u64 cgp_match(const __u8 *tables, __u64 size, const struct cgp_config *config,
        const struct cgp_view *view, __u64 hi, __u64 lo, __u64 protocol, __u64 port, __u64 place,
        __u64 combination) {
        __u64 service = (protocol & 0xff) << 56 | (port & 0xffff) << 40;
        __u64 row, line, column, k;

        row = cgp_match_trie_row(tables, size, config, view, hi, lo);
        if (row >= view->n_trie_rows)
                return CGP_MATCH_BROKEN;
        if (CGP_MATCH_HAS_SETS && view->n_set_classes > 1) {
                k = cgp_match_cell(tables, size, config, view->set_classes + combination);
                if (k >= view->n_set_classes)
                        return CGP_MATCH_BROKEN;
                row = cgp_match_cell(
                        tables, size, config, view->pairs + row * view->n_set_classes + k);
        }
        /* A row out of range would read another place's line, or another view's. */
        if (row >= view->n_rows || place >= config->n_places)
                return CGP_MATCH_BROKEN;
        line = place * view->n_rows + row;

        if (view->layout == CGP_LAYOUT_LINES) {
                __u64 entry = cgp_match_cell(tables, size, config, view->matrix + line);

                if (entry == CGP_MATCH_BROKEN)
                        return CGP_MATCH_BROKEN;
                return CGP_MATCH_WALK(tables, size, config->paths, entry, service);
        }
        column = CGP_MATCH_WALK(tables, size, config->paths, view->root_service, service);
        if (column >= view->n_columns)
                return CGP_MATCH_BROKEN;
        return cgp_match_cell(tables, size, config, view->matrix + line * view->n_columns + column);
}
