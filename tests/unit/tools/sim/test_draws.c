/* Service times and arrivals: what they are refused for, and that their means are what they say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/sim/draws.h"
#include "tools/sim/events.h"
#include "tools/sim/plan.h"
#include "tools/sim/times.h"

static double mean_of(const char *text)
{
    struct service_draw draw;
    struct conf_error why;
    cr_assert_eq(service_draw_parse(text, &draw, &why), 0, "%s", why.text);
    struct random_state random;
    random_init(&random, 1);
    double sum = 0;
    for (int i = 0; i < 400000; i++)
        sum += service_draw(&draw, &random);
    double mean = sum / 400000 / draw.mean_ns;
    service_draw_done(&draw);
    return mean;
}

Test(draws, nonsense_is_refused_with_what_would_be_right)
{
    static const char *const wrong[] = {"",
                                        "exp",
                                        "exp:0",
                                        "exp:10",
                                        "exp:1:10ms",
                                        "pareto:10ms",
                                        "pareto:0:10ms",
                                        "pareto:x:10ms",
                                        "lognormal:4:1ms",
                                        "trace:/does/not/exist",
                                        "trace:/tmp",
                                        "trace:/dev/null",
                                        "trace:/dev/zero",
                                        "gamma:1:10ms",
                                        "exp:10ms:"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct service_draw draw;
        struct conf_error why = {.text = ""};
        cr_expect_lt(service_draw_parse(wrong[i], &draw, &why), 0, "%s", wrong[i]);
        cr_expect_neq(why.text[0], '\0');
    }
}

Test(draws, arrivals_that_cannot_be_are_refused)
{
    static const char *const wrong[] = {"",           "burst",       "bursts:3", "bursts:0.5:0.1:1s", "bursts:20:0.1:1s",
                                        "daily:2:1s", "daily:0.5:0", "poisson:1"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct arrivals arrivals;
        struct conf_error why;
        cr_expect_lt(arrivals_parse(wrong[i], &arrivals, &why), 0, "%s", wrong[i]);
    }
}

Test(draws, means_are_what_they_say)
{
    cr_expect_float_eq(mean_of("exp:100ms"), 1, 0.01);
    cr_expect_float_eq(mean_of("fixed:3us"), 1, 1e-9);
    cr_expect_float_eq(mean_of("lognormal:1:10ms"), 1, 0.02);
    cr_expect_float_eq(mean_of("pareto:1.5:10ms"), 1, 0.1);
    cr_expect_float_eq(mean_of("pareto:2.5:10ms"), 1, 0.01);
}

Test(draws, trace_gives_its_own_times)
{
    char path[] = "/tmp/usher-trace-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_gt(dprintf(fd, "# times\n10ms\n0.03\n\n20ms\n"), 0);
    close(fd);
    char text[64];
    snprintf(text, sizeof(text), "trace:%s", path);
    struct service_draw draw;
    struct conf_error why;
    cr_assert_eq(service_draw_parse(text, &draw, &why), 0, "%s", why.text);
    cr_expect_eq(draw.trace_count, 3u);
    cr_expect_float_eq(draw.mean_ns, 20e6, 1);
    service_draw_done(&draw);
    unlink(path);
}

static double rate_of(const char *text)
{
    struct arrivals arrivals;
    struct conf_error why;
    cr_assert_eq(arrivals_parse(text, &arrivals, &why), 0, "%s", why.text);
    arrivals.rate = 1e-6;
    struct random_state random;
    random_init(&random, 2);
    double at_ns = 0;
    for (int i = 0; i < 200000; i++)
        at_ns = arrivals_next(&arrivals, &random, at_ns);
    return 200000 / at_ns / arrivals.rate;
}

Test(draws, arrivals_keep_their_mean_rate)
{
    cr_expect_float_eq(rate_of("poisson"), 1, 0.01);
    cr_expect_float_eq(rate_of("bursts:3:0.2:1s"), 1, 0.02);
    cr_expect_float_eq(rate_of("daily:0.8:1s"), 1, 0.02);
}

Test(events, come_by_time_and_then_in_order)
{
    struct events events;
    struct event event;
    events_init(&events);
    for (uint32_t i = 0; i < 5000; i++)
        events_add(&events, (i * 7919u) % 100, 0, i, 0);
    uint64_t at_ns = 0, order = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert(events_take(&events, &event));
        cr_assert(event.at_ns > at_ns || (event.at_ns == at_ns && (i == 0 || event.order > order)));
        at_ns = event.at_ns;
        order = event.order;
    }
    cr_expect_not(events_take(&events, &event));
    events_done(&events);
}

Test(times, quantiles_are_exact)
{
    struct times times;
    cr_assert_eq(times_init(&times, 1000), 0);
    for (int i = 1000; i > 0; i--)
        times_add(&times, i);
    times_close(&times);
    cr_expect_float_eq(times_quantile(&times, 0.5), 500, 0);
    cr_expect_float_eq(times_quantile(&times, 0.99), 990, 0);
    cr_expect_float_eq(times_quantile(&times, 1), 1000, 0);
    times_done(&times);
}

Test(plan, limits_that_are_none_are_refused)
{
    struct slo slo;
    struct conf_error why;
    cr_expect_lt(plan_limit_parse("p98<50ms", &slo, &why), 0);
    cr_expect_lt(plan_limit_parse("p99<50", &slo, &why), 0);
    cr_expect_lt(plan_limit_parse("p99<0", &slo, &why), 0);
    cr_expect_eq(plan_limit_parse("p999<50ms", &slo, &why), 0);
    cr_expect_eq(slo.limit_ns, 50000000u);
}

Test(plan, finds_the_fewest_nodes)
{
    struct scenario scenario = {.slots = 1,
                                .speeds = {1},
                                .speed_count = 1,
                                .dispatchers = 1,
                                .heartbeat_ns = 1000000000,
                                .refresh_ns = 1000000000,
                                .jobs = 5000,
                                .seed = 1,
                                .service = {.shape = SERVICE_EXP, .mean_ns = 100e6}};
    struct slo slo = {.figure = SLO_P99, .limit_ns = 1000000000}, hopeless = {.figure = SLO_P99, .limit_ns = 300000000};
    struct plan_answer answer;
    struct conf_error why;
    cr_expect_eq(sim_plan_nodes(&scenario, sim_policy_find("oracle"), &hopeless, 100, &answer, &why), -ERANGE,
                 "one job alone takes 460 ms");
    cr_assert_eq(sim_plan_nodes(&scenario, sim_policy_find("oracle"), &slo, 100, &answer, &why), 0);
    cr_expect(answer.nodes > 10 && answer.nodes < 20, "%u", answer.nodes);
    cr_expect_lt(answer.figure_ns, 1e9);
}
