/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The surroundings of a private daemon: its directory, lock, bpffs mount, cgroup subtree and socket. All of it
 * is found again by a daemon that follows on the same directory, and removed by private_cleanup() when
 * nothing is in force any more.
 *
 *   DIR/lock   held as long as the daemon lives; DIR/bus its socket; DIR/bpf a bpffs of its own
 *   /cgpolicy-HASH below the cgroup2 mount, HASH of DIR's real path
 */
#pragma once

#include "util/cleanup.h"

typedef struct PrivateDir {
        char *path; /* real path */
        int fd;
        int lock_fd;
        int bpf_fd;
        char *cgroup_mount;
        char *cgroup; /* "/cgpolicy-1a2b3c4d" */
        int cgroup_fd;
        int socket_fd;
} PrivateDir;
#define PRIVATE_DIR_INIT                                                                \
        {                                                                               \
                .fd = -EBADF, .lock_fd = -EBADF, .bpf_fd = -EBADF, .cgroup_fd = -EBADF, \
                .socket_fd = -EBADF                                                     \
        }

/* Makes or opens all but the socket; says on stderr what is wrong and what to do. Returns an exit status of the
 * command on failure, as a positive number, else 0. */
int private_open(const char *path, PrivateDir *ret) _warn_unused_result_;

/* Listens, over a stale socket if need be. Returns as private_open(). */
int private_listen(PrivateDir *dir) _warn_unused_result_;

/* Removes the socket; the rest stays for a successor. */
void private_close_socket(PrivateDir *dir);

/* Nothing is in force any more: removes mount and cgroup. */
void private_cleanup(PrivateDir *dir);

/* Closes handles. */
void private_done(PrivateDir *dir);
