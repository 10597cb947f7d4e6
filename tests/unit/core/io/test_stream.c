#include "core/io/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/random.h"
#include "core/io/backend.h"
#include "tests/unit/core/io/fixture.h"

/* One side of a connection, recording what happened to it. */
struct side {
    struct stream *stream;
    uint32_t opened;
    uint32_t accepted;
    uint32_t closed;
    uint32_t drained;
    uint32_t shown;
    int error;
    uint32_t received; /* bytes taken */
    uint32_t take_unit; /* takes only multiples of this; 0: all */
    bool echo;
    bool abort_on_bytes;
    bool close_on_bytes;
    bool pause_on_bytes;
    uint8_t *record; /* NULL, or room for everything taken */
};

static size_t side_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct side *side = ctx;
    size_t taken = side->take_unit > 0 ? length - length % side->take_unit : length;
    side->shown++;
    if (side->echo) {
        for (size_t done = 0; done < taken; done += 1000) {
            size_t part = taken - done < 1000 ? taken - done : 1000;
            int error = stream_send(stream, bytes + done, part);
            if (error < 0) {
                cr_assert_eq(error, -ENOBUFS);
                taken = done;
                break;
            }
        }
    }
    if (side->record != NULL)
        memcpy(side->record + side->received, bytes, taken);
    side->received += (uint32_t)taken;
    if (side->pause_on_bytes)
        stream_pause(stream);
    if (side->close_on_bytes)
        stream_close(stream);
    if (side->abort_on_bytes)
        stream_abort(stream);
    return taken;
}

static void side_on_open(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    cr_assert_eq(stream, side->stream);
    side->opened++;
}

static void side_on_drained(void *ctx, struct stream *stream)
{
    struct side *side = ctx;
    (void)stream;
    side->drained++;
}

static void side_on_closed(void *ctx, struct stream *stream, int error)
{
    struct side *side = ctx;
    cr_assert_eq(stream, side->stream);
    side->closed++;
    side->error = error;
    side->stream = NULL;
}

static const struct stream_handlers side_handlers = {
    .on_open = side_on_open,
    .on_bytes = side_on_bytes,
    .on_drained = side_on_drained,
    .on_closed = side_on_closed,
};

static struct side server;
static struct side client;

static void server_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct side *side = ctx;
    (void)listener;
    side->stream = stream;
    side->accepted++;
    stream_set_handlers(stream, &side_handlers, side);
}

static struct listener *server_listen(struct loop *loop, struct listener_config *config)
{
    struct listener *listener;
    if (config->unix_path == NULL && config->address.family == ADDRESS_NONE)
        config->address = fixture_loopback(0);
    config->on_accept = server_on_accept;
    config->ctx = &server;
    cr_assert_eq(listener_open(loop, config, &listener), 0);
    return listener;
}

static void client_connect(struct loop *loop, struct stream_config *config, struct side *side)
{
    config->handlers = &side_handlers;
    config->ctx = side;
    cr_assert_eq(stream_connect(loop, config, &side->stream), 0);
}

/* A listener, a connection to it, both ends in this loop and open. */
static struct listener *pair_open(struct loop *loop, const struct stream_limits *limits)
{
    struct listener_config listener_config;
    struct stream_config stream_config;
    listener_config_init(&listener_config);
    stream_config_init(&stream_config);
    if (limits != NULL) {
        listener_config.limits = *limits;
        stream_config.limits = *limits;
        stream_config.limits.receives_always = true;
    }
    struct listener *listener = server_listen(loop, &listener_config);
    stream_config.address = *listener_local_address(listener);
    client_connect(loop, &stream_config, &client);
    fixture_run_until(loop, &server.accepted, 1);
    fixture_run_until(loop, &client.opened, 1);
    return listener;
}

TEST_BOTH(stream, refused_connect_ends_in_on_closed)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = server_listen(loop, &config);
    struct stream_config stream_config;
    stream_config_init(&stream_config);
    stream_config.address = *listener_local_address(listener);
    listener_close(listener);
    fixture_run_for(loop, 20);
    client_connect(loop, &stream_config, &client);
    cr_expect_eq(client.closed, 0, "never from inside a call");
    fixture_run_until(loop, &client.closed, 1);
    cr_expect_eq(client.error, -ECONNREFUSED);
    cr_expect_eq(client.opened, 0);
    loop_free(loop);
}

TEST_BOTH(stream, bytes_come_back_whatever_the_chunks)
{
    enum { TOTAL = 3000000 };
    struct loop *loop = fixture_loop(kind);
    struct random_state random;
    random_init(&random, 7);
    uint8_t *sent = malloc(TOTAL);
    client.record = malloc(TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)random_next(&random);
    server.echo = true;
    server.take_unit = 7;
    pair_open(loop, NULL);
    uint32_t offset = 0;
    while (client.received < TOTAL - TOTAL % 7) {
        uint32_t chunk = 1 + random_below(&random, 40000);
        if (chunk > TOTAL - offset)
            chunk = TOTAL - offset;
        if (chunk > 0 && stream_send(client.stream, sent + offset, chunk) == 0)
            offset += chunk;
        cr_assert_eq(loop_run_once(loop, offset < TOTAL ? 0 : NS_PER_S), 0);
    }
    cr_expect_arr_eq(client.record, sent, client.received);
    cr_expect_eq(loop_stats(loop)->accepts, 1);
    loop_free(loop);
    free(sent);
    free(client.record);
}

TEST_BOTH(stream, carry_is_shown_again_with_more_behind_it)
{
    struct loop *loop = fixture_loop(kind);
    uint8_t record[16];
    server.take_unit = 4;
    server.record = record;
    pair_open(loop, NULL);
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t shown = server.shown;
        cr_assert_eq(stream_send(client.stream, &"abcdefghijkl"[i], 1), 0);
        fixture_run_until(loop, &server.shown, shown + 1);
        cr_expect_eq(server.received, (i + 1) / 4 * 4);
    }
    cr_expect_arr_eq(record, "abcdefghijkl", 12);
    loop_free(loop);
}

TEST_BOTH(stream, carry_above_its_limit_closes)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_limits limits;
    stream_limits_init(&limits);
    limits.carry_bytes_max = 1000;
    server.take_unit = 100000;
    pair_open(loop, &limits);
    uint8_t bytes[1001] = {0};
    cr_assert_eq(stream_send(client.stream, bytes, 1000), 0);
    fixture_run_until(loop, &server.shown, 1);
    fixture_run_for(loop, 5);
    cr_expect_eq(server.closed, 0);
    cr_assert_eq(stream_send(client.stream, bytes, 1), 0);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, USHER_ETOOLARGE);
    fixture_run_until(loop, &client.closed, 1);
    loop_free(loop);
}

/* The server reads nothing: the client may queue up to its high watermark, then is refused, and nothing grows. */
TEST_BOTH(stream, slow_reader_is_refused_above_high_and_drains)
{
    struct loop *loop = fixture_loop(kind);
    static uint8_t bytes[65536];
    pair_open(loop, NULL);
    stream_pause(server.stream);
    uint32_t accepted = 0;
    int error = 0;
    for (int idle = 0; idle < 20;) {
        error = stream_send(client.stream, bytes, sizeof(bytes));
        if (error == 0)
            accepted += (uint32_t)sizeof(bytes);
        idle = error == 0 ? 0 : idle + 1;
        fixture_run_for(loop, 1);
    }
    cr_expect_eq(error, -ENOBUFS);
    cr_expect_lt(stream_pending_bytes(client.stream), (256u << 10) + sizeof(bytes));
    cr_expect_eq(client.drained, 0);
    stream_resume(server.stream);
    fixture_run_until(loop, &server.received, accepted);
    fixture_run_until(loop, &client.drained, 1);
    cr_expect_eq(stream_send(client.stream, bytes, 1), 0);
    loop_free(loop);
}

/* A peer that sends requests but reads no answers: what it is owed stays below the watermark, the rest stays in its own kernel. */
TEST_BOTH(stream, peer_that_does_not_read_is_not_read_from)
{
    struct loop *loop = fixture_loop(kind);
    struct stream_limits limits;
    stream_limits_init(&limits);
    limits.high_bytes = 20000;
    limits.low_bytes = 10000;
    server.echo = true;
    pair_open(loop, &limits);
    stream_pause(client.stream);
    static uint8_t bytes[10000];
    uint32_t accepted = 0;
    for (int idle = 0; idle < 20;) {
        int error = stream_send(client.stream, bytes, sizeof(bytes));
        if (error == 0)
            accepted += (uint32_t)sizeof(bytes);
        idle = error == 0 ? 0 : idle + 1;
        fixture_run_for(loop, 1);
    }
    cr_expect_leq(stream_pending_bytes(server.stream), 21000);
    cr_expect_lt(server.received, accepted);
    stream_resume(client.stream);
    fixture_run_until(loop, &client.received, accepted);
    loop_free(loop);
}

TEST_BOTH(stream, paused_stream_keeps_what_came)
{
    struct loop *loop = fixture_loop(kind);
    server.pause_on_bytes = true;
    server.take_unit = 3;
    pair_open(loop, NULL);
    cr_assert_eq(stream_send(client.stream, "abcd", 4), 0);
    fixture_run_until(loop, &server.received, 3);
    cr_assert_eq(stream_send(client.stream, "efgh", 4), 0);
    fixture_run_for(loop, 20);
    cr_expect_eq(server.received, 3);
    server.pause_on_bytes = false;
    stream_resume(server.stream);
    fixture_run_until(loop, &server.received, 6);
    loop_free(loop);
}

TEST_BOTH(stream, room_is_refused_after_close)
{
    struct loop *loop = fixture_loop(kind);
    uint8_t *room;
    size_t room_bytes;
    pair_open(loop, NULL);
    stream_close(client.stream);
    cr_expect_eq(stream_send_begin(client.stream, 1, &room, &room_bytes), -EPIPE);
    loop_free(loop);
}

TEST_BOTH(stream, what_is_written_into_the_room_is_sent_behind_what_waits)
{
    struct loop *loop = fixture_loop(kind);
    uint8_t record[16];
    uint8_t *room;
    size_t room_bytes;
    server.record = record;
    pair_open(loop, NULL);
    cr_assert_eq(stream_send(client.stream, "abc", 3), 0);
    cr_assert_eq(stream_send_begin(client.stream, 1000, &room, &room_bytes), 0);
    cr_expect_geq(room_bytes, 1000);
    memcpy(room, "defg", 4);
    stream_send_commit(client.stream, 4);
    cr_expect_eq(stream_pending_bytes(client.stream), 7);
    fixture_run_until(loop, &server.received, 7);
    cr_expect_arr_eq(record, "abcdefg", 7);
    loop_free(loop);
}

/* Thousands of connections may be idle. */
TEST_BOTH(stream, quiet_stream_holds_no_buffer_to_send_from)
{
    struct loop *loop = fixture_loop(kind);
    uint8_t *room;
    size_t room_bytes;
    pair_open(loop, NULL);
    cr_assert_eq(stream_send(client.stream, "abc", 3), 0);
    fixture_run_until(loop, &server.received, 3);
    fixture_run_for(loop, 2);
    cr_assert_eq(stream_send_begin(client.stream, 1000, &room, &room_bytes), 0);
    stream_send_commit(client.stream, 0);
    cr_expect_eq(client.stream->filling.capacity, 0);
    cr_expect_eq(client.stream->sending.capacity, 0);
    loop_free(loop);
}

TEST_BOTH(stream, close_sends_what_waits)
{
    enum { TOTAL = 250000 };
    struct loop *loop = fixture_loop(kind);
    static uint8_t bytes[TOTAL];
    pair_open(loop, NULL);
    cr_assert_eq(stream_send(client.stream, bytes, TOTAL), 0);
    stream_close(client.stream);
    cr_expect_eq(stream_send(client.stream, bytes, 1), -EPIPE);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.received, TOTAL);
    cr_expect_eq(server.error, 0);
    fixture_run_until(loop, &client.closed, 1);
    cr_expect_eq(client.error, 0);
    loop_free(loop);
}

/* Unread input must not turn our close into a reset that destroys the last answer. */
TEST_BOTH(stream, close_with_unread_input_delivers_the_answer)
{
    struct loop *loop = fixture_loop(kind);
    static char bytes[100000];
    server.close_on_bytes = true;
    server.echo = true;
    server.take_unit = 5;
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = server_listen(loop, &config);
    int fd = fixture_stream_client(listener_local_address(listener));
    cr_assert_eq(send(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    fixture_run_until(loop, &server.received, 5);
    fixture_run_for(loop, 20);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    fixture_run_until(loop, &server.closed, 1);
    ssize_t got = 0;
    for (ssize_t part; (part = recv(fd, bytes, sizeof(bytes), 0)) != 0; got += part)
        cr_assert_gt(part, 0, "no reset");
    cr_expect_eq((uint32_t)got, server.received);
    loop_free(loop);
}

TEST_BOTH(stream, close_is_bounded_when_the_peer_does_not_read)
{
    struct loop *loop = fixture_loop(kind);
    static uint8_t bytes[65536];
    struct stream_limits limits;
    stream_limits_init(&limits);
    limits.close_ms = 30;
    limits.high_bytes = 16u << 20;
    pair_open(loop, &limits);
    stream_pause(server.stream);
    for (int i = 0; i < 250; i++)
        cr_assert_eq(stream_send(client.stream, bytes, sizeof(bytes)), 0);
    stream_close(client.stream);
    fixture_run_until(loop, &client.closed, 1);
    loop_free(loop);
}

TEST_BOTH(stream, abort_from_inside_on_bytes)
{
    struct loop *loop = fixture_loop(kind);
    server.abort_on_bytes = true;
    pair_open(loop, NULL);
    cr_assert_eq(stream_send(client.stream, "x", 1), 0);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, 0);
    cr_expect_eq(server.shown, 1);
    fixture_run_until(loop, &client.closed, 1);
    loop_free(loop);
}

TEST_BOTH(stream, answer_still_reaches_a_peer_that_half_closed)
{
    struct loop *loop = fixture_loop(kind);
    server.echo = true;
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = server_listen(loop, &config);
    int fd = fixture_stream_client(listener_local_address(listener));
    cr_assert_eq(send(fd, "ping", 4, 0), 4);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, 0);
    char bytes[8];
    cr_expect_eq(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), 4);
    loop_free(loop);
}

TEST_BOTH(stream, reset_by_the_peer_is_an_error)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = server_listen(loop, &config);
    int fd = fixture_stream_client(listener_local_address(listener));
    fixture_run_until(loop, &server.accepted, 1);
    struct linger linger = {.l_onoff = 1};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, -ECONNRESET);
    loop_free(loop);
}

TEST_BOTH(stream, forgotten_stream_calls_nobody)
{
    struct loop *loop = fixture_loop(kind);
    pair_open(loop, NULL);
    stream_set_handlers(client.stream, NULL, NULL);
    stream_abort(client.stream);
    fixture_run_until(loop, &server.closed, 1);
    fixture_run_for(loop, 5);
    cr_expect_eq(client.closed, 0);
    loop_free(loop);
}

TEST_BOTH(stream, loop_free_closes_every_stream)
{
    struct loop *loop = fixture_loop(kind);
    pair_open(loop, NULL);
    loop_free(loop);
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.error, USHER_ECANCELLED);
    cr_expect_eq(server.closed, 1);
}
