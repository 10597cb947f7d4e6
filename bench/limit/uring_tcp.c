/* Multishot accept; multishot RECV of bundles: one completion for all that a connection has, in neighbouring buffers; one SEND of
 * it, straight from these buffers. The kernel copies within the call that submits the SEND (MSG_DONTWAIT), so the buffers are free
 * again right after; a SEND that cannot take all at once fails, and its connection is closed. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "bench/limit/uring.h"

#define TCP_BUFFERS 512u
#define TCP_BUFFER_BYTES 4096u
#define TCP_COLLECT_MAX 64u /* completions that end --min-wait early */
#define TCP_DIRTY_MAX RING_COMPLETIONS

enum tcp_operation {
    TCP_ACCEPT,
    TCP_RECEIVE,
    TCP_SEND,
};

/* What a connection sends at the end of the batch: bytes that lie next to each other. */
struct tcp_connection {
    const uint8_t *bytes;
    size_t length;
};

struct tcp_echo {
    struct ring ring;
    int listener;
    struct tcp_connection connections[LIMIT_DESCRIPTORS_MAX]; /* by descriptor */
    int dirty[TCP_DIRTY_MAX]; /* those with something to send */
    uint32_t dirty_count;
    int ended[TCP_DIRTY_MAX]; /* those whose receive has to be armed again */
    uint32_t ended_count;
    bool accept_ended;
};

static void tcp_prepare(struct io_uring_sqe *sqe, enum tcp_operation operation, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | (uint32_t)fd);
}

static void tcp_accept(struct tcp_echo *echo)
{
    struct io_uring_sqe *sqe = ring_entry(&echo->ring);
    io_uring_prep_multishot_accept(sqe, echo->listener, NULL, NULL, SOCK_CLOEXEC);
    tcp_prepare(sqe, TCP_ACCEPT, echo->listener);
}

static void tcp_receive(struct tcp_echo *echo, int fd)
{
    struct io_uring_sqe *sqe = ring_entry(&echo->ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->ioprio |= IORING_RECVSEND_BUNDLE;
    tcp_prepare(sqe, TCP_RECEIVE, fd);
}

static void tcp_accepted(struct tcp_echo *echo, int fd)
{
    int one = 1;
    if (fd < 0)
        return;
    if (fd >= LIMIT_DESCRIPTORS_MAX) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    echo->connections[fd].length = 0;
    tcp_receive(echo, fd);
}

static void tcp_send(struct tcp_echo *echo, int fd)
{
    struct tcp_connection *connection = &echo->connections[fd];
    if (connection->length == 0)
        return;
    struct io_uring_sqe *sqe = ring_entry(&echo->ring);
    io_uring_prep_send(sqe, fd, connection->bytes, connection->length, MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tcp_prepare(sqe, TCP_SEND, fd);
    connection->length = 0;
}

/* Adds to what the connection sends; what does not lie next to that leaves first. */
static void tcp_echo_bytes(struct tcp_echo *echo, int fd, const uint8_t *bytes, size_t length)
{
    struct tcp_connection *connection = &echo->connections[fd];
    if (connection->length > 0 && connection->bytes + connection->length != bytes)
        tcp_send(echo, fd);
    if (connection->length == 0) {
        connection->bytes = bytes;
        echo->dirty[echo->dirty_count++] = fd;
    }
    connection->length += length;
}

/* A bundle fills its buffers one after the other, the last one in part; behind the ring's last buffer comes its first. */
static void tcp_received(struct tcp_echo *echo, int fd, uint32_t index, size_t length)
{
    while (length > 0) {
        size_t part = length < TCP_BUFFER_BYTES ? length : TCP_BUFFER_BYTES;
        tcp_echo_bytes(echo, fd, ring_buffer(&echo->ring, index), part);
        ring_give_buffer(&echo->ring, index);
        index = (index + 1) % echo->ring.buffer_count;
        length -= part;
    }
}

/* What it would have got is forgotten: a SEND to this descriptor could meet the next connection. */
static void tcp_close(struct tcp_echo *echo, int fd)
{
    echo->connections[fd].length = 0;
    (void)close(fd);
}

static void tcp_complete(struct tcp_echo *echo, const struct io_uring_cqe *cqe)
{
    int fd = (int)(uint32_t)cqe->user_data;
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    switch ((enum tcp_operation)(cqe->user_data >> 32)) {
    case TCP_ACCEPT:
        tcp_accepted(echo, cqe->res);
        echo->accept_ended |= !more;
        break;
    case TCP_RECEIVE:
        if (cqe->res > 0)
            tcp_received(echo, fd, cqe->flags >> IORING_CQE_BUFFER_SHIFT, (size_t)cqe->res);
        if (cqe->res > 0 ? !more : cqe->res == -ENOBUFS)
            echo->ended[echo->ended_count++] = fd;
        else if (cqe->res <= 0)
            tcp_close(echo, fd);
        break;
    case TCP_SEND: (void)shutdown(fd, SHUT_RDWR); break; /* its receive ends, and closes it */
    }
}

static void tcp_batch(struct tcp_echo *echo)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&echo->ring.io, head, cqe)
    {
        count++;
        tcp_complete(echo, cqe);
    }
    io_uring_cq_advance(&echo->ring.io, count);
    for (uint32_t i = 0; i < echo->dirty_count; i++)
        tcp_send(echo, echo->dirty[i]);
    ring_show_buffers(&echo->ring);
    for (uint32_t i = 0; i < echo->ended_count; i++)
        tcp_receive(echo, echo->ended[i]);
    if (echo->accept_ended)
        tcp_accept(echo);
    echo->dirty_count = echo->ended_count = 0;
    echo->accept_ended = false;
}

/* Not before min_wait is over, or TCP_COLLECT_MAX completions are there, and then with one at least. */
static int tcp_collect(struct tcp_echo *echo, uint64_t min_wait_ns, struct conf_error *ret_error)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = 1};
    int result =
        io_uring_submit_and_wait_min_timeout(&echo->ring.io, &cqe, TCP_COLLECT_MAX, &limit, (unsigned)(min_wait_ns / 1000), NULL);
    if (result >= 0 || result == -ETIME || result == -EINTR)
        return 0;
    return limit_fail(result, "waiting with --min-wait, which needs Linux 6.12,", ret_error);
}

int limit_tcp_uring(const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    static struct tcp_echo echo; /* large */
    int error = ring_open(&echo.ring, options->buffers ? options->buffers : TCP_BUFFERS, TCP_BUFFER_BYTES, ret_error);
    if (error < 0)
        return error;
    if ((echo.ring.io.features & IORING_FEAT_RECVSEND_BUNDLE) == 0) {
        ring_close(&echo.ring);
        return limit_fail(-EOPNOTSUPP, "receiving bundles, which needs Linux 6.10,", ret_error);
    }
    echo.listener = fd;
    tcp_accept(&echo);
    while (!limit_stopped && error == 0) {
        error = options->min_wait_ns > 0 && !options->spin ? tcp_collect(&echo, options->min_wait_ns, ret_error)
                                                           : ring_turn(&echo.ring, options->spin, ret_error);
        tcp_batch(&echo);
    }
    ring_close(&echo.ring);
    return error;
}
