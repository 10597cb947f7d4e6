#include "core/io/udp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/core/io/fixture.h"

#define QUEUE_MAX 4096

/* Answers either at once or from the batch hook, with the bytes it was given. */
struct echo {
    struct udp *udp;
    uint32_t received;
    uint32_t queued;
    bool from_hook;
    bool silent;
    struct {
        struct address peer;
        uint32_t via;
        uint8_t *bytes;
        uint32_t length;
    } queue[QUEUE_MAX];
};

static void echo_answer(struct echo *echo, const struct address *peer, uint32_t via, const uint8_t *bytes, uint32_t length)
{
    uint8_t *slot;
    cr_assert_eq(udp_send_begin(echo->udp, length, &slot), 0);
    if (length > 0)
        memcpy(slot, bytes, length);
    udp_send_commit_via(echo->udp, peer, via, length);
}

static void echo_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct echo *echo = ctx;
    echo->received++;
    if (echo->silent)
        return;
    if (!echo->from_hook) {
        echo_answer(echo, peer, udp_datagram_via(udp), bytes, length);
        return;
    }
    cr_assert_lt(echo->queued, QUEUE_MAX);
    echo->queue[echo->queued].peer = *peer;
    echo->queue[echo->queued].via = udp_datagram_via(udp);
    echo->queue[echo->queued].bytes = bytes;
    echo->queue[echo->queued].length = length;
    echo->queued++;
}

static void echo_on_batch(void *ctx, struct loop *loop)
{
    struct echo *echo = ctx;
    (void)loop;
    for (uint32_t i = 0; i < echo->queued; i++)
        echo_answer(echo, &echo->queue[i].peer, echo->queue[i].via, echo->queue[i].bytes, echo->queue[i].length);
    echo->queued = 0;
}

static struct echo echo_state;

static struct echo *echo_open(struct loop *loop, struct udp_config *config, const char *address)
{
    config->on_datagram = echo_on_datagram;
    config->ctx = &echo_state;
    cr_assert_eq(address_parse(address, &config->address), 0);
    cr_assert_eq(udp_open(loop, config, &echo_state.udp), 0);
    cr_assert_neq(udp_local_address(echo_state.udp)->port, 0);
    loop_set_batch_hook(loop, echo_on_batch, &echo_state);
    return &echo_state;
}

static struct echo *echo_open_default(struct loop *loop)
{
    struct udp_config config;
    udp_config_init(&config);
    return echo_open(loop, &config, "127.0.0.1:0");
}

static void client_send(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void client_expect(int fd, const char *text)
{
    char bytes[65536];
    ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
    cr_assert_eq(length, (ssize_t)strlen(text), "got %zd bytes instead of \"%s\"", length, text);
    cr_assert_arr_eq(bytes, text, strlen(text));
}

TEST_ALL(udp, sizes_out_of_range_are_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    struct udp *udp = NULL;
    udp_config_init(&config);
    config.address = fixture_loopback(0);
    config.on_datagram = echo_on_datagram;
    config.receive_buffers = 50;
    cr_expect_eq(udp_open(loop, &config, &udp), -EINVAL);
    config.receive_buffers = 64;
    config.send_bytes = 1;
    cr_expect_eq(udp_open(loop, &config, &udp), -EINVAL);
    cr_expect_null(udp);
    loop_free(loop);
}

TEST_ALL(udp, port_in_use_is_an_error)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    struct udp_config config;
    struct udp *udp = NULL;
    udp_config_init(&config);
    config.address = *udp_local_address(echo->udp);
    config.on_datagram = echo_on_datagram;
    cr_expect_eq(udp_open(loop, &config, &udp), -EADDRINUSE);
    cr_expect_null(udp);
    loop_free(loop);
}

TEST_ALL(udp, reuseport_shares_a_port)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    struct udp *udp = NULL;
    udp_config_init(&config);
    config.reuseport = true;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    config.address = *udp_local_address(echo->udp);
    cr_expect_eq(udp_open(loop, &config, &udp), 0);
    loop_free(loop);
}

TEST_ALL(udp, datagram_is_echoed_from_its_handler)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    int client = fixture_udp_client(udp_local_address(echo->udp));
    client_send(client, "hello");
    fixture_run_until(loop, &echo->received, 1);
    loop_flush(loop);
    client_expect(client, "hello");
    cr_expect_eq(loop_stats(loop)->datagrams_received, 1);
    loop_free(loop);
}

TEST_ALL(udp, receive_buffers_are_valid_in_the_hook)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    echo->from_hook = true;
    int client = fixture_udp_client(udp_local_address(echo->udp));
    char text[24];
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "request %d", i);
        client_send(client, text);
    }
    fixture_run_until(loop, &echo->received, 200);
    loop_flush(loop);
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text), "request %d", i);
        client_expect(client, text);
    }
    loop_free(loop);
}

/* An empty datagram ends a multishot receive: anybody can send one. */
TEST_ALL(udp, empty_datagram_does_not_stop_receiving)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    int client = fixture_udp_client(udp_local_address(echo->udp));
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_eq(send(client, "", 0, 0), 0);
        client_send(client, "after");
        fixture_run_until(loop, &echo->received, 2 * (i + 1));
        loop_flush(loop);
        client_expect(client, "");
        client_expect(client, "after");
    }
    cr_expect_eq(loop_stats(loop)->datagrams_empty, 10);
    loop_free(loop);
}

TEST_ALL(udp, datagram_longer_than_a_buffer_is_counted_and_dropped)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    config.receive_buffer_bytes = 100;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    int client = fixture_udp_client(udp_local_address(echo->udp));
    char text[128];
    memset(text, 'x', sizeof(text));
    text[101] = '\0';
    client_send(client, text);
    text[100] = '\0';
    client_send(client, text);
    fixture_run_until(loop, &echo->received, 1);
    loop_flush(loop);
    client_expect(client, text);
    cr_expect_eq(loop_stats(loop)->datagrams_truncated, 1);
    loop_free(loop);
}

TEST_ALL(udp, more_datagrams_than_buffers_recovers)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    config.receive_buffers = 8;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    echo->from_hook = true;
    int client = fixture_udp_client(udp_local_address(echo->udp));
    for (uint32_t round = 0; round < 5; round++) {
        for (int i = 0; i < 40; i++)
            client_send(client, "x");
        fixture_run_until(loop, &echo->received, 40 * (round + 1));
    }
    loop_flush(loop);
    for (int i = 0; i < 200; i++)
        client_expect(client, "x");
    loop_free(loop);
}

TEST_ALL(udp, more_answers_than_the_pool_holds_are_all_sent)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    config.send_packets = 3;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    echo->from_hook = true;
    int client = fixture_udp_client(udp_local_address(echo->udp));
    for (int i = 0; i < 100; i++)
        client_send(client, "x");
    fixture_run_until(loop, &echo->received, 100);
    loop_flush(loop);
    for (int i = 0; i < 100; i++)
        client_expect(client, "x");
    cr_expect_eq(loop_stats(loop)->datagram_send_drops, 0);
    loop_free(loop);
}

TEST_ALL(udp, send_longer_than_a_datagram_is_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    static uint8_t bytes[65536];
    struct address peer = fixture_loopback(9);
    cr_expect_eq(udp_send(echo->udp, &peer, bytes, UDP_PAYLOAD_BYTES_MAX + 1), -EMSGSIZE);
    loop_free(loop);
}

TEST_ALL(udp, refused_send_does_not_stop_the_socket)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    struct address peer = fixture_loopback(0); /* sendto says EINVAL */
    cr_expect_eq(udp_send(echo->udp, &peer, (const uint8_t *)"x", 1), 0);
    int client = fixture_udp_client(udp_local_address(echo->udp));
    client_send(client, "still here");
    fixture_run_until(loop, &echo->received, 1);
    loop_flush(loop);
    client_expect(client, "still here");
    fixture_run_for(loop, 1);
    cr_expect_eq(loop_stats(loop)->datagram_send_drops, 1);
    loop_free(loop);
}

TEST_ALL(udp, peer_that_went_away_does_not_stop_the_socket)
{
    struct loop *loop = fixture_loop(kind);
    struct echo *echo = echo_open_default(loop);
    for (uint32_t i = 0; i < 5; i++) {
        int client = fixture_udp_client(udp_local_address(echo->udp));
        client_send(client, "gone");
        close(client);
        fixture_run_until(loop, &echo->received, i + 1);
    }
    int client = fixture_udp_client(udp_local_address(echo->udp));
    client_send(client, "here");
    fixture_run_until(loop, &echo->received, 6);
    loop_flush(loop);
    client_expect(client, "here");
    loop_free(loop);
}

TEST_ALL(udp, ipv6_is_echoed)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    struct echo *echo = echo_open(loop, &config, "[::1]:0");
    int client = fixture_udp_client(udp_local_address(echo->udp));
    client_send(client, "six");
    fixture_run_until(loop, &echo->received, 1);
    loop_flush(loop);
    client_expect(client, "six");
    loop_free(loop);
}

TEST_ALL(udp, ipv6_wildcard_answers_ipv4_too)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    struct echo *echo = echo_open(loop, &config, "[::]:0");
    struct address server = fixture_loopback(udp_local_address(echo->udp)->port);
    int client = fixture_udp_client(&server);
    client_send(client, "four");
    fixture_run_until(loop, &echo->received, 1);
    loop_flush(loop);
    client_expect(client, "four");
    loop_free(loop);
}

/* Clients of several addresses of this machine, each connected, so that it takes answers from that address only. */
static void expect_answers_from_where_asked(struct loop *loop, struct udp_config *config, const char *wildcard, bool from_hook)
{
    struct echo *echo = echo_open(loop, config, wildcard);
    echo->from_hook = from_hook;
    for (uint8_t i = 1; i <= 5; i++) {
        struct address server = fixture_loopback(udp_local_address(echo->udp)->port);
        server.ip[3] = i;
        int client = fixture_udp_client(&server);
        for (int j = 0; j < 3; j++)
            client_send(client, "who?");
        fixture_run_until(loop, &echo->received, i * 3u);
        loop_flush(loop);
        for (int j = 0; j < 3; j++)
            client_expect(client, "who?");
        close(client);
    }
    loop_free(loop);
}

TEST_ALL(udp, wildcard_answers_from_the_address_that_was_asked)
{
    struct udp_config config;
    udp_config_init(&config);
    expect_answers_from_where_asked(fixture_loop(kind), &config, "0.0.0.0:0", true);
}

TEST_ALL(udp, wildcard_answers_from_the_address_that_was_asked_in_segments_too)
{
    struct udp_config config;
    udp_config_init(&config);
    config.segmentation = true;
    config.receive_buffer_bytes = 65536;
    config.receive_buffers = 16;
    expect_answers_from_where_asked(fixture_loop(kind), &config, "0.0.0.0:0", true);
}

TEST_ALL(udp, ipv6_wildcard_answers_from_the_ipv4_address_that_was_asked)
{
    struct udp_config config;
    udp_config_init(&config);
    expect_answers_from_where_asked(fixture_loop(kind), &config, "[::]:0", false);
}

/* Ten answers for one peer leave as one super-datagram and arrive as ten. */
TEST_ALL(udp, segmentation_keeps_datagrams_apart)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    udp_config_init(&config);
    config.segmentation = true;
    config.receive_buffer_bytes = 65536;
    config.receive_buffers = 16;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    echo->from_hook = true;
    int client = fixture_udp_client(udp_local_address(echo->udp));
    for (int i = 0; i < 9; i++)
        client_send(client, "aaaaaaaaaa");
    client_send(client, "short");
    client_send(client, "bbbbbbbbbb");
    fixture_run_until(loop, &echo->received, 11);
    loop_flush(loop);
    for (int i = 0; i < 9; i++)
        client_expect(client, "aaaaaaaaaa");
    client_expect(client, "short");
    client_expect(client, "bbbbbbbbbb");
    cr_expect_eq(loop_stats(loop)->datagrams_sent, 11);
    loop_free(loop);
}

TEST_ALL(udp, super_datagram_is_delivered_in_segments)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    struct udp *sender;
    udp_config_init(&config);
    config.segmentation = true;
    config.receive_buffer_bytes = 65536;
    config.receive_buffers = 16;
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    echo->silent = true;
    cr_assert_eq(udp_open(loop, &config, &sender), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(udp_send(sender, udp_local_address(echo->udp), (const uint8_t *)"0123456789", 10), 0);
    fixture_run_until(loop, &echo->received, 100);
    fixture_run_for(loop, 1);
    cr_expect_eq(echo->received, 100);
    loop_free(loop);
}

static void close_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    uint32_t *received = ctx;
    (void)peer;
    (void)bytes;
    (void)length;
    (*received)++;
    udp_close(udp);
}

TEST_ALL(udp, closing_from_its_handler_ends_it)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    struct udp *udp;
    uint32_t received = 0;
    udp_config_init(&config);
    config.address = fixture_loopback(0);
    config.on_datagram = close_on_datagram;
    config.ctx = &received;
    cr_assert_eq(udp_open(loop, &config, &udp), 0);
    struct address server = *udp_local_address(udp);
    int client = fixture_udp_client(&server);
    client_send(client, "1");
    client_send(client, "2");
    fixture_run_until(loop, &received, 1);
    fixture_run_for(loop, 20);
    cr_expect_eq(received, 1);
    config.address = server;
    cr_expect_eq(udp_open(loop, &config, &udp), 0, "the port is free again");
    loop_free(loop);
}

TEST_ALL(udp, committed_before_close_is_still_sent)
{
    struct loop *loop = fixture_loop(kind);
    struct udp_config config;
    struct udp *udp;
    udp_config_init(&config);
    struct echo *echo = echo_open(loop, &config, "127.0.0.1:0");
    echo->silent = true;
    cr_assert_eq(udp_open(loop, &config, &udp), 0);
    cr_expect_eq(udp_send(udp, udp_local_address(echo->udp), (const uint8_t *)"bye", 3), 0);
    udp_close(udp);
    fixture_run_until(loop, &echo->received, 1);
    loop_free(loop);
}
