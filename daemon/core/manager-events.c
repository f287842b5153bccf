/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Denials: from the kernel's records to the log, the streams and the signal.
 *
 * Two sources tell of the same denials: records in the ring, rate limited by the programs, and the map of
 * last denials, where every cause has its exact count. The account makes sure that each denial is told
 * once. What was told is also noted in the kernel, so that a daemon that follows knows.
 *
 * Nothing here runs while nothing is denied: a record wakes us, and timers run only until all is told.
 */
#include <sys/epoll.h>

#include "core/manager-internal.h"
#include "policy/text.h"
#include "util/log.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/time.h"

#define ACCOUNT_MAX         8192U
#define COALESCE_MAX        1024U
#define COALESCE_USEC       (10 * USEC_PER_SEC)
#define FLUSH_USEC          USEC_PER_SEC
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

static Unit *manager_get_unit_by_subject(Manager *m, uint32_t subject) {
        for (size_t i = 0; i < m->n_units; i++)
                if (m->units[i]->state && m->units[i]->state->subject == subject)
                        return m->units[i];
        return NULL;
}

/* Subjects that ended leave hooks behind for a while; their number has no name any more. */
int manager_event_context(Manager *m, const Event *event, EventContext *ret, char **ret_storage) {
        _cleanup_free_ char *storage = NULL, *text = NULL;
        Unit *u = manager_get_unit_by_subject(m, event->subject);
        EventContext context = { 0 };
        char suggest[EVENT_SUGGEST_MAX];

        event_suggest(event, suggest);
        if (u)
                context.subject = u->name;
        context.rule_id = event_reserved_rule_id(event->rule);
        for (size_t i = 0; u && !context.rule_id && i < u->policy->stack.n_entries; i++) {
                const PolicyEntry *entry = &u->policy->stack.entries[i];

                if (entry->number != event->rule)
                        continue;
                context.rule_id = entry->id;
                if (entry->rule->verdict == POLICY_NEVER)
                        *suggest = '\0'; /* no allow beats it */
                if (asprintf(&text, "%s %s", policy_verdict_to_string(entry->rule->verdict),
                            entry->rule->text) < 0) {
                        text = NULL;
                        return -ENOMEM;
                }
        }
        /* One block for all that is made here. */
        if (asprintf(&storage, "%s%c%s%crule %u", suggest, '\0', strempty(text), '\0',
                    event->rule) < 0) {
                storage = NULL;
                return -ENOMEM;
        }
        context.suggest = *storage ? storage : NULL;
        if (text)
                context.rule = storage + strlen(storage) + 1;
        if (!context.rule_id) {
                const char *second = storage + strlen(storage) + 1;

                context.rule_id = second + strlen(second) + 1;
        }
        *ret = context;
        *ret_storage = TAKE_PTR(storage);
        return 0;
}

static void manager_tell_blocked(Manager *m, const EventSummary *summary) {
        _cleanup_free_ char *storage = NULL;
        EventContext context;

        if (!m->listener.blocked ||
                manager_event_context(m, &summary->event, &context, &storage) < 0)
                return;
        m->listener.blocked(m->listener.userdata, summary, &context);
}

static int on_coalesce(sd_event_source *s, uint64_t usec, void *userdata);

static void manager_arm_coalescer(Manager *m) {
        uint64_t next = event_coalescer_next(m->coalescer);
        int r;

        if (next == UINT64_MAX)
                return;
        if (!m->coalesce_timer)
                r = sd_event_add_time(m->event, &m->coalesce_timer, CLOCK_MONOTONIC, next,
                        TIMER_ACCURACY_USEC, on_coalesce, m);
        else {
                r = sd_event_source_set_time(m->coalesce_timer, next);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->coalesce_timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_warning_errno(r, "Cannot arm the timer for summaries, ignoring: %m");
}

static int on_coalesce(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        EventSummary summary;

        while (event_coalescer_take(m->coalescer, time_now_usec(CLOCK_MONOTONIC), &summary) > 0)
                manager_tell_blocked(m, &summary);
        manager_arm_coalescer(m);
        return 0;
}

static void manager_tell(Manager *m, const Event *event, const struct cgp_denial_key *key) {
        _cleanup_free_ char *storage = NULL, *line = NULL;
        EventContext context;
        EventSummary summary;
        Unit *u;
        int r;

        r = manager_event_context(m, event, &context, &storage);
        if (r < 0) {
                m->n_records_bad++;
                return;
        }
        u = manager_get_unit_by_subject(m, event->subject);
        if (u) {
                u->last_blocked = *event;
                u->has_last_blocked = true;
        }
        line = event_to_json(event, &context);
        if (!line) {
                m->n_records_bad++;
                return;
        }
        r = log_file_append(m->log, line);
        if (r < 0)
                log_debug_errno(r, "Cannot write the log of denials: %m");
        stream_list_write(m->streams, context.subject, line);

        if (event_coalescer_add(
                    m->coalescer, event, key, time_now_usec(CLOCK_MONOTONIC), &summary) > 0)
                manager_tell_blocked(m, &summary);
        manager_arm_coalescer(m);
}

/* How many denials of this cause nobody was told of yet, as of total; and notes that now they are. */
static uint64_t manager_account(
        Manager *m, const struct cgp_denial_key *key, uint64_t epoch, uint64_t total) {
        struct cgp_flushed flushed = { 0 };
        uint64_t n_new;
        int r;

        if (m->kernel->ops->flushed_read(m->kernel, key, &flushed) < 0 || flushed.epoch != epoch)
                flushed.total = 0;
        n_new = event_account_add(m->account, key, epoch, total, flushed.total);
        /* Buffers of different CPUs swap records: an older count never takes the place of a newer. */
        if (n_new == 0 || flushed.epoch > epoch)
                return n_new;
        flushed = (struct cgp_flushed){ .epoch = epoch, .total = total };
        r = m->kernel->ops->flushed_write(m->kernel, key, &flushed);
        if (r < 0)
                log_debug_errno(r, "Cannot note what was told: %m");
        return n_new;
}

/* -- Batches --------------------------------------------------------------------------------------- */

/* What one look at a source gave. Each CPU has a buffer of its own, and a map has no order at all: all of it is
 * told in the order in which it happened. */
typedef struct Report {
        Event event;
        struct cgp_denial_key key;
        uint64_t epoch;
        uint64_t total;
} Report;

struct Batch {
        Report *reports;
        size_t n_reports;
        size_t n_allocated;
        size_t n_told;
};

static void batch_done(Batch *batch) {
        free(batch->reports);
}

static void batch_tell_one(Batch *batch, Manager *m, Report *report) {
        uint64_t n_new = manager_account(m, &report->key, report->epoch, report->total);

        if (n_new == 0)
                return;
        report->event.suppressed = n_new - 1;
        manager_tell(m, &report->event, &report->key);
        batch->n_told++;
}

/* total: that of the cause, as of now. */
static void batch_add(Batch *batch, Manager *m, const struct cgp_event *record, uint64_t total,
        const Event *event) {
        Report report = { .event = *event, .epoch = record->epoch, .total = total };

        event_get_key(record, &report.key);
        if (batch->n_reports == batch->n_allocated) {
                size_t n = MAX(batch->n_allocated * 2, (size_t)16);
                Report *reports = reallocarray(batch->reports, n, sizeof(*reports));

                if (!reports) {
                        /* Told out of order is better than not told. */
                        batch_tell_one(batch, m, &report);
                        return;
                }
                batch->reports = reports;
                batch->n_allocated = n;
        }
        batch->reports[batch->n_reports++] = report;
}

static int report_compare(const void *a, const void *b) {
        const Report *x = a, *y = b;

        if (x->event.realtime_usec != y->event.realtime_usec)
                return x->event.realtime_usec < y->event.realtime_usec ? -1 : 1;
        return x->total < y->total ? -1 : x->total > y->total;
}

static void batch_tell(Batch *batch, Manager *m) {
        if (batch->n_reports > 1)
                qsort(batch->reports, batch->n_reports, sizeof(*batch->reports), report_compare);
        for (size_t i = 0; i < batch->n_reports; i++)
                batch_tell_one(batch, m, &batch->reports[i]);
        batch->n_reports = 0;
}

static void manager_arm_flush(Manager *m);

static void on_record(void *userdata, const void *bytes, size_t size) {
        Manager *m = userdata;
        struct cgp_event record;
        Event event;

        if (event_decode(bytes, size, time_realtime_offset_nsec(), &event) < 0) {
                m->n_records_bad++;
                return;
        }
        /* Samples lie in the buffer at odd multiples of four bytes. */
        memcpy(&record, bytes, sizeof(record));
        batch_add(m->batch, m, &record, record.total, &event);
}

/* The number of records, or a negative errno. */
static int manager_drain_ring(Manager *m) {
        _cleanup_(batch_done) Batch batch = { 0 };
        int r;

        m->batch = &batch;
        r = kernel_ring_drain(m->ring);
        batch_tell(&batch, m);
        m->batch = NULL;
        return r;
}

static void on_lost(void *userdata, uint64_t n) {
        Manager *m = userdata;

        /* Not lost for good: the map of last denials still has them, and the flush will tell. */
        m->n_records_lost += n;
        manager_arm_flush(m);
}

typedef struct Flush {
        Manager *manager;
        bool missed;
        Batch batch;
} Flush;

static int flush_one(
        void *userdata, const struct cgp_denial_key *key, const struct cgp_denial *denial) {
        Flush *flush = userdata;
        Event event;

        if (event_decode(&denial->first, sizeof(denial->first), time_realtime_offset_nsec(),
                    &event) < 0) {
                flush->manager->n_records_bad++;
                return 0;
        }
        event.missed = flush->missed;
        batch_add(&flush->batch, flush->manager, &denial->first, denial->total, &event);
        return 0;
}

void manager_flush_denials(Manager *m, bool missed) {
        Flush flush = { .manager = m, .missed = missed };
        int r;

        if (!m->account)
                return; /* while starting: manager_start_events() looks */
        r = m->kernel->ops->denials_each(m->kernel, flush_one, &flush);
        if (r < 0)
                log_warning_errno(r, "Cannot read the last denials, ignoring: %m");
        batch_tell(&flush.batch, m);
        if (flush.batch.n_told > 0)
                manager_arm_flush(m);
        batch_done(&flush.batch);
}

static int on_flush(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void)manager_drain_ring(m);
        manager_flush_denials(m, /* missed= */ false);
        return 0;
}

/* Within a second of the last sign of life, whatever was suppressed is told. */
static void manager_arm_flush(Manager *m) {
        int enabled = SD_EVENT_OFF, r;

        if (m->flush_timer && sd_event_source_get_enabled(m->flush_timer, &enabled) > 0)
                return;
        if (!m->flush_timer)
                r = sd_event_add_time_relative(m->event, &m->flush_timer, CLOCK_MONOTONIC,
                        FLUSH_USEC, TIMER_ACCURACY_USEC, on_flush, m);
        else {
                r = sd_event_source_set_time_relative(m->flush_timer, FLUSH_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->flush_timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_warning_errno(r, "Cannot arm the timer for suppressed denials, ignoring: %m");
}

void manager_drain(Manager *m) {
        if (!m->ring)
                return;
        if (manager_drain_ring(m) > 0)
                manager_arm_flush(m);
}

static int on_drain(sd_event_source *s, uint64_t usec, void *userdata) {
        manager_drain(userdata);
        return 0;
}

/* A wake-up stands for all records of the next CGP_WAKE_NSEC: what came now is told now, the rest when that
 * time is over. */
static int on_wake(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Manager *m = userdata;
        const uint64_t delay = CGP_WAKE_NSEC / NSEC_PER_USEC;
        int r;

        manager_drain(m);
        manager_arm_flush(m);
        if (!m->drain_timer)
                r = sd_event_add_time_relative(m->event, &m->drain_timer, CLOCK_MONOTONIC, delay,
                        TIMER_ACCURACY_USEC, on_drain, m);
        else {
                r = sd_event_source_set_time_relative(m->drain_timer, delay);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->drain_timer, SD_EVENT_ONESHOT);
        }
        return r;
}

int manager_start_events(Manager *m) {
        int r;

        r = log_file_open(m->config.dir_fd, "log",
                m->config.log_size_max ? m->config.log_size_max : 8U << 20, &m->log);
        if (r < 0)
                return log_error_errno(
                        r, "Cannot open the log of denials in %s: %m", m->config.dir);
        r = event_account_new(ACCOUNT_MAX, &m->account);
        if (r < 0)
                return r;
        r = event_coalescer_new(COALESCE_MAX, COALESCE_USEC, &m->coalescer);
        if (r < 0)
                return r;

        /* Before the ring: what is in the map now happened without us. */
        manager_flush_denials(m, /* missed= */ true);
        r = kernel_ring_new(m->kernel, on_record, on_lost, m, &m->ring);
        if (r < 0)
                return log_error_errno(r, "Cannot read event records: %m");
        r = sd_event_add_io(
                m->event, &m->ring_source, kernel_ring_fd(m->ring), EPOLLIN, on_wake, m);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(m->ring_source, "event records");
        return sd_event_source_set_exit_on_failure(m->ring_source, true);
}

/* -- Streams --------------------------------------------------------------------------------------- */

typedef struct Replay {
        Stream *stream;
} Replay;

/* The subject of a log line, which begins {"time":"...","subject":"NAME": both keys are ours, in this order, and a
 * name has no quotes. */
static bool line_has_subject(const char *line, const Stream *stream) {
        static const char key[] = "\"subject\":";
        const char *p = strstr(line, key);
        _cleanup_free_ char *name = NULL;
        const char *end;

        if (stream_wants(stream, NULL))
                return true;
        if (!p)
                return false;
        p += strlen(key);
        p += strspn(p, " ");
        if (*p != '"')
                return false;
        end = strchr(p + 1, '"');
        name = end ? strndup(p + 1, (size_t)(end - p - 1)) : NULL;
        return name && stream_wants(stream, name);
}

static int replay_wanted(void *userdata, const char *line) {
        const Replay *replay = userdata;

        return line_has_subject(line, replay->stream);
}

static int replay_line(void *userdata, const char *line) {
        Replay *replay = userdata;

        (void)stream_write(replay->stream, line);
        return 0;
}

int manager_open_stream(Manager *m, char *const *units, size_t n_lines, bool follow,
        ManagerError *reterr, int *ret_fd) {
        Replay replay = { 0 };
        _cleanup_close_ int fd = -EBADF;
        int r;

        manager_drain(m);
        manager_flush_denials(m, /* missed= */ false);
        r = stream_new(m->streams, units, &replay.stream, &fd);
        if (r == -EMFILE)
                return manager_error_set(reterr, MANAGER_ERROR_LIMIT_EXCEEDED,
                        "there are %u event streams already; close one", STREAMS_MAX);
        if (r < 0)
                return r;
        if (n_lines > 0) {
                r = log_file_tail(m->log, n_lines == SIZE_MAX ? 0 : n_lines, replay_wanted,
                        replay_line, &replay);
                if (r < 0)
                        log_warning_errno(r, "Cannot read the log of denials, ignoring: %m");
        }
        if (!follow)
                stream_end(replay.stream);
        *ret_fd = TAKE_FD(fd);
        return 0;
}
