/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy library, fed with what this host knows. */
#include "rule-text.h"

#include <netdb.h>
#include <netinet/in.h>

#include "exit-codes.h"
#include "format.h"
#include "policy/text.h"
#include "util/macro.h"

static int services_lookup(
        void *userdata, const char *name, PolicyService *services, size_t n_max) {
        static const struct {
                const char *name;
                int protocol;
        } protocols[] = {
                { "tcp", IPPROTO_TCP },
                { "udp", IPPROTO_UDP },
                { "udplite", IPPROTO_UDPLITE },
                { "sctp", IPPROTO_SCTP },
        };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(protocols) && n < n_max; i++) {
                const struct servent *entry = getservbyname(name, protocols[i].name);
                uint16_t port;

                if (!entry)
                        continue;
                port = ntohs((uint16_t)entry->s_port);
                services[n++] = (PolicyService){ protocols[i].protocol, port, port };
        }
        return n > 0 ? (int)n : -ENOENT;
}

const PolicyServices ctl_services = { .lookup = services_lookup };

char *words_join(char *const *words, size_t n) {
        size_t size = 1;
        char *s, *p;

        for (size_t i = 0; i < n; i++)
                size += strlen(words[i]) + 1;
        s = p = malloc(size);
        if (!s)
                return NULL;
        *p = '\0';
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        *p++ = ' ';
                p = stpcpy(p, words[i]);
        }
        return s;
}

void diags_print(const PolicyDiags *diags) {
        for (size_t i = 0; i < diags->n_diags; i++) {
                _cleanup_free_ char *text = policy_diag_to_string(&diags->diags[i]);
                _cleanup_free_ char *safe = text ? text_make_safe(text) : NULL;

                (void)fprintf(stderr, "%s%s\n",
                        diags->diags[i].path ? "" : "cgpolicyctl: ", safe ? safe : "out of memory");
        }
        if (diags->n_dropped)
                (void)fprintf(stderr, "... and %zu more\n", diags->n_dropped);
}

static int rule_finish(int r, const char *verdict, const PolicyDiags *diags, const PolicyRule *rule,
        char **ret_expanded) {
        _cleanup_free_ char *expanded = NULL;

        (void)fflush(stdout);
        diags_print(diags);
        if (r == -ENOMEM)
                return ctl_oom();
        if (r == -EOPNOTSUPP)
                return CTL_NOT_SUPPORTED;
        if (r < 0) {
                (void)fprintf(stderr,
                        "Rules look like: %s[in|out|bind] [tcp|udp|PROTO[/PORT,PORT-PORT]|SERVICE] "
                        "[to|from ADDR[/LEN],@LIST,...] [via IFACE]; see 'cgpolicyctl help allow'\n",
                        verdict);
                return CTL_INVALID;
        }

        expanded = policy_rule_to_expanded(rule);
        if (!expanded)
                return ctl_oom();
        if (ret_expanded)
                *ret_expanded = TAKE_PTR(expanded);
        return CTL_OK;
}

int rule_check_body(PolicyVerdict verdict, const char *body, char **ret_expanded) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        int r;

        r = policy_parse_body(verdict, body, NULL, 0, 1, &ctl_services, &diags, &rule);
        return rule_finish(r, "", &diags, rule, ret_expanded);
}

int rule_check_whole(const char *text, char **ret_expanded) {
        _cleanup_(policy_diags_done) PolicyDiags diags = {};
        _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
        int r;

        r = policy_parse_rule(text, NULL, 0, 1, &ctl_services, &diags, &rule);
        return rule_finish(r, "allow|deny|never ", &diags, rule, ret_expanded);
}
