/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A JSON text as a tree that knows where everything stood.
 *
 * Not json-c, which lets the last of several equal keys win, reads NaN, cuts numbers to 64 bits and forgets
 * lines, and which (0.16) drops members or crashes when memory is short: a dropped deny is a wider policy.
 * A scan before it that makes up for all this is a reader already. The tests hold the two against each
 * other.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"

#define DOCUMENT_DEPTH_MAX 16U
#define DOCUMENT_NODES_MAX 65536U
#define DOCUMENT_KEYS_MAX  512U /* of one object; more than a file may have lists */

typedef enum NodeType {
        NODE_NULL,
        NODE_BOOLEAN,
        NODE_NUMBER,
        NODE_STRING,
        NODE_ARRAY,
        NODE_OBJECT,
} NodeType;

/* A value. Lines and columns count from 1, columns in characters. */
typedef struct Node {
        NodeType type;
        unsigned line;
        unsigned column;
        unsigned key_line; /* of its key, or where the value stands if it has none */
        unsigned key_column;
        size_t offset;      /* of its first byte in the text */
        const char *key;    /* of a member of an object, else NULL */
        const char *string; /* STRING: decoded, without NUL bytes */
        int64_t number;     /* NUMBER; BOOLEAN: 0 or 1 */
        struct Node *first; /* ARRAY, OBJECT: what is in it, in the order of the text */
        struct Node *next;  /* in the same array or object */
        size_t n_children;
} Node;

typedef struct Document {
        Node *top;
        char *strings; /* what keys and strings of the nodes point into */
} Document;

void document_done(Document *document);

/* Accepts RFC 8259 text in UTF-8 of which every reader makes the same: no key twice in an object (also not
 * in another spelling), no unpaired surrogate, no NUL, whole numbers of 64 bits only, nothing after the
 * end. Reports the first thing that is wrong. -EINVAL, -E2BIG (depth, values, keys), -ENOMEM. */
int document_read(const char *path, const char *bytes, size_t size, PolicyDiags *diags,
        Document *ret) _warn_unused_result_;

/* The member of an object, or NULL. */
const Node *node_member(const Node *object, const char *key);

/* Bytes of the well-formed UTF-8 character that s begins with, at most n; 0 if there is none. */
size_t utf8_character(const char *s, size_t n, uint32_t *ret);
