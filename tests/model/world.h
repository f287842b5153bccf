/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything around one manager: a directory on a tmpfs, a cgroup of its own, processes to live in jobs,
 * and the fake kernel. The manager can be stopped, or killed in a child, and another one started over what
 * it left. Functions return a negative errno and never fail the test themselves: they also run in children.
 */
#pragma once

#include <sys/types.h>

#include "core/manager.h"
#include "fake-kernel.h"

#define WORLD_PROCESSES 3

typedef struct World {
        char dir[96];
        int dir_fd;
        char cgroup[64]; /* from the mount, "/..." */
        int cgroup_fd;
        bool mounted;
        FakeKernel *fake;
        Kernel *kernel;
        sd_event *event;
        const NetState *net; /* what there is to know of the network, or NULL; borrowed */
        Manager *manager;    /* NULL: none runs */
} World;

/* The host's network as a world begins with it: lo, eth0 in 10.1.0.0/16, wg0; and another one, where eth0 is in
 * 10.2.0.0/16 and has a second name that rules may use. */
extern const NetState world_net;
extern const NetState world_net_later;

/* Runs the tests in a child that has a tmpfs of its own; removes its cgroups whatever becomes of it.
 * Returns 77 where that cannot be, and says why. */
int world_main(int (*tests)(void));

/* As setup and teardown of cmocka: *state is a World, without a manager yet. */
int world_setup(void **state);
int world_teardown(void **state);
World *world_new(void);
/* On a tmpfs of its own, with these options of mount(8). */
World *world_new_mounted(const char *options);
World *world_free(World *w);

int world_start(World *w);
/* The manager and its handle are gone; what is pinned stays. Returns the handles it forgot to close. */
int world_stop(World *w);
int world_restart(World *w);

/* Makes a job with whole rules, NULL-terminated or NULL. */
int world_create(World *w, const char *name, PolicyDefault verdict, const char *const *rules);

/* Moves process number i into the job's cgroup. */
int world_enter(World *w, unsigned i, const char *name);

/* Until the manager saw that each job has a process. */
int world_wait_seen(World *w);

/* All three. */
int world_job(
        World *w, unsigned i, const char *name, PolicyDefault verdict, const char *const *rules);

/* Ends process number i. */
void world_kill(World *w, unsigned i);

/* Lets the manager's events come, until done() says so. -ETIMEDOUT when it never does. */
int world_wait(World *w, bool (*done)(World *w));

uint64_t world_cgroup_id(World *w, const char *name); /* 0: no such job */
uint64_t world_passes(World *w, const char *name);

/* Puts text into a file below the directory; NULL removes it. */
int world_put(World *w, const char *name, const char *text);
/* Owned; NULL if it cannot be read. */
char *world_get(World *w, const char *name);

/* All files with their content, but for those whose path begins with except (or NULL). Owned. */
char *world_files(World *w, const char *except);

/* All that the manager and the hooks say is in force. Owned. */
char *world_in_force(World *w);

/* What is wrong with the books: links, records, programs, counters, numbers, files, cgroups that nobody has
 * any more, hooks that do not carry what the manager believes. Owned; NULL: nothing. */
char *world_audit(World *w);
