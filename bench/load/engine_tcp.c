/* Streams: requests leave in one send per connection and turn; what the kernel does not take waits for epoll. */
#include <errno.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

static void tcp_want_room(struct engine *engine, uint32_t index, bool wanted)
{
    struct connection *connection = &engine->connections[index];
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.u32 = index};
    if (LIKELY(connection->writing == wanted))
        return;
    connection->writing = wanted;
    if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        connection_lost(engine, index, -errno);
}

/* How many of these bytes the kernel has taken; negative: the connection is lost. */
static ssize_t tcp_write(struct engine *engine, uint32_t index, const uint8_t *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length) {
        ssize_t sent = send(engine->connections[index].fd, bytes + taken, length - taken, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            taken += (size_t)sent;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            int error = -errno;
            connection_lost(engine, index, error);
            return error;
        }
    }
    return (ssize_t)taken;
}

void engine_tcp_flush(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    ssize_t taken = tcp_write(engine, index, connection->out.bytes, connection->out.length);
    if (taken < 0)
        return;
    buffer_consume(&connection->out, (size_t)taken);
    tcp_want_room(engine, index, connection->out.length > 0);
}

/* Behind what waits already, or straight to the kernel. */
static void tcp_pass_on(struct engine *engine, uint32_t index, size_t length)
{
    struct connection *connection = &engine->connections[index];
    ssize_t taken = connection->out.length == 0 ? tcp_write(engine, index, engine->requests, length) : 0;
    if (LIKELY(taken < 0 || (size_t)taken == length))
        return;
    int error = buffer_append(&connection->out, engine->requests + taken, length - (size_t)taken);
    if (error < 0)
        connection_lost(engine, index, error);
    else
        tcp_want_room(engine, index, true);
}

uint32_t engine_tcp_send(struct engine *engine, uint32_t index, const uint64_t *planned_ns, uint32_t count)
{
    for (uint32_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && planned_ns[next] == planned_ns[first];)
            next++;
        requests_open(engine, index, planned_ns[first], first, next - first);
        tally_sent(&engine->tally, planned_ns[first], engine->now_ns, next - first);
    }
    tcp_pass_on(engine, index, (size_t)count * engine->request_bytes);
    return count;
}

bool engine_tcp_receive(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    size_t length = connection->in.length;
    if (length > ENGINE_RECEIVE_BYTES / 2) { /* no reply that is expected is that long */
        connection_lost(engine, index, USHER_EPROTOCOL);
        return true;
    }
    if (UNLIKELY(length > 0))
        memcpy(engine->received, connection->in.bytes, length);
    ssize_t got = recv(connection->fd, engine->received + length, ENGINE_RECEIVE_BYTES - length, MSG_DONTWAIT);
    engine->now_ns = clock_monotonic_ns();
    int error = got < 0 ? -errno : got == 0 ? USHER_ECONNECTION : 0;
    if (UNLIKELY(error == -EAGAIN || error == -EINTR))
        return false;
    if (LIKELY(got > 0)) {
        length += (size_t)got;
        ssize_t used = engine->protocol->take_stream(engine, index, engine->received, length);
        replies_finish(engine, index);
        connection->in.length = 0;
        error = used < 0 ? (int)used : 0;
        if (used >= 0 && (size_t)used < length)
            error = buffer_append(&connection->in, engine->received + used, length - (size_t)used);
    }
    if (UNLIKELY(error < 0))
        connection_lost(engine, index, error);
    return true;
}
