/* Slots, values and snapshots of the nodes that rm has told about. */
#include <criterion/criterion.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/wire/service.h"
#include "dispatcher/members.h"

#define NOW_NS (1000 * NS_PER_S)
#define ECHO_ID service_id("echo", 4)

static struct publication *publication;
static struct members members;
static int view; /* what stands for the views of the cores */

static void setup(void)
{
    publication = memory_new_aligned(sizeof(*publication));
    cr_assert_not_null(publication);
    publication_init(publication, 1, &view);
    cr_assert_eq(members_init(&members, publication), 0);
}

static void teardown(void)
{
    publication_done(publication);
    members_done(&members);
    free(publication);
}

static struct wire_node worker(uint16_t port)
{
    return (struct wire_node){
        .address = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}},
        .kind = WIRE_NODE_WORKER,
        .boot_id = port,
        .age_ms = 100,
        .load_index = 0.5f,
        .load_per_job = 0.25f,
        .service_count = 1,
        .services = {{.service_id = ECHO_ID, .flags = WIRE_SERVICE_BELOW_AVERAGE}},
    };
}

static uint32_t put(const struct wire_node *node)
{
    cr_assert_eq(members_put(&members, node, NOW_NS, 1), 0);
    return map_get(&members.by_address, &node->address);
}

static uint32_t offered(uint64_t service_id, bool *ret_known)
{
    struct snapshot *snapshot;
    cr_assert_eq(members_snapshot(&members, &snapshot), 0);
    const struct snapshot_service *service = snapshot_service_find(snapshot, service_id);
    uint32_t count = service ? service->member_count : 0;
    *ret_known = service != NULL;
    snapshot_free(snapshot);
    return count;
}

static float expected_load(uint32_t slot)
{
    return node_values_expected_load(&members.values[slot]);
}

Test(members, do_not_remove_whom_they_do_not_have, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    cr_expect_not(members_remove(&members, &node.address));
    cr_expect_not(members.changed);
}

Test(members, a_slot_waits_for_the_snapshot_without_its_node, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    uint32_t slot = put(&nodes[0]);
    members_published(&members);
    cr_assert(members_remove(&members, &nodes[0].address));
    publication_collect(publication);
    cr_expect_neq(put(&nodes[1]), slot, "the current snapshot still names the first");
    members_published(&members);
    publication_collect(publication);
    cr_expect_eq(put(&nodes[2]), slot);
}

Test(members, a_slot_waits_for_the_core_that_was_given_the_old_snapshot, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    uint32_t slot = put(&nodes[0]);
    members_published(&members);
    cr_assert(members_remove(&members, &nodes[0].address));
    (void)publication_enter(publication, 0); /* after the removal, but the snapshot is the old one */
    publication_replace(publication, &view);
    members_published(&members);
    publication_collect(publication);
    cr_expect_neq(put(&nodes[1]), slot);
    publication_leave(publication, 0);
    publication_collect(publication);
    cr_expect_eq(put(&nodes[2]), slot);
}

Test(members, a_node_that_comes_back_gets_another_slot_while_the_old_one_is_in_use, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    uint32_t slot = put(&node);
    cr_assert(members_remove(&members, &node.address));
    cr_expect_neq(put(&node), slot);
    cr_expect_eq(members.present_count, 1);
    cr_expect_null(members_at(&members, slot));
}

Test(members, a_reused_slot_knows_nothing_of_the_node_before, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    nodes[0].flags = WIRE_NODE_ADMIN_DRAIN;
    nodes[0].load_index = 9;
    uint32_t slot = put(&nodes[0]);
    atomic_store(&members.values[slot].picks, 7);
    cr_assert(members_remove(&members, &nodes[0].address));
    members_published(&members);
    publication_collect(publication);
    cr_assert_eq(put(&nodes[1]), slot);
    cr_expect_eq(atomic_load(&members.values[slot].flags), 0);
    cr_expect_eq(atomic_load(&members.values[slot].picks), 0);
    cr_expect_float_eq(expected_load(slot), 0.5f, 1e-6f);
}

Test(members, the_same_report_told_twice_keeps_own_picks, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    uint32_t slot = put(&node);
    atomic_store(&members.values[slot].picks, 4);
    node.age_ms += 2; /* it travelled a little longer */
    node.flags = WIRE_NODE_LAST;
    node.services[0].flags = 0;
    put(&node);
    cr_expect_float_eq(expected_load(slot), 1.5f, 1e-6f);
    cr_expect_eq(atomic_load(&members.values[slot].flags), NODE_VALUE_LAST, "what rm thinks of it counts at once");
    cr_expect_eq(atomic_load(&members.values[slot].below_mask), 0);
}

Test(members, an_older_report_from_another_rm_changes_no_load, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    uint32_t slot = put(&node);
    node.age_ms = 900;
    node.load_index = 3;
    put(&node);
    cr_expect_float_eq(expected_load(slot), 0.5f, 1e-6f);
}

Test(members, a_restarted_node_counts_from_its_first_report, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    uint32_t slot = put(&node);
    atomic_store(&members.values[slot].picks, 4);
    node.boot_id = 99;
    node.load_index = 0;
    put(&node);
    cr_expect_float_eq(expected_load(slot), 0, 1e-6f);
}

Test(members, a_report_older_than_this_machine_is_taken, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    node.age_ms = UINT32_MAX;
    uint32_t slot = put(&node);
    cr_expect_float_eq(expected_load(slot), 0.5f, 1e-6f);
    cr_expect_eq(members_at(&members, slot)->reported_ns, 0);
}

Test(members, only_what_a_snapshot_shows_needs_a_new_one, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    put(&node);
    cr_expect(members.changed);
    members_published(&members);
    node.load_index = 2;
    node.flags = WIRE_NODE_DRAINING | WIRE_NODE_LAST;
    node.age_ms = 0;
    put(&node);
    cr_expect_not(members.changed);
    node.flags = WIRE_NODE_NO_JOBS;
    put(&node);
    cr_expect(members.changed);
    members_published(&members);
    node.services[0].service_id++;
    put(&node);
    cr_expect(members.changed);
}

Test(members, a_service_stays_known_when_its_last_node_has_gone, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    bool known;
    cr_expect_eq(offered(ECHO_ID, &known), 0);
    cr_expect_not(known);
    put(&node);
    cr_expect_eq(offered(ECHO_ID, &known), 1);
    cr_assert(members_remove(&members, &node.address));
    cr_expect_eq(offered(ECHO_ID, &known), 0);
    cr_expect(known);
}

Test(members, a_sweep_removes_whom_the_list_did_not_name, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    bool known;
    for (int i = 0; i < 3; i++)
        put(&nodes[i]);
    cr_assert_eq(members_put(&members, &nodes[1], NOW_NS, 2), 0);
    cr_expect_eq(members_sweep(&members, 2), 2);
    cr_expect_eq(offered(ECHO_ID, &known), 1);
    cr_expect_neq(map_get(&members.by_address, &nodes[1].address), MAP_NONE);
    cr_expect_eq(members_sweep(&members, 2), 0);
}

Test(members, thousands_come_and_go_in_the_slots_of_a_few, .init = setup, .fini = teardown)
{
    for (uint32_t round = 0; round < 300; round++) {
        struct wire_node nodes[10];
        for (uint16_t i = 0; i < 10; i++) {
            nodes[i] = worker((uint16_t)(round * 10 + i + 1));
            put(&nodes[i]);
        }
        members_published(&members);
        for (uint16_t i = 0; i < 10; i++)
            cr_assert(members_remove(&members, &nodes[i].address));
        members_published(&members);
        publication_collect(publication);
    }
    cr_expect_eq(members.slot_count, 10);
    cr_expect_eq(members.present_count, 0);
}
