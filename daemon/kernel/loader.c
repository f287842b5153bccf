/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/loader.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
        [LOADER_MAP_BUCKETS] = "cgp_buckets",
        [LOADER_MAP_WOKEN] = "cgp_woken",
        [LOADER_MAP_EVENTS] = "cgp_events",
        [LOADER_MAP_WAKE] = "cgp_wake",
};

static void (*log_callback)(int level, const char *message);

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

        if (!log_callback)
                return 0;
        n = vsnprintf(message, sizeof(message), format, args);
        if (n <= 0)
                return 0;
        message[strcspn(message, "\n")] = 0;
        log_callback((int)level, message);
        return 0;
}

void loader_set_log(void (*callback)(int level, const char *message)) {
        log_callback = callback;
        (void)libbpf_set_print(print_message);
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

        (void)libbpf_set_print(print_message);
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
        r = bpf_object__load_skeleton(skeleton->skeleton);
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

/* The image's tables as a map of their own that nobody can write any more: not even we. */
static int create_tables(const struct cgp_config *config, const uint8_t *tables, int *ret_fd) {
        LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
        _cleanup_close_ int fd = -EBADF;
        size_t size = MAX(config->table_size, 8U);
        void *memory;

        fd = bpf_map_create(
                BPF_MAP_TYPE_ARRAY, "cgp_tables", sizeof(__u32), (uint32_t)size, 1, &opts);
        if (fd < 0)
                return kernel_errno(fd);
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        memcpy(memory, tables, config->table_size);
        /* A map cannot be frozen while somebody may write to it. */
        if (munmap(memory, size) < 0)
                return -errno;
        if (bpf_map_freeze(fd) < 0)
                return kernel_errno(-errno);
        *ret_fd = TAKE_FD(fd);
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

static int prepare(struct cgp *skeleton, const LoaderInput *input, int tables_fd, char *log) {
        int r;

        skeleton->rodata->cgp_config = *input->config;
        r = bpf_map__reuse_fd(skeleton->maps.cgp_tables, tables_fd);
        if (r < 0)
                return kernel_errno(r);
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

static int take_fds(struct cgp *skeleton, unsigned wanted, int ret_fds[CGP_N_HOOKS]) {
        int fds[CGP_N_HOOKS];

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++) {
                struct bpf_program *program =
                        bpf_object__find_program_by_name(skeleton->obj, hooks[hook].name);

                fds[hook] = -EBADF;
                if (!(wanted & (1U << hook)))
                        continue;
                fds[hook] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
                if (fds[hook] < 0) {
                        int r = -errno;

                        while (hook-- > 0)
                                (void)close_keep_errno(fds[hook]);
                        return r;
                }
        }
        memcpy(ret_fds, fds, sizeof(fds));
        return 0;
}

int loader_load(const LoaderInput *input, LoaderFailure *reterr, int ret_fds[CGP_N_HOOKS]) {
        _cleanup_(destroy_skeletonp) struct cgp *skeleton = NULL;
        _cleanup_close_ int tables_fd = -EBADF;
        _cleanup_free_ char *log = NULL;
        int r;

        assert(input);
        assert(reterr);

        *reterr = (LoaderFailure){ .step = "open" };
        if (input->config->abi_version != CGP_ABI_VERSION ||
                input->config->subject >= CGP_MAX_SUBJECTS ||
                input->config->table_size > CGP_MAX_TABLE_SIZE)
                return -EINVAL;
        /* Untouched pages cost nothing, and older kernels fail a load whose log does not fit. */
        log = malloc(VERIFIER_LOG_SIZE);
        if (!log)
                return -ENOMEM;
        log[0] = 0;
        r = open_skeleton(/* flows_max= */ 1024, /* denials_max= */ 1024, &skeleton);
        if (r < 0)
                return r;

        reterr->step = "tables";
        r = create_tables(input->config, input->tables, &tables_fd);
        if (r < 0)
                return r;

        reterr->step = "load";
        r = prepare(skeleton, input, tables_fd, log);
        if (r < 0)
                return r;
        r = bpf_object__load_skeleton(skeleton->skeleton);
        if (r < 0) {
                keep_log(reterr, log);
                return load_errno(r, log);
        }
        return take_fds(skeleton, input->hooks, ret_fds);
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
