/* A core answers connections over real sockets: nothing is lost, in order, within bounded memory, whatever the client does. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/io/backend.h"
#include "core/wire/directory.h"
#include "core/wire/heartbeat.h"
#include "tests/unit/dispatcher/fixture.h"

enum { REQUEST_BYTES = 44, REQUESTS_MAX = 20000 };

static struct answers answers;
static uint8_t sent[REQUESTS_MAX * REQUEST_BYTES];

/* Requests with the IDs 0 …, each for `count` addresses; returns their length. */
static size_t requests_write(uint32_t requests, uint8_t count)
{
    for (uint32_t i = 0; i < requests; i++)
        request_write(sent + i * REQUEST_BYTES, i, count, REQUEST_BYTES);
    return (size_t)requests * REQUEST_BYTES;
}

static void client_send(int client, const void *bytes, size_t length)
{
    cr_assert_eq(send(client, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void expect_addresses(struct bench *bench, int client, uint32_t requests)
{
    for (uint32_t i = 0; i < requests; i++)
        expect_address(&answers, bench, client, i);
}

static struct connection *only_connection(struct bench *bench)
{
    cr_assert_eq(bench->core->connections.used, 1);
    return &bench->core->connections.table[0];
}

static void bench_run_until_connections(struct bench *bench, uint32_t wanted)
{
    uint64_t deadline_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (core_connections(bench->core) != wanted) {
        cr_assert_lt(clock_monotonic_ns(), deadline_ns);
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    }
}

static void close_with_reset(int client)
{
    struct linger now = {.l_onoff = 1};
    cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(client);
}

/* ---- what is refused ---- */

TEST_BOTH(core_tcp, what_is_not_the_protocol_ends_the_connection_without_a_word)
{
    int client = bench_client(bench, SOCK_STREAM);
    client_send(client, "GET / HTTP/1.1\r\n\r\n", 18);
    expect_end(&answers, bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_BAD_MAGIC), 1);
    close(client);
}

TEST_BOTH(core_tcp, an_idle_token_ends_the_connection_without_a_word)
{
    int client = bench_client(bench, SOCK_STREAM);
    uint8_t bytes[IDLE_TOKEN_BYTES];
    cr_assert_eq(send(client, bytes, frame_write(bytes, FRAME_TYPE_IDLE_TOKEN, 1, sizeof(bytes)), 0), (ssize_t)sizeof(bytes));
    expect_end(&answers, bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_WRONG_TRANSPORT), 1);
    close(client);
}

TEST_BOTH(core_tcp, a_frame_out_of_step_gets_one_error_after_the_answers_before_it)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = requests_write(5, 1);
    length += frame_write(sent + length, FRAME_TYPE_ADDRESS_REQUEST, 5, 100);
    sent[length - 100 + 8] = 0x7f; /* of a length that no frame may have */
    client_send(client, sent, length);
    expect_addresses(bench, client, 5);
    expect_error(&answers, bench, client, 5, WIRE_ERROR_TOO_LARGE);
    expect_end(&answers, bench, client);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_TOO_LARGE), 1);
    close(client);
}

TEST_BOTH(core_tcp, an_unknown_major_version_gets_one_error_and_the_end)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = frame_write(sent, FRAME_TYPE_ADDRESS_REQUEST, 1, 44);
    sent[2] = 3;
    length += request_write(sent + length, 2, 1, REQUEST_BYTES);
    client_send(client, sent, length);
    expect_error(&answers, bench, client, 1, WIRE_ERROR_UNSUPPORTED_VERSION);
    expect_end(&answers, bench, client);
    close(client);
}

TEST_BOTH(core_tcp, a_whole_frame_that_makes_no_sense_is_refused_in_its_turn_and_the_connection_goes_on)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = requests_write(3, 1);
    sent[REQUEST_BYTES + 32] = 17; /* the second asks for 17 addresses */
    length += frame_write(sent + length, FRAME_TYPE_SUBSCRIBE, 3, SUBSCRIBE_BYTES);
    length += frame_write(sent + length, 0x000e, 4, 30); /* nobody knows this type */
    length += frame_write(sent + length, FRAME_TYPE_RESULT, 5, 40);
    length += request_write(sent + length, 6, 1, REQUEST_BYTES);
    client_send(client, sent, length);
    expect_address(&answers, bench, client, 0);
    expect_error(&answers, bench, client, 1, WIRE_ERROR_MALFORMED);
    expect_address(&answers, bench, client, 2);
    expect_error(&answers, bench, client, 3, WIRE_ERROR_NOT_ACCEPTED_HERE);
    expect_address(&answers, bench, client, 6);
    cr_expect_eq(bench_counter(bench, COUNTER_MALFORMED_UNKNOWN_TYPE), 1);
    close(client);
}

TEST_BOTH(core_tcp, a_full_queue_is_told_to_each_request_that_finds_it_full)
{
    int client = bench_client(bench, SOCK_STREAM);
    bench_hold(bench, true);
    client_send(client, sent, requests_write(100, 1));
    bench_run_until(bench, COUNTER_REQUESTS_TCP, 100);
    bench_hold(bench, false);
    for (uint32_t i = BENCH_QUEUE; i < 100; i++)
        expect_error(&answers, bench, client, i, WIRE_ERROR_QUEUE_FULL);
    expect_addresses(bench, client, BENCH_QUEUE);
    client_send(client, sent, requests_write(1, 1));
    expect_addresses(bench, client, 1);
    close(client);
}

TEST_BOTH(core_tcp, a_job_is_refused_where_none_are_taken)
{
    int client = bench_client(bench, SOCK_STREAM);
    bench->shared.takes_jobs = false;
    client_send(client, sent, frame_write(sent, FRAME_TYPE_JOB, 1, 100));
    expect_error(&answers, bench, client, 1, WIRE_ERROR_NOT_ACCEPTED_HERE);
    cr_expect_eq(bench->handoff_count, 0);
    close(client);
}

TEST_BOTH(core_tcp, a_long_job_is_refused_by_its_header_where_none_are_taken)
{
    int client = bench_client(bench, SOCK_STREAM);
    bench->shared.takes_jobs = false;
    size_t length = frame_write(sent, FRAME_TYPE_JOB, 1, 20000);
    client_send(client, sent, 5000);
    expect_error(&answers, bench, client, 1, WIRE_ERROR_NOT_ACCEPTED_HERE);
    client_send(client, sent + 5000, length - 5000);
    client_send(client, sent, requests_write(1, 1));
    expect_addresses(bench, client, 1);
    close(client);
}

TEST_BOTH(core_tcp, long_frames_of_no_use_are_skipped_as_they_come)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = frame_write(sent, 0x000e, 1, 20000);
    length += request_write(sent + length, 0, 1, REQUEST_BYTES);
    for (size_t at = 0; at < length; at += 4000) {
        client_send(client, sent + at, length - at < 4000 ? length - at : 4000);
        bench_run_batches(bench);
    }
    expect_addresses(bench, client, 1);
    cr_expect_eq(only_connection(bench)->partial_ns, 0);
    close(client);
}

/* ---- what is too slow ---- */

TEST_BOTH(core_tcp, a_frame_that_never_ends_is_not_waited_for)
{
    int client = bench_client(bench, SOCK_STREAM);
    bench_run_until_connections(bench, 1);
    client_send(client, sent, requests_write(1, 1) - 1);
    struct connection *connection = only_connection(bench);
    while (connection->partial_ns == 0)
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    core_on_look(bench->core, &bench->core->look);
    cr_expect_eq(bench_counter(bench, COUNTER_CONNECTIONS_TOO_SLOW), 0);
    connection->partial_ns -= 5 * NS_PER_S;
    core_on_look(bench->core, &bench->core->look);
    cr_expect_eq(bench_counter(bench, COUNTER_CONNECTIONS_TOO_SLOW), 1);
    cr_expect_leq(client_read(bench, client, answers.bytes, 1), 0);
    close(client);
}

TEST_BOTH(core_tcp, a_frame_in_two_pieces_starts_the_clock_anew_for_the_next_one)
{
    int client = bench_client(bench, SOCK_STREAM);
    bench_run_until_connections(bench, 1);
    client_send(client, sent, requests_write(2, 1) - 50);
    struct connection *connection = only_connection(bench);
    while (connection->partial_ns == 0)
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    connection->partial_ns = 1;
    client_send(client, sent + 38, 40);
    bench_run_until(bench, COUNTER_REQUESTS_TCP, 1);
    cr_expect_gt(connection->partial_ns, 1);
    client_send(client, sent + 78, 10);
    bench_run_until(bench, COUNTER_REQUESTS_TCP, 2);
    cr_expect_eq(connection->partial_ns, 0);
    expect_addresses(bench, client, 2);
    close(client);
}

/* ---- what is answered ---- */

/* Sends without waiting and lets the core work, until neither gets any further. Returns how much was sent. */
static size_t push(struct bench *bench, int client, const uint8_t *bytes, size_t length)
{
    const struct loop_stats *stats = loop_stats(core_loop(bench->core));
    size_t used = 0;
    for (uint32_t idle = 0; idle < 20 && used < length; idle++) {
        ssize_t more = send(client, bytes + used, length - used, MSG_DONTWAIT | MSG_NOSIGNAL);
        uint64_t before = atomic_load(&stats->stream_bytes_received);
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
        if (more > 0)
            used += (size_t)more;
        if (more > 0 || atomic_load(&stats->stream_bytes_received) != before)
            idle = 0;
    }
    return used;
}

static void buffers_shrink(int fd)
{
    int bytes = 65536;
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

TEST_BOTH(core_tcp, a_client_that_reads_nothing_until_the_end_loses_nothing_and_costs_no_more_than_its_share)
{
    bench_reopen(bench, "127.0.0.1:0", 8192, 2);
    int client = bench_client(bench, SOCK_STREAM);
    bench_run_until_connections(bench, 1);
    struct connection *connection = only_connection(bench);
    /* The kernel's share would take it all. */
    buffers_shrink(client);
    buffers_shrink(connection->stream->handle.fd);
    size_t length = requests_write(REQUESTS_MAX, 16); /* nearly four times as much comes back */
    size_t used = push(bench, client, sent, length);
    cr_expect_lt(stream_pending_bytes(connection->stream), CONNECTION_HIGH_BYTES + 512, "one answer above the mark");
    cr_expect_leq(connection->stream->carry.length, 256u << 10);
    cr_expect_lt(used, length, "the client could be stopped");
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        expect_address(&answers, bench, client, i);
        if (used < length && i % 100 == 0) {
            ssize_t more = send(client, sent + used, length - used, MSG_DONTWAIT | MSG_NOSIGNAL);
            used += more > 0 ? (size_t)more : 0;
        }
    }
    cr_expect_eq(used, length);
    cr_expect_eq(bench_counter(bench, COUNTER_REQUESTS_TCP), REQUESTS_MAX);
    close(client);
}

TEST_BOTH(core_tcp, thousands_of_requests_in_arbitrary_pieces_are_answered_in_order)
{
    struct random_state random;
    bench_reopen(bench, "127.0.0.1:0", 8192, 2);
    int client = bench_client(bench, SOCK_STREAM);
    random_init(&random, 7);
    size_t length = requests_write(3000, 1);
    for (size_t used = 0; used < length;) {
        size_t piece = 1 + random_below(&random, random_below(&random, 8) ? 100 : 20000);
        piece = piece < length - used ? piece : length - used;
        client_send(client, sent + used, piece);
        used += piece;
        cr_assert_eq(loop_run_once(bench->core->loop, 0), 0);
    }
    expect_addresses(bench, client, 3000);
    close(client);
}

TEST_BOTH(core_tcp, a_client_that_ends_its_side_still_gets_what_it_asked_for)
{
    bench_reopen(bench, "127.0.0.1:0", 8192, 2);
    for (uint32_t requests = 1; requests <= 3000; requests += 2999) {
        int client = bench_client(bench, SOCK_STREAM);
        client_send(client, sent, requests_write(requests, 16));
        cr_assert_eq(shutdown(client, SHUT_WR), 0);
        expect_addresses(bench, client, requests);
        expect_end(&answers, bench, client);
        close(client);
    }
}

TEST_BOTH(core_tcp, long_locations_do_not_break_the_stream)
{
    struct wire_location_request request = {.regions_version = 0};
    struct wire_location reply;
    enum refusal refusal;
    bench_reopen(bench, "127.0.0.1:0", 8192, 1000);
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = 0;
    for (uint32_t i = 0; i < 200; i++)
        length += (size_t)wire_location_request_encode(&request, i, 0, sent + length, sizeof(sent) - length);
    client_send(client, sent, length);
    for (uint32_t i = 0; i < 200; i++) {
        cr_assert(answers_next(&answers, bench, client));
        cr_assert_eq(answers.frame.request_id, i);
        cr_assert_eq(wire_location_decode(&answers.frame, &reply, &refusal), 0);
        cr_expect_eq(reply.dispatcher_count, 1000);
    }
    close(client);
}

TEST_BOTH(core_tcp, more_than_a_batch_may_answer_waits_for_the_next_one)
{
    enum { CLIENTS = 20, EACH = 500 };
    int clients[CLIENTS];
    bench_reopen(bench, "127.0.0.1:0", 16384, 2);
    size_t length = requests_write(EACH, 1);
    bench_hold(bench, true);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i] = bench_client(bench, SOCK_STREAM);
        client_send(clients[i], sent, length);
        bench_fill(bench, (i + 1) * EACH);
    }
    bench_hold(bench, false);
    cr_assert_eq(loop_run_once(bench->core->loop, 0), 0);
    cr_expect_eq(core_queue_length(bench->core), CLIENTS * EACH - ANSWERS_PER_BATCH);
    cr_assert_eq(loop_run_once(bench->core->loop, LOOP_FOREVER), 0);
    cr_expect_eq(core_queue_length(bench->core), 0, "without anything having come");
    for (uint32_t i = 0; i < CLIENTS; i++) {
        expect_addresses(bench, clients[i], EACH);
        close(clients[i]);
    }
}

TEST_BOTH(core_tcp, answers_on_a_thread_of_its_own)
{
    cr_assert_eq(core_start(bench->core), 0);
    int client = bench_client(bench, SOCK_STREAM);
    for (uint32_t i = 0; i < 200; i++) {
        client_send(client, sent, requests_write(2, 1));
        expect_addresses(bench, client, 2);
    }
    close(client);
}

/* ---- who goes in the middle ---- */

TEST_BOTH(core_tcp, requests_of_a_client_that_has_gone_are_not_answered_to_the_next)
{
    int gone = bench_client(bench, SOCK_STREAM);
    bench_hold(bench, true);
    client_send(gone, sent, requests_write(10, 1));
    bench_fill(bench, 10);
    close_with_reset(gone);
    bench_run_until_connections(bench, 0);
    int next = bench_client(bench, SOCK_STREAM);
    client_send(next, sent, request_write(sent, 77, 1, REQUEST_BYTES));
    bench_fill(bench, 11);
    cr_expect_eq(only_connection(bench)->generation, 2, "in the place of the first");
    bench_hold(bench, false);
    expect_address(&answers, bench, next, 77);
    bench_run_batches(bench);
    cr_expect_eq(answers.used, answers.length);
    cr_expect_eq(only_connection(bench)->owed_bytes, 0);
    close(next);
}

TEST_BOTH(core_tcp, clients_that_close_in_the_middle_leave_nothing_behind)
{
    struct random_state random;
    random_init(&random, 3);
    for (uint32_t round = 0; round < 30; round++) {
        int client = bench_client(bench, SOCK_STREAM);
        size_t length = requests_write(1000, 16);
        (void)push(bench, client, sent, random_below(&random, (uint32_t)length));
        if (round % 2)
            close_with_reset(client);
        else
            close(client);
    }
    bench_run_until_connections(bench, 0);
    cr_expect_eq(core_queue_length(bench->core), 0);
}

/* ---- jobs ---- */

struct taker {
    uint8_t bytes[4096];
    uint32_t length;
};

static size_t taker_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct taker *taker = ctx;
    (void)stream;
    cr_assert_leq(taker->length + length, sizeof(taker->bytes));
    memcpy(taker->bytes + taker->length, bytes, length);
    taker->length += (uint32_t)length;
    return length;
}

/* What the node's loop gets to see of a connection that was handed over. */
static void expect_handed_over(struct bench *bench, const uint8_t *bytes, uint32_t length)
{
    static const struct stream_handlers handlers = {.on_bytes = taker_on_bytes};
    struct taker taker = {.length = 0};
    struct loop_config config;
    struct loop *loop;
    struct stream *stream;
    loop_config_init(&config);
    config.kind = bench->kind;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_eq(stream_adopt(loop, bench->handoff, &handlers, &taker, &stream), 0);
    bench->handoff = NULL;
    uint64_t deadline_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (taker.length < length && clock_monotonic_ns() < deadline_ns)
        cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);
    cr_assert_eq(taker.length, length);
    cr_expect_arr_eq(taker.bytes, bytes, length);
    loop_free(loop);
}

static void bench_run_until_handed_over(struct bench *bench)
{
    uint64_t deadline_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (!bench->handoff) {
        cr_assert_lt(clock_monotonic_ns(), deadline_ns);
        cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
    }
}

TEST_BOTH(core_job, goes_to_the_node_with_everything_behind_it)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = frame_write(sent, FRAME_TYPE_JOB, 1, 200);
    length += frame_write(sent + length, FRAME_TYPE_JOB, 2, 300);
    length += 10; /* of one more */
    client_send(client, sent, length);
    bench_run_until_handed_over(bench);
    cr_expect_eq(bench->handoff_count, 1);
    cr_expect_eq(core_connections(bench->core), 0);
    cr_expect_eq(bench_counter(bench, COUNTER_CONNECTIONS_HANDED_OVER), 1);
    client_send(client, sent, 50);
    memcpy(sent + length, sent, 50);
    expect_handed_over(bench, sent, (uint32_t)length + 50);
    close(client);
}

TEST_BOTH(core_job, goes_to_the_node_when_its_header_is_there)
{
    int client = bench_client(bench, SOCK_STREAM);
    frame_write(sent, FRAME_TYPE_JOB, 1, 20000);
    client_send(client, sent, 19);
    bench_run_batches(bench);
    cr_expect_null(bench->handoff);
    client_send(client, sent + 19, 1);
    bench_run_until_handed_over(bench);
    cr_expect_eq(core_connections(bench->core), 0);
    expect_handed_over(bench, sent, 20);
    close(client);
}

TEST_BOTH(core_job, waits_for_the_answers_before_it)
{
    int client = bench_client(bench, SOCK_STREAM);
    size_t length = requests_write(50, 16);
    uint8_t *job = sent + length;
    length += frame_write(job, FRAME_TYPE_JOB, 50, 200);
    length += request_write(sent + length, 51, 1, REQUEST_BYTES);
    bench_hold(bench, true);
    client_send(client, sent, length);
    bench_fill(bench, 50);
    bench_run_batches(bench);
    cr_expect_eq(bench->handoff_count, 0);
    cr_expect(only_connection(bench)->stalled);
    bench_hold(bench, false);
    bench_run_until_handed_over(bench);
    cr_expect_eq(bench_counter(bench, COUNTER_REQUESTS_TCP), 50, "what is behind the job is the node's");
    expect_handed_over(bench, job, 200 + REQUEST_BYTES);
    bench_run_batches(bench);
    expect_addresses(bench, client, 50);
    close(client);
}

TEST_BOTH(core_job, that_came_too_late_does_not_trouble_the_end)
{
    int client = bench_client(bench, SOCK_STREAM);
    client_send(client, sent, frame_write(sent, FRAME_TYPE_JOB, 1, 200));
    bench_run_until(bench, COUNTER_CONNECTIONS_HANDED_OVER, 1);
    close(client);
}
