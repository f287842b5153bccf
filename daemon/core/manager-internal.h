/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the manager share among themselves and with nobody else. */
#pragma once

#include "core/attachment.h"
#include "core/host-state.h"
#include "core/list-watch.h"
#include "core/list-worker.h"
#include "core/lists.h"
#include "core/manager.h"
#include "core/slots.h"
#include "core/store.h"
#include "core/stream.h"
#include "core/unit-state.h"
#include "events/log-file.h"
#include "net/socket-destroy.h"
#include "net/watch.h"
#include "policy/eval.h"
#include "track/cgroup.h"

#define MANAGER_DYING_MAX 4096U

typedef struct Batch Batch;   /* manager-events.c */
typedef struct Ending Ending; /* manager-sockets.c */

/* What policies are compiled with beside the files. */
typedef struct Surroundings {
        Host *host;
        ListTable *lists;
} Surroundings;

/* Takes references; both may be NULL. */
Surroundings surroundings_ref(const Surroundings *surroundings);
void surroundings_done(Surroundings *surroundings);

/* A stack with everything that its entries borrow, and the host that its image was or will be compiled with. */
typedef struct Policy {
        Store *store;
        Host *host;
        PolicyStack stack;
        char **ids;    /* displayed ids of entries without one of their own */
        unsigned uses; /* HOST_*: what its image depends on */
} Policy;

Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy *, policy_freep, policy_free);

struct Unit {
        Manager *manager;
        char *name;
        Policy *policy;         /* in force, or of an inactive unit what would be */
        UnitState *state;       /* NULL: inactive */
        Attachment *attachment; /* NULL: inactive or detached */
        uint64_t content;       /* of the image in force, but for its generation; 0: not known */
        int cgroup_fd;
        CgroupWatch *watch;
        const void *creator; /* not NULL: the job is kept although it is empty */
        bool was_populated;
        bool was_tightened; /* its open conversations are to be looked at */
        char *problem;      /* why what is in force is not what the policy says, or NULL */
        bool has_last_blocked;
        Event last_blocked;
};

struct Manager {
        sd_event *event;
        Kernel *kernel;
        ManagerConfig config;
        StoreDir store_dir;
        int state_fd;
        int good_fd; /* of good.d */
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
        StoreStage finished; /* a change that is through, but for the old text beside the new */
        sd_event_source *finish_source;
        char **problems; /* beyond the store's and the units' */

        NetWatch *net; /* NULL: config.net is what is known of the network */
        Surroundings now;
        char *net_problem; /* or NULL */
        char *set_problem; /* why the lists in force are not those that were read last, or NULL */
        KernelInterface *interfaces; /* as the kernel has them */
        size_t n_interfaces;
        bool interfaces_known;
        ListWorker *list_worker;
        ListTable *list_base; /* what was in force when the worker was started */
        ListWatch *list_watch;
        bool lists_dirty; /* some file of a list may be another one than was read */
        NetDestroyer *destroyer;
        bool cannot_destroy; /* this kernel */
        sd_event_source *destroy_source;
        Ending *ending; /* whose conversations are being ended */

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
        uint64_t content;  /* of image */
        uint64_t old_hash; /* of the image before, once published */
        bool published;
} ChangeItem;

typedef struct Change {
        Manager *manager;
        Store *store;
        Surroundings surroundings;
        uint64_t generation;
        StoreStage stage;
        PolicyLayer layer;
        char *name; /* of the file that changes, or NULL */
        char *text;
        ChangeItem *items;
        size_t n_items;
} Change;

/* Compiles and loads everything for the units that the new store or surroundings concern: nothing is changed yet.
 * Takes references. only: of the store this unit alone can be concerned; NULL: all are looked at. */
int change_prepare(Manager *m, Store *store, const Surroundings *surroundings, Unit *only,
        ManagerError *reterr, Change *ret) _warn_unused_result_;

/* The same for this unit and no other. */
int change_prepare_unit(Manager *m, Store *store, const Surroundings *surroundings, Unit *unit,
        ManagerError *reterr, Change *ret) _warn_unused_result_;

/* Writes the file that changes (change->name, NULL: none; text NULL: it is removed), publishes, saves the
 * states. On failure everything is as before. On success the manager has the new store and generation. */
int change_commit(Change *change, ManagerError *reterr) _warn_unused_result_;

void change_done(Change *change);

/* The problem of a unit whose hooks do not all carry the same. */
#define CHANGE_HALF_WAY \
        "a change failed half way and could not be taken back; 'cgpolicyctl reload' tries again"

/* Loads programs of what is in force, if an adoption left us without: the way back of a change. */
int unit_load_current(Unit *u, ManagerError *reterr) _warn_unused_result_;

/* What an image is but for its generation. */
uint64_t image_content(const PolicyImage *image);

int manager_compile(const char *name, const PolicyCompileInput *input, ManagerError *reterr,
        PolicyImage **ret) _warn_unused_result_;
int manager_kernel_error(
        const char *name, int error, const KernelFailure *failure, ManagerError *reterr);

/* To remove a file takes the disk milliseconds: after the reply, or when the next one comes. */
void manager_finish_later(Manager *m, StoreStage *stage);
void manager_finish_now(Manager *m);

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
int policy_build(Manager *m, Store *store, const Surroundings *surroundings, const char *name,
        UnitState *state, ManagerError *reterr, Policy **ret) _warn_unused_result_;
/* The error of a rule that names a list which cannot be used. */
int policy_list_missing(
        const PolicyRule *rule, const char *list, const ListTable *lists, ManagerError *reterr);
PolicyCompileInput policy_compile_input(
        const Policy *policy, const UnitState *state, uint64_t generation);

/* manager-host.c */
const NetState *manager_net(const Manager *m);

/* What the policies of this store have to be compiled with: reads lists that it defines anew, and with reread those
 * whose files are not what they were. lenient: what cannot be had is done without, in the strictest way. Nothing
 * that is in force is changed. */
int manager_survey(Manager *m, const Store *store, bool reread, bool lenient, ManagerError *reterr,
        Surroundings *ret) _warn_unused_result_;

/* The parts of it. */
int manager_load_set(Manager *m, ListTable *table) _warn_unused_result_;
int manager_survey_host(Manager *m, ListTable *lists, Host **ret) _warn_unused_result_;

/* A survey that needs neither lists nor the kernel: what cannot be had is not there. */
int manager_survey_nothing(Manager *m, const Store *store, Surroundings *ret) _warn_unused_result_;

/* As manager_survey(), for a store that was read anew: files whose lists are not there are replaced by their last
 * good versions, the others accepted. */
int manager_survey_files(Manager *m, const Store *previous, Store *store, bool reread, bool lenient,
        ManagerError *reterr, Surroundings *ret) _warn_unused_result_;

/* Refuses a file that uses a list that was never loaded. */
int manager_check_lists(const Surroundings *surroundings, const Store *store,
        ManagerError *reterr) _warn_unused_result_;

/* Makes the kernel know every interface by the numbering of both (second may be NULL). */
int manager_write_interfaces(
        Manager *m, const Host *first, const Host *second) _warn_unused_result_;
/* Once a change of numbers is through: by that in force, and by one more that some unit still has. */
void manager_settle_interfaces(Manager *m);

bool unit_is_concerned(const Unit *u, const Host *host);

/* Takes the surroundings over and puts them in force: each unit that they concern by itself; one that fails keeps
 * what it has, and a problem. */
void manager_take_surroundings(Manager *m, Surroundings *surroundings, const char *source);

/* Tries again for units that could not. */
void manager_follow(Manager *m, const char *source);

/* Notes what set map the unit's hooks name. */
void unit_note_sets(Unit *u);
/* Gives the set maps back that no hook can name any more. */
void manager_collect_sets(Manager *m);

/* Another network than before? Looks, and does what is to be done. */
void manager_net_changed(Manager *m);
int manager_start_net(Manager *m) _warn_unused_result_;

/* manager-lists.c */
int manager_start_lists(Manager *m) _warn_unused_result_;
/* Looks for files of lists that changed, in a thread. */
void manager_reread_lists(Manager *m);
/* The lists in force are others: watches their files. */
void manager_watch_lists(Manager *m);

/* What is wrong with lists, for `status`. */
int manager_add_list_problems(const Manager *m, char ***list) _warn_unused_result_;

/* manager-sockets.c */
/* After the reply: ends the conversations that the units' policies refuse now. */
void manager_end_conversations(Manager *m);
void manager_forget_conversations(Manager *m);

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
