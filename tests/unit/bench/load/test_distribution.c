#include <criterion/criterion.h>
#include <errno.h>

#include "bench/load/distribution.h"
#include "core/base/clock.h"

#define DRAWS 200000

static struct distribution distribution;
static struct random_state random_numbers;

static void parsed(const char *text)
{
    cr_assert_eq(distribution_parse(text, &distribution), 0, "%s", text);
    random_init(&random_numbers, 1);
}

static double mean_ms(void)
{
    double sum = 0;
    for (int i = 0; i < DRAWS; i++)
        sum += (double)distribution_draw_ns(&distribution, &random_numbers);
    return sum / DRAWS / (double)NS_PER_MS;
}

Test(distribution, what_is_none_is_refused)
{
    const char *wrong[] = {
        "", "10", "exp:", "exp:5ms..6ms", "pareto:10ms", "pareto:1:10ms", "pareto:nan:10ms", "normal:10ms", "20ms..10ms", "2h"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        cr_assert_eq(distribution_parse(wrong[i], &distribution), -EINVAL, "%s", wrong[i]);
}

Test(distribution, one_duration_is_always_that)
{
    parsed("10ms");
    cr_assert_eq(distribution_draw_ns(&distribution, &random_numbers), 10 * NS_PER_MS);
    cr_assert_eq(distribution_draw_ns(&distribution, &random_numbers), 10 * NS_PER_MS);
}

Test(distribution, range_stays_within_its_ends)
{
    parsed("5ms..20ms");
    for (int i = 0; i < 1000; i++) {
        uint64_t ns = distribution_draw_ns(&distribution, &random_numbers);
        cr_assert(ns >= 5 * NS_PER_MS && ns <= 20 * NS_PER_MS);
    }
    cr_assert_float_eq(mean_ms(), 12.5, 0.1);
}

Test(distribution, means_are_what_was_asked_for)
{
    parsed("exp:10ms");
    cr_assert_float_eq(mean_ms(), 10, 0.1);
    parsed("pareto:3:10ms");
    cr_assert_float_eq(mean_ms(), 10, 0.2);
}

Test(distribution, heavy_tail_is_cut_at_an_hour)
{
    parsed("pareto:1.01:1h");
    for (int i = 0; i < DRAWS; i++)
        cr_assert_leq(distribution_draw_ns(&distribution, &random_numbers), DISTRIBUTION_NS_MAX);
}
