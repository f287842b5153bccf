/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What policies are compiled with of the host: snapshots, the numbering of interfaces, what differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/host-state.h"
#include "util/macro.h"

static char *eth0_names[] = { (char[]){ "eth0" }, (char[]){ "enp1s0" }, NULL };
static char *wg0_names[] = { (char[]){ "wg0" }, NULL };
static char *lo_names[] = { (char[]){ "lo" }, NULL };
static NetInterface interfaces[] = {
        { .ifindex = 1, .names = lo_names, .is_loopback = true },
        { .ifindex = 2, .names = eth0_names },
        { .ifindex = 3, .names = wg0_names },
};
static NetNetwork networks[] = {
        { .address = { [10] = 0xff, [11] = 0xff, [12] = 10 }, .bits = 104 },
        { .address = { 0xfd }, .bits = 64 },
};
static NetNetwork broadcast[] = {
        { .address = { [10] = 0xff, [11] = 0xff, 10, 255, 255, 255 }, .bits = 128 },
};

static NetState state_of(size_t n_interfaces) {
        return (NetState){
                .netns = 77,
                .interfaces = interfaces,
                .n_interfaces = n_interfaces,
                .networks = networks,
                .n_networks = ELEMENTSOF(networks),
                .broadcast = broadcast,
                .n_broadcast = 1,
        };
}

static Host *make(const NetState *net, char *const *names) {
        Host *host = NULL;

        assert_int_equal(host_new(net, names, NULL, 0, NULL, 0, /* blind= */ false, &host), 0);
        return host;
}

static char *via[] = { (char[]){ "enp1s0" }, (char[]){ "eth0" }, (char[]){ "wg0" }, NULL };

static void test_copies_what_is_known(void **state) {
        NetState net = state_of(3);
        Host *host = make(&net, NULL), *nothing = make(NULL, NULL);

        assert_int_equal(host->host.netns, 77);
        assert_int_equal(host->host.n_lan, 2);
        assert_int_equal(host->host.lan[0].bits, 104);
        assert_memory_equal(host->host.lan[1].address, networks[1].address, 16);
        assert_int_equal(host->host.n_broadcast, 1);
        assert_int_equal(nothing->host.netns, 0);
        assert_int_equal(nothing->host.n_lan, 0);
        assert_int_not_equal(nothing->host.interfaces_version, 0);
        host_unref(host);
        host_unref(nothing);
}

/* What comes and goes is no other numbering, unless it brings names together that were apart. */
static void test_numbers_stay(void **state) {
        NetState all = state_of(3), without_wg = state_of(2), without_eth = state_of(1);
        Host *a = make(&all, via), *b = make(&without_wg, via), *c = make(&without_eth, via);

        assert_int_equal(host_compare(a, b), 0);
        assert_int_equal(host_compare(a, c), HOST_INTERFACES);
        host_unref(a);
        host_unref(b);
        host_unref(c);
}

static const KernelInterface *find(const KernelInterface *entries, size_t n, uint32_t ifindex) {
        for (size_t i = 0; i < n; i++)
                if (entries[i].ifindex == ifindex)
                        return &entries[i];
        return NULL;
}

static void test_interfaces_of_both(void **state) {
        NetState net = state_of(3);
        Host *old = make(&net, via + 2), *new = make(&net, via);
        _cleanup_free_ KernelInterface *entries = NULL, *alone = NULL;
        const KernelInterface *eth0, *wg0, *lo;
        size_t n, n_alone;

        assert_int_equal(host_interfaces(&net, old, new, &entries, &n), 0);
        assert_int_equal(n, 3);
        eth0 = find(entries, n, 2);
        wg0 = find(entries, n, 3);
        lo = find(entries, n, 1);
        assert_true(eth0 && wg0 && lo);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(entries[i].interface.version[0], old->host.interfaces_version);
                assert_int_equal(entries[i].interface.version[1], new->host.interfaces_version);
        }
        /* In the old one only wg0 has a name. */
        assert_int_equal(eth0->interface.id[0], 0);
        assert_int_not_equal(wg0->interface.id[0], 0);
        assert_int_equal(lo->interface.id[1], 0);
        assert_int_not_equal(eth0->interface.id[1], 0);
        assert_int_not_equal(wg0->interface.id[1], eth0->interface.id[1]);

        /* The same twice is one. */
        assert_int_equal(host_interfaces(&net, new, new, &alone, &n_alone), 0);
        assert_int_equal(find(alone, n_alone, 2)->interface.version[1], 0);
        assert_int_equal(find(alone, n_alone, 2)->interface.id[0], eth0->interface.id[1]);
        host_unref(old);
        host_unref(new);
}

/* Names that no present interface had together when they were numbered: unknown, so the strictest. */
static void test_unknown_combination(void **state) {
        NetState without = state_of(1), all = state_of(3);
        Host *host = make(&without, via);
        _cleanup_free_ KernelInterface *entries = NULL;
        size_t n, id;

        assert_int_equal(host_interfaces(&all, host, NULL, &entries, &n), 0);
        assert_null(find(entries, n, 2));
        assert_non_null(find(entries, n, 3));
        assert_false(host_find_ifindex(&all, host, 2, &id));
        assert_true(host_find_ifindex(&all, host, 3, &id));
        host_unref(host);
}

static void test_too_many_names(void **state) {
        char *names[CGP_MAX_PLACES + 1] = { 0 };
        NetState net = state_of(3);
        _cleanup_free_ KernelInterface *entries = NULL;
        Host *host = NULL;
        size_t n;

        for (size_t i = 0; i < CGP_MAX_PLACES; i++)
                assert_true(asprintf(&names[i], "n%02zu", i) > 0);
        assert_int_equal(host_new(&net, names, NULL, 0, NULL, 0, false, &host), -E2BIG);
        assert_null(host);
        assert_true(host_new(&net, names, NULL, 0, NULL, 0, /* blind= */ true, &host) >= 0);
        assert_true(host->is_blind);
        assert_int_equal(host_interfaces(&net, host, NULL, &entries, &n), 0);
        assert_int_equal(n, 0);
        host_unref(host);
        for (size_t i = 0; i < CGP_MAX_PLACES; i++)
                free(names[i]);
}

/* As many as there is room for, and then an interface with two of them: the names alone must do. */
static void test_room_for_names_alone(void **state) {
        char *names[CGP_MAX_PLACES] = { 0 };
        size_t n_names = CGP_MAX_PLACES - CGP_PLACE_FIRST - 1, id;
        char *both[3] = { 0 };
        NetInterface one = { .ifindex = 9, .names = both };
        NetState net = { .netns = 1, .interfaces = &one, .n_interfaces = 1 };
        Host *host = NULL;

        for (size_t i = 0; i < n_names; i++)
                assert_true(asprintf(&names[i], "n%02zu", i) > 0);
        both[0] = names[0];
        assert_int_equal(host_new(&net, names, NULL, 0, NULL, 0, false, &host), 0);
        assert_true(host_find_ifindex(&net, host, 9, &id));
        host_unref(host);
        both[1] = names[1];
        assert_int_equal(host_new(&net, names, NULL, 0, NULL, 0, false, &host), 1);
        assert_false(host_find_ifindex(&net, host, 9, &id));
        host_unref(host);
        for (size_t i = 0; i < n_names; i++)
                free(names[i]);
}

static void test_differences(void **state) {
        NetState net = state_of(3), fewer = state_of(3), elsewhere = state_of(3);
        Host *a, *b, *c;

        fewer.n_networks = 1;
        elsewhere.netns = 78;
        a = make(&net, via);
        b = make(&fewer, via);
        c = make(&elsewhere, via);
        assert_int_equal(host_compare(a, a), 0);
        assert_int_equal(host_compare(a, b), HOST_NETWORKS);
        assert_int_equal(host_compare(a, c), HOST_NETWORKS | HOST_INTERFACES);
        host_unref(a);
        host_unref(b);
        host_unref(c);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_copies_what_is_known),
                cmocka_unit_test(test_numbers_stay),
                cmocka_unit_test(test_interfaces_of_both),
                cmocka_unit_test(test_unknown_combination),
                cmocka_unit_test(test_too_many_names),
                cmocka_unit_test(test_room_for_names_alone),
                cmocka_unit_test(test_differences),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
