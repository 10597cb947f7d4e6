/* Opening the connections, all of them before the first request. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define CONNECT_LIMIT_NS (5 * NS_PER_S)
#define CONNECT_DESCRIPTORS_BESIDE 32 /* standard streams, epoll, /proc, and what libraries have */
#define CONNECT_BUFFER_BYTES (1 << 20)
#define CONNECT_BIG_BUFFERS_MAX 64 /* with more connections each has little to hold */

static int connect_raise_limit(uint32_t connections, struct conf_error *ret_error)
{
    struct rlimit limit;
    rlim_t wanted = connections + CONNECT_DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return 0;
    if (limit.rlim_max < wanted) {
        conf_error_set(ret_error,
                       "--connections %u needs %llu descriptors and this shell may have %llu: raise it with ulimit -Hn",
                       connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
        return -EMFILE;
    }
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int connect_failed(const struct engine *engine, uint32_t index, int error, struct conf_error *ret_error)
{
    char text[ADDRESS_TEXT_BYTES];
    const char *advice = "";
    if (error == -ECONNREFUSED || error == -ETIMEDOUT)
        advice = ": is a dispatcher running there?";
    else if (error == -EADDRNOTAVAIL || error == -EAGAIN || error == -EMFILE || error == -ENFILE)
        advice = ": give fewer --connections";
    conf_error_set(ret_error, "connection %u to %s failed (%s)%s", index + 1, address_format(&engine->config->dispatcher, text),
                   error_text(error), advice);
    return error;
}

/* -EINPROGRESS is for the caller's epoll to end. */
static int connect_open(struct engine *engine, uint32_t index)
{
    const struct engine_config *config = engine->config;
    struct connection *connection = &engine->connections[index];
    struct epoll_event event = {.events = config->tcp ? EPOLLOUT : EPOLLIN, .data.u32 = index};
    connection->writing = config->tcp;
    struct sockaddr_storage name;
    socklen_t length = address_to_socket(&config->dispatcher, &name);
    int one = 1, bytes = CONNECT_BUFFER_BYTES;
    connection->fd = socket(name.ss_family, (config->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->fd < 0)
        return -errno;
    /* These two save time; without them it works as well. */
    if (config->tcp)
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    else if (config->connections <= CONNECT_BIG_BUFFERS_MAX)
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
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
            return connect_failed(engine, engine->config->connections - opening, -ETIMEDOUT, ret_error);
    }
    return 0;
}

int engine_connect(struct engine *engine, struct conf_error *ret_error)
{
    uint32_t count = engine->config->connections;
    int error = connect_raise_limit(count, ret_error);
    if (error < 0)
        return error;
    engine->connections = calloc(count, sizeof(*engine->connections));
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!engine->connections || engine->epoll_fd < 0)
        return connect_failed(engine, 0, engine->connections ? -errno : -ENOMEM, ret_error);
    for (uint32_t i = 0; i < count; i++)
        engine->connections[i].fd = -1;
    for (uint32_t i = 0; i < count; i++) {
        error = connect_open(engine, i);
        if (error < 0)
            return connect_failed(engine, i, error, ret_error);
        engine->connections_alive++;
    }
    return engine->config->tcp ? connect_wait(engine, count, ret_error) : 0;
}

void engine_disconnect(struct engine *engine)
{
    for (uint32_t i = 0; engine->connections && i < engine->config->connections; i++) {
        if (engine->connections[i].fd >= 0)
            close(engine->connections[i].fd);
        buffer_done(&engine->connections[i].out);
        buffer_done(&engine->connections[i].in);
    }
    free(engine->connections);
    if (engine->epoll_fd >= 0)
        close(engine->epoll_fd);
}
