/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probes of the fake kernel, and how the images that hooks carry judge them. */
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fake-private.h"
#include "util/macro.h"

#define HOOK(name) (1U << CGP_HOOK_##name)
#define OUT_TCP4   (HOOK(CONNECT4) | HOOK(EGRESS))
#define OUT_TCP6   (HOOK(CONNECT6) | HOOK(EGRESS))
#define OUT_UDP4   (HOOK(SENDMSG4) | HOOK(EGRESS))
#define OUT_UDP6   (HOOK(SENDMSG6) | HOOK(EGRESS))
#define OUT_RAW    HOOK(EGRESS) /* no system call of a raw socket is judged */
#define IN         HOOK(INGRESS)

#define V4(a, b, c, d) \
        { [10] = 0xff, [11] = 0xff, [12] = (a), [13] = (b), [14] = (c), [15] = (d), }
/* 2001:db8:: and last byte d; the site is the third group. */
#define V6(site, d) \
        { 0x20, 0x01, 0x0d, 0xb8, 0, (site), [15] = (d) }

#define FLOW_OUT(proto, address, port)                                            \
        {                                                                         \
                .direction = CGP_DIR_OUT, .protocol = (proto), .remote = address, \
                .remote_port = (port), .local_port = (port) ? 40000 : 0,          \
        }
#define FLOW_IN(proto, address, port)                                            \
        {                                                                        \
                .direction = CGP_DIR_IN, .protocol = (proto), .remote = address, \
                .local_port = (port), .remote_port = (port) ? 40001 : 0,         \
        }

#define PROBE(what, first, seen_by, by) \
        { .name = (what), .flow = first, .hooks = (seen_by), .ifindex = (by) }

const FakeProbe fake_probes[] = {
        PROBE("tcp/80 to 192.0.2.7", FLOW_OUT(IPPROTO_TCP, V4(192, 0, 2, 7), 80), OUT_TCP4, 0),
        PROBE("tcp/443 to 192.0.2.7", FLOW_OUT(IPPROTO_TCP, V4(192, 0, 2, 7), 443), OUT_TCP4, 0),
        PROBE("tcp/443 to 192.0.2.99", FLOW_OUT(IPPROTO_TCP, V4(192, 0, 2, 99), 443), OUT_TCP4, 0),
        PROBE("tcp/443 to 198.51.100.9", FLOW_OUT(IPPROTO_TCP, V4(198, 51, 100, 9), 443), OUT_TCP4,
                0),
        PROBE("tcp/5432 to 203.0.113.5", FLOW_OUT(IPPROTO_TCP, V4(203, 0, 113, 5), 5432), OUT_TCP4,
                0),
        PROBE("tcp/443 to 127.0.0.1", FLOW_OUT(IPPROTO_TCP, V4(127, 0, 0, 1), 443), OUT_TCP4, 0),
        PROBE("tcp/443 to 2001:db8:1::7", FLOW_OUT(IPPROTO_TCP, V6(1, 7), 443), OUT_TCP6, 0),
        PROBE("tcp/80 to 2001:db8:2::9", FLOW_OUT(IPPROTO_TCP, V6(2, 9), 80), OUT_TCP6, 0),
        PROBE("udp/53 to 192.0.2.53", FLOW_OUT(IPPROTO_UDP, V4(192, 0, 2, 53), 53), OUT_UDP4, 0),
        PROBE("udp/443 to 198.51.100.9", FLOW_OUT(IPPROTO_UDP, V4(198, 51, 100, 9), 443), OUT_UDP4,
                0),
        PROBE("udp/53 to 2001:db8:1::35", FLOW_OUT(IPPROTO_UDP, V6(1, 0x35), 53), OUT_UDP6, 0),
        PROBE("icmp to 192.0.2.7", FLOW_OUT(IPPROTO_ICMP, V4(192, 0, 2, 7), 0), OUT_RAW, 0),
        PROBE("icmp to 198.51.100.9", FLOW_OUT(IPPROTO_ICMP, V4(198, 51, 100, 9), 0), OUT_RAW, 0),
        PROBE("icmpv6 to 2001:db8:1::7", FLOW_OUT(IPPROTO_ICMPV6, V6(1, 7), 0), OUT_RAW, 0),
        PROBE("protocol 47 to 203.0.113.5", FLOW_OUT(47, V4(203, 0, 113, 5), 0), OUT_RAW, 0),
        PROBE("tcp/80 from 192.0.2.7", FLOW_IN(IPPROTO_TCP, V4(192, 0, 2, 7), 80), IN, 0),
        PROBE("tcp/8080 from 198.51.100.9", FLOW_IN(IPPROTO_TCP, V4(198, 51, 100, 9), 8080), IN, 0),
        PROBE("tcp/443 from 192.0.2.99", FLOW_IN(IPPROTO_TCP, V4(192, 0, 2, 99), 443), IN, 0),
        PROBE("tcp/22 from 203.0.113.5", FLOW_IN(IPPROTO_TCP, V4(203, 0, 113, 5), 22), IN, 0),
        PROBE("udp/53 from 192.0.2.53", FLOW_IN(IPPROTO_UDP, V4(192, 0, 2, 53), 53), IN, 0),
        PROBE("tcp/443 from 2001:db8:1::7", FLOW_IN(IPPROTO_TCP, V6(1, 7), 443), IN, 0),
        PROBE("icmp from 192.0.2.7", FLOW_IN(IPPROTO_ICMP, V4(192, 0, 2, 7), 0), IN, 0),
        { .name = "udp/5353 from 192.0.2.7 to a group",
                .flow = { .direction = CGP_DIR_IN,
                        .protocol = IPPROTO_UDP,
                        .remote = V4(192, 0, 2, 7),
                        .remote_port = 5353,
                        .local_port = 5353,
                        .local_is_multicast = true },
                .hooks = IN },
        /* By interfaces of the host. */
        PROBE("tcp/443 to 10.1.0.9 by eth0", FLOW_OUT(IPPROTO_TCP, V4(10, 1, 0, 9), 443), OUT_TCP4,
                FAKE_ETH0),
        PROBE("tcp/443 to 10.2.0.9 by eth0", FLOW_OUT(IPPROTO_TCP, V4(10, 2, 0, 9), 443), OUT_TCP4,
                FAKE_ETH0),
        PROBE("tcp/443 to 192.0.2.7 by wg0", FLOW_OUT(IPPROTO_TCP, V4(192, 0, 2, 7), 443), OUT_TCP4,
                FAKE_WG0),
        PROBE("tcp/443 to 192.0.2.7 by eth0", FLOW_OUT(IPPROTO_TCP, V4(192, 0, 2, 7), 443),
                OUT_TCP4, FAKE_ETH0),
        PROBE("tcp/22 from 203.0.113.5 by wg0", FLOW_IN(IPPROTO_TCP, V4(203, 0, 113, 5), 22), IN,
                FAKE_WG0),
        PROBE("tcp/22 from 203.0.113.5 by eth0", FLOW_IN(IPPROTO_TCP, V4(203, 0, 113, 5), 22), IN,
                FAKE_ETH0),
};
const unsigned fake_n_probes = ELEMENTSOF(fake_probes);
static_assert(ELEMENTSOF(fake_probes) <= FAKE_PROBES_MAX, "a set of probes is 64 bits");

bool fake_has_lists(const FakeKernel *fake, const PolicyImage *image) {
        const struct cgp_config *config = &image->config;

        return config->set_slot < CGP_MAX_SET_SLOTS && fake->lists[config->set_slot].used &&
                fake->lists[config->set_slot].hash == config->set_hash;
}

static uint32_t combination(
        const FakeKernel *fake, const PolicyImage *image, const uint8_t remote[16]) {
        const FakeLists *lists = &fake->lists[image->config.set_slot];
        PolicySet set = {
                .pages = (uint8_t *)(uintptr_t)(fake->heap + lists->pages),
                .n_pages = lists->n_pages,
                .hash = lists->hash,
        };

        return policy_set_lookup(&set, remote);
}

/* System calls do not know the interface; packets do. */
static uint32_t place(
        const FakeKernel *fake, const PolicyImage *image, unsigned hook, uint32_t ifindex) {
        int id;

        if (!(image->config.features & CGP_FEATURE_PLACE) || ifindex == 0 ||
                image->config.host_netns == 0)
                return CGP_PLACE_ELSEWHERE;
        if (hook != CGP_HOOK_EGRESS && hook != CGP_HOOK_INGRESS)
                return CGP_PLACE_UNDECIDED;
        id = fake_kernel_interface_id(fake, ifindex, image->config.interfaces_version);
        return id < 0 ? CGP_PLACE_ELSEWHERE : CGP_PLACE_FIRST + (uint32_t)id;
}

struct cgp_verdict fake_judge(const FakeKernel *fake, const PolicyImage *image, unsigned hook,
        const PolicyFlow *flow, uint32_t ifindex) {
        bool out = flow->direction == CGP_DIR_OUT;
        unsigned in_view = flow->local_is_multicast ? CGP_VIEW_IN_MULTICAST
                : flow->local_is_broadcast          ? CGP_VIEW_IN_BROADCAST
                                                    : CGP_VIEW_IN;
        uint32_t where = place(fake, image, hook, ifindex), lists = 0;
        struct cgp_verdict verdict, other;

        if (image->config.features & CGP_FEATURE_SETS) {
                if (!fake_has_lists(fake, image))
                        return image->config.broken;
                lists = combination(fake, image, flow->remote);
        }
        if (flow->direction == CGP_DIR_BIND)
                return policy_image_lookup(image, CGP_VIEW_BIND, where, lists, flow->remote,
                        flow->protocol, flow->local_port);
        verdict = policy_image_lookup(image, out ? CGP_VIEW_OUT : in_view, where, lists,
                flow->remote, flow->protocol, out ? flow->remote_port : flow->local_port);
        if (verdict.action != CGP_ACTION_ALLOW)
                return verdict;
        /* A never of the other direction ends what this one allows. */
        other = policy_image_lookup(image, out ? CGP_VIEW_IN : CGP_VIEW_OUT, where, lists,
                flow->remote, flow->protocol, out ? flow->local_port : flow->remote_port);
        return other.action == CGP_ACTION_NEVER ? other : verdict;
}

bool fake_mode_passes(const PolicyImage *image, const struct cgp_verdict *verdict) {
        return verdict->action == CGP_ACTION_ALLOW || image->config.mode == CGP_MODE_AUDIT ||
                image->config.mode == CGP_MODE_OFF;
}

/* All links of the cgroup on this hook let it pass: the kernel runs every program that is attached. */
static bool hook_passes(
        const FakeKernel *fake, uint64_t cgroup_id, unsigned hook, const FakeProbe *probe) {
        for (unsigned i = 0; i < FAKE_LINKS_MAX; i++) {
                const FakeLink *link = &fake->links[i];
                struct cgp_verdict verdict;
                PolicyImage image;

                if (!link->used || link->cgroup_id != cgroup_id || link->hook != hook)
                        continue;
                image = fake_set_image(fake, fake_find_set(fake, link->prog_id));
                verdict = fake_judge(fake, &image, hook, &probe->flow, probe->ifindex);
                if (!fake_mode_passes(&image, &verdict))
                        return false;
        }
        return true;
}

uint64_t fake_kernel_passes(const FakeKernel *fake, uint64_t cgroup_id) {
        uint64_t passes = 0;

        for (unsigned i = 0; i < fake_n_probes; i++) {
                bool pass = true;

                for (unsigned hook = 0; pass && hook < CGP_N_HOOKS; hook++)
                        if (fake_probes[i].hooks & (1U << hook))
                                pass = hook_passes(fake, cgroup_id, hook, &fake_probes[i]);
                if (pass)
                        passes |= 1ULL << i;
        }
        return passes;
}

static const char *first_probe(uint64_t set) {
        return set ? fake_probes[__builtin_ctzll(set)].name : "nothing";
}

void fake_violate(FakeKernel *fake, const char *format, ...) {
        va_list ap;

        if (fake->violation[0])
                return;
        va_start(ap, format);
        (void)vsnprintf(fake->violation, sizeof(fake->violation), format, ap);
        va_end(ap);
}

static void check_watch(FakeKernel *fake, const FakeWatch *watch, FakeOp op, unsigned hook) {
        uint64_t passes = fake_kernel_passes(fake, watch->cgroup_id);
        uint64_t beyond = passes & ~(watch->before | watch->after);
        bool mixed = watch->strict && (passes & ~watch->before) && (passes & ~watch->after);

        /* Where nobody lives any more, nothing has to be held. */
        if ((!beyond && !mixed) || !fake_cgroup_is_there(fake, watch->cgroup_id))
                return;
        if (beyond)
                fake_violate(fake, "%s of hook %u: %s passes, which neither side allows",
                        fake_op_to_string(op), hook, first_probe(beyond));
        else
                fake_violate(fake, "%s of hook %u: %s passes by what was, and %s by what comes",
                        fake_op_to_string(op), hook, first_probe(passes & ~watch->after),
                        first_probe(passes & ~watch->before));
}

void fake_check(FakeKernel *fake, FakeOp op, unsigned hook) {
        for (unsigned i = 0; i < fake->n_watches && !fake->violation[0]; i++)
                check_watch(fake, &fake->watches[i], op, hook);
}

void fake_kernel_watch(
        FakeKernel *fake, uint64_t cgroup_id, uint64_t before, uint64_t after, bool strict) {
        assert(fake->n_watches < FAKE_WATCHES_MAX);
        fake->watches[fake->n_watches++] = (FakeWatch){ cgroup_id, before, after, strict };
}

void fake_kernel_relax(FakeKernel *fake) {
        for (unsigned i = 0; i < fake->n_watches; i++)
                fake->watches[i].strict = false;
}

void fake_kernel_unwatch(FakeKernel *fake) {
        fake->n_watches = 0;
}

const char *fake_kernel_violation(const FakeKernel *fake) {
        return fake->violation[0] ? fake->violation : NULL;
}
