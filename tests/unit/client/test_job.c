#include <criterion/criterion.h>
#include <errno.h>

#include "client/job.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

static struct job job;
static struct budget budget;
static struct random_state dice;
static uint64_t now_ns;
static const struct job_description plain = {5 * NS_PER_S, 1000, 1000, false};
static const struct job_description idempotent = {5 * NS_PER_S, 1000, 1000, true};

static void setup(void)
{
    random_init(&dice, 5);
    budget_init(&budget);
    now_ns = 50 * NS_PER_S;
}

TestSuite(job, .init = setup);

static void try_on(uint16_t port)
{
    struct address node = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}};
    job_on_address(&job, &node);
}

Test(job, service_time_is_drawn_from_the_whole_range)
{
    struct job_description range = {NS_PER_S, 1000, 5000, false};
    uint32_t min = UINT32_MAX, max = 0;
    uint64_t sum = 0;
    for (int i = 0; i < 10000; i++) {
        job_begin(&job, &range, now_ns, &dice);
        cr_assert(job.service_time_ms >= 1000 && job.service_time_ms <= 5000);
        min = job.service_time_ms < min ? job.service_time_ms : min;
        max = job.service_time_ms > max ? job.service_time_ms : max;
        sum += job.service_time_ms;
    }
    cr_assert(min < 1010 && max > 4990 && sum / 10000 > 2900 && sum / 10000 < 3100);
}

Test(job, unknown_service_without_hope_ends_it)
{
    job_begin(&job, &plain, now_ns, &dice);
    cr_assert_eq(job_on_no_address(&job, USHER_ENOSERVICE, false, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.error, USHER_ENOSERVICE);
    cr_assert_eq(job.started, JOB_NOT_STARTED);
}

static void expect_pauses_until_the_wait_is_over(int error, bool hopeful)
{
    job_begin(&job, &plain, now_ns, &dice);
    uint64_t begun_ns = now_ns;
    enum job_step step;
    uint32_t pauses = 0;
    while ((step = job_on_no_address(&job, error, hopeful, now_ns, &dice)) == JOB_PAUSE) {
        cr_assert_gt(job.resume_at_ns, now_ns);
        now_ns = job.resume_at_ns;
        pauses++;
    }
    cr_assert_eq(step, JOB_DONE);
    cr_assert_eq(job.error, error);
    cr_assert_leq(now_ns - begun_ns, 5 * NS_PER_S);
    cr_assert(pauses >= 5 && pauses <= 20, "%u", pauses);
}

Test(job, no_node_pauses_until_the_wait_is_over)
{
    expect_pauses_until_the_wait_is_over(USHER_ENONODE, false);
}

Test(job, unreachable_dispatchers_with_hope_pause_until_the_wait_is_over)
{
    expect_pauses_until_the_wait_is_over(USHER_EUNREACHABLE, true);
}

Test(job, unreached_node_is_left_out_and_another_asked_for)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(7);
    cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_ASK);
    cr_assert_eq(job.exclude_count, 1);
    cr_assert_eq(job.excludes[0].port, 7);
}

Test(job, unreached_after_the_wait_ends_not_started)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(7);
    now_ns += 5 * NS_PER_S;
    cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.started, JOB_NOT_STARTED);
}

Test(job, quick_tries_are_followed_by_a_pause)
{
    job_begin(&job, &plain, now_ns, &dice);
    for (uint16_t i = 1; i < JOB_QUICK_TRIES; i++) {
        try_on(i);
        cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_ASK);
    }
    try_on(9);
    cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_PAUSE);
    cr_assert_eq(job.exclude_count, 0, "by then they may be back");
}

Test(job, busy_node_means_another_one_first)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(7);
    cr_assert_eq(job_on_busy(&job, 100, &budget, now_ns, &dice), JOB_ASK);
    cr_assert_eq(job.excludes[0].port, 7);
}

Test(job, busy_without_budget_waits_for_retry_after)
{
    job_begin(&job, &plain, now_ns, &dice);
    budget.calls = 0;
    try_on(7);
    cr_assert_eq(job_on_busy(&job, 400, &budget, now_ns, &dice), JOB_PAUSE);
    cr_assert_geq(job.resume_at_ns, now_ns + 400 * NS_PER_MS);
    cr_assert_leq(job.resume_at_ns, now_ns + 600 * NS_PER_MS);
}

Test(job, busy_for_longer_than_the_wait_ends_at_once)
{
    job_begin(&job, &plain, now_ns, &dice);
    budget.calls = 0;
    try_on(7);
    cr_assert_eq(job_on_busy(&job, 6000, &budget, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.error, USHER_EBUSY);
    cr_assert_eq(job.started, JOB_NOT_STARTED);
}

Test(job, one_that_its_node_could_not_start_goes_elsewhere)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(7);
    cr_assert_eq(job_on_error(&job, USHER_EJOBFAILED, false, now_ns, &dice), JOB_ASK);
    cr_assert_eq(job.exclude_count, 1);
}

Test(job, lost_one_is_not_run_again)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(7);
    cr_assert_eq(job_on_lost(&job, USHER_ECONNECTION, JOB_MAYBE_STARTED, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.started, JOB_MAYBE_STARTED);
}

Test(job, lost_idempotent_one_is_run_again_with_a_wait_of_its_own)
{
    job_begin(&job, &idempotent, now_ns, &dice);
    try_on(7);
    now_ns += 6 * NS_PER_S;
    cr_assert_eq(job_on_lost(&job, USHER_ECONNECTION, JOB_MAYBE_STARTED, now_ns, &dice), JOB_ASK);
    cr_assert_eq(job_wait_left_ms(&job, now_ns), 5000);
}

Test(job, idempotent_one_starts_three_times_at_most)
{
    job_begin(&job, &idempotent, now_ns, &dice);
    for (uint16_t i = 1; i < JOB_STARTS_MAX; i++) {
        try_on(i);
        cr_assert_neq(job_on_lost(&job, USHER_ECONNECTION, JOB_MAYBE_STARTED, now_ns, &dice), JOB_DONE);
    }
    try_on(9);
    cr_assert_eq(job_on_lost(&job, USHER_ECONNECTION, JOB_MAYBE_STARTED, now_ns, &dice), JOB_DONE);
}

Test(job, later_try_that_did_not_start_does_not_undo_an_earlier_one)
{
    job_begin(&job, &idempotent, now_ns, &dice);
    try_on(1);
    cr_assert_eq(job_on_lost(&job, USHER_ECONNECTION, JOB_MAYBE_STARTED, now_ns, &dice), JOB_ASK);
    now_ns += 6 * NS_PER_S;
    try_on(2);
    cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.started, JOB_MAYBE_STARTED);
}

Test(job, failure_of_the_service_is_final)
{
    job_begin(&job, &idempotent, now_ns, &dice);
    try_on(1);
    cr_assert_eq(job_on_error(&job, USHER_EJOBFAILED, true, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.started, JOB_STARTED);
}

Test(job, unstarted_one_of_a_leaving_node_goes_elsewhere)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(1);
    cr_assert_eq(job_on_error(&job, USHER_ESHUTDOWN, false, now_ns, &dice), JOB_ASK);
}

Test(job, started_one_of_a_leaving_node_is_not_run_again)
{
    job_begin(&job, &plain, now_ns, &dice);
    try_on(1);
    cr_assert_eq(job_on_error(&job, USHER_ESHUTDOWN, true, now_ns, &dice), JOB_DONE);
    cr_assert_eq(job.started, JOB_STARTED);
}

Test(job, malformed_job_is_not_tried_elsewhere)
{
    job_begin(&job, &idempotent, now_ns, &dice);
    try_on(1);
    cr_assert_eq(job_on_error(&job, USHER_EPROTOCOL, false, now_ns, &dice), JOB_DONE);
}

Test(job, seventeenth_excluded_node_displaces_the_oldest)
{
    struct job_description patient = {3600 * NS_PER_S, 1, 1, false};
    job_begin(&job, &patient, now_ns, &dice);
    for (uint16_t i = 1; i <= EXCLUDES_MAX + 1; i++) {
        try_on(i);
        job.quick_tries = 1;
        cr_assert_eq(job_on_unreached(&job, USHER_ECONNECTION, now_ns, &dice), JOB_ASK);
    }
    cr_assert_eq(job.exclude_count, EXCLUDES_MAX);
    cr_assert_eq(job.excludes[0].port, EXCLUDES_MAX + 1);
    cr_assert_eq(job.excludes[EXCLUDES_MAX - 1].port, 2);
}

Test(job, answer_is_awaited_for_wait_and_service_time_and_grace)
{
    job_begin(&job, &plain, now_ns, &dice);
    cr_assert_eq(job_answer_by_ns(&job, now_ns), now_ns + 6 * NS_PER_S + JOB_GRACE_NS);
}
