#include "core/io/backlog.h"

#include <criterion/criterion.h>

#include "core/base/clock.h"

#define BYTES_MAX (4u << 20)
#define BYTES_MIN (64u << 10)
#define AGE_NS_MAX (5 * NS_PER_MS)

/* Batches of this size and age, one a millisecond. Returns how often something had to be set. */
static uint32_t run(struct backlog *backlog, uint64_t *now_ns, uint32_t duration_ms, uint32_t count, uint64_t age_ns)
{
    uint32_t changes = 0;
    for (uint32_t i = 0; i < duration_ms; i++) {
        *now_ns += NS_PER_MS;
        changes += backlog_on_batch(backlog, *now_ns, count, age_ns);
    }
    return changes;
}

static struct backlog backlog;
static uint64_t now_ns;

static void setup(void)
{
    now_ns = 1000 * NS_PER_S;
    backlog_init(&backlog, BYTES_MIN, BYTES_MAX, AGE_NS_MAX);
    cr_assert_eq(run(&backlog, &now_ns, 1, 1, 0), 0);
}

TestSuite(backlog, .init = setup);

Test(backlog, without_a_limit_nothing_is_ever_set)
{
    backlog_init(&backlog, BYTES_MIN, BYTES_MAX, 0);
    cr_assert_eq(run(&backlog, &now_ns, 10000, 256, NS_PER_S), 0);
}

Test(backlog, small_batches_are_not_looked_at)
{
    cr_assert_eq(run(&backlog, &now_ns, 10000, 31, NS_PER_S), 0);
    cr_assert_not(backlog.stamping);
}

Test(backlog, one_small_batch_says_that_nothing_stands)
{
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(run(&backlog, &now_ns, 19, 256, NS_PER_S), 0);
        cr_assert_eq(run(&backlog, &now_ns, 1, 1, NS_PER_S), 0);
    }
}

Test(backlog, large_batches_of_young_ones_are_looked_at_a_quarter_of_the_time_only)
{
    uint32_t stamping = 0;
    for (int i = 0; i < 10000; i++) {
        (void)run(&backlog, &now_ns, 1, 256, NS_PER_MS);
        stamping += backlog.stamping;
        cr_assert_eq(backlog.bytes, BYTES_MAX);
    }
    cr_assert_gt(stamping, 500);
    cr_assert_lt(stamping, 2500, "%u", stamping);
}

Test(backlog, what_stands_for_too_long_gets_less_room)
{
    (void)run(&backlog, &now_ns, 120, 256, 50 * NS_PER_MS);
    cr_assert(backlog.stamping);
    cr_assert_eq(backlog.bytes, BYTES_MAX / 10);
}

Test(backlog, burst_gets_all_the_room)
{
    /* In every interval something young comes out: the queue goes down to nothing in between. */
    for (int i = 0; i < 100; i++) {
        (void)run(&backlog, &now_ns, 30, 256, 50 * NS_PER_MS);
        (void)run(&backlog, &now_ns, 10, 256, 0);
        cr_assert_eq(backlog.bytes, BYTES_MAX);
    }
}

Test(backlog, room_never_falls_below_its_minimum)
{
    (void)run(&backlog, &now_ns, 60000, 256, 200 * NS_PER_MS);
    cr_assert_eq(backlog.bytes, BYTES_MIN);
}

Test(backlog, minimum_above_the_maximum_is_the_maximum)
{
    backlog_init(&backlog, BYTES_MIN, 1000, AGE_NS_MAX);
    (void)run(&backlog, &now_ns, 60000, 256, 200 * NS_PER_MS);
    cr_assert_eq(backlog.bytes, 1000);
}

Test(backlog, all_the_room_is_back_within_two_seconds_after_an_overload)
{
    (void)run(&backlog, &now_ns, 60000, 256, 200 * NS_PER_MS);
    (void)run(&backlog, &now_ns, 1500, 1, 0);
    cr_assert_eq(backlog.bytes, BYTES_MAX);
    cr_assert_not(backlog.stamping);
}

/* Turns of 4 large batches, one a millisecond, and the thread has not its CPU for away_ms after each; what comes out is age_ns old. */
static void run_turns(uint32_t turns, uint32_t away_ms, uint64_t age_ns)
{
    for (uint32_t i = 0; i < turns; i++) {
        now_ns += away_ms * NS_PER_MS;
        (void)run(&backlog, &now_ns, 4, 256, age_ns);
    }
}

Test(backlog, what_stands_because_the_thread_was_away_is_kept)
{
    run_turns(100, 24, 12 * NS_PER_MS);
    cr_assert_eq(backlog.bytes, BYTES_MAX);
}

Test(backlog, what_stands_longer_than_half_the_time_away_gets_less_room)
{
    run_turns(5, 23, 24 * NS_PER_MS);
    cr_assert_eq(backlog.bytes, BYTES_MAX / 2);
}

Test(backlog, however_long_the_thread_is_away_nothing_old_is_kept)
{
    run_turns(100, 400, 4 * AGE_NS_MAX + NS_PER_MS);
    cr_assert_lt(backlog.bytes, BYTES_MAX / 10);
}

Test(backlog, room_grows_by_a_quarter)
{
    (void)run(&backlog, &now_ns, 120, 256, 50 * NS_PER_MS);
    uint32_t bytes = backlog.bytes;
    (void)run(&backlog, &now_ns, 100, 256, NS_PER_MS);
    cr_assert_eq(backlog.bytes, bytes / 4 * 5);
}

Test(backlog, age_that_is_just_right_is_kept)
{
    (void)run(&backlog, &now_ns, 120, 256, 10 * NS_PER_MS);
    cr_assert_eq(backlog.bytes, BYTES_MAX / 2);
    cr_assert_eq(run(&backlog, &now_ns, 10000, 256, 4 * NS_PER_MS), 0);
    cr_assert(backlog.stamping);
}
