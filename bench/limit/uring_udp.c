/* One multishot RECVMSG, and a SEND with an address for each datagram, straight from the buffer it came in. With GSO a "datagram" is
 * up to 64 KiB of equal segments; with --connected a peer has a socket of its own after its first datagram, which spares the kernel
 * the route look-up of each answer. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#include "bench/limit/uring.h"
#include "core/base/map.h"

#define UDP_NAME_BYTES 32u /* a multiple of 8: the control message behind it is aligned */
#define UDP_CONTROL_BYTES CMSG_SPACE(sizeof(int))
#define UDP_BUFFERS 4096u
#define UDP_BUFFER_BYTES 2048u
/* 64 KiB and what the kernel writes in front: in a smaller buffer the last segments would vanish without a trace. */
#define GSO_BUFFERS 64u
#define GSO_BUFFER_BYTES (65536u + 4096u)
#define UDP_PEERS_MAX 1024u
#define UDP_SEND UINT64_C(-1) /* user data of what is sent; of a receive: which socket */

struct udp_echo {
    struct ring ring;
    struct msghdr layout;
    struct address listen; /* of the connected sockets */
    int fds[UDP_PEERS_MAX + 1]; /* the first is the one that is not connected */
    uint32_t fd_count;
    struct map peers; /* address to index of fds; only used with connected sockets */
    bool connected;
    bool segmented;
    uint16_t segment_bytes; /* what the socket is set to send */
};

static void udp_receive(struct udp_echo *echo, uint32_t index)
{
    struct io_uring_sqe *sqe = ring_entry(&echo->ring);
    if (index == 0)
        io_uring_prep_recvmsg_multishot(sqe, echo->fds[0], &echo->layout, 0);
    else
        io_uring_prep_recv_multishot(sqe, echo->fds[index], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    io_uring_sqe_set_data64(sqe, index);
}

static struct io_uring_sqe *udp_send(struct udp_echo *echo, uint32_t index, const void *bytes, size_t length)
{
    struct io_uring_sqe *sqe = ring_entry(&echo->ring);
    io_uring_prep_send(sqe, echo->fds[index], bytes, length, MSG_DONTWAIT);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, UDP_SEND);
    return sqe;
}

static int udp_connect(const struct udp_echo *echo, const struct sockaddr *name, socklen_t name_bytes)
{
    struct sockaddr_storage own;
    socklen_t own_bytes = address_to_socket(&echo->listen, &own);
    int one = 1;
    int fd = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
        bind(fd, (const struct sockaddr *)&own, own_bytes) == 0 && connect(fd, name, name_bytes) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* What comes here is a peer's first datagram, or came before its socket was connected. */
static void udp_meet(struct udp_echo *echo, const struct sockaddr *name, socklen_t name_bytes)
{
    struct address peer;
    if (echo->fd_count > UDP_PEERS_MAX || address_from_socket(name, &peer) < 0 || map_get(&echo->peers, &peer) != MAP_NONE)
        return;
    int fd = udp_connect(echo, name, name_bytes);
    if (fd < 0)
        return;
    if (map_put(&echo->peers, &peer, echo->fd_count) < 0) {
        (void)close(fd);
        return;
    }
    echo->fds[echo->fd_count] = fd;
    udp_receive(echo, echo->fd_count++);
}

/* Set on the socket, it costs less than a control message with each send; senders seldom change the length of their segments. */
static void udp_set_segment(struct udp_echo *echo, struct io_uring_recvmsg_out *out)
{
    const struct cmsghdr *control = io_uring_recvmsg_cmsg_firsthdr(out, &echo->layout);
    int bytes = 0;
    if (control && control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO)
        memcpy(&bytes, CMSG_DATA(control), sizeof(bytes));
    if (bytes == echo->segment_bytes)
        return;
    (void)io_uring_submit(&echo->ring.io); /* those before had another length */
    if (setsockopt(echo->fds[0], SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)) == 0)
        echo->segment_bytes = (uint16_t)bytes;
}

static void udp_answer(struct udp_echo *echo, void *buffer, int length)
{
    struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(buffer, length, &echo->layout);
    if (!out || out->payloadlen == 0)
        return;
    struct sockaddr *name = io_uring_recvmsg_name(out);
    if (echo->segmented)
        udp_set_segment(echo, out);
    struct io_uring_sqe *sqe = udp_send(echo, 0, io_uring_recvmsg_payload(out, &echo->layout), out->payloadlen);
    io_uring_prep_send_set_addr(sqe, name, (uint16_t)out->namelen);
    if (echo->connected)
        udp_meet(echo, name, out->namelen);
}

/* Returns whether the receive has to be armed again: an empty datagram ends it, as do a peer's ECONNREFUSED and want of buffers. */
static bool udp_complete(struct udp_echo *echo, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == UDP_SEND)
        return false; /* it failed: lost, as on a wire */
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t index = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *buffer = ring_buffer(&echo->ring, index);
        if (cqe->user_data == 0)
            udp_answer(echo, buffer, cqe->res);
        else if (cqe->res > 0)
            (void)udp_send(echo, (uint32_t)cqe->user_data, buffer, (size_t)cqe->res);
        ring_give_buffer(&echo->ring, index);
    }
    return (cqe->flags & IORING_CQE_F_MORE) == 0;
}

static int udp_loop(struct udp_echo *echo, bool spin, struct conf_error *ret_error)
{
    uint32_t ended[UDP_PEERS_MAX + 1];
    int error = 0;
    udp_receive(echo, 0);
    while (!limit_stopped && error == 0) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        uint32_t ended_count = 0;
        error = ring_turn(&echo->ring, spin, ret_error);
        io_uring_for_each_cqe(&echo->ring.io, head, cqe)
        {
            count++;
            if (udp_complete(echo, cqe))
                ended[ended_count++] = (uint32_t)cqe->user_data;
        }
        ring_show_buffers(&echo->ring);
        io_uring_cq_advance(&echo->ring.io, count);
        for (uint32_t i = 0; i < ended_count; i++)
            udp_receive(echo, ended[i]);
    }
    return error;
}

static int udp_run(struct udp_echo *echo, const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    uint32_t count = options->buffers ? options->buffers : echo->segmented ? GSO_BUFFERS : UDP_BUFFERS;
    int error = ring_open(&echo->ring, count, echo->segmented ? GSO_BUFFER_BYTES : UDP_BUFFER_BYTES, ret_error);
    if (error < 0)
        return error;
    echo->fds[0] = fd;
    echo->fd_count = 1;
    echo->layout = (struct msghdr){.msg_namelen = UDP_NAME_BYTES, .msg_controllen = echo->segmented ? UDP_CONTROL_BYTES : 0};
    map_init(&echo->peers, sizeof(struct address));
    error = udp_loop(echo, options->spin, ret_error);
    ring_close(&echo->ring);
    map_done(&echo->peers);
    return error;
}

int limit_udp_uring(const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    static struct udp_echo echo; /* large */
    struct sockaddr_storage name;
    socklen_t name_bytes = sizeof(name);
    echo.connected = options->connected;
    if (getsockname(fd, (struct sockaddr *)&name, &name_bytes) < 0 ||
        address_from_socket((const struct sockaddr *)&name, &echo.listen) < 0)
        return limit_fail(-errno, "getsockname", ret_error);
    return udp_run(&echo, options, fd, ret_error);
}

int limit_udp_gso(const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    static struct udp_echo echo = {.segmented = true};
    int one = 1;
    if (setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) < 0)
        return limit_fail(-errno, "setsockopt UDP_GRO, which needs Linux 5.0,", ret_error);
    return udp_run(&echo, options, fd, ret_error);
}
