/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files whose rules name lists: in force only while each of them is there. A rule about a list that nobody has would
 * be a rule about nothing, and where it refuses, an open door. */
#include "core/store-private.h"
#include "util/macro.h"

static const char *missing_in(const PolicyFile *file, StoreHasList has_list, void *userdata,
        const PolicyRule **ret_rule) {
        for (size_t i = 0; file && i < file->n_rules; i++) {
                const PolicyRule *rule = file->rules[i];

                for (size_t k = 0; k < rule->n_peers; k++)
                        if (rule->peers[k].type == POLICY_PEER_LIST &&
                                !has_list(userdata, rule->peers[k].list)) {
                                *ret_rule = rule;
                                return rule->peers[k].list;
                        }
        }
        return NULL;
}

const char *store_missing_list(const Store *store, const StoreFile *file, StoreHasList has_list,
        void *userdata, const PolicyRule **ret_rule) {
        const char *name;

        if (!file->policy)
                return NULL;
        name = missing_in(file->policy, has_list, userdata, ret_rule);
        if (!name && file->policy->profile)
                name = missing_in(
                        store_profile(store, file->policy->profile), has_list, userdata, ret_rule);
        return name;
}

static int store_settle_file(const StoreDir *dir, const Store *previous, Store *store, size_t i,
        StoreHasList has_list, void *userdata) {
        _cleanup_(store_file_unrefp) StoreFile *good = NULL;
        _cleanup_free_ char *why = NULL;
        StoreFile *file = store->files[i];
        const PolicyRule *rule;
        const char *name;
        int r;

        name = store_missing_list(store, file, has_list, userdata, &rule);
        if (!name)
                return 0;
        if (asprintf(&why, "%s:%u:%u: list '@%s' has never been loaded", rule->source.path,
                    rule->source.line, rule->source.column, name) < 0) {
                why = NULL;
                return -ENOMEM;
        }
        if (file->from_good)
                return 0; /* what is in force of it is the owner's matter: it was loaded once */
        r = store_replace_broken(dir, previous, store, file->layer, file->name, why, &good);
        if (r < 0)
                return r;
        store_file_unref(file);
        store->files[i] = TAKE_PTR(good);
        return 1;
}

int store_settle_lists(const StoreDir *dir, const Store *previous, Store *store,
        StoreHasList has_list, void *userdata) {
        int ret = 0;

        for (size_t i = 0; i < store->n_files; i++) {
                int r = store_settle_file(dir, previous, store, i, has_list, userdata);

                if (r < 0)
                        return r;
                ret = MAX(ret, r);
        }
        return ret;
}

void store_accept(const StoreDir *dir, Store *store) {
        for (size_t i = 0; i < store->n_files; i++) {
                StoreFile *file = store->files[i];

                if (!file->is_fresh)
                        continue;
                (void)store_keep_good(dir, file->layer, file->name, file->text);
                file->is_fresh = false;
        }
        store_prune_good(dir, store);
}
