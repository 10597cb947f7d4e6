/* uring - the ring and the ring of receive buffers that the io_uring echoes are made of.
 * Thread: the one that made the ring (SINGLE_ISSUER). Only for files whose name contains "uring". */
#pragma once

#include <liburing.h>
#include <stdbool.h>

#include "bench/limit/limit.h"

#define RING_COMPLETIONS 16384u

/* Buffers that receives take in the order in which they were given, which are all given back in the order in which they were
 * taken: so neighbours in the ring stay neighbours in memory. */
struct ring {
    struct io_uring io;
    struct io_uring_buf_ring *buffers;
    uint8_t *bytes;
    uint32_t buffer_count; /* a power of two */
    uint32_t buffer_bytes;
    uint32_t given; /* since ring_show_buffers */
};

/* A negative errno with ret_error. */
NODISCARD int ring_open(struct ring *ring, uint32_t buffer_count, uint32_t buffer_bytes, struct conf_error *ret_error);
void ring_close(struct ring *ring);

/* Never NULL: submits when the queue is full. */
struct io_uring_sqe *ring_entry(struct ring *ring);

static inline uint8_t *ring_buffer(const struct ring *ring, uint32_t index)
{
    return ring->bytes + (size_t)index * ring->buffer_bytes;
}

void ring_give_buffer(struct ring *ring, uint32_t index);

/* Before receives are armed again: with no buffer they would end at once. */
void ring_show_buffers(struct ring *ring);

/* Submits and waits for at least one completion; with `spin` only looks. What was to be sent with MSG_DONTWAIT has left before
 * the kernel receives anything into buffers that were given back: receives run in the second half of the same system call
 * (DEFER_TASKRUN). A negative errno with ret_error; an interruption is none. */
NODISCARD int ring_turn(struct ring *ring, bool spin, struct conf_error *ret_error);
