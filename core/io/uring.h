/* uring - what the files of the io_uring backend share.
 *
 * Every submission goes through uring_queue, which never fails: what finds no room in the submission queue is kept in a list and
 * prepared before the next wait. user_data carries operation, slot and generation, no pointers.
 * Invariant: a handle's receive completions always find it: it is released only after the one without F_MORE.
 * Thread: the one that first waits or submits; the ring is enabled there (SINGLE_ISSUER refuses all others with EEXIST). */
#pragma once

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/io/backend.h"

/* A further operation in user_data, beside enum handle_operation: it belongs to no handle. */
#define URING_OPERATION_WAKE 128u

/* The group of the receive buffers that all streams share. */
#define URING_STREAM_GROUP 0u

/* Receive buffers that the kernel picks from. They are poisoned for AddressSanitizer while the kernel has them. */
struct uring_buffers {
    struct io_uring_buf_ring *ring; /* NULL: not made */
    size_t ring_bytes;
    uint8_t *bytes;
    uint32_t count; /* power of two */
    uint32_t headroom_bytes; /* in front of each; never the kernel's */
    uint32_t buffer_bytes;
    uint32_t stride_bytes;
    uint32_t given; /* added to the ring, not yet shown to the kernel */
    uint16_t group;
};

struct uring_state {
    struct io_uring ring;
    bool enabled;
    bool closed;
    bool wake_armed;
    int wake_fd;
    int reserve_fd;
    uint64_t wake_count; /* where the eventfd is read to */
    uint32_t overflow; /* the kernel's counter, as last seen */
    struct list_link deferred; /* handles with operations that found no room in the submission queue (backend_events) */
    struct uring_buffers stream_buffers;
};

static inline uint64_t uring_user_data(const struct handle *handle, uint32_t operation)
{
    return (uint64_t)operation << 56 | (uint64_t)handle->slot << 32 | handle->loop->slots.slot[handle->slot].generation;
}

/* setup */
NODISCARD int uring_open(struct loop *loop);

/* Says in loop_shortage that the ring got fewer entries than were asked for. */
void uring_tell_shortage(struct loop *loop, uint32_t asked, uint32_t got);
void uring_close(struct loop *loop);

/* -ENOMEM, -EMFILE: no group left. */
NODISCARD int uring_buffers_open(struct uring_state *state, uint32_t count, uint32_t headroom_bytes, uint32_t buffer_bytes,
                                 uint16_t group, struct uring_buffers *ret_buffers);
void uring_buffers_close(struct uring_state *state, struct uring_buffers *buffers);

/* The kernel has filled `length` bytes of it. */
uint8_t *uring_buffers_take(struct uring_buffers *buffers, uint32_t index, uint32_t length);
/* May be used again, once uring_buffers_show was called. */
void uring_buffers_give(struct uring_buffers *buffers, uint32_t index);
void uring_buffers_show(struct uring_buffers *buffers);

/* An empty submission entry, after submitting if need be; NULL when the kernel takes none. */
struct io_uring_sqe *uring_entry(struct uring_state *state);

/* Begins the operation on the handle. */
void uring_queue(struct loop *loop, struct handle *handle, enum handle_operation operation);

/* datagrams */
NODISCARD int uring_udp_open(struct loop *loop, struct udp *udp);
void uring_udp_watched(struct loop *loop, struct udp *udp); /* the ring says that something has come */
void uring_udp_receive(struct loop *loop); /* on all sockets in loop->udp_ready */
void uring_udp_flush(struct loop *loop, struct udp *udp);
void uring_udp_release(struct udp *udp);

/* streams */
NODISCARD int uring_stream_connect(struct loop *loop, struct stream *stream, const struct stream_config *config);
NODISCARD int uring_stream_attach(struct loop *loop, struct stream *stream);
void uring_stream_receive(struct loop *loop, struct stream *stream, bool wanted);
void uring_stream_send(struct loop *loop, struct stream *stream);
void uring_stream_shut(struct loop *loop, struct stream *stream);
void uring_stream_leave(struct loop *loop, struct stream *stream);
void uring_stream_prepare(struct stream *stream, enum handle_operation operation, struct io_uring_sqe *sqe);
void uring_stream_complete(struct loop *loop, struct stream *stream, uint32_t operation, int result, uint32_t flags);
