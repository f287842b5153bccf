/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sweep. Each list has a cursor: its next network, and the lengths of those that hold the current address.
 * Networks of one list lie within each other or apart, so the lengths are a stack, and where each ends follows
 * from the address of the innermost. A heap has the cursor whose next event is first at its top.
 */
#include "policy/set-sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

typedef unsigned __int128 Address;

#define N_SLOTS 131072U /* at most half full */

_Static_assert(N_SLOTS >= 2 * CGP_MAX_SET_COMBINATIONS, "combinations must find a slot");

void set_combinations_done(SetCombinations *c) {
        assert(c);

        free(c->current);
        free(c->first);
        free(c->members);
        free(c->hashes);
        free(c->slots);
        *c = (SetCombinations){};
}

int set_combinations_init(SetCombinations *c, size_t n_lists) {
        SetCombinations fresh = {
                .n_lists = n_lists,
                .n = 1,
                .room = 64,
                .room_members = 64,
        };

        assert(c);

        fresh.current = calloc(MAX(n_lists, (size_t)1), 1);
        fresh.first = calloc(fresh.room + 1, sizeof(*fresh.first));
        fresh.hashes = calloc(fresh.room, sizeof(*fresh.hashes));
        fresh.members = calloc(fresh.room_members, sizeof(*fresh.members));
        fresh.slots = calloc(N_SLOTS, sizeof(*fresh.slots));
        if (!fresh.current || !fresh.first || !fresh.hashes || !fresh.members || !fresh.slots) {
                set_combinations_done(&fresh);
                return -ENOMEM;
        }
        fresh.slots[0] = 1; /* the empty one: its hash is 0 */
        *c = fresh;
        return 0;
}

/* A well mixed number for each list and length (the finaliser of splitmix64). */
static uint64_t member_hash(size_t list, unsigned value) {
        uint64_t x = ((uint64_t)list << 8 | value) * 0x9e3779b97f4a7c15ULL;

        if (value == 0)
                return 0;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
        x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
        return x ^ x >> 31;
}

/* The list holds what follows with this length + 1, or not (0). */
static void combinations_set(SetCombinations *c, size_t list, unsigned value) {
        c->current_hash += member_hash(list, value) - member_hash(list, c->current[list]);
        c->n_current += (value != 0);
        c->n_current -= (c->current[list] != 0);
        c->current[list] = (uint8_t)value;
}

static bool combination_is_current(const SetCombinations *c, size_t i) {
        if (c->hashes[i] != c->current_hash || c->first[i + 1] - c->first[i] != c->n_current)
                return false;
        for (size_t k = c->first[i]; k < c->first[i + 1]; k++)
                if (c->current[c->members[k].list] != c->members[k].bits + 1U)
                        return false;
        return true;
}

static int combinations_grow(SetCombinations *c) {
        if (c->n >= CGP_MAX_SET_COMBINATIONS)
                return -EOVERFLOW;
        if (c->n >= c->room) {
                size_t room = c->room * 2;
                uint64_t *hashes;
                uint32_t *first;

                first = reallocarray(c->first, room + 1, sizeof(*first));
                if (!first)
                        return -ENOMEM;
                c->first = first;
                hashes = reallocarray(c->hashes, room, sizeof(*hashes));
                if (!hashes)
                        return -ENOMEM;
                c->hashes = hashes;
                c->room = room;
        }
        if (c->n_members + c->n_current > c->room_members) {
                size_t room = MAX(c->n_members + c->n_current, c->room_members * 2);
                PolicySetMember *members = reallocarray(c->members, room, sizeof(*members));

                if (!members)
                        return -ENOMEM;
                c->members = members;
                c->room_members = room;
        }
        return 0;
}

/* The number of the current combination. */
static int combinations_number(SetCombinations *c, uint16_t *ret) {
        size_t slot = c->current_hash & (N_SLOTS - 1);
        int r;

        for (; c->slots[slot] != 0; slot = (slot + 1) & (N_SLOTS - 1))
                if (combination_is_current(c, c->slots[slot] - 1)) {
                        *ret = (uint16_t)(c->slots[slot] - 1);
                        return 0;
                }
        r = combinations_grow(c);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->n_lists; i++)
                if (c->current[i] != 0)
                        c->members[c->n_members++] = (PolicySetMember){
                                .list = (uint16_t)i,
                                .bits = (uint8_t)(c->current[i] - 1),
                        };
        c->hashes[c->n] = c->current_hash;
        c->slots[slot] = (uint32_t)c->n + 1;
        *ret = (uint16_t)c->n++;
        c->first[c->n] = (uint32_t)c->n_members;
        return 0;
}

typedef struct Cursor {
        const PolicyList *list;
        size_t index;  /* of the list */
        size_t i;      /* next network */
        Address next;  /* where the next one begins or the innermost ends */
        Address start; /* of the innermost */
        uint8_t stack[129];
        unsigned depth;
} Cursor;

typedef struct Sweep {
        unsigned width;
        Cursor *cursors;
        Cursor **heap;
        size_t n_heap;
} Sweep;

static void sweep_done(Sweep *s) {
        free(s->cursors);
        free(s->heap);
}

static bool cursor_network(const Sweep *s, const Cursor *c, Address *ret_start, uint8_t *ret_bits) {
        if (s->width == 32) {
                if (c->i >= c->list->n_networks4)
                        return false;
                *ret_start = c->list->networks4[c->i].address;
                *ret_bits = c->list->networks4[c->i].bits;
                return true;
        }
        if (c->i >= c->list->n_networks6)
                return false;
        *ret_start = (Address)c->list->networks6[c->i].hi << 64 | c->list->networks6[c->i].lo;
        *ret_bits = c->list->networks6[c->i].bits;
        return true;
}

/* Of a network that holds `start`, the first address behind it. 0 if it reaches to the end of the space. */
static Address network_end(const Sweep *s, Address start, unsigned bits) {
        Address size;

        if (bits == 0)
                return 0;
        size = (Address)1 << (s->width - bits);
        start = (start & ~(size - 1)) + size;
        return s->width == 32 ? (uint32_t)start : start;
}

/* Finds out where the next event is. False: there is none. */
static bool cursor_aim(const Sweep *s, Cursor *c) {
        Address start = 0, end = 0;
        uint8_t bits;
        bool more = cursor_network(s, c, &start, &bits);

        if (c->depth > 0)
                end = network_end(s, c->start, c->stack[c->depth - 1]);
        if (end != 0 && (!more || end <= start))
                c->next = end;
        else if (more)
                c->next = start;
        else
                return false;
        return true;
}

/* Takes the events at c->next. Returns the length that holds then, + 1, or 0. */
static unsigned cursor_advance(const Sweep *s, Cursor *c) {
        Address start;
        uint8_t bits;

        while (c->depth > 0 && network_end(s, c->start, c->stack[c->depth - 1]) == c->next)
                c->depth--;
        while (cursor_network(s, c, &start, &bits) && start == c->next) {
                c->start = start;
                c->stack[c->depth++] = bits;
                c->i++;
        }
        return c->depth > 0 ? c->stack[c->depth - 1] + 1U : 0;
}

/* Restores the order of the heap below i. */
static void heap_sift(Sweep *s, size_t i) {
        Cursor *c = s->heap[i];

        for (;;) {
                size_t child = 2 * i + 1;

                if (child >= s->n_heap)
                        break;
                if (child + 1 < s->n_heap && s->heap[child + 1]->next < s->heap[child]->next)
                        child++;
                if (c->next <= s->heap[child]->next)
                        break;
                s->heap[i] = s->heap[child];
                i = child;
        }
        s->heap[i] = c;
}

static int sweep_init(Sweep *s, PolicyList *const *lists, size_t n_lists) {
        s->cursors = calloc(MAX(n_lists, (size_t)1), sizeof(*s->cursors));
        s->heap = calloc(MAX(n_lists, (size_t)1), sizeof(*s->heap));
        if (!s->cursors || !s->heap)
                return -ENOMEM;
        for (size_t i = 0; i < n_lists; i++) {
                Cursor *c = &s->cursors[i];

                c->list = lists[i];
                c->index = i;
                if (cursor_aim(s, c))
                        s->heap[s->n_heap++] = c;
        }
        for (size_t i = s->n_heap / 2; i-- > 0;)
                heap_sift(s, i);
        return 0;
}

/* Takes the events of all lists at one address. */
static void sweep_advance(Sweep *s, SetCombinations *c, Address at) {
        while (s->n_heap > 0 && s->heap[0]->next == at) {
                Cursor *cursor = s->heap[0];

                combinations_set(c, cursor->index, cursor_advance(s, cursor));
                if (!cursor_aim(s, cursor)) {
                        s->heap[0] = s->heap[--s->n_heap];
                        if (s->n_heap == 0)
                                break;
                }
                heap_sift(s, 0);
        }
}

int set_sweep(PolicyList *const *lists, size_t n_lists, unsigned width, SetCombinations *c,
        SetStepFn step, void *userdata) {
        _cleanup_(sweep_done) Sweep s = { .width = width };
        uint16_t combination = 0, last;
        Address at = 0;
        int r;

        assert(c);
        assert(step);

        r = sweep_init(&s, lists, n_lists);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_lists; i++)
                combinations_set(c, i, 0);
        for (;;) {
                sweep_advance(&s, c, at);
                last = combination;
                r = combinations_number(c, &combination);
                if (r < 0)
                        return r;
                if (at == 0 || combination != last) {
                        r = step(userdata, at, combination);
                        if (r < 0)
                                return r;
                }
                if (s.n_heap == 0)
                        return 0;
                at = s.heap[0]->next;
        }
}
