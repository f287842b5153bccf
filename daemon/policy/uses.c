/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What rules need to know of the host: so that only those who care hear of a change. */
#include <errno.h>
#include <stdlib.h>

#include "policy/model.h"
#include "util/macro.h"

/* Appends to an array whose room is 8, 16, 32, ... */
static int names_add(const char ***names, size_t *n, const char *name) {
        if (*n == 0 || (*n >= 8 && (*n & (*n - 1)) == 0)) {
                const char **grown = reallocarray(*names, MAX(*n * 2, (size_t)8), sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                *names = grown;
        }
        (*names)[(*n)++] = name;
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void names_sort(const char **names, size_t *n) {
        size_t kept = 0;

        if (*n == 0)
                return;
        qsort(names, *n, sizeof(*names), compare_names);
        for (size_t i = 0; i < *n; i++)
                if (kept == 0 || !streq(names[kept - 1], names[i]))
                        names[kept++] = names[i];
        *n = kept;
}

static int uses_add(PolicyUses *uses, const PolicyRule *rule) {
        if (rule->directions & POLICY_DIRECTION_BIND)
                uses->flags |= POLICY_USE_BIND;
        for (size_t i = 0; i < rule->n_peers; i++) {
                const PolicyPeer *peer = rule->peers + i;

                if (peer->type == POLICY_PEER_LAN)
                        uses->flags |= POLICY_USE_LAN;
                else if (peer->type == POLICY_PEER_INTERNET)
                        uses->flags |= POLICY_USE_INTERNET | POLICY_USE_LAN;
                else if (peer->type == POLICY_PEER_BROADCAST)
                        uses->flags |= POLICY_USE_BROADCAST;
                else if (peer->type == POLICY_PEER_LIST &&
                        names_add(&uses->lists, &uses->n_lists, peer->list) < 0)
                        return -ENOMEM;
        }
        return rule->via ? names_add(&uses->interfaces, &uses->n_interfaces, rule->via) : 0;
}

static void uses_finish(PolicyUses *uses) {
        names_sort(uses->lists, &uses->n_lists);
        names_sort(uses->interfaces, &uses->n_interfaces);
}

int policy_stack_uses(const PolicyStack *stack, PolicyUses *ret) {
        _cleanup_(policy_uses_done) PolicyUses uses = {};

        assert(stack);
        assert(ret);

        for (size_t i = 0; i < stack->n_entries; i++)
                if (uses_add(&uses, stack->entries[i].rule) < 0)
                        return -ENOMEM;
        uses_finish(&uses);

        *ret = TAKE_GENERIC(uses, PolicyUses, ((PolicyUses){}));
        return 0;
}

int policy_file_uses(const PolicyFile *file, PolicyUses *ret) {
        _cleanup_(policy_uses_done) PolicyUses uses = {};

        assert(file);
        assert(ret);

        for (size_t i = 0; i < file->n_rules; i++)
                if (uses_add(&uses, file->rules[i]) < 0)
                        return -ENOMEM;
        uses_finish(&uses);

        *ret = TAKE_GENERIC(uses, PolicyUses, ((PolicyUses){}));
        return 0;
}

void policy_uses_done(PolicyUses *uses) {
        assert(uses);

        free(uses->lists);
        free(uses->interfaces);
        *uses = (PolicyUses){};
}

static bool names_have(const char *const *names, size_t n, const char *name) {
        return n > 0 && bsearch(&name, names, n, sizeof(*names), compare_names);
}

bool policy_uses_list(const PolicyUses *uses, const char *name) {
        return names_have(uses->lists, uses->n_lists, name);
}

bool policy_uses_interface(const PolicyUses *uses, const char *name) {
        return names_have(uses->interfaces, uses->n_interfaces, name);
}
