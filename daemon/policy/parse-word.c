/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of a rule: pieces of its text, compared, split, read as numbers, and guessed at. */
#include "policy/parse-private.h"
#include "util/macro.h"

/* What other firewalls call it. */
static const struct {
        const char *word;
        const char *meant;
} synonyms[] = {
        { "accept", "allow" },
        { "permit", "allow" },
        { "pass", "allow" },
        { "block", "deny" },
        { "drop", "deny" },
        { "reject", "deny" },
        { "input", "in" },
        { "inbound", "in" },
        { "ingress", "in" },
        { "output", "out" },
        { "outbound", "out" },
        { "egress", "out" },
        { "all", "any" },
        { "icmp6", "icmpv6" },
        { "ipv6-icmp", "icmpv6" },
        { "dst", "to" },
        { "src", "from" },
        { "on", "via" },
        { "dev", "via" },
        { "iface", "via" },
        { "interface", "via" },
        { "oif", "via" },
        { "iif", "via" },
        { "listen", "bind" },
        { "loopback", "localhost" },
        { "everyone", "any" },
        { "world", "any" },
        { "wan", "internet" },
        { "public", "internet" },
        { "localnet", "lan" },
        { "local-network", "lan" },
};

bool word_is(Word w, const char *s) {
        return strlen(s) == w.n && memcmp(w.s, s, w.n) == 0;
}

bool word_copy(Word w, char *buf, size_t size) {
        if (w.n >= size)
                return false;
        memcpy(buf, w.s, w.n);
        buf[w.n] = '\0';
        return true;
}

bool word_to_number(Word w, unsigned max, unsigned *ret) {
        unsigned n = 0;

        if (w.n == 0 || w.n > 5 || (w.n > 1 && w.s[0] == '0'))
                return false;
        for (size_t i = 0; i < w.n; i++) {
                if (w.s[i] < '0' || w.s[i] > '9')
                        return false;
                n = n * 10 + (unsigned)(w.s[i] - '0');
        }
        if (n > max)
                return false;
        *ret = n;
        return true;
}

bool word_is_digits(Word w) {
        return w.n > 0 && strspn(w.s, "0123456789") >= w.n;
}

bool word_is_one_of(Word w, const char *const *words) {
        for (; *words; words++)
                if (word_is(w, *words))
                        return true;
        return false;
}

bool word_split(Word *rest, char separator, Word *ret) {
        const char *end;
        Word w;

        if (!rest->s)
                return false;
        end = memchr(rest->s, separator, rest->n);
        w = (Word){ rest->s, end ? (size_t)(end - rest->s) : rest->n };
        *rest = end ? (Word){ end + 1, rest->n - w.n - 1 } : (Word){};
        while (w.n > 0 && *w.s == ' ') {
                w.s++;
                w.n--;
        }
        while (w.n > 0 && w.s[w.n - 1] == ' ')
                w.n--;
        *ret = w;
        return true;
}

/* What the word was likely meant to be, or NULL. */
const char *word_meant(Word w, const char *const *candidates) {
        char buf[WORD_COPY_SIZE];

        if (!word_copy(w, buf, sizeof(buf)))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(synonyms); i++)
                for (const char *const *c = candidates; *c; c++)
                        if (streq(synonyms[i].word, buf) && streq(synonyms[i].meant, *c))
                                return *c;
        return policy_did_you_mean(buf, candidates);
}
