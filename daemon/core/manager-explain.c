/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signature question: would this pass, and which line decides? Asked of the rules and of the kernel. */
#include <arpa/inet.h>

#include "core/json.h"
#include "core/manager-internal.h"
#include "core/packet.h"
#include "policy/text.h"
#include "util/log.h"
#include "util/macro.h"

static const PolicyEntry *entry_by_number(const Unit *u, uint32_t number) {
        for (size_t i = 0; i < u->policy->stack.n_entries; i++)
                if (u->policy->stack.entries[i].number == number)
                        return &u->policy->stack.entries[i];
        return NULL;
}

typedef struct Checked {
        bool done;
        bool agrees;
        bool passes;
        uint32_t rule;
        const char *why; /* not done, static */
} Checked;

/* Where the question is asked. */
typedef struct Where {
        const char *interface; /* as it was named, or NULL */
        uint32_t ifindex;      /* 0: none is meant */
} Where;

static bool policy_has_via(const Policy *policy) {
        for (size_t i = 0; i < policy->stack.n_entries; i++)
                if (policy->stack.entries[i].rule->via)
                        return true;
        return false;
}

/* Without an interface: wherever no rule asks which one, any of the host's will do. */
static int explain_where(
        Unit *u, const char *interface, ManagerError *reterr, PolicyFlow *flow, Where *ret) {
        const NetState *net = manager_net(u->manager);
        const Host *host = u->policy->host;
        Where where = { .interface = interface };

        flow->place = (PolicyPlace){ 0 };
        if (interface && flow->direction == CGP_DIR_BIND)
                return manager_error_set(reterr, MANAGER_ERROR_INVALID_ARGS,
                        "a bind has no interface: it is about an address of the host");
        if (host->host.netns == 0 || !net || net->n_interfaces == 0)
                flow->place.elsewhere = true;
        else if (interface) {
                if (!host_find_interface(
                            net, host, interface, &flow->place.interface, &where.ifindex))
                        return manager_error_set(reterr, MANAGER_ERROR_INVALID_ARGS,
                                "the host has no interface '%.200s'; 'ip link' lists them",
                                interface);
        } else if (policy_has_via(u->policy))
                flow->place.undecided = true;
        else if (host_find_ifindex(net, host, net->interfaces[0].ifindex, &flow->place.interface))
                where.ifindex = net->interfaces[0].ifindex;
        else
                flow->place.elsewhere = true;
        *ret = where;
        return 0;
}

/* What a packet is sent to: a group and a broadcast address are judged apart from the subject's own. */
static void explain_destination(
        const PolicyHost *host, const uint8_t destination[16], PolicyFlow *flow) {
        static const uint8_t limited[16] = { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
        bool v4 = memcmp(destination, mapped, sizeof(mapped)) == 0;

        flow->local_is_multicast = v4 ? (destination[12] & 0xf0) == 0xe0 : destination[0] == 0xff;
        flow->local_is_broadcast = memcmp(destination, limited, sizeof(limited)) == 0;
        for (size_t i = 0; i < host->n_broadcast; i++)
                if (memcmp(host->broadcast[i].address, destination, 16) == 0)
                        flow->local_is_broadcast = true;
}

/* Asks the loaded program. Its rule must be the evaluator's, too: the same answer for another reason is a
 * different policy. */
static Checked explain_kernel(
        Unit *u, const PolicyFlow *flow, const Where *where, const PolicyJudgement *judgement) {
        Manager *m = u->manager;
        uint8_t packet[PACKET_SIZE_MAX];
        KernelDryRun run = {
                .packet = packet,
                .opener = CGP_OPENER_UNKNOWN,
                .ifindex = where->ifindex,
                .host_netns = !flow->place.elsewhere,
                .broadcast = flow->local_is_broadcast,
        };
        unsigned hook = flow->direction == CGP_DIR_OUT ? CGP_HOOK_EGRESS : CGP_HOOK_INGRESS;
        uint32_t expected;
        Checked checked;
        int r;

        if (!u->attachment || !u->attachment->links[hook])
                return (Checked){ .why = "not attached" };
        if (flow->direction == CGP_DIR_BIND)
                return (Checked){
                        .why = "a bind is judged in the system call, which cannot be tried"
                };
        if (flow->place.undecided)
                return (Checked){
                        .why = "the policy has rules with via, and no interface is named"
                };
        r = packet_build(flow, packet);
        if (r < 0)
                return (Checked){ .why = "no such packet is judged by rules" };
        run.size = (size_t)r;
        r = m->kernel->ops->dry_run(m->kernel, u->attachment->links[hook], &run);
        if (r == -EOPNOTSUPP)
                return (Checked){ .why = "this kernel cannot run the program on a made-up packet" };
        if (r < 0)
                return (Checked){ .why = "running the loaded program failed" };

        expected = judgement->entry              ? judgement->entry->number
                : flow->direction == CGP_DIR_OUT ? CGP_RULE_DEFAULT_OUT
                                                 : CGP_RULE_DEFAULT_IN;
        checked = (Checked){
                .done = true,
                .passes = run.passes,
                .rule = run.rule,
                /* In mode off the programs look nothing up, so there is no rule to compare. */
                .agrees = run.passes == judgement->passes &&
                        (judgement->reason == POLICY_REASON_OFF || run.rule == expected),
        };
        if (!checked.agrees) {
                log_error("%s: the loaded program does not do what its rules say", u->name);
                u->attachment->hash = 0; /* a reload publishes it again */
        }
        return checked;
}

static int put_entry(
        json_object *root, const char *key, const PolicyEntry *entry, bool with_source) {
        _cleanup_free_ char *text = NULL, *source = NULL;
        json_object *o;
        int r;

        if (!entry)
                return json_object_object_add(root, key, NULL) < 0 ? -ENOMEM : 0;
        if (asprintf(&text, "%s %s", policy_verdict_to_string(entry->rule->verdict),
                    entry->rule->text) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        r = jo_add_new(root, key, json_object_new_object(), &o);
        if (r >= 0)
                r = jo_put_string(o, "id", entry->id);
        if (r >= 0)
                r = jo_put_string(o, "text", text);
        if (r >= 0)
                r = jo_put_string(o, "layer", policy_layer_to_string(entry->layer));
        if (r < 0 || !with_source)
                return r;
        source = policy_source_to_string(&entry->rule->source);
        return source ? jo_put_string(o, "source", source) : -ENOMEM;
}

static int put_kernel(Unit *u, json_object *root, const Checked *checked) {
        const PolicyEntry *entry = checked->done ? entry_by_number(u, checked->rule) : NULL;
        const char *rule = NULL;
        json_object *o;
        int r;

        if (checked->done)
                rule = entry ? entry->id : event_reserved_rule_id((uint16_t)checked->rule);
        r = jo_add_new(root, "kernel", json_object_new_object(), &o);
        if (r >= 0)
                r = jo_put(o, "checked", json_object_new_boolean(checked->done));
        if (r >= 0)
                r = checked->done ? jo_put(o, "agrees", json_object_new_boolean(checked->agrees))
                                  : jo_put_string(o, "agrees", NULL);
        if (r >= 0)
                r = jo_put_string(o, "verdict",
                        !checked->done            ? NULL
                                : checked->passes ? "allow"
                                                  : "deny");
        if (r >= 0)
                r = jo_put_string(o, "rule", rule);
        if (r >= 0)
                r = jo_put_string(o, "why", checked->why);
        return r;
}

static int put_flow(json_object *root, const PolicyFlow *flow, const Where *where) {
        bool out = flow->direction == CGP_DIR_OUT;
        char protocol[8], remote[POLICY_ENDPOINT_SIZE];
        int r;

        policy_endpoint_to_string(
                flow->protocol, flow->remote, out ? flow->remote_port : flow->local_port, remote);
        r = jo_put_string(root, "direction", event_direction_to_string(flow->direction));
        if (r >= 0)
                r = jo_put_string(
                        root, "protocol", policy_protocol_to_string(flow->protocol, protocol));
        if (r >= 0)
                r = jo_put_string(root, "remote", remote);
        if (r >= 0)
                r = jo_put_string(root, "via", where->interface);
        return r;
}

static bool peer_has_network(const PolicyPeer *peer) {
        return peer->type != POLICY_PEER_ANY && peer->type != POLICY_PEER_INTERNET &&
                peer->type != POLICY_PEER_MULTICAST && peer->type != POLICY_PEER_BROADCAST;
}

/* The part of a rule that matched: "@ads", and the network of it that holds the address. */
static int put_matched(json_object *root, const PolicyFlow *flow, const PolicyJudgement *j) {
        static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
        unsigned bits = j->prefix_len + (memcmp(flow->remote, mapped, sizeof(mapped)) ? 0 : 96);
        _cleanup_free_ char *peer = NULL, *network = NULL;
        char text[INET6_ADDRSTRLEN];
        uint8_t address[16];
        json_object *o;
        int r;

        if (!j->entry || !j->peer)
                return json_object_object_add(root, "matched", NULL) < 0 ? -ENOMEM : 0;
        for (unsigned i = 0; i < sizeof(address); i++)
                address[i] = bits >= 8 * (i + 1) ? flow->remote[i]
                        : bits > 8 * i           ? flow->remote[i] & 0xff << (8 * (i + 1) - bits)
                                                 : 0;
        if (peer_has_network(j->peer) &&
                asprintf(&network, "%s/%u", policy_address_to_string(address, text),
                        j->prefix_len) < 0) {
                network = NULL;
                return -ENOMEM;
        }
        peer = policy_peer_to_string(j->peer);
        if (!peer)
                return -ENOMEM;
        r = jo_add_new(root, "matched", json_object_new_object(), &o);
        if (r >= 0)
                r = jo_put_string(o, "peer", peer);
        if (r >= 0)
                r = jo_put_string(o, "network", network);
        return r;
}

/* Where no interface was named, and some interface does not do what a system call would: what each does. At most so
 * many are told of. */
#define EXPLAIN_INTERFACES_MAX 64U

static int put_interfaces(
        Unit *u, json_object *root, const PolicyFlow *flow, const PolicyJudgement *j) {
        const PolicyStack *stack = &u->policy->stack;
        const NetState *net = manager_net(u->manager);
        const Host *host = u->policy->host;
        _cleanup_(jo_putp) json_object *array = NULL;
        size_t n_pass = 0, n = 0;
        int r;

        array = json_object_new_array();
        if (!array)
                return -ENOMEM;
        for (size_t i = 0; flow->place.undecided && net && i < net->n_interfaces; i++) {
                PolicyFlow there = *flow;
                json_object *o;
                bool passes;

                there.place = (PolicyPlace){ 0 };
                if (!host_find_ifindex(
                            net, host, net->interfaces[i].ifindex, &there.place.interface))
                        there.place.elsewhere = true;
                passes = policy_eval_flow(stack, &host->host, &there).passes;
                n++;
                n_pass += passes;
                if (n > EXPLAIN_INTERFACES_MAX)
                        continue;
                o = json_object_new_object();
                r = jo_append_new(array, o);
                if (r >= 0)
                        r = jo_put_string(o, "name", net->interfaces[i].names[0]);
                if (r >= 0)
                        r = jo_put_string(o, "verdict", passes ? "allow" : "deny");
                if (r < 0)
                        return r;
        }
        if (n_pass == (j->passes ? n : 0))
                return json_object_object_add(root, "interfaces", NULL) < 0 ? -ENOMEM : 0;
        return jo_put(root, "interfaces", TAKE_PTR(array));
}

/* Where the answer stands: the rule's line, or who states the default. */
static char *explain_source(const Unit *u, const PolicyJudgement *j) {
        const PolicyStack *stack = &u->policy->stack;

        if (j->entry)
                return policy_source_to_string(&j->entry->rule->source);
        if (j->reason == POLICY_REASON_OFF)
                return policy_source_to_string(&stack->mode_source);
        /* Nobody states what a bind that no rule is about may do. */
        if (j->default_direction == CGP_DIR_BIND)
                return strdup("");
        return policy_source_to_string(j->default_direction == CGP_DIR_OUT
                        ? &stack->default_out_source
                        : &stack->default_in_source);
}

static int put_suggestion(json_object *root, const PolicyFlow *flow, const PolicyJudgement *j) {
        Event event = {
                .direction = flow->direction,
                .protocol = flow->protocol,
                .remote_port = flow->remote_port,
                .local_port = flow->local_port,
                .rule = CGP_RULE_FIRST,
        };
        char body[128];

        if (j->passes || j->reason == POLICY_REASON_NEVER)
                return jo_put_string(root, "suggest", NULL);
        memcpy(event.remote, flow->remote, sizeof(event.remote));
        event_suggest(&event, body);
        return jo_put_string(root, "suggest", *body ? body : NULL);
}

int manager_explain(Manager *m, const char *unit, const PolicyFlow *flow, ManagerError *reterr,
        bool *ret_allow, char **ret_json) {
        return manager_explain_question(
                m, unit, &(ManagerQuestion){ .flow = *flow }, reterr, ret_allow, ret_json);
}

int manager_explain_question(Manager *m, const char *unit, const ManagerQuestion *question,
        ManagerError *reterr, bool *ret_allow, char **ret_json) {
        PolicyFlow asked = question->flow, *flow = &asked;
        Where where = { 0 };
        _cleanup_(jo_putp) json_object *root = NULL;
        _cleanup_free_ char *source = NULL;
        PolicyJudgement j;
        Checked checked;
        bool detached;
        Unit *u;
        int r;

        r = manager_find_unit(m, unit, reterr, &u);
        if (r < 0)
                return r;
        r = explain_where(u, question->interface, reterr, flow, &where);
        if (r < 0)
                return r;
        if (question->destination)
                explain_destination(&u->policy->host->host, question->destination, flow);
        j = policy_eval_flow(&u->policy->stack, &u->policy->host->host, flow);
        checked = explain_kernel(u, flow, &where, &j);
        detached = u->state && !u->attachment;
        source = explain_source(u, &j);
        root = json_object_new_object();
        if (!source || !root)
                return -ENOMEM;

        r = jo_put_string(root, "verdict", j.passes || detached ? "allow" : "deny");
        if (r >= 0)
                r = jo_put_string(root, "unit", u->name);
        if (r >= 0)
                r = put_flow(root, flow, &where);
        if (r >= 0)
                r = put_entry(root, "rule", j.entry, /* with_source= */ false);
        if (r >= 0)
                r = jo_put_string(root, "source", *source ? source : NULL);
        if (r >= 0)
                r = put_matched(root, flow, &j);
        if (r >= 0)
                r = put_interfaces(u, root, flow, &j);
        if (r >= 0)
                r = jo_put_string(root, "reason",
                        detached ? "not-attached" : policy_reason_to_string(j.reason));
        if (r >= 0)
                r = put_entry(root, "passed-over", j.passed_over, /* with_source= */ true);
        if (r >= 0)
                r = jo_put_string(root, "mode", unit_get_mode(u));
        if (r >= 0)
                r = jo_put_u64(root, "generation", unit_get_generation(u));
        if (r >= 0)
                r = jo_put_string(root, "default-direction",
                        j.reason != POLICY_REASON_DEFAULT
                                ? NULL
                                : event_direction_to_string(j.default_direction));
        if (r >= 0)
                r = put_kernel(u, root, &checked);
        if (r >= 0)
                r = put_suggestion(root, flow, &j);
        if (r >= 0)
                r = jo_to_text(root, ret_json);
        if (r < 0)
                return r;
        *ret_allow = j.passes || detached;
        return 0;
}
