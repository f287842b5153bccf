/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns listing sockets, by kernel iterators that are loaded when they are first asked for: that reads the kernel's BTF,
 * a few megabytes, and forgets it again. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel/iterators.h"
#include "kernel/kernel-private.h"

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

int kernel_sockets_each(Kernel *k, int cgroup_fd, KernelSocketCallback callback, void *userdata) {
        KernelBpf *kernel = kernel_bpf(k);
        struct stat st;
        int r;

        assert(callback);

        if (!kernel->iterators) {
                r = iterators_load(kernel->map_fds[LOADER_MAP_SK], NULL, 0, &kernel->iterators);
                if (r < 0)
                        return r;
        }
        /* The inode of a cgroup's directory is its id. */
        if (fstat(cgroup_fd, &st) < 0)
                return -errno;
        for (unsigned type = 0; type < _ITERATOR_MAX; type++) {
                _cleanup_close_ int fd = -EBADF;

                r = iterators_open(kernel->iterators, type, st.st_ino, &fd);
                if (r == 0)
                        r = read_all(fd, callback, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}
