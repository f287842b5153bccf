/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another host, so to speak: a second network namespace, and links between it and the sandbox's own. Peers that
 * are not of this namespace have addresses and interfaces of their own; what passes comes over a real device.
 */
#pragma once

#include <stdint.h>

typedef struct Far {
        int near_fd; /* the namespaces */
        int fd;
} Far;

/* A namespace with lo up, beside the one that this process is in. All of these fail the test if they cannot. */
Far far_open(void);
/* Its links go with it. */
void far_close(Far *far);

void far_enter(const Far *far);
void far_leave(const Far *far);

/* Made there, by a process in the sandbox's "home". Negative errno. */
int far_socket(const Far *far, int family, int type, int protocol);
int far_udp_bound(const Far *far, const char *ip, uint16_t port);
int far_listener(const Far *far, const char *ip, uint16_t port);

/* A pair of interfaces of one name, one in each namespace, up, each with these addresses ("10.0.0.1/24", more behind
 * spaces). Returns when packets can pass. */
void far_link(
        const Far *far, const char *name, const char *near_addresses, const char *far_addresses);

/* Lines of `ip -batch`, in the namespace that this process is in, or over there. */
void far_ip_here(const char *lines);
void far_ip_there(const Far *far, const char *lines);
