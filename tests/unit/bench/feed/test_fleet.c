/* The nodes that bench-feed makes up. */
#include <criterion/criterion.h>

#include "bench/feed/fleet.h"
#include "core/base/map.h"
#include "core/wire/service.h"

#define NODES 2000u

static struct fleet fleet_of(uint32_t service_count, uint32_t services_per_node)
{
    struct fleet_config config = {
        .node_count = NODES,
        .service_count = service_count,
        .services_per_node = services_per_node,
        .below = 0.25f,
        .seed = 7,
    };
    struct fleet fleet;
    cr_assert_eq(fleet_init(&fleet, &config, 0), 0);
    return fleet;
}

Test(fleet, addresses_are_distinct_and_can_go_on_the_wire)
{
    struct fleet fleet = fleet_of(1, 1);
    struct wire_node entry;
    struct map seen;
    map_init(&seen, sizeof(struct address));
    for (uint32_t i = 0; i < NODES; i++) {
        fleet_entry(&fleet, i, 0, &entry);
        cr_assert(wire_address_usable(&entry.address));
        cr_assert_eq(entry.address.ip[0], 10);
        cr_assert_eq(map_put(&seen, &entry.address, i), 0);
    }
    cr_expect_eq(seen.count, NODES);
    map_done(&seen);
    fleet_done(&fleet);
}

Test(fleet, the_first_service_is_echo_and_nodes_take_services_in_turn)
{
    struct fleet fleet = fleet_of(3, 2);
    struct wire_node entry;
    fleet_entry(&fleet, 0, 0, &entry);
    cr_assert_eq(entry.service_count, 2);
    cr_expect_eq(entry.services[0].service_id, service_id("echo", 4));
    cr_expect_eq(entry.services[1].service_id, service_id("echo-1", 6));
    fleet_entry(&fleet, 1, 0, &entry);
    cr_expect_eq(entry.services[0].service_id, service_id("echo-2", 6));
    cr_expect_eq(entry.services[1].service_id, service_id("echo", 4));
    fleet_done(&fleet);
}

Test(fleet, a_node_offers_no_service_twice)
{
    struct fleet fleet = fleet_of(2, 16);
    struct wire_node entry;
    fleet_entry(&fleet, 0, 0, &entry);
    cr_expect_eq(entry.service_count, 2);
    fleet_done(&fleet);
}

Test(fleet, the_share_below_average_is_what_was_asked_for)
{
    struct fleet fleet = fleet_of(1, 1);
    struct wire_node entry;
    uint32_t below = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        fleet_entry(&fleet, fleet_update(&fleet, 0), 0, &entry);
        below += entry.services[0].flags & WIRE_SERVICE_BELOW_AVERAGE;
    }
    cr_expect(below > NODES / 5 && below < NODES * 3 / 10, "%u of %u", below, NODES);
    fleet_done(&fleet);
}

Test(fleet, every_node_reports_once_before_one_reports_again)
{
    struct fleet fleet = fleet_of(1, 1);
    for (uint32_t i = 0; i < NODES; i++)
        cr_assert_eq(fleet_update(&fleet, 1), i);
    cr_expect_eq(fleet_update(&fleet, 2), 0);
    fleet_done(&fleet);
}

Test(fleet, who_joins_has_another_address_than_who_left)
{
    struct fleet fleet = fleet_of(1, 1);
    struct address left;
    struct wire_node before;
    struct wire_node after;
    struct fleet twin = fleet_of(1, 1);
    uint32_t index = fleet_replace(&fleet, 0, &left);
    fleet_entry(&fleet, index, 0, &after);
    fleet_entry(&twin, index, 0, &before);
    cr_expect(address_equal(&left, &before.address));
    cr_expect_not(address_equal(&left, &after.address));
    fleet_done(&fleet);
    fleet_done(&twin);
}
