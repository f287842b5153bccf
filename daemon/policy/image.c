/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of an image, and the look-up in it: the programs' own code, compiled here for the host. */
#include "policy/image.h"

#include "match.bpf.h"
#include "util/macro.h"

PolicyImage *policy_image_free(PolicyImage *image) {
        if (!image)
                return NULL;

        free(image->verdicts);
        free(image->tables);
        free(image);
        return NULL;
}

/* Whatever the image says of it, it refuses. */
static struct cgp_verdict broken(const struct cgp_config *config) {
        struct cgp_verdict verdict = config->broken;

        verdict.action = CGP_ACTION_DENY;
        return verdict;
}

static uint64_t read_be64(const uint8_t *bytes) {
        uint64_t value = 0;

        for (size_t i = 0; i < 8; i++)
                value = value << 8 | bytes[i];
        return value;
}

struct cgp_verdict policy_image_lookup(const PolicyImage *image, unsigned view, uint32_t place,
        uint32_t combination, const uint8_t remote[16], uint8_t protocol, uint16_t port) {
        const struct cgp_config *config = &image->config;
        uint64_t i;

        if (view >= CGP_N_VIEWS || !image->verdicts || !image->tables ||
                config->table_size < CGP_MATCH_MIN_SIZE)
                return broken(config);
        if (!(config->features & CGP_FEATURE_PLACE))
                place = 0;
        if (!(config->features & CGP_FEATURE_SETS))
                combination = 0;

        i = cgp_match(image->tables, config->table_size, config, &config->view[view],
                read_be64(remote), read_be64(remote + 8), protocol, port, place, combination);
        if (i >= config->n_verdicts || image->verdicts[i].action == CGP_ACTION_NONE ||
                image->verdicts[i].action > CGP_ACTION_NEVER)
                return broken(config);
        return image->verdicts[i];
}
