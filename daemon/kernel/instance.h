/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program instance: one program per hook and the two data maps that they read, which no other instance
 * reads (tables may be shared; then they are frozen). Loading costs the verifier tens of milliseconds and does
 * not depend on a policy, so an instance is loaded first and filled later.
 *
 * A map that was never filled is zero, and a configuration of zero is one that programs refuse to work with.
 * What may be written when is the business of the owner: never while a link carries one of the programs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "policy/image.h"
#include "util/cleanup.h"

typedef struct Instance {
        int prog_fds[CGP_N_HOOKS]; /* -EBADF: not loaded */
        uint32_t prog_ids[CGP_N_HOOKS];
        int image_fd;
        int tables_fd; /* -EBADF: shared, somebody else's */
        uint32_t image_size;
        uint32_t table_size;
        uint32_t can;          /* of CGP_INSTANCE_FEATURES: what its programs were loaded for */
        struct Instance *next; /* for the queue that it is in */
} Instance;

/* Without programs, its own maps made and zero. tables_fd: of the tables that it shares, or negative.
 * -E2BIG: larger than this kernel's maps (before 6.7: 4 MiB); -ENOMEM, -EPERM. */
int instance_new(uint32_t image_size, uint32_t table_size, int tables_fd,
        Instance **ret) _warn_unused_result_;
Instance *instance_free(Instance *instance); /* closes everything */
DEFINE_CLEANUP(Instance *, instance_freep, instance_free);

/* Is the image what it says it is: versions, numbers and offsets within their limits, and no feature made use of that
 * it does not name? -EINVAL. */
int instance_check_image(const PolicyImage *image) _warn_unused_result_;

/* The values that hold this image. */
uint32_t instance_image_size(const PolicyImage *image);
uint32_t instance_table_size(const PolicyImage *image);

/* Writes an image that instance_check_image() accepts and that fits: tables first, the configuration last. -EINVAL:
 * it asks for what the programs were loaded without; nothing was written. On any other failure the instance must not
 * be used. */
int instance_fill(Instance *instance, const PolicyImage *image) _warn_unused_result_;

/* Back to zero: configuration first. */
int instance_clear(Instance *instance) _warn_unused_result_;

/* Makes the map that holds these tables, frozen. */
int instance_make_tables(const PolicyImage *image, int *ret_fd) _warn_unused_result_;
