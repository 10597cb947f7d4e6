/* Streams: requests are gathered per connection and leave in one send; what the kernel does not take waits for epoll. */
#include <errno.h>
#include <string.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

static void tcp_want_room(struct engine *engine, uint32_t index, bool wanted)
{
    struct connection *connection = &engine->connections[index];
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.u32 = index};
    if (connection->writing == wanted)
        return;
    connection->writing = wanted;
    if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        connection_lost(engine, index, -errno);
}

void engine_tcp_flush(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    while (connection->out.length > 0) {
        ssize_t sent = send(connection->fd, connection->out.bytes, connection->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            buffer_consume(&connection->out, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            connection_lost(engine, index, -errno);
            return;
        }
    }
    tcp_want_room(engine, index, connection->out.length > 0);
}

uint32_t engine_tcp_send(struct engine *engine, uint32_t index, const uint64_t *planned_ns, uint32_t count)
{
    struct connection *connection = &engine->connections[index];
    if (buffer_reserve(&connection->out, (size_t)count * engine->request_bytes) < 0) {
        engine->refused = true;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        request_write(engine, index, planned_ns[i], connection->out.bytes + connection->out.length);
        connection->out.length += engine->request_bytes;
        tally_sent(engine->tally, planned_ns[i], engine->now_ns);
    }
    if (!connection->writing)
        engine_tcp_flush(engine, index);
    return count;
}

/* Returns the bytes used, or a negative error: the stream is out of step. */
static ssize_t tcp_take_frames(struct engine *engine, uint32_t index, const uint8_t *bytes, size_t length)
{
    struct frame frame;
    enum refusal refusal;
    size_t used = 0;
    for (;;) {
        int result = frame_decode_stream(bytes + used, length - used, &frame, &refusal);
        if (result == -EAGAIN)
            return (ssize_t)used;
        if (UNLIKELY(result < 0))
            return result;
        reply_take(engine, index, &frame);
        used += frame.length;
    }
}

void engine_tcp_receive(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    size_t length = connection->in.length;
    if (length > ENGINE_SCRATCH_BYTES / 2) { /* no reply to a REQUEST_ADDRESS is that long */
        connection_lost(engine, index, USHER_EPROTOCOL);
        return;
    }
    if (length > 0)
        memcpy(engine->scratch, connection->in.bytes, length);
    connection->in.length = 0;
    ssize_t got = recv(connection->fd, engine->scratch + length, ENGINE_SCRATCH_BYTES - length, MSG_DONTWAIT);
    int error = got < 0 ? -errno : got == 0 ? USHER_ECONNECTION : 0;
    engine->now_ns = clock_monotonic_ns();
    if (got > 0) {
        length += (size_t)got;
        ssize_t used = tcp_take_frames(engine, index, engine->scratch, length);
        error = used < 0 ? (int)used : buffer_append(&connection->in, engine->scratch + used, length - (size_t)used);
    } else if (error == -EAGAIN || error == -EINTR) {
        error = length > 0 ? buffer_append(&connection->in, engine->scratch, length) : 0;
    }
    if (error < 0)
        connection_lost(engine, index, error);
}
