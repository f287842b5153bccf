/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference evaluator. Every question is answered by a walk over all rules, each service and each peer
 * of them; nothing is prepared, merged or remembered between two questions.
 */
#include "policy/eval.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cgp-abi.h"
#include "util/macro.h"

/* What a rule is asked about. */
typedef struct Question {
        unsigned direction; /* POLICY_DIRECTION_* */
        bool to_multicast;  /* the packet's destination is a multicast address of ours */
        const uint8_t *remote;
        uint8_t protocol;
        uint16_t port;
} Question;

/* How one element of an entry matches: what precedence is judged by. */
typedef struct Match {
        const PolicyEntry *entry; /* NULL: no match */
        unsigned prefix_len;
        unsigned n_ports; /* beside the first */
        bool any_protocol;
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
        case POLICY_PEER_LAN:
        case POLICY_PEER_INTERNET:
        case POLICY_PEER_LIST:
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

        if (!(rule->directions & q->direction))
                return;

        for (size_t i = 0; i < rule->n_peers; i++) {
                unsigned len;

                if (!peer_matches(&rule->peers[i], q, &len))
                        continue;
                for (size_t k = 0; k < rule->n_services; k++) {
                        const PolicyService *service = &rule->services[k];
                        Match match = {
                                .entry = entry,
                                .prefix_len = len,
                                .n_ports = service->port_max - service->port_min,
                                .any_protocol = service->protocol == POLICY_PROTOCOL_ANY,
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

static Answer answer_question(const PolicyStack *stack, const Question *q) {
        Answer answer = {};

        for (size_t i = 0; i < stack->n_entries; i++)
                answer_entry(&answer, &stack->entries[i], q);
        return answer;
}

static bool default_allows(const PolicyStack *stack, unsigned direction) {
        PolicyDefault d =
                direction == POLICY_DIRECTION_OUT ? stack->default_out : stack->default_in;

        return d == POLICY_DEFAULT_ALLOW;
}

const PolicyEntry *policy_eval_view(const PolicyStack *stack, unsigned view,
        const uint8_t remote[16], uint8_t protocol, uint16_t port, unsigned *ret_action) {
        Question q = {
                .direction = view == CGP_VIEW_OUT ? POLICY_DIRECTION_OUT : POLICY_DIRECTION_IN,
                .to_multicast = view == CGP_VIEW_IN_MULTICAST,
                .remote = remote,
                .protocol = protocol,
                .port = port,
        };
        const PolicyEntry *entry = answer_question(stack, &q).best.entry;

        if (!entry) {
                *ret_action =
                        default_allows(stack, q.direction) ? CGP_ACTION_ALLOW : CGP_ACTION_DENY;
                return NULL;
        }

        switch (entry->rule->verdict) {
        case POLICY_ALLOW:
                *ret_action = CGP_ACTION_ALLOW;
                break;
        case POLICY_NEVER:
                *ret_action = CGP_ACTION_NEVER;
                break;
        case POLICY_DENY:
        case _POLICY_VERDICT_MAX:
                *ret_action = CGP_ACTION_DENY;
                break;
        }
        return entry;
}

/* The same packets, seen as a conversation that the other side opens. */
static Question question_reverse(const Question *q, const PolicyFlow *flow) {
        bool out = q->direction == POLICY_DIRECTION_OUT;

        return (Question){
                .direction = out ? POLICY_DIRECTION_IN : POLICY_DIRECTION_OUT,
                .remote = q->remote,
                .protocol = q->protocol,
                .port = out ? flow->local_port : flow->remote_port,
        };
}

PolicyJudgement policy_eval_flow(const PolicyStack *stack, const PolicyFlow *flow) {
        bool out = flow->direction == CGP_DIR_OUT;
        Question q = {
                .direction = out ? POLICY_DIRECTION_OUT : POLICY_DIRECTION_IN,
                .to_multicast = !out && flow->local_is_multicast,
                .remote = flow->remote,
                .protocol = flow->protocol,
                .port = out ? flow->remote_port : flow->local_port,
        };
        Question reverse = question_reverse(&q, flow);
        Answer answer = answer_question(stack, &q);
        const PolicyEntry *other = answer_question(stack, &reverse).best.entry;
        const PolicyEntry *entry = answer.best.entry;
        PolicyJudgement judgement = { .default_direction = flow->direction };

        /* A NEVER of the direction itself is the better explanation, so the other one comes second. */
        if ((!entry || entry->rule->verdict != POLICY_NEVER) && other &&
                other->rule->verdict == POLICY_NEVER)
                entry = other;

        judgement.entry = entry;
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
