/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens when something is full, and that counts are exact all the same. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;

static Kernel *open_kernel(uint32_t flows_max, uint32_t denials_max) {
        KernelConfig config = { .flows_max = flows_max, .denials_max = denials_max };
        KernelFailure failure;
        Kernel *kernel = NULL;

        assert_int_equal(kernel_open(sandbox->bpffs_fd, &config, &failure, &kernel), 0);
        return kernel;
}

static void close_kernel(Kernel *kernel) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static int own_socket(const char *cgroup, int type) {
        int fd;

        sandbox_enter(sandbox, cgroup);
        fd = net_socket(AF_INET, type, 0);
        sandbox_leave(sandbox);
        assert_true(fd >= 0);
        return fd;
}

static uint64_t stat_of(Kernel *kernel, uint32_t stat) {
        uint64_t n;

        assert_int_equal(kernel->ops->stat_read(kernel, stat, &n), 0);
        return n;
}

/* Opens conversations with so many peers, each another address. Two packets each: the kernel's memory rather
 * forgets what was not used again than what was, however old. */
static void talk_to_many(int fd, unsigned n) {
        for (unsigned i = 0; i < 2 * n; i++) {
                char ip[32];

                (void)snprintf(ip, sizeof(ip), "127.1.%u.%u", i / 2 / 250, i / 2 % 250 + 1);
                assert_int_equal(net_send_to(fd, "x", ip, 9), 0);
        }
}

/* The memory of conversations forgets the oldest. Then their answers are strangers' calls. */
static void test_forgotten_conversation(void **state) {
        enum { FLOWS = 64, N = 4096 };
        static const TestPolicy policy = { .rules = { "allow out udp" } };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        Kernel *kernel = open_kernel(FLOWS, 0);
        uint64_t n_flows, max;
        NetAddress from;
        Subject *s;

        s = subject_attach(sandbox, kernel, "svc", 1, &policy);
        fd = own_socket("svc", SOCK_DGRAM);
        assert_int_equal(net_bind(fd, "0.0.0.0", 4000), 0);
        assert_int_equal(net_send_to(fd, "question", "127.0.0.1", 53), 0);
        net_expect_from(server, "question", &from);
        assert_int_equal(net_reply_to(server, "answer", &from), 0);
        net_expect(fd, "answer");
        assert_int_equal(stat_of(kernel, CGP_STAT_FLOWS_INSERTED), 1);

        talk_to_many(fd, N);
        assert_int_equal(stat_of(kernel, CGP_STAT_FLOWS_INSERTED), 1 + N);
        assert_int_equal(stat_of(kernel, CGP_STAT_FLOWS_REFUSED), 0);
        assert_int_equal(kernel->ops->flows_count(kernel, &n_flows, &max), 0);
        assert_int_equal(max, FLOWS);
        assert_true(n_flows <= FLOWS);
        assert_int_equal(net_reply_to(server, "late answer", &from), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_false(net_has_data(fd));

        /* A packet of its own opens it again. */
        assert_int_equal(net_send_to(fd, "question", "127.0.0.1", 53), 0);
        net_expect_from(server, "question", &from);
        assert_int_equal(stat_of(kernel, CGP_STAT_FLOWS_INSERTED), 2 + N);
        assert_int_equal(net_reply_to(server, "answer", &from), 0);
        net_expect(fd, "answer");
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_IN).blocked, 1);
        assert_int_equal(subject_counter(s, TEST_SLOT_RULE).packets, 4 + 2 * N);
        subject_detach(s);
        close_kernel(kernel);
}

typedef struct Records {
        uint64_t n;
        uint64_t total;
        uint64_t n_lost;
} Records;

static void on_record(void *userdata, const void *record, size_t size) {
        struct cgp_event event;
        Records *records = userdata;

        assert_int_equal(size, sizeof(event));
        memcpy(&event, record, sizeof(event));
        records->n++;
        records->total += event.total;
}

static void on_lost(void *userdata, uint64_t n) {
        ((Records *)userdata)->n_lost += n;
}

typedef struct Tally {
        uint32_t subject;
        uint64_t n_causes;
        uint64_t total;
        uint64_t reported;
} Tally;

static int add_denial(
        void *userdata, const struct cgp_denial_key *key, const struct cgp_denial *denial) {
        Tally *tally = userdata;

        if (tally->subject != 0 && key->subject != tally->subject)
                return 0;
        tally->n_causes++;
        tally->total += denial->total;
        tally->reported += denial->reported;
        return 0;
}

static Tally tally_of(Kernel *kernel, uint32_t subject) {
        Tally tally = { .subject = subject };

        assert_int_equal(kernel->ops->denials_each(kernel, add_denial, &tally), 0);
        return tally;
}

static void stay_on_one_cpu(void) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)sched_getcpu(), &set);
        assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* More than one CPU's buffer takes, and nobody drains it: events are lost and said to be, no count is. */
static void test_full_buffer(void **state) {
        enum { SUBJECTS = 16, CAUSES = 50, TIMES = 3 };
        static const TestPolicy policy = {};
        Subject *subjects[SUBJECTS];
        Kernel *kernel = open_kernel(0, 16384);
        KernelRing *ring = NULL;
        Records records = {};
        cpu_set_t all;
        uint64_t lost;

        assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
        stay_on_one_cpu();
        assert_int_equal(kernel_ring_new(kernel, on_record, on_lost, &records, &ring), 0);
        for (unsigned i = 0; i < SUBJECTS; i++) {
                _cleanup_close_ int fd = -EBADF;
                char name[16];

                (void)snprintf(name, sizeof(name), "svc%u", i);
                subjects[i] = subject_attach(sandbox, kernel, name, i + 1, &policy);
                fd = own_socket(name, SOCK_DGRAM);
                for (unsigned k = 0; k < CAUSES * TIMES; k++)
                        assert_int_equal(
                                net_send_to(fd, "x", "127.0.0.1", (uint16_t)(1000 + k % CAUSES)),
                                -EPERM);
        }
        lost = stat_of(kernel, CGP_STAT_EVENTS_LOST);
        assert_true(lost > 0);
        assert_int_equal(stat_of(kernel, CGP_STAT_UNITEMISED), 0);
        assert_true(kernel_ring_drain(ring) > 0);
        /* What was put into the buffer came out of it, and is what the causes say was told. */
        assert_int_equal(tally_of(kernel, 0).reported, records.total);
        for (unsigned i = 0; i < SUBJECTS; i++) {
                Tally tally = tally_of(kernel, i + 1);

                assert_int_equal(subject_counter(subjects[i], TEST_SLOT_DEFAULT_OUT).blocked,
                        CAUSES * TIMES);
                assert_int_equal(tally.n_causes, CAUSES);
                assert_int_equal(tally.total, CAUSES * TIMES);
        }
        assert_true(records.n < SUBJECTS * CAUSES);

        /* Drained, it takes events again, and the kernel says itself how many it had no room for. */
        {
                _cleanup_close_ int fd = own_socket("svc0", SOCK_DGRAM);
                uint64_t n = records.n;

                for (unsigned k = 0; k < CGP_EVENT_BURST; k++)
                        (void)net_send_to(fd, "x", "127.0.0.1", (uint16_t)(5000 + k));
                assert_true(kernel_ring_drain(ring) > 0);
                assert_true(records.n > n);
                assert_true(records.n_lost >= lost);
        }
        kernel_ring_free(ring);
        for (unsigned i = 0; i < SUBJECTS; i++)
                subject_detach(subjects[i]);
        assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
        close_kernel(kernel);
}

/* The packets that the IP layer of this namespace has sent: a super-packet is one. */
static uint64_t ip_packets_sent(void) {
        _cleanup_fclose_ FILE *file = fopen("/proc/thread-self/net/snmp", "re");
        uint64_t n = 0;

        assert_non_null(file);
        if (fscanf(file, "Ip:%*[^\n]\nIp: %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &n) != 1)
                fail_msg("no counters of the IP layer");
        return n;
}

/* Sends all of it while the other end reads. */
static void send_all(int fd, int peer, size_t size) {
        static char buffer[65536];
        size_t n_sent = 0, n_received = 0;

        while (n_received < size) {
                ssize_t n;

                if (n_sent < size) {
                        n = send(fd, buffer, MIN(sizeof(buffer), size - n_sent), MSG_NOSIGNAL);
                        assert_true(n > 0 || errno == EAGAIN);
                        n_sent += n > 0 ? (size_t)n : 0;
                }
                n = recv(peer, buffer, sizeof(buffer), 0);
                assert_true(n > 0 || errno == EAGAIN);
                n_received += n > 0 ? (size_t)n : 0;
        }
}

/* A packet that is cut behind the hook counts as what it will be cut into. */
static void test_super_packets(void **state) {
        enum { MSS = 1000, SIZE = 1000 * MSS };
        static const TestPolicy policy = { .rules = { "allow out tcp/443", "allow in tcp/80" } };
        Kernel *kernel = open_kernel(0, 0);
        Subject *s = subject_attach(sandbox, kernel, "svc", 1, &policy);

        for (unsigned is_server = 0; is_server < 2; is_server++) {
                _cleanup_close_ int listener = -EBADF, fd = -EBADF, peer = -EBADF;
                uint16_t port = is_server ? 80 : 443;
                struct cgp_counter counter;
                uint64_t before;
                int mss = MSS;

                listener = is_server ? own_socket("svc", SOCK_STREAM) : net_tcp(AF_INET);
                assert_int_equal(net_bind(listener, "127.0.0.1", port), 0);
                assert_int_equal(listen(listener, 1), 0);
                fd = is_server ? net_tcp(AF_INET) : own_socket("svc", SOCK_STREAM);
                assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)), 0);
                assert_int_equal(net_connected_pair(fd, listener, "127.0.0.1", port, &peer), 0);
                before = ip_packets_sent();
                send_all(fd, peer, SIZE);
                counter = subject_counter(s, TEST_SLOT_RULE + is_server);
                assert_true(ip_packets_sent() - before < SIZE / MSS); /* or it proves nothing */
                assert_true(counter.packets >= SIZE / MSS);
                assert_true(counter.bytes >= SIZE);
                assert_int_equal(counter.blocked, 0);
        }
        subject_detach(s);
        close_kernel(kernel);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forgotten_conversation),
                cmocka_unit_test(test_full_buffer),
                cmocka_unit_test(test_super_packets),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
