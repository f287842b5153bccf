/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the reader of event records: two perf buffers. The one for records wakes nobody in practice, because
 * a wake-up costs more than the record; the other carries the wake-ups that programs ask for. The kernel
 * empties both arrays when the process ends, so that programs notice that nobody listens.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "kernel/kernel-private.h"

#define EVENT_PAGES   16U /* of each CPU: about 400 records, more than one bucket can let through */
#define WAKE_PAGES    1U
#define EVENT_WAKEUPS 64U

struct KernelRing {
        KernelBpf *kernel;
        struct perf_buffer *events;
        struct perf_buffer *wake;
        KernelRecordCallback on_record;
        KernelLostCallback on_lost;
        void *userdata;
        int n_records; /* of the drain that is going on */
};

struct sample {
        struct perf_event_header header;
        uint32_t size;
        unsigned char data[];
};

struct lost {
        struct perf_event_header header;
        uint64_t id;
        uint64_t n;
};

/* perf pads records to 8 bytes: the record's own size says where it ends. Behind the size of a sample it lies
 * at an address that is not aligned for it. */
static size_t record_size(const unsigned char *data, size_t size) {
        uint32_t own;

        if (size < sizeof(struct cgp_event))
                return size;
        memcpy(&own, data + offsetof(struct cgp_event, size), sizeof(own));
        return own > size || size - own >= 8 ? size : own;
}

static enum bpf_perf_event_ret on_event(void *ctx, int cpu, struct perf_event_header *header) {
        KernelRing *ring = ctx;

        if (header->type == PERF_RECORD_SAMPLE) {
                const struct sample *sample = (const struct sample *)(const void *)header;

                if (header->size < sizeof(*sample) || sample->size > header->size - sizeof(*sample))
                        return LIBBPF_PERF_EVENT_CONT;
                ring->n_records++;
                ring->on_record(
                        ring->userdata, sample->data, record_size(sample->data, sample->size));
        } else if (header->type == PERF_RECORD_LOST && header->size >= sizeof(struct lost)) {
                ring->on_lost(ring->userdata, ((const struct lost *)(const void *)header)->n);
        }
        return LIBBPF_PERF_EVENT_CONT;
}

static enum bpf_perf_event_ret on_wake(void *ctx, int cpu, struct perf_event_header *header) {
        return LIBBPF_PERF_EVENT_CONT;
}

static int open_buffer(int map_fd, size_t n_pages, uint32_t n_wakeups,
        perf_buffer_event_fn callback, void *userdata, struct perf_buffer **ret) {
        struct perf_event_attr attr = {
                .size = sizeof(attr),
                .type = PERF_TYPE_SOFTWARE,
                .config = PERF_COUNT_SW_BPF_OUTPUT,
                .sample_type = PERF_SAMPLE_RAW,
                .sample_period = 1,
                .wakeup_events = n_wakeups,
        };
        struct perf_buffer *buffer;

        buffer = perf_buffer__new_raw(map_fd, n_pages, &attr, callback, userdata, NULL);
        if (!buffer)
                return errno > 0 ? kernel_errno(-errno) : -ENOMEM;
        *ret = buffer;
        return 0;
}

int kernel_ring_new(Kernel *k, KernelRecordCallback on_record, KernelLostCallback on_lost,
        void *userdata, KernelRing **ret) {
        _cleanup_(kernel_ring_freep) KernelRing *ring = NULL;
        KernelBpf *kernel = kernel_bpf(k);
        const uint64_t never = 0;
        const uint32_t zero = 0;
        int r;

        assert(on_record);
        assert(on_lost);
        assert(ret);

        /* A second reader would take the arrays' slots from the first. */
        if (kernel->has_reader)
                return -EBUSY;
        ring = malloc(sizeof(*ring));
        if (!ring)
                return -ENOMEM;
        *ring = (KernelRing){
                .kernel = kernel,
                .on_record = on_record,
                .on_lost = on_lost,
                .userdata = userdata,
        };
        kernel->has_reader = true;

        /* The wake-ups first: a record that finds a reader must be able to wake it. */
        r = open_buffer(
                kernel->map_fds[LOADER_MAP_WAKE], WAKE_PAGES, 1, on_wake, ring, &ring->wake);
        if (r < 0)
                return r;
        r = open_buffer(kernel->map_fds[LOADER_MAP_EVENTS], EVENT_PAGES, EVENT_WAKEUPS, on_event,
                ring, &ring->events);
        if (r < 0)
                return r;
        /* A wake-up that the last reader had is none for this one. */
        if (bpf_map_update_elem(kernel->map_fds[LOADER_MAP_WOKEN], &zero, &never, BPF_ANY) < 0)
                return kernel_errno(-errno);
        *ret = TAKE_PTR(ring);
        return 0;
}

KernelRing *kernel_ring_free(KernelRing *ring) {
        if (!ring)
                return NULL;
        perf_buffer__free(ring->events);
        perf_buffer__free(ring->wake);
        ring->kernel->has_reader = false;
        free(ring);
        return NULL;
}

int kernel_ring_fd(KernelRing *ring) {
        assert(ring);
        return perf_buffer__epoll_fd(ring->wake);
}

int kernel_ring_drain(KernelRing *ring) {
        struct epoll_event ignored[8];
        int r;

        assert(ring);

        /* The wake-ups first: one that comes while records are taken stays for the next time. */
        (void)epoll_wait(
                perf_buffer__epoll_fd(ring->wake), ignored, sizeof(ignored) / sizeof(*ignored), 0);
        r = perf_buffer__consume(ring->wake);
        if (r < 0)
                return kernel_errno(r);
        ring->n_records = 0;
        r = perf_buffer__consume(ring->events);
        if (r < 0)
                return kernel_errno(r);
        return ring->n_records;
}
