/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the manager share among themselves and with nobody else. */
#pragma once

#include "core/attachment.h"
#include "core/manager.h"
#include "core/slots.h"
#include "core/store.h"
#include "core/stream.h"
#include "core/unit-state.h"
#include "events/log-file.h"
#include "policy/eval.h"
#include "track/cgroup.h"

#define MANAGER_DYING_MAX 4096U

typedef struct Batch Batch; /* manager-events.c */

/* A stack with everything that its entries borrow. */
typedef struct Policy {
        Store *store;
        PolicyStack stack;
        char **ids; /* displayed ids of entries without one of their own */
} Policy;

Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy *, policy_freep, policy_free);

struct Unit {
        Manager *manager;
        char *name;
        Policy *policy;         /* in force, or of an inactive unit what would be */
        UnitState *state;       /* NULL: inactive */
        Attachment *attachment; /* NULL: inactive or detached */
        int cgroup_fd;
        CgroupWatch *watch;
        const void *creator; /* not NULL: the job is kept although it is empty */
        bool was_populated;
        char *problem; /* why what is in force is not what the policy says, or NULL */
        bool has_last_blocked;
        Event last_blocked;
};

struct Manager {
        sd_event *event;
        Kernel *kernel;
        ManagerConfig config;
        StoreDir store_dir;
        int state_fd;
        Store *store;
        uint64_t generation;
        Slots *counters;
        Slots *subjects;
        Unit **units; /* by name */
        size_t n_units;
        Attachment **dying; /* of jobs that ended, until their last socket is gone */
        size_t n_dying;
        sd_event_source *sweep;
        uint64_t sweep_usec;
        char **problems; /* beyond the store's and the units' */

        LogFile *log;
        KernelRing *ring;
        sd_event_source *ring_source;
        sd_event_source *drain_timer;
        sd_event_source *flush_timer;
        sd_event_source *coalesce_timer;
        EventAccount *account;
        EventCoalescer *coalescer;
        Batch *batch; /* not NULL: the ring is being drained into it */
        uint64_t n_records_lost;
        uint64_t n_records_bad;
        StreamList *streams;

        ManagerListener listener;
};

/* unit.c */
int unit_new(Manager *m, const char *name, Unit **ret) _warn_unused_result_;
Unit *unit_free(Unit *u);
DEFINE_CLEANUP(Unit *, unit_freep, unit_free);
int unit_set_problem(Unit *u, const char *problem);
void unit_finish_record_totals(Unit *u);

/* Takes the unit over, keeps the order. */
int manager_add_unit(Manager *m, Unit **unit) _warn_unused_result_;
void manager_remove_unit(Manager *m, Unit *unit);

/* Makes the units without a job that files name, and removes those that no file names any more. */
int manager_sync_inactive(Manager *m) _warn_unused_result_;

/* change.c: one accepted or refused change, over any number of units. */
typedef struct ChangeItem {
        Unit *unit;
        UnitState *state; /* the next one; NULL: inactive */
        Policy *policy;
        PolicyImage *image; /* NULL: not attached, or nothing to publish */
        PolicyImage *between_image;
        KernelProgs *progs; /* after publishing: what was carried before */
        KernelProgs *between;
        PolicyChange change;
        bool published;
} ChangeItem;

typedef struct Change {
        Manager *manager;
        Store *store;
        uint64_t generation;
        StoreStage stage;
        PolicyLayer layer;
        char *name; /* of the file that changes, or NULL */
        char *text;
        ChangeItem *items;
        size_t n_items;
} Change;

/* Compiles and loads everything for the units that the new store concerns: nothing is changed yet. Takes a
 * reference of the store. only: this unit alone can be concerned; NULL: all are looked at. */
int change_prepare(Manager *m, Store *store, Unit *only, ManagerError *reterr,
        Change *ret) _warn_unused_result_;

/* Writes the file that changes (change->name, NULL: none; text NULL: it is removed), publishes, saves the
 * states. On failure everything is as before. On success the manager has the new store and generation. */
int change_commit(Change *change, ManagerError *reterr) _warn_unused_result_;

void change_done(Change *change);

/* The problem of a unit whose hooks do not all carry the same. */
#define CHANGE_HALF_WAY \
        "a change failed half way and could not be taken back; 'cgpolicyctl reload' tries again"

/* Loads programs of what is in force, if an adoption left us without: the way back of a change. */
int unit_load_current(Unit *u, ManagerError *reterr) _warn_unused_result_;

int manager_compile(const char *name, const PolicyCompileInput *input, ManagerError *reterr,
        PolicyImage **ret) _warn_unused_result_;
int manager_kernel_error(
        const char *name, int error, const KernelFailure *failure, ManagerError *reterr);

/* Gives back the slots of `state` that are not in `other`. */
void manager_release_slots(Manager *m, const UnitState *state, const UnitState *other);

/* Adds the counts of rules that are no more in state to its sums and gives their slots back: once no program
 * counts there any more but those that are just running. Returns whether there were such rules. */
bool manager_retire_rules(Manager *m, const UnitState *old, UnitState *state);

int manager_save_generation(Manager *m, uint64_t generation) _warn_unused_result_;
void manager_note_generation(Manager *m);
void manager_load_generation(Manager *m);

/* manager-start.c */
/* Makes the hooks of a unit carry what its policy says, whatever they carry now. */
int unit_converge(Unit *u) _warn_unused_result_;
int manager_claim_state(Manager *m, UnitState *state) _warn_unused_result_;

/* policy-build.c */
/* Policy of a unit in a store, with numbers and counters from the state (NULL: inactive, none). New rules
 * get numbers and slots in the state. */
int policy_build(Manager *m, Store *store, const char *name, UnitState *state, ManagerError *reterr,
        Policy **ret) _warn_unused_result_;
PolicyCompileInput policy_compile_input(
        const Policy *policy, const UnitState *state, uint64_t generation);

/* manager-job.c */
void manager_end_job(Manager *m, Unit *u);
int manager_watch_job(Manager *m, Unit *u) _warn_unused_result_;
int manager_add_dying(Manager *m, Attachment **attachment);
void manager_sweep(Manager *m);
/* Lets go of hooks that only linger; all: also of those of processes that no job is known for. */
void manager_drop_dying(Manager *m, bool all);

/* manager-events.c */
void manager_flush_denials(Manager *m, bool missed);
void manager_drain(Manager *m);

/* manager-change.c */
void manager_notify_changed(
        Manager *m, const Change *change, const char *source, const char *comment);
