/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rule text to PolicyRule. One pass over the words, left to right; the first thing that is wrong ends it,
 * because what follows a wrong word is rarely what it seems.
 *
 * Nothing is merged that the author kept apart: "80,81" stays two ports, because a narrower range wins
 * over a wider one and so 80-81 would be another policy. Only exact repetitions go.
 */
#include "policy/parse.h"

#include <netinet/in.h>
#include <stdint.h>

#include "policy/parse-private.h"
#include "policy/text.h"
#include "util/macro.h"

static const char *const verdict_words[] = { "allow", "deny", "never", NULL };
static const char *const direction_words[] = { "in", "out", "bind", NULL };
static const char *const peers_words[] = { "to", "from", "via", NULL };
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

static void skip_spaces(RuleParser *p) {
        p->cursor += strspn(p->cursor, " ");
}

/* The next run of characters without a space; empty at the end of the text. */
static Word next_word(RuleParser *p) {
        Word w;

        skip_spaces(p);
        w = (Word){ p->cursor, strcspn(p->cursor, " ") };
        p->cursor += w.n;
        return w;
}

/* As next_word(), but spaces around a comma do not end it. */
static Word next_list(RuleParser *p) {
        Word list = next_word(p);

        for (;;) {
                const char *end = p->cursor;

                skip_spaces(p);
                if (*p->cursor != '\0' && list.n > 0 && (*p->cursor == ',' || end[-1] == ',')) {
                        Word w = next_word(p);

                        list.n = (size_t)(w.s + w.n - list.s);
                } else {
                        p->cursor = end;
                        return list;
                }
        }
}

static int check_text(RuleParser *p) {
        size_t n = 0;

        for (const char *c = p->text; *c; c++, n++) {
                if (n >= POLICY_RULE_TEXT_MAX)
                        return RULE_FAIL(p, p->text, -E2BIG, "rule-too-long",
                                "rule is longer than %u bytes; split it", POLICY_RULE_TEXT_MAX);
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return RULE_FAIL(p, c, -EINVAL, "bad-character",
                                "control character 0x%02x in a rule", (unsigned)*c);
                if ((unsigned char)*c >= 0x80)
                        return RULE_FAIL(p, c, -EINVAL, "bad-character",
                                "character outside ASCII in a rule");
        }
        return 0;
}

static int add_service(RuleParser *p, Word w, int protocol, unsigned port_min, unsigned port_max) {
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
                r = add_service(p, range, protocol, port_min, port_max);
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
                        r = add_service(p, item, protocol, 0, UINT16_MAX);
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

        if (word_is_one_of(w, verdict_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": the verdict is stated already", QUOTE_WORD(w));
        if (word_is_one_of(w, direction_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": a rule has one direction, or none for both",
                        QUOTE_WORD(w));
        if (meant &&
                (word_is_one_of((Word){ meant, strlen(meant) }, direction_words) ||
                        word_is_one_of((Word){ meant, strlen(meant) }, peers_words)))
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
                r = add_service(p, w, found[i].protocol, found[i].port_min, found[i].port_max);
                if (r < 0)
                        return r;
        }
        return 1;
}

static int parse_what(RuleParser *p, Word w) {
        Word protocol = { w.s, 0 };
        int r;

        if (word_is(w, "any"))
                return add_service(p, w, POLICY_PROTOCOL_ANY, 0, UINT16_MAX);
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

static unsigned word_to_direction(Word w) {
        if (word_is(w, "bind"))
                return POLICY_DIRECTION_BIND;
        return word_is(w, "in") ? POLICY_DIRECTION_IN : POLICY_DIRECTION_OUT;
}

static int parse_to_from(RuleParser *p, Word w) {
        bool to = word_is(w, "to"), bind = p->rule->directions == POLICY_DIRECTION_BIND;
        unsigned implied = bind && to ? POLICY_DIRECTION_BIND
                : to                  ? POLICY_DIRECTION_OUT
                                      : POLICY_DIRECTION_IN;
        Word list;

        if (bind && !to)
                return RULE_FAIL(p, w.s, -EINVAL, "direction-conflict",
                        "\"from\" does not go with \"bind\": nobody has called yet (\"to ADDRESS\" "
                        "is the local address; who may call says an \"in\" rule)");
        if (p->rule->directions != 0 && p->rule->directions != implied)
                return RULE_FAIL(p, w.s, -EINVAL, "direction-conflict",
                        "\"%s\" does not go with \"%s\" (did you mean \"%s\"?)", to ? "to" : "from",
                        to ? "in" : "out", to ? "from" : "to");
        p->rule->directions = implied;
        list = next_list(p);
        if (list.n == 0)
                return RULE_FAIL(p, list.s, -EINVAL, "missing-peer",
                        "a peer is missing after \"%s\"", to ? "to" : "from");
        return rule_parse_peers(p, list);
}

static int fail_interface(RuleParser *p, Word w) {
        if (w.n == 0)
                return RULE_FAIL(p, w.s, -EINVAL, "missing-interface",
                        "an interface is missing after \"via\"");
        if (word_is(w, "any"))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-interface",
                        "a rule without \"via\" holds on any interface");
        if (memchr(w.s, ',', w.n))
                return RULE_FAIL(p, w.s, -EINVAL, "bad-interface",
                        "\"%s\" is not an interface; a rule names one (write one rule for each)",
                        QUOTE_WORD(w));
        if (memchr(w.s, '*', w.n) || w.s[w.n - 1] == '+')
                return RULE_FAIL(p, w.s, -EINVAL, "bad-interface",
                        "\"%s\" is a pattern; interfaces are named in full, also by an altname "
                        "(\"ip link property add dev eth0 altname NAME\")",
                        QUOTE_WORD(w));
        return RULE_FAIL(p, w.s, -EINVAL, "bad-interface",
                "\"%s\" cannot be the name of an interface", QUOTE_WORD(w));
}

static int parse_via(RuleParser *p, Word via) {
        char name[POLICY_INTERFACE_MAX + 1];
        Word w;

        if (p->rule->directions == POLICY_DIRECTION_BIND)
                return RULE_FAIL(p, via.s, -EINVAL, "direction-conflict",
                        "\"via\" does not go with \"bind\": a port is bound to an address (\"to "
                        "ADDRESS\"), not to an interface");
        w = next_list(p);
        if (!word_copy(w, name, sizeof(name)) || !policy_interface_name_is_valid(name))
                return fail_interface(p, w);
        p->rule->via = strdup(name);
        if (!p->rule->via)
                return RULE_FAIL(p, w.s, -ENOMEM, "no-memory", "out of memory");
        return 0;
}

/* What follows the interface, which comes last. */
static int fail_after_via(RuleParser *p, Word w) {
        if (word_is(w, "via"))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"via\": a rule names one interface");
        return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                "unexpected \"%s\": \"via\" and the interface come last", QUOTE_WORD(w));
}

static int fail_rest(RuleParser *p, Word w) {
        const char *meant = word_meant(w, peers_words);

        if (p->rule->via)
                return fail_after_via(p, w);

        if (word_is_one_of(w, direction_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": the direction comes first", QUOTE_WORD(w));
        if (word_is_one_of(w, peers_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": a rule has one \"to\" or \"from\"", QUOTE_WORD(w));
        if (p->rule->n_peers == 0 && word_looks_like_peer(w))
                return RULE_FAIL(p, w.s, -EINVAL, "missing-direction",
                        "peer \"%s\" needs \"to\" or \"from\" before it", QUOTE_WORD(w));
        if (p->rule->n_peers == 0 && meant)
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w), meant);
        if (p->rule->n_peers == 0 && word_is_digits(w))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": a port is written behind its protocol (\"tcp/443\")",
                        QUOTE_WORD(w));
        if (p->rule->n_peers > 0 && meant && streq(meant, "via"))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\" (did you mean \"via\"?)", QUOTE_WORD(w));
        return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                "unexpected \"%s\" (a rule is [in|out|bind] [PROTOCOL[/PORTS]] [to|from PEERS] "
                "[via INTERFACE])",
                QUOTE_WORD(w));
}

/* Only what has ports can be bound. */
static int check_bind(RuleParser *p, Word what) {
        if (p->rule->directions != POLICY_DIRECTION_BIND)
                return 0;
        for (size_t i = 0; i < p->rule->n_services; i++) {
                int protocol = p->rule->services[i].protocol;
                char buf[8];

                if (protocol != POLICY_PROTOCOL_ANY && !policy_protocol_has_ports(protocol))
                        return RULE_FAIL(p, what.s, -EINVAL, "ports-not-allowed",
                                "\"%s\" has no ports to bind (tcp, udp, udplite and sctp have; "
                                "\"any\" is all of them)",
                                policy_protocol_to_string(protocol, buf));
        }
        return 0;
}

static int parse_words(RuleParser *p) {
        Word w = next_word(p);
        int r;

        if (w.n == 0)
                return RULE_FAIL(p, w.s, -EINVAL, "empty-rule",
                        "the rule is empty (\"any\" stands for everything)");
        if (word_is_one_of(w, direction_words)) {
                p->rule->directions = word_to_direction(w);
                w = next_word(p);
        }
        if (w.n > 0 && !word_is_one_of(w, peers_words)) {
                p->cursor = w.s;
                w = next_list(p);
                r = parse_what(p, w);
                if (r < 0)
                        return r;
                r = check_bind(p, w);
                if (r < 0)
                        return r;
                w = next_word(p);
        }
        if (word_is(w, "to") || word_is(w, "from")) {
                r = parse_to_from(p, w);
                if (r < 0)
                        return r;
                w = next_word(p);
        }
        if (word_is(w, "via")) {
                r = parse_via(p, w);
                if (r < 0)
                        return r;
                w = next_word(p);
        }
        return w.n > 0 ? fail_rest(p, w) : 0;
}

/* What was not said. */
static int add_implied(RuleParser *p) {
        PolicyRule *rule = p->rule;
        int r;

        if (rule->directions == 0)
                rule->directions = POLICY_DIRECTION_IN | POLICY_DIRECTION_OUT;
        if (rule->n_services == 0) {
                r = add_service(p, (Word){ p->text, 0 }, POLICY_PROTOCOL_ANY, 0, UINT16_MAX);
                if (r < 0)
                        return r;
        }
        if (rule->n_peers > 0)
                return 0;
        return rule_add_peer(p, (Word){ p->text, 0 }, &(PolicyPeer){ .type = POLICY_PEER_ANY });
}

static int compare_services(const void *a, const void *b) {
        const PolicyService *x = a, *y = b;

        if (x->protocol != y->protocol)
                return x->protocol < y->protocol ? -1 : 1;
        if (x->port_min != y->port_min)
                return x->port_min < y->port_min ? -1 : 1;
        return x->port_max < y->port_max ? -1 : x->port_max > y->port_max;
}

static int compare_peers(const void *a, const void *b) {
        const PolicyPeer *x = a, *y = b;
        int d;

        if (x->type != y->type)
                return x->type < y->type ? -1 : 1;
        if (x->family != y->family)
                return x->family < y->family ? -1 : 1;
        d = memcmp(x->address, y->address, sizeof(x->address));
        if (d != 0)
                return d;
        if (x->prefix_len != y->prefix_len)
                return x->prefix_len < y->prefix_len ? -1 : 1;
        d = memcmp(x->last, y->last, sizeof(x->last));
        return d != 0 ? d : strcmp(strempty(x->list), strempty(y->list));
}

/* Sorts, and takes out what is there twice. */
static void make_canonical(PolicyRule *rule) {
        size_t n = 0;

        qsort(rule->services, rule->n_services, sizeof(*rule->services), compare_services);
        for (size_t i = 0; i < rule->n_services; i++)
                if (n == 0 || compare_services(rule->services + n - 1, rule->services + i) != 0)
                        rule->services[n++] = rule->services[i];
        rule->n_services = n;

        n = 0;
        qsort(rule->peers, rule->n_peers, sizeof(*rule->peers), compare_peers);
        for (size_t i = 0; i < rule->n_peers; i++)
                if (n == 0 || compare_peers(rule->peers + n - 1, rule->peers + i) != 0)
                        rule->peers[n++] = rule->peers[i];
                else
                        free(rule->peers[i].list);
        rule->n_peers = n;
}

static int parse_text(RuleParser *p) {
        int r;

        r = parse_words(p);
        if (r < 0)
                return r;
        r = add_implied(p);
        if (r < 0)
                return r;
        make_canonical(p->rule);
        p->rule->text = policy_rule_to_body(p->rule);
        if (!p->rule->text)
                return RULE_FAIL(p, p->text, -ENOMEM, "no-memory", "out of memory");
        /* What is stored must be readable again: names and numbers may have grown. */
        if (strlen(p->rule->text) > POLICY_RULE_TEXT_MAX)
                return RULE_FAIL(p, p->text, -E2BIG, "rule-too-long",
                        "rule is longer than %u bytes when it is written out; split it",
                        POLICY_RULE_TEXT_MAX);
        return 0;
}

static int parse_start(RuleParser *p) {
        p->cursor = p->text;
        p->rule = calloc(1, sizeof(*p->rule));
        if (!p->rule)
                return RULE_FAIL(p, p->text, -ENOMEM, "no-memory", "out of memory");
        p->rule->source = (PolicySource){ .path = p->path, .line = p->line, .column = p->column };
        return check_text(p);
}

static int parse_verdict(RuleParser *p) {
        Word w = next_word(p);

        for (PolicyVerdict v = 0; v < _POLICY_VERDICT_MAX; v++)
                if (word_is(w, policy_verdict_to_string(v))) {
                        p->rule->verdict = v;
                        return 0;
                }
        if (w.n == 0)
                return RULE_FAIL(p, w.s, -EINVAL, "empty-rule",
                        "the rule is empty (write \"allow\", \"deny\" or \"never\" and what)");
        if (word_meant(w, verdict_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-verdict",
                        "unknown verdict \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w),
                        word_meant(w, verdict_words));
        return RULE_FAIL(p, w.s, -EINVAL, "unknown-verdict",
                "unknown verdict \"%s\" (a rule begins with \"allow\", \"deny\" or \"never\")",
                QUOTE_WORD(w));
}

int policy_parse_body(PolicyVerdict verdict, const char *body, const char *path, unsigned line,
        unsigned column, const PolicyServices *services, PolicyDiags *diags, PolicyRule **ret) {
        RuleParser p = {
                .text = body,
                .path = path,
                .line = line,
                .column = column,
                .services = services,
                .diags = diags,
        };
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        int r;

        assert(body);
        assert(ret);

        r = parse_start(&p);
        rule = p.rule;
        if (r < 0)
                return r;
        rule->verdict = verdict;
        r = parse_text(&p);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(rule);
        return 0;
}

int policy_parse_rule(const char *text, const char *path, unsigned line, unsigned column,
        const PolicyServices *services, PolicyDiags *diags, PolicyRule **ret) {
        RuleParser p = {
                .text = text,
                .path = path,
                .line = line,
                .column = column,
                .services = services,
                .diags = diags,
        };
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        int r;

        assert(text);
        assert(ret);

        r = parse_start(&p);
        rule = p.rule;
        if (r < 0)
                return r;
        r = parse_verdict(&p);
        if (r < 0)
                return r;
        r = parse_text(&p);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(rule);
        return 0;
}
