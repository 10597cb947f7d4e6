/* What a run will take is known before it begins. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tools/sim/effort.h"

static struct scenario scenario_of(double mean_ns)
{
    struct scenario scenario = {
        .nodes = 100,
        .slots = 1,
        .speeds = {1},
        .speed_count = 1,
        .dispatchers = 3,
        .service = {.shape = SERVICE_EXP, .mean_ns = mean_ns},
        .heartbeat_ns = 1000000000,
        .refresh_ns = 1000000000,
        .jobs = 200000,
    };
    scenario_set_load(&scenario, 0.85);
    return scenario;
}

static int check(const struct scenario *scenario, const char *policy, struct conf_error *ret_error)
{
    return effort_check("usher-sim", scenario, effort_of(scenario, sim_policy_find(policy)), ret_error);
}

Test(effort, jobs_far_shorter_than_heartbeats_are_refused)
{
    struct conf_error why;
    struct scenario scenario = scenario_of(100);
    cr_assert_eq(check(&scenario, "random", &why), -EINVAL);
    cr_expect_not_null(strstr(why.text, "give a shorter --heartbeat and --refresh"), "%s", why.text);
}

Test(effort, jobs_far_longer_than_heartbeats_are_refused)
{
    struct conf_error why;
    struct scenario scenario = scenario_of(100 * 3600e9);
    cr_assert_eq(check(&scenario, "random", &why), -EINVAL);
    cr_expect_not_null(strstr(why.text, "give fewer --jobs"), "%s", why.text);
}

/* However quickly the events are done. */
Test(effort, what_does_not_fit_into_virtual_time_is_refused)
{
    struct conf_error why;
    struct scenario scenario = scenario_of(24 * 3600e9);
    cr_expect_eq(check(&scenario, "oracle", &why), 0);
    scenario.jobs = 50000000;
    scenario.nodes = 1;
    scenario_set_load(&scenario, 0.01);
    cr_expect_eq(check(&scenario, "oracle", &why), -EINVAL);
}

Test(effort, the_usual_is_a_matter_of_a_second)
{
    struct scenario scenario = scenario_of(100e6);
    double effort_s = effort_of(&scenario, sim_policy_find("finish-time"));
    cr_expect(effort_s > 0.1 && effort_s < 2, "%g", effort_s);
}

Test(effort, silent_policies_take_no_longer_for_long_jobs)
{
    struct scenario brief = scenario_of(1e9), lengthy = scenario_of(3600e9);
    double oracle_s = effort_of(&brief, sim_policy_find("oracle"));
    cr_expect_lt(effort_of(&lengthy, sim_policy_find("oracle")), 2 * oracle_s);
    cr_expect_gt(effort_of(&lengthy, sim_policy_find("finish-time")), 100 * oracle_s);
}
