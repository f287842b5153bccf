/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One view of one stack, precedence settled: for each address a row, for each combination of sets a
 * class, for each layer of places a line of decisions over the services. Private to the compiler.
 *
 * Addresses are keys of 128 bits: an IPv4 address fills the first 32, so that one sweep serves both
 * families.
 */
#pragma once

#include "policy/compile-line.h"
#include "policy/compile-service.h"
#include "policy/compile-source.h"

/* What a grid may have of lines: rows times classes of sets times layers. */
#define GRID_LINES_MAX CGP_MAX_CELLS

typedef struct GridKey {
        uint64_t hi;
        uint64_t lo;
} GridKey;

/* From `start` up to the next break every address has this row. */
typedef struct GridBreak {
        GridKey start;
        uint32_t row;
} GridBreak;

typedef struct GridAxis {
        GridBreak *breaks; /* ascending; the first starts at 0, neighbours differ */
        size_t n_breaks;
        size_t n_allocated;
} GridAxis;

/* In this order rows are numbered: leaves of IPv6 tries have a bit less for them. */
enum {
        GRID_IPV6,
        GRID_IPV4,
        _GRID_AXIS_MAX,
};

/* What lines hold: action << 32 | side << 31 | entry + 1, or 0 for the default. */
static inline uint64_t decision_make(unsigned action, unsigned side, size_t entry_plus_one) {
        return (uint64_t)action << 32 | (uint64_t)side << 31 | entry_plus_one;
}

static inline unsigned decision_action(uint64_t decision) {
        return decision >> 32;
}

static inline unsigned decision_side(uint64_t decision) {
        return decision >> 31 & 1;
}

static inline size_t decision_entry_plus_one(uint64_t decision) {
        return decision & 0x7fffffff;
}

/* What the grids of one view are written in. */
typedef struct GridSpace {
        ServiceColumns columns;
        Lines lines;
} GridSpace;

typedef struct Grid {
        GridAxis axes[_GRID_AXIS_MAX];
        uint32_t n_rows;
        uint32_t n_classes;    /* of combinations; 1: sets are not asked */
        uint16_t *set_classes; /* by combination; NULL with one class */
        size_t n_combinations;
        uint32_t n_layers;
        uint32_t n_places; /* 1: places do not matter */
        uint8_t layers[CGP_MAX_PLACES];
        Line *lines; /* [row][class][layer] */
} Grid;

static inline Line *grid_lines(const Grid *grid, uint32_t row, uint32_t class) {
        return grid->lines + ((size_t)row * grid->n_classes + class) * grid->n_layers;
}

static inline int grid_key_compare(GridKey a, GridKey b) {
        if (a.hi != b.hi)
                return a.hi < b.hi ? -1 : 1;
        if (a.lo != b.lo)
                return a.lo < b.lo ? -1 : 1;
        return 0;
}

/* The last key that shares the first `bits` bits with this one. */
static inline GridKey grid_key_end(GridKey key, unsigned bits) {
        if (bits < 64)
                return (GridKey){ key.hi | UINT64_MAX >> bits, UINT64_MAX };
        return (GridKey){ key.hi, bits < 128 ? key.lo | UINT64_MAX >> (bits - 64) : key.lo };
}

/* From start on, where start is not before the last break: row. -ENOMEM. */
int grid_axis_add(GridAxis *axis, GridKey start, uint32_t row) _warn_unused_result_;
void grid_axis_done(GridAxis *axis);

/* -E2BIG of lines_apply(), said in our words. */
int lines_fail(int r, PolicyCompileFailure *reterr_failure);

/* The POLICY_DIRECTION_* bit whose rules a view judges by. */
unsigned grid_view_direction(unsigned view);

/* Which view has the same verdicts for this stack, as far as its rules show: itself, or an earlier
 * one. */
unsigned grid_view_alias(const PolicyStack *stack, unsigned view);

/* The columns of a view for all sources together. Errors as policy_compile(). */
int grid_space_init(GridSpace *space, const GridSource *sources, size_t n_sources, unsigned view,
        PolicyCompileFailure *reterr_failure) _warn_unused_result_;
void grid_space_done(GridSpace *space);

/* The space must have been made for the source. Errors as policy_compile(). */
int grid_init(
        Grid *grid, GridSpace *space, const GridSource *source, unsigned view) _warn_unused_result_;
void grid_done(Grid *grid);

/* What a decision of the grids of this view means; sources by side. */
struct cgp_verdict grid_verdict(const GridSource *sources, unsigned view, uint64_t decision);
