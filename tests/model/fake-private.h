/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fake kernel's two files share: its memory, of which every process that was forked has the same. */
#pragma once

#include "fake-kernel.h"
#include "util/cleanup.h"

#define FAKE_SETS_MAX       1024
#define FAKE_LINKS_MAX      1024
#define FAKE_RECORDS_MAX    256
#define FAKE_DENIALS_MAX    64
#define FAKE_WATCHES_MAX    8
#define FAKE_INTERFACES_MAX 64
#define FAKE_SOCKETS_MAX    16
#define FAKE_HEAP_SIZE      (512UL << 20)

/* What progs_load made: one program for each hook, numbered from first_id. */
typedef struct FakeSet {
        bool used;
        unsigned n_handles;
        uint32_t first_id;
        struct cgp_config config;
        size_t tables; /* offset in the heap */
        size_t verdicts;
        uint64_t hash;
} FakeSet;

/* A set map: all named lists. */
typedef struct FakeLists {
        bool used;
        uint64_t hash;
        size_t pages; /* offset in the heap */
        size_t n_pages;
} FakeLists;

typedef struct FakeLink {
        bool used;
        uint32_t subject;
        uint64_t cgroup_id;
        unsigned hook;
        uint32_t prog_id;
} FakeLink;

typedef struct FakeDenial {
        bool used;
        struct cgp_denial_key key;
        struct cgp_denial denial;
        bool is_flushed;
        struct cgp_flushed flushed;
} FakeDenial;

typedef struct FakeWatch {
        uint64_t cgroup_id;
        uint64_t before;
        uint64_t after;
        bool strict;
} FakeWatch;

struct FakeKernel {
        int cgroup_fd;
        uint32_t next_prog_id;
        FakeSet sets[FAKE_SETS_MAX];
        FakeLink links[FAKE_LINKS_MAX];
        struct cgp_record records[FAKE_RECORDS_MAX]; /* cgroup_id 0: free */
        uint64_t lingering[FAKE_WATCHES_MAX];
        FakeDenial denials[FAKE_DENIALS_MAX];
        uint64_t stats[CGP_N_STATS];
        struct cgp_counter counters[CGP_MAX_COUNTERS];
        FakeLists lists[CGP_MAX_SET_SLOTS];
        KernelInterface interfaces[FAKE_INTERFACES_MAX];
        size_t n_interfaces;
        KernelSocket sockets[FAKE_SOCKETS_MAX]; /* cgroup_id 0: free */
        unsigned n_strangers;
        unsigned n_link_handles;

        FakeOp fail_op;
        unsigned fail_in; /* calls until the one that fails, which is 1; 0: none */
        int fail_error;
        bool failed;
        FakeOp failed_op;
        int kill_in; /* moments until the end, which is 0; negative: never */
        void (*on_call)(void *userdata, FakeOp op);
        void *on_call_userdata;
        unsigned n_calls[_FAKE_OP_MAX];

        FakeWatch watches[FAKE_WATCHES_MAX];
        unsigned n_watches;
        char violation[256];

        size_t heap_used;
        uint8_t heap[];
};

const FakeSet *fake_find_set(const FakeKernel *fake, uint32_t prog_id);
const FakeLink *fake_find_link(const FakeKernel *fake, uint64_t cgroup_id, unsigned hook);

/* A view of the set's image; tables are borrowed. */
PolicyImage fake_set_image(const FakeKernel *fake, const FakeSet *set);

/* Itself or a socket that was made in it. */
bool fake_cgroup_is_there(const FakeKernel *fake, uint64_t cgroup_id);

/* As the programs of a hook judge a conversation that opens now; ifindex 0: in another network namespace. */
struct cgp_verdict fake_judge(const FakeKernel *fake, const PolicyImage *image, unsigned hook,
        const PolicyFlow *flow, uint32_t ifindex);
/* Does the map in this slot hold what the image wants? */
bool fake_has_lists(const FakeKernel *fake, const PolicyImage *image);
bool fake_mode_passes(const PolicyImage *image, const struct cgp_verdict *verdict);

/* Judges all probes of what is watched. hook: CGP_N_HOOKS if it is about none. */
void fake_check(FakeKernel *fake, FakeOp op, unsigned hook);

/* The first moment of all that was wrong. */
void fake_violate(FakeKernel *fake, const char *format, ...) _printf_(2, 3);
