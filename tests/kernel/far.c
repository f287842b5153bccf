/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "far.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define PATIENCE_SEC 20 /* only how long a test that fails takes */

static int open_own_namespace(void) {
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

Far far_open(void) {
        Far far = { .near_fd = open_own_namespace(), .fd = -EBADF };

        assert_int_equal(unshare(CLONE_NEWNET), 0);
        far.fd = open_own_namespace();
        far_ip_here("link set lo up\n");
        far_leave(&far);
        return far;
}

void far_close(Far *far) {
        net_close(&far->near_fd);
        net_close(&far->fd);
}

void far_enter(const Far *far) {
        assert_int_equal(setns(far->fd, CLONE_NEWNET), 0);
}

void far_leave(const Far *far) {
        assert_int_equal(setns(far->near_fd, CLONE_NEWNET), 0);
}

int far_socket(const Far *far, int family, int type, int protocol) {
        int fd;

        far_enter(far);
        fd = net_socket(family, type, protocol);
        far_leave(far);
        return fd;
}

int far_udp_bound(const Far *far, const char *ip, uint16_t port) {
        int fd;

        far_enter(far);
        fd = net_udp_bound(ip, port);
        far_leave(far);
        return fd;
}

int far_listener(const Far *far, const char *ip, uint16_t port) {
        int fd;

        far_enter(far);
        fd = net_listener(ip, port);
        far_leave(far);
        return fd;
}

void far_ip_here(const char *lines) {
        _cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
        int status;
        pid_t pid;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, lines, strlen(lines)), strlen(lines));
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (dup2(fd, STDIN_FILENO) >= 0)
                        (void)execlp("ip", "ip", "-batch", "-", NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("ip did not do: %s", lines);
}

void far_ip_there(const Far *far, const char *lines) {
        far_enter(far);
        far_ip_here(lines);
        far_leave(far);
}

/* Waits until the kernel has seen the carrier: before that, packets are lost without a word. */
static void wait_running(const char *name) {
        _cleanup_close_ int fd = net_udp(AF_INET);
        struct timespec begin, now;
        struct ifreq request = {};

        (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        do {
                (void)sched_yield();
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
                if (now.tv_sec - begin.tv_sec > PATIENCE_SEC)
                        fail_msg("no carrier: %s", name);
                assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
        } while (!(request.ifr_flags & IFF_RUNNING));
}

static void add_addresses(const char *name, const char *addresses) {
        char lines[1024], copy[512], *rest = copy, *address;
        size_t n = 0;

        (void)snprintf(copy, sizeof(copy), "%s", addresses);
        while ((address = strsep(&rest, " ")))
                n += (size_t)snprintf(lines + n, sizeof(lines) - n, "addr add %s dev %s %s\n",
                        address, name, strchr(address, ':') ? "nodad" : "broadcast +");
        /* The change takes the lock that the carrier's work holds, so that is done when this is. */
        far_ip_here(lines);
}

void far_link(
        const Far *far, const char *name, const char *near_addresses, const char *far_addresses) {
        char lines[512];

        (void)snprintf(lines, sizeof(lines),
                "link add name %s type veth peer name %s netns /proc/%d/fd/%d\n", name, name,
                getpid(), far->fd);
        far_ip_here(lines);
        (void)snprintf(lines, sizeof(lines), "link set %s up\n", name);
        far_ip_there(far, lines);
        far_ip_here(lines);

        wait_running(name);
        add_addresses(name, near_addresses);
        far_enter(far);
        wait_running(name);
        add_addresses(name, far_addresses);
        far_leave(far);
}
