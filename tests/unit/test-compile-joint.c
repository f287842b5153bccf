/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Comparison and intersection of two policies. In a small universe every question can be asked, so
 * that the answer is known exactly; in the wide one at random.
 */
#include "policy-random.h"
#include "policy-texts.h"
#include "policy/eval.h"
#include "policy/image.h"

#define A POLICY_DEFAULT_ALLOW
#define D POLICY_DEFAULT_DENY

/* Ranges reach two beyond the addresses; no rule of the small universe tells two keys apart that
 * have the same representative. */
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

static unsigned view_strictness(
        const PolicyStack *stack, const PolicyHost *host, const RandomQuestion *q) {
        unsigned action;

        (void)question_eval(stack, host, q, &action);
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
static PolicyChange small_change(
        const PolicyStack *from, const PolicyStack *to, const PolicyHost *host) {
        uint32_t n_places = host ? CGP_PLACE_FIRST + host->n_interfaces : 1;
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
                                        for (q.place = 0; q.place < n_places; q.place++) {
                                                x = view_strictness(from, host, &q);
                                                y = view_strictness(to, host, &q);
                                                looser |= y < x;
                                                tighter |= y > x;
                                        }
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

static PolicyChange compare(
        const PolicyStack *from, const PolicyStack *to, const PolicyHost *host) {
        PolicyCompileInput a = random_input(from, host), b = random_input(to, host);
        PolicyChange change = POLICY_CHANGE_NONE;

        b.generation++;
        b.counter_default_out++;
        assert_int_equal(policy_compare(&a, &b, NULL, &change), 0);
        return change;
}

static void check_small(uint64_t seed, const RandomUniverse *u, unsigned seen[4]) {
        Random random = { .state = seed };
        _cleanup_(random_host_done) RandomHost h = {};
        RandomStack from, to;
        PolicyChange change, expected;

        random_host(&random, u, &h);
        random_stack(&random, u, &from);
        if (random_one_in(&random, 4))
                random_stack(&random, u, &to);
        else {
                random_stack_copy(&to, &from);
                mutate(&random, u, &to);
        }

        change = compare(&from.stack, &to.stack, &h.host);
        expected = small_change(&from.stack, &to.stack, u->places ? &h.host : NULL);
        if (change != expected)
                fail_msg("seed %llu: change %d, expected %d", (unsigned long long)seed, change,
                        expected);
        assert_int_equal(compare(&to.stack, &from.stack, &h.host),
                change_of(change == POLICY_CHANGE_TIGHTEN || change == POLICY_CHANGE_MIXED,
                        change == POLICY_CHANGE_LOOSEN || change == POLICY_CHANGE_MIXED));
        assert_int_equal(compare(&from.stack, &from.stack, &h.host), POLICY_CHANGE_NONE);
        seen[change]++;
}

static void test_compare_small(void **state) {
        unsigned seen[4] = {};

        for (uint64_t seed = 1; seed <= 1500; seed++)
                check_small(seed, &small_universe, seen);
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                assert_true(seen[i] > 100);
}

/* Every place of a host, with its networks among the addresses. */
static void test_compare_places(void **state) {
        RandomUniverse places = small_universe;
        unsigned seen[4] = {};

        places.places = true;
        for (uint64_t seed = 1; seed <= 150; seed++)
                check_small(seed, &places, seen);
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                assert_true(seen[i] > 5);
}

static void assert_change_knows(PolicyChange change, unsigned x, unsigned y, uint64_t seed) {
        if (y < x && change != POLICY_CHANGE_LOOSEN && change != POLICY_CHANGE_MIXED)
                fail_msg("seed %llu: change %d, but looser", (unsigned long long)seed, change);
        if (y > x && change != POLICY_CHANGE_TIGHTEN && change != POLICY_CHANGE_MIXED)
                fail_msg("seed %llu: change %d, but tighter", (unsigned long long)seed, change);
}

/* What a question shows to differ, the comparison must know of. */
static void test_compare_wide(void **state) {
        unsigned n_different = 0;

        for (uint64_t seed = 1; seed <= 300; seed++) {
                Random random = { .state = seed };
                _cleanup_(random_host_done) RandomHost h = {};
                RandomStack from, to;
                PolicyChange change;

                random_host(&random, &wide_universe, &h);
                random_stack(&random, &wide_universe, &from);
                random_stack_copy(&to, &from);
                mutate(&random, &wide_universe, &to);
                change = compare(&from.stack, &to.stack, &h.host);

                for (unsigned i = 0; i < 200; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe,
                                random_one_in(&random, 2) ? &from : &to, &h.host);
                        unsigned x = view_strictness(&from.stack, &h.host, &q);
                        unsigned y = view_strictness(&to.stack, &h.host, &q);

                        assert_change_knows(change, x, y, seed);
                        n_different += x != y;
                }
        }
        assert_true(n_different > 500);
}

/* A host before and after: other lists, networks or names of interfaces. */
typedef struct HostPair {
        RandomHost from;
        RandomHost to;
} HostPair;

static void host_pair_done(HostPair *p) {
        random_host_done(&p->from);
        random_host_done(&p->to);
}

/* Parts of the host that change are drawn anew; from equal states equal parts come. */
static void host_pair_init(HostPair *p, Random *random) {
        Random again = *random;
        uint32_t seed = random_next(random);

        random_host(&again, &wide_universe, &p->from);
        again.state = seed % 2 ? seed : random->state - 0x9e3779b97f4a7c15ULL;
        random_host(&again, &wide_universe, &p->to);
        p->to.host.netns = random_one_in(random, 4) ? 9 : p->from.host.netns;
        p->to.host.set_slot = p->from.host.set_slot + 1;
}

/* The place of an interface with exactly these names, or of none in particular, in the other
 * host. */
static bool place_on(
        const PolicyHost *host, uint32_t place, const PolicyHost *other, uint32_t *ret_place) {
        int id;

        if (place < CGP_PLACE_FIRST) {
                *ret_place = place;
                return true;
        }
        id = policy_host_interface_id(other, host->interfaces[place - CGP_PLACE_FIRST].names);
        if (id < 0)
                return false;
        *ret_place = CGP_PLACE_FIRST + id;
        return true;
}

/* Both hosts give an interface of all names, and so each side knows it. */
static bool hosts_number_alike(const HostPair *p) {
        return p->from.host.interfaces_version == p->to.host.interfaces_version &&
                p->from.host.netns == p->to.host.netns;
}

static void test_compare_hosts(void **state) {
        unsigned n_different = 0, n_sure = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                Random random = { .state = seed };
                _cleanup_(host_pair_done) HostPair p = {};
                PolicyCompileInput a, b;
                RandomStack from, to;
                PolicyChange change;

                host_pair_init(&p, &random);
                random_stack(&random, &wide_universe, &from);
                random_stack_copy(&to, &from);
                if (random_one_in(&random, 2))
                        mutate(&random, &wide_universe, &to);
                a = random_input(&from.stack, &p.from.host);
                b = random_input(&to.stack, &p.to.host);
                assert_int_equal(policy_compare(&a, &b, NULL, &change), 0);
                n_sure += change != POLICY_CHANGE_MIXED;

                for (unsigned i = 0; i < 100; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe,
                                random_one_in(&random, 2) ? &from : &to, &p.from.host);
                        RandomQuestion r = q;
                        unsigned x, y;

                        if (!place_on(&p.from.host, q.place, &p.to.host, &r.place) ||
                                (q.place == CGP_PLACE_UNDECIDED && !hosts_number_alike(&p)))
                                continue;
                        x = view_strictness(&from.stack, &p.from.host, &q);
                        y = view_strictness(&to.stack, &p.to.host, &r);
                        assert_change_knows(change, x, y, seed);
                        n_different += x != y;
                }
        }
        assert_true(n_different > 500);
        assert_true(n_sure > 50);
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
                change = compare(&from.stack, &to.stack, NULL);
                if (change != c->change)
                        fail_msg("%s: change %d, expected %d", c->name, change, c->change);
        }
}

static PolicyImage *intersect(const PolicyStack *from, const PolicyHost *from_host,
        const PolicyStack *to, const PolicyHost *to_host) {
        PolicyCompileInput a = random_input(from, from_host), b = random_input(to, to_host);
        PolicyImage *image = NULL;

        b.generation = 43;
        b.counter_default_out = 11;
        b.counter_default_in = 12;
        assert_int_equal(policy_compile_intersection(&a, &b, NULL, &image), 0);
        assert_int_equal(image->config.generation, 43);
        return image;
}

static void assert_intersection(const PolicyImage *image, const RandomStack *from,
        const RandomStack *to, const PolicyHost *host, const RandomQuestion *q, uint64_t seed) {
        static const uint32_t counters[CGP_N_VIEWS] = { 11, 12, 12, 12, 8 };
        struct cgp_verdict verdict = question_lookup(image, host, q);
        unsigned x = view_strictness(&from->stack, host, q);
        unsigned y = view_strictness(&to->stack, host, q);
        bool by_from = x > 0 && y == 0;
        unsigned action;
        const PolicyEntry *entry =
                question_eval(by_from ? &from->stack : &to->stack, host, q, &action);

        if (strictness(POLICY_MODE_ENFORCE, verdict.action) != MAX(x, y))
                fail_msg("seed %llu: action %u, expected strictness %u and %u",
                        (unsigned long long)seed, verdict.action, x, y);
        assert_int_equal(verdict.rule, entry ? entry->number : view_default_rule(q->view));
        assert_int_equal(verdict.counter, entry ? entry->counter : counters[q->view]);
}

static void test_intersection(void **state) {
        unsigned n_refused = 0, n_passed = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                Random random = { .state = seed };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                _cleanup_(random_host_done) RandomHost h = {};
                RandomStack from, to;

                random_host(&random, &wide_universe, &h);
                random_stack(&random, &wide_universe, &from);
                random_stack(&random, &wide_universe, &to);
                image = intersect(&from.stack, &h.host, &to.stack, &h.host);

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
                        RandomQuestion q = random_question(&random, &wide_universe,
                                random_one_in(&random, 2) ? &from : &to, &h.host);

                        assert_intersection(image, &from, &to, &h.host, &q, seed);
                        if (view_strictness(&from.stack, &h.host, &q) > 0 ||
                                view_strictness(&to.stack, &h.host, &q) > 0)
                                n_refused++;
                        else
                                n_passed++;
                }
        }
        assert_true(n_refused > 5000);
        assert_true(n_passed > 5000);
}

/* Where the sides have other set maps or numberings, the image asks one of them: what passes passes
 * both. */
static void test_intersection_of_hosts(void **state) {
        unsigned n_passed = 0, n_refused = 0, n_needless = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                Random random = { .state = seed + 9000 };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                _cleanup_(host_pair_done) HostPair p = {};
                RandomStack from, to;
                const PolicyHost *sets, *places;

                host_pair_init(&p, &random);
                random_stack(&random, &wide_universe, &from);
                random_stack_copy(&to, &from);
                if (random_one_in(&random, 2))
                        mutate(&random, &wide_universe, &to);
                from.stack.mode = POLICY_MODE_ENFORCE;
                image = intersect(&from.stack, &p.from.host, &to.stack, &p.to.host);
                sets = p.to.host.set && image->config.set_hash == p.to.host.set->hash
                        ? &p.to.host
                        : &p.from.host;
                places = image->config.interfaces_version == p.to.host.interfaces_version
                        ? &p.to.host
                        : &p.from.host;
                if (image->config.features & CGP_FEATURE_SETS)
                        assert_true(image->config.set_hash == sets->set->hash);
                if (image->config.n_places > 1)
                        assert_int_equal(
                                image->config.n_places, CGP_PLACE_FIRST + places->n_interfaces);

                for (unsigned i = 0; i < 100; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe,
                                random_one_in(&random, 2) ? &from : &to, &p.from.host);
                        RandomQuestion r = q, in_image = q;
                        struct cgp_verdict verdict;
                        unsigned strictest, least;

                        if (!place_on(&p.from.host, q.place, &p.to.host, &r.place) ||
                                !place_on(&p.from.host, q.place, places, &in_image.place) ||
                                (q.place == CGP_PLACE_UNDECIDED && !hosts_number_alike(&p)))
                                continue;
                        least = MAX(view_strictness(&from.stack, &p.from.host, &q),
                                view_strictness(&to.stack, &p.to.host, &r));
                        verdict = question_lookup(image, sets, &in_image);
                        strictest = strictness(POLICY_MODE_ENFORCE, verdict.action);
                        if (strictest < least)
                                fail_msg("seed %llu: action %u, expected strictness %u",
                                        (unsigned long long)seed, verdict.action, least);
                        n_needless += strictest > least;
                        n_passed += strictest == 0;
                        n_refused += strictest > 0;
                }
        }
        assert_true(n_passed > 2000);
        assert_true(n_refused > 2000);
        assert_true(n_needless < n_passed);
}

/* A conversation passes the image if its own view lets it and the other direction has no never. */
static bool image_passes(
        const PolicyImage *image, const PolicyHost *host, const PolicyFlow *flow, uint32_t place) {
        bool out = flow->direction == CGP_DIR_OUT;
        RandomQuestion q = {
                .view = out                        ? CGP_VIEW_OUT
                        : flow->local_is_multicast ? CGP_VIEW_IN_MULTICAST
                                                   : CGP_VIEW_IN,
                .protocol = flow->protocol,
                .port = out ? flow->remote_port : flow->local_port,
                .place = place,
        };
        struct cgp_verdict own, other;

        memcpy(q.remote, flow->remote, 16);
        own = question_lookup(image, host, &q);
        q.view = out ? CGP_VIEW_IN : CGP_VIEW_OUT;
        q.port = out ? flow->local_port : flow->remote_port;
        other = question_lookup(image, host, &q);
        return own.action == CGP_ACTION_ALLOW && other.action != CGP_ACTION_NEVER;
}

/* Both the evaluator's conversations and the never that crosses directions. */
static void test_intersection_of_flows(void **state) {
        unsigned n_passed = 0, n_refused = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                Random random = { .state = seed + 5000 };
                _cleanup_(policy_image_freep) PolicyImage *image = NULL;
                _cleanup_(random_host_done) RandomHost h = {};
                RandomStack from, to;

                random_host(&random, &wide_universe, &h);
                random_stack(&random, &wide_universe, &from);
                random_stack(&random, &wide_universe, &to);
                from.stack.mode = POLICY_MODE_ENFORCE;
                image = intersect(&from.stack, &h.host, &to.stack, &h.host);
                for (unsigned i = 0; i < 60; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe, &to, &h.host);
                        PolicyFlow flow = {
                                .direction = random_below(&random, 2),
                                .protocol = q.protocol,
                                .remote_port = q.port,
                                .local_port = wide_ports[1 + random_below(&random, 18)],
                                .local_is_multicast = random_one_in(&random, 4),
                                .place = question_place(&q),
                        };
                        bool both;

                        memcpy(flow.remote, q.remote, 16);
                        both = policy_eval_flow(&from.stack, &h.host, &flow).passes &&
                                policy_eval_flow(&to.stack, &h.host, &flow).passes;
                        assert_int_equal(image_passes(image, &h.host, &flow, q.place), both);
                        n_passed += both;
                        n_refused += !both;
                }
        }
        assert_true(n_passed > 1000);
        assert_true(n_refused > 1000);
}

/* The last rule that names an interface goes, and with it the name from the numbering: until it has
 * gone the image asks the numbering that knows it. */
static void test_intersection_forgets_no_name(void **state) {
        _cleanup_(text_stack_done) TextStack s = {}, t = {};
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        char *eth0[] = { random_interfaces[0], NULL };
        PolicyHost with = { .netns = 5 }, without = { .netns = 5 };
        RandomQuestion q = { .view = CGP_VIEW_OUT, .protocol = 6, .port = 80 };

        assert_int_equal(policy_host_set_interfaces(&with, (char *const *const[]){ eth0 }, 1), 0);
        assert_int_equal(policy_host_set_interfaces(&without, NULL, 0), 0);
        text_stack_init(&s, A, A, POLICY_MODE_ENFORCE,
                (const char *const[]){ "deny out any via eth0", NULL });
        text_stack_init(
                &t, A, A, POLICY_MODE_ENFORCE, (const char *const[]){ "deny in tcp/80", NULL });
        image = intersect(&s.stack, &with, &t.stack, &without);

        assert_int_equal(image->config.interfaces_version, with.interfaces_version);
        q.place = CGP_PLACE_FIRST + policy_host_interface_id(&with, eth0);
        assert_int_equal(question_lookup(image, &with, &q).action, CGP_ACTION_DENY);
        q.place = CGP_PLACE_FIRST;
        assert_int_equal(question_lookup(image, &with, &q).action, CGP_ACTION_ALLOW);
        policy_host_done(&with);
        policy_host_done(&without);
}

static void test_intersection_of_one(void **state) {
        _cleanup_(text_stack_done) TextStack s = {};
        _cleanup_(policy_image_freep) PolicyImage *plain = NULL, *with_itself = NULL;
        PolicyCompileInput input;

        text_stack_init(&s, A, D, POLICY_MODE_ENFORCE,
                (const char *const[]){ "allow in tcp/80", "never out any to 10.0.0.0/8", NULL });
        input = random_input(&s.stack, NULL);
        assert_int_equal(policy_compile(&input, NULL, &plain), 0);
        assert_int_equal(policy_compile_intersection(&input, &input, NULL, &with_itself), 0);
        assert_true(plain->hash == with_itself->hash);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_compare_small),
                cmocka_unit_test(test_compare_places),
                cmocka_unit_test(test_compare_wide),
                cmocka_unit_test(test_compare_hosts),
                cmocka_unit_test(test_compare_cases),
                cmocka_unit_test(test_intersection),
                cmocka_unit_test(test_intersection_of_hosts),
                cmocka_unit_test(test_intersection_of_flows),
                cmocka_unit_test(test_intersection_forgets_no_name),
                cmocka_unit_test(test_intersection_of_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
