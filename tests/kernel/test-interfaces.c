/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The map that says what an interface index is holds exactly what was written last. */
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/kernel-private.h"
#include "sandbox.h"
#include "util/cleanup.h"
#include "util/macro.h"

static Sandbox *sandbox;

static Kernel *open_kernel(void) {
        KernelConfig config = { .flows_max = 4096, .denials_max = 1024 };
        KernelFailure failure;
        Kernel *kernel = NULL;

        assert_int_equal(kernel_open(sandbox->bpffs_fd, &config, &failure, &kernel), 0);
        return kernel;
}

static void close_kernel(Kernel *kernel) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static KernelInterface make(uint32_t ifindex, uint32_t version, uint32_t id) {
        KernelInterface i = { .ifindex = ifindex };

        i.interface.version[0] = version;
        i.interface.id[0] = id;
        i.interface.version[1] = version + 1;
        i.interface.id[1] = id + 1;
        return i;
}

/* By the pin, as the programs see it. */
static void expect(const KernelInterface *wanted, size_t n) {
        _cleanup_close_ int fd = bpf_obj_get("/sys/fs/bpf/v2/maps/cgp_interfaces");
        struct cgp_interface found;
        uint32_t key, n_found = 0;
        const void *from = NULL;

        assert_true(fd >= 0);
        while (bpf_map_get_next_key(fd, from, &key) == 0) {
                from = &key;
                n_found++;
        }
        assert_int_equal(n_found, n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(bpf_map_lookup_elem(fd, &wanted[i].ifindex, &found), 0);
                assert_memory_equal(&found, &wanted[i].interface, sizeof(found));
        }
}

static void test_exactly_these(void **state) {
        Kernel *kernel = open_kernel();
        KernelInterface one[] = { make(7, 1, 0), make(1, 1, 1), make(0xffffffff, 1, 2) };
        KernelInterface two[] = { make(1, 2, 3), make(9, 2, 0) };

        expect(NULL, 0);
        assert_int_equal(kernel->ops->interfaces_write(kernel, one, ELEMENTSOF(one)), 0);
        expect(one, ELEMENTSOF(one));
        assert_int_equal(kernel->ops->interfaces_write(kernel, two, ELEMENTSOF(two)), 0);
        expect(two, ELEMENTSOF(two));
        kernel_close(kernel);

        /* They outlive the daemon; the next one's replace them. */
        kernel = open_kernel();
        expect(two, ELEMENTSOF(two));
        assert_int_equal(kernel->ops->interfaces_write(kernel, one, 1), 0);
        expect(one, 1);
        assert_int_equal(kernel->ops->interfaces_write(kernel, NULL, 0), 0);
        expect(NULL, 0);
        close_kernel(kernel);
}

static void test_as_many_as_there_is_room_for(void **state) {
        Kernel *kernel = open_kernel();
        uint32_t max = ((KernelBpf *)(void *)kernel)->map_sizes[LOADER_MAP_INTERFACES];
        _cleanup_free_ KernelInterface *all = calloc(max + 1, sizeof(*all));

        assert_non_null(all);
        for (uint32_t i = 0; i <= max; i++)
                all[i] = make(i + 1, 1, i % 60);
        assert_int_equal(kernel->ops->interfaces_write(kernel, all, max + 1), -E2BIG);
        expect(NULL, 0);
        assert_int_equal(kernel->ops->interfaces_write(kernel, all, max), 0);
        expect(all, max);
        /* Another one than all that are there, and no room for it beside them. */
        assert_int_equal(kernel->ops->interfaces_write(kernel, all + 1, max), 0);
        expect(all + 1, max);
        assert_int_equal(kernel->ops->interfaces_write(kernel, all, 2), 0);
        expect(all, 2);
        close_kernel(kernel);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exactly_these),
                cmocka_unit_test(test_as_many_as_there_is_room_for),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
