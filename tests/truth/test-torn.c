/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is a policy ever seen in part? Two policies take turns on one hook, as fast as they can be published, while
 * probes run against it. One allows port A of network 1 only, the other port B of network 2 only; a probe to
 * port B of network 1 or port A of network 2 passes only where a hook mixed them, and one to network 3 only
 * where there was no policy at all. Every publication takes an instance that was retired shortly before, so
 * instances that are filled again too early would show here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../kernel/net.h"
#include "../kernel/sandbox.h"
#include "../kernel/subject.h"
#include "util/macro.h"

#define N_PROBES 1000000U
#define PORT_A   7001
#define PORT_B   7002

static Sandbox *sandbox;

enum { PROBE_FIRST, PROBE_SECOND, PROBE_MIXED_1, PROBE_MIXED_2, PROBE_NEVER, N_KINDS };

static const struct {
        const char *ip;
        uint16_t port;
} probes[N_KINDS] = {
        [PROBE_FIRST] = { "127.1.0.1", PORT_A },
        [PROBE_SECOND] = { "127.2.0.1", PORT_B },
        [PROBE_MIXED_1] = { "127.1.0.1", PORT_B },
        [PROBE_MIXED_2] = { "127.2.0.1", PORT_A },
        [PROBE_NEVER] = { "127.3.0.1", PORT_A },
};

/* One hook, and how a probe tells whether it let it pass. */
typedef struct Hook {
        unsigned hook;
        const char *rules[2];        /* of the two policies, for the two networks */
        int (*probe)(unsigned kind); /* the kind that got through, or -1 */
} Hook;

typedef struct Run {
        const Hook *hook;
        atomic_bool done;
        unsigned long n_passed[N_KINDS];
} Run;

static NetAddress addresses[N_KINDS];
static int sender = -EBADF;
static int senders[N_KINDS];
static int receivers[N_KINDS];

static int probe_send(unsigned kind) {
        return sendto(sender, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&addresses[kind].address,
                       addresses[kind].size) == 1
                ? (int)kind
                : -1;
}

static int probe_connect(unsigned kind) {
        return connect(sender, (struct sockaddr *)&addresses[kind].address, addresses[kind].size) ==
                        0
                ? (int)kind
                : -1;
}

static int probe_bind(unsigned kind) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool passed;

        passed = bind(fd, (struct sockaddr *)&addresses[kind].address, addresses[kind].size) == 0;
        (void)close(fd);
        return passed ? (int)kind : -1;
}

/* The senders are of another cgroup, one in each network; the receivers are the subject's. */
static int probe_receive(unsigned kind) {
        char c = (char)kind;

        (void)sendto(senders[kind], &c, 1, MSG_DONTWAIT,
                (struct sockaddr *)&addresses[kind].address, addresses[kind].size);
        /* Maybe one that was sent earlier: it says itself which. */
        return recv(receivers[kind], &c, 1, MSG_DONTWAIT) == 1 ? c : -1;
}

static const Hook hooks[] = {
        { CGP_HOOK_EGRESS,
                { "allow out udp/7001 to 127.1.0.0/16", "allow out udp/7002 to 127.2.0.0/16" },
                probe_send },
        { CGP_HOOK_SENDMSG4,
                { "allow out udp/7001 to 127.1.0.0/16", "allow out udp/7002 to 127.2.0.0/16" },
                probe_send },
        { CGP_HOOK_CONNECT4,
                { "allow out udp/7001 to 127.1.0.0/16", "allow out udp/7002 to 127.2.0.0/16" },
                probe_connect },
        { CGP_HOOK_INGRESS,
                { "allow in udp/7001 from 127.1.0.0/16", "allow in udp/7002 from 127.2.0.0/16" },
                probe_receive },
        { CGP_HOOK_BIND4,
                { "allow bind udp/7001 to 127.1.0.0/16", "allow bind udp/7002 to 127.2.0.0/16" },
                probe_bind },
        { CGP_HOOK_POST_BIND4,
                { "allow bind udp/7001 to 127.1.0.0/16", "allow bind udp/7002 to 127.2.0.0/16" },
                probe_bind },
};

static void *probe_all(void *userdata) {
        Run *run = userdata;

        for (unsigned i = 0; i < N_PROBES; i++) {
                int passed = run->hook->probe(i % N_KINDS);

                if (passed >= 0)
                        run->n_passed[passed]++;
        }
        atomic_store(&run->done, true);
        return NULL;
}

static void open_sockets(const Hook *hook) {
        for (unsigned kind = 0; kind < N_KINDS; kind++) {
                addresses[kind] =
                        net_address(hook->hook == CGP_HOOK_INGRESS ? "127.0.0.1" : probes[kind].ip,
                                probes[kind].port);
                receivers[kind] = senders[kind] = -EBADF;
        }
        if (hook->hook != CGP_HOOK_INGRESS)
                return;
        for (unsigned kind = 0; kind < N_KINDS; kind++)
                senders[kind] = net_udp_bound(probes[kind].ip, 0);
}

static void close_sockets(void) {
        for (unsigned kind = 0; kind < N_KINDS; kind++) {
                net_close(&senders[kind]);
                if (kind < 2)
                        net_close(&receivers[kind]);
        }
        net_close(&sender);
}

static void publish(Subject *s, unsigned hook, const TestPolicy *policy) {
        KernelProgs *progs = subject_load(s, policy);

        assert_int_equal(s->kernel->ops->link_update(s->kernel, s->links[hook], progs, hook), 0);
        s->kernel->ops->progs_free(s->progs);
        s->progs = progs;
}

static void take_turns(const Hook *hook) {
        /* A bind rule has no default: what neither names is denied by a rule of its own. */
        bool is_bind = hook->hook == CGP_HOOK_BIND4 || hook->hook == CGP_HOOK_POST_BIND4;
        const TestPolicy policies[2] = {
                { .rules = { hook->rules[0], is_bind ? "deny bind udp/7000-7999" : NULL } },
                { .rules = { hook->rules[1], is_bind ? "deny bind udp/7000-7999" : NULL } },
        };
        Kernel *kernel = test_kernel(sandbox);
        Run run = { .hook = hook };
        unsigned long n_turns = 0;
        pthread_t thread;
        Subject *s;

        open_sockets(hook);
        s = subject_attach_hooks(sandbox, kernel, "torn", 1, &policies[0], 1U << hook->hook);
        sandbox_enter(sandbox, "torn");
        sender = net_udp(AF_INET);
        if (hook->hook == CGP_HOOK_INGRESS) {
                receivers[0] = net_udp_bound("127.0.0.1", PORT_A);
                receivers[1] = net_udp_bound("127.0.0.1", PORT_B);
                receivers[PROBE_MIXED_1] = receivers[1];
                receivers[PROBE_MIXED_2] = receivers[PROBE_NEVER] = receivers[0];
        }

        assert_int_equal(pthread_create(&thread, NULL, probe_all, &run), 0);
        while (!atomic_load(&run.done))
                publish(s, hook->hook, &policies[++n_turns % 2]);
        assert_int_equal(pthread_join(thread, NULL), 0);

        print_message("# %s: %lu publications, passed %lu and %lu, mixed %lu and %lu, never %lu\n",
                kernel_hook_to_string(hook->hook), n_turns, run.n_passed[PROBE_FIRST],
                run.n_passed[PROBE_SECOND], run.n_passed[PROBE_MIXED_1],
                run.n_passed[PROBE_MIXED_2], run.n_passed[PROBE_NEVER]);
        assert_true(n_turns > 2);
        assert_true(run.n_passed[PROBE_FIRST] > 0 && run.n_passed[PROBE_SECOND] > 0);
        assert_int_equal(run.n_passed[PROBE_MIXED_1] + run.n_passed[PROBE_MIXED_2], 0);
        assert_int_equal(run.n_passed[PROBE_NEVER], 0);

        close_sockets();
        subject_detach(s);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void never_torn(void **state) {
        take_turns(*state);
}

static int run_all(Sandbox *s) {
        struct CMUnitTest tests[ELEMENTSOF(hooks)];
        char names[ELEMENTSOF(hooks)][64];

        sandbox = s;
        for (size_t i = 0; i < ELEMENTSOF(hooks); i++) {
                (void)snprintf(names[i], sizeof(names[i]), "%s is never torn",
                        kernel_hook_to_string(hooks[i].hook));
                tests[i] = (struct CMUnitTest){
                        .name = names[i],
                        .test_func = never_torn,
                        .initial_state = (void *)(uintptr_t)&hooks[i],
                };
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(run_all);
}
