/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a packet costs with nothing, empty programs, our programs, other programs or nftables in its way.
 *
 * usage: live TRAFFIC FLOWS ROUNDS MILLISECONDS CGROUP BPFFS CONFIG...
 *
 * TRAFFIC is udp or tcp: FLOWS sockets of loopback used in turn, so that with many of them no cache is
 * warm; a step is one message (udp) or one message and its answer (tcp). Or connect: a step is a new
 * connection, a message and its answer. Both ends are in CGROUP, which
 * this process must be in. In each round every CONFIG has its turn of MILLISECONDS, in an order that
 * rotates; one line of JSON per config holds the nanoseconds per step of all rounds.
 *
 * CONFIG as in config.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "util/macro.h"

#define CONFIGS_MAX 24
#define ROUNDS_MAX  201
#define BATCH       64 /* steps between two looks at the clock */
#define PORT        7000

typedef enum TrafficType { TRAFFIC_UDP, TRAFFIC_TCP, TRAFFIC_CONNECT } TrafficType;

typedef struct Traffic {
        TrafficType type;
        unsigned n_flows;
        int *clients;
        int *servers; /* tcp */
        int receiver; /* or listener */
        unsigned next;
} Traffic;

/* Flow i between 127.64-127.x and 127.0.0.1, both ends of it different. */
static struct sockaddr_in flow_address(unsigned i, unsigned port) {
        uint32_t a = i * 0x9e3779b1U;

        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)port),
                .sin_addr.s_addr = htonl(0x7f400000U | (a >> 10 & 0x3fffffU)),
        };
}

static int new_socket(int type) {
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

        if (fd < 0)
                bench_fail("socket", errno);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (type == SOCK_STREAM)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
}

static void no_delay(int fd) {
        int one = 1;

        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
                bench_fail("TCP_NODELAY", errno);
}

static int traffic_connect(const Traffic *t, unsigned i) {
        struct sockaddr_in local = flow_address(2 * i, 0);
        struct sockaddr_in remote = flow_address(2 * i + 1, PORT);
        int fd = new_socket(t->type == TRAFFIC_UDP ? SOCK_DGRAM : SOCK_STREAM);

        if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
                connect(fd, (struct sockaddr *)&remote, sizeof(remote)) < 0)
                bench_fail("connect", errno);
        return fd;
}

static int traffic_accept(const Traffic *t) {
        int fd = accept4(t->receiver, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                bench_fail("accept", errno);
        no_delay(fd);
        return fd;
}

static void traffic_open(Traffic *t) {
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
        struct rlimit limit = { .rlim_cur = 2 * t->n_flows + 256,
                .rlim_max = 2 * t->n_flows + 256 };

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                bench_fail("setrlimit", errno);
        t->clients = calloc(t->n_flows, sizeof(int));
        t->servers = calloc(t->n_flows, sizeof(int));
        if (!t->clients || !t->servers)
                bench_fail("memory", ENOMEM);
        t->receiver = new_socket(t->type == TRAFFIC_UDP ? SOCK_DGRAM : SOCK_STREAM);
        if (bind(t->receiver, (struct sockaddr *)&any, sizeof(any)) < 0)
                bench_fail("bind", errno);
        if (t->type != TRAFFIC_UDP && listen(t->receiver, 128) < 0)
                bench_fail("listen", errno);
        if (t->type == TRAFFIC_CONNECT)
                return;

        for (unsigned i = 0; i < t->n_flows; i++) {
                t->clients[i] = traffic_connect(t, i);
                if (t->type == TRAFFIC_TCP)
                        t->servers[i] = traffic_accept(t);
        }
}

static void traffic_close(Traffic *t) {
        for (unsigned i = 0; t->type != TRAFFIC_CONNECT && i < t->n_flows; i++) {
                (void)close(t->clients[i]);
                if (t->type == TRAFFIC_TCP)
                        (void)close(t->servers[i]);
        }
        (void)close(t->receiver);
        free(t->clients);
        free(t->servers);
}

static void must(bool ok) {
        if (!ok)
                bench_fail("the policy stopped the traffic", errno);
}

static void ask(int client, int server) {
        char c = 'x';

        must(send(client, &c, 1, 0) == 1);
        must(recv(server, &c, 1, 0) == 1);
        must(send(server, &c, 1, 0) == 1);
        must(recv(client, &c, 1, 0) == 1);
}

static void traffic_step(Traffic *t) {
        unsigned i = t->next;
        char c = 'x';

        t->next = i + 1 < t->n_flows ? i + 1 : 0;
        switch (t->type) {
        case TRAFFIC_UDP:
                must(send(t->clients[i], &c, 1, 0) == 1);
                must(recv(t->receiver, &c, 1, 0) == 1);
                break;
        case TRAFFIC_TCP:
                ask(t->clients[i], t->servers[i]);
                break;
        case TRAFFIC_CONNECT: {
                struct linger reset = { .l_onoff = 1 }; /* no TIME_WAIT to run out of ports by */
                int client = traffic_connect(t, i), server = traffic_accept(t);

                ask(client, server);
                (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
                (void)close(client);
                (void)close(server);
                break;
        }
        }
}

/* Nanoseconds per step. Conversations are opened under the config, as they are in life. */
static double measure(
        Config *config, const Site *site, TrafficType type, unsigned n_flows, unsigned msec) {
        Traffic t = { .type = type, .n_flows = n_flows };
        uint64_t start, now, n = 0;

        config_attach(config, site);
        traffic_open(&t);
        /* Every flow has been used once before the clock starts. */
        for (unsigned i = 0; i < MAX(n_flows, 256U); i++)
                traffic_step(&t);
        start = bench_now();
        do {
                for (unsigned i = 0; i < BATCH; i++)
                        traffic_step(&t);
                n += BATCH;
                now = bench_now();
        } while (now - start < msec * 1000000ULL);
        traffic_close(&t);
        config_detach(config, site);
        return (double)(now - start) / (double)n;
}

int main(int argc, char **argv) {
        static const char *const types[] = { "udp", "tcp", "connect" };
        static double ns[CONFIGS_MAX][ROUNDS_MAX];
        static Config configs[CONFIGS_MAX];
        unsigned n_configs, n_rounds, n_flows, msec, type = 0;
        Site site;

        if (argc < 8 || argc - 7 > CONFIGS_MAX)
                bench_fail(
                        "usage: live TRAFFIC FLOWS ROUNDS MILLISECONDS CGROUP BPFFS CONFIG...", 0);
        while (type < ELEMENTSOF(types) && strcmp(argv[1], types[type]) != 0)
                type++;
        n_flows = (unsigned)atoi(argv[2]);
        n_rounds = (unsigned)atoi(argv[3]);
        msec = (unsigned)atoi(argv[4]);
        if (type == ELEMENTSOF(types) || n_flows < 1 || n_flows > 60000 || n_rounds < 1 ||
                n_rounds > ROUNDS_MAX)
                bench_fail("traffic, flows or rounds", EINVAL);
        site_open(&site, argv[5], argv[6]);

        n_configs = (unsigned)argc - 7;
        for (unsigned i = 0; i < n_configs; i++)
                config_init(&configs[i], &site, argv[7 + i]);
        for (unsigned round = 0; round < n_rounds; round++)
                for (unsigned i = 0; i < n_configs; i++) {
                        unsigned k = (i + round) % n_configs;

                        ns[k][round] = measure(&configs[k], &site, type, n_flows, msec);
                }
        for (unsigned i = 0; i < n_configs; i++) {
                printf("{\"config\": \"%s\", \"ns\": [", configs[i].text);
                for (unsigned round = 0; round < n_rounds; round++)
                        printf("%s%.1f", round ? ", " : "", ns[i][round]);
                printf("]}\n");
        }
        return EXIT_SUCCESS;
}
