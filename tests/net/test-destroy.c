/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Real sockets over lo, ended from outside: what waits on them hears of it, and no other socket is hit. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "fixture.h"
#include "net/socket-destroy.h"
#include "util/macro.h"

#define HANGS_MSEC 30000

/* A connection over lo: what is destroyed, and its peer. UDP's peer is as connected as TCP's. */
typedef struct Pair {
        int fd;
        int peer_fd;
        int listener_fd;
        NetSocketId id;
} Pair;

typedef struct Way {
        int family;
        int type;
        const char *ip;
} Way;

static const Way ways[] = {
        { AF_INET, SOCK_STREAM, "127.0.0.1" },
        { AF_INET6, SOCK_STREAM, "::1" },
        { AF_INET6, SOCK_STREAM, "::ffff:127.0.0.1" },
        { AF_INET, SOCK_DGRAM, "127.0.0.1" },
        { AF_INET6, SOCK_DGRAM, "::1" },
        { AF_INET6, SOCK_DGRAM, "::ffff:127.0.0.1" },
};

static struct sockaddr_storage address_of(const Way *way, socklen_t *ret_size) {
        struct sockaddr_storage storage = { .ss_family = (sa_family_t)way->family };

        if (way->family == AF_INET) {
                struct sockaddr_in *in = (struct sockaddr_in *)&storage;

                assert_int_equal(inet_pton(AF_INET, way->ip, &in->sin_addr), 1);
                *ret_size = sizeof(*in);
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;

                assert_int_equal(inet_pton(AF_INET6, way->ip, &in6->sin6_addr), 1);
                *ret_size = sizeof(*in6);
        }
        return storage;
}

static void take_address(
        const struct sockaddr_storage *storage, uint8_t address[16], uint16_t *port) {
        if (storage->ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)storage;

                memset(address, 0, 10);
                address[10] = address[11] = 0xff;
                memcpy(address + 12, &in->sin_addr, 4);
                *port = ntohs(in->sin_port);
        } else {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;

                memcpy(address, &in6->sin6_addr, 16);
                *port = ntohs(in6->sin6_port);
        }
}

/* Who the socket is, as another would have noted it. */
static NetSocketId id_of(int fd) {
        NetSocketId id = { 0 };
        struct sockaddr_storage storage;
        int family, protocol;

        assert_int_equal(
                getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &(socklen_t){ sizeof(int) }), 0);
        assert_int_equal(
                getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &(socklen_t){ sizeof(int) }), 0);
        id.family = (uint8_t)family;
        id.protocol = (uint8_t)protocol;
        assert_int_equal(
                getsockname(fd, (struct sockaddr *)&storage, &(socklen_t){ sizeof(storage) }), 0);
        take_address(&storage, id.local, &id.local_port);
        if (getpeername(fd, (struct sockaddr *)&storage, &(socklen_t){ sizeof(storage) }) == 0)
                take_address(&storage, id.remote, &id.remote_port);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &id.cookie,
                                 &(socklen_t){ sizeof(id.cookie) }),
                0);
        return id;
}

static int socket_bound(const Way *way) {
        socklen_t size;
        struct sockaddr_storage storage = address_of(way, &size);
        int fd = socket(way->family, way->type | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&storage, size), 0);
        return fd;
}

static void connect_to(int fd, int other_fd) {
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);

        assert_int_equal(getsockname(other_fd, (struct sockaddr *)&storage, &size), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&storage, size), 0);
}

static Pair pair_open(const Way *way) {
        Pair pair = { .listener_fd = -EBADF };

        pair.fd = socket_bound(way);
        if (way->type == SOCK_STREAM) {
                pair.listener_fd = socket_bound(way);
                assert_int_equal(listen(pair.listener_fd, 1), 0);
                connect_to(pair.fd, pair.listener_fd);
                pair.peer_fd = accept4(pair.listener_fd, NULL, NULL, SOCK_CLOEXEC);
                assert_true(pair.peer_fd >= 0);
        } else {
                pair.peer_fd = socket_bound(way);
                connect_to(pair.fd, pair.peer_fd);
                connect_to(pair.peer_fd, pair.fd);
        }
        pair.id = id_of(pair.fd);
        return pair;
}

static void pair_close(Pair *pair) {
        (void)close(pair->fd);
        (void)close(pair->peer_fd);
        if (pair->listener_fd >= 0)
                (void)close(pair->listener_fd);
}

static void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, HANGS_MSEC), 1);
}

static void assert_works(const Pair *pair) {
        char byte = 'x';

        assert_int_equal(send(pair->peer_fd, &byte, 1, MSG_NOSIGNAL), 1);
        wait_readable(pair->fd);
        assert_int_equal(recv(pair->fd, &byte, 1, MSG_DONTWAIT), 1);
}

typedef struct Reader {
        int fd;
        int tid; /* once it is about to read */
        int r;
} Reader;

static void *read_in_thread(void *userdata) {
        Reader *reader = userdata;
        char byte;

        __atomic_store_n(&reader->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
        reader->r = read(reader->fd, &byte, 1) < 0 ? -errno : 0;
        return NULL;
}

static bool is_asleep(int tid) {
        _cleanup_fclose_ FILE *f = NULL;
        char path[64], thread_state = 0;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
        f = fopen(path, "re");
        return f && fscanf(f, "%*d (%*[^)]) %c", &thread_state) == 1 && thread_state == 'S';
}

/* Starts a reader and returns when it sleeps in read(). */
static pthread_t reader_start(Reader *reader) {
        pthread_t thread;
        int tid;

        assert_int_equal(pthread_create(&thread, NULL, read_in_thread, reader), 0);
        do {
                sched_yield();
                tid = __atomic_load_n(&reader->tid, __ATOMIC_ACQUIRE);
        } while (tid == 0 || !is_asleep(tid));
        return thread;
}

static void test_blocked_read_ends(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                NetDestroyer *destroyer = *state;
                Pair pair = pair_open(&ways[i]);
                Reader reader = { .fd = pair.fd };
                pthread_t thread;

                assert_works(&pair);
                thread = reader_start(&reader);
                assert_int_equal(net_destroyer_destroy(destroyer, &pair.id), 0);
                assert_int_equal(pthread_join(thread, NULL), 0);
                assert_int_equal(reader.r, -ECONNABORTED);
                pair_close(&pair);
        }
}

/* The accepting end is another socket with the same addresses, turned round. */
static void test_accepted_end(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                NetDestroyer *destroyer = *state;
                Pair pair = pair_open(&ways[i]);
                NetSocketId id = id_of(pair.peer_fd);
                char byte;

                assert_int_equal(net_destroyer_destroy(destroyer, &id), 0);
                assert_int_equal(recv(pair.peer_fd, &byte, 1, MSG_DONTWAIT), -1);
                assert_int_equal(errno, ECONNABORTED);
                if (ways[i].type == SOCK_STREAM) {
                        wait_readable(pair.fd);
                        assert_int_equal(recv(pair.fd, &byte, 1, MSG_DONTWAIT), -1);
                        assert_int_equal(errno, ECONNRESET);
                        assert_int_equal(net_destroyer_destroy(destroyer, &id), -ENOENT);
                }
                pair_close(&pair);
        }
}

static void test_wrong_identity_hits_nothing(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                NetDestroyer *destroyer = *state;
                Pair pair = pair_open(&ways[i]);
                NetSocketId id = pair.id;

                id.cookie++;
                assert_int_equal(net_destroyer_destroy(destroyer, &id), -ENOENT);
                id.cookie = pair.id.cookie | 1ULL << 32;
                assert_int_equal(net_destroyer_destroy(destroyer, &id), -ENOENT);
                id = id_of(pair.peer_fd);
                id.cookie = pair.id.cookie;
                assert_int_equal(net_destroyer_destroy(destroyer, &id), -ENOENT);
                /* To the kernel this means any socket. */
                id = pair.id;
                id.cookie = UINT64_MAX;
                assert_int_equal(net_destroyer_destroy(destroyer, &id), -EINVAL);
                id.cookie = 0;
                assert_int_equal(net_destroyer_destroy(destroyer, &id), -EINVAL);
                assert_works(&pair);

                assert_int_equal(net_destroyer_destroy(destroyer, &pair.id), 0);
                pair_close(&pair);
                assert_int_equal(net_destroyer_destroy(destroyer, &pair.id), -ENOENT);
        }
}

/* Another connection from the same port to the same peer is another socket. */
static void test_successor_is_spared(void **state) {
        NetDestroyer *destroyer = *state;
        Pair pair = pair_open(&ways[3]);
        NetSocketId old = pair.id;
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);

        assert_int_equal(getsockname(pair.fd, (struct sockaddr *)&storage, &size), 0);
        (void)close(pair.fd);
        pair.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(pair.fd, (struct sockaddr *)&storage, size), 0);
        connect_to(pair.fd, pair.peer_fd);
        pair.id = id_of(pair.fd);
        assert_int_equal(pair.id.local_port, old.local_port);
        assert_int_equal(net_destroyer_destroy(destroyer, &old), -ENOENT);
        assert_works(&pair);
        pair_close(&pair);
}

static void test_listener_and_unconnected(void **state) {
        NetDestroyer *destroyer = *state;
        const Way any[] = {
                { AF_INET, SOCK_STREAM, "0.0.0.0" },
                { AF_INET6, SOCK_STREAM, "::" },
                { AF_INET, SOCK_DGRAM, "0.0.0.0" },
                { AF_INET6, SOCK_DGRAM, "::" },
                { AF_INET6, SOCK_DGRAM, "::ffff:127.0.0.1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(any); i++) {
                _cleanup_close_ int fd = socket_bound(&any[i]);
                NetSocketId id;
                char byte;

                if (any[i].type == SOCK_STREAM)
                        assert_int_equal(listen(fd, 1), 0);
                id = id_of(fd);
                assert_int_equal(net_destroyer_destroy(destroyer, &id), 0);
                if (any[i].type == SOCK_STREAM)
                        assert_int_equal(accept4(fd, NULL, NULL, SOCK_NONBLOCK), -1);
                else {
                        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
                        assert_int_equal(errno, ECONNABORTED);
                }
        }
}

static void test_bound_to_interface(void **state) {
        NetDestroyer *destroyer = *state;
        Pair pair = { .fd = socket_bound(&ways[0]), .listener_fd = socket_bound(&ways[0]) };
        char byte;

        assert_int_equal(setsockopt(pair.fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
        assert_int_equal(listen(pair.listener_fd, 1), 0);
        connect_to(pair.fd, pair.listener_fd);
        pair.peer_fd = accept4(pair.listener_fd, NULL, NULL, SOCK_CLOEXEC);
        pair.id = id_of(pair.fd);
        pair.id.ifindex = if_nametoindex("lo");
        assert_int_equal(net_destroyer_destroy(destroyer, &pair.id), 0);
        assert_int_equal(recv(pair.fd, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, ECONNABORTED);
        pair_close(&pair);
}

static void test_refused(void **state) {
        NetDestroyer *destroyer = *state;
        Pair pair = pair_open(&ways[1]);
        NetSocketId id = pair.id;

        id.protocol = IPPROTO_UDPLITE;
        assert_int_equal(net_destroyer_destroy(destroyer, &id), -EOPNOTSUPP);
        id = pair.id;
        id.family = AF_UNIX;
        assert_int_equal(net_destroyer_destroy(destroyer, &id), -EINVAL);
        id.family = AF_INET; /* with IPv6 addresses */
        assert_int_equal(net_destroyer_destroy(destroyer, &id), -EINVAL);
        assert_works(&pair);
        pair_close(&pair);
}

/* Cookies are unique among all namespaces, and a destroyer stays in its own. */
static void test_other_namespace(void **state) {
        NetDestroyer *destroyer = *state;
        _cleanup_(net_destroyer_freep) NetDestroyer *here = NULL;
        Pair pair;

        assert_int_equal(fixture_enter(), 0);
        pair = pair_open(&ways[0]);
        assert_int_equal(net_destroyer_destroy(destroyer, &pair.id), -ENOENT);
        assert_works(&pair);
        assert_int_equal(net_destroyer_new(&here), 0);
        assert_int_equal(net_destroyer_destroy(here, &pair.id), 0);
        pair_close(&pair);
}

static int setup(void **state) {
        if (fixture_enter() < 0)
                return -1;
        return net_destroyer_new((NetDestroyer **)state);
}

static int teardown(void **state) {
        (void)net_destroyer_free(*state);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_blocked_read_ends),
                TEST(test_accepted_end),
                TEST(test_wrong_identity_hits_nothing),
                TEST(test_successor_is_spared),
                TEST(test_listener_and_unconnected),
                TEST(test_bound_to_interface),
                TEST(test_refused),
                TEST(test_other_namespace),
        };
        _cleanup_(net_destroyer_freep) NetDestroyer *probe = NULL;

        if (!fixture_is_possible())
                return 77;
        if (net_destroyer_new(&probe) == -EOPNOTSUPP) {
                printf("1..0 # SKIP this kernel destroys no sockets\n");
                return 77;
        }
        return cmocka_run_group_tests_name("destroy", tests, NULL, NULL);
}
