/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rule text to PolicyRule. One pass over the words, left to right; the first thing that is wrong ends it,
 * because what follows a wrong word is rarely what it seems. Nothing is merged; only exact repetitions go.
 */
#include "policy/parse.h"

#include <stdint.h>

#include "policy/parse-private.h"
#include "policy/text.h"
#include "util/macro.h"

const char *const rule_verdict_words[] = { "allow", "deny", "never", NULL };
const char *const rule_direction_words[] = { "in", "out", "bind", NULL };
const char *const rule_peers_words[] = { "to", "from", "via", NULL };

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
        const char *meant = word_meant(w, rule_peers_words);

        if (p->rule->via)
                return fail_after_via(p, w);

        if (word_is_one_of(w, rule_direction_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unexpected-word",
                        "unexpected \"%s\": the direction comes first", QUOTE_WORD(w));
        if (word_is_one_of(w, rule_peers_words))
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
        if (word_is_one_of(w, rule_direction_words)) {
                p->rule->directions = word_to_direction(w);
                w = next_word(p);
        }
        if (w.n > 0 && !word_is_one_of(w, rule_peers_words)) {
                p->cursor = w.s;
                w = next_list(p);
                r = rule_parse_what(p, w);
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
                r = rule_add_service(p, (Word){ p->text, 0 }, POLICY_PROTOCOL_ANY, 0, UINT16_MAX);
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
        if (word_meant(w, rule_verdict_words))
                return RULE_FAIL(p, w.s, -EINVAL, "unknown-verdict",
                        "unknown verdict \"%s\" (did you mean \"%s\"?)", QUOTE_WORD(w),
                        word_meant(w, rule_verdict_words));
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
