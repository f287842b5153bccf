/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as numbers: read in place (inet_pton() wants a terminated copy of each), and cut into networks. */
#pragma once

#include "policy/set.h"

typedef struct PolicyListAddress {
        unsigned __int128 address; /* IPv4: 32 bits */
        bool is_v4;
        bool is_mapped; /* and written as an IPv6 address */
} PolicyListAddress;

/* Takes exactly what inet_pton() takes of either family. */
bool policy_list_address_parse(const char *s, const char *end, PolicyListAddress *ret);

/* How many of the lower bits can be free in a network that begins at `first` and does not pass `last`? At most width. */
unsigned policy_list_block_bits(unsigned __int128 first, unsigned __int128 last, unsigned width);
