/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text to address, for lists: no copies, no locale, no tables; and the networks within a range. */
#include "policy/list-private.h"

#include <string.h>

/* Four decimal numbers without leading zeros. */
static bool parse4(const char *s, const char *end, uint32_t *ret) {
        uint32_t address = 0;

        for (unsigned i = 0; i < 4; i++) {
                const char *begin = s;
                unsigned n = 0;

                while (s < end && s - begin < 3 && *s >= '0' && *s <= '9')
                        n = n * 10 + (unsigned)(*s++ - '0');
                if (s == begin || n > 255 || (*begin == '0' && s - begin > 1))
                        return false;
                if (i < 3 && (s == end || *s++ != '.'))
                        return false;
                address = address << 8 | n;
        }
        if (s != end)
                return false;
        *ret = address;
        return true;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Moves what stands behind "::" to the end. */
static bool spread(uint16_t groups[8], unsigned n, int gap) {
        unsigned behind;

        if (gap < 0)
                return n == 8;
        if (n == 8)
                return false; /* nothing left for the colons to stand for */
        behind = n - (unsigned)gap;
        memmove(&groups[8 - behind], &groups[gap], behind * sizeof(*groups));
        memset(&groups[gap], 0, (8 - n) * sizeof(*groups));
        return true;
}

static bool parse6(const char *s, const char *end, unsigned __int128 *ret) {
        unsigned __int128 address = 0;
        uint16_t groups[8] = {};
        unsigned n = 0;
        int gap = -1;

        if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
                gap = 0;
                s += 2;
        }
        while (s < end) {
                const char *begin = s;
                unsigned value = 0;
                uint32_t v4;
                int digit;

                if (n == 8)
                        return false;
                while (s < end && s - begin < 4 && (digit = hex_digit(*s)) >= 0) {
                        value = value << 4 | (unsigned)digit;
                        s++;
                }
                if (s < end && *s == '.') {
                        if (n > 6 || !parse4(begin, end, &v4))
                                return false;
                        groups[n++] = (uint16_t)(v4 >> 16);
                        groups[n++] = (uint16_t)v4;
                        break;
                }
                if (s == begin)
                        return false;
                groups[n++] = (uint16_t)value;
                if (s == end)
                        break;
                if (*s++ != ':' || s == end)
                        return false;
                if (*s == ':') {
                        if (gap >= 0)
                                return false;
                        gap = (int)n;
                        s++;
                }
        }
        if (!spread(groups, n, gap))
                return false;
        for (unsigned i = 0; i < 8; i++)
                address = address << 16 | groups[i];
        *ret = address;
        return true;
}

bool policy_list_address_parse(const char *s, const char *end, PolicyListAddress *ret) {
        unsigned __int128 address = 0;
        uint32_t v4 = 0;

        if (!memchr(s, ':', (size_t)(end - s))) {
                if (!parse4(s, end, &v4))
                        return false;
                *ret = (PolicyListAddress){ .address = v4, .is_v4 = true };
                return true;
        }
        if (!parse6(s, end, &address))
                return false;
        if (address >> 32 == 0xffff)
                *ret = (PolicyListAddress){
                        .address = (uint32_t)address,
                        .is_v4 = true,
                        .is_mapped = true,
                };
        else
                *ret = (PolicyListAddress){ .address = address };
        return true;
}

unsigned policy_list_block_bits(unsigned __int128 first, unsigned __int128 last, unsigned width) {
        unsigned n = 0;

        while (n < width) {
                unsigned __int128 mask =
                        ((unsigned __int128)1 << n << 1) - 1; /* one bit more; all ones at 127 */

                if ((first & mask) != 0 || mask > last - first)
                        break;
                n++;
        }
        return n;
}
