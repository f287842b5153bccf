/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The compiler: precedence as a table of cases, and agreement with the reference evaluator at
 * random. */
#include <stdio.h>

#include "policy-random.h"
#include "policy-test.h"
#include "policy-texts.h"
#include "policy/eval.h"
#include "policy/image.h"

#define A POLICY_DEFAULT_ALLOW
#define D POLICY_DEFAULT_DENY

/* rule: index into texts, or -1 for the default. */
typedef struct Case {
        const char *name;
        const char *texts[TEXT_RULES_MAX];
        PolicyDefault def;
        unsigned view;
        const char *remote;
        int protocol;
        uint16_t port;
        int rule;
} Case;

static const Case cases[] = {
        /* No rule: the default, of each direction. */
        { "default out", {}, A, CGP_VIEW_OUT, "192.0.2.1", 6, 80, -1 },
        { "default in", {}, D, CGP_VIEW_IN, "2001:db8::1", 6, 80, -1 },
        { "default in, sent to multicast", {}, D, CGP_VIEW_IN_MULTICAST, "192.0.2.1", 17, 5353,
                -1 },
        { "no match", { "deny out tcp/80" }, A, CGP_VIEW_OUT, "192.0.2.1", 6, 81, -1 },
        { "other protocol", { "deny out tcp/80" }, A, CGP_VIEW_OUT, "192.0.2.1", 17, 80, -1 },
        { "other direction", { "deny out tcp/80" }, A, CGP_VIEW_IN, "192.0.2.1", 6, 80, -1 },
        { "both directions, out", { "deny tcp/80" }, A, CGP_VIEW_OUT, "192.0.2.1", 6, 80, 0 },
        { "both directions, in", { "deny tcp/80" }, A, CGP_VIEW_IN, "192.0.2.1", 6, 80, 0 },
        /* Order does not matter, the longer prefix does. */
        { "longer prefix allows", { "deny out any to 10.0.0.0/8", "allow out any to 10.1.2.3" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 1 },
        { "longer prefix allows, other order",
                { "allow out any to 10.1.2.3", "deny out any to 10.0.0.0/8" }, A, CGP_VIEW_OUT,
                "10.1.2.3", 6, 80, 0 },
        { "beside it", { "deny out any to 10.0.0.0/8", "allow out any to 10.1.2.3" }, A,
                CGP_VIEW_OUT, "10.1.2.4", 6, 80, 0 },
        { "after it", { "deny out any to 10.0.0.0/8", "allow out any to 10.1.2.3" }, D,
                CGP_VIEW_OUT, "11.0.0.0", 6, 80, -1 },
        { "longer prefix before narrower ports",
                { "deny out tcp/80 to 10.0.0.0/8", "allow out tcp to 10.0.0.0/9" }, A, CGP_VIEW_OUT,
                "10.1.2.3", 6, 80, 1 },
        { "longer prefix before named protocol",
                { "deny out tcp to 10.0.0.0/8", "allow out any to 10.0.0.0/9" }, A, CGP_VIEW_OUT,
                "10.1.2.3", 6, 80, 1 },
        { "IPv6 prefix", { "allow in any from 2001:db8::/32", "deny in any from 2001:db8::/33" }, A,
                CGP_VIEW_IN, "2001:db8::1", 6, 80, 1 },
        /* Then the narrower port range, then the named protocol, then deny, then the number. */
        { "narrower ports", { "deny out tcp/1-1024", "allow out tcp/80-81" }, A, CGP_VIEW_OUT,
                "192.0.2.1", 6, 81, 1 },
        { "narrower ports, same rule twice", { "allow out tcp/1-1024,80", "deny out tcp/1-100" }, A,
                CGP_VIEW_OUT, "192.0.2.1", 6, 80, 0 },
        { "narrower ports, the rest", { "allow out tcp/1-1024,80", "deny out tcp/1-100" }, A,
                CGP_VIEW_OUT, "192.0.2.1", 6, 81, 1 },
        { "named protocol", { "deny out any", "allow out tcp" }, A, CGP_VIEW_OUT, "192.0.2.1", 6,
                80, 1 },
        { "protocol without ports", { "deny out any", "allow out icmp" }, A, CGP_VIEW_OUT,
                "192.0.2.1", 1, 0, 1 },
        { "protocol by number", { "deny out any", "allow out 47" }, A, CGP_VIEW_OUT, "192.0.2.1",
                47, 0, 1 },
        { "deny wins a tie", { "allow out tcp/80", "deny out tcp/80" }, A, CGP_VIEW_OUT,
                "192.0.2.1", 6, 80, 1 },
        { "deny wins a tie of partly equal rules", { "allow out tcp/80,443", "deny out tcp/443" },
                A, CGP_VIEW_OUT, "192.0.2.1", 6, 443, 1 },
        { "smaller number", { "deny out tcp/80", "deny out tcp/80 to any" }, A, CGP_VIEW_OUT,
                "192.0.2.1", 6, 80, 0 },
        /* any, an absent peer and /0 are equal; no port is 0-65535. */
        { "absent peer ties with /0", { "allow out tcp to 0.0.0.0/0", "deny out tcp" }, A,
                CGP_VIEW_OUT, "192.0.2.1", 6, 80, 1 },
        { "no port ties with all", { "allow out tcp/0-65535", "deny out tcp" }, A, CGP_VIEW_OUT,
                "192.0.2.1", 6, 80, 1 },
        { "::/0 is not IPv4", { "deny out any to ::/0" }, A, CGP_VIEW_OUT, "192.0.2.1", 6, 80, -1 },
        { "::/0 is IPv6", { "deny out any to ::/0" }, A, CGP_VIEW_OUT, "::1", 6, 80, 0 },
        { "0.0.0.0/0 is not IPv6", { "deny out any to 0.0.0.0/0" }, A, CGP_VIEW_OUT, "::", 6, 80,
                -1 },
        { "v4-mapped is IPv4", { "deny out any to 192.0.2.0/24" }, A, CGP_VIEW_OUT,
                "::ffff:192.0.2.1", 6, 80, 0 },
        /* A range counts as the prefixes that cover it. */
        { "range, a /31 of it",
                { "deny out any to 10.0.0.1-10.0.0.3", "allow out any to 10.0.0.2/31" }, A,
                CGP_VIEW_OUT, "10.0.0.2", 6, 80, 0 },
        { "range, a /32 of it",
                { "deny out any to 10.0.0.1-10.0.0.3", "allow out any to 10.0.0.0/31" }, A,
                CGP_VIEW_OUT, "10.0.0.1", 6, 80, 0 },
        { "range, inside a /31 of it",
                { "deny out any to 10.0.0.1-10.0.0.3", "allow out any to 10.0.0.3" }, A,
                CGP_VIEW_OUT, "10.0.0.3", 6, 80, 1 },
        { "range, before", { "deny out any to 10.0.0.1-10.0.0.3" }, A, CGP_VIEW_OUT, "10.0.0.0", 6,
                80, -1 },
        { "range, after", { "deny out any to 10.0.0.1-10.0.0.3" }, A, CGP_VIEW_OUT, "10.0.0.4", 6,
                80, -1 },
        { "range of everything", { "deny out any to ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
                A, CGP_VIEW_OUT, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6, 80, 0 },
        /* Names. */
        { "localhost IPv4", { "deny out any to localhost" }, A, CGP_VIEW_OUT, "127.255.255.255", 6,
                80, 0 },
        { "localhost IPv6", { "deny out any to localhost" }, A, CGP_VIEW_OUT, "::1", 6, 80, 0 },
        { "not localhost", { "deny out any to localhost" }, A, CGP_VIEW_OUT, "::2", 6, 80, -1 },
        { "link-local IPv4", { "deny out any to link-local" }, A, CGP_VIEW_OUT, "169.254.0.0", 6,
                80, 0 },
        { "link-local IPv6", { "deny out any to link-local" }, A, CGP_VIEW_OUT, "febf::1", 6, 80,
                0 },
        { "not link-local", { "deny out any to link-local" }, A, CGP_VIEW_OUT, "fec0::1", 6, 80,
                -1 },
        { "multicast out", { "deny out any to multicast" }, A, CGP_VIEW_OUT, "239.255.255.255", 17,
                80, 0 },
        { "multicast out IPv6", { "deny out any to multicast" }, A, CGP_VIEW_OUT, "ff02::fb", 17,
                80, 0 },
        { "not multicast", { "deny out any to multicast" }, A, CGP_VIEW_OUT, "240.0.0.0", 17, 80,
                -1 },
        /* In an in-rule, multicast is the destination. */
        { "from multicast, sent to us", { "deny in any from multicast" }, A, CGP_VIEW_IN,
                "192.0.2.1", 17, 80, -1 },
        { "from multicast, claims to come from it", { "deny in any from multicast" }, A,
                CGP_VIEW_IN, "224.0.0.1", 17, 80, -1 },
        { "from multicast, sent to multicast", { "deny in any from multicast" }, A,
                CGP_VIEW_IN_MULTICAST, "192.0.2.1", 17, 80, 0 },
        { "from multicast, IPv6", { "deny in any from multicast" }, A, CGP_VIEW_IN_MULTICAST,
                "2001:db8::1", 17, 80, 0 },
        { "from multicast counts as /4",
                { "deny in any from multicast", "allow in any from 192.0.0.0/4" }, A,
                CGP_VIEW_IN_MULTICAST, "192.0.2.1", 17, 80, 0 },
        { "from multicast counts as no /5",
                { "deny in any from multicast", "allow in any from 192.0.0.0/5" }, A,
                CGP_VIEW_IN_MULTICAST, "192.0.2.1", 17, 80, 1 },
        { "from multicast counts as more than /3",
                { "allow in any from multicast", "deny in any from 192.0.0.0/3" }, A,
                CGP_VIEW_IN_MULTICAST, "192.0.2.1", 17, 80, 0 },
        { "from multicast counts as /8 in IPv6",
                { "allow in any from multicast", "deny in any from 2000::/7" }, A,
                CGP_VIEW_IN_MULTICAST, "2001:db8::1", 17, 80, 0 },
        { "others hold for multicast too", { "deny in udp/5353" }, A, CGP_VIEW_IN_MULTICAST,
                "192.0.2.1", 17, 5353, 0 },
        /* Layers, top down. */
        { "higher layer", { "2 deny out tcp/80 to 10.1.2.3", "0 allow out any" }, A, CGP_VIEW_OUT,
                "10.1.2.3", 6, 80, 1 },
        { "profile ranks below its layer", { "1 deny out tcp/80", "0 allow out any" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 1 },
        { "higher layer without a match", { "2 deny out tcp/80", "0 allow out udp" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 0 },
        /* Never. */
        { "never beats a higher layer", { "7 never out any", "0 allow out tcp/80 to 10.1.2.3" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 0 },
        { "never beats the narrower", { "never out any", "allow out tcp/80 to 10.1.2.3" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 0 },
        { "never below an allow of a longer prefix",
                { "allow out any to 10.1.0.0/16", "never out tcp/80",
                        "deny out any to 10.1.2.0/24" },
                A, CGP_VIEW_OUT, "10.1.2.3", 6, 80, 1 },
        { "never beats deny", { "deny out tcp/80 to 10.1.2.3", "never out any" }, A, CGP_VIEW_OUT,
                "10.1.2.3", 6, 80, 1 },
        { "the most specific never", { "never out any", "never out tcp/80", "never out udp/80" }, A,
                CGP_VIEW_OUT, "10.1.2.3", 6, 80, 1 },
        { "elsewhere never says nothing", { "never out any to 10.0.0.0/8" }, A, CGP_VIEW_OUT,
                "11.0.0.0", 6, 80, -1 },
};

static unsigned verdict_to_action(PolicyVerdict verdict) {
        return verdict == POLICY_ALLOW   ? CGP_ACTION_ALLOW
                : verdict == POLICY_DENY ? CGP_ACTION_DENY
                                         : CGP_ACTION_NEVER;
}

static PolicyImage *compile(const PolicyStack *stack) {
        PolicyCompileInput input = random_input(stack, NULL);
        PolicyImage *image = NULL;

        assert_int_equal(policy_compile(&input, NULL, &image), 0);
        return image;
}

static void test_precedence(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = &cases[i];
                _cleanup_(text_stack_done) TextStack s = {};
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                RandomQuestion q = {
                        .view = c->view,
                        .protocol = c->protocol,
                        .port = c->port,
                };
                struct cgp_verdict verdict;
                const PolicyEntry *entry;
                unsigned action, expected, rule;

                text_stack_init(&s, c->def, c->def, POLICY_MODE_ENFORCE, c->texts);
                image = compile(&s.stack);
                address_parse(c->remote, q.remote);
                verdict = question_lookup(image, NULL, &q);
                entry = question_eval(&s.stack, NULL, &q, &action);

                if (c->rule < 0) {
                        expected = c->def == A ? CGP_ACTION_ALLOW : CGP_ACTION_DENY;
                        rule = c->view == CGP_VIEW_OUT ? CGP_RULE_DEFAULT_OUT : CGP_RULE_DEFAULT_IN;
                } else {
                        expected = verdict_to_action(s.rules[c->rule]->verdict);
                        rule = CGP_RULE_FIRST + c->rule;
                }
                if (verdict.action != expected || verdict.rule != rule || action != expected ||
                        (entry ? entry - s.entries : -1) != c->rule)
                        fail_msg("%s: image says rule %u, action %u; evaluator rule %d, action %u",
                                c->name, verdict.rule, verdict.action,
                                entry ? (int)(entry - s.entries) : -1, action);
                assert_int_equal(verdict.counter,
                        c->rule >= 0                      ? 100U + c->rule
                                : c->view == CGP_VIEW_OUT ? 1
                                                          : 2);
        }
}

/* The verdict that the evaluator expects in the image. */
static struct cgp_verdict expected_verdict(
        const PolicyCompileInput *input, const RandomQuestion *q) {
        unsigned action;
        const PolicyEntry *entry = question_eval(input->stack, input->host, q, &action);

        return (struct cgp_verdict){
                .counter = entry ? entry->counter : view_default_counter(input, q->view),
                .rule = entry ? entry->number : view_default_rule(q->view),
                .action = action,
        };
}

static void assert_verdict(const struct cgp_verdict *a, const struct cgp_verdict *b, uint64_t seed,
        const RandomQuestion *q) {
        char text[INET6_ADDRSTRLEN];

        if (memcmp(a, b, sizeof(*a)) == 0)
                return;
        inet_ntop(AF_INET6, q->remote, text, sizeof(text));
        fail_msg("seed %llu, view %u, place %u, %s, protocol %u, port %u: image says rule %u, "
                 "action %u, counter %u, evaluator says rule %u, action %u, counter %u",
                (unsigned long long)seed, q->view, q->place, text, q->protocol, q->port, a->rule,
                a->action, a->counter, b->rule, b->action, b->counter);
}

static unsigned n_stacks(unsigned n) {
        const char *factor = getenv("TEST_FACTOR");

        return factor ? n * strtoul(factor, NULL, 10) : n;
}

typedef struct Seen {
        unsigned n_decided;
        unsigned n_never;
        unsigned n_allow;
        unsigned n_places;
        unsigned n_sets;
} Seen;

static void agrees(uint64_t seed, Random *random, const PolicyHost *host, Seen *seen) {
        RandomStack s;
        PolicyCompileInput input = random_input(&s.stack, host);
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;

        random_stack(random, &wide_universe, &s);
        assert_int_equal(policy_compile(&input, NULL, &image), 0);
        seen->n_places += image->config.n_places > 1;
        seen->n_sets += !!(image->config.features & CGP_FEATURE_SETS);
        for (unsigned i = 0; i < 150; i++) {
                RandomQuestion q = random_question(random, &wide_universe, &s, host);
                struct cgp_verdict expected = expected_verdict(&input, &q);
                struct cgp_verdict verdict = question_lookup(image, host, &q);

                assert_verdict(&verdict, &expected, seed, &q);
                seen->n_decided += verdict.rule >= CGP_RULE_FIRST;
                seen->n_never += verdict.action == CGP_ACTION_NEVER;
                seen->n_allow += verdict.action == CGP_ACTION_ALLOW;
        }
}

static void test_random_agrees(void **state) {
        Seen seen = {};

        for (uint64_t seed = 1; seed <= n_stacks(300); seed++) {
                Random random = { .state = seed };
                _cleanup_(random_host_done) RandomHost h = {};

                random_host(&random, &wide_universe, &h);
                for (unsigned i = 0; i < 5; i++)
                        agrees(seed, &random, &h.host, &seen);
        }

        /* The questions must hit something. */
        assert_true(seen.n_decided > 50000);
        assert_true(seen.n_never > 5000);
        assert_true(seen.n_allow > 50000);
        assert_true(seen.n_places > 500);
        assert_true(seen.n_sets > 100);
}

static void test_deterministic(void **state) {
        for (uint64_t seed = 1; seed <= 300; seed++) {
                Random random = { .state = seed }, again;
                _cleanup_(random_host_done) RandomHost h = {}, other = {};
                _cleanup_(policy_image_freep) PolicyImage *a = NULL, *b = NULL;
                PolicyCompileInput x, y;
                RandomStack s, copy;

                again = random;
                random_host(&random, &wide_universe, &h);
                random_host(&again, &wide_universe, &other);
                random_stack(&random, &wide_universe, &s);
                random_stack_copy(&copy, &s);
                x = random_input(&s.stack, &h.host);
                y = random_input(&copy.stack, &other.host);
                /* Another subject's counters and numbers are in its configuration only. */
                y.subject++;
                y.counter_default_in = 900;
                for (size_t i = 0; i < copy.stack.n_entries; i++)
                        copy.entries[i].counter = 2000 - i;

                assert_int_equal(policy_compile(&x, NULL, &a), 0);
                assert_int_equal(policy_compile(&y, NULL, &b), 0);
                assert_true(a->hash != 0);
                assert_true(a->hash != b->hash);
                assert_true(a->tables_hash == b->tables_hash);
                assert_int_equal(a->config.table_size, b->config.table_size);
                assert_memory_equal(a->tables, b->tables, a->config.table_size);
                assert_memory_equal(&a->config.view, &b->config.view, sizeof(a->config.view));

                y = random_input(&s.stack, &h.host);
                y.stack = &copy.stack;
                for (size_t i = 0; i < copy.stack.n_entries; i++)
                        copy.entries[i].counter = s.entries[i].counter;
                b = policy_image_free(b);
                assert_int_equal(policy_compile(&y, NULL, &b), 0);
                assert_true(a->hash == b->hash);
                assert_memory_equal(&a->config, &b->config, sizeof(a->config));
                assert_memory_equal(
                        a->verdicts, b->verdicts, a->config.n_verdicts * sizeof(*a->verdicts));
        }
}

static uint64_t hash_of(const PolicyCompileInput *input) {
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;

        assert_int_equal(policy_compile(input, NULL, &image), 0);
        return image->hash;
}

static void test_hash_tells_apart(void **state) {
        _cleanup_(text_stack_done) TextStack s = {}, t = {};
        PolicyCompileInput a, b;
        uint64_t before;

        text_stack_init(&s, A, D, POLICY_MODE_ENFORCE,
                (const char *const[]){ "allow in tcp/80", "never out any to 10.0.0.0/8", NULL });
        text_stack_init(&t, A, D, POLICY_MODE_ENFORCE,
                (const char *const[]){ "allow in tcp/81", "never out any to 10.0.0.0/8", NULL });
        a = b = random_input(&s.stack, NULL);

        b.generation++;
        assert_true(hash_of(&a) != hash_of(&b));
        b = a;
        b.subject++;
        assert_true(hash_of(&a) != hash_of(&b));
        b = a;
        b.counter_broken++;
        assert_true(hash_of(&a) != hash_of(&b));
        b = a;
        b.stack = &t.stack;
        before = hash_of(&b);
        assert_true(hash_of(&a) != before);
        a = b;
        t.stack.mode = POLICY_MODE_AUDIT;
        assert_true(hash_of(&a) != before);
}

typedef struct ConfigCase {
        const char *name;
        const char *texts[TEXT_RULES_MAX];
        PolicyDefault out;
        PolicyDefault in;
        PolicyMode mode;
        uint32_t features;
        unsigned unparsable_out;
        unsigned unparsable_in;
} ConfigCase;

static const ConfigCase config_cases[] = {
        { "nothing", {}, A, A, POLICY_MODE_ENFORCE, CGP_FEATURE_OPEN, CGP_ACTION_ALLOW,
                CGP_ACTION_ALLOW },
        { "only allows", { "allow tcp/80" }, A, A, POLICY_MODE_ENFORCE, CGP_FEATURE_OPEN,
                CGP_ACTION_ALLOW, CGP_ACTION_ALLOW },
        { "default deny in", {}, A, D, POLICY_MODE_ENFORCE, 0, CGP_ACTION_ALLOW, CGP_ACTION_DENY },
        { "deny out", { "deny out tcp/80" }, A, A, POLICY_MODE_ENFORCE, 0, CGP_ACTION_DENY,
                CGP_ACTION_ALLOW },
        { "a deny that never decides", { "2 deny out tcp/80", "0 allow out any" }, A, A,
                POLICY_MODE_ENFORCE, 0, CGP_ACTION_DENY, CGP_ACTION_ALLOW },
        { "never out", { "never out tcp/80" }, A, A, POLICY_MODE_ENFORCE, CGP_FEATURE_NEVER_OUT,
                CGP_ACTION_DENY, CGP_ACTION_ALLOW },
        { "never in", { "never in tcp/80" }, A, A, POLICY_MODE_ENFORCE, CGP_FEATURE_NEVER_IN,
                CGP_ACTION_ALLOW, CGP_ACTION_DENY },
        { "never from multicast", { "never in udp from multicast" }, A, A, POLICY_MODE_ENFORCE,
                CGP_FEATURE_NEVER_IN, CGP_ACTION_ALLOW, CGP_ACTION_DENY },
        { "never both", { "never tcp/80" }, A, D, POLICY_MODE_AUDIT,
                CGP_FEATURE_NEVER_IN | CGP_FEATURE_NEVER_OUT, CGP_ACTION_DENY, CGP_ACTION_DENY },
        { "audit is not open", {}, D, D, POLICY_MODE_AUDIT, 0, CGP_ACTION_DENY, CGP_ACTION_DENY },
        { "off is open", {}, D, D, POLICY_MODE_OFF, CGP_FEATURE_OPEN, CGP_ACTION_DENY,
                CGP_ACTION_DENY },
};

static void test_config(void **state) {
        static const uint32_t modes[] = {
                [POLICY_MODE_ENFORCE] = CGP_MODE_ENFORCE,
                [POLICY_MODE_AUDIT] = CGP_MODE_AUDIT,
                [POLICY_MODE_OFF] = CGP_MODE_OFF,
        };

        for (size_t i = 0; i < ELEMENTSOF(config_cases); i++) {
                const ConfigCase *c = &config_cases[i];
                _cleanup_(text_stack_done) TextStack s = {};
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                const struct cgp_config *config;

                print_message("# %s\n", c->name);
                text_stack_init(&s, c->out, c->in, c->mode, c->texts);
                image = compile(&s.stack);
                config = &image->config;
                assert_int_equal(config->abi_version, CGP_ABI_VERSION);
                assert_int_equal(config->subject, 7);
                assert_int_equal(config->generation, 42);
                assert_int_equal(config->mode, modes[c->mode]);
                assert_int_equal(config->features, c->features);
                assert_int_equal(config->unparsable_out.action, c->unparsable_out);
                assert_int_equal(config->unparsable_out.rule, CGP_RULE_UNPARSABLE_OUT);
                assert_int_equal(config->unparsable_out.counter, 3);
                assert_int_equal(config->unparsable_in.action, c->unparsable_in);
                assert_int_equal(config->unparsable_in.rule, CGP_RULE_UNPARSABLE_IN);
                assert_int_equal(config->unparsable_in.counter, 4);
                assert_int_equal(config->control.action, CGP_ACTION_ALLOW);
                assert_int_equal(config->control.rule, CGP_RULE_CONTROL);
                assert_int_equal(config->control.counter, 5);
                assert_int_equal(config->broken.action, CGP_ACTION_DENY);
                assert_int_equal(config->broken.rule, CGP_RULE_BROKEN);
                assert_int_equal(config->broken.counter, 6);
        }
}

/* Small policies stay small, and what is equal is stored once. */
static void test_sizes(void **state) {
        _cleanup_(text_stack_done) TextStack empty = {}, one = {}, both = {};
        _cleanup_(policy_image_freep) PolicyImage *a = NULL, *b = NULL, *c = NULL;

        text_stack_init(&empty, A, D, POLICY_MODE_ENFORCE, (const char *const[]){ NULL });
        a = compile(&empty.stack);
        assert_int_equal(a->config.n_nodes, 0);
        assert_int_equal(a->config.n_verdicts, 3);
        assert_int_equal(a->config.n_cells, 3);
        assert_int_equal(a->config.table_size, 64);

        text_stack_init(&one, D, D, POLICY_MODE_ENFORCE,
                (const char *const[]){ "allow out tcp/443", NULL });
        b = compile(&one.stack);
        assert_int_equal(b->config.n_nodes, 0);
        assert_int_equal(b->config.view[CGP_VIEW_OUT].n_rows, 1);
        assert_int_equal(b->config.view[CGP_VIEW_OUT].n_columns, 2);
        assert_true(b->config.table_size <= 64);

        text_stack_init(&both, A, A, POLICY_MODE_ENFORCE,
                (const char *const[]){ "deny any to 10.0.0.0/8", "deny tcp/443", NULL });
        c = compile(&both.stack);
        for (unsigned view = CGP_VIEW_IN_MULTICAST; view <= CGP_VIEW_IN_BROADCAST; view++)
                assert_memory_equal(&c->config.view[CGP_VIEW_IN], &c->config.view[view],
                        sizeof(struct cgp_view));
        assert_int_equal(c->config.view[CGP_VIEW_IN].root_service,
                c->config.view[CGP_VIEW_OUT].root_service);
        assert_int_equal(c->config.n_places, 1);
        assert_int_equal(c->config.host_netns, 0);
        assert_int_equal(c->config.set_hash, 0);
}

static PolicyRule deny_out(
        PolicyService *services, size_t n_services, PolicyPeer *peers, size_t n_peers) {
        return (PolicyRule){
                .verdict = POLICY_DENY,
                .directions = POLICY_DIRECTION_OUT,
                .services = services,
                .n_services = n_services,
                .peers = peers,
                .n_peers = n_peers,
        };
}

static void fill_ports(PolicyService *services, size_t n, uint16_t first) {
        for (size_t i = 0; i < n; i++)
                services[i] = (PolicyService){
                        .protocol = 6,
                        .port_min = first + 2 * i,
                        .port_max = first + 2 * i,
                };
}

/* A policy that is made by numbers. */
typedef struct Crowd {
        PolicyRule *rules;
        PolicyEntry *entries;
        PolicyPeer *peers;
        PolicyService *services;
        PolicyStack stack;
} Crowd;

static void crowd_done(Crowd *c) {
        free(c->rules);
        free(c->entries);
        free(c->peers);
        free(c->services);
}

static void crowd_init(Crowd *c, size_t n) {
        *c = (Crowd){
                .rules = calloc(n, sizeof(*c->rules)),
                .entries = calloc(n, sizeof(*c->entries)),
                .peers = calloc(n, sizeof(*c->peers)),
                .services = calloc(n, sizeof(*c->services)),
                .stack = {
                        .n_entries = n,
                        .mode = POLICY_MODE_ENFORCE,
                        .default_in = A,
                        .default_out = A,
                },
        };
        assert_true(c->rules && c->entries && c->peers && c->services);
        c->stack.entries = c->entries;
        for (size_t i = 0; i < n; i++) {
                c->peers[i] = (PolicyPeer){
                        .type = POLICY_PEER_PREFIX,
                        .family = AF_INET,
                        .prefix_len = 32,
                        .address = { [10] = 0xff, 0xff, 10, (i * 37) & 0xff, i >> 8, i & 0xff },
                };
                c->rules[i] = deny_out(&c->services[i], 1, &c->peers[i], 1);
                c->entries[i] = (PolicyEntry){
                        .rule = &c->rules[i],
                        .number = CGP_RULE_FIRST + i,
                        .counter = i,
                };
        }
}

static void crowd_ask(const Crowd *c, const PolicyImage *image, size_t i, uint16_t port) {
        RandomQuestion q = { .view = CGP_VIEW_OUT, .protocol = 6, .port = port };
        struct cgp_verdict verdict;
        const PolicyEntry *entry;
        unsigned action;

        memcpy(q.remote, c->peers[i].address, 16);
        entry = question_eval(&c->stack, NULL, &q, &action);
        verdict = question_lookup(image, NULL, &q);
        assert_int_equal(verdict.action, action);
        assert_int_equal(verdict.rule, entry ? entry->number : CGP_RULE_DEFAULT_OUT);
}

/* As many rules as there may be, each with a host and a port of its own: no row is written out. */
static void test_most_rules(void **state) {
        _cleanup_(crowd_done) Crowd c = {};
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileInput input;

        crowd_init(&c, CGP_MAX_RULES);
        fill_ports(c.services, CGP_MAX_RULES, 1000);
        input = random_input(&c.stack, NULL);
        assert_int_equal(policy_compile(&input, NULL, &image), 0);
        assert_int_equal(image->config.view[CGP_VIEW_OUT].layout, CGP_LAYOUT_LINES);
        for (size_t i = 0; i < CGP_MAX_RULES; i += 331) {
                crowd_ask(&c, image, i, c.services[i].port_min);
                crowd_ask(&c, image, i, c.services[i].port_min + 1);
                crowd_ask(&c, image, i, c.services[(i + 1) % CGP_MAX_RULES].port_min);
        }
}

/* Ports for all peers, and hosts with a port or some of their own on top: most lines are changes of
 * another. */
static void test_changed_lines(void **state) {
        enum { N = 900, N_ALL = 300, QUESTIONS = 20000 };
        _cleanup_(crowd_done) Crowd c = {};
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        Random random = { .state = 99 };
        const struct cgp_view *view;
        PolicyCompileInput input;

        crowd_init(&c, N);
        for (size_t i = 0; i < N; i++) {
                PolicyService *service = &c.services[i];

                service->protocol = i % 7 == 0 ? 17 : 6;
                service->port_min = service->port_max = 1000 + random_below(&random, 2000);
                /* A never for all peers would cut the ranges of the others in many. */
                c.rules[i].verdict = random_below(&random, i < N_ALL ? 2 : 3);
                if (i < N_ALL)
                        c.peers[i] = (PolicyPeer){ .type = POLICY_PEER_ANY };
                else if (i % 3 == 0)
                        service->port_max += random_below(&random, 4000);
                if (i >= N_ALL && i % 2 == 0)
                        memcpy(c.peers[i].address, c.peers[i - 1].address, 16);
        }
        input = random_input(&c.stack, NULL);
        assert_int_equal(policy_compile(&input, NULL, &image), 0);
        assert_int_equal(image->config.view[CGP_VIEW_OUT].layout, CGP_LAYOUT_LINES);
        view = &image->config.view[CGP_VIEW_OUT];
        /* A fifth of what a matrix of these ports and rows would be, at most. */
        if (image->config.table_size > view->n_rows * N_ALL * sizeof(uint16_t) / 5)
                fail_msg("%u bytes for %u rows", image->config.table_size, view->n_rows);

        for (size_t i = 0; i < QUESTIONS; i++) {
                size_t k = random_below(&random, N);
                uint16_t port =
                        random_one_in(&random, 2) ? c.services[k].port_min : c.services[k].port_max;

                if (random_one_in(&random, 3))
                        k = random_below(&random, N);
                crowd_ask(&c, image, k, port + random_below(&random, 3) - 1);
        }
}

/* A port each for all peers, below a host each that takes all of tcp but these: every pair is a
 * cell of its own. The compiler finds out without writing them. */
static void test_too_many_cells(void **state) {
        enum { N = CGP_MAX_RULES / 2 };
        _cleanup_(crowd_done) Crowd c = {};
        PolicyCompileInput input;
        PolicyCompileFailure failure = {};
        PolicyImage *image = NULL;

        crowd_init(&c, CGP_MAX_RULES);
        fill_ports(c.services, N, 1000);
        for (size_t i = 0; i < N; i++) {
                c.peers[i] = (PolicyPeer){ .type = POLICY_PEER_ANY };
                c.services[N + i] = (PolicyService){
                        .protocol = 6,
                        .port_min = i,
                        .port_max = UINT16_MAX - i,
                };
                c.entries[N + i].rank = 1;
        }
        input = random_input(&c.stack, NULL);
        assert_int_equal(policy_compile(&input, &failure, &image), -E2BIG);
        assert_null(image);
        assert_non_null(failure.limit);
        assert_true(failure.needed > failure.max);
        assert_int_equal(policy_compile(&input, NULL, &image), -E2BIG);
}

static void test_table_size_max(void **state) {
        _cleanup_(crowd_done) Crowd c = {};
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileInput input;
        PolicyCompileFailure failure = {};
        size_t size;

        crowd_init(&c, 500);
        fill_ports(c.services, 500, 1000);
        input = random_input(&c.stack, NULL);
        assert_int_equal(policy_compile(&input, &failure, &image), 0);
        size = image->config.table_size;
        image = policy_image_free(image);

        input.table_size_max = size - 1;
        assert_int_equal(policy_compile(&input, &failure, &image), -E2BIG);
        assert_null(image);
        assert_string_equal(failure.limit, "table size");
        assert_int_equal(failure.needed, size);
        assert_int_equal(failure.max, size - 1);
        input.table_size_max = size;
        assert_int_equal(policy_compile(&input, &failure, &image), 0);
}

/* More hosts of IPv6 than there are paths. */
static void test_too_many_paths(void **state) {
        enum { PEERS = 4096, RULES = 10 };
        _cleanup_free_ PolicyPeer *peers = calloc(PEERS * RULES, sizeof(*peers));
        _cleanup_(crowd_done) Crowd c = {};
        PolicyCompileInput input;
        PolicyCompileFailure failure = {};
        PolicyImage *image = NULL;

        crowd_init(&c, RULES);
        for (size_t i = 0; i < PEERS * RULES; i++) {
                peers[i] = (PolicyPeer){
                        .type = POLICY_PEER_PREFIX,
                        .family = AF_INET6,
                        .prefix_len = 128,
                        .address = { 0x20, 0x01, i >> 8, i & 0xff },
                };
                for (size_t b = 8; b < 16; b++)
                        peers[i].address[b] = (i * 0x9e3779b97f4a7c15ULL) >> (8 * (b - 8));
        }
        for (size_t i = 0; i < RULES; i++) {
                c.services[i] = (PolicyService){
                        .protocol = POLICY_PROTOCOL_ANY,
                        .port_max = UINT16_MAX,
                };
                c.rules[i] = deny_out(&c.services[i], 1, peers + i * PEERS, PEERS);
        }
        input = random_input(&c.stack, NULL);
        assert_int_equal(policy_compile(&input, &failure, &image), -E2BIG);
        assert_null(image);
        assert_string_equal(failure.limit, "paths");
        assert_int_equal(failure.max, CGP_MAX_PATHS);
}

static void test_unknown_list(void **state) {
        _cleanup_(text_stack_done) TextStack s = {};
        PolicyCompileInput input;
        PolicyImage *image = NULL;

        text_stack_init(&s, A, A, POLICY_MODE_ENFORCE,
                (const char *const[]){ "deny out any to @nobody-made-it", NULL });
        input = random_input(&s.stack, NULL);
        assert_int_equal(policy_compile(&input, NULL, &image), -ENOKEY);
        assert_null(image);
}

static PolicyImage *compile_on(const PolicyHost *host, const char *text) {
        _cleanup_(text_stack_done) TextStack s = {};
        PolicyCompileInput input;
        PolicyImage *image = NULL;

        text_stack_init(&s, A, A, POLICY_MODE_ENFORCE, (const char *const[]){ text, NULL });
        input = random_input(&s.stack, host);
        assert_int_equal(policy_compile(&input, NULL, &image), 0);
        return image;
}

typedef struct FeatureCase {
        const char *text;
        uint32_t features;
        bool bind_allows; /* port 80 on any address, nowhere in particular */
} FeatureCase;

/* What an image depends on it says, and nothing else. */
static void test_features(void **state) {
        static const FeatureCase feature_cases[] = {
                { "allow bind tcp/80", CGP_FEATURE_OPEN, true },
                { "deny bind tcp/80", CGP_FEATURE_OPEN | CGP_FEATURE_BIND, false },
                { "deny bind tcp/80 to 127.0.0.0/8", CGP_FEATURE_OPEN | CGP_FEATURE_BIND, true },
                { "deny out any via eth0", CGP_FEATURE_PLACE, true },
                { "allow out any via eth0", CGP_FEATURE_PLACE | CGP_FEATURE_OPEN, true },
                { "deny in any from lan", CGP_FEATURE_PLACE, true },
                { "deny out any to @small", 0, true },
                { "deny out any to @big", CGP_FEATURE_SETS, true },
                { "allow out any to @big", CGP_FEATURE_SETS | CGP_FEATURE_OPEN, true },
                { "never in any from @big", CGP_FEATURE_SETS | CGP_FEATURE_NEVER_IN, true },
                { "deny out any to internet", 0, true },
                { "deny in udp from broadcast", 0, true },
        };
        Random random = { .state = 1 };
        char *eth0[] = { random_interfaces[0], NULL };
        char small[] = "198.51.100.0/24", *small_networks[] = { small, NULL };
        PolicyList *lists[2] = {};
        const char *limit = NULL;
        PolicySet *set = NULL;
        PolicyHost host = { .netns = 77, .lists = lists, .n_lists = 2, .set_slot = 5 };

        lists[0] = random_list(&random, &wide_universe, "big", true);
        assert_int_equal(
                policy_list_from_strv("small", "test", 1, small_networks, NULL, &lists[1]), 0);
        assert_int_equal(policy_set_build(lists, 2, &limit, &set), 0);
        host.set = set;
        assert_int_equal(policy_host_set_interfaces(&host, (char *const *const[]){ eth0 }, 1), 0);

        for (size_t i = 0; i < ELEMENTSOF(feature_cases); i++) {
                const FeatureCase *c = &feature_cases[i];
                _cleanup_(policy_image_freep) PolicyImage *image = compile_on(&host, c->text);
                const struct cgp_config *config = &image->config;
                bool place = c->features & CGP_FEATURE_PLACE, sets = c->features & CGP_FEATURE_SETS;
                uint8_t address[16] = { [15] = 1 };

                if (config->features != c->features)
                        fail_msg("%s: features %x, expected %x", c->text, config->features,
                                c->features);
                assert_int_equal(config->n_places, place ? 4 : 1);
                assert_int_equal(config->host_netns, place ? 77 : 0);
                assert_int_equal(config->interfaces_version, place ? host.interfaces_version : 0);
                assert_int_equal(config->set_slot, sets ? 5 : 0);
                assert_true(config->set_hash == (sets ? set->hash : 0));
                assert_int_equal(policy_image_lookup(image, CGP_VIEW_BIND, CGP_PLACE_ELSEWHERE, 0,
                                         address, 6, 80)
                                         .action == CGP_ACTION_ALLOW,
                        c->bind_allows);
        }

        for (size_t i = 0; i < 2; i++)
                policy_list_unref(lists[i]);
        policy_set_unref(set);
        host.lists = NULL;
        host.n_lists = 0;
        host.set = NULL;
        policy_host_done(&host);
}

static void test_refusal(void **state) {
        _cleanup_(text_stack_done) TextStack s = {};
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;

        text_stack_init(&s, A, A, POLICY_MODE_ENFORCE, (const char *const[]){ NULL });
        s.stack.refusal = POLICY_ERRNO_ECONNREFUSED;
        image = compile(&s.stack);
        assert_int_equal(image->config.refusal, ECONNREFUSED);
}

#ifdef TEST_MEMORY_FAILS
/* Rules that reach every allocation: prefixes and breaks that grow, nested rows, shared nodes. */
static const char *const memory_texts[] = {
        "allow out tcp/80-443,1000 to 10.0.0.1-10.0.0.254",
        "deny out udp to ::1-2001:db8::ffff",
        "never in any from 192.0.2.0/24,multicast",
        NULL,
};

static const PolicyStack *memory_stack;

/* qsort() of the C library does without the memory that it would like to have. */
static void assert_memory_result(int r, const PolicyImage *image) {
        assert_true(r == 0 || (r == -ENOMEM && test_memory_failed()));
        assert_int_equal(!!image, r == 0);
}

static void compile_without_memory(bool *ret_memory_failed) {
        PolicyCompileInput input = random_input(memory_stack, NULL);
        PolicyImage *image = NULL;
        int r = policy_compile(&input, NULL, &image);

        assert_memory_result(r, image);
        *ret_memory_failed = r == -ENOMEM;
        policy_image_free(image);
}

static void intersect_without_memory(bool *ret_memory_failed) {
        PolicyStack other = *memory_stack;
        PolicyCompileInput from = random_input(memory_stack, NULL), to = random_input(&other, NULL);
        PolicyImage *image = NULL;
        PolicyChange change;
        int r;

        other.n_entries--;
        r = policy_compare(&from, &to, NULL, &change);
        if (r == 0)
                r = policy_compile_intersection(&from, &to, NULL, &image);
        assert_memory_result(r, image);
        *ret_memory_failed = r == -ENOMEM;
        policy_image_free(image);
}

static void test_out_of_memory(void **state) {
        _cleanup_(text_stack_done) TextStack s = {};

        text_stack_init(&s, A, D, POLICY_MODE_ENFORCE, memory_texts);
        memory_stack = &s.stack;
        test_each_allocation_fails(compile_without_memory);
        test_each_allocation_fails(intersect_without_memory);
}
#endif

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_precedence),
                cmocka_unit_test(test_random_agrees),
                cmocka_unit_test(test_deterministic),
                cmocka_unit_test(test_hash_tells_apart),
                cmocka_unit_test(test_config),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_most_rules),
                cmocka_unit_test(test_changed_lines),
                cmocka_unit_test(test_too_many_cells),
                cmocka_unit_test(test_too_many_paths),
                cmocka_unit_test(test_table_size_max),
                cmocka_unit_test(test_unknown_list),
                cmocka_unit_test(test_features),
                cmocka_unit_test(test_refusal),
#ifdef TEST_MEMORY_FAILS
                cmocka_unit_test(test_out_of_memory),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
