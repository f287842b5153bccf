/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instances that are loaded ahead and used again: never while somebody may still run in them. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "instances.h"
#include "net.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define LARGE_SIZE (CGP_MEDIUM_TABLE_SIZE + 65536U)

static unsigned settle(Kernel *kernel) {
        return settle_kind(kernel, POOL_SMALL_PLAIN);
}

static KernelProgs *load(Kernel *kernel, uint64_t generation) {
        return load_kind(kernel, POOL_SMALL_PLAIN, generation);
}

static bool comes_back(Kernel *kernel, uint32_t prog_id) {
        return comes_back_as(kernel, POOL_SMALL_PLAIN, prog_id);
}

static void test_spares_follow_the_first_load(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs[POOL_SMALL_PLAIN_AHEAD + 1];
        uint32_t ids[POOL_SMALL_PLAIN_AHEAD + 1];

        for (unsigned i = 0; i <= POOL_SMALL_PLAIN_AHEAD; i++) {
                progs[i] = load(kernel, 1);
                ids[i] = kernel->ops->progs_id(progs[i], CGP_HOOK_EGRESS);
                assert_true(ids[i] > 0);
                for (unsigned k = 0; k < i; k++)
                        assert_int_not_equal(ids[i], ids[k]);
                assert_int_equal(settle(kernel), POOL_SMALL_PLAIN_AHEAD);
        }
        for (unsigned i = 0; i <= POOL_SMALL_PLAIN_AHEAD; i++)
                kernel->ops->progs_free(progs[i]);
        /* Never attached, and used again all the same. */
        assert_int_equal(settle(kernel), 2 * POOL_SMALL_PLAIN_AHEAD + 1);
        assert_true(comes_back(kernel, ids[0]));
        close_kernel(kernel);
}

/* What a probe loaded is the first to be taken. */
static void test_probe_loads_ahead(void **state) {
        KernelCapabilities capabilities;
        Kernel *kernel = open_kernel();
        KernelFailure failure;
        KernelProgs *progs;
        Attached a;

        assert_int_equal(kernel_probe(kernel, &capabilities, &failure), 0);
        assert_int_equal(settle_kind(kernel, POOL_SMALL_FULL), 1);
        assert_int_equal(settle(kernel), 0);
        progs = load_kind(kernel, POOL_SMALL_FULL, 1);
        attach(&a, kernel, "svc", progs);
        assert_int_equal(udp_to_self("svc"), 0);
        detach(&a, "svc");
        kernel->ops->progs_free(progs);
        close_kernel(kernel);
}

static void test_replaced_comes_back(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *first = load(kernel, 1), *second = load(kernel, 2);
        uint32_t id = kernel->ops->progs_id(first, CGP_HOOK_EGRESS);
        Attached a;

        attach(&a, kernel, "svc", first);
        publish(&a, second, 0, CGP_N_HOOKS - 1);
        assert_false(comes_back(kernel, id)); /* there is a handle */
        kernel->ops->progs_free(first);
        assert_true(comes_back(kernel, id));
        assert_int_equal(udp_to_self("svc"), 0);
        detach(&a, "svc");
        kernel->ops->progs_free(second);
        close_kernel(kernel);
}

static void test_one_hook_keeps_it(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *first = load(kernel, 1), *second = load(kernel, 2);
        uint32_t id = kernel->ops->progs_id(first, CGP_HOOK_EGRESS);
        Attached a;

        attach(&a, kernel, "svc", first);
        kernel->ops->progs_free(first);
        publish(&a, second, 0, CGP_N_HOOKS - 2);
        assert_false(comes_back(kernel, id));
        publish(&a, second, CGP_N_HOOKS - 1, CGP_N_HOOKS - 1);
        assert_true(comes_back(kernel, id));
        /* The same program again on the same hook is no second reference. */
        id = kernel->ops->progs_id(second, CGP_HOOK_EGRESS);
        publish(&a, second, 0, CGP_N_HOOKS - 1);
        kernel->ops->progs_free(second);
        assert_false(comes_back(kernel, id));
        detach(&a, "svc");
        assert_true(comes_back(kernel, id));
        close_kernel(kernel);
}

static void test_failed_switch_moves_nothing(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *first = load(kernel, 1), *second = load(kernel, 2);
        uint32_t ids[2] = { kernel->ops->progs_id(first, CGP_HOOK_EGRESS),
                kernel->ops->progs_id(second, CGP_HOOK_EGRESS) };
        KernelLink *link = NULL;
        Attached a;

        attach(&a, kernel, "svc", first);
        assert_int_equal(kernel->ops->link_update(
                                 kernel, a.links[CGP_HOOK_EGRESS], second, CGP_HOOK_INGRESS),
                -EINVAL);
        assert_int_equal(kernel->ops->link_create(kernel, second, CGP_HOOK_EGRESS, a.cgroup_fd,
                                 SUBJECT, a.cgroup_id, &link),
                -EEXIST);
        kernel->ops->progs_free(second);
        kernel->ops->progs_free(first);
        assert_true(comes_back(kernel, ids[1]));
        assert_false(comes_back(kernel, ids[0]));
        detach(&a, "svc");
        close_kernel(kernel);
}

/* A handle of a link that is dropped: the link is in force, and nobody knows until when. */
static void test_lost_link(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs = load(kernel, 1);
        uint32_t id = kernel->ops->progs_id(progs, CGP_HOOK_EGRESS);
        KernelLink *link;
        Attached a;

        attach(&a, kernel, "svc", progs);
        link = a.links[CGP_HOOK_SOCK_OPS];
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (hook != CGP_HOOK_SOCK_OPS)
                        assert_int_equal(kernel->ops->link_destroy(kernel, a.links[hook]), 0);
        kernel->ops->progs_free(progs);
        kernel->ops->link_free(link);
        assert_false(comes_back(kernel, id));
        net_close(&a.cgroup_fd);
        sandbox_remove_cgroup(sandbox, "svc");
        {
                char path[128];

                (void)snprintf(path, sizeof(path), "/sys/fs/bpf/v2/links/%u-%016llx", SUBJECT,
                        (unsigned long long)a.cgroup_id);
                assert_int_equal(chdir(path), 0);
                assert_int_equal(unlink("sock_ops"), 0);
                assert_int_equal(chdir("/"), 0);
                assert_int_equal(rmdir(path), 0);
        }
        close_kernel(kernel);
}

static int take_link(void *userdata, KernelFound *found) {
        Attached *a = userdata;

        a->links[found->hook] = found->link;
        return 0;
}

/* What another daemon left is replaced, and not ours to fill. */
static void test_adopted(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs = load(kernel, 1);
        uint32_t id = kernel->ops->progs_id(progs, CGP_HOOK_EGRESS);
        Attached a;

        attach(&a, kernel, "svc", progs);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                kernel->ops->link_free(a.links[hook]);
        kernel->ops->progs_free(progs);
        kernel_close(kernel);

        a.kernel = kernel = open_kernel();
        assert_int_equal(kernel->ops->links_find(kernel, take_link, &a), 0);
        progs = load(kernel, 2);
        assert_int_equal(udp_to_self("svc"), 0);
        publish(&a, progs, 0, CGP_N_HOOKS - 1);
        assert_false(comes_back(kernel, id));
        id = kernel->ops->progs_id(progs, CGP_HOOK_EGRESS);
        kernel->ops->progs_free(progs);
        detach(&a, "svc");
        assert_true(comes_back(kernel, id));
        close_kernel(kernel);
}

/* A handle may outlive the kernel's. */
static void test_freed_after_the_kernel(void **state) {
        int before = count_fds();
        Kernel *kernel = open_kernel();
        KernelProgs *progs = load(kernel, 1);
        const KernelOps *ops = kernel->ops;

        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel); /* in the middle of loading the first spare */
        ops->progs_free(progs);
        assert_int_equal(count_fds(), before);
}

/* Data of zero: an instance that nobody filled lets nothing pass, on whichever hook. */
static void test_empty_refuses(void **state) {
        Kernel *kernel = open_kernel();
        LoaderInput input = kernel_small_input((KernelBpf *)(void *)kernel);
        _cleanup_(instance_freep) Instance *instance = NULL;
        int links[CGP_N_HOOKS], cgroup_fd, own, stranger;
        LoaderFailure failure;
        uint64_t cgroup_id;

        assert_int_equal(loader_load(&input, &failure, &instance), 0);
        cgroup_fd = sandbox_cgroup(sandbox, "svc", &cgroup_id);
        sandbox_enter(sandbox, "svc");
        own = net_udp_bound(INSIDE, 4000);
        sandbox_leave(sandbox);
        stranger = net_udp(AF_INET);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                links[hook] = bpf_link_create(
                        instance->prog_fds[hook], cgroup_fd, loader_attach_type(hook), NULL);
                assert_true(links[hook] >= 0);
        }
        assert_int_equal(net_send_to(own, "x", INSIDE, 9), -EPERM);
        assert_int_equal(net_connect(own, INSIDE, 9), -EPERM);
        net_close(&links[CGP_HOOK_SENDMSG4]);
        assert_int_equal(net_send_to(own, "x", INSIDE, 9), -EPERM); /* by egress */
        net_close(&links[CGP_HOOK_EGRESS]);
        assert_int_equal(net_send_to(own, "x", INSIDE, 9), 0);

        /* Over loopback, what is sent is there or dropped when the call returns. */
        assert_int_equal(net_send_to(stranger, "dropped", INSIDE, 4000), 0);
        assert_false(net_has_data(own));
        net_close(&links[CGP_HOOK_INGRESS]);
        assert_int_equal(net_send_to(stranger, "passed", INSIDE, 4000), 0);
        net_expect(own, "passed");
        net_close(&own);
        net_close(&stranger);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                net_close(&links[hook]);
        net_close(&cgroup_fd);
        sandbox_remove_cgroup(sandbox, "svc");
        close_kernel(kernel);
}

/* A probe image whose tables are larger than those of an instance loaded ahead. */
static void make_large(KernelProbeImage *probe, uint8_t *tables, uint64_t tables_hash) {
        kernel_probe_image(CGP_MODE_ENFORCE, SUBJECT, probe);
        memset(tables, 0, LARGE_SIZE);
        memcpy(tables, probe->tables, sizeof(probe->tables));
        probe->image.tables = tables;
        probe->image.tables_hash = tables_hash;
        probe->image.config.table_size = LARGE_SIZE;
}

static void test_large_tables_are_shared(void **state) {
        static uint8_t tables[LARGE_SIZE], other_tables[LARGE_SIZE];
        Kernel *kernel = open_kernel();
        TablesRegistry *registry = &((KernelBpf *)(void *)kernel)->tables;
        KernelProbeImage image, other;
        KernelProgs *progs[4];
        uint32_t zero = 0, id;
        Attached a;

        make_large(&image, tables, 42);
        for (unsigned i = 0; i < 3; i++) {
                image.image.config.generation = i + 1;
                progs[i] = load_image(kernel, &image.image);
        }
        assert_non_null(*registry);
        assert_int_equal(tables_users(*registry), 3);
        assert_int_equal(bpf_map_update_elem(tables_fd(*registry), &zero, tables, BPF_ANY), -EPERM);

        /* The same hash and size, and other bytes. */
        make_large(&other, other_tables, 42);
        other_tables[LARGE_SIZE - 1] = 1;
        progs[3] = load_image(kernel, &other.image);
        assert_int_equal(tables_users(*registry), 1);

        attach(&a, kernel, "svc", progs[3]);
        assert_int_equal(udp_to_self("svc"), 0);
        publish(&a, progs[0], 0, CGP_N_HOOKS - 1);
        assert_int_equal(udp_to_self("svc"), 0);
        id = kernel->ops->progs_id(progs[0], CGP_HOOK_EGRESS);
        for (unsigned i = 0; i < 4; i++)
                kernel->ops->progs_free(progs[i]);
        assert_int_equal(tables_users(*registry), 1);
        detach(&a, "svc");
        assert_null(*registry);
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                assert_false(comes_back_as(kernel, kind, id));
        close_kernel(kernel);
}

/* Only as many verdicts as fit into an instance that was loaded ahead, or one more. */
static void test_many_verdicts(void **state) {
        enum { FIT = (CGP_SMALL_IMAGE_SIZE - sizeof(struct cgp_config)) / 8 };
        struct cgp_verdict verdicts[FIT + 1] = {};
        Kernel *kernel = open_kernel();
        KernelProbeImage probe;
        uint32_t ids[2];

        for (unsigned i = 0; i < 2; i++) {
                KernelProgs *progs;
                Attached a;

                kernel_probe_image(CGP_MODE_ENFORCE, SUBJECT, &probe);
                memcpy(verdicts, probe.verdicts, sizeof(probe.verdicts));
                probe.image.verdicts = verdicts;
                probe.image.config.n_verdicts = FIT + i;
                progs = load_image(kernel, &probe.image);
                ids[i] = kernel->ops->progs_id(progs, CGP_HOOK_EGRESS);
                attach(&a, kernel, "svc", progs);
                assert_int_equal(udp_to_self("svc"), 0);
                detach(&a, "svc");
                kernel->ops->progs_free(progs);
        }
        assert_true(comes_back_as(kernel, POOL_SMALL_FULL, ids[0]));
        assert_false(comes_back_as(kernel, POOL_SMALL_FULL, ids[1]));
        assert_true(comes_back_as(kernel, POOL_MEDIUM_FULL, ids[1]));
        close_kernel(kernel);
}

/* What fails ahead is told when somebody asks, who then loads for himself or fails likewise. */
static void test_failure_ahead(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs[POOL_SMALL_PLAIN_AHEAD + 2] = {};
        struct rlimit limit, low;
        KernelFailure failure = {};
        KernelProbeImage probe;

        progs[0] = load(kernel, 1);
        assert_int_equal(settle(kernel), POOL_SMALL_PLAIN_AHEAD);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = limit;
        low.rlim_cur = (rlim_t)count_fds() + 4;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        for (unsigned i = 1; i <= POOL_SMALL_PLAIN_AHEAD; i++)
                progs[i] = load(kernel, 1);
        assert_int_equal(settle(kernel), 0);
        make_image(POOL_SMALL_PLAIN, &probe);
        assert_true(kernel->ops->progs_load(kernel, &probe.image, &failure,
                            &progs[POOL_SMALL_PLAIN_AHEAD + 1]) < 0);
        assert_null(progs[POOL_SMALL_PLAIN_AHEAD + 1]);
        (void)settle(kernel); /* it was asked, and fails once more */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        progs[POOL_SMALL_PLAIN_AHEAD + 1] = load(kernel, 1);
        assert_int_equal(settle(kernel), POOL_SMALL_PLAIN_AHEAD);
        for (unsigned i = 0; i < ELEMENTSOF(progs); i++)
                kernel->ops->progs_free(progs[i]);
        close_kernel(kernel);
}

/* Sends until it is told to end; its exit status says whether anything was refused. */
static pid_t start_sender(void) {
        pid_t pid;

        sandbox_enter(sandbox, "svc");
        pid = fork();
        if (pid == 0) {
                int fd = net_udp(AF_INET);
                sigset_t set;

                (void)sigemptyset(&set);
                (void)sigaddset(&set, SIGTERM);
                (void)sigprocmask(SIG_BLOCK, &set, NULL);
                for (;;) {
                        struct timespec now = {};

                        for (unsigned i = 0; i < 256; i++)
                                if (net_send_to(fd, "x", INSIDE, 9) == -EPERM)
                                        _exit(1);
                        if (sigtimedwait(&set, NULL, &now) == SIGTERM)
                                _exit(0);
                }
        }
        sandbox_leave(sandbox);
        assert_true(pid > 0);
        return pid;
}

/* Nobody ever runs in an instance that is being cleared or filled: everything that is sent is allowed by
 * every image. */
static void reuse_under_traffic(PoolKind kind, unsigned n_changes) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs = load_kind(kernel, kind, 1);
        uint32_t first_id = 0;
        unsigned n_again = 0;
        int status = -1;
        Attached a;
        pid_t pid;

        attach(&a, kernel, "svc", progs);
        pid = start_sender();
        for (unsigned i = 0; i < n_changes; i++) {
                KernelProgs *next = load_kind(kernel, kind, i + 2);

                publish(&a, next, 0, CGP_N_HOOKS - 1);
                kernel->ops->progs_free(progs);
                progs = next;
                if (i == 0)
                        first_id = kernel->ops->progs_id(progs, CGP_HOOK_EGRESS);
                else
                        n_again += kernel->ops->progs_id(progs, CGP_HOOK_EGRESS) == first_id;
        }
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_true(n_again > 0); /* or it proves nothing */
        detach(&a, "svc");
        kernel->ops->progs_free(progs);
        close_kernel(kernel);
}

static void test_reuse_under_traffic(void **state) {
        reuse_under_traffic(POOL_SMALL_PLAIN, 400);
}

static void test_reuse_of_full_under_traffic(void **state) {
        reuse_under_traffic(POOL_SMALL_FULL, 100);
}

static void test_reuse_of_medium_under_traffic(void **state) {
        reuse_under_traffic(POOL_MEDIUM_PLAIN, 200);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spares_follow_the_first_load),
                cmocka_unit_test(test_probe_loads_ahead),
                cmocka_unit_test(test_replaced_comes_back),
                cmocka_unit_test(test_one_hook_keeps_it),
                cmocka_unit_test(test_failed_switch_moves_nothing),
                cmocka_unit_test(test_lost_link),
                cmocka_unit_test(test_adopted),
                cmocka_unit_test(test_freed_after_the_kernel),
                cmocka_unit_test(test_empty_refuses),
                cmocka_unit_test(test_large_tables_are_shared),
                cmocka_unit_test(test_many_verdicts),
                cmocka_unit_test(test_failure_ahead),
                cmocka_unit_test(test_reuse_under_traffic),
                cmocka_unit_test(test_reuse_of_full_under_traffic),
                cmocka_unit_test(test_reuse_of_medium_under_traffic),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
