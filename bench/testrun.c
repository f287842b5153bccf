/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the egress program costs by itself, over an empty one, in BPF_PROG_TEST_RUN.
 *
 * usage: testrun BPFFS [LIST-FILE]
 *
 * "warm" is one packet a million times, so that whatever it needs lies in the first cache. "random" is a
 * new address for each run, one run a system call: tables compete with the kernel for the caches, though
 * less than on a live path. Empty and ours are measured in turn; one line of JSON per policy has the
 * medians and quartiles of the differences in nanoseconds, of a packet of a conversation that it opens.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"
#include "util/macro.h"

#define WARM_ROUNDS   21
#define WARM_REPEAT   1000000
#define RANDOM_ROUNDS 20000

typedef struct Packet {
        uint8_t bytes[ETHER_HDR_LEN + sizeof(struct ip6_hdr) + sizeof(struct udphdr)];
        size_t size;
} Packet;

static uint32_t scramble(uint32_t i) {
        i = (i + 1) * 0x9e3779b1U;
        i ^= i >> 15;
        return i * 0x85ebca6bU;
}

/* The kernel wants a link-layer header in front, which the program does not see. */
static void packet_make(Packet *p, bool is_v6, bool anywhere, uint32_t host) {
        struct udphdr udp = {
                .uh_sport = htons(40000), .uh_dport = htons(7000), .uh_ulen = htons(8)
        };
        uint8_t *at = p->bytes + ETHER_HDR_LEN;

        memset(p, 0, sizeof(*p));
        p->bytes[12] = is_v6 ? 0x86 : 0x08;
        p->bytes[13] = is_v6 ? 0xdd : 0x00;
        if (is_v6) {
                struct ip6_hdr ip = {
                        .ip6_plen = htons(8), .ip6_nxt = IPPROTO_UDP, .ip6_hlim = 64
                };

                ip.ip6_vfc = 0x60;
                (void)inet_pton(AF_INET6, "fd00:6367::1", &ip.ip6_src);
                (void)inet_pton(AF_INET6, "fd00:6367::", &ip.ip6_dst);
                ip.ip6_dst.s6_addr16[2] = htons(host >> 24);
                ip.ip6_dst.s6_addr16[3] = htons(host >> 8 & 0xffff);
                ip.ip6_dst.s6_addr[15] = (uint8_t)host;
                memcpy(at, &ip, sizeof(ip));
                at += sizeof(ip);
        } else {
                struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };

                ip.tot_len = htons(sizeof(ip) + sizeof(udp));
                ip.saddr = htonl(0x7f000001);
                ip.daddr = htonl(anywhere ? host : 0x7f400000 | (host >> 10));
                memcpy(at, &ip, sizeof(ip));
                at += sizeof(ip);
        }
        memcpy(at, &udp, sizeof(udp));
        p->size = (size_t)(at - p->bytes) + sizeof(udp);
}

static double run(int fd, const Packet *p, uint32_t repeat) {
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->bytes, .data_size_in = (uint32_t)p->size,
                .repeat = (int)repeat);
        int r = bpf_prog_test_run_opts(fd, &opts);

        if (r < 0)
                bench_fail("test run", r);
        if ((opts.retval & 1) == 0)
                bench_fail("the policy stopped the packet", 0);
        return opts.duration;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static void print_quartiles(const char *name, double *values, size_t n, const char *end) {
        qsort(values, n, sizeof(*values), compare);
        printf("\"%s\": [%.1f, %.1f, %.1f]%s", name, values[n / 4], values[n / 2],
                values[n * 3 / 4], end);
}

static void measure(Kernel *kernel, const PolicyHost *host, const BenchPolicy *policy) {
        _cleanup_(policy_image_freep) PolicyImage *image = bench_image(policy, host, 1);
        static double warm[WARM_ROUNDS], empty_warm[WARM_ROUNDS];
        static double random[RANDOM_ROUNDS], empty_random[RANDOM_ROUNDS];
        KernelProgs *progs = bench_progs(kernel, image);
        int empty = bench_empty(CGP_HOOK_EGRESS), fd;
        Packet p;

        fd = bpf_prog_get_fd_by_id(kernel->ops->progs_id(progs, CGP_HOOK_EGRESS));
        if (fd < 0)
                bench_fail("program", errno);
        packet_make(&p, policy->is_v6, policy->list, scramble(1));
        for (unsigned i = 0; i < WARM_ROUNDS; i++) {
                empty_warm[i] = run(empty, &p, WARM_REPEAT);
                warm[i] = run(fd, &p, WARM_REPEAT) - empty_warm[i];
        }
        for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
                packet_make(&p, policy->is_v6, policy->list, scramble(i));
                empty_random[i] = run(empty, &p, 1);
                random[i] = run(fd, &p, 1) - empty_random[i];
        }
        printf("{\"rules\": %u, \"family\": %d, \"list\": %s, \"table_bytes\": %u, ",
                policy->n_rules, policy->is_v6 ? 6 : 4, policy->list ? "true" : "false",
                image->config.table_size);
        print_quartiles("empty_warm", empty_warm, WARM_ROUNDS, ", ");
        print_quartiles("warm", warm, WARM_ROUNDS, ", ");
        print_quartiles("empty_random", empty_random, RANDOM_ROUNDS, ", ");
        print_quartiles("random", random, RANDOM_ROUNDS, "}\n");
        (void)fflush(stdout);
        (void)close(fd);
        (void)close(empty);
        (void)kernel->ops->progs_free(progs);
}

int main(int argc, char **argv) {
        static const unsigned sizes[] = { 1, 10, 100, 1000, 10000 };
        PolicyHost host = POLICY_HOST_INIT;
        Kernel *kernel;

        if (argc < 2)
                bench_fail("usage: testrun BPFFS [LIST-FILE]", 0);
        kernel = bench_kernel(argv[1]);
        for (unsigned v6 = 0; v6 < 2; v6++)
                for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                        measure(kernel, &host, &(BenchPolicy){ .n_rules = sizes[i], .is_v6 = v6 });
        if (argc > 2) {
                bench_host_add_list(&host, kernel, argv[2]);
                measure(kernel, &host, &(BenchPolicy){ .n_rules = 1, .list = argv[2] });
        }
        (void)kernel_close(kernel);
        return EXIT_SUCCESS;
}
