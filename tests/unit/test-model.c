/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The model: copies, rule lists, what a file matches, and the merge of layers. */
#include "policy/model.h"

#include "cgp-abi.h"
#include "policy-test.h"

static PolicyRule *make_rule(PolicyVerdict verdict, const char *body) {
        PolicyRule *rule = NULL;

        assert_int_equal(policy_parse_body(verdict, body, NULL, 1, 1, NULL, NULL, &rule), 0);
        return rule;
}

static PolicyFile *make_file(const char *path, const char *json) {
        PolicyFile *file = NULL;

        assert_int_equal(
                policy_parse_file(path, json, strlen(json), &test_services, NULL, &file), 0);
        return file;
}

static void test_words(void **state) {
        assert_string_equal(policy_layer_to_string(POLICY_LAYER_RUNTIME), "runtime");
        assert_string_equal(policy_layer_to_string(POLICY_LAYER_VENDOR), "vendor");
        assert_null(policy_layer_to_string(_POLICY_LAYER_MAX));
        for (int v = 0; v < _POLICY_VERDICT_MAX; v++)
                assert_int_equal(policy_verdict_from_string(policy_verdict_to_string(v)), v);
        assert_int_equal(policy_verdict_from_string("Allow"), -EINVAL);
        assert_int_equal(policy_verdict_from_string(""), -EINVAL);
        assert_null(policy_mode_to_string(POLICY_MODE_UNSET));
        for (int m = POLICY_MODE_ENFORCE; m < _POLICY_MODE_MAX; m++)
                assert_int_equal(policy_mode_from_string(policy_mode_to_string(m)), m);
        assert_int_equal(policy_mode_from_string("unset"), -EINVAL);
        assert_null(policy_default_to_string(POLICY_DEFAULT_UNSET));
        for (int d = POLICY_DEFAULT_ALLOW; d < _POLICY_DEFAULT_MAX; d++)
                assert_int_equal(policy_default_from_string(policy_default_to_string(d)), d);
        assert_int_equal(policy_default_from_string("never"), -EINVAL);
        assert_null(policy_errno_to_string(POLICY_ERRNO_UNSET));
        for (int e = POLICY_ERRNO_EPERM; e < _POLICY_ERRNO_MAX; e++)
                assert_int_equal(policy_errno_from_string(policy_errno_to_string(e)), e);
        assert_int_equal(policy_errno_from_string("eperm"), -EINVAL);
        assert_int_equal(policy_errno_to_errno(POLICY_ERRNO_UNSET), EPERM);
        assert_int_equal(policy_errno_to_errno(POLICY_ERRNO_EPERM), EPERM);
        assert_int_equal(policy_errno_to_errno(POLICY_ERRNO_ECONNREFUSED), ECONNREFUSED);
        assert_int_equal(policy_errno_to_errno(POLICY_ERRNO_EACCES), EACCES);
        assert_string_equal(policy_peer_type_to_string(POLICY_PEER_LINK_LOCAL), "link-local");
        assert_null(policy_peer_type_to_string(POLICY_PEER_PREFIX));
        assert_null(policy_peer_type_to_string(POLICY_PEER_RANGE));
        assert_null(policy_peer_type_to_string(POLICY_PEER_LIST));
        assert_null(policy_peer_type_to_string(_POLICY_PEER_TYPE_MAX));
}

static const char whole_file[] =
        "{\"cgpolicy\": 1, \"name\": \"n\", \"match\": {\"units\": [\"a.service\", \"b*\"], "
        "\"not\": [\"bc\"]},\n\"mode\": \"audit\", \"default\": {\"in\": \"deny\"}, \"profile\": \"p\",\n"
        "\"rules\": [{\"allow\": \"in tcp/1,2 from 10.0.0.0/8\", \"id\": \"i\", \"comment\": \"c\"}, "
        "\"never to multicast\", \"deny to lan,@a,@b via eth0\"],\n"
        "\"lists\": {\"a\": {\"networks\": [\"10.0.0.0/8\", \"::1\"]}, \"b\": {\"file\": \"f\"}, "
        "\"c\": {\"networks\": []}}, \"errno\": \"EACCES\"}";

static void test_copy(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *file = make_file("/a.json", whole_file);
        _cleanup_(policy_file_freep) PolicyFile *copy = NULL;

        assert_int_equal(policy_file_copy(file, &copy), 0);
        assert_files_equal(file, copy);
        assert_ptr_not_equal(file->path, copy->path);
        /* The copy must survive the original, so nothing in it may point there. */
        assert_ptr_equal(copy->mode_source.path, copy->path);
        assert_ptr_equal(copy->default_in_source.path, copy->path);
        assert_null(copy->default_out_source.path);
        assert_ptr_equal(copy->profile_source.path, copy->path);
        assert_int_equal(copy->mode_source.line, 2);
        assert_ptr_equal(copy->refusal_source.path, copy->path);
        assert_int_equal(copy->refusal_source.line, 4);
        for (size_t i = 0; i < copy->n_lists; i++) {
                assert_ptr_equal(copy->lists[i].source.path, copy->path);
                assert_int_equal(copy->lists[i].source.line, 4);
                assert_int_equal(copy->lists[i].source.column, file->lists[i].source.column);
                assert_ptr_not_equal(copy->lists[i].name, file->lists[i].name);
        }
        for (size_t i = 0; i < copy->n_rules; i++) {
                assert_ptr_equal(copy->rules[i]->source.path, copy->path);
                assert_int_equal(copy->rules[i]->source.line, 3);
                assert_ptr_not_equal(copy->rules[i]->services, file->rules[i]->services);
                assert_ptr_not_equal(copy->rules[i]->peers, file->rules[i]->peers);
        }
        file = policy_file_free(file);
        assert_null(file);
        assert_string_equal(copy->rules[0]->text, "in tcp/1,2 from 10.0.0.0/8");
        assert_string_equal(copy->rules[2]->peers[2].list, "b");
        assert_string_equal(copy->lists[0].networks[1], "::1");
}

static void test_add_list(void **state) {
        _cleanup_(policy_list_definition_done) PolicyListDefinition extra = {};
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;

        assert_int_equal(policy_file_new("/x", &file), 0);
        for (unsigned i = 0; i <= POLICY_FILE_LISTS_MAX; i++) {
                assert_true(asprintf(&extra.name, "l%u", i) > 0);
                if (i == POLICY_FILE_LISTS_MAX)
                        break;
                assert_int_equal(policy_file_add_list(file, &extra), 0);
                assert_null(extra.name);
                assert_ptr_equal(file->lists[i].source.path, file->path);
        }
        assert_int_equal(policy_file_add_list(file, &extra), -E2BIG);
        assert_string_equal(extra.name, "l256");
        assert_string_equal(file->lists[255].name, "l255");
}

static void test_add_and_remove(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        _cleanup_(policy_rule_freep) PolicyRule *extra = make_rule(POLICY_DENY, "any");

        assert_int_equal(policy_file_new("/x", &file), 0);
        assert_int_equal(file->mode, POLICY_MODE_UNSET);
        assert_int_equal(file->default_in, POLICY_DEFAULT_UNSET);
        assert_false(file->has_match);
        for (unsigned i = 0; i < POLICY_FILE_RULES_MAX; i++) {
                char body[32];
                PolicyRule *rule;

                (void)snprintf(body, sizeof(body), "tcp/%u", i);
                rule = make_rule(POLICY_ALLOW, body);
                assert_int_equal(policy_file_add_rule(file, &rule), 0);
                assert_null(rule);
                assert_ptr_equal(file->rules[i]->source.path, file->path);
        }
        assert_int_equal(policy_file_add_rule(file, &extra), -E2BIG);
        assert_non_null(extra);

        policy_file_remove_rule(file, 0);
        policy_file_remove_rule(file, file->n_rules - 1);
        policy_file_remove_rule(file, 5);
        assert_int_equal(file->n_rules, POLICY_FILE_RULES_MAX - 3);
        assert_string_equal(file->rules[0]->text, "tcp/1");
        assert_string_equal(file->rules[4]->text, "tcp/5");
        assert_string_equal(file->rules[5]->text, "tcp/7");
        while (file->n_rules > 0)
                policy_file_remove_rule(file, file->n_rules / 2);
        /* From empty again, past each size at which the array grows. */
        for (unsigned i = 0; i < 40; i++) {
                PolicyRule *rule = make_rule(POLICY_ALLOW, "any");

                assert_int_equal(policy_file_add_rule(file, &rule), 0);
                if (i % 3 == 2)
                        policy_file_remove_rule(file, 0);
        }
        assert_int_equal(file->n_rules, 27);
}

static void test_matches(void **state) {
        static const struct {
                const char *units;
                const char *not_units; /* may be NULL */
                const char *subject;
                bool matches;
                bool names;
        } cases[] = {
                { "nginx.service", NULL, "nginx.service", true, true },
                { "nginx.service", NULL, "nginx.service2", false, false },
                { "nginx*", NULL, "nginx.service", true, false },
                { "*", NULL, "user:bob/app.service", true, false },
                { "*", "nginx.service", "nginx.service", false, false },
                { "nginx.service", "nginx.service", "nginx.service", false, true },
                { "*", "ngin?.service", "nginx.service", false, false },
                { "php[0-9].service", NULL, "php7.service", true, false },
                { "php[0-9].service", NULL, "phpx.service", false, false },
                /* A slash and a dot are no boundary. */
                { "cgroup:/a*", NULL, "cgroup:/a/b/c", true, false },
                { "*", NULL, ".hidden", true, false },
                /* Escapes of systemd are letters, not escapes of the glob. */
                { "dev-a\\\\x2db.device", NULL, "dev-a\\x2db.device", true, true },
                { "dev-a\\\\x2d*", NULL, "dev-a\\x2db.device", true, false },
                /* What looks like a wildcard in a name is not taken for a name. */
                { "a*", NULL, "a*", true, false },
                { "Nginx.service", NULL, "nginx.service", false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(policy_file_freep) PolicyFile *file = NULL;
                _cleanup_free_ char *json = NULL;

                assert_true(
                        asprintf(&json,
                                "{\"cgpolicy\":1,\"match\":{\"units\":[\"none\",\"%s\"],\"not\":[%s%s%s]}}",
                                cases[i].units, cases[i].not_units ? "\"" : "",
                                strempty(cases[i].not_units), cases[i].not_units ? "\"" : "") > 0);
                file = make_file("/x", json);
                assert_int_equal(policy_file_matches(file, cases[i].subject), cases[i].matches);
                assert_int_equal(policy_file_names(file, cases[i].subject), cases[i].names);
        }
}

static void test_profile_matches_nothing(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *file = make_file("/x", "{\"cgpolicy\":1}");

        assert_false(policy_file_matches(file, "nginx.service"));
        assert_false(policy_file_names(file, "nginx.service"));
}

static void test_stack_order(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *vendor =
                make_file("/v", "{\"cgpolicy\":1,\"rules\":[\"allow tcp/1\",\"allow tcp/2\"]}");
        _cleanup_(policy_file_freep) PolicyFile *local =
                make_file("/l", "{\"cgpolicy\":1,\"rules\":[\"allow tcp/3\"]}");
        _cleanup_(policy_file_freep) PolicyFile *profile =
                make_file("/p", "{\"cgpolicy\":1,\"rules\":[\"allow tcp/4\"]}");
        _cleanup_(policy_file_freep) PolicyFile *runtime =
                make_file("/r", "{\"cgpolicy\":1,\"rules\":[\"allow tcp/5\"]}");
        const PolicyStackInput inputs[] = {
                { vendor, POLICY_LAYER_VENDOR, false },
                { profile, POLICY_LAYER_LOCAL, true },
                { local, POLICY_LAYER_LOCAL, false },
                { runtime, POLICY_LAYER_RUNTIME, false },
                { local, POLICY_LAYER_UNIT, false },
        };
        static const struct {
                const char *text;
                unsigned rank;
        } expected[] = {
                { "tcp/5", 0 },
                { "tcp/3", 2 },
                { "tcp/4", 3 },
                { "tcp/3", 4 },
                { "tcp/1", 6 },
                { "tcp/2", 6 },
        };
        _cleanup_(policy_stack_done) PolicyStack stack = {};

        assert_int_equal(policy_stack_init(&stack, inputs, ELEMENTSOF(inputs)), 0);
        assert_int_equal(stack.n_entries, ELEMENTSOF(expected));
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_string_equal(stack.entries[i].rule->text, expected[i].text);
                assert_int_equal(stack.entries[i].rank, expected[i].rank);
                assert_int_equal(2 * stack.entries[i].layer + stack.entries[i].from_profile,
                        expected[i].rank);
        }
        /* Nobody states anything. */
        assert_int_equal(stack.mode, POLICY_MODE_ENFORCE);
        assert_int_equal(stack.default_in, POLICY_DEFAULT_ALLOW);
        assert_int_equal(stack.default_out, POLICY_DEFAULT_ALLOW);
        assert_null(stack.mode_source.path);
        assert_null(stack.default_in_source.path);
        assert_int_equal(stack.conflicts, 0);
}

static void test_stack_empty(void **state) {
        _cleanup_(policy_stack_done) PolicyStack stack = {};

        assert_int_equal(policy_stack_init(&stack, NULL, 0), 0);
        assert_int_equal(stack.n_entries, 0);
        assert_int_equal(stack.mode, POLICY_MODE_ENFORCE);
        assert_int_equal(stack.default_in, POLICY_DEFAULT_ALLOW);
}

typedef struct Statement {
        PolicyLayer layer;
        bool from_profile;
        const char *settings; /* members of the file, or NULL at the end */
} Statement;

static void test_stack_settings(void **state) {
        static const struct {
                Statement statements[4];
                PolicyMode mode;
                PolicyDefault in, out;
                unsigned conflicts;
                const char *mode_path, *in_path, *out_path; /* "/0" is the first statement */
        } cases[] = {
                { { { POLICY_LAYER_VENDOR, false, "\"mode\":\"off\",\"default\":\"deny\"" },
                          { POLICY_LAYER_RUNTIME, false, "\"mode\":\"audit\"" } },
                        POLICY_MODE_AUDIT, POLICY_DEFAULT_DENY, POLICY_DEFAULT_DENY, 0, "/1", "/0",
                        "/0" },
                /* Each setting for itself. */
                { { { POLICY_LAYER_LOCAL, false, "\"default\":{\"in\":\"allow\"}" },
                          { POLICY_LAYER_VENDOR, false, "\"default\":\"deny\"" } },
                        POLICY_MODE_ENFORCE, POLICY_DEFAULT_ALLOW, POLICY_DEFAULT_DENY, 0, NULL,
                        "/0", "/1" },
                /* A profile ranks below the layer that names it, above the next. */
                { { { POLICY_LAYER_LOCAL, true, "\"default\":\"deny\"" },
                          { POLICY_LAYER_LOCAL, false, "\"default\":{\"out\":\"allow\"}" },
                          { POLICY_LAYER_UNIT, false, "\"default\":\"allow\"" } },
                        POLICY_MODE_ENFORCE, POLICY_DEFAULT_DENY, POLICY_DEFAULT_ALLOW, 0, NULL,
                        "/0", "/1" },
                /* One rank disagrees: the stricter wins, whichever comes first. */
                { { { POLICY_LAYER_LOCAL, false, "\"default\":\"allow\",\"mode\":\"enforce\"" },
                          { POLICY_LAYER_LOCAL, false, "\"default\":\"deny\",\"mode\":\"off\"" } },
                        POLICY_MODE_ENFORCE, POLICY_DEFAULT_DENY, POLICY_DEFAULT_DENY,
                        POLICY_CONFLICT_MODE | POLICY_CONFLICT_DEFAULT_IN |
                                POLICY_CONFLICT_DEFAULT_OUT,
                        "/0", "/1", "/1" },
                { { { POLICY_LAYER_LOCAL, false, "\"default\":\"deny\",\"mode\":\"off\"" },
                          { POLICY_LAYER_LOCAL, false,
                                  "\"default\":\"allow\",\"mode\":\"audit\"" } },
                        POLICY_MODE_AUDIT, POLICY_DEFAULT_DENY, POLICY_DEFAULT_DENY,
                        POLICY_CONFLICT_MODE | POLICY_CONFLICT_DEFAULT_IN |
                                POLICY_CONFLICT_DEFAULT_OUT,
                        "/1", "/0", "/0" },
                /* A disagreement that is overruled is none. */
                { { { POLICY_LAYER_VENDOR, false, "\"mode\":\"off\"" },
                          { POLICY_LAYER_VENDOR, false, "\"mode\":\"enforce\"" },
                          { POLICY_LAYER_LOCAL, false, "\"mode\":\"off\"" } },
                        POLICY_MODE_OFF, POLICY_DEFAULT_ALLOW, POLICY_DEFAULT_ALLOW, 0, "/2", NULL,
                        NULL },
                { { { POLICY_LAYER_LOCAL, false, "\"mode\":\"off\"" },
                          { POLICY_LAYER_VENDOR, false, "\"mode\":\"audit\"" },
                          { POLICY_LAYER_VENDOR, false, "\"mode\":\"enforce\"" } },
                        POLICY_MODE_OFF, POLICY_DEFAULT_ALLOW, POLICY_DEFAULT_ALLOW, 0, "/0", NULL,
                        NULL },
                /* Agreement is no conflict; a third file makes one. */
                { { { POLICY_LAYER_UNIT, false, "\"default\":{\"in\":\"deny\"}" },
                          { POLICY_LAYER_UNIT, false, "\"default\":{\"in\":\"deny\"}" } },
                        POLICY_MODE_ENFORCE, POLICY_DEFAULT_DENY, POLICY_DEFAULT_ALLOW, 0, NULL,
                        "/0", NULL },
                { { { POLICY_LAYER_UNIT, false, "\"default\":{\"in\":\"deny\"}" },
                          { POLICY_LAYER_UNIT, false, "\"default\":{\"in\":\"deny\"}" },
                          { POLICY_LAYER_UNIT, false, "\"default\":{\"in\":\"allow\"}" } },
                        POLICY_MODE_ENFORCE, POLICY_DEFAULT_DENY, POLICY_DEFAULT_ALLOW,
                        POLICY_CONFLICT_DEFAULT_IN, NULL, "/0", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PolicyFile *files[4] = {};
                PolicyStackInput inputs[4];
                PolicyStack stack = {};
                size_t n = 0;

                for (; n < 4 && cases[i].statements[n].settings; n++) {
                        _cleanup_free_ char *json = NULL;
                        const char path[] = { '/', (char)('0' + n), '\0' };

                        assert_true(asprintf(&json, "{\"cgpolicy\":1,%s}",
                                            cases[i].statements[n].settings) > 0);
                        files[n] = make_file(path, json);
                        inputs[n] = (PolicyStackInput){ files[n], cases[i].statements[n].layer,
                                cases[i].statements[n].from_profile };
                }
                assert_int_equal(policy_stack_init(&stack, inputs, n), 0);
                assert_int_equal(stack.mode, cases[i].mode);
                assert_int_equal(stack.default_in, cases[i].in);
                assert_int_equal(stack.default_out, cases[i].out);
                assert_int_equal(stack.conflicts, cases[i].conflicts);
                assert_true(streq_ptr(stack.mode_source.path, cases[i].mode_path));
                assert_true(streq_ptr(stack.default_in_source.path, cases[i].in_path));
                assert_true(streq_ptr(stack.default_out_source.path, cases[i].out_path));
                policy_stack_done(&stack);
                for (size_t k = 0; k < n; k++)
                        policy_file_free(files[k]);
        }
}

static void test_stack_refusal(void **state) {
        static const struct {
                Statement statements[4];
                PolicyErrno refusal;
        } cases[] = {
                { { { POLICY_LAYER_LOCAL, false, "\"mode\":\"enforce\"" } }, POLICY_ERRNO_EPERM },
                { { { POLICY_LAYER_VENDOR, false, "\"errno\":\"EACCES\"" } }, POLICY_ERRNO_EACCES },
                { { { POLICY_LAYER_VENDOR, false, "\"errno\":\"EACCES\"" },
                          { POLICY_LAYER_RUNTIME, false, "\"errno\":\"ECONNREFUSED\"" },
                          { POLICY_LAYER_LOCAL, false, "\"errno\":\"EPERM\"" } },
                        POLICY_ERRNO_ECONNREFUSED },
                /* A profile ranks below its layer. */
                { { { POLICY_LAYER_LOCAL, true, "\"errno\":\"EACCES\"" },
                          { POLICY_LAYER_LOCAL, false, "\"errno\":\"ECONNREFUSED\"" },
                          { POLICY_LAYER_UNIT, false, "\"errno\":\"EPERM\"" } },
                        POLICY_ERRNO_ECONNREFUSED },
                /* On a tie the first. */
                { { { POLICY_LAYER_LOCAL, false, "\"mode\":\"enforce\"" },
                          { POLICY_LAYER_LOCAL, false, "\"errno\":\"EACCES\"" },
                          { POLICY_LAYER_LOCAL, false, "\"errno\":\"ECONNREFUSED\"" } },
                        POLICY_ERRNO_EACCES },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PolicyFile *files[4] = {};
                PolicyStackInput inputs[4];
                _cleanup_(policy_stack_done) PolicyStack stack = {};
                size_t n = 0;

                for (; n < 4 && cases[i].statements[n].settings; n++) {
                        _cleanup_free_ char *json = NULL;

                        assert_true(asprintf(&json, "{\"cgpolicy\":1,%s}",
                                            cases[i].statements[n].settings) > 0);
                        files[n] = make_file("/x", json);
                        inputs[n] = (PolicyStackInput){ files[n], cases[i].statements[n].layer,
                                cases[i].statements[n].from_profile };
                }
                assert_int_equal(policy_stack_init(&stack, inputs, n), 0);
                assert_int_equal(stack.refusal, cases[i].refusal);
                assert_int_equal(stack.conflicts, 0);
                for (size_t k = 0; k < n; k++)
                        policy_file_free(files[k]);
        }
}

static void test_uses(void **state) {
        static const struct {
                const char *rule;
                unsigned flags;
        } cases[] = {
                { "allow any", 0 },
                { "allow to 10.0.0.0/8,localhost,multicast", 0 },
                { "allow to lan", POLICY_USE_LAN },
                { "never from 10.0.0.1,internet", POLICY_USE_INTERNET | POLICY_USE_LAN },
                { "deny to broadcast", POLICY_USE_BROADCAST },
                { "deny bind to lan", POLICY_USE_BIND | POLICY_USE_LAN },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *json = NULL;
                _cleanup_(policy_file_freep) PolicyFile *f = NULL;
                _cleanup_(policy_uses_done) PolicyUses u = {};

                assert_true(
                        asprintf(&json, "{\"cgpolicy\":1,\"rules\":[\"%s\"]}", cases[i].rule) > 0);
                f = make_file("/x", json);
                assert_int_equal(policy_file_uses(f, &u), 0);
                assert_int_equal(u.flags, cases[i].flags);
                assert_int_equal(u.n_lists, 0);
                assert_int_equal(u.n_interfaces, 0);
                assert_false(policy_uses_list(&u, "a"));
                assert_false(policy_uses_interface(&u, "eth0"));
        }
}

/* Names from all files of the stack, each once. */
static void test_stack_uses(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *one = make_file("/1",
                "{\"cgpolicy\":1,\"rules\":[\"allow to @b,@a,lan via wg0\",\"deny to @c via eth0\"]}");
        _cleanup_(policy_file_freep) PolicyFile *two = make_file("/2",
                "{\"cgpolicy\":1,\"rules\":[\"deny bind to @a\",\"never via eth0\",\"allow any via a\"]}");
        const PolicyStackInput inputs[] = {
                { one, POLICY_LAYER_LOCAL, false },
                { two, POLICY_LAYER_LOCAL, true },
        };
        static const char *const lists[] = { "a", "b", "c" },
                                 *const interfaces[] = { "a", "eth0", "wg0" };
        _cleanup_(policy_stack_done) PolicyStack stack = {};
        _cleanup_(policy_uses_done) PolicyUses uses = {};

        assert_int_equal(policy_stack_init(&stack, inputs, ELEMENTSOF(inputs)), 0);
        assert_int_equal(policy_stack_uses(&stack, &uses), 0);
        assert_int_equal(uses.flags, POLICY_USE_LAN | POLICY_USE_BIND);
        assert_int_equal(uses.n_lists, ELEMENTSOF(lists));
        assert_int_equal(uses.n_interfaces, ELEMENTSOF(interfaces));
        for (size_t i = 0; i < 3; i++) {
                assert_string_equal(uses.lists[i], lists[i]);
                assert_string_equal(uses.interfaces[i], interfaces[i]);
                assert_true(policy_uses_list(&uses, lists[i]));
                assert_true(policy_uses_interface(&uses, interfaces[i]));
        }
        assert_false(policy_uses_list(&uses, "wg0"));
        assert_false(policy_uses_interface(&uses, "b"));
}

static void test_stack_limit(void **state) {
        _cleanup_(policy_file_freep) PolicyFile *file = NULL;
        _cleanup_(policy_file_freep) PolicyFile *one =
                make_file("/o", "{\"cgpolicy\":1,\"rules\":[\"deny any\"]}");
        _cleanup_(policy_stack_done) PolicyStack stack = {};

        assert_int_equal(policy_file_new("/x", &file), 0);
        for (unsigned i = 0; i < CGP_MAX_RULES; i++) {
                PolicyRule *rule = make_rule(POLICY_ALLOW, "any");

                assert_int_equal(policy_file_add_rule(file, &rule), 0);
        }
        assert_int_equal(policy_stack_init(&stack,
                                 (PolicyStackInput[]){ { file, POLICY_LAYER_LOCAL, false },
                                         { one, POLICY_LAYER_VENDOR, false } },
                                 2),
                -E2BIG);
        assert_null(stack.entries);
        assert_int_equal(policy_stack_init(
                                 &stack, &(PolicyStackInput){ file, POLICY_LAYER_LOCAL, false }, 1),
                0);
        assert_int_equal(stack.n_entries, CGP_MAX_RULES);
}

#ifdef TEST_MEMORY_FAILS
static PolicyFile *original;

static void attempt_copy(bool *ret_memory_failed) {
        _cleanup_(policy_file_freep) PolicyFile *copy = NULL;
        _cleanup_(policy_stack_done) PolicyStack stack = {};
        _cleanup_(policy_uses_done) PolicyUses uses = {};
        int r;

        r = policy_file_copy(original, &copy);
        if (r == 0) {
                const PolicyStackInput input = { copy, POLICY_LAYER_LOCAL, false };

                assert_files_equal(original, copy);
                r = policy_stack_init(&stack, &input, 1);
                if (r == 0)
                        r = policy_stack_uses(&stack, &uses);
        } else
                assert_null(copy);
        assert_int_equal(r, test_memory_failed() ? -ENOMEM : 0);
        *ret_memory_failed = r < 0;
}

static void test_no_memory(void **state) {
        original = make_file("/a.json", whole_file);
        test_each_allocation_fails(attempt_copy);
        original = policy_file_free(original);
}
#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_copy),
                cmocka_unit_test(test_add_list),
                cmocka_unit_test(test_add_and_remove),
                cmocka_unit_test(test_matches),
                cmocka_unit_test(test_profile_matches_nothing),
                cmocka_unit_test(test_stack_order),
                cmocka_unit_test(test_stack_empty),
                cmocka_unit_test(test_stack_settings),
                cmocka_unit_test(test_stack_refusal),
                cmocka_unit_test(test_uses),
                cmocka_unit_test(test_stack_uses),
                cmocka_unit_test(test_stack_limit),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_no_memory),
#endif
        };

        return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
