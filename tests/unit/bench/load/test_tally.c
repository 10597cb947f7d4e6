#include <criterion/criterion.h>
#include <stdio.h>

#include "bench/load/tally.h"
#include "core/base/clock.h"

#define FROM_NS (100 * NS_PER_S)
#define TIMEOUT_NS NS_PER_S

static struct tally tally;

static void setup(void)
{
    tally_init(&tally, FROM_NS, TIMEOUT_NS);
}

TestSuite(tally, .init = setup);

Test(tally, warm_up_leaves_no_trace)
{
    uint64_t planned_ns = FROM_NS - 1;
    tally_sent(&tally, planned_ns, FROM_NS + 10 * NS_PER_MS, 1);
    tally_answered(&tally, planned_ns, FROM_NS + 10 * NS_PER_MS, 1);
    tally_refused(&tally, planned_ns, "queue-full");
    tally_lost(&tally, planned_ns, TALLY_TIMEOUT);
    cr_assert_eq(tally.sent + tally.received + tally.lost + tally.late + tally.errors, 0);
    cr_assert_eq(tally_losses(&tally) + tally.loss_kinds, 0);
    cr_assert_eq(tally.latency_ns.total, 0);
}

Test(tally, latency_runs_from_the_planned_time)
{
    tally_sent(&tally, FROM_NS, FROM_NS + 30 * NS_PER_MS, 1);
    tally_answered(&tally, FROM_NS, FROM_NS + 31 * NS_PER_MS, 1);
    cr_assert_eq(tally.latency_ns.max, 31 * NS_PER_MS);
    cr_assert_eq(tally.late, 1);
    cr_assert_eq(tally.late_max_ns, 30 * NS_PER_MS);
}

Test(tally, send_within_a_millisecond_is_not_late)
{
    tally_sent(&tally, FROM_NS, FROM_NS + TALLY_LATE_NS - 1, 1);
    cr_assert_eq(tally.late, 0);
    tally_sent(&tally, FROM_NS, FROM_NS + TALLY_LATE_NS, 1);
    cr_assert_eq(tally.late, 1);
}

Test(tally, lost_request_is_a_timeout_in_every_percentile)
{
    for (int i = 0; i < 100; i++) {
        tally_sent(&tally, FROM_NS, FROM_NS, 1);
        if (i < 98)
            tally_answered(&tally, FROM_NS, FROM_NS + NS_PER_MS, 1);
        else
            tally_lost(&tally, FROM_NS, TALLY_TIMEOUT);
    }
    cr_assert_eq(tally.sent, tally.received + tally.lost);
    cr_assert_float_eq((double)histogram_quantile(&tally.latency_ns, 0.98), 1e6, 1e4);
    cr_assert_float_eq((double)histogram_quantile(&tally.latency_ns, 0.99), 1e9, 1e7);
    cr_assert_eq(tally.latency_ns.max, TIMEOUT_NS);
}

Test(tally, answer_after_the_timeout_is_lost)
{
    tally_sent(&tally, FROM_NS, FROM_NS, 2);
    tally_answered(&tally, FROM_NS, FROM_NS + TIMEOUT_NS + 1, 1);
    cr_assert_eq(tally.lost, 1);
    cr_assert_eq(tally.unexpected, 1);
    cr_assert_eq(tally.received + tally.answered, 0);
    cr_assert_eq(tally.latency_ns.max, TIMEOUT_NS);
    cr_assert_eq(tally.answered_last_ns, 0);
    tally_answered(&tally, FROM_NS, FROM_NS + TIMEOUT_NS, 1);
    cr_assert_eq(tally.answered, 1);
    cr_assert_eq(tally.answered_last_ns, FROM_NS + TIMEOUT_NS);
}

Test(tally, refusal_is_received_and_an_error_but_has_no_latency)
{
    tally_sent(&tally, FROM_NS, FROM_NS, 1);
    tally_refused(&tally, FROM_NS, "queue-full");
    cr_assert_eq(tally.received, 1);
    cr_assert_eq(tally.answered, 0);
    cr_assert_eq(tally.errors, 1);
    cr_assert_eq(tally.latency_ns.total, 0);
}

Test(tally, errors_are_counted_by_name)
{
    tally_refused(&tally, FROM_NS, "queue-full");
    tally_error(&tally, "ECONNREFUSED");
    tally_refused(&tally, FROM_NS, "queue-full");
    cr_assert_eq(tally.errors, 3);
    cr_assert_eq(tally.error_kinds, 2);
    cr_assert_str_eq(tally.error[0].name, "queue-full");
    cr_assert_eq(tally.error[0].count, 2);
    cr_assert_eq(tally.error[1].count, 1);
}

Test(tally, more_kinds_of_errors_than_there_is_room_for_stay_in_the_sum)
{
    char names[TALLY_ERRORS_MAX + 1][16];
    for (int i = 0; i <= TALLY_ERRORS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "error-%d", i);
        tally_error(&tally, names[i]);
    }
    cr_assert_eq(tally.errors, TALLY_ERRORS_MAX + 1);
    cr_assert_eq(tally.error_kinds, TALLY_ERRORS_MAX);
}

static uint64_t losses_by_cause(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < tally.loss_kinds; i++)
        sum += tally.loss[i].count;
    return sum;
}

Test(tally, losses_by_cause_are_all_that_was_not_answered)
{
    tally_sent(&tally, FROM_NS, FROM_NS, 10);
    tally_answered(&tally, FROM_NS, FROM_NS + NS_PER_MS, 3);
    tally_answered(&tally, FROM_NS, FROM_NS + TIMEOUT_NS + 1, 2);
    tally_lost(&tally, FROM_NS, TALLY_TIMEOUT);
    tally_lost(&tally, FROM_NS, "ECONNREFUSED");
    tally_refused(&tally, FROM_NS, "queue-full");
    tally_broken(&tally, FROM_NS, "connection-lost");
    tally_broken(&tally, FROM_NS, "connection-lost");
    tally_error(&tally, "protocol"); /* of no request */
    cr_assert_eq(tally_losses(&tally), tally.sent - tally.answered);
    cr_assert_eq(losses_by_cause(), tally_losses(&tally));
    cr_assert_eq(tally.loss_kinds, 4);
    cr_assert_str_eq(tally.loss[0].name, TALLY_TIMEOUT);
    cr_assert_eq(tally.loss[0].count, 3);
    cr_assert_str_eq(tally_loss_chief(&tally), TALLY_TIMEOUT);
}

Test(tally, nothing_lost_has_no_cause)
{
    tally_sent(&tally, FROM_NS, FROM_NS, 1);
    tally_answered(&tally, FROM_NS, FROM_NS + NS_PER_MS, 1);
    cr_assert_eq(tally_losses(&tally), 0);
    cr_assert_null(tally_loss_chief(&tally));
}

Test(tally, more_causes_than_there_is_room_for_are_counted_together)
{
    char names[2 * TALLY_ERRORS_MAX][16];
    for (int i = 0; i < 2 * TALLY_ERRORS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "error-%d", i);
        tally_sent(&tally, FROM_NS, FROM_NS, 1);
        tally_refused(&tally, FROM_NS, names[i]);
    }
    cr_assert_eq(tally.loss_kinds, TALLY_ERRORS_MAX);
    cr_assert_str_eq(tally.loss[TALLY_ERRORS_MAX - 1].name, TALLY_OTHER);
    cr_assert_eq(tally.loss[TALLY_ERRORS_MAX - 1].count, TALLY_ERRORS_MAX + 1);
    cr_assert_eq(losses_by_cause(), tally.sent);
}

Test(tally, requests_of_one_time_count_together)
{
    tally_sent(&tally, FROM_NS, FROM_NS, 64);
    tally_answered(&tally, FROM_NS, FROM_NS + NS_PER_MS, 64);
    cr_assert_eq(tally.sent, 64);
    cr_assert_eq(tally.answered, 64);
    cr_assert_eq(tally.latency_ns.total, 64);
    cr_assert_float_eq(histogram_mean(&tally.latency_ns), 1e6, 1);
}

Test(tally, threads_are_added_up)
{
    struct tally other;
    tally_init(&other, FROM_NS, TIMEOUT_NS);
    tally_sent(&other, FROM_NS, FROM_NS + 2 * TALLY_LATE_NS, 3);
    tally_answered(&other, FROM_NS, FROM_NS + 3 * NS_PER_MS, 1);
    tally_answered(&tally, FROM_NS, FROM_NS + NS_PER_MS, 1);
    tally_refused(&other, FROM_NS, "queue-full");
    tally_lost(&other, FROM_NS, "ECONNREFUSED");
    tally_refused(&tally, FROM_NS, "queue-full");
    tally_merge(&tally, &other);
    cr_assert_eq(tally.sent, 3);
    cr_assert_eq(tally.received, 4);
    cr_assert_eq(tally.answered_last_ns, FROM_NS + 3 * NS_PER_MS);
    cr_assert_eq(tally.lost, 1);
    cr_assert_eq(tally.late, 3);
    cr_assert_eq(tally.late_max_ns, 2 * TALLY_LATE_NS);
    cr_assert_eq(tally.error_kinds, 1);
    cr_assert_eq(tally.error[0].count, 2);
    cr_assert_eq(tally.loss_kinds, 2);
    cr_assert_eq(losses_by_cause(), 3);
    cr_assert_eq(tally.latency_ns.max, TIMEOUT_NS);
}
