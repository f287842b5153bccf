/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the images of a test know of the host: the network namespace that the test runs in, and of networks,
 * interfaces and lists what the test says. One host per process; it begins empty.
 */
#pragma once

#include <stddef.h>

#include "kernel/ops.h"
#include "policy/host.h"

#define TEST_NAMES_MAX    4U
#define TEST_NETWORKS_MAX 16U

/* An interface of this namespace, and what rules call it: up to the first NULL, sorted. */
typedef struct TestInterface {
        const char *name;
        const char *names[TEST_NAMES_MAX];
} TestInterface;

typedef struct TestList {
        const char *name;
        const char *networks[TEST_NETWORKS_MAX]; /* up to the first NULL */
        const char *text;                        /* or, if not NULL, a whole file of them */
} TestList;

/* The host as it stands, for the compiler and the evaluator. */
const PolicyHost *test_host(void);

/* Only what images compiled from now on are made of, and the shared maps: a subject that shall know of it has
 * to be published again. Each replaces what was said before. networks: "10.0.0.0/8", NULL-terminated, none
 * within another; lists: sorted by name. All of these fail the test if they cannot do it. */
void test_host_set_lan(const char *const *networks);
void test_host_set_broadcast(const char *const *addresses);
void test_host_set_interfaces(Kernel *kernel, const TestInterface *interfaces, size_t n);
void test_host_set_lists(Kernel *kernel, const TestList *lists, size_t n);

/* Empty again. What the maps hold stays. */
void test_host_reset(void);
