#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/socket.h"
#include "core/io/udp_vector.h"
#include "core/io/uring.h"

/* Room for a name in front of each datagram: a multiple of 8, so that the control message and the payload behind it are aligned. */
#define URING_NAME_BYTES 32u
_Static_assert(URING_NAME_BYTES >= sizeof(union socket_name), "every name fits");

struct uring_udp_message {
    struct msghdr header;
    struct iovec bytes;
    union socket_control control;
};

struct uring_udp {
    struct udp *udp;
    struct uring_buffers buffers;
    struct msghdr layout; /* of what recvmsg writes into a buffer: io_uring_recvmsg_out, name, control, payload */
    struct list_link held_link;
    uint32_t held_count;
    uint16_t *held; /* buffers of this batch, which go back after the hook */
    bool rearm;
    struct uring_udp_message *messages; /* one per packet, for SENDMSG; NULL when every packet can be a SEND */
    struct udp_vector *vector; /* of a spinning loop: then nothing of the above is used */
    struct list_link polled_link;
};

static int uring_group_take(struct uring_state *state, uint16_t *ret_group)
{
    for (uint16_t group = 0; group < URING_GROUPS_MAX; group++) {
        if (state->groups[group] == 0) {
            state->groups[group] = 1;
            *ret_group = group;
            return 0;
        }
    }
    return -EMFILE;
}

static void uring_udp_free(struct uring_state *state, struct uring_udp *own)
{
    if (own->buffers.ring != NULL) {
        state->groups[own->buffers.group] = 0;
        uring_buffers_close(state, &own->buffers);
    }
    udp_vector_free(own->vector);
    free(own->held);
    free(own->messages);
    free(own);
}

static int uring_udp_allocate(struct uring_state *state, struct uring_udp *own, const struct udp_config *config)
{
    own->layout.msg_namelen = URING_NAME_BYTES;
    own->layout.msg_controllen = socket_receives_control(config) ? sizeof(union socket_control) : 0;
    own->held = calloc(config->receive_buffers, sizeof(*own->held));
    bool messages = socket_sends_control(config) || !state->send_address;
    if (messages)
        own->messages = calloc(config->send_packets, sizeof(*own->messages));
    if (own->held == NULL || (messages && own->messages == NULL))
        return -ENOMEM;
    uint16_t group;
    int error = uring_group_take(state, &group);
    if (error < 0)
        return error;
    uint32_t bytes = (uint32_t)(sizeof(struct io_uring_recvmsg_out) + own->layout.msg_namelen + own->layout.msg_controllen) +
                     config->receive_buffer_bytes;
    error = uring_buffers_open(state, config->receive_buffers, 0, bytes, group, &own->buffers);
    if (error < 0)
        state->groups[group] = 0;
    return error;
}

/* A loop that never sleeps asks its sockets itself. The ring would first have to be told by the socket that something has come, and
 * then be entered to fetch it: on the way of a single request that is a fifth of all its time (measured). */
static int uring_udp_allocate_polled(struct uring_udp *own, const struct udp_config *config)
{
    own->vector = udp_vector_new(config, true);
    return own->vector != NULL ? 0 : -ENOMEM;
}

int uring_udp_open(struct loop *loop, struct udp *udp)
{
    struct uring_state *state = loop->backend_state;
    struct uring_udp *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return -ENOMEM;
    own->udp = udp;
    list_init(&own->held_link);
    list_init(&own->polled_link);
    int error = loop->config.spin ? uring_udp_allocate_polled(own, &udp->config) : uring_udp_allocate(state, own, &udp->config);
    if (error == 0)
        error = socket_open_udp(&udp->config, false, &udp->handle.fd, &udp->local);
    if (error < 0) {
        uring_udp_free(state, own);
        return error;
    }
    udp->backend_state = own;
    if (own->vector != NULL)
        list_append(&state->udp_polled, &own->polled_link);
    else
        uring_queue(loop, &udp->handle, OPERATION_RECEIVE);
    return 0;
}

void uring_udp_prepare_receive(struct udp *udp, struct io_uring_sqe *sqe)
{
    struct uring_udp *own = udp->backend_state;
    io_uring_prep_recvmsg_multishot(sqe, udp->handle.fd, &own->layout, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = own->buffers.group;
}

static void uring_udp_deliver(struct loop *loop, struct udp *udp, void *buffer, int length)
{
    struct uring_udp *own = udp->backend_state;
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(buffer, length, &own->layout);
    if (UNLIKELY(out == NULL || (out->flags & MSG_TRUNC) != 0)) {
        LOOP_COUNT(loop, datagrams_truncated, 1);
        return;
    }
    struct udp_received received = {0};
    if (out->controllen > 0)
        received = socket_read_control(io_uring_recvmsg_cmsg_firsthdr(out, &own->layout), out->controllen);
    udp_event_datagram(udp, io_uring_recvmsg_name(out), io_uring_recvmsg_payload(out, &own->layout), out->payloadlen, &received);
}

__attribute__((noinline, cold)) static void uring_udp_failed(struct loop *loop, struct udp *udp, int error)
{
    if (error == -ENOBUFS)
        LOOP_COUNT(loop, receive_buffers_exhausted, 1);
    else if (!udp->handle.ending)
        udp_event_receive_failed(udp, error);
}

void uring_udp_received(struct loop *loop, struct udp *udp, int result, uint32_t flags)
{
    struct uring_state *state = loop->backend_state;
    struct uring_udp *own = udp->backend_state;
    if (LIKELY((flags & IORING_CQE_F_BUFFER) != 0)) {
        uint32_t index = flags >> IORING_CQE_BUFFER_SHIFT;
        void *buffer = uring_buffers_take(&own->buffers, index, result > 0 ? (uint32_t)result : 0);
        own->held[own->held_count++] = (uint16_t)index;
        uring_udp_deliver(loop, udp, buffer, result);
    }
    if (UNLIKELY(result < 0))
        uring_udp_failed(loop, udp, result);
    /* The end of a multishot, whatever it was: an empty datagram, no buffer, an error of a peer. */
    if (UNLIKELY((flags & IORING_CQE_F_MORE) == 0)) {
        own->rearm = true;
        handle_operation_end(&udp->handle, OPERATION_RECEIVE);
    }
    if (list_is_empty(&own->held_link))
        list_append(&state->udp_held, &own->held_link);
}

void uring_udp_poll(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    for (struct list_link *link = state->udp_polled.next; link != &state->udp_polled; link = link->next) {
        struct uring_udp *own = CONTAINER_OF(link, struct uring_udp, polled_link);
        if (!own->udp->handle.ending)
            udp_vector_receive(own->udp, own->vector);
    }
}

/* Buffers first, then receiving anew: the other way round it would find none and end at once. */
void uring_udp_batch_end(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    for (struct list_link *link; (link = list_take_first(&state->udp_held)) != NULL;) {
        struct uring_udp *own = CONTAINER_OF(link, struct uring_udp, held_link);
        for (uint32_t i = 0; i < own->held_count; i++)
            uring_buffers_give(&own->buffers, own->held[i]);
        own->held_count = 0;
        uring_buffers_show(&own->buffers);
        if (own->rearm && !own->udp->handle.ending)
            uring_queue(loop, &own->udp->handle, OPERATION_RECEIVE);
        own->rearm = false;
    }
}

static void uring_udp_prepare_message(struct udp *udp, struct udp_packet *packet, struct uring_udp_message *message,
                                      struct io_uring_sqe *sqe)
{
    message->bytes = (struct iovec){.iov_base = udp->send_bytes + packet->offset, .iov_len = packet->length};
    message->header = (struct msghdr){
        .msg_name = &packet->name,
        .msg_namelen = packet->name_bytes,
        .msg_iov = &message->bytes,
        .msg_iovlen = 1,
    };
    socket_write_control(udp, packet, &message->header, &message->control);
    io_uring_prep_sendmsg(sqe, udp->handle.fd, &message->header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void uring_udp_prepare_send(struct uring_state *state, struct udp *udp, uint32_t index, struct io_uring_sqe *sqe)
{
    struct uring_udp *own = udp->backend_state;
    struct udp_packet *packet = &udp->packets[index];
    if (LIKELY(state->send_address && !socket_needs_control(packet))) {
        io_uring_prep_send(sqe, udp->handle.fd, udp->send_bytes + packet->offset, packet->length, MSG_DONTWAIT | MSG_NOSIGNAL);
        io_uring_prep_send_set_addr(sqe, &packet->name.any, (uint16_t)packet->name_bytes);
    } else {
        uring_udp_prepare_message(udp, packet, &own->messages[index], sqe);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, uring_user_data(&udp->handle, URING_OPERATION_UDP_SEND));
}

void uring_udp_flush(struct loop *loop, struct udp *udp)
{
    struct uring_state *state = loop->backend_state;
    struct uring_udp *own = udp->backend_state;
    if (own->vector != NULL) {
        udp_vector_flush(udp, own->vector);
        return;
    }
    while (udp->packets_queued < udp->packet_count) {
        struct io_uring_sqe *sqe = uring_entry(state);
        uint32_t index = udp->packets_queued++;
        uint32_t datagrams = udp_packet_datagrams(&udp->packets[index]);
        if (UNLIKELY(sqe == NULL)) {
            LOOP_COUNT(loop, datagram_send_drops, datagrams);
            continue;
        }
        uring_udp_prepare_send(state, udp, index, sqe);
        LOOP_COUNT(loop, datagrams_sent, datagrams);
    }
}

void uring_udp_flush_now(struct loop *loop, struct udp *udp)
{
    struct uring_state *state = loop->backend_state;
    uring_udp_flush(loop, udp);
    if (!state->enabled || udp->packet_count == 0)
        return;
    LOOP_COUNT(loop, enters, 1);
    if (io_uring_submit(&state->ring) >= 0 && io_uring_sq_ready(&state->ring) == 0)
        udp_packets_reset(udp);
}

void uring_udp_release(struct loop *loop, struct udp *udp)
{
    struct uring_udp *own = udp->backend_state;
    list_remove(&own->held_link);
    list_remove(&own->polled_link);
    uring_udp_free(loop->backend_state, own);
}
