/* What a node does with connections that cost it something: idle ones, unfinished frames, too many (reliability: slow or idle TCP). */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/node/node_internal.h"
#include "core/wire/service.h"
#include "tests/unit/core/node/node_fixture.h"

static bool somebody_was_evicted(const struct fixture *fixture)
{
    return loop_stats(fixture->loop)->streams_evicted > 0;
}

/* One job runs and one waits, and both have been quiet for longer than all the others. */
static void idle_crowd(struct fixture *fixture)
{
    fixture->connections_max = 4;
    fixture_start(fixture);
    struct client *runs = fixture_connect(fixture);
    struct client *waits = fixture_connect(fixture);
    client_submit(runs, &(struct job_request){.service = "sleep", .data = "200ms", .job_id = 1, .client_id = 7});
    fixture_until(fixture, one_job_runs, "a job runs");
    client_submit(waits, &(struct job_request){.service = "echo", .data = "here", .job_id = 2, .client_id = 7});
    fixture_until_queued(fixture, 1);
    for (int i = 0; i < 5; i++)
        fixture_connect(fixture);
    fixture_until(fixture, somebody_was_evicted, "idle connections are closed");
    cr_expect_eq(client_await(runs, 1)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client_await(waits, 2)->type, FRAME_TYPE_RESULT);
}

Test(node_connections, idle_crowd_does_not_cost_jobs_their_connections)
{
    on_each_loop(idle_crowd);
}

/* Clients that begin jobs of the longest kind and do not finish them: more than there is room for. */
#define HOARDERS 70

static uint8_t long_job[JOB_HEAD_BYTES + JOB_DATA_BYTES_MAX];

static int hoarder_connect(const struct fixture *fixture)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET,
        .sin_port = htons(fixture->config.address.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void hoarder_send(struct fixture *fixture, int fd, const uint8_t *bytes, size_t length)
{
    uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    for (size_t sent = 0; sent < length;) {
        ssize_t r = send(fd, bytes + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        cr_assert(r > 0 || errno == EAGAIN);
        cr_assert_lt(clock_monotonic_ns(), end_ns);
        sent += r > 0 ? (size_t)r : 0;
        cr_assert_eq(loop_run_once(fixture->loop, 0), 0);
    }
}

static void long_job_head(uint64_t job_id)
{
    struct wire_job job = {
        .client_id = 9,
        .job_id = job_id,
        .service_id = service_id("digest", 6),
        .service_time_ms = 10000,
        .data_length = JOB_DATA_BYTES_MAX,
    };
    cr_assert_eq(wire_job_encode_head(&job, job_id, long_job, JOB_HEAD_BYTES), JOB_HEAD_BYTES);
}

/* The type of the next answer, which is to request_id. */
static uint16_t hoarder_read(struct fixture *fixture, int fd, uint64_t request_id)
{
    uint8_t bytes[512];
    size_t length = 0;
    struct frame frame;
    enum refusal refusal;
    int r = -EAGAIN;
    uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (r == -EAGAIN) {
        ssize_t got = recv(fd, bytes + length, sizeof(bytes) - length, MSG_DONTWAIT);
        cr_assert(got > 0 || (got < 0 && errno == EAGAIN));
        cr_assert_lt(clock_monotonic_ns(), end_ns);
        length += got > 0 ? (size_t)got : 0;
        r = frame_decode_stream(bytes, length, &frame, &refusal);
        cr_assert_eq(loop_run_once(fixture->loop, NS_PER_MS), 0);
    }
    cr_assert_eq(r, (int)length);
    cr_assert_eq(frame.request_id, request_id);
    return frame.type;
}

static bool all_above_the_limit_were_refused(const struct fixture *fixture)
{
    return fixture_count(fixture, COUNTER_JOBS_REFUSED_MEMORY) == HOARDERS - NODE_UNFINISHED_BYTES_MAX / sizeof(long_job);
}

static void hoarders(struct fixture *fixture)
{
    int fd[HOARDERS];
    fixture_start(fixture);
    for (uint64_t i = 0; i < HOARDERS; i++) {
        fd[i] = hoarder_connect(fixture);
        long_job_head(i);
        hoarder_send(fixture, fd[i], long_job, sizeof(long_job) - 1);
    }
    fixture_until(fixture, all_above_the_limit_were_refused, "those above the limit are refused");
    uint64_t last = HOARDERS - 1;
    cr_expect_eq(hoarder_read(fixture, fd[last], last), FRAME_TYPE_BUSY);

    struct client *modest = fixture_connect(fixture);
    client_submit(modest, &(struct job_request){.service = "echo", .data = "still here", .job_id = 1});
    cr_expect_eq(client_await(modest, 1)->type, FRAME_TYPE_RESULT);

    hoarder_send(fixture, fd[0], long_job, 1);
    cr_expect_eq(hoarder_read(fixture, fd[0], 0), FRAME_TYPE_RESULT, "one that was within the limit goes on");
    hoarder_send(fixture, fd[last], long_job, 1);
    long_job_head(1000);
    hoarder_send(fixture, fd[last], long_job, sizeof(long_job));
    cr_expect_eq(hoarder_read(fixture, fd[last], 1000), FRAME_TYPE_RESULT, "there is room again, and the connection has gone on");
    for (uint32_t i = 0; i < HOARDERS; i++)
        close(fd[i]);
}

Test(node_connections, unfinished_jobs_beyond_the_limit_are_refused_as_busy)
{
    on_each_loop(hoarders);
}

static bool two_connections(const struct fixture *fixture)
{
    return fixture->node->connection_count == 2;
}

static bool one_was_refused(const struct fixture *fixture)
{
    return fixture_count(fixture, COUNTER_NODE_CONNECTIONS_REFUSED) == 1;
}

static void too_many_handed_over(struct fixture *fixture)
{
    fixture->config.connections_max = 2;
    fixture_start(fixture);
    fixture_hand_over(fixture);
    struct client *runs = fixture_connect(fixture);
    struct client *idle = fixture_connect(fixture);
    client_submit(runs, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "a job runs");
    client_submit(idle, &(struct job_request){.service = "no such", .job_id = 2});
    cr_expect_eq(client_await(idle, 2)->type, FRAME_TYPE_ERROR);
    cr_assert(two_connections(fixture));

    struct client *third = fixture_connect(fixture);
    client_submit(third, &(struct job_request){.service = "echo", .job_id = 3});
    client_await_closed(idle);
    fixture_until_queued(fixture, 1);
    cr_expect_eq(fixture_count(fixture, COUNTER_NODE_CONNECTIONS_EVICTED), 1);
    cr_expect(two_connections(fixture));

    struct client *fourth = fixture_connect(fixture);
    client_submit(fourth, &(struct job_request){.service = "echo", .job_id = 4});
    client_await_closed(fourth);
    cr_expect(one_was_refused(fixture));
    cr_expect_not(runs->closed);
    cr_expect_not(third->closed);
}

Test(node_connections, handed_over_beyond_the_limit_close_idle_ones_or_are_refused)
{
    on_each_loop(too_many_handed_over);
}

static bool frame_has_begun(const struct fixture *fixture)
{
    return fixture->node->connections->partial_ns != 0;
}

static void endless_frame(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "a job runs");
    long_job_head(2);
    client_send(client, long_job, 100);
    fixture_until(fixture, frame_has_begun, "a frame that does not end");
    fixture_turn(fixture);
    cr_expect_not(client->closed);
    fixture->node->connections->partial_ns -= 5 * NS_PER_S;
    connection_watch(fixture->node->connections);
    client_await_closed(client);
    cr_expect_eq(fixture_count(fixture, COUNTER_NODE_CONNECTIONS_TOO_SLOW), 1);
}

Test(node_connections, frame_that_does_not_end_ends_the_connection_though_a_job_runs)
{
    on_each_loop(endless_frame);
}
