/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes the pages of a set map, in the layout of bpf/set.bpf.h, from steps in ascending order: at this
 * address and behind it, until the next step, this combination holds. The first step is at address 0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

typedef struct SetPages {
        uint8_t *bytes; /* owned */
        size_t n_pages;
        size_t room; /* in pages */
        size_t open; /* page with space left, 0: none */
        size_t used; /* bytes of it */
} SetPages;

void set_pages_done(SetPages *pages);

/* Adds n pages of zeros. -E2BIG, -ENOMEM. */
int set_pages_add(SetPages *pages, size_t n, size_t *ret_first) _warn_unused_result_;

typedef struct SetWriter4 SetWriter4;
typedef struct SetWriter6 SetWriter6;

SetWriter4 *set_writer4_free(SetWriter4 *w);
DEFINE_CLEANUP(SetWriter4 *, set_writer4_freep, set_writer4_free);
int set_writer4_new(SetPages *pages, SetWriter4 **ret) _warn_unused_result_;
int set_writer4_add(SetWriter4 *w, uint32_t address, uint16_t combination) _warn_unused_result_;
/* The first page of the index. */
int set_writer4_finish(SetWriter4 *w, uint32_t *ret_index) _warn_unused_result_;

SetWriter6 *set_writer6_free(SetWriter6 *w);
DEFINE_CLEANUP(SetWriter6 *, set_writer6_freep, set_writer6_free);
int set_writer6_new(SetPages *pages, SetWriter6 **ret) _warn_unused_result_;
int set_writer6_add(
        SetWriter6 *w, uint64_t hi, uint64_t lo, uint16_t combination) _warn_unused_result_;
/* The first page of the index, and the entry for what it does not have. */
int set_writer6_finish(SetWriter6 *w, uint32_t *ret_index, uint32_t *ret_root) _warn_unused_result_;
