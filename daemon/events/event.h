/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One denial as the daemon speaks of it, decoded from what a program wrote. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgp-abi.h"
#include "util/cleanup.h"

typedef struct Event {
        unsigned type;          /* CGP_EVENT_* */
        uint64_t realtime_usec; /* CLOCK_REALTIME, converted */
        uint64_t generation;
        uint32_t subject;
        uint32_t pid; /* 0: unknown */
        uint32_t uid;
        char comm[17]; /* NUL-terminated, control bytes and invalid UTF-8 replaced by '?' */
        unsigned hook;
        unsigned direction;
        unsigned protocol;
        uint8_t local[16];
        uint8_t remote[16];
        uint16_t local_port; /* as in struct cgp_event */
        uint16_t remote_port;
        uint16_t rule;
        uint32_t ifindex;
        uint64_t suppressed; /* further denials of the same cause that had no event of their own */
        bool missed;         /* happened while no daemon ran */
} Event;

/* The cause an event belongs to. */
void event_get_key(const struct cgp_event *record, struct cgp_denial_key *ret);

/* Checks size, version, type and every field's range; converts the time with the given offset (realtime
 * minus monotonic, nanoseconds). suppressed and missed are left 0. size may exceed the record by the up to
 * 7 bytes with which the kernel pads a sample. -EBADMSG: not a valid record. */
int event_decode(const void *bytes, size_t size, int64_t realtime_offset_nsec,
        Event *ret) _warn_unused_result_;

/* The account of what was already told per cause, so that each denial is told exactly once, however it
 * reaches us: as an event, or later out of the kernel's map of last denials. Bounded; the least recently
 * used cause is forgotten (its later denials then count from what the kernel calls reported). */
typedef struct EventAccount EventAccount;
int event_account_new(size_t n_max, EventAccount **ret) _warn_unused_result_;
EventAccount *event_account_free(EventAccount *account);
DEFINE_CLEANUP(EventAccount *, event_account_freep, event_account_free);

/* Somebody tells that `total` denials of this cause happened since epoch. Returns how many of them are new
 * (0: nothing to tell). known_total is what was told before this process began (the kernel's `reported`
 * or the pinned account, whichever is larger), used when the account does not know the cause or epoch. */
uint64_t event_account_add(EventAccount *account, const struct cgp_denial_key *key, uint64_t epoch,
        uint64_t total, uint64_t known_total);

/* An event with what only the daemon knows. Strings are borrowed. */
typedef struct EventContext {
        const char *subject; /* name; NULL: no longer known */
        const char *rule_id; /* displayed id, or "default.out" and the like */
        const char *rule;    /* "deny out to 10.0.0.0/8", or NULL */
        const char *suggest; /* body that would allow it, or NULL */
} EventContext;

/* One JSON object, no newline inside or after: time subject direction protocol local remote pid comm uid
 * hook rule suppressed, then generation, action ("denied" or "would-deny"), rule-text, suggest, missed
 * (only if true). time is RFC 3339 UTC with microseconds; local and remote are "ADDR:PORT", IPv6 in
 * brackets, only the address where the protocol has no ports (ICMP gets "icmp-type" and "icmp-code" after
 * remote); pid, uid and comm are null when unknown, so is what the context does not have, except that the
 * id of a reserved rule is known here. rule-text is cut, with "...", when it is longer than 1024 bytes.
 * Owned; NULL without memory. */
char *event_to_json(const Event *event, const EventContext *context);

/* The body that would allow this: "out tcp/443 to 192.0.2.1", "bind tcp/80"; "" when no rule could (packets that cannot be
 * parsed, broken tables). Whether a never rule stands in the way, the caller knows. buf holds
 * EVENT_SUGGEST_MAX bytes. Returns buf. */
#define EVENT_SUGGEST_MAX 128U
char *event_suggest(const Event *event, char *buf);

/* "out", "in", "bind"; NULL: no direction. */
const char *event_direction_to_string(unsigned direction);

/* "default.out", "unparsable.in", ... for numbers below CGP_RULE_FIRST; NULL otherwise. */
const char *event_reserved_rule_id(uint16_t rule);

const char *event_hook_to_string(unsigned hook); /* "ingress", "connect4", ...; NULL: no hook */

/* Do the two port fields of a record carry type, code and identifier? */
bool event_protocol_is_icmp(unsigned protocol);

/* "ADDR:PORT" of one side, as in event_to_json(). buf holds POLICY_ENDPOINT_SIZE bytes. Returns buf. */
char *event_endpoint_to_string(const Event *event, bool local, char *buf);
