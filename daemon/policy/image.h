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
        struct cgp_verdict *verdicts; /* config.n_verdicts, owned */
        uint8_t *tables;              /* config.table_size bytes, owned; layout in cgp-abi.h */
        uint64_t hash;                /* over config, verdicts and tables, never 0 */
        uint64_t
                tables_hash; /* over the tables alone: images of different subjects may share them */
} PolicyImage;

PolicyImage *policy_image_free(PolicyImage *image);
DEFINE_CLEANUP(PolicyImage *, policy_image_freep, policy_image_free);

/* Looks one view up exactly as the programs do, in the image's tables: the same code, compiled for the
 * host. place: CGP_PLACE_*. combination: of the address, from the set map; 0 without one. Returns the
 * verdict; on a broken image config.broken. */
struct cgp_verdict policy_image_lookup(const PolicyImage *image, unsigned view, uint32_t place,
        uint32_t combination, const uint8_t remote[16], uint8_t protocol, uint16_t port);
