/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/cleanup.h"

#define N_ENTRIES 4U

static unsigned *word(const Uring *ring, uint32_t offset) {
        return (unsigned *)(void *)(ring->rings + offset);
}

static void *map(const Uring *ring, size_t size, off_t offset) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, offset);

        assert_ptr_not_equal(p, MAP_FAILED);
        return p;
}

int uring_init(Uring *ring, uint32_t flags) {
        const struct io_uring_params *p = &ring->params;
        size_t sq_size, cq_size;

        *ring = (Uring){ .params.flags = flags };
        ring->fd = (int)syscall(SYS_io_uring_setup, N_ENTRIES, &ring->params);
        if (ring->fd < 0) {
                assert_true(errno == ENOSYS || errno == EPERM);
                return -errno;
        }
        assert_true(p->features & IORING_FEAT_SINGLE_MMAP);
        sq_size = p->sq_off.array + p->sq_entries * sizeof(unsigned);
        cq_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
        ring->rings_size = sq_size > cq_size ? sq_size : cq_size;
        ring->rings = map(ring, ring->rings_size, IORING_OFF_SQ_RING);
        ring->entries = map(ring, p->sq_entries * sizeof(*ring->entries), IORING_OFF_SQES);
        return 0;
}

void uring_done(Uring *ring) {
        (void)munmap(ring->entries, ring->params.sq_entries * sizeof(*ring->entries));
        (void)munmap(ring->rings, ring->rings_size);
        ring->fd = close_keep_errno(ring->fd);
}

int uring_run(Uring *ring, const struct io_uring_sqe *request) {
        const struct io_uring_params *p = &ring->params;
        unsigned *sq_tail = word(ring, p->sq_off.tail), *cq_head = word(ring, p->cq_off.head);
        unsigned sq_index = *sq_tail & *word(ring, p->sq_off.ring_mask), cq_index;
        const struct io_uring_cqe *completions;
        int result;

        ring->entries[sq_index] = *request;
        word(ring, p->sq_off.array)[sq_index] = sq_index;
        __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(word(ring, p->cq_off.tail), __ATOMIC_ACQUIRE) == *cq_head) {
                long r = syscall(SYS_io_uring_enter, ring->fd, 1, 1,
                        IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0);

                assert_true(r >= 0 || errno == EINTR);
        }
        completions = (const struct io_uring_cqe *)(const void *)(ring->rings + p->cq_off.cqes);
        cq_index = *cq_head & *word(ring, p->cq_off.ring_mask);
        result = completions[cq_index].res;
        __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
        return result;
}
