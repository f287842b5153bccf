/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A subject under test: rules as text, compiled, loaded and attached to a cgroup of the sandbox. */
#pragma once

#include "host.h"
#include "kernel/kernel.h"
#include "policy/model.h"
#include "sandbox.h"

#define TEST_RULES_MAX 16U

typedef struct TestPolicy {
        PolicyMode mode;                   /* UNSET: enforce */
        PolicyDefault in, out;             /* UNSET: deny */
        PolicyErrno refusal;               /* UNSET: EPERM */
        const char *rules[TEST_RULES_MAX]; /* "allow out tcp/443", up to the first NULL */
} TestPolicy;

/* Slots of the counter map, relative to subject_slot(). Rule number i of the policy has TEST_SLOT_RULE + i
 * and is rule CGP_RULE_FIRST + i. */
enum {
        TEST_SLOT_DEFAULT_OUT,
        TEST_SLOT_DEFAULT_IN,
        TEST_SLOT_UNPARSABLE_OUT,
        TEST_SLOT_UNPARSABLE_IN,
        TEST_SLOT_CONTROL,
        TEST_SLOT_BROKEN,
        TEST_SLOT_DEFAULT_BIND,
        TEST_SLOT_RULE,
};

typedef struct Subject {
        Sandbox *sandbox;
        Kernel *kernel;
        char name[32];
        uint32_t number;
        int cgroup_fd;
        uint64_t cgroup_id;
        uint64_t generation;
        KernelProgs *progs;
        KernelLink *links[CGP_N_HOOKS];
} Subject;

/* All of these fail the test if they cannot do it. Images are compiled for test_host(), as it is then. */
PolicyImage *test_image(const TestPolicy *policy, uint32_t subject, uint64_t generation);
Kernel *test_kernel(Sandbox *sandbox);
Subject *subject_attach(Sandbox *sandbox, Kernel *kernel, const char *name, uint32_t number,
        const TestPolicy *policy);
/* As subject_attach(), of some hooks only: a bit each. Not for subject_publish(). */
Subject *subject_attach_hooks(Sandbox *sandbox, Kernel *kernel, const char *name, uint32_t number,
        const TestPolicy *policy, unsigned hooks);
KernelProgs *subject_load(Subject *s, const TestPolicy *policy);
void subject_publish(Subject *s, const TestPolicy *policy);
void subject_detach(Subject *s); /* also frees it, removes the cgroup, and leaves it if need be */

/* A socket that is made in the subject's cgroup; this process then goes to "home". Negative errno. */
int subject_socket(const Subject *s, int family, int type, int protocol);

/* Fails the test if any counter of the subject says that a packet or call was judged. */
void subject_expect_untouched(const Subject *s);

/* The sum of a counter, and waiting for one: packets come when the kernel gets to it. */
struct cgp_counter subject_counter(const Subject *s, unsigned slot);
void subject_clear(const Subject *s);
void subject_wait_blocked(const Subject *s, unsigned slot, uint64_t n);
void subject_wait_packets(const Subject *s, unsigned slot, uint64_t n);
