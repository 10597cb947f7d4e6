/* Expected times and work, changes of speed, and when to come again. */
#include <criterion/criterion.h>
#include <math.h>

#include "core/base/random.h"
#include "core/node/estimate.h"

#define S UINT64_C(1000000000)

static struct estimate estimate;
static struct random_state chance;
static uint64_t now_ns;

static void setup(void)
{
    now_ns = S;
    estimate_init(&estimate, 1, now_ns);
    random_init(&chance, 5);
}

TestSuite(estimate, .init = setup);

static void run_job(uint32_t service, double s)
{
    estimate_job_accepted(&estimate, service, now_ns);
    now_ns += (uint64_t)(s * 1e9);
    estimate_job_ran(&estimate, service, (float)s, now_ns);
    estimate_job_left(&estimate, service, now_ns);
}

static void run_jobs(uint32_t service, uint32_t count, double mean_s)
{
    for (uint32_t i = 0; i < count; i++)
        run_job(service, -log(1 - random_unit(&chance)) * mean_s);
}

Test(estimate, service_without_an_ended_job_takes_the_nominal_time)
{
    estimate_job_accepted(&estimate, 3, now_ns);
    estimate_job_accepted(&estimate, 3, now_ns);
    cr_expect(estimate_is_guess(&estimate, 3));
    cr_expect_float_eq(estimate_job_s(&estimate, 3), ESTIMATE_NOMINAL_S, 1e-6);
    cr_expect_float_eq(estimate_work_s(&estimate, 3), 2 * ESTIMATE_NOMINAL_S, 1e-6);
    cr_expect_float_eq(estimate_work_s(&estimate, 2), 0, 0);
}

Test(estimate, the_first_job_is_the_mean_at_first)
{
    run_job(0, 2);
    cr_expect_not(estimate_is_guess(&estimate, 0));
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 2, 1e-6);
    run_job(0, 1);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 1.5, 1e-6);
}

Test(estimate, mean_of_many_is_close_and_services_are_apart)
{
    run_jobs(0, 3000, 0.00005);
    run_jobs(1, 3000, 1);
    cr_expect_float_eq(estimate_job_s(&estimate, 0) / 0.00005f, 1, 0.12);
    cr_expect_float_eq(estimate_job_s(&estimate, 1), 1, 0.12);
    cr_expect_float_eq(estimate_rate(&estimate, 1) * estimate_job_s(&estimate, 1), 1, 0.001);
}

Test(estimate, job_of_no_time_at_all_is_not_nominal)
{
    run_job(0, 0);
    cr_expect_lt(estimate_job_s(&estimate, 0), 1e-5f);
}

Test(estimate, jobs_that_left_count_no_more)
{
    estimate_job_accepted(&estimate, 0, now_ns);
    estimate_job_left(&estimate, 0, now_ns);
    cr_expect_float_eq(estimate_work_s(&estimate, 0), 0, 0);
    cr_expect_eq(estimate_jobs(&estimate), 0);
}

Test(estimate, chance_is_rarely_taken_for_a_change)
{
    run_jobs(0, 1000000, 0.1);
    cr_expect_leq(estimate.changes, 8, "%u", estimate.changes);
    estimate_init(&estimate, 1, now_ns);
    run_jobs(0, 1000000, 0.01);
    cr_expect_leq(estimate.changes, 1, "%u of ten times as many jobs in the same time", estimate.changes);
}

Test(estimate, a_node_five_times_slower_is_believed_after_a_few_jobs)
{
    run_jobs(0, 500, 0.1);
    run_jobs(0, 12, 0.5);
    cr_expect_geq(estimate.changes, 1);
    cr_expect(estimate_job_s(&estimate, 0) > 0.25f, "%g", (double)estimate_job_s(&estimate, 0));
}

/* What is in a cache, and what is not: the first of its jobs is a thousandth of the second. */
Test(estimate, hits_and_misses_are_one_mean_and_no_change)
{
    for (uint32_t i = 0; i < 300; i++) {
        run_job(0, 0.00005);
        run_job(0, 0.1);
        run_job(0, 0.2);
        cr_expect(estimate_job_s(&estimate, 0) < 0.15f, "%g after %u", (double)estimate_job_s(&estimate, 0), i);
    }
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 0.1f, 0.02f);
    cr_expect_eq(estimate.changes, 0);
}

Test(estimate, short_jobs_that_wait_for_a_cpu_now_and_then_say_nothing_of_others)
{
    run_jobs(0, 500, 0.1);
    for (uint32_t i = 0; i < 20; i++) {
        run_jobs(1, 200, 0.00005);
        run_job(1, i % 2 ? 0.001 : 0.1);
        run_jobs(0, 5, 0.1);
    }
    cr_expect_eq(estimate.changes, 0);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 0.1f, 0.03f);
}

Test(estimate, one_job_is_no_proof)
{
    run_jobs(0, 500, 0.01);
    run_job(0, 3);
    cr_expect_eq(estimate.changes, 0, "a machine that stood still");
    run_jobs(0, 1000, 0.01);
    cr_expect(estimate_job_s(&estimate, 0) < 0.02f, "%g", (double)estimate_job_s(&estimate, 0));
}

Test(estimate, a_node_a_hundred_times_slower_is_believed_too)
{
    run_jobs(0, 500, 0.01);
    run_jobs(0, 20, 1);
    cr_expect_geq(estimate.changes, 1);
    cr_expect(estimate_job_s(&estimate, 0) > 0.5f, "%g", (double)estimate_job_s(&estimate, 0));
}

Test(estimate, a_node_that_was_never_quicker_hopes_though_it_does_slight_jobs)
{
    run_jobs(0, 1000, 0.02);
    run_jobs(1, 1000, 0.00005);
    run_jobs(0, 50, 0.1);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.06f);
    for (uint32_t i = 0; i < 300; i++) {
        now_ns += S / 100;
        run_jobs(1, 1, 0.00005);
    }
    cr_expect_lt(estimate_job_s(&estimate, 0), 0.025f);
    cr_expect_lt(estimate_job_s(&estimate, 1), 0.001f);
}

/* The jobs that show the change have moved the mean themselves. */
Test(estimate, what_moved_a_young_mean_is_not_counted_again)
{
    for (uint32_t i = 0; i < 110; i++)
        run_job(0, 0.02);
    for (uint32_t i = 0; i < 60; i++) {
        run_job(0, 0.1);
        cr_expect_lt(estimate_job_s(&estimate, 0), 0.101f, "job %u", i);
    }
    cr_expect_geq(estimate.changes, 1);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.09f);
}

Test(estimate, a_node_that_is_fast_again_is_believed_too)
{
    run_jobs(0, 500, 0.5);
    run_jobs(0, 60, 0.1);
    cr_expect_geq(estimate.changes, 1);
    cr_expect(estimate_job_s(&estimate, 0) < 0.2f, "%g", (double)estimate_job_s(&estimate, 0));
}

Test(estimate, a_service_that_is_rarely_used_slows_down_with_the_others)
{
    run_jobs(1, 50, 1);
    run_jobs(0, 500, 0.01);
    run_jobs(0, 40, 0.05);
    cr_expect_geq(estimate.changes, 1);
    cr_expect(estimate_job_s(&estimate, 1) > 2, "%g", (double)estimate_job_s(&estimate, 1));
}

Test(estimate, a_job_that_hangs_need_not_end)
{
    run_jobs(0, 500, 0.1);
    estimate_job_accepted(&estimate, 0, now_ns);
    estimate_look(&estimate, now_ns + S / 10);
    cr_expect_eq(estimate.changes, 0);
    estimate_look(&estimate, now_ns + 10 * S);
    cr_expect_eq(estimate.changes, 1);
}

Test(estimate, retry_time_is_all_work_shared_by_the_slots)
{
    estimate_init(&estimate, 4, now_ns);
    run_job(0, 0.5);
    run_job(1, 1);
    for (int i = 0; i < 4; i++)
        estimate_job_accepted(&estimate, 0, now_ns);
    for (int i = 0; i < 2; i++)
        estimate_job_accepted(&estimate, 1, now_ns);
    cr_expect_eq(estimate_retry_ms(&estimate), 1000);
}

Test(estimate, retry_time_has_limits)
{
    cr_expect_eq(estimate_retry_ms(&estimate), ESTIMATE_RETRY_MS_MIN);
    run_job(1, 10);
    for (int i = 0; i < 1000; i++)
        estimate_job_accepted(&estimate, 1, now_ns);
    cr_expect_eq(estimate_retry_ms(&estimate), ESTIMATE_RETRY_MS_MAX);
}

/* Closed loops of short jobs keep every slot busy for good; what the loop itself needs must not be taken for ever slower jobs. */
Test(estimate, saturation_by_short_jobs_leaves_all_numbers_sound)
{
    struct estimate busy;
    uint64_t at_ns = 1000000000;
    estimate_init(&busy, 2, at_ns);
    estimate_job_accepted(&busy, 1, at_ns);
    estimate_job_ran(&busy, 1, 0.01f, at_ns += 10000000);
    estimate_job_left(&busy, 1, at_ns);
    for (uint32_t i = 0; i < 4; i++)
        estimate_job_accepted(&busy, 0, at_ns);
    for (uint32_t i = 0; i < 200000; i++) {
        at_ns += i % 1000 == 0 ? 20000000 : 50000; /* now and then somebody else has the CPU */
        estimate_job_ran(&busy, 0, i % 7 == 0 ? 0 : 5e-6f, at_ns);
        estimate_job_left(&busy, 0, at_ns);
        estimate_job_accepted(&busy, 0, at_ns);
        float work_s = estimate_work_s(&busy, 1) + estimate_work_s(&busy, 0), idle_s = estimate_job_s(&busy, 1);
        cr_assert(work_s >= 0 && work_s < 1 && idle_s > 1e-5f && idle_s < 10, "after %u jobs: %g, %g", i, (double)work_s,
                  (double)idle_s);
    }
}

static void stand_idle(double s)
{
    now_ns += (uint64_t)(s * 1e9);
    estimate_look(&estimate, now_ns);
}

Test(estimate, a_node_that_was_never_quicker_hopes_slowly)
{
    run_jobs(0, 1000, 0.02);
    float before_s = estimate_job_s(&estimate, 0);
    stand_idle(0.5);
    cr_expect_float_eq(estimate_job_s(&estimate, 0) / before_s, 1, 0.2);
    stand_idle(1000);
    cr_expect_lt(estimate_job_s(&estimate, 0), 0.1f * before_s, "it may have been slow from its start");
    run_jobs(0, 15, 0.02);
    cr_expect_float_eq(estimate_job_s(&estimate, 0) / before_s, 1, 0.2);
}

/* Other nodes are quicker by far, as it seems, so nobody sends anything any more. */
Test(estimate, a_node_whose_first_job_was_long_gets_another_chance)
{
    run_job(0, 0.2);
    stand_idle(0.5);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.15f);
    stand_idle(4);
    cr_expect_lt(estimate_job_s(&estimate, 0), 0.04f);
    run_jobs(0, 100, 0.02);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 0.02f, 0.005f);
}

Test(estimate, a_slowed_node_that_stands_idle_comes_back_to_its_best)
{
    run_jobs(0, 1000, 0.02);
    run_jobs(0, 50, 0.1);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.06f);
    stand_idle(0.2);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.06f, "not at once");
    stand_idle(3);
    cr_expect_lt(estimate_job_s(&estimate, 0), 0.025f);
    stand_idle(3);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.015f, "below it slowly");
}

Test(estimate, hope_ends_with_a_few_jobs_when_it_was_wrong)
{
    run_jobs(0, 1000, 0.02);
    run_jobs(0, 50, 0.1);
    stand_idle(10);
    run_jobs(0, 12, 0.1);
    cr_expect_gt(estimate_job_s(&estimate, 0), 0.06f);
}

Test(estimate, hope_stays_when_it_was_right)
{
    run_jobs(0, 1000, 0.02);
    run_jobs(0, 50, 0.1);
    stand_idle(10);
    for (uint32_t i = 0; i < 60; i++) {
        run_jobs(0, 1, 0.02);
        cr_expect_lt(estimate_job_s(&estimate, 0), 0.08f, "job %u", i);
    }
    cr_expect_lt(estimate_job_s(&estimate, 0), 0.035f);
}
