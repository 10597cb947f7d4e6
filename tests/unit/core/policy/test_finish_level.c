/* finish-time: nodes that do not echo, of which a load is known and no jobs. */
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

static void setup(void)
{
    struct snapshot_offer offers[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
    cr_assert_eq(snapshot_new(NODES, offers, NODES, &snapshot), 0);
    finish_time_init(&finish, NULL);
    pick_state_init(&state, 3, 1.5f);
    state.finish = &finish;
    now_ns = 1000 * S;
}

static void teardown(void)
{
    snapshot_free(snapshot);
}

TestSuite(finish_level, .init = setup, .fini = teardown);

static uint32_t pick(void)
{
    struct pick_item item = {.service_id = SERVICE};
    state.now_ns = now_ns;
    policy_pick_batch(POLICY_FINISH_TIME, &state, snapshot, values, &item, 1);
    cr_assert_geq(item.result, 0);
    return (uint32_t)item.result;
}

static void picks_count(uint32_t picks, uint32_t ret_counts[static NODES])
{
    for (uint32_t i = 0; i < NODES; i++)
        ret_counts[i] = 0;
    for (uint32_t i = 0; i < picks; i++)
        ret_counts[pick()]++;
}

/* An attached server of a hundred slots. */
static void attached_report(uint32_t node, float load)
{
    struct finish_report what = {
        .boot_id = 1, .slots = 100, .load = load, .queue_factor = 1, .kind = SERVICE, .service_count = 1};
    atomic_store(&values[node].flags, NODE_VALUE_NO_ECHO);
    cr_assert_not(finish_time_report(&finish, &values[node], &tracks[node], &what, now_ns), "it never counts as idle");
}

static float level_of(uint32_t node)
{
    return finish_time_left_s(&values[node], now_ns);
}

Test(finish_level, picks_of_a_node_that_does_not_echo_fade_with_its_reports)
{
    attached_report(0, 0.5f);
    float before_s = level_of(0);
    now_ns += S;
    atomic_store(&values[0].picks, 10);
    attached_report(0, 0.5f);
    cr_expect_float_eq(level_of(0), before_s, 0.1f, "it has seen them all");
    attached_report(1, 0.6f);
    cr_expect_float_eq(level_of(1) - level_of(0), 0.1f * 20, 0.1f, "of its load alone");
}

Test(finish_level, a_server_more_loaded_than_others_is_left_alone_until_it_is_not)
{
    uint32_t counts[NODES] = {0};
    for (uint32_t i = 0; i < NODES; i++, now_ns += 100 * MS)
        attached_report(i, i == 0 ? 0.6f : 0.3f);
    for (uint32_t i = 0; i < 100; i++, now_ns += 10 * MS)
        counts[pick()]++;
    cr_expect_eq(counts[0], 0, "%u", counts[0]);
    attached_report(0, 0.1f);
    picks_count(100, counts);
    cr_expect_gt(counts[0], 25u);
}

/* So many that all would look alike long before they report again, if each counted as one of their slots. */
static void requests_come(uint32_t ret_counts[static NODES], float load_of_the_first)
{
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < NODES; i++) {
            attached_report(i, i == 0 ? load_of_the_first : 0.2f);
            ret_counts[i] = 0;
        }
        for (uint32_t i = 0; i < 20000; i++, now_ns += S / 20000)
            ret_counts[pick()]++;
    }
}

Test(finish_level, however_many_the_requests_a_loaded_server_is_left_alone)
{
    uint32_t counts[NODES];
    requests_come(counts, 0.6f);
    cr_expect_lt(counts[0], 25u, "%u: four draws out of 4096 are of one node", counts[0]);
}

Test(finish_level, servers_that_are_nearly_alike_share)
{
    uint32_t counts[NODES];
    requests_come(counts, 0.21f);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect(counts[i] > 2000 && counts[i] < 3000, "%u: %u", i, counts[i]);
}

Test(finish_level, servers_with_more_than_they_can_do_are_told_apart)
{
    uint32_t counts[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        attached_report(i, i == 0 ? 900000 : 500000);
    picks_count(50, counts);
    cr_expect_eq(counts[0], 0, "%u", counts[0]);
}

/* Where clients tell how quick they are: what nodes say that count jobs would be too old to be of use. */
Test(finish_level, a_loaded_server_s_turn_does_not_come)
{
    uint32_t counts[NODES];
    for (uint32_t round = 0; round < 20; round++, now_ns += S)
        for (uint32_t i = 0; i < NODES; i++) {
            attached_report(i, i == 0 ? 0.6f : 0.3f);
            atomic_store(&values[i].job_codes[0], finish_time_code(0.001f));
        }
    picks_count(100, counts);
    cr_expect_eq(counts[0], 0, "%u", counts[0]);
}
