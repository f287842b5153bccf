/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the compiler takes and how large its tables get, for policies of growing size. Prints one line
 * per policy: the median and the best of several runs, the size, and what the tables hold.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "cgp-abi.h"
#include "policy/compile.h"
#include "util/macro.h"

#define RUNS      15
#define RULES_MAX 1000
#define PEERS_MAX 4096

typedef struct Bench {
        PolicyStack stack;
        PolicyEntry entries[RULES_MAX];
        PolicyRule rules[RULES_MAX];
        PolicyService services[RULES_MAX];
        PolicyPeer peers[RULES_MAX];
        PolicyPeer many[PEERS_MAX];
} Bench;

static uint32_t scramble(uint32_t i) {
        i = (i + 1) * 0x9e3779b1U;
        return i ^ i >> 15;
}

static PolicyPeer host(uint32_t i) {
        uint32_t a = 0x0a000000U | (scramble(i) & 0xffffffU);

        return (PolicyPeer){
                .type = POLICY_PEER_PREFIX,
                .family = AF_INET,
                .prefix_len = 32,
                .address = { [10] = 0xff, 0xff, a >> 24, a >> 16, a >> 8, a },
        };
}

/* Rules of the kind that people write: a host or network each, a port each, now and then one for all peers
 * or all ports. */
static void bench_init(Bench *b, size_t n_rules, size_t n_peers) {
        *b = (Bench){
                .stack = {
                        .entries = b->entries,
                        .n_entries = n_rules,
                        .mode = POLICY_MODE_ENFORCE,
                        .default_in = POLICY_DEFAULT_DENY,
                        .default_out = POLICY_DEFAULT_DENY,
                },
        };
        for (size_t i = 0; i < n_peers; i++)
                b->many[i] = host(i);

        for (size_t i = 0; i < n_rules; i++) {
                uint16_t port = scramble(i) % 60000;

                b->peers[i] = i % 8 == 0 ? (PolicyPeer){ .type = POLICY_PEER_ANY } : host(i / 3);
                b->services[i] = (PolicyService){
                        .protocol = i % 5 == 0 ? 17 : 6,
                        .port_min = port % 700,
                        .port_max = i % 16 == 1 ? port : port % 700,
                };
                if (b->services[i].port_max < b->services[i].port_min)
                        b->services[i].port_max = b->services[i].port_min;
                b->rules[i] = (PolicyRule){
                        .verdict = i % 4 == 3 ? POLICY_DENY : POLICY_ALLOW,
                        .directions = 1 + i % 3,
                        .services = &b->services[i],
                        .n_services = 1,
                        .peers = n_peers > 0 ? b->many : &b->peers[i],
                        .n_peers = n_peers > 0 ? n_peers : 1,
                };
                b->entries[i] = (PolicyEntry){
                        .rule = &b->rules[i],
                        .number = CGP_RULE_FIRST + i,
                        .counter = 10 + i,
                };
        }
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

static int bench_run(const char *name, Bench *b, size_t n_rules, size_t n_peers) {
        PolicyCompileInput input = { .stack = &b->stack, .subject = 1, .generation = 1 };
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileFailure failure = {};
        uint64_t compile[RUNS], compare[RUNS];
        PolicyChange change;
        int r;

        bench_init(b, n_rules, n_peers);
        for (size_t i = 0; i < RUNS; i++) {
                uint64_t before = now_nsec();

                image = policy_image_free(image);
                r = policy_compile(&input, &failure, &image);
                if (r < 0) {
                        fprintf(stderr, "%s: error %d, %s\n", name, r,
                                failure.limit ? failure.limit : "");
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

        printf("%-24s compile %9.3f ms (best %9.3f)  compare %9.3f ms  tables %8u B  nodes %5u  cells "
               "%7u  verdicts %4u\n",
                name, compile[RUNS / 2] / 1e6, compile[0] / 1e6, compare[RUNS / 2] / 1e6,
                image->config.table_size, image->config.n_nodes, image->config.n_cells,
                image->config.n_verdicts);
        return 0;
}

int main(void) {
        _cleanup_free_ Bench *b = calloc(1, sizeof(*b));
        static const struct {
                const char *name;
                size_t n_rules;
                size_t n_peers;
        } runs[] = {
                { "1 rule", 1, 0 },
                { "10 rules", 10, 0 },
                { "100 rules", 100, 0 },
                { "1000 rules", 1000, 0 },
                { "1 rule, 4096 peers", 1, 4096 },
                { "8 rules, 4096 peers", 8, 4096 },
        };

        if (!b)
                return EXIT_FAILURE;
        for (size_t i = 0; i < ELEMENTSOF(runs); i++)
                if (bench_run(runs[i].name, b, runs[i].n_rules, runs[i].n_peers) < 0)
                        return EXIT_FAILURE;
        return EXIT_SUCCESS;
}
