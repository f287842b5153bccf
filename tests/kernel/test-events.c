/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Denials as a reader sees them: what an event says, what is suppressed, and that no count is lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define RECORDS_MAX 1024U

static Sandbox *sandbox;
static Kernel *kernel;

/* What the ring handed over, in order. */
typedef struct Records {
        struct cgp_event events[RECORDS_MAX];
        unsigned n;
        uint64_t n_lost;
} Records;

static Records records;

static void on_record(void *userdata, const void *record, size_t size) {
        assert_ptr_equal(userdata, &records);
        assert_int_equal(size, sizeof(struct cgp_event));
        assert_true(records.n < RECORDS_MAX);
        memcpy(&records.events[records.n++], record, size);
}

static void on_lost(void *userdata, uint64_t n) {
        records.n_lost += n;
}

static KernelRing *listen_to_events(void) {
        KernelRing *ring = NULL;

        records = (Records){};
        assert_int_equal(kernel_ring_new(kernel, on_record, on_lost, &records, &ring), 0);
        return ring;
}

static void wait_wakeup(KernelRing *ring) {
        struct pollfd p = { .fd = kernel_ring_fd(ring), .events = POLLIN };

        assert_int_equal(poll(&p, 1, 20000), 1);
}

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

static int own_socket(int type) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(AF_INET, type, 0);
        sandbox_leave(sandbox);
        assert_true(fd >= 0);
        return fd;
}

static uint64_t stat_of(uint32_t stat) {
        uint64_t n;

        assert_int_equal(kernel->ops->stat_read(kernel, stat, &n), 0);
        return n;
}

typedef struct Tally {
        uint32_t subject;
        unsigned n_causes;
        uint64_t total;
        uint64_t reported;
        struct cgp_denial_key key; /* of the last */
        struct cgp_denial denial;
} Tally;

static int add_denial(
        void *userdata, const struct cgp_denial_key *key, const struct cgp_denial *denial) {
        Tally *tally = userdata;

        if (key->subject != tally->subject)
                return 0;
        tally->n_causes++;
        tally->total += denial->total;
        tally->reported += denial->reported;
        tally->key = *key;
        tally->denial = *denial;
        return 0;
}

static Tally tally_of(const Subject *s) {
        Tally tally = { .subject = s->number };

        assert_int_equal(kernel->ops->denials_each(kernel, add_denial, &tally), 0);
        return tally;
}

static void expect_address(const uint8_t address[16], const char *want) {
        char text[INET6_ADDRSTRLEN];

        assert_non_null(inet_ntop(AF_INET6, address, text, sizeof(text)));
        assert_string_equal(text, want);
}

static void test_refused_call(void **state) {
        static const TestPolicy policy = { .rules = { "deny out tcp/81" } };
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        _cleanup_close_ int fd = -EBADF;
        const struct cgp_event *e = records.events;
        Subject *s = attach(&policy);
        Tally tally;

        fd = own_socket(SOCK_STREAM);
        assert_int_equal(net_bind(fd, "127.0.0.3", 7000), 0);
        assert_int_equal(prctl(PR_SET_NAME, "refused-one"), 0);
        assert_int_equal(net_connect(fd, "127.0.0.2", 81), -EPERM);
        wait_wakeup(ring);
        assert_int_equal(kernel_ring_drain(ring), 1);
        assert_int_equal(e->version, CGP_ABI_VERSION);
        assert_int_equal(e->type, CGP_EVENT_DENIED);
        assert_int_equal(e->size, sizeof(*e));
        assert_int_equal(e->total, 1);
        assert_int_equal(e->epoch, e->time);
        assert_int_equal(e->generation, 1);
        assert_int_equal(e->subject, s->number);
        assert_int_equal(e->pid, getpid());
        assert_int_equal(e->uid, getuid());
        assert_string_equal(e->comm, "refused-one");
        expect_address(e->local, "::ffff:127.0.0.3");
        expect_address(e->remote, "::ffff:127.0.0.2");
        assert_int_equal(e->local_port, 7000);
        assert_int_equal(e->remote_port, 81);
        assert_int_equal(e->rule, CGP_RULE_FIRST);
        assert_int_equal(e->hook, CGP_HOOK_CONNECT4);
        assert_int_equal(e->direction, CGP_DIR_OUT);
        assert_int_equal(e->protocol, IPPROTO_TCP);

        tally = tally_of(s);
        assert_int_equal(tally.n_causes, 1);
        assert_int_equal(tally.total, 1);
        assert_int_equal(tally.reported, 1);
        assert_int_equal(tally.key.port, 81);
        assert_int_equal(tally.key.type, CGP_EVENT_DENIED);
        assert_int_equal(tally.denial.first.epoch, e->epoch);
        assert_memory_equal(tally.key.remote, e->remote, 16);
        assert_int_equal(kernel_ring_drain(ring), 0);
        subject_detach(s);
}

/* `current` is the sender here; the event must name who made the socket that it was for. */
static void test_dropped_packet_names_the_socket(void **state) {
        static const TestPolicy policy = { .rules = { "allow in udp/54" } };
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        _cleanup_close_ int fd = -EBADF;
        const struct cgp_event *e = records.events;
        Subject *s = attach(&policy);
        int status;
        pid_t pid;

        assert_int_equal(prctl(PR_SET_NAME, "maker"), 0);
        fd = own_socket(SOCK_DGRAM);
        assert_int_equal(net_bind(fd, "127.0.0.1", 53), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int sender = net_udp_bound("127.0.0.9", 4000);

                (void)prctl(PR_SET_NAME, "sender");
                _exit(net_send_to(sender, "x", "127.0.0.1", 53) < 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        wait_wakeup(ring);
        assert_int_equal(kernel_ring_drain(ring), 1);
        assert_int_equal(e->pid, getpid());
        assert_string_equal(e->comm, "maker");
        assert_int_equal(e->hook, CGP_HOOK_INGRESS);
        assert_int_equal(e->direction, CGP_DIR_IN);
        assert_int_equal(e->rule, CGP_RULE_DEFAULT_IN);
        assert_int_equal(e->ifindex, 1);
        expect_address(e->local, "::ffff:127.0.0.1");
        expect_address(e->remote, "::ffff:127.0.0.9");
        assert_int_equal(e->local_port, 53);
        assert_int_equal(e->remote_port, 4000);
        assert_int_equal(tally_of(s).key.port, 53);
        subject_detach(s);
}

static void test_one_cause_is_told_once_a_second(void **state) {
        static const TestPolicy policy = {};
        enum { N = 1000 };
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        Tally tally;

        fd = own_socket(SOCK_DGRAM);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 53), -EPERM);
        assert_true(kernel_ring_drain(ring) >= 1);
        assert_true(records.n < N / 10); /* one a second: a machine that needs 100 s is broken */
        tally = tally_of(s);
        assert_int_equal(tally.n_causes, 1);
        assert_int_equal(tally.total, N);
        assert_int_equal(tally.reported, records.events[records.n - 1].total);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).blocked, N);
        subject_detach(s);
}

static void test_many_causes_are_limited(void **state) {
        static const TestPolicy policy = {};
        enum { N = 300 };
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        _cleanup_close_ int fd = -EBADF;
        uint64_t lost = stat_of(CGP_STAT_EVENTS_LOST), span;
        Subject *s = attach(&policy);
        Tally tally;

        fd = own_socket(SOCK_DGRAM);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", (uint16_t)(1000 + i)), -EPERM);
        assert_true(kernel_ring_drain(ring) >= CGP_EVENT_BURST);
        span = records.events[records.n - 1].time - records.events[0].time;
        assert_true(records.n <= CGP_EVENT_BURST + 1 + span / NSEC_PER_SEC * CGP_EVENTS_PER_SECOND +
                        CGP_EVENTS_PER_SECOND);
        tally = tally_of(s);
        assert_int_equal(tally.n_causes, N);
        assert_int_equal(tally.total, N);
        assert_int_equal(tally.reported, records.n);
        assert_int_equal(stat_of(CGP_STAT_EVENTS_LOST), lost);
        assert_int_equal(records.n_lost, 0);
        subject_detach(s);
}

static void test_without_a_reader(void **state) {
        static const TestPolicy policy = {};
        enum { N = 100 };
        uint64_t lost = stat_of(CGP_STAT_EVENTS_LOST);
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        KernelRing *ring;
        Tally tally;

        fd = own_socket(SOCK_DGRAM);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 53), -EPERM);
        tally = tally_of(s);
        assert_int_equal(tally.total, N);
        assert_int_equal(tally.reported, 0);
        assert_int_equal(tally.denial.last_event, 0);
        assert_int_equal(stat_of(CGP_STAT_EVENTS_LOST), lost + N);

        /* What a reader then gets says how many there were. No token was spent on the lost ones. */
        ring = listen_to_events();
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 53), -EPERM);
        for (unsigned i = 1; i < CGP_EVENT_BURST; i++)
                assert_int_equal(net_send_to(fd, "x", "127.0.0.1", (uint16_t)(53 + i)), -EPERM);
        assert_true(kernel_ring_drain(ring) >= CGP_EVENT_BURST);
        assert_int_equal(records.events[0].total, N + 1);
        assert_int_equal(stat_of(CGP_STAT_EVENTS_LOST), lost + N);
        kernel_ring_free(ring);
        subject_detach(s);
}

/* A reader that dies without a word is gone all the same. */
static void test_killed_reader(void **state) {
        static const TestPolicy policy = {};
        uint64_t lost = stat_of(CGP_STAT_EVENTS_LOST);
        _cleanup_close_ int fd = -EBADF;
        Subject *s = attach(&policy);
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                KernelFailure failure;
                KernelConfig config = { .flows_max = 4096, .denials_max = 1024 };
                KernelRing *ring;
                Kernel *k;

                /* Its own handles, as another process would have them. */
                if (kernel_open(sandbox->bpffs_fd, &config, &failure, &k) < 0 ||
                        kernel_ring_new(k, on_record, on_lost, &records, &ring) < 0)
                        _exit(1);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        fd = own_socket(SOCK_DGRAM);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 53), -EPERM);
        assert_int_equal(stat_of(CGP_STAT_EVENTS_LOST), lost + 1);
        subject_detach(s);
}

static void test_one_reader(void **state) {
        KernelRing *ring = listen_to_events(), *second = NULL;

        assert_int_equal(kernel_ring_new(kernel, on_record, on_lost, &records, &second), -EBUSY);
        assert_null(second);
        kernel_ring_free(ring);
        ring = listen_to_events();
        kernel_ring_free(ring);
}

static void test_audit(void **state) {
        static const TestPolicy policy = { .mode = POLICY_MODE_AUDIT };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        Subject *s = attach(&policy);

        fd = own_socket(SOCK_DGRAM);
        assert_int_equal(net_send_to(fd, "passes", "127.0.0.1", 53), 0);
        net_expect(server, "passes");
        assert_true(kernel_ring_drain(ring) >= 1);
        for (unsigned i = 0; i < records.n; i++)
                assert_int_equal(records.events[i].type, CGP_EVENT_WOULD);
        /* Twice, for the call and for the packet: neither was let through in silence. */
        assert_int_equal(tally_of(s).total, 2);
        assert_int_equal(tally_of(s).key.type, CGP_EVENT_WOULD);
        assert_int_equal(subject_counter(s, TEST_SLOT_DEFAULT_OUT).would, 2);
        subject_detach(s);
}

static void test_off_is_silent(void **state) {
        static const TestPolicy policy = { .mode = POLICY_MODE_OFF };
        _cleanup_close_ int server = net_udp_bound("127.0.0.1", 53), fd = -EBADF;
        _cleanup_(kernel_ring_freep) KernelRing *ring = listen_to_events();
        Subject *s = attach(&policy);

        fd = own_socket(SOCK_DGRAM);
        assert_int_equal(net_send_to(fd, "passes", "127.0.0.1", 53), 0);
        net_expect(server, "passes");
        assert_int_equal(kernel_ring_drain(ring), 0);
        assert_int_equal(tally_of(s).n_causes, 0);
        subject_detach(s);
}

static void test_flushed_account(void **state) {
        struct cgp_denial_key key = { .subject = 4000, .rule = 17 };
        struct cgp_flushed in = { .epoch = 5, .total = 9 }, out;

        assert_int_equal(kernel->ops->flushed_read(kernel, &key, &out), -ENOENT);
        assert_int_equal(kernel->ops->flushed_write(kernel, &key, &in), 0);
        assert_int_equal(kernel->ops->flushed_read(kernel, &key, &out), 0);
        assert_memory_equal(&in, &out, sizeof(in));
}

static int set_up(void **state) {
        kernel = test_kernel(sandbox);
        return 0;
}

static int tear_down(void **state) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel = kernel_close(kernel);
        return 0;
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused_call),
                cmocka_unit_test(test_dropped_packet_names_the_socket),
                cmocka_unit_test(test_one_cause_is_told_once_a_second),
                cmocka_unit_test(test_many_causes_are_limited),
                cmocka_unit_test(test_without_a_reader),
                cmocka_unit_test(test_killed_reader),
                cmocka_unit_test(test_one_reader),
                cmocka_unit_test(test_audit),
                cmocka_unit_test(test_off_is_silent),
                cmocka_unit_test(test_flushed_account),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
