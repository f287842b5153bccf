/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of a set map: where blocks go, the index and buckets of IPv4, the trees of IPv6. Steps come in order and
 * are written as they come, so that the pages are all that grows.
 */
#include "policy/set-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/set-host.h"
#include "policy/set.h"
#include "util/macro.h"

#define INDEX_PAGES (65536 * sizeof(uint32_t) / CGP_SET_PAGE_SIZE)
#define NODE_MAX    (CGP_SET_NODE_KEYS_MAX + 1)

_Static_assert(POLICY_SET_SIZE_MAX / CGP_SET_PAGE_SIZE <= CGP_SET_PAGES_MAX,
        "an entry must be able to name every page");
_Static_assert(
        CGP_SET_NODE_KEYS_MAX * sizeof(uint64_t) + NODE_MAX * sizeof(uint32_t) <= CGP_SET_PAGE_SIZE,
        "a node must fit into a page");
_Static_assert((2 * CGP_SET_BUCKET_KEYS_MAX + 1) * sizeof(uint16_t) <= CGP_SET_PAGE_SIZE,
        "a bucket must fit into a page");

void set_pages_done(SetPages *pages) {
        assert(pages);

        free(pages->bytes);
        *pages = (SetPages){};
}

int set_pages_add(SetPages *pages, size_t n, size_t *ret_first) {
        const size_t max = POLICY_SET_SIZE_MAX / CGP_SET_PAGE_SIZE;

        if (n > max - pages->n_pages)
                return -E2BIG;
        if (pages->n_pages + n > pages->room) {
                size_t more = MIN(max, pages->room * 3 / 2);
                size_t room = MAX(pages->n_pages + n, more);
                uint8_t *grown = reallocarray(pages->bytes, room, CGP_SET_PAGE_SIZE);

                if (!grown)
                        return -ENOMEM;
                pages->bytes = grown;
                pages->room = room;
        }
        memset(pages->bytes + pages->n_pages * CGP_SET_PAGE_SIZE, 0, n * CGP_SET_PAGE_SIZE);
        *ret_first = pages->n_pages;
        pages->n_pages += n;
        return 0;
}

/* Finds room for a block of so many bytes and gives its entry without flags, and where it is until pages grow
 * again. A block that does not fit into the page that is being filled gets a new one, and of the two the one
 * with more space is filled on. */
static int set_pages_place(
        SetPages *pages, size_t size, size_t n_keys, uint32_t *ret_entry, uint8_t **ret) {
        size_t page = pages->open, offset = pages->used, end;
        int r;

        if (page == 0 || size > CGP_SET_PAGE_SIZE - offset) {
                r = set_pages_add(pages, 1, &page);
                if (r < 0)
                        return r;
                offset = 0;
        }
        end = (offset + size + CGP_SET_BLOCK_ALIGN - 1) / CGP_SET_BLOCK_ALIGN * CGP_SET_BLOCK_ALIGN;
        if (page == pages->open || pages->open == 0 || end < pages->used) {
                pages->open = page;
                pages->used = end;
        }
        *ret_entry = (uint32_t)(page << 16 | offset / CGP_SET_BLOCK_ALIGN << 9 | n_keys);
        *ret = pages->bytes + page * CGP_SET_PAGE_SIZE + offset;
        return 0;
}

/* IPv4. One bucket is collected at a time. */
struct SetWriter4 {
        SetPages *pages; /* borrowed */
        size_t index;    /* page */
        uint32_t bucket; /* first 16 bits of what is collected */
        uint16_t last;   /* combination in force */
        size_t n;
        uint16_t keys[65536];
        uint16_t combinations[65536];
};

SetWriter4 *set_writer4_free(SetWriter4 *w) {
        free(w);
        return NULL;
}

int set_writer4_new(SetPages *pages, SetWriter4 **ret) {
        _cleanup_(set_writer4_freep) SetWriter4 *w = NULL;
        int r;

        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->pages = pages;
        w->bucket = 0;
        w->last = 0;
        w->n = 0;
        r = set_pages_add(pages, INDEX_PAGES, &w->index);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

static void put_entry(SetPages *pages, size_t page, size_t i, uint32_t entry) {
        memcpy(pages->bytes + page * CGP_SET_PAGE_SIZE + i * sizeof(entry), &entry, sizeof(entry));
}

/* Writes steps begin to end as one bucket. The first holds from the bucket's start on, whatever its key. */
static int writer4_bucket(SetWriter4 *w, size_t begin, size_t end, uint32_t *ret_entry) {
        size_t n = end - begin;
        uint32_t entry = 0;
        uint8_t *block = NULL;
        int r;

        if (n == 1) {
                *ret_entry = CGP_SET_LEAF | w->combinations[begin];
                return 0;
        }
        r = set_pages_place(w->pages, (2 * n - 1) * sizeof(uint16_t), n - 1, &entry, &block);
        if (r < 0)
                return r;
        memcpy(block, &w->combinations[begin], n * sizeof(uint16_t));
        memcpy(block + n * sizeof(uint16_t), &w->keys[begin + 1], (n - 1) * sizeof(uint16_t));
        *ret_entry = entry;
        return 0;
}

/* Writes everything collected as a directory of 256 buckets. */
static int writer4_directory(SetWriter4 *w, uint32_t *ret_entry) {
        uint32_t entries[256], directory = 0;
        uint8_t *block = NULL;
        size_t begin = 0;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                size_t end = begin + 1;

                while (end < w->n && w->keys[end] >> 8 <= i)
                        end++;
                r = writer4_bucket(w, begin, end, &entries[i]);
                if (r < 0)
                        return r;
                /* What holds at the end of this one holds at the start of the next, unless that has a step there. */
                begin = end - 1;
                if (end < w->n && w->keys[end] == (i + 1) << 8)
                        begin = end;
        }
        r = set_pages_place(w->pages, sizeof(entries), 0, &directory, &block);
        if (r < 0)
                return r;
        memcpy(block, entries, sizeof(entries));
        *ret_entry = directory | CGP_SET_TURN;
        return 0;
}

static int writer4_flush(SetWriter4 *w) {
        uint32_t entry = 0;
        int r;

        r = w->n - 1 <= CGP_SET_BUCKET_KEYS_MAX ? writer4_bucket(w, 0, w->n, &entry)
                                                : writer4_directory(w, &entry);
        if (r < 0)
                return r;
        put_entry(w->pages, w->index, w->bucket, entry);
        w->n = 0;
        return 0;
}

int set_writer4_add(SetWriter4 *w, uint32_t address, uint16_t combination) {
        uint32_t bucket = address >> 16;
        int r;

        if (w->n > 0 && bucket != w->bucket) {
                r = writer4_flush(w);
                if (r < 0)
                        return r;
                while (++w->bucket < bucket)
                        put_entry(w->pages, w->index, w->bucket, CGP_SET_LEAF | w->last);
        }
        if (w->n == 0 && (address & 0xffff) != 0) {
                w->keys[0] = 0;
                w->combinations[0] = w->last;
                w->n = 1;
        }
        w->keys[w->n] = (uint16_t)address;
        w->combinations[w->n] = combination;
        w->n++;
        w->last = combination;
        return 0;
}

int set_writer4_finish(SetWriter4 *w, uint32_t *ret_index) {
        int r;

        r = writer4_flush(w);
        if (r < 0)
                return r;
        while (++w->bucket < 65536)
                put_entry(w->pages, w->index, w->bucket, CGP_SET_LEAF | w->last);
        *ret_index = (uint32_t)w->index;
        return 0;
}

/* A tree of 64-bit keys that grows from the left: of each level the node that is being filled. */
typedef struct SetTree {
        SetPages *pages; /* borrowed */
        struct {
                size_t n;
                uint64_t keys[NODE_MAX];
                uint32_t entries[NODE_MAX];
        } level[CGP_SET_LEVELS];
} SetTree;

/* The first key is not written: what is less never comes to this node. */
static int tree_write(SetTree *t, size_t l, uint32_t *ret_entry) {
        size_t n = t->level[l].n, keys_size = (n - 1) * sizeof(uint64_t);
        uint8_t *block = NULL;
        uint32_t entry = 0;
        int r;

        r = set_pages_place(t->pages, keys_size + n * sizeof(uint32_t), n - 1, &entry, &block);
        if (r < 0)
                return r;
        memcpy(block, &t->level[l].keys[1], keys_size);
        memcpy(block + keys_size, t->level[l].entries, n * sizeof(uint32_t));
        t->level[l].n = 0;
        *ret_entry = entry;
        return 0;
}

static int tree_add(SetTree *t, size_t l, uint64_t key, uint32_t entry) {
        for (; l < CGP_SET_LEVELS; l++) {
                bool full = t->level[l].n == NODE_MAX;
                uint64_t first = t->level[l].keys[0];
                uint32_t node = 0;
                int r;

                if (full) {
                        r = tree_write(t, l, &node);
                        if (r < 0)
                                return r;
                }
                t->level[l].keys[t->level[l].n] = key;
                t->level[l].entries[t->level[l].n] = entry;
                t->level[l].n++;
                if (!full)
                        return 0;
                key = first;
                entry = node;
        }
        return -E2BIG;
}

static bool tree_is_top(const SetTree *t, size_t l) {
        while (++l < CGP_SET_LEVELS)
                if (t->level[l].n > 0)
                        return false;
        return true;
}

/* Writes what is not written yet; the tree is empty then. */
static int tree_finish(SetTree *t, uint32_t *ret_root) {
        for (size_t l = 0; l < CGP_SET_LEVELS; l++) {
                bool top = tree_is_top(t, l);
                uint64_t first = t->level[l].keys[0];
                uint32_t node = t->level[l].entries[0];
                int r;

                if (t->level[l].n == 1) {
                        t->level[l].n = 0;
                } else {
                        r = tree_write(t, l, &node);
                        if (r < 0)
                                return r;
                }
                if (top) {
                        *ret_root = node;
                        return 0;
                }
                r = tree_add(t, l + 1, first, node);
                if (r < 0)
                        return r;
        }
        return -E2BIG;
}

/* Where the steps of IPv6 go, by their first 64 bits: before the index, into one of its 65536 places, behind. */
#define PLACE_BEFORE (-1)
#define PLACE_BEHIND 65536

/* IPv6. The step at a new value of the first 64 bits waits: another with the same ones makes a tree of the
 * last 64 bits out of both. */
struct SetWriter6 {
        SetPages *pages; /* borrowed */
        size_t index;    /* page */
        SetTree root;    /* of what the index does not have */
        SetTree high;    /* of one place of the index */
        SetTree low;     /* of the last 64 bits */
        int place;
        bool fresh;      /* nothing in this place yet */
        uint32_t before; /* entry of the last step */
        bool waits;
        bool in_low;
        uint64_t hi;
        uint16_t start; /* combination at hi */
        uint16_t last;  /* combination in force */
};

SetWriter6 *set_writer6_free(SetWriter6 *w) {
        free(w);
        return NULL;
}

int set_writer6_new(SetPages *pages, SetWriter6 **ret) {
        _cleanup_(set_writer6_freep) SetWriter6 *w = NULL;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->pages = w->root.pages = w->high.pages = w->low.pages = pages;
        w->place = PLACE_BEFORE;
        r = set_pages_add(pages, INDEX_PAGES, &w->index);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

static int place_of(uint64_t hi) {
        if (hi < CGP_SET_INDEX6_FIRST)
                return PLACE_BEFORE;
        hi = (hi - CGP_SET_INDEX6_FIRST) >> CGP_SET_INDEX6_SHIFT;
        return hi < PLACE_BEHIND ? (int)hi : PLACE_BEHIND;
}

/* Ends one place after the other until it is the turn of this one. */
static int writer6_go_to(SetWriter6 *w, int place) {
        for (; w->place < place; w->place++) {
                uint32_t entry = w->before;
                int r;

                if (w->place != PLACE_BEFORE) {
                        if (!w->fresh) {
                                r = tree_finish(&w->high, &entry);
                                if (r < 0)
                                        return r;
                        }
                        put_entry(w->pages, w->index, (size_t)w->place, entry);
                }
                w->fresh = true;
        }
        return 0;
}

static int writer6_high(SetWriter6 *w, uint64_t hi, uint32_t entry) {
        SetTree *tree;
        uint64_t start;
        int r;

        r = writer6_go_to(w, place_of(hi));
        if (r < 0)
                return r;
        tree = w->place >= 0 && w->place < PLACE_BEHIND ? &w->high : &w->root;
        start = CGP_SET_INDEX6_FIRST + ((uint64_t)w->place << CGP_SET_INDEX6_SHIFT);
        if (w->fresh && hi != start) {
                r = tree_add(tree, 0, start, w->before);
                if (r < 0)
                        return r;
        }
        w->fresh = false;
        w->before = entry;
        return tree_add(tree, 0, hi, entry);
}

static int writer6_low(SetWriter6 *w, uint64_t lo, uint16_t combination) {
        int r;

        if (!w->in_low) {
                r = tree_add(&w->low, 0, 0, CGP_SET_LEAF | w->start);
                if (r < 0)
                        return r;
                w->in_low = true;
        }
        return tree_add(&w->low, 0, lo, CGP_SET_LEAF | combination);
}

/* Ends what has the first 64 bits w->hi; `next` is where the next step is, if there is one. */
static int writer6_close(SetWriter6 *w, bool is_end, uint64_t next) {
        uint32_t entry = CGP_SET_LEAF | w->start;
        bool was_low = w->in_low;
        int r;

        if (!w->waits)
                return 0;
        if (was_low) {
                r = tree_finish(&w->low, &entry);
                if (r < 0)
                        return r;
                entry |= CGP_SET_TURN;
                w->in_low = false;
        }
        w->waits = false;
        r = writer6_high(w, w->hi, entry);
        if (r < 0)
                return r;
        if (!was_low || w->hi == UINT64_MAX || (!is_end && next == w->hi + 1))
                return 0;
        return writer6_high(w, w->hi + 1, CGP_SET_LEAF | w->last);
}

int set_writer6_add(SetWriter6 *w, uint64_t hi, uint64_t lo, uint16_t combination) {
        int r;

        if (!w->waits || hi != w->hi) {
                r = writer6_close(w, false, hi);
                if (r < 0)
                        return r;
                w->waits = true;
                w->hi = hi;
                w->start = lo == 0 ? combination : w->last;
        }
        if (lo != 0) {
                r = writer6_low(w, lo, combination);
                if (r < 0)
                        return r;
        }
        w->last = combination;
        return 0;
}

int set_writer6_finish(SetWriter6 *w, uint32_t *ret_index, uint32_t *ret_root) {
        int r;

        r = writer6_close(w, true, 0);
        if (r < 0)
                return r;
        if (w->place < PLACE_BEHIND) {
                r = writer6_high(w,
                        CGP_SET_INDEX6_FIRST + ((uint64_t)PLACE_BEHIND << CGP_SET_INDEX6_SHIFT),
                        w->before);
                if (r < 0)
                        return r;
        }
        r = tree_finish(&w->root, ret_root);
        if (r < 0)
                return r;
        *ret_index = (uint32_t)w->index;
        return 0;
}
