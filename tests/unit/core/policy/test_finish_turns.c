/* finish-time in batches, while what is known is too old: nodes get turns. */
#include <criterion/criterion.h>

#include "core/policy/policy.h"

#define NODES 8u
#define SERVICE UINT64_C(77)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

static struct finish_time finish;
static struct node_values values[NODES];
static struct finish_track tracks[NODES];
static struct pick_state state;
static struct snapshot *snapshot;
static uint64_t now_ns;

static void begin(void)
{
    struct snapshot_offer offers[NODES];
    struct idle_tokens *tokens;
    for (uint32_t i = 0; i < NODES; i++)
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
    cr_assert_eq(snapshot_new(NODES, offers, NODES, &snapshot), 0);
    cr_assert_eq(idle_tokens_new(&tokens), 0);
    finish_time_init(&finish, tokens);
    pick_state_init(&state, 4, 1.5f);
    state.finish = &finish;
    now_ns = 1000 * S;
}

static void end(void)
{
    snapshot_free(snapshot);
    idle_tokens_free(finish.tokens);
}

TestSuite(finish_turns, .init = begin, .fini = end);

static void report_jobs(uint32_t node, uint32_t jobs, float job_s, uint64_t age_ns)
{
    struct finish_report report = {.boot_id = 1,
                                   .age_ns = age_ns,
                                   .slots = 1,
                                   .jobs = jobs,
                                   .echoes = true,
                                   .work_s = (float)jobs * job_s,
                                   .queue_factor = 1,
                                   .kind = SERVICE,
                                   .service_count = 1,
                                   .job_s = {job_s}};
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
