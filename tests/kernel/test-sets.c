/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Set maps: one slot per content, complete and frozen before it is in it, and found again by the next daemon. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
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

#define SETS_PIN "/sys/fs/bpf/v2/maps/cgp_sets"

static Sandbox *sandbox;

static void close_kernel(Kernel *kernel) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

/* The set of one list with one network. */
static PolicySet *make_set(const char *network) {
        char *networks[] = { (char *)(uintptr_t)network, NULL };
        _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
        const char *limit = NULL;
        PolicySet *set = NULL;

        assert_int_equal(policy_list_from_strv("list", "test", 1, networks, NULL, &list), 0);
        assert_int_equal(policy_set_build(&list, 1, &limit, &set), 0);
        return set;
}

/* As root could open it, from the slot's id. */
static int open_inner(uint32_t slot) {
        _cleanup_close_ int fd = bpf_obj_get(SETS_PIN);
        uint32_t id;

        assert_true(fd >= 0);
        if (bpf_map_lookup_elem(fd, &slot, &id) < 0)
                return -errno;
        return bpf_map_get_fd_by_id(id);
}

static void expect_pages(uint32_t slot, const PolicySet *set) {
        _cleanup_close_ int fd = open_inner(slot);
        uint8_t page[CGP_SET_PAGE_SIZE];

        assert_true(fd >= 0);
        for (uint32_t i = 0; i < set->n_pages; i++) {
                assert_int_equal(bpf_map_lookup_elem(fd, &i, page), 0);
                assert_memory_equal(page, set->pages + i * sizeof(page), sizeof(page));
        }
        for (uint32_t i = 0; i < set->n_pages; i++)
                assert_int_equal(bpf_map_update_elem(fd, &i, page, BPF_ANY), -EPERM);
}

typedef struct Slots {
        unsigned n;
        uint64_t hash[CGP_MAX_SET_SLOTS];
} Slots;

static int add_slot(void *userdata, uint32_t slot, uint64_t hash) {
        Slots *slots = userdata;

        assert_true(slot < CGP_MAX_SET_SLOTS);
        slots->n++;
        slots->hash[slot] = hash;
        return 0;
}

static Slots slots_of(Kernel *kernel) {
        Slots slots = {};

        assert_int_equal(kernel->ops->sets_each(kernel, add_slot, &slots), 0);
        return slots;
}

static int stop_at_once(void *userdata, uint32_t slot, uint64_t hash) {
        (*(unsigned *)userdata)++;
        return -ECANCELED;
}

static void test_one_slot_per_content(void **state) {
        _cleanup_(policy_set_unrefp) PolicySet *one = make_set("10.0.0.0/8");
        _cleanup_(policy_set_unrefp) PolicySet *two = make_set("2001:db8::/32");
        Kernel *kernel = test_kernel(sandbox);
        uint32_t slots[3];
        unsigned n = 0;
        Slots found;

        assert_int_equal(slots_of(kernel).n, 0);
        assert_int_equal(kernel->ops->set_load(kernel, one, &slots[0]), 0);
        assert_int_equal(kernel->ops->set_load(kernel, two, &slots[1]), 0);
        assert_int_equal(kernel->ops->set_load(kernel, one, &slots[2]), 0);
        assert_int_equal(slots[0], slots[2]);
        assert_int_not_equal(slots[0], slots[1]);
        expect_pages(slots[0], one);
        expect_pages(slots[1], two);
        found = slots_of(kernel);
        assert_int_equal(found.n, 2);
        assert_true(found.hash[slots[0]] == one->hash);
        assert_true(found.hash[slots[1]] == two->hash);
        assert_int_equal(kernel->ops->sets_each(kernel, stop_at_once, &n), -ECANCELED);
        assert_int_equal(n, 1);
        kernel_close(kernel);

        /* Another daemon finds them. */
        kernel = test_kernel(sandbox);
        assert_int_equal(kernel->ops->set_load(kernel, two, &slots[2]), 0);
        assert_int_equal(slots[1], slots[2]);
        assert_int_equal(kernel->ops->set_drop(kernel, slots[0]), 0);
        assert_int_equal(kernel->ops->set_drop(kernel, slots[0]), 0);
        assert_int_equal(kernel->ops->set_drop(kernel, CGP_MAX_SET_SLOTS), -EINVAL);
        assert_int_equal(open_inner(slots[0]), -ENOENT);
        assert_int_equal(slots_of(kernel).n, 1);
        close_kernel(kernel);
}

static void test_all_slots_taken(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        PolicySet *sets[CGP_MAX_SET_SLOTS + 1];
        bool taken[CGP_MAX_SET_SLOTS] = {};
        uint32_t slot, freed = 5;

        for (unsigned i = 0; i <= CGP_MAX_SET_SLOTS; i++) {
                char network[32];

                (void)snprintf(network, sizeof(network), "10.%u.0.0/16", i);
                sets[i] = make_set(network);
        }
        for (unsigned i = 0; i < CGP_MAX_SET_SLOTS; i++) {
                assert_int_equal(kernel->ops->set_load(kernel, sets[i], &slot), 0);
                assert_false(taken[slot]);
                taken[slot] = true;
        }
        slot = 99;
        assert_int_equal(kernel->ops->set_load(kernel, sets[CGP_MAX_SET_SLOTS], &slot), -ENOSPC);
        assert_int_equal(slot, 99);
        assert_int_equal(kernel->ops->set_load(kernel, sets[3], &slot), 0); /* has one */
        assert_int_equal(kernel->ops->set_drop(kernel, freed), 0);
        assert_int_equal(kernel->ops->set_load(kernel, sets[CGP_MAX_SET_SLOTS], &slot), 0);
        assert_int_equal(slot, freed);
        for (unsigned i = 0; i <= CGP_MAX_SET_SLOTS; i++)
                policy_set_unref(sets[i]);
        close_kernel(kernel);
}

/* A header that says what is wanted over pages that do not hold it, and maps that are no sets at all. */
static void test_what_is_found_is_not_believed(void **state) {
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
        _cleanup_(policy_set_unrefp) PolicySet *set = make_set("10.0.0.0/8");
        _cleanup_close_ int outer_fd = -EBADF, forged_fd = -EBADF;
        Kernel *kernel = test_kernel(sandbox);
        uint32_t slot, i, forged = 0, empty = 1;
        Slots found;

        outer_fd = bpf_obj_get(SETS_PIN);
        forged_fd = bpf_map_create(
                BPF_MAP_TYPE_ARRAY, "x", 4, CGP_SET_PAGE_SIZE, (uint32_t)set->n_pages, &opts);
        assert_true(outer_fd >= 0 && forged_fd >= 0);
        assert_int_equal(bpf_map_update_elem(outer_fd, &empty, &forged_fd, BPF_ANY), 0);
        assert_int_equal(slots_of(kernel).n, 1);
        assert_true(slots_of(kernel).hash[empty] == 0);
        for (i = 0; i < set->n_pages; i++) {
                uint8_t page[CGP_SET_PAGE_SIZE];

                memcpy(page, set->pages + i * sizeof(page), sizeof(page));
                if (i == set->n_pages - 1)
                        page[sizeof(page) - 1] ^= 1;
                assert_int_equal(bpf_map_update_elem(forged_fd, &i, page, BPF_ANY), 0);
        }
        assert_int_equal(bpf_map_update_elem(outer_fd, &forged, &forged_fd, BPF_ANY), 0);
        assert_int_equal(kernel->ops->set_load(kernel, set, &slot), 0);
        assert_int_equal(slot, 2);
        expect_pages(slot, set);
        found = slots_of(kernel);
        assert_int_equal(found.n, 3);
        close_kernel(kernel);
}

static void test_refuses_broken_sets(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        PolicySet *set = make_set("10.0.0.0/8");
        struct cgp_set_header *header = (struct cgp_set_header *)(void *)set->pages, good = *header;
        uint32_t slot = 99;

        header->hash++;
        assert_int_equal(kernel->ops->set_load(kernel, set, &slot), -EINVAL);
        *header = good;
        header->n_pages++;
        assert_int_equal(kernel->ops->set_load(kernel, set, &slot), -EINVAL);
        *header = good;
        header->abi_version++;
        assert_int_equal(kernel->ops->set_load(kernel, set, &slot), -EINVAL);
        policy_set_drop_pages(set);
        assert_int_equal(kernel->ops->set_load(kernel, set, &slot), -EINVAL);
        policy_set_unref(set);
        assert_int_equal(slot, 99);
        assert_int_equal(slots_of(kernel).n, 0);
        close_kernel(kernel);
}

static char *many_networks(const char *first, unsigned n) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);

        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", first) > 0);
        for (unsigned i = 0; i < n; i++)
                assert_true(fprintf(file, "10.%u.%u.0/25\n", i / 256, i % 256) > 0);
        assert_int_equal(fclose(file), 0);
        return text;
}

/* A subject sees the list that its image was compiled with, until it is published with another. */
static void test_a_list_that_changes(void **state) {
        static const TestPolicy policy = { .rules = { "allow out udp to @friends" } };
        enum { N = 8192 }; /* a short list would be in the image */
        _cleanup_free_ char *text = many_networks("127.0.0.1", N);
        _cleanup_free_ char *other_text = many_networks("127.0.0.2", N);
        TestList before = { .name = "friends", .text = text };
        TestList after = { .name = "friends", .text = other_text };
        Kernel *kernel = test_kernel(sandbox);
        Subject *s;
        int fd;

        test_host_set_lists(kernel, &before, 1);
        s = subject_attach(sandbox, kernel, "svc", 1, &policy);
        sandbox_enter(sandbox, "svc");
        fd = net_udp(AF_INET);
        sandbox_leave(sandbox);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 9), 0);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.2", 9), -EPERM);
        test_host_set_lists(kernel, &after, 1);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 9), 0);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.2", 9), -EPERM);
        subject_publish(s, &policy);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.1", 9), -EPERM);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.2", 9), 0);

        /* The slot that the image names is empty: closed. */
        assert_int_equal(kernel->ops->set_drop(kernel, test_host()->set_slot), 0);
        assert_int_equal(net_send_to(fd, "x", "127.0.0.2", 9), -EPERM);
        net_close(&fd);
        subject_detach(s);
        test_host_reset();
        close_kernel(kernel);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_slot_per_content),
                cmocka_unit_test(test_all_slots_taken),
                cmocka_unit_test(test_what_is_found_is_not_believed),
                cmocka_unit_test(test_refuses_broken_sets),
                cmocka_unit_test(test_a_list_that_changes),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
