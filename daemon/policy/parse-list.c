/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key "lists" of a policy file: names, and where each list comes from. The networks that stand in the
 * file itself are looked at here, so that each wrong one is reported where it stands; what a file holds is
 * read when the list is loaded.
 */
#include "policy/parse-file-private.h"
#include "util/macro.h"

/* The members of one list, as far as they are read. */
struct ListMembers {
        PolicyListDefinition *definition; /* borrowed */
        bool has_on_error;
};

static void parse_list_file(FileParser *p, const Node *value) {
        const char *s = file_string(p, value, "\"file\"");

        if (!s)
                return;
        if (policy_list_path_is_valid(s))
                file_put_string(p, value, s, &p->list_members->definition->file);
        else
                VALUE_FAIL(p, value, -EINVAL, "bad-string",
                        "\"file\" is a path of 1-%u printable bytes", POLICY_LIST_PATH_MAX);
}

static void parse_on_error(FileParser *p, const Node *value) {
        static const char *const known[] = { "keep-last", NULL };
        const char *s = file_string(p, value, "\"on-error\"");

        p->list_members->has_on_error = true;
        if (!s || streq(s, known[0]))
                return;
        if (policy_did_you_mean(s, known))
                VALUE_FAIL(p, value, -EINVAL, "unknown-on-error",
                        "unknown \"on-error\" \"%s\" (did you mean \"%s\"?)", QUOTE(s), known[0]);
        else
                VALUE_FAIL(p, value, -EINVAL, "unknown-on-error",
                        "unknown \"on-error\" \"%s\" (\"%s\": what was last read without an error "
                        "stays in force)",
                        QUOTE(s), known[0]);
}

/* Reports what is wrong with a network, as with that of a rule, but here nothing else can stand. */
static void check_network(FileParser *p, const Node *value) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        RuleParser network = { .text = value->string, .line = 1, .column = 1, .diags = &diags };
        PolicyPeer ignored;
        int r;

        r = rule_parse_network(&network, (Word){ value->string, strlen(value->string) }, &ignored);
        if (r >= 0)
                return;
        if (diags.n_diags == 0)
                VALUE_FAIL(p, value, -ENOMEM, "no-memory", "out of memory");
        else if (streq(diags.diags[0].code, "host-name") ||
                streq(diags.diags[0].code, "unknown-peer"))
                VALUE_FAIL(p, value, r, "bad-network",
                        "\"%s\" is not a network (ADDRESS, ADDRESS/LENGTH or ADDRESS-ADDRESS)",
                        QUOTE(value->string));
        else
                FILE_FAIL(p, value->line, file_string_column(p, value, diags.diags[0].column - 1),
                        r, diags.diags[0].code, "%s", diags.diags[0].message);
}

static void parse_networks(FileParser *p, const Node *array) {
        char ***networks = &p->list_members->definition->networks;
        size_t n = 0;

        if (array->type != NODE_ARRAY) {
                VALUE_FAIL(p, array, -EINVAL, "bad-type", "\"networks\" is an array of strings");
                return;
        }
        *networks = calloc(array->n_children + 1, sizeof(**networks));
        if (!*networks) {
                VALUE_FAIL(p, array, -ENOMEM, "no-memory", "out of memory");
                return;
        }
        for (const Node *value = array->first; value; value = value->next) {
                const char *s = file_string(p, value, "a network");

                if (!s)
                        continue;
                check_network(p, value);
                file_put_string(p, value, s, *networks + n);
                n += (*networks)[n] != NULL;
        }
}

static void parse_list(FileParser *p, const Node *value) {
        static const MemberParser members[] = {
                { "file", parse_list_file },
                { "on-error", parse_on_error },
                { "networks", parse_networks },
                {},
        };
        _cleanup_(policy_list_definition_done) PolicyListDefinition definition = {};
        ListMembers m = { .definition = &definition };
        bool all_known, file, networks;

        if (!policy_list_name_is_valid(value->key)) {
                KEY_FAIL(p, value, -EINVAL, "bad-string",
                        "\"%s\" cannot be the name of a list: 1-%u letters, digits and . _ -, a "
                        "letter or digit first",
                        QUOTE(value->key), POLICY_ID_MAX);
                return;
        }
        if (!file_expect_object(p, value, "a list"))
                return;
        p->list_members = &m;
        all_known = file_parse_members(p, value, members);
        p->list_members = NULL;

        file = node_member(value, "file");
        networks = node_member(value, "networks");
        if (file && networks)
                VALUE_FAIL(p, value, -EINVAL, "two-sources",
                        "a list has a \"file\" or \"networks\", not both");
        else if (!file && !networks && all_known)
                VALUE_FAIL(p, value, -EINVAL, "missing-key",
                        "the list has neither a \"file\" nor \"networks\"");
        else if (m.has_on_error && networks)
                KEY_FAIL(p, node_member(value, "on-error"), -EINVAL, "unexpected-key",
                        "\"on-error\" goes with \"file\": \"networks\" stand here, nothing is read");

        file_put_string(p, value, value->key, &definition.name);
        definition.source = file_source(p, value);
        definition.source.line = value->key_line;
        definition.source.column = value->key_column;
        if (policy_file_add_list(p->file, &definition) < 0)
                VALUE_FAIL(p, value, -ENOMEM, "no-memory", "out of memory");
}

void file_parse_lists(FileParser *p, const Node *object) {
        if (!file_expect_object(p, object, "\"lists\""))
                return;
        if (object->n_children > POLICY_FILE_LISTS_MAX) {
                VALUE_FAIL(p, object, -E2BIG, "too-many-lists",
                        "a file can define %u lists; split it", POLICY_FILE_LISTS_MAX);
                return;
        }
        for (const Node *value = object->first; value; value = value->next)
                parse_list(p, value);
}
