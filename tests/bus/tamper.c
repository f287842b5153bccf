/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts another program on a pinned link behind the daemon's back, for test-tamper.py:
 *
 *   tamper TO [FROM]
 *
 * Takes what the link pinned at FROM carries (TO, if it is not given) and says "held"; after a line of input it
 * puts that program on the link pinned at TO and says "done". In between its caller can change the policy, so that
 * the program is one of the same subject that allowed something else.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"

static int fail(const char *what, int error) {
        (void)fprintf(stderr, "%s: %s\n", what, strerror(error < 0 ? -error : error));
        return 1;
}

static int hold(const char *path, int *ret_fd) {
        struct bpf_link_info info = { 0 };
        _cleanup_close_ int link_fd = -EBADF;
        uint32_t size = sizeof(info);
        int r;

        link_fd = bpf_obj_get(path);
        if (link_fd < 0)
                return -errno;
        r = bpf_obj_get_info_by_fd(link_fd, &info, &size);
        if (r < 0)
                return r;
        r = bpf_prog_get_fd_by_id(info.prog_id);
        if (r < 0)
                return r;
        *ret_fd = r;
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_close_ int link_fd = -EBADF, prog_fd = -EBADF;
        int r;

        if (argc != 2 && argc != 3) {
                (void)fprintf(stderr, "usage: tamper TO [FROM]\n");
                return 2;
        }
        r = hold(argv[argc - 1], &prog_fd);
        if (r < 0)
                return fail(argv[argc - 1], r);
        (void)printf("held\n");
        (void)fflush(stdout);
        if (getchar() == EOF)
                return 0;
        link_fd = bpf_obj_get(argv[1]);
        if (link_fd < 0)
                return fail(argv[1], errno);
        r = bpf_link_update(link_fd, prog_fd, NULL);
        if (r < 0)
                return fail("bpf_link_update", r);
        (void)printf("done\n");
        return 0;
}
