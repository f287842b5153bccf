/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be in the way of a packet: none, empty (packet hooks), empty-all (every hook of ours), ours:N (rules),
 * ours6:N, open:N (default allow), list:FILE, prog:NAME:EGRESS:INGRESS (programs by id), nft:NAME:FILE (a
 * ruleset whose table is inet cgpbench).
 */
#pragma once

#include "subject.h"

typedef struct Config {
        const char *text;
        int programs[CGP_N_HOOKS]; /* to attach, or -1 */
        KernelProgs *progs;        /* or ours */
        const char *nft;           /* or a ruleset */
        KernelLink *links[CGP_N_HOOKS];
        int fds[CGP_N_HOOKS]; /* links to foreign programs, or -1 */
} Config;

/* Where configs are put: a cgroup, and the kernel that loads ours. */
typedef struct Site {
        Kernel *kernel;
        int cgroup_fd;
        uint64_t cgroup_id;
} Site;

/* All of these end the process when they cannot. */
void site_open(Site *site, const char *cgroup, const char *bpffs);
void config_init(Config *config, const Site *site, const char *text);
void config_attach(Config *config, const Site *site);
void config_detach(Config *config, const Site *site);
