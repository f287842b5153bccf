/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns finding out which calls this kernel's verifier knows, by loading programs of nothing but the call. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>

#include "kernel/loader.h"
#include "util/macro.h"

/* 1: it loads, 0: it does not, or why that is not known. */
static int try_call(uint32_t type, uint32_t attach_type, int32_t helper) {
        /* r1 is the context as the program got it; 0 does for bpf_set_retval(), too. */
        const struct bpf_insn insns[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1 },
                { .code = BPF_JMP | BPF_CALL, .imm = helper },
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
                { .code = BPF_JMP | BPF_EXIT },
        };
        LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);
        size_t skipped = helper == BPF_FUNC_set_retval ? 0 : 1;
        int fd;

        fd = bpf_prog_load((enum bpf_prog_type)type, "cgp_probe", "GPL", insns + skipped,
                ELEMENTSOF(insns) - skipped, &opts);
        if (fd >= 0) {
                (void)close_keep_errno(fd);
                return 1;
        }
        fd = kernel_errno(fd);
        return fd == -EPERM || fd == -ENOMEM ? fd : 0;
}

int loader_features(LoaderFeatures *ret) {
        static const unsigned refusing[] = { CGP_HOOK_BIND4, CGP_HOOK_BIND6, CGP_HOOK_CONNECT4,
                CGP_HOOK_CONNECT6, CGP_HOOK_SENDMSG4, CGP_HOOK_SENDMSG6 };
        LoaderFeatures features = { .retval = true };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(refusing) && features.retval; i++) {
                r = try_call(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, loader_attach_type(refusing[i]),
                        BPF_FUNC_set_retval);
                if (r < 0)
                        return r;
                features.retval = r > 0;
        }
        r = try_call(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, BPF_FUNC_get_netns_cookie);
        if (r < 0)
                return r;
        features.skb_netns = r > 0;
        *ret = features;
        return 0;
}
