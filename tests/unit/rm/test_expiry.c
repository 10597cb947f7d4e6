#include <criterion/criterion.h>

#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(false);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(expiry, .init = setup, .fini = teardown);

static void beat_all(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        fixture_beat(fixture, i, 1);
}

/* Seconds pass in which only these nodes heartbeat. */
static void pass_with(uint32_t first, uint32_t count, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        beat_all(first, count);
        fixture_pass(fixture, NS_PER_S);
    }
}

Test(expiry, list_never_becomes_empty)
{
    beat_all(0, 2);
    fixture_pass(fixture, 600 * NS_PER_S);
    cr_assert_eq(fixture_state(fixture, 0), NODE_LAST);
    cr_assert_eq(fixture_state(fixture, 1), NODE_LAST);
}

Test(expiry, list_never_becomes_empty_without_protection)
{
    fixture->cluster->config.no_protection = true;
    for (uint32_t i = 0; i < 10; i++) {
        fixture_beat(fixture, i, 1);
        fixture_pass(fixture, NS_PER_S / 2);
    }
    fixture_pass(fixture, 600 * NS_PER_S);
    cr_assert_geq(cluster_listed_count(fixture->cluster), 1);
    cr_assert_eq(fixture->events[CLUSTER_PROTECTION_BEGAN], 0);
}

Test(expiry, expired_node_leaves_within_half_a_second)
{
    beat_all(0, 10);
    fixture_pass(fixture, FIXTURE_VALID_NS - NS_PER_S / 10);
    beat_all(1, 9);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FRESH);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert_eq(fixture_state(fixture, 0), NODE_LAST, "not handed out any more at once");
    fixture_pass(fixture, NS_PER_S * 4 / 10 - NS_PER_S / 100);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
    cr_assert_leq(cluster_detection_ns(&fixture->cluster->config), FIXTURE_VALID_NS + NS_PER_S / 2);
}

Test(expiry, returning_node_is_back_with_its_first_heartbeat)
{
    beat_all(0, 10);
    pass_with(1, 9, 5);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
    fixture_beat(fixture, 0, 1);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FRESH);
    cr_assert_eq(fixture->events[CLUSTER_NODE_RETURNED], 1);
}

Test(expiry, two_of_ten_leave_unprotected)
{
    beat_all(0, 10);
    pass_with(2, 8, 5);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FAULTY);
    cr_assert_not(fixture->cluster->protection.active);
}

Test(expiry, many_expired_together_stay_listed_last)
{
    beat_all(0, 10);
    pass_with(3, 7, 5);
    cr_assert(fixture->cluster->protection.active);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(fixture_state(fixture, i), NODE_LAST);
}

Test(expiry, nodes_that_expired_one_after_the_other_are_listed_again)
{
    for (uint32_t i = 0; i < 5; i++) {
        fixture_beat(fixture, i, 1);
        fixture_pass(fixture, NS_PER_S / 2);
    }
    pass_with(5, 3, 6);
    cr_assert(fixture->cluster->protection.active);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(fixture_state(fixture, i), NODE_LAST);
}

Test(expiry, protection_ends_by_itself)
{
    beat_all(0, 10);
    pass_with(5, 5, 5);
    cr_assert(fixture->cluster->protection.active);
    pass_with(5, 5, 30);
    cr_assert_not(fixture->cluster->protection.active);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
    cr_assert_eq(fixture_state(fixture, 5), NODE_FRESH);
    cr_assert_eq(fixture->events[CLUSTER_PROTECTION_BEGAN], 1);
    cr_assert_eq(fixture->events[CLUSTER_PROTECTION_ENDED], 1);
}

Test(expiry, protection_ends_when_the_nodes_are_back)
{
    beat_all(0, 10);
    pass_with(5, 5, 5);
    pass_with(0, 10, 1);
    cr_assert_not(fixture->cluster->protection.active);
    cr_assert_eq(fixture->cluster->states[NODE_FRESH].count, 10);
}

Test(expiry, protection_can_be_turned_off)
{
    fixture->cluster->config.no_protection = true;
    beat_all(0, 10);
    pass_with(5, 5, 5);
    cr_assert_not(fixture->cluster->protection.active);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
}

Test(expiry, first_to_return_after_all_were_lost_is_not_alone)
{
    beat_all(0, 10);
    fixture_pass(fixture, 60 * NS_PER_S);
    cr_assert_not(fixture->cluster->protection.active);
    fixture_beat(fixture, 0, 1);
    fixture_pass(fixture, NS_PER_S);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 10);
    pass_with(0, 1, 10);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 1);
}

Test(expiry, nodes_that_said_goodbye_need_no_protection)
{
    uint32_t slot;
    beat_all(0, 10);
    for (uint32_t i = 0; i < 5; i++) {
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, i, 1);
        heartbeat.node_flags = WIRE_NODE_DRAINING;
        cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    }
    pass_with(5, 5, 5);
    cr_assert_eq(fixture->events[CLUSTER_NODE_LEFT], 5);
    cr_assert_not(fixture->cluster->protection.active);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 5);
}

Test(expiry, long_faulty_node_is_forgotten)
{
    beat_all(0, 10);
    pass_with(1, 9, 3610);
    cr_assert_eq(fixture_state(fixture, 0), NODE_STATES);
    fixture_beat(fixture, 0, 1);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FRESH);
}

Test(expiry, service_without_nodes_is_forgotten)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 0, 1);
    uint32_t slot;
    heartbeat.services[0].service_id = fixture_service("once");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    fixture_beat(fixture, 0, 1);
    cr_assert_eq(fixture->cluster->services.count, 2);
    pass_with(0, 2, 3500);
    cr_assert_eq(fixture->cluster->services.count, 2);
    pass_with(0, 2, 110);
    cr_assert_eq(fixture->cluster->services.count, 1);
    heartbeat = fixture_heartbeat(fixture, 0, 1);
    heartbeat.services[0].service_id = fixture_service("again");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(fixture->cluster->services.count, 2);
    cr_assert_eq(fixture->cluster->services.item_count, 2, "where the forgotten one stood");
}

Test(expiry, services_of_a_forgotten_node_are_forgotten)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 5, 1);
    uint32_t slot;
    heartbeat.services[0].service_id = fixture_service("gone");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    pass_with(0, 2, 3610);
    cr_assert_eq(fixture_state(fixture, 5), NODE_STATES);
    pass_with(0, 2, 3610);
    cr_assert_eq(fixture->cluster->services.count, 1);
}

Test(expiry, drained_node_is_not_forgotten)
{
    struct address address = fixture_address(0);
    beat_all(0, 10);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    pass_with(1, 9, 3610);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
}

Test(expiry, node_with_a_weight_of_the_operators_is_not_forgotten)
{
    struct address address = fixture_address(0);
    beat_all(0, 10);
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &(float){5}), 0);
    pass_with(1, 9, 3610);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
}

/* ---- rm itself stood still ---- */

Test(expiry, short_pause_is_none)
{
    beat_all(0, 10);
    fixture_pass(fixture, NS_PER_S);
    fixture->now.ns += FIXTURE_VALID_NS / 2;
    (void)cluster_sweep(fixture->cluster, fixture->now);
    cr_assert_eq(fixture->events[CLUSTER_RESUMED], 0);
}

Test(expiry, long_pause_of_rm_expires_nobody)
{
    beat_all(0, 10);
    fixture_pass(fixture, NS_PER_S);
    fixture->now.ns += 10 * NS_PER_S;
    (void)cluster_sweep(fixture->cluster, fixture->now);
    cr_assert_eq(fixture->events[CLUSTER_RESUMED], 1);
    pass_with(0, 10, 2);
    cr_assert_eq(fixture->events[CLUSTER_NODE_EXPIRED], 0);
    cr_assert_eq(fixture->cluster->states[NODE_FRESH].count, 10);
}

Test(expiry, after_a_long_pause_of_rm_the_list_is_not_complete_for_a_valid_time)
{
    beat_all(0, 10);
    fixture_pass(fixture, 4 * NS_PER_S);
    cr_assert(cluster_is_complete(fixture->cluster, fixture->now.ns));
    fixture->now.ns += 10 * NS_PER_S;
    cr_assert_not(cluster_is_complete(fixture->cluster, fixture->now.ns), "before the first sweep, too");
    pass_with(0, 10, 2);
    cr_assert_not(cluster_is_complete(fixture->cluster, fixture->now.ns));
    pass_with(0, 10, 2);
    cr_assert(cluster_is_complete(fixture->cluster, fixture->now.ns));
}

Test(expiry, who_stays_silent_after_a_long_pause_of_rm_leaves_after_the_grace)
{
    beat_all(0, 10);
    fixture_pass(fixture, NS_PER_S);
    fixture->now.ns += 10 * NS_PER_S;
    pass_with(1, 9, 4);
    cr_assert_eq(fixture_state(fixture, 0), NODE_LAST);
    pass_with(1, 9, 3);
    cr_assert_eq(fixture_state(fixture, 0), NODE_FAULTY);
}
