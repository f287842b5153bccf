/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds and writes differences of service tries. */
#include "policy/compile-delta.h"

#include <errno.h>

#include "util/macro.h"

#define N_PORTS 65536U

typedef struct Delta {
        DeltaPath *paths;
        int n_paths;
} Delta;

/* Ports first to last of a protocol. */
static int delta_add_ports(
        Delta *delta, uint64_t protocol, uint32_t first, uint32_t last, uint64_t value) {
        if (delta->n_paths == DELTA_PATHS_MAX)
                return -E2BIG;
        delta->paths[delta->n_paths++] = (DeltaPath){
                .first = protocol << 56 | (uint64_t)first << 40,
                .span = ((uint64_t)(last - first + 1) << 40) - 1,
                .value = value,
        };
        return 0;
}

static uint32_t list_port(const ServiceList *list, uint32_t column) {
        return column - list->first_column < list->n_starts
                ? list->starts[column - list->first_column]
                : N_PORTS;
}

/* Protocols that no rule names share columns, but no range. */
static int delta_add_segment(
        Delta *delta, const ServiceColumns *columns, const LineSegment *segment) {
        const ServiceList *other = &columns->lists[SERVICE_OTHER];
        int r;

        if (segment->end > other->first_column)
                return -E2BIG;
        for (size_t i = 0; i < columns->n_named; i++) {
                uint64_t protocol = columns->named[i];
                const ServiceList *list = &columns->lists[protocol];
                uint32_t first = MAX(segment->first, list->first_column);
                uint32_t end = MIN(segment->end, list->first_column + list->n_starts);

                if (first >= end)
                        continue;
                r = delta_add_ports(delta, protocol, list_port(list, first),
                        list_port(list, end) - 1, segment->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

int delta_find(const GridSpace *space, Line line, Line other, DeltaPath paths[DELTA_PATHS_MAX]) {
        LineSegment segments[DELTA_PATHS_MAX];
        Delta delta = { .paths = paths };
        int n, r;

        n = lines_difference(&space->lines, line, other, segments, ELEMENTSOF(segments));
        for (int i = 0; i < n; i++) {
                r = delta_add_segment(&delta, &space->columns, &segments[i]);
                if (r < 0)
                        return r;
        }
        return n < 0 ? n : delta.n_paths;
}

int delta_write(
        Tries *tries, const DeltaPath *paths, size_t n_paths, uint16_t other, uint16_t *ret_entry) {
        int r;

        for (size_t i = n_paths; i-- > 0;) {
                struct cgp_path path = {
                        .first = paths[i].first,
                        .span = paths[i].span,
                        .hit = CGP_ENTRY_LEAF | paths[i].value,
                        .miss = other,
                };
                uint32_t index;

                r = intern_add(&tries->paths, &path, &index);
                if (r < 0)
                        return r;
                if (index >= CGP_MAX_PATHS)
                        return -E2BIG;
                other = CGP_ENTRY_PATH | index;
        }
        *ret_entry = other;
        return 0;
}

unsigned delta_depth(const Tries *tries, uint16_t entry) {
        unsigned depth = 0;

        if (entry & CGP_ENTRY_LEAF)
                return 0;
        if (entry & CGP_ENTRY_PATH) {
                const struct cgp_path *path = intern_get(&tries->paths, entry & CGP_INDEX_MASK);
                unsigned hit = delta_depth(tries, path->hit), miss = delta_depth(tries, path->miss);

                return 1 + MAX(hit, miss);
        }
        for (size_t i = 0; i < 256; i++) {
                const uint16_t *node = intern_get(&tries->nodes, entry);

                if (i == 0 || node[i] != node[i - 1])
                        depth = MAX(depth, delta_depth(tries, node[i]));
        }
        return 1 + depth;
}
