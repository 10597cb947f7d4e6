#include <criterion/criterion.h>
#include <errno.h>

#include "client/dispatchers.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define FAULT_TIME_NS (5 * NS_PER_S)
#define RAMP_NS (2 * NS_PER_S)

static struct dispatchers list;
static struct random_state dice;
static uint64_t now_ns;

static void setup(void)
{
    struct dispatchers_config config = {.fault_time_ns = FAULT_TIME_NS, .ramp_ns = RAMP_NS, .region_failures = 2};
    dispatchers_init(&list, &config);
    random_init(&dice, 7);
    now_ns = 1000 * NS_PER_S;
}

static void teardown(void)
{
    dispatchers_done(&list);
}

TestSuite(dispatchers, .init = setup, .fini = teardown);

static struct address address_of(uint16_t port)
{
    struct address address = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}};
    return address;
}

static void add(uint16_t port, uint16_t region)
{
    struct address address = address_of(port);
    cr_assert_eq(dispatchers_add(&list, &address, region), 0);
}

static void fail(uint16_t port)
{
    struct address address = address_of(port);
    dispatchers_on_failure(&list, &address, now_ns, &dice);
}

static void answer(uint16_t port)
{
    struct address address = address_of(port);
    dispatchers_on_answer(&list, &address, 0, now_ns, &dice);
}

static const struct dispatcher *find(uint16_t port)
{
    struct address address = address_of(port);
    return dispatchers_find(&list, &address);
}

/* The port of the next choice of a request that tried nothing yet; 0: nobody. */
static uint16_t pick(void)
{
    struct dispatchers_choice choice;
    return dispatchers_pick(&list, NULL, 0, true, true, now_ns, &dice, &choice) < 0 ? 0 : choice.address.port;
}

static uint32_t picks_of(uint16_t port, uint32_t tries)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tries; i++)
        count += pick() == port;
    return count;
}

static void locate(uint16_t from, uint16_t client_region, uint16_t own_region, uint32_t version,
                   const struct dispatchers_listed *listed, uint32_t listed_count)
{
    struct address address = address_of(from);
    struct dispatchers_location location = {client_region, own_region, version, listed, listed_count, true};
    cr_assert_eq(dispatchers_on_location(&list, &address, &location, now_ns, &dice), 0);
}

/* Two regions with two dispatchers each, the client in the first. */
static void two_regions(void)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}, {address_of(21), 2}, {address_of(22), 2}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 4);
}

Test(dispatchers, none_known_is_unreachable)
{
    struct dispatchers_choice choice;
    cr_assert_eq(dispatchers_pick(&list, NULL, 0, true, true, now_ns, &dice, &choice), USHER_EUNREACHABLE);
}

Test(dispatchers, all_faulty_tries_the_one_that_failed_longest_ago)
{
    add(11, 0);
    add(12, 0);
    fail(12);
    now_ns += NS_PER_MS;
    fail(11);
    cr_assert_eq(pick(), 12);
}

Test(dispatchers, faulty_one_is_not_picked)
{
    add(11, 0);
    add(12, 0);
    fail(11);
    cr_assert_eq(picks_of(12, 100), 100);
}

Test(dispatchers, faulty_one_is_not_picked_after_the_fault_time_without_an_answer)
{
    add(11, 0);
    add(12, 0);
    fail(11);
    now_ns += 10 * FAULT_TIME_NS;
    cr_assert_eq(picks_of(12, 100), 100);
}

Test(dispatchers, answered_ones_are_not_asked_again)
{
    struct dispatchers_choice choice;
    add(11, 0);
    struct dispatchers_tried tried = {.address = address_of(11), .answered = true};
    cr_assert_eq(dispatchers_pick(&list, &tried, 1, true, true, now_ns, &dice, &choice), USHER_EUNREACHABLE);
}

Test(dispatchers, silent_one_is_asked_again_when_there_is_no_other)
{
    struct dispatchers_choice choice;
    add(11, 0);
    fail(11);
    struct dispatchers_tried tried = {.address = address_of(11)};
    cr_assert_eq(dispatchers_pick(&list, &tried, 1, true, true, now_ns, &dice, &choice), 0);
    cr_assert_eq(choice.rank, DISPATCHERS_LAST_RESORT);
}

Test(dispatchers, more_than_the_limit_are_refused)
{
    for (uint32_t i = 0; i < DISPATCHERS_MAX; i++)
        add((uint16_t)(i + 1), 0);
    struct address address = address_of(60000);
    cr_assert_eq(dispatchers_add(&list, &address, 0), -ENOSPC);
}

Test(dispatchers, healthy_ones_are_picked_alike)
{
    add(11, 0);
    add(12, 0);
    add(13, 0);
    for (uint16_t port = 11; port <= 13; port++) {
        uint32_t count = picks_of(port, 9000);
        cr_assert(count > 2800 && count < 3200, "port %u: %u of 9000", port, count);
    }
}

Test(dispatchers, own_region_is_asked_first)
{
    two_regions();
    for (int i = 0; i < 200; i++)
        cr_assert_lt(pick(), 20);
}

Test(dispatchers, two_failures_of_one_do_not_bring_the_region_down)
{
    two_regions();
    fail(11);
    fail(11);
    cr_assert(!list.region_down);
}

Test(dispatchers, an_answer_in_between_starts_the_row_over)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}, {address_of(13), 1}, {address_of(21), 2}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 4);
    fail(11);
    answer(12);
    fail(13);
    cr_assert(!list.region_down);
}

Test(dispatchers, failures_in_a_row_on_different_ones_bring_the_region_down)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}, {address_of(13), 1}, {address_of(21), 2}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 4);
    fail(11);
    fail(12);
    cr_assert(list.region_down);
    cr_assert_eq(list.stats.region_downs, 1);
    cr_assert_eq(picks_of(21, 100), 100);
}

Test(dispatchers, region_with_its_only_one_faulty_is_down)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(21), 2}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 2);
    fail(11);
    cr_assert(list.region_down);
    cr_assert_eq(pick(), 21);
}

Test(dispatchers, region_that_went_down_has_its_healthy_ones_probed_at_once)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}, {address_of(13), 1}, {address_of(21), 2}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 4);
    fail(11);
    fail(12);
    cr_assert_leq(dispatchers_probe_at(&list), now_ns + 100 * NS_PER_MS);
    struct address address;
    cr_assert(dispatchers_probe(&list, now_ns + 100 * NS_PER_MS, &address));
    cr_assert_eq(address.port, 13);
}

Test(dispatchers, no_probe_before_the_fault_time)
{
    struct address address;
    add(11, 0);
    fail(11);
    cr_assert_geq(dispatchers_probe_at(&list), now_ns + FAULT_TIME_NS);
    cr_assert(!dispatchers_probe(&list, now_ns + FAULT_TIME_NS - 1, &address));
}

Test(dispatchers, one_probe_at_a_time_for_each)
{
    struct address address;
    add(11, 0);
    fail(11);
    now_ns += 2 * FAULT_TIME_NS;
    cr_assert(dispatchers_probe(&list, now_ns, &address));
    cr_assert(!dispatchers_probe(&list, now_ns, &address));
    cr_assert_eq(dispatchers_probe_at(&list), DISPATCHERS_NEVER);
}

Test(dispatchers, failed_probe_is_repeated_after_the_fault_time)
{
    struct address address;
    add(11, 0);
    fail(11);
    now_ns += 2 * FAULT_TIME_NS;
    cr_assert(dispatchers_probe(&list, now_ns, &address));
    fail(11);
    cr_assert_geq(dispatchers_probe_at(&list), now_ns + FAULT_TIME_NS);
    cr_assert_leq(dispatchers_probe_at(&list), now_ns + 2 * FAULT_TIME_NS);
}

Test(dispatchers, answered_probe_brings_it_back)
{
    add(11, 0);
    add(12, 0);
    fail(11);
    answer(11);
    cr_assert_eq(list.stats.returns, 1);
    uint32_t count = picks_of(11, 1000);
    cr_assert(count > 400 && count < 600);
}

Test(dispatchers, returning_region_ramps_up)
{
    two_regions();
    fail(11);
    fail(12);
    answer(11);
    cr_assert(!list.region_down);
    cr_assert_eq(picks_of(11, 100), 0);
    now_ns += RAMP_NS / 2;
    uint32_t count = picks_of(11, 1000);
    cr_assert(count > 400 && count < 600, "%u", count);
    now_ns += RAMP_NS / 2;
    cr_assert_eq(picks_of(11, 100), 100);
}

Test(dispatchers, returning_region_is_asked_at_once_when_there_is_no_other)
{
    struct dispatchers_listed listed[] = {{address_of(11), 1}};
    add(11, 0);
    locate(11, 1, 1, 1, listed, 1);
    fail(11);
    answer(11);
    cr_assert_eq(pick(), 11);
}

Test(dispatchers, listed_ones_are_learned)
{
    two_regions();
    cr_assert_eq(list.count, 4);
    cr_assert_eq(find(12)->region, 1);
    cr_assert(!find(12)->configured);
}

Test(dispatchers, learned_ones_that_vanish_are_forgotten_and_configured_ones_kept)
{
    two_regions();
    struct dispatchers_listed listed[] = {{address_of(12), 1}, {address_of(13), 1}};
    locate(12, 1, 1, 2, listed, 2);
    cr_assert_not_null(find(11));
    cr_assert_not_null(find(13));
    cr_assert_null(find(21));
}

Test(dispatchers, empty_list_forgets_nobody)
{
    two_regions();
    locate(11, 1, 1, 2, NULL, 0);
    cr_assert_eq(list.count, 4);
}

Test(dispatchers, incomplete_list_forgets_nobody)
{
    two_regions();
    struct address from = address_of(11);
    struct dispatchers_listed listed = {address_of(13), 1};
    struct dispatchers_location location = {1, 1, 2, &listed, 1, false};
    cr_assert_eq(dispatchers_on_location(&list, &from, &location, now_ns, &dice), 0);
    cr_assert_eq(list.count, 5);
}

Test(dispatchers, another_regions_own_name_does_not_keep_a_client_from_home)
{
    two_regions();
    fail(11);
    fail(12);
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}, {address_of(21), 2}, {address_of(22), 2}};
    locate(21, 2, 2, 1, listed, 4);
    cr_assert_eq(list.own_region, 1);
    answer(11);
    now_ns += RAMP_NS;
    cr_assert_eq(pick(), 11);
}

Test(dispatchers, moved_client_adopts_the_new_region)
{
    two_regions();
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(21), 2}};
    locate(11, 2, 1, 2, listed, 2);
    cr_assert_eq(list.own_region, 2);
    cr_assert_eq(pick(), 21);
}

Test(dispatchers, version_is_news_once_for_each_dispatcher)
{
    two_regions();
    struct address first = address_of(11), second = address_of(12);
    cr_assert(!dispatchers_is_news(&list, &first, 1));
    cr_assert(!dispatchers_is_news(&list, &second, 0));
    cr_assert(dispatchers_is_news(&list, &second, 2));
    struct dispatchers_listed listed[] = {{address_of(11), 1}, {address_of(12), 1}};
    locate(12, 1, 1, 2, listed, 2);
    cr_assert(!dispatchers_is_news(&list, &second, 2));
    cr_assert(!dispatchers_is_news(&list, &first, 1), "its list was seen before");
}

Test(dispatchers, one_of_unknown_region_is_probed)
{
    struct address address;
    add(11, 0);
    add(12, 0);
    struct dispatchers_listed listed[] = {{address_of(11), 1}};
    locate(11, 1, 1, 1, listed, 1);
    cr_assert(dispatchers_probe(&list, now_ns, &address));
    cr_assert_eq(address.port, 12);
}
