#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/io/socket.h"
#include "core/io/uring.h"

/* An operation's length has 32 bits, and its result 31. */
#define URING_SEND_BYTES_MAX ((size_t)1 << 30)

int uring_stream_connect(struct loop *loop, struct stream *stream, const struct stream_config *config)
{
    stream->connect_name = calloc(1, sizeof(*stream->connect_name));
    if (stream->connect_name == NULL)
        return -ENOMEM;
    int error = socket_open_stream(config, false, &stream->handle.fd, stream->connect_name, &stream->connect_name_bytes);
    if (error < 0)
        return error; /* stream_connect frees the name with the stream */
    uring_queue(loop, &stream->handle, OPERATION_CONNECT);
    return 0;
}

int uring_stream_attach(struct loop *loop, struct stream *stream)
{
    (void)loop;
    socket_prepare_stream(stream, false);
    return 0;
}

void uring_stream_receive(struct loop *loop, struct stream *stream, bool wanted)
{
    uint32_t operations = stream->handle.operations;
    if (stream->handle.ending)
        return;
    if (wanted && (operations & OPERATION_RECEIVE) == 0)
        uring_queue(loop, &stream->handle, OPERATION_RECEIVE);
    /* One that is just being cancelled is begun anew when it has ended. */
    if (!wanted && (operations & OPERATION_RECEIVE) != 0 && (operations & OPERATION_PAUSE) == 0)
        uring_queue(loop, &stream->handle, OPERATION_PAUSE);
}

void uring_stream_send(struct loop *loop, struct stream *stream)
{
    uring_queue(loop, &stream->handle, OPERATION_SEND);
}

void uring_stream_shut(struct loop *loop, struct stream *stream)
{
    (void)loop;
    (void)shutdown(stream->handle.fd, SHUT_WR);
}

void uring_stream_leave(struct loop *loop, struct stream *stream)
{
    (void)loop;
    (void)stream; /* nothing is in flight, and nothing else ties it to the ring */
}

void uring_stream_prepare(struct stream *stream, enum handle_operation operation, struct io_uring_sqe *sqe)
{
    int fd = stream->handle.fd;
    size_t length;
    switch (operation) {
    case OPERATION_RECEIVE:
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = URING_STREAM_GROUP;
        return;
    case OPERATION_SEND:
        /* Only one is in flight per stream: two could be reordered (liburing#1001). WAITALL: the kernel goes on by itself after
         * a short send. */
        length = stream->sending.length - stream->sent;
        if (length > URING_SEND_BYTES_MAX)
            length = URING_SEND_BYTES_MAX;
        io_uring_prep_send(sqe, fd, stream->sending.bytes + stream->sent, length, MSG_WAITALL | MSG_NOSIGNAL);
        return;
    case OPERATION_CONNECT:
        io_uring_prep_connect(sqe, fd, (const struct sockaddr *)stream->connect_name, stream->connect_name_bytes);
        return;
    default:
        /* Not by descriptor, which would hit the send as well. If it misses, it is repeated when it completes. */
        io_uring_prep_cancel64(sqe, uring_user_data(&stream->handle, OPERATION_RECEIVE), 0);
    }
}

static void uring_stream_received(struct loop *loop, struct stream *stream, int result, uint32_t flags)
{
    struct uring_state *state = loop->backend_state;
    bool more = (flags & IORING_CQE_F_MORE) != 0;
    if (!more)
        handle_operation_end(&stream->handle, OPERATION_RECEIVE);
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t index = flags >> IORING_CQE_BUFFER_SHIFT;
        uint32_t length = result > 0 ? (uint32_t)result : 0;
        uint8_t *bytes = uring_buffers_take(&state->stream_buffers, index, length);
        if (length > 0)
            stream_event_received(stream, bytes, length);
        uring_buffers_give(&state->stream_buffers, index);
    }
    if (more || stream->handle.ending)
        return;
    if (result == -ENOBUFS)
        LOOP_COUNT(loop, receive_buffers_exhausted, 1);
    if (result > 0 || result == -ENOBUFS || result == -ECANCELED || result == -EINTR || result == -EAGAIN) {
        /* Submitted after the batch has ended, when its buffers are back in the ring. */
        if (stream->receiving && (stream->handle.operations & OPERATION_RECEIVE) == 0)
            uring_queue(loop, &stream->handle, OPERATION_RECEIVE);
        return;
    }
    stream_event_end(stream, result);
}

static void uring_stream_sent(struct loop *loop, struct stream *stream, int result)
{
    handle_operation_end(&stream->handle, OPERATION_SEND);
    if (result > 0)
        stream->sent += (size_t)result;
    bool again = result >= 0 || result == -EINTR || result == -EAGAIN;
    if (!again)
        stream_event_sent(stream, result);
    else if (stream->sent == stream->sending.length)
        stream_event_sent(stream, 0);
    else if (!stream->handle.ending)
        uring_queue(loop, &stream->handle, OPERATION_SEND);
}

static void uring_stream_connected(struct stream *stream, int result)
{
    handle_operation_end(&stream->handle, OPERATION_CONNECT);
    free(stream->connect_name);
    stream->connect_name = NULL;
    if (stream->handle.ending)
        return;
    if (result == 0)
        socket_prepare_stream(stream, false);
    stream_event_connected(stream, result);
}

void uring_stream_complete(struct loop *loop, struct stream *stream, uint32_t operation, int result, uint32_t flags)
{
    switch (operation) {
    case OPERATION_RECEIVE: uring_stream_received(loop, stream, result, flags); return;
    case OPERATION_SEND: uring_stream_sent(loop, stream, result); return;
    case OPERATION_CONNECT: uring_stream_connected(stream, result); return;
    default:
        handle_operation_end(&stream->handle, OPERATION_PAUSE);
        if (!stream->receiving)
            uring_stream_receive(loop, stream, false); /* once more, if it missed */
    }
}
