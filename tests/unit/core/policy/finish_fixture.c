#include "tests/unit/core/policy/finish_fixture.h"

#define SEED 3

struct finish_time finish;
struct node_values values[NODES];
struct finish_track tracks[NODES];
struct pick_state state;
struct snapshot *snapshot;
uint64_t now_ns;

void finish_setup(void)
{
    struct snapshot_offer offers[NODES];
    struct idle_tokens *tokens;
    for (uint32_t i = 0; i < NODES; i++)
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
    cr_assert_eq(snapshot_new(NODES, offers, NODES, &snapshot), 0);
    cr_assert_eq(idle_tokens_new(&tokens), 0);
    finish_time_init(&finish, tokens);
    pick_state_init(&state, SEED, 1.5f);
    state.finish = &finish;
    now_ns = 1000 * S;
}

void finish_teardown(void)
{
    snapshot_free(snapshot);
    idle_tokens_free(finish.tokens);
}

struct finish_report report_of(uint32_t jobs, float job_s)
{
    return (struct finish_report){.boot_id = 1,
                                  .slots = 1,
                                  .jobs = jobs,
                                  .echoes = true,
                                  .work_s = (float)jobs * job_s,
                                  .queue_factor = 1,
                                  .kind = SERVICE,
                                  .service_count = 1,
                                  .job_s = {job_s}};
}

uint32_t pick(void)
{
    struct pick_item item = {.service_id = SERVICE};
    state.now_ns = now_ns;
    policy_pick_batch(POLICY_FINISH_TIME, &state, snapshot, values, &item, 1);
    cr_assert_geq(item.result, 0);
    return (uint32_t)item.result;
}

void picks_count(uint32_t picks, uint32_t ret_counts[static NODES])
{
    for (uint32_t i = 0; i < NODES; i++)
        ret_counts[i] = 0;
    for (uint32_t i = 0; i < picks; i++)
        ret_counts[pick()]++;
}
