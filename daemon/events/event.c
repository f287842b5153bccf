/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records to events. A record is untrusted input: it is copied out before it is looked at (samples are not
 * aligned), and every field is checked before one is used. */
#include "events/event.h"

#include <netinet/in.h>

#include "util/macro.h"

_Static_assert(sizeof(struct cgp_event) == 120, "struct cgp_event is ABI");
_Static_assert(sizeof(struct cgp_denial_key) == 32, "struct cgp_denial_key is ABI");

/* The kernel pads a perf sample to 8 bytes, its own size field included. */
#define SAMPLE_PADDING_MAX 7U

static const char *const hook_names[CGP_N_HOOKS] = {
        [CGP_HOOK_SOCK_CREATE] = "sock_create",
        [CGP_HOOK_SOCK_OPS] = "sock_ops",
        [CGP_HOOK_BIND4] = "bind4",
        [CGP_HOOK_BIND6] = "bind6",
        [CGP_HOOK_POST_BIND4] = "post_bind4",
        [CGP_HOOK_POST_BIND6] = "post_bind6",
        [CGP_HOOK_CONNECT4] = "connect4",
        [CGP_HOOK_CONNECT6] = "connect6",
        [CGP_HOOK_SENDMSG4] = "sendmsg4",
        [CGP_HOOK_SENDMSG6] = "sendmsg6",
        [CGP_HOOK_EGRESS] = "egress",
        [CGP_HOOK_INGRESS] = "ingress",
};

static const char *const reserved_rule_ids[] = {
        [CGP_RULE_DEFAULT_OUT] = "default.out",
        [CGP_RULE_DEFAULT_IN] = "default.in",
        [CGP_RULE_UNPARSABLE_OUT] = "unparsable.out",
        [CGP_RULE_UNPARSABLE_IN] = "unparsable.in",
        [CGP_RULE_CONTROL] = "control",
        [CGP_RULE_BROKEN] = "broken",
        [CGP_RULE_DEFAULT_BIND] = "default.bind",
};

const char *event_hook_to_string(unsigned hook) {
        return hook < ELEMENTSOF(hook_names) ? hook_names[hook] : NULL;
}

const char *event_direction_to_string(unsigned direction) {
        static const char *const names[] = {
                [CGP_DIR_OUT] = "out",
                [CGP_DIR_IN] = "in",
                [CGP_DIR_BIND] = "bind",
        };

        return direction < ELEMENTSOF(names) ? names[direction] : NULL;
}

const char *event_reserved_rule_id(uint16_t rule) {
        return rule < ELEMENTSOF(reserved_rule_ids) ? reserved_rule_ids[rule] : NULL;
}

bool event_protocol_is_icmp(unsigned protocol) {
        return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

void event_get_key(const struct cgp_event *record, struct cgp_denial_key *ret) {
        assert(record);
        assert(ret);

        *ret = (struct cgp_denial_key){
                .subject = record->subject,
                .rule = record->rule,
                .direction = record->direction,
                .protocol = record->protocol,
                .type = (uint8_t)record->type,
        };
        /* The type and code of an ICMP message stand in local_port, whoever opened. */
        if (record->direction != CGP_DIR_OUT || event_protocol_is_icmp(record->protocol))
                ret->port = record->local_port;
        else
                ret->port = record->remote_port;
        memcpy(ret->remote, record->remote, sizeof(ret->remote));
}

/* The length of the UTF-8 sequence at s, or 0 if there is none that is valid and printable. */
static size_t utf8_length(const char *s) {
        const unsigned char *p = (const unsigned char *)s;
        uint32_t c;
        size_t n;

        if (p[0] < 0x80)
                return p[0] >= ' ' && p[0] != 0x7f;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;

        n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        c = p[0] & (0x7fU >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (n == 2)
                return c >= 0xa0 ? n : 0; /* below are the C1 controls */
        if (n == 3)
                return c >= 0x800 && (c < 0xd800 || c > 0xdfff) ? n : 0;
        return c >= 0x10000 && c <= 0x10ffff ? n : 0;
}

/* A process names itself: what it says must not reach a terminal or a JSON parser as it stands. ret holds
 * one byte more than comm. */
static void event_copy_comm(const char *comm, size_t size, char *ret) {
        char *p = ret;

        memcpy(ret, comm, size);
        ret[size] = '\0';
        while (*p) {
                size_t n = utf8_length(p);

                if (n == 0) {
                        *p = '?';
                        n = 1;
                }
                p += n;
        }
}

static bool event_rule_is_valid(uint16_t rule) {
        if (rule < CGP_RULE_FIRST)
                return event_reserved_rule_id(rule);
        return rule < CGP_RULE_FIRST + CGP_MAX_RULES;
}

static bool event_record_is_valid(const struct cgp_event *record) {
        static const uint8_t zero[sizeof(record->_pad)] = { 0 };

        return record->version == CGP_ABI_VERSION && record->size == sizeof(*record) &&
                (record->type == CGP_EVENT_DENIED || record->type == CGP_EVENT_WOULD) &&
                record->total > 0 && record->subject > 0 && record->subject < CGP_MAX_SUBJECTS &&
                event_rule_is_valid(record->rule) && record->hook < CGP_N_HOOKS &&
                record->direction <= CGP_DIR_BIND && memcmp(record->_pad, zero, sizeof(zero)) == 0;
}

int event_decode(const void *bytes, size_t size, int64_t realtime_offset_nsec, Event *ret) {
        struct cgp_event record;
        int64_t realtime;

        assert(bytes || size == 0);
        assert(ret);

        if (size < sizeof(record) || size - sizeof(record) > SAMPLE_PADDING_MAX)
                return -EBADMSG;
        memcpy(&record, bytes, sizeof(record));
        if (!event_record_is_valid(&record))
                return -EBADMSG;
        if (record.time > INT64_MAX ||
                __builtin_add_overflow((int64_t)record.time, realtime_offset_nsec, &realtime) ||
                realtime < 0)
                return -EBADMSG;

        *ret = (Event){
                .type = record.type,
                .realtime_usec = (uint64_t)realtime / NSEC_PER_USEC,
                .generation = record.generation,
                .subject = record.subject,
                .pid = record.pid,
                .uid = record.uid,
                .hook = record.hook,
                .direction = record.direction,
                .protocol = record.protocol,
                .local_port = record.local_port,
                .remote_port = record.remote_port,
                .rule = record.rule,
                .ifindex = record.ifindex,
        };
        memcpy(ret->local, record.local, sizeof(ret->local));
        memcpy(ret->remote, record.remote, sizeof(ret->remote));
        event_copy_comm(record.comm, sizeof(record.comm), ret->comm);
        return 0;
}
