/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * The look-up in a set map: which combination of named lists an address is in. Shared by the programs and the
 * daemon, as match.bpf.h is. A damaged map gives CGP_MATCH_BROKEN or a wrong combination, and never an access
 * out of bounds or a walk without end.
 *
 * Who includes this defines before, if the default does not suit:
 *   CGP_SET_PAGE(set, n)           const __u8 *: page n of the set, CGP_SET_PAGE_SIZE bytes that are 8-byte
 *                                  aligned, or NULL. `set` is whatever cgp_set_lookup() got. In a program that is
 *                                  the inner map, and the default a look-up in it.
 *   CGP_SET_NODE(set, entry, key)  cgp_set_node(), or a call of a global function that does it, so that the
 *                                  verifier looks at it once and not CGP_SET_DEPTH times.
 *
 * Pages. All offsets are in bytes. An entry is what one step leads to:
 *   bit 31 CGP_SET_LEAF   the combination is in bits 0-15
 *   else                  a block: page in bits 29-16, offset / 32 in bits 15-9, its number of keys in bits 8-0
 *   bit 30 CGP_SET_TURN   of a block: IPv6, it and what is below has keys of the last 64 bits; IPv4, it is a
 *                         directory
 * No block crosses the end of its page.
 *
 * An index is 65536 entries in consecutive pages, of which the first is a parameter of the header; 0: no list has
 * a network of this family, and everything is in combination 0.
 *
 * IPv6. header.param[CGP_SET_PARAM_INDEX6]: 2000::/3 by the 16 bits behind the first 3; for all else
 * header.param[CGP_SET_PARAM_ROOT6] is the entry. A block is a node: n keys, __u64, ascending; then n + 1 entries.
 * Entry i holds for what is not less than key i - 1 and less than key i. Keys are the first 64 bits of addresses,
 * from a TURN on the last 64. Trees fill whole pages from the left.
 *
 * IPv4. header.param[CGP_SET_PARAM_INDEX4]: by the first 16 bits. A block is a bucket: n + 1 combinations, __u16;
 * then n keys, __u16, ascending, of the last 16 bits; as above. A bucket with more than CGP_SET_BUCKET_KEYS_MAX
 * keys is a directory instead: 256 entries by the third byte, which are leaves or buckets (whose keys are still
 * 16 bits wide).
 */
#pragma once

#include <linux/types.h>

#include "match.bpf.h"

#define CGP_SET_LEAF 0x80000000U
#define CGP_SET_TURN 0x40000000U

#define CGP_SET_PAGES_MAX       16384U
#define CGP_SET_BLOCK_ALIGN     32U
#define CGP_SET_BUCKET_KEYS_MAX 511U
#define CGP_SET_NODE_KEYS_MAX   340U
#define CGP_SET_LEVELS          3U /* of a tree of 64-bit keys: more than fit into the pages */
#define CGP_SET_DEPTH           (2 * CGP_SET_LEVELS)

#define CGP_SET_PARAM_INDEX4 0
#define CGP_SET_PARAM_INDEX6 1
#define CGP_SET_PARAM_ROOT6  2

#define CGP_SET_INDEX6_FIRST 0x2000000000000000ULL /* of the first 64 bits */
#define CGP_SET_INDEX6_SHIFT 45

#ifndef CGP_SET_PAGE
CGP_MATCH_INLINE const __u8 *cgp_set_page(const void *set, __u64 n) {
        __u32 key = n;

        return (const __u8 *)bpf_map_lookup_elem((void *)set, &key);
}
#define CGP_SET_PAGE(set, n) cgp_set_page(set, n)
#endif

/* Offsets are masked, not compared: an access is then in bounds on every path, and the verifier has nothing
 * to tell apart. */
CGP_MATCH_INLINE __u64 cgp_set_u16(const __u8 *page, __u64 offset) {
        CGP_MATCH_OPAQUE(offset);
        return *(const __u16 *)(const void *)(page + (offset & (CGP_SET_PAGE_SIZE - 2)));
}

CGP_MATCH_INLINE __u64 cgp_set_u32(const __u8 *page, __u64 offset) {
        CGP_MATCH_OPAQUE(offset);
        return *(const __u32 *)(const void *)(page + (offset & (CGP_SET_PAGE_SIZE - 4)));
}

CGP_MATCH_INLINE __u64 cgp_set_u64(const __u8 *page, __u64 offset) {
        CGP_MATCH_OPAQUE(offset);
        return *(const __u64 *)(const void *)(page + (offset & (CGP_SET_PAGE_SIZE - 8)));
}

CGP_MATCH_INLINE __u64 cgp_set_entry_page(__u64 entry) {
        return entry >> 16 & (CGP_SET_PAGES_MAX - 1);
}

CGP_MATCH_INLINE __u64 cgp_set_entry_offset(__u64 entry) {
        return (entry >> 9 & 127) * CGP_SET_BLOCK_ALIGN;
}

CGP_MATCH_INLINE __u64 cgp_set_entry_keys(__u64 entry) {
        return entry & 511;
}

/* 1 if the difference is not negative, else 0. Computed without a branch, which the compiler would rather have:
 * with random keys a wrong guess costs more than everything else here, and the verifier would have two paths to
 * follow at each step. */
CGP_MATCH_INLINE __u64 cgp_set_not_negative(__u64 difference) {
        CGP_MATCH_OPAQUE(difference);
        return ~difference >> 63;
}

/* 1 if the key of 64 bits at this offset is not greater, else 0. */
CGP_MATCH_INLINE __u64 cgp_set_reaches(const __u8 *page, __u64 offset, __u64 key) {
        __u64 other = cgp_set_u64(page, offset);

        return cgp_set_not_negative((key >> 1) - (other >> 1) - (other & ~key & 1));
}

/* The entry that a node of IPv6 has for this key, or BROKEN (which looks like a leaf). Four ways at a time: the
 * three reads do not wait for each other. */
CGP_MATCH_INLINE __u64 cgp_set_node(const void *set, __u64 entry, __u64 key) {
        const __u8 *page = CGP_SET_PAGE(set, cgp_set_entry_page(entry));
        __u64 at = cgp_set_entry_offset(entry); /* keys below are not greater */
        __u64 n = cgp_set_entry_keys(entry);    /* keys from there on that may not be greater */
        __u64 keys = at, entries = at + n * 8, step;
        __u32 i;

        if (!page)
                return CGP_MATCH_BROKEN;
        for (i = 0; i < 4; i++) {
                step = n >> 2;
                if (step == 0)
                        break;
                n -= step * 3;
                step *= 8;
                at += step *
                        (cgp_set_reaches(page, at + step - 8, key) +
                                cgp_set_reaches(page, at + step * 2 - 8, key) +
                                cgp_set_reaches(page, at + step * 3 - 8, key));
        }
        for (i = 0; i < 3; i++) {
                step = (n + 1) >> 1;
                n -= step;
                step *= 8;
                at += step * cgp_set_reaches(page, at + step - 8, key);
        }
        return cgp_set_u32(page, entries + ((at - keys) >> 1));
}

#ifndef CGP_SET_NODE
#define CGP_SET_NODE(set, entry, key) cgp_set_node(set, entry, key)
#endif

/* As an entry: a leaf, or damage. */
CGP_MATCH_INLINE __u64 cgp_set_entry6(
        const void *set, const struct cgp_set_header *header, __u64 hi, __u64 lo) {
        __u64 index = header->param[CGP_SET_PARAM_INDEX6];
        __u64 entry = header->param[CGP_SET_PARAM_ROOT6];
        const __u8 *page;
        __u32 i;

        if (index == 0)
                return CGP_SET_LEAF;
        if (hi >> 61 == CGP_SET_INDEX6_FIRST >> 61) {
                page = CGP_SET_PAGE(set, index + (hi >> (CGP_SET_INDEX6_SHIFT + 10) & 63));
                if (!page)
                        return CGP_MATCH_BROKEN;
                entry = cgp_set_u32(page, (hi >> CGP_SET_INDEX6_SHIFT) * sizeof(__u32));
        }
        for (i = 0; i < CGP_SET_DEPTH; i++) {
                if (entry & CGP_SET_LEAF)
                        break;
                /* As the comparison: no branch. */
                hi ^= (hi ^ lo) & -(entry / CGP_SET_TURN & 1);
                entry = CGP_SET_NODE(set, entry, hi);
        }
        return entry;
}

/* The combination that a bucket has for the last 16 bits of an address, or BROKEN. */
CGP_MATCH_INLINE __u64 cgp_set_bucket(const void *set, __u64 entry, __u64 key) {
        const __u8 *page = CGP_SET_PAGE(set, cgp_set_entry_page(entry));
        __u64 combinations = cgp_set_entry_offset(entry);
        __u64 n = cgp_set_entry_keys(entry);
        __u64 keys = combinations + (n + 1) * 2, at = keys, step;
        __u32 i;

        if (!page)
                return CGP_MATCH_BROKEN;
        for (i = 0; i < 9; i++) {
                if (n == 0)
                        break;
                step = (n + 1) >> 1;
                n -= step;
                step *= 2;
                at += step * cgp_set_not_negative(key - cgp_set_u16(page, at + step - 2));
        }
        return cgp_set_u16(page, combinations + (at - keys));
}

/* As an entry: a leaf, or BROKEN. */
CGP_MATCH_INLINE __u64 cgp_set_entry4(const void *set, __u64 index, __u64 address) {
        const __u8 *page;
        __u64 entry;

        if (index == 0)
                return CGP_SET_LEAF;
        page = CGP_SET_PAGE(set, index + (address >> 26));
        if (!page)
                return CGP_MATCH_BROKEN;
        entry = cgp_set_u32(page, (address >> 16) * sizeof(__u32));
        if (entry & CGP_SET_LEAF)
                return entry;
        if (entry & CGP_SET_TURN) {
                page = CGP_SET_PAGE(set, cgp_set_entry_page(entry));
                if (!page)
                        return CGP_MATCH_BROKEN;
                entry = cgp_set_u32(
                        page, cgp_set_entry_offset(entry) + (address >> 8 & 0xff) * sizeof(__u32));
                if (entry & CGP_SET_LEAF)
                        return entry;
        }
        /* For the verifier the entries of both kinds are the same from here on. */
        entry &= CGP_SET_TURN - 1;
        CGP_MATCH_OPAQUE(entry);
        return cgp_set_bucket(set, entry, address & 0xffff) | CGP_SET_LEAF;
}

/* The combination that an address is in (hi, lo: its words in host byte order; IPv4 as ::ffff:a.b.c.d), or BROKEN.
 * hash is what the set must say of itself. */
CGP_MATCH_INLINE __u64 cgp_set_lookup(const void *set, __u64 hash, __u64 hi, __u64 lo) {
        const struct cgp_set_header *header = (const void *)CGP_SET_PAGE(set, 0);
        __u64 entry;

        if (!header || header->hash != hash)
                return CGP_MATCH_BROKEN;
        if (cgp_match_is_v4(hi, lo))
                entry = cgp_set_entry4(set, header->param[CGP_SET_PARAM_INDEX4], lo & 0xffffffff);
        else
                entry = cgp_set_entry6(set, header, hi, lo);
        if (!(entry & CGP_SET_LEAF) || entry & CGP_SET_TURN ||
                (entry & 0xffff) >= header->n_combinations)
                return CGP_MATCH_BROKEN;
        return entry & 0xffff;
}
