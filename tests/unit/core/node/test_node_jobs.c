/* Jobs over real TCP: refused, queued, run in order, cancelled, stopped in time (requirements N1 to N4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/wire/address_path.h"
#include "tests/unit/core/node/node_fixture.h"

static void expect_error(const struct reply *reply, enum wire_error_code code, bool started)
{
    cr_assert_eq(reply->type, FRAME_TYPE_ERROR);
    cr_expect_eq(reply->error.code, code, "code %u: %s", reply->error.code, reply->error.text);
    cr_expect_eq(reply->error.started, started);
}

static void expect_data(const struct client *client, const char *text)
{
    cr_expect_eq(client->data.length, strlen(text));
    cr_expect(client->data.length == strlen(text) && memcmp(client->data.bytes, text, strlen(text)) == 0, "\"%.*s\"",
              (int)client->data.length, (const char *)client->data.bytes);
}

static void garbage(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_send(client, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 38);
    client_await_closed(client);
    cr_expect_eq(client->reply_count, 0);
}

Test(node_jobs, garbage_closes_the_connection)
{
    on_each_loop(garbage);
}

static void malformed(struct fixture *fixture)
{
    struct wire_job job = {.service_id = 1, .service_time_ms = 1};
    uint8_t bytes[JOB_HEAD_BYTES];
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    cr_assert_eq(wire_job_encode_head(&job, 5, bytes, sizeof(bytes)), JOB_HEAD_BYTES);
    memset(bytes + FRAME_HEADER_BYTES + 24, 0, 4); /* a service time of 0 */
    client_send(client, bytes, sizeof(bytes));
    expect_error(client_await(client, 5), WIRE_ERROR_MALFORMED, false);
    client_await_closed(client);
}

Test(node_jobs, malformed_job_gets_one_error_and_the_end)
{
    on_each_loop(malformed);
}

static void address_request(struct fixture *fixture)
{
    struct wire_address_request request = {.service_id = 1, .count = 1};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    int length = wire_address_request_encode(&request, 5, 0, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    client_send(client, bytes, (size_t)length);
    expect_error(client_await(client, 5), WIRE_ERROR_NOT_DISPATCHER, false);
    client_submit(client, &(struct job_request){.service = "echo", .data = "on we go", .job_id = 6});
    cr_expect_eq(client_await(client, 6)->type, FRAME_TYPE_RESULT);
}

Test(node_jobs, worker_asked_for_an_address_says_that_it_is_none)
{
    on_each_loop(address_request);
}

static void address_request_at_dispatcher(struct fixture *fixture)
{
    fixture->config.kind = WIRE_NODE_DISPATCHER;
    struct wire_address_request request = {.service_id = 1, .count = 1};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    int length = wire_address_request_encode(&request, 5, 0, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    client_send(client, bytes, (size_t)length);
    expect_error(client_await(client, 5), WIRE_ERROR_NOT_ACCEPTED_HERE, false);
}

Test(node_jobs, dispatchers_job_connection_takes_no_requests_for_addresses)
{
    on_each_loop(address_request_at_dispatcher);
}

static void no_jobs(struct fixture *fixture)
{
    fixture->config.no_jobs = true;
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 1});
    expect_error(client_await(client, 1), WIRE_ERROR_NOT_ACCEPTED_HERE, false);
}

Test(node_jobs, node_without_jobs_refuses_them)
{
    on_each_loop(no_jobs);
}

static void unknown_service(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "teleport", .job_id = 1});
    expect_error(client_await(client, 1), WIRE_ERROR_NO_SERVICE, false);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_REFUSED_NO_SERVICE), 1);
}

Test(node_jobs, unknown_service_is_refused)
{
    on_each_loop(unknown_service);
}

static void bad_parameters(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    static const char *const jobs[][2] = {
        {"sleep", "abc"}, {"spin", "5"}, {"blob", ""}, {"blob", "10 apples"}, {"blob", "9999999G"}};
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        client_submit(client, &(struct job_request){.service = jobs[i][0], .data = jobs[i][1], .job_id = i});
        const struct reply *reply = client_await(client, i);
        expect_error(reply, WIRE_ERROR_JOB_FAILED, true);
        cr_expect_not_null(strstr(reply->error.text, "takes a"), "%s", reply->error.text);
    }
}

Test(node_jobs, wrong_parameters_fail_the_job_in_words)
{
    on_each_loop(bad_parameters);
}

static void duplicate(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture), *other = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "echo", .client_id = 1, .job_id = 1});
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT);
    client_submit(other, &(struct job_request){.service = "echo", .client_id = 1, .job_id = 1});
    expect_error(client_await(other, 1), WIRE_ERROR_DUPLICATE_JOB, true);
    client_submit(other, &(struct job_request){.service = "echo", .client_id = 2, .job_id = 1});
    client_submit(other, &(struct job_request){.service = "echo", .client_id = 1, .job_id = 2});
    cr_expect_eq(client_await(other, 2)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_OK), 3);
}

Test(node_jobs, job_sent_twice_runs_once)
{
    on_each_loop(duplicate);
}

static void busy(struct fixture *fixture)
{
    fixture->config.queue_max = 2;
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    for (uint64_t i = 1; i <= 4; i++)
        client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = i});
    const struct reply *reply = client_await(client, 4);
    cr_assert_eq(reply->type, FRAME_TYPE_BUSY);
    cr_expect_eq(reply->busy.job_id, 4);
    cr_expect_geq(reply->busy.retry_after_ms, 10);
    cr_expect_leq(reply->busy.retry_after_ms, 5000);
    cr_expect_eq(client->reply_count, 1, "the others wait and run");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_REFUSED_BUSY), 1);
}

Test(node_jobs, full_queue_answers_busy)
{
    on_each_loop(busy);
}

static bool has_four_replies(const struct fixture *fixture)
{
    return fixture->clients[0].reply_count == 4;
}

static void wait_exceeded(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "30ms", .job_id = 1});
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2, .wait_ms = 5});
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 3, .wait_ms = 5000});
    expect_error(client_await(client, 2), WIRE_ERROR_WAIT_EXCEEDED, false);
    cr_expect_eq(client_await(client, 3)->type, FRAME_TYPE_RESULT);
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2});
    fixture_until(fixture, has_four_replies, "an answer to the second try");
    cr_expect_eq(client->replies[3].type, FRAME_TYPE_RESULT, "the job that was not started may come again");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_WAIT), 1);
}

Test(node_jobs, job_older_than_its_wait_is_not_run)
{
    on_each_loop(wait_exceeded);
}

/* The jobs write down themselves when they run: answers of several connections may overtake each other. */
static void wait_ends_behind_a_long_job(struct fixture *fixture)
{
    fixture->config.queue_max = 2;
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "a job runs");
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2, .wait_ms = 5});
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 3, .wait_ms = 5});
    expect_error(client_await(client, 2), WIRE_ERROR_WAIT_EXCEEDED, false);
    expect_error(client_await(client, 3), WIRE_ERROR_WAIT_EXCEEDED, false);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_WAIT), 2);
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 4});
    fixture_until_queued(fixture, 1);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_REFUSED_BUSY), 0, "they take no room any more");
}

Test(node_jobs, wait_ends_in_time_though_no_slot_becomes_free)
{
    on_each_loop(wait_ends_behind_a_long_job);
}

/* More than the queue has room for, while two jobs wait on in it. */
static void many_waits_end(struct fixture *fixture)
{
    fixture->config.queue_max = 3;
    fixture_start(fixture);
    struct client *running = fixture_connect(fixture);
    struct client *patient = fixture_connect(fixture);
    struct client *hasty = fixture_connect(fixture);
    client_submit(running, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "a job runs");
    client_submit(patient, &(struct job_request){.service = "echo", .data = "first ", .job_id = 2});
    client_submit(patient, &(struct job_request){.service = "echo", .data = "second", .job_id = 3, .wait_ms = 60000});
    fixture_until_queued(fixture, 2);
    for (uint64_t i = 0; i < 50; i++) {
        hasty->reply_count = 0;
        client_submit(hasty, &(struct job_request){.service = "echo", .data = "x", .job_id = 100 + i, .wait_ms = 1});
        expect_error(client_await(hasty, 100 + i), WIRE_ERROR_WAIT_EXCEEDED, false);
    }
    client_leave(running);
    cr_expect_eq(client_await(patient, 2)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client_await(patient, 3)->type, FRAME_TYPE_RESULT);
    expect_data(patient, "first second");
    fixture_until(fixture, no_job_is_left, "all jobs have ended");
}

Test(node_jobs, jobs_whose_wait_ends_leave_the_queue_to_others)
{
    on_each_loop(many_waits_end);
}

static void in_order(struct fixture *fixture)
{
    char path[] = "/tmp/usher-test-XXXXXX", command[64], written[16] = "";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    snprintf(command, sizeof(command), "exec:note=cat >>%s", path);
    fixture_services(fixture, (const char *const[]){command, "sleep"}, 2);
    fixture_start(fixture);
    struct client *clients[3];
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        clients[i] = fixture_connect(fixture);
    struct client *first = fixture_connect(fixture);
    client_submit(first, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 100});
    fixture_until(fixture, one_job_runs, "the first one runs");
    for (uint64_t i = 0; i < 9; i++) {
        char digit[2] = {(char)('1' + i), '\0'};
        client_submit(clients[i % 3], &(struct job_request){.service = "note", .data = digit, .job_id = i});
        fixture_until_queued(fixture, (uint32_t)i + 1);
    }
    client_leave(first);
    for (uint64_t i = 0; i < 9; i++)
        cr_expect_eq(client_await(clients[i % 3], i)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(read(fd, written, sizeof(written) - 1), 9);
    cr_expect_str_eq(written, "123456789");
    close(fd);
    unlink(path);
}

Test(node_jobs, oldest_job_runs_first)
{
    on_each_loop(in_order);
}

static void echoes(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "echo", .data = "hello", .job_id = 7});
    const struct reply *reply = client_await(client, 7);
    cr_assert_eq(reply->type, FRAME_TYPE_RESULT);
    cr_expect_eq(reply->job_id, 7);
    expect_data(client, "hello");
}

Test(node_jobs, echo_answers_with_its_data)
{
    on_each_loop(echoes);
}

static void empty_result(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = " 3ms\n", .job_id = 7});
    const struct reply *reply = client_await(client, 7);
    cr_assert_eq(reply->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client->data.length, 0);
    cr_expect_geq(reply->ran_us, 3000);
}

Test(node_jobs, sleep_takes_its_time_and_answers_nothing)
{
    on_each_loop(empty_result);
}

static void digests(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "digest", .data = "abc", .job_id = 7});
    cr_assert_eq(client_await(client, 7)->type, FRAME_TYPE_RESULT);
    expect_data(client, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

Test(node_jobs, digest_is_blake2b)
{
    on_each_loop(digests);
}

static void slow_node(struct fixture *fixture)
{
    fixture->config.sleep_factor = 1000;
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    node_set_sleep_factor(fixture->node, 2);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "10ms", .job_id = 1});
    cr_expect_geq(client_await(client, 1)->ran_us, 20000);
    client_submit(client, &(struct job_request){.service = "spin", .data = "5ms", .job_id = 2});
    cr_expect_geq(client_await(client, 2)->ran_us, 10000);
}

Test(node_jobs, sleep_factor_counts_from_the_next_job_on)
{
    on_each_loop(slow_node);
}

static void client_gone_while_queued(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *first = fixture_connect(fixture), *second = fixture_connect(fixture), *third = fixture_connect(fixture);
    client_submit(first, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "the first one runs");
    client_submit(second, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 2});
    client_submit(third, &(struct job_request){.service = "echo", .data = "third", .job_id = 3});
    fixture_until_queued(fixture, 2);
    client_leave(second);
    fixture_until_queued(fixture, 1);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_CLIENT_GONE), 1);
    client_leave(first);
    cr_expect_eq(client_await(third, 3)->type, FRAME_TYPE_RESULT, "its turn comes at once");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_CLIENT_GONE), 2);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_OK), 1);
}

Test(node_jobs, client_that_leaves_cancels_its_jobs)
{
    on_each_loop(client_gone_while_queued);
}

static void overruns(struct fixture *fixture, const char *service)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = service, .data = "10s", .job_id = 1, .service_time_ms = 30});
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2});
    const struct reply *reply = client_await(client, 1);
    expect_error(reply, WIRE_ERROR_SERVICE_TIME_EXCEEDED, true);
    client_await_closed(client);
    const struct reply *other = client_find(client, 2);
    if (other != NULL && other->type == FRAME_TYPE_ERROR)
        cr_expect_eq(other->error.code, WIRE_ERROR_CANCELLED, "the connection has ended");
    cr_expect_not_null(other, "answered all the same");
}

static void sleep_overruns(struct fixture *fixture)
{
    overruns(fixture, "sleep");
}

Test(node_jobs, sleep_is_stopped_when_its_service_time_is_up)
{
    on_each_loop(sleep_overruns);
}

static void spin_overruns(struct fixture *fixture)
{
    overruns(fixture, "spin");
}

Test(node_jobs, spin_is_stopped_when_its_service_time_is_up)
{
    on_each_loop(spin_overruns);
}

static void service_time_from_start(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "400ms", .job_id = 1});
    client_submit(client, &(struct job_request){.service = "sleep", .data = "5ms", .job_id = 2, .service_time_ms = 200});
    const struct reply *reply = client_await(client, 2);
    cr_expect_eq(reply->type, FRAME_TYPE_RESULT, "it waited longer than its service time, and ran within it");
    cr_expect_geq(reply->waited_us, 200000);
}

Test(node_jobs, service_time_counts_from_the_start)
{
    on_each_loop(service_time_from_start);
}

#define BLOB_TEXT "48MB"
#define BLOB_BYTES (UINT64_C(48) << 20)

static bool node_waits_for_reader(const struct fixture *fixture)
{
    static uint64_t sent_before;
    uint64_t sent = atomic_load_explicit(&loop_stats(fixture->loop)->stream_bytes_sent, memory_order_relaxed);
    bool still = sent == sent_before && sent > 0;
    sent_before = sent;
    return still;
}

static void slow_reader(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client->counts_only = true;
    stream_pause(client->stream);
    client_submit(client, &(struct job_request){.service = "blob", .data = BLOB_TEXT, .job_id = 1});
    fixture_until(fixture, one_job_runs, "it runs");
    fixture_turn(fixture);
    fixture_until(fixture, node_waits_for_reader, "the kernel's buffers are full");
    cr_expect_eq(fixture_stats(fixture).jobs_running, 1, "the service waits");
    stream_resume(client->stream);
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client->data_length, BLOB_BYTES);
}

Test(node_jobs, service_waits_for_a_slow_reader)
{
    on_each_loop(slow_reader);
}

static void slow_reader_in_vain(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    stream_pause(client->stream);
    client_submit(client, &(struct job_request){.service = "blob", .data = "1G", .job_id = 1, .service_time_ms = 100});
    fixture_until(fixture, one_job_runs, "it runs");
    fixture_until(fixture, no_job_is_left, "its service time ends it");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_SERVICE_TIME), 1);
}

Test(node_jobs, slow_reader_holds_a_slot_for_the_service_time_only)
{
    on_each_loop(slow_reader_in_vain);
}

static void many_at_once(struct fixture *fixture)
{
    fixture->config.slots = 4;
    fixture->config.queue_max = 64;
    fixture_start(fixture);
    for (uint64_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = fixture_connect(fixture);
        for (uint64_t j = 0; j < 8; j++)
            client_submit(client, &(struct job_request){.service = "digest", .data = "x", .client_id = i, .job_id = j});
    }
    for (uint64_t i = 0; i < CLIENTS_MAX; i++)
        for (uint64_t j = 0; j < 8; j++)
            cr_expect_eq(client_await(&fixture->clients[i], j)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_OK), 8 * CLIENTS_MAX);
    fixture_until(fixture, no_job_is_left, "nothing is left");
}

Test(node_jobs, many_clients_with_many_jobs_each_get_all_answers)
{
    on_each_loop(many_at_once);
}
