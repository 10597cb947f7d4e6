#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/epoll.h"
#include "core/io/socket.h"

/* What the operations in progress wait for. */
static void epoll_stream_update(struct stream *stream)
{
    uint32_t operations = stream->handle.operations;
    uint32_t events = (operations & OPERATION_RECEIVE) != 0 ? (uint32_t)EPOLLIN : 0;
    if ((operations & (OPERATION_SEND | OPERATION_CONNECT)) != 0)
        events |= (uint32_t)EPOLLOUT;
    int error = epoll_want(&stream->handle, events);
    if (error < 0)
        stream_fail(stream, error);
}

int epoll_stream_connect(struct loop *loop, struct stream *stream, const struct stream_config *config)
{
    (void)loop;
    struct sockaddr_storage name;
    socklen_t name_bytes;
    int fd;
    int error = socket_open_stream(config, true, &fd, &name, &name_bytes);
    if (error < 0)
        return error;
    stream->handle.fd = fd;
    if (connect(fd, (const struct sockaddr *)&name, name_bytes) < 0 && errno != EINPROGRESS) {
        /* Reported like a later failure. */
        stream_fail(stream, -errno);
        return 0;
    }
    /* One that is through at once is writable, so that on_open comes from the next batch. */
    handle_operation_begin(&stream->handle, OPERATION_CONNECT);
    epoll_stream_update(stream);
    return 0;
}

int epoll_stream_attach(struct loop *loop, struct stream *stream)
{
    (void)loop;
    socket_prepare_stream(stream, true);
    return 0;
}

void epoll_stream_receive(struct loop *loop, struct stream *stream, bool wanted)
{
    (void)loop;
    if (wanted)
        stream->handle.operations |= OPERATION_RECEIVE;
    else
        stream->handle.operations &= ~(uint32_t)OPERATION_RECEIVE;
    if (!stream->handle.ending)
        epoll_stream_update(stream);
}

void epoll_stream_send(struct loop *loop, struct stream *stream)
{
    while (stream->sent < stream->sending.length) {
        LOOP_COUNT(loop, enters, 1);
        ssize_t sent =
            send(stream->handle.fd, stream->sending.bytes + stream->sent, stream->sending.length - stream->sent, MSG_NOSIGNAL);
        if (sent >= 0) {
            stream->sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            stream->handle.operations |= OPERATION_SEND;
            epoll_stream_update(stream);
            return;
        } else if (errno != EINTR) {
            int error = -errno;
            stream->handle.operations &= ~(uint32_t)OPERATION_SEND;
            stream_event_sent(stream, error);
            return;
        }
    }
    if ((stream->handle.operations & OPERATION_SEND) != 0) {
        stream->handle.operations &= ~(uint32_t)OPERATION_SEND;
        epoll_stream_update(stream);
    }
    stream_event_sent(stream, 0);
}

void epoll_stream_shut(struct loop *loop, struct stream *stream)
{
    (void)loop;
    (void)shutdown(stream->handle.fd, SHUT_WR);
}

void epoll_stream_leave(struct loop *loop, struct stream *stream)
{
    (void)loop;
    (void)stream; /* cancelling took it out of the set */
}

static void epoll_stream_connected(struct stream *stream)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(stream->handle.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
        error = errno;
    stream->handle.operations &= ~(uint32_t)OPERATION_CONNECT;
    if (error == 0)
        socket_prepare_stream(stream, true);
    stream_event_connected(stream, -error);
    if (!stream->handle.ending)
        epoll_stream_update(stream);
}

static void epoll_stream_read(struct loop *loop, struct stream *stream)
{
    struct epoll_state *state = loop->backend_state;
    LOOP_COUNT(loop, enters, 1);
    uint8_t *bytes = state->scratch + STREAM_HEADROOM_BYTES;
    ssize_t received = recv(stream->handle.fd, bytes, EPOLL_SCRATCH_BYTES, 0);
    if (received > 0) {
        stream_event_received(stream, bytes, (size_t)received);
        return;
    }
    int error = received < 0 ? -errno : 0;
    if (error == -EAGAIN || error == -EINTR)
        return;
    stream->handle.operations &= ~(uint32_t)OPERATION_RECEIVE;
    epoll_stream_update(stream);
    stream_event_end(stream, error);
}

void epoll_stream_dispatch(struct loop *loop, struct stream *stream, uint32_t events)
{
    uint32_t failed = events & (uint32_t)(EPOLLERR | EPOLLHUP);
    if ((stream->handle.operations & OPERATION_CONNECT) != 0) {
        if ((events & (uint32_t)EPOLLOUT) != 0 || failed != 0)
            epoll_stream_connected(stream);
        return;
    }
    /* Whatever failed shows in the result of the call. A handler may end the stream between the two. */
    if ((stream->handle.operations & OPERATION_SEND) != 0 && ((events & (uint32_t)EPOLLOUT) != 0 || failed != 0))
        epoll_stream_send(loop, stream);
    if ((stream->handle.operations & OPERATION_RECEIVE) != 0 && ((events & (uint32_t)EPOLLIN) != 0 || failed != 0))
        epoll_stream_read(loop, stream);
}
