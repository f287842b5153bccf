/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "util/cleanup.h"
#include "util/macro.h"

#define INTERFACES_MAX 16U
#define LISTS_MAX      8U

static PolicyHost host = POLICY_HOST_INIT;

static uint64_t netns_cookie(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        uint64_t cookie = 0;
        socklen_t size = sizeof(cookie);

        assert_true(fd >= 0);
        /* Before 5.14 nobody is told: then the host's is unknown, as it would be to the daemon. */
        if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
                return 0;
        return cookie;
}

const PolicyHost *test_host(void) {
        if (host.n_interfaces == 0)
                assert_int_equal(policy_host_set_interfaces(&host, NULL, 0), 0);
        host.netns = netns_cookie();
        return &host;
}

void test_host_reset(void) {
        policy_host_done(&host);
        host = (PolicyHost)POLICY_HOST_INIT;
}

static void parse_network(const char *text, PolicyNetwork *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        PolicyNetwork network = {};
        char address[64];
        int bits = -1;

        (void)snprintf(address, sizeof(address), "%s", text);
        if (strchr(address, '/')) {
                bits = atoi(strchr(address, '/') + 1);
                *strchr(address, '/') = 0;
        }
        if (inet_pton(AF_INET, address, network.address + 12) == 1) {
                memcpy(network.address, mapped, sizeof(mapped));
                bits = bits < 0 ? 128 : bits + 96;
        } else if (inet_pton(AF_INET6, address, network.address) != 1)
                fail_msg("not a network: %s", text);
        network.bits = (uint8_t)(bits < 0 ? 128 : bits);
        *ret = network;
}

static int compare_networks(const void *a, const void *b) {
        const PolicyNetwork *x = a, *y = b;
        int r = memcmp(x->address, y->address, sizeof(x->address));

        return r != 0 ? r : (int)x->bits - (int)y->bits;
}

static void set_networks(const char *const *texts, PolicyNetwork **networks, size_t *n_networks) {
        PolicyNetwork *parsed = calloc(TEST_NETWORKS_MAX, sizeof(*parsed));
        size_t n = 0;

        assert_non_null(parsed);
        for (; texts[n]; n++) {
                assert_true(n < TEST_NETWORKS_MAX);
                parse_network(texts[n], &parsed[n]);
        }
        qsort(parsed, n, sizeof(*parsed), compare_networks);
        free(*networks);
        *networks = parsed;
        *n_networks = n;
}

void test_host_set_lan(const char *const *networks) {
        set_networks(networks, &host.lan, &host.n_lan);
}

void test_host_set_broadcast(const char *const *addresses) {
        set_networks(addresses, &host.broadcast, &host.n_broadcast);
}

/* The names as the model has them: borrowed, and not const. */
static void borrow_names(const char *const *from, char *to[TEST_NAMES_MAX + 1]) {
        size_t n = 0;

        for (; n < TEST_NAMES_MAX && from[n]; n++)
                to[n] = (char *)(uintptr_t)from[n];
        to[n] = NULL;
}

void test_host_set_interfaces(Kernel *kernel, const TestInterface *interfaces, size_t n) {
        char *names[INTERFACES_MAX][TEST_NAMES_MAX + 1];
        KernelInterface entries[INTERFACES_MAX] = {};
        char *const *sets[INTERFACES_MAX];
        size_t n_sets = 0;

        assert_true(n <= INTERFACES_MAX);
        for (size_t i = 0; i < n; i++) {
                borrow_names(interfaces[i].names, names[i]);
                if (names[i][0])
                        sets[n_sets++] = names[i];
        }
        assert_int_equal(policy_host_set_interfaces(&host, sets, n_sets), 0);
        for (size_t i = 0; i < n; i++) {
                int id = policy_host_interface_id(&host, names[i]);

                assert_true(id >= 0);
                entries[i].ifindex = if_nametoindex(interfaces[i].name);
                if (entries[i].ifindex == 0)
                        fail_msg("no interface %s", interfaces[i].name);
                entries[i].interface.version[0] = host.interfaces_version;
                entries[i].interface.id[0] = (uint32_t)id;
        }
        assert_int_equal(kernel->ops->interfaces_write(kernel, entries, n), 0);
}

void test_host_set_lists(Kernel *kernel, const TestList *lists, size_t n) {
        PolicyList **parsed = calloc(LISTS_MAX, sizeof(PolicyList *));
        PolicySet *set = NULL;
        const char *limit = NULL;

        assert_non_null(parsed);
        assert_true(n <= LISTS_MAX);
        for (size_t i = 0; i < n; i++) {
                char *networks[TEST_NETWORKS_MAX + 1] = {};

                for (size_t k = 0; k < TEST_NETWORKS_MAX && lists[i].networks[k]; k++)
                        networks[k] = (char *)(uintptr_t)lists[i].networks[k];
                assert_int_equal(lists[i].text
                                ? policy_list_parse(lists[i].name, "test", lists[i].text,
                                          strlen(lists[i].text), NULL, &parsed[i])
                                : policy_list_from_strv(
                                          lists[i].name, "test", 1, networks, NULL, &parsed[i]),
                        0);
        }
        assert_int_equal(policy_set_build(parsed, n, &limit, &set), 0);

        for (size_t i = 0; i < host.n_lists; i++)
                policy_list_unref(host.lists[i]);
        free(host.lists);
        if (host.set)
                policy_set_unref((PolicySet *)(uintptr_t)host.set);
        host.lists = parsed;
        host.n_lists = n;
        host.set = set;
        assert_int_equal(kernel->ops->set_load(kernel, set, &host.set_slot), 0);
}
