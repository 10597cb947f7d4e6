/* Fast changes are noticed by the second, and a budget holds them back (N8). */
#include <criterion/criterion.h>

#include "core/base/clock.h"
#include "core/node/change.h"

static const struct change_config config = {.threshold = {[CHANGE_CPU] = 4, [CHANGE_NIC_IN] = 100}, .budget = 2};

/* Samples 100 ms apart. */
static bool add(struct change *change, uint32_t number, enum change_metric metric, float value)
{
    float values[CHANGE_METRICS] = {0};
    values[metric] = value;
    return change_add(change, NS_PER_S + number * 100 * NS_PER_MS, values);
}

Test(change, first_sample_is_no_change)
{
    struct change change;
    change_init(&change, &config);
    cr_expect_not(add(&change, 0, CHANGE_CPU, 1));
    cr_expect_eq(change.rate[CHANGE_CPU], 0);
}

Test(change, metric_without_a_threshold_is_watched_only)
{
    struct change change;
    change_init(&change, &config);
    (void)add(&change, 0, CHANGE_MEMORY, 0);
    cr_expect_not(add(&change, 1, CHANGE_MEMORY, 1));
    cr_expect_float_eq(change.rate[CHANGE_MEMORY], 10, 1e-4);
}

Test(change, rate_is_by_the_second_and_without_a_sign)
{
    struct change change;
    change_init(&change, &config);
    (void)add(&change, 0, CHANGE_CPU, 0.5f);
    cr_expect_not(add(&change, 1, CHANGE_CPU, 0.85f), "3.5 a second is not past 4");
    cr_expect(add(&change, 2, CHANGE_CPU, 0.4f), "4.5 a second is");
    cr_expect_float_eq(change.rate[CHANGE_CPU], 4.5, 1e-4);
    cr_expect_not(add(&change, 3, CHANGE_CPU, 0.4f));
    cr_expect_eq(change.rate[CHANGE_CPU], 0);
}

Test(change, two_samples_of_one_time_are_no_rate)
{
    struct change change;
    change_init(&change, &config);
    (void)add(&change, 1, CHANGE_CPU, 0);
    cr_expect_not(add(&change, 1, CHANGE_CPU, 1));
}

Test(change, budget_of_a_second_is_kept_and_comes_back)
{
    struct change change;
    uint32_t wanted = 0;
    change_init(&change, &config);
    for (uint32_t i = 0; i < 100; i++)
        wanted += add(&change, i, CHANGE_NIC_IN, i % 2 ? 1000 : 0);
    cr_expect(wanted >= 20 && wanted <= 22, "2 at once and 2 a second for 10 s: %u", wanted);
    change_init(&change, &(struct change_config){.threshold = {1}, .budget = 0});
    (void)add(&change, 0, CHANGE_CPU, 0);
    cr_expect_not(add(&change, 1, CHANGE_CPU, 1), "no budget, no extra heartbeat");
}
