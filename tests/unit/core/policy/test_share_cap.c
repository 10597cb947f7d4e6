/* The share cap of finish-time: nodes that lie, and honest ones that are unlike the others. A small model of what nodes do closes the loop:
 * who is picked too often becomes slow, and clients say so. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "core/policy/policy.h"

#define NODES 12u
#define SERVICE UINT64_C(77)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define JOB_S 0.02
#define PENDING_MAX 32768u
#define SLOTS_MAX 64u
#define REPORT_STEPS 100u

struct model_job {
    uint64_t came_ns, end_ns;
};

struct model_node {
    uint32_t slots;
    uint64_t free_ns[SLOTS_MAX];
    struct model_job *jobs;
    uint32_t job_count;
    uint32_t received;
    uint32_t picks; /* that are measured */
};

/* What node 0 claims. */
struct lie {
    uint32_t slots; /* 0: it tells the truth in everything */
    uint64_t kind;
    bool kinds_by_turns;
};

static struct finish_time finish;
static struct node_values values[NODES];
static struct finish_track tracks[NODES];
static struct model_node nodes[NODES];
static struct pick_state state;
static struct snapshot *snapshot;
static struct random_state chance;
static uint64_t now_ns;
static bool clients_tell;

static void setup(void)
{
    struct snapshot_offer offers[NODES];
    struct idle_tokens *tokens;
    for (uint32_t i = 0; i < NODES; i++) {
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
        nodes[i].slots = 2;
        nodes[i].jobs = calloc(PENDING_MAX, sizeof(struct model_job));
        cr_assert_not_null(nodes[i].jobs);
    }
    cr_assert_eq(snapshot_new(NODES, offers, NODES, &snapshot), 0);
    cr_assert_eq(idle_tokens_new(&tokens), 0);
    finish_time_init(&finish, tokens);
    atomic_store(&finish.dispatchers, 2);
    pick_state_init(&state, 3, 1.5f);
    state.finish = &finish;
    random_init(&chance, 11);
    now_ns = 1000 * S;
    clients_tell = true;
}

static void teardown(void)
{
    for (uint32_t i = 0; i < NODES; i++)
        free(nodes[i].jobs);
    snapshot_free(snapshot);
    idle_tokens_free(finish.tokens);
}

TestSuite(share_cap, .init = setup, .fini = teardown);

static void job_comes(struct model_node *node)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < node->slots; i++)
        if (node->free_ns[i] < node->free_ns[first])
            first = i;
    uint64_t begin_ns = node->free_ns[first] > now_ns ? node->free_ns[first] : now_ns;
    node->free_ns[first] = begin_ns + (uint64_t)(-log(1 - random_unit(&chance)) * JOB_S * 1e9);
    cr_assert_lt(node->job_count, PENDING_MAX);
    node->jobs[node->job_count++] = (struct model_job){now_ns, node->free_ns[first]};
    node->received++;
}

static void jobs_end(uint32_t index)
{
    struct model_node *node = &nodes[index];
    for (uint32_t i = 0; i < node->job_count;) {
        struct model_job job = node->jobs[i];
        if (job.end_ns > now_ns) {
            i++;
            continue;
        }
        if (clients_tell)
            share_cap_done(&finish.share, &tracks[index].share, (float)(job.end_ns - job.came_ns) * 1e-9f, now_ns);
        node->jobs[i] = node->jobs[--node->job_count];
    }
}

static void node_reports(uint32_t index, const struct lie *lie)
{
    const struct model_node *node = &nodes[index];
    struct finish_report what = {
        .boot_id = 1,
        .slots = node->slots,
        .jobs = node->job_count,
        .received = node->received,
        .echoes = true,
        .work_s = (float)node->job_count * (float)JOB_S,
        .queue_factor = 1,
        .kind = SERVICE,
        .service_count = 1,
        .job_s = {(float)JOB_S},
    };
    bool lies = lie && lie->slots > 0 && index == 0;
    if (lies) {
        what.slots = lie->slots;
        what.jobs = 0;
        what.work_s = 0;
        what.job_s[0] = 1e-9f;
        what.received = atomic_load(&values[0].picks);
        what.kind = lie->kinds_by_turns ? (uint64_t)random_next(&chance) % 50 : lie->kind;
    }
    bool idle = finish_time_report(&finish, &values[index], &tracks[index], &what, now_ns);
    if (what.jobs < what.slots)
        idle |= finish_time_token(&values[index], &tracks[index], now_ns);
    if (idle)
        idle_tokens_push(finish.tokens, SERVICE, index, 0, 0);
}

/* So many seconds of jobs that fill `load` of all slots, the last half of which counts. Returns the share of node 0's picks. */
static double run(const struct lie *lie, double load, double span_s)
{
    uint32_t slots = 0, total = 0, steps = (uint32_t)(span_s * 1000);
    double due = 0;
    for (uint32_t i = 0; i < NODES; i++)
        slots += nodes[i].slots;
    for (uint32_t step = 0; step < steps; step++) {
        for (uint32_t i = 0; i < NODES; i++) {
            jobs_end(i);
            if (step % REPORT_STEPS == i || (i == 0 && step % 10 == 0))
                node_reports(i, lie);
        }
        for (due += load * slots / JOB_S * 1e-3; due >= 1; due--) {
            struct pick_item item = {.service_id = SERVICE};
            state.now_ns = now_ns;
            policy_pick_batch(POLICY_FINISH_TIME, &state, snapshot, values, &item, 1);
            cr_assert_geq(item.result, 0);
            job_comes(&nodes[item.result]);
            nodes[item.result].picks += step >= steps / 2;
            total += step >= steps / 2;
        }
        now_ns += MS;
    }
    return (double)nodes[0].picks / total;
}

static void expect_bounded(const struct lie *lie, double load)
{
    double share = run(lie, load, 60);
    cr_expect_leq(share, 3.0 / NODES, "at load %.2f, claiming %u slots: %.2f times its share", load, lie->slots, share * NODES);
    for (uint32_t i = 1; i < NODES; i++)
        cr_expect_eq(tracks[i].share.held_ns, 0u, "%u", i);
}

Test(share_cap, a_node_that_lies_of_all_but_its_slots_gets_three_times_its_share_at_most)
{
    expect_bounded(&(struct lie){.slots = 2, .kind = SERVICE}, 0.85);
}

Test(share_cap, so_does_one_that_claims_to_be_of_a_kind_of_its_own)
{
    expect_bounded(&(struct lie){.slots = 2, .kind = 99}, 0.85);
}

Test(share_cap, so_does_one_that_claims_many_slots)
{
    expect_bounded(&(struct lie){.slots = 64, .kind = SERVICE}, 0.85);
}

Test(share_cap, so_does_one_that_claims_as_many_as_can_be_told)
{
    expect_bounded(&(struct lie){.slots = UINT16_MAX, .kind = SERVICE}, 0.85);
}

Test(share_cap, so_does_one_that_claims_many_slots_and_a_kind_of_its_own)
{
    expect_bounded(&(struct lie){.slots = 64, .kind = 99}, 0.85);
}

/* While it draws all, nobody else ends a job, nor is any quicker. */
Test(share_cap, so_does_one_among_few)
{
    for (uint32_t i = 4; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_DRAIN);
    double share = run(&(struct lie){.slots = 64, .kind = SERVICE}, 0.85 / 3, 60);
    cr_expect_leq(share, 3.0 / 4, "%.2f", share);
}

Test(share_cap, so_does_one_that_is_of_another_kind_all_the_time)
{
    expect_bounded(&(struct lie){.slots = 64, .kinds_by_turns = true}, 0.85);
}

Test(share_cap, so_does_one_whose_clients_say_nothing)
{
    clients_tell = false;
    expect_bounded(&(struct lie){.slots = 64, .kind = SERVICE}, 0.85);
}

Test(share_cap, so_does_one_among_nodes_with_little_to_do)
{
    expect_bounded(&(struct lie){.slots = 64, .kind = SERVICE}, 0.4);
}

Test(share_cap, a_large_node_among_small_ones_gets_its_share_when_clients_say_that_it_does_its_jobs)
{
    nodes[0].slots = 12;
    double share = run(NULL, 0.85, 60), fair = 12.0 / (12 + 2 * (NODES - 1));
    cr_expect_geq(share, 0.9 * fair, "%.3f of %.3f", share, fair);
}

Test(share_cap, without_their_word_a_large_node_gets_what_typical_ones_may_have)
{
    clients_tell = false;
    nodes[0].slots = 12;
    double share = run(NULL, 0.4, 60);
    cr_expect(share > 1.5 / NODES && share < 3.0 / NODES, "%.3f", share);
}

Test(share_cap, nodes_of_two_sizes_are_both_honest)
{
    for (uint32_t i = 0; i < NODES; i++)
        nodes[i].slots = i % 3 ? 2 : 8;
    (void)run(NULL, 0.85, 40);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect_eq(tracks[i].share.held_ns, 0u, "%u", i);
}
