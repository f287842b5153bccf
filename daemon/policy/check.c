/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be said of the rules of a file only together: ids that are there twice, which is an error, and
 * rules that say nothing, which deserve a warning: one that is there already, one that another covers, an
 * allow that a never always beats. A rule is only called so where it changes nothing for sure: an allow
 * inside a wider allow does something if a deny stands between the two; and what a list, `lan` or an
 * interface holds is not known here, so each covers only itself.
 */
#include <sys/socket.h>

#include "policy/parse-private.h"
#include "util/macro.h"

/* Of the two checks that compare rules with each other, together. This is a courtesy: it must not cost more
 * than the parsing, and who writes so many rules by hand? What is beyond is not looked at. */
#define COMPARISONS_MAX 1000000U

static int compare_places(const PolicySource *a, const PolicySource *b) {
        if (a->line != b->line)
                return a->line < b->line ? -1 : 1;
        return a->column < b->column ? -1 : a->column > b->column;
}

static int compare_ids(const void *a, const void *b) {
        const PolicyRule *x = *(PolicyRule *const *)a, *y = *(PolicyRule *const *)b;
        int d = strcmp(strempty(x->id), strempty(y->id));

        return d != 0 ? d : compare_places(&x->source, &y->source);
}

/* By what they say, then by where they stand. */
static int compare_rules(const void *a, const void *b) {
        const PolicyRule *x = *(PolicyRule *const *)a, *y = *(PolicyRule *const *)b;
        int d;

        if (x->verdict != y->verdict)
                return x->verdict < y->verdict ? -1 : 1;
        d = strcmp(x->text, y->text);
        if (d != 0)
                return d;
        return compare_places(&x->source, &y->source);
}

/* The rules of the file in another order. NULL without memory. */
static PolicyRule **sort_rules(
        const PolicyFile *file, int (*compare)(const void *a, const void *b)) {
        PolicyRule **sorted = malloc(file->n_rules * sizeof(*sorted));

        if (!sorted)
                return NULL;
        memcpy(sorted, file->rules, file->n_rules * sizeof(*sorted));
        qsort(sorted, file->n_rules, sizeof(*sorted), compare);
        return sorted;
}

static int warn_duplicates(const PolicyFile *file, PolicyDiags *diags) {
        _cleanup_free_ PolicyRule **sorted = NULL;

        sorted = sort_rules(file, compare_rules);
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 1; i < file->n_rules; i++) {
                const PolicyRule *first = sorted[i - 1], *again = sorted[i];

                if (first->verdict == again->verdict && streq(first->text, again->text))
                        policy_diags_add(diags, POLICY_WARNING, "duplicate-rule", file->path,
                                again->source.line, again->source.column,
                                "the rule stands in line %u already", first->source.line);
        }
        return 0;
}

/* The first and last address, in the 16 bytes of the model. */
static void peer_bounds(const PolicyPeer *peer, uint8_t ret_first[16], uint8_t ret_last[16]) {
        memcpy(ret_first, peer->address, 16);
        memcpy(ret_last, peer->type == POLICY_PEER_RANGE ? peer->last : peer->address, 16);
        if (peer->type == POLICY_PEER_PREFIX)
                for (unsigned i = peer->prefix_len + (peer->family == AF_INET ? 96U : 0U); i < 128;
                        i++)
                        ret_last[i / 8] |= (uint8_t)(0x80U >> (i % 8));
}

static bool peer_covers(const PolicyPeer *wide, const PolicyPeer *narrow) {
        uint8_t wide_first[16], wide_last[16], first[16], last[16];

        if (wide->type == POLICY_PEER_ANY)
                return true;
        if (wide->family != narrow->family)
                return false;
        if (wide->family == AF_UNSPEC)
                return wide->type == narrow->type && streq_ptr(wide->list, narrow->list);
        peer_bounds(wide, wide_first, wide_last);
        peer_bounds(narrow, first, last);
        return memcmp(wide_first, first, 16) <= 0 && memcmp(wide_last, last, 16) >= 0;
}

static bool service_covers(const PolicyService *wide, const PolicyService *narrow) {
        return (wide->protocol == POLICY_PROTOCOL_ANY || wide->protocol == narrow->protocol) &&
                wide->port_min <= narrow->port_min && wide->port_max >= narrow->port_max;
}

static bool some_peer_covers(const PolicyRule *wide, const PolicyPeer *narrow) {
        for (size_t i = 0; i < wide->n_peers; i++)
                if (peer_covers(wide->peers + i, narrow))
                        return true;
        return false;
}

static bool some_service_covers(const PolicyRule *wide, const PolicyService *narrow) {
        for (size_t i = 0; i < wide->n_services; i++)
                if (service_covers(wide->services + i, narrow))
                        return true;
        return false;
}

/* Does everything that the narrow rule matches match the wide one, whatever the verdicts? In a network
 * namespace where interfaces mean nothing, an allow with `via` holds nowhere and a refusal everywhere: a rule
 * without covers both. */
static bool rule_covers(const PolicyRule *wide, const PolicyRule *narrow) {
        if ((narrow->directions & ~wide->directions) != 0 ||
                (wide->via && !streq_ptr(wide->via, narrow->via)))
                return false;
        for (size_t i = 0; i < narrow->n_services; i++)
                if (!some_service_covers(wide, narrow->services + i))
                        return false;
        for (size_t i = 0; i < narrow->n_peers; i++)
                if (!some_peer_covers(wide, narrow->peers + i))
                        return false;
        return true;
}

static size_t comparison_cost(const PolicyRule *a, const PolicyRule *b) {
        return 1 + a->n_peers * b->n_peers + a->n_services * b->n_services;
}

/* The rule of this verdict that makes rule i needless. Of two that cover each other the first one stays,
 * unless the verdicts differ. */
static const PolicyRule *find_cover(
        const PolicyFile *file, size_t i, PolicyVerdict verdict, size_t *budget) {
        const PolicyRule *rule = file->rules[i];

        for (size_t k = 0; k < file->n_rules; k++) {
                const PolicyRule *wide = file->rules[k];
                size_t cost = wide->verdict == verdict ? comparison_cost(wide, rule) : 1;

                if (cost > *budget) {
                        *budget = 0;
                        return NULL;
                }
                *budget -= cost;
                if (k == i || wide->verdict != verdict || !rule_covers(wide, rule))
                        continue;
                if (k < i || verdict != rule->verdict || !rule_covers(rule, wide))
                        return wide;
        }
        return NULL;
}

/* An allow inside a never looks like an exception to it, and is none. */
static void warn_dead(const PolicyFile *file, PolicyDiags *diags, size_t *budget) {
        bool has_never = false;

        for (size_t i = 0; i < file->n_rules; i++)
                has_never = has_never || file->rules[i]->verdict == POLICY_NEVER;
        for (size_t i = 0; has_never && i<file->n_rules && * budget> 0; i++) {
                const PolicyRule *rule = file->rules[i], *never;

                if (rule->verdict != POLICY_ALLOW)
                        continue;
                never = find_cover(file, i, POLICY_NEVER, budget);
                if (never)
                        policy_diags_add(diags, POLICY_WARNING, "dead-rule", file->path,
                                rule->source.line, rule->source.column,
                                "the \"never\" in line %u always beats this one",
                                never->source.line);
        }
}

static void warn_covered(const PolicyFile *file, PolicyDiags *diags, size_t *budget) {
        unsigned directions[_POLICY_VERDICT_MAX] = {};

        for (size_t i = 0; i < file->n_rules; i++)
                directions[file->rules[i]->verdict] |= file->rules[i]->directions;
        for (size_t i = 0; i<file->n_rules && * budget> 0; i++) {
                const PolicyRule *rule = file->rules[i], *wide;
                unsigned between = 0;

                if (rule->verdict != POLICY_NEVER)
                        between = directions[rule->verdict == POLICY_ALLOW ? POLICY_DENY
                                                                           : POLICY_ALLOW];
                if (between & rule->directions)
                        continue;
                wide = find_cover(file, i, rule->verdict, budget);
                if (wide && !streq(wide->text, rule->text))
                        policy_diags_add(diags, POLICY_WARNING, "covered-rule", file->path,
                                rule->source.line, rule->source.column,
                                "the rule in line %u covers this one", wide->source.line);
        }
}

int policy_file_check(const PolicyFile *file, PolicyDiags *diags) {
        size_t budget = COMPARISONS_MAX;
        int r;

        assert(file);

        if (file->n_rules < 2)
                return 0;
        r = warn_duplicates(file, diags);
        if (r < 0)
                return r;
        warn_dead(file, diags, &budget);
        warn_covered(file, diags, &budget);
        return 0;
}

int policy_file_check_ids(const PolicyFile *file, PolicyDiags *diags) {
        _cleanup_free_ PolicyRule **sorted = NULL;
        int r = 0;

        assert(file);

        if (file->n_rules < 2)
                return 0;
        sorted = sort_rules(file, compare_ids);
        if (!sorted) {
                policy_diags_add(
                        diags, POLICY_ERROR, "no-memory", file->path, 0, 0, "out of memory");
                return -ENOMEM;
        }
        for (size_t i = 1; i < file->n_rules; i++) {
                const PolicyRule *first = sorted[i - 1], *again = sorted[i];

                if (!first->id || !again->id || !streq(first->id, again->id))
                        continue;
                policy_diags_add(diags, POLICY_ERROR, "duplicate-id", file->path,
                        again->source.line, again->source.column,
                        "id \"%s\" is that of the rule in line %u", again->id, first->source.line);
                r = -EINVAL;
        }
        return r;
}
