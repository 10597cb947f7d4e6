#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/client/fake.h"

#define PATIENT_US 1000000u

static struct fake_dispatcher first, second, abroad;
static struct usher_answer answer;
static const struct usher_ask ask = {.service = "echo"};

static void setup(void)
{
    struct address node = {.family = ADDRESS_IPV4, .port = 9, .ip = {10, 0, 0, 1}};
    first = second = abroad = (struct fake_dispatcher){0};
    fake_setup();
    fake_dispatcher_start(&first, 1);
    fake_dispatcher_start(&second, 1);
    fake_dispatcher_start(&abroad, 2);
    fake_dispatcher_names(&first, &node);
    fake_dispatcher_names(&second, &node);
    node.port = 99;
    fake_dispatcher_names(&abroad, &node);
}

TestSuite(usher_ask, .init = setup, .fini = fake_teardown);

static void start(const char *dispatchers)
{
    struct usher_config config = {.dispatchers = dispatchers, .reply_timeout_us = 20000, .fault_time_ms = 100};
    fake_client_start(&config);
}

/* Where a reply timeout must not be paid for: it is longer than this machine may stand still. */
static void start_patient(const char *dispatchers)
{
    struct usher_config config = {.dispatchers = dispatchers, .reply_timeout_us = PATIENT_US, .fault_time_ms = 100};
    fake_client_start(&config);
}

Test(usher_ask, nobody_there_is_unreachable)
{
    start_patient(fake_list(&first, NULL, NULL));
    fake_dispatcher_kill(&first);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
    cr_assert(strstr(answer.message, "refused"), "%s", answer.message);
    cr_assert_lt(answer.elapsed_us, PATIENT_US, "a refusal must not cost a reply timeout");
}

Test(usher_ask, all_silent_is_unreachable_within_the_timeouts)
{
    start(fake_list(&first, &second, NULL));
    first.mode = second.mode = FAKE_SILENT;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
    cr_assert(answer.elapsed_us >= 20000 && answer.elapsed_us < 6 * 20000 + PATIENT_US);
}

Test(usher_ask, garbage_is_no_answer)
{
    start(fake_list(&first, NULL, NULL));
    first.mode = FAKE_GARBAGE;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
}

Test(usher_ask, answer_to_another_question_is_no_answer)
{
    start(fake_list(&first, NULL, NULL));
    first.mode = FAKE_WRONG_ID;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
}

Test(usher_ask, worker_is_named_as_such)
{
    start(fake_list(&first, NULL, NULL));
    first.mode = FAKE_REFUSE;
    first.code = WIRE_ERROR_NOT_DISPATCHER;
    cr_assert_neq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_str_eq(usher_error_name(answer.error), "not-dispatcher");
    cr_assert(strstr(answer.message, "give a dispatcher's address"), "%s", answer.message);
}

Test(usher_ask, no_node_anywhere_is_no_node)
{
    start(fake_list(&first, &second, NULL));
    first.node_count = second.node_count = 0;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_NO_NODE);
}

Test(usher_ask, wrong_description_says_what)
{
    struct usher_ask wrong = {.service = "not a name"};
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &wrong, &answer), -EINVAL);
    cr_assert(strstr(answer.message, "not a service name"), "%s", answer.message);
    wrong = (struct usher_ask){.service = "echo", .count = 17};
    cr_assert_eq(usher_ask(fake_client, &wrong, &answer), -EINVAL);
}

Test(usher_ask, first_request_is_for_the_location)
{
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(first.locations, 1);
    cr_assert_eq(first.asks, 2);
    cr_assert_eq(answer.region, 1);
    cr_assert_str_eq(answer.nodes[0].address, "10.0.0.1:9");
}

Test(usher_ask, answers_that_come_twice_do_no_harm)
{
    start(fake_list(&first, NULL, NULL));
    first.mode = FAKE_TWICE;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(answer.attempts, 1);
}

Test(usher_ask, several_addresses_and_excludes_reach_the_dispatcher)
{
    struct usher_ask several = {.service = "echo", .count = 5, .excludes = (const char *[]){"10.0.0.7:1"}, .exclude_count = 1};
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &several, &answer), 0);
    cr_assert_eq(first.last.count, 5);
    cr_assert_eq(first.last.exclude_count, 1);
    cr_assert_eq(first.last.wait_ms, 20);
}

Test(usher_ask, killed_dispatcher_costs_no_timeout)
{
    start_patient(fake_list(&first, &second, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    fake_dispatcher_kill(&first);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0, "%s", answer.message);
        cr_assert_lt(answer.elapsed_us, PATIENT_US);
    }
}

Test(usher_ask, silent_dispatcher_is_asked_again_from_another_port)
{
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(first.ports[0], first.ports[1], "one that answers keeps its port");
    first.mode = FAKE_SILENT;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), USHER_ERROR_UNREACHABLE);
    cr_assert_geq(first.asks, 4);
    cr_assert_neq(first.ports[2], first.ports[3]);
    cr_assert_neq(first.ports[3], first.ports[4]);
}

Test(usher_ask, silent_dispatcher_costs_one_reply_timeout_and_then_nothing)
{
    start_patient(fake_list(&first, &second, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    first.mode = FAKE_SILENT;
    uint32_t slow = 0;
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
        slow += answer.elapsed_us >= PATIENT_US;
    }
    cr_assert_leq(slow, 1);
}

Test(usher_ask, faulty_dispatcher_is_probed_and_comes_back)
{
    struct usher_stats stats;
    start(fake_list(&first, &second, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    fake_dispatcher_kill(&first);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    fake_dispatcher_start(&first, 1);
    uint32_t before = first.asks;
    fake_run_for(300);
    cr_assert_gt(first.locations, 0);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_gt(first.asks, before);
    usher_client_stats(fake_client, &stats);
    cr_assert_eq(stats.dispatcher_faults, 1);
    cr_assert_eq(stats.dispatcher_returns, 1);
}

Test(usher_ask, lost_region_is_replaced_and_returned_to)
{
    struct usher_stats stats;
    fake_dispatcher_lists(&first, &second);
    fake_dispatcher_lists(&first, &abroad);
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    fake_dispatcher_kill(&first);
    fake_dispatcher_kill(&second);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0, "%s", answer.message);
    cr_assert_eq(answer.region, 2);
    fake_dispatcher_start(&first, 1);
    fake_run_for(500);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(answer.region, 1);
    usher_client_stats(fake_client, &stats);
    cr_assert_eq(stats.region_downs, 1);
    cr_assert_eq(stats.region_returns, 1);
    cr_assert_eq(stats.region_count, 2);
}

Test(usher_ask, new_dispatcher_is_learned_while_running)
{
    struct usher_dispatcher known[4];
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert_eq(usher_client_dispatchers(fake_client, known, 4), 1);
    fake_dispatcher_lists(&first, &second);
    first.regions_version = 2;
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    fake_run_for(5);
    cr_assert_eq(usher_client_dispatchers(fake_client, known, 4), 2);
    cr_assert(known[1].learned);
    cr_assert_eq(first.locations, 2);
}

Test(usher_ask, locate_names_region_and_dispatcher)
{
    char address[ADDRESS_TEXT_BYTES];
    first.client_region = 7;
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_locate(fake_client, &answer), 0);
    cr_assert_eq(usher_client_region(fake_client), 7);
    cr_assert_eq(answer.region, 1);
    cr_assert_str_eq(answer.dispatcher, address_format(&first.address, address));
}

struct end {
    int error;
    uint32_t count;
};

static void on_answer(void *context, const struct usher_answer *got)
{
    struct end *end = context;
    end->error = got->error;
    end->count++;
}

Test(usher_ask, cancelled_one_ends_at_once_and_only_once)
{
    struct end end = {0};
    uint64_t id;
    start(fake_list(&first, NULL, NULL));
    first.mode = FAKE_SILENT;
    cr_assert_eq(usher_ask_start(fake_client, &ask, on_answer, &end, &id), 0);
    fake_run_for(2);
    cr_assert(usher_cancel(fake_client, id));
    cr_assert(!usher_cancel(fake_client, id));
    cr_assert_eq(end.error, USHER_ERROR_CANCELLED);
    fake_run_for(100);
    cr_assert_eq(end.count, 1);
}

Test(usher_ask, freeing_the_client_ends_what_is_under_way)
{
    struct end end = {0};
    uint64_t id;
    start(fake_list(&first, NULL, NULL));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(usher_ask_start(fake_client, &ask, on_answer, &end, &id), 0);
    usher_client_free(fake_client);
    fake_client = NULL;
    cr_assert_eq(end.count, 50);
    cr_assert_eq(end.error, USHER_ERROR_CANCELLED);
}

Test(usher_ask, thousand_at_once_are_all_answered)
{
    struct end end = {0};
    uint64_t id;
    start(fake_list(&first, &second, NULL));
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(usher_ask_start(fake_client, &ask, on_answer, &end, &id), 0);
    for (int i = 0; i < 1000 && end.count < 1000; i++)
        cr_assert_eq(usher_client_poll(fake_client, 20), 0);
    cr_assert_eq(end.count, 1000);
    cr_assert_eq(end.error, 0);
}

Test(usher_ask, what_was_told_rides_on_the_next_request_alone)
{
    start(fake_list(&first, NULL, NULL));
    cr_assert_eq(usher_tell(fake_client, "10.0.0.1:9", USHER_OUTCOME_TIMEOUT, UINT64_MAX), 0);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert(first.last.has_feedback);
    cr_expect_eq(first.last.feedback.outcome, WIRE_OUTCOME_TIMEOUT);
    cr_expect_eq(first.last.feedback.latency_us, UINT32_MAX);
    cr_expect_eq(first.last.feedback.node.port, 9);
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert(!first.last.has_feedback);
}

Test(usher_ask, nonsense_is_not_told)
{
    start(fake_list(&first, NULL, NULL));
    cr_expect_eq(usher_tell(fake_client, NULL, USHER_OUTCOME_OK, 1), -EINVAL);
    cr_expect_eq(usher_tell(fake_client, "worker-1", USHER_OUTCOME_OK, 1), -EINVAL);
    cr_expect_eq(usher_tell(fake_client, "10.0.0.1:9", (enum usher_outcome)3, 1), -EINVAL);
    cr_expect(strstr(usher_client_message(fake_client), "outcome"), "%s", usher_client_message(fake_client));
    cr_assert_eq(usher_ask(fake_client, &ask, &answer), 0);
    cr_assert(!first.last.has_feedback);
}
