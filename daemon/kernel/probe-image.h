/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small image made without the compiler, for what must work without it: to find out what the kernel can do. */
#pragma once

#include "policy/image.h"

#define KERNEL_PROBE_VERDICTS   5U
#define KERNEL_PROBE_TABLE_SIZE 1064U

typedef struct KernelProbeImage {
        PolicyImage image; /* points into the rest: not to be freed, nor moved */
        struct cgp_verdict verdicts[KERNEL_PROBE_VERDICTS];
        _Alignas(8) uint8_t tables[KERNEL_PROBE_TABLE_SIZE];
} KernelProbeImage;

/* Everything is denied by rule CGP_RULE_DEFAULT_OUT or _IN, but 127.0.0.0/8 and 7f00::/8 are allowed by rule
 * CGP_RULE_FIRST; a bind is allowed by CGP_RULE_DEFAULT_BIND; protocol 127 has a NEVER of rule
 * CGP_RULE_FIRST + 1 everywhere. Counters: slot 0. mode is CGP_MODE_*. */
void kernel_probe_image(unsigned mode, unsigned subject, KernelProbeImage *ret);
