/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explain: asks the daemon how a conversation or a bind would be judged, and says it in words. */
#include <inttypes.h>

#include "client.h"
#include "exit-codes.h"
#include "flow.h"
#include "format.h"
#include "policy/text.h"
#include "util/macro.h"
#include "verbs.h"

static int append_flow(sd_bus_message *call, const Flow *flow) {
        char number[8];
        int r;

        r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(call, "{sv}{sv}{sv}", "direction", "s",
                        flow_direction_to_string(flow->direction), "protocol", "s",
                        policy_protocol_to_string(flow->protocol, number), "address", "s",
                        flow->address);
        if (r >= 0 && flow->has_port)
                r = sd_bus_message_append(call, "{sv}", "port", "q", flow->port);
        if (r >= 0 && *flow->destination)
                r = sd_bus_message_append(call, "{sv}", "destination", "s", flow->destination);
        if (r >= 0 && flow->interface)
                r = sd_bus_message_append(call, "{sv}", "interface", "s", flow->interface);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int ask(const Options *options, const char *subject, const Flow *flow, bool *ret_allow,
        struct json_object **ret) {
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_(client_closep) Client *client = NULL;
        const char *verdict, *text;
        int r;

        r = client_open(options, &client);
        if (r != CTL_OK)
                return r;
        r = client_new_call(client, "Explain", &call);
        if (r != CTL_OK)
                return r;
        r = sd_bus_message_append(call, "s", subject);
        if (r >= 0)
                r = append_flow(call, flow);
        if (r < 0)
                return client_bad_message(r);
        r = client_send(client, call, subject, &reply);
        if (r != CTL_OK)
                return r;

        r = sd_bus_message_read(reply, "ss", &verdict, &text);
        if (r >= 0)
                r = json_parse(text, ret);
        if (r >= 0 && !streq(verdict, "allow") && !streq(verdict, "deny"))
                r = -EBADMSG;
        if (r < 0)
                return client_bad_message(r);
        *ret_allow = streq(verdict, "allow");
        return CTL_OK;
}

static void print_part(const char *name, const char *format, ...) _printf_(2, 3);

static void print_part(const char *name, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *safe = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        safe = r < 0 ? NULL : text_make_safe(text);
        if (r < 0)
                text = NULL;
        (void)printf("  %-12s %s\n", name, safe ? safe : "out of memory");
}

static void print_verdict(
        const Options *options, const char *subject, const Flow *flow, bool allow) {
        static const char *const arrows[] = {
                [FLOW_OUT] = "->",
                [FLOW_IN] = "<-",
                [FLOW_BIND] = "bind",
        };
        _cleanup_free_ char *peer = NULL;
        bool color = options_use_color(options), in = flow->direction == FLOW_IN;
        char number[8];

        /* The address of a peer that opens has no port in the question. */
        peer = flow_endpoint_to_string(
                flow->address, flow->is_ipv6, flow->has_port && !in, flow->port);
        (void)printf("%s%s%s  %s %s %s/%s", color ? (allow ? ANSI_GREEN : ANSI_RED) : "",
                allow ? "ALLOW" : "DENY ", color ? ANSI_RESET : "", subject,
                arrows[flow->direction], strempty(peer),
                policy_protocol_to_string(flow->protocol, number));
        if (in && flow->has_port)
                (void)printf(" to local port %u", flow->port);
        if (*flow->destination)
                (void)printf(" of %s", flow->destination);
        if (flow->interface)
                (void)printf(" via %s", flow->interface);
        (void)putchar('\n');
}

static void print_rule(const char *name, struct json_object *rule, const char *source) {
        print_part(name, "%s layer: \"%s\"   %s   rule %s", json_get_string(rule, "layer", "?"),
                json_get_string(rule, "text", "?"), source, json_get_string(rule, "id", "?"));
}

static void print_reason(struct json_object *answer) {
        struct json_object *rule = json_get_object(answer, "rule");
        const char *reason = json_get_string(answer, "reason", "?");
        const char *source = json_get_string(answer, "source", "nobody states it");

        if (rule)
                print_rule("decided by", rule, source);
        else if (streq(reason, "default"))
                print_part("decided by", "no rule matches: default of %s   %s",
                        json_get_string(answer, "default-direction", "both directions"), source);
        else if (streq(reason, "off"))
                print_part("decided by", "mode off: the policy is kept and judges nothing");
        else if (streq(reason, "not-attached"))
                print_part("decided by", "not attached: nothing is enforced on this subject");
        else
                print_part("decided by", "%s", reason);
        if (rule && streq(reason, "never"))
                print_part("", "a never beats every allow, in every layer");

        if (streq(json_get_string(answer, "mode", ""), "audit"))
                print_part("mode", "audit: denials are reported, nothing is blocked");
}

static void print_matched(struct json_object *answer) {
        struct json_object *matched = json_get_object(answer, "matched");
        const char *peer = json_get_string(matched, "peer", "?");
        const char *network = json_get_string(matched, "network", NULL);

        if (network && !streq(network, peer))
                print_part("matched", "%s%s: %s", *peer == '@' ? "the list " : "", peer, network);
}

static void print_interfaces(struct json_object *answer) {
        struct json_object *interfaces = json_get_array(answer, "interfaces");

        if (!interfaces)
                return;
        print_part("interface", "it depends on the interface: this is the answer of system calls,");
        print_part("", "for which it is not chosen yet; packets are judged by theirs:");
        for (size_t i = 0; i < json_object_array_length(interfaces); i++) {
                struct json_object *o = json_object_array_get_idx(interfaces, i);

                print_part("", "  via %s: %s", json_get_string(o, "name", "?"),
                        json_get_string(o, "verdict", "?"));
        }
}

static void print_passed_over(struct json_object *answer) {
        struct json_object *rule = json_get_object(answer, "passed-over");

        if (rule)
                print_rule("passed over", rule, json_get_string(rule, "source", "?"));
}

static void print_kernel(struct json_object *answer) {
        struct json_object *kernel = json_get_object(answer, "kernel");
        uint64_t generation = json_get_u64(answer, "generation");

        if (!kernel || !json_get_bool(kernel, "checked", false))
                print_part("kernel", "not asked: %s; generation %" PRIu64,
                        json_get_string(kernel, "why", "the daemon does not say why"), generation);
        else if (json_get_bool(kernel, "agrees", false))
                print_part("kernel",
                        "agrees: the loaded program, run on such a packet, says %s (%s); "
                        "generation %" PRIu64,
                        json_get_string(kernel, "verdict", "?"),
                        json_get_string(kernel, "rule", "no rule"), generation);
        else
                print_part("kernel",
                        "DISAGREES: the loaded program, run on such a packet, says %s (%s); "
                        "generation %" PRIu64,
                        json_get_string(kernel, "verdict", "?"),
                        json_get_string(kernel, "rule", "no rule"), generation);
}

static void print_answer(const Options *options, const char *subject, const Flow *flow, bool allow,
        struct json_object *answer) {
        const char *suggest = json_get_string(answer, "suggest", NULL);

        print_verdict(options, subject, flow, allow);
        print_reason(answer);
        print_matched(answer);
        print_interfaces(answer);
        print_passed_over(answer);
        print_kernel(answer);
        if (suggest && !allow) {
                _cleanup_free_ char *safe = text_make_safe(suggest);

                (void)printf("To allow it: cgpolicyctl allow %s %s\n", subject, strempty(safe));
        }
}

/* That what is enforced is not what the rules say is worse than any denial; it is told even with --quiet. */
static int judge_kernel(const char *subject, bool allow, struct json_object *answer) {
        struct json_object *kernel = json_get_object(answer, "kernel");

        if (!json_get_bool(kernel, "checked", false) || json_get_bool(kernel, "agrees", false))
                return allow ? CTL_OK : CTL_NEGATIVE;
        return ctl_fail(CTL_FAILURE,
                "THE KERNEL DISAGREES: by the rules of '%s' the answer is %s, the loaded program "
                "says %s (%s); trust the program, compare 'cgpolicyctl status', try 'cgpolicyctl "
                "reload', and report it",
                subject, allow ? "allow" : "deny", json_get_string(kernel, "verdict", "?"),
                json_get_string(kernel, "rule", "no rule"));
}

int verb_explain(const Options *options, char **args, size_t n_args) {
        _cleanup_json_ struct json_object *answer = NULL;
        _cleanup_free_ char *message = NULL;
        Flow flow;
        bool allow = false;
        int r;

        if (flow_parse(args + 1, n_args - 1, &message, &flow) < 0)
                return ctl_fail(CTL_USAGE, "%s", message ? message : "out of memory");
        r = ask(options, args[0], &flow, &allow, &answer);
        if (r != CTL_OK)
                return r;

        if (options->quiet)
                return judge_kernel(args[0], allow, answer);
        if (options->json != JSON_OFF)
                json_print(options, answer);
        else
                print_answer(options, args[0], &flow, allow, answer);
        return judge_kernel(args[0], allow, answer);
}
