#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "bench/load/slo.h"
#include "core/base/clock.h"

#define TIMEOUT_NS (10 * NS_PER_S)

static struct slo slo;
static struct conf_error why;
static struct tally tally;

/* 100 answers of 1 to 100 ms of 200 sent, and one lost, which is in no latency yet. */
static void setup(void)
{
    tally_init(&tally, 1, TIMEOUT_NS);
    tally_sent(&tally, 1, 1, 200);
    for (uint64_t i = 1; i <= 100; i++)
        tally_answered(&tally, 1, 1 + i * NS_PER_MS, 1);
    tally.lost = 1;
}

TestSuite(slo, .init = setup);

static bool met(const char *text)
{
    double figure;
    cr_assert_eq(slo_parse(text, TIMEOUT_NS, &slo, &why), 0, "%s", why.text);
    cr_assert_eq(slo.count, 1);
    return slo_met(&slo.goal[0], &tally, NS_PER_S, &figure);
}

Test(slo, what_is_no_goal_is_refused_and_said_why)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"", "nothing on one side of a comma"},
        {",", "nothing on one side of a comma"},
        {"p99<1ms,", "nothing on one side of a comma"},
        {",p99<1ms", "nothing on one side of a comma"},
        {"p99<1ms,,max<1s", "nothing on one side of a comma"},
        {"p99", "no < or >"},
        {"p99=1ms", "no < or >"},
        {"p99<", "bound is missing"},
        {"p99<=", "bound is missing"},
        {"rps>", "bound is missing"},
        {"p99<1", "a duration with its unit"},
        {"p99<-1ms", "a duration with its unit"},
        {"p99<0", "nothing takes no time"},
        {"p99<=0ms", "nothing takes no time"},
        {"p99>1ms", "only rps can be asked to be above"},
        {"rps<5", "rps must be asked to be above"},
        {"p101<1ms", "percentiles end at p100"},
        {"p9x<1ms", "no percentile"},
        {"px<1ms", "no figure"},
        {"<1ms", "no figure"},
        {"worst<1ms", "no figure"},
        {"lost<1", "a share"},
        {"lost<1ms", "a share"},
        {"lost<0%", "write <=0%"},
        {"lost<150%", "more than 100%"},
        {"lost<=100%", "more than 100%"},
        {"rps>=0", "a rate of 0 or more"},
        {" ", "nothing on one side of a comma"},
        {"p99<1ms, ", "nothing on one side of a comma"},
        {"p 99<1ms", "no figure"},
        {"p99<1 ms", "a duration with its unit"},
        {"rps>5%", "a number"},
        {"rps>nan", "a number"},
        {"mean<0000000000000000000000000000000001ms", "too long"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        cr_assert_eq(slo_parse(wrong[i].text, TIMEOUT_NS, &slo, &why), -EINVAL, "%s", wrong[i].text);
        cr_expect_not_null(strstr(why.text, "--slo"));
        cr_expect_not_null(strstr(why.text, wrong[i].why), "%s: %s", wrong[i].text, why.text);
    }
}

Test(slo, bound_that_no_latency_can_exceed_is_refused)
{
    static const char *const wrong[] = {"p99<10001ms", "p50<=10s", "mean<1h", "max<=10s", "p99<1ms,max<11s"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        cr_assert_eq(slo_parse(wrong[i], TIMEOUT_NS, &slo, &why), -EINVAL, "%s", wrong[i]);
        cr_expect_not_null(strstr(why.text, "above --reply-timeout (10s)"), "%s: %s", wrong[i], why.text);
    }
    cr_assert_eq(slo_parse("p99<10s,max<=9999ms,mean<10s,rps>20000000000", TIMEOUT_NS, &slo, &why), 0, "%s", why.text);
}

/* The buckets of a histogram are wide there: the middle of that of 10 s is 9.999 s. */
Test(slo, lost_request_misses_a_bound_of_the_timeout)
{
    cr_assert(met("p99<10s"));
    tally_init(&tally, 1, TIMEOUT_NS);
    for (uint64_t i = 1; i <= 98; i++)
        tally_answered(&tally, 1, 1 + i * NS_PER_MS, 1);
    tally_lost(&tally, 1, TALLY_TIMEOUT);
    tally_lost(&tally, 1, TALLY_TIMEOUT);
    cr_assert_lt(histogram_quantile(&tally.latency_ns, 0.99), TIMEOUT_NS);
    cr_assert_not(met("p99<10s"));
    cr_assert_not(met("p99<9999900us"));
    cr_assert_not(met("p98.01<10s"));
    cr_assert(met("p98<99ms"));
}

Test(slo, latencies_of_nothing_meet_no_goal)
{
    tally_init(&tally, 1, TIMEOUT_NS);
    cr_assert_not(met("p99<1s"));
    cr_assert_not(met("max<1s"));
}

Test(slo, no_goals_are_none)
{
    cr_assert_eq(slo_parse(NULL, TIMEOUT_NS, &slo, &why), 0);
    cr_assert_eq(slo.count, 0);
}

Test(slo, several_are_separated_by_commas)
{
    cr_assert_eq(slo_parse("p99<1ms,p99.9<=5ms,rps>50000", TIMEOUT_NS, &slo, &why), 0);
    cr_assert_eq(slo.count, 3);
    cr_assert_str_eq(slo.goal[1].text, "p99.9<=5ms");
    cr_assert_float_eq(slo.goal[1].quantile, 0.999, 1e-9);
}

Test(slo, spaces_may_part_goals_and_what_they_are_made_of)
{
    cr_assert_eq(slo_parse(" p99<1ms, mean < 5ms ,p99.9  <=  5ms,lost<=  1% ", TIMEOUT_NS, &slo, &why), 0, "%s", why.text);
    cr_assert_eq(slo.count, 4);
    cr_assert_str_eq(slo.goal[0].text, "p99<1ms");
    cr_assert_str_eq(slo.goal[1].text, "mean<5ms");
    cr_assert_str_eq(slo.goal[2].text, "p99.9<=5ms");
    cr_assert_str_eq(slo.goal[3].text, "lost<=1%");
    cr_assert(slo.goal[3].equal);
}

Test(slo, quantiles_are_compared_with_durations)
{
    cr_assert(met("p50<52ms"));
    cr_assert_not(met("p50<48ms"));
    cr_assert(met("max<=100ms"));
    cr_assert_not(met("max<100ms"));
    cr_assert(met("mean<51ms"));
}

Test(slo, shares_are_of_what_was_sent)
{
    cr_assert(met("lost<=0.5%"));
    cr_assert_not(met("lost<0.5%"));
    cr_assert(met("lost<100%"));
    cr_assert(met("errors<=0%"));
}

Test(slo, rate_must_be_above)
{
    cr_assert(met("rps>99"));
    cr_assert_not(met("rps>100"));
    cr_assert(met("rps>=100"));
}
