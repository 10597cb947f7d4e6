#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "core/io/stream.h"
#include "tests/unit/core/io/fixture.h"

/* A first loop accepts and, at the first bytes or when told, hands the connection to a second one, which echoes. */
static struct {
    struct loop *first;
    struct loop *second;
    struct stream *stream;
    struct stream *adopted;
    struct stream_handoff *handoff;
    uint32_t accepted;
    uint32_t shown;
    uint32_t detached;
    uint32_t echoed;
    uint32_t closed;
    int error;
    size_t answer_bytes; /* sent by the first loop before it lets go */
    bool detach_on_bytes;
} moving;

static void first_on_detached(void *ctx, struct stream_handoff *handoff)
{
    (void)ctx;
    moving.handoff = handoff;
    moving.detached++;
}

static size_t first_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    static uint8_t answer[200000];
    (void)ctx;
    (void)bytes;
    moving.shown++;
    if (moving.answer_bytes > 0)
        cr_assert_eq(stream_send(stream, answer, moving.answer_bytes), 0);
    if (moving.detach_on_bytes)
        stream_detach(stream, first_on_detached, NULL);
    return length > 2 ? 2 : 0;
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    moving.closed++;
    moving.error = error;
}

static const struct stream_handlers first_handlers = {.on_bytes = first_on_bytes, .on_closed = on_closed};

static void first_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    (void)listener;
    moving.stream = stream;
    moving.accepted++;
    stream_set_handlers(stream, &first_handlers, NULL);
}

static size_t second_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    cr_assert_eq(stream_send(stream, bytes, length), 0);
    moving.echoed += (uint32_t)length;
    return length;
}

static const struct stream_handlers second_handlers = {.on_bytes = second_on_bytes, .on_closed = on_closed};

static int moving_open(enum loop_kind first, enum loop_kind second)
{
    struct listener_config config;
    struct listener *listener;
    moving.first = fixture_loop(first);
    moving.second = fixture_loop(second);
    listener_config_init(&config);
    config.address = fixture_loopback(0);
    config.on_accept = first_on_accept;
    cr_assert_eq(listener_open(moving.first, &config, &listener), 0);
    int fd = fixture_stream_client(listener_local_address(listener));
    fixture_run_until(moving.first, &moving.accepted, 1);
    return fd;
}

static void moving_adopt(void)
{
    cr_assert_eq(stream_adopt(moving.second, moving.handoff, &second_handlers, NULL, &moving.adopted), 0);
}

static void moving_free(void)
{
    loop_free(moving.first);
    loop_free(moving.second);
}

static void expect_bytes(int fd, const char *text)
{
    char bytes[64];
    cr_expect_eq(recv(fd, bytes, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
    cr_expect_arr_eq(bytes, text, strlen(text));
}

TEST_BOTH(stream_move, unread_bytes_go_along)
{
    int fd = moving_open(kind, kind);
    moving.detach_on_bytes = true;
    cr_assert_eq(send(fd, "12unread", 8, 0), 8);
    fixture_run_until(moving.first, &moving.detached, 1);
    cr_expect_eq(moving.shown, 1);
    cr_assert_eq(send(fd, " more", 5, 0), 5);
    moving_adopt();
    fixture_run_until(moving.second, &moving.echoed, 11);
    loop_flush(moving.second);
    expect_bytes(fd, "unread more");
    cr_expect_eq(moving.closed, 0);
    moving_free();
}

TEST_BOTH(stream_move, unsent_bytes_go_along_in_order)
{
    int fd = moving_open(kind, kind);
    static uint8_t bytes[3000000];
    moving.answer_bytes = 200000;
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(send(fd, "x", 1, 0), 1);
        fixture_run_for(moving.first, 2);
    }
    size_t before = (size_t)moving.shown * 200000;
    moving.answer_bytes = 0;
    stream_detach(moving.stream, first_on_detached, NULL);
    fixture_run_until(moving.first, &moving.detached, 1);
    moving_adopt();
    size_t got = 0;
    while (got < before) {
        ssize_t part = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        got += part > 0 ? (size_t)part : 0;
        fixture_run_for(moving.second, 1);
    }
    uint32_t echoed = moving.echoed;
    cr_assert_eq(send(fd, "end", 3, 0), 3);
    fixture_run_until(moving.second, &moving.echoed, echoed + 3);
    loop_flush(moving.second);
    while ((got += (size_t)recv(fd, bytes, sizeof(bytes), 0)) < before + moving.echoed)
        continue;
    cr_expect_eq(got, before + moving.echoed);
    moving_free();
}

TEST_BOTH(stream_move, peer_that_left_meanwhile_is_seen_by_the_adopting_side)
{
    int fd = moving_open(kind, kind);
    moving.detach_on_bytes = true;
    cr_assert_eq(send(fd, "12bye", 5, 0), 5);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    fixture_run_until(moving.first, &moving.detached, 1);
    cr_expect_eq(moving.closed, 0);
    moving_adopt();
    fixture_run_until(moving.second, &moving.echoed, 3);
    fixture_run_until(moving.second, &moving.closed, 1);
    cr_expect_eq(moving.error, 0);
    expect_bytes(fd, "bye");
    moving_free();
}

TEST_BOTH(stream_move, handoff_that_nobody_takes_is_closed)
{
    int fd = moving_open(kind, kind);
    stream_detach(moving.stream, first_on_detached, NULL);
    cr_expect_eq(moving.detached, 0, "never from inside the call");
    fixture_run_until(moving.first, &moving.detached, 1);
    stream_handoff_free(moving.handoff);
    char byte;
    cr_expect_eq(recv(fd, &byte, 1, 0), 0);
    moving_free();
}

TEST_BOTH(stream_move, stream_that_ended_before_is_closed_instead)
{
    int fd = moving_open(kind, kind);
    stream_abort(moving.stream);
    stream_detach(moving.stream, first_on_detached, NULL);
    fixture_run_until(moving.first, &moving.closed, 1);
    cr_expect_eq(moving.detached, 0);
    close(fd);
    moving_free();
}

Test(stream_move, between_backends)
{
    if (!fixture_uring_is_allowed())
        return;
    int fd = moving_open(LOOP_EPOLL, LOOP_URING);
    moving.detach_on_bytes = true;
    cr_assert_eq(send(fd, "12to the ring", 13, 0), 13);
    fixture_run_until(moving.first, &moving.detached, 1);
    moving_adopt();
    fixture_run_until(moving.second, &moving.echoed, 11);
    loop_flush(moving.second);
    expect_bytes(fd, "to the ring");
    stream_detach(moving.adopted, first_on_detached, NULL);
    fixture_run_until(moving.second, &moving.detached, 2);
    cr_assert_eq(stream_adopt(moving.first, moving.handoff, &second_handlers, NULL, &moving.adopted), 0);
    cr_assert_eq(send(fd, "and back", 8, 0), 8);
    fixture_run_until(moving.first, &moving.echoed, 19);
    loop_flush(moving.first);
    expect_bytes(fd, "and back");
    moving_free();
}

static void *run_and_leave(void *ctx)
{
    struct loop *loop = ctx;
    return loop_run(loop) == 0 ? NULL : loop;
}

/* The thread ended with a listener, a stream and their operations in flight; the ring refuses other threads. */
TEST_BOTH(loop_thread, loop_may_be_freed_after_its_thread_ended)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    struct listener *listener;
    pthread_t thread;
    listener_config_init(&config);
    config.address = fixture_loopback(0);
    config.on_accept = first_on_accept;
    cr_assert_eq(listener_open(loop, &config, &listener), 0);
    struct address address = *listener_local_address(listener);
    cr_assert_eq(pthread_create(&thread, NULL, run_and_leave, loop), 0);
    int fd = fixture_stream_client(&address);
    cr_assert_eq(send(fd, "x", 1, 0), 1);
    while (atomic_load(&loop_stats(loop)->stream_bytes_received) == 0)
        (void)sched_yield();
    loop_stop(loop);
    void *result;
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_expect_null(result);
    loop_free(loop);
    cr_expect_eq(moving.closed, 1);
    cr_expect_eq(moving.error, USHER_ECANCELLED);
    char byte;
    cr_expect_leq(recv(fd, &byte, 1, 0), 0);
}

Test(loop, more_completions_than_the_queue_holds_are_not_lost)
{
    if (!fixture_uring_is_allowed())
        return;
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_URING;
    config.submission_entries = 16;
    config.completion_entries = 16;
    cr_assert_eq(loop_new(&config, &moving.first), 0);
    struct listener_config listener_config;
    struct listener *listener;
    int fd[200];
    listener_config_init(&listener_config);
    listener_config.address = fixture_loopback(0);
    listener_config.on_accept = first_on_accept;
    cr_assert_eq(listener_open(moving.first, &listener_config, &listener), 0);
    fixture_run_for(moving.first, 1);
    for (int i = 0; i < 200; i++)
        fd[i] = fixture_stream_client(listener_local_address(listener));
    fixture_run_until(moving.first, &moving.accepted, 200);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(send(fd[i], "x", 1, 0), 1);
    fixture_run_until(moving.first, &moving.shown, 200);
    loop_free(moving.first);
    cr_expect_eq(moving.closed, 200);
}
