/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/services.h"

#include <arpa/inet.h>
#include <netdb.h>

#include "policy/text.h"
#include "util/macro.h"

/* The protocols that services(5) may list and a rule can name ports of. */
static const char *const service_protocols[] = { "tcp", "udp", "udplite", "sctp" };

static int services_host_lookup(
        void *userdata, const char *name, PolicyService *services, size_t n_max) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(service_protocols) && n < n_max; i++) {
                char buffer[4096];
                struct servent entry, *found = NULL;
                uint16_t port;

                if (getservbyname_r(name, service_protocols[i], &entry, buffer, sizeof(buffer),
                            &found) != 0 ||
                        !found)
                        continue;
                port = ntohs((uint16_t)found->s_port);
                services[n++] = (PolicyService){
                        .protocol = policy_protocol_from_string(service_protocols[i]),
                        .port_min = port,
                        .port_max = port,
                };
        }
        return n > 0 ? (int)n : -ENOENT;
}

const PolicyServices services_host = { .lookup = services_host_lookup };
