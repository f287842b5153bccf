/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "util/macro.h"

#define HANGS_USEC (30 * USEC_PER_SEC)

static int write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int fixture_enter(void) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        /* 1: none */
        r = write_file("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");
        if (r < 0)
                return r;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                return -errno;
        return 0;
}

bool fixture_is_possible(void) {
        int r = geteuid() == 0 ? fixture_enter() : -EPERM;

        if (r < 0)
                printf("1..0 # SKIP no network namespace: %s\n", strerror(-r));
        return r >= 0;
}

static void on_change(void *userdata) {
        Fixture *f = userdata;

        f->n_changes++;
}

int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        *state = f;
        if (fixture_enter() < 0 || sd_event_new(&f->event) < 0)
                return -1;
        return net_watch_new(f->event, on_change, f, &f->watch);
}

int fixture_teardown(void **state) {
        Fixture *f = *state;

        (void)net_watch_free(f->watch);
        (void)sd_event_unref(f->event);
        free(f);
        return 0;
}

static int tool_start(const char *tool, const char *lines) {
        _cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
        size_t size = strlen(lines);
        pid_t pid;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, lines, size), size);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (dup2(fd, STDIN_FILENO) >= 0)
                        (void)execlp(tool, tool, "-batch", "-", NULL);
                _exit(127);
        }
        return pid;
}

int ip_start(const char *lines) {
        return tool_start("ip", lines);
}

void ip_wait(int pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

void ip(const char *lines) {
        ip_wait(ip_start(lines));
}

void bridge(const char *lines) {
        ip_wait(tool_start("bridge", lines));
}

static void network_print(FILE *f, const NetNetwork *network, bool with_bits) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        bool ipv4 = network->bits >= 96 && memcmp(network->address, mapped, sizeof(mapped)) == 0;
        char text[INET6_ADDRSTRLEN];

        if (ipv4)
                inet_ntop(AF_INET, network->address + 12, text, sizeof(text));
        else
                inet_ntop(AF_INET6, network->address, text, sizeof(text));
        fputs(text, f);
        if (with_bits)
                fprintf(f, "/%u", network->bits - (ipv4 ? 96U : 0U));
}

static char *list_text(const NetNetwork *networks, size_t n, bool with_bits) {
        _cleanup_fclose_ FILE *f = NULL;
        char *text = NULL;
        size_t size;

        f = open_memstream(&text, &size);
        assert_non_null(f);
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        fputc(',', f);
                network_print(f, &networks[i], with_bits);
        }
        assert_int_equal(fclose(TAKE_PTR(f)), 0);
        return text;
}

char *networks_text(const NetState *state) {
        return list_text(state->networks, state->n_networks, true);
}

char *broadcast_text(const NetState *state) {
        return list_text(state->broadcast, state->n_broadcast, false);
}

char *interfaces_text(const NetState *state) {
        _cleanup_fclose_ FILE *f = NULL;
        char *text = NULL;
        size_t size;

        f = open_memstream(&text, &size);
        assert_non_null(f);
        for (size_t i = 0; i < state->n_interfaces; i++) {
                const NetInterface *interface = &state->interfaces[i];

                assert_int_equal(interface->is_loopback, streq(interface->names[0], "lo"));
                if (interface->is_loopback)
                        continue;
                fprintf(f, "%s%u:", ftell(f) > 0 ? "," : "", interface->ifindex);
                for (char **name = interface->names; *name; name++)
                        fprintf(f, "%s%s", name > interface->names ? "=" : "", *name);
        }
        assert_int_equal(fclose(TAKE_PTR(f)), 0);
        return text;
}

void wait_for_change(Fixture *f) {
        unsigned before = f->n_changes;

        while (f->n_changes == before)
                assert_true(sd_event_run(f->event, HANGS_USEC) > 0);
}

static void expect(Fixture *f, char *(*to_text)(const NetState *state), const char *text) {
        for (;;) {
                _cleanup_free_ char *now = to_text(net_watch_state(f->watch));
                int r;

                if (streq(now, text))
                        return;
                r = sd_event_run(f->event, HANGS_USEC);
                assert_true(r >= 0);
                if (r == 0)
                        assert_string_equal(now, text);
        }
}

void expect_interfaces(Fixture *f, const char *text) {
        expect(f, interfaces_text, text);
}

void expect_networks(Fixture *f, const char *text) {
        expect(f, networks_text, text);
}

void expect_broadcast(Fixture *f, const char *text) {
        expect(f, broadcast_text, text);
}

void expect_current(Fixture *f) {
        char *(*const views[])(
                const NetState *) = { interfaces_text, networks_text, broadcast_text };
        _cleanup_(net_watch_freep) NetWatch *fresh = NULL;

        assert_int_equal(net_watch_new(NULL, NULL, NULL, &fresh), 0);
        for (size_t i = 0; i < ELEMENTSOF(views); i++) {
                _cleanup_free_ char *followed = views[i](net_watch_state(f->watch));
                _cleanup_free_ char *read = views[i](net_watch_state(fresh));

                assert_string_equal(followed, read);
        }
        assert_int_equal(net_watch_state(f->watch)->netns, net_watch_state(fresh)->netns);
}
