/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the one form in which rules and files are printed. What is printed here parses back to the same
 * thing, also on a host that lacks the names it was written with; the parser lets a rule that it read be
 * printed here once, and that text is the rule's identity.
 */
#include "policy/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "util/macro.h"

static const struct {
        int protocol;
        const char *name;
} protocols[] = {
        { POLICY_PROTOCOL_ANY, "any" },
        { IPPROTO_TCP, "tcp" },
        { IPPROTO_UDP, "udp" },
        { IPPROTO_UDPLITE, "udplite" },
        { IPPROTO_SCTP, "sctp" },
        { IPPROTO_ICMP, "icmp" },
        { IPPROTO_ICMPV6, "icmpv6" },
};

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* A text that grows. After a failure it stays failed, so that only the end needs a check. */
typedef struct Text {
        char *s;
        size_t n;
        size_t room;
        bool failed;
} Text;

static void text_done(Text *t) {
        free(t->s);
}

static void text_add_bytes(Text *t, const char *s, size_t n) {
        if (t->failed)
                return;
        if (n >= t->room - t->n) {
                size_t room = MAX(t->room * 2, t->n + n + 64);
                char *grown = realloc(t->s, room);

                if (!grown) {
                        t->failed = true;
                        return;
                }
                t->s = grown;
                t->room = room;
        }
        memcpy(t->s + t->n, s, n);
        t->n += n;
        t->s[t->n] = '\0';
}

static void text_add(Text *t, const char *s) {
        text_add_bytes(t, s, strlen(s));
}

static void text_addf(Text *t, const char *format, ...) _printf_(2, 3);

/* For short pieces only. */
static void text_addf(Text *t, const char *format, ...) {
        char buf[128];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(buf, sizeof(buf), format, args);
        va_end(args);
        assert(n >= 0 && (size_t)n < sizeof(buf));
        text_add_bytes(t, buf, (size_t)n);
}

/* A space between two words. */
static void text_separate(Text *t) {
        if (t->n > 0)
                text_add(t, " ");
}

static char *text_finish(Text *t) {
        if (t->failed)
                return NULL;
        return TAKE_PTR(t->s);
}

char *policy_address_to_string(const uint8_t address[16], char *buf) {
        if (memcmp(address, v4_mapped, sizeof(v4_mapped)) == 0)
                (void)inet_ntop(AF_INET, address + sizeof(v4_mapped), buf, INET6_ADDRSTRLEN);
        else
                (void)inet_ntop(AF_INET6, address, buf, INET6_ADDRSTRLEN);
        return buf;
}

int policy_address_from_string(const char *s, uint8_t ret[16]) {
        uint8_t address[16];

        assert(s);

        if (inet_pton(AF_INET, s, address + sizeof(v4_mapped)) == 1)
                memcpy(address, v4_mapped, sizeof(v4_mapped));
        else if (inet_pton(AF_INET6, s, address) != 1)
                return -EINVAL;
        memcpy(ret, address, sizeof(address));
        return 0;
}

const char *policy_protocol_to_string(int protocol, char buf[8]) {
        for (size_t i = 0; i < ELEMENTSOF(protocols); i++)
                if (protocols[i].protocol == protocol)
                        return protocols[i].name;
        (void)snprintf(buf, 8, "%u", (unsigned)protocol & 0xff);
        return buf;
}

int policy_protocol_from_string(const char *s) {
        unsigned n = 0;

        assert(s);

        /* "any" is no protocol of the grammar, and POLICY_PROTOCOL_ANY would read as an error. */
        for (size_t i = 1; i < ELEMENTSOF(protocols); i++)
                if (streq(protocols[i].name, s))
                        return protocols[i].protocol;
        if (*s == '\0' || (*s == '0' && s[1] != '\0'))
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                n = n * 10 + (unsigned)(*s - '0');
                if (n > 255)
                        return -EINVAL;
        }
        return (int)n;
}

/* Every protocol once, with its ports: "tcp/80,443+udp/443". The services are sorted by protocol. */
static void add_services(Text *t, const PolicyRule *rule) {
        for (size_t i = 0, next; i < rule->n_services; i = next) {
                const PolicyService *s = rule->services + i;
                char buf[8];

                for (next = i + 1; next < rule->n_services; next++)
                        if (rule->services[next].protocol != s->protocol)
                                break;
                text_add(t, i > 0 ? "+" : "");
                text_add(t, policy_protocol_to_string(s->protocol, buf));
                if (next == i + 1 && s->port_min == 0 && s->port_max == UINT16_MAX)
                        continue;
                for (size_t k = i; k < next; k++) {
                        const PolicyService *p = rule->services + k;

                        text_add(t, k == i ? "/" : ",");
                        if (p->port_min == p->port_max)
                                text_addf(t, "%u", p->port_min);
                        else
                                text_addf(t, "%u-%u", p->port_min, p->port_max);
                }
        }
}

static void add_peer(Text *t, const PolicyPeer *peer) {
        char first[INET6_ADDRSTRLEN], last[INET6_ADDRSTRLEN];

        switch (peer->type) {
        case POLICY_PEER_PREFIX:
                text_add(t, policy_address_to_string(peer->address, first));
                if (peer->prefix_len != (peer->family == AF_INET ? 32 : 128))
                        text_addf(t, "/%u", peer->prefix_len);
                break;
        case POLICY_PEER_RANGE:
                text_addf(t, "%s-%s", policy_address_to_string(peer->address, first),
                        policy_address_to_string(peer->last, last));
                break;
        case POLICY_PEER_LIST:
                text_add(t, "@");
                text_add(t, strempty(peer->list));
                break;
        case POLICY_PEER_ANY:
        case POLICY_PEER_LOCALHOST:
        case POLICY_PEER_LINK_LOCAL:
        case POLICY_PEER_MULTICAST:
        case POLICY_PEER_BROADCAST:
        case POLICY_PEER_LAN:
        case POLICY_PEER_INTERNET:
        case _POLICY_PEER_TYPE_MAX:
                text_add(t, strempty(policy_peer_type_to_string(peer->type)));
                break;
        }
}

char *policy_peer_to_string(const PolicyPeer *peer) {
        _cleanup_(text_done) Text t = {};

        add_peer(&t, peer);
        return t.failed ? NULL : TAKE_PTR(t.s);
}

static void add_peers(Text *t, const PolicyRule *rule) {
        for (size_t i = 0; i < rule->n_peers; i++) {
                text_add(t, i > 0 ? "," : "");
                add_peer(t, rule->peers + i);
        }
}

static bool any_service(const PolicyRule *rule) {
        return rule->n_services == 1 && rule->services[0].protocol == POLICY_PROTOCOL_ANY;
}

static bool any_peer(const PolicyRule *rule) {
        return rule->n_peers == 1 && rule->peers[0].type == POLICY_PEER_ANY;
}

static const char *direction_word(unsigned directions) {
        switch (directions) {
        case POLICY_DIRECTION_IN:
                return "in";
        case POLICY_DIRECTION_OUT:
                return "out";
        case POLICY_DIRECTION_BIND:
                return "bind";
        default:
                return "";
        }
}

static void add_body(Text *t, const PolicyRule *rule) {
        text_add(t, direction_word(rule->directions));
        if (!any_service(rule) || any_peer(rule)) {
                text_separate(t);
                add_services(t, rule);
        }
        if (!any_peer(rule)) {
                text_separate(t);
                text_add(t, rule->directions == POLICY_DIRECTION_IN ? "from " : "to ");
                add_peers(t, rule);
        }
        if (rule->via) {
                text_separate(t);
                text_add(t, "via ");
                text_add(t, rule->via);
        }
}

char *policy_rule_to_body(const PolicyRule *rule) {
        _cleanup_(text_done) Text t = {};

        assert(rule);

        add_body(&t, rule);
        return text_finish(&t);
}

static void add_expanded(Text *t, const PolicyRule *rule, unsigned direction) {
        text_add(t, t->n > 0 ? "\n" : "");
        text_add(t, strempty(policy_verdict_to_string(rule->verdict)));
        text_add(t, " ");
        text_add(t, direction_word(direction));
        text_add(t, " ");
        add_services(t, rule);
        text_add(t, direction == POLICY_DIRECTION_IN ? " from " : " to ");
        add_peers(t, rule);
        if (rule->via) {
                text_add(t, " via ");
                text_add(t, rule->via);
        }
}

char *policy_rule_to_expanded(const PolicyRule *rule) {
        static const unsigned directions[] = { POLICY_DIRECTION_IN, POLICY_DIRECTION_OUT,
                POLICY_DIRECTION_BIND };
        _cleanup_(text_done) Text t = {};

        assert(rule);

        for (size_t i = 0; i < ELEMENTSOF(directions); i++)
                if (rule->directions & directions[i])
                        add_expanded(&t, rule, directions[i]);
        return text_finish(&t);
}

static void add_json_string(Text *t, const char *s) {
        text_add(t, "\"");
        for (; *s; s++) {
                if (*s == '"' || *s == '\\')
                        text_addf(t, "\\%c", *s);
                else if ((unsigned char)*s < 0x20)
                        text_addf(t, "\\u%04x", (unsigned)*s);
                else
                        text_add_bytes(t, s, 1);
        }
        text_add(t, "\"");
}

/* One member: what follows the brace or the member before it, its name, its value. */
static void add_json_member(Text *t, const char *separator, const char *key, const char *value) {
        text_add(t, separator);
        add_json_string(t, key);
        text_add(t, ": ");
        add_json_string(t, value);
}

static void add_json_strings(Text *t, char *const *strings) {
        text_add(t, "[");
        for (size_t i = 0; strings && strings[i]; i++) {
                text_add(t, i > 0 ? ", " : "");
                add_json_string(t, strings[i]);
        }
        text_add(t, "]");
}

static void add_json_match(Text *t, const PolicyMatch *match) {
        text_add(t, ",\n  \"match\": { \"units\": ");
        add_json_strings(t, match->units);
        if (match->not_units) {
                text_add(t, ", \"not\": ");
                add_json_strings(t, match->not_units);
        }
        text_add(t, " }");
}

static void add_json_default(Text *t, const PolicyFile *file) {
        const char *in = policy_default_to_string(file->default_in);
        const char *out = policy_default_to_string(file->default_out);
        const char *separator = "";

        if (!in && !out)
                return;
        text_add(t, ",\n  \"default\": { ");
        if (in) {
                add_json_member(t, separator, "in", in);
                separator = ", ";
        }
        if (out)
                add_json_member(t, separator, "out", out);
        text_add(t, " }");
}

static void add_json_lists(Text *t, const PolicyFile *file) {
        if (file->n_lists == 0)
                return;
        text_add(t, ",\n  \"lists\": {\n");
        for (size_t i = 0; i < file->n_lists; i++) {
                const PolicyListDefinition *list = file->lists + i;

                text_add(t, "    ");
                add_json_string(t, list->name);
                text_add(t, ": { ");
                if (list->file) {
                        add_json_member(t, "", "file", list->file);
                        add_json_member(t, ", ", "on-error", "keep-last");
                } else {
                        text_add(t, "\"networks\": ");
                        add_json_strings(t, list->networks);
                }
                text_add(t, i + 1 < file->n_lists ? " },\n" : " }\n");
        }
        text_add(t, "  }");
}

static void add_json_rules(Text *t, const PolicyFile *file) {
        if (file->n_rules == 0)
                return;
        text_add(t, ",\n  \"rules\": [\n");
        for (size_t i = 0; i < file->n_rules; i++) {
                const PolicyRule *rule = file->rules[i];

                text_add(t, "    { ");
                add_json_member(t, "", strempty(policy_verdict_to_string(rule->verdict)),
                        strempty(rule->text));
                if (rule->id)
                        add_json_member(t, ", ", "id", rule->id);
                if (rule->comment)
                        add_json_member(t, ", ", "comment", rule->comment);
                text_add(t, i + 1 < file->n_rules ? " },\n" : " }\n");
        }
        text_add(t, "  ]");
}

char *policy_file_to_json(const PolicyFile *file) {
        _cleanup_(text_done) Text t = {};

        assert(file);

        text_add(&t, "{\n  \"cgpolicy\": 1");
        if (file->name)
                add_json_member(&t, ",\n  ", "name", file->name);
        if (file->has_match)
                add_json_match(&t, &file->match);
        if (file->mode != POLICY_MODE_UNSET)
                add_json_member(&t, ",\n  ", "mode", strempty(policy_mode_to_string(file->mode)));
        add_json_default(&t, file);
        if (file->refusal != POLICY_ERRNO_UNSET)
                add_json_member(
                        &t, ",\n  ", "errno", strempty(policy_errno_to_string(file->refusal)));
        if (file->profile)
                add_json_member(&t, ",\n  ", "profile", file->profile);
        add_json_lists(&t, file);
        add_json_rules(&t, file);
        text_add(&t, "\n}\n");
        return text_finish(&t);
}

bool policy_protocol_has_ports(int protocol) {
        return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
                protocol == IPPROTO_SCTP;
}

char *policy_endpoint_to_string(int protocol, const uint8_t address[16], uint16_t port, char *buf) {
        char text[INET6_ADDRSTRLEN];

        (void)policy_address_to_string(address, text);
        if (policy_protocol_has_ports(protocol))
                (void)snprintf(buf, POLICY_ENDPOINT_SIZE, strchr(text, ':') ? "[%s]:%u" : "%s:%u",
                        text, port);
        else
                (void)snprintf(buf, POLICY_ENDPOINT_SIZE, "%s", text);
        return buf;
}

char *policy_source_to_string(const PolicySource *source) {
        char *s = NULL;

        if (!source->path)
                return strdup("");
        if (source->line == 0)
                return strdup(source->path);
        return asprintf(&s, "%s:%u", source->path, source->line) < 0 ? NULL : s;
}
