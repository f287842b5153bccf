/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns listing sockets: a kernel iterator each for TCP and UDP, loaded when they are first asked for. They need
 * the kernel's BTF, which is read and forgotten again for it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/kernel-private.h"
#include "sock-iter.skel.h"
#include "util/macro.h"

struct SocketIterators {
        struct cgp_iter *skeleton;
};

struct SocketIterators *socket_iterators_free(struct SocketIterators *iterators) {
        if (!iterators)
                return NULL;
        cgp_iter__destroy(iterators->skeleton);
        free(iterators);
        return NULL;
}

DEFINE_CLEANUP(struct SocketIterators *, socket_iterators_freep, socket_iterators_free);

int socket_iterators_load(KernelBpf *kernel) {
        _cleanup_(socket_iterators_freep) struct SocketIterators *iterators = NULL;
        int r;

        if (kernel->iterators)
                return 0;
        iterators = calloc(1, sizeof(*iterators));
        if (!iterators)
                return -ENOMEM;
        iterators->skeleton = cgp_iter__open();
        if (!iterators->skeleton)
                return errno > 0 ? kernel_errno(-errno) : -ENOMEM;
        r = bpf_map__reuse_fd(iterators->skeleton->maps.cgp_sk, kernel->map_fds[LOADER_MAP_SK]);
        if (r < 0)
                return kernel_errno(r);
        r = cgp_iter__load(iterators->skeleton);
        if (r == 0)
                r = cgp_iter__attach(iterators->skeleton);
        if (r < 0) {
                r = kernel_errno(r);
                /* Everything else is a way to say that the kernel lacks types, fields, helpers or iterators. */
                return r == -ENOMEM || r == -EPERM || r == -EMFILE || r == -ENFILE ? r
                                                                                   : -EOPNOTSUPP;
        }
        kernel->iterators = TAKE_PTR(iterators);
        return 0;
}

static int give(const struct cgp_socket *s, KernelSocketCallback callback, void *userdata) {
        KernelSocket socket = {
                .cookie = s->cookie,
                .cgroup_id = s->cgroup_id,
                .netns = s->netns_cookie,
                .family = s->family,
                .protocol = s->protocol,
                .state = s->state,
                .opener = s->opener,
                .created = s->created,
                .local_port = s->local_port,
                .remote_port = s->remote_port,
                .ifindex = s->ifindex,
        };

        memcpy(socket.local, s->local, sizeof(socket.local));
        memcpy(socket.remote, s->remote, sizeof(socket.remote));
        return callback(userdata, &socket);
}

/* A read gives whole records, if it has room for one. */
static int read_all(int fd, KernelSocketCallback callback, void *userdata) {
        struct cgp_socket records[128];

        for (;;) {
                ssize_t n = read(fd, records, sizeof(records));

                if (n == 0)
                        return 0;
                if (n < 0) {
                        /* EAGAIN: many sockets and none of this cgroup; goes on where it was. */
                        if (errno == EINTR || errno == EAGAIN)
                                continue;
                        return kernel_errno(-errno);
                }
                if ((size_t)n % sizeof(records[0]) != 0)
                        return -EIO;
                for (size_t i = 0; i < (size_t)n / sizeof(records[0]); i++) {
                        int r = give(&records[i], callback, userdata);

                        if (r < 0)
                                return r;
                }
        }
}

static int list(const struct bpf_link *link, KernelSocketCallback callback, void *userdata) {
        _cleanup_close_ int fd = -EBADF;

        fd = bpf_iter_create(bpf_link__fd(link));
        if (fd < 0)
                return kernel_errno(fd);
        return read_all(fd, callback, userdata);
}

int kernel_sockets_each(Kernel *k, int cgroup_fd, KernelSocketCallback callback, void *userdata) {
        KernelBpf *kernel = kernel_bpf(k);
        struct cgp_iter *skeleton;
        struct stat st;
        int r;

        assert(callback);

        r = socket_iterators_load(kernel);
        if (r < 0)
                return r;
        skeleton = kernel->iterators->skeleton;
        /* The inode of a cgroup's directory is its id, as this machine has 64-bit inode numbers. */
        if (fstat(cgroup_fd, &st) < 0)
                return -errno;
        skeleton->bss->cgp_scope = st.st_ino;
        r = list(skeleton->links.cgp_iter_tcp, callback, userdata);
        if (r < 0)
                return r;
        return list(skeleton->links.cgp_iter_udp, callback, userdata);
}
