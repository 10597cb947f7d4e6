/* finish-time in batches, while what is known is too old: nodes get turns. */
#include "tests/unit/core/policy/finish_fixture.h"

TestSuite(finish_turns, .init = finish_setup, .fini = finish_teardown);

static void report_jobs(uint32_t node, uint32_t jobs, float job_s, uint64_t age_ns)
{
    struct finish_report report = report_of(jobs, job_s);
    report.age_ns = age_ns;
    (void)!finish_time_report(&finish, &values[node], &tracks[node], &report, now_ns);
}

/* Reports come, and are as old as that when they do. */
static void reports_get_old(uint64_t age_ns, float job_s)
{
    for (uint32_t round = 0; round < 400; round++) {
        for (uint32_t i = 0; i < NODES; i++)
            report_jobs(i, 1, job_s, age_ns);
        now_ns += MS;
    }
}

static void pick_batch(struct pick_item items[], uint32_t count)
{
    state.now_ns = now_ns;
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct pick_item){.service_id = SERVICE};
    policy_pick_batch(POLICY_FINISH_TIME, &state, snapshot, values, items, count);
}

Test(finish_turns, a_batch_gives_turns_as_evenly_as_picks_one_by_one)
{
    struct pick_item items[PICK_BATCH_MAX];
    uint32_t counts[NODES] = {0};
    reports_get_old(S, 0.001f);
    for (uint32_t batch = 0; batch < 100; batch++) {
        pick_batch(items, PICK_BATCH_MAX);
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            counts[items[i].result]++;
    }
    cr_expect_gt(state.turns, 6000u);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect(counts[i] > 780 && counts[i] < 820, "%u: %u", i, counts[i]);
}

Test(finish_turns, drained_and_busy_nodes_are_passed_over_in_their_turn)
{
    struct pick_item items[PICK_BATCH_MAX];
    reports_get_old(S, 0.001f);
    pick_batch(items, PICK_BATCH_MAX);
    atomic_store(&values[3].flags, NODE_VALUE_DRAIN);
    report_jobs(4, 5000, 0.001f, 0);
    for (uint32_t batch = 0; batch < 10; batch++) {
        pick_batch(items, PICK_BATCH_MAX);
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            cr_assert(items[i].result >= 0 && items[i].result != 3 && items[i].result != 4, "%d", items[i].result);
    }
    cr_expect_gt(state.turns, 600u);
}

Test(finish_turns, turns_end_when_reports_are_fresh_again)
{
    struct pick_item items[PICK_BATCH_MAX];
    reports_get_old(S, 0.001f);
    pick_batch(items, PICK_BATCH_MAX);
    cr_expect_eq(state.turning_count, 1u);
    reports_get_old(0, 0.1f);
    for (uint32_t batch = 0; batch < 20; batch++)
        pick_batch(items, PICK_BATCH_MAX);
    cr_expect_eq(state.turning_count, 0u);
    uint64_t turns = state.turns;
    pick_batch(items, PICK_BATCH_MAX);
    cr_expect_eq(state.turns, turns);
}

Test(finish_turns, a_token_comes_before_turns)
{
    struct pick_item items[PICK_BATCH_MAX];
    reports_get_old(S, 0.001f);
    pick_batch(items, PICK_BATCH_MAX);
    if (finish_time_token(&values[5], &tracks[5], now_ns))
        idle_tokens_push(finish.tokens, SERVICE, 5, 0, 0);
    pick_batch(items, 1);
    cr_expect_eq(items[0].result, 5);
    cr_expect_eq(state.idle_picks, 1u);
}
