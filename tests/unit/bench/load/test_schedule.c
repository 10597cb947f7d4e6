#include <criterion/criterion.h>

#include "bench/load/schedule.h"
#include "core/base/clock.h"

#define START_NS (7 * NS_PER_S)

static uint64_t planned_ns(struct schedule *schedule)
{
    uint64_t next_ns = schedule_next_ns(schedule);
    schedule_advance(schedule);
    return next_ns;
}

Test(schedule, constant_arrivals_begin_at_once_and_keep_their_distance)
{
    struct schedule schedule;
    schedule_init(&schedule, SCHEDULE_CONSTANT, 1000, START_NS, 1);
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert_eq(planned_ns(&schedule), START_NS + i * NS_PER_MS);
}

Test(schedule, rounding_of_an_odd_rate_does_not_add_up)
{
    struct schedule schedule;
    schedule_init(&schedule, SCHEDULE_CONSTANT, 300000, START_NS, 1);
    for (uint64_t i = 0; i < 3000000; i++)
        schedule_advance(&schedule);
    cr_assert_leq(schedule_next_ns(&schedule) - START_NS - 10 * NS_PER_S + 1, 2);
}

Test(schedule, same_seed_gives_the_same_poisson_arrivals)
{
    struct schedule one, other;
    schedule_init(&one, SCHEDULE_POISSON, 1000, START_NS, 42);
    schedule_init(&other, SCHEDULE_POISSON, 1000, START_NS, 42);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(planned_ns(&one), planned_ns(&other));
}

Test(schedule, another_seed_gives_others)
{
    struct schedule one, other;
    schedule_init(&one, SCHEDULE_POISSON, 1000, START_NS, 42);
    schedule_init(&other, SCHEDULE_POISSON, 1000, START_NS, 43);
    cr_assert_neq(planned_ns(&one), planned_ns(&other));
}

Test(schedule, poisson_arrivals_never_go_back)
{
    struct schedule schedule;
    uint64_t last_ns = START_NS;
    schedule_init(&schedule, SCHEDULE_POISSON, 1e6, START_NS, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t next_ns = planned_ns(&schedule);
        cr_assert_geq(next_ns, last_ns);
        last_ns = next_ns;
    }
}

/* The distances of a Poisson process have a standard deviation as large as their mean. */
Test(schedule, poisson_arrivals_have_mean_and_spread_of_the_exponential_distribution)
{
    enum { COUNT = 200000 };
    struct schedule schedule;
    double sum = 0, squares = 0;
    uint64_t last_ns = START_NS;
    schedule_init(&schedule, SCHEDULE_POISSON, 1000, START_NS, 5);
    for (int i = 0; i < COUNT; i++) {
        uint64_t next_ns = planned_ns(&schedule);
        double distance_ms = (double)(next_ns - last_ns) / (double)NS_PER_MS;
        sum += distance_ms;
        squares += distance_ms * distance_ms;
        last_ns = next_ns;
    }
    cr_assert_float_eq(sum / COUNT, 1, 0.02);
    cr_assert_float_eq(squares / COUNT, 2, 0.08);
}
