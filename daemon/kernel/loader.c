/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/loader.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgpolicy.skel.h"
#include "util/macro.h"

#define VERIFIER_LOG_SIZE (1024U * 1024)

/* The kernel's ENOTSUPP, which it should not show but does. */
#define KERNEL_ENOTSUPP 524

static const struct {
        const char *name;
        unsigned attach_type;
} hooks[CGP_N_HOOKS] = {
        [CGP_HOOK_SOCK_CREATE] = { "cgp_sock_create", BPF_CGROUP_INET_SOCK_CREATE },
        [CGP_HOOK_SOCK_OPS] = { "cgp_sock_ops", BPF_CGROUP_SOCK_OPS },
        [CGP_HOOK_BIND4] = { "cgp_bind4", BPF_CGROUP_INET4_BIND },
        [CGP_HOOK_BIND6] = { "cgp_bind6", BPF_CGROUP_INET6_BIND },
        [CGP_HOOK_POST_BIND4] = { "cgp_post_bind4", BPF_CGROUP_INET4_POST_BIND },
        [CGP_HOOK_POST_BIND6] = { "cgp_post_bind6", BPF_CGROUP_INET6_POST_BIND },
        [CGP_HOOK_CONNECT4] = { "cgp_connect4", BPF_CGROUP_INET4_CONNECT },
        [CGP_HOOK_CONNECT6] = { "cgp_connect6", BPF_CGROUP_INET6_CONNECT },
        [CGP_HOOK_SENDMSG4] = { "cgp_sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
        [CGP_HOOK_SENDMSG6] = { "cgp_sendmsg6", BPF_CGROUP_UDP6_SENDMSG },
        [CGP_HOOK_EGRESS] = { "cgp_egress", BPF_CGROUP_INET_EGRESS },
        [CGP_HOOK_INGRESS] = { "cgp_ingress", BPF_CGROUP_INET_INGRESS },
};

const char *const loader_map_names[_LOADER_MAP_MAX] = {
        [LOADER_MAP_SK] = "cgp_sk",
        [LOADER_MAP_FLOWS] = "cgp_flows",
        [LOADER_MAP_COUNTERS] = "cgp_counters",
        [LOADER_MAP_STATS] = "cgp_stats",
        [LOADER_MAP_DENIALS] = "cgp_denials",
        [LOADER_MAP_FLUSHED] = "cgp_flushed",
        [LOADER_MAP_RECORDS] = "cgp_records",
        [LOADER_MAP_INTERFACES] = "cgp_interfaces",
        [LOADER_MAP_SETS] = "cgp_sets",
        [LOADER_MAP_BUCKETS] = "cgp_buckets",
        [LOADER_MAP_WOKEN] = "cgp_woken",
        [LOADER_MAP_EVENTS] = "cgp_events",
        [LOADER_MAP_WAKE] = "cgp_wake",
};

static void (*log_callback)(int level, const char *message);
static __thread bool is_quiet;
static pthread_once_t print_once = PTHREAD_ONCE_INIT;

static struct cgp *destroy_skeleton(struct cgp *skeleton) {
        cgp__destroy(skeleton);
        return NULL;
}

DEFINE_CLEANUP(struct cgp *, destroy_skeletonp, destroy_skeleton);

int kernel_errno(long r) {
        return r == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : (int)r;
}

static __attribute__((format(printf, 2, 0))) int print_message(
        enum libbpf_print_level level, const char *format, va_list args) {
        char message[1024];
        int n;

        if (is_quiet || !log_callback)
                return 0;
        n = vsnprintf(message, sizeof(message), format, args);
        if (n <= 0)
                return 0;
        message[strcspn(message, "\n")] = 0;
        log_callback((int)level, message);
        return 0;
}

/* Once: libbpf's variable is no thread's own. */
static void set_print(void) {
        (void)libbpf_set_print(print_message);
}

void loader_init(void) {
        (void)pthread_once(&print_once, set_print);
}

void loader_set_log(void (*callback)(int level, const char *message)) {
        log_callback = callback;
        loader_init();
}

void loader_be_quiet(void) {
        is_quiet = true;
}

const char *loader_name(unsigned hook) {
        assert(hook < CGP_N_HOOKS);
        return hooks[hook].name;
}

unsigned loader_attach_type(unsigned hook) {
        assert(hook < CGP_N_HOOKS);
        return hooks[hook].attach_type;
}

static int open_skeleton(uint32_t flows_max, uint32_t denials_max, struct cgp **ret) {
        _cleanup_(destroy_skeletonp) struct cgp *skeleton = NULL;
        int n_cpus, r;

        loader_init();
        skeleton = cgp__open();
        if (!skeleton)
                return errno > 0 ? kernel_errno(-errno) : -ENOMEM;
        n_cpus = libbpf_num_possible_cpus();
        if (n_cpus < 0)
                return n_cpus;
        r = bpf_map__set_max_entries(skeleton->maps.cgp_flows, flows_max);
        if (r == 0)
                r = bpf_map__set_max_entries(skeleton->maps.cgp_denials, denials_max);
        if (r == 0)
                r = bpf_map__set_max_entries(skeleton->maps.cgp_flushed, denials_max);
        if (r == 0)
                r = bpf_map__set_max_entries(skeleton->maps.cgp_events, (uint32_t)n_cpus);
        if (r == 0)
                r = bpf_map__set_max_entries(skeleton->maps.cgp_wake, (uint32_t)n_cpus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(skeleton);
        return 0;
}

static struct bpf_map *shared_map(struct cgp *skeleton, unsigned i) {
        return bpf_object__find_map_by_name(skeleton->obj, loader_map_names[i]);
}

int loader_map_specs(uint32_t flows_max, uint32_t denials_max, LoaderMapSpec ret[_LOADER_MAP_MAX]) {
        _cleanup_(destroy_skeletonp) struct cgp *skeleton = NULL;
        int r;

        r = open_skeleton(flows_max, denials_max, &skeleton);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++) {
                struct bpf_map *map = shared_map(skeleton, i);

                if (!map)
                        return -ENOENT;
                ret[i] = (LoaderMapSpec){
                        .type = bpf_map__type(map),
                        .key_size = bpf_map__key_size(map),
                        .value_size = bpf_map__value_size(map),
                        .n_entries = bpf_map__max_entries(map),
                        .flags = bpf_map__map_flags(map),
                };
        }
        return 0;
}

/* Hands the maps in; libbpf keeps duplicates of the fds until the object is closed. */
static int reuse_maps(struct cgp *skeleton, const int fds[_LOADER_MAP_MAX]) {
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++) {
                int r;

                if (fds[i] < 0)
                        continue;
                r = bpf_map__reuse_fd(shared_map(skeleton, i), fds[i]);
                if (r < 0)
                        return kernel_errno(r);
        }
        return 0;
}

int loader_create_maps(uint32_t flows_max, uint32_t denials_max, int fds[_LOADER_MAP_MAX]) {
        _cleanup_(destroy_skeletonp) struct cgp *skeleton = NULL;
        int created[_LOADER_MAP_MAX];
        struct bpf_program *program;
        int r;

        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                created[i] = -EBADF;

        r = open_skeleton(flows_max, denials_max, &skeleton);
        if (r < 0)
                return r;
        r = reuse_maps(skeleton, fds);
        if (r < 0)
                return r;
        bpf_object__for_each_program(program, skeleton->obj) {
                r = bpf_program__set_autoload(program, false);
                if (r < 0)
                        return r;
        }
        r = bpf_object__load(skeleton->obj);
        if (r < 0)
                return kernel_errno(r);

        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++) {
                if (fds[i] >= 0)
                        continue;
                created[i] = fcntl(bpf_map__fd(shared_map(skeleton, i)), F_DUPFD_CLOEXEC, 3);
                if (created[i] < 0) {
                        r = -errno;
                        while (i-- > 0)
                                (void)close_keep_errno(created[i]);
                        return r;
                }
        }
        for (unsigned i = 0; i < _LOADER_MAP_MAX; i++)
                if (created[i] >= 0)
                        fds[i] = created[i];
        return 0;
}

/* Keeps the end of what the verifier wrote: the reason is in its last lines. */
static void keep_log(LoaderFailure *reterr, const char *log) {
        size_t n = strlen(log), max = sizeof(reterr->log) - 1;

        if (n > max) {
                const char *line = strchr(log + n - max, '\n');

                log = line && line[1] ? line + 1 : log + n - max;
                n = strlen(log);
        }
        memcpy(reterr->log, log, n);
        reterr->log[n] = 0;
}

/* What a failed load means. The verifier always says why it refuses a program; where it is silent, or names
 * a call, the kernel lacks the program type, the attach type or the helper. */
static int load_errno(int r, const char *log) {
        r = kernel_errno(r);
        if (r == -ENOMEM || r == -EPERM || r == -EOPNOTSUPP)
                return r;
        if (r == -EINVAL && (!log[0] || strstr(log, "unknown func") || strstr(log, "invalid func")))
                return -EOPNOTSUPP;
        return -EINVAL;
}

static int prepare(struct cgp *skeleton, const LoaderInput *input, char *log) {
        int r;

        skeleton->rodata->cgp_instance = (struct cgp_instance){
                .image_size = input->image_size,
                .table_size = input->table_size,
                .features = input->can,
                .has_retval = input->features.retval,
                .has_skb_netns = input->features.skb_netns,
        };
        if (input->map_fds) {
                r = reuse_maps(skeleton, input->map_fds);
                if (r < 0)
                        return r;
        }
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                struct bpf_program *program =
                        bpf_object__find_program_by_name(skeleton->obj, hooks[hook].name);

                if (!program)
                        return -ENOENT;
                r = bpf_program__set_autoload(program, input->hooks & (1U << hook));
                if (r == 0)
                        r = bpf_program__set_log_buf(program, log, VERIFIER_LOG_SIZE);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* libbpf takes the size of a map that it is handed over for the size of the memory in which it keeps the
 * section's content, and would unmap that much. So the maps are handed in for the time of the load only, and
 * not through bpf_object__load_skeleton(), which would map that much; after it libbpf gets maps of the
 * section's own size. */
typedef struct Lent {
        struct bpf_map *map;
        int own_fd; /* of the section's size */
} Lent;

static int lend(Lent *lent, struct bpf_map *map, int fd) {
        _cleanup_close_ int own_fd = -EBADF;
        int r;

        own_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cgp_unused", sizeof(uint32_t),
                bpf_map__value_size(map), 1, NULL);
        if (own_fd < 0)
                return kernel_errno(own_fd);
        r = bpf_map__reuse_fd(map, fd);
        if (r < 0)
                return kernel_errno(r);
        *lent = (Lent){ .map = map, .own_fd = TAKE_FD(own_fd) };
        return 0;
}

/* On failure the skeleton must not be destroyed. */
static int take_back(Lent *lent) {
        int r = 0;

        if (!lent->map)
                return 0;
        r = bpf_map__reuse_fd(lent->map, lent->own_fd);
        lent->own_fd = close_keep_errno(lent->own_fd);
        lent->map = NULL;
        return r;
}

static int load_with(struct cgp **skeleton, int image_fd, int tables_fd) {
        Lent image = { .own_fd = -EBADF }, tables = { .own_fd = -EBADF };
        int r;

        r = lend(&image, (*skeleton)->maps.data_image, image_fd);
        if (r == 0)
                r = lend(&tables, (*skeleton)->maps.data_tables, tables_fd);
        if (r == 0)
                r = bpf_object__load((*skeleton)->obj);
        /* Rather a leak than memory unmapped that is somebody else's: this fails for want of memory only. */
        if (take_back(&image) < 0 || take_back(&tables) < 0) {
                (void)close_keep_errno(tables.own_fd);
                *skeleton = NULL;
                return -ENOMEM;
        }
        return r;
}

static int take_programs(struct cgp *skeleton, unsigned wanted, Instance *instance) {
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                struct bpf_program *program =
                        bpf_object__find_program_by_name(skeleton->obj, hooks[hook].name);
                uint32_t n_verified;
                int r;

                if (!(wanted & (1U << hook)))
                        continue;
                instance->prog_fds[hook] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
                if (instance->prog_fds[hook] < 0)
                        return -errno;
                r = loader_info(instance->prog_fds[hook], &instance->prog_ids[hook], &n_verified);
                if (r < 0)
                        return r;
        }
        return 0;
}

int loader_load(const LoaderInput *input, LoaderFailure *reterr, Instance **ret) {
        _cleanup_(destroy_skeletonp) struct cgp *skeleton = NULL;
        _cleanup_(instance_freep) Instance *instance = NULL;
        _cleanup_free_ char *log = NULL;
        int r;

        assert(input);
        assert(reterr);
        assert(ret);

        *reterr = (LoaderFailure){ .step = "open" };
        /* Untouched pages cost nothing, and older kernels fail a load whose log does not fit. */
        log = malloc(VERIFIER_LOG_SIZE);
        if (!log)
                return -ENOMEM;
        log[0] = 0;
        r = open_skeleton(/* flows_max= */ 1024, /* denials_max= */ 1024, &skeleton);
        if (r < 0)
                return r;

        reterr->step = "tables";
        r = instance_new(input->image_size, input->table_size, input->tables_fd, &instance);
        if (r < 0)
                return r;
        instance->can = input->can;

        reterr->step = "load";
        r = prepare(skeleton, input, log);
        if (r < 0)
                return r;
        r = load_with(&skeleton, instance->image_fd,
                input->tables_fd >= 0 ? input->tables_fd : instance->tables_fd);
        if (r < 0) {
                keep_log(reterr, log);
                return load_errno(r, log);
        }
        reterr->step = "info";
        r = take_programs(skeleton, input->hooks, instance);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(instance);
        return 0;
}

int loader_info(int prog_fd, uint32_t *ret_id, uint32_t *ret_verified) {
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(prog_fd, &info, &size) < 0)
                return kernel_errno(-errno);
        *ret_id = info.id;
        *ret_verified = info.verified_insns;
        return 0;
}
