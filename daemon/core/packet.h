/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first packet of a conversation, made up, to ask a loaded program about it. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "policy/eval.h"

#define PACKET_SIZE_MAX 128

/* From the network header on. The local address is of the documentation ranges (or a multicast group for
 * flow->local_is_multicast, the limited broadcast address for flow->local_is_broadcast). Returns the size.
 * -EOPNOTSUPP: there is no such packet (a bind, a broadcast of IPv6), or it would not be judged by rules (a
 * protocol that is an IPv6 extension header). */
int packet_build(const PolicyFlow *flow, uint8_t packet[PACKET_SIZE_MAX]);
