/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events: what a record may hold, its cause, and the text that people and programs get to see. */
#include "events/event.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/parse.h"
#include "policy/text.h"
#include "util/macro.h"

static void set_address(uint8_t address[16], const char *s) {
        assert_int_equal(policy_address_from_string(s, address), 0);
}

/* 2026-05-04T03:02:01.654321Z, five seconds of uptime */
#define REALTIME_NSEC 1777863721654321000LL
#define UPTIME_NSEC   5000000000LL

static struct cgp_event make_record(void) {
        struct cgp_event record = {
                .version = CGP_ABI_VERSION,
                .type = CGP_EVENT_DENIED,
                .size = sizeof(record),
                .time = UPTIME_NSEC,
                .epoch = UPTIME_NSEC - 1,
                .total = 3,
                .generation = 7,
                .subject = 1,
                .pid = 4242,
                .uid = 33,
                .comm = "curl",
                .local_port = 40000,
                .remote_port = 443,
                .rule = CGP_RULE_FIRST,
                .hook = CGP_HOOK_CONNECT4,
                .direction = CGP_DIR_OUT,
                .protocol = IPPROTO_TCP,
        };

        set_address(record.local, "10.0.0.5");
        set_address(record.remote, "192.0.2.1");
        return record;
}

static int decode(const struct cgp_event *record, Event *ret) {
        return event_decode(record, sizeof(*record), REALTIME_NSEC - UPTIME_NSEC, ret);
}

static void test_decode(void **state) {
        struct cgp_event record = make_record();
        Event event;

        assert_int_equal(decode(&record, &event), 0);
        assert_int_equal(event.type, CGP_EVENT_DENIED);
        assert_int_equal(event.realtime_usec, REALTIME_NSEC / 1000);
        assert_int_equal(event.generation, 7);
        assert_int_equal(event.subject, 1);
        assert_int_equal(event.pid, 4242);
        assert_int_equal(event.uid, 33);
        assert_string_equal(event.comm, "curl");
        assert_int_equal(event.hook, CGP_HOOK_CONNECT4);
        assert_int_equal(event.direction, CGP_DIR_OUT);
        assert_int_equal(event.protocol, IPPROTO_TCP);
        assert_memory_equal(event.local, record.local, 16);
        assert_memory_equal(event.remote, record.remote, 16);
        assert_int_equal(event.local_port, 40000);
        assert_int_equal(event.remote_port, 443);
        assert_int_equal(event.rule, CGP_RULE_FIRST);
        assert_int_equal(event.suppressed, 0);
        assert_false(event.missed);
}

static void test_decode_size(void **state) {
        uint8_t buf[sizeof(struct cgp_event) + 16] = { 0 };
        struct cgp_event record = make_record();
        Event event;

        for (size_t shift = 0; shift < 8; shift++) {
                memcpy(buf + shift, &record, sizeof(record));
                for (size_t size = 0; size < sizeof(record) + 8; size++)
                        assert_int_equal(event_decode(buf + shift, size, 0, &event),
                                size < sizeof(record) ? -EBADMSG : 0);
                assert_int_equal(
                        event_decode(buf + shift, sizeof(record) + 8, 0, &event), -EBADMSG);
        }
        assert_int_equal(event_decode(NULL, 0, 0, &event), -EBADMSG);
}

#define REFUSED(member, value)                                         \
        do {                                                           \
                struct cgp_event _record = make_record();              \
                Event _event;                                          \
                                                                       \
                _record.member = (value);                              \
                assert_int_equal(decode(&_record, &_event), -EBADMSG); \
        } while (0)

#define ACCEPTED(member, value)                                 \
        do {                                                    \
                struct cgp_event _record = make_record();       \
                Event _event;                                   \
                                                                \
                _record.member = (value);                       \
                assert_int_equal(decode(&_record, &_event), 0); \
        } while (0)

static void test_decode_ranges(void **state) {
        REFUSED(version, 0);
        REFUSED(version, CGP_ABI_VERSION + 1);
        REFUSED(size, 0);
        REFUSED(size, sizeof(struct cgp_event) - 1);
        REFUSED(size, sizeof(struct cgp_event) + 1);
        REFUSED(type, 0);
        REFUSED(type, 3);
        REFUSED(type, 0x101);
        ACCEPTED(type, CGP_EVENT_WOULD);
        REFUSED(total, 0);
        REFUSED(subject, 0);
        REFUSED(subject, CGP_MAX_SUBJECTS);
        ACCEPTED(subject, CGP_MAX_SUBJECTS - 1);
        REFUSED(hook, CGP_N_HOOKS);
        ACCEPTED(hook, CGP_N_HOOKS - 1);
        REFUSED(direction, 3);
        ACCEPTED(direction, CGP_DIR_BIND);
        ACCEPTED(direction, CGP_DIR_IN);
        REFUSED(rule, CGP_RULE_NONE);
        ACCEPTED(rule, CGP_RULE_BROKEN);
        ACCEPTED(rule, CGP_RULE_DEFAULT_BIND);
        REFUSED(rule, CGP_RULE_DEFAULT_BIND + 1);
        REFUSED(rule, CGP_RULE_FIRST - 1);
        ACCEPTED(rule, CGP_RULE_FIRST + CGP_MAX_RULES - 1);
        REFUSED(rule, CGP_RULE_FIRST + CGP_MAX_RULES);
        REFUSED(_pad[0], 1);
        REFUSED(_pad[6], 0x80);
        REFUSED(time, UINT64_MAX);
        REFUSED(time, INT64_MAX);
}

static void test_decode_time(void **state) {
        struct cgp_event record = make_record();
        Event event;

        assert_int_equal(event_decode(&record, sizeof(record), -UPTIME_NSEC, &event), 0);
        assert_int_equal(event.realtime_usec, 0);
        assert_int_equal(event_decode(&record, sizeof(record), -UPTIME_NSEC - 1, &event), -EBADMSG);
        assert_int_equal(event_decode(&record, sizeof(record), INT64_MIN, &event), -EBADMSG);
        assert_int_equal(event_decode(&record, sizeof(record), INT64_MAX, &event), -EBADMSG);
}

static void test_comm(void **state) {
        static const struct {
                const char *comm; /* 16 bytes at most */
                const char *expect;
        } cases[] = {
                { "", "" },
                { "kworker/0:1", "kworker/0:1" },
                { "a\nb\tc\x1b[0m", "a?b?c?[0m" },
                { "\x7f\x01\x80\xff", "????" },
                { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
                { "\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80" },
                { "\xc2\x85", "??" },           /* a C1 control */
                { "\xc0\x80", "??" },           /* overlong */
                { "\xe0\x80\x80", "???" },      /* overlong */
                { "\xf0\x80\x80\x80", "????" }, /* overlong */
                { "\xed\xa0\x80", "???" },      /* a surrogate */
                { "\xf4\x90\x80\x80", "????" }, /* beyond U+10FFFF */
                { "\xf8\x88\x80\x80\x80", "?????" },
                { "123456789012345\xc3", "123456789012345?" }, /* cut, and no NUL */
                { "1234567890123456", "1234567890123456" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct cgp_event record = make_record();
                Event event;

                memset(record.comm, 0, sizeof(record.comm));
                memcpy(record.comm, cases[i].comm, strlen(cases[i].comm));
                assert_int_equal(decode(&record, &event), 0);
                assert_string_equal(event.comm, cases[i].expect);
        }
}

static void test_key(void **state) {
        struct cgp_event record = make_record();
        struct cgp_denial_key key,
                expect = {
                        .subject = 1,
                        .rule = CGP_RULE_FIRST,
                        .port = 443,
                        .direction = CGP_DIR_OUT,
                        .protocol = IPPROTO_TCP,
                        .type = CGP_EVENT_DENIED,
                };

        memcpy(expect.remote, record.remote, 16);
        memset(&key, 0xee, sizeof(key));
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));

        record.direction = expect.direction = CGP_DIR_IN;
        expect.port = 40000;
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));

        /* Type and code, whichever way it goes. */
        record.protocol = expect.protocol = IPPROTO_ICMP;
        record.local_port = expect.port = 8 << 8 | 3;
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));
        record.direction = expect.direction = CGP_DIR_OUT;
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));
        record.protocol = expect.protocol = IPPROTO_ICMPV6;
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));

        record.type = expect.type = CGP_EVENT_WOULD;
        event_get_key(&record, &key);
        assert_memory_equal(&key, &expect, sizeof(key));
}

static void assert_json(const Event *event, const EventContext *context, const char *expect) {
        _cleanup_free_ char *json = event_to_json(event, context);

        assert_non_null(json);
        assert_string_equal(json, expect);
}

static void test_json(void **state) {
        EventContext context = {
                .subject = "web",
                .rule_id = "web.16",
                .rule = "deny out to 192.0.2.0/24",
                .suggest = "out tcp/443 to 192.0.2.1",
        };
        struct cgp_event record = make_record();
        Event event;

        assert_int_equal(decode(&record, &event), 0);
        event.suppressed = 12;
        assert_json(&event, &context,
                "{\"time\":\"2026-05-04T03:02:01.654321Z\",\"subject\":\"web\","
                "\"direction\":\"out\",\"protocol\":\"tcp\",\"local\":\"10.0.0.5:40000\","
                "\"remote\":\"192.0.2.1:443\",\"pid\":4242,\"comm\":\"curl\",\"uid\":33,"
                "\"hook\":\"connect4\",\"rule\":\"web.16\",\"suppressed\":12,\"generation\":7,"
                "\"action\":\"denied\",\"rule-text\":\"deny out to 192.0.2.0/24\","
                "\"suggest\":\"out tcp/443 to 192.0.2.1\"}");
}

static void test_json_unknown(void **state) {
        struct cgp_event record = make_record();
        Event event;

        record.pid = 0;
        record.type = CGP_EVENT_WOULD;
        record.direction = CGP_DIR_IN;
        record.hook = CGP_HOOK_INGRESS;
        record.protocol = IPPROTO_ICMPV6;
        record.local_port = 128 << 8 | 4;
        record.remote_port = 9;
        record.rule = CGP_RULE_DEFAULT_IN;
        record.time = 0;
        set_address(record.local, "::1");
        set_address(record.remote, "2001:db8::1");
        assert_int_equal(event_decode(&record, sizeof(record), 0, &event), 0);
        event.missed = true;
        assert_json(&event, &(EventContext){ 0 },
                "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"subject\":null,"
                "\"direction\":\"in\",\"protocol\":\"icmpv6\",\"local\":\"::1\","
                "\"remote\":\"2001:db8::1\",\"icmp-type\":128,\"icmp-code\":4,\"pid\":null,"
                "\"comm\":null,\"uid\":null,\"hook\":\"ingress\",\"rule\":\"default.in\","
                "\"suppressed\":0,\"generation\":7,\"action\":\"would-deny\",\"rule-text\":null,"
                "\"suggest\":null,\"missed\":true}");
}

static const char *get_string(json_object *o, const char *key) {
        json_object *value = NULL;

        assert_true(json_object_object_get_ex(o, key, &value));
        return json_object_get_string(value);
}

/* Text from elsewhere stays inside its string, and the line stays a line of bounded length. */
static void test_json_hostile(void **state) {
        _cleanup_free_ char *rule = malloc(65537), *json = NULL;
        EventContext context = { .subject = "a\"b\\\n\x01/", .rule = rule };
        struct cgp_event record = make_record();
        json_object *o = NULL;
        Event event;

        assert_non_null(rule);
        /* The bound falls into the middle of a character. */
        for (size_t i = 0; i < 65536; i += 2)
                memcpy(rule + i, "\xc3\xbc", 2);
        rule[0] = 'x';
        rule[1] = 'y';
        memmove(rule + 1, rule + 2, 65534);
        rule[65535] = '\0';
        memcpy(record.comm, "\",\"pid\":1,\"x\":\"", 16);
        assert_int_equal(decode(&record, &event), 0);

        json = event_to_json(&event, &context);
        assert_non_null(json);
        assert_null(strchr(json, '\n'));
        assert_true(strlen(json) < 4096);
        o = json_tokener_parse(json);
        assert_non_null(o);
        assert_string_equal(get_string(o, "subject"), context.subject);
        assert_string_equal(get_string(o, "comm"), "\",\"pid\":1,\"x\":\"");
        assert_string_equal(get_string(o, "pid"), "4242");
        assert_int_equal(strlen(get_string(o, "rule-text")), 1023 + 3);
        assert_memory_equal(get_string(o, "rule-text") + 1021, "\xc3\xbc...", 5);
        (void)json_object_put(o);
}

static void test_endpoints(void **state) {
        static const struct {
                unsigned protocol;
                const char *local, *remote, *expect_local, *expect_remote;
        } cases[] = {
                { IPPROTO_UDP, "2001:db8::2", "2001:db8::1", "\"[2001:db8::2]:5\"",
                        "\"[2001:db8::1]:6\"" },
                { IPPROTO_SCTP, "127.0.0.1", "10.1.2.3", "\"127.0.0.1:5\"", "\"10.1.2.3:6\"" },
                { IPPROTO_UDPLITE, "::", "::1", "\"[::]:5\"", "\"[::1]:6\"" },
                { IPPROTO_TCP, "::", "10.1.2.3", "\"0.0.0.0:5\"", "\"10.1.2.3:6\"" },
                { 47, "10.0.0.1", "10.1.2.3", "\"10.0.0.1\"", "\"10.1.2.3\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *json = NULL, *expect = NULL;
                Event event = {
                        .type = CGP_EVENT_DENIED,
                        .protocol = cases[i].protocol,
                        .local_port = 5,
                        .remote_port = 6,
                };

                set_address(event.local, cases[i].local);
                set_address(event.remote, cases[i].remote);
                json = event_to_json(&event, &(EventContext){ 0 });
                assert_non_null(json);
                assert_true(asprintf(&expect, "\"local\":%s,\"remote\":%s,\"pid\"",
                                    cases[i].expect_local, cases[i].expect_remote) > 0);
                assert_non_null(strstr(json, expect));
        }
}

static void test_suggest(void **state) {
        static const struct {
                unsigned protocol, direction;
                uint16_t rule;
                const char *remote, *expect;
        } cases[] = {
                { IPPROTO_TCP, CGP_DIR_OUT, 16, "192.0.2.1", "out tcp/443 to 192.0.2.1" },
                { IPPROTO_TCP, CGP_DIR_IN, 16, "192.0.2.7", "in tcp/8080 from 192.0.2.7" },
                { IPPROTO_UDP, CGP_DIR_OUT, CGP_RULE_DEFAULT_OUT, "2001:db8::1",
                        "out udp/443 to 2001:db8::1" },
                { IPPROTO_ICMP, CGP_DIR_OUT, 16, "10.0.0.1", "out icmp to 10.0.0.1" },
                { IPPROTO_ICMPV6, CGP_DIR_IN, CGP_RULE_DEFAULT_IN, "fe80::1",
                        "in icmpv6 from fe80::1" },
                { 47, CGP_DIR_OUT, 16, "10.0.0.1", "out 47 to 10.0.0.1" },
                { IPPROTO_TCP, CGP_DIR_OUT, CGP_RULE_UNPARSABLE_OUT, "10.0.0.1", "" },
                { IPPROTO_TCP, CGP_DIR_IN, CGP_RULE_UNPARSABLE_IN, "10.0.0.1", "" },
                { IPPROTO_TCP, CGP_DIR_OUT, CGP_RULE_BROKEN, "10.0.0.1", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char buf[EVENT_SUGGEST_MAX];
                Event event = {
                        .protocol = cases[i].protocol,
                        .direction = cases[i].direction,
                        .rule = cases[i].rule,
                        .local_port = 8080,
                        .remote_port = 443,
                };

                set_address(event.remote, cases[i].remote);
                assert_ptr_equal(event_suggest(&event, buf), buf);
                assert_string_equal(buf, cases[i].expect);
        }
}

static uint64_t seed = 20260504;

static uint64_t next_random(void) {
        /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
}

/* Whatever is suggested is a rule, in the form in which it would be printed. */
static void test_suggest_parses(void **state) {
        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(policy_rule_freep) PolicyRule *rule = NULL;
                _cleanup_free_ char *body = NULL;
                char buf[EVENT_SUGGEST_MAX];
                Event event = {
                        .protocol = next_random() & 1 ? next_random() & 0xff : IPPROTO_TCP,
                        .direction = next_random() & 1,
                        .rule = CGP_RULE_FIRST,
                        .local_port = (uint16_t)next_random(),
                        .remote_port = (uint16_t)next_random(),
                };

                for (unsigned k = 0; k < 16; k++)
                        event.remote[k] = next_random() & 1 ? (uint8_t)next_random() : 0;
                if (next_random() & 1) {
                        memset(event.remote, 0, 10);
                        event.remote[10] = event.remote[11] = 0xff;
                }
                (void)event_suggest(&event, buf);
                assert_int_equal(
                        policy_parse_body(POLICY_ALLOW, buf, NULL, 0, 0, NULL, NULL, &rule), 0);
                body = policy_rule_to_body(rule);
                assert_non_null(body);
                assert_string_equal(body, buf);
        }
}

/* Damaged records: refused, or within every range, and then printable. */
static void test_damaged(void **state) {
        unsigned n_accepted = 0;

        for (unsigned i = 0; i < 50000; i++) {
                struct cgp_event record = make_record();
                uint8_t bytes[sizeof(record)];
                char buf[EVENT_SUGGEST_MAX];
                _cleanup_free_ char *json = NULL;
                json_object *o;
                Event event;

                memcpy(bytes, &record, sizeof(bytes));
                for (uint64_t n = 1 + next_random() % 6; n > 0; n--)
                        bytes[next_random() % sizeof(bytes)] = (uint8_t)next_random();
                if (event_decode(bytes, sizeof(bytes), (int64_t)next_random(), &event) < 0)
                        continue;
                n_accepted++;
                assert_in_range(event.subject, 1, CGP_MAX_SUBJECTS - 1);
                assert_in_range(event.type, CGP_EVENT_DENIED, CGP_EVENT_WOULD);
                assert_in_range(event.direction, CGP_DIR_OUT, CGP_DIR_BIND);
                assert_non_null(event_hook_to_string(event.hook));
                assert_true(event.rule >= CGP_RULE_FIRST || event_reserved_rule_id(event.rule));
                json = event_to_json(&event, &(EventContext){ 0 });
                assert_non_null(json);
                o = json_tokener_parse(json);
                assert_non_null(o);
                (void)json_object_put(o);
                (void)event_suggest(&event, buf);
        }
        assert_in_range(n_accepted, 1000, 49000);
}

static void test_names(void **state) {
        assert_string_equal(event_hook_to_string(CGP_HOOK_SOCK_CREATE), "sock_create");
        assert_string_equal(event_hook_to_string(CGP_HOOK_INGRESS), "ingress");
        for (unsigned hook = 0; hook < CGP_N_HOOKS; hook++)
                assert_non_null(event_hook_to_string(hook));
        assert_null(event_hook_to_string(CGP_N_HOOKS));

        assert_null(event_direction_to_string(CGP_DIR_BIND + 1));
        assert_null(event_reserved_rule_id(CGP_RULE_NONE));
        assert_string_equal(event_reserved_rule_id(CGP_RULE_DEFAULT_BIND), "default.bind");
        assert_string_equal(event_reserved_rule_id(CGP_RULE_DEFAULT_OUT), "default.out");
        assert_string_equal(event_reserved_rule_id(CGP_RULE_DEFAULT_IN), "default.in");
        assert_string_equal(event_reserved_rule_id(CGP_RULE_UNPARSABLE_OUT), "unparsable.out");
        assert_string_equal(event_reserved_rule_id(CGP_RULE_UNPARSABLE_IN), "unparsable.in");
        for (uint16_t rule = CGP_RULE_DEFAULT_BIND + 1; rule < 64; rule++)
                assert_null(event_reserved_rule_id(rule));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_decode),
                cmocka_unit_test(test_decode_size),
                cmocka_unit_test(test_decode_ranges),
                cmocka_unit_test(test_decode_time),
                cmocka_unit_test(test_comm),
                cmocka_unit_test(test_key),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_unknown),
                cmocka_unit_test(test_json_hostile),
                cmocka_unit_test(test_endpoints),
                cmocka_unit_test(test_suggest),
                cmocka_unit_test(test_suggest_parses),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
