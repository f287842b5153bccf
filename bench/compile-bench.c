/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the compiler takes and how large its tables get, for policies of growing size. Prints
 * one line per policy: the median and the best of several runs, the size, and what the tables hold.
 * The policies:
 *   mixed      hosts and ports that recur, now and then all peers: what people write
 *   distinct   a host and a port of its own for each rule
 *   services   a list of ports for all peers, then a host each
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "cgp-abi.h"
#include "policy/compile.h"
#include "policy/set.h"
#include "util/macro.h"

#define RUNS      15
#define RULES_MAX 10000
#define LIST_SIZE 200000
#define PEERS_MAX 4096

typedef enum Shape {
        SHAPE_MIXED,
        SHAPE_DISTINCT,
        SHAPE_SERVICES,
} Shape;

typedef struct Run {
        const char *name;
        size_t n_rules;
        size_t n_peers; /* of each rule; 0: one, by shape */
        Shape shape;
        bool ipv6;
        bool list; /* every other rule names the list */
        bool via;
} Run;

typedef struct Bench {
        PolicyStack stack;
        PolicyEntry entries[RULES_MAX];
        PolicyRule rules[RULES_MAX];
        PolicyService services[RULES_MAX];
        PolicyPeer peers[RULES_MAX];
        PolicyPeer many[PEERS_MAX];
        PolicyHost host;
} Bench;

static uint32_t scramble(uint32_t i) {
        i = (i + 1) * 0x9e3779b1U;
        return i ^ i >> 15;
}

static PolicyPeer host(uint32_t i, bool ipv6) {
        uint32_t a = 0x0a000000U | (scramble(i) & 0xffffffU), b = scramble(i ^ 0x55555555U);

        if (ipv6)
                return (PolicyPeer){
                        .type = POLICY_PEER_PREFIX,
                        .family = AF_INET6,
                        .prefix_len = 128,
                        .address = { 0x20, 0x01, 0x0d, 0xb8, a >> 16, a >> 8, a, 0, 0, 0, 0, 0,
                                b >> 24, b >> 16, b >> 8, b },
                };
        return (PolicyPeer){
                .type = POLICY_PEER_PREFIX,
                .family = AF_INET,
                .prefix_len = 32,
                .address = { [10] = 0xff, 0xff, a >> 24, a >> 16, a >> 8, a },
        };
}

static void bench_service(Bench *b, const Run *run, size_t i) {
        uint16_t port = scramble(i) % 60000;

        switch (run->shape) {
        case SHAPE_MIXED:
                b->services[i] = (PolicyService){
                        .protocol = i % 5 == 0 ? 17 : 6,
                        .port_min = port % 700,
                        .port_max = i % 16 == 1 ? port : port % 700,
                };
                break;
        case SHAPE_DISTINCT:
                b->services[i] = (PolicyService){
                        .protocol = 6,
                        .port_min = 1 + 5 * i,
                        .port_max = 1 + 5 * i,
                };
                break;
        case SHAPE_SERVICES:
                b->services[i] = (PolicyService){ .protocol = 6, .port_max = UINT16_MAX };
                if (i < run->n_rules / 10)
                        b->services[i].port_min = b->services[i].port_max = 1000 + 3 * i;
                break;
        }
        if (b->services[i].port_max < b->services[i].port_min)
                b->services[i].port_max = b->services[i].port_min;
}

static void bench_peer(Bench *b, const Run *run, size_t i) {
        static char list[] = "blocked";
        bool any = run->shape == SHAPE_MIXED
                ? i % 8 == 0
                : run->shape == SHAPE_SERVICES && i < run->n_rules / 10;

        b->peers[i] = any ? (PolicyPeer){ .type = POLICY_PEER_ANY }
                          : host(run->shape == SHAPE_MIXED ? i / 3 : i, run->ipv6);
        if (run->list && i % 2 == 0)
                b->peers[i] = (PolicyPeer){ .type = POLICY_PEER_LIST, .list = list };
}

static void bench_init(Bench *b, const Run *run) {
        static char interface[] = "eth0";

        b->stack = (PolicyStack){
                .entries = b->entries,
                .n_entries = run->n_rules,
                .mode = POLICY_MODE_ENFORCE,
                .default_in = POLICY_DEFAULT_DENY,
                .default_out = POLICY_DEFAULT_DENY,
        };
        for (size_t i = 0; i < run->n_peers; i++)
                b->many[i] = host(i, run->ipv6);

        for (size_t i = 0; i < run->n_rules; i++) {
                bench_peer(b, run, i);
                bench_service(b, run, i);
                b->rules[i] = (PolicyRule){
                        .verdict = i % 4 == 3 ? POLICY_DENY : POLICY_ALLOW,
                        .directions = run->shape == SHAPE_MIXED ? 1 + i % 3 : 1,
                        .services = &b->services[i],
                        .n_services = 1,
                        .peers = run->n_peers > 0 ? b->many : &b->peers[i],
                        .n_peers = run->n_peers > 0 ? run->n_peers : 1,
                        .via = run->via && i % 3 == 0 ? interface : NULL,
                };
                b->entries[i] = (PolicyEntry){
                        .rule = &b->rules[i],
                        .number = CGP_RULE_FIRST + i,
                        .counter = 10 + i,
                };
        }
}

/* A host with a few interfaces and one long list. */
static int bench_host(Bench *b) {
        static char name[] = "eth0", other[] = "wlan0";
        char *const first[] = { name, NULL }, *const second[] = { other, NULL };
        char *const *const sets[] = { first, second };
        _cleanup_free_ char *text = malloc((size_t)LIST_SIZE * 20);
        const char *limit = NULL;
        PolicyList *list = NULL;
        PolicySet *set = NULL;
        size_t n = 0;
        int r;

        if (!text)
                return -ENOMEM;
        for (uint32_t i = 0; i < LIST_SIZE; i++) {
                uint32_t a = scramble(i) | 0x40000000U;

                n += sprintf(text + n, "%u.%u.%u.%u\n", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
                        a & 0xff);
        }
        r = policy_list_parse("blocked", "bench", text, n, NULL, &list);
        if (r < 0)
                return r;
        b->host.lists = calloc(1, sizeof(*b->host.lists));
        if (!b->host.lists)
                return -ENOMEM;
        b->host.lists[0] = list;
        b->host.n_lists = 1;
        r = policy_set_build(b->host.lists, 1, &limit, &set);
        if (r < 0)
                return r;
        b->host.set = set;
        return policy_host_set_interfaces(&b->host, sets, ELEMENTSOF(sets));
}

static uint64_t now_nsec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static int compare_u64(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static int bench_run(Bench *b, const Run *run) {
        PolicyCompileInput input = {
                .stack = &b->stack,
                .host = &b->host,
                .subject = 1,
                .generation = 1,
        };
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileFailure failure = {};
        uint64_t compile[RUNS], compare[RUNS];
        PolicyChange change;
        int r;

        bench_init(b, run);
        for (size_t i = 0; i < RUNS; i++) {
                uint64_t before = now_nsec();

                image = policy_image_free(image);
                r = policy_compile(&input, &failure, &image);
                if (r < 0) {
                        fprintf(stderr, "%-26s error %d, %s: %zu, limit %zu\n", run->name, r,
                                strempty(failure.limit), failure.needed, failure.max);
                        return r;
                }
                compile[i] = now_nsec() - before;

                before = now_nsec();
                r = policy_compare(&input, &input, &failure, &change);
                if (r < 0)
                        return r;
                compare[i] = now_nsec() - before;
        }
        qsort(compile, RUNS, sizeof(*compile), compare_u64);
        qsort(compare, RUNS, sizeof(*compare), compare_u64);

        printf("%-26s compile %9.3f ms (best %9.3f)  compare %9.3f ms  tables %8u B  nodes %5u  "
               "paths %5u  cells %7u  %s\n",
                run->name, compile[RUNS / 2] / 1e6, compile[0] / 1e6, compare[RUNS / 2] / 1e6,
                image->config.table_size, image->config.n_nodes, image->config.n_paths,
                image->config.n_cells,
                image->config.view[CGP_VIEW_OUT].layout == CGP_LAYOUT_LINES ? "lines" : "matrix");
        return 0;
}

int main(void) {
        _cleanup_free_ Bench *b = calloc(1, sizeof(*b));
        static const Run runs[] = {
                { "1 rule", .n_rules = 1 },
                { "10 rules", .n_rules = 10 },
                { "10 rules, IPv6", .n_rules = 10, .ipv6 = true },
                { "10 rules, list", .n_rules = 10, .list = true },
                { "10 rules, via", .n_rules = 10, .via = true },
                { "100 rules", .n_rules = 100 },
                { "1000 rules", .n_rules = 1000 },
                { "1000 rules, IPv6", .n_rules = 1000, .ipv6 = true },
                { "1000 rules, list", .n_rules = 1000, .list = true },
                { "1000 rules, via", .n_rules = 1000, .via = true },
                { "1000 distinct", .n_rules = 1000, .shape = SHAPE_DISTINCT },
                { "1000 services", .n_rules = 1000, .shape = SHAPE_SERVICES },
                { "10000 rules", .n_rules = 10000 },
                { "10000 rules, IPv6", .n_rules = 10000, .ipv6 = true },
                { "10000 distinct", .n_rules = 10000, .shape = SHAPE_DISTINCT },
                { "10000 distinct, IPv6", .n_rules = 10000, .shape = SHAPE_DISTINCT, .ipv6 = true },
                { "10000 distinct, via", .n_rules = 10000, .shape = SHAPE_DISTINCT, .via = true },
                { "10000 services", .n_rules = 10000, .shape = SHAPE_SERVICES },
                { "1 rule, 4096 peers", .n_rules = 1, .n_peers = 4096 },
                { "1 rule, 4096 peers, IPv6", .n_rules = 1, .n_peers = 4096, .ipv6 = true },
                { "8 rules, 4096 peers", .n_rules = 8, .n_peers = 4096 },
        };
        int status = EXIT_SUCCESS;

        if (!b || bench_host(b) < 0)
                return EXIT_FAILURE;
        for (size_t i = 0; i < ELEMENTSOF(runs); i++)
                if (bench_run(b, &runs[i]) < 0)
                        status = EXIT_FAILURE;
        policy_host_done(&b->host);
        return status;
}
