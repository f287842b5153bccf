/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/list-worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "util/log.h"
#include "util/macro.h"

struct ListWorker {
        int dir_fd;
        int done_fd;
        sd_event_source *source;
        ListWorkerCallback callback;
        void *userdata;
        bool busy;
        pthread_t thread;
        ListTable *table; /* the thread's while busy */
        int error;
};

static void *work(void *userdata) {
        ListWorker *worker = userdata;
        uint64_t one = 1;

        worker->error = list_table_load(worker->table, worker->dir_fd);
        /* An eventfd that was read empty takes a 1 without waiting. */
        if (write(worker->done_fd, &one, sizeof(one)) < 0)
                abort();
        return NULL;
}

static ListTable *worker_join(ListWorker *worker) {
        (void)pthread_join(worker->thread, NULL);
        worker->busy = false;
        return TAKE_PTR(worker->table);
}

static int on_done(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        ListWorker *worker = userdata;
        uint64_t n;

        if (read(fd, &n, sizeof(n)) < 0 || !worker->busy)
                return 0;
        worker->callback(worker->userdata, worker_join(worker), worker->error);
        return 0;
}

int list_worker_new(sd_event *event, int dir_fd, ListWorkerCallback callback, void *userdata,
        ListWorker **ret) {
        _cleanup_(list_worker_freep) ListWorker *worker = NULL;
        int r;

        worker = calloc(1, sizeof(*worker));
        if (!worker)
                return -ENOMEM;
        worker->dir_fd = dir_fd;
        worker->callback = callback;
        worker->userdata = userdata;
        worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (worker->done_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &worker->source, worker->done_fd, EPOLLIN, on_done, worker);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(worker);
        return 0;
}

ListWorker *list_worker_free(ListWorker *worker) {
        if (!worker)
                return NULL;
        if (worker->busy)
                list_table_unref(worker_join(worker));
        sd_event_source_disable_unref(worker->source);
        (void)close_keep_errno(worker->done_fd);
        free(worker);
        return NULL;
}

bool list_worker_is_busy(const ListWorker *worker) {
        return worker->busy;
}

int list_worker_start(ListWorker *worker, ListTable **table) {
        sigset_t all, before;
        int r;

        if (worker->busy)
                return -EBUSY;
        assert((*table)->n_ref == 1);
        worker->table = *table;
        /* Signals are the event loop's. */
        sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r == 0) {
                r = pthread_create(&worker->thread, NULL, work, worker);
                (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        }
        if (r != 0) {
                worker->table = NULL;
                return -r;
        }
        worker->busy = true;
        *table = NULL;
        return 0;
}
