/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The peers of a rule: addresses, prefixes, ranges, named lists and the words for well-known sets. IPv4 in
 * IPv6 clothing is IPv4 from here on, and a range that is exactly a prefix becomes one: the same set of
 * addresses has one form.
 */
#include "policy/parse-private.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "policy/text.h"
#include "util/macro.h"

#define V4_OFFSET 96U /* bits before an IPv4 address in its 16 bytes */

static const char *const peer_words[] = {
        "any",
        "localhost",
        "link-local",
        "multicast",
        "broadcast",
        "lan",
        "internet",
        NULL,
};

static bool word_to_address(Word w, uint8_t ret[16]) {
        char buf[INET6_ADDRSTRLEN];

        return word_copy(w, buf, sizeof(buf)) && policy_address_from_string(buf, ret) >= 0;
}

static bool address_is_v4(const uint8_t address[16]) {
        static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

        return memcmp(address, v4_mapped, sizeof(v4_mapped)) == 0;
}

static bool bit_of(const uint8_t address[16], unsigned i) {
        return address[i / 8] & (0x80U >> (i % 8));
}

/* Zeroes everything behind the first n bits. */
static void address_mask(uint8_t address[16], unsigned n) {
        for (unsigned i = n; i < 128; i++)
                address[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
}

/* The length of the prefix that covers first to last and nothing else, or -1. */
static int range_prefix_len(const uint8_t first[16], const uint8_t last[16]) {
        unsigned n = 0;

        while (n < 128 && bit_of(first, n) == bit_of(last, n))
                n++;
        for (unsigned i = n; i < 128; i++)
                if (bit_of(first, i) || !bit_of(last, i))
                        return -1;
        return (int)n;
}

static bool made_of(Word w, const char *characters) {
        for (size_t i = 0; i < w.n; i++)
                if (!strchr(characters, w.s[i]))
                        return false;
        return w.n > 0;
}

static bool looks_like_host_name(Word w) {
        return made_of(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*");
}

/* A name where an address should be. Names are not looked up: their addresses go into a list. */
static int fail_host_name(RuleParser *p, Word w) {
        char name[POLICY_ID_MAX + 1];

        if (word_copy(w, name, sizeof(name)) && policy_list_name_is_valid(name))
                return RULE_FAIL(p, w.s, -EINVAL, "host-name",
                        "\"%s\" is a host name; rules take addresses, or a list of them "
                        "(\"@%s\")",
                        name, name);
        return RULE_FAIL(p, w.s, -EINVAL, "host-name",
                "\"%s\" is a host name; rules take addresses, or a list of them (\"@NAME\")",
                QUOTE_WORD(w));
}

/* What stands where an address should, and is none. */
static int fail_address(RuleParser *p, Word w) {
        const char *first_colon = memchr(w.s, ':', w.n), *meant;

        if (memchr(w.s, '%', w.n))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-address",
                        "\"%s\" names an interface; that is written behind the peers (\"via eth0\")",
                        QUOTE_WORD(w));
        if (first_colon && made_of((Word){ w.s, (size_t)(first_colon - w.s) }, "0123456789.") &&
                memchr(w.s, '.', (size_t)(first_colon - w.s)))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-address",
                        "\"%s\" is not an address; ports go with the protocol (\"tcp/443 to "
                        "192.0.2.1\")",
                        QUOTE_WORD(w));
        if (first_colon || made_of(w, "0123456789./"))
                return RULE_FAIL(
                        p, w.s, -EINVAL, "bad-address", "\"%s\" is not an address", QUOTE_WORD(w));
        meant = word_meant(w, peer_words);
        if (meant)
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-peer",
                        "unknown peer \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w), meant);
        if (looks_like_host_name(w))
                return fail_host_name(p, w);
        return RULE_FAIL(p, w.s, -EINVAL, "unknown-peer", "unknown peer \"%s\"", QUOTE_WORD(w));
}

static int fail_host_bits(RuleParser *p, Word w, const PolicyPeer *peer) {
        char network[INET6_ADDRSTRLEN], host[INET6_ADDRSTRLEN];
        uint8_t masked[16];

        memcpy(masked, peer->address, sizeof(masked));
        address_mask(masked, peer->prefix_len + (peer->family == AF_INET ? V4_OFFSET : 0));
        return RULE_FAIL(p, w.s, -EINVAL, "host-bits",
                "\"%s\" is not a network (did you mean \"%s/%u\" or \"%s\"?)", QUOTE_WORD(w),
                policy_address_to_string(masked, network), peer->prefix_len,
                policy_address_to_string(peer->address, host));
}

static int parse_prefix(RuleParser *p, Word w, const char *slash, PolicyPeer *ret) {
        Word address = { w.s, slash ? (size_t)(slash - w.s) : w.n };
        PolicyPeer peer = { .type = POLICY_PEER_PREFIX };
        bool mapped = memchr(address.s, ':', address.n);
        unsigned length, max;

        if (!word_to_address(address, peer.address))
                return fail_address(p, address.n > 0 ? address : w);
        peer.family = address_is_v4(peer.address) ? AF_INET : AF_INET6;
        mapped = mapped && peer.family == AF_INET;
        max = peer.family == AF_INET && !mapped ? 32 : 128;
        length = max;
        if (slash) {
                Word number = { slash + 1, w.n - address.n - 1 };

                if (!word_to_number(number, max, &length))
                        return RULE_FAIL(p, number.s, -EINVAL, "bad-prefix",
                                "\"%s\" is not a prefix length (0-%u)", QUOTE_WORD(number), max);
        }
        if (mapped && length >= V4_OFFSET)
                length -= V4_OFFSET;
        else if (mapped)
                /* Shorter than the mark of a mapped address: a prefix of IPv6, with bits behind it. */
                peer.family = AF_INET6;
        peer.prefix_len = (uint8_t)length;
        for (unsigned i = length + (peer.family == AF_INET ? V4_OFFSET : 0); i < 128; i++)
                if (bit_of(peer.address, i))
                        return fail_host_bits(p, w, &peer);

        *ret = peer;
        return 0;
}

static int parse_range(RuleParser *p, Word w, const char *dash, PolicyPeer *ret) {
        Word first = { w.s, (size_t)(dash - w.s) }, last = { dash + 1, w.n - first.n - 1 };
        PolicyPeer peer = { .type = POLICY_PEER_RANGE };
        int length;

        if (!word_to_address(first, peer.address))
                return fail_address(p, first);
        if (!word_to_address(last, peer.last))
                return RULE_FAIL(p, last.s, -EINVAL, "bad-range",
                        "\"%s\" is not an address (a range is ADDRESS-ADDRESS)", QUOTE_WORD(last));
        if (address_is_v4(peer.address) != address_is_v4(peer.last))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-range",
                        "range \"%s\" begins in one address family and ends in the other",
                        QUOTE_WORD(w));
        if (memcmp(peer.address, peer.last, sizeof(peer.last)) > 0)
                return RULE_FAIL(p, w.s, -EINVAL, "bad-range", "range \"%s\" ends before it begins",
                        QUOTE_WORD(w));
        peer.family = address_is_v4(peer.address) ? AF_INET : AF_INET6;

        length = range_prefix_len(peer.address, peer.last);
        if (length >= 0) {
                peer.type = POLICY_PEER_PREFIX;
                peer.prefix_len = (uint8_t)(length - (peer.family == AF_INET ? (int)V4_OFFSET : 0));
                memset(peer.last, 0, sizeof(peer.last));
        }

        *ret = peer;
        return 0;
}

/* Is the word one of the well-known sets? */
static bool parse_peer_word(Word w, PolicyPeer *ret) {
        for (PolicyPeerType type = 0; type < _POLICY_PEER_TYPE_MAX; type++) {
                const char *name = policy_peer_type_to_string(type);

                if (!name || !word_is(w, name))
                        continue;
                *ret = (PolicyPeer){ .type = type };
                return true;
        }
        return false;
}

static int parse_list(RuleParser *p, Word w, PolicyPeer *ret) {
        char name[POLICY_ID_MAX + 1];
        char *copy;

        if (!word_copy((Word){ w.s + 1, w.n - 1 }, name, sizeof(name)) ||
                !policy_list_name_is_valid(name))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-list",
                        "\"%s\" cannot be a list: its name is 1-%u letters, digits and . _ -, a "
                        "letter or digit first",
                        QUOTE_WORD(w), POLICY_ID_MAX);
        copy = strdup(name);
        if (!copy)
                return RULE_FAIL(p, w.s, -ENOMEM, "no-memory", "out of memory");

        *ret = (PolicyPeer){ .type = POLICY_PEER_LIST, .list = copy };
        return 0;
}

int rule_parse_network(RuleParser *p, Word w, PolicyPeer *ret) {
        const char *dash = memchr(w.s, '-', w.n);
        uint8_t address[16];

        /* A host name may have dashes and a path slashes: only an address makes them mean something. */
        if (dash && word_to_address((Word){ w.s, (size_t)(dash - w.s) }, address))
                return parse_range(p, w, dash, ret);
        return parse_prefix(p, w, memchr(w.s, '/', w.n), ret);
}

static int parse_peer(RuleParser *p, Word w, PolicyPeer *ret) {
        if (w.n == 0)
                return RULE_FAIL(p, w.s, -EINVAL, "missing-peer", "a peer is missing here");
        if (parse_peer_word(w, ret))
                return 0;
        if (w.s[0] == '@')
                return parse_list(p, w, ret);
        return rule_parse_network(p, w, ret);
}

int rule_add_peer(RuleParser *p, Word w, const PolicyPeer *peer) {
        PolicyRule *rule = p->rule;

        if (rule->n_peers >= POLICY_RULE_PEERS_MAX)
                return RULE_FAIL(p, w.s, -E2BIG, "too-many-peers",
                        "a rule can have %u peers; split it", POLICY_RULE_PEERS_MAX);
        if (rule->n_peers >= p->n_peers_room) {
                size_t room = MAX(p->n_peers_room * 2, (size_t)4);
                PolicyPeer *grown = reallocarray(rule->peers, room, sizeof(*grown));

                if (!grown)
                        return RULE_FAIL(p, w.s, -ENOMEM, "no-memory", "out of memory");
                rule->peers = grown;
                p->n_peers_room = room;
        }
        rule->peers[rule->n_peers++] = *peer;
        return 0;
}

int rule_parse_peers(RuleParser *p, Word list) {
        Word w;

        while (word_split(&list, ',', &w)) {
                PolicyPeer peer = {};
                int r;

                r = parse_peer(p, w, &peer);
                if (r < 0)
                        return r;
                r = rule_add_peer(p, w, &peer);
                if (r < 0) {
                        free(peer.list);
                        return r;
                }
        }
        return 0;
}

bool word_looks_like_peer(Word w) {
        uint8_t address[16];
        size_t n = 0;

        if (w.n > 0 && w.s[0] == '@')
                return true;
        for (const char *const *word = peer_words + 1; *word; word++)
                if (word_is(w, *word))
                        return true;
        while (n < w.n && !strchr(",/-", w.s[n]))
                n++;
        return word_to_address((Word){ w.s, n }, address);
}
