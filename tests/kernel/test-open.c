/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of conversations that are open when the policy changes: each packet is judged by the policy in
 * force, under the direction of whoever opened. Every case stands for TCP and UDP, opened by the service and by its
 * peer.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "far.h"
#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* The service is 127.0.0.1 and its ports are 80; the peer is 127.0.0.2 and its ports are 443. So that a rule of one
 * direction never fits the other by its port. */
#define OWN_IP    "127.0.0.1"
#define PEER_IP   "127.0.0.2"
#define OWN_PORT  80
#define PEER_PORT 443

static Sandbox *sandbox;
static Kernel *kernel;

static const TestPolicy open_policy = { .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW };
static const TestPolicy nothing = {};
static const TestPolicy only_in = { .rules = { "allow in tcp/80", "allow in udp/80" } };
static const TestPolicy only_out = { .rules = { "allow out tcp/443", "allow out udp/443" } };

/* One open conversation: the service's end, and the peer's. */
typedef struct Conversation {
        int type;
        bool is_in; /* the peer opened it */
        int own;
        int peer;
        int listener;
} Conversation;

static const struct {
        const char *name;
        int type;
        bool is_in;
} kinds[] = {
        { "tcp out", SOCK_STREAM, false },
        { "tcp in", SOCK_STREAM, true },
        { "udp out", SOCK_DGRAM, false },
        { "udp in", SOCK_DGRAM, true },
};

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

/* In the cgroup, whoever is attached to it or not. */
static int own_socket(int type) {
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(AF_INET, type, 0);
        sandbox_leave(sandbox);
        assert_true(fd >= 0);
        return fd;
}

static void say(const Conversation *c, bool to_peer, const char *text) {
        assert_int_equal(net_send(to_peer ? c->own : c->peer, text), 0);
        net_expect(to_peer ? c->peer : c->own, text);
}

static Conversation converse_stream(bool is_in) {
        Conversation c = { .type = SOCK_STREAM, .is_in = is_in, .listener = -EBADF };
        int *caller = is_in ? &c.peer : &c.own, *called = is_in ? &c.own : &c.peer;

        c.listener = is_in ? own_socket(SOCK_STREAM) : net_tcp(AF_INET);
        assert_int_equal(
                net_bind(c.listener, is_in ? OWN_IP : PEER_IP, is_in ? OWN_PORT : PEER_PORT), 0);
        assert_int_equal(listen(c.listener, 4), 0);
        *caller = is_in ? net_tcp(AF_INET) : own_socket(SOCK_STREAM);
        assert_int_equal(
                net_bind(*caller, is_in ? PEER_IP : OWN_IP, is_in ? PEER_PORT : OWN_PORT), 0);
        assert_int_equal(net_connected_pair(*caller, c.listener, is_in ? OWN_IP : PEER_IP,
                                 is_in ? OWN_PORT : PEER_PORT, called),
                0);
        return c;
}

static Conversation converse_datagram(bool is_in) {
        Conversation c = { .type = SOCK_DGRAM, .is_in = is_in, .listener = -EBADF };

        c.own = own_socket(SOCK_DGRAM);
        c.peer = net_udp(AF_INET);
        assert_int_equal(net_bind(c.own, OWN_IP, OWN_PORT), 0);
        assert_int_equal(net_bind(c.peer, PEER_IP, PEER_PORT), 0);
        /* Who is called is connected by hearing: a connect() of ours would need an `out` rule. */
        assert_int_equal(net_connect(c.peer, OWN_IP, OWN_PORT), 0);
        if (is_in)
                say(&c, false, "hello");
        assert_int_equal(net_connect(c.own, PEER_IP, PEER_PORT), 0);
        if (!is_in)
                say(&c, true, "hello");
        return c;
}

/* Begun, and with something said both ways. */
static Conversation converse(unsigned kind) {
        Conversation c = kinds[kind].type == SOCK_STREAM ? converse_stream(kinds[kind].is_in)
                                                         : converse_datagram(kinds[kind].is_in);

        say(&c, true, "question");
        say(&c, false, "answer");
        return c;
}

static void hang_up(Conversation *c) {
        struct linger now = { .l_onoff = 1 };

        /* By a reset, or the port would be taken for the next one. */
        if (c->type == SOCK_STREAM) {
                assert_int_equal(setsockopt(c->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
                assert_int_equal(setsockopt(c->own, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        }
        net_close(&c->own);
        net_close(&c->peer);
        net_close(&c->listener);
}

/* Nothing passes, neither way, and each try is counted in this slot. */
static void expect_closed(const Conversation *c, const Subject *s, unsigned slot) {
        uint64_t before = subject_counter(s, slot).blocked;

        assert_int_equal(net_send(c->peer, "lost in"), 0);
        subject_wait_blocked(s, slot, before + 1);
        assert_false(net_has_data(c->own));
        before = subject_counter(s, slot).blocked;
        /* The packet hook refuses a datagram with an errno; what TCP has taken is not sent. */
        assert_int_equal(net_send(c->own, "lost out"), c->type == SOCK_DGRAM ? -EPERM : 0);
        subject_wait_blocked(s, slot, before + 1);
        assert_false(net_has_data(c->peer));
}

/* TCP repeats what was lost, so it comes now; a datagram is gone. */
static void expect_open(const Conversation *c) {
        if (c->type == SOCK_STREAM) {
                net_expect(c->own, "lost in");
                net_expect(c->peer, "lost out");
        }
        say(c, true, "on");
        say(c, false, "and on");
}

static unsigned default_slot(const Conversation *c) {
        return c->is_in ? TEST_SLOT_DEFAULT_IN : TEST_SLOT_DEFAULT_OUT;
}

static void test_tightened_and_loosened(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                const TestPolicy *allowing = kinds[i].is_in ? &only_in : &only_out;
                const TestPolicy *other = kinds[i].is_in ? &only_out : &only_in;
                Subject *s = attach(allowing);
                Conversation c = converse(i);

                subject_publish(s, &nothing);
                expect_closed(&c, s, default_slot(&c));
                subject_publish(s, allowing);
                expect_open(&c);
                /* What the other direction may has nothing to do with it. */
                subject_publish(s, other);
                expect_closed(&c, s, default_slot(&c));
                subject_publish(s, &open_policy);
                expect_open(&c);
                hang_up(&c);
                subject_detach(s);
        }
}

/* Also what was opened when nothing was looked at: an open policy, or mode off. */
static void test_opened_under_an_open_policy(void **state) {
        static const TestPolicy off = { .mode = POLICY_MODE_OFF };
        const TestPolicy *const beginnings[] = { &open_policy, &off };

        for (unsigned k = 0; k < ELEMENTSOF(beginnings); k++)
                for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                        Conversation c;
                        Subject *s;

                        if (kinds[i].type == SOCK_DGRAM)
                                continue; /* see test_datagrams_of_an_open_policy */
                        s = attach(beginnings[k]);
                        c = converse(i);
                        subject_publish(s, kinds[i].is_in ? &only_out : &only_in);
                        expect_closed(&c, s, default_slot(&c));
                        subject_publish(s, kinds[i].is_in ? &only_in : &only_out);
                        expect_open(&c);
                        hang_up(&c);
                        subject_detach(s);
                }
}

/* Where both directions are open nobody notes who sent the first datagram: the next one opens. */
static void test_datagrams_of_an_open_policy(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                Subject *s;
                Conversation c;

                if (kinds[i].type != SOCK_DGRAM)
                        continue;
                s = attach(&open_policy);
                c = converse(i);
                subject_publish(s, &only_out);
                subject_clear(s);
                assert_int_equal(net_send(c.peer, "comes first"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_false(net_has_data(c.own));
                say(&c, true, "goes first");
                say(&c, false, "and is answered");
                hang_up(&c);
                subject_detach(s);
        }
}

/* A `never` of the direction that nobody opened drops as well. */
static void test_never_of_the_other_direction(void **state) {
        static const TestPolicy never_in = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never in any from " PEER_IP } };
        static const TestPolicy never_out = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never out any to " PEER_IP } };
        static const TestPolicy deny_in = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny in any from " PEER_IP } };
        static const TestPolicy deny_out = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny out any to " PEER_IP } };

        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                Subject *s = attach(kinds[i].is_in ? &only_in : &only_out);
                Conversation c = converse(i);

                /* A mere deny does not. */
                subject_publish(s, kinds[i].is_in ? &deny_out : &deny_in);
                subject_clear(s);
                say(&c, true, "still");
                say(&c, false, "here");
                assert_int_equal(subject_counter(s, TEST_SLOT_RULE).blocked, 0);
                subject_publish(s, kinds[i].is_in ? &never_out : &never_in);
                subject_clear(s);
                expect_closed(&c, s, TEST_SLOT_RULE);
                subject_publish(s, &open_policy);
                expect_open(&c);
                hang_up(&c);
                subject_detach(s);
        }
}

/* Nobody saw who opened: one direction that allows it is enough, none is not, and a `never` is a never. */
static void test_older_than_the_attachment(void **state) {
        static const TestPolicy neither = { .rules = { "allow tcp/81", "allow udp/81" } };
        static const TestPolicy never = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never in any from " PEER_IP } };

        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                _cleanup_close_ int cgroup_fd = -EBADF;
                Conversation c;
                uint64_t id;
                Subject *s;

                cgroup_fd = sandbox_cgroup(sandbox, "svc", &id);
                c = converse(i);
                s = attach(&only_in);
                say(&c, true, "by in");
                say(&c, false, "by in");
                subject_publish(s, &neither);
                subject_clear(s);
                assert_int_equal(net_send(c.peer, "lost in"), 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
                assert_int_equal(net_send(c.own, "lost out"), c.type == SOCK_DGRAM ? -EPERM : 0);
                subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 1);
                assert_false(net_has_data(c.own) || net_has_data(c.peer));
                subject_publish(s, &only_out);
                expect_open(&c);
                subject_publish(s, &never);
                subject_clear(s);
                expect_closed(&c, s, TEST_SLOT_RULE);
                hang_up(&c);
                subject_detach(s);
        }
}

/* An unconnected UDP socket that is older has no such benefit: what comes to it opens. */
static void test_older_and_unconnected(void **state) {
        _cleanup_close_ int peer = net_udp_bound(PEER_IP, PEER_PORT), cgroup_fd = -EBADF;
        _cleanup_close_ int own = -EBADF;
        uint64_t id;
        Subject *s;

        cgroup_fd = sandbox_cgroup(sandbox, "svc", &id);
        own = own_socket(SOCK_DGRAM);
        assert_int_equal(net_bind(own, OWN_IP, OWN_PORT), 0);
        assert_int_equal(net_send_to(own, "question", PEER_IP, PEER_PORT), 0);
        net_expect(peer, "question");
        s = attach(&only_out);
        assert_int_equal(net_send_to(peer, "answer", OWN_IP, OWN_PORT), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_int_equal(net_send_to(own, "again", PEER_IP, PEER_PORT), 0);
        net_expect(peer, "again");
        assert_int_equal(net_send_to(peer, "answer", OWN_IP, OWN_PORT), 0);
        net_expect(own, "answer");
        subject_detach(s);
}

/* The memory of a datagram conversation is of the subject, not of the image: who sent first is known after any
 * number of changes, and also while nothing was allowed. */
static void test_remembered_through_changes(void **state) {
        static const TestPolicy policies[] = {
                { .rules = { "allow in udp/80", "allow out udp/9" } },
                { .rules = { "allow in udp/80" }, .mode = POLICY_MODE_AUDIT },
                {},
                { .out = POLICY_DEFAULT_ALLOW },
                { .rules = { "allow in udp/80 from " PEER_IP } },
        };
        Subject *s = attach(&only_in);
        Conversation c = converse(3);

        for (unsigned i = 0; i < ELEMENTSOF(policies); i++) {
                bool allows = policies[i].rules[0];

                subject_publish(s, &policies[i]);
                subject_clear(s);
                if (allows) {
                        say(&c, true, "on");
                        say(&c, false, "and on");
                } else
                        expect_closed(&c, s, TEST_SLOT_DEFAULT_IN);
        }
        hang_up(&c);
        subject_detach(s);
}

static char *many_networks(const char *first) {
        enum { N = 8192 }; /* a short list would be in the image */
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);

        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", first) > 0);
        for (unsigned i = 0; i < N; i++)
                assert_true(fprintf(file, "10.%u.%u.0/25\n", i / 256, i % 256) > 0);
        assert_int_equal(fclose(file), 0);
        return text;
}

/* A list that lets go of the peer: long ones are asked of a set map, short ones stand in the image. */
static void check_changed_list(const TestList *before, const TestList *after) {
        static const TestPolicy in = { .rules = { "allow in from @friends" } };
        static const TestPolicy out = { .rules = { "allow out to @friends" } };

        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                const TestPolicy *policy = kinds[i].is_in ? &in : &out;
                uint32_t old_slot;
                Conversation c;
                Subject *s;

                test_host_set_lists(kernel, before, 1);
                old_slot = test_host()->set_slot;
                s = attach(policy);
                c = converse(i);
                test_host_set_lists(kernel, after, 1);
                assert_int_not_equal(test_host()->set_slot, old_slot);
                say(&c, true, "not published yet");
                subject_publish(s, policy);
                expect_closed(&c, s, default_slot(&c));
                test_host_set_lists(kernel, before, 1);
                assert_int_equal(test_host()->set_slot, old_slot);
                subject_publish(s, policy);
                expect_open(&c);
                hang_up(&c);
                subject_detach(s);
        }
        test_host_reset();
}

static void test_changed_list(void **state) {
        _cleanup_free_ char *with = many_networks(PEER_IP), *without = many_networks("127.0.0.9");
        TestList before = { .name = "friends", .text = with };
        TestList after = { .name = "friends", .text = without };

        check_changed_list(&before, &after);
}

static void test_changed_short_list(void **state) {
        static const TestList before = { .name = "friends", .networks = { PEER_IP } };
        static const TestList after = { .name = "friends", .networks = { "127.0.0.9" } };

        check_changed_list(&before, &after);
}

/* A network that is gone from the interfaces, and an interface that has another name. */
static void test_changed_place(void **state) {
        static const char *const home[] = { "127.0.0.2", NULL }, *const away[] = { NULL };
        static const TestInterface lo[] = { { .name = "lo", .names = { "lo" } } };
        static const TestInterface other[] = { { .name = "lo", .names = { "other" } } };
        static const TestPolicy lan[] = {
                { .rules = { "allow out to lan" } },
                { .rules = { "allow in from lan" } },
        };
        static const TestPolicy via[] = {
                { .rules = { "allow out via lo" } },
                { .rules = { "allow in via lo" } },
        };

        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                Conversation c;
                Subject *s;

                test_host_set_interfaces(kernel, lo, ELEMENTSOF(lo));
                test_host_set_lan(home);
                s = attach(&lan[kinds[i].is_in]);
                c = converse(i);
                test_host_set_lan(away);
                subject_publish(s, &lan[kinds[i].is_in]);
                expect_closed(&c, s, default_slot(&c));
                subject_publish(s, &via[kinds[i].is_in]);
                expect_open(&c);
                /* Numbered anew: closed before the policy is published again. */
                test_host_set_interfaces(kernel, other, ELEMENTSOF(other));
                expect_closed(&c, s, default_slot(&c));
                test_host_set_interfaces(kernel, lo, ELEMENTSOF(lo));
                subject_publish(s, &via[kinds[i].is_in]);
                expect_open(&c);
                hang_up(&c);
                subject_detach(s);
        }
        test_host_reset();
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
                cmocka_unit_test(test_tightened_and_loosened),
                cmocka_unit_test(test_opened_under_an_open_policy),
                cmocka_unit_test(test_datagrams_of_an_open_policy),
                cmocka_unit_test(test_never_of_the_other_direction),
                cmocka_unit_test(test_older_than_the_attachment),
                cmocka_unit_test(test_older_and_unconnected),
                cmocka_unit_test(test_remembered_through_changes),
                cmocka_unit_test(test_changed_list),
                cmocka_unit_test(test_changed_short_list),
                cmocka_unit_test(test_changed_place),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
