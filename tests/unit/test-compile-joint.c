/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Comparison and intersection of two policies. In a small universe every question can be asked, so that the
 * answer is known exactly; in the wide one at random.
 */
#include "policy-random.h"
#include "policy-texts.h"
#include "policy/eval.h"
#include "policy/image.h"

#define A POLICY_DEFAULT_ALLOW
#define D POLICY_DEFAULT_DENY

/* Ranges reach two beyond the addresses; no rule of the small universe tells two keys apart that have the
 * same representative. */
static const char *const small_addresses[] = { "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7",
        "2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8::7" };
static const char *const small_representatives[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4",
        "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10", "2001:db8::1",
        "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8::7",
        "2001:db8::8", "2001:db8::9", "2001:db8::a" };
static const uint16_t small_ports[] = { 0, 80, 81, 82 };
static const uint16_t small_port_representatives[] = { 0, 1, 80, 81, 82, 83 };
static const uint8_t small_protocols[] = { 6, 17 };
static const uint8_t small_protocol_representatives[] = { 6, 17, 1 };

static const RandomUniverse small_universe = {
        .addresses = small_addresses,
        .n_addresses = ELEMENTSOF(small_addresses),
        .prefix_min = 2,
        .ports = small_ports,
        .n_ports = ELEMENTSOF(small_ports),
        .protocols = small_protocols,
        .n_protocols = ELEMENTSOF(small_protocols),
        .any_protocol = true,
};

/* 0 passes, 1 refused, 2 refused by a never. */
static unsigned strictness(PolicyMode mode, unsigned action) {
        if (mode != POLICY_MODE_ENFORCE)
                return 0;
        return action == CGP_ACTION_ALLOW ? 0 : action == CGP_ACTION_DENY ? 1 : 2;
}

static unsigned view_strictness(const PolicyStack *stack, const RandomQuestion *q) {
        unsigned action;

        (void)policy_eval_view(stack, q->view, q->remote, q->protocol, q->port, &action);
        return strictness(stack->mode, action);
}

static PolicyChange change_of(bool looser, bool tighter) {
        return looser && tighter ? POLICY_CHANGE_MIXED
                : looser         ? POLICY_CHANGE_LOOSEN
                : tighter        ? POLICY_CHANGE_TIGHTEN
                                 : POLICY_CHANGE_NONE;
}

static bool refuses_something(const PolicyStack *stack, unsigned direction, PolicyDefault d) {
        if (stack->mode != POLICY_MODE_ENFORCE)
                return false;
        for (size_t i = 0; i < stack->n_entries; i++)
                if (stack->entries[i].rule->directions & direction &&
                        stack->entries[i].rule->verdict != POLICY_ALLOW)
                        return true;
        return d == D;
}

/* Asks everything that the small universe can be asked. */
static PolicyChange small_change(const PolicyStack *from, const PolicyStack *to) {
        bool out_from = refuses_something(from, POLICY_DIRECTION_OUT, from->default_out);
        bool out_to = refuses_something(to, POLICY_DIRECTION_OUT, to->default_out);
        bool in_from = refuses_something(from, POLICY_DIRECTION_IN, from->default_in);
        bool in_to = refuses_something(to, POLICY_DIRECTION_IN, to->default_in);
        bool looser = out_from > out_to || in_from > in_to;
        bool tighter = out_from < out_to || in_from < in_to;

        for (unsigned view = 0; view < CGP_N_VIEWS; view++)
                for (size_t a = 0; a < ELEMENTSOF(small_representatives); a++)
                        for (size_t p = 0; p < ELEMENTSOF(small_protocol_representatives); p++)
                                for (size_t k = 0; k < ELEMENTSOF(small_port_representatives);
                                        k++) {
                                        RandomQuestion q = {
                                                .view = view,
                                                .protocol = small_protocol_representatives[p],
                                                .port = small_port_representatives[k],
                                        };
                                        unsigned x, y;

                                        address_parse(small_representatives[a], q.remote);
                                        x = view_strictness(from, &q);
                                        y = view_strictness(to, &q);
                                        looser |= y < x;
                                        tighter |= y > x;
                                }
        return change_of(looser, tighter);
}

/* A change of the kind that people make. */
static void mutate(Random *random, const RandomUniverse *u, RandomStack *s) {
        size_t i = random_below(random, MAX(s->stack.n_entries, 1U));

        switch (random_below(random, 7)) {
        case 0:
                s->stack.default_out = A + random_below(random, 2);
                return;
        case 1:
                s->stack.default_in = A + random_below(random, 2);
                return;
        case 2:
                s->stack.mode = POLICY_MODE_ENFORCE + random_below(random, 3);
                return;
        case 3:
                if (s->stack.n_entries > 0)
                        s->stack.n_entries--;
                return;
        case 4:
                s->rules[i].verdict = random_below(random, 3);
                return;
        case 5:
                random_peer(random, u, &s->peers[i][0]);
                return;
        default:
                s->entries[i].number += 1;
                s->entries[i].counter += 1;
                return;
        }
}

static PolicyChange compare(const PolicyStack *from, const PolicyStack *to) {
        PolicyCompileInput a = random_input(from), b = random_input(to);
        PolicyChange change = POLICY_CHANGE_NONE;

        b.generation++;
        b.counter_default_out++;
        assert_int_equal(policy_compare(&a, &b, NULL, &change), 0);
        return change;
}

static void test_compare_small(void **state) {
        unsigned seen[4] = {};

        for (uint64_t seed = 1; seed <= 2000; seed++) {
                Random random = { .state = seed };
                RandomStack from, to;
                PolicyChange change, expected;

                random_stack(&random, &small_universe, &from);
                if (random_one_in(&random, 4))
                        random_stack(&random, &small_universe, &to);
                else {
                        random_stack_copy(&to, &from);
                        mutate(&random, &small_universe, &to);
                }

                change = compare(&from.stack, &to.stack);
                expected = small_change(&from.stack, &to.stack);
                if (change != expected)
                        fail_msg("seed %llu: change %d, expected %d", (unsigned long long)seed,
                                change, expected);
                assert_int_equal(compare(&to.stack, &from.stack),
                        change_of(change == POLICY_CHANGE_TIGHTEN || change == POLICY_CHANGE_MIXED,
                                change == POLICY_CHANGE_LOOSEN || change == POLICY_CHANGE_MIXED));
                assert_int_equal(compare(&from.stack, &from.stack), POLICY_CHANGE_NONE);
                seen[change]++;
        }
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                assert_true(seen[i] > 100);
}

/* What a question shows to differ, the comparison must know of. */
static void test_compare_wide(void **state) {
        unsigned n_different = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                Random random = { .state = seed };
                RandomStack from, to;
                PolicyChange change;

                random_stack(&random, &wide_universe, &from);
                random_stack_copy(&to, &from);
                mutate(&random, &wide_universe, &to);
                change = compare(&from.stack, &to.stack);

                for (unsigned i = 0; i < 300; i++) {
                        RandomQuestion q = random_question(
                                &random, &wide_universe, random_one_in(&random, 2) ? &from : &to);
                        unsigned x = view_strictness(&from.stack, &q);
                        unsigned y = view_strictness(&to.stack, &q);

                        if (y < x)
                                assert_true(change == POLICY_CHANGE_LOOSEN ||
                                        change == POLICY_CHANGE_MIXED);
                        if (y > x)
                                assert_true(change == POLICY_CHANGE_TIGHTEN ||
                                        change == POLICY_CHANGE_MIXED);
                        n_different += x != y;
                }
        }
        assert_true(n_different > 1000);
}

typedef struct CompareCase {
        const char *name;
        const char *from[TEXT_RULES_MAX];
        const char *to[TEXT_RULES_MAX];
        PolicyMode from_mode;
        PolicyMode to_mode;
        PolicyChange change;
} CompareCase;

/* Defaults are allow out, deny in. */
static const CompareCase compare_cases[] = {
        { "other words", { "allow in tcp/80-81" }, { "allow in tcp/80", "allow in tcp/81" },
                POLICY_MODE_ENFORCE, POLICY_MODE_ENFORCE, POLICY_CHANGE_NONE },
        { "one more allow", {}, { "allow in tcp/80" }, POLICY_MODE_ENFORCE, POLICY_MODE_ENFORCE,
                POLICY_CHANGE_LOOSEN },
        { "one more deny", { "deny out tcp/81" }, { "deny out tcp/81", "deny out tcp/80" },
                POLICY_MODE_ENFORCE, POLICY_MODE_ENFORCE, POLICY_CHANGE_TIGHTEN },
        { "the first deny of a direction, of nothing new", { "0 allow out any" },
                { "0 allow out any", "2 deny out tcp/80" }, POLICY_MODE_ENFORCE,
                POLICY_MODE_ENFORCE, POLICY_CHANGE_TIGHTEN },
        { "another port", { "allow in tcp/80" }, { "allow in tcp/81" }, POLICY_MODE_ENFORCE,
                POLICY_MODE_ENFORCE, POLICY_CHANGE_MIXED },
        { "deny becomes never", { "deny in tcp/80" }, { "never in tcp/80" }, POLICY_MODE_ENFORCE,
                POLICY_MODE_ENFORCE, POLICY_CHANGE_TIGHTEN },
        { "only in answers to multicast", { "deny in udp" },
                { "deny in udp", "allow in udp from multicast" }, POLICY_MODE_ENFORCE,
                POLICY_MODE_ENFORCE, POLICY_CHANGE_LOOSEN },
        { "enforce to audit", { "deny out tcp/80" }, { "deny out tcp/81" }, POLICY_MODE_ENFORCE,
                POLICY_MODE_AUDIT, POLICY_CHANGE_LOOSEN },
        { "off to enforce", { "deny out tcp/80" }, {}, POLICY_MODE_OFF, POLICY_MODE_ENFORCE,
                POLICY_CHANGE_TIGHTEN },
        { "audit to off", { "deny out tcp/80" }, {}, POLICY_MODE_AUDIT, POLICY_MODE_OFF,
                POLICY_CHANGE_NONE },
};

static void test_compare_cases(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(compare_cases); i++) {
                const CompareCase *c = &compare_cases[i];
                _cleanup_(text_stack_done) TextStack from = {}, to = {};
                PolicyChange change;

                text_stack_init(&from, A, D, c->from_mode, c->from);
                text_stack_init(&to, A, D, c->to_mode, c->to);
                change = compare(&from.stack, &to.stack);
                if (change != c->change)
                        fail_msg("%s: change %d, expected %d", c->name, change, c->change);
        }
}

static PolicyImage *intersect(const PolicyStack *from, const PolicyStack *to) {
        PolicyCompileInput a = random_input(from), b = random_input(to);
        PolicyImage *image = NULL;

        b.generation = 43;
        b.counter_default_out = 11;
        b.counter_default_in = 12;
        assert_int_equal(policy_compile_intersection(&a, &b, NULL, &image), 0);
        assert_int_equal(image->config.generation, 43);
        return image;
}

static void assert_intersection(const PolicyImage *image, const RandomStack *from,
        const RandomStack *to, const RandomQuestion *q, uint64_t seed) {
        struct cgp_verdict verdict =
                policy_image_lookup(image, q->view, q->remote, q->protocol, q->port);
        unsigned x = view_strictness(&from->stack, q), y = view_strictness(&to->stack, q);
        bool by_from = x > 0 && y == 0;
        unsigned action;
        const PolicyEntry *entry = policy_eval_view(by_from ? &from->stack : &to->stack, q->view,
                q->remote, q->protocol, q->port, &action);
        bool out = q->view == CGP_VIEW_OUT;

        if (strictness(POLICY_MODE_ENFORCE, verdict.action) != MAX(x, y))
                fail_msg("seed %llu: action %u, expected strictness %u and %u",
                        (unsigned long long)seed, verdict.action, x, y);
        assert_int_equal(verdict.rule,
                entry         ? entry->number
                        : out ? CGP_RULE_DEFAULT_OUT
                              : CGP_RULE_DEFAULT_IN);
        assert_int_equal(verdict.counter, entry ? entry->counter : out ? 11 : 12);
}

static void test_intersection(void **state) {
        unsigned n_refused = 0, n_passed = 0;

        for (uint64_t seed = 1; seed <= 1000; seed++) {
                Random random = { .state = seed };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                RandomStack from, to;

                random_stack(&random, &wide_universe, &from);
                random_stack(&random, &wide_universe, &to);
                image = intersect(&from.stack, &to.stack);

                if (from.stack.mode != POLICY_MODE_ENFORCE &&
                        to.stack.mode != POLICY_MODE_ENFORCE) {
                        assert_int_not_equal(image->config.mode, CGP_MODE_ENFORCE);
                        continue;
                }
                assert_int_equal(image->config.mode, CGP_MODE_ENFORCE);
                assert_int_equal(image->config.unparsable_out.action,
                        refuses_something(
                                &from.stack, POLICY_DIRECTION_OUT, from.stack.default_out) ||
                                        refuses_something(&to.stack, POLICY_DIRECTION_OUT,
                                                to.stack.default_out)
                                ? CGP_ACTION_DENY
                                : CGP_ACTION_ALLOW);
                for (unsigned i = 0; i < 100; i++) {
                        RandomQuestion q = random_question(
                                &random, &wide_universe, random_one_in(&random, 2) ? &from : &to);

                        assert_intersection(image, &from, &to, &q, seed);
                        if (view_strictness(&from.stack, &q) > 0 ||
                                view_strictness(&to.stack, &q) > 0)
                                n_refused++;
                        else
                                n_passed++;
                }
        }
        assert_true(n_refused > 10000);
        assert_true(n_passed > 10000);
}

/* A conversation passes the image if its own view lets it and the other direction has no never. */
static bool image_passes(const PolicyImage *image, const PolicyFlow *flow) {
        bool out = flow->direction == CGP_DIR_OUT;
        unsigned view = out                ? CGP_VIEW_OUT
                : flow->local_is_multicast ? CGP_VIEW_IN_MULTICAST
                                           : CGP_VIEW_IN;
        struct cgp_verdict own = policy_image_lookup(image, view, flow->remote, flow->protocol,
                out ? flow->remote_port : flow->local_port);
        struct cgp_verdict other = policy_image_lookup(image, out ? CGP_VIEW_IN : CGP_VIEW_OUT,
                flow->remote, flow->protocol, out ? flow->local_port : flow->remote_port);

        return own.action == CGP_ACTION_ALLOW && other.action != CGP_ACTION_NEVER;
}

/* Both the evaluator's conversations and the never that crosses directions. */
static void test_intersection_of_flows(void **state) {
        unsigned n_passed = 0, n_refused = 0;

        for (uint64_t seed = 1; seed <= 600; seed++) {
                Random random = { .state = seed + 5000 };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                RandomStack from, to;

                random_stack(&random, &wide_universe, &from);
                random_stack(&random, &wide_universe, &to);
                from.stack.mode = POLICY_MODE_ENFORCE;
                image = intersect(&from.stack, &to.stack);
                for (unsigned i = 0; i < 60; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe, &to);
                        PolicyFlow flow = {
                                .direction = random_below(&random, 2),
                                .protocol = q.protocol,
                                .remote_port = q.port,
                                .local_port = wide_ports[1 + random_below(&random, 18)],
                                .local_is_multicast = random_one_in(&random, 4),
                        };
                        bool both;

                        memcpy(flow.remote, q.remote, 16);
                        both = policy_eval_flow(&from.stack, &flow).passes &&
                                policy_eval_flow(&to.stack, &flow).passes;
                        assert_int_equal(image_passes(image, &flow), both);
                        n_passed += both;
                        n_refused += !both;
                }
        }
        assert_true(n_passed > 1000);
        assert_true(n_refused > 1000);
}

static void test_intersection_of_one(void **state) {
        _cleanup_(text_stack_done) TextStack s = {};
        _cleanup_(policy_image_freep) PolicyImage *plain = NULL, *with_itself = NULL;
        PolicyCompileInput input;

        text_stack_init(&s, A, D, POLICY_MODE_ENFORCE,
                (const char *const[]){ "allow in tcp/80", "never out any to 10.0.0.0/8", NULL });
        input = random_input(&s.stack);
        assert_int_equal(policy_compile(&input, NULL, &plain), 0);
        assert_int_equal(policy_compile_intersection(&input, &input, NULL, &with_itself), 0);
        assert_true(plain->hash == with_itself->hash);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_compare_small),
                cmocka_unit_test(test_compare_wide),
                cmocka_unit_test(test_compare_cases),
                cmocka_unit_test(test_intersection),
                cmocka_unit_test(test_intersection_of_flows),
                cmocka_unit_test(test_intersection_of_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
