/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interfaces: their names and indices, followed and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/macro.h"

#define VETH "link add v0 index 10 type veth peer name v1 index 11\n"

static void test_add_and_remove(void **state) {
        Fixture *f = *state;

        expect_interfaces(f, "");
        ip(VETH);
        expect_interfaces(f, "10:v0,11:v1");
        ip("link del v0\n");
        expect_interfaces(f, "");
        expect_current(f);
}

static void test_rename(void **state) {
        Fixture *f = *state;

        ip(VETH "link set v0 name wan\n");
        expect_interfaces(f, "10:wan,11:v1");
        ip("link set wan up\nlink set v1 up\nlink set wan name v0\nlink set v1 name wan\n");
        expect_interfaces(f, "10:v0,11:wan");
        expect_current(f);
}

/* The kernel lists altnames in the order of their making. */
static void test_altnames(void **state) {
        Fixture *f = *state;

        ip(VETH "link set v0 up\nlink property add dev v0 altname uplink altname a-b.c_d\n");
        expect_interfaces(f, "10:v0=a-b.c_d=uplink,11:v1");
        ip("link property del dev v0 altname a-b.c_d\n");
        expect_interfaces(f, "10:v0=uplink,11:v1");
        ip("link property add dev v0 altname a-name-of-more-than-the-fifteen-characters-of-a-name\n");
        expect_interfaces(
                f, "10:v0=a-name-of-more-than-the-fifteen-characters-of-a-name=uplink,11:v1");
        expect_current(f);
}

/* Of these the kernel tells when the interface is set up. */
static void test_altname_while_down(void **state) {
        Fixture *f = *state;

        ip(VETH);
        expect_interfaces(f, "10:v0,11:v1");
        ip("link property add dev v0 altname uplink\nlink set v0 up\n");
        expect_interfaces(f, "10:v0=uplink,11:v1");
        expect_current(f);
}

static void test_same_name_again(void **state) {
        Fixture *f = *state;

        ip(VETH);
        expect_interfaces(f, "10:v0,11:v1");
        ip("link del v0\nlink add v0 index 20 type veth peer name v1 index 21\n");
        expect_interfaces(f, "20:v0,21:v1");
        ip("link del v0\n" VETH);
        expect_interfaces(f, "10:v0,11:v1");
        expect_current(f);
}

/* Another interface under the index of one that was there when last looked. */
static void test_same_index_again(void **state) {
        Fixture *f = *state;

        ip(VETH "link set v0 up\naddr add 10.1.0.1/24 dev v0\n");
        expect_networks(f, "10.1.0.0/24");
        ip("link del v0\nlink add other index 10 type veth peer name v1 index 11\n");
        expect_interfaces(f, "10:other,11:v1");
        expect_networks(f, "");
        expect_current(f);
}

/* A bridge tells of its ports with messages like those of the interfaces themselves, but without the altnames, and
 * when a port leaves it, as if the interface were gone. */
static void test_port_of_a_bridge(void **state) {
        Fixture *f = *state;

        ip(VETH "link add b0 index 12 type bridge\nlink set v0 master b0\nlink set v0 up\n"
                "link property add dev v0 altname uplink\n");
        expect_interfaces(f, "10:v0=uplink,11:v1,12:b0");
        bridge("link set dev v0 cost 7\n");
        ip("link set v1 name marker\n");
        expect_interfaces(f, "10:v0=uplink,11:marker,12:b0");
        expect_current(f);
        ip("link set v0 nomaster\nlink set marker name v1\n");
        expect_interfaces(f, "10:v0=uplink,11:v1,12:b0");
        expect_current(f);
}

static void test_other_namespace(void **state) {
        Fixture *f = *state;
        uint64_t cookie = 0;
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char line[64];
        int pid;

        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie,
                                 &(socklen_t){ sizeof(cookie) }),
                0);
        assert_int_equal(net_watch_state(f->watch)->netns, cookie);
        ip(VETH);
        expect_interfaces(f, "10:v0,11:v1");

        /* The watch stays where it was made, the test goes on in another namespace. */
        pid = (int)getpid();
        assert_int_equal(fixture_enter(), 0);
        ip(VETH "link set v1 name moved\n");
        (void)snprintf(line, sizeof(line),
                "link del v0\nlink add x0 type veth peer name x1 netns %d\n", pid);
        ip(line);
        assert_int_equal(net_watch_dispatch(f->watch), 0);
        expect_interfaces(f, "10:v0,11:v1");
        assert_int_equal(net_watch_state(f->watch)->netns, cookie);
}

static void test_without_watching(void **state) {
        _cleanup_(net_watch_freep) NetWatch *watch = NULL;
        _cleanup_free_ char *text = NULL;

        ip(VETH);
        assert_int_equal(net_watch_new(NULL, NULL, NULL, &watch), 0);
        ip("link del v0\n");
        assert_int_equal(net_watch_dispatch(watch), 0);
        text = interfaces_text(net_watch_state(watch));
        assert_string_equal(text, "10:v0,11:v1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_add_and_remove),
                TEST(test_rename),
                TEST(test_altnames),
                TEST(test_altname_while_down),
                TEST(test_same_name_again),
                TEST(test_same_index_again),
                TEST(test_port_of_a_bridge),
                TEST(test_other_namespace),
                TEST(test_without_watching),
        };

        if (!fixture_is_possible())
                return 77;
        return cmocka_run_group_tests_name("interfaces", tests, NULL, NULL);
}
