/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every kind of change that a client can ask for, on a world with three jobs: "web", "db" and "cache". */
#pragma once

#include "policy/compile.h"
#include "world.h"

#define REQUEST_JOBS 3
extern const char *const request_jobs[REQUEST_JOBS];

typedef struct Request {
        const char *name;
        /* Both return a negative errno; neither fails the test itself. */
        int (*prepare)(World *w);
        int (*run)(World *w, ManagerError *reterr);
        /* What may differ on disk after a failure: a prefix, or NULL. */
        const char *files_except;
        bool makes_job;    /* the last job is made by it */
        bool one_by_one;   /* jobs are changed each for itself */
        bool ends_job;     /* the first job is ended by it */
        bool nobody_asked; /* the host changes: nobody is told of a failure, jobs follow one by one */
        int (*again)(World *w); /* nobody_asked: what makes those follow that could not */
        PolicyChange change;    /* what it does to the first job, as seen from outside */
} Request;

extern const Request requests[];
extern const size_t n_requests;

/* What passes before and after, measured in a world without faults. 0 where there is no such job. */
typedef struct RequestEffect {
        uint64_t before[REQUEST_JOBS];
        uint64_t after[REQUEST_JOBS];
} RequestEffect;

int request_measure(const Request *request, RequestEffect *ret);

void request_watch(World *w, const RequestEffect *effect, bool strict);
