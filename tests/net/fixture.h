/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network namespace for each test, with lo up and, since the kernel would change them by itself later on, no
 * link-local addresses. The watch's state as text, so that all of it is compared. The namespaces go with the process.
 */
#pragma once

#include <systemd/sd-event.h>

#include "net/watch.h"

typedef struct Fixture {
        sd_event *event;
        NetWatch *watch;
        unsigned n_changes;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Enters a network namespace of its own with lo up. Negative errno. */
int fixture_enter(void);

/* Whether tests can be run here; prints why they are skipped. */
bool fixture_is_possible(void);

/* Has ip(8) carry out these lines, at the latest when it returns. Fails the test if one fails. */
void ip(const char *lines);
void bridge(const char *lines); /* bridge(8) */
/* The same, not waited for: its process. */
int ip_start(const char *lines);
void ip_wait(int pid);

/* "10:v0=altname,11:v1", lo left out; "10.0.0.0/8,fd00::/64"; "10.0.0.255". To be freed. */
char *interfaces_text(const NetState *state);
char *networks_text(const NetState *state);
char *broadcast_text(const NetState *state);

/* Runs the event loop until a change is told (whatever it is). Fails the test after half a minute. */
void wait_for_change(Fixture *f);

/* Runs the event loop until the state reads so. */
void expect_interfaces(Fixture *f, const char *text);
void expect_networks(Fixture *f, const char *text);
void expect_broadcast(Fixture *f, const char *text);

/* What was followed is what a new watch reads. */
void expect_current(Fixture *f);
