/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a packet costs with nothing, empty programs, our programs, other programs or nftables in its way.
 *
 * usage: live TRAFFIC FLOWS ROUNDS MILLISECONDS CGROUP BPFFS CONFIG...
 *
 * TRAFFIC is udp or tcp: FLOWS sockets of loopback used in turn, so that with many of them no cache is
 * warm; a step is one message (udp) or one message and its answer (tcp). Both ends are in CGROUP, which
 * this process must be in. In each round every CONFIG has its turn of MILLISECONDS, in an order that
 * rotates; one line of JSON per config holds the nanoseconds per step of all rounds.
 *
 * CONFIG: none, empty (packet hooks), empty-all (every hook of ours), ours:N (rules), ours6:N, open:N
 * (default allow), list:FILE, prog:NAME:EGRESS:INGRESS (programs by id), nft:NAME:FILE (a ruleset whose table
 * is inet cgpbench)
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/loader.h"
#include "subject.h"
#include "util/macro.h"

#define CONFIGS_MAX 24
#define ROUNDS_MAX  201
#define BATCH       64 /* steps between two looks at the clock */
#define PORT        7000

typedef struct Config {
        const char *text;
        int fds[CGP_N_HOOKS]; /* programs to attach, or -1 */
        KernelProgs *progs;   /* or ours */
        const char *nft;      /* or a ruleset */
        double ns[ROUNDS_MAX];
} Config;

typedef struct Traffic {
        bool is_tcp;
        unsigned n_flows;
        int *clients;
        int *servers; /* tcp */
        int receiver; /* udp */
        unsigned next;
} Traffic;

static Kernel *kernel;
static int cgroup_fd;
static uint64_t cgroup_id;

static void run_nft(const char *arguments) {
        char command[512];

        (void)snprintf(command, sizeof(command), "nft %s", arguments);
        if (system(command) != 0)
                bench_fail(command, 0);
}

/* Attached until the returned links are let go of. */
static void attach(const Config *config, KernelLink *links[CGP_N_HOOKS], int fds[CGP_N_HOOKS]) {
        char arguments[400];

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                int r = 0;

                if (config->progs)
                        r = kernel->ops->link_create(
                                kernel, config->progs, hook, cgroup_fd, 1, cgroup_id, &links[hook]);
                else if (config->fds[hook] >= 0)
                        r = fds[hook] = bpf_link_create(
                                config->fds[hook], cgroup_fd, loader_attach_type(hook), NULL);
                if (r < 0)
                        bench_fail("attach", r);
        }
        if (config->nft) {
                (void)snprintf(arguments, sizeof(arguments), "-f %s", config->nft);
                run_nft(arguments);
        }
}

static void detach(const Config *config, KernelLink *links[CGP_N_HOOKS], int fds[CGP_N_HOOKS]) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                if (links[hook])
                        (void)kernel->ops->link_destroy(kernel, links[hook]);
                if (fds[hook] >= 0)
                        (void)close(fds[hook]);
        }
        if (config->nft)
                run_nft("delete table inet cgpbench");
}

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

static void traffic_open(Traffic *t) {
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
        struct rlimit limit = { .rlim_cur = 2 * t->n_flows + 256,
                .rlim_max = 2 * t->n_flows + 256 };
        int listener;

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                bench_fail("setrlimit", errno);
        t->clients = calloc(t->n_flows, sizeof(int));
        t->servers = calloc(t->n_flows, sizeof(int));
        if (!t->clients || !t->servers)
                bench_fail("memory", ENOMEM);
        listener = new_socket(t->is_tcp ? SOCK_STREAM : SOCK_DGRAM);
        if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0)
                bench_fail("bind", errno);
        if (t->is_tcp && listen(listener, 128) < 0)
                bench_fail("listen", errno);
        t->receiver = listener;

        for (unsigned i = 0; i < t->n_flows; i++) {
                struct sockaddr_in local = flow_address(2 * i, 0);
                struct sockaddr_in remote = flow_address(2 * i + 1, PORT);

                t->clients[i] = new_socket(t->is_tcp ? SOCK_STREAM : SOCK_DGRAM);
                if (bind(t->clients[i], (struct sockaddr *)&local, sizeof(local)) < 0 ||
                        connect(t->clients[i], (struct sockaddr *)&remote, sizeof(remote)) < 0)
                        bench_fail("connect", errno);
                if (t->is_tcp) {
                        int one = 1;

                        t->servers[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                        if (t->servers[i] < 0)
                                bench_fail("accept", errno);
                        (void)setsockopt(
                                t->servers[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                }
        }
}

static void traffic_close(Traffic *t) {
        for (unsigned i = 0; i < t->n_flows; i++) {
                (void)close(t->clients[i]);
                if (t->is_tcp)
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

static void traffic_step(Traffic *t) {
        char c = 'x';
        unsigned i = t->next;

        t->next = i + 1 < t->n_flows ? i + 1 : 0;
        must(send(t->clients[i], &c, 1, 0) == 1);
        if (!t->is_tcp) {
                must(recv(t->receiver, &c, 1, 0) == 1);
                return;
        }
        must(recv(t->servers[i], &c, 1, 0) == 1);
        must(send(t->servers[i], &c, 1, 0) == 1);
        must(recv(t->clients[i], &c, 1, 0) == 1);
}

/* Nanoseconds per step. Conversations are opened under the config, as they are in life. */
static double measure(const Config *config, bool is_tcp, unsigned n_flows, unsigned msec) {
        KernelLink *links[CGP_N_HOOKS] = {};
        int fds[CGP_N_HOOKS];
        Traffic t = { .is_tcp = is_tcp, .n_flows = n_flows };
        uint64_t start, now, n = 0;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                fds[hook] = -1;
        attach(config, links, fds);
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
        detach(config, links, fds);
        return (double)(now - start) / (double)n;
}

static void config_ours(Config *config, const BenchPolicy *policy, PolicyHost *host) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;

        if (policy->list)
                bench_host_add_list(host, kernel, policy->list);
        image = bench_image(policy, host, 1);
        config->progs = bench_progs(kernel, image);
}

static void config_init(Config *config, const char *text) {
        PolicyHost *host = calloc(1, sizeof(*host));
        unsigned n, egress, ingress;

        *config = (Config){ .text = text };
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                config->fds[hook] = -1;
        if (!host)
                bench_fail("memory", ENOMEM);
        if (strcmp(text, "none") == 0)
                return;
        if (strcmp(text, "empty") == 0 || strcmp(text, "empty-all") == 0) {
                for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                        if (hook >= CGP_HOOK_EGRESS || text[5])
                                config->fds[hook] = bench_empty(hook);
        } else if (sscanf(text, "ours:%u", &n) == 1) {
                config_ours(config, &(BenchPolicy){ .n_rules = n }, host);
        } else if (sscanf(text, "ours6:%u", &n) == 1) {
                config_ours(config, &(BenchPolicy){ .n_rules = n, .is_v6 = true }, host);
        } else if (sscanf(text, "open:%u", &n) == 1) {
                config_ours(config, &(BenchPolicy){ .n_rules = n, .is_open = true }, host);
        } else if (strncmp(text, "list:", 5) == 0) {
                config_ours(config, &(BenchPolicy){ .n_rules = 1, .list = text + 5 }, host);
        } else if (sscanf(text, "prog:%*[^:]:%u:%u", &egress, &ingress) == 2) {
                config->fds[CGP_HOOK_EGRESS] = bpf_prog_get_fd_by_id(egress);
                config->fds[CGP_HOOK_INGRESS] = bpf_prog_get_fd_by_id(ingress);
                if (config->fds[CGP_HOOK_EGRESS] < 0 || config->fds[CGP_HOOK_INGRESS] < 0)
                        bench_fail(text, errno);
        } else if (strncmp(text, "nft:", 4) == 0 && strchr(text + 4, ':')) {
                config->nft = strchr(text + 4, ':') + 1;
        } else {
                bench_fail(text, EINVAL);
        }
}

int main(int argc, char **argv) {
        static Config configs[CONFIGS_MAX];
        unsigned n_configs, n_rounds, n_flows, msec;
        struct stat st;
        bool is_tcp;

        if (argc < 8 || argc - 7 > CONFIGS_MAX)
                bench_fail(
                        "usage: live TRAFFIC FLOWS ROUNDS MILLISECONDS CGROUP BPFFS CONFIG...", 0);
        is_tcp = strcmp(argv[1], "tcp") == 0;
        n_flows = (unsigned)atoi(argv[2]);
        n_rounds = (unsigned)atoi(argv[3]);
        msec = (unsigned)atoi(argv[4]);
        cgroup_fd = open(argv[5], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (cgroup_fd < 0 || fstat(cgroup_fd, &st) < 0)
                bench_fail(argv[5], errno);
        cgroup_id = st.st_ino;
        if (n_flows < 1 || n_flows > 60000 || n_rounds < 1 || n_rounds > ROUNDS_MAX)
                bench_fail("flows or rounds", ERANGE);
        kernel = bench_kernel(argv[6]);

        n_configs = (unsigned)argc - 7;
        for (unsigned i = 0; i < n_configs; i++)
                config_init(&configs[i], argv[7 + i]);
        for (unsigned round = 0; round < n_rounds; round++)
                for (unsigned i = 0; i < n_configs; i++) {
                        Config *config = &configs[(i + round) % n_configs];

                        config->ns[round] = measure(config, is_tcp, n_flows, msec);
                }
        for (unsigned i = 0; i < n_configs; i++) {
                printf("{\"config\": \"%s\", \"ns\": [", configs[i].text);
                for (unsigned round = 0; round < n_rounds; round++)
                        printf("%s%.1f", round ? ", " : "", configs[i].ns[round]);
                printf("]}\n");
        }
        return EXIT_SUCCESS;
}
