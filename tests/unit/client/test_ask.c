#include <criterion/criterion.h>
#include <errno.h>

#include "client/ask.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

static struct dispatchers list;
static struct budget budget;
static struct random_state dice;
static const struct ask_world world = {&list, &budget, &dice};
static struct ask ask;

static void setup(void)
{
    struct dispatchers_config config = {.fault_time_ns = NS_PER_S, .ramp_ns = NS_PER_S, .region_failures = 2};
    dispatchers_init(&list, &config);
    budget_init(&budget);
    random_init(&dice, 3);
}

static void teardown(void)
{
    dispatchers_done(&list);
}

TestSuite(ask, .init = setup, .fini = teardown);

static void add(uint16_t port, uint16_t region)
{
    struct address address = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}};
    cr_assert_eq(dispatchers_add(&list, &address, region), 0);
}

/* Every attempt fails that way; returns how many were made. */
static uint32_t fail_all(int error)
{
    enum ask_step step = ask_start(&ask, &world, 1);
    while (step == ASK_SEND)
        step = ask_on_failure(&ask, &world, error, 1);
    return ask.attempts;
}

Test(ask, nobody_known_is_unreachable)
{
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_DONE);
    cr_assert_eq(ask.error, USHER_EUNREACHABLE);
}

Test(ask, silence_everywhere_is_unreachable)
{
    add(1, 0);
    add(2, 0);
    fail_all(-ETIMEDOUT);
    cr_assert_eq(ask.error, USHER_EUNREACHABLE);
}

Test(ask, single_dispatcher_gets_three_attempts)
{
    add(1, 1);
    list.own_region = 1;
    cr_assert_eq(fail_all(-ETIMEDOUT), 3);
}

Test(ask, three_attempts_at_home_then_three_abroad)
{
    for (uint16_t port = 1; port <= 5; port++) {
        add(port, 1);
        add((uint16_t)(port + 10), 2);
    }
    list.own_region = 1;
    list.config.region_failures = 100;
    enum ask_step step = ask_start(&ask, &world, 1);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(step, ASK_SEND);
        cr_assert_eq(ask.choice.address.port < 10, i < 3);
        step = ask_on_failure(&ask, &world, -ETIMEDOUT, 1);
    }
    cr_assert_eq(step, ASK_DONE);
}

Test(ask, down_region_is_skipped)
{
    for (uint16_t port = 1; port <= 5; port++) {
        add(port, 1);
        add((uint16_t)(port + 10), 2);
    }
    list.own_region = 1;
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_SEND);
    cr_assert_eq(ask_on_failure(&ask, &world, -ECONNREFUSED, 1), ASK_SEND);
    cr_assert_eq(ask_on_failure(&ask, &world, -ECONNREFUSED, 1), ASK_SEND);
    cr_assert_gt(ask.choice.address.port, 10);
}

Test(ask, no_attempt_goes_to_the_same_one_while_others_are_left)
{
    add(1, 0);
    add(2, 0);
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_SEND);
    uint16_t first = ask.choice.address.port;
    cr_assert_eq(ask_on_failure(&ask, &world, -ETIMEDOUT, 1), ASK_SEND);
    cr_assert_neq(ask.choice.address.port, first);
}

Test(ask, a_word_about_the_service_outweighs_silence)
{
    add(1, 0);
    add(2, 0);
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_SEND);
    cr_assert_eq(ask_on_error(&ask, &world, USHER_ENONODE, 1), ASK_SEND);
    enum ask_step step = ASK_SEND;
    while (step == ASK_SEND)
        step = ask_on_failure(&ask, &world, -ETIMEDOUT, 1);
    cr_assert_eq(ask.error, USHER_ENONODE);
}

Test(ask, no_node_is_asked_for_elsewhere)
{
    add(1, 1);
    add(11, 2);
    list.own_region = 1;
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_SEND);
    cr_assert_eq(ask_on_error(&ask, &world, USHER_ENONODE, 1), ASK_SEND);
    cr_assert_eq(ask.choice.address.port, 11);
    cr_assert_eq(ask_on_answer(&ask, &world, 2, 1), ASK_DONE);
    cr_assert_eq(ask.error, 0);
}

Test(ask, worker_is_marked_and_named)
{
    add(1, 0);
    cr_assert_eq(ask_start(&ask, &world, 1), ASK_SEND);
    cr_assert_eq(ask_on_error(&ask, &world, USHER_ENOTDISPATCHER, 1), ASK_DONE);
    cr_assert_eq(ask.error, USHER_ENOTDISPATCHER);
    cr_assert_eq(ask.error_from.port, 1);
    cr_assert(list.items[0].faulty);
}

Test(ask, retries_beyond_the_first_end_with_the_budget)
{
    add(1, 1);
    list.own_region = 1;
    budget.calls = 0;
    cr_assert_eq(fail_all(-ETIMEDOUT), 2, "the first repeat is free");
    cr_assert_eq(budget.refused, 1);
}

Test(ask, retries_settle_at_a_tenth_of_the_calls_beyond_the_free_one)
{
    add(1, 1);
    list.own_region = 1;
    uint32_t attempts = 0;
    for (int i = 0; i < 10000; i++)
        attempts += fail_all(-ETIMEDOUT);
    cr_assert_leq(attempts, 2 * 10000 + 1000 + BUDGET_RETRIES_MAX);
}
