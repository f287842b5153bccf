/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy of one unit, from the files that apply to it, and the numbers and counters of its rules: a rule
 * keeps its own for as long as it is there, whatever happens around it. */
#include "core/manager-internal.h"
#include "util/macro.h"
#include "util/strv.h"

#define LIST_NAMES_TOLD 8U /* in a message */

Policy *policy_free(Policy *policy) {
        if (!policy)
                return NULL;

        policy_stack_done(&policy->stack);
        strv_free(policy->ids);
        host_unref(policy->host);
        store_unref(policy->store);
        free(policy);
        return NULL;
}

/* What makes a rule the same rule in the next version of its file: its id, or else its text. */
static char *entry_key(const PolicyEntry *entry) {
        const char *base = strrchr(strempty(entry->rule->source.path), '/');
        char *key = NULL;
        int r;

        base = base ? base + 1 : strempty(entry->rule->source.path);
        if (entry->rule->id)
                r = asprintf(&key, "%s/%s#%s", policy_layer_to_string(entry->layer), base,
                        entry->rule->id);
        else
                r = asprintf(&key, "%s/%s:%s %s", policy_layer_to_string(entry->layer), base,
                        policy_verdict_to_string(entry->rule->verdict), entry->rule->text);
        return r < 0 ? NULL : key;
}

static int manager_take_counter(
        Manager *m, const UnitState *state, ManagerError *reterr, uint32_t *ret) {
        uint32_t slot;
        int r;

        r = slots_take(m->counters, &slot);
        if (r < 0)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "%s: no counters left: its policy has more rules than there are (all subjects together "
                        "have %u); the policy in force is unchanged",
                        state->name, CGP_MAX_COUNTERS - 1);
        r = m->kernel->ops->counter_clear(m->kernel, slot);
        if (r < 0) {
                slots_give_back(m->counters, slot);
                return manager_error_set(reterr, MANAGER_ERROR_KERNEL,
                        "%s: cannot clear a counter: %s; the policy in force is unchanged",
                        state->name, strerror(-r));
        }
        *ret = slot;
        return 0;
}

static int state_take_reserved(Manager *m, UnitState *state, ManagerError *reterr) {
        for (size_t i = 1; i < UNIT_STATE_RESERVED; i++) {
                int r;

                if (state->reserved[i] != 0)
                        continue;
                r = manager_take_counter(m, state, reterr, &state->reserved[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Gives an entry the number and counter of its rule, which is made if need be. Two equal rules of one file
 * share them. */
static int entry_number(
        Manager *m, PolicyEntry *entry, const char *key, UnitState *state, ManagerError *reterr) {
        UnitStateRule *rule = unit_state_find(state, key);
        int r;

        if (!rule) {
                r = unit_state_add(state, key, &rule);
                if (r < 0)
                        return r;
                r = manager_take_counter(m, state, reterr, &rule->slot);
                if (r < 0)
                        return r;
        }
        entry->number = rule->number;
        entry->counter = rule->slot;
        return 0;
}

static int state_remove_unused(UnitState *state, char *const *keys, size_t n_keys) {
        _cleanup_free_ bool *used = calloc(MAX(state->n_rules, 1U), sizeof(*used));

        if (!used)
                return -ENOMEM;
        for (size_t i = 0; i < n_keys; i++) {
                const UnitStateRule *rule = unit_state_find(state, keys[i]);

                if (rule)
                        used[rule - state->rules] = true;
        }
        unit_state_keep(state, used);
        return 0;
}

static int policy_number_rules(Manager *m, Policy *policy, UnitState *state, ManagerError *reterr) {
        _cleanup_(strv_freep) char **keys = NULL;
        int r;

        keys = calloc(policy->stack.n_entries + 1, sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        for (size_t i = 0; i < policy->stack.n_entries; i++) {
                keys[i] = entry_key(&policy->stack.entries[i]);
                if (!keys[i])
                        return -ENOMEM;
        }
        r = state_take_reserved(m, state, reterr);
        if (r < 0)
                return r;
        /* What is gone makes room first: all rules may be replaced at once. */
        r = state_remove_unused(state, keys, policy->stack.n_entries);
        if (r < 0)
                return r;
        for (size_t i = 0; i < policy->stack.n_entries; i++) {
                r = entry_number(m, &policy->stack.entries[i], keys[i], state, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int entry_set_id(const char *name, PolicyEntry *entry, size_t i, char ***ids) {
        _cleanup_free_ char *id = NULL;
        int r;

        if (entry->rule->id) {
                entry->id = entry->rule->id;
                return 0;
        }
        /* Colon, not dot: it cannot be taken for an id that the tool gave to a rule of its own. */
        if (asprintf(&id, "%s:%zu", name, entry->number ? (size_t)entry->number : i + 1) < 0)
                return -ENOMEM;
        entry->id = id;
        r = strv_push(ids, &id);
        if (r < 0)
                entry->id = NULL;
        return r;
}

static int policy_number(
        Manager *m, const char *name, Policy *policy, UnitState *state, ManagerError *reterr) {
        int r = state ? policy_number_rules(m, policy, state, reterr) : 0;

        for (size_t i = 0; r >= 0 && i < policy->stack.n_entries; i++)
                r = entry_set_id(name, &policy->stack.entries[i], i, &policy->ids);
        return r;
}

static unsigned peer_uses(const PolicyPeer *peer) {
        switch (peer->type) {
        case POLICY_PEER_LAN:
        case POLICY_PEER_INTERNET:
        case POLICY_PEER_BROADCAST:
                return HOST_NETWORKS;
        case POLICY_PEER_LIST:
                return HOST_LISTS;
        case POLICY_PEER_ANY:
        case POLICY_PEER_PREFIX:
        case POLICY_PEER_RANGE:
        case POLICY_PEER_LOCALHOST:
        case POLICY_PEER_LINK_LOCAL:
        case POLICY_PEER_MULTICAST:
        case _POLICY_PEER_TYPE_MAX:
                return 0;
        }
        return HOST_NETWORKS | HOST_LISTS;
}

/* What of the host the image depends on. A policy with `lan` alone has places, too: only the host's network
 * namespace has its networks. */
static unsigned stack_uses(const PolicyStack *stack) {
        unsigned uses = 0;

        for (size_t i = 0; i < stack->n_entries; i++) {
                const PolicyRule *rule = stack->entries[i].rule;

                if (rule->via)
                        uses |= HOST_INTERFACES;
                for (size_t k = 0; k < rule->n_peers; k++) {
                        uses |= peer_uses(&rule->peers[k]);
                        if (rule->peers[k].type == POLICY_PEER_LAN)
                                uses |= HOST_INTERFACES;
                }
        }
        return uses;
}

/* A name that was likely meant, or the names that there are: a sentence, "" if there is nothing to say. */
static char *list_names(const char *list, const ListTable *lists) {
        _cleanup_free_ const char **names = calloc(lists->n_entries + 1, sizeof(*names));
        _cleanup_free_ char *all = NULL;
        const char *guess;
        char *text;
        int r;

        if (!names)
                return NULL;
        for (size_t i = 0; i < lists->n_entries; i++)
                names[i] = lists->entries[i].name;
        guess = policy_did_you_mean(list, names);
        if (guess)
                return asprintf(&text, " (did you mean '@%s'?)", guess) < 0 ? NULL : text;
        for (size_t i = 0; i < MIN(lists->n_entries, (size_t)LIST_NAMES_TOLD); i++) {
                _cleanup_free_ char *before = TAKE_PTR(all);

                r = asprintf(&all, "%s%s@%s", strempty(before), before ? ", " : "", names[i]);
                if (r < 0) {
                        all = NULL;
                        return NULL;
                }
        }
        if (!all)
                return strdup("");
        r = asprintf(
                &text, " (there are %s%s)", all, lists->n_entries > LIST_NAMES_TOLD ? ", ..." : "");
        return r < 0 ? NULL : text;
}

int policy_list_missing(
        const PolicyRule *rule, const char *list, const ListTable *lists, ManagerError *reterr) {
        const ListEntry *entry = list_table_find(lists, list);
        const char *verdict = policy_verdict_to_string(rule->verdict);
        _cleanup_free_ char *names = NULL;

        if (!entry) {
                names = list_names(list, lists);
                return manager_error_set(reterr, MANAGER_ERROR_NO_SUCH_LIST,
                        "rule '%s %.200s': no file defines the list '@%s'%s; define it in a policy file "
                        "first: \"lists\": {\"%s\": {\"file\": \"lists/%s.txt\"}}",
                        verdict, rule->text, list, strempty(names), list, list);
        }
        return manager_error_set(reterr, MANAGER_ERROR_INVALID_POLICY,
                "rule '%s %.200s': the list '@%s' of %s:%u has never been loaded: %s; mend it, then "
                "try again",
                verdict, rule->text, list, entry->source, entry->line,
                entry->error ? entry->error : "it was not read yet");
}

static int policy_check_lists(const Policy *policy, const ListTable *lists, ManagerError *reterr) {
        for (size_t i = 0; i < policy->stack.n_entries; i++) {
                const PolicyRule *rule = policy->stack.entries[i].rule;

                for (size_t k = 0; k < rule->n_peers; k++)
                        if (rule->peers[k].type == POLICY_PEER_LIST &&
                                !policy_host_list(&policy->host->host, rule->peers[k].list))
                                return policy_list_missing(
                                        rule, rule->peers[k].list, lists, reterr);
        }
        return 0;
}

int policy_build(Manager *m, Store *store, const Surroundings *surroundings, const char *name,
        UnitState *state, ManagerError *reterr, Policy **ret) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        _cleanup_free_ PolicyStackInput *inputs = NULL;
        size_t n_inputs;
        int r;

        policy = calloc(1, sizeof(*policy));
        if (!policy)
                return -ENOMEM;
        policy->store = store_ref(store);
        policy->host = host_ref(surroundings->host);
        r = store_inputs(store, name, &inputs, &n_inputs);
        if (r < 0)
                return r;
        r = policy_stack_init(&policy->stack, inputs, n_inputs);
        if (r == -E2BIG)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "%s: more than %u rules apply", name, CGP_MAX_RULES);
        if (r < 0)
                return r;
        policy->uses = stack_uses(&policy->stack);
        r = policy_check_lists(policy, surroundings->lists, reterr);
        if (r < 0)
                return r;
        r = policy_number(m, name, policy, state, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(policy);
        return 0;
}

PolicyCompileInput policy_compile_input(
        const Policy *policy, const UnitState *state, uint64_t generation) {
        return (PolicyCompileInput){
                .stack = &policy->stack,
                .host = &policy->host->host,
                .subject = state->subject,
                .generation = generation,
                .counter_default_out = state->reserved[CGP_RULE_DEFAULT_OUT],
                .counter_default_in = state->reserved[CGP_RULE_DEFAULT_IN],
                .counter_unparsable_out = state->reserved[CGP_RULE_UNPARSABLE_OUT],
                .counter_unparsable_in = state->reserved[CGP_RULE_UNPARSABLE_IN],
                .counter_control = state->reserved[CGP_RULE_CONTROL],
                .counter_broken = state->reserved[CGP_RULE_BROKEN],
                .counter_default_bind = state->reserved[CGP_RULE_DEFAULT_BIND],
        };
}
