/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A compiled policy: plain data that is written to the kernel as it stands.
 *
 * Immutable once compiled. Equal input gives equal bytes and so an equal hash, on every machine of one
 * byte order: a restarted daemon recognises what it finds in the kernel by the hash.
 */
#pragma once

#include <stdint.h>

#include "cgp-abi.h"
#include "util/cleanup.h"

typedef struct PolicyImage {
        struct cgp_config config;
        uint8_t *tables; /* config.table_size bytes, owned; layout in cgp-abi.h */
        uint64_t hash;   /* over config and tables, never 0 */
} PolicyImage;

PolicyImage *policy_image_free(PolicyImage *image);
DEFINE_CLEANUP(PolicyImage *, policy_image_freep, policy_image_free);

/* Looks one view up exactly as the programs do, in the image's tables: the same code, compiled for the
 * host. Returns the verdict; on a broken image config.broken. */
struct cgp_verdict policy_image_lookup(const PolicyImage *image, unsigned view,
        const uint8_t remote[16], uint8_t protocol, uint16_t port);
