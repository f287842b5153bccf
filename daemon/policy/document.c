/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The strict reader of JSON: grammar, encoding, repeated keys and limits, and the place of every value.
 * It stops at the first thing that is wrong, and goes no deeper than DOCUMENT_DEPTH_MAX.
 */
#include "policy/document.h"

#include <stdbool.h>

#include "policy/parse-private.h"
#include "util/macro.h"

typedef struct Scan {
        const char *path;
        PolicyDiags *diags;
        const char *start;
        const char *c; /* what is not read yet */
        const char *end;
        unsigned line; /* of c */
        unsigned column;
        unsigned depth;
        size_t n_nodes;
        char *strings; /* where the next one is decoded to */
} Scan;

#define SCAN_FAIL(s, error, code, ...)                                                 \
        ({                                                                             \
                policy_diags_add((s)->diags, POLICY_ERROR, code, (s)->path, (s)->line, \
                        (s)->column, __VA_ARGS__);                                     \
                (error);                                                               \
        })

static int scan_value(Scan *s, Node *node);

static void node_free(Node *node) {
        while (node->first) {
                Node *child = node->first;

                node->first = child->next;
                node_free(child);
        }
        free(node);
}

void document_done(Document *document) {
        if (document->top)
                node_free(document->top);
        free(document->strings);
        *document = (Document){};
}

const Node *node_member(const Node *object, const char *key) {
        for (const Node *n = object->first; n; n = n->next)
                if (n->key && streq(n->key, key))
                        return n;
        return NULL;
}

size_t utf8_character(const char *s, size_t n, uint32_t *ret) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *u = (const unsigned char *)s;
        uint32_t c;
        size_t length;

        if (n == 0)
                return 0;
        if (u[0] < 0x80) {
                *ret = u[0];
                return 1;
        }
        length = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
        if (u[0] < 0xc0 || u[0] >= 0xf8 || length > n)
                return 0;
        c = u[0] & (0x7fU >> length);
        for (size_t i = 1; i < length; i++) {
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (u[i] & 0x3f);
        }
        if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return length;
}

/* Moves over ASCII that is no line end. */
static void advance(Scan *s, size_t n) {
        s->c += n;
        s->column += (unsigned)n;
}

static void skip_whitespace(Scan *s) {
        for (; s->c < s->end; s->c++) {
                if (*s->c == '\n') {
                        s->line++;
                        s->column = 1;
                } else if (*s->c == ' ' || *s->c == '\t' || *s->c == '\r')
                        s->column++;
                else
                        return;
        }
}

static bool at(const Scan *s, char c) {
        return s->c < s->end && *s->c == c;
}

static bool at_digit(const Scan *s) {
        return s->c < s->end && *s->c >= '0' && *s->c <= '9';
}

/* Something else stands where this was expected. */
static int fail_expected(Scan *s, const char *expected) {
        char buf[POLICY_QUOTE_SIZE];
        size_t n = 0;

        if (s->c >= s->end)
                return SCAN_FAIL(s, -EINVAL, "json-syntax",
                        "expected %s, found the end of the file", expected);
        if (*s->c == '\0')
                return SCAN_FAIL(s, -EINVAL, "json-syntax", "NUL byte in the file");
        if (*s->c == '/' || *s->c == '#')
                return SCAN_FAIL(s, -EINVAL, "json-syntax",
                        "expected %s (JSON has no comments; a rule has a \"comment\")", expected);
        if (*s->c == '"')
                return SCAN_FAIL(
                        s, -EINVAL, "json-syntax", "expected %s, found a string", expected);
        if (*s->c == '\'')
                return SCAN_FAIL(s, -EINVAL, "json-syntax", "strings are written in double quotes");
        while (s->c + n < s->end && ((s->c[n] | 0x20) >= 'a' && (s->c[n] | 0x20) <= 'z'))
                n++;
        return SCAN_FAIL(s, -EINVAL, "json-syntax", "expected %s, found \"%s\"", expected,
                policy_quote(buf, s->c, MAX(n, (size_t)1)));
}

static void decode_bytes(Scan *s, const char *bytes, size_t n) {
        memcpy(s->strings, bytes, n);
        s->strings += n;
}

static void decode_character(Scan *s, uint32_t c) {
        static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        char utf8[4];

        for (size_t i = n; i-- > 1; c >>= 6)
                utf8[i] = (char)(0x80 | (c & 0x3f));
        utf8[0] = (char)(lead[n] | c);
        decode_bytes(s, utf8, n);
}

/* Reads "\uXXXX" if the text goes on with one. */
static bool read_unicode_escape(Scan *s, uint32_t *ret) {
        uint32_t c = 0;

        if (s->end - s->c < 6 || s->c[0] != '\\' || s->c[1] != 'u')
                return false;
        for (size_t i = 2; i < 6; i++) {
                const char *digits = "0123456789abcdef";
                const char *digit =
                        strchr(digits, s->c[i] >= 'A' && s->c[i] <= 'F' ? s->c[i] | 0x20 : s->c[i]);

                if (s->c[i] == '\0' || !digit)
                        return false;
                c = c << 4 | (uint32_t)(digit - digits);
        }
        advance(s, 6);
        *ret = c;
        return true;
}

static int scan_escape(Scan *s) {
        static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        const Scan begin = *s;
        uint32_t c, low;
        const char *e;

        if (s->end - s->c >= 2 && s->c[1] != '\0' && (e = strchr(escapes, s->c[1]))) {
                decode_bytes(s, meant + (e - escapes), 1);
                advance(s, 2);
                return 0;
        }
        if (!read_unicode_escape(s, &c))
                return SCAN_FAIL(s, -EINVAL, "json-string", "unknown escape in a string");
        if (c == 0)
                return SCAN_FAIL(&begin, -EINVAL, "json-string", "NUL in a string");
        if (c >= 0xd800 && c <= 0xdfff) {
                if (c >= 0xdc00 || !read_unicode_escape(s, &low) || low < 0xdc00 || low > 0xdfff)
                        return SCAN_FAIL(
                                &begin, -EINVAL, "json-string", "unpaired surrogate in a string");
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        decode_character(s, c);
        return 0;
}

static int scan_string(Scan *s, const char **ret) {
        const Scan begin = *s;

        advance(s, 1);
        while (!at(s, '"')) {
                uint32_t c;
                size_t n;
                int r;

                if (s->c >= s->end)
                        return SCAN_FAIL(&begin, -EINVAL, "json-string", "the string has no end");
                if (*s->c == '\\') {
                        r = scan_escape(s);
                        if (r < 0)
                                return r;
                        continue;
                }
                n = utf8_character(s->c, (size_t)(s->end - s->c), &c);
                if (n == 0)
                        return SCAN_FAIL(s, -EINVAL, "json-string", "the string is not UTF-8");
                if (c < 0x20)
                        return SCAN_FAIL(s, -EINVAL, "json-string",
                                "control character 0x%02x in a string", c);
                decode_bytes(s, s->c, n);
                s->c += n;
                s->column++;
        }
        advance(s, 1);
        decode_bytes(s, "", 1);

        *ret = begin.strings;
        return 0;
}

static int scan_number(Scan *s, int64_t *ret) {
        const Scan begin = *s;
        bool negative = at(s, '-');
        uint64_t value = 0, max = (uint64_t)INT64_MAX + negative;
        bool fits = true;

        if (negative)
                advance(s, 1);
        if (!at_digit(s))
                return fail_expected(s, "a digit");
        if (*s->c == '0') {
                advance(s, 1);
                if (at_digit(s))
                        return SCAN_FAIL(
                                &begin, -EINVAL, "json-number", "number with a leading zero");
        }
        for (; at_digit(s); advance(s, 1)) {
                uint64_t digit = (uint64_t)(*s->c - '0');

                fits = fits && value <= (max - digit) / 10;
                value = fits ? value * 10 + digit : value;
        }
        if (at(s, '.') || at(s, 'e') || at(s, 'E'))
                return SCAN_FAIL(
                        &begin, -EINVAL, "json-number", "only whole numbers have a meaning here");
        if (!fits)
                return SCAN_FAIL(&begin, -EINVAL, "json-number", "number out of range");

        *ret = (int64_t)(negative ? -value : value);
        return 0;
}

static int scan_literal(Scan *s, Node *node) {
        static const struct {
                const char *word;
                NodeType type;
                int64_t number;
        } literals[] = {
                { "true", NODE_BOOLEAN, 1 },
                { "false", NODE_BOOLEAN, 0 },
                { "null", NODE_NULL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(literals); i++) {
                size_t n = strlen(literals[i].word);

                if ((size_t)(s->end - s->c) >= n && memcmp(s->c, literals[i].word, n) == 0) {
                        advance(s, n);
                        node->type = literals[i].type;
                        node->number = literals[i].number;
                        return 0;
                }
        }
        return fail_expected(s, "a value");
}

/* Reads a key and its colon; object holds the members before it. */
static int scan_key(Scan *s, const Node *object, const char **ret) {
        const Scan begin = *s;
        char buf[POLICY_QUOTE_SIZE];
        const char *key;
        int r;

        if (!at(s, '"'))
                return fail_expected(s, "a key in double quotes");
        r = scan_string(s, &key);
        if (r < 0)
                return r;
        if (node_member(object, key))
                return SCAN_FAIL(&begin, -EINVAL, "duplicate-key", "key \"%s\" is there twice",
                        policy_quote(buf, key, strlen(key)));
        if (object->n_children >= DOCUMENT_KEYS_MAX)
                return SCAN_FAIL(&begin, -E2BIG, "json-limit", "object with more than %u keys",
                        DOCUMENT_KEYS_MAX);
        skip_whitespace(s);
        if (!at(s, ':'))
                return fail_expected(s, "\":\"");
        advance(s, 1);
        skip_whitespace(s);

        *ret = key;
        return 0;
}

static int scan_comma(Scan *s, bool object, char close) {
        if (!at(s, ','))
                return fail_expected(s, object ? "\",\" or \"}\"" : "\",\" or \"]\"");
        advance(s, 1);
        skip_whitespace(s);
        if (at(s, close))
                return SCAN_FAIL(s, -EINVAL, "json-syntax",
                        "comma before \"%c\" (the last element has none)", close);
        return 0;
}

/* A value that stands here and is not read yet. */
static int node_new(Scan *s, Node **ret) {
        Node *node;

        if (s->n_nodes >= DOCUMENT_NODES_MAX)
                return SCAN_FAIL(s, -E2BIG, "json-limit", "file with more than %u values",
                        DOCUMENT_NODES_MAX);
        node = calloc(1, sizeof(*node));
        if (!node)
                return SCAN_FAIL(s, -ENOMEM, "no-memory", "out of memory");
        s->n_nodes++;
        node->line = node->key_line = s->line;
        node->column = node->key_column = s->column;
        node->offset = (size_t)(s->c - s->start);

        *ret = node;
        return 0;
}

/* One element, with its key if it is a member. It goes to *end, which then is where the next one goes. */
static int scan_element(Scan *s, Node *parent, Node ***end) {
        unsigned line = s->line, column = s->column;
        const char *key = NULL;
        Node *node = NULL;
        int r;

        if (parent->type == NODE_OBJECT) {
                r = scan_key(s, parent, &key);
                if (r < 0)
                        return r;
        }
        r = node_new(s, &node);
        if (r < 0)
                return r;
        node->key = key;
        node->key_line = line;
        node->key_column = column;
        **end = node;
        *end = &node->next;
        parent->n_children++;
        return scan_value(s, node);
}

/* The elements of an array or object, up to and with the closing bracket. */
static int scan_elements(Scan *s, Node *parent) {
        char close = parent->type == NODE_OBJECT ? '}' : ']';
        Node **end = &parent->first;

        if (s->depth >= DOCUMENT_DEPTH_MAX)
                return SCAN_FAIL(s, -E2BIG, "json-limit", "nested deeper than %u levels",
                        DOCUMENT_DEPTH_MAX);
        s->depth++;
        advance(s, 1);
        skip_whitespace(s);
        while (!at(s, close)) {
                int r;

                if (parent->first) {
                        r = scan_comma(s, parent->type == NODE_OBJECT, close);
                        if (r < 0)
                                return r;
                }
                r = scan_element(s, parent, &end);
                if (r < 0)
                        return r;
                skip_whitespace(s);
        }
        advance(s, 1);
        s->depth--;
        return 0;
}

static int scan_value(Scan *s, Node *node) {
        if (s->c >= s->end)
                return fail_expected(s, "a value");
        if (*s->c == '{' || *s->c == '[') {
                node->type = *s->c == '{' ? NODE_OBJECT : NODE_ARRAY;
                return scan_elements(s, node);
        }
        if (*s->c == '"') {
                node->type = NODE_STRING;
                return scan_string(s, &node->string);
        }
        if (*s->c == '-' || at_digit(s)) {
                node->type = NODE_NUMBER;
                return scan_number(s, &node->number);
        }
        return scan_literal(s, node);
}

int document_read(
        const char *path, const char *bytes, size_t size, PolicyDiags *diags, Document *ret) {
        Scan s = {
                .path = path,
                .diags = diags,
                .start = bytes,
                .c = bytes,
                .end = bytes + size,
                .line = 1,
                .column = 1,
        };
        _cleanup_(document_done) Document document = {};
        int r;

        assert(bytes || size == 0);
        assert(ret);

        if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
                return SCAN_FAIL(
                        &s, -EINVAL, "json-syntax", "the file begins with a byte order mark");
        /* Room for all strings: none is longer than its text, and its quotes leave room for the end. */
        document.strings = s.strings = malloc(size + 1);
        if (!document.strings)
                return SCAN_FAIL(&s, -ENOMEM, "no-memory", "out of memory");
        skip_whitespace(&s);
        r = node_new(&s, &document.top);
        if (r < 0)
                return r;
        r = scan_value(&s, document.top);
        if (r < 0)
                return r;
        skip_whitespace(&s);
        if (s.c < s.end)
                return fail_expected(&s, "the end of the file");

        *ret = TAKE_GENERIC(document, Document, ((Document){}));
        return 0;
}
