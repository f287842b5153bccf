/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the set: builds it of all lists, gives it its hash, and looks addresses up as the programs do. */
#include "policy/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/set-host.h"
#include "policy/set-pages.h"
#include "policy/set-sweep.h"
#include "util/hash.h"
#include "util/macro.h"

PolicySet *policy_set_ref(PolicySet *set) {
        if (set)
                set->n_ref++;
        return set;
}

PolicySet *policy_set_unref(PolicySet *set) {
        if (!set || --set->n_ref > 0)
                return NULL;
        free(set->pages);
        free(set->first);
        free(set->members);
        for (char **name = set->names; name && *name; name++)
                free(*name);
        free(set->names);
        free(set);
        return NULL;
}

void policy_set_drop_pages(PolicySet *set) {
        assert(set);

        free(set->pages);
        set->pages = NULL;
        set->n_pages = 0;
}

static int step4(void *userdata, unsigned __int128 address, uint16_t combination) {
        return set_writer4_add(userdata, (uint32_t)address, combination);
}

static int step6(void *userdata, unsigned __int128 address, uint16_t combination) {
        return set_writer6_add(userdata, (uint64_t)(address >> 64), (uint64_t)address, combination);
}

static int build4(PolicyList *const *lists, size_t n_lists, SetCombinations *c, SetPages *pages,
        uint32_t *params) {
        _cleanup_(set_writer4_freep) SetWriter4 *w = NULL;
        bool any = false;
        int r;

        for (size_t i = 0; i < n_lists; i++)
                any = any || lists[i]->n_networks4 > 0;
        if (!any)
                return 0;
        r = set_writer4_new(pages, &w);
        if (r < 0)
                return r;
        r = set_sweep(lists, n_lists, 32, c, step4, w);
        if (r < 0)
                return r;
        return set_writer4_finish(w, &params[CGP_SET_PARAM_INDEX4]);
}

static int build6(PolicyList *const *lists, size_t n_lists, SetCombinations *c, SetPages *pages,
        uint32_t *params) {
        _cleanup_(set_writer6_freep) SetWriter6 *w = NULL;
        bool any = false;
        int r;

        for (size_t i = 0; i < n_lists; i++)
                any = any || lists[i]->n_networks6 > 0;
        if (!any)
                return 0;
        r = set_writer6_new(pages, &w);
        if (r < 0)
                return r;
        r = set_sweep(lists, n_lists, 128, c, step6, w);
        if (r < 0)
                return r;
        return set_writer6_finish(w, &params[CGP_SET_PARAM_INDEX6], &params[CGP_SET_PARAM_ROOT6]);
}

/* Names end with a zero byte and members are hashed by value, so that no two meanings read alike. */
static uint64_t set_hash(const PolicySet *set, size_t n_members) {
        const size_t offset = offsetof(struct cgp_set_header, n_combinations);
        uint64_t hash = CGP_ABI_VERSION;
        uint32_t words[1024];

        hash = hash64(set->pages + offset, set->n_pages * CGP_SET_PAGE_SIZE - offset, hash);
        hash = hash64(set->first, (set->n_combinations + 1) * sizeof(*set->first), hash);
        for (size_t i = 0; i < n_members;) {
                size_t n = 0;

                for (; n < ELEMENTSOF(words) && i < n_members; n++, i++)
                        words[n] = (uint32_t)set->members[i].list << 8 | set->members[i].bits;
                hash = hash64(words, n * sizeof(*words), hash);
        }
        for (char **name = set->names; *name; name++)
                hash = hash64(*name, strlen(*name) + 1, hash);
        return hash != 0 ? hash : 1;
}

static int set_new(PolicyList *const *lists, size_t n_lists, PolicySet **ret) {
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;

        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        set->n_ref = 1;
        set->names = calloc(n_lists + 1, sizeof(*set->names));
        if (!set->names)
                return -ENOMEM;
        for (size_t i = 0; i < n_lists; i++) {
                set->names[i] = strdup(lists[i]->name);
                if (!set->names[i])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(set);
        return 0;
}

int policy_set_build(
        PolicyList *const *lists, size_t n_lists, const char **reterr_limit, PolicySet **ret) {
        _cleanup_(set_combinations_done) SetCombinations c = {};
        _cleanup_(set_pages_done) SetPages pages = {};
        _cleanup_(policy_set_unrefp) PolicySet *set = NULL;
        struct cgp_set_header header = { .abi_version = CGP_ABI_VERSION };
        size_t zero;
        int r;

        assert(lists || n_lists == 0);
        assert(ret);

        r = set_combinations_init(&c, n_lists);
        if (r < 0)
                return r;
        r = set_new(lists, n_lists, &set);
        if (r < 0)
                return r;
        r = set_pages_add(&pages, 1, &zero);
        if (r < 0)
                return r;
        r = build4(lists, n_lists, &c, &pages, header.param);
        if (r >= 0)
                r = build6(lists, n_lists, &c, &pages, header.param);
        if (r == -E2BIG && reterr_limit)
                *reterr_limit = "set size";
        if (r == -EOVERFLOW) {
                if (reterr_limit)
                        *reterr_limit = "combinations";
                return -E2BIG;
        }
        if (r < 0)
                return r;

        header.n_pages = (uint32_t)pages.n_pages;
        header.n_combinations = (uint32_t)c.n;
        memcpy(pages.bytes, &header, sizeof(header));
        set->pages = TAKE_PTR(pages.bytes);
        set->n_pages = pages.n_pages;
        set->first = TAKE_PTR(c.first);
        set->members = TAKE_PTR(c.members);
        set->n_combinations = c.n;
        set->hash = set_hash(set, c.n_members);
        memcpy(set->pages + offsetof(struct cgp_set_header, hash), &set->hash, sizeof(set->hash));
        *ret = TAKE_PTR(set);
        return 0;
}

uint32_t policy_set_lookup(const PolicySet *set, const uint8_t address[16]) {
        uint64_t hi = 0, lo = 0;

        assert(set);

        for (unsigned i = 0; i < 8; i++) {
                hi = hi << 8 | address[i];
                lo = lo << 8 | address[i + 8];
        }
        return (uint32_t)cgp_set_lookup(set, set->hash, hi, lo);
}
