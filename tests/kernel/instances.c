/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instances.h"

#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net.h"
#include "util/cleanup.h"

Sandbox *sandbox;

Kernel *open_kernel(void) {
        KernelConfig config = { .flows_max = 4096, .denials_max = 1024 };
        KernelFailure failure;
        Kernel *kernel = NULL;
        int r;

        r = kernel_open(sandbox->bpffs_fd, &config, &failure, &kernel);
        if (r < 0)
                fail_msg("open: %s: %s: %s", failure.step, strerror(-r), failure.log);
        return kernel;
}

void close_kernel(Kernel *kernel) {
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

unsigned settle_kind(Kernel *kernel, PoolKind kind) {
        return pool_settle(((KernelBpf *)(void *)kernel)->pool, kind);
}

KernelProgs *load_image(Kernel *kernel, const PolicyImage *image) {
        KernelFailure failure = {};
        KernelProgs *progs = NULL;
        int r;

        r = kernel->ops->progs_load(kernel, image, &failure, &progs);
        if (r < 0)
                fail_msg("load: %s, hook %d: %s\n%s", failure.step, failure.hook, strerror(-r),
                        failure.log);
        return progs;
}

void make_image(PoolKind kind, KernelProbeImage *ret) {
        static uint8_t tables[CGP_SMALL_TABLE_SIZE + 8];

        kernel_probe_image(CGP_MODE_ENFORCE, SUBJECT, ret);
        if (kind == POOL_SMALL_PLAIN || kind == POOL_MEDIUM_PLAIN)
                ret->image.config.features &= ~CGP_INSTANCE_FEATURES;
        if (kind == POOL_SMALL_PLAIN || kind == POOL_SMALL_FULL)
                return;
        memcpy(tables, ret->tables, sizeof(ret->tables));
        ret->image.tables = tables;
        ret->image.config.table_size = sizeof(tables);
}

KernelProgs *load_kind(Kernel *kernel, PoolKind kind, uint64_t generation) {
        KernelProbeImage probe;

        make_image(kind, &probe);
        probe.image.config.generation = generation;
        return load_image(kernel, &probe.image);
}

void attach(Attached *a, Kernel *kernel, const char *name, const KernelProgs *progs) {
        *a = (Attached){ .kernel = kernel };
        a->cgroup_fd = sandbox_cgroup(sandbox, name, &a->cgroup_id);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(kernel->ops->link_create(kernel, progs, hook, a->cgroup_fd,
                                         SUBJECT, a->cgroup_id, &a->links[hook]),
                        0);
}

void publish(Attached *a, const KernelProgs *progs, unsigned first, unsigned last) {
        for (unsigned hook = first; hook <= last; hook++)
                assert_int_equal(
                        a->kernel->ops->link_update(a->kernel, a->links[hook], progs, hook), 0);
}

void detach(Attached *a, const char *name) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(a->kernel->ops->link_destroy(a->kernel, a->links[hook]), 0);
        net_close(&a->cgroup_fd);
        sandbox_remove_cgroup(sandbox, name);
}

int count_fds(void) {
        _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        return n;
}

bool comes_back_as(Kernel *kernel, PoolKind kind, uint32_t prog_id) {
        KernelProgs *taken[POOL_SMALL_MAX + 1];
        unsigned n = settle_kind(kernel, kind);
        bool found = false;

        assert_true(n <= POOL_SMALL_MAX);
        for (unsigned i = 0; i < n; i++) {
                taken[i] = load_kind(kernel, kind, 1);
                found = found || kernel->ops->progs_id(taken[i], CGP_HOOK_EGRESS) == prog_id;
        }
        for (unsigned i = 0; i < n; i++)
                kernel->ops->progs_free(taken[i]);
        (void)settle_kind(kernel, kind);
        return found;
}

int udp_to_self(const char *cgroup) {
        int fd, r;

        sandbox_enter(sandbox, cgroup);
        fd = net_udp(AF_INET);
        sandbox_leave(sandbox);
        if (fd < 0)
                return fd;
        r = net_send_to(fd, "x", INSIDE, 9);
        net_close(&fd);
        return r;
}
