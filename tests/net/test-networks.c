/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which addresses and routes make the networks that are reached without a router, and the broadcast addresses. What
 * must not count is followed by something that does: when that is told, the other would have been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/macro.h"

#define VETH \
        "link add v0 index 10 type veth peer name v1 index 11\nlink set v0 up\nlink set v1 up\n"

static void test_addresses(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.2.3/24 dev v0\naddr add 10.9.0.1/16 dev v1\n");
        expect_networks(f, "10.1.2.0/24,10.9.0.0/16");
        ip("addr add fd00:1::1/64 dev v0 nodad\naddr add 192.0.2.7/32 dev v1\n");
        expect_networks(f, "10.1.2.0/24,10.9.0.0/16,192.0.2.7/32,fd00:1::/64");
        ip("addr del 10.1.2.3/24 dev v0\naddr del fd00:1::1/64 dev v0\n");
        expect_networks(f, "10.9.0.0/16,192.0.2.7/32");
        expect_current(f);
}

/* Neither to loopback, nor where there is no route for the address. */
static void test_addresses_without_route(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.8.0.1/24 dev lo\naddr add 10.1.2.3/24 dev v0 noprefixroute\n");
        expect_networks(f, "10.1.2.0/24");
        expect_current(f);
}

static void test_peers(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.0.0.1 peer 10.0.7.2/32 dev v0\n"
                "addr add fd00::1 peer fd00:7::2/128 dev v0 nodad\n");
        expect_networks(f, "10.0.0.1/32,10.0.7.2/32,fd00::1/128,fd00:7::2/128");
        /* IPv6 changes the peer in place. */
        ip("addr change fd00::1 peer fd00:8::2/128 dev v0 nodad\n");
        expect_networks(f, "10.0.0.1/32,10.0.7.2/32,fd00::1/128,fd00:8::2/128");
        expect_current(f);
}

static void test_interface_down(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.0.1/24 dev v0\nroute add 10.2.0.0/16 dev v0\n");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16");
        expect_broadcast(f, "10.1.0.255");
        ip("link set v0 down\n");
        expect_networks(f, "");
        expect_broadcast(f, "");
        /* The address comes back by itself; the route is lost, of which nothing was said. */
        ip("link set v0 up\n");
        expect_networks(f, "10.1.0.0/24");
        ip("route add 10.2.0.0/16 dev v0\n");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16");
        ip("link set v0 down\nlink set v0 up\nlink set v1 name marker\n");
        expect_interfaces(f, "10:v0,11:marker");
        expect_networks(f, "10.1.0.0/24");
        expect_current(f);
}

/* Down and up again before anybody looked: the interface is what it was, its routes are gone, and no message has said
 * so. The same with an address that is taken away and given back. */
static void test_back_before_looked_at(void **state) {
        Fixture *f = *state;

        ip(VETH "route add 10.2.0.0/16 dev v0\n");
        expect_networks(f, "10.2.0.0/16");
        ip("link set v0 down\nlink set v0 up\n");
        expect_networks(f, "");
        expect_current(f);

        ip("addr add 10.1.0.1/24 dev v0 noprefixroute\nroute add 10.2.0.0/16 dev v0\n");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16");
        ip("addr del 10.1.0.1/24 dev v0\naddr add 10.1.0.1/24 dev v0 noprefixroute\n");
        expect_networks(f, "10.1.0.0/24");
        expect_current(f);
}

/* A cable that is pulled changes nothing. */
static void test_carrier(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.0.1/24 dev v0\nroute add 10.2.0.0/16 dev v0\nlink set v1 down\n"
                "link set v1 name marker\n");
        expect_interfaces(f, "10:v0,11:marker");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16");
        expect_current(f);
}

static void test_routes(void **state) {
        Fixture *f = *state;

        ip(VETH "route add 10.2.0.0/16 dev v0\nroute add 192.0.2.1 dev v1\n"
                "route add fd00:2::/64 dev v0\nroute add fd00:3::1 dev v1\n");
        expect_networks(f, "10.2.0.0/16,192.0.2.1/32,fd00:2::/64,fd00:3::1/128");
        ip("route del 10.2.0.0/16\nroute del fd00:2::/64\n");
        expect_networks(f, "192.0.2.1/32,fd00:3::1/128");
        /* One goes, the other that leads there stays. */
        ip("route add 192.0.2.1 dev v0 metric 7\nroute del 192.0.2.1 dev v1\nroute del fd00:3::1\n");
        expect_networks(f, "192.0.2.1/32");
        expect_current(f);
}

static void test_routes_that_do_not_count(void **state) {
        static const char *const lines[] = {
                "route add 10.2.0.0/16 via 10.1.0.2\n",
                "route add 10.2.0.0/16 via inet6 fd00:1::2 dev v0\n",
                "route add fd00:2::/64 via fd00:1::2\n",
                "route add 10.2.0.0/16 nexthop via 10.1.0.2 nexthop dev v1\n",
                "route add default dev v0\n",
                "route add default dev v0 metric 9\nroute add ::/0 dev v0\n",
                "route add 0.0.0.0/1 dev v0\nroute add 128.0.0.0/1 dev v0\n",
                "route add 2000::/3 dev v0\nroute add 0::/1 dev v0\n",
                "route add ::/64 dev v0\n",
                "route add 224.0.0.0/4 dev v0\nroute add 239.1.0.0/16 dev v0\n",
                "route add ff05::/16 dev v0 table main\n",
                "route add 255.255.255.255 dev v0\n",
                "route add 10.2.0.0/16 dev lo\nroute add fd00:2::/64 dev lo\n",
                "route add 10.2.0.0/16 dev v0 table 100\n",
                "route add blackhole 10.2.0.0/16\nroute add unreachable fd00:2::/64\n",
                "route add broadcast 10.2.0.9 dev v0\nroute add local 10.2.0.8 dev v0\n",
                "nexthop add id 1 dev v0\nroute add 10.2.0.0/16 nhid 1\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                fixture_teardown(state);
                assert_int_equal(fixture_setup(state), 0);
                ip(VETH "addr add 10.1.0.1/24 dev v0\naddr add fd00:1::1/64 dev v0 nodad\n");
                ip(lines[i]);
                ip("route add 10.3.0.0/16 dev v0\n");
                expect_networks(*state, "10.1.0.0/24,10.3.0.0/16,fd00:1::/64");
                expect_current(*state);
        }
}

static void test_multipath_of_neighbours(void **state) {
        Fixture *f = *state;

        ip(VETH "route add 10.2.0.0/16 nexthop dev v0 nexthop dev v1\n");
        expect_networks(f, "10.2.0.0/16");
        ip("link set v0 down\nlink set v1 down\n");
        expect_networks(f, "");
        expect_current(f);
}

/* What a route by way of a router takes the place of is gone. */
static void test_replaced_by_gateway(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.0.1/24 dev v0\nroute add 10.2.0.0/16 dev v0\n"
                "addr add fd00:1::1/64 dev v0 nodad\nroute add fd00:2::/64 dev v0\n");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16,fd00:1::/64,fd00:2::/64");
        ip("route replace 10.2.0.0/16 via 10.1.0.2\n");
        expect_networks(f, "10.1.0.0/24,fd00:1::/64,fd00:2::/64");
        ip("route replace fd00:2::/64 via fd00:1::2\n");
        expect_networks(f, "10.1.0.0/24,fd00:1::/64");
        ip("route replace 10.2.0.0/16 dev v1\n");
        expect_networks(f, "10.1.0.0/24,10.2.0.0/16,fd00:1::/64");
        ip("route replace blackhole 10.2.0.0/16\n");
        expect_networks(f, "10.1.0.0/24,fd00:1::/64");
        expect_current(f);
}

/* The address is of a neighbour, all else behind a tunnel is behind a router. */
static void test_tunnel(void **state) {
        Fixture *f = *state;

        ip("tuntap add t0 mode tun\nlink set t0 up\naddr add 10.8.0.2/24 dev t0\n"
           "route add 10.50.0.0/16 dev t0\n" VETH "route add 10.51.0.0/16 dev v0\n");
        expect_networks(f, "10.8.0.0/24,10.51.0.0/16");
        expect_current(f);
}

static void test_link_local(void **state) {
        Fixture *f = *state;

        ip("link add v0 type veth peer name v1\nlink set v0 addrgenmode eui64\n"
           "link set v0 up\nlink set v1 up\n");
        expect_networks(f, "fe80::/64");
        ip("addr add 169.254.7.7/16 dev v1\n");
        expect_networks(f, "169.254.0.0/16,fe80::/64");
        ip("link set v0 down\n");
        expect_networks(f, "169.254.0.0/16");
        expect_current(f);
}

static void test_merged(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.2.3/24 dev v0\naddr add 10.1.2.4/25 dev v1\n"
                "route add 10.1.2.128/25 dev v1\nroute add 10.1.3.0/24 dev v1\n");
        expect_networks(f, "10.1.2.0/24,10.1.3.0/24");
        ip("route add 10.0.0.0/8 dev v1\nroute add 11.0.0.0/24 dev v1\n");
        expect_networks(f, "10.0.0.0/8,11.0.0.0/24");
        ip("route del 10.0.0.0/8\naddr del 10.1.2.3/24 dev v0\n");
        expect_networks(f, "10.1.2.0/25,10.1.2.128/25,10.1.3.0/24,11.0.0.0/24");
        expect_current(f);
}

/* A short prefix on an address is as much a default route as one on a route. */
static void test_short_address(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.2.3/1 dev v0\naddr add fd00::1/3 dev v0 nodad\n"
                "addr add 11.0.0.1/8 dev v1\n");
        expect_networks(f, "10.1.2.3/32,11.0.0.0/8,fd00::1/128");
        expect_current(f);
}

static void test_broadcast(void **state) {
        Fixture *f = *state;

        ip(VETH "addr add 10.1.2.3/24 dev v0\naddr add 10.2.0.1/20 brd + dev v0\n"
                "addr add 10.3.0.1/24 brd 10.3.0.77 dev v1\naddr add 10.4.0.1/24 brd 255.255.255.255 dev v1\n"
                "addr add 10.5.0.0/31 dev v1\naddr add 10.6.0.1/32 dev v1\naddr add 10.7.0.1/24 dev lo\n");
        expect_broadcast(f, "10.1.2.255,10.2.15.255,10.3.0.77,10.3.0.255,10.4.0.255");
        /* The same one again, and once it is still there. */
        ip("addr add 10.1.2.9/24 dev v1\naddr del 10.1.2.3/24 dev v0\naddr del 10.3.0.1/24 dev v1\n");
        expect_broadcast(f, "10.1.2.255,10.2.15.255,10.4.0.255");
        expect_current(f);
}

/* With an address the kernel drops the routes of the interface, and it does so after it has told of the address. */
static void test_routes_dropped_in_silence(void **state) {
        Fixture *f = *state;

        ip(VETH);
        for (unsigned i = 0; i < 100; i++) {
                int pid;

                ip("addr add 10.1.0.1/24 dev v0\nroute add 10.2.0.0/16 dev v0\n");
                pid = ip_start("addr del 10.1.0.1/24 dev v0\n");
                for (siginfo_t info = { 0 }; info.si_pid == 0;) {
                        assert_true(net_watch_dispatch(f->watch) >= 0);
                        assert_int_equal(
                                waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
                }
                ip_wait(pid);
                assert_true(net_watch_dispatch(f->watch) >= 0);
                assert_int_equal(net_watch_state(f->watch)->n_networks, 0);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_addresses),
                TEST(test_addresses_without_route),
                TEST(test_peers),
                TEST(test_interface_down),
                TEST(test_back_before_looked_at),
                TEST(test_carrier),
                TEST(test_routes),
                TEST(test_routes_that_do_not_count),
                TEST(test_multipath_of_neighbours),
                TEST(test_replaced_by_gateway),
                TEST(test_tunnel),
                TEST(test_link_local),
                TEST(test_merged),
                TEST(test_short_address),
                TEST(test_broadcast),
                TEST(test_routes_dropped_in_silence),
        };

        if (!fixture_is_possible())
                return 77;
        return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}
