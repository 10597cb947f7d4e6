#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/client/fake.h"

static struct fake_dispatcher dispatcher;
static struct fake_node node, other;
static struct usher_result result;
static struct usher_job job;

static void setup(void)
{
    dispatcher = (struct fake_dispatcher){0};
    node = other = (struct fake_node){0};
    result = (struct usher_result){0};
    job = (struct usher_job){.service = "echo", .data = "hello", .data_bytes = 5, .service_time_min_ms = 100, .wait_ms = 200};
    fake_setup();
    fake_dispatcher_start(&dispatcher, 1);
    fake_node_start(&node);
    fake_node_start(&other);
    struct usher_config config = {.dispatchers = fake_list(&dispatcher, NULL, NULL), .fault_time_ms = 1000};
    fake_client_start(&config);
}

static void teardown(void)
{
    usher_result_free(&result);
    fake_teardown();
}

TestSuite(usher_run, .init = setup, .fini = teardown, .timeout = 30);

static int run(void)
{
    return usher_run(fake_client, &job, &result);
}

Test(usher_run, no_node_is_asked_for_until_the_wait_is_over)
{
    cr_assert_eq(run(), USHER_ERROR_NO_NODE);
    cr_assert_eq(result.started, USHER_NOT_STARTED);
    cr_assert_str_empty(result.node);
    cr_assert_geq(dispatcher.asks, 3);
    cr_assert_geq(result.elapsed_us, 20000u);
}

Test(usher_run, unknown_service_ends_at_once)
{
    dispatcher.mode = FAKE_REFUSE;
    dispatcher.code = WIRE_ERROR_NO_SERVICE;
    job.wait_ms = 10000;
    cr_assert_eq(run(), USHER_ERROR_NO_SERVICE);
    cr_assert_lt(result.elapsed_us, 5000000u);
}

static void on_result(void *context, const struct usher_result *ended)
{
    *(int *)context = ended->error;
}

Test(usher_run, node_that_comes_meanwhile_gets_the_job)
{
    uint64_t id;
    int ended = 1;
    job.wait_ms = 10000;
    cr_assert_eq(usher_job_start(fake_client, &job, on_result, &ended, &id), 0);
    while (dispatcher.asks < 2)
        fake_run_for(1);
    fake_dispatcher_names(&dispatcher, &node.address);
    while (ended == 1)
        fake_run_for(1);
    cr_assert_eq(ended, 0);
    cr_assert_eq(node.jobs, 1);
}

Test(usher_run, too_much_data_is_refused_here)
{
    job.data_bytes = USHER_DATA_BYTES_MAX + 1;
    cr_assert_eq(run(), -EINVAL);
}

Test(usher_run, dead_node_is_left_out_and_another_one_taken)
{
    struct address dead = fake_dead_address();
    fake_dispatcher_names(&dispatcher, &dead);
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0, "%s", result.message);
    cr_assert_eq(result.attempts, 2);
    cr_assert_eq(dispatcher.last.exclude_count, 1);
    cr_assert(address_equal(&dispatcher.last.excludes[0], &dead));
}

Test(usher_run, dead_node_stays_left_out_for_other_jobs)
{
    struct address dead = fake_dead_address();
    fake_dispatcher_names(&dispatcher, &dead);
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0);
    usher_result_free(&result);
    cr_assert_eq(run(), 0);
    cr_assert_eq(result.attempts, 1);
}

Test(usher_run, only_dead_nodes_end_not_started_when_the_wait_is_over)
{
    struct address dead = fake_dead_address();
    fake_dispatcher_names(&dispatcher, &dead);
    cr_assert_eq(run(), USHER_ERROR_CONNECTION);
    cr_assert_eq(result.started, USHER_NOT_STARTED);
    cr_assert_lt(result.elapsed_us, 5000000u);
    cr_assert(strstr(result.message, "cannot connect"), "%s", result.message);
}

Test(usher_run, broken_connection_after_the_job_is_maybe_started)
{
    node.mode = FAKE_BREAK;
    fake_dispatcher_names(&dispatcher, &node.address);
    fake_dispatcher_names(&dispatcher, &other.address);
    cr_assert_eq(run(), USHER_ERROR_CONNECTION);
    cr_assert_eq(result.started, USHER_MAYBE_STARTED);
    cr_assert_eq(other.jobs, 0);
    cr_assert(strstr(result.message, "may have started"), "%s", result.message);
}

Test(usher_run, job_whose_result_had_begun_has_started)
{
    node.mode = FAKE_PART_AND_BREAK;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), USHER_ERROR_CONNECTION);
    cr_expect_eq(result.started, USHER_STARTED);
    cr_expect(strstr(result.message, "the job had started"), "%s", result.message);
}

Test(usher_run, result_beyond_64_mib_says_the_limit)
{
    node.mode = FAKE_ENDLESS;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), USHER_ERROR_RESULT_TOO_LARGE);
    cr_expect_eq(result.started, USHER_STARTED);
    cr_expect_str_eq(usher_error_name(result.error), "result-too-large");
    cr_expect(strstr(result.message, "64 MiB"), "%s", result.message);
}

Test(usher_run, idempotent_job_is_run_again_elsewhere)
{
    node.mode = FAKE_BREAK;
    job.idempotent = true;
    fake_dispatcher_names(&dispatcher, &node.address);
    fake_dispatcher_names(&dispatcher, &other.address);
    cr_assert_eq(run(), 0, "%s", result.message);
    cr_assert_eq(other.jobs, 1);
    cr_assert_neq(node.last.job_id, other.last.job_id, "a node refuses an ID it has seen");
}

Test(usher_run, silent_node_is_given_up_after_wait_and_service_time)
{
    node.mode = FAKE_HANG;
    job.wait_ms = 50;
    job.service_time_min_ms = 50;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), USHER_ERROR_NO_ANSWER);
    cr_assert_eq(result.started, USHER_MAYBE_STARTED);
    cr_assert(result.elapsed_us >= 2000000 && result.elapsed_us < 5000000);
    fake_run_for(20);
    cr_assert_eq(node.closed, 1, "so that the node gives it up too");
}

Test(usher_run, bytes_of_another_protocol_end_it)
{
    node.mode = FAKE_NO_PROTOCOL;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_str_eq(usher_error_name(run()), "protocol");
    cr_assert_eq(result.started, USHER_MAYBE_STARTED);
}

Test(usher_run, busy_node_means_another_one)
{
    node.mode = FAKE_BUSY_ONCE;
    fake_dispatcher_names(&dispatcher, &node.address);
    fake_dispatcher_names(&dispatcher, &other.address);
    cr_assert_eq(run(), 0);
    cr_assert_eq(node.jobs, 1);
    cr_assert_eq(other.jobs, 1);
}

Test(usher_run, only_node_busy_is_tried_again_later)
{
    node.mode = FAKE_BUSY_ONCE;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0, "%s", result.message);
    cr_assert_eq(node.jobs, 2);
    cr_assert_geq(result.elapsed_us, 10000);
}

Test(usher_run, service_failure_is_final_and_started)
{
    node.mode = FAKE_ERROR;
    node.code = WIRE_ERROR_JOB_FAILED;
    node.started = true;
    job.idempotent = true;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), USHER_ERROR_JOB_FAILED);
    cr_assert_eq(result.started, USHER_STARTED);
    cr_assert_eq(node.jobs, 1);
}

Test(usher_run, leaving_node_that_did_not_start_it_means_another_one)
{
    node.mode = FAKE_ERROR;
    node.code = WIRE_ERROR_SHUTTING_DOWN;
    fake_dispatcher_names(&dispatcher, &node.address);
    fake_dispatcher_names(&dispatcher, &other.address);
    cr_assert_eq(run(), 0);
    cr_assert_eq(other.jobs, 1);
}

Test(usher_run, attached_server_is_not_sent_a_job)
{
    fake_dispatcher_names(&dispatcher, &node.address);
    dispatcher.nodes[0].state = WIRE_ADDRESS_NO_ECHO;
    cr_assert_neq(run(), 0);
    cr_assert_eq(node.jobs, 0);
    cr_assert(strstr(result.message, "attached server"), "%s", result.message);
}

Test(usher_run, result_comes_with_who_and_how_long)
{
    char address[ADDRESS_TEXT_BYTES];
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0);
    cr_assert_eq(result.data_bytes, 5);
    cr_assert_eq(memcmp(result.data, "hello", 5), 0);
    cr_assert_str_eq(result.node, address_format(&node.address, address));
    cr_assert_str_eq(result.dispatcher, address_format(&dispatcher.address, address));
    cr_assert_eq(result.region, 1);
    cr_assert_eq(result.waited_us, 11);
    cr_assert_eq(result.ran_us, 22);
    cr_assert_eq(result.service_time_ms, 100);
    cr_assert_eq(node.last.service_time_ms, 100);
    cr_assert_eq(node.last.dispatcher_boot_id, 99);
}

Test(usher_run, parts_are_put_together)
{
    node.mode = FAKE_PARTS;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0);
    cr_assert_eq(result.data_bytes, 5);
    cr_assert_eq(memcmp(result.data, "hello", 5), 0);
}

Test(usher_run, no_data_is_allowed)
{
    job.data_bytes = 0;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0);
    cr_assert_eq(result.data_bytes, 0);
}

Test(usher_run, largest_data_gets_through)
{
    static uint8_t data[USHER_DATA_BYTES_MAX];
    job.data = data;
    job.data_bytes = sizeof(data);
    node.mode = FAKE_ERROR;
    node.code = WIRE_ERROR_JOB_FAILED;
    node.started = true;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), USHER_ERROR_JOB_FAILED);
    cr_assert_eq(node.last.data_length, sizeof(data));
}

Test(usher_run, every_job_asks_for_an_address_of_its_own)
{
    fake_dispatcher_names(&dispatcher, &node.address);
    for (uint32_t i = 1; i <= 5; i++) {
        cr_assert_eq(run(), 0);
        usher_result_free(&result);
        cr_assert_eq(dispatcher.asks, i);
        cr_assert_eq(dispatcher.last.count, 1);
    }
}

Test(usher_run, next_request_tells_how_the_job_went)
{
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(run(), 0);
    cr_assert(!dispatcher.last.has_feedback);
    usher_result_free(&result);
    cr_assert_eq(run(), 0);
    cr_assert(dispatcher.last.has_feedback);
    cr_assert(address_equal(&dispatcher.last.feedback.node, &node.address));
    cr_assert_eq(dispatcher.last.feedback.outcome, WIRE_OUTCOME_OK);
}

Test(usher_run, cancelling_closes_the_connection)
{
    int error = 0;
    uint64_t id;
    node.mode = FAKE_HANG;
    fake_dispatcher_names(&dispatcher, &node.address);
    cr_assert_eq(usher_job_start(fake_client, &job, on_result, &error, &id), 0);
    for (int i = 0; i < 100 && node.jobs == 0; i++)
        cr_assert_eq(usher_client_poll(fake_client, 10), 0);
    cr_assert_eq(node.jobs, 1);
    cr_assert(usher_cancel(fake_client, id));
    cr_assert_eq(error, USHER_ERROR_CANCELLED);
    fake_run_for(20);
    cr_assert_eq(node.closed, 1);
}
