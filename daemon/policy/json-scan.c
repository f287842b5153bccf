/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The strict look at a JSON text: grammar, encoding, repeated keys and limits, and the place of every
 * value. It builds nothing; the values come from json-c, which must agree or the text is refused.
 */
#include "policy/json-scan.h"

#include <stdbool.h>

#include "policy/parse-private.h"
#include "util/macro.h"
#include "util/strv.h"

typedef struct Scan {
        const char *path;
        PolicyDiags *diags;
        const char *start;
        const char *c; /* what is not read yet */
        const char *end;
        unsigned line; /* of c */
        unsigned column;
        unsigned depth;
        JsonPlaces found;
} Scan;

/* A string as it is decoded; s may be NULL when nobody wants it. */
typedef struct Decoded {
        char *s;
        size_t n;
        size_t size;
        bool overflow;
} Decoded;

#define SCAN_FAIL(s, error, code, ...)                                                 \
        ({                                                                             \
                policy_diags_add((s)->diags, POLICY_ERROR, code, (s)->path, (s)->line, \
                        (s)->column, __VA_ARGS__);                                     \
                (error);                                                               \
        })

static int scan_value(Scan *s, unsigned key_line, unsigned key_column);

void places_done(JsonPlaces *places) {
        free(places->places);
        *places = (JsonPlaces){};
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

static void decoded_add(Decoded *d, const char *bytes, size_t n) {
        if (!d)
                return;
        if (d->n + n >= d->size) {
                d->overflow = true;
                return;
        }
        memcpy(d->s + d->n, bytes, n);
        d->n += n;
        d->s[d->n] = '\0';
}

static void decoded_add_character(Decoded *d, uint32_t c) {
        char utf8[4];
        size_t n = 0;

        if (c < 0x80) {
                utf8[n++] = (char)c;
        } else if (c < 0x800) {
                utf8[n++] = (char)(0xc0 | c >> 6);
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
                utf8[n++] = (char)(0xe0 | c >> 12);
                utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        } else {
                utf8[n++] = (char)(0xf0 | c >> 18);
                utf8[n++] = (char)(0x80 | (c >> 12 & 0x3f));
                utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[n++] = (char)(0x80 | (c & 0x3f));
        }
        decoded_add(d, utf8, n);
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

static int scan_escape(Scan *s, Decoded *d) {
        static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        const Scan begin = *s;
        uint32_t c, low;
        const char *e;

        if (s->end - s->c >= 2 && s->c[1] != '\0' && (e = strchr(escapes, s->c[1]))) {
                decoded_add(d, meant + (e - escapes), 1);
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
        decoded_add_character(d, c);
        return 0;
}

static int scan_string(Scan *s, Decoded *d) {
        const Scan begin = *s;

        advance(s, 1);
        for (;;) {
                uint32_t c;
                size_t n;
                int r;

                if (s->c >= s->end)
                        return SCAN_FAIL(&begin, -EINVAL, "json-string", "the string has no end");
                if (*s->c == '"') {
                        advance(s, 1);
                        return 0;
                }
                if (*s->c == '\\') {
                        r = scan_escape(s, d);
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
                decoded_add(d, s->c, n);
                s->c += n;
                s->column++;
        }
}

static int scan_number(Scan *s) {
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
        return 0;
}

static int scan_literal(Scan *s) {
        static const char *const literals[] = { "true", "false", "null" };

        for (size_t i = 0; i < ELEMENTSOF(literals); i++) {
                size_t n = strlen(literals[i]);

                if ((size_t)(s->end - s->c) >= n && memcmp(s->c, literals[i], n) == 0) {
                        advance(s, n);
                        return 0;
                }
        }
        return fail_expected(s, "a value");
}

/* Reads a key and its colon. keys are those that the object has already. */
static int scan_key(Scan *s, char ***keys) {
        char key[JSON_KEY_SIZE] = "", quoted[POLICY_QUOTE_SIZE];
        Decoded d = { .s = key, .size = sizeof(key) };
        const Scan begin = *s;
        int r;

        if (!at(s, '"'))
                return fail_expected(s, "a key in double quotes");
        r = scan_string(s, &d);
        if (r < 0)
                return r;
        if (d.overflow)
                return SCAN_FAIL(&begin, -E2BIG, "json-limit", "key is longer than %u bytes",
                        JSON_KEY_SIZE - 1);
        if (strv_contains(*keys, key))
                return SCAN_FAIL(&begin, -EINVAL, "duplicate-key", "key \"%s\" is there twice",
                        policy_quote(quoted, key, d.n));
        if (strv_length(*keys) >= JSON_KEYS_MAX)
                return SCAN_FAIL(&begin, -E2BIG, "json-limit", "object with more than %u keys",
                        JSON_KEYS_MAX);
        if (strv_extend(keys, key) < 0)
                return SCAN_FAIL(s, -ENOMEM, "no-memory", "out of memory");
        skip_whitespace(s);
        if (!at(s, ':'))
                return fail_expected(s, "\":\"");
        advance(s, 1);
        skip_whitespace(s);
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

/* The elements of an array or object, up to and with the closing bracket. */
static int scan_elements(Scan *s, bool object, char close) {
        _cleanup_(strv_freep) char **keys = NULL;

        if (s->depth >= JSON_DEPTH_MAX)
                return SCAN_FAIL(
                        s, -E2BIG, "json-limit", "nested deeper than %u levels", JSON_DEPTH_MAX);
        s->depth++;
        advance(s, 1);
        skip_whitespace(s);
        for (bool first = true; !at(s, close); first = false) {
                unsigned line = 0, column = 0;
                int r;

                if (!first) {
                        r = scan_comma(s, object, close);
                        if (r < 0)
                                return r;
                }
                if (object) {
                        line = s->line;
                        column = s->column;
                        r = scan_key(s, &keys);
                        if (r < 0)
                                return r;
                }
                r = scan_value(s, line, column);
                if (r < 0)
                        return r;
                skip_whitespace(s);
        }
        advance(s, 1);
        s->depth--;
        return 0;
}

static int add_place(Scan *s, unsigned key_line, unsigned key_column) {
        JsonPlaces *found = &s->found;

        if (found->n_places >= JSON_VALUES_MAX)
                return SCAN_FAIL(
                        s, -E2BIG, "json-limit", "file with more than %u values", JSON_VALUES_MAX);
        /* Room is always a power of two. */
        if ((found->n_places & (found->n_places - 1)) == 0) {
                JsonPlace *grown = reallocarray(
                        found->places, MAX(found->n_places * 2, (size_t)1), sizeof(*grown));

                if (!grown)
                        return SCAN_FAIL(s, -ENOMEM, "no-memory", "out of memory");
                found->places = grown;
        }
        found->places[found->n_places++] = (JsonPlace){
                .offset = (size_t)(s->c - s->start),
                .line = s->line,
                .column = s->column,
                .key_line = key_line > 0 ? key_line : s->line,
                .key_column = key_line > 0 ? key_column : s->column,
        };
        return 0;
}

static int scan_value(Scan *s, unsigned key_line, unsigned key_column) {
        int r;

        if (s->c >= s->end)
                return fail_expected(s, "a value");
        r = add_place(s, key_line, key_column);
        if (r < 0)
                return r;
        if (*s->c == '{')
                return scan_elements(s, /* object= */ true, '}');
        if (*s->c == '[')
                return scan_elements(s, /* object= */ false, ']');
        if (*s->c == '"')
                return scan_string(s, NULL);
        if (*s->c == '-' || at_digit(s))
                return scan_number(s);
        return scan_literal(s);
}

int places_scan(
        const char *path, const char *bytes, size_t size, PolicyDiags *diags, JsonPlaces *ret) {
        Scan s = {
                .path = path,
                .diags = diags,
                .start = bytes,
                .c = bytes,
                .end = bytes + size,
                .line = 1,
                .column = 1,
        };
        _cleanup_(places_done) JsonPlaces found = {};
        int r;

        assert(bytes || size == 0);
        assert(ret);

        if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
                return SCAN_FAIL(
                        &s, -EINVAL, "json-syntax", "the file begins with a byte order mark");
        skip_whitespace(&s);
        r = scan_value(&s, 0, 0);
        found = s.found;
        if (r < 0)
                return r;
        found.size = (size_t)(s.c - s.start);
        skip_whitespace(&s);
        if (s.c < s.end)
                return fail_expected(&s, "the end of the file");

        *ret = TAKE_GENERIC(found, JsonPlaces, ((JsonPlaces){}));
        return 0;
}
