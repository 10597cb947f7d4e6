/* Durations, buffers, errors, random numbers: the small things everything else leans on. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/counters.h"
#include "core/base/duration.h"
#include "core/base/errors.h"
#include "core/base/hash.h"
#include "core/base/random.h"

Test(duration, refuses_what_is_not_a_duration)
{
    static const char *const wrong[] = {"", "1", "s", "-1s", " 1s", "1 s", "1sec", "1e9h", "nans", "infs", "0x10s ", "1S"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        uint64_t duration_ns = 5;
        cr_expect_eq(duration_parse(wrong[i], &duration_ns), -EINVAL, "%s", wrong[i]);
        cr_expect_eq(duration_ns, 5);
    }
}

Test(duration, understands_every_unit)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } right[] = {{"0", 0},
                 {"7ns", 7},
                 {"250us", 250 * NS_PER_US},
                 {"250ms", 250 * NS_PER_MS},
                 {"1s", NS_PER_S},
                 {"1.5s", 1500 * NS_PER_MS},
                 {"5m", 300 * NS_PER_S},
                 {"2h", 7200 * NS_PER_S}};
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        uint64_t duration_ns;
        cr_assert_eq(duration_parse(right[i].text, &duration_ns), 0, "%s", right[i].text);
        cr_expect_eq(duration_ns, right[i].ns, "%s", right[i].text);
    }
}

Test(duration, is_written_in_its_largest_exact_unit)
{
    char text[DURATION_TEXT_BYTES];
    cr_expect_str_eq(duration_format(0, text), "0");
    cr_expect_str_eq(duration_format(90 * NS_PER_S, text), "90s");
    cr_expect_str_eq(duration_format(1500 * NS_PER_MS, text), "1500ms");
    cr_expect_str_eq(duration_format(120 * NS_PER_S, text), "2m");
}

Test(duration_range, refuses_a_range_that_runs_backwards)
{
    struct duration_range range;
    cr_expect_eq(duration_range_parse("5s..1s", &range), -EINVAL);
    cr_expect_eq(duration_range_parse("1s..", &range), -EINVAL);
    cr_expect_eq(duration_range_parse("..1s", &range), -EINVAL);
}

Test(duration_range, takes_one_duration_for_both_ends)
{
    struct duration_range range;
    cr_assert_eq(duration_range_parse("250ms", &range), 0);
    cr_expect_eq(range.min_ns, 250 * NS_PER_MS);
    cr_expect_eq(range.max_ns, 250 * NS_PER_MS);
    cr_assert_eq(duration_range_parse("5m..10m", &range), 0);
    cr_expect_eq(range.max_ns, 600 * NS_PER_S);
}

Test(buffer, refuses_a_size_that_overflows)
{
    struct buffer buffer = {0};
    cr_assert_eq(buffer_append(&buffer, "abc", 3), 0);
    cr_expect_eq(buffer_reserve(&buffer, SIZE_MAX), -ENOMEM);
    cr_expect_eq(buffer.length, 3);
    buffer_done(&buffer);
}

Test(buffer, keeps_the_order_of_what_is_put_in)
{
    struct buffer buffer = {0};
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(buffer_print(&buffer, "%03d", i), 0);
    cr_expect_eq(buffer.length, 3000);
    buffer_consume(&buffer, 2997);
    cr_expect_eq(memcmp(buffer.bytes, "999", 3), 0);
    buffer_done(&buffer);
}

Test(errors, have_a_name_and_a_text_each)
{
    cr_expect_str_eq(error_name(USHER_ENONODE), "no-eligible-node");
    cr_expect_str_eq(error_name(-ECONNREFUSED), "ECONNREFUSED");
    cr_expect_str_eq(error_name(0), "ok");
    cr_expect_str_eq(error_name(-999), "unknown");
    cr_expect_str_eq(error_text(-ECONNREFUSED), "Connection refused");
}

Test(hash, of_a_service_name_is_fnv1a)
{
    /* Test vectors of the FNV draft. */
    cr_expect_eq(hash_fnv1a("", 0), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(hash_fnv1a("a", 1), UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect_eq(hash_fnv1a("foobar", 6), UINT64_C(0x85944171f73967e8));
}

Test(random, repeats_itself_from_the_same_seed)
{
    struct random_state a, b, c;
    random_init(&a, 1);
    random_init(&b, 1);
    random_init(&c, 2);
    uint64_t first = random_next(&a);
    cr_expect_eq(first, random_next(&b));
    cr_expect_neq(first, random_next(&c));
}

Test(random, below_is_uniform)
{
    enum { SIDES = 7, THROWS = 70000 };
    uint32_t seen[SIDES] = {0};
    struct random_state random;
    random_init(&random, 3);
    for (int i = 0; i < THROWS; i++)
        seen[random_below(&random, SIDES)]++;
    const double expected = (double)THROWS / (double)SIDES;
    double chi_squared = 0;
    for (int i = 0; i < SIDES; i++) {
        double off = (double)seen[i] - expected;
        chi_squared += off * off / expected;
    }
    cr_expect_lt(chi_squared, 22.46); /* 6 degrees of freedom, p = 0.001 */
}

Test(counters, of_one_name_stand_together_and_share_their_help)
{
    for (size_t i = 1; i < COUNTERS; i++)
        for (size_t k = 0; k < i; k++) {
            if (strcmp(counter_rows[i].name, counter_rows[k].name) != 0)
                continue;
            cr_expect_str_eq(counter_rows[i].name, counter_rows[i - 1].name);
            cr_expect_str_eq(counter_rows[i].help, counter_rows[k].help);
            cr_expect_str_neq(counter_rows[i].labels, counter_rows[k].labels);
        }
}
