/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a policy file says, to PolicyFile. Errors are collected: nothing here stops at the first one, but a
 * file with an error is no file.
 */
#include "policy/parse.h"

#include <inttypes.h>

#include "policy/parse-file-private.h"
#include "util/macro.h"
#include "util/strv.h"

#define FORMAT_VERSION 1

/* The members of one rule that is written as an object, as far as they are read. */
struct RuleMembers {
        const Node *body; /* borrowed */
        const char *verdict;
        char *id;
        char *comment;
};

static const char *const later_keys[] = {
        "tune",
        "sockets",
        "devices",
        "log",
        "required",
        "until",
        NULL,
};

PolicySource file_source(const FileParser *p, const Node *value) {
        return (PolicySource){
                .path = p->file->path,
                .line = value->line,
                .column = value->column,
        };
}

const char *file_string(FileParser *p, const Node *value, const char *what) {
        if (value->type == NODE_STRING)
                return value->string;
        VALUE_FAIL(p, value, -EINVAL, "bad-type", "%s is a string", what);
        return NULL;
}

void file_put_string(FileParser *p, const Node *value, const char *s, char **ret) {
        char *copy = strdup(s);

        if (copy)
                *ret = copy;
        else
                VALUE_FAIL(p, value, -ENOMEM, "no-memory", "out of memory");
}

bool file_parse_members(FileParser *p, const Node *object, const MemberParser *members) {
        bool all_known = true;

        for (const Node *value = object->first; value; value = value->next) {
                const char *key = value->key;
                const char *known[16] = {};
                const MemberParser *m;
                const char *meant;
                size_t n = 0;

                for (m = members; m->key && !streq(m->key, key); m++) {
                        assert(n + 1 < ELEMENTSOF(known));
                        known[n++] = m->key;
                }
                if (m->key) {
                        m->parse(p, value);
                        continue;
                }
                all_known = false;
                for (n = 0; later_keys[n] && !streq(later_keys[n], key); n++)
                        ;
                meant = policy_did_you_mean(key, known);
                if (later_keys[n])
                        KEY_FAIL(p, value, -EOPNOTSUPP, "not-supported",
                                "\"%s\" is not in this release yet", key);
                else if (meant)
                        KEY_FAIL(p, value, -EINVAL, "unknown-key",
                                "unknown key \"%s\" (did you mean \"%s\"?)", QUOTE(key), meant);
                else
                        KEY_FAIL(
                                p, value, -EINVAL, "unknown-key", "unknown key \"%s\"", QUOTE(key));
        }
        return all_known;
}

bool file_expect_object(FileParser *p, const Node *value, const char *what) {
        if (value->type == NODE_OBJECT)
                return true;
        VALUE_FAIL(p, value, -EINVAL, "bad-type", "%s is an object", what);
        return false;
}

static void parse_version(FileParser *p, const Node *value) {
        if (value->type != NODE_NUMBER)
                VALUE_FAIL(p, value, -EINVAL, "bad-type", "\"cgpolicy\" is the number %d",
                        FORMAT_VERSION);
        else if (value->number != FORMAT_VERSION)
                VALUE_FAIL(p, value, -EOPNOTSUPP, "unknown-version",
                        "format %" PRId64 " is not known (this release reads format %d)",
                        value->number, FORMAT_VERSION);
}

static void parse_name(FileParser *p, const Node *value) {
        const char *s = file_string(p, value, "\"name\"");

        if (!s)
                return;
        if (policy_glob_is_valid(s))
                file_put_string(p, value, s, &p->file->name);
        else
                VALUE_FAIL(p, value, -EINVAL, "bad-string", "\"name\" is 1-%u printable bytes",
                        POLICY_NAME_MAX);
}

static void parse_globs(FileParser *p, const Node *array, const char *what, char ***globs) {
        if (array->type != NODE_ARRAY) {
                VALUE_FAIL(p, array, -EINVAL, "bad-type", "%s is an array of strings", what);
                return;
        }
        if (array->n_children > POLICY_FILE_MATCH_MAX) {
                VALUE_FAIL(p, array, -E2BIG, "too-many-patterns", "%s has more than %u patterns",
                        what, POLICY_FILE_MATCH_MAX);
                return;
        }
        for (const Node *value = array->first; value; value = value->next) {
                const char *s = file_string(p, value, "a pattern");

                if (!s)
                        continue;
                if (!policy_glob_is_valid(s))
                        VALUE_FAIL(p, value, -EINVAL, "bad-string",
                                "a pattern is 1-%u printable bytes", POLICY_NAME_MAX);
                else if (strv_extend(globs, s) < 0)
                        VALUE_FAIL(p, value, -ENOMEM, "no-memory", "out of memory");
        }
}

static void parse_units(FileParser *p, const Node *value) {
        parse_globs(p, value, "\"units\"", &p->file->match.units);
        if (value->type == NODE_ARRAY && value->n_children == 0)
                VALUE_FAIL(p, value, -EINVAL, "empty-match", "\"units\" names no unit");
}

static void parse_not_units(FileParser *p, const Node *value) {
        parse_globs(p, value, "\"not\"", &p->file->match.not_units);
}

static void parse_match(FileParser *p, const Node *value) {
        static const MemberParser members[] = {
                { "units", parse_units },
                { "not", parse_not_units },
                {},
        };

        p->file->has_match = true;
        if (!file_expect_object(p, value, "\"match\""))
                return;
        if (file_parse_members(p, value, members) && !node_member(value, "units"))
                VALUE_FAIL(p, value, -EINVAL, "missing-key", "\"match\" has no \"units\"");
}

static void parse_mode(FileParser *p, const Node *value) {
        static const char *const modes[] = { "enforce", "audit", "off", NULL };
        const char *s = file_string(p, value, "\"mode\""), *meant;
        int mode;

        if (!s)
                return;
        mode = policy_mode_from_string(s);
        meant = policy_did_you_mean(s, modes);
        if (mode >= 0) {
                p->file->mode = (PolicyMode)mode;
                p->file->mode_source = file_source(p, value);
        } else if (meant)
                VALUE_FAIL(p, value, -EINVAL, "unknown-mode",
                        "unknown mode \"%s\" (did you mean \"%s\"?)", QUOTE(s), meant);
        else
                VALUE_FAIL(p, value, -EINVAL, "unknown-mode",
                        "unknown mode \"%s\" (enforce, audit or off)", QUOTE(s));
}

static void put_default(
        FileParser *p, const Node *value, PolicyDefault *ret, PolicySource *ret_source) {
        static const char *const defaults[] = { "allow", "deny", NULL };
        const char *s = file_string(p, value, "a default"), *meant;
        int d;

        if (!s)
                return;
        d = policy_default_from_string(s);
        meant = policy_did_you_mean(s, defaults);
        if (d >= 0) {
                *ret = (PolicyDefault)d;
                *ret_source = file_source(p, value);
        } else if (meant)
                VALUE_FAIL(p, value, -EINVAL, "unknown-default",
                        "unknown default \"%s\" (did you mean \"%s\"?)", QUOTE(s), meant);
        else
                VALUE_FAIL(p, value, -EINVAL, "unknown-default",
                        "unknown default \"%s\" (allow or deny)", QUOTE(s));
}

static void parse_default_in(FileParser *p, const Node *value) {
        put_default(p, value, &p->file->default_in, &p->file->default_in_source);
}

static void parse_default_out(FileParser *p, const Node *value) {
        put_default(p, value, &p->file->default_out, &p->file->default_out_source);
}

static void parse_default(FileParser *p, const Node *value) {
        static const MemberParser members[] = {
                { "in", parse_default_in },
                { "out", parse_default_out },
                {},
        };

        if (value->type == NODE_STRING) {
                parse_default_in(p, value);
                if (p->file->default_in == POLICY_DEFAULT_UNSET)
                        return;
                p->file->default_out = p->file->default_in;
                p->file->default_out_source = p->file->default_in_source;
        } else if (value->type != NODE_OBJECT)
                VALUE_FAIL(p, value, -EINVAL, "bad-type",
                        "\"default\" is \"allow\", \"deny\" or an object with \"in\" and \"out\"");
        else if (value->n_children == 0)
                VALUE_FAIL(p, value, -EINVAL, "missing-key",
                        "\"default\" has neither \"in\" nor \"out\"");
        else
                (void)file_parse_members(p, value, members);
}

static void parse_errno(FileParser *p, const Node *value) {
        static const char *const errnos[] = { "EPERM", "ECONNREFUSED", "EACCES", NULL };
        const char *s = file_string(p, value, "\"errno\""), *meant;
        int e;

        if (!s)
                return;
        e = policy_errno_from_string(s);
        meant = policy_did_you_mean(s, errnos);
        if (e >= 0) {
                p->file->refusal = (PolicyErrno)e;
                p->file->refusal_source = file_source(p, value);
        } else if (meant)
                VALUE_FAIL(p, value, -EINVAL, "unknown-errno",
                        "unknown errno \"%s\" (did you mean \"%s\"?)", QUOTE(s), meant);
        else
                VALUE_FAIL(p, value, -EINVAL, "unknown-errno",
                        "unknown errno \"%s\" (EPERM, ECONNREFUSED or EACCES)", QUOTE(s));
}

static void parse_profile(FileParser *p, const Node *value) {
        const char *s = file_string(p, value, "\"profile\"");

        if (!s)
                return;
        if (!policy_profile_name_is_valid(s)) {
                VALUE_FAIL(p, value, -EINVAL, "bad-string",
                        "\"%s\" cannot be the name of a profile", QUOTE(s));
                return;
        }
        file_put_string(p, value, s, &p->file->profile);
        p->file->profile_source = file_source(p, value);
}

/* A string is ASCII up to what a rule's error points at, but it may be written with escapes. */
unsigned file_string_column(const FileParser *p, const Node *value, size_t n) {
        const char *start = p->bytes + value->offset + 1, *c = start;

        while (n-- > 0 && *c != '"')
                c += *c != '\\' ? 1 : c[1] == 'u' ? 6 : 2;
        return value->column + 1 + (unsigned)(c - start);
}

/* Parses the string as a rule, or as the body of one. The rule goes to *ret. */
static int parse_rule_string(
        FileParser *p, const Node *value, const char *verdict, PolicyRule **ret) {
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        const char *text = value->string;
        int r;

        r = verdict ? policy_parse_body((PolicyVerdict)policy_verdict_from_string(verdict), text,
                              NULL, 1, 1, p->services, &diags, &rule)
                    : policy_parse_rule(text, NULL, 1, 1, p->services, &diags, &rule);
        for (size_t i = 0; i < diags.n_diags; i++)
                FILE_FAIL(p, value->line, file_string_column(p, value, diags.diags[i].column - 1),
                        r, diags.diags[i].code, "%s", diags.diags[i].message);
        if (r < 0) {
                if (diags.n_diags == 0)
                        VALUE_FAIL(p, value, r, "no-memory", "out of memory");
                return r;
        }
        rule->source = file_source(p, value);
        rule->source.column++;

        *ret = TAKE_PTR(rule);
        return 0;
}

static void put_verdict(FileParser *p, const Node *value, const char *verdict) {
        if (p->members->body)
                KEY_FAIL(p, value, -EINVAL, "two-verdicts",
                        "a rule has one verdict, and \"%s\" is there already", p->members->verdict);
        else if (file_string(p, value, "a rule")) {
                p->members->body = value;
                p->members->verdict = verdict;
        }
}

static void parse_allow(FileParser *p, const Node *value) {
        put_verdict(p, value, "allow");
}

static void parse_deny(FileParser *p, const Node *value) {
        put_verdict(p, value, "deny");
}

static void parse_never(FileParser *p, const Node *value) {
        put_verdict(p, value, "never");
}

static void parse_id(FileParser *p, const Node *value) {
        const char *s = file_string(p, value, "\"id\"");

        if (!s)
                return;
        if (policy_id_is_valid(s))
                file_put_string(p, value, s, &p->members->id);
        else
                VALUE_FAIL(p, value, -EINVAL, "bad-string",
                        "\"id\" is 1-%u letters, digits and . _ : @ -", POLICY_ID_MAX);
}

static void parse_comment(FileParser *p, const Node *value) {
        const char *s = file_string(p, value, "\"comment\"");

        if (!s)
                return;
        if (policy_comment_is_valid(s))
                file_put_string(p, value, s, &p->members->comment);
        else
                VALUE_FAIL(p, value, -EINVAL, "bad-string",
                        "\"comment\" is at most %u printable bytes", POLICY_COMMENT_MAX);
}

static void rule_members_done(RuleMembers *m) {
        free(m->id);
        free(m->comment);
}

static void parse_rule_object(FileParser *p, const Node *object, PolicyRule **ret) {
        static const MemberParser members[] = {
                { "allow", parse_allow },
                { "deny", parse_deny },
                { "never", parse_never },
                { "id", parse_id },
                { "comment", parse_comment },
                {},
        };
        _cleanup_(rule_members_done) RuleMembers m = {};
        bool has_verdict;

        p->members = &m;
        /* A key that nobody knows is most likely the misspelt verdict. */
        has_verdict = !file_parse_members(p, object, members);
        p->members = NULL;
        for (size_t i = 0; i < 3; i++)
                has_verdict = has_verdict || node_member(object, members[i].key);
        if (!has_verdict)
                VALUE_FAIL(p, object, -EINVAL, "missing-key",
                        "the rule has no \"allow\", \"deny\" or \"never\"");
        if (!m.body || parse_rule_string(p, m.body, m.verdict, ret) < 0)
                return;
        (*ret)->id = TAKE_PTR(m.id);
        (*ret)->comment = TAKE_PTR(m.comment);
}

static void parse_rules(FileParser *p, const Node *array) {
        if (array->type != NODE_ARRAY) {
                VALUE_FAIL(p, array, -EINVAL, "bad-type", "\"rules\" is an array");
                return;
        }
        if (array->n_children > POLICY_FILE_RULES_MAX) {
                VALUE_FAIL(p, array, -E2BIG, "too-many-rules", "a file can have %u rules; split it",
                        POLICY_FILE_RULES_MAX);
                return;
        }
        for (const Node *value = array->first; value; value = value->next) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;

                if (value->type == NODE_STRING)
                        (void)parse_rule_string(p, value, /* verdict= */ NULL, &rule);
                else if (value->type == NODE_OBJECT)
                        parse_rule_object(p, value, &rule);
                else
                        VALUE_FAIL(p, value, -EINVAL, "bad-type",
                                "a rule is a string, or an object with a verdict");
                if (rule && policy_file_add_rule(p->file, &rule) < 0)
                        VALUE_FAIL(p, value, -ENOMEM, "no-memory", "out of memory");
        }
}

static void parse_top(FileParser *p, const Node *top) {
        static const MemberParser members[] = {
                { "cgpolicy", parse_version },
                { "name", parse_name },
                { "match", parse_match },
                { "mode", parse_mode },
                { "default", parse_default },
                { "errno", parse_errno },
                { "profile", parse_profile },
                { "lists", file_parse_lists },
                { "rules", parse_rules },
                {},
        };
        const Node *version;
        int r;

        if (!file_expect_object(p, top, "a policy file"))
                return;
        version = node_member(top, "cgpolicy");
        if (!version)
                VALUE_FAIL(p, top, -EINVAL, "missing-key",
                        "the file has no \"cgpolicy\": %d, which says what it is", FORMAT_VERSION);
        /* What another format means by its keys is not known, so complaints about them would mislead. */
        if (version && version->type == NODE_NUMBER && version->number != FORMAT_VERSION) {
                parse_version(p, version);
                return;
        }
        (void)file_parse_members(p, top, members);
        if (p->file->profile && !p->file->has_match)
                FILE_FAIL(p, p->file->profile_source.line, p->file->profile_source.column, -EINVAL,
                        "nested-profile",
                        "a file without \"match\" is a profile, and a profile cannot name another");
        if (node_member(top, "lists") && !p->file->has_match)
                KEY_FAIL(p, node_member(top, "lists"), -EINVAL, "lists-in-profile",
                        "a file without \"match\" is a profile, and a profile cannot define lists");
        r = policy_file_check_ids(p->file, p->diags);
        if (p->error == 0)
                p->error = r;
}

int policy_parse_file(const char *path, const char *bytes, size_t size,
        const PolicyServices *services, PolicyDiags *diags, PolicyFile **ret) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        _cleanup_(document_done) Document document = {};
        FileParser p = { .bytes = bytes, .services = services, .diags = diags };
        int r;

        assert(path);
        assert(bytes || size == 0);
        assert(ret);

        if (size > POLICY_FILE_SIZE_MAX) {
                policy_diags_add(diags, POLICY_ERROR, "file-too-long", path, 0, 0,
                        "the file is longer than %u bytes", POLICY_FILE_SIZE_MAX);
                return -E2BIG;
        }
        r = document_read(path, bytes, size, diags, &document);
        if (r < 0)
                return r;
        r = policy_file_new(path, &file);
        if (r < 0) {
                policy_diags_add(diags, POLICY_ERROR, "no-memory", path, 0, 0, "out of memory");
                return r;
        }
        p.file = file;
        parse_top(&p, document.top);
        if (p.error < 0)
                return p.error;
        r = policy_file_check(file, diags);
        if (r < 0) {
                policy_diags_add(diags, POLICY_ERROR, "no-memory", path, 0, 0, "out of memory");
                return r;
        }

        *ret = TAKE_PTR(file);
        return 0;
}
