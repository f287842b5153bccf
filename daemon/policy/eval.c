/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference evaluator. Every question is answered by a walk over all rules, each service and each peer
 * of them; nothing is prepared, merged or remembered between two questions. Where the interface is not
 * decided yet, each of the host's is asked.
 */
#include "policy/eval.h"

#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "cgp-abi.h"
#include "util/macro.h"

/* What a rule is asked about. */
typedef struct Question {
        const PolicyHost *host;
        unsigned direction;    /* POLICY_DIRECTION_* */
        bool to_multicast;     /* in: the packet's destination is a multicast address of ours */
        bool to_broadcast;     /* likewise, a broadcast address */
        const uint8_t *remote; /* bind: the local address */
        uint8_t protocol;
        uint16_t port;
        bool elsewhere;
        size_t interface; /* unless elsewhere: index into the host's */
} Question;

/* How one element of an entry matches: what precedence is judged by. */
typedef struct Match {
        const PolicyEntry *entry; /* NULL: no match */
        const PolicyPeer *peer;   /* of the element */
        unsigned prefix_len;
        unsigned n_ports; /* beside the first */
        bool any_protocol;
        bool any_interface;
} Match;

typedef struct Answer {
        Match best;
        Match best_allow;
        Match best_refusal;
} Answer;

static bool address_is_v4(const uint8_t address[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static bool address_has_prefix(const uint8_t address[16], const uint8_t prefix[16], unsigned bits) {
        for (unsigned i = 0; i < bits; i++) {
                uint8_t mask = 0x80 >> i % 8;

                if ((address[i / 8] & mask) != (prefix[i / 8] & mask))
                        return false;
        }
        return true;
}

/* The prefix of an inclusive range's cover that holds the address: the widest aligned block around the
 * address that lies in the range. Counts bits of all 16 bytes. */
static bool range_covers(const PolicyPeer *peer, const uint8_t address[16], unsigned *ret_bits) {
        uint8_t low[16], high[16];
        unsigned bits = 128;

        if (memcmp(address, peer->address, 16) < 0 || memcmp(address, peer->last, 16) > 0)
                return false;

        memcpy(low, address, sizeof(low));
        memcpy(high, address, sizeof(high));
        for (; bits > 0; bits--) {
                unsigned i = bits - 1;

                low[i / 8] &= ~(0x80 >> i % 8);
                high[i / 8] |= 0x80 >> i % 8;
                if (memcmp(low, peer->address, 16) < 0 || memcmp(high, peer->last, 16) > 0)
                        break;
        }
        *ret_bits = bits;
        return true;
}

static bool question_matches_multicast(const Question *q, bool v4, unsigned *ret_len) {
        *ret_len = v4 ? 4 : 8;

        if (q->direction == POLICY_DIRECTION_IN)
                return q->to_multicast;
        return v4 ? (q->remote[12] & 0xf0) == 0xe0 : q->remote[0] == 0xff;
}

static bool network_holds(const PolicyNetwork *network, const uint8_t address[16]) {
        bool v4 = network->bits >= 96 && address_is_v4(network->address);

        return v4 == address_is_v4(address) &&
                address_has_prefix(address, network->address, network->bits);
}

/* IPv6 has no broadcast. */
static bool question_matches_broadcast(const Question *q, bool v4, unsigned *ret_len) {
        static const uint8_t limited[4] = { 255, 255, 255, 255 };

        *ret_len = 32;
        if (!v4)
                return false;
        if (q->direction == POLICY_DIRECTION_IN)
                return q->to_broadcast;
        if (memcmp(q->remote + 12, limited, sizeof(limited)) == 0)
                return true;
        for (size_t i = 0; i < q->host->n_broadcast; i++)
                if (network_holds(&q->host->broadcast[i], q->remote))
                        return true;
        return false;
}

/* The longest of the host's networks that holds the address counts. */
static bool question_matches_lan(const Question *q, bool v4, unsigned *ret_len) {
        bool found = false;

        *ret_len = 0;
        for (size_t i = 0; i < q->host->n_lan; i++) {
                const PolicyNetwork *network = &q->host->lan[i];

                if (!network_holds(network, q->remote))
                        continue;
                *ret_len = MAX(*ret_len, v4 ? network->bits - 96U : network->bits);
                found = true;
        }
        return found;
}

static bool question_matches_list(const Question *q, const char *name, unsigned *ret_len) {
        const PolicyList *list = policy_host_list(q->host, name);
        int len = list ? policy_list_match(list, q->remote) : -1;

        if (len < 0)
                return false;
        *ret_len = (unsigned)len;
        return true;
}

/* Does the peer match the remote address, and with what length in the address's own family? */
static bool peer_matches(const PolicyPeer *peer, const Question *q, unsigned *ret_len) {
        static const uint8_t loopback6[16] = { [15] = 1 };
        const uint8_t *a = q->remote;
        bool v4 = address_is_v4(a);
        unsigned bits;

        switch (peer->type) {
        case POLICY_PEER_ANY:
                *ret_len = 0;
                return true;
        case POLICY_PEER_PREFIX:
                *ret_len = peer->prefix_len;
                return (peer->family == AF_INET) == v4 &&
                        address_has_prefix(a, peer->address, peer->prefix_len + (v4 ? 96 : 0));
        case POLICY_PEER_RANGE:
                if ((peer->family == AF_INET) != v4 || !range_covers(peer, a, &bits))
                        return false;
                *ret_len = v4 ? bits - 96 : bits;
                return true;
        case POLICY_PEER_LOCALHOST:
                *ret_len = v4 ? 8 : 128;
                return v4 ? a[12] == 127 : memcmp(a, loopback6, sizeof(loopback6)) == 0;
        case POLICY_PEER_LINK_LOCAL:
                *ret_len = v4 ? 16 : 10;
                return v4 ? a[12] == 169 && a[13] == 254 : a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
        case POLICY_PEER_MULTICAST:
                return question_matches_multicast(q, v4, ret_len);
        case POLICY_PEER_BROADCAST:
                return question_matches_broadcast(q, v4, ret_len);
        case POLICY_PEER_LAN:
                return question_matches_lan(q, v4, ret_len);
        case POLICY_PEER_INTERNET:
                *ret_len = 0;
                return policy_host_is_internet(q->host, a);
        case POLICY_PEER_LIST:
                return question_matches_list(q, peer->list, ret_len);
        case _POLICY_PEER_TYPE_MAX:
                break;
        }
        return false;
}

static bool service_matches(const PolicyService *service, const Question *q) {
        if (service->protocol != POLICY_PROTOCOL_ANY && service->protocol != q->protocol)
                return false;
        return q->port >= service->port_min && q->port <= service->port_max;
}

static bool interface_is_named(const Question *q, const char *name) {
        if (q->interface >= q->host->n_interfaces)
                return false;
        for (char **s = q->host->interfaces[q->interface].names; s && *s; s++)
                if (streq(*s, name))
                        return true;
        return false;
}

/* Does the rule hold where the question is asked? Elsewhere nobody knows the interface: what `via` would
 * refuse is refused, as if it did not say so, and what it would allow is not allowed. */
static bool rule_holds_here(const PolicyRule *rule, const Question *q, bool *ret_any_interface) {
        *ret_any_interface = !rule->via || q->elsewhere;
        if (!rule->via)
                return true;
        if (q->elsewhere)
                return rule->verdict != POLICY_ALLOW;
        return interface_is_named(q, rule->via);
}

/* The host's networks are not those of another network namespace: being in them there earns nothing. */
static bool peer_holds_here(const PolicyPeer *peer, const PolicyRule *rule, const Question *q) {
        return peer->type != POLICY_PEER_LAN || !q->elsewhere || rule->verdict != POLICY_ALLOW;
}

/* Does a decide over b? On a full tie the first one stays. */
static bool match_beats(const Match *a, const Match *b) {
        bool never_a, never_b, allow_a, allow_b;

        if (!b->entry)
                return true;

        never_a = a->entry->rule->verdict == POLICY_NEVER;
        never_b = b->entry->rule->verdict == POLICY_NEVER;
        if (never_a != never_b)
                return never_a;
        if (a->entry->rank != b->entry->rank)
                return a->entry->rank < b->entry->rank;
        if (a->prefix_len != b->prefix_len)
                return a->prefix_len > b->prefix_len;
        if (a->n_ports != b->n_ports)
                return a->n_ports < b->n_ports;
        if (a->any_protocol != b->any_protocol)
                return b->any_protocol;
        if (a->any_interface != b->any_interface)
                return b->any_interface;
        allow_a = a->entry->rule->verdict == POLICY_ALLOW;
        allow_b = b->entry->rule->verdict == POLICY_ALLOW;
        if (allow_a != allow_b)
                return allow_b;
        return a->entry->number < b->entry->number;
}

static void match_take(Match *best, const Match *candidate) {
        if (match_beats(candidate, best))
                *best = *candidate;
}

static void answer_entry(Answer *answer, const PolicyEntry *entry, const Question *q) {
        const PolicyRule *rule = entry->rule;
        bool any_interface;

        if (!(rule->directions & q->direction) || !rule_holds_here(rule, q, &any_interface))
                return;

        for (size_t i = 0; i < rule->n_peers; i++) {
                unsigned len;

                if (!peer_holds_here(&rule->peers[i], rule, q) ||
                        !peer_matches(&rule->peers[i], q, &len))
                        continue;
                for (size_t k = 0; k < rule->n_services; k++) {
                        const PolicyService *service = &rule->services[k];
                        Match match = {
                                .entry = entry,
                                .peer = &rule->peers[i],
                                .prefix_len = len,
                                .n_ports = service->port_max - service->port_min,
                                .any_protocol = service->protocol == POLICY_PROTOCOL_ANY,
                                .any_interface = any_interface,
                        };

                        if (!service_matches(service, q))
                                continue;
                        match_take(&answer->best, &match);
                        match_take(rule->verdict == POLICY_ALLOW ? &answer->best_allow
                                                                 : &answer->best_refusal,
                                &match);
                }
        }
}

static Answer answer_here(const PolicyStack *stack, const Question *q) {
        Answer answer = {};

        for (size_t i = 0; i < stack->n_entries; i++)
                answer_entry(&answer, &stack->entries[i], q);
        return answer;
}

static bool default_allows(const PolicyStack *stack, unsigned direction) {
        switch (direction) {
        case POLICY_DIRECTION_OUT:
                return stack->default_out == POLICY_DEFAULT_ALLOW;
        case POLICY_DIRECTION_IN:
                return stack->default_in == POLICY_DEFAULT_ALLOW;
        default:
                return true; /* a local port alone reaches nobody */
        }
}

static unsigned answer_action(const PolicyStack *stack, const Question *q, const Answer *answer) {
        const PolicyEntry *entry = answer->best.entry;

        if (!entry)
                return default_allows(stack, q->direction) ? CGP_ACTION_ALLOW : CGP_ACTION_DENY;
        switch (entry->rule->verdict) {
        case POLICY_ALLOW:
                return CGP_ACTION_ALLOW;
        case POLICY_NEVER:
                return CGP_ACTION_NEVER;
        case POLICY_DENY:
        case _POLICY_VERDICT_MAX:
                break;
        }
        return CGP_ACTION_DENY;
}

/* A system call comes before the route: what one of the interfaces would let pass is not refused here. The
 * packet itself is judged again. Actions are numbered by strictness. */
static Answer answer_undecided(const PolicyStack *stack, Question q) {
        Answer mildest = {};
        unsigned mildest_action = UINT_MAX;

        /* Interface 0 is the one without names, also of a host that nothing is known of. */
        for (q.interface = 0; q.interface < MAX(q.host->n_interfaces, (size_t)1); q.interface++) {
                Answer answer = answer_here(stack, &q);
                unsigned action = answer_action(stack, &q, &answer);

                if (action < mildest_action) {
                        mildest = answer;
                        mildest_action = action;
                }
        }
        return mildest;
}

static Answer answer_question(
        const PolicyStack *stack, const Question *question, const PolicyPlace *place) {
        Question q = *question;

        q.elsewhere = place->elsewhere;
        q.interface = place->interface;
        if (place->undecided && !place->elsewhere)
                return answer_undecided(stack, q);
        return answer_here(stack, &q);
}

static unsigned view_direction(unsigned view) {
        switch (view) {
        case CGP_VIEW_OUT:
                return POLICY_DIRECTION_OUT;
        case CGP_VIEW_BIND:
                return POLICY_DIRECTION_BIND;
        default:
                return POLICY_DIRECTION_IN;
        }
}

const PolicyEntry *policy_eval_view(const PolicyStack *stack, const PolicyHost *host, unsigned view,
        const PolicyPlace *place, const uint8_t remote[16], uint8_t protocol, uint16_t port,
        unsigned *ret_action) {
        Question q = {
                .host = host,
                .direction = view_direction(view),
                .to_multicast = view == CGP_VIEW_IN_MULTICAST,
                .to_broadcast = view == CGP_VIEW_IN_BROADCAST,
                .remote = remote,
                .protocol = protocol,
                .port = port,
        };
        Answer answer = answer_question(stack, &q, place);

        *ret_action = answer_action(stack, &q, &answer);
        return answer.best.entry;
}

static Question flow_question(const PolicyHost *host, const PolicyFlow *flow, unsigned direction) {
        bool in = direction == POLICY_DIRECTION_IN;

        return (Question){
                .host = host,
                .direction = direction,
                .to_multicast = in && flow->local_is_multicast,
                .to_broadcast = in && flow->local_is_broadcast,
                .remote = flow->remote,
                .protocol = flow->protocol,
                .port = direction == POLICY_DIRECTION_OUT ? flow->remote_port : flow->local_port,
        };
}

/* The NEVER that refuses the same packets, seen as a conversation that the other side opens; or none. */
static Match never_of_other_direction(
        const PolicyStack *stack, const PolicyHost *host, const PolicyFlow *flow) {
        Match match;
        Question q;

        if (flow->direction == CGP_DIR_BIND)
                return (Match){};
        q = flow_question(host, flow,
                flow->direction == CGP_DIR_OUT ? POLICY_DIRECTION_IN : POLICY_DIRECTION_OUT);
        /* Nothing was sent to a group yet when the other side begins. */
        q.to_multicast = false;
        q.to_broadcast = false;
        match = answer_question(stack, &q, &flow->place).best;
        return match.entry && match.entry->rule->verdict == POLICY_NEVER ? match : (Match){};
}

static unsigned flow_direction(const PolicyFlow *flow) {
        switch (flow->direction) {
        case CGP_DIR_OUT:
                return POLICY_DIRECTION_OUT;
        case CGP_DIR_BIND:
                return POLICY_DIRECTION_BIND;
        default:
                return POLICY_DIRECTION_IN;
        }
}

PolicyJudgement policy_eval_flow(
        const PolicyStack *stack, const PolicyHost *host, const PolicyFlow *flow) {
        Question q = flow_question(host, flow, flow_direction(flow));
        Answer answer = answer_question(stack, &q, &flow->place);
        Match other = never_of_other_direction(stack, host, flow), best = answer.best;
        const PolicyEntry *entry;
        PolicyJudgement judgement = { .default_direction = flow->direction };

        /* A NEVER of the direction itself is the better explanation, so the other one comes second. */
        if ((!best.entry || best.entry->rule->verdict != POLICY_NEVER) && other.entry)
                best = other;

        judgement.entry = entry = best.entry;
        judgement.peer = best.peer;
        judgement.prefix_len = best.prefix_len;
        if (!entry) {
                judgement.reason = POLICY_REASON_DEFAULT;
                judgement.allow = default_allows(stack, q.direction);
        } else {
                judgement.reason = entry->rule->verdict == POLICY_NEVER ? POLICY_REASON_NEVER
                                                                        : POLICY_REASON_RULE;
                judgement.allow = entry->rule->verdict == POLICY_ALLOW;
                judgement.passed_over =
                        judgement.allow ? answer.best_refusal.entry : answer.best_allow.entry;
        }

        judgement.passes = judgement.allow || stack->mode == POLICY_MODE_AUDIT ||
                stack->mode == POLICY_MODE_OFF;
        if (stack->mode == POLICY_MODE_OFF)
                judgement.reason = POLICY_REASON_OFF;
        return judgement;
}

const char *policy_reason_to_string(PolicyReason reason) {
        static const char *const names[] = {
                [POLICY_REASON_RULE] = "rule",
                [POLICY_REASON_NEVER] = "never",
                [POLICY_REASON_DEFAULT] = "default",
                [POLICY_REASON_OFF] = "off",
        };

        static_assert(ELEMENTSOF(names) == _POLICY_REASON_MAX, "every reason has a name");
        assert(reason < _POLICY_REASON_MAX);
        return names[reason];
}
