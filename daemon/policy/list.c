/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the reading of named lists, and the search in one. Lists have a million lines and come from
 * strangers: addresses are read in place, networks are sorted without a comparison where that is possible, and no
 * message repeats what stands in the file.
 */
#include "policy/list-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/macro.h"

typedef unsigned __int128 Address6;

typedef struct ListParser {
        const char *path;
        unsigned line;
        unsigned entry; /* of an inline list; 0: of a file */
        PolicyDiags *diags;
        uint64_t *networks4; /* address << 8 | bits: sorts as the networks do */
        size_t n_networks4;
        size_t room4;
        PolicyListNetwork6 *networks6;
        size_t n_networks6;
        size_t room6;
} ListParser;

static void list_parser_done(ListParser *p) {
        free(p->networks4);
        free(p->networks6);
}

static int list_fail(ListParser *p, int error, const char *code, const char *message) {
        if (p->entry > 0)
                policy_diags_add(p->diags, POLICY_ERROR, code, p->path, p->line, 0,
                        "network %u of the list: %s", p->entry, message);
        else
                policy_diags_add(p->diags, POLICY_ERROR, code, p->path, p->line, 0, "%s", message);
        return error;
}

static int list_fail_memory(ListParser *p) {
        return list_fail(p, -ENOMEM, "no-memory", "out of memory");
}

static int list_fail_count(ListParser *p) {
        policy_diags_add(p->diags, POLICY_ERROR, "too-many-networks", p->path, p->line, 0,
                "more than %u networks in one list (a range counts as the networks that cover it)",
                POLICY_LIST_NETWORKS_MAX);
        return -E2BIG;
}

/* Makes room for one more element. */
static int list_grow(ListParser *p, void **array, size_t n, size_t *room, size_t size) {
        size_t more;
        void *grown;

        if (p->n_networks4 + p->n_networks6 >= POLICY_LIST_NETWORKS_MAX)
                return list_fail_count(p);
        if (n < *room)
                return 0;
        more = *room > 0 ? *room * 2 : 64;
        grown = reallocarray(*array, more, size);
        if (!grown)
                return list_fail_memory(p);
        *array = grown;
        *room = more;
        return 0;
}

static int list_add4(ListParser *p, uint32_t address, unsigned bits) {
        void *array = p->networks4;
        int r;

        r = list_grow(p, &array, p->n_networks4, &p->room4, sizeof(*p->networks4));
        p->networks4 = array;
        if (r < 0)
                return r;
        p->networks4[p->n_networks4++] = (uint64_t)address << 8 | bits;
        return 0;
}

static int list_add6(ListParser *p, Address6 address, unsigned bits) {
        void *array = p->networks6;
        int r;

        r = list_grow(p, &array, p->n_networks6, &p->room6, sizeof(*p->networks6));
        p->networks6 = array;
        if (r < 0)
                return r;
        p->networks6[p->n_networks6++] = (PolicyListNetwork6){
                .hi = (uint64_t)(address >> 64),
                .lo = (uint64_t)address,
                .bits = (uint8_t)bits,
        };
        return 0;
}

/* The networks that cover first to last, the widest ones from the left. */
static int list_add_range(ListParser *p, Address6 first, Address6 last, unsigned width) {
        for (;;) {
                unsigned n = policy_list_block_bits(first, last, width);
                Address6 end = first + (((Address6)1 << (n - (n == 128)) << (n == 128)) - 1);
                int r;

                r = width == 32 ? list_add4(p, (uint32_t)first, width - n)
                                : list_add6(p, first, width - n);
                if (r < 0)
                        return r;
                if (end == last)
                        return 0;
                first = end + 1;
        }
}

static int list_parse_range(ListParser *p, const char *s, const char *dash, const char *end) {
        PolicyListAddress first, last;

        if (!policy_list_address_parse(s, dash, &first) ||
                !policy_list_address_parse(dash + 1, end, &last))
                return list_fail(p, -EINVAL, "bad-network",
                        "not an address, a network or a range of addresses");
        if (first.is_v4 != last.is_v4)
                return list_fail(p, -EINVAL, "bad-range",
                        "the range begins in one address family and ends in the other");
        if (first.address > last.address)
                return list_fail(p, -EINVAL, "bad-range", "the range ends before it begins");
        return list_add_range(p, first.address, last.address, first.is_v4 ? 32 : 128);
}

/* Digits only, no leading zero. */
static bool parse_length(const char *s, const char *end, unsigned *ret) {
        unsigned n = 0;

        if (s == end || end - s > 3 || (*s == '0' && end - s > 1))
                return false;
        for (; s < end; s++) {
                if (*s < '0' || *s > '9')
                        return false;
                n = n * 10 + (unsigned)(*s - '0');
        }
        *ret = n;
        return true;
}

static int list_parse_network(ListParser *p, const char *s, const char *end) {
        PolicyListAddress a;
        const char *slash;
        unsigned width, bits;

        if (memchr(s, '-', (size_t)(end - s)))
                return list_parse_range(p, s, memchr(s, '-', (size_t)(end - s)), end);

        slash = memchr(s, '/', (size_t)(end - s));
        if (!policy_list_address_parse(s, slash ? slash : end, &a))
                return list_fail(p, -EINVAL, "bad-network",
                        "not an address, a network or a range of addresses");
        width = a.is_v4 && !a.is_mapped ? 32 : 128;
        bits = width;
        if (slash && (!parse_length(slash + 1, end, &bits) || bits > width))
                return list_fail(
                        p, -EINVAL, "bad-prefix", "the prefix length is not a number in range");
        if (a.is_mapped) {
                /* What is shorter has the mark of a mapped address behind it. */
                if (bits < 96)
                        return list_fail(p, -EINVAL, "host-bits",
                                "not a network: bits are set behind the prefix");
                bits -= 96;
                width = 32;
        }
        if (bits < width && (a.address & ((((Address6)1 << (width - bits - 1)) << 1) - 1)) != 0)
                return list_fail(
                        p, -EINVAL, "host-bits", "not a network: bits are set behind the prefix");
        return width == 32 ? list_add4(p, (uint32_t)a.address, bits)
                           : list_add6(p, a.address, bits);
}

static int list_parse_line(ListParser *p, const char *s, const char *end) {
        if (memchr(s, '\0', (size_t)(end - s)))
                return list_fail(p, -EINVAL, "bad-network", "a byte of value zero");
        for (const char *c = s; c < end; c++)
                if (*c == '#' || *c == ';') {
                        end = c;
                        break;
                }
        while (s < end && (*s == ' ' || *s == '\t'))
                s++;
        while (s < end && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
                end--;
        if (s == end)
                return 0;
        return list_parse_network(p, s, end);
}

/* Sorts numbers of 40 bits, by 10 at a time from below. Afterwards *networks and *spare have changed places or
 * not. */
static int list_sort4(ListParser *p) {
        _cleanup_free_ uint64_t *spare = NULL;
        uint64_t *from = p->networks4, *to;
        size_t n = p->n_networks4;

        spare = malloc(MAX(n, (size_t)1) * sizeof(*spare));
        if (!spare)
                return list_fail_memory(p);
        to = spare;
        for (unsigned shift = 0; shift < 40; shift += 10) {
                size_t first[1024] = {}, sum = 0;

                for (size_t i = 0; i < n; i++)
                        first[from[i] >> shift & 1023]++;
                for (size_t i = 0; i < ELEMENTSOF(first); i++) {
                        size_t count = first[i];

                        first[i] = sum;
                        sum += count;
                }
                for (size_t i = 0; i < n; i++)
                        to[first[from[i] >> shift & 1023]++] = from[i];
                to = from;
                from = from == spare ? p->networks4 : spare;
        }
        return 0; /* an even number of turns: what is sorted is where it was */
}

static int network6_compare(const void *a, const void *b) {
        const PolicyListNetwork6 *x = a, *y = b;

        if (x->hi != y->hi)
                return x->hi < y->hi ? -1 : 1;
        if (x->lo != y->lo)
                return x->lo < y->lo ? -1 : 1;
        return (x->bits > y->bits) - (x->bits < y->bits);
}

#define SORT6_BITS  20U
#define SORT6_SMALL 65536U

/* Sorts by the first bits into as many places, then what came to each. Where addresses spread, there are only few
 * comparisons. */
static int list_sort6_large(ListParser *p) {
        const size_t n_places = (size_t)1 << SORT6_BITS;
        const unsigned shift = 64 - SORT6_BITS;
        _cleanup_free_ PolicyListNetwork6 *sorted = NULL;
        _cleanup_free_ uint32_t *ends = NULL;
        uint32_t sum = 0;

        sorted = malloc(p->n_networks6 * sizeof(*sorted));
        ends = calloc(n_places, sizeof(*ends));
        if (!sorted || !ends)
                return list_fail_memory(p);
        for (size_t i = 0; i < p->n_networks6; i++)
                ends[p->networks6[i].hi >> shift]++;
        for (size_t i = 0; i < n_places; i++) {
                uint32_t count = ends[i];

                ends[i] = sum; /* for now where it begins */
                sum += count;
        }
        for (size_t i = 0; i < p->n_networks6; i++)
                sorted[ends[p->networks6[i].hi >> shift]++] = p->networks6[i];
        for (size_t i = 0, begin = 0; i < n_places; begin = ends[i++])
                if (ends[i] - begin > 1)
                        qsort(&sorted[begin], ends[i] - begin, sizeof(*sorted), network6_compare);
        free(p->networks6);
        p->networks6 = TAKE_PTR(sorted);
        return 0;
}

static int list_sort6(ListParser *p) {
        size_t n = 0, i = 1;
        int r;

        if (p->n_networks6 == 0)
                return 0;
        while (i < p->n_networks6 && network6_compare(&p->networks6[i - 1], &p->networks6[i]) <= 0)
                i++;
        if (i < p->n_networks6 && p->n_networks6 >= SORT6_SMALL) {
                r = list_sort6_large(p);
                if (r < 0)
                        return r;
        } else if (i < p->n_networks6) {
                qsort(p->networks6, p->n_networks6, sizeof(*p->networks6), network6_compare);
        }
        for (i = 1; i < p->n_networks6; i++)
                if (network6_compare(&p->networks6[n], &p->networks6[i]) != 0)
                        p->networks6[++n] = p->networks6[i];
        p->n_networks6 = n + 1;
        return 0;
}

/* The structures have holes, so their members are hashed and not their bytes. */
static uint64_t list_hash(const PolicyList *list) {
        uint64_t words[768];
        uint64_t hash = hash64(
                &(uint64_t[]){ list->n_networks4, list->n_networks6 }, 2 * sizeof(uint64_t), 0);

        for (size_t i = 0; i < list->n_networks4;) {
                size_t n = 0;

                for (; n < ELEMENTSOF(words) && i < list->n_networks4; n++, i++)
                        words[n] =
                                (uint64_t)list->networks4[i].address << 8 | list->networks4[i].bits;
                hash = hash64(words, n * sizeof(*words), hash);
        }
        for (size_t i = 0; i < list->n_networks6;) {
                size_t n = 0;

                for (; n < ELEMENTSOF(words) && i < list->n_networks6; i++) {
                        words[n++] = list->networks6[i].hi;
                        words[n++] = list->networks6[i].lo;
                        words[n++] = list->networks6[i].bits;
                }
                hash = hash64(words, n * sizeof(*words), hash);
        }
        return hash;
}

/* Gives memory back that an array has grown beyond what it needs. */
static void *shrink(void *array, size_t n, size_t size) {
        void *p;

        if (n == 0) {
                free(array);
                return NULL;
        }
        p = reallocarray(array, n, size);
        return p ? p : array;
}

static int list_finish(ListParser *p, const char *name, PolicyList **ret) {
        _cleanup_(policy_list_unrefp) PolicyList *list = NULL;
        int r;

        list = calloc(1, sizeof(*list));
        if (!list)
                return list_fail_memory(p);
        list->n_ref = 1;
        list->name = strdup(name);
        if (!list->name)
                return list_fail_memory(p);

        r = list_sort4(p);
        if (r < 0)
                return r;
        list->networks4 = calloc(MAX(p->n_networks4, (size_t)1), sizeof(*list->networks4));
        if (!list->networks4)
                return list_fail_memory(p);
        for (size_t i = 0; i < p->n_networks4; i++) {
                if (i > 0 && p->networks4[i] == p->networks4[i - 1])
                        continue;
                list->networks4[list->n_networks4++] = (PolicyListNetwork4){
                        .address = (uint32_t)(p->networks4[i] >> 8),
                        .bits = (uint8_t)p->networks4[i],
                };
        }
        list->networks4 = shrink(list->networks4, list->n_networks4, sizeof(*list->networks4));

        r = list_sort6(p);
        if (r < 0)
                return r;
        list->n_networks6 = p->n_networks6;
        list->networks6 =
                shrink(TAKE_PTR(p->networks6), list->n_networks6, sizeof(*list->networks6));
        list->hash = list_hash(list);
        *ret = TAKE_PTR(list);
        return 0;
}

int policy_list_parse(const char *name, const char *path, const char *bytes, size_t size,
        PolicyDiags *diags, PolicyList **ret) {
        _cleanup_(list_parser_done) ListParser p = { .path = path, .diags = diags };
        const char *s = bytes, *end = bytes + size;
        int r;

        assert(name);
        assert(bytes || size == 0);
        assert(ret);

        if (size > POLICY_LIST_SIZE_MAX) {
                policy_diags_add(diags, POLICY_ERROR, "list-too-large", path, 0, 0,
                        "a list can have %u bytes", POLICY_LIST_SIZE_MAX);
                return -E2BIG;
        }
        while (s < end) {
                const char *newline = memchr(s, '\n', (size_t)(end - s));

                p.line++;
                r = list_parse_line(&p, s, newline ? newline : end);
                if (r < 0)
                        return r;
                s = newline ? newline + 1 : end;
        }
        return list_finish(&p, name, ret);
}

int policy_list_from_strv(const char *name, const char *path, unsigned line, char *const *networks,
        PolicyDiags *diags, PolicyList **ret) {
        _cleanup_(list_parser_done) ListParser p = { .path = path, .line = line, .diags = diags };
        int r;

        assert(name);
        assert(ret);

        for (; networks && *networks; networks++) {
                p.entry++;
                r = list_parse_network(&p, *networks, *networks + strlen(*networks));
                if (r < 0)
                        return r;
        }
        return list_finish(&p, name, ret);
}

PolicyList *policy_list_ref(PolicyList *list) {
        if (list)
                list->n_ref++;
        return list;
}

PolicyList *policy_list_unref(PolicyList *list) {
        if (!list || --list->n_ref > 0)
                return NULL;
        free(list->name);
        free(list->networks4);
        free(list->networks6);
        free(list);
        return NULL;
}

/* Both searches look at the last network that does not begin behind the address. If it does not hold the address,
 * what holds both is not longer than what the two have in common: so the search goes on with that. */

static uint32_t mask4(unsigned bits) {
        return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

/* How many networks are at or before this one in the order of the list. */
static size_t list_rank4(const PolicyList *list, uint32_t address, unsigned bits) {
        size_t low = 0, high = list->n_networks4;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const PolicyListNetwork4 *n = &list->networks4[middle];

                if (n->address < address || (n->address == address && n->bits <= bits))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int list_match4(const PolicyList *list, uint32_t address) {
        unsigned bits = 32;

        for (;;) {
                uint32_t start = address & mask4(bits);
                size_t rank = list_rank4(list, start, bits);
                const PolicyListNetwork4 *n;

                if (rank == 0)
                        return -1;
                n = &list->networks4[rank - 1];
                if ((address & mask4(n->bits)) == n->address)
                        return n->bits;
                bits = (unsigned)__builtin_clz(n->address ^ start);
        }
}

static Address6 mask6(unsigned bits) {
        return bits == 0 ? 0 : ~(Address6)0 << (128 - bits);
}

static Address6 network6_address(const PolicyListNetwork6 *n) {
        return (Address6)n->hi << 64 | n->lo;
}

static size_t list_rank6(const PolicyList *list, Address6 address, unsigned bits) {
        size_t low = 0, high = list->n_networks6;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const PolicyListNetwork6 *n = &list->networks6[middle];
                Address6 begin = network6_address(n);

                if (begin < address || (begin == address && n->bits <= bits))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int list_match6(const PolicyList *list, Address6 address) {
        unsigned bits = 128;

        for (;;) {
                Address6 start = address & mask6(bits), different;
                size_t rank = list_rank6(list, start, bits);
                const PolicyListNetwork6 *n;

                if (rank == 0)
                        return -1;
                n = &list->networks6[rank - 1];
                if ((address & mask6(n->bits)) == network6_address(n))
                        return n->bits;
                different = network6_address(n) ^ start;
                bits = different >> 64 != 0 ? (unsigned)__builtin_clzll((uint64_t)(different >> 64))
                                            : 64 + (unsigned)__builtin_clzll((uint64_t)different);
        }
}

int policy_list_match(const PolicyList *list, const uint8_t address[16]) {
        uint64_t hi = 0, lo = 0;

        assert(list);

        for (unsigned i = 0; i < 8; i++) {
                hi = hi << 8 | address[i];
                lo = lo << 8 | address[i + 8];
        }
        if (hi == 0 && lo >> 32 == 0xffff)
                return list_match4(list, (uint32_t)lo);
        return list_match6(list, (Address6)hi << 64 | lo);
}
