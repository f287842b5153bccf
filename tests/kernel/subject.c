/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "subject.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "net.h"
#include "policy/compile.h"
#include "policy/parse.h"
#include "util/macro.h"

#define SLOTS_PER_SUBJECT 32U
#define PATIENCE_SEC      20 /* only how long a test that fails takes */

static uint32_t first_slot(uint32_t subject) {
        return subject * SLOTS_PER_SUBJECT;
}

PolicyImage *test_image(const TestPolicy *policy, uint32_t subject, uint64_t generation) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        PolicyStackInput input = { .layer = POLICY_LAYER_LOCAL };
        PolicyImage *image = NULL;
        PolicyStack stack = {};
        PolicyCompileInput compile = {
                .stack = &stack,
                .host = test_host(),
                .subject = subject,
                .generation = generation,
                .counter_default_out = first_slot(subject) + TEST_SLOT_DEFAULT_OUT,
                .counter_default_in = first_slot(subject) + TEST_SLOT_DEFAULT_IN,
                .counter_unparsable_out = first_slot(subject) + TEST_SLOT_UNPARSABLE_OUT,
                .counter_unparsable_in = first_slot(subject) + TEST_SLOT_UNPARSABLE_IN,
                .counter_control = first_slot(subject) + TEST_SLOT_CONTROL,
                .counter_broken = first_slot(subject) + TEST_SLOT_BROKEN,
                .counter_default_bind = first_slot(subject) + TEST_SLOT_DEFAULT_BIND,
        };

        assert_int_equal(policy_file_new("test", &file), 0);
        file->mode = policy->mode ? policy->mode : POLICY_MODE_ENFORCE;
        file->default_in = policy->in ? policy->in : POLICY_DEFAULT_DENY;
        file->default_out = policy->out ? policy->out : POLICY_DEFAULT_DENY;
        file->refusal = policy->refusal;
        for (unsigned i = 0; i < TEST_RULES_MAX && policy->rules[i]; i++) {
                PolicyRule *rule = NULL;

                if (policy_parse_rule(policy->rules[i], "test", 1, 1, NULL, NULL, &rule) < 0)
                        fail_msg("not a rule: %s", policy->rules[i]);
                assert_int_equal(policy_file_add_rule(file, &rule), 0);
        }
        input.file = file;
        assert_int_equal(policy_stack_init(&stack, &input, 1), 0);
        for (size_t i = 0; i < stack.n_entries; i++) {
                stack.entries[i].number = (uint16_t)(CGP_RULE_FIRST + i);
                stack.entries[i].counter = first_slot(subject) + TEST_SLOT_RULE + (uint32_t)i;
        }
        assert_int_equal(policy_compile(&compile, NULL, &image), 0);
        policy_stack_done(&stack);
        return image;
}

Kernel *test_kernel(Sandbox *sandbox) {
        KernelConfig config = { .flows_max = 4096, .denials_max = 1024 };
        KernelFailure failure;
        Kernel *kernel = NULL;
        int r;

        r = kernel_open(sandbox->bpffs_fd, &config, &failure, &kernel);
        if (r < 0)
                fail_msg("open: %s: %s: %s", failure.step, strerror(-r), failure.log);
        return kernel;
}

KernelProgs *subject_load(Subject *s, const TestPolicy *policy) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        KernelFailure failure = {};
        KernelProgs *progs = NULL;
        int r;

        image = test_image(policy, s->number, ++s->generation);
        r = s->kernel->ops->progs_load(s->kernel, image, &failure, &progs);
        if (r < 0)
                fail_msg("load: %s, hook %d: %s\n%s", failure.step, failure.hook, strerror(-r),
                        failure.log);
        return progs;
}

Subject *subject_attach(Sandbox *sandbox, Kernel *kernel, const char *name, uint32_t number,
        const TestPolicy *policy) {
        return subject_attach_hooks(sandbox, kernel, name, number, policy, ~0U);
}

Subject *subject_attach_hooks(Sandbox *sandbox, Kernel *kernel, const char *name, uint32_t number,
        const TestPolicy *policy, unsigned hooks) {
        Subject *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->sandbox = sandbox;
        s->kernel = kernel;
        s->number = number;
        (void)snprintf(s->name, sizeof(s->name), "%s", name);
        s->cgroup_fd = sandbox_cgroup(sandbox, name, &s->cgroup_id);
        s->progs = subject_load(s, policy);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (hooks & 1U << hook)
                        assert_int_equal(
                                kernel->ops->link_create(kernel, s->progs, hook, s->cgroup_fd,
                                        number, s->cgroup_id, &s->links[hook]),
                                0);
        subject_clear(s);
        return s;
}

void subject_publish(Subject *s, const TestPolicy *policy) {
        KernelProgs *progs = subject_load(s, policy);

        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(
                        s->kernel->ops->link_update(s->kernel, s->links[hook], progs, hook), 0);
        s->kernel->ops->progs_free(s->progs);
        s->progs = progs;
}

void subject_detach(Subject *s) {
        sandbox_leave(s->sandbox);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                if (s->links[hook])
                        assert_int_equal(
                                s->kernel->ops->link_destroy(s->kernel, s->links[hook]), 0);
        s->kernel->ops->progs_free(s->progs);
        (void)close_keep_errno(s->cgroup_fd);
        sandbox_remove_cgroup(s->sandbox, s->name);
        free(s);
}

struct cgp_counter subject_counter(const Subject *s, unsigned slot) {
        struct cgp_counter counter;

        assert_int_equal(
                s->kernel->ops->counter_read(s->kernel, first_slot(s->number) + slot, &counter), 0);
        return counter;
}

void subject_clear(const Subject *s) {
        for (unsigned slot = 0; slot < SLOTS_PER_SUBJECT; slot++)
                assert_int_equal(
                        s->kernel->ops->counter_clear(s->kernel, first_slot(s->number) + slot), 0);
}

int subject_socket(const Subject *s, int family, int type, int protocol) {
        int fd;

        sandbox_enter(s->sandbox, s->name);
        fd = net_socket(family, type, protocol);
        sandbox_leave(s->sandbox);
        return fd;
}

void subject_expect_untouched(const Subject *s) {
        for (unsigned slot = 0; slot < SLOTS_PER_SUBJECT; slot++) {
                struct cgp_counter counter = subject_counter(s, slot);

                assert_int_equal(counter.packets + counter.blocked + counter.would, 0);
        }
}

static bool has_patience(time_t since) {
        struct timespec now;

        (void)sched_yield();
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec - since < PATIENCE_SEC;
}

static time_t start(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

void subject_wait_blocked(const Subject *s, unsigned slot, uint64_t n) {
        time_t since = start();

        while (subject_counter(s, slot).blocked < n)
                if (!has_patience(since))
                        fail_msg("slot %u: blocked %llu, not %llu", slot,
                                (unsigned long long)subject_counter(s, slot).blocked,
                                (unsigned long long)n);
}

void subject_wait_packets(const Subject *s, unsigned slot, uint64_t n) {
        time_t since = start();

        while (subject_counter(s, slot).packets < n)
                if (!has_patience(since))
                        fail_msg("slot %u: packets %llu, not %llu", slot,
                                (unsigned long long)subject_counter(s, slot).packets,
                                (unsigned long long)n);
}
