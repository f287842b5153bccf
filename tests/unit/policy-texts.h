/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stacks written as rule texts, for tests that are read as tables. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cgp-abi.h"
#include "policy/compile.h"
#include "policy/parse.h"
#include "util/macro.h"

#define TEXT_RULES_MAX 8

/* Who has names of services says so before including this. */
#ifndef TEXT_SERVICES
#define TEXT_SERVICES NULL
#endif

typedef struct TextStack {
        PolicyStack stack;
        PolicyEntry entries[TEXT_RULES_MAX];
        PolicyRule *rules[TEXT_RULES_MAX];
} TextStack;

static inline void text_stack_done(TextStack *s) {
        for (size_t i = 0; i < s->stack.n_entries; i++)
                policy_rule_free(s->rules[i]);
}

/* Rule i, counted from 0, gets number CGP_RULE_FIRST + i and counter 100 + i. A text may begin with its
 * rank: "2 deny in tcp/80". NULL ends the list. */
static inline void text_stack_init(TextStack *s, PolicyDefault out, PolicyDefault in,
        PolicyMode mode, const char *const *texts) {
        *s = (TextStack){
                .stack = {
                        .entries = s->entries,
                        .mode = mode,
                        .default_out = out,
                        .default_in = in,
                },
        };
        for (size_t i = 0; texts[i]; i++) {
                const char *text = texts[i];
                unsigned rank = 0;

                assert_true(i < TEXT_RULES_MAX);
                if (text[0] >= '0' && text[0] <= '7') {
                        rank = text[0] - '0';
                        text += 2;
                }
                assert_int_equal(
                        policy_parse_rule(text, NULL, 0, 0, TEXT_SERVICES, NULL, &s->rules[i]), 0);
                s->entries[i] = (PolicyEntry){
                        .rule = s->rules[i],
                        .rank = rank,
                        .layer = rank / 2,
                        .from_profile = rank % 2,
                        .number = CGP_RULE_FIRST + i,
                        .counter = 100 + i,
                };
                s->stack.n_entries++;
        }
}
