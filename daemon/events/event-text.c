/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as text: the JSON line of the log and the stream, and the rule that would allow one. */
#include <arpa/inet.h>
#include <json-c/json.h>
#include <time.h>

#include "events/event.h"
#include "policy/text.h"
#include "util/macro.h"

/* A rule may be 64 KiB long, and so may be a line of the log: of the rule its begin must do. */
#define RULE_TEXT_MAX 1024U

typedef struct json_object JsonObject;

DEFINE_CLEANUP(JsonObject *, json_freep, json_object_put);

static bool address_is_zero(const uint8_t address[16]) {
        static const uint8_t zero[16] = { 0 };

        return memcmp(address, zero, sizeof(zero)) == 0;
}

static bool address_is_v4(const uint8_t address[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        return memcmp(address, mapped, sizeof(mapped)) == 0;
}

static void time_to_string(uint64_t realtime_usec, char *buf, size_t size) {
        time_t seconds = (time_t)(realtime_usec / USEC_PER_SEC);
        struct tm tm = { 0 };
        size_t n;

        /* Any 64-bit number of microseconds is a year that struct tm can hold. */
        (void)gmtime_r(&seconds, &tm);
        n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(buf + n, size - n, ".%06uZ", (unsigned)(realtime_usec % USEC_PER_SEC));
}

/* Takes value over. false: no memory, for value or for its place. */
static bool json_add(JsonObject *o, const char *key, JsonObject *value) {
        if (!value)
                return false;
        if (json_object_object_add_ex(o, key, value,
                    JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_KEY_IS_CONSTANT) < 0) {
                (void)json_object_put(value);
                return false;
        }
        return true;
}

static bool json_add_null(JsonObject *o, const char *key) {
        return json_object_object_add_ex(o, key, NULL,
                       JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_KEY_IS_CONSTANT) >= 0;
}

static bool json_add_number(JsonObject *o, const char *key, uint64_t value) {
        return json_add(o, key, json_object_new_uint64(value));
}

/* NULL becomes null. */
static bool json_add_string(JsonObject *o, const char *key, const char *value) {
        return value ? json_add(o, key, json_object_new_string(value)) : json_add_null(o, key);
}

static bool json_add_rule_text(JsonObject *o, const char *key, const char *rule) {
        char cut[RULE_TEXT_MAX + sizeof("...")];
        size_t n = RULE_TEXT_MAX;

        if (!rule || strlen(rule) <= RULE_TEXT_MAX)
                return json_add_string(o, key, rule);
        while (n > 0 && ((unsigned char)rule[n] & 0xc0) == 0x80)
                n--;
        memcpy(cut, rule, n);
        memcpy(cut + n, "...", sizeof("..."));
        return json_add_string(o, key, cut);
}

char *event_endpoint_to_string(const Event *event, bool local, char *buf) {
        uint8_t address[16];

        memcpy(address, local ? event->local : event->remote, sizeof(address));
        /* Not bound yet: no address of either family, but the conversation has one. */
        if (local && address_is_zero(address) && address_is_v4(event->remote))
                address[10] = address[11] = 0xff;
        return policy_endpoint_to_string(
                (int)event->protocol, address, local ? event->local_port : event->remote_port, buf);
}

static bool json_add_endpoints(JsonObject *o, const Event *event) {
        char buf[POLICY_ENDPOINT_SIZE], protocol[8];

        if (!json_add_string(
                    o, "protocol", policy_protocol_to_string((int)event->protocol, protocol)) ||
                !json_add_string(
                        o, "local", event_endpoint_to_string(event, /* local= */ true, buf)) ||
                !json_add_string(
                        o, "remote", event_endpoint_to_string(event, /* local= */ false, buf)))
                return false;
        if (!event_protocol_is_icmp(event->protocol))
                return true;
        return json_add_number(o, "icmp-type", event->local_port >> 8) &&
                json_add_number(o, "icmp-code", event->local_port & 0xff);
}

static bool json_add_process(JsonObject *o, const Event *event) {
        if (event->pid == 0)
                return json_add_null(o, "pid") && json_add_null(o, "comm") &&
                        json_add_null(o, "uid");
        return json_add_number(o, "pid", event->pid) && json_add_string(o, "comm", event->comm) &&
                json_add_number(o, "uid", event->uid);
}

char *event_to_json(const Event *event, const EventContext *context) {
        _cleanup_(json_freep) JsonObject *o = NULL;
        const char *text, *rule_id;
        char time[64];

        assert(event);
        assert(context);

        o = json_object_new_object();
        if (!o)
                return NULL;

        time_to_string(event->realtime_usec, time, sizeof(time));
        rule_id = context->rule_id ? context->rule_id : event_reserved_rule_id(event->rule);
        if (!json_add_string(o, "time", time) || !json_add_string(o, "subject", context->subject) ||
                !json_add_string(o, "direction", event_direction_to_string(event->direction)) ||
                !json_add_endpoints(o, event) || !json_add_process(o, event) ||
                !json_add_string(o, "hook", event_hook_to_string(event->hook)) ||
                !json_add_string(o, "rule", rule_id) ||
                !json_add_number(o, "suppressed", event->suppressed) ||
                !json_add_number(o, "generation", event->generation) ||
                !json_add_string(
                        o, "action", event->type == CGP_EVENT_WOULD ? "would-deny" : "denied") ||
                !json_add_rule_text(o, "rule-text", context->rule) ||
                !json_add_string(o, "suggest", context->suggest))
                return NULL;
        if (event->missed && !json_add(o, "missed", json_object_new_boolean(true)))
                return NULL;

        text = json_object_to_json_string_ext(
                o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        return text ? strdup(text) : NULL;
}

char *event_suggest(const Event *event, char *buf) {
        char address[INET6_ADDRSTRLEN], port[sizeof("/65535")] = "", protocol[8];
        bool out = event->direction == CGP_DIR_OUT;

        assert(event);
        assert(buf);

        *buf = '\0';
        /* A packet that cannot be judged by its bytes, or a broken table: no rule would see it. */
        if (event->rule != CGP_RULE_DEFAULT_OUT && event->rule != CGP_RULE_DEFAULT_IN &&
                event->rule != CGP_RULE_DEFAULT_BIND && event->rule < CGP_RULE_FIRST)
                return buf;

        if (policy_protocol_has_ports((int)event->protocol))
                (void)snprintf(
                        port, sizeof(port), "/%u", out ? event->remote_port : event->local_port);
        /* A port is a port on every address: the rule need not know which one the program asked for. */
        if (event->direction == CGP_DIR_BIND) {
                (void)snprintf(buf, EVENT_SUGGEST_MAX, "bind %s%s",
                        policy_protocol_to_string((int)event->protocol, protocol), port);
                return buf;
        }
        (void)snprintf(buf, EVENT_SUGGEST_MAX, "%s %s%s %s %s", out ? "out" : "in",
                policy_protocol_to_string((int)event->protocol, protocol), port,
                out ? "to" : "from", policy_address_to_string(event->remote, address));
        return buf;
}
