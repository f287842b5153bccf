/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Precedence: from prefixes and lists to lines that say who decides. Private to the compiler. */
#pragma once

#include "policy/compile-prefix.h"

/* Precedence as a number, smaller is stronger; LINE_NONE: nobody. From the top: not a never, rank,
 * 255 less the length of the prefix, penalty of the service, no named interface, allow, position by
 * number. */
#define PRECEDENCE_NOT_NEVER (UINT64_C(1) << 63)
#define PRECEDENCE_RANK      55
#define PRECEDENCE_RANK_MAX  0xffU
#define PRECEDENCE_LENGTH    47
#define PRECEDENCE_SERVICE   30
#define PRECEDENCE_NOT_NAMED (UINT64_C(1) << 29)
#define PRECEDENCE_ALLOW     (UINT64_C(1) << 28)
#define PRECEDENCE_POSITION  0xffffU

/* A group of entries whose peer matched with this length. */
typedef struct RowElement {
        uint32_t group;
        uint32_t length;
} RowElement;

typedef struct Rows {
        const GridSource *source;
        Lines *lines;
        const ServiceColumns *columns;
        const Peers *peers;
        LineOp least;
        Intern elements;     /* RowElement */
        Line *element_lines; /* n_layers for each */
        size_t n_element_lines;
        Intern chains;       /* {chain, element}: lists of elements */
        Intern steps;        /* {row, chain}: a row with elements laid over it */
        uint32_t *step_rows; /* by step: the row that comes out */
        size_t n_step_rows;
        Line *row_lines; /* n_layers for each; row 0 is nobody. LAYER_UNDECIDED is not filled */
        size_t n_row_lines;
        uint32_t n_rows;
} Rows;

#define ROWS_NO_CHAIN UINT32_MAX

/* -ENOMEM. What is handed in must outlive it. */
int rows_init(Rows *rows, const GridSource *source, GridSpace *space,
        const Peers *peers) _warn_unused_result_;
void rows_done(Rows *rows);

/* The rows of one family. Errors as policy_compile(). */
int rows_sweep(Rows *rows, unsigned family, GridAxis *axis) _warn_unused_result_;

/* Adds an element to a list of elements. Errors as policy_compile(). */
int rows_chain(Rows *rows, uint32_t *chain, RowElement element) _warn_unused_result_;

/* The row with a list of elements laid over it. Errors as policy_compile(). */
int rows_step(Rows *rows, uint32_t row, uint32_t chain, uint32_t *ret_row) _warn_unused_result_;

static inline const Line *rows_lines(const Rows *rows, uint32_t row) {
        return rows->row_lines + (size_t)row * rows->source->n_layers;
}
