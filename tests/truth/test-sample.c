/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random policies against live sockets: for each, a few attempts to connect, to send, to be reached and to bind,
 * over the loopback and over two tun devices. What the calls return and what arrives must be what the reference
 * evaluator says: the call is asked before the interface is known, the packet after.
 *
 * Environment: POLICIES (default 300), ATTEMPTS per policy (default 16), SEED (default: of the clock; printed).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../kernel/far.h"
#include "../kernel/host.h"
#include "../kernel/net.h"
#include "../kernel/packet.h"
#include "../kernel/sandbox.h"
#include "../kernel/subject.h"
#include "policy/eval.h"
#include "random-policy.h"
#include "util/cleanup.h"

#define PATIENCE_SEC 20    /* only how long a test that fails takes */
#define FIRST_PORT   50000 /* of those that no two attempts share */

static Sandbox *sandbox;
static Kernel *kernel;
static uint64_t seed;

static const char *const peer_texts[] = { "any", "localhost", "multicast", "broadcast", "lan",
        "internet", "link-local", "@few", "@many", "127.0.0.0/8", "127.0.0.1", "127.9.0.0/16",
        "127.9.9.9", "::1", "10.0.0.0/8", "10.1.2.3", "10.1.2.0/24", "8.8.8.8", "8.8.0.0/16",
        "203.0.113.0/24", "192.168.1.7", "192.168.1.1-192.168.1.9", "224.0.0.251", "0.0.0.0/0",
        "::/0", "2001:db8::/32", "2001:db8::1", "2600::/12", "2600::1", "::ffff:8.8.8.8" };
static const char *const what_texts[] = { "", "", "any", "tcp", "udp", "tcp/443", "tcp/80,443",
        "udp/53", "udp/1-1023", "tcp/1000-1999", "tcp/53+udp/53", "udp/50000-65535",
        "tcp/1024-65535", "udp/5353", "icmp", "sctp/443" };
static const char *const via_texts[] = { "eth0", "wlan0", "lo", "absent" };
static const char *const bind_texts[] = { "tcp/443", "udp/53", "tcp to 127.0.0.1",
        "udp/5353 to ::1", "udp/1-1023", "tcp/1000-1999 to 10.200.0.0/16", "udp to 10.200.0.0/16" };

static const RandomWords words = {
        .peers = peer_texts,
        .n_peers = ELEMENTSOF(peer_texts),
        .whats = what_texts,
        .n_whats = ELEMENTSOF(what_texts),
        .vias = via_texts,
        .n_vias = ELEMENTSOF(via_texts),
        .binds = bind_texts,
        .n_binds = ELEMENTSOF(bind_texts),
};

/* Where peers are. Those on lo have sockets; those behind a tun device are this test, which reads and writes its
 * packets. */
typedef struct Path {
        const char *device;
        const char *name; /* in rules */
        const char *own4, *own6;
        int fd; /* tun, or negative */
} Path;

static Path paths[] = {
        { "lo", "lo", "127.0.0.1", "::1", -EBADF },
        { "cgpeth0", "eth0", "10.200.0.1", "2001:db8:200::1", -EBADF },
        { "cgpwlan0", "wlan0", "10.201.0.1", "2001:db8:201::1", -EBADF },
};

static const struct {
        const char *ip;
        unsigned path;
} peers[] = {
        { "127.0.0.1", 0 },
        { "127.9.9.9", 0 },
        { "10.1.2.3", 0 },
        { "::1", 0 },
        { "2001:db8::1", 0 },
        { "8.8.8.8", 1 },
        { "192.168.1.7", 1 },
        { "2600::1", 1 },
        { "10.1.2.77", 2 },
        { "203.0.113.9", 2 },
        { "2001:db8:9::5", 2 },
};

static const uint16_t ports[] = { 53, 80, 443, 1000, 1999, 5353 };

typedef struct Attempt {
        const RandomPolicy *policy;
        bool is_in;
        bool is_tcp;
        bool connects;  /* out, UDP: connect() and send() for sendto() */
        bool is_bound;  /* out: the local port is known when the call is made */
        bool is_mapped; /* out: an IPv4 peer from an IPv6 socket */
        const char *peer_ip;
        const Path *path;
        uint16_t port;  /* of who is called */
        uint16_t other; /* of who calls */
        int fd;         /* the service's socket */
} Attempt;

/* What became of attempts: a sample that misses one of these says little. */
static struct {
        unsigned long bind_refused, call_refused, out_dropped, out_passed, in_dropped, in_passed;
} tally;

static bool is_v6(const char *ip) {
        return strchr(ip, ':');
}

static const char *own_ip(const Attempt *a) {
        return is_v6(a->peer_ip) ? a->path->own6 : a->path->own4;
}

static void parse_address(const char *ip, uint8_t ret[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (is_v6(ip)) {
                assert_int_equal(inet_pton(AF_INET6, ip, ret), 1);
                return;
        }
        memcpy(ret, mapped, sizeof(mapped));
        assert_int_equal(inet_pton(AF_INET, ip, ret + 12), 1);
}

static PolicyPlace place_of(const Path *path) {
        char *const names[] = { (char *)(uintptr_t)path->name, NULL };
        int id = policy_host_interface_id(test_host(), names);

        assert_true(id >= 0);
        return (PolicyPlace){ .interface = (size_t)id };
}

static bool passes(const Attempt *a, PolicyPlace place, uint16_t local_port) {
        PolicyFlow flow = {
                .direction = a->is_in ? CGP_DIR_IN : CGP_DIR_OUT,
                .protocol = a->is_tcp ? IPPROTO_TCP : IPPROTO_UDP,
                .remote_port = a->is_in ? a->other : a->port,
                .local_port = local_port,
                .place = place,
        };

        parse_address(a->peer_ip, flow.remote);
        return policy_eval_flow(&a->policy->stack, test_host(), &flow).passes;
}

static bool call_passes(const Attempt *a) {
        return passes(a, (PolicyPlace){ .undecided = true }, a->is_bound ? a->other : 0);
}

static bool packet_passes(const Attempt *a) {
        return passes(a, place_of(a->path), a->is_in ? a->port : net_local_port(a->fd));
}

static bool bind_passes(const Attempt *a, const char *ip, uint16_t port) {
        PolicyFlow flow = {
                .direction = CGP_DIR_BIND,
                .protocol = a->is_tcp ? IPPROTO_TCP : IPPROTO_UDP,
                .local_port = port,
                .place.undecided = true,
        };

        parse_address(ip, flow.remote);
        return policy_eval_flow(&a->policy->stack, test_host(), &flow).passes;
}

static void failed(const Attempt *a, const char *what) {
        print_message("seed %llu\n", (unsigned long long)seed);
        random_policy_print(a->policy);
        print_message("%s %s%s%s%s, peer %s by %s, port %u, other %u\n", a->is_in ? "in" : "out",
                a->is_tcp ? "tcp" : "udp", a->connects ? " connected" : "",
                a->is_bound ? " bound" : "", a->is_mapped ? " mapped" : "", a->peer_ip,
                a->path->name, a->port, a->other);
        fail_msg("the kernel and the evaluator disagree: %s", what);
}

#define CHECK(attempt, condition)                      \
        do {                                           \
                if (!(condition))                      \
                        failed((attempt), #condition); \
        } while (false)

static bool has_patience(const struct timespec *since) {
        struct timespec now;

        (void)sched_yield();
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec - since->tv_sec < PATIENCE_SEC;
}

/* What was dropped in silence shows in a counter, and nowhere else. */
static void wait_dropped(const Attempt *a, uint64_t before) {
        struct timespec begin;

        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        while (random_policy_blocked(kernel, a->policy) <= before)
                CHECK(a, has_patience(&begin) && "dropped");
}

/* What should come is waited for. */
static bool comes(int fd, short events) {
        struct pollfd p = { .fd = fd, .events = events };

        return poll(&p, 1, PATIENCE_SEC * 1000) == 1;
}

/* Takes what the tun device has until there is one to (or from) this port. Before that, other packets are the
 * kernel's own. */
static bool tun_takes(
        const Path *path, const char *from, const char *to, uint16_t to_port, bool waits) {
        uint8_t bytes[PACKET_MAX], source[16], target[16];

        parse_address(from, source);
        parse_address(to, target);
        for (;;) {
                ssize_t n = read(path->fd, bytes, sizeof(bytes));
                bool v6 = bytes[0] >> 4 == 6;
                size_t header = v6 ? 40 : 20, size = v6 ? 16 : 4;

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        if (!waits || !comes(path->fd, POLLIN))
                                return false;
                        continue;
                }
                if (v6 != is_v6(to) || (size_t)n < header + 4)
                        continue;
                if (memcmp(bytes + header - 2 * size, source + 16 - size, size) == 0 &&
                        memcmp(bytes + header - size, target + 16 - size, size) == 0 &&
                        (bytes[header + 2] << 8 | bytes[header + 3]) == to_port)
                        return true;
        }
}

static void tun_gives(const Attempt *a, uint16_t from_port, uint16_t to_port) {
        uint8_t protocol = a->is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
        Packet p;

        if (is_v6(a->peer_ip))
                packet_ip6(&p, a->peer_ip, own_ip(a), protocol);
        else
                packet_ip4(&p, a->peer_ip, own_ip(a), protocol, 0);
        if (a->is_tcp)
                packet_add_tcp(&p, from_port, to_port, 0x02);
        else
                packet_add_udp(&p, from_port, to_port);
        packet_set_checksum(&p, a->is_tcp ? 16 : 6);
        if (!is_v6(a->peer_ip))
                packet_set_header_checksum(&p);
        assert_int_equal(write(a->path->fd, p.bytes, p.size), p.size);
}

static int own_socket(const Attempt *a) {
        bool v6 = is_v6(a->peer_ip) || a->is_mapped;
        int fd;

        sandbox_enter(sandbox, "svc");
        fd = net_socket(v6 ? AF_INET6 : AF_INET, a->is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
        sandbox_leave(sandbox);
        assert_true(fd >= 0);
        return fd;
}

/* False if the policy does not let it. */
static bool bind_own(const Attempt *a, uint16_t port) {
        char mapped[64];
        bool expected = bind_passes(a, own_ip(a), port);
        int r;

        (void)snprintf(mapped, sizeof(mapped), "%s%s", a->is_mapped ? "::ffff:" : "", own_ip(a));
        r = net_bind(a->fd, mapped, port);
        CHECK(a, r == (expected ? 0 : -EPERM) && "bind");
        tally.bind_refused += !expected;
        return expected;
}

static void reset_on_close(int fd) {
        struct linger now = { .l_onoff = 1 };

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
}

static void try_stream_out(const Attempt *a, const char *to) {
        bool by_lo = a->path->fd < 0;
        _cleanup_close_ int listener = by_lo ? net_listener(a->peer_ip, a->port) : -EBADF;
        _cleanup_close_ int peer = -EBADF;
        uint64_t before = random_policy_blocked(kernel, a->policy);
        int r = net_connect(a->fd, to, a->port);

        if (!call_passes(a)) {
                CHECK(a, r == -EPERM && "connect is refused");
                tally.call_refused++;
                return;
        }
        CHECK(a, (r == 0 || r == -EINPROGRESS) && "connect begins");
        tally.out_dropped += !packet_passes(a);
        tally.out_passed += packet_passes(a);
        if (!packet_passes(a)) {
                wait_dropped(a, before);
                CHECK(a, net_is_connecting(a->fd) && "nobody answers");
                if (!by_lo)
                        CHECK(a, !tun_takes(a->path, own_ip(a), to, a->port, false) && "no SYN");
                return;
        }
        if (!by_lo) {
                CHECK(a, tun_takes(a->path, own_ip(a), a->peer_ip, a->port, true) && "a SYN");
                return;
        }
        CHECK(a, net_wait_connected(a->fd) == 0 && "connected");
        peer = net_wait_accepted(listener);
        assert_int_equal(net_send(peer, "answer"), 0);
        CHECK(a, comes(a->fd, POLLIN) && "an answer");
        net_expect(a->fd, "answer");
        reset_on_close(peer);
}

static void try_datagram_out(const Attempt *a, const char *to) {
        bool by_lo = a->path->fd < 0, expected;
        _cleanup_close_ int server = by_lo ? net_udp_bound(a->peer_ip, a->port) : -EBADF;
        NetAddress from;
        int r;

        r = a->connects ? net_connect(a->fd, to, a->port) : 0;
        if (a->connects && !call_passes(a)) {
                CHECK(a, r == -EPERM && "connect is refused");
                tally.call_refused++;
                return;
        }
        CHECK(a, r == 0 && "connect");
        r = a->connects ? net_send(a->fd, "x") : net_send_to(a->fd, "x", to, a->port);
        expected = (a->connects || call_passes(a)) && packet_passes(a);
        CHECK(a, r == (expected ? 0 : -EPERM) && "send");
        tally.call_refused += !call_passes(a);
        tally.out_dropped += call_passes(a) && !expected;
        tally.out_passed += expected;
        if (!by_lo) {
                CHECK(a, tun_takes(a->path, own_ip(a), a->peer_ip, a->port, expected) == expected);
                if (!expected)
                        return;
                tun_gives(a, a->port, net_local_port(a->fd));
                CHECK(a, comes(a->fd, POLLIN) && "an answer by the device");
                return;
        }
        if (!expected) {
                CHECK(a, !net_has_data(server) && "nothing arrives");
                return;
        }
        CHECK(a, comes(server, POLLIN) && "it arrives");
        net_expect_from(server, "x", &from);
        assert_int_equal(net_reply_to(server, "answer", &from), 0);
        CHECK(a, comes(a->fd, POLLIN) && "an answer");
        net_expect(a->fd, "answer");
}

static void try_out(Attempt *a) {
        char to[64];

        (void)snprintf(to, sizeof(to), "%s%s", a->is_mapped ? "::ffff:" : "", a->peer_ip);
        a->fd = own_socket(a);
        if (!a->is_bound || bind_own(a, a->other)) {
                if (a->is_tcp)
                        try_stream_out(a, to);
                else
                        try_datagram_out(a, to);
        }
        net_close(&a->fd);
}

static void try_stream_in(const Attempt *a) {
        _cleanup_close_ int client = -EBADF, child = -EBADF;
        uint64_t before = random_policy_blocked(kernel, a->policy);
        bool expected = packet_passes(a);

        assert_int_equal(listen(a->fd, 4), 0);
        if (a->path->fd >= 0) {
                tun_gives(a, a->other, a->port);
                if (!expected)
                        wait_dropped(a, before);
                CHECK(a, tun_takes(a->path, own_ip(a), a->peer_ip, a->other, expected) == expected);
                return;
        }
        client = net_tcp(is_v6(a->peer_ip) ? AF_INET6 : AF_INET);
        assert_int_equal(net_bind(client, a->peer_ip, a->other), 0);
        reset_on_close(client);
        (void)net_connect(client, own_ip(a), a->port);
        if (!expected) {
                wait_dropped(a, before);
                CHECK(a, net_is_connecting(client) && "nobody answers");
                return;
        }
        CHECK(a, net_wait_connected(client) == 0 && "connected");
        child = net_wait_accepted(a->fd);
        assert_int_equal(net_send(child, "greeting"), 0);
        CHECK(a, comes(client, POLLIN) && "a greeting");
        net_expect(client, "greeting");
}

static void try_datagram_in(const Attempt *a) {
        _cleanup_close_ int client = -EBADF;
        uint64_t before = random_policy_blocked(kernel, a->policy);
        bool expected = packet_passes(a);

        if (a->path->fd < 0) {
                client = net_udp_bound(a->peer_ip, a->other);
                assert_int_equal(net_send_to(client, "", own_ip(a), a->port), 0);
        } else
                tun_gives(a, a->other, a->port);
        if (!expected) {
                wait_dropped(a, before);
                CHECK(a, !net_has_data(a->fd) && "nothing arrives");
                return;
        }
        CHECK(a, comes(a->fd, POLLIN) && "it arrives");
        net_expect(a->fd, "");
        CHECK(a, net_send_to(a->fd, "answer", a->peer_ip, a->other) == 0 && "the answer");
        if (a->path->fd < 0)
                net_expect(client, "answer");
        else
                CHECK(a, tun_takes(a->path, own_ip(a), a->peer_ip, a->other, true) && "an answer");
}

static void try_in(Attempt *a) {
        a->fd = own_socket(a);
        if (bind_own(a, a->port)) {
                tally.in_passed += packet_passes(a);
                tally.in_dropped += !packet_passes(a);
                if (a->is_tcp)
                        try_stream_in(a);
                else
                        try_datagram_in(a);
        }
        net_close(&a->fd);
}

static void try_something(const RandomPolicy *policy) {
        static uint16_t n_tried;
        size_t peer = random_below(ELEMENTSOF(peers));
        Attempt a = {
                .policy = policy,
                .is_in = random_one_in(2),
                .is_tcp = random_one_in(2),
                .connects = random_one_in(2),
                .is_bound = !random_one_in(3),
                .peer_ip = peers[peer].ip,
                .path = &paths[peers[peer].path],
                .port = RANDOM_PICK(ports),
                .other = (uint16_t)(FIRST_PORT + n_tried++ % 10000),
                .fd = -EBADF,
        };

        if (a.is_in) {
                a.connects = a.is_bound = false;
                try_in(&a);
                return;
        }
        a.connects = a.connects && !a.is_tcp;
        a.is_mapped = !is_v6(a.peer_ip) && random_one_in(4);
        try_out(&a);
}

static int add_tun(const char *name) {
        struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

        assert_true(fd >= 0);
        (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
        return fd;
}

/* More networks than would be put into an image. */
static const char *many_networks(void) {
        static char text[64 * 1024];
        size_t n = 0;

        for (unsigned i = 0; i < 1000; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "44.%u.%u.0/%u\n", i * 37 % 256,
                        i * 11 % 128 * 2, 23 + i % 2);
        (void)snprintf(text + n, sizeof(text) - n, "8.8.8.0/24\n127.9.0.0/16\n2600::/16\n::1\n");
        return text;
}

static void set_up_devices(void) {
        for (size_t i = 1; i < ELEMENTSOF(paths); i++) {
                char lines[512];

                paths[i].fd = add_tun(paths[i].device);
                (void)snprintf(lines, sizeof(lines),
                        "link set %s up\naddr add %s/32 dev %s\naddr add %s/128 dev %s nodad\n",
                        paths[i].device, paths[i].own4, paths[i].device, paths[i].own6,
                        paths[i].device);
                far_ip_here(lines);
        }
        far_ip_here("addr add 10.1.2.3/32 dev lo\naddr add 2001:db8::1/128 dev lo nodad\n");
        for (size_t i = 0; i < ELEMENTSOF(peers); i++) {
                const Path *path = &paths[peers[i].path];
                char line[256];

                if (path->fd < 0)
                        continue;
                (void)snprintf(line, sizeof(line), "route add %s dev %s src %s\n", peers[i].ip,
                        path->device, is_v6(peers[i].ip) ? path->own6 : path->own4);
                far_ip_here(line);
        }
}

static void set_up_host(void) {
        static const char *const lan[] = { "10.1.2.64/26", "192.168.1.0/24", "2001:db8:9::/64",
                NULL };
        static const char *const broadcast[] = { "192.168.1.255", NULL };
        TestInterface interfaces[ELEMENTSOF(paths)] = {};
        TestList lists[2] = {
                { .name = "few", .networks = { "203.0.113.0/24", "10.1.2.3", "2001:db8::/48" } },
                { .name = "many", .text = many_networks() },
        };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                interfaces[i] = (TestInterface){ paths[i].device, { paths[i].name } };
        test_host_set_lan(lan);
        test_host_set_broadcast(broadcast);
        test_host_set_interfaces(kernel, interfaces, ELEMENTSOF(interfaces));
        test_host_set_lists(kernel, lists, ELEMENTSOF(lists));
}

/* A number of its own for each policy: the memory of one's conversations does not answer for another's. */
static void try_policy(Subject *s, uint32_t number, unsigned n_attempts) {
        RandomPolicy policy;
        KernelProgs *progs;

        random_policy_init(&policy, &words);
        progs = random_policy_load(kernel, &policy, number);
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_int_equal(kernel->ops->link_update(kernel, s->links[hook], progs, hook), 0);
        kernel->ops->progs_free(s->progs);
        s->progs = progs;
        while (n_attempts-- > 0)
                try_something(&policy);
        random_policy_done(&policy);
}

static unsigned setting(const char *name, unsigned otherwise) {
        const char *text = getenv(name);

        return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void sockets_agree(void **state) {
        static const TestPolicy beginning = {};
        unsigned n_policies = setting("POLICIES", 300), n_attempts = setting("ATTEMPTS", 16);
        Subject *s;

        kernel = test_kernel(sandbox);
        set_up_devices();
        set_up_host();
        s = subject_attach(sandbox, kernel, "svc", 1, &beginning);
        for (unsigned i = 0; i < n_policies; i++)
                try_policy(s, 2 + i % (CGP_MAX_SUBJECTS - 2), n_attempts);
        print_message(
                "# %u policies, %u attempts each, seed %llu: no difference; refused %lu binds, "
                "%lu calls; out: dropped %lu, passed %lu; in: dropped %lu, passed %lu\n",
                n_policies, n_attempts, (unsigned long long)seed, tally.bind_refused,
                tally.call_refused, tally.out_dropped, tally.out_passed, tally.in_dropped,
                tally.in_passed);
        assert_true(tally.bind_refused && tally.call_refused && tally.out_dropped &&
                tally.out_passed && tally.in_dropped && tally.in_passed);
        subject_detach(s);
        test_host_reset();
        assert_int_equal(kernel_remove_pins(kernel), 0);
        kernel = kernel_close(kernel);
}

static int run(Sandbox *s) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(sockets_agree) };

        sandbox = s;
        seed = random_begin();
        return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
        return sandbox_run(run);
}
