/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference evaluator: what it says of whole conversations, and why. Single views are held against
 * the compiler in its own test. */
#include "policy-random.h"
#include "policy-texts.h"
#include "policy/eval.h"

#define A       POLICY_DEFAULT_ALLOW
#define D       POLICY_DEFAULT_DENY
#define NOTHING (-1)

typedef struct Case {
        const char *name;
        const char *texts[TEXT_RULES_MAX];
        PolicyDefault def; /* of both directions */
        PolicyMode mode;
        unsigned direction;
        const char *remote;
        int protocol;
        uint16_t remote_port;
        uint16_t local_port;
        bool local_is_multicast;
        bool allow;
        bool passes;
        PolicyReason reason;
        int entry; /* index into texts, or NOTHING */
        int passed_over;
} Case;

static const Case cases[] = {
        { "out by the remote port", { "allow out tcp/443" }, D, POLICY_MODE_ENFORCE, CGP_DIR_OUT,
                "192.0.2.1", 6, 443, 40000, false, true, true, POLICY_REASON_RULE, 0, NOTHING },
        { "out, not by the local port", { "allow out tcp/40000" }, D, POLICY_MODE_ENFORCE,
                CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false, POLICY_REASON_DEFAULT,
                NOTHING, NOTHING },
        { "in by the local port", { "allow in tcp/80" }, D, POLICY_MODE_ENFORCE, CGP_DIR_IN,
                "192.0.2.1", 6, 50000, 80, false, true, true, POLICY_REASON_RULE, 0, NOTHING },
        { "in, not by the remote port", { "allow in tcp/50000" }, D, POLICY_MODE_ENFORCE,
                CGP_DIR_IN, "192.0.2.1", 6, 50000, 80, false, false, false, POLICY_REASON_DEFAULT,
                NOTHING, NOTHING },
        { "default allow", {}, A, POLICY_MODE_ENFORCE, CGP_DIR_IN, "192.0.2.1", 6, 50000, 80, false,
                true, true, POLICY_REASON_DEFAULT, NOTHING, NOTHING },
        { "what lost", { "deny out any", "allow out tcp/443" }, A, POLICY_MODE_ENFORCE, CGP_DIR_OUT,
                "192.0.2.1", 6, 443, 40000, false, true, true, POLICY_REASON_RULE, 1, 0 },
        { "the best of what lost",
                { "deny out any", "allow out any", "allow out tcp", "deny out tcp/443" }, A,
                POLICY_MODE_ENFORCE, CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false,
                POLICY_REASON_RULE, 3, 2 },
        { "what lost says the same", { "deny out any", "deny out tcp/443" }, A, POLICY_MODE_ENFORCE,
                CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false, POLICY_REASON_RULE, 1,
                NOTHING },
        { "never", { "never out any to 192.0.2.0/24", "allow out tcp/443 to 192.0.2.1" }, A,
                POLICY_MODE_ENFORCE, CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false,
                POLICY_REASON_NEVER, 0, 1 },
        /* A never of the other direction. */
        { "never in refuses out", { "never in any from 192.0.2.1", "allow out any" }, A,
                POLICY_MODE_ENFORCE, CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false,
                POLICY_REASON_NEVER, 0, 1 },
        { "never out refuses in", { "never out any to 192.0.2.1", "allow in tcp/80" }, A,
                POLICY_MODE_ENFORCE, CGP_DIR_IN, "192.0.2.1", 6, 50000, 80, false, false, false,
                POLICY_REASON_NEVER, 0, 1 },
        { "deny in does not refuse out", { "deny in any" }, A, POLICY_MODE_ENFORCE, CGP_DIR_OUT,
                "192.0.2.1", 6, 443, 40000, false, true, true, POLICY_REASON_DEFAULT, NOTHING,
                NOTHING },
        { "never in asks the local port", { "never in tcp/40000" }, A, POLICY_MODE_ENFORCE,
                CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false, POLICY_REASON_NEVER,
                0, NOTHING },
        { "never out asks the remote port", { "never out tcp/50000" }, A, POLICY_MODE_ENFORCE,
                CGP_DIR_IN, "192.0.2.1", 6, 50000, 80, false, false, false, POLICY_REASON_NEVER, 0,
                NOTHING },
        { "its own never comes first", { "never in any", "never out any" }, A, POLICY_MODE_ENFORCE,
                CGP_DIR_OUT, "192.0.2.1", 6, 443, 40000, false, false, false, POLICY_REASON_NEVER,
                1, NOTHING },
        { "unknown local port: no range from 0", { "never in tcp/1-65535" }, A, POLICY_MODE_ENFORCE,
                CGP_DIR_OUT, "192.0.2.1", 6, 443, 0, false, true, true, POLICY_REASON_DEFAULT,
                NOTHING, NOTHING },
        { "unknown local port: all ports", { "never in tcp" }, A, POLICY_MODE_ENFORCE, CGP_DIR_OUT,
                "192.0.2.1", 6, 443, 0, false, false, false, POLICY_REASON_NEVER, 0, NOTHING },
        { "no ports", { "never in icmp" }, A, POLICY_MODE_ENFORCE, CGP_DIR_OUT, "192.0.2.1", 1, 0,
                0, false, false, false, POLICY_REASON_NEVER, 0, NOTHING },
        { "never in from multicast is no never for out", { "never in any from multicast" }, A,
                POLICY_MODE_ENFORCE, CGP_DIR_OUT, "224.0.0.251", 17, 5353, 5353, false, true, true,
                POLICY_REASON_DEFAULT, NOTHING, NOTHING },
        /* Multicast. */
        { "to multicast", { "allow in udp/5353 from multicast" }, D, POLICY_MODE_ENFORCE,
                CGP_DIR_IN, "192.0.2.1", 17, 5353, 5353, true, true, true, POLICY_REASON_RULE, 0,
                NOTHING },
        { "the same, to us", { "allow in udp/5353 from multicast" }, D, POLICY_MODE_ENFORCE,
                CGP_DIR_IN, "192.0.2.1", 17, 5353, 5353, false, false, false, POLICY_REASON_DEFAULT,
                NOTHING, NOTHING },
        { "out to multicast", { "deny out udp to multicast" }, A, POLICY_MODE_ENFORCE, CGP_DIR_OUT,
                "ff02::fb", 17, 5353, 5353, false, false, false, POLICY_REASON_RULE, 0, NOTHING },
        { "local_is_multicast says nothing of out", { "allow in any from multicast" }, D,
                POLICY_MODE_ENFORCE, CGP_DIR_OUT, "192.0.2.1", 17, 5353, 5353, true, false, false,
                POLICY_REASON_DEFAULT, NOTHING, NOTHING },
        /* Modes. */
        { "audit lets pass", { "deny out tcp/443" }, A, POLICY_MODE_AUDIT, CGP_DIR_OUT, "192.0.2.1",
                6, 443, 40000, false, false, true, POLICY_REASON_RULE, 0, NOTHING },
        { "audit lets a never pass", { "never out tcp/443" }, A, POLICY_MODE_AUDIT, CGP_DIR_OUT,
                "192.0.2.1", 6, 443, 40000, false, false, true, POLICY_REASON_NEVER, 0, NOTHING },
        { "off", { "deny out tcp/443" }, A, POLICY_MODE_OFF, CGP_DIR_OUT, "192.0.2.1", 6, 443,
                40000, false, false, true, POLICY_REASON_OFF, 0, NOTHING },
};

static int index_of(const TextStack *s, const PolicyEntry *entry) {
        return entry ? (int)(entry - s->entries) : NOTHING;
}

static void test_cases(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = &cases[i];
                _cleanup_(text_stack_done) TextStack s = {};
                PolicyFlow flow = {
                        .direction = c->direction,
                        .protocol = c->protocol,
                        .remote_port = c->remote_port,
                        .local_port = c->local_port,
                        .local_is_multicast = c->local_is_multicast,
                };
                PolicyJudgement j;

                text_stack_init(&s, c->def, c->def, c->mode, c->texts);
                address_parse(c->remote, flow.remote);
                j = policy_eval_flow(&s.stack, &flow);
                if (j.allow != c->allow || j.passes != c->passes || j.reason != c->reason ||
                        index_of(&s, j.entry) != c->entry ||
                        index_of(&s, j.passed_over) != c->passed_over)
                        fail_msg("%s: allow %d, passes %d, reason %s, entry %d, passed over %d",
                                c->name, j.allow, j.passes, policy_reason_to_string(j.reason),
                                index_of(&s, j.entry), index_of(&s, j.passed_over));
                if (j.reason == POLICY_REASON_DEFAULT)
                        assert_int_equal(j.default_direction, c->direction);
        }
}

/* What a conversation is told follows from what its views are told. */
static void test_flow_follows_views(void **state) {
        unsigned n_never = 0;

        for (uint64_t seed = 1; seed <= 1000; seed++) {
                Random random = { .state = seed };
                RandomStack s;

                random_stack(&random, &wide_universe, &s);
                for (unsigned i = 0; i < 50; i++) {
                        RandomQuestion q = random_question(&random, &wide_universe, &s);
                        bool out = random_one_in(&random, 2);
                        PolicyFlow flow = {
                                .direction = out ? CGP_DIR_OUT : CGP_DIR_IN,
                                .protocol = q.protocol,
                                .remote_port = q.port,
                                .local_port = wide_ports[1 + random_below(&random, 18)],
                                .local_is_multicast = q.view == CGP_VIEW_IN_MULTICAST,
                        };
                        unsigned in_view =
                                flow.local_is_multicast ? CGP_VIEW_IN_MULTICAST : CGP_VIEW_IN;
                        unsigned own, other;
                        PolicyJudgement j;

                        memcpy(flow.remote, q.remote, 16);
                        j = policy_eval_flow(&s.stack, &flow);
                        (void)policy_eval_view(&s.stack, out ? CGP_VIEW_OUT : in_view, q.remote,
                                q.protocol, out ? flow.remote_port : flow.local_port, &own);
                        (void)policy_eval_view(&s.stack, out ? CGP_VIEW_IN : CGP_VIEW_OUT, q.remote,
                                q.protocol, out ? flow.local_port : flow.remote_port, &other);
                        assert_int_equal(
                                j.allow, own == CGP_ACTION_ALLOW && other != CGP_ACTION_NEVER);
                        n_never += own != CGP_ACTION_NEVER && other == CGP_ACTION_NEVER;
                }
        }
        assert_true(n_never > 500);
}

static void test_reasons_have_names(void **state) {
        assert_string_equal(policy_reason_to_string(POLICY_REASON_RULE), "rule");
        assert_string_equal(policy_reason_to_string(POLICY_REASON_NEVER), "never");
        assert_string_equal(policy_reason_to_string(POLICY_REASON_DEFAULT), "default");
        assert_string_equal(policy_reason_to_string(POLICY_REASON_OFF), "off");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_flow_follows_views),
                cmocka_unit_test(test_reasons_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
