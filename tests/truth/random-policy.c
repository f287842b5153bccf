/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "random-policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../kernel/host.h"
#include "policy/compile.h"
#include "policy/parse.h"

#define RULES_MAX 40U

static uint64_t random_state;

uint64_t random_begin(void) {
        const char *text = getenv("SEED");
        struct timespec now;
        uint64_t seed;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = text ? strtoull(text, NULL, 10)
                    : (uint64_t)now.tv_sec * 1000003U + (uint64_t)now.tv_nsec;
        random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
        return seed;
}

/* xorshift64*: what is wanted is the same sequence everywhere. */
uint32_t random_below(uint32_t n) {
        random_state ^= random_state >> 12;
        random_state ^= random_state << 25;
        random_state ^= random_state >> 27;
        return (uint32_t)((random_state * 0x2545f4914f6cdd1dULL) >> 33) % n;
}

bool random_one_in(uint32_t n) {
        return random_below(n) == 0;
}

static const char *pick(const char *const *words, size_t n) {
        return words[random_below((uint32_t)n)];
}

static void random_rule(const RandomWords *words, char *text, size_t size) {
        static const char *const verdicts[] = { "allow", "allow", "allow", "deny", "deny",
                "never" };
        bool is_bind = random_one_in(12), has_peer = !random_one_in(4);
        const char *what = pick(words->whats, words->n_whats);
        const char *dir = random_one_in(3) ? "" : random_one_in(2) ? "in " : "out ";
        size_t n;

        if (is_bind) {
                (void)snprintf(text, size, "%s bind %s", RANDOM_PICK(verdicts),
                        pick(words->binds, words->n_binds));
                return;
        }
        n = (size_t)snprintf(text, size, "%s %s%s", RANDOM_PICK(verdicts), dir, what);
        if (has_peer) {
                bool is_in = dir[0] ? dir[0] == 'i' : random_one_in(2);

                n += (size_t)snprintf(text + n, size - n, " %s %s", is_in ? "from" : "to",
                        pick(words->peers, words->n_peers));
                for (uint32_t more = random_one_in(3) ? random_below(4) : 0; more > 0; more--)
                        n += (size_t)snprintf(
                                text + n, size - n, ",%s", pick(words->peers, words->n_peers));
        }
        if (random_one_in(5))
                n += (size_t)snprintf(
                        text + n, size - n, " via %s", pick(words->vias, words->n_vias));
        if (!has_peer && !dir[0] && !what[0] && !strstr(text, "via"))
                (void)snprintf(text + n, size - n, " any");
}

static PolicyFile *random_file(const RandomWords *words) {
        uint32_t n = random_one_in(8) ? 0 : random_below(random_one_in(4) ? RULES_MAX : 8);
        PolicyFile *file = NULL;
        char text[512];

        assert_int_equal(policy_file_new("random", &file), 0);
        file->mode = random_one_in(10) ? POLICY_MODE_AUDIT + random_below(2) : POLICY_MODE_ENFORCE;
        file->default_in = POLICY_DEFAULT_ALLOW + random_below(2);
        file->default_out = POLICY_DEFAULT_ALLOW + random_below(2);
        for (; n > 0; n--) {
                PolicyRule *rule = NULL;

                random_rule(words, text, sizeof(text));
                if (policy_parse_rule(text, "random", 1, 1, NULL, NULL, &rule) < 0)
                        fail_msg("not a rule: %s", text);
                assert_int_equal(policy_file_add_rule(file, &rule), 0);
        }
        return file;
}

void random_policy_init(RandomPolicy *p, const RandomWords *words) {
        PolicyStackInput inputs[_POLICY_LAYER_MAX] = {};
        unsigned n_layers = 1 + random_below(random_one_in(2) ? _POLICY_LAYER_MAX : 1);

        *p = (RandomPolicy){};
        for (unsigned layer = 0; layer < n_layers; layer++) {
                p->files[layer] = random_file(words);
                inputs[layer] = (PolicyStackInput){ .file = p->files[layer], .layer = layer };
        }
        assert_int_equal(policy_stack_init(&p->stack, inputs, n_layers), 0);
        for (size_t i = 0; i < p->stack.n_entries; i++) {
                p->stack.entries[i].number = (uint16_t)(CGP_RULE_FIRST + i);
                p->stack.entries[i].counter = RANDOM_POLICY_COUNTER + (uint32_t)i;
        }
}

void random_policy_done(RandomPolicy *p) {
        policy_stack_done(&p->stack);
        for (unsigned i = 0; i < _POLICY_LAYER_MAX; i++)
                policy_file_free(p->files[i]);
}

KernelProgs *random_policy_load(Kernel *kernel, RandomPolicy *p, uint32_t subject) {
        PolicyCompileInput input = {
                .stack = &p->stack,
                .host = test_host(),
                .subject = subject,
                .generation = 1,
                .counter_default_out = 1,
                .counter_default_in = 2,
                .counter_unparsable_out = 3,
                .counter_unparsable_in = 4,
                .counter_control = 5,
                .counter_broken = 6,
                .counter_default_bind = 7,
        };
        _cleanup_(policy_image_freep) PolicyImage *image = NULL;
        PolicyCompileFailure failure = {};
        KernelFailure kernel_failure = {};
        KernelProgs *progs = NULL;
        int r;

        r = policy_compile(&input, &failure, &image);
        if (r < 0)
                fail_msg("compile: %s: %s", strerror(-r), failure.limit ? failure.limit : "");
        p->is_open =
                image->config.mode == CGP_MODE_OFF || (image->config.features & CGP_FEATURE_OPEN);
        r = kernel->ops->progs_load(kernel, image, &kernel_failure, &progs);
        if (r < 0)
                fail_msg("load: %s: %s\n%s", kernel_failure.step, strerror(-r), kernel_failure.log);
        return progs;
}

static uint64_t blocked_in(Kernel *kernel, uint32_t slot) {
        struct cgp_counter counter;

        assert_int_equal(kernel->ops->counter_read(kernel, slot, &counter), 0);
        return counter.blocked;
}

uint64_t random_policy_blocked(Kernel *kernel, const RandomPolicy *p) {
        uint64_t sum = 0;

        for (uint32_t slot = 1; slot <= 7; slot++)
                sum += blocked_in(kernel, slot);
        for (size_t i = 0; i < p->stack.n_entries; i++)
                sum += blocked_in(kernel, p->stack.entries[i].counter);
        return sum;
}

void random_policy_print(const RandomPolicy *p) {
        for (size_t i = 0; i < p->stack.n_entries; i++)
                print_message("rule %u, rank %u: %s %s\n", p->stack.entries[i].number,
                        p->stack.entries[i].rank,
                        policy_verdict_to_string(p->stack.entries[i].rule->verdict),
                        p->stack.entries[i].rule->text);
        print_message("defaults: out %s, in %s; mode %s\n",
                policy_default_to_string(p->stack.default_out),
                policy_default_to_string(p->stack.default_in),
                policy_mode_to_string(p->stack.mode));
}
