/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parsers of a file's keys share among themselves; nobody else includes this. */
#pragma once

#include "policy/document.h"
#include "policy/parse-private.h"

typedef struct RuleMembers RuleMembers;
typedef struct ListMembers ListMembers;

typedef struct FileParser {
        const char *bytes;
        const PolicyServices *services;
        PolicyDiags *diags;
        PolicyFile *file;          /* borrowed */
        RuleMembers *members;      /* borrowed: of the rule that is being read */
        ListMembers *list_members; /* borrowed: of the list that is being read */
        int error;                 /* of the first thing that is wrong, or 0 */
} FileParser;

/* A member of an object, by its key. */
typedef struct MemberParser {
        const char *key;
        void (*parse)(FileParser *p, const Node *value);
} MemberParser;

#define FILE_FAIL(p, failed_line, failed_column, failed_error, code, ...)                        \
        do {                                                                                     \
                if ((p)->error == 0)                                                             \
                        (p)->error = (failed_error);                                             \
                policy_diags_add((p)->diags, POLICY_ERROR, code, (p)->file->path, (failed_line), \
                        (failed_column), __VA_ARGS__);                                           \
        } while (0)

/* Reports something at the value, or at its key. */
#define VALUE_FAIL(p, value, error, code, ...) \
        FILE_FAIL(p, (value)->line, (value)->column, error, code, __VA_ARGS__)
#define KEY_FAIL(p, value, error, code, ...) \
        FILE_FAIL(p, (value)->key_line, (value)->key_column, error, code, __VA_ARGS__)

/* For the lifetime of the enclosing block. */
#define QUOTE(s) policy_quote((char[POLICY_QUOTE_SIZE]){ 0 }, s, strlen(s))

PolicySource file_source(const FileParser *p, const Node *value);

/* The string, or NULL after a report. */
const char *file_string(FileParser *p, const Node *value, const char *what);

/* Copies the string to *ret, or reports that there is no memory. */
void file_put_string(FileParser *p, const Node *value, const char *s, char **ret);

/* Is it an object? Reports it if not. */
bool file_expect_object(FileParser *p, const Node *value, const char *what);

/* Parses each member by its key; what is in no table is an error. False if there was one. */
bool file_parse_members(FileParser *p, const Node *object, const MemberParser *members);

/* The column of a string's n-th decoded byte. */
unsigned file_string_column(const FileParser *p, const Node *value, size_t n);

/* Reads "lists". */
void file_parse_lists(FileParser *p, const Node *value);
