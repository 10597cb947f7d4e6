/* The simulator against queueing theory, and against itself. */
#include <criterion/criterion.h>

#include "core/policy/share_cap.h"
#include "tools/sim/world.h"

static struct scenario scenario_small(uint32_t nodes, double load)
{
    struct scenario scenario = {
        .nodes = nodes,
        .slots = 1,
        .speeds = {1},
        .speed_count = 1,
        .share_max = SHARE_MAX,
        .dispatchers = 2,
        .service = {.shape = SERVICE_EXP, .mean_ns = 100e6},
        .heartbeat_ns = 1000000000,
        .refresh_ns = 1000000000,
        .budget = 10,
        .tokens = true,
        .jobs = 20000,
        .seed = 7,
    };
    scenario_set_load(&scenario, load);
    return scenario;
}

static struct outcome outcome_of(const struct scenario *scenario, const char *policy)
{
    struct outcome outcome;
    world_run(scenario, sim_policy_find(policy), &outcome);
    return outcome;
}

Test(world, same_seed_gives_the_same_result)
{
    struct scenario scenario = scenario_small(20, 0.8);
    scenario.push_ns = 10000000;
    scenario.loss = 0.1;
    scenario.noise = (struct scenario_noise){.share = 0.1, .factor = 3, .period_ns = 1e9};
    scenario.churn = (struct scenario_churn){.up_ns = 20e9, .away_ns = 1e9};
    struct outcome first = outcome_of(&scenario, "finish-time"), second = outcome_of(&scenario, "finish-time");
    cr_expect(first.mean >= second.mean && first.mean <= second.mean);
    cr_expect(first.p999 >= second.p999 && first.p999 <= second.p999);
}

/* Nodes that all want to leave at once; jobs that nobody can take at the moment. */
Test(world, two_nodes_that_come_and_go_do_all_jobs)
{
    static const char *const policies[] = {"finish-time", "two-choices", "jiq", "oracle"};
    struct scenario scenario = scenario_small(2, 0.2);
    scenario.jobs = 2000;
    scenario.loss = 0.05;
    scenario.churn = (struct scenario_churn){.up_ns = 5e9, .away_ns = 5e9};
    for (uint32_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
        cr_expect_gt(outcome_of(&scenario, policies[i]).mean, 0, "%s", policies[i]);
}

/* Their last word may be lost, and then nobody but rm, which misses their heartbeats, can tell the dispatchers. */
Test(world, nodes_that_died_silently_are_not_handed_out_for_long)
{
    struct scenario scenario = scenario_small(5, 0.2);
    scenario.jobs = 20000;
    scenario.push_ns = 10000000;
    scenario.refresh_ns = 0;
    scenario.loss = 0.5;
    scenario.churn = (struct scenario_churn){.up_ns = 60e9, .away_ns = 60e9};
    /* Of the shortest queues: who has none since it is dead is handed out again and again. A hundred service times are ten heartbeats. */
    cr_expect_lt(outcome_of(&scenario, "least-loaded").p999, 200);
}

Test(world, dispatchers_that_pull_in_step_make_a_worse_herd)
{
    struct scenario scenario = scenario_small(50, 0.85);
    scenario.jobs = 50000;
    double apart = outcome_of(&scenario, "two-choices-stale").p99;
    scenario.in_step = true;
    cr_expect_gt(outcome_of(&scenario, "two-choices-stale").p99, apart);
}

/* It is honest, and can do as much as eight of the others. */
Test(world, a_larger_share_lets_a_fast_node_work)
{
    struct scenario scenario = scenario_small(10, 0.85);
    for (uint32_t i = 0; i < 9; i++)
        scenario.speeds[i] = 1;
    scenario.speeds[9] = 8;
    scenario.speed_count = 10;
    scenario.push_ns = 10000000;
    scenario_set_load(&scenario, 0.85);
    double held = outcome_of(&scenario, "finish-time").p99;
    scenario.share_max = 5;
    double free = outcome_of(&scenario, "finish-time").p99;
    cr_expect_lt(free * 5, held, "%g, %g", free, held);
}

Test(world, another_seed_gives_another_result)
{
    struct scenario scenario = scenario_small(20, 0.8);
    struct outcome first = outcome_of(&scenario, "random");
    scenario.seed++;
    struct outcome second = outcome_of(&scenario, "random");
    cr_expect(first.mean < second.mean || first.mean > second.mean);
}

/* M/M/1: the mean time is 1 / (1 - load). */
Test(world, one_node_is_a_queue_of_theory)
{
    struct scenario scenario = scenario_small(1, 0.5);
    scenario.jobs = 100000;
    cr_expect_float_eq(outcome_of(&scenario, "random").mean, 2, 0.1);
}

/* Each of many nodes under random choice is one, too. */
Test(world, random_choice_makes_a_queue_of_each_node)
{
    struct scenario scenario = scenario_small(10, 0.5);
    scenario.jobs = 100000;
    cr_expect_float_eq(outcome_of(&scenario, "random").mean, 2, 0.1);
}

Test(world, references_stand_in_their_order)
{
    struct scenario scenario = scenario_small(50, 0.8);
    double oracle = outcome_of(&scenario, "oracle").p99, jiq = outcome_of(&scenario, "jiq").p99,
           prequal = outcome_of(&scenario, "prequal").p99, random = outcome_of(&scenario, "random").p99,
           least = outcome_of(&scenario, "least-loaded").p99;
    cr_expect_lt(oracle, jiq);
    cr_expect_lt(jiq, prequal);
    cr_expect_lt(prequal, random);
    cr_expect_lt(random, least, "the herd");
}

/* Jobs that are on their way are in no queue yet, and would all be sent to the same node by who counted queues alone. */
Test(world, nobody_beats_the_oracle_though_jobs_are_long_on_their_way)
{
    static const char *const policies[] = {"finish-time", "jiq", "prequal", "two-choices", "round-robin"};
    static const uint64_t delays_ns[] = {1000000, 30000000, 300000000};
    struct scenario scenario = scenario_small(50, 0.85);
    scenario.push_ns = 10000000;
    for (uint32_t i = 0; i < ARRAY_COUNT(delays_ns); i++) {
        scenario.delay_ns = delays_ns[i];
        double oracle = outcome_of(&scenario, "oracle").p99;
        for (uint32_t k = 0; k < ARRAY_COUNT(policies); k++) {
            double times = outcome_of(&scenario, policies[k]).p99 / oracle;
            cr_expect_gt(times, 1, "%s, %g ms: %g", policies[k], (double)delays_ns[i] * 1e-6, times);
        }
    }
}

Test(world, finish_time_beats_what_knows_as_little)
{
    struct scenario scenario = scenario_small(50, 0.8);
    double finish = outcome_of(&scenario, "finish-time").p99;
    cr_expect_lt(finish, outcome_of(&scenario, "two-choices").p99);
    cr_expect_lt(finish, outcome_of(&scenario, "round-robin").p99);
    cr_expect_lt(finish, outcome_of(&scenario, "below-average").p99);
}

Test(world, pushed_tokens_come_close_to_the_oracle)
{
    struct scenario scenario = scenario_small(50, 0.8);
    scenario.push_ns = 10000000;
    struct outcome finish = outcome_of(&scenario, "finish-time");
    cr_expect_lt(finish.p99, 1.4 * outcome_of(&scenario, "oracle").p99);
    cr_expect_lt(finish.messages_per_node_s, 10.5, "within the budget");
}
