/* Where connections come from and go to: addresses, binding, unix paths. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/stream.h"
#include "tests/unit/core/io/fixture.h"

static struct {
    struct listener *listener;
    struct stream *client;
    struct stream *server;
    uint32_t opened;
    uint32_t accepted;
    uint32_t echoed;
    uint32_t closed;
    int error;
} pair;

static void pair_on_open(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
    pair.opened++;
}

static size_t pair_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    if (stream == pair.server)
        cr_assert_eq(stream_send(stream, bytes, length), 0);
    else
        pair.echoed += (uint32_t)length;
    return length;
}

static void pair_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    pair.closed++;
    pair.error = error;
}

static const struct stream_handlers pair_handlers = {
    .on_open = pair_on_open,
    .on_bytes = pair_on_bytes,
    .on_closed = pair_on_closed,
};

static void pair_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    (void)listener;
    pair.server = stream;
    pair.accepted++;
    stream_set_handlers(stream, &pair_handlers, NULL);
}

/* unix_path NULL: TCP on the loopback. */
static void pair_open(struct loop *loop, const char *unix_path, const char *bind)
{
    struct listener_config listener_config;
    struct stream_config stream_config;
    listener_config_init(&listener_config);
    stream_config_init(&stream_config);
    listener_config.address = fixture_loopback(0);
    listener_config.unix_path = unix_path;
    listener_config.unix_mode = 0600;
    listener_config.on_accept = pair_on_accept;
    cr_assert_eq(listener_open(loop, &listener_config, &pair.listener), 0);
    stream_config.address = *listener_local_address(pair.listener);
    stream_config.unix_path = unix_path;
    stream_config.handlers = &pair_handlers;
    if (bind != NULL)
        cr_assert_eq(address_parse(bind, &stream_config.bind), 0);
    cr_assert_eq(stream_connect(loop, &stream_config, &pair.client), 0);
    cr_assert_eq(stream_send(pair.client, "before open", 11), 0);
    fixture_run_until(loop, &pair.opened, 1);
    fixture_run_until(loop, &pair.accepted, 1);
}

static const char *own_path(void)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/usher-io-%d.sock", (int)getpid());
    return path;
}

TEST_BOTH(stream_address, missing_unix_path_ends_in_on_closed)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_config config;
    stream_config_init(&config);
    config.unix_path = "/nonexistent/usher.sock";
    config.handlers = &pair_handlers;
    cr_assert_eq(stream_connect(loop, &config, &pair.client), 0);
    fixture_run_until(loop, &pair.closed, 1);
    cr_expect_eq(pair.error, -ENOENT);
    loop_free(loop);
}

TEST_BOTH(stream_address, too_long_unix_path_is_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_config config;
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    stream_config_init(&config);
    config.unix_path = path;
    cr_expect_eq(stream_connect(loop, &config, &pair.client), -ENAMETOOLONG);
    loop_free(loop);
}

TEST_BOTH(stream_address, no_address_is_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_config config;
    stream_config_init(&config);
    cr_expect_eq(stream_connect(loop, &config, &pair.client), -EAFNOSUPPORT);
    loop_free(loop);
}

TEST_BOTH(stream_address, foreign_bind_address_is_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_config config;
    stream_config_init(&config);
    config.address = fixture_loopback(9);
    cr_assert_eq(address_parse("192.0.2.1:0", &config.bind), 0);
    cr_expect_eq(stream_connect(loop, &config, &pair.client), -EADDRNOTAVAIL);
    loop_free(loop);
}

TEST_BOTH(stream_address, both_ends_name_the_other)
{
    struct loop *loop = fixture_loop(kind);
    uid_t uid;
    pair_open(loop, NULL, NULL);
    char text[ADDRESS_TEXT_BYTES];
    cr_expect(address_equal(stream_peer(pair.client), listener_local_address(pair.listener)));
    cr_expect_eq(strncmp(address_format(stream_peer(pair.server), text), "127.0.0.1:", 10), 0);
    cr_expect_eq(stream_peer_uid(pair.server, &uid), -EOPNOTSUPP);
    loop_free(loop);
}

TEST_BOTH(stream_address, bind_chooses_where_it_comes_from)
{
    struct loop *loop = fixture_loop(kind);
    char text[ADDRESS_TEXT_BYTES];
    pair_open(loop, NULL, "127.0.0.9:0");
    cr_expect_eq(strncmp(address_format(stream_peer(pair.server), text), "127.0.0.9:", 10), 0);
    loop_free(loop);
}

TEST_BOTH(stream_address, unix_socket_echoes_and_names_its_user)
{
    struct loop *loop = fixture_loop(kind);
    struct stat status;
    uid_t uid;
    pair_open(loop, own_path(), NULL);
    cr_expect_eq(stat(own_path(), &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
    fixture_run_until(loop, &pair.echoed, 11);
    cr_expect_eq(stream_peer_uid(pair.server, &uid), 0);
    cr_expect_eq(uid, getuid());
    cr_expect_eq(stream_peer(pair.server)->family, ADDRESS_NONE);
    listener_close(pair.listener);
    cr_expect_neq(stat(own_path(), &status), 0, "unlinked");
    loop_free(loop);
}
