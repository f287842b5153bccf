/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host snapshot says of the internet, twice, and how it numbers interfaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/host.h"
#include "util/macro.h"

typedef unsigned __int128 Address;

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint64_t random_word(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state * 0x2545f4914f6cdd1dULL;
}

/* Also "1.2.3.4". */
static void parse_address(const char *s, uint8_t ret[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        memcpy(ret, mapped, sizeof(mapped));
        if (inet_pton(AF_INET, s, ret + 12) != 1)
                assert_int_equal(inet_pton(AF_INET6, s, ret), 1);
}

static Address to_number(const uint8_t address[16]) {
        Address a = 0;

        for (unsigned i = 0; i < 16; i++)
                a = a << 8 | address[i];
        return a;
}

static void to_bytes(Address a, uint8_t ret[16]) {
        for (unsigned i = 0; i < 16; i++)
                ret[i] = (uint8_t)(a >> (120 - 8 * i));
}

static Address mask_of(unsigned bits) {
        return bits == 0 ? ~(Address)0 : bits == 128 ? 0 : ((Address)1 << (128 - bits)) - 1;
}

static PolicyNetwork network(const char *address, unsigned bits) {
        PolicyNetwork n = { .bits = (uint8_t)bits };

        parse_address(address, n.address);
        return n;
}

/* By halving. */
static bool networks_hold(const PolicyNetwork *networks, size_t n, Address a) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                Address first = to_number(networks[middle].address);

                if (a < first)
                        high = middle;
                else if (a > (first | mask_of(networks[middle].bits)))
                        low = middle + 1;
                else
                        return true;
        }
        return false;
}

static void check(const PolicyHost *host, const PolicyNetwork *networks, size_t n, Address a) {
        uint8_t address[16];

        to_bytes(a, address);
        assert_int_equal(policy_host_is_internet(host, address), networks_hold(networks, n, a));
}

/* Both answers agree at every edge of what either is made of. */
static void check_host(const PolicyHost *host) {
        _cleanup_free_ PolicyNetwork *networks = NULL;
        size_t n = 0;

        assert_int_equal(policy_host_internet(host, &networks, &n), 0);
        assert_non_null(networks);
        for (size_t i = 0; i < n; i++) {
                Address first = to_number(networks[i].address);
                Address last = first | mask_of(networks[i].bits);

                assert_true((first & mask_of(networks[i].bits)) == 0);
                if (i > 0)
                        assert_true(first > (to_number(networks[i - 1].address) |
                                                    mask_of(networks[i - 1].bits)));
                check(host, networks, n, first);
                check(host, networks, n, first - 1);
                check(host, networks, n, last);
                check(host, networks, n, last + 1);
        }
        for (size_t i = 0; i < host->n_lan; i++) {
                Address first = to_number(host->lan[i].address);
                Address last = first | mask_of(host->lan[i].bits);

                check(host, networks, n, first);
                check(host, networks, n, first - 1);
                check(host, networks, n, last);
                check(host, networks, n, last + 1);
        }
        for (unsigned i = 0; i < 3000; i++) {
                Address a = (Address)random_word() << 64 | random_word();

                check(host, networks, n, a);
                check(host, networks, n, a >> 3 | (Address)1 << 125);
                check(host, networks, n, (Address)0xffff00000000ULL | (uint32_t)a);
        }
}

static void test_internet(void **state) {
        static const char *const public[] = { "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
                "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
                "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.0.9", "192.0.0.10",
                "192.0.1.0", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.167.255.255",
                "192.169.0.0", "192.175.48.1", "198.17.255.255", "198.20.0.0", "203.0.112.255",
                "203.0.114.0", "223.255.255.255", "2000::", "2001::1", "2001:1::1", "2001:1::2",
                "2001:1::3", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1",
                "2001:200::1", "2001:4860:4860::8888", "2002:0102:0304::1", "2620:4f:8000::1",
                "2a00::1", "64:ff9b::1.2.3.4", "3ffe:ffff::1", "3fff:1000::" };
        static const char *const other[] = { "0.0.0.0", "0.255.255.255", "10.0.0.0",
                "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.169.254",
                "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.8", "192.0.0.11",
                "192.0.0.170", "192.0.2.1", "192.88.99.2", "192.168.1.1", "198.18.0.0",
                "198.19.255.255", "198.51.100.1", "203.0.113.255", "224.0.0.1", "239.255.255.250",
                "240.0.0.1", "255.255.255.255", "::", "::1", "::1.2.3.4", "64:ff9b:1::1",
                "64:ff9a::1", "100::1", "100:0:0:1::1", "2001:1::4", "2001:1::", "2001:2::1",
                "2001:5::1", "2001:10::1", "2001:1ff::1", "2001:db8::1", "3fff::1",
                "3fff:fff:ffff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fdff::1",
                "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "1fff:ffff::1", "::ffff:0:1.2.3.4" };
        PolicyHost host = POLICY_HOST_INIT;
        uint8_t address[16];

        for (size_t i = 0; i < ELEMENTSOF(public); i++) {
                parse_address(public[i], address);
                if (!policy_host_is_internet(&host, address))
                        fail_msg("%s is public", public[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(other); i++) {
                parse_address(other[i], address);
                if (policy_host_is_internet(&host, address))
                        fail_msg("%s is not public", other[i]);
        }
        check_host(&host);
}

static void test_lan(void **state) {
        PolicyNetwork lan[] = {
                network("1.2.3.0", 120),
                network("8.8.8.8", 128),
                network("10.0.0.0", 104),
                network("11.0.0.0", 106),
                network("192.0.0.8", 125),
                network("223.255.255.255", 128),
                network("2001:db8::", 32),
                network("2001:4860::", 32),
                network("2a00:1:2:3::", 64),
                network("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128),
        };
        PolicyNetwork v4_half = network("128.0.0.0", 97), v4_all = network("0.0.0.0", 96);
        PolicyNetwork v6_all = network("::", 0), v6_low = network("::", 40);
        PolicyHost host = { .lan = lan, .n_lan = ELEMENTSOF(lan) };
        uint8_t address[16];

        check_host(&host);
        parse_address("1.2.3.4", address);
        assert_false(policy_host_is_internet(&host, address));
        parse_address("192.0.0.9", address);
        assert_false(policy_host_is_internet(&host, address));
        parse_address("2001:4860:4860::8888", address);
        assert_false(policy_host_is_internet(&host, address));

        check_host(&(PolicyHost){ .lan = &v4_half, .n_lan = 1 });
        check_host(&(PolicyHost){ .lan = &v4_all, .n_lan = 1 });
        check_host(&(PolicyHost){ .lan = &v6_low, .n_lan = 1 });
        /* A route to everything of one family says nothing of the other. */
        host = (PolicyHost){ .lan = &v6_all, .n_lan = 1 };
        check_host(&host);
        assert_false(policy_host_is_internet(&host, address));
        parse_address("1.2.3.4", address);
        assert_true(policy_host_is_internet(&host, address));
}

static int compare_networks(const void *a, const void *b) {
        return memcmp(a, b, sizeof(PolicyNetwork));
}

static void test_random_lan(void **state) {
        for (unsigned round = 0; round < 60; round++) {
                PolicyNetwork lan[40] = {};
                size_t n = 0;

                for (size_t i = 0; i < ELEMENTSOF(lan); i++) {
                        Address a = (Address)random_word() << 64 | random_word();
                        bool is_v4 = i % 2 == 0;
                        unsigned bits = is_v4 ? 100 + random_word() % 29 : 6 + random_word() % 123;

                        a = is_v4 ? (Address)0xffff00000000ULL | (uint32_t)a
                                  : a >> 3 | (Address)1 << 125;
                        lan[i].bits = (uint8_t)bits;
                        to_bytes(a & ~mask_of(bits), lan[i].address);
                }
                qsort(lan, ELEMENTSOF(lan), sizeof(*lan), compare_networks);
                /* None within another. */
                for (size_t i = 0; i < ELEMENTSOF(lan); i++) {
                        bool within = false;

                        for (size_t k = 0; k < ELEMENTSOF(lan); k++)
                                within = within ||
                                        (k != i && lan[k].bits <= lan[i].bits &&
                                                ((to_number(lan[k].address) ^
                                                         to_number(lan[i].address)) &
                                                        ~mask_of(lan[k].bits)) == 0);
                        if (!within)
                                lan[n++] = lan[i];
                }
                check_host(&(PolicyHost){ .lan = lan, .n_lan = n });
        }
}

static void test_interfaces(void **state) {
        char *eth[] = { (char *)"eth0", NULL };
        char *both[] = { (char *)"eth0", (char *)"uplink", NULL };
        char *wlan[] = { (char *)"wlan0", NULL };
        char *none[] = { NULL };
        char *absent[] = { (char *)"eth", NULL };
        char *const *one_way[] = { wlan, both, eth, both, wlan };
        char *const *other_way[] = { eth, wlan, both };
        _cleanup_(policy_host_done) PolicyHost a = POLICY_HOST_INIT;
        _cleanup_(policy_host_done) PolicyHost b = POLICY_HOST_INIT;
        uint32_t version;

        assert_int_equal(policy_host_interface_id(&a, none), -ENOENT);
        assert_int_equal(policy_host_set_interfaces(&a, one_way, ELEMENTSOF(one_way)), 0);
        assert_int_equal(policy_host_set_interfaces(&b, other_way, ELEMENTSOF(other_way)), 0);
        assert_int_equal(a.n_interfaces, 4);
        assert_int_equal(b.n_interfaces, 4);
        assert_null(a.interfaces[0].names[0]);
        assert_int_equal(policy_host_interface_id(&a, none), 0);
        assert_int_equal(policy_host_interface_id(&a, absent), -ENOENT);
        for (size_t i = 0; i < ELEMENTSOF(other_way); i++) {
                int id = policy_host_interface_id(&a, other_way[i]);

                assert_in_range(id, 1, 3);
                assert_int_equal(id, policy_host_interface_id(&b, other_way[i]));
        }
        assert_int_not_equal(a.interfaces_version, 0);
        assert_int_equal(a.interfaces_version, b.interfaces_version);

        version = a.interfaces_version;
        assert_int_equal(policy_host_set_interfaces(&a, other_way, 2), 0);
        assert_int_equal(a.n_interfaces, 3);
        assert_int_not_equal(a.interfaces_version, version);
        assert_int_equal(policy_host_interface_id(&a, both), -ENOENT);

        /* Two names of one interface are not two interfaces. */
        {
                char *uplink[] = { (char *)"uplink", NULL };
                char *const *apart[] = { eth, uplink };
                char *const *together[] = { both };

                assert_int_equal(policy_host_set_interfaces(&a, apart, 2), 0);
                assert_int_equal(policy_host_set_interfaces(&b, together, 1), 0);
                assert_int_not_equal(a.interfaces_version, b.interfaces_version);
        }
        assert_int_equal(policy_host_set_interfaces(&a, NULL, 0), 0);
        assert_int_equal(a.n_interfaces, 1);
        assert_int_not_equal(a.interfaces_version, 0);
}

static void test_interfaces_limit(void **state) {
        enum { N = CGP_MAX_PLACES - CGP_PLACE_FIRST };
        char names[N][16];
        char *sets[N][2];
        char *const *all[N];
        _cleanup_(policy_host_done) PolicyHost host = POLICY_HOST_INIT;
        uint32_t version;

        for (size_t i = 0; i < N; i++) {
                (void)snprintf(names[i], sizeof(names[i]), "veth%zu", i);
                sets[i][0] = names[i];
                sets[i][1] = NULL;
                all[i] = sets[i];
        }
        /* The one without names is one of them. */
        assert_int_equal(policy_host_set_interfaces(&host, all, N - 1), 0);
        assert_int_equal(host.n_interfaces, N);
        version = host.interfaces_version;
        assert_int_equal(policy_host_set_interfaces(&host, all, N), -E2BIG);
        assert_int_equal(host.n_interfaces, N);
        assert_int_equal(host.interfaces_version, version);
}

static PolicyList *list_of(const char *name) {
        PolicyList *list = NULL;

        assert_int_equal(policy_list_parse(name, "test", "::1\n", 4, NULL, &list), 0);
        return list;
}

static void test_lists(void **state) {
        PolicyHost host = POLICY_HOST_INIT;
        const PolicyList *b;

        assert_null(policy_host_list(&host, "a"));
        host.n_lists = 3;
        host.lists = calloc(host.n_lists, sizeof(*host.lists));
        assert_non_null(host.lists);
        host.lists[0] = list_of("a");
        host.lists[1] = list_of("b");
        host.lists[2] = list_of("d");
        assert_int_equal(policy_set_build(host.lists, host.n_lists, NULL, &host.set), 0);
        host.lan = calloc(1, sizeof(*host.lan));
        host.broadcast = calloc(1, sizeof(*host.broadcast));
        host.n_lan = host.n_broadcast = 1;

        b = policy_host_list(&host, "b");
        assert_ptr_equal(b, host.lists[1]);
        assert_ptr_equal(policy_host_list(&host, "a"), host.lists[0]);
        assert_ptr_equal(policy_host_list(&host, "d"), host.lists[2]);
        assert_null(policy_host_list(&host, "c"));
        assert_null(policy_host_list(&host, "e"));
        assert_null(policy_host_list(&host, ""));

        policy_host_done(&host);
        assert_null(host.lists);
        assert_null(host.set);
        assert_int_equal(host.n_lan + host.n_lists, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_internet),
                cmocka_unit_test(test_lan),
                cmocka_unit_test(test_random_lan),
                cmocka_unit_test(test_interfaces),
                cmocka_unit_test(test_interfaces_limit),
                cmocka_unit_test(test_lists),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
