/* The frame of the micro benchmarks, and all of them once, as small as possible, so that they cannot rot. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bench/parts/crew.h"
#include "bench/parts/micro.h"
#include "bench/parts/reference.h"
#include "bench/parts/report.h"

enum { ROUNDS = 3 };

static struct micro micro;

static void setup(void)
{
    micro_init(&micro, ROUNDS, 1000);
    micro.group = "test";
}

static void teardown(void)
{
    micro_done(&micro);
}

static int run_at(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    *ret_ns = *(const uint64_t *)ctx * operations;
    return 0;
}

static int run_failing(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    (void)operations;
    (void)ret_ns;
    return *(const int *)ctx;
}

Test(micro_measure, says_what_failed, .init = setup, .fini = teardown)
{
    int errors[] = {-ETIMEDOUT, -EBADMSG, -ENOMEM};
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        struct micro_subject subject = {.name = "queue", .run = run_failing, .ctx = &errors[i], .against = MICRO_NONE};
        cr_expect_eq(micro_measure(&micro, &subject, 1), errors[i]);
        cr_expect_not_null(strstr(micro.why, "queue: "));
    }
    cr_expect_eq(micro.row_count, 0);
}

Test(micro_measure, compares_subjects_of_a_set, .init = setup, .fini = teardown)
{
    uint64_t slow_ns = 30, fast_ns = 10;
    struct micro_subject subjects[] = {
        {.name = "slow", .run = run_at, .ctx = &slow_ns, .against = MICRO_NONE},
        {.name = "fast", .run = run_at, .ctx = &fast_ns, .against = 0},
    };
    cr_assert_eq(micro_measure(&micro, subjects, 2), 0);
    cr_assert_eq(micro.row_count, 2);
    cr_expect_float_eq(micro.rows[1].ns.median, 10, 0.001);
    cr_expect_float_eq(micro.rows[1].ratio.median, 3, 0.001);
    cr_expect_str_eq(micro.rows[1].against, "slow");
    cr_expect_str_empty(micro.rows[0].against);
}

static int run_disturbed(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    uint32_t *calls = ctx;
    *ret_ns = operations * (++*calls % 2 ? 10 : 40);
    return 0;
}

static bool quiet_below_20(const double ns[])
{
    return ns[0] < 20;
}

static bool never_quiet(const double ns[])
{
    (void)ns;
    return false;
}

Test(micro_measure, says_what_it_was_in_quiet_rounds, .init = setup, .fini = teardown)
{
    uint32_t calls = 0;
    uint64_t other_ns = 30;
    struct micro_subject subjects[] = {
        {.run = run_disturbed, .ctx = &calls, .against = MICRO_NONE},
        {.name = "other", .run = run_at, .ctx = &other_ns, .against = MICRO_NONE},
    };
    cr_assert_eq(micro_measure_judged(&micro, subjects, 2, quiet_below_20), 0);
    cr_assert_eq(micro.row_count, 1, "what has no name has no row");
    cr_expect(micro.rows[0].judged);
    cr_expect(micro.rows[0].quiet_rounds == 1 || micro.rows[0].quiet_rounds == 2, "every second of %d", ROUNDS);
    cr_expect_float_eq(micro.rows[0].quiet.median, 30, 0.001);
    cr_assert_eq(micro_measure_judged(&micro, subjects, 2, never_quiet), 0);
    cr_expect(micro.rows[1].judged);
    cr_expect_eq(micro.rows[1].quiet_rounds, 0);
    cr_assert_eq(micro_measure(&micro, subjects, 2), 0);
    cr_expect_not(micro.rows[2].judged);
}

Test(micro_spread, is_the_median_and_the_middle_half)
{
    double odd[] = {5, 1, 4, 2, 3}, even[] = {4, 1, 3, 2};
    struct micro_spread spread = micro_spread_of(odd, 5);
    cr_expect_float_eq(spread.median, 3, 0.001);
    cr_expect_float_eq(spread.low, 2, 0.001);
    cr_expect_float_eq(spread.high, 4, 0.001);
    cr_expect_float_eq(spread.best, 1, 0.001);
    cr_expect_float_eq(micro_spread_of(even, 4).median, 2.5, 0.001);
}

/* No speed is asserted: only that side by side is not slower than one after the other. */
Test(reference, is_quicker_side_by_side)
{
    uint64_t chain_ns, wide_ns;
    if (!reference_exists())
        cr_skip_test("no reference on this kind of processor");
    for (int i = 0; i < 100; i++) { /* one of them without an interruption is enough */
        cr_assert_eq(reference_chain(NULL, 1000, &chain_ns), 0);
        cr_assert_eq(reference_wide(NULL, 1000, &wide_ns), 0);
        if (wide_ns < chain_ns)
            return;
    }
    cr_assert_fail("what need not wait for each other took as long: %" PRIu64 " and %" PRIu64 " ns", wide_ns, chain_ns);
}

static int work_failing(void *ctx, uint32_t index, struct crew *crew)
{
    uint32_t tries = 0;
    (void)ctx;
    if (index == 1)
        return -EBADMSG;
    while (crew_wait(crew, &tries))
        continue;
    return -ETIMEDOUT;
}

Test(crew, gives_up_with_the_one_that_failed, .init = setup, .fini = teardown)
{
    uint64_t ns;
    const int cpus[] = {micro.cpus[0], micro.cpus[micro.cpu_count - 1]};
    struct crew crew = {.size = 3, .cpus = cpus, .work = work_failing};
    cr_expect_eq(crew_run(&crew, &ns), -EBADMSG);
}

Test(micro, every_group_runs_and_is_reported, .init = setup, .fini = teardown)
{
    int (*const groups[])(struct micro *) = {micro_spsc, micro_mpmc,      micro_pick,    micro_codec,
                                             micro_path, micro_histogram, micro_snapshot};
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        uint32_t before = micro.row_count;
        cr_assert_eq(groups[i](&micro), 0, "%s", micro.why);
        cr_expect_gt(micro.row_count, before);
    }
    json_t *report = report_json(&micro);
    cr_assert_not_null(report);
    cr_expect_eq(json_array_size(json_object_get(report, "rows")), micro.row_count);
    json_decref(report);
}
