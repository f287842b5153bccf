/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of an image, and the look-up in it: the programs' own code, compiled here for the host. */
#include "policy/image.h"

#include "match.bpf.h"
#include "util/macro.h"

PolicyImage *policy_image_free(PolicyImage *image) {
        if (!image)
                return NULL;

        free(image->tables);
        free(image);
        return NULL;
}

/* Do n elements at this offset lie within the tables, aligned? The kernel's verifier asks the same of a
 * program; here nobody else would. */
static bool part_fits(const struct cgp_config *config, uint64_t offset, uint64_t n, size_t size) {
        return offset % 8 == 0 && offset + n * size <= config->table_size;
}

static bool config_fits(const struct cgp_config *config) {
        return part_fits(config, 0, config->n_verdicts, sizeof(struct cgp_verdict)) &&
                part_fits(config, config->nodes, config->n_nodes, 256 * sizeof(__u16)) &&
                part_fits(config, config->matrix, config->n_cells, sizeof(__u16));
}

struct cgp_verdict policy_image_lookup(const PolicyImage *image, unsigned view,
        const uint8_t remote[16], uint8_t protocol, uint16_t port) {
        struct cgp_verdict verdict = {};

        if (!image->tables || !config_fits(&image->config)) {
                cgp_match_broken(&image->config, &verdict);
                return verdict;
        }
        cgp_match(&image->config, image->tables, view, remote, cgp_match_is_v4(remote), protocol,
                port, &verdict);
        return verdict;
}
