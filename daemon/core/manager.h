/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The owner of all state: subjects, policies, the kernel's hooks, events. Everything that a client can ask
 * for is one call here; the bus only translates.
 *
 * Functions that take a ManagerError set it when they return -EREMOTEIO. A change that fails leaves the
 * policy that was in force before, in the kernel and on disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "core/error.h"
#include "events/coalesce.h"
#include "kernel/kernel.h"
#include "net/watch.h"
#include "policy/eval.h"
#include "policy/parse.h"

typedef struct Manager Manager;
typedef struct Unit Unit;

typedef struct ManagerConfig {
        int dir_fd;            /* the daemon's directory, borrowed */
        const char *dir;       /* its path, borrowed */
        int cgroup_fd;         /* our subtree, borrowed */
        const char *cgroup;    /* its path from the cgroup2 mount, "/cgpolicy-1a2b3c4d", borrowed */
        uint64_t log_size_max; /* 0: 8 MiB */
        const PolicyServices *services;
        const KernelCapabilities *capabilities;
        bool watch_net;      /* follow the host's network; else net is what is known of it */
        const NetState *net; /* or NULL: nothing is known. Borrowed */
} ManagerConfig;

/* What the bus wants to be told. */
typedef struct ManagerListener {
        void (*policy_changed)(void *userdata, uint64_t generation, const char *const *units,
                const char *source, const char *comment);
        void (*unit_added)(void *userdata, const char *name);
        void (*unit_removed)(void *userdata, const char *name);
        void (*blocked)(void *userdata, const EventSummary *summary, const EventContext *context);
        void (*degraded_changed)(void *userdata);
        void *userdata;
} ManagerListener;

/* Nothing is read or changed yet. kernel is borrowed. */
int manager_new(sd_event *event, Kernel *kernel, const ManagerConfig *config,
        Manager **ret) _warn_unused_result_;

/* Closes handles and files. Enforcement goes on. */
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager *, manager_freep, manager_free);

/* Reads policies and state, adopts what is pinned, repairs what differs and ends jobs that are over. */
int manager_start(Manager *m) _warn_unused_result_;

/* Opens the log, reports the denials that nobody was told of, and becomes the reader of events. */
int manager_start_events(Manager *m) _warn_unused_result_;

void manager_set_listener(Manager *m, const ManagerListener *listener);

/* Is anything in force that must outlive us? Lets go of what only lingers (sockets of jobs that ended). */
bool manager_finish(Manager *m);

/* -- Reading ------------------------------------------------------------------------------------- */

uint64_t manager_get_generation(const Manager *m);
const KernelCapabilities *manager_get_capabilities(const Manager *m);
char **manager_get_degraded(Manager *m); /* owned array of sentences, NULL without memory */
uint64_t manager_get_lost(Manager *m);

/* Iterates over units by name: NULL for the first. */
Unit *manager_next_unit(Manager *m, const char *after);
Unit *manager_get_unit(Manager *m, const char *name);
Unit *manager_get_unit_by_cgroup(Manager *m, uint64_t cgroup_id);
/* Sets the error of an unknown subject, with the nearest name. */
int manager_find_unit(
        Manager *m, const char *name, ManagerError *reterr, Unit **ret) _warn_unused_result_;

/* Calls back per profile, files first. */
int manager_each_profile(Manager *m,
        int (*callback)(void *userdata, const char *name, const char *source), void *userdata);

const char *unit_get_name(const Unit *u);
const char *unit_get_state(const Unit *u); /* "attached", "detached", "degraded", "inactive" */
const char *unit_get_mode(const Unit *u);
const char *unit_get_default(const Unit *u, unsigned direction);
const char *unit_get_profile(const Unit *u); /* "" if none */
uint64_t unit_get_generation(const Unit *u);
uint64_t unit_get_cgroup_id(const Unit *u); /* 0: none */
char *unit_get_cgroup_path(const Unit *u);  /* owned; "" if none */
size_t unit_get_n_rules(const Unit *u);
bool unit_has_hook(const Unit *u, unsigned hook);

typedef struct UnitTotals {
        uint64_t packets;
        uint64_t bytes;
        uint64_t blocked;
        uint64_t would;
} UnitTotals;
void unit_get_totals(Unit *u, UnitTotals *ret);

typedef struct UnitRule {
        const char *id;
        const char *layer;
        char *text;   /* "allow in tcp/8080", owned */
        char *source; /* "file:line", owned */
        const char *comment;
        UnitTotals hits;
} UnitRule;
void unit_rule_done(UnitRule *rule);
int unit_get_rule(Unit *u, size_t i, UnitRule *ret) _warn_unused_result_;

/* Sources that apply: path, layer, text. Returns 0 past the end, else 1. Borrowed strings, path owned. */
int unit_get_source(Unit *u, size_t i, char **ret_path, const char **ret_layer,
        const char **ret_text) _warn_unused_result_;

/* The last denial: NULL if none. */
const Event *unit_get_last_blocked(const Unit *u);
int manager_event_context(Manager *m, const Event *event, EventContext *ret, char **ret_storage);

/* The named lists, by name. Strings are borrowed until control is back in the event loop, but for those that are said
 * to be owned. */
typedef struct ManagerList {
        const char *name;
        char *defined;      /* "FILE:LINE", owned */
        const char *source; /* the file it is read from, as the definition says it; or "inline" */
        size_t n_networks4; /* 0 if it was never loaded */
        size_t n_networks6;
        uint64_t loaded_usec; /* CLOCK_REALTIME; 0: never */
        const char *
                state; /* "loaded", "kept" (the last good content, after an error), "never-loaded" */
        const char *error; /* or NULL */
        char **users;      /* names of units whose rules use it, owned */
} ManagerList;

/* Owned array; manager_lists_free() frees it with what is in it. */
int manager_get_lists(Manager *m, ManagerList **ret, size_t *ret_n) _warn_unused_result_;
void manager_lists_free(ManagerList *lists, size_t n);

/* JSON of API.md. Owned. */
int manager_describe(Manager *m, char **ret) _warn_unused_result_;
int unit_describe(Unit *u, char **ret) _warn_unused_result_;

/* -- Changing ------------------------------------------------------------------------------------ */

typedef struct JobOptions {
        PolicyDefault default_verdict; /* UNSET: the profile's; without a profile deny */
        PolicyMode mode;               /* UNSET: not stated */
        const char *profile;           /* or NULL */
        const char *const *rules;      /* whole rules, NULL-terminated, or NULL */
} JobOptions;

/* On success *ret_cgroup_fd is the job's cgroup, with its policy in force. creator is an opaque mark: the
 * job is kept while it is empty until manager_creator_gone() is called with it. */
int manager_create_job(Manager *m, const char *name, const JobOptions *options, const void *creator,
        ManagerError *reterr, int *ret_cgroup_fd, uint64_t *ret_generation) _warn_unused_result_;
void manager_creator_gone(Manager *m, const void *creator);

int manager_add_rule(Manager *m, const char *unit, PolicyVerdict verdict, const char *body,
        const char *comment, ManagerError *reterr, char **ret_id,
        uint64_t *ret_generation) _warn_unused_result_;
int manager_remove_rule(Manager *m, const char *unit, const char *rule, ManagerError *reterr,
        uint64_t *ret_generation) _warn_unused_result_;
/* directions: CGP_DIR_* as bits 1 << direction. */
int manager_set_default(Manager *m, const char *unit, unsigned directions, PolicyDefault verdict,
        ManagerError *reterr, uint64_t *ret_generation) _warn_unused_result_;
int manager_set_mode(Manager *m, const char *unit, PolicyMode mode, ManagerError *reterr,
        uint64_t *ret_generation) _warn_unused_result_;
int manager_set_profile(Manager *m, const char *unit, const char *profile, ManagerError *reterr,
        uint64_t *ret_generation) _warn_unused_result_;
/* name: file name to store it under. With dry_run nothing changes. *ret_diff as in API.md, owned. */
int manager_apply(Manager *m, const char *name, const char *json, bool dry_run,
        ManagerError *reterr, uint64_t *ret_generation, char **ret_diff) _warn_unused_result_;
/* Reads a file as the local layer would, without a change. Errors of policy_parse_file(). */
int manager_validate(Manager *m, const char *json, PolicyDiags *diags);
int manager_reload(Manager *m, ManagerError *reterr, uint64_t *ret_generation) _warn_unused_result_;
int manager_attach(Manager *m, const char *unit, ManagerError *reterr,
        uint64_t *ret_generation) _warn_unused_result_;
/* unit "": all of them, and what lingers. */
int manager_detach(Manager *m, const char *unit, ManagerError *reterr,
        uint64_t *ret_generation) _warn_unused_result_;

/* -- Asking -------------------------------------------------------------------------------------- */

/* *ret_json as in API.md, owned. *ret_allow: what would happen. */
int manager_explain(Manager *m, const char *unit, const PolicyFlow *flow, ManagerError *reterr,
        bool *ret_allow, char **ret_json) _warn_unused_result_;

/* What else can be said of a conversation. Everything is borrowed. */
typedef struct ManagerQuestion {
        PolicyFlow flow; /* the place is worked out, not asked */
        /* Name or altname of an interface of the host. NULL: whichever it would take, which is not known, so that a
         * policy with `via` is answered as a system call is: it passes if some interface lets it. */
        const char *interface;
        const uint8_t *
                destination; /* of a packet that comes in, 16 bytes; or NULL: one of the subject's own */
} ManagerQuestion;

int manager_explain_question(Manager *m, const char *unit, const ManagerQuestion *question,
        ManagerError *reterr, bool *ret_allow, char **ret_json) _warn_unused_result_;

/* A stream of events: one end of a socket. units NULL: all; n_lines of the log first; follow false: then
 * it ends. The number of streams has a limit. */
int manager_open_stream(Manager *m, char *const *units, size_t n_lines, bool follow,
        ManagerError *reterr, int *ret_fd) _warn_unused_result_;
