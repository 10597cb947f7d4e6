#include <criterion/criterion.h>

#include "core/base/random.h"
#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(true);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(averages, .init = setup, .fini = teardown);

Test(averages, single_node_is_below)
{
    fixture_beat(fixture, 1, 7);
    cr_assert(fixture_below(fixture, 1));
}

Test(averages, all_are_below_when_all_are_equal)
{
    for (uint32_t i = 0; i < 7; i++)
        fixture_beat(fixture, i, 0.1f);
    fixture_pass(fixture, NS_PER_S / 5);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert(fixture_below(fixture, i));
}

Test(averages, only_what_is_below_is_marked)
{
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 2);
    fixture_beat(fixture, 3, 3);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert(fixture_below(fixture, 1));
    cr_assert_not(fixture_below(fixture, 2), "the average itself is not below");
    cr_assert_not(fixture_below(fixture, 3));
}

Test(averages, average_is_taken_per_service)
{
    uint32_t slot;
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 3);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 3, 100);
    heartbeat.services[0].service_id = fixture_service("sleep");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert(fixture_below(fixture, 1));
    cr_assert_not(fixture_below(fixture, 2));
    cr_assert(fixture_below(fixture, 3));
}

Test(averages, other_nodes_marks_follow_a_change)
{
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 2);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert_not(fixture_below(fixture, 2));
    fixture_beat(fixture, 1, 9);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_assert_not(fixture_below(fixture, 1));
    cr_assert(fixture_below(fixture, 2));
}

Test(averages, drained_node_does_not_count)
{
    struct address address = fixture_address(1);
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 2);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    cr_assert(fixture_below(fixture, 2), "at once: it is the only one left");
}

static void check_never_none(uint32_t step)
{
    for (uint32_t i = 0; i < fixture->cluster->services.item_count; i++) {
        const struct service *service = &fixture->cluster->services.item[i];
        uint32_t below = 0;
        for (uint32_t j = 0; j < service->member_count; j++) {
            const struct service_member *member = &service->members[j];
            const struct node *node = &fixture->cluster->nodes[member->slot];
            cr_assert(node->examined && node->services[member->ordinal].position == j);
            below += node->services[member->ordinal].below_average;
        }
        cr_assert_eq(below, service->below_count);
        cr_assert(service->member_count == 0 || below > 0, "service %u after step %u", i, step);
    }
}

/* Nodes come, change and go at random, marks are looked at in slices of 3: no service is ever without a mark. */
Test(averages, never_none_is_marked)
{
    struct random_state random;
    uint32_t slot;
    random_init(&random, 1);
    for (uint32_t step = 0; step < 20000; step++) {
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, random_below(&random, 40), (float)random_below(&random, 5));
        heartbeat.services[1] = (struct wire_service_load){.service_id = fixture_service("sleep"), .rate = 1};
        heartbeat.service_count = (uint8_t)random_below(&random, 3);
        heartbeat.node_flags = random_below(&random, 10) == 0 ? WIRE_NODE_DRAINING : 0;
        cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
        fixture->now.ns += random_below(&random, (uint32_t)(300 * NS_PER_MS));
        (void)cluster_sweep(fixture->cluster, fixture->now);
        (void)cluster_averages_step(fixture->cluster, fixture->now.ns, 3);
        check_never_none(step);
    }
}

Test(averages, marks_are_exact_after_all_slices)
{
    struct random_state random;
    random_init(&random, 2);
    for (uint32_t i = 0; i < 500; i++)
        fixture_beat(fixture, i, (float)random_unit(&random));
    fixture->now.ns += NS_PER_S;
    while (cluster_averages_step(fixture->cluster, fixture->now.ns, 7))
        ;
    double sum = 0;
    for (uint32_t i = 0; i < 500; i++)
        sum += (double)fixture->cluster->nodes[i].load_index;
    for (uint32_t i = 0; i < 500; i++)
        cr_assert_eq(fixture->cluster->nodes[i].services[0].below_average,
                     (double)fixture->cluster->nodes[i].load_index < sum / 500);
}
