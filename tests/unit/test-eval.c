/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference evaluator: what it says of whole conversations, and why. Single views are held against
 * the compiler in its own test. */
#include "policy/eval.h"

#include "policy-random.h"
#include "policy-test.h"
#include "random-texts.h"

#define TEXT_SERVICES (&test_services)
#include "policy-texts.h"

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

static const PolicyHost nothing_known = POLICY_HOST_INIT;

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
                j = policy_eval_flow(&s.stack, &nothing_known, &flow);
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

/* A host with networks, lists, and interfaces: 0 without names, and one each that is called "eth0", "uplink" and
 * "wan0", "wg0"; their ids are in that order. */
typedef struct TestHost {
        PolicyHost host;
        PolicyInterface interfaces[4];
        PolicyNetwork lan[4];
        PolicyNetwork broadcast[1];
        PolicyList *lists[2];
} TestHost;

static char *no_names[] = { NULL }, *eth0_names[] = { (char[]){ "eth0" }, NULL },
            *uplink_names[] = { (char[]){ "uplink" }, (char[]){ "wan0" }, NULL },
            *wg0_names[] = { (char[]){ "wg0" }, NULL };

enum { NO_NAME, ETH0, UPLINK, WG0 };

static PolicyNetwork network(const char *address, unsigned bits) {
        PolicyNetwork n = { .bits = (uint8_t)(strchr(address, ':') ? bits : bits + 96) };

        address_parse(address, n.address);
        return n;
}

static void test_host_init(TestHost *h) {
        char *const a[] = { (char[]){ "198.51.100.0/24" }, (char[]){ "198.51.100.128/25" },
                (char[]){ "2001:db8:a::/48" }, NULL };
        char *const b[] = { (char[]){ "198.51.100.129" }, (char[]){ "0.0.0.0/0" }, NULL };

        *h = (TestHost){
                .interfaces = { { no_names }, { eth0_names }, { uplink_names }, { wg0_names } },
                .lan = { network("10.1.0.0", 16), network("192.168.1.0", 24),
                        network("203.0.113.0", 24), network("2001:db8:1::", 64) },
                .broadcast = { network("10.1.255.255", 32) },
        };
        assert_int_equal(policy_list_from_strv("a", "t", 1, a, NULL, &h->lists[0]), 0);
        assert_int_equal(policy_list_from_strv("b", "t", 1, b, NULL, &h->lists[1]), 0);
        h->host = (PolicyHost){
                .lan = h->lan,
                .n_lan = ELEMENTSOF(h->lan),
                .broadcast = h->broadcast,
                .n_broadcast = ELEMENTSOF(h->broadcast),
                .interfaces = h->interfaces,
                .n_interfaces = ELEMENTSOF(h->interfaces),
                .lists = h->lists,
                .n_lists = ELEMENTSOF(h->lists),
        };
}

static void test_host_done(TestHost *h) {
        for (size_t i = 0; i < ELEMENTSOF(h->lists); i++)
                policy_list_unref(h->lists[i]);
}

#define ELSEWHERE \
        { .elsewhere = true }
#define UNDECIDED \
        { .undecided = true }
#define BY(id) \
        { .interface = (id) }
#define OUT   CGP_VIEW_OUT
#define IN    CGP_VIEW_IN
#define INM   CGP_VIEW_IN_MULTICAST
#define INB   CGP_VIEW_IN_BROADCAST
#define BIND  CGP_VIEW_BIND
#define ALLOW CGP_ACTION_ALLOW
#define DENY  CGP_ACTION_DENY
#define NEVER CGP_ACTION_NEVER

typedef struct ViewCase {
        const char *texts[TEXT_RULES_MAX];
        unsigned view;
        PolicyPlace place;
        const char *remote;
        uint16_t port; /* of TCP */
        unsigned action;
        int entry;
} ViewCase;

/* The default is deny, both ways. */
static const ViewCase view_cases[] = {
        /* via: by any name of the interface, and nowhere else */
        { { "allow via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, ALLOW, 0 },
        { { "allow via eth0" }, IN, BY(ETH0), "192.0.2.1", 80, ALLOW, 0 },
        { { "allow via eth0" }, OUT, BY(WG0), "192.0.2.1", 80, DENY, NOTHING },
        { { "allow via eth0" }, OUT, BY(NO_NAME), "192.0.2.1", 80, DENY, NOTHING },
        { { "allow via wan0" }, OUT, BY(UPLINK), "192.0.2.1", 80, ALLOW, 0 },
        { { "allow via uplink" }, OUT, BY(UPLINK), "192.0.2.1", 80, ALLOW, 0 },
        { { "allow via gone" }, OUT, BY(UPLINK), "192.0.2.1", 80, DENY, NOTHING },
        { { "deny via eth0", "allow any" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, 0 },
        { { "deny via eth0", "allow any" }, OUT, BY(WG0), "192.0.2.1", 80, ALLOW, 1 },
        /* a named interface is the last thing that makes a rule specific */
        { { "deny any", "allow via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, ALLOW, 1 },
        { { "deny tcp", "allow via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, 0 },
        { { "deny out tcp/80", "allow tcp via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, 0 },
        { { "deny to 192.0.2.0/24", "allow out tcp/80 via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80,
                DENY, 0 },
        { { "allow via eth0", "deny via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, 1 },
        { { "never any", "allow via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, NEVER, 0 },
        { { "0 deny any", "1 never via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, NEVER, 1 },
        { { "0 allow any", "2 deny via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, ALLOW, 0 },
        /* elsewhere an allow never holds, a refusal always, and then as if it named no interface */
        { { "allow via eth0" }, OUT, ELSEWHERE, "192.0.2.1", 80, DENY, NOTHING },
        { { "allow any", "deny via gone" }, OUT, ELSEWHERE, "192.0.2.1", 80, DENY, 1 },
        { { "allow any", "never via gone" }, IN, ELSEWHERE, "192.0.2.1", 80, NEVER, 1 },
        { { "deny via wg0", "deny via eth0" }, OUT, ELSEWHERE, "192.0.2.1", 80, DENY, 0 },
        { { "deny any", "deny via eth0" }, OUT, ELSEWHERE, "192.0.2.1", 80, DENY, 0 },
        { { "deny any", "deny via eth0" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, 1 },
        { { "allow tcp", "deny via eth0" }, OUT, ELSEWHERE, "192.0.2.1", 80, ALLOW, 0 },
        /* an interface that the host does not have */
        { { "allow any", "deny via eth0" }, OUT, BY(9), "192.0.2.1", 80, ALLOW, 0 },
        /* undecided: the mildest */
        { { "allow via wg0" }, OUT, UNDECIDED, "192.0.2.1", 80, ALLOW, 0 },
        { { "allow via gone" }, OUT, UNDECIDED, "192.0.2.1", 80, DENY, NOTHING },
        { { "allow any", "deny via eth0" }, OUT, UNDECIDED, "192.0.2.1", 80, ALLOW, 0 },
        { { "never via eth0", "deny any" }, OUT, UNDECIDED, "192.0.2.1", 80, DENY, 1 },
        { { "never any" }, OUT, UNDECIDED, "192.0.2.1", 80, NEVER, 0 },
        { { "allow via wg0", "allow via eth0" }, OUT, UNDECIDED, "192.0.2.1", 80, ALLOW, 1 },
        { { "allow via wg0", "allow via eth0" }, OUT, { .elsewhere = true, .undecided = true },
                "192.0.2.1", 80, DENY, NOTHING },
        /* lan: as long as the network that matched */
        { { "allow to lan" }, OUT, BY(ETH0), "10.1.2.3", 80, ALLOW, 0 },
        { { "allow to lan" }, OUT, BY(ETH0), "10.2.0.0", 80, DENY, NOTHING },
        { { "allow to lan" }, OUT, BY(ETH0), "2001:db8:1::9", 80, ALLOW, 0 },
        { { "allow to lan" }, OUT, BY(ETH0), "2001:db8:1:1::", 80, DENY, NOTHING },
        { { "allow to lan", "deny to 10.1.0.0/17" }, OUT, BY(ETH0), "10.1.2.3", 80, DENY, 1 },
        { { "allow to lan", "deny to 10.0.0.0/8" }, OUT, BY(ETH0), "10.1.2.3", 80, ALLOW, 0 },
        { { "allow to lan", "deny to 10.1.0.0/16" }, OUT, BY(ETH0), "10.1.2.3", 80, DENY, 1 },
        { { "allow to lan", "deny to 2001:db8:1::/63" }, OUT, BY(ETH0), "2001:db8:1::9", 80, ALLOW,
                0 },
        { { "allow to lan" }, OUT, UNDECIDED, "10.1.2.3", 80, ALLOW, 0 },
        { { "allow to lan" }, OUT, ELSEWHERE, "10.1.2.3", 80, DENY, NOTHING },
        { { "allow any", "deny to lan" }, OUT, ELSEWHERE, "10.1.2.3", 80, DENY, 1 },
        { { "allow any", "deny to lan" }, OUT, ELSEWHERE, "10.2.2.3", 80, ALLOW, 0 },
        { { "allow to lan,10.0.0.0/8" }, OUT, ELSEWHERE, "10.1.2.3", 80, ALLOW, 0 },
        { { "allow to lan,10.0.0.0/8", "deny to 10.0.0.0/12" }, OUT, ELSEWHERE, "10.1.2.3", 80,
                DENY, 1 },
        { { "allow to lan,10.0.0.0/8", "deny to 10.0.0.0/12" }, OUT, BY(ETH0), "10.1.2.3", 80,
                ALLOW, 0 },
        { { "allow from lan" }, IN, BY(ETH0), "192.168.1.7", 80, ALLOW, 0 },
        { { "allow from lan via wg0" }, IN, BY(ETH0), "192.168.1.7", 80, DENY, NOTHING },
        /* lists: the longest network of the list */
        { { "allow to @a" }, OUT, BY(ETH0), "198.51.100.1", 80, ALLOW, 0 },
        { { "allow to @a" }, OUT, ELSEWHERE, "198.51.100.1", 80, ALLOW, 0 },
        { { "allow to @a" }, OUT, BY(ETH0), "198.51.101.1", 80, DENY, NOTHING },
        { { "allow to @a" }, OUT, BY(ETH0), "2001:db8:a::1", 80, ALLOW, 0 },
        { { "allow to @a", "deny to 198.51.100.0/24" }, OUT, BY(ETH0), "198.51.100.1", 80, DENY,
                1 },
        { { "allow to @a", "deny to 198.51.100.0/24" }, OUT, BY(ETH0), "198.51.100.200", 80, ALLOW,
                0 },
        { { "allow to @a", "deny to @b" }, OUT, BY(ETH0), "198.51.100.129", 80, DENY, 1 },
        { { "allow to @a", "deny to @b" }, OUT, BY(ETH0), "198.51.100.130", 80, ALLOW, 0 },
        { { "allow to @b", "deny any" }, OUT, BY(ETH0), "8.8.8.8", 80, DENY, 1 },
        { { "allow to @b" }, OUT, BY(ETH0), "2001:db8:a::1", 80, DENY, NOTHING },
        { { "allow to @unknown" }, OUT, BY(ETH0), "198.51.100.1", 80, DENY, NOTHING },
        { { "never from @a", "allow any" }, IN, BY(ETH0), "198.51.100.1", 80, NEVER, 0 },
        /* internet: /0, and never a network of the host's */
        { { "allow to internet" }, OUT, BY(ETH0), "8.8.8.8", 80, ALLOW, 0 },
        { { "allow to internet" }, OUT, ELSEWHERE, "8.8.8.8", 80, ALLOW, 0 },
        { { "allow to internet" }, OUT, BY(ETH0), "2600::1", 80, ALLOW, 0 },
        { { "allow to internet" }, OUT, BY(ETH0), "10.9.9.9", 80, DENY, NOTHING },
        { { "allow to internet" }, OUT, BY(ETH0), "127.0.0.1", 80, DENY, NOTHING },
        { { "allow to internet" }, OUT, BY(ETH0), "fe80::1", 80, DENY, NOTHING },
        { { "allow to internet", "deny any" }, OUT, BY(ETH0), "8.8.8.8", 80, DENY, 1 },
        { { "allow out tcp/80 to internet", "deny any" }, OUT, BY(ETH0), "8.8.8.8", 80, ALLOW, 0 },
        { { "allow to internet", "deny to 8.0.0.0/7" }, OUT, BY(ETH0), "8.8.8.8", 80, DENY, 1 },
        /* broadcast: an address when we send, how it came when we receive */
        { { "allow to broadcast" }, OUT, BY(ETH0), "255.255.255.255", 80, ALLOW, 0 },
        { { "allow to broadcast" }, OUT, BY(ETH0), "10.1.255.255", 80, ALLOW, 0 },
        { { "allow to broadcast" }, OUT, ELSEWHERE, "10.1.255.255", 80, ALLOW, 0 },
        { { "allow to broadcast" }, OUT, BY(ETH0), "10.1.255.254", 80, DENY, NOTHING },
        { { "allow to broadcast" }, OUT, BY(ETH0), "ff02::1", 80, DENY, NOTHING },
        { { "allow from broadcast" }, INB, BY(ETH0), "10.1.2.3", 80, ALLOW, 0 },
        { { "allow from broadcast" }, INB, BY(ETH0), "fe80::1", 80, DENY, NOTHING },
        { { "allow from broadcast" }, IN, BY(ETH0), "255.255.255.255", 80, DENY, NOTHING },
        { { "allow from broadcast" }, INM, BY(ETH0), "10.1.2.3", 80, DENY, NOTHING },
        { { "allow from multicast" }, INB, BY(ETH0), "10.1.2.3", 80, DENY, NOTHING },
        { { "allow from broadcast", "deny from 10.1.2.3" }, INB, BY(ETH0), "10.1.2.3", 80, DENY,
                1 },
        { { "allow from broadcast", "deny from 10.1.2.2/31" }, INB, BY(ETH0), "10.1.2.3", 80, ALLOW,
                0 },
        { { "allow from 10.1.2.3" }, INB, BY(ETH0), "10.1.2.3", 80, ALLOW, 0 },
        /* bind: rules of its own; the default is allow */
        { { "deny any", "never in any", "never out any" }, BIND, UNDECIDED, "0.0.0.0", 80, ALLOW,
                NOTHING },
        { { "deny bind" }, BIND, UNDECIDED, "0.0.0.0", 80, DENY, 0 },
        { { "deny bind" }, OUT, BY(ETH0), "192.0.2.1", 80, DENY, NOTHING },
        { { "allow bind" }, IN, BY(ETH0), "192.0.2.1", 80, DENY, NOTHING },
        { { "deny bind tcp/1-1023" }, BIND, UNDECIDED, "::", 80, DENY, 0 },
        { { "deny bind tcp/1-1023" }, BIND, UNDECIDED, "::", 8080, ALLOW, NOTHING },
        { { "deny bind", "allow bind tcp/80 to localhost" }, BIND, UNDECIDED, "127.0.0.1", 80,
                ALLOW, 1 },
        { { "deny bind", "allow bind tcp/80 to localhost" }, BIND, UNDECIDED, "0.0.0.0", 80, DENY,
                0 },
        { { "never bind tcp/80", "allow bind tcp/80 to ::1" }, BIND, UNDECIDED, "::1", 80, NEVER,
                0 },
        { { "deny bind", "allow bind to lan" }, BIND, UNDECIDED, "10.1.0.1", 80, ALLOW, 1 },
        { { "deny bind", "allow bind to lan" }, BIND, ELSEWHERE, "10.1.0.1", 80, DENY, 0 },
        { { "deny bind to multicast" }, BIND, UNDECIDED, "224.0.0.251", 80, DENY, 0 },
        { { "deny bind to multicast" }, BIND, UNDECIDED, "ff02::fb", 80, DENY, 0 },
        { { "deny bind to broadcast" }, BIND, UNDECIDED, "255.255.255.255", 80, DENY, 0 },
};

static void test_views(void **state) {
        _cleanup_(test_host_done) TestHost h;

        test_host_init(&h);
        for (size_t i = 0; i < ELEMENTSOF(view_cases); i++) {
                const ViewCase *c = &view_cases[i];
                _cleanup_(text_stack_done) TextStack s = {};
                const PolicyEntry *entry;
                unsigned action = CGP_ACTION_NONE;
                uint8_t remote[16];

                text_stack_init(&s, D, D, POLICY_MODE_ENFORCE, c->texts);
                address_parse(c->remote, remote);
                entry = policy_eval_view(
                        &s.stack, &h.host, c->view, &c->place, remote, 6, c->port, &action);
                if (action != c->action || index_of(&s, entry) != c->entry)
                        fail_msg("case %zu, \"%s\", %s: action %u, entry %d", i, c->texts[0],
                                c->remote, action, index_of(&s, entry));
        }
}

/* Without interfaces there still is one, the one without names. */
static void test_undecided_of_unknown_host(void **state) {
        static const char *const texts[] = { "deny any", "allow via eth0", NULL };
        static const PolicyPlace undecided = UNDECIDED;
        _cleanup_(text_stack_done) TextStack s = {};
        const uint8_t remote[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
        unsigned action = CGP_ACTION_NONE;

        text_stack_init(&s, A, A, POLICY_MODE_ENFORCE, texts);
        assert_ptr_equal(
                policy_eval_view(&s.stack, &nothing_known, OUT, &undecided, remote, 6, 80, &action),
                &s.entries[0]);
        assert_int_equal(action, DENY);
}

/* Conversations by place and kind, where they are more than their view. */
static void test_flows(void **state) {
        static const struct {
                const char *texts[TEXT_RULES_MAX];
                PolicyFlow flow;
                bool allow;
                PolicyReason reason;
                int entry;
        } flows[] = {
                /* bind: the local port, and nothing of the other directions */
                { { "deny bind tcp/80", "never out any", "never in any" },
                        { CGP_DIR_BIND, 6, .local_port = 80 }, false, POLICY_REASON_RULE, 0 },
                { { "deny bind tcp/80", "never out any", "never in any" },
                        { CGP_DIR_BIND, 6, .local_port = 81, .remote_port = 80 }, true,
                        POLICY_REASON_DEFAULT, NOTHING },
                { { "never bind" }, { CGP_DIR_BIND, 6, .local_port = 81 }, false,
                        POLICY_REASON_NEVER, 0 },
                { { "never bind", "allow any" }, { CGP_DIR_OUT, 6, .remote_port = 80 }, true,
                        POLICY_REASON_RULE, 1 },
                /* a never of the other direction, on one interface of several */
                { { "never in any via eth0", "allow out" },
                        { CGP_DIR_OUT, 6, .remote_port = 80, .place = BY(ETH0) }, false,
                        POLICY_REASON_NEVER, 0 },
                { { "never in any via eth0", "allow out" },
                        { CGP_DIR_OUT, 6, .remote_port = 80, .place = BY(WG0) }, true,
                        POLICY_REASON_RULE, 1 },
                { { "never in any via eth0", "allow out" },
                        { CGP_DIR_OUT, 6, .remote_port = 80, .place = UNDECIDED }, true,
                        POLICY_REASON_RULE, 1 },
                { { "never in any via eth0", "allow out" },
                        { CGP_DIR_OUT, 6, .remote_port = 80, .place = ELSEWHERE }, false,
                        POLICY_REASON_NEVER, 0 },
                { { "never from broadcast", "allow out" },
                        { CGP_DIR_OUT, 6, .remote_port = 80, .local_is_broadcast = true }, true,
                        POLICY_REASON_RULE, 1 },
                { { "never from broadcast", "allow out" },
                        { CGP_DIR_IN, 6, .local_port = 80, .local_is_broadcast = true }, false,
                        POLICY_REASON_NEVER, 0 },
        };
        _cleanup_(test_host_done) TestHost h;

        test_host_init(&h);
        for (size_t i = 0; i < ELEMENTSOF(flows); i++) {
                _cleanup_(text_stack_done) TextStack s = {};
                PolicyFlow flow = flows[i].flow;
                PolicyJudgement j;

                text_stack_init(&s, D, D, POLICY_MODE_ENFORCE, flows[i].texts);
                address_parse("192.0.2.1", flow.remote);
                j = policy_eval_flow(&s.stack, &h.host, &flow);
                if (j.allow != flows[i].allow || j.reason != flows[i].reason ||
                        index_of(&s, j.entry) != flows[i].entry)
                        fail_msg("case %zu: allow %d, reason %s, entry %d", i, j.allow,
                                policy_reason_to_string(j.reason), index_of(&s, j.entry));
                assert_int_equal(j.default_direction, flow.direction);
        }
}

static void random_flow(uint64_t *random, PolicyFlow *flow) {
        static const char *const remotes[] = { "10.1.2.3", "10.0.0.1", "10.0.0.5", "192.0.2.1",
                "127.0.0.1", "::1", "2001:db8::1", "198.51.100.129", "8.8.8.8", "255.255.255.255",
                "224.0.0.251", "ff02::fb", "169.254.1.1" };
        static const uint16_t ports[] = { 0, 1, 22, 53, 80, 443, 1024, 65535 };
        static const uint8_t protocols[] = { 6, 17, 1, 47 };
        uint32_t place = test_random(random) % 6;

        *flow = (PolicyFlow){
                .direction = test_random(random) % 3,
                .protocol = protocols[test_random(random) % ELEMENTSOF(protocols)],
                .remote_port = ports[test_random(random) % ELEMENTSOF(ports)],
                .local_port = ports[test_random(random) % ELEMENTSOF(ports)],
                .place = { .elsewhere = place == 4,
                        .undecided = place == 5,
                        .interface = place % 4 },
        };
        if (flow->direction == CGP_DIR_IN) {
                flow->local_is_multicast = test_random(random) % 4 == 0;
                flow->local_is_broadcast =
                        !flow->local_is_multicast && test_random(random) % 4 == 0;
        }
        address_parse(remotes[test_random(random) % ELEMENTSOF(remotes)], flow->remote);
}

/* What a conversation is told follows from what its views are told. */
static void test_flow_follows_views(void **state) {
        static const unsigned own_views[] = { OUT, IN, BIND };
        uint64_t random = 0x9216d5d98979fb1bULL;
        unsigned n_never = 0, n_allowed = 0;
        _cleanup_(test_host_done) TestHost h;

        test_host_init(&h);
        for (unsigned i = 0; i < 3000; i++) {
                _cleanup_(text_stack_done) TextStack s = {};
                RandomBody bodies[TEXT_RULES_MAX - 1];
                char rules[TEXT_RULES_MAX - 1][RANDOM_BODY_SIZE + 16];
                const char *texts[TEXT_RULES_MAX] = {};

                for (size_t k = 0; k < ELEMENTSOF(rules); k++) {
                        random_body(&random, bodies + k);
                        (void)snprintf(rules[k], sizeof(rules[k]), "%u %s %s",
                                test_random(&random) % 3,
                                policy_verdict_to_string(
                                        test_random(&random) % _POLICY_VERDICT_MAX),
                                bodies[k].text);
                        texts[k] = rules[k];
                }
                text_stack_init(&s, i % 2 ? A : D, i % 3 ? A : D, POLICY_MODE_ENFORCE, texts);
                for (unsigned k = 0; k < 30; k++) {
                        unsigned own, other = CGP_ACTION_NONE;
                        PolicyJudgement j;
                        PolicyFlow flow;
                        bool out;

                        random_flow(&random, &flow);
                        out = flow.direction == CGP_DIR_OUT;
                        j = policy_eval_flow(&s.stack, &h.host, &flow);
                        (void)policy_eval_view(&s.stack, &h.host,
                                flow.local_is_multicast           ? INM
                                        : flow.local_is_broadcast ? INB
                                                                  : own_views[flow.direction],
                                &flow.place, flow.remote, flow.protocol,
                                out ? flow.remote_port : flow.local_port, &own);
                        if (flow.direction != CGP_DIR_BIND)
                                (void)policy_eval_view(&s.stack, &h.host, out ? IN : OUT,
                                        &flow.place, flow.remote, flow.protocol,
                                        out ? flow.local_port : flow.remote_port, &other);
                        assert_int_equal(j.allow, own == ALLOW && other != NEVER);
                        n_never += own != NEVER && other == NEVER;
                        n_allowed += j.allow;
                }
        }
        assert_true(n_never > 500);
        assert_true(n_allowed > 5000);
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
                cmocka_unit_test(test_views),
                cmocka_unit_test(test_undecided_of_unknown_host),
                cmocka_unit_test(test_flows),
                cmocka_unit_test(test_flow_follows_views),
                cmocka_unit_test(test_reasons_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
