#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/histogram.h"
#include "core/base/random.h"

Test(histogram, empty_says_zero)
{
    struct histogram histogram = {0};
    cr_assert_eq(histogram_quantile(&histogram, 0.5), 0);
    cr_assert_eq(histogram_mean(&histogram), 0);
}

Test(histogram, value_above_the_limit_counts_as_the_limit)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, UINT64_MAX);
    cr_assert_eq(histogram.max, HISTOGRAM_VALUE_MAX);
    cr_assert_eq(histogram_quantile(&histogram, 0.5), HISTOGRAM_VALUE_MAX);
}

Test(histogram, small_values_are_exact)
{
    struct histogram histogram = {0};
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&histogram, value);
    cr_assert_eq(histogram_quantile(&histogram, 0.5), 50);
    cr_assert_eq(histogram_quantile(&histogram, 0.99), 99);
    cr_assert_eq(histogram_quantile(&histogram, 1), 100);
    cr_assert_float_eq(histogram_mean(&histogram), 50.5, 1e-9);
}

/* Each value has a neighbour on both sides, so that it is the quantile and the exact ends can't help. */
Test(histogram, any_value_is_off_by_less_than_one_percent)
{
    struct random_state random;
    random_init(&random, 1);
    for (int i = 0; i < 10000; i++) {
        struct histogram histogram = {0};
        uint64_t value = random_next(&random) >> (21 + random_below(&random, 43));
        histogram_add(&histogram, 0);
        histogram_add(&histogram, value);
        histogram_add(&histogram, HISTOGRAM_VALUE_MAX);
        double error = (double)histogram_quantile(&histogram, 0.5) - (double)value;
        cr_assert(error <= 0.01 * (double)value && error >= -0.01 * (double)value, "%llu", (unsigned long long)value);
    }
}

Test(histogram, many_of_a_value_are_as_each_alone)
{
    struct histogram one = {0}, many = {0};
    histogram_add_many(&many, 700, 0);
    cr_assert_eq(many.total, 0);
    for (int i = 0; i < 5; i++)
        histogram_add(&one, 700);
    histogram_add_many(&many, 700, 5);
    cr_assert_eq(memcmp(&one, &many, sizeof(one)), 0);
}

Test(histogram, merged_one_is_as_if_all_had_been_added_to_it)
{
    struct histogram all = {0}, first = {0}, second = {0}, none = {0};
    for (uint64_t value = 1; value < 5000; value += 7) {
        histogram_add(value % 2 ? &first : &second, value);
        histogram_add(&all, value);
    }
    histogram_merge(&first, &none);
    histogram_merge(&first, &second);
    cr_assert_eq(memcmp(&all, &first, sizeof(all)), 0);
    histogram_merge(&none, &first);
    cr_assert_eq(memcmp(&all, &none, sizeof(all)), 0);
}
