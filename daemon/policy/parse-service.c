/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a rule is about: protocols with their ports, and the names of services that stand for them.
 *
 * Nothing is merged that the author kept apart: "80,81" stays two ports, because a narrower range wins
 * over a wider one and so 80-81 would be another policy.
 */
#include <stdint.h>

#include "policy/parse-private.h"
#include "policy/text.h"
#include "util/macro.h"

static const char *const protocol_words[] = {
        "tcp",
        "udp",
        "udplite",
        "sctp",
        "icmp",
        "icmpv6",
        NULL,
};
/* Whatever a rule may go on with after its verdict. */
static const char *const first_words[] = {
        "tcp",
        "udp",
        "udplite",
        "sctp",
        "icmp",
        "icmpv6",
        "any",
        "in",
        "out",
        "bind",
        "to",
        "from",
        "via",
        NULL,
};

int rule_add_service(RuleParser *p, Word w, int protocol, unsigned port_min, unsigned port_max) {
        PolicyRule *rule = p->rule;

        if (rule->n_services >= POLICY_RULE_PORTS_MAX)
                return RULE_FAIL(p, w.s, -E2BIG, "too-many-ports",
                        "a rule can have %u ports and port ranges; split it",
                        POLICY_RULE_PORTS_MAX);
        if (rule->n_services >= p->n_services_room) {
                size_t room = MAX(p->n_services_room * 2, (size_t)4);
                PolicyService *grown = reallocarray(rule->services, room, sizeof(*grown));

                if (!grown)
                        return RULE_FAIL(p, w.s, -ENOMEM, "no-memory", "out of memory");
                rule->services = grown;
                p->n_services_room = room;
        }
        rule->services[rule->n_services++] = (PolicyService){
                .protocol = protocol,
                .port_min = (uint16_t)port_min,
                .port_max = (uint16_t)port_max,
        };
        return 0;
}

static int word_to_protocol(Word w) {
        char buf[8];

        return word_copy(w, buf, sizeof(buf)) ? policy_protocol_from_string(buf) : -EINVAL;
}

static int fail_port(RuleParser *p, Word w) {
        if (w.n == 0)
                return RULE_FAIL(p, w.s, -EINVAL, "bad-port", "a port is missing here");
        if (w.s[0] >= 'a' && w.s[0] <= 'z')
                return RULE_FAIL(p, w.s, -EINVAL, "bad-port",
                        "\"%s\" is not a port (0-65535); the name of a service stands without a protocol",
                        QUOTE_WORD(w));
        return RULE_FAIL(
                p, w.s, -EINVAL, "bad-port", "\"%s\" is not a port (0-65535)", QUOTE_WORD(w));
}

static int parse_ports(RuleParser *p, int protocol, Word list) {
        Word range;

        while (word_split(&list, ',', &range)) {
                const char *dash = memchr(range.s, '-', range.n);
                Word first = { range.s, dash ? (size_t)(dash - range.s) : range.n };
                unsigned port_min, port_max;
                int r;

                if (!word_to_number(first, UINT16_MAX, &port_min))
                        return fail_port(p, first);
                port_max = port_min;
                if (dash) {
                        Word last = { dash + 1, range.n - first.n - 1 };

                        if (!word_to_number(last, UINT16_MAX, &port_max))
                                return fail_port(p, last);
                        if (port_min > port_max)
                                return RULE_FAIL(p, range.s, -EINVAL, "bad-port",
                                        "ports \"%s\" end before they begin (did you mean "
                                        "\"%u-%u\"?)",
                                        QUOTE_WORD(range), port_max, port_min);
                }
                r = rule_add_service(p, range, protocol, port_min, port_max);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fail_protocol(RuleParser *p, Word protocol, Word ports) {
        const char *meant = word_meant(protocol, protocol_words);

        if (protocol.n == 0)
                return RULE_FAIL(
                        p, protocol.s, -EINVAL, "unknown-protocol", "a protocol is missing here");
        if (word_is(protocol, "any"))
                return RULE_FAIL(p, protocol.s, -EINVAL, "ports-not-allowed",
                        "\"any\" takes no ports and no other protocol (write \"tcp/...\" or "
                        "\"udp/...\")");
        if (word_is_digits(protocol) && word_to_protocol(ports) >= 0 && !word_is_digits(ports))
                return RULE_FAIL(p, protocol.s, -EINVAL, "bad-protocol",
                        "the protocol comes before the port (did you mean \"%s/%s\"?)",
                        QUOTE_WORD(ports), QUOTE_WORD(protocol));
        if (word_is_digits(protocol) && protocol.s[0] != '0')
                return RULE_FAIL(p, protocol.s, -EINVAL, "bad-protocol",
                        "\"%s\" is not a protocol number (0-255); a port is written \"tcp/443\"",
                        QUOTE_WORD(protocol));
        if (protocol.s[0] >= '0' && protocol.s[0] <= '9')
                return RULE_FAIL(p, protocol.s, -EINVAL, "bad-protocol",
                        "\"%s\" is not a protocol number (0-255)", QUOTE_WORD(protocol));
        if (meant)
                return RULE_FAIL(p, protocol.s, -EINVAL, "unknown-protocol",
                        "unknown protocol \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(protocol),
                        meant);
        return RULE_FAIL(p, protocol.s, -EINVAL, "unknown-protocol", "unknown protocol \"%s\"",
                QUOTE_WORD(protocol));
}

/* proto[/ports], and more of them behind a "+": the written-out form of a service name. */
static int parse_protocols(RuleParser *p, Word what) {
        Word item;

        while (word_split(&what, '+', &item)) {
                Word rest = item, name = {}, ports = {};
                const char *slash = memchr(item.s, '/', item.n);
                int protocol, r;

                name = (Word){ item.s, slash ? (size_t)(slash - item.s) : item.n };
                ports = (Word){ slash ? slash + 1 : item.s + item.n,
                        slash ? rest.n - name.n - 1 : 0 };
                protocol = word_to_protocol(name);
                if (protocol < 0)
                        return fail_protocol(p, name, ports);
                if (!slash) {
                        r = rule_add_service(p, item, protocol, 0, UINT16_MAX);
                } else if (!policy_protocol_has_ports(protocol)) {
                        r = RULE_FAIL(p, ports.s, -EINVAL, "ports-not-allowed",
                                "\"%s\" has no ports (tcp, udp, udplite and sctp have)",
                                QUOTE_WORD(name));
                } else
                        r = parse_ports(p, protocol, ports);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fail_what(RuleParser *p, Word w) {
        const char *meant = word_meant(w, first_words);

        if (word_is_one_of(w, rule_verdict_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": the verdict is stated already", QUOTE_WORD(w));
        if (word_is_one_of(w, rule_direction_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": a rule has one direction, or none for both",
                        QUOTE_WORD(w));
        if (meant &&
                (word_is_one_of((Word){ meant, strlen(meant) }, rule_direction_words) ||
                        word_is_one_of((Word){ meant, strlen(meant) }, rule_peers_words)))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unknown word \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w), meant);
        if (meant)
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-protocol",
                        "unknown protocol \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w), meant);
        if (word_is(w, "port") || memchr(w.s, ':', w.n))
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-protocol",
                        "\"%s\" is no protocol; a port is written \"tcp/443\"", QUOTE_WORD(w));
        if (!p->services)
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-protocol",
                        "unknown protocol \"%s\" (names of services are not available here)",
                        QUOTE_WORD(w));
        return RULE_FAIL(p, w.s, -EINVAL, "unknown-service",
                "\"%s\" is neither a protocol nor a service of this host", QUOTE_WORD(w));
}

/* 1 if the word is a service's name, 0 if not. */
static int parse_service(RuleParser *p, Word w) {
        PolicyService found[POLICY_RULE_PORTS_MAX];
        char name[WORD_COPY_SIZE];
        int n;

        if (!p->services || !word_copy(w, name, sizeof(name)))
                return 0;
        n = p->services->lookup(p->services->userdata, name, found, ELEMENTSOF(found));
        if (n == -ENOENT || n == 0)
                return 0;
        if (n < 0)
                return RULE_FAIL(p, w.s, n == -ENOMEM ? -ENOMEM : -EINVAL, "service-lookup",
                        "cannot look service \"%s\" up: %s", name, strerror(-n));
        if ((size_t)n > ELEMENTSOF(found))
                return RULE_FAIL(p, w.s, -E2BIG, "too-many-ports",
                        "service \"%s\" has more than %u ports", name, POLICY_RULE_PORTS_MAX);
        for (int i = 0; i < n; i++) {
                int r;

                if (!policy_protocol_has_ports(found[i].protocol) ||
                        found[i].port_min > found[i].port_max)
                        return RULE_FAIL(p, w.s, -EINVAL, "service-lookup",
                                "service \"%s\" has a port of a protocol without ports", name);
                r = rule_add_service(p, w, found[i].protocol, found[i].port_min, found[i].port_max);
                if (r < 0)
                        return r;
        }
        return 1;
}

int rule_parse_what(RuleParser *p, Word w) {
        Word protocol = { w.s, 0 };
        int r;

        if (word_is(w, "any"))
                return rule_add_service(p, w, POLICY_PROTOCOL_ANY, 0, UINT16_MAX);
        if (word_looks_like_peer(w))
                return RULE_FAIL(p, w.s, -EINVAL, "missing-direction",
                        "peer \"%s\" needs \"to\" or \"from\" before it", QUOTE_WORD(w));
        while (protocol.n < w.n && !strchr("/+", w.s[protocol.n]))
                protocol.n++;
        if (word_to_protocol(protocol) >= 0)
                return parse_protocols(p, w);
        /* Services may be called "3com-tsmux" or "whois++": ask before calling it a wrong number. */
        r = parse_service(p, w);
        if (r != 0)
                return MIN(r, 0);
        if (protocol.n < w.n || (*w.s >= '0' && *w.s <= '9'))
                return parse_protocols(p, w);
        return fail_what(p, w);
}
