/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reference evaluator: judges one packet or conversation by walking the rules of a stack, in the
 * plainest way, sharing no code with the compiler or the programs. Slow and obvious: it is what they are
 * held against, and what `explain` quotes.
 */
#pragma once

#include "policy/host.h"
#include "policy/model.h"

/* Where a conversation is, for rules with `via` and for `lan`. */
typedef struct PolicyPlace {
        bool elsewhere; /* not in the host's network namespace, or by an interface that is not known */
        bool undecided; /* the host's, interface not chosen yet: refused only if every interface would refuse */
        size_t interface; /* else: id, index into PolicyHost.interfaces */
} PolicyPlace;

typedef struct PolicyFlow {
        unsigned direction; /* CGP_DIR_*: who opens the conversation, or a bind() */
        uint8_t protocol;
        uint8_t remote[16];   /* bind: the local address */
        uint16_t remote_port; /* 0 where the protocol has none, and for bind */
        uint16_t
                local_port; /* out: 0 when not known yet, and matched as port 0: the programs do, too */
        bool local_is_multicast; /* in: the packet is sent to a multicast address */
        bool local_is_broadcast; /* in: the packet is sent to a broadcast address */
        PolicyPlace place;
} PolicyFlow;

/* A closed set; the names in *_to_string are part of the interface. */
typedef enum PolicyReason {
        POLICY_REASON_RULE,    /* a rule decides */
        POLICY_REASON_NEVER,   /* a never rule decides */
        POLICY_REASON_DEFAULT, /* no rule matches */
        POLICY_REASON_OFF,     /* mode off: no verdicts */
        _POLICY_REASON_MAX,
} PolicyReason;

const char *policy_reason_to_string(PolicyReason reason);

typedef struct PolicyJudgement {
        bool allow;  /* what the rules say, before the mode */
        bool passes; /* what happens: allow, or the mode lets it pass */
        PolicyReason reason;
        const PolicyEntry *entry; /* the deciding rule, or NULL for a default */
        const PolicyPeer *peer;   /* its peer that matched, or NULL */
        unsigned prefix_len;      /* what that matched by, in bits of the address's own family */
        const PolicyEntry
                *passed_over; /* the best rule that lost although it says otherwise, or NULL */
        unsigned default_direction; /* CGP_DIR_*, for REASON_DEFAULT */
} PolicyJudgement;

/* A new conversation. A NEVER of the other direction refuses too. */
PolicyJudgement policy_eval_flow(
        const PolicyStack *stack, const PolicyHost *host, const PolicyFlow *flow);

/* One view, as policy_image_lookup() sees it: the deciding entry (NULL: the default) and the action. In a
 * place that is undecided: the least strict of what the interfaces 0.. would do, ALLOW before DENY before
 * NEVER (the entry of the first interface that does so). Not the strictest: views IN are asked for their NEVER
 * by conversations that go out, and one that holds on one interface must not refuse the others. */
const PolicyEntry *policy_eval_view(const PolicyStack *stack, const PolicyHost *host, unsigned view,
        const PolicyPlace *place, const uint8_t remote[16], uint8_t protocol, uint16_t port,
        unsigned *ret_action);
