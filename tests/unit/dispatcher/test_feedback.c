/* What clients say of their jobs, from a request's bytes to the node's values. */
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "dispatcher/feedback.h"
#include "tests/unit/dispatcher/fixture.h"

static const struct address node = {.family = ADDRESS_IPV4, .port = 7, .ip = {10, 0, 0, 7}};
static const struct address peer = {.family = ADDRESS_IPV4, .port = 99, .ip = {10, 0, 0, 1}};

static struct loop *loop;
static struct directory *directory;
static struct feedback_desk *desk;
static struct counters control, core;
static struct node_values *values;

/* A directory of one node, an attached server. */
static void setup(void)
{
    static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = {.rm_id = 1, .sequence = 1}, .node_total = 1, .first = true};
    struct wire_node offer = {.address = node,
                              .kind = WIRE_NODE_WORKER,
                              .flags = WIRE_NODE_NO_ECHO,
                              .boot_id = 1,
                              .service_count = 1,
                              .services = {{.service_id = BENCH_SERVICE}}};
    struct frame frame;
    enum refusal refusal;
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_eq(directory_new(BENCH_REGION, 1, &directory), 0);
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    cr_assert_eq(wire_nodes_add(&builder, &offer), 0);
    int length = wire_nodes_finish(&builder, true);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(directory_take(directory, &frame, loop_now_ns(loop), &refusal), 0);
    cr_assert_eq(feedback_desk_new(loop, directory, &control, 1, &desk), 0);
    values = &directory->members.values[members_find(&directory->members, &node)];
    atomic_store(&values->job_code, finish_time_code(0.1f));
}

static void teardown(void)
{
    feedback_desk_free(desk);
    directory_free(directory);
    loop_free(loop);
}

static struct wire_address_request request_about(const struct address *address, enum wire_outcome outcome)
{
    return (struct wire_address_request){
        .service_id = BENCH_SERVICE,
        .count = 1,
        .has_feedback = true,
        .feedback = {.node = *address, .outcome = (uint8_t)outcome, .latency_us = 50000},
    };
}

static void note(const struct address *address, enum wire_outcome outcome)
{
    struct wire_address_request request = request_about(address, outcome);
    feedback_note(&desk->boxes[0], &request, &peer, &core);
}

static void desk_run(void)
{
    for (uint64_t end_ns = clock_monotonic_ns() + 3 * FEEDBACK_PAUSE_NS; clock_monotonic_ns() < end_ns;)
        cr_assert_eq(loop_run_once(loop, FEEDBACK_PAUSE_NS), 0);
}

TestSuite(dispatcher_feedback, .init = setup, .fini = teardown);

Test(dispatcher_feedback, about_a_node_that_is_not_known_is_ignored)
{
    note(&peer, WIRE_OUTCOME_FAILED);
    desk_run();
    cr_expect_eq(counter_read(&core, COUNTER_FEEDBACK_FAILED), 1);
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), 1);
}

Test(dispatcher_feedback, a_flood_fills_the_box_and_no_more)
{
    for (uint32_t i = 0; i < FEEDBACK_NOTES_MAX + 10; i++)
        note(&node, WIRE_OUTCOME_TIMEOUT);
    cr_expect_eq(counter_read(&core, COUNTER_FEEDBACK_IGNORED), 10);
    desk_run();
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), FEEDBACK_NOTES_MAX - 1, "one client counts once");
    cr_expect_eq(counter_read(&core, COUNTER_FEEDBACK_TIMEOUT), FEEDBACK_NOTES_MAX + 10);
    note(&node, WIRE_OUTCOME_TIMEOUT);
    desk_run();
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), FEEDBACK_NOTES_MAX, "the bell rings again");
}

Test(dispatcher_feedback, a_failure_moves_the_finish_time)
{
    uint64_t idle_ns = loop_now_ns(loop); /* from now on */
    atomic_store(&values->free, (uint32_t)(idle_ns >> 8));
    note(&node, WIRE_OUTCOME_FAILED);
    desk_run();
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), 0);
    cr_expect_gt(finish_time_left_s(values, idle_ns), 0.05f);
}

Test(dispatcher_feedback, a_latency_is_the_estimate_of_an_attached_server)
{
    note(&node, WIRE_OUTCOME_OK);
    desk_run();
    cr_expect_eq(counter_read(&core, COUNTER_FEEDBACK_OK), 1);
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), 0);
    cr_expect_float_eq(finish_time_job_s(atomic_load(&values->job_codes[0])), 0.05f, 0.003f);
}

static void answered_and_counted(struct bench *bench, uint32_t padded_length)
{
    static struct answers answers;
    uint8_t sent[DATAGRAM_BYTES_MAX];
    struct wire_address_request request = request_about(&node, WIRE_OUTCOME_FAILED);
    int client = bench_client(bench, SOCK_DGRAM);
    int length = wire_address_request_encode(&request, 5, padded_length, sent, sizeof(sent));
    bench->shared.feedback = desk;
    cr_assert_geq(length, (int)padded_length);
    cr_assert_eq(send(client, sent, (size_t)length, 0), length);
    answers.length = (size_t)client_read(bench, client, answers.bytes, sizeof(answers.bytes));
    answers.used = 0;
    expect_address(&answers, bench, client, 5);
    cr_expect_eq(bench_counter(bench, COUNTER_FEEDBACK_FAILED), 1);
    desk_run();
    cr_expect_eq(counter_read(&control, COUNTER_FEEDBACK_IGNORED), 0);
    close(client);
}

static void padded(struct bench *bench)
{
    answered_and_counted(bench, 200);
}

static void not_padded(struct bench *bench)
{
    answered_and_counted(bench, 0);
}

Test(dispatcher_feedback, a_request_that_brings_it_is_answered)
{
    bench_run(LOOP_EPOLL, padded);
}

Test(dispatcher_feedback, so_is_one_without_padding)
{
    bench_run(LOOP_EPOLL, not_padded);
}
