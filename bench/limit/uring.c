#include "bench/limit/uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/check.h"

#define RING_ENTRIES 4096u
#define RING_ALIGNMENT 4096u

static int ring_map_buffers(struct ring *ring)
{
    struct io_uring_buf_reg registration = {.ring_entries = ring->buffer_count};
    void *buffers =
        mmap(NULL, ring->buffer_count * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    ring->bytes = aligned_alloc(RING_ALIGNMENT, (size_t)ring->buffer_count * ring->buffer_bytes);
    if (buffers == MAP_FAILED || !ring->bytes)
        return -ENOMEM;
    ring->buffers = buffers;
    registration.ring_addr = (uint64_t)(uintptr_t)buffers;
    int error = io_uring_register_buf_ring(&ring->io, &registration, 0);
    if (error < 0)
        return error;
    io_uring_buf_ring_init(ring->buffers);
    for (uint32_t i = 0; i < ring->buffer_count; i++)
        ring_give_buffer(ring, i);
    ring_show_buffers(ring);
    return 0;
}

int ring_open(struct ring *ring, uint32_t buffer_count, uint32_t buffer_bytes, struct conf_error *ret_error)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = RING_COMPLETIONS,
    };
    *ring = (struct ring){.buffer_count = buffer_count, .buffer_bytes = buffer_bytes};
    int error = io_uring_queue_init_params(RING_ENTRIES, &ring->io, &params);
    if (error < 0)
        return limit_fail(error, "io_uring_setup, which needs Linux 6.1 and sysctl kernel.io_uring_disabled=0,", ret_error);
    (void)io_uring_register_ring_fd(&ring->io); /* saves a look-up a turn; without it works as well */
    error = ring_map_buffers(ring);
    if (error < 0) {
        ring_close(ring);
        return limit_fail(error, "registering receive buffers", ret_error);
    }
    return 0;
}

void ring_close(struct ring *ring)
{
    io_uring_queue_exit(&ring->io);
    if (ring->buffers)
        (void)munmap(ring->buffers, ring->buffer_count * sizeof(struct io_uring_buf));
    free(ring->bytes);
}

struct io_uring_sqe *ring_entry(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);
    if (!sqe) {
        (void)io_uring_submit(&ring->io);
        sqe = io_uring_get_sqe(&ring->io);
    }
    CHECK(sqe);
    return sqe;
}

void ring_give_buffer(struct ring *ring, uint32_t index)
{
    io_uring_buf_ring_add(ring->buffers, ring_buffer(ring, index), ring->buffer_bytes, (uint16_t)index,
                          (int)(ring->buffer_count - 1), (int)ring->given++);
}

void ring_show_buffers(struct ring *ring)
{
    io_uring_buf_ring_advance(ring->buffers, (int)ring->given);
    ring->given = 0;
}

int ring_turn(struct ring *ring, bool spin, struct conf_error *ret_error)
{
    int result = spin ? io_uring_submit_and_get_events(&ring->io) : io_uring_submit_and_wait(&ring->io, 1);
    if (result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY)
        return 0;
    return limit_fail(result, "io_uring_enter", ret_error);
}
