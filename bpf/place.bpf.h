/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a packet or call is, as far as rules with `via` and `lan` care. What is not known for certain is
 * ELSEWHERE, the strictest. Asked only by images that have such rules.
 */
#pragma once

#include "judge.bpf.h"

/* The place of an interface of the host. */
CGP_GLOBAL __u64 cgp_place_of_interface(__u64 ifindex) {
        const struct cgp_config *config = &cgp_image.config;
        struct cgp_interface *interface;
        __u32 version = config->interfaces_version;
        __u32 key = ifindex;
        __u64 id;

        if (!cgp_can(CGP_FEATURE_PLACE))
                return CGP_PLACE_ELSEWHERE;
        interface = bpf_map_lookup_elem(&cgp_interfaces, &key);
        if (!interface || version == 0)
                return CGP_PLACE_ELSEWHERE;
        if (interface->version[0] == version)
                id = interface->id[0];
        else if (interface->version[1] == version)
                id = interface->id[1];
        else
                return CGP_PLACE_ELSEWHERE;
        if (id + CGP_PLACE_FIRST >= config->n_places)
                return CGP_PLACE_ELSEWHERE;
        return id + CGP_PLACE_FIRST;
}

CGP_INLINE int cgp_is_place_relevant(void) {
        return cgp_can(CGP_FEATURE_PLACE) && (cgp_image.config.features & CGP_FEATURE_PLACE);
}

CGP_INLINE int cgp_is_host_netns(__u64 cookie) {
        return cookie != 0 && cookie == cgp_image.config.host_netns;
}
