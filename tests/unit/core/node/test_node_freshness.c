/* What a live node tells beside its regular heartbeats: idle tokens to dispatchers, heartbeats out of turn, and a new speed. */
#include "core/base/clock.h"
#include "tests/unit/core/node/node_fixture.h"

#define BUDGET 1000u

static bool has_beaten_often(const struct fixture *fixture)
{
    return fixture->heartbeats >= 6;
}

static bool token_has_come(const struct fixture *fixture)
{
    return fixture->tokens[0] + fixture->tokens[1] > 0;
}

static void start(struct fixture *fixture, uint32_t dispatchers)
{
    fixture->config.freshness_per_s = fixture->config.freshness_per_s == 0 ? BUDGET : fixture->config.freshness_per_s;
    for (uint32_t i = 0; i < dispatchers; i++)
        fixture_add_dispatcher(fixture);
    fixture_start(fixture);
}

static void expect_no_token(struct fixture *fixture)
{
    fixture->rm_silent = false;
    fixture_until(fixture, has_beaten_often, "heartbeats");
    fixture_run_for(fixture, 20 * NS_PER_MS);
    cr_expect_not(token_has_come(fixture));
    cr_expect_eq(fixture_count(fixture, COUNTER_IDLE_TOKENS_SENT), 0);
}

static void nobody_to_tell(struct fixture *fixture)
{
    start(fixture, 0);
    expect_no_token(fixture);
    cr_expect_eq(fixture_count(fixture, COUNTER_HEARTBEATS_EXTRA_QUEUE), 0);
}

Test(node_freshness, acknowledgements_without_dispatchers_lead_to_no_token)
{
    on_each_loop(nobody_to_tell);
}

static void no_budget(struct fixture *fixture)
{
    fixture_add_dispatcher(fixture);
    fixture_start(fixture);
    expect_no_token(fixture);
    cr_expect_eq(fixture_count(fixture, COUNTER_FRESHNESS_HELD), 0);
}

Test(node_freshness, without_a_budget_there_are_no_tokens)
{
    on_each_loop(no_budget);
}

static void busy(struct fixture *fixture)
{
    fixture->rm_silent = true;
    start(fixture, 1);
    client_submit(fixture_connect(fixture), &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "the job runs");
    expect_no_token(fixture);
}

Test(node_freshness, a_node_without_a_free_slot_sends_no_token)
{
    on_each_loop(busy);
}

static void leaving(struct fixture *fixture)
{
    fixture->rm_silent = true;
    start(fixture, 1);
    node_announce_leaving(fixture->node);
    fixture_turn(fixture);
    expect_no_token(fixture);
}

Test(node_freshness, a_node_that_leaves_sends_no_token)
{
    on_each_loop(leaving);
}

static void drained(struct fixture *fixture)
{
    fixture->rm_admin = (struct wire_admin){.version_ms = 1, .flags = WIRE_ADMIN_DRAIN};
    start(fixture, 1);
    expect_no_token(fixture);
}

Test(node_freshness, a_node_that_an_operator_has_drained_sends_no_token)
{
    on_each_loop(drained);
}

static void takes_none(struct fixture *fixture)
{
    fixture->config.no_jobs = true;
    start(fixture, 1);
    expect_no_token(fixture);
}

Test(node_freshness, a_dispatcher_that_takes_no_jobs_sends_no_token)
{
    on_each_loop(takes_none);
}

static void idle(struct fixture *fixture)
{
    start(fixture, 2);
    fixture_until(fixture, token_has_come, "a token");
    cr_expect(address_equal(&fixture->last_token.node, &fixture->config.address));
    cr_expect_eq(fixture->last_token.trailer.boot_id, fixture->config.boot_id);
    cr_expect_eq(fixture->tokens[0] + fixture->tokens[1], 1, "one is out at a time");
}

Test(node_freshness, an_idle_node_tells_one_dispatcher)
{
    on_each_loop(idle);
}

static void run_job(struct fixture *fixture, const char *data, uint64_t boot_id, uint64_t id)
{
    struct client *client = fixture->client_count == 0 ? fixture_connect(fixture) : &fixture->clients[0];
    client->reply_count = 0;
    client_submit(client, &(struct job_request){
                              .service = "sleep", .data = data, .job_id = id, .client_id = 1, .dispatcher_boot_id = boot_id});
    client_await(client, id);
}

/* Jobs in a row for so long, each when the one before has ended. */
static void run_jobs(struct fixture *fixture, const char *data, uint64_t boot_id, uint64_t first_id, uint64_t ns)
{
    uint64_t end_ns = clock_monotonic_ns() + ns;
    for (uint64_t id = first_id; clock_monotonic_ns() < end_ns; id++)
        run_job(fixture, data, boot_id, id);
}

static void back_to_sender(struct fixture *fixture)
{
    start(fixture, 2);
    run_jobs(fixture, "1ms", FIXTURE_BOOT_ID + 1, 1, 100 * NS_PER_MS);
    uint32_t others = fixture->tokens[0], own = fixture->tokens[1];
    run_jobs(fixture, "1ms", FIXTURE_BOOT_ID + 1, 1000, 100 * NS_PER_MS);
    cr_expect_eq(fixture->tokens[0], others);
    cr_expect_gt(fixture->tokens[1], own);
}

Test(node_freshness, the_dispatcher_whose_jobs_end_gets_the_tokens)
{
    on_each_loop(back_to_sender);
}

static void unknown_boot(struct fixture *fixture)
{
    start(fixture, 1);
    run_jobs(fixture, "1ms", 77, 1, 100 * NS_PER_MS);
    cr_expect_gt(fixture->tokens[0], 1);
}

Test(node_freshness, jobs_of_an_unknown_dispatcher_lead_to_tokens_for_any)
{
    on_each_loop(unknown_boot);
}

static void spaced(struct fixture *fixture)
{
    uint64_t start_ns = clock_monotonic_ns();
    start(fixture, 1);
    run_jobs(fixture, "0ms", FIXTURE_BOOT_ID, 1, 200 * NS_PER_MS);
    uint64_t gaps = (clock_monotonic_ns() - start_ns) / (10 * NS_PER_MS);
    cr_expect_leq(fixture->tokens[0], gaps + 1);
    cr_expect_geq(fixture->tokens[0], 3);
}

Test(node_freshness, tokens_keep_ten_milliseconds_apart)
{
    on_each_loop(spaced);
}

static void small_budget(struct fixture *fixture)
{
    uint64_t start_ns = clock_monotonic_ns();
    fixture->config.freshness_per_s = 20;
    start(fixture, 1);
    run_jobs(fixture, "1ms", FIXTURE_BOOT_ID, 1, 400 * NS_PER_MS);
    double s = (double)(clock_monotonic_ns() - start_ns) * 1e-9;
    uint64_t sent = fixture_count(fixture, COUNTER_IDLE_TOKENS_SENT) + fixture_count(fixture, COUNTER_HEARTBEATS_EXTRA_QUEUE) +
                    fixture_count(fixture, COUNTER_HEARTBEATS_EXTRA_CHANGE);
    cr_expect_leq((double)sent, 5 + 20 * s, "a burst of five, then the rate");
    cr_expect_geq(sent, 5);
    cr_expect_gt(fixture_count(fixture, COUNTER_FRESHNESS_HELD), 0);
}

Test(node_freshness, messages_stay_within_the_budget)
{
    on_each_loop(small_budget);
}

static void many_nodes(struct fixture *fixture)
{
    fixture->rm_nodes = 400000;
    start(fixture, 1);
    fixture_until(fixture, has_beaten_often, "heartbeats");
    cr_expect_float_eq(fixture_stats(fixture).freshness_per_s, 0.05, 1e-6);
    cr_expect_not(token_has_come(fixture), "the first second's share is not one message");
}

Test(node_freshness, the_budget_shrinks_with_the_number_of_nodes)
{
    on_each_loop(many_nodes);
}

static bool long_queue_is_known(const struct fixture *fixture)
{
    return fixture->last_heartbeat.jobs_queued == 4;
}

static void grown_queue(struct fixture *fixture)
{
    fixture->config.heartbeat_ns = 5 * NS_PER_S;
    start(fixture, 1);
    struct client *client = fixture_connect(fixture);
    fixture_until(fixture, token_has_come, "a token");
    for (uint64_t i = 1; i <= 5; i++)
        client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = i, .dispatcher_boot_id = 5});
    fixture_until(fixture, long_queue_is_known, "a heartbeat that tells of it");
    cr_expect_gt(fixture_count(fixture, COUNTER_HEARTBEATS_EXTRA_QUEUE), 0);
}

Test(node_freshness, jobs_from_elsewhere_are_told_at_once)
{
    on_each_loop(grown_queue);
}

static float reported_rate(const struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->last_heartbeat.service_count; i++)
        if (fixture->last_heartbeat.services[i].service_id == fixture->config.services.items[1].id)
            return fixture->last_heartbeat.services[i].rate;
    return 0;
}

/* Runs so many jobs, from beginning to end one after the other; the sum and the longest of what they took. */
static double jobs_run(struct fixture *fixture, uint64_t first_id, uint64_t count, double *longest_s)
{
    double sum_s = 0;
    *longest_s = 0;
    for (uint64_t id = first_id; id < first_id + count; id++) {
        uint64_t began_ns = clock_monotonic_ns();
        run_job(fixture, "5ms", FIXTURE_BOOT_ID, id);
        double took_s = (double)(clock_monotonic_ns() - began_ns) * 1e-9;
        sum_s += took_s;
        *longest_s = took_s > *longest_s ? took_s : *longest_s;
    }
    return sum_s;
}

/* What the node tells after two more heartbeats. */
static double told_s(struct fixture *fixture)
{
    uint32_t heartbeats = fixture->heartbeats;
    while (fixture->heartbeats < heartbeats + 2)
        fixture_turn(fixture);
    return 1 / (double)reported_rate(fixture);
}

/* After 20 of its jobs and 2 heartbeats; before, as many as make its estimate one that is not given up easily. By how much it is slower the
 * machine has a say in: set against what these jobs took from beginning to end. Where the machine stood still meanwhile its times seem to
 * vary much, and slower jobs prove less: then it has ten times as many. */
static void slowed(struct fixture *fixture)
{
    double longest_s, longest_slow_s;
    start(fixture, 1);
    (void)jobs_run(fixture, 1, 200, &longest_s);
    float before = reported_rate(fixture);
    cr_expect(before > 0 && before <= 200, "%f", (double)before);
    node_set_sleep_factor(fixture->node, 5);
    uint64_t jobs = 20;
    double took_s = jobs_run(fixture, 1001, jobs, &longest_slow_s) / (double)jobs, expected_s = told_s(fixture);
    bool stood_still = longest_s > 0.015 || longest_slow_s > 0.05;
    while (stood_still && jobs < 200 && (expected_s <= 0.5 * took_s || expected_s >= 4 * took_s)) {
        took_s = jobs_run(fixture, 1001 + jobs, 20, &longest_slow_s) / 20;
        jobs += 20;
        expected_s = told_s(fixture);
    }
    cr_expect(expected_s > 0.5 * took_s && expected_s < 4 * took_s, "%f s, %f s are true, %f s before", expected_s, took_s,
              1 / (double)before);
}

Test(node_freshness, a_slowed_node_reports_its_new_rate_soon)
{
    on_each_loop(slowed);
}
