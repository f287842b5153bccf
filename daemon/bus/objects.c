/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the manager's and the unit's object have in common. */
#include "bus/objects.h"

#include "bus/error.h"
#include "bus/message.h"
#include "policy/text.h"
#include "util/macro.h"

#define COMMENT_MAX 1024U

int object_add_rule(sd_bus_message *m, Manager *manager, const char *unit, PolicyVerdict verdict,
        sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_free_ char *id = NULL;
        const char *body, *comment = NULL;
        const BusOption options[] = { { "comment", 's', &comment }, { 0 } };
        uint64_t generation;
        int r;

        r = sd_bus_message_read(m, "s", &body);
        if (r < 0)
                return r;
        r = bus_read_options(m, options, error);
        if (r < 0)
                return r;
        if (comment && strlen(comment) > COMMENT_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "a comment has at most %u bytes", COMMENT_MAX);
        r = manager_add_rule(manager, unit, verdict, body, comment, &details, &id, &generation);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "st", id, generation);
}

int object_remove_rule(sd_bus_message *m, Manager *manager, const char *unit, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        const char *rule;
        uint64_t generation;
        int r;

        r = sd_bus_message_read(m, "s", &rule);
        if (r < 0)
                return r;
        r = bus_read_options(m, bus_no_options, error);
        if (r < 0)
                return r;
        r = manager_remove_rule(manager, unit, rule, &details, &generation);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "t", generation);
}

static int bad_args(sd_bus_error *error, const char *message) {
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, message);
}

static int direction_from_string(const char *s) {
        if (streq(strempty(s), "out"))
                return CGP_DIR_OUT;
        if (streq(strempty(s), "in"))
                return CGP_DIR_IN;
        return streq(strempty(s), "bind") ? CGP_DIR_BIND : -EINVAL;
}

static int read_destination(
        const char *text, const PolicyFlow *flow, uint8_t destination[16], sd_bus_error *error) {
        static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

        if (flow->direction != CGP_DIR_IN)
                return bad_args(error, "only what comes in has a 'destination'");
        if (policy_address_from_string(text, destination) < 0)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INVALID_ARGS, "'%s' is no address", text);
        if ((memcmp(destination, mapped, sizeof(mapped)) == 0) !=
                (memcmp(flow->remote, mapped, sizeof(mapped)) == 0))
                return bad_args(error, "'address' and 'destination' are of different families");
        return 0;
}

/* destination holds what the question borrows. */
static int read_question(
        sd_bus_message *m, uint8_t destination[16], ManagerQuestion *ret, sd_bus_error *error) {
        const char *direction = NULL, *protocol = NULL, *address = NULL, *interface = NULL,
                   *sent_to = NULL;
        uint16_t port = 0, remote_port = 0, local_port = 0;
        const BusOption options[] = {
                { "direction", 's', &direction },
                { "protocol", 's', &protocol },
                { "address", 's', &address },
                { "port", 'q', &port },
                { "remote-port", 'q', &remote_port },
                { "local-port", 'q', &local_port },
                { "interface", 's', &interface },
                { "destination", 's', &sent_to },
                { 0 },
        };
        PolicyFlow flow = { 0 };
        int r;

        r = bus_read_options(m, options, error);
        if (r < 0)
                return r;
        r = direction_from_string(direction);
        if (r < 0)
                return bad_args(error, "a flow needs a direction, 'in', 'out' or 'bind'");
        flow.direction = (unsigned)r;
        r = protocol ? policy_protocol_from_string(protocol) : -EINVAL;
        if (r < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "'%s' is no protocol",
                        strempty(protocol));
        flow.protocol = (uint8_t)r;
        r = address ? policy_address_from_string(address, flow.remote) : -EINVAL;
        if (r < 0)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INVALID_ARGS, "'%s' is no address", strempty(address));
        if (!policy_protocol_has_ports(flow.protocol) && (port || remote_port || local_port))
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INVALID_ARGS, "protocol %s has no ports", protocol);
        if (flow.direction == CGP_DIR_BIND && !policy_protocol_has_ports(flow.protocol))
                return bad_args(error, "only a protocol with ports can be bound");
        if (flow.direction == CGP_DIR_BIND && (remote_port || local_port))
                return bad_args(error, "the port of a bind is its 'port'");
        flow.remote_port = flow.direction == CGP_DIR_OUT ? port : remote_port;
        flow.local_port = flow.direction == CGP_DIR_OUT ? local_port : port;
        r = sent_to ? read_destination(sent_to, &flow, destination, error) : 0;
        if (r < 0)
                return r;
        *ret = (ManagerQuestion){
                .flow = flow,
                .interface = interface,
                .destination = sent_to ? destination : NULL,
        };
        return 0;
}

int object_explain(sd_bus_message *m, Manager *manager, const char *unit, sd_bus_error *error) {
        _cleanup_(manager_error_done) ManagerError details = { 0 };
        _cleanup_free_ char *json = NULL;
        ManagerQuestion question;
        uint8_t destination[16];
        bool allow;
        int r;

        r = read_question(m, destination, &question, error);
        if (r < 0)
                return r;
        r = manager_explain_question(manager, unit, &question, &details, &allow, &json);
        if (r < 0)
                return bus_error_set(error, r, &details);
        return sd_bus_reply_method_return(m, "ss", allow ? "allow" : "deny", json);
}

int object_append_summary(
        sd_bus_message *m, const EventSummary *summary, const EventContext *context) {
        const Event *event = &summary->event;
        char local[POLICY_ENDPOINT_SIZE], remote[POLICY_ENDPOINT_SIZE], protocol[8];
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}", "unit", "s",
                        strempty(context->subject), "direction", "s",
                        event_direction_to_string(event->direction), "protocol", "s",
                        policy_protocol_to_string((int)event->protocol, protocol), "local", "s",
                        event_endpoint_to_string(event, /* local= */ true, local), "remote", "s",
                        event_endpoint_to_string(event, /* local= */ false, remote), "rule", "s",
                        strempty(context->rule_id));
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}", "count", "t", summary->count, "first",
                        "t", summary->first_usec, "last", "t", summary->last_usec);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "pid", "u", event->pid, "comm",
                        "s", event->comm, "action", "s",
                        event->type == CGP_EVENT_WOULD ? "would-deny" : "denied", "suggested-rule",
                        "s", strempty(context->suggest));
        return r < 0 ? r : sd_bus_message_close_container(m);
}
