/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/iterators.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "kernel/loader.h"
#include "sock-iter.skel.h"

struct Iterators {
        struct cgp_iter *skeleton;
        struct bpf_program *programs[_ITERATOR_MAX];
        struct bpf_link *links[_ITERATOR_MAX];
};

Iterators *iterators_free(Iterators *iterators) {
        if (!iterators)
                return NULL;
        for (unsigned i = 0; i < _ITERATOR_MAX; i++)
                (void)bpf_link__destroy(iterators->links[i]);
        cgp_iter__destroy(iterators->skeleton);
        free(iterators);
        return NULL;
}

static int load(Iterators *iterators, int sk_fd, char *log, size_t log_size) {
        int r = 0;

        if (sk_fd >= 0)
                r = bpf_map__reuse_fd(iterators->skeleton->maps.cgp_sk, sk_fd);
        if (r == 0 && log)
                r = bpf_program__set_log_buf(iterators->programs[0], log, log_size);
        if (r == 0)
                r = cgp_iter__load(iterators->skeleton);
        for (unsigned i = 0; r == 0 && i < _ITERATOR_MAX; i++) {
                iterators->links[i] = bpf_program__attach_iter(iterators->programs[i], NULL);
                if (!iterators->links[i])
                        r = -errno;
        }
        return kernel_errno(r);
}

int iterators_load(int sk_fd, char *log, size_t log_size, Iterators **ret) {
        _cleanup_(iterators_freep) Iterators *iterators = NULL;
        int r;

        assert(ret);

        loader_init();
        iterators = calloc(1, sizeof(*iterators));
        if (!iterators)
                return -ENOMEM;
        iterators->skeleton = cgp_iter__open();
        if (!iterators->skeleton)
                return errno > 0 ? kernel_errno(-errno) : -ENOMEM;
        iterators->programs[ITERATOR_TCP] = iterators->skeleton->progs.cgp_iter_tcp;
        iterators->programs[ITERATOR_UDP] = iterators->skeleton->progs.cgp_iter_udp;
        r = load(iterators, sk_fd, log, log_size);
        /* Everything else is a way to say that the kernel lacks something. */
        if (r == -ENOMEM || r == -EPERM || r == -EMFILE || r == -ENFILE)
                return r;
        if (r < 0)
                return -EOPNOTSUPP;
        *ret = TAKE_PTR(iterators);
        return 0;
}

int iterators_prog_fd(const Iterators *iterators, IteratorType type) {
        return bpf_program__fd(iterators->programs[type]);
}

int iterators_open(Iterators *iterators, IteratorType type, uint64_t cgroup_id, int *ret_fd) {
        int fd;

        iterators->skeleton->bss->cgp_scope = cgroup_id;
        fd = bpf_iter_create(bpf_link__fd(iterators->links[type]));
        if (fd < 0)
                return kernel_errno(fd);
        *ret_fd = fd;
        return 0;
}
