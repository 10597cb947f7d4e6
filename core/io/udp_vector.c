#include "core/io/udp_vector.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/io/socket.h"

/* Who brought so many will have more when these are answered, a tenth of a millisecond later. (1, 8 and 32 were the same.) */
#define UDP_VECTOR_MORE 32u

struct udp_vector {
    uint32_t size; /* datagrams per call */
    bool adapts;
    uint32_t wanted; /* of them, by the next receive */
    uint32_t used; /* by the last receive, whose headers the kernel has written to */
    uint32_t buffer_bytes;
    struct mmsghdr *in;
    struct mmsghdr *out;
    struct iovec *in_bytes;
    struct iovec *out_bytes;
    union socket_name *in_names;
    union socket_control *in_control; /* NULL: nothing comes beside the bytes */
    union socket_control *out_control; /* NULL: nothing goes out beside the bytes */
    uint8_t *buffers;
};

void udp_vector_free(struct udp_vector *vector)
{
    if (vector == NULL)
        return;
    free(vector->in);
    free(vector->out);
    free(vector->in_bytes);
    free(vector->out_bytes);
    free(vector->in_names);
    free(vector->in_control);
    free(vector->out_control);
    free(vector->buffers);
    free(vector);
}

static bool udp_vector_allocate(struct udp_vector *vector, const struct udp_config *config)
{
    uint32_t size = vector->size;
    bool control = socket_receives_control(config), out_control = socket_sends_control(config);
    vector->in = calloc(size, sizeof(*vector->in));
    vector->out = calloc(size, sizeof(*vector->out));
    vector->in_bytes = calloc(size, sizeof(*vector->in_bytes));
    vector->out_bytes = calloc(size, sizeof(*vector->out_bytes));
    vector->in_names = calloc(size, sizeof(*vector->in_names));
    vector->buffers = malloc((size_t)size * vector->buffer_bytes);
    if (control)
        vector->in_control = calloc(size, sizeof(*vector->in_control));
    if (out_control)
        vector->out_control = calloc(size, sizeof(*vector->out_control));
    return vector->in != NULL && vector->out != NULL && vector->in_bytes != NULL && vector->out_bytes != NULL &&
           vector->in_names != NULL && vector->buffers != NULL && (!control || vector->in_control != NULL) &&
           (!out_control || vector->out_control != NULL);
}

struct udp_vector *udp_vector_new(const struct udp_config *config, bool spins)
{
    struct udp_vector *vector = calloc(1, sizeof(*vector));
    if (vector == NULL)
        return NULL;
    vector->size = config->receive_buffers;
    vector->buffer_bytes = config->receive_buffer_bytes;
    vector->adapts = spins;
    vector->wanted = spins ? 1 : vector->size;
    vector->used = vector->size;
    if (!udp_vector_allocate(vector, config)) {
        udp_vector_free(vector);
        return NULL;
    }
    for (uint32_t i = 0; i < vector->size; i++) {
        vector->in_bytes[i].iov_base = vector->buffers + (size_t)i * vector->buffer_bytes;
        vector->in_bytes[i].iov_len = vector->buffer_bytes;
        vector->in[i].msg_hdr =
            (struct msghdr){.msg_name = &vector->in_names[i], .msg_iov = &vector->in_bytes[i], .msg_iovlen = 1};
        vector->out[i].msg_hdr = (struct msghdr){.msg_iov = &vector->out_bytes[i], .msg_iovlen = 1};
    }
    return vector;
}

static void udp_vector_deliver(struct udp *udp, struct mmsghdr *message)
{
    struct msghdr *header = &message->msg_hdr;
    if (UNLIKELY((header->msg_flags & MSG_TRUNC) != 0)) {
        LOOP_COUNT(udp->handle.loop, datagrams_truncated, 1);
        return;
    }
    struct udp_received received = {0};
    if (header->msg_controllen > 0)
        received = socket_read_control(header->msg_control, header->msg_controllen);
    udp_event_datagram(udp, header->msg_name, header->msg_iov->iov_base, message->msg_len, &received);
}

/* The kernel has shortened what it used. */
static void udp_vector_reset(struct udp_vector *vector)
{
    for (uint32_t i = 0; i < vector->used; i++) {
        vector->in[i].msg_hdr.msg_namelen = sizeof(vector->in_names[i]);
        if (vector->in_control != NULL) {
            vector->in[i].msg_hdr.msg_control = &vector->in_control[i];
            vector->in[i].msg_hdr.msg_controllen = sizeof(vector->in_control[i]);
        }
    }
    vector->used = 0;
}

/* recvmmsg looks for one more until there is none or it has what was wanted. Where we come back at once anyway, a single request's
 * answer need not wait for that last look. */
static void udp_vector_adapt(struct udp_vector *vector, uint32_t received)
{
    if (received == vector->wanted)
        vector->wanted = 2 * received < vector->size ? 2 * received : vector->size;
    else if (vector->wanted > 1)
        vector->wanted /= 2;
}

bool udp_vector_receive(struct udp *udp, struct udp_vector *vector)
{
    udp_vector_reset(vector);
    LOOP_COUNT(udp->handle.loop, enters, 1);
    int count = recvmmsg(udp->handle.fd, vector->in, vector->wanted, MSG_DONTWAIT, NULL);
    if (vector->adapts)
        udp_vector_adapt(vector, count > 0 ? (uint32_t)count : 0);
    if (count < 0) {
        /* An ICMP error of an earlier send, say: the call has taken it off the socket. */
        if (errno != EAGAIN && errno != EINTR)
            udp_event_receive_failed(udp, -errno);
        return false;
    }
    vector->used = (uint32_t)count;
    for (int i = 0; i < count; i++)
        udp_vector_deliver(udp, &vector->in[i]);
    return (uint32_t)count >= UDP_VECTOR_MORE || (uint32_t)count == vector->size;
}

static void udp_vector_prepare(struct udp *udp, struct udp_vector *vector, uint32_t index, struct udp_packet *packet)
{
    struct msghdr *header = &vector->out[index].msg_hdr;
    vector->out_bytes[index] = (struct iovec){.iov_base = udp->send_bytes + packet->offset, .iov_len = packet->length};
    header->msg_name = &packet->name;
    header->msg_namelen = packet->name_bytes;
    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (socket_needs_control(packet))
        socket_write_control(udp, packet, header, &vector->out_control[index]);
}

/* Sends packets[first …] with one call; returns how many it dealt with, ≥ 1. */
static uint32_t udp_vector_send_some(struct udp *udp, struct udp_vector *vector, uint32_t first)
{
    struct loop *loop = udp->handle.loop;
    uint32_t count = udp->packet_count - first < vector->size ? udp->packet_count - first : vector->size;
    for (uint32_t i = 0; i < count; i++)
        udp_vector_prepare(udp, vector, i, &udp->packets[first + i]);
    LOOP_COUNT(loop, enters, 1);
    int sent = sendmmsg(udp->handle.fd, vector->out, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) {
        /* The first one was refused; it is dropped, for no later time would be better, and the others are tried. */
        udp_event_send_failed(udp, udp_packet_datagrams(&udp->packets[first]), -errno);
        return 1;
    }
    for (uint32_t i = 0; i < (uint32_t)sent; i++)
        LOOP_COUNT(loop, datagrams_sent, udp_packet_datagrams(&udp->packets[first + i]));
    return (uint32_t)sent;
}

void udp_vector_flush(struct udp *udp, struct udp_vector *vector)
{
    uint32_t first = 0;
    while (first < udp->packet_count)
        first += udp_vector_send_some(udp, vector, first);
    udp_packets_reset(udp);
}
