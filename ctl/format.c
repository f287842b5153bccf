/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables are gathered first and printed then, because the width of a column is known at the end. */
#include "format.h"

#include "util/macro.h"

#define JSON_DEPTH_MAX 64

typedef struct TableRow {
        char **texts;
        const char **colors;
} TableRow;

struct Table {
        const char *const *headers;
        size_t n_columns;
        size_t *widths;
        bool *right;
        TableRow *rows;
        size_t n_rows;
        size_t n_allocated;
};

static void table_row_done(TableRow *row, size_t n_columns) {
        for (size_t i = 0; row->texts && i < n_columns; i++)
                free(row->texts[i]);
        free(row->texts);
        free(row->colors);
}

Table *table_free(Table *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->n_rows; i++)
                table_row_done(&table->rows[i], table->n_columns);
        free(table->rows);
        free(table->widths);
        free(table->right);
        free(table);
        return NULL;
}

int table_new(const char *const *headers, Table **ret) {
        _cleanup_(table_freep) Table *table = NULL;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        table->headers = headers;
        while (headers[table->n_columns])
                table->n_columns++;
        table->widths = calloc(table->n_columns, sizeof(*table->widths));
        table->right = calloc(table->n_columns, sizeof(*table->right));
        if (!table->widths || !table->right)
                return -ENOMEM;
        *ret = TAKE_PTR(table);
        return 0;
}

void table_align_right(Table *table, size_t column) {
        assert(column < table->n_columns);
        table->right[column] = true;
}

int table_add(Table *table, const TableCell *cells) {
        TableRow row = {};

        if (table->n_rows == table->n_allocated) {
                size_t n = MAX(table->n_allocated * 2, (size_t)16);
                TableRow *rows = reallocarray(table->rows, n, sizeof(*rows));

                if (!rows)
                        return -ENOMEM;
                table->rows = rows;
                table->n_allocated = n;
        }

        row.texts = calloc(table->n_columns, sizeof(*row.texts));
        row.colors = calloc(table->n_columns, sizeof(*row.colors));
        for (size_t i = 0; row.texts && row.colors && i < table->n_columns; i++) {
                const char *text = cells[i].text;

                row.colors[i] = cells[i].color;
                row.texts[i] = text_make_safe(text && *text ? text : "-");
                if (!row.texts[i])
                        break;
                table->widths[i] = MAX(table->widths[i], text_width(row.texts[i]));
        }
        if (!row.texts || !row.colors || !row.texts[table->n_columns - 1]) {
                table_row_done(&row, table->n_columns);
                return -ENOMEM;
        }
        table->rows[table->n_rows++] = row;
        return 0;
}

static void print_padding(FILE *out, size_t n) {
        (void)fprintf(out, "%*s", (int)n, "");
}

static void print_cell(const Table *table, FILE *out, size_t column, size_t width, const char *text,
        const char *color) {
        size_t padding = width - text_width(text);

        if (column > 0)
                print_padding(out, 2);
        if (table->right[column])
                print_padding(out, padding);
        (void)fprintf(out, "%s%s%s", color ? color : "", text, color ? ANSI_RESET : "");
        if (!table->right[column] && column + 1 < table->n_columns)
                print_padding(out, padding);
}

void table_print(const Table *table, FILE *out, bool legend, bool color) {
        for (size_t i = 0; i < table->n_columns && legend; i++)
                print_cell(table, out, i, MAX(table->widths[i], text_width(table->headers[i])),
                        table->headers[i], color ? ANSI_BOLD : NULL);
        if (legend)
                (void)fputc('\n', out);

        for (size_t n = 0; n < table->n_rows; n++) {
                for (size_t i = 0; i < table->n_columns; i++)
                        print_cell(table, out, i,
                                MAX(table->widths[i], legend ? text_width(table->headers[i]) : 0),
                                table->rows[n].texts[i], color ? table->rows[n].colors[i] : NULL);
                (void)fputc('\n', out);
        }
}

/* Bytes of the valid, printable sequence at s, or 0. C1 controls (U+0080 to U+009F) steer terminals too. */
static size_t safe_sequence(const unsigned char *s) {
        uint32_t c, min;
        size_t n;

        if (s[0] < 0x80)
                return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
        if ((s[0] & 0xe0) == 0xc0)
                n = 2, c = s[0] & 0x1fU, min = 0xa0;
        else if ((s[0] & 0xf0) == 0xe0)
                n = 3, c = s[0] & 0x0fU, min = 0x800;
        else if ((s[0] & 0xf8) == 0xf0)
                n = 4, c = s[0] & 0x07U, min = 0x10000;
        else
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3fU);
        }
        return c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

char *text_make_safe(const char *s) {
        char *copy = strdup(s);

        for (char *p = copy; p && *p;) {
                size_t n = safe_sequence((const unsigned char *)p);

                if (n == 0)
                        *p = '?';
                p += MAX(n, (size_t)1);
        }
        return copy;
}

size_t text_width(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                if (((unsigned char)*s & 0xc0) != 0x80)
                        n++;
        return n;
}

void json_print(const Options *options, struct json_object *object) {
        int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

        if (options->json == JSON_PRETTY)
                flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
        (void)puts(strempty(json_object_to_json_string_ext(object, flags)));
}

int json_parse(const char *text, struct json_object **ret) {
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        _cleanup_json_ struct json_object *object = NULL;
        enum json_tokener_error error;
        size_t size = strlen(text);

        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        if (size >= INT32_MAX) {
                json_tokener_free(tokener);
                return -EBADMSG;
        }
        /* The terminating NUL ends a number at the very end. */
        object = json_tokener_parse_ex(tokener, text, (int)size + 1);
        error = json_tokener_get_error(tokener);
        json_tokener_free(tokener);
        if (error != json_tokener_success || !object)
                return -EBADMSG;
        *ret = TAKE_PTR(object);
        return 0;
}

static struct json_object *json_get(struct json_object *object, const char *key, json_type type) {
        struct json_object *value = NULL;

        if (!json_object_is_type(object, json_type_object) ||
                !json_object_object_get_ex(object, key, &value) ||
                !json_object_is_type(value, type))
                return NULL;
        return value;
}

const char *json_get_string(struct json_object *object, const char *key, const char *fallback) {
        struct json_object *value = json_get(object, key, json_type_string);

        return value ? json_object_get_string(value) : fallback;
}

uint64_t json_get_u64(struct json_object *object, const char *key) {
        struct json_object *value = json_get(object, key, json_type_int);

        return value ? json_object_get_uint64(value) : 0;
}

bool json_get_bool(struct json_object *object, const char *key, bool fallback) {
        struct json_object *value = json_get(object, key, json_type_boolean);

        return value ? json_object_get_boolean(value) : fallback;
}

struct json_object *json_get_object(struct json_object *object, const char *key) {
        return json_get(object, key, json_type_object);
}

struct json_object *json_get_array(struct json_object *object, const char *key) {
        return json_get(object, key, json_type_array);
}

int json_put(struct json_object *object, const char *key, struct json_object *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(object, key, value) < 0) {
                (void)json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int json_put_string(struct json_object *object, const char *key, const char *s) {
        if (!s)
                return json_object_object_add(object, key, NULL) < 0 ? -ENOMEM : 0;
        return json_put(object, key, json_object_new_string(s));
}

int json_put_u64(struct json_object *object, const char *key, uint64_t value) {
        return json_put(object, key, json_object_new_uint64(value));
}

int json_put_bool(struct json_object *object, const char *key, bool value) {
        return json_put(object, key, json_object_new_boolean(value));
}
