#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/epoll.h"
#include "core/io/socket.h"

/* One recvmmsg or sendmmsg; more would only make the batch longer. */
#define EPOLL_UDP_VECTOR_MAX 256u

struct epoll_udp {
    uint32_t vector; /* datagrams per call */
    struct mmsghdr *in;
    struct mmsghdr *out;
    struct iovec *in_bytes;
    struct iovec *out_bytes;
    union socket_name *in_names;
    union socket_control *in_control; /* NULL without segmentation */
    union socket_control *out_control;
    uint8_t *buffers;
};

static void epoll_udp_free(struct epoll_udp *own)
{
    free(own->in);
    free(own->out);
    free(own->in_bytes);
    free(own->out_bytes);
    free(own->in_names);
    free(own->in_control);
    free(own->out_control);
    free(own->buffers);
    free(own);
}

static struct epoll_udp *epoll_udp_new(const struct udp_config *config)
{
    struct epoll_udp *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return NULL;
    uint32_t vector = config->receive_buffers < EPOLL_UDP_VECTOR_MAX ? config->receive_buffers : EPOLL_UDP_VECTOR_MAX;
    own->vector = vector;
    own->in = calloc(vector, sizeof(*own->in));
    own->out = calloc(vector, sizeof(*own->out));
    own->in_bytes = calloc(vector, sizeof(*own->in_bytes));
    own->out_bytes = calloc(vector, sizeof(*own->out_bytes));
    own->in_names = calloc(vector, sizeof(*own->in_names));
    own->buffers = malloc((size_t)vector * config->receive_buffer_bytes);
    if (config->segmentation) {
        own->in_control = calloc(vector, sizeof(*own->in_control));
        own->out_control = calloc(vector, sizeof(*own->out_control));
    }
    if (own->in == NULL || own->out == NULL || own->in_bytes == NULL || own->out_bytes == NULL || own->in_names == NULL ||
        own->buffers == NULL || (config->segmentation && (own->in_control == NULL || own->out_control == NULL))) {
        epoll_udp_free(own);
        return NULL;
    }
    for (uint32_t i = 0; i < vector; i++) {
        own->in_bytes[i].iov_base = own->buffers + (size_t)i * config->receive_buffer_bytes;
        own->in_bytes[i].iov_len = config->receive_buffer_bytes;
        own->in[i].msg_hdr = (struct msghdr){.msg_name = &own->in_names[i], .msg_iov = &own->in_bytes[i], .msg_iovlen = 1};
        own->out[i].msg_hdr = (struct msghdr){.msg_iov = &own->out_bytes[i], .msg_iovlen = 1};
    }
    return own;
}

int epoll_udp_open(struct loop *loop, struct udp *udp)
{
    (void)loop;
    struct epoll_udp *own = epoll_udp_new(&udp->config);
    if (own == NULL)
        return -ENOMEM;
    int error = socket_open_udp(&udp->config, true, &udp->handle.fd, &udp->local);
    if (error < 0) {
        epoll_udp_free(own);
        return error;
    }
    error = epoll_want(&udp->handle, EPOLLIN);
    if (error < 0) {
        (void)close(udp->handle.fd);
        epoll_udp_free(own);
        return error;
    }
    udp->backend_state = own;
    return 0;
}

static void epoll_udp_deliver(struct loop *loop, struct udp *udp, struct mmsghdr *message)
{
    struct msghdr *header = &message->msg_hdr;
    if (UNLIKELY((header->msg_flags & MSG_TRUNC) != 0)) {
        LOOP_COUNT(loop, datagrams_truncated, 1);
        return;
    }
    uint32_t segment_bytes = header->msg_controllen > 0 ? socket_segment_bytes(CMSG_FIRSTHDR(header), header->msg_controllen) : 0;
    udp_event_datagram(udp, header->msg_name, header->msg_iov->iov_base, message->msg_len, segment_bytes);
}

void epoll_udp_receive(struct loop *loop, struct udp *udp)
{
    struct epoll_udp *own = udp->backend_state;
    for (uint32_t i = 0; i < own->vector; i++) {
        own->in[i].msg_hdr.msg_namelen = sizeof(own->in_names[i]);
        if (own->in_control != NULL) {
            own->in[i].msg_hdr.msg_control = &own->in_control[i];
            own->in[i].msg_hdr.msg_controllen = sizeof(own->in_control[i]);
        }
    }
    LOOP_COUNT(loop, enters, 1);
    int count = recvmmsg(udp->handle.fd, own->in, own->vector, 0, NULL);
    if (count < 0) {
        /* An ICMP error of an earlier send, say: the call has taken it off the socket. */
        if (errno != EAGAIN && errno != EINTR)
            udp_event_receive_failed(udp, -errno);
        return;
    }
    for (int i = 0; i < count; i++)
        epoll_udp_deliver(loop, udp, &own->in[i]);
}

static void epoll_udp_prepare(struct udp *udp, uint32_t index, struct udp_packet *packet)
{
    struct epoll_udp *own = udp->backend_state;
    struct msghdr *header = &own->out[index].msg_hdr;
    own->out_bytes[index] = (struct iovec){.iov_base = udp->send_bytes + packet->offset, .iov_len = packet->length};
    header->msg_name = &packet->name;
    header->msg_namelen = packet->name_bytes;
    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (packet->length > packet->segment_bytes)
        socket_set_segment_bytes(header, &own->out_control[index], packet->segment_bytes);
}

/* Sends packets[first …] with one call; returns how many it dealt with, ≥ 1. */
static uint32_t epoll_udp_send_some(struct loop *loop, struct udp *udp, uint32_t first)
{
    struct epoll_udp *own = udp->backend_state;
    uint32_t count = udp->packet_count - first < own->vector ? udp->packet_count - first : own->vector;
    for (uint32_t i = 0; i < count; i++)
        epoll_udp_prepare(udp, i, &udp->packets[first + i]);
    LOOP_COUNT(loop, enters, 1);
    int sent = sendmmsg(udp->handle.fd, own->out, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) {
        /* The first one was refused; it is dropped, for no later time would be better, and the others are tried. */
        udp_event_send_failed(udp, udp_packet_datagrams(&udp->packets[first]), -errno);
        return 1;
    }
    for (uint32_t i = 0; i < (uint32_t)sent; i++)
        LOOP_COUNT(loop, datagrams_sent, udp_packet_datagrams(&udp->packets[first + i]));
    return (uint32_t)sent;
}

void epoll_udp_flush(struct loop *loop, struct udp *udp)
{
    uint32_t first = 0;
    while (first < udp->packet_count)
        first += epoll_udp_send_some(loop, udp, first);
    udp_packets_reset(udp);
}

void epoll_udp_release(struct udp *udp)
{
    epoll_udp_free(udp->backend_state);
}
