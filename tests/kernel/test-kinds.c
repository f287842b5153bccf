/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kinds of instances: what each can hold, that nothing passes where it is asked for more, and medium ones. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "instances.h"
#include "net.h"
#include "util/cleanup.h"
#include "util/macro.h"

static const uint32_t features[] = { CGP_FEATURE_SETS, CGP_FEATURE_PLACE, CGP_FEATURE_BIND };

static Instance *load_plain(Kernel *kernel) {
        LoaderInput input = pool_input(((KernelBpf *)(void *)kernel)->pool, POOL_SMALL_PLAIN);
        LoaderFailure failure;
        Instance *instance = NULL;

        assert_int_equal(loader_load(&input, &failure, &instance), 0);
        return instance;
}

static void read_image(const Instance *instance, struct cgp_image *ret) {
        uint32_t zero = 0;

        assert_int_equal(bpf_map_lookup_elem(instance->image_fd, &zero, ret), 0);
}

/* Past what the daemon refuses to do. */
static void force_features(const Instance *instance, uint32_t value) {
        struct cgp_image image;
        uint32_t zero = 0;

        read_image(instance, &image);
        image.config.features = value;
        assert_int_equal(bpf_map_update_elem(instance->image_fd, &zero, &image, BPF_ANY), 0);
}

static void test_fill_refuses_what_is_left_out(void **state) {
        Kernel *kernel = open_kernel();
        _cleanup_(instance_freep) Instance *instance = load_plain(kernel);
        static const struct cgp_image nothing;
        struct cgp_image image;
        KernelProbeImage probe;

        make_image(POOL_SMALL_PLAIN, &probe);
        for (unsigned i = 0; i < ELEMENTSOF(features); i++) {
                probe.image.config.features = features[i];
                assert_int_equal(instance_fill(instance, &probe.image), -EINVAL);
                read_image(instance, &image);
                assert_memory_equal(&image, &nothing, sizeof(image));
        }
        probe.image.config.features = 0;
        assert_int_equal(instance_fill(instance, &probe.image), 0);
        close_kernel(kernel);
}

/* An image that makes use of something has to say so: its instance is chosen by what it says. */
static void test_unnamed_features_are_refused(void **state) {
        Kernel *kernel = open_kernel();
        KernelFailure failure = {};
        KernelProgs *progs = NULL;
        KernelProbeImage probe;

        make_image(POOL_SMALL_PLAIN, &probe);
        probe.image.config.n_places = 2;
        assert_int_equal(kernel->ops->progs_load(kernel, &probe.image, &failure, &progs), -EINVAL);
        assert_string_equal(failure.step, "image");
        for (unsigned view = 0; view < CGP_N_VIEWS; view++) {
                make_image(POOL_SMALL_PLAIN, &probe);
                probe.image.config.view[view].n_set_classes = 2;
                assert_int_equal(
                        kernel->ops->progs_load(kernel, &probe.image, &failure, &progs), -EINVAL);
                assert_string_equal(failure.step, "image");
        }
        close_kernel(kernel);
}

typedef struct Ends {
        int cgroup_fd;
        int own;
        int stranger;
        int links[CGP_N_HOOKS];
} Ends;

static void open_ends(Ends *ends, const Instance *instance) {
        uint64_t cgroup_id;

        ends->cgroup_fd = sandbox_cgroup(sandbox, "svc", &cgroup_id);
        sandbox_enter(sandbox, "svc");
        ends->own = net_udp_bound(INSIDE, 4000);
        sandbox_leave(sandbox);
        ends->stranger = net_udp(AF_INET);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                ends->links[hook] = bpf_link_create(
                        instance->prog_fds[hook], ends->cgroup_fd, loader_attach_type(hook), NULL);
                assert_true(ends->links[hook] >= 0);
        }
}

static void close_ends(Ends *ends) {
        net_close(&ends->own);
        net_close(&ends->stranger);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                net_close(&ends->links[hook]);
        net_close(&ends->cgroup_fd);
        sandbox_remove_cgroup(sandbox, "svc");
}

static int bind_inside(uint16_t port) {
        int fd, r;

        sandbox_enter(sandbox, "svc");
        fd = net_udp(AF_INET);
        r = net_bind(fd, INSIDE, port);
        sandbox_leave(sandbox);
        net_close(&fd);
        return r;
}

static void check_all_passes(Ends *ends) {
        assert_int_equal(bind_inside(4001), 0);
        assert_int_equal(net_send_to(ends->own, "x", INSIDE, 9), 0);
        /* Over loopback, what is sent is there or dropped when the call returns. */
        assert_int_equal(net_send_to(ends->stranger, "passed", INSIDE, 4000), 0);
        net_expect(ends->own, "passed");
}

/* Each hook by itself: the one that comes first is taken away when it has refused. */
static void check_all_is_refused(Ends *ends, int bind_result) {
        assert_int_equal(bind_inside(4001), bind_result);
        assert_int_equal(bind_inside(0), bind_result);
        net_close(&ends->links[CGP_HOOK_BIND4]);
        assert_int_equal(bind_inside(4001), bind_result);
        assert_int_equal(bind_inside(0), bind_result);

        assert_int_equal(net_connect(ends->own, INSIDE, 9), -EPERM);
        assert_int_equal(net_send_to(ends->own, "x", INSIDE, 9), -EPERM);
        net_close(&ends->links[CGP_HOOK_SENDMSG4]);
        assert_int_equal(net_send_to(ends->own, "x", INSIDE, 9), -EPERM);
        net_close(&ends->links[CGP_HOOK_EGRESS]);
        assert_int_equal(net_send_to(ends->own, "x", INSIDE, 9), 0);

        assert_int_equal(net_send_to(ends->stranger, "dropped", INSIDE, 4000), 0);
        assert_false(net_has_data(ends->own));
        net_close(&ends->links[CGP_HOOK_INGRESS]);
        assert_int_equal(net_send_to(ends->stranger, "passed", INSIDE, 4000), 0);
        net_expect(ends->own, "passed");
}

/* However it got there. */
static void test_programs_refuse_what_they_lack(void **state) {
        Kernel *kernel = open_kernel();
        _cleanup_(instance_freep) Instance *instance = load_plain(kernel);
        KernelProbeImage probe;

        make_image(POOL_SMALL_PLAIN, &probe);
        assert_int_equal(instance_fill(instance, &probe.image), 0);
        for (unsigned i = 0; i < ELEMENTSOF(features); i++) {
                Ends ends;

                force_features(instance, 0);
                open_ends(&ends, instance);
                check_all_passes(&ends);
                force_features(instance, features[i]);
                check_all_is_refused(&ends, features[i] == CGP_FEATURE_BIND ? -EPERM : 0);
                close_ends(&ends);
        }
        close_kernel(kernel);
}

/* What a kind lacks never keeps it from being chosen by an image that does not ask for it, and it comes back as what
 * it is. */
static void test_kinds_are_kept_apart(void **state) {
        Kernel *kernel = open_kernel();
        KernelProgs *progs[_POOL_KIND_MAX];
        uint32_t ids[_POOL_KIND_MAX];

        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++) {
                Attached a;

                progs[kind] = load_kind(kernel, kind, 1);
                ids[kind] = kernel->ops->progs_id(progs[kind], CGP_HOOK_EGRESS);
                attach(&a, kernel, "svc", progs[kind]);
                assert_int_equal(udp_to_self("svc"), 0);
                detach(&a, "svc");
        }
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                kernel->ops->progs_free(progs[kind]);
        for (unsigned kind = 0; kind < _POOL_KIND_MAX; kind++)
                for (unsigned i = 0; i < _POOL_KIND_MAX; i++)
                        assert_int_equal(comes_back_as(kernel, kind, ids[i]), i == kind);
        close_kernel(kernel);
}

/* Three are enough for any number of changes: in force, ahead, and coming back. */
static void test_medium_is_used_again(void **state) {
        enum { CHANGES = 12 };
        Kernel *kernel = open_kernel();
        KernelProgs *progs = load_kind(kernel, POOL_MEDIUM_PLAIN, 1);
        uint32_t ids[3] = {}, id;
        unsigned n_ids = 0;
        Attached a;

        attach(&a, kernel, "svc", progs);
        assert_int_equal(settle_kind(kernel, POOL_MEDIUM_PLAIN), POOL_MEDIUM_AHEAD);
        assert_int_equal(settle_kind(kernel, POOL_MEDIUM_FULL), 0);
        for (unsigned i = 0; i < CHANGES; i++) {
                KernelProgs *next = load_kind(kernel, POOL_MEDIUM_PLAIN, i + 2);
                unsigned k = 0;

                id = kernel->ops->progs_id(next, CGP_HOOK_EGRESS);
                while (k < n_ids && ids[k] != id)
                        k++;
                if (k == n_ids) {
                        assert_true(n_ids < ELEMENTSOF(ids));
                        ids[n_ids++] = id;
                }
                publish(&a, next, 0, CGP_N_HOOKS - 1);
                kernel->ops->progs_free(progs);
                progs = next;
                assert_int_equal(udp_to_self("svc"), 0);
                (void)settle_kind(kernel, POOL_MEDIUM_PLAIN);
        }
        detach(&a, "svc");
        kernel->ops->progs_free(progs);
        close_kernel(kernel);
}

/* Many medium ones cost memory: some are kept, and beyond so many equal tables are shared as if they were larger. */
static void test_medium_is_bounded(void **state) {
        Kernel *kernel = open_kernel();
        TablesRegistry *registry = &((KernelBpf *)(void *)kernel)->tables;
        KernelProgs *progs[POOL_MEDIUM_USERS_MAX + 2];
        Attached a;

        for (unsigned i = 0; i < POOL_MEDIUM_USERS_MAX; i++)
                progs[i] = load_kind(kernel, i % 2 ? POOL_MEDIUM_FULL : POOL_MEDIUM_PLAIN, i + 1);
        assert_null(*registry);
        for (unsigned i = POOL_MEDIUM_USERS_MAX; i < ELEMENTSOF(progs); i++)
                progs[i] = load_kind(kernel, POOL_MEDIUM_PLAIN, i + 1);
        assert_non_null(*registry);
        assert_int_equal(tables_users(*registry), 2);
        attach(&a, kernel, "svc", progs[POOL_MEDIUM_USERS_MAX]);
        assert_int_equal(udp_to_self("svc"), 0);
        detach(&a, "svc");

        /* One less, and there is room again. */
        kernel->ops->progs_free(progs[0]);
        progs[0] = load_kind(kernel, POOL_MEDIUM_PLAIN, 1);
        assert_int_equal(tables_users(*registry), 2);
        for (unsigned i = 0; i < ELEMENTSOF(progs); i++)
                kernel->ops->progs_free(progs[i]);
        assert_null(*registry);
        assert_int_equal(settle_kind(kernel, POOL_MEDIUM_PLAIN), POOL_MEDIUM_MAX);
        assert_int_equal(settle_kind(kernel, POOL_MEDIUM_FULL), POOL_MEDIUM_MAX);
        close_kernel(kernel);
}

static int test(Sandbox *s) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fill_refuses_what_is_left_out),
                cmocka_unit_test(test_unnamed_features_are_refused),
                cmocka_unit_test(test_programs_refuse_what_they_lack),
                cmocka_unit_test(test_kinds_are_kept_apart),
                cmocka_unit_test(test_medium_is_used_again),
                cmocka_unit_test(test_medium_is_bounded),
        };

        sandbox = s;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(test);
}
