/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small image that uses everything a policy can use, so that the verifier sees all of every program. */
#pragma once

#include "cgp-abi.h"

#define KERNEL_PROBE_TABLE_SIZE 568U

/* Fills both. Everything is denied by rule CGP_RULE_DEFAULT_OUT or _IN, but 127.0.0.0/8 and 7f00::/8 are
 * allowed by rule CGP_RULE_FIRST, and protocol 127 has a NEVER of rule CGP_RULE_FIRST + 1, both ways.
 * Counters: slot 0. mode is CGP_MODE_*. */
void kernel_probe_image(unsigned mode, unsigned subject, struct cgp_config *ret_config,
        unsigned char ret_tables[KERNEL_PROBE_TABLE_SIZE]);
