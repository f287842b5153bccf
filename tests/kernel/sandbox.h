/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A place where a test may do as it likes: cgroups of its own below the cgroup2 mount, a bpffs of its own
 * over /sys/fs/bpf, a network namespace with lo up. The test runs in a child that has them; whatever
 * becomes of it, the parent removes the cgroups, and the kernel the rest.
 */
#pragma once

#include <stdint.h>

typedef struct Sandbox {
        int cgroup_fd; /* the sandbox's own cgroup; the child starts in its cgroup "home" */
        int bpffs_fd;
} Sandbox;

/* Runs the test in a sandbox and returns its exit status: 77 where there can be no sandbox (no root, no
 * cgroup2, no bpffs), and then says why. */
int sandbox_run(int (*test)(Sandbox *sandbox));

/* Makes and opens a cgroup in the sandbox (its parents must be there); id is what links report. Fails the test if it cannot. */
int sandbox_cgroup(Sandbox *sandbox, const char *path, uint64_t *ret_id);

/* Moves this process to a cgroup of the sandbox: the sockets that it makes belong there. */
void sandbox_enter(Sandbox *sandbox, const char *path);
void sandbox_leave(Sandbox *sandbox); /* to "home" */

/* Removes a cgroup of the sandbox. */
void sandbox_remove_cgroup(Sandbox *sandbox, const char *path);
