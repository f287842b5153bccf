/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the life of rules, files and stacks, the words of their enumerations, and the merge of layers.
 * What a rule means is not known here: the compiler and the reference evaluator each say it on their own.
 */
#include "policy/model.h"

#include <errno.h>
#include <fnmatch.h>

#include "cgp-abi.h"
#include "util/macro.h"
#include "util/strv.h"

#define N_RANKS (2U * _POLICY_LAYER_MAX)

static const char *const layer_names[] = {
        [POLICY_LAYER_RUNTIME] = "runtime",
        [POLICY_LAYER_LOCAL] = "local",
        [POLICY_LAYER_UNIT] = "unit",
        [POLICY_LAYER_VENDOR] = "vendor",
};
static_assert(ELEMENTSOF(layer_names) == _POLICY_LAYER_MAX, "every layer has a name");

static const char *const verdict_names[] = {
        [POLICY_ALLOW] = "allow",
        [POLICY_DENY] = "deny",
        [POLICY_NEVER] = "never",
};
static_assert(ELEMENTSOF(verdict_names) == _POLICY_VERDICT_MAX, "every verdict has a name");

static const char *const mode_names[] = {
        [POLICY_MODE_ENFORCE] = "enforce",
        [POLICY_MODE_AUDIT] = "audit",
        [POLICY_MODE_OFF] = "off",
};
static_assert(ELEMENTSOF(mode_names) == _POLICY_MODE_MAX, "every mode has a name");

static const char *const default_names[] = {
        [POLICY_DEFAULT_ALLOW] = "allow",
        [POLICY_DEFAULT_DENY] = "deny",
};
static_assert(ELEMENTSOF(default_names) == _POLICY_DEFAULT_MAX, "every default has a name");

static const char *const errno_names[] = {
        [POLICY_ERRNO_EPERM] = "EPERM",
        [POLICY_ERRNO_ECONNREFUSED] = "ECONNREFUSED",
        [POLICY_ERRNO_EACCES] = "EACCES",
};
static_assert(ELEMENTSOF(errno_names) == _POLICY_ERRNO_MAX, "every errno has a name");

static const char *const peer_type_names[_POLICY_PEER_TYPE_MAX] = {
        [POLICY_PEER_ANY] = "any",
        [POLICY_PEER_LOCALHOST] = "localhost",
        [POLICY_PEER_LINK_LOCAL] = "link-local",
        [POLICY_PEER_MULTICAST] = "multicast",
        [POLICY_PEER_BROADCAST] = "broadcast",
        [POLICY_PEER_LAN] = "lan",
        [POLICY_PEER_INTERNET] = "internet",
};

static const char *name_of(const char *const *names, size_t n_names, unsigned value) {
        return value < n_names ? names[value] : NULL;
}

static int value_of(const char *const *names, size_t n_names, const char *s) {
        assert(s);

        for (size_t i = 0; i < n_names; i++)
                if (names[i] && streq(names[i], s))
                        return (int)i;
        return -EINVAL;
}

const char *policy_layer_to_string(PolicyLayer layer) {
        return name_of(layer_names, ELEMENTSOF(layer_names), layer);
}

const char *policy_verdict_to_string(PolicyVerdict verdict) {
        return name_of(verdict_names, ELEMENTSOF(verdict_names), verdict);
}

int policy_verdict_from_string(const char *s) {
        return value_of(verdict_names, ELEMENTSOF(verdict_names), s);
}

const char *policy_mode_to_string(PolicyMode mode) {
        return name_of(mode_names, ELEMENTSOF(mode_names), mode);
}

int policy_mode_from_string(const char *s) {
        return value_of(mode_names, ELEMENTSOF(mode_names), s);
}

const char *policy_default_to_string(PolicyDefault d) {
        return name_of(default_names, ELEMENTSOF(default_names), d);
}

int policy_default_from_string(const char *s) {
        return value_of(default_names, ELEMENTSOF(default_names), s);
}

const char *policy_errno_to_string(PolicyErrno e) {
        return name_of(errno_names, ELEMENTSOF(errno_names), e);
}

int policy_errno_from_string(const char *s) {
        return value_of(errno_names, ELEMENTSOF(errno_names), s);
}

int policy_errno_to_errno(PolicyErrno e) {
        switch (e) {
        case POLICY_ERRNO_ECONNREFUSED:
                return ECONNREFUSED;
        case POLICY_ERRNO_EACCES:
                return EACCES;
        case POLICY_ERRNO_UNSET:
        case POLICY_ERRNO_EPERM:
        case _POLICY_ERRNO_MAX:
                break;
        }
        return EPERM;
}

const char *policy_peer_type_to_string(PolicyPeerType type) {
        return name_of(peer_type_names, ELEMENTSOF(peer_type_names), type);
}

/* As strdup(), but NULL is a value: 0 with NULL in *ret. */
static int copy_string(const char *s, char **ret) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        *ret = copy;
        return 0;
}

static int copy_strings(char *const *strings, char ***ret) {
        if (strings)
                return strv_copy(strings, ret);
        *ret = NULL;
        return 0;
}

PolicyRule *policy_rule_free(PolicyRule *rule) {
        if (!rule)
                return NULL;
        for (size_t i = 0; i < rule->n_peers; i++)
                free(rule->peers[i].list);
        free(rule->peers);
        free(rule->services);
        free(rule->via);
        free(rule->text);
        free(rule->id);
        free(rule->comment);
        free(rule);
        return NULL;
}

static int peers_copy(const PolicyRule *rule, PolicyRule *copy) {
        if (rule->n_peers == 0)
                return 0;
        copy->peers = calloc(rule->n_peers, sizeof(*copy->peers));
        if (!copy->peers)
                return -ENOMEM;
        for (size_t i = 0; i < rule->n_peers; i++) {
                int r;

                copy->peers[i] = rule->peers[i];
                copy->peers[i].list = NULL;
                copy->n_peers = i + 1;
                r = copy_string(rule->peers[i].list, &copy->peers[i].list);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int services_copy(const PolicyRule *rule, PolicyRule *copy) {
        if (rule->n_services == 0)
                return 0;
        copy->services = calloc(rule->n_services, sizeof(*copy->services));
        if (!copy->services)
                return -ENOMEM;
        memcpy(copy->services, rule->services, rule->n_services * sizeof(*copy->services));
        copy->n_services = rule->n_services;
        return 0;
}

int policy_rule_copy(const PolicyRule *rule, PolicyRule **ret) {
        _cleanup_(policy_rule_freep) PolicyRule *copy = NULL;

        assert(rule);
        assert(ret);

        copy = calloc(1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        copy->verdict = rule->verdict;
        copy->directions = rule->directions;
        copy->source = rule->source;
        if (services_copy(rule, copy) < 0 || peers_copy(rule, copy) < 0 ||
                copy_string(rule->via, &copy->via) < 0 ||
                copy_string(rule->text, &copy->text) < 0 || copy_string(rule->id, &copy->id) < 0 ||
                copy_string(rule->comment, &copy->comment) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(copy);
        return 0;
}

int policy_file_new(const char *path, PolicyFile **ret) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert(ret);

        file = calloc(1, sizeof(*file));
        if (!file)
                return -ENOMEM;
        if (copy_string(path, &file->path) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(file);
        return 0;
}

void policy_list_definition_done(PolicyListDefinition *definition) {
        assert(definition);

        free(definition->name);
        free(definition->file);
        strv_free(definition->networks);
        *definition = (PolicyListDefinition){};
}

PolicyFile *policy_file_free(PolicyFile *file) {
        if (!file)
                return NULL;
        for (size_t i = 0; i < file->n_lists; i++)
                policy_list_definition_done(file->lists + i);
        free(file->lists);
        for (size_t i = 0; i < file->n_rules; i++)
                policy_rule_free(file->rules[i]);
        free(file->rules);
        strv_free(file->match.units);
        strv_free(file->match.not_units);
        free(file->name);
        free(file->profile);
        free(file->path);
        free(file);
        return NULL;
}

/* A source without a path says "not stated" and stays so. */
static PolicySource source_move(PolicySource source, const char *path) {
        if (source.path)
                source.path = path;
        return source;
}

static int lists_copy(const PolicyFile *file, PolicyFile *copy) {
        for (size_t i = 0; i < file->n_lists; i++) {
                const PolicyListDefinition *from = file->lists + i;
                _cleanup_(policy_list_definition_done) PolicyListDefinition to = {
                        .source = from->source,
                };
                int r;

                if (copy_string(from->name, &to.name) < 0 ||
                        copy_string(from->file, &to.file) < 0 ||
                        copy_strings(from->networks, &to.networks) < 0)
                        return -ENOMEM;
                r = policy_file_add_list(copy, &to);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int rules_copy(const PolicyFile *file, PolicyFile *copy) {
        for (size_t i = 0; i < file->n_rules; i++) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                int r;

                r = policy_rule_copy(file->rules[i], &rule);
                if (r < 0)
                        return r;
                r = policy_file_add_rule(copy, &rule);
                if (r < 0)
                        return r;
        }
        return 0;
}

int policy_file_copy(const PolicyFile *file, PolicyFile **ret) {
        _cleanup_(policy_file_freep) PolicyFile *copy = NULL;
        int r;

        assert(file);
        assert(ret);

        r = policy_file_new(file->path, &copy);
        if (r < 0)
                return r;
        copy->has_match = file->has_match;
        copy->mode = file->mode;
        copy->default_in = file->default_in;
        copy->default_out = file->default_out;
        copy->mode_source = source_move(file->mode_source, copy->path);
        copy->default_in_source = source_move(file->default_in_source, copy->path);
        copy->default_out_source = source_move(file->default_out_source, copy->path);
        copy->refusal = file->refusal;
        copy->refusal_source = source_move(file->refusal_source, copy->path);
        copy->profile_source = source_move(file->profile_source, copy->path);
        if (copy_string(file->name, &copy->name) < 0 ||
                copy_string(file->profile, &copy->profile) < 0 ||
                copy_strings(file->match.units, &copy->match.units) < 0 ||
                copy_strings(file->match.not_units, &copy->match.not_units) < 0)
                return -ENOMEM;
        r = lists_copy(file, copy);
        if (r < 0)
                return r;
        r = rules_copy(file, copy);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(copy);
        return 0;
}

/* The room of an array that holds n elements and is to hold one more, or 0 if it has that room. It is 8,
 * 16, 32, ..., so the array is full exactly when its length is one of these. */
static size_t room_to_grow(size_t n) {
        if (n == 0)
                return 8;
        return n >= 8 && (n & (n - 1)) == 0 ? n * 2 : 0;
}

int policy_file_add_list(PolicyFile *file, PolicyListDefinition *definition) {
        size_t room;

        assert(file);
        assert(definition);

        if (file->n_lists >= POLICY_FILE_LISTS_MAX)
                return -E2BIG;
        room = room_to_grow(file->n_lists);
        if (room > 0) {
                PolicyListDefinition *lists = reallocarray(file->lists, room, sizeof(*lists));

                if (!lists)
                        return -ENOMEM;
                file->lists = lists;
        }
        definition->source.path = file->path;
        file->lists[file->n_lists++] =
                TAKE_GENERIC(*definition, PolicyListDefinition, ((PolicyListDefinition){}));
        return 0;
}

int policy_file_add_rule(PolicyFile *file, PolicyRule **rule) {
        size_t room;

        assert(file);
        assert(rule && *rule);

        if (file->n_rules >= POLICY_FILE_RULES_MAX)
                return -E2BIG;
        room = room_to_grow(file->n_rules);
        if (room > 0) {
                PolicyRule **rules = reallocarray(file->rules, room, sizeof(*rules));

                if (!rules)
                        return -ENOMEM;
                file->rules = rules;
        }
        (*rule)->source.path = file->path;
        file->rules[file->n_rules++] = TAKE_PTR(*rule);
        return 0;
}

void policy_file_remove_rule(PolicyFile *file, size_t i) {
        assert(file);
        assert(i < file->n_rules);

        policy_rule_free(file->rules[i]);
        file->n_rules--;
        memmove(file->rules + i, file->rules + i + 1, (file->n_rules - i) * sizeof(*file->rules));
}

/* Without escapes, because unit names have backslashes of their own ("dev-disk\x2dfoo.device"). */
static bool matches_some(char *const *globs, const char *subject) {
        if (!globs)
                return false;
        for (; *globs; globs++)
                if (fnmatch(*globs, subject, FNM_NOESCAPE) == 0)
                        return true;
        return false;
}

bool policy_file_matches(const PolicyFile *file, const char *subject) {
        assert(file);
        assert(subject);

        return file->has_match && matches_some(file->match.units, subject) &&
                !matches_some(file->match.not_units, subject);
}

bool policy_file_names(const PolicyFile *file, const char *subject) {
        assert(file);
        assert(subject);

        if (!file->has_match || !file->match.units || strpbrk(subject, "*?["))
                return false;
        for (char **s = file->match.units; *s; s++)
                if (streq(*s, subject))
                        return true;
        return false;
}

/* How strict a stated setting is. A setting that is not stated never gets here. */
static unsigned mode_strictness(unsigned mode) {
        return _POLICY_MODE_MAX - mode;
}

static unsigned default_strictness(unsigned d) {
        return d;
}

/* Folds one file's statement of a setting into what the ranks above and the files before it state. */
static void fold(unsigned *value, unsigned *rank, PolicySource *source, unsigned *conflicts,
        unsigned file_value, unsigned file_rank, PolicySource file_source, unsigned conflict,
        unsigned (*strictness)(unsigned value)) {
        if (file_value == 0 || file_rank > *rank)
                return;
        if (file_rank == *rank) {
                if (file_value == *value)
                        return;
                *conflicts |= conflict;
                if (strictness(file_value) < strictness(*value))
                        return;
        } else
                *conflicts &= ~conflict;
        *value = file_value;
        *rank = file_rank;
        *source = file_source;
}

static void stack_fold_settings(
        PolicyStack *stack, const PolicyStackInput *inputs, size_t n_inputs) {
        unsigned mode = 0, in = 0, out = 0;
        unsigned mode_rank = N_RANKS, in_rank = N_RANKS, out_rank = N_RANKS, errno_rank = N_RANKS;

        for (size_t i = 0; i < n_inputs; i++) {
                const PolicyFile *f = inputs[i].file;
                unsigned rank = 2 * inputs[i].layer + inputs[i].from_profile;

                fold(&mode, &mode_rank, &stack->mode_source, &stack->conflicts, f->mode, rank,
                        f->mode_source, POLICY_CONFLICT_MODE, mode_strictness);
                fold(&in, &in_rank, &stack->default_in_source, &stack->conflicts, f->default_in,
                        rank, f->default_in_source, POLICY_CONFLICT_DEFAULT_IN, default_strictness);
                fold(&out, &out_rank, &stack->default_out_source, &stack->conflicts, f->default_out,
                        rank, f->default_out_source, POLICY_CONFLICT_DEFAULT_OUT,
                        default_strictness);
                /* None is stricter than another, so that the first stays and nobody is told. */
                if (f->refusal != POLICY_ERRNO_UNSET && rank < errno_rank) {
                        stack->refusal = f->refusal;
                        errno_rank = rank;
                }
        }
        stack->mode = mode ?: POLICY_MODE_ENFORCE;
        stack->default_in = in ?: POLICY_DEFAULT_ALLOW;
        stack->default_out = out ?: POLICY_DEFAULT_ALLOW;
        stack->refusal = stack->refusal ?: POLICY_ERRNO_EPERM;
}

int policy_stack_init(PolicyStack *stack, const PolicyStackInput *inputs, size_t n_inputs) {
        _cleanup_free_ PolicyEntry *entries = NULL;
        size_t n = 0;

        assert(stack);
        assert(inputs || n_inputs == 0);

        for (size_t i = 0; i < n_inputs; i++) {
                n += inputs[i].file->n_rules;
                if (n > CGP_MAX_RULES)
                        return -E2BIG;
        }
        if (n > 0) {
                entries = calloc(n, sizeof(*entries));
                if (!entries)
                        return -ENOMEM;
        }
        n = 0;
        for (unsigned rank = 0; rank < N_RANKS; rank++)
                for (size_t i = 0; i < n_inputs; i++) {
                        if (2 * inputs[i].layer + inputs[i].from_profile != rank)
                                continue;
                        for (size_t k = 0; k < inputs[i].file->n_rules; k++)
                                entries[n++] = (PolicyEntry){
                                        .rule = inputs[i].file->rules[k],
                                        .layer = inputs[i].layer,
                                        .from_profile = inputs[i].from_profile,
                                        .rank = rank,
                                };
                }

        *stack = (PolicyStack){ .entries = TAKE_PTR(entries), .n_entries = n };
        stack_fold_settings(stack, inputs, n_inputs);
        return 0;
}

void policy_stack_done(PolicyStack *stack) {
        assert(stack);

        free(stack->entries);
        *stack = (PolicyStack){};
}
