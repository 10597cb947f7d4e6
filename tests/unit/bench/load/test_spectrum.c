#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/spectrum.h"
#include "core/base/clock.h"

static char text[1 << 16];
static struct histogram histogram;

static void written(void)
{
    FILE *file = fmemopen(text, sizeof(text), "w");
    cr_assert_not_null(file);
    spectrum_write(file, &histogram);
    cr_assert_eq(fclose(file), 0);
}

Test(spectrum, empty_histogram_has_no_rows)
{
    written();
    cr_assert_not_null(strstr(text, "Value"));
    cr_assert_not_null(strstr(text, "Total count    =            0"));
    cr_assert_null(strstr(text, "inf"));
}

Test(spectrum, rows_rise_to_the_greatest_value)
{
    double value, fraction, value_before = 0, fraction_before = -1;
    unsigned long long count;
    int rows = 0;
    for (uint64_t i = 1; i <= 10000; i++)
        histogram_add(&histogram, i * NS_PER_US);
    written();
    for (const char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
        if (line[1] == '\n' || sscanf(line + 1, "%lf %lf %llu", &value, &fraction, &count) != 3)
            continue;
        cr_assert(value >= value_before && fraction > fraction_before);
        value_before = value;
        fraction_before = fraction;
        rows++;
    }
    cr_assert_gt(rows, 30);
    cr_assert_float_eq(value_before, 10, 1e-9);
    cr_assert_float_eq(fraction_before, 1, 1e-12);
    cr_assert_eq(count, 10000);
    cr_assert_not_null(strstr(text, "Mean    =        5.0"));
}
