/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is pinned: adopted, checked as untrusted input, and never left behind by a failure. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/loader.h"
#include "net.h"
#include "subject.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define BPFFS "/sys/fs/bpf"

static Sandbox *sandbox;

static const TestPolicy deny_all = {};

static int count_entries(const char *path) {
        _cleanup_closedir_ DIR *dir = opendir(path);
        struct dirent *entry;
        int n = 0;

        if (!dir)
                return -errno;
        while ((entry = readdir(dir)))
                n += !streq(entry->d_name, ".") && !streq(entry->d_name, "..");
        return n;
}

static int open_kernel(KernelFailure *failure, Kernel **ret) {
        KernelConfig config = { .flows_max = 4096, .denials_max = 1024 };

        return kernel_open(sandbox->bpffs_fd, &config, failure, ret);
}

static int create_map(
        uint32_t type, const char *name, uint32_t key, uint32_t value, uint32_t n, uint32_t flags) {
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
        int fd = bpf_map_create(type, name, key, value, n, &opts);

        assert_true(fd >= 0);
        return fd;
}

static void make_directories(void) {
        assert_int_equal(mkdir(BPFFS "/v2", 0700), 0);
        assert_int_equal(mkdir(BPFFS "/v2/maps", 0700), 0);
}

static void remove_directories(void) {
        assert_int_equal(rmdir(BPFFS "/v2/maps"), 0);
        assert_int_equal(rmdir(BPFFS "/v2"), 0);
}

static void test_makes_and_removes_everything(void **state) {
        Kernel *kernel = test_kernel(sandbox);

        assert_int_equal(count_entries(BPFFS "/v2/maps"), _LOADER_MAP_MAX);
        assert_int_equal(count_entries(BPFFS "/v2/links"), 0);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        assert_int_equal(access(BPFFS "/v2", F_OK), -1);
        kernel_close(kernel);
}

static void test_adopts(void **state) {
        struct cgp_record in = { .abi_version = CGP_ABI_VERSION, .subject = 7, .cgroup_id = 99 };
        struct cgp_record out;
        Kernel *kernel = test_kernel(sandbox);

        in.hook[3].cur_hash = 42;
        assert_int_equal(kernel->ops->record_read(kernel, 99, &out), -ENOENT);
        assert_int_equal(kernel->ops->record_write(kernel, &in), 0);
        kernel_close(kernel);
        kernel = test_kernel(sandbox);
        assert_int_equal(kernel->ops->record_read(kernel, 99, &out), 0);
        assert_memory_equal(&in, &out, sizeof(in));
        assert_int_equal(kernel->ops->record_delete(kernel, 99), 0);
        assert_int_equal(kernel->ops->record_delete(kernel, 99), 0);
        assert_int_equal(kernel->ops->record_read(kernel, 99, &out), -ENOENT);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_completes_what_is_missing(void **state) {
        Kernel *kernel = test_kernel(sandbox);

        kernel_close(kernel);
        assert_int_equal(unlink(BPFFS "/v2/maps/cgp_buckets"), 0);
        kernel = test_kernel(sandbox);
        assert_int_equal(count_entries(BPFFS "/v2/maps"), _LOADER_MAP_MAX);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_not_a_bpffs(void **state) {
        _cleanup_close_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        KernelFailure failure;
        Kernel *kernel = NULL;

        assert_int_equal(kernel_open(fd, NULL, &failure, &kernel), -ENOTSUP);
        assert_null(kernel);
}

static void expect_stale(const char *name, int n_entries) {
        KernelFailure failure;
        Kernel *kernel = NULL;

        assert_int_equal(open_kernel(&failure, &kernel), -ESTALE);
        assert_null(kernel);
        if (!strstr(failure.log, name))
                fail_msg("'%s' does not name %s", failure.log, name);
        assert_int_equal(count_entries(BPFFS "/v2/maps"), n_entries);
        assert_int_equal(access(BPFFS "/v2/links", F_OK), -1);
}

static void test_foreign_maps(void **state) {
        enum { FLOW_KEY = sizeof(struct cgp_flow_key), FLOW = sizeof(struct cgp_flow) };
        static const struct {
                const char *pin, *name;
                uint32_t type, key, value, n, flags;
        } cases[] = {
                { "cgp_flows", "cgp_flows", BPF_MAP_TYPE_HASH, FLOW_KEY, FLOW, 4096, 0 },
                { "cgp_flows", "cgp_flows", BPF_MAP_TYPE_LRU_HASH, FLOW_KEY + 4, FLOW, 4096, 0 },
                { "cgp_flows", "cgp_flows", BPF_MAP_TYPE_LRU_HASH, FLOW_KEY, FLOW + 8, 4096, 0 },
                { "cgp_flows", "cgp_flows", BPF_MAP_TYPE_LRU_HASH, FLOW_KEY, FLOW, 4095, 0 },
                { "cgp_flows", "other", BPF_MAP_TYPE_LRU_HASH, FLOW_KEY, FLOW, 4096, 0 },
                { "cgp_records", "cgp_records", BPF_MAP_TYPE_HASH, 8, sizeof(struct cgp_record),
                        CGP_MAX_SUBJECTS * 2, 0 },
                { "cgp_wake", "cgp_wake", BPF_MAP_TYPE_ARRAY, 4, 4, 2, 0 },
                { "cgp_sets", "cgp_sets", BPF_MAP_TYPE_ARRAY, 4, 4, CGP_MAX_SET_SLOTS, 0 },
                { "cgp_interfaces", "cgp_interfaces", BPF_MAP_TYPE_HASH, 4,
                        sizeof(struct cgp_interface), 16384, 0 },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_close_ int fd = create_map(cases[i].type, cases[i].name, cases[i].key,
                        cases[i].value, cases[i].n, cases[i].flags);
                char path[128];

                make_directories();
                (void)snprintf(path, sizeof(path), BPFFS "/v2/maps/%s", cases[i].pin);
                assert_int_equal(bpf_obj_pin(fd, path), 0);
                expect_stale(cases[i].pin, 1);
                assert_int_equal(unlink(path), 0);
                remove_directories();
        }
}

static void test_other_things_in_the_way(void **state) {
        _cleanup_close_ int fd = create_map(BPF_MAP_TYPE_ARRAY, "x", 4, 4, 1, 0);
        KernelFailure failure;
        Kernel *kernel = NULL;

        make_directories();
        assert_int_equal(mkdir(BPFFS "/v2/maps/cgp_stats", 0700), 0);
        expect_stale("cgp_stats", 1);
        assert_int_equal(rmdir(BPFFS "/v2/maps/cgp_stats"), 0);
        assert_int_equal(bpf_obj_pin(fd, BPFFS "/v2/real"), 0);
        assert_int_equal(symlink("../real", BPFFS "/v2/maps/cgp_stats"), 0);
        expect_stale("cgp_stats", 1);
        assert_int_equal(unlink(BPFFS "/v2/maps/cgp_stats"), 0);
        assert_int_equal(unlink(BPFFS "/v2/real"), 0);
        /* A directory that somebody else can write to. */
        assert_int_equal(chmod(BPFFS "/v2/maps", 0770), 0);
        expect_stale("maps", 0);
        remove_directories();

        assert_int_equal(bpf_obj_pin(fd, BPFFS "/v2"), 0);
        assert_int_equal(open_kernel(&failure, &kernel), -ESTALE);
        assert_int_equal(unlink(BPFFS "/v2"), 0);
        assert_int_equal(mkdir(BPFFS "/elsewhere", 0700), 0);
        assert_int_equal(symlink("elsewhere", BPFFS "/v2"), 0);
        assert_int_equal(open_kernel(&failure, &kernel), -ESTALE);
        assert_int_equal(count_entries(BPFFS "/elsewhere"), 0);
        assert_int_equal(unlink(BPFFS "/v2"), 0);
        assert_int_equal(rmdir(BPFFS "/elsewhere"), 0);
        assert_null(kernel);
}

/* What a daemon of another version enforces with is none of ours. */
static void test_another_version_is_left_alone(void **state) {
        _cleanup_close_ int fd = create_map(BPF_MAP_TYPE_ARRAY, "cgp_flows", 4, 4, 1, 0);
        Kernel *kernel;

        assert_int_equal(mkdir(BPFFS "/v1", 0700), 0);
        assert_int_equal(mkdir(BPFFS "/v1/maps", 0700), 0);
        assert_int_equal(bpf_obj_pin(fd, BPFFS "/v1/maps/cgp_flows"), 0);
        kernel = test_kernel(sandbox);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
        assert_int_equal(unlink(BPFFS "/v1/maps/cgp_flows"), 0);
        assert_int_equal(rmdir(BPFFS "/v1/maps"), 0);
        assert_int_equal(rmdir(BPFFS "/v1"), 0);
}

static void test_other_sizes_wanted(void **state) {
        KernelConfig config = { .flows_max = 8192, .denials_max = 1024 };
        Kernel *kernel = test_kernel(sandbox), *second = NULL;
        KernelFailure failure;

        assert_int_equal(kernel_open(sandbox->bpffs_fd, &config, &failure, &second), -ESTALE);
        assert_non_null(strstr(failure.log, "cgp_flows"));
        assert_null(second);
        assert_int_equal(count_entries(BPFFS "/v2/maps"), _LOADER_MAP_MAX);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

/* The links of the sandbox, as they are found. */
typedef struct Found {
        Kernel *kernel;
        KernelFound links[CGP_N_HOOKS];
        unsigned n;
} Found;

static int on_found(void *userdata, KernelFound *found) {
        Found *all = userdata;

        assert_true(all->n < CGP_N_HOOKS);
        all->links[all->n++] = *found;
        return 0;
}

static void test_enforces_without_a_daemon(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        Found found = {};
        uint64_t cgroup_id;
        uint32_t prog_id, ids[CGP_N_HOOKS];
        int fd;

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                ids[hook] = kernel->ops->progs_id(s->progs, hook);
                assert_true(ids[hook] > 0);
                kernel->ops->link_free(s->links[hook]);
        }
        kernel->ops->progs_free(s->progs);
        kernel_close(kernel);

        sandbox_enter(sandbox, "svc");
        fd = net_tcp(AF_INET);
        sandbox_leave(sandbox);
        assert_int_equal(net_connect(fd, "127.0.0.1", 80), -EPERM);

        kernel = test_kernel(sandbox);
        assert_int_equal(kernel_remove_pins(kernel), -ENOTEMPTY);
        assert_int_equal(count_entries(BPFFS "/v2/maps"), _LOADER_MAP_MAX);
        assert_int_equal(kernel->ops->links_find(kernel, on_found, &found), 0);
        assert_int_equal(found.n, CGP_N_HOOKS);
        for (unsigned i = 0; i < found.n; i++) {
                KernelFound *f = &found.links[i];

                assert_int_equal(f->subject, 5);
                assert_int_equal(f->cgroup_id, s->cgroup_id);
                assert_int_equal(kernel->ops->link_query(kernel, f->link, &prog_id, &cgroup_id), 0);
                assert_int_equal(prog_id, ids[f->hook]);
                assert_int_equal(cgroup_id, s->cgroup_id);
                assert_int_equal(kernel->ops->link_destroy(kernel, f->link), 0);
        }
        assert_int_not_equal(net_connect(fd, "127.0.0.1", 80), -EPERM);
        net_close(&fd);
        net_close(&s->cgroup_fd);
        free(s);
        sandbox_remove_cgroup(sandbox, "svc");
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_foreign_things_among_links(void **state) {
        _cleanup_close_ int map_fd = create_map(BPF_MAP_TYPE_ARRAY, "x", 4, 4, 1, 0);
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        char real[128], directory[128], path[160];
        Found found = {};

        /* Nine of them: a map as a link, a link under another hook's name, and names of no meaning. */
        (void)snprintf(
                real, sizeof(real), BPFFS "/v2/links/5-%016llx", (unsigned long long)s->cgroup_id);
        (void)snprintf(directory, sizeof(directory), "%s", BPFFS "/v2/links/6-0000000000000001");
        assert_int_equal(mkdir(directory, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/egress", directory);
        assert_int_equal(bpf_obj_pin(map_fd, path), 0);
        (void)snprintf(path, sizeof(path), "%s/egress", real);
        {
                _cleanup_close_ int link_fd = bpf_obj_get(path);

                assert_true(link_fd >= 0);
                (void)snprintf(path, sizeof(path), "%s/ingress", directory);
                assert_int_equal(bpf_obj_pin(link_fd, path), 0);
        }
        (void)snprintf(path, sizeof(path), "%s/bogus", directory);
        assert_int_equal(bpf_obj_pin(map_fd, path), 0);
        assert_int_equal(mkdir(BPFFS "/v2/links/6-1", 0700), 0);
        assert_int_equal(mkdir(BPFFS "/v2/links/06-0000000000000001", 0700), 0);
        assert_int_equal(mkdir(BPFFS "/v2/links/4294967296-0000000000000001", 0700), 0);
        assert_int_equal(mkdir(BPFFS "/v2/links/6-0000000000000001 ", 0700), 0);
        assert_int_equal(bpf_obj_pin(map_fd, BPFFS "/v2/links/7-0000000000000001"), 0);
        assert_int_equal(mkdir(BPFFS "/v2/links/8-0000000000000001", 0777), 0);
        assert_int_equal(chmod(BPFFS "/v2/links/8-0000000000000001", 0777), 0);

        assert_int_equal(kernel->ops->links_find(kernel, on_found, &found), 9);
        assert_int_equal(found.n, CGP_N_HOOKS);
        for (unsigned i = 0; i < found.n; i++) {
                assert_int_equal(found.links[i].subject, 5);
                kernel->ops->link_free(found.links[i].link);
        }

        assert_int_equal(system("cd " BPFFS "/v2/links && rm 6-0000000000000001/* 7-* && "
                                "rmdir 6* 06* 4294* 8*"),
                0);
        subject_detach(s);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_failed_attachments_leave_nothing(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        KernelLink *link = NULL;
        int not_a_cgroup = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(kernel->ops->link_create(kernel, s->progs, CGP_HOOK_EGRESS, s->cgroup_fd,
                                 5, s->cgroup_id, &link),
                -EEXIST);
        assert_true(kernel->ops->link_create(
                            kernel, s->progs, CGP_HOOK_EGRESS, not_a_cgroup, 6, 1, &link) < 0);
        assert_null(link);
        assert_int_equal(count_entries(BPFFS "/v2/links"), 1);
        assert_int_equal(kernel->ops->link_update(
                                 kernel, s->links[CGP_HOOK_EGRESS], s->progs, CGP_HOOK_INGRESS),
                -EINVAL);
        net_close(&not_a_cgroup);
        subject_detach(s);
        assert_int_equal(count_entries(BPFFS "/v2/links"), 0);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

/* Letting go works although somebody else holds the link, too. */
static void test_destroy_detaches(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        int held[CGP_N_HOOKS], fd;
        char path[160];

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                (void)snprintf(path, sizeof(path), BPFFS "/v2/links/5-%016llx/%s",
                        (unsigned long long)s->cgroup_id, kernel_hook_to_string(hook));
                held[hook] = bpf_obj_get(path);
                assert_true(held[hook] >= 0);
                assert_int_equal(kernel->ops->link_destroy(kernel, s->links[hook]), 0);
        }
        sandbox_enter(sandbox, "svc");
        fd = net_tcp(AF_INET);
        sandbox_leave(sandbox);
        assert_int_not_equal(net_connect(fd, "127.0.0.1", 80), -EPERM);
        net_close(&fd);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                net_close(&held[hook]);
        kernel->ops->progs_free(s->progs);
        net_close(&s->cgroup_fd);
        free(s);
        sandbox_remove_cgroup(sandbox, "svc");
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

/* A removed cgroup's links end with its last socket: then there is nothing to update any more. */
static void test_removed_cgroup(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        KernelLink *link = s->links[CGP_HOOK_EGRESS];
        uint64_t cgroup_id;
        uint32_t prog_id;
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_tcp(AF_INET);
        sandbox_leave(sandbox);
        net_close(&s->cgroup_fd);
        sandbox_remove_cgroup(sandbox, "svc");
        /* The socket holds it: still refused. */
        assert_int_equal(net_connect(fd, "127.0.0.1", 80), -EPERM);
        assert_int_equal(kernel->ops->link_update(kernel, link, s->progs, CGP_HOOK_EGRESS), 0);
        net_close(&fd);
        do /* the kernel lets go of a cgroup in its own time */
                assert_int_equal(kernel->ops->link_query(kernel, link, &prog_id, &cgroup_id), 0);
        while (cgroup_id != 0);
        assert_int_equal(
                kernel->ops->link_update(kernel, link, s->progs, CGP_HOOK_EGRESS), -ENOLINK);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(kernel->ops->link_destroy(kernel, s->links[hook]), 0);
        kernel->ops->progs_free(s->progs);
        free(s);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_broken_images(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        static const TestPolicy policy = { .rules = { "allow out tcp/443 to 10.0.0.0/9" } };
        _cleanup_(policy_image_freep) PolicyImage *image = test_image(&policy, 5, 1);
        struct cgp_config good = image->config;
        KernelFailure failure;
        KernelProgs *progs = NULL;

        /* Parts that lead out of what there is: noticed before anything is loaded. */
        image->config.cells = good.table_size;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        assert_string_equal(failure.step, "image");
        assert_int_equal(failure.hook, -1);
        image->config = good;
        image->config.n_cells = CGP_MAX_CELLS;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.n_nodes = CGP_MAX_NODES;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.paths = UINT32_MAX - 7;
        image->config.n_paths = 1;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.verdicts = sizeof(struct cgp_config) - 8;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.n_verdicts = CGP_MAX_VERDICTS + 1;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.table_size = CGP_MAX_TABLE_SIZE + 1;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.abi_version = CGP_ABI_VERSION + 1;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        image->config = good;
        image->config.subject = CGP_MAX_SUBJECTS;
        assert_int_equal(kernel->ops->progs_load(kernel, image, &failure, &progs), -EINVAL);
        assert_null(progs);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

/* What is constant is frozen, and the rest only the daemon can write, whatever is wrong with a program. */
static void test_programs_cannot_write_their_policy(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        Subject *s = subject_attach(sandbox, kernel, "svc", 5, &deny_all);
        _cleanup_close_ int prog_fd =
                bpf_prog_get_fd_by_id(kernel->ops->progs_id(s->progs, CGP_HOOK_EGRESS));
        uint32_t map_ids[32], size = sizeof(struct bpf_prog_info), zero = 0;
        struct bpf_prog_info info = { .nr_map_ids = 32, .map_ids = (uintptr_t)map_ids };
        unsigned n_frozen = 0, n_data = 0;

        assert_true(prog_fd >= 0);
        assert_int_equal(bpf_obj_get_info_by_fd(prog_fd, &info, &size), 0);
        for (unsigned i = 0; i < info.nr_map_ids; i++) {
                _cleanup_close_ int fd = bpf_map_get_fd_by_id(map_ids[i]);
                struct bpf_map_info map = {};
                _cleanup_free_ void *value = NULL;

                size = sizeof(map);
                assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &size), 0);
                if (streq(map.name, "cgp_tables") || streq(map.name, "cgp_image")) {
                        assert_true(map.map_flags & BPF_F_RDONLY_PROG);
                        n_data++;
                }
                if (!strstr(map.name, "rodata"))
                        continue;
                value = calloc(1, map.value_size);
                assert_non_null(value);
                assert_int_equal(bpf_map_update_elem(fd, &zero, value, BPF_ANY), -EPERM);
                n_frozen++;
        }
        assert_int_equal(n_data, 2);
        assert_int_equal(n_frozen, 1);
        subject_detach(s);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_probe(void **state) {
        Kernel *kernel = test_kernel(sandbox);
        KernelCapabilities capabilities;
        KernelFailure failure = {};

        if (kernel_probe(kernel, &capabilities, &failure) < 0)
                fail_msg("%s: %s", failure.step, failure.log);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (!capabilities.hooks[hook])
                        fail_msg("%s: %s", kernel_hook_to_string(hook), failure.log);
        assert_true(capabilities.dry_run);
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel_close(kernel);
}

static void test_hook_names(void **state) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(kernel_hook_from_string(kernel_hook_to_string(hook)), hook);
        assert_null(kernel_hook_to_string(CGP_N_HOOKS));
        assert_int_equal(kernel_hook_from_string("egres"), -EINVAL);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_makes_and_removes_everything),
                cmocka_unit_test(test_adopts),
                cmocka_unit_test(test_completes_what_is_missing),
                cmocka_unit_test(test_not_a_bpffs),
                cmocka_unit_test(test_foreign_maps),
                cmocka_unit_test(test_other_things_in_the_way),
                cmocka_unit_test(test_another_version_is_left_alone),
                cmocka_unit_test(test_other_sizes_wanted),
                cmocka_unit_test(test_enforces_without_a_daemon),
                cmocka_unit_test(test_foreign_things_among_links),
                cmocka_unit_test(test_failed_attachments_leave_nothing),
                cmocka_unit_test(test_destroy_detaches),
                cmocka_unit_test(test_removed_cgroup),
                cmocka_unit_test(test_broken_images),
                cmocka_unit_test(test_programs_cannot_write_their_policy),
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_hook_names),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
