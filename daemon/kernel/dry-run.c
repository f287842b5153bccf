/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns dry runs: one packet through a loaded program, marked so that the program changes nothing. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <string.h>

#include "kernel/kernel-private.h"

/* The kernel builds a packet of one page, less its own needs. */
#define DRY_RUN_PACKET_MAX 2048U

int kernel_dry_run_program(int prog_fd, KernelDryRun *run) {
        unsigned char frame[ETH_HLEN + DRY_RUN_PACKET_MAX] = {};
        struct __sk_buff in = {}, out = {};
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .ctx_in = &in, .ctx_out = &out,
                .ctx_size_in = sizeof(in), .ctx_size_out = sizeof(out), .repeat = 1);
        unsigned ethertype = ETH_P_IP;

        assert(run);

        if (run->size > DRY_RUN_PACKET_MAX)
                return -EMSGSIZE;
        if (run->opener & ~CGP_DRY_OPENER_MASK)
                return -EINVAL;
        if (run->size > 0) {
                memcpy(frame + ETH_HLEN, run->packet, run->size);
                if (frame[ETH_HLEN] >> 4 == 6)
                        ethertype = ETH_P_IPV6;
        }
        frame[ETH_HLEN - 2] = (unsigned char)(ethertype >> 8);
        frame[ETH_HLEN - 1] = (unsigned char)ethertype;
        opts.data_size_in = (uint32_t)(ETH_HLEN + run->size);
        in.cb[0] = CGP_DRY_RUN;
        in.cb[1] = run->opener | (run->host_netns ? CGP_DRY_HOST_NETNS : 0) |
                (run->broadcast ? CGP_DRY_BROADCAST : 0);
        in.cb[2] = run->ifindex;

        if (bpf_prog_test_run_opts(prog_fd, &opts) < 0)
                return kernel_errno(-errno);
        if (out.cb[0] != CGP_DRY_RUN)
                return -EOPNOTSUPP;
        run->passes = opts.retval & 1;
        run->rule = out.cb[2];
        run->action = out.cb[3];
        return 0;
}

int kernel_dry_run(Kernel *k, KernelLink *link, KernelDryRun *run) {
        _cleanup_close_ int prog_fd = -EBADF;
        uint64_t cgroup_id;
        uint32_t prog_id;
        int r;

        assert(link);

        if (link->hook != CGP_HOOK_EGRESS && link->hook != CGP_HOOK_INGRESS)
                return -EINVAL;
        r = kernel_link_query(k, link, &prog_id, &cgroup_id);
        if (r < 0)
                return r;
        prog_fd = bpf_prog_get_fd_by_id(prog_id);
        if (prog_fd < 0)
                return kernel_errno(-errno);
        return kernel_dry_run_program(prog_fd, run);
}
