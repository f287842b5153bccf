/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often a change is told, what is not told, what happens to messages that are lost, and large numbers. */
#include <dirent.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/macro.h"
#include "util/time.h"

#define VETH \
        "link add v0 index 10 type veth peer name v1 index 11\nlink set v0 up\nlink set v1 up\n"

/* The lines for each number below n. */
static char *lines_for(unsigned n, const char *format) {
        _cleanup_fclose_ FILE *f = NULL;
        char *text = NULL;
        size_t size;

        f = open_memstream(&text, &size);
        assert_non_null(f);
        for (unsigned i = 0; i < n; i++) {
                for (const char *p = format; *p; p++)
                        if (*p == '@')
                                fprintf(f, "%u.%u", i / 256, i % 256);
                        else if (*p == '#')
                                fprintf(f, "%u", i);
                        else
                                fputc(*p, f);
                fputc('\n', f);
        }
        assert_int_equal(fclose(TAKE_PTR(f)), 0);
        return text;
}

/* Lets the first change come and go, and what of it is heard late. */
static void make_veth(Fixture *f) {
        ip(VETH);
        expect_interfaces(f, "10:v0,11:v1");
        assert_true(net_watch_dispatch(f->watch) >= 0);
}

static void test_one_callback_for_what_has_arrived(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *lines = lines_for(300, "addr add 10.1.@/32 dev v0");
        unsigned before;

        make_veth(f);
        before = f->n_changes;
        ip(lines);
        wait_for_change(f);
        assert_int_equal(f->n_changes, before + 1);
        assert_int_equal(net_watch_state(f->watch)->n_networks, 300);
        ip("addr add 10.9.0.0/32 dev v0\n");
        wait_for_change(f);
        assert_int_equal(net_watch_state(f->watch)->n_networks, 301);
        expect_current(f);
}

/* However long it takes: between two holds are 20 ms. */
static void test_at_most_every_20_ms(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *lines =
                lines_for(2000, "addr add 10.1.@/32 dev v1\naddr del 10.1.@/32 dev v1");
        uint64_t begin, elapsed;
        unsigned before;
        int pid, status = 0;

        make_veth(f);
        ip("addr add 10.9.0.1/32 dev v0\n");
        expect_networks(f, "10.9.0.1/32");
        before = f->n_changes;
        begin = time_now_usec(CLOCK_MONOTONIC);
        ip("addr del 10.9.0.1/32 dev v0\n");
        pid = ip_start(lines);
        wait_for_change(f);
        while (waitpid(pid, &status, WNOHANG) == 0)
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        assert_int_equal(status, 0);
        elapsed = time_now_usec(CLOCK_MONOTONIC) - begin;
        assert_true(f->n_changes - before <= elapsed / (20 * USEC_PER_MSEC) + 1);
        expect_networks(f, "");
        expect_current(f);
}

static void test_nothing_new_is_not_told(void **state) {
        Fixture *f = *state;
        unsigned before;

        ip(VETH "addr add 10.1.0.1/24 dev v0\naddr add fd00::1/64 dev v0 nodad\n");
        expect_networks(f, "10.1.0.0/24,fd00::/64");
        assert_true(net_watch_dispatch(f->watch) >= 0);
        before = f->n_changes;
        ip("link set v0 mtu 1400\nlink set v0 promisc on\n"
           "addr add 10.1.0.2/24 dev v0\naddr del 10.1.0.2/24 dev v0\n"
           "addr change fd00::1/64 dev v0 preferred_lft 100 valid_lft 200 nodad\n"
           "route add 10.1.0.128/25 dev v1\nroute add default via 10.1.0.9\n"
           "route add 10.5.0.0/16 dev v0\nroute del 10.5.0.0/16 dev v0\n");
        assert_int_equal(net_watch_dispatch(f->watch), 0);
        ip("route del default\nlink set v0 promisc off\nlink set v1 name marker\n");
        expect_interfaces(f, "10:v0,11:marker");
        assert_int_equal(f->n_changes, before + 1);
        expect_current(f);
}

static void test_dispatch(void **state) {
        Fixture *f = *state;
        unsigned before = f->n_changes;

        ip(VETH);
        assert_int_equal(net_watch_dispatch(f->watch), 1);
        assert_int_equal(net_watch_state(f->watch)->n_interfaces, 3);
        assert_int_equal(f->n_changes, before);
        ip("route add 10.1.0.0/16 dev v0\n");
        expect_networks(f, "10.1.0.0/16");
        assert_int_equal(net_watch_dispatch(f->watch), 0);
        expect_current(f);
}

/* The socket that hears of changes: the one with groups. */
static int listening_fd(void) {
        _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                struct sockaddr_nl address = { 0 };
                socklen_t size = sizeof(address);
                int fd = atoi(entry->d_name);

                if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
                        address.nl_family == AF_NETLINK && address.nl_groups != 0)
                        return fd;
        }
        fail_msg("nobody listens");
        return -1;
}

/* Column "Drops" of the socket's line. */
static unsigned drops(int fd) {
        _cleanup_fclose_ FILE *f = fopen("/proc/self/net/netlink", "re");
        struct stat st;
        char line[256];

        assert_non_null(f);
        assert_int_equal(fstat(fd, &st), 0);
        while (fgets(line, sizeof(line), f)) {
                unsigned dropped;
                uint64_t inode;

                if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %u %" SCNu64, &dropped, &inode) ==
                                2 &&
                        inode == st.st_ino)
                        return dropped;
        }
        fail_msg("the socket is not listed");
        return 0;
}

static void test_lost_messages(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *lines = lines_for(100, "addr add 10.1.@/32 dev v0");
        const int smallest = 1;
        int fd;

        make_veth(f);
        fd = listening_fd();
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), 0);
        ip(lines);
        /* What is to be lost is not only addresses. */
        ip("link add w0 index 20 type veth peer name w1 index 21\nlink set v1 name other\n"
           "link property add dev v0 altname uplink\nroute add 10.7.0.0/16 dev v0\n");
        assert_true(drops(fd) > 100);
        expect_interfaces(f, "10:v0=uplink,11:other,20:w0,21:w1");
        assert_int_equal(net_watch_state(f->watch)->n_networks, 101);
        expect_current(f);
        ip("link del w0\nlink del v0\n");
        expect_interfaces(f, "");
        expect_networks(f, "");
        expect_current(f);
}

static void test_500_veths(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *add = lines_for(250,
                "link add a# type veth peer name b#\nlink set a# up\naddr add 10.1.@/32 dev a#");
        _cleanup_free_ char *rename = lines_for(250, "link set b# name c#");
        _cleanup_free_ char *remove = lines_for(249, "link del a#");

        ip(add);
        while (net_watch_state(f->watch)->n_interfaces != 501 ||
                net_watch_state(f->watch)->n_networks != 250)
                wait_for_change(f);
        ip(rename);
        assert_true(net_watch_dispatch(f->watch) >= 0);
        expect_current(f);
        ip(remove);
        while (net_watch_state(f->watch)->n_interfaces != 3)
                wait_for_change(f);
        expect_networks(f, "10.1.0.249/32");
        expect_current(f);
}

static void test_10000_routes(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *add = lines_for(10000, "route add 10.1.@ dev v0");
        _cleanup_free_ char *remove = lines_for(9999, "route del 10.1.@ dev v0");

        make_veth(f);
        ip(add);
        while (net_watch_state(f->watch)->n_networks != 10000)
                wait_for_change(f);
        expect_current(f);
        ip(remove);
        while (net_watch_state(f->watch)->n_networks != 1)
                wait_for_change(f);
        expect_current(f);
}

static void free_in_callback(void *userdata) {
        Fixture *f = userdata;

        f->watch = net_watch_free(f->watch);
}

static void test_freed_by_its_callback(void **state) {
        Fixture *f = *state;

        f->watch = net_watch_free(f->watch);
        assert_int_equal(net_watch_new(f->event, free_in_callback, f, &f->watch), 0);
        ip(VETH);
        while (f->watch)
                assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
        /* Nothing of it is left in the loop. */
        ip("link del v0\n");
        assert_int_equal(sd_event_run(f->event, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_one_callback_for_what_has_arrived),
                TEST(test_at_most_every_20_ms),
                TEST(test_nothing_new_is_not_told),
                TEST(test_dispatch),
                TEST(test_lost_messages),
                TEST(test_500_veths),
                TEST(test_10000_routes),
                TEST(test_freed_by_its_callback),
        };

        if (!fixture_is_possible())
                return 77;
        return cmocka_run_group_tests_name("bursts", tests, NULL, NULL);
}
