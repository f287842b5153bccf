/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From lines of verdicts to a matrix, or to a service trie of each line: whichever is smaller.
 * Private to the compiler. */
#pragma once

#include "policy/compile-tables.h"

typedef struct Layout {
        Tables *tables;
        GridSpace *space;
        const Line *distinct; /* lines of verdicts, no two equal */
        size_t n_distinct;
        const uint32_t *lines; /* n_places * n_rows numbers of distinct lines */
        size_t n_lines;
} Layout;

/* Writes matrix and service trie, and describes them in the view. Errors as policy_compile(). */
int layout_write(const Layout *layout, struct cgp_view *view) _warn_unused_result_;
