/* Expected work, and when to come again. */
#include <criterion/criterion.h>

#include "core/node/estimate.h"

Test(estimate, service_without_an_ended_job_takes_the_nominal_time)
{
    struct estimate estimate = {.jobs = {0}};
    estimate_job_accepted(&estimate, 3);
    estimate_job_accepted(&estimate, 3);
    cr_expect_float_eq(estimate_job_s(&estimate, 3), ESTIMATE_NOMINAL_S, 1e-6);
    cr_expect_float_eq(estimate_work_s(&estimate, 3), 2 * ESTIMATE_NOMINAL_S, 1e-6);
    cr_expect_eq(estimate_work_s(&estimate, 2), 0);
}

Test(estimate, mean_follows_the_jobs)
{
    struct estimate estimate = {.jobs = {0}};
    estimate_job_ran(&estimate, 0, 2);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 2, 1e-6);
    estimate_job_ran(&estimate, 0, 1);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 1.9, 1e-6);
    for (int i = 0; i < 100; i++)
        estimate_job_ran(&estimate, 0, 1);
    cr_expect_float_eq(estimate_job_s(&estimate, 0), 1, 1e-3);
}

Test(estimate, job_of_no_time_at_all_is_not_nominal)
{
    struct estimate estimate = {.jobs = {0}};
    estimate_job_ran(&estimate, 0, 0);
    cr_expect_lt(estimate_job_s(&estimate, 0), 1e-5f);
}

Test(estimate, jobs_that_left_count_no_more)
{
    struct estimate estimate = {.jobs = {0}};
    estimate_job_accepted(&estimate, 0);
    estimate_job_left(&estimate, 0);
    cr_expect_eq(estimate_work_s(&estimate, 0), 0);
}

Test(estimate, retry_time_is_all_work_shared_by_the_slots)
{
    struct estimate estimate = {.jobs = {4, 2}, .mean_s = {0.5f, 1}};
    cr_expect_eq(estimate_retry_ms(&estimate, 4), 1000);
}

Test(estimate, retry_time_has_limits)
{
    struct estimate idle = {.jobs = {0}}, swamped = {.jobs = {1000}, .mean_s = {10}};
    cr_expect_eq(estimate_retry_ms(&idle, 1), ESTIMATE_RETRY_MS_MIN);
    cr_expect_eq(estimate_retry_ms(&swamped, 1), ESTIMATE_RETRY_MS_MAX);
}
