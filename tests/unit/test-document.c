/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader of JSON against json-c: whatever it takes, json-c must take in its strict mode and read the
 * same. The other way round does not hold, and is not meant to.
 */
#include "policy/document.h"

#include <json-c/json.h>

#include "policy-test.h"

static void assert_same(const Node *node, json_object *value) {
        json_object *member = NULL;
        size_t i = 0;

        switch (node->type) {
        case NODE_NULL:
                assert_null(value);
                break;
        case NODE_BOOLEAN:
                assert_int_equal(json_object_get_type(value), json_type_boolean);
                assert_int_equal(node->number, json_object_get_boolean(value));
                break;
        case NODE_NUMBER:
                assert_int_equal(json_object_get_type(value), json_type_int);
                assert_int_equal(node->number, json_object_get_int64(value));
                break;
        case NODE_STRING:
                assert_int_equal(json_object_get_type(value), json_type_string);
                assert_int_equal(strlen(node->string), json_object_get_string_len(value));
                assert_string_equal(node->string, json_object_get_string(value));
                break;
        case NODE_ARRAY:
                assert_int_equal(json_object_get_type(value), json_type_array);
                assert_int_equal(node->n_children, json_object_array_length(value));
                for (const Node *n = node->first; n; n = n->next)
                        assert_same(n, json_object_array_get_idx(value, i++));
                break;
        case NODE_OBJECT:
                assert_int_equal(json_object_get_type(value), json_type_object);
                assert_int_equal(node->n_children, json_object_object_length(value));
                for (const Node *n = node->first; n; n = n->next) {
                        assert_true(json_object_object_get_ex(value, n->key, &member));
                        assert_ptr_equal(node_member(node, n->key), n);
                        assert_same(n, member);
                }
                break;
        }
}

/* Reads the text with both. Returns whether the reader takes it. */
static bool compare(const char *text, size_t n) {
        _cleanup_(document_done) Document document = {};
        json_tokener *tokener;
        json_object *value;

        if (document_read("p", text, n, NULL, &document) < 0)
                return false;
        tokener = json_tokener_new_ex(2 * DOCUMENT_DEPTH_MAX);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        value = json_tokener_parse_ex(tokener, text, (int)n);
        if (json_tokener_get_error(tokener) == json_tokener_continue)
                /* A bare number ends where the text does, which json-c is told by a terminator. */
                value = json_tokener_parse_ex(tokener, "", 1);
        assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
        assert_same(document.top, value);
        (void)json_object_put(value);
        json_tokener_free(tokener);
        return true;
}

static const char *const texts[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "12345",
        "true",
        "null",
        "\"\"",
        " [ ] ",
        "{\"a\":1,\"b\":[true,false,null,{\"c\":\"d\"}]}",
        "[9223372036854775807,-9223372036854775808,0,-1,10]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u00e4\\u20ac\\uD83d\\udE00\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "{\"\":0,\" \":1,\"\\u0061\":2,\"\xc3\xa4\":3}",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        "\t\r\n{\"a\" :\n[ 1 ,2\t]\n}\n",
};

static void test_texts(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_true(compare(texts[i], strlen(texts[i])));
}

static void test_mutations(void **state) {
        static const char *const pieces[] = { "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0041",
                "\\ud83d", "\\ude00", "\\u0000", "null", "true", "false", "1", "-", "0", "NaN",
                ".5", "1e9", "\n", " ", "\t", "\"k\":", "\"k\":1,", "9223372036854775807",
                "\xc3\xa4", "\xff", "\xf0\x9f\x98\x80", "//", "/**/", "'", NULL };
        uint64_t random = 0xa4093822299f31d0ULL;
        size_t n_accepted = 0;

        for (unsigned i = 0; i < 100000; i++) {
                const char *seed = texts[test_random(&random) % ELEMENTSOF(texts)];
                _cleanup_free_ char *exact = NULL;
                char text[256];
                size_t n = strlen(seed);

                memcpy(text, seed, n);
                test_mutate(&random, text, &n, sizeof(text), pieces);
                exact = malloc(MAX(n, (size_t)1));
                memcpy(exact, text, n);
                n_accepted += compare(exact, n);
        }
        assert_in_range(n_accepted, 5000, 95000);
}

static void test_places(void **state) {
        static const char text[] = "{\n \"\xc3\xa4\xe2\x82\xac\" : [1,\n\t\"x\"],\"b\":{} }";
        _cleanup_(document_done) Document document = {};
        const Node *array, *x, *b;

        assert_int_equal(document_read("p", text, strlen(text), NULL, &document), 0);
        array = document.top->first;
        x = array->first->next;
        b = array->next;
        assert_int_equal(document.top->line, 1);
        assert_int_equal(document.top->column, 1);
        assert_int_equal(array->key_line, 2);
        assert_int_equal(array->key_column, 2);
        /* Characters, not bytes. */
        assert_int_equal(array->column, 9);
        assert_int_equal(x->line, 3);
        assert_int_equal(x->column, 2);
        assert_int_equal(x->key_line, 3);
        assert_int_equal(text[x->offset], '"');
        assert_int_equal(b->line, 3);
        assert_int_equal(b->key_column, 7);
        assert_int_equal(b->column, 11);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_mutations),
                cmocka_unit_test(test_places),
        };

        return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
