#include "tests/unit/core/io/accepting.h"

#include <errno.h>
#include <sys/socket.h>

#include "tests/unit/core/io/fixture.h"

struct accepting server;

static size_t accepting_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    (void)stream;
    (void)bytes;
    server.shown++;
    return length;
}

static void accepting_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    server.closed++;
    server.error = error;
}

const struct stream_handlers accepting_handlers = {.on_bytes = accepting_on_bytes, .on_closed = accepting_on_closed};

static void accepting_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    (void)listener;
    cr_assert_lt(server.accepted, ACCEPTED_MAX);
    server.stream[server.accepted++] = stream;
    if (!server.without_handlers)
        stream_set_handlers(stream, &accepting_handlers, NULL);
}

struct listener *accepting_listen(struct loop *loop, struct listener_config *config)
{
    struct listener *listener;
    if (config->address.family == ADDRESS_NONE && config->unix_path == NULL)
        config->address = fixture_loopback(0);
    config->on_accept = accepting_on_accept;
    cr_assert_eq(listener_open(loop, config, &listener), 0);
    return listener;
}

int accepting_client(struct loop *loop, const struct listener *listener)
{
    uint32_t accepted = server.accepted;
    int fd = fixture_stream_client(listener_local_address(listener));
    fixture_run_until(loop, &server.accepted, accepted + 1);
    return fd;
}

void expect_end(int fd)
{
    char byte;
    cr_expect_eq(recv(fd, &byte, 1, 0), 0);
}

void expect_open(int fd)
{
    char byte;
    cr_expect_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    cr_expect_eq(errno, EAGAIN);
}
