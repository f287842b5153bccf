/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes of what rtnetlink said what the rest of the daemon is told. */
#pragma once

#include "net/facts.h"

/* Of settled links; addresses and routes in any order. -ENOMEM. */
int net_state_build(const NetLinks *links, const NetAddresses *addresses, const NetRoutes *routes,
        uint64_t netns, NetState **ret) _warn_unused_result_;

bool net_state_equal(const NetState *a, const NetState *b);
