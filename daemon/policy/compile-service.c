/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cuts the ports of each protocol that a rule names into the smallest intervals that matter.
 * Protocols that no rule names share one list, as only rules for any protocol match them.
 */
#include "policy/compile-service.h"

#include <errno.h>

#include "util/macro.h"

#define N_PORTS 65536U

static bool service_has_all_ports(const PolicyService *service) {
        return service->port_min == 0 && service->port_max == UINT16_MAX;
}

/* Behind the bounds: a bit for each word of them that is not 0. */
#define BOUNDS_WORDS (N_PORTS / 64)
#define USED_WORDS   (BOUNDS_WORDS / 64)

static void service_list_bound(ServiceList *list, uint32_t port) {
        uint64_t *word = &list->bounds[port / 64], bit = UINT64_C(1) << port % 64;

        list->n_starts += !(*word & bit);
        *word |= bit;
        list->bounds[BOUNDS_WORDS + port / 64 / 64] |= UINT64_C(1) << port / 64 % 64;
}

static int service_list_open(ServiceList *list) {
        if (list->bounds)
                return 0;

        list->bounds = calloc(BOUNDS_WORDS + USED_WORDS, sizeof(*list->bounds));
        if (!list->bounds)
                return -ENOMEM;
        service_list_bound(list, 0);
        return 0;
}

static void service_list_cut(ServiceList *list, const PolicyService *service) {
        uint32_t after = service->port_max + 1U;

        assert(service->port_min <= service->port_max);

        if (!list->bounds)
                return;
        service_list_bound(list, service->port_min);
        if (after < N_PORTS)
                service_list_bound(list, after);
}

/* Turns the bits into numbers. */
static int service_list_close(ServiceList *list) {
        uint32_t n = 0;

        list->starts = calloc(list->n_starts, sizeof(*list->starts));
        if (!list->starts)
                return -ENOMEM;
        for (size_t u = 0; u < USED_WORDS; u++)
                for (uint64_t used = list->bounds[BOUNDS_WORDS + u]; used != 0; used &= used - 1) {
                        size_t i = u * 64 + __builtin_ctzll(used);

                        for (uint64_t word = list->bounds[i]; word != 0; word &= word - 1)
                                list->starts[n++] = i * 64 + __builtin_ctzll(word);
                }
        return 0;
}

static uint32_t service_list_column(const ServiceList *list, uint16_t port) {
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

static int columns_open(ServiceColumns *columns, const PolicyStack *stack, unsigned direction) {
        int r;

        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & direction))
                        continue;
                for (size_t k = 0; k < rule->n_services; k++) {
                        if (rule->services[k].protocol == POLICY_PROTOCOL_ANY)
                                continue;
                        r = service_list_open(&columns->lists[rule->services[k].protocol]);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static void columns_cut(ServiceColumns *columns, const PolicyStack *stack, unsigned direction) {
        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (!(rule->directions & direction))
                        continue;
                for (size_t k = 0; k < rule->n_services; k++) {
                        const PolicyService *service = &rule->services[k];

                        if (service_has_all_ports(service))
                                continue;
                        if (service->protocol != POLICY_PROTOCOL_ANY)
                                service_list_cut(&columns->lists[service->protocol], service);
                        else
                                for (size_t l = 0; l < SERVICE_LISTS; l++)
                                        service_list_cut(&columns->lists[l], service);
                }
        }
}

void service_columns_done(ServiceColumns *columns) {
        for (size_t i = 0; i < SERVICE_LISTS; i++) {
                free(TAKE_PTR(columns->lists[i].bounds));
                free(TAKE_PTR(columns->lists[i].starts));
        }
}

int service_columns_init(ServiceColumns *columns, const GridSource *sources, size_t n_sources,
        unsigned direction, PolicyCompileFailure *reterr_failure) {
        _cleanup_(service_columns_done) ServiceColumns c = {};
        int r;

        r = service_list_open(&c.lists[SERVICE_OTHER]);
        for (size_t i = 0; r >= 0 && i < n_sources; i++)
                r = columns_open(&c, sources[i].stack, direction);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_sources; i++)
                columns_cut(&c, sources[i].stack, direction);

        for (size_t l = 0; l < SERVICE_LISTS; l++) {
                if (!c.lists[l].bounds)
                        continue;
                r = service_list_close(&c.lists[l]);
                if (r < 0)
                        return r;
                if (l != SERVICE_OTHER)
                        c.named[c.n_named++] = l;
                c.lists[l].first_column = c.n_columns;
                c.n_columns += c.lists[l].n_starts;
        }
        if (c.n_columns > COLUMNS_MAX)
                return compile_fail(reterr_failure, "classes", c.n_columns, COLUMNS_MAX);

        *columns = TAKE_GENERIC(c, ServiceColumns, (ServiceColumns){});
        return 0;
}

size_t service_columns_spans(const ServiceColumns *columns, const PolicyService *service,
        ServiceSpan spans[SERVICE_LISTS]) {
        bool any = service->protocol == POLICY_PROTOCOL_ANY;
        uint32_t penalty = (uint32_t)(service->port_max - service->port_min) << 1 | any;
        size_t first = any ? 0 : service->protocol;
        size_t last = any ? SERVICE_LISTS - 1 : first;
        size_t n = 0;

        if (any && service_has_all_ports(service)) {
                spans[0] = (ServiceSpan){ 0, columns->n_columns - 1, penalty };
                return 1;
        }

        for (size_t l = first; l <= last; l++) {
                const ServiceList *list = &columns->lists[l];

                if (!list->bounds)
                        continue;
                spans[n++] = (ServiceSpan){
                        service_list_column(list, service->port_min),
                        service_list_column(list, service->port_max),
                        penalty,
                };
        }
        return n;
}

typedef struct BreakWriter {
        TrieBreak **breaks;
        size_t *n_allocated;
        size_t n_breaks;
} BreakWriter;

static int break_push(BreakWriter *w, uint64_t start, uint64_t value) {
        int r;

        if (w->n_breaks > 0 && (*w->breaks)[w->n_breaks - 1].value == value)
                return 0;
        r = compile_reserve(w->breaks, w->n_allocated, w->n_breaks + 1, sizeof(**w->breaks));
        if (r < 0)
                return r;
        (*w->breaks)[w->n_breaks++] = (TrieBreak){ .start = start, .value = value };
        return 0;
}

/* The runs that lie in the columns of a list, as ports of a protocol. at is the run that its first
 * column belongs to. */
static int break_push_list(BreakWriter *w, const ServiceList *list, uint64_t protocol,
        const LineRun *runs, size_t n_runs, size_t at) {
        uint32_t end = list->first_column + list->n_starts;
        int r;

        r = break_push(w, protocol << 56, runs[at].value);
        while (r >= 0 && ++at < n_runs && runs[at].column < end)
                r = break_push(w,
                        protocol << 56 |
                                (uint64_t)list->starts[runs[at].column - list->first_column] << 40,
                        runs[at].value);
        return r;
}

static size_t runs_seek(const LineRun *runs, size_t n_runs, size_t at, uint32_t column) {
        while (at + 1 < n_runs && runs[at + 1].column <= column)
                at++;
        return at;
}

/* Protocols first .. end - 1, which no rule names. */
static int break_push_others(BreakWriter *w, const ServiceList *other, uint64_t first, uint64_t end,
        const LineRun *runs, size_t n_runs, size_t at) {
        int r = 0;

        /* One value for all of them is one break. */
        if (at + 1 == n_runs)
                end = MIN(end, first + 1);
        for (uint64_t protocol = first; r >= 0 && protocol < end; protocol++)
                r = break_push_list(w, other, protocol, runs, n_runs, at);
        return r;
}

int service_columns_breaks(const ServiceColumns *columns, const LineRun *runs, size_t n_runs,
        TrieBreak **breaks, size_t *n_allocated, size_t *ret_n_breaks) {
        const ServiceList *other = &columns->lists[SERVICE_OTHER];
        BreakWriter w = { .breaks = breaks, .n_allocated = n_allocated };
        size_t at = 0, at_other = n_runs - 1;
        uint64_t next = 0;
        int r;

        while (at_other > 0 && runs[at_other].column > other->first_column)
                at_other--;

        for (size_t i = 0; i < columns->n_named; i++) {
                uint64_t protocol = columns->named[i];
                const ServiceList *list = &columns->lists[protocol];

                r = break_push_others(&w, other, next, protocol, runs, n_runs, at_other);
                if (r < 0)
                        return r;
                at = runs_seek(runs, n_runs, at, list->first_column);
                r = break_push_list(&w, list, protocol, runs, n_runs, at);
                if (r < 0)
                        return r;
                next = protocol + 1;
        }
        r = break_push_others(&w, other, next, SERVICE_PROTOCOLS, runs, n_runs, at_other);
        if (r < 0)
                return r;
        *ret_n_breaks = w.n_breaks;
        return 0;
}
