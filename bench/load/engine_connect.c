/* Opening the connections, all of them before the first request. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define CONNECT_LIMIT_NS (5 * NS_PER_S)
#define CONNECT_BUFFER_BYTES (4 << 20)
#define CONNECT_CONGESTION "reno"
#define CONNECT_BIG_BUFFERS_MAX 64 /* with more connections each has little to hold */

/* Its number among the connections of all threads, from 0. */
static uint64_t connect_number(const struct engine *engine, uint32_t index)
{
    return (uint64_t)index * engine->config->threads + engine->thread_index;
}

static const struct address *connect_server(const struct engine *engine, uint32_t index)
{
    return &engine->config->servers[connect_number(engine, index) % engine->config->server_count];
}

/* Every server is asked from every source. */
static int connect_bind(const struct engine *engine, uint32_t index, int fd)
{
    const struct engine_config *config = engine->config;
    uint32_t turn = (uint32_t)(connect_number(engine, index) / config->server_count);
    return source_bind(&config->sources, fd, connect_server(engine, index)->family, config->stream, turn);
}

static int connect_failed(const struct engine *engine, uint32_t index, int error, struct conf_error *ret_error)
{
    return source_failed(index + 1, connect_server(engine, index), error, ret_error);
}

/* Big buffers save time; without them it works as well. Beyond the system's limit only for those who may. */
static void connect_enlarge_buffers(int fd)
{
    int bytes = CONNECT_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int connect_set_options(const struct engine *engine, int fd)
{
    const struct engine_config *config = engine->config;
    int one = 1, segment = (int)(engine->request_bytes * config->pack);
    if (config->stream) {
        /* Reno, which every kernel has, costs least per segment and does not pace (BBR was 1.06 to 1.19 times as dear). */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, CONNECT_CONGESTION, sizeof(CONNECT_CONGESTION) - 1);
        return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ? -errno : 0;
    }
    if (config->connections <= CONNECT_BIG_BUFFERS_MAX)
        connect_enlarge_buffers(fd);
    if (config->gso && (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0 ||
                        setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0))
        return -errno;
    return 0;
}

/* -EINPROGRESS is for the caller's epoll to end. */
static int connect_open(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    bool stream = engine->config->stream;
    struct epoll_event event = {.events = stream ? EPOLLOUT : EPOLLIN, .data.u32 = index};
    connection->writing = stream;
    struct sockaddr_storage name;
    socklen_t length = address_to_socket(connect_server(engine, index), &name);
    connection->fd = socket(name.ss_family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->fd < 0)
        return -errno;
    int error = connect_set_options(engine, connection->fd);
    if (error == 0)
        error = connect_bind(engine, index, connection->fd);
    if (error < 0)
        return error;
    if (connect(connection->fd, (const struct sockaddr *)&name, length) < 0 && errno != EINPROGRESS)
        return -errno;
    return epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0 ? -errno : 0;
}

/* A connection attempt has ended. */
static int connect_end(struct engine *engine, uint32_t index)
{
    int error = 0, fd = engine->connections[index].fd;
    engine->connections[index].writing = false;
    socklen_t length = sizeof(error);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error == 0 && epoll_ctl(engine->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
        error = errno;
    return -error;
}

static int connect_wait(struct engine *engine, uint32_t opening, struct conf_error *ret_error)
{
    struct epoll_event events[ENGINE_EVENTS];
    uint64_t limit_ns = clock_monotonic_ns() + CONNECT_LIMIT_NS;
    while (opening > 0 && *engine->interrupts == 0) {
        int count = epoll_wait(engine->epoll_fd, events, ENGINE_EVENTS, 100);
        for (int i = 0; i < count; i++) {
            if (!engine->connections[events[i].data.u32].writing)
                continue; /* it is open already, and has something to say */
            int error = connect_end(engine, events[i].data.u32);
            if (error < 0)
                return connect_failed(engine, events[i].data.u32, error, ret_error);
            opening--;
        }
        if (opening > 0 && clock_monotonic_ns() > limit_ns)
            return connect_failed(engine, engine->connection_count - opening, -ETIMEDOUT, ret_error);
    }
    return 0;
}

int engine_connect(struct engine *engine, struct conf_error *ret_error)
{
    uint32_t count = engine->connection_count;
    int error = source_allow_descriptors(engine->config->connections, ret_error);
    if (error < 0)
        return error;
    engine->connections = calloc(count, sizeof(*engine->connections));
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!engine->connections || engine->epoll_fd < 0)
        return connect_failed(engine, 0, engine->connections ? -errno : -ENOMEM, ret_error);
    for (uint32_t i = 0; i < count; i++)
        engine->connections[i] = (struct connection){.fd = -1, .first = ENGINE_NO_SLOT};
    for (uint32_t i = 0; i < count; i++) {
        error = connect_open(engine, i);
        if (error < 0)
            return connect_failed(engine, i, error, ret_error);
        engine->connections_alive++;
    }
    return engine->config->stream ? connect_wait(engine, count, ret_error) : 0;
}

void engine_disconnect(struct engine *engine)
{
    for (uint32_t i = 0; engine->connections && i < engine->connection_count; i++) {
        if (engine->connections[i].fd >= 0)
            close(engine->connections[i].fd);
        buffer_done(&engine->connections[i].out);
        buffer_done(&engine->connections[i].in);
    }
    free(engine->connections);
    if (engine->epoll_fd >= 0)
        close(engine->epoll_fd);
}
