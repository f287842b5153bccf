/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cuts the ports of each protocol that a rule names into the smallest intervals that matter. Protocols that
 * no rule names share one list, as only rules for any protocol match them.
 */
#include "policy/compile-service.h"

#include <errno.h>

#include "util/macro.h"

#define N_PORTS     65536U
#define N_PROTOCOLS 256U
#define OTHER       N_PROTOCOLS /* the list of the protocols that no rule names */
#define N_LISTS     (N_PROTOCOLS + 1)

typedef struct PortList {
        uint64_t *bounds; /* bit per port at which an interval starts; NULL: no such list */
        uint16_t *starts; /* the same, as numbers */
        uint32_t n_starts;
        uint32_t first_column;
} PortList;

typedef struct PortLists {
        PortList lists[N_LISTS];
} PortLists;

static void port_lists_done(PortLists *lists) {
        for (size_t i = 0; i < N_LISTS; i++) {
                free(lists->lists[i].bounds);
                free(lists->lists[i].starts);
        }
}

static bool service_has_all_ports(const PolicyService *service) {
        return service->port_min == 0 && service->port_max == UINT16_MAX;
}

static int port_list_open(PortList *list) {
        if (list->bounds)
                return 0;

        list->bounds = calloc(N_PORTS / 64, sizeof(*list->bounds));
        if (!list->bounds)
                return -ENOMEM;
        list->bounds[0] = 1;
        return 0;
}

static void port_list_cut(PortList *list, const PolicyService *service) {
        uint32_t after = service->port_max + 1U;

        assert(service->port_min <= service->port_max);

        if (!list->bounds)
                return;
        list->bounds[service->port_min / 64] |= UINT64_C(1) << service->port_min % 64;
        if (after < N_PORTS)
                list->bounds[after / 64] |= UINT64_C(1) << after % 64;
}

/* Turns the bits into numbers. */
static int port_list_close(PortList *list) {
        uint32_t n = 0;

        for (size_t i = 0; i < N_PORTS / 64; i++)
                n += __builtin_popcountll(list->bounds[i]);

        list->starts = calloc(n, sizeof(*list->starts));
        if (!list->starts)
                return -ENOMEM;
        for (size_t i = 0; i < N_PORTS / 64; i++)
                for (uint64_t word = list->bounds[i]; word != 0; word &= word - 1)
                        list->starts[list->n_starts++] = i * 64 + __builtin_ctzll(word);
        return 0;
}

static uint32_t port_list_column(const PortList *list, uint16_t port) {
        uint32_t low = 0, high = list->n_starts;

        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;

                if (list->starts[middle] <= port)
                        low = middle;
                else
                        high = middle;
        }
        return list->first_column + low;
}

/* Makes the lists of the protocols that are named, then cuts them. */
static int port_lists_fill(PortLists *lists, const PolicyStack *stack, unsigned direction) {
        int r;

        r = port_list_open(&lists->lists[OTHER]);
        for (size_t i = 0; r >= 0 && i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & direction))
                        continue;
                for (size_t k = 0; r >= 0 && k < rule->n_services; k++)
                        if (rule->services[k].protocol != POLICY_PROTOCOL_ANY)
                                r = port_list_open(&lists->lists[rule->services[k].protocol]);
        }
        if (r < 0)
                return r;

        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & direction))
                        continue;
                for (size_t k = 0; k < rule->n_services; k++) {
                        const PolicyService *service = &rule->services[k];

                        if (service_has_all_ports(service))
                                continue;
                        if (service->protocol != POLICY_PROTOCOL_ANY)
                                port_list_cut(&lists->lists[service->protocol], service);
                        else
                                for (size_t l = 0; l < N_LISTS; l++)
                                        port_list_cut(&lists->lists[l], service);
                }
        }

        return 0;
}

static int columns_number(
        ServiceColumns *columns, PortLists *lists, PolicyCompileFailure *reterr_failure) {
        int r;

        for (size_t l = 0; l < N_LISTS; l++) {
                PortList *list = &lists->lists[l];

                if (!list->bounds)
                        continue;
                r = port_list_close(list);
                if (r < 0)
                        return r;
                list->first_column = columns->n_columns;
                columns->n_columns += list->n_starts;
        }
        if (columns->n_columns > GRID_CELLS_MAX)
                return grid_fail(reterr_failure, "cells", columns->n_columns, GRID_CELLS_MAX);

        for (uint64_t protocol = 0; protocol < N_PROTOCOLS; protocol++) {
                const PortList *list = &lists->lists[protocol];

                if (!list->bounds)
                        list = &lists->lists[OTHER];
                for (uint32_t i = 0; i < list->n_starts; i++) {
                        uint64_t key = protocol << 56 | (uint64_t)list->starts[i] << 40;

                        r = grid_axis_add(
                                &columns->axis, (GridKey){ .hi = key }, list->first_column + i);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Writes the spans of one service; returns their number, at most N_LISTS for any protocol with some ports,
 * else 1. Only counts if spans is NULL. */
static size_t service_spans(const ServiceColumns *columns, const PortLists *lists,
        const PolicyService *service, ServiceSpan *spans) {
        bool any = service->protocol == POLICY_PROTOCOL_ANY;
        uint32_t penalty = (uint32_t)(service->port_max - service->port_min) << 1 | any;
        size_t first = any ? 0 : service->protocol;
        size_t last = any ? N_LISTS - 1 : first;
        size_t n = 0;

        if (any && service_has_all_ports(service)) {
                if (spans)
                        *spans = (ServiceSpan){ 0, columns->n_columns - 1, penalty };
                return 1;
        }

        for (size_t l = first; l <= last; l++) {
                const PortList *list = &lists->lists[l];

                if (!list->bounds)
                        continue;
                if (spans)
                        spans[n] = (ServiceSpan){
                                port_list_column(list, service->port_min),
                                port_list_column(list, service->port_max),
                                penalty,
                        };
                n++;
        }
        return n;
}

static int columns_fill_spans(ServiceColumns *columns, const PortLists *lists,
        const PolicyStack *stack, unsigned direction) {
        size_t n = 0;

        for (int pass = 0; pass < 2; pass++) {
                n = 0;
                for (size_t i = 0; i < stack->n_entries; i++) {
                        const PolicyRule *rule = stack->entries[i].rule;

                        columns->first_spans[i] = n;
                        if (!(rule->directions & direction))
                                continue;
                        for (size_t k = 0; k < rule->n_services; k++)
                                n += service_spans(columns, lists, &rule->services[k],
                                        pass == 0 ? NULL : columns->spans + n);
                }
                columns->first_spans[stack->n_entries] = n;

                if (pass == 0) {
                        columns->spans = calloc(n + 1, sizeof(*columns->spans));
                        if (!columns->spans)
                                return -ENOMEM;
                }
        }
        return 0;
}

void service_columns_done(ServiceColumns *columns) {
        grid_axis_done(&columns->axis);
        free(columns->spans);
        free(columns->first_spans);
        *columns = (ServiceColumns){};
}

int service_columns_init(ServiceColumns *columns, const PolicyStack *stack, unsigned direction,
        PolicyCompileFailure *reterr_failure) {
        _cleanup_(service_columns_done) ServiceColumns c = {};
        _cleanup_(port_lists_done) PortLists lists = {};
        int r;

        c.first_spans = calloc(stack->n_entries + 1, sizeof(*c.first_spans));
        if (!c.first_spans)
                return -ENOMEM;

        r = port_lists_fill(&lists, stack, direction);
        if (r < 0)
                return r;
        r = columns_number(&c, &lists, reterr_failure);
        if (r < 0)
                return r;
        r = columns_fill_spans(&c, &lists, stack, direction);
        if (r < 0)
                return r;

        *columns = TAKE_GENERIC(c, ServiceColumns, (ServiceColumns){});
        return 0;
}
