/* finish-time: nodes that do not echo, of which a load is known and no jobs. */
#include "tests/unit/core/policy/finish_fixture.h"

TestSuite(finish_level, .init = finish_setup, .fini = finish_teardown);

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
