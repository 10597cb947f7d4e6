#include "core/io/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "tests/unit/core/io/accepting.h"
#include "tests/unit/core/io/fixture.h"

TEST_BOTH(listener, port_in_use_is_an_error)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    struct listener *second;
    listener_config_init(&config);
    config.address = *listener_local_address(accepting_listen(loop, &config));
    cr_expect_eq(listener_open(loop, &config, &second), -EADDRINUSE);
    loop_free(loop);
}

TEST_BOTH(listener, dead_unix_socket_is_replaced_and_a_live_one_is_not)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    struct listener *second;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/usher-io-%d.sock", (int)getpid());
    listener_config_init(&config);
    config.unix_path = name.sun_path;
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(dead, (const struct sockaddr *)&name, sizeof(name)), 0);
    close(dead);
    accepting_listen(loop, &config);
    cr_expect_eq(listener_open(loop, &config, &second), -EADDRINUSE);
    loop_free(loop);
    cr_expect_neq(access(name.sun_path, F_OK), 0, "unlinked");
}

TEST_BOTH(listener, stream_that_gets_no_handlers_is_closed)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    server.without_handlers = true;
    struct listener *listener = accepting_listen(loop, &config);
    int fd = accepting_client(loop, listener);
    fixture_run_for(loop, 5);
    expect_end(fd);
    cr_expect_eq(loop_stats(loop)->streams_closed, 1);
    loop_free(loop);
}

TEST_BOTH(listener, longest_idle_makes_room_at_the_limit)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    int fd[3];
    listener_config_init(&config);
    config.connections_max = 2;
    struct listener *listener = accepting_listen(loop, &config);
    for (uint32_t i = 0; i < 2; i++)
        fd[i] = accepting_client(loop, listener);
    cr_assert_eq(send(fd[0], "x", 1, 0), 1);
    fixture_run_until(loop, &server.shown, 1);
    fd[2] = accepting_client(loop, listener);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, USHER_ECANCELLED);
    expect_open(fd[0]);
    expect_end(fd[1]);
    expect_open(fd[2]);
    cr_expect_eq(loop_stats(loop)->streams_evicted, 1);
    cr_expect_eq(loop_stats(loop)->streams_closed, 1);
    loop_free(loop);
}

TEST_BOTH(listener, busy_ones_are_not_closed_however_quiet)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    int fd[3];
    listener_config_init(&config);
    config.connections_max = 2;
    struct listener *listener = accepting_listen(loop, &config);
    for (uint32_t i = 0; i < 2; i++)
        fd[i] = accepting_client(loop, listener);
    stream_set_busy(server.stream[0], true);
    fd[2] = accepting_client(loop, listener);
    fixture_run_until(loop, &server.closed, 1);
    expect_open(fd[0]);
    expect_end(fd[1]);
    expect_open(fd[2]);
    loop_free(loop);
}

TEST_BOTH(listener, limit_with_busy_ones_only_refuses)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    config.connections_max = 1;
    struct listener *listener = accepting_listen(loop, &config);
    int first = accepting_client(loop, listener);
    stream_set_busy(server.stream[0], true);
    int second = fixture_stream_client(listener_local_address(listener));
    fixture_run_for(loop, 20);
    expect_end(second);
    expect_open(first);
    cr_expect_eq(loop_stats(loop)->accepts_refused, 1);
    stream_set_busy(server.stream[0], false);
    int third = accepting_client(loop, listener);
    expect_end(first);
    expect_open(third);
    loop_free(loop);
}

TEST_BOTH(listener, limit_without_an_idle_one_refuses)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    config.connections_max = 1;
    struct listener *listener = accepting_listen(loop, &config);
    int first = accepting_client(loop, listener);
    static uint8_t bytes[200000];
    while (stream_send(server.stream[0], bytes, sizeof(bytes)) == 0)
        fixture_run_for(loop, 1);
    int second = fixture_stream_client(listener_local_address(listener));
    fixture_run_for(loop, 20);
    expect_end(second);
    cr_expect_eq(server.closed, 0);
    cr_expect_eq(loop_stats(loop)->accepts_refused, 1);
    close(first);
    loop_free(loop);
}

static void descriptors_limit(rlim_t more)
{
    int next = dup(0);
    cr_assert_geq(next, 0);
    close(next);
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)next + more;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The clients are made first, in the backlog; the process may then open none for the accepted ones beyond the limit. */
TEST_BOTH(listener, running_out_of_descriptors_evicts_idle_ones_and_recovers)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    int fd[6];
    listener_config_init(&config);
    struct listener *listener = accepting_listen(loop, &config);
    for (uint32_t i = 0; i < 6; i++)
        fd[i] = fixture_stream_client(listener_local_address(listener));
    descriptors_limit(3);
    fixture_run_until(loop, &server.accepted, 6);
    cr_expect_geq(server.closed, 3);
    cr_expect_gt(loop_stats(loop)->accept_errors, 0);
    expect_end(fd[0]);
    expect_open(fd[5]);
    loop_free(loop);
}

TEST_BOTH(listener, running_out_of_descriptors_without_idle_ones_sheds)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = accepting_listen(loop, &config);
    descriptors_limit(8); /* before the first accept: a multishot one remembers the limit of its start */
    int first = accepting_client(loop, listener);
    static uint8_t bytes[200000];
    while (stream_send(server.stream[0], bytes, sizeof(bytes)) == 0)
        fixture_run_for(loop, 1);
    int second = fixture_stream_client(listener_local_address(listener));
    while (dup(0) >= 0)
        continue;
    fixture_run_for(loop, 20);
    expect_end(second);
    cr_expect_eq(server.closed, 0);
    cr_expect_eq(loop_stats(loop)->accepts_refused, 1);
    close(first);
    loop_free(loop);
}

TEST_BOTH(listener, reserve_lets_one_at_a_time_in_though_descriptors_have_run_out)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    config.keeps_reserve = true;
    struct listener *listener = accepting_listen(loop, &config);
    int first = fixture_stream_client(listener_local_address(listener));
    int second = fixture_stream_client(listener_local_address(listener));
    descriptors_limit(0);
    fixture_run_until(loop, &server.accepted, 1);
    cr_assert_eq(send(first, "x", 1, 0), 1);
    fixture_run_until(loop, &server.shown, 1);
    /* What the first one had is kept for the next. */
    stream_close(server.stream[0]);
    fixture_run_until(loop, &server.accepted, 2);
    cr_assert_lt(dup(0), 0);
    cr_assert_eq(send(second, "x", 1, 0), 1);
    fixture_run_until(loop, &server.shown, 2);
    loop_free(loop);
}

TEST_BOTH(listener, closing_leaves_its_streams_open)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    struct listener *listener = accepting_listen(loop, &config);
    int fd = accepting_client(loop, listener);
    listener_close(listener);
    fixture_run_for(loop, 5);
    cr_assert_eq(send(fd, "x", 1, 0), 1);
    fixture_run_until(loop, &server.shown, 1);
    loop_free(loop);
}

static void close_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    server.accepted++;
    stream_set_handlers(stream, &accepting_handlers, NULL);
    listener_close(listener);
    stream_close(stream);
}

TEST_BOTH(listener, closing_everything_from_on_accept)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    struct listener *listener;
    listener_config_init(&config);
    config.address = fixture_loopback(0);
    config.on_accept = close_on_accept;
    cr_assert_eq(listener_open(loop, &config, &listener), 0);
    int fd = accepting_client(loop, listener);
    fixture_run_for(loop, 5);
    expect_end(fd);
    close(fd);
    fixture_run_until(loop, &server.closed, 1);
    loop_free(loop);
}
