/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of a packet, by the book: a second reading of the packet's bytes and of the rules for
 * conversations, written apart from the programs and sharing nothing with them, on top of the reference
 * evaluator. The differential test holds the loaded programs against it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/eval.h"

typedef struct ReferencePacket {
        const uint8_t *bytes; /* from the network header on */
        size_t size;
        bool is_egress;
        bool is_link_broadcast; /* received as one */
        unsigned opener;        /* CGP_OPENER_*: what is known of the conversation */
        PolicyPlace place;
} ReferencePacket;

typedef struct ReferenceVerdict {
        bool passes;
        unsigned rule;   /* CGP_RULE_* or a rule's number */
        unsigned action; /* CGP_ACTION_* */
} ReferenceVerdict;

ReferenceVerdict reference_judge(
        const PolicyStack *stack, const PolicyHost *host, const ReferencePacket *packet);
