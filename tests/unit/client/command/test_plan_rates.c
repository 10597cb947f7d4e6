#include <criterion/criterion.h>

#include "client/command/plan_rates.h"
#include "core/base/clock.h"

static const struct duration_range minutes = {300 * NS_PER_S, 600 * NS_PER_S};

/* [0148]: 10,000 clients, every 5 to 10 minutes, 3 dispatchers: 5.5 to 11 requests per second and dispatcher. */
Test(plan_rates, published_example_is_reproduced)
{
    struct plan_rates rates = plan_rates_of(10000, minutes, 3, 0);
    cr_assert_float_eq(rates.rate_min, 5.5556, 0.0001);
    cr_assert_float_eq(rates.rate_max, 11.1111, 0.0001);
}

Test(plan_rates, unknown_rate_of_a_core_says_nothing_about_cores)
{
    struct plan_rates rates = plan_rates_of(10000, minutes, 3, 0);
    cr_assert_eq(rates.core_max, 0);
    cr_assert_eq(rates.clients_per_core, 0);
}

Test(plan_rates, core_share_and_clients_follow_from_the_rate_of_a_core)
{
    struct plan_rates rates = plan_rates_of(10000, minutes, 1, 1000);
    cr_assert_float_eq(rates.core_min, 0.016667, 0.00001);
    cr_assert_float_eq(rates.core_max, 0.033333, 0.00001);
    cr_assert_float_eq(rates.clients_per_core, 300000, 0.001);
}
