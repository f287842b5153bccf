/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bpf/set.bpf.h for the host: what it takes for a set is a PolicySet. */
#pragma once

#include "policy/set.h"

static inline const uint8_t *policy_set_page(const PolicySet *set, uint64_t n) {
        return n < set->n_pages ? set->pages + n * CGP_SET_PAGE_SIZE : NULL;
}

#define CGP_SET_PAGE(set, n) policy_set_page(set, n)

#include "set.bpf.h"
