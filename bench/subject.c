/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "subject.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel/loader.h"
#include "policy/compile.h"
#include "policy/parse.h"
#include "util/macro.h"

#define SLOTS_PER_SUBJECT 16384U /* a slot for each rule number */

void bench_fail(const char *what, int r) {
        fprintf(stderr, "bench: %s%s%s\n", what, r ? ": " : "", r ? strerror(r < 0 ? -r : r) : "");
        exit(EXIT_FAILURE);
}

uint64_t bench_now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* Rule number i of those that are not about the traffic itself: another port, in the same addresses, so that
 * walks are as deep as if they were. */
static void other_rule(const BenchPolicy *policy, unsigned i, char *text, size_t size) {
        uint32_t a = (i + 1) * 0x9e3779b1U;

        if (policy->is_v6)
                (void)snprintf(text, size, "deny out tcp/%u to fd00:6367:%x:%x::/64", 9 + i % 64,
                        a >> 24, a >> 8 & 0xffff);
        else
                (void)snprintf(text, size, "deny out tcp/%u to 127.%u.%u.%u/%u", 9 + i % 64,
                        64 + (a >> 26), a >> 16 & 0xff, i % 3 ? a >> 8 & 0xff : 0, i % 3 ? 32 : 24);
}

static void add_rule(PolicyFile *file, const char *text) {
        PolicyRule *rule = NULL;
        int r;

        r = policy_parse_rule(text, "bench", 1, 1, NULL, NULL, &rule);
        if (r >= 0)
                r = policy_file_add_rule(file, &rule);
        if (r < 0)
                bench_fail(text, r);
}

PolicyImage *bench_image(const BenchPolicy *policy, const PolicyHost *host, uint32_t subject) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        PolicyStackInput input = { .layer = POLICY_LAYER_LOCAL };
        PolicyCompileFailure failure = {};
        uint32_t slot = subject * SLOTS_PER_SUBJECT;
        PolicyStack stack = {};
        PolicyImage *image;
        PolicyCompileInput compile = {
                .stack = &stack,
                .host = host,
                .subject = subject,
                .generation = 1,
                .counter_default_out = slot + CGP_RULE_DEFAULT_OUT,
                .counter_default_in = slot + CGP_RULE_DEFAULT_IN,
                .counter_unparsable_out = slot + CGP_RULE_UNPARSABLE_OUT,
                .counter_unparsable_in = slot + CGP_RULE_UNPARSABLE_IN,
                .counter_control = slot + CGP_RULE_CONTROL,
                .counter_broken = slot + CGP_RULE_BROKEN,
                .counter_default_bind = slot + CGP_RULE_DEFAULT_BIND,
        };
        char text[128];
        int r;

        if (policy_file_new("bench", &file) < 0)
                bench_fail("file", ENOMEM);
        file->mode = POLICY_MODE_ENFORCE;
        file->default_in = policy->is_open ? POLICY_DEFAULT_ALLOW : POLICY_DEFAULT_DENY;
        file->default_out = file->default_in;
        /* Who serves and who calls is told apart by the port, so that each packet needs to know its opener. */
        add_rule(file, "allow tcp/7000-7999+udp/7000-7999");
        for (unsigned i = 1; i < policy->n_rules; i++) {
                other_rule(policy, i, text, sizeof(text));
                add_rule(file, text);
        }
        if (policy->list)
                add_rule(file, "allow out tcp/7000+udp/7000 to @bench");

        input.file = file;
        r = policy_stack_init(&stack, &input, 1);
        if (r < 0)
                bench_fail("stack", r);
        for (size_t i = 0; i < stack.n_entries; i++) {
                stack.entries[i].number = (uint16_t)(CGP_RULE_FIRST + i);
                stack.entries[i].counter = slot + stack.entries[i].number;
        }
        r = policy_compile(&compile, &failure, &image);
        if (r < 0)
                bench_fail(failure.limit ? failure.limit : "compile", r);
        policy_stack_done(&stack);
        return image;
}

void bench_host_add_list(PolicyHost *host, Kernel *kernel, const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint64_t start = bench_now(), parsed, built, loaded;
        PolicyList **lists = calloc(1, sizeof(*lists));
        const char *limit = NULL;
        PolicySet *set = NULL;
        struct stat st;
        void *bytes;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0 || !lists)
                bench_fail(path, errno);
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
                bench_fail(path, errno);
        r = policy_list_parse("bench", path, bytes, (size_t)st.st_size, NULL, &lists[0]);
        if (r < 0)
                bench_fail("list", r);
        (void)munmap(bytes, (size_t)st.st_size);
        parsed = bench_now();
        r = policy_set_build(lists, 1, &limit, &set);
        if (r < 0)
                bench_fail(limit ? limit : "set", r);
        built = bench_now();
        r = kernel->ops->set_load(kernel, set, &host->set_slot);
        if (r < 0)
                bench_fail("set_load", r);
        loaded = bench_now();
        host->lists = lists;
        host->n_lists = 1;
        host->set = set;
        printf("{\"list\": %zu, \"parse_ms\": %.1f, \"build_ms\": %.1f, \"load_ms\": %.1f, "
               "\"kernel_mib\": %.1f}\n",
                lists[0]->n_networks4 + lists[0]->n_networks6, (double)(parsed - start) / 1e6,
                (double)(built - parsed) / 1e6, (double)(loaded - built) / 1e6,
                (double)set->n_pages * CGP_SET_PAGE_SIZE / (1024 * 1024));
}

KernelProgs *bench_progs(Kernel *kernel, const PolicyImage *image) {
        KernelFailure failure = { .step = "" };
        KernelProgs *progs;
        int r;

        r = kernel->ops->progs_load(kernel, image, &failure, &progs);
        if (r < 0) {
                fputs(failure.log, stderr);
                bench_fail(failure.step, r);
        }
        return progs;
}

Kernel *bench_kernel(const char *bpffs) {
        _cleanup_close_ int fd = open(bpffs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        KernelConfig config = { .flows_max = 65536 };
        KernelFailure failure = { .step = "" };
        Kernel *kernel;
        int r;

        if (fd < 0)
                bench_fail(bpffs, errno);
        r = kernel_open(fd, &config, &failure, &kernel);
        if (r < 0)
                bench_fail(failure.step, r);
        return kernel;
}

static enum bpf_prog_type hook_program_type(unsigned hook) {
        switch (hook) {
        case CGP_HOOK_SOCK_CREATE:
        case CGP_HOOK_POST_BIND4:
        case CGP_HOOK_POST_BIND6:
                return BPF_PROG_TYPE_CGROUP_SOCK;
        case CGP_HOOK_SOCK_OPS:
                return BPF_PROG_TYPE_SOCK_OPS;
        case CGP_HOOK_EGRESS:
        case CGP_HOOK_INGRESS:
                return BPF_PROG_TYPE_CGROUP_SKB;
        default:
                return BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
        }
}

int bench_empty(unsigned hook) {
        struct bpf_insn insns[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
                { .code = BPF_JMP | BPF_EXIT },
        };
        LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = loader_attach_type(hook));
        int fd;

        fd = bpf_prog_load(
                hook_program_type(hook), "empty", "GPL", insns, ELEMENTSOF(insns), &opts);
        if (fd < 0)
                bench_fail("empty program", fd);
        return fd;
}
