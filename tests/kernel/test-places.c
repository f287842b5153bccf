/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a conversation is: rules with `via`, `lan`, `internet` and `broadcast` over real interfaces. The sandbox
 * stands for the host and has two links, `cgpwan` and `cgplan`, to one other namespace; what they are called in
 * rules is what each test writes into the map of interfaces, as the daemon does.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "far.h"
#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define WAN_HERE  "10.81.0.1"
#define WAN_THERE "10.81.0.2"
#define LAN_HERE  "10.82.0.1"
#define LAN_THERE "10.82.0.2"
#define INTERNET  "8.8.8.8" /* an address of the other namespace's loopback, behind cgpwan */

static Sandbox *sandbox;
static Kernel *kernel;
static Far far;

static const TestPolicy open_policy = { .in = POLICY_DEFAULT_ALLOW, .out = POLICY_DEFAULT_ALLOW };

static const TestInterface both[] = {
        { .name = "cgpwan", .names = { "wan" } },
        { .name = "cgplan", .names = { "lan0" } },
        { .name = "lo" },
};

static Subject *attach(const TestPolicy *policy) {
        static uint32_t number;

        return subject_attach(sandbox, kernel, "svc", ++number, policy);
}

static int own_udp(const Subject *s) {
        int fd = subject_socket(s, AF_INET, SOCK_DGRAM, 0);

        assert_true(fd >= 0);
        return fd;
}

static int own_listener(const Subject *s, uint16_t port) {
        int fd = subject_socket(s, AF_INET, SOCK_STREAM, 0);

        assert_true(fd >= 0);
        assert_int_equal(net_bind(fd, "0.0.0.0", port), 0);
        assert_int_equal(listen(fd, 16), 0);
        return fd;
}

static uint64_t blocked(const Subject *s, unsigned slot) {
        return subject_counter(s, slot).blocked;
}

static void test_allow_out_via(void **state) {
        static const TestPolicy policy = { .rules = { "allow out via wan" } };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53), fd = -EBADF;
        _cleanup_close_ int listener = far_listener(&far, "0.0.0.0", 443), good = -EBADF;
        _cleanup_close_ int bad = -EBADF, peer = -EBADF;
        Subject *s = attach(&policy);
        NetAddress from;

        fd = own_udp(s);
        assert_int_equal(net_send_to(fd, "by wan", WAN_THERE, 53), 0);
        net_expect_from(server, "by wan", &from);
        assert_int_equal(net_reply_to(server, "answer", &from), 0);
        net_expect(fd, "answer");
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 0);
        assert_int_equal(net_send_to(fd, "by lan", LAN_THERE, 53), -EPERM);
        assert_int_equal(net_send_to(fd, "by lo", "127.0.0.1", 53), -EPERM);
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 2);
        assert_false(net_has_data(server));

        /* A connect() cannot know yet, so it waits, and nothing leaves. */
        good = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        bad = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(net_connected_pair(good, listener, WAN_THERE, 443, &peer), 0);
        assert_int_equal(net_connect(bad, LAN_THERE, 443), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_OUT, 3);
        assert_true(net_is_connecting(bad));
        subject_detach(s);
}

static void test_deny_out_via(void **state) {
        static const char *const rules[] = { "deny out via lan0", "never out via lan0" };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53);

        for (unsigned i = 0; i < ELEMENTSOF(rules); i++) {
                TestPolicy policy = open_policy;
                _cleanup_close_ int fd = -EBADF;
                Subject *s;

                policy.rules[0] = rules[i];
                policy.rules[1] = "allow out to " LAN_THERE; /* narrower than the deny */
                s = attach(&policy);
                fd = own_udp(s);
                assert_int_equal(net_send_to(fd, "by wan", WAN_THERE, 53), 0);
                net_expect(server, "by wan");
                assert_int_equal(net_send_to(fd, "by lan", LAN_THERE, 53), i == 0 ? 0 : -EPERM);
                if (i == 0)
                        net_expect(server, "by lan");
                assert_int_equal(net_send_to(fd, "x", "10.82.0.77", 53), -EPERM);
                assert_int_equal(blocked(s, TEST_SLOT_RULE), i + 1);
                subject_detach(s);
        }
}

static void test_in_via(void **state) {
        static const TestPolicy policy = {
                .rules = { "allow in tcp/80 via lan0", "allow in udp/53 via lan0" },
        };
        _cleanup_close_ int listener = -EBADF, udp = -EBADF, child = -EBADF;
        _cleanup_close_ int good = far_socket(&far, AF_INET, SOCK_STREAM, 0);
        _cleanup_close_ int bad = far_socket(&far, AF_INET, SOCK_STREAM, 0);
        _cleanup_close_ int client = far_socket(&far, AF_INET, SOCK_DGRAM, 0);
        Subject *s = attach(&policy);
        NetAddress from;

        listener = own_listener(s, 80);
        udp = own_udp(s);
        assert_int_equal(net_bind(udp, "0.0.0.0", 53), 0);
        assert_int_equal(net_connected_pair(good, listener, LAN_HERE, 80, &child), 0);
        assert_int_equal(net_send(child, "greeting"), 0);
        net_expect(good, "greeting");
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_IN), 0);
        assert_int_equal(net_connect(bad, WAN_HERE, 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_true(net_is_connecting(bad));
        assert_int_equal(net_send_to(client, "x", WAN_HERE, 53), 0);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 2);
        assert_int_equal(net_send_to(client, "question", LAN_HERE, 53), 0);
        net_expect_from(udp, "question", &from);
        assert_int_equal(net_reply_to(udp, "answer", &from), 0);
        net_expect(client, "answer");
        assert_false(net_has_data(udp));
        subject_detach(s);
}

/* What no interface would let pass is refused in the call. */
static void test_undecided_at_connect(void **state) {
        static const TestPolicy policy = {
                .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny out tcp/25 via wan", "deny out tcp/25 via lan0",
                        "deny out tcp/26 via wan", "deny out tcp/26 via lan0", "deny out tcp/26" },
        };
        _cleanup_close_ int one = -EBADF, all = -EBADF, udp = -EBADF;
        Subject *s = attach(&policy);

        /* There are interfaces without a name: 25 could go there. */
        one = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        all = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(net_connect(one, WAN_THERE, 25), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_RULE + 0, 1);
        assert_int_equal(net_connect(all, WAN_THERE, 26), -EPERM);
        assert_int_equal(blocked(s, TEST_SLOT_RULE + 4), 1);
        /* A connected UDP socket sends nothing yet; what it sends then is judged. */
        subject_publish(s, &(TestPolicy){ .rules = { "allow out via wan" } });
        subject_clear(s);
        udp = own_udp(s);
        assert_int_equal(net_connect(udp, LAN_THERE, 53), 0);
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 0);
        assert_int_equal(net_send(udp, "x"), -EPERM);
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 1);
        subject_detach(s);
}

/* A socket that is bound to an interface has decided. */
static void test_bound_to_an_interface(void **state) {
        static const TestPolicy policy = { .rules = { "allow out via wan" } };
        _cleanup_close_ int listener = far_listener(&far, "0.0.0.0", 443), peer = -EBADF;
        _cleanup_close_ int wan = -EBADF, lan = -EBADF, udp = -EBADF;
        Subject *s = attach(&policy);

        wan = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        lan = subject_socket(s, AF_INET, SOCK_STREAM, 0);
        udp = own_udp(s);
        assert_int_equal(setsockopt(wan, SOL_SOCKET, SO_BINDTODEVICE, "cgpwan", 7), 0);
        assert_int_equal(setsockopt(lan, SOL_SOCKET, SO_BINDTODEVICE, "cgplan", 7), 0);
        assert_int_equal(setsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, "cgplan", 7), 0);
        assert_int_equal(net_connect(lan, LAN_THERE, 443), -EPERM);
        assert_int_equal(net_connect(lan, WAN_THERE, 443), -EPERM);
        assert_int_equal(net_send_to(udp, "x", LAN_THERE, 53), -EPERM);
        assert_int_equal(net_connect(udp, LAN_THERE, 53), -EPERM);
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 4);
        assert_int_equal(net_connected_pair(wan, listener, WAN_THERE, 443, &peer), 0);
        subject_detach(s);
}

/* Another name is another interface to the rules, from the publishing of that name on. */
static void test_renamed(void **state) {
        static const TestPolicy policy = { .rules = { "allow out via wan" } };
        static const TestInterface swapped[] = {
                { .name = "cgpold", .names = { "lan0" } },
                { .name = "cgplan", .names = { "wan" } },
                { .name = "lo" },
        };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_udp(s);
        assert_int_equal(net_send_to(fd, "before", WAN_THERE, 53), 0);
        net_expect(server, "before");
        far_ip_here("link set cgpwan down\nlink set cgpwan name cgpold\nlink set cgpold up\n");
        /* The same set of names: the numbers of places stay, and the map alone says who has which. */
        test_host_set_interfaces(kernel, swapped, ELEMENTSOF(swapped));
        assert_int_equal(net_send_to(fd, "x", WAN_THERE, 53), -EPERM);
        assert_int_equal(net_send_to(fd, "after", LAN_THERE, 53), 0);
        net_expect(server, "after");
        subject_detach(s);
        far_ip_here("link set cgpold down\nlink set cgpold name cgpwan\nlink set cgpwan up\n");
}

/* New names number the places anew. Until a policy is published again it knows none of them: closed. */
static void test_numbered_anew(void **state) {
        static const TestPolicy policy = { .rules = { "allow out via wan" } };
        static const TestInterface more[] = {
                { .name = "cgpwan", .names = { "outside", "wan" } },
                { .name = "cgplan", .names = { "inside", "lan0" } },
                { .name = "lo" },
        };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53), fd = -EBADF;
        Subject *s = attach(&policy);

        fd = own_udp(s);
        test_host_set_interfaces(kernel, more, ELEMENTSOF(more));
        assert_int_equal(net_send_to(fd, "x", WAN_THERE, 53), -EPERM);
        subject_publish(s, &policy);
        assert_int_equal(net_send_to(fd, "again", WAN_THERE, 53), 0);
        net_expect(server, "again");
        assert_int_equal(net_send_to(fd, "x", LAN_THERE, 53), -EPERM);
        subject_detach(s);
}

/* One of that name, but not the one that was there: a stranger until the map has it. */
static void test_created_again(void **state) {
        static const TestPolicy allow = { .rules = { "allow out via tmp" } };
        static const TestPolicy deny = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "deny out via wan" } };
        static const TestInterface three[] = {
                { .name = "cgpwan", .names = { "wan" } },
                { .name = "cgptmp", .names = { "tmp" } },
                { .name = "lo" },
        };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53), fd = -EBADF;
        unsigned index;
        Subject *s;

        far_link(&far, "cgptmp", "10.83.0.1/24", "10.83.0.2/24");
        index = if_nametoindex("cgptmp");
        test_host_set_interfaces(kernel, three, ELEMENTSOF(three));
        s = attach(&allow);
        fd = own_udp(s);
        assert_int_equal(net_send_to(fd, "first", "10.83.0.2", 53), 0);
        net_expect(server, "first");

        far_ip_here("link del cgptmp\n");
        far_link(&far, "cgptmp", "10.83.0.1/24", "10.83.0.2/24");
        assert_int_not_equal(if_nametoindex("cgptmp"), index);
        assert_int_equal(net_send_to(fd, "x", "10.83.0.2", 53), -EPERM);
        subject_publish(s, &deny); /* what it does not know it may be */
        assert_int_equal(net_send_to(fd, "x", "10.83.0.2", 53), -EPERM);
        assert_int_equal(blocked(s, TEST_SLOT_RULE), 1);
        test_host_set_interfaces(kernel, three, ELEMENTSOF(three));
        assert_int_equal(net_send_to(fd, "now known", "10.83.0.2", 53), 0);
        net_expect(server, "now known");
        subject_publish(s, &allow);
        assert_int_equal(net_send_to(fd, "second", "10.83.0.2", 53), 0);
        net_expect(server, "second");
        subject_detach(s);
        far_ip_here("link del cgptmp\n");
}

/* In a service's own network namespace nothing has the host's names or networks, whatever it is called there: what
 * they would allow is not, what they would refuse is. Says which step went wrong. */
static int use_own_namespace(bool passes) {
        int server, fd, status = 0;

        if (unshare(CLONE_NEWNET) < 0)
                return 1;
        far_ip_here("link set lo up\nlink add name cgpwan type veth peer name cgplan\n"
                    "addr add " WAN_HERE "/24 dev lo\n");
        server = net_udp_bound("0.0.0.0", 53);
        sandbox_enter(sandbox, "svc");
        fd = net_udp(AF_INET);
        if (net_send_to(fd, "x", WAN_HERE, 53) != (passes ? 0 : -EPERM))
                status = 2;
        else if (passes)
                net_expect(server, "x");
        else if (net_has_data(server))
                status = 3;
        return status;
}

static void test_own_namespace(void **state) {
        static const char *const lan[] = { "10.81.0.0/16", NULL };
        static const struct {
                PolicyDefault rest;
                const char *rule;
                bool passes;
        } cases[] = {
                { POLICY_DEFAULT_DENY, "allow out via wan", false },
                { POLICY_DEFAULT_DENY, "allow out via lo", false },
                { POLICY_DEFAULT_ALLOW, "deny out via wan", false },
                { POLICY_DEFAULT_ALLOW, "deny out via lo", false },
                { POLICY_DEFAULT_ALLOW, "deny in via wan", true },
                { POLICY_DEFAULT_DENY, "allow out to lan", false },
                { POLICY_DEFAULT_ALLOW, "deny out to lan", false },
                { POLICY_DEFAULT_DENY, "allow out to " WAN_HERE, true },
        };
        static const TestInterface named[] = {
                { .name = "cgpwan", .names = { "wan" } },
                { .name = "lo", .names = { "lo" } },
        };

        test_host_set_lan(lan);
        test_host_set_interfaces(kernel, named, ELEMENTSOF(named));
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                TestPolicy policy = { .in = POLICY_DEFAULT_ALLOW, .out = cases[i].rest };
                Subject *s;
                int status;
                pid_t pid;

                policy.rules[0] = cases[i].rule;
                s = attach(&policy);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        _exit(use_own_namespace(cases[i].passes));
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (status != 0)
                        fail_msg("%s: %x", cases[i].rule, (unsigned)status);
                subject_detach(s);
        }
}

/* `lan` is the networks of the host, `internet` what is global and none of those. */
static void test_lan_and_internet(void **state) {
        static const char *const home[] = { "10.82.0.0/24", NULL };
        static const char *const odd[] = { "8.8.8.0/24", "10.82.0.0/24", NULL };
        static const TestPolicy lan = { .rules = { "allow out udp/53 to lan" } };
        static const TestPolicy internet = { .rules = { "allow out udp/53 to internet" } };
        static const TestPolicy never_lan = { .in = POLICY_DEFAULT_ALLOW,
                .out = POLICY_DEFAULT_ALLOW,
                .rules = { "never out to lan" } };
        const struct {
                const TestPolicy *policy;
                const char *const *networks;
                int to_wan, to_lan, to_internet;
        } cases[] = {
                { &lan, home, -EPERM, 0, -EPERM },
                { &internet, home, -EPERM, -EPERM, 0 },
                { &never_lan, home, 0, -EPERM, 0 },
                { &lan, odd, -EPERM, 0, 0 },
                { &internet, odd, -EPERM, -EPERM, -EPERM },
        };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 53);

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = -EBADF;
                Subject *s;

                test_host_set_lan(cases[i].networks);
                s = attach(cases[i].policy);
                fd = own_udp(s);
                assert_int_equal(net_send_to(fd, "wan", WAN_THERE, 53), cases[i].to_wan);
                if (cases[i].to_wan == 0)
                        net_expect(server, "wan");
                assert_int_equal(net_send_to(fd, "lan", LAN_THERE, 53), cases[i].to_lan);
                if (cases[i].to_lan == 0)
                        net_expect(server, "lan");
                assert_int_equal(net_send_to(fd, "far", INTERNET, 53), cases[i].to_internet);
                if (cases[i].to_internet == 0)
                        net_expect(server, "far");
                assert_false(net_has_data(server));
                subject_detach(s);
        }
}

static void test_in_from_lan(void **state) {
        static const char *const networks[] = { "10.82.0.0/24", NULL };
        static const TestPolicy policy = {
                .rules = { "allow in tcp/80 from lan", "allow in tcp/81 from internet" },
        };
        _cleanup_close_ int one = -EBADF, two = -EBADF, child = -EBADF, other_child = -EBADF;
        _cleanup_close_ int lan = far_socket(&far, AF_INET, SOCK_STREAM, 0);
        _cleanup_close_ int wan = far_socket(&far, AF_INET, SOCK_STREAM, 0);
        _cleanup_close_ int internet = far_socket(&far, AF_INET, SOCK_STREAM, 0);
        Subject *s;

        test_host_set_lan(networks);
        s = attach(&policy);
        one = own_listener(s, 80);
        two = own_listener(s, 81);
        assert_int_equal(net_connected_pair(lan, one, LAN_HERE, 80, &child), 0);
        assert_int_equal(net_bind(internet, INTERNET, 0), 0);
        assert_int_equal(net_connected_pair(internet, two, WAN_HERE, 81, &other_child), 0);
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_IN), 0);
        assert_int_equal(net_connect(wan, WAN_HERE, 80), -EINPROGRESS);
        subject_wait_blocked(s, TEST_SLOT_DEFAULT_IN, 1);
        assert_true(net_is_connecting(wan));
        subject_detach(s);
}

/* Going out, a broadcast address is one that the host has. */
static void test_broadcast_out(void **state) {
        static const char *const addresses[] = { "10.82.0.255", NULL };
        static const TestPolicy policy = { .rules = { "allow out udp/67 to broadcast" } };
        static const struct {
                const char *to;
                int result;
        } cases[] = {
                { "10.82.0.255", 0 },
                { "255.255.255.255", 0 },
                { "10.81.0.255", -EPERM }, /* one as well, but nobody has said so */
                { LAN_THERE, -EPERM },
        };
        _cleanup_close_ int server = far_udp_bound(&far, "0.0.0.0", 67), fd = -EBADF;
        Subject *s;

        test_host_set_broadcast(addresses);
        s = attach(&policy);
        fd = own_udp(s);
        net_set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                /* Where the routes do not say, the socket does. */
                const char *device = i == 1 ? "cgplan" : "";

                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
                                         (socklen_t)strlen(device) + 1),
                        0);
                assert_int_equal(net_send_to(fd, "discover", cases[i].to, 67), cases[i].result);
                if (cases[i].result == 0)
                        net_expect(server, "discover");
        }
        assert_int_equal(blocked(s, TEST_SLOT_DEFAULT_OUT), 2);
        subject_detach(s);
}

static int set_up(void **state) {
        kernel = test_kernel(sandbox);
        far = far_open();
        far_link(&far, "cgpwan", WAN_HERE "/24", WAN_THERE "/24");
        far_link(&far, "cgplan", LAN_HERE "/24", LAN_THERE "/24");
        far_ip_there(&far, "addr add " INTERNET "/32 dev lo\n");
        far_ip_here("route add default via " WAN_THERE "\n");
        return 0;
}

static int tear_down(void **state) {
        test_host_reset();
        far_close(&far);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel = kernel_close(kernel);
        return 0;
}

/* Each begins with the host as it stands. */
static int set_up_host(void **state) {
        test_host_reset();
        test_host_set_interfaces(kernel, both, ELEMENTSOF(both));
        return 0;
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_allow_out_via, set_up_host),
                cmocka_unit_test_setup(test_deny_out_via, set_up_host),
                cmocka_unit_test_setup(test_in_via, set_up_host),
                cmocka_unit_test_setup(test_undecided_at_connect, set_up_host),
                cmocka_unit_test_setup(test_bound_to_an_interface, set_up_host),
                cmocka_unit_test_setup(test_numbered_anew, set_up_host),
                cmocka_unit_test_setup(test_created_again, set_up_host),
                cmocka_unit_test_setup(test_own_namespace, set_up_host),
                cmocka_unit_test_setup(test_lan_and_internet, set_up_host),
                cmocka_unit_test_setup(test_in_from_lan, set_up_host),
                cmocka_unit_test_setup(test_broadcast_out, set_up_host),
                cmocka_unit_test_setup(test_renamed, set_up_host), /* last: routes are gone */
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void) {
        return sandbox_run(test);
}
