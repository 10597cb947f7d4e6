/* Slots, values and snapshots of the nodes that rm has told about. */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/clock.h"
#include "core/wire/service.h"
#include "dispatcher/members.h"

#define NOW_NS (1000 * NS_PER_S)
#define ECHO_ID service_id("echo", 4)

static struct members members;
static struct snapshot *current;

static void setup(void)
{
    cr_assert_eq(members_init(&members), 0);
    cr_assert_eq(snapshot_new_table(0, &current), 0);
}

static void teardown(void)
{
    snapshot_free(current);
    members_done(&members);
}

/* What an old snapshot holds back; the slices are so small that every phase is interrupted. */
static struct members_gone publish_holding(void)
{
    struct snapshot *next;
    struct members_gone gone;
    int error;
    do {
        int64_t work = 1;
        error = members_build(&members, current, &work, &next, &gone);
    } while (error == -EAGAIN);
    cr_assert_eq(error, 0);
    snapshot_free(current);
    current = next;
    return gone;
}

static void publish(void)
{
    struct members_gone gone = publish_holding();
    members_reclaim(&members, &gone);
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
    static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = {.rm_id = 1}, .node_total = 1, .first = true};
    struct wire_nodes nodes;
    struct frame frame;
    struct node_entry entry;
    struct member_news news;
    enum refusal refusal;
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    cr_assert_eq(wire_nodes_add(&builder, node), 0);
    int length = wire_nodes_finish(&builder, false);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(wire_directory_decode(&frame, &list, &nodes, &refusal), 0);
    cr_assert_eq(wire_nodes_next_entry(&nodes, &entry, &refusal), 1);
    members_expect(&members, entry, &news);
    members_prefetch(&members, &news);
    cr_assert_eq(members_put(&members, &news, NOW_NS), 0);
    return members_find(&members, &node->address);
}

static uint32_t offered(uint64_t service_id, bool *ret_known)
{
    publish();
    const struct snapshot_service *service = snapshot_service_find(current, service_id);
    *ret_known = service != NULL;
    return service ? service->member_count : 0;
}

static float expected_load(uint32_t slot)
{
    return node_values_expected_load(&members.values[slot]);
}

Test(members, do_not_remove_whom_they_do_not_have, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    cr_expect_not(members_remove(&members, &node.address));
    cr_expect_not(members_changed(&members));
}

Test(members, a_slot_waits_for_the_snapshot_without_its_node, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    uint32_t slot = put(&nodes[0]);
    publish();
    cr_assert(members_remove(&members, &nodes[0].address));
    cr_expect_neq(put(&nodes[1]), slot, "the current snapshot still names the first");
    publish();
    cr_expect_eq(put(&nodes[2]), slot);
}

Test(members, a_slot_waits_for_the_core_that_was_given_the_old_snapshot, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    uint32_t slot = put(&nodes[0]);
    publish();
    cr_assert(members_remove(&members, &nodes[0].address));
    struct members_gone gone = publish_holding();
    cr_expect_neq(put(&nodes[1]), slot);
    members_reclaim(&members, &gone);
    cr_expect_eq(put(&nodes[2]), slot);
}

/* One slice of a build, after which it is not finished. */
static void build_a_little(void)
{
    struct snapshot *next;
    struct members_gone gone;
    int64_t work = 1;
    cr_assert_eq(members_build(&members, current, &work, &next, &gone), -EAGAIN);
}

Test(members, what_changes_during_a_build_goes_into_the_next_snapshot, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    bool known;
    put(&nodes[0]);
    put(&nodes[1]);
    build_a_little();
    put(&nodes[2]);
    cr_assert(members_remove(&members, &nodes[0].address));
    publish();
    cr_expect(members_changed(&members));
    cr_expect_eq(offered(ECHO_ID, &known), 2);
    cr_expect_not(members_changed(&members));
}

Test(members, who_comes_and_goes_between_two_snapshots_is_in_neither, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    bool known;
    put(&nodes[0]);
    publish();
    uint32_t slot = put(&nodes[1]);
    cr_assert(members_remove(&members, &nodes[1].address));
    cr_expect_eq(offered(ECHO_ID, &known), 1);
    cr_expect_eq(put(&nodes[1]), slot, "and its slot is free again");
}

Test(members, a_build_that_is_given_up_can_be_begun_anew, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    bool known;
    put(&nodes[0]);
    publish();
    put(&nodes[1]);
    cr_assert(members_remove(&members, &nodes[0].address));
    for (int slices = 1; slices < 5; slices++) {
        for (int i = 0; i < slices; i++)
            build_a_little();
        members_build_abandon(&members);
    }
    cr_expect_eq(offered(ECHO_ID, &known), 1);
}

Test(members, nodes_that_offer_the_same_share_a_set, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    nodes[2].services[0].service_id++;
    uint32_t slots[3] = {put(&nodes[0]), put(&nodes[1]), put(&nodes[2])};
    cr_expect_eq(members_at(&members, slots[0])->services, members_at(&members, slots[1])->services);
    cr_expect_neq(members_at(&members, slots[0])->services, members_at(&members, slots[2])->services);
    cr_expect_eq(members.offers.set_count, 2);
    cr_assert(members_remove(&members, &nodes[2].address));
    publish();
    cr_expect_eq(members.offers.set_count, 1);
}

Test(members, a_node_that_changes_what_it_offers_keeps_its_picks, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    uint32_t slot = put(&node);
    publish();
    atomic_store(&members.values[slot].picks, 4);
    node.services[0].service_id++;
    uint32_t other = put(&node);
    cr_expect_neq(other, slot, "who still sees the old snapshot must find what it says");
    cr_expect_eq(members.present_count, 1);
    cr_expect_float_eq(expected_load(other), 1.5f, 1e-6f);
}

Test(members, a_new_service_is_taken_in_when_the_table_is_full_of_forgotten_ones, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    bool known;
    for (uint32_t i = 0; i < OFFERS_SERVICES_MAX + 10; i++) {
        node.services[0].service_id = i + 1;
        put(&node);
        if (i % 64 == 0)
            publish();
    }
    cr_expect_eq(offered(OFFERS_SERVICES_MAX + 10, &known), 1);
    cr_expect_eq(members.offers.service_count, OFFERS_SERVICES_MAX);
    cr_expect_eq(offered(1, &known), 0);
    cr_expect_not(known, "it was forgotten for another one");
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
    publish();
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
    cr_expect(members_changed(&members));
    publish();
    node.load_index = 2;
    node.flags = WIRE_NODE_DRAINING | WIRE_NODE_LAST;
    node.age_ms = 0;
    put(&node);
    cr_expect_not(members_changed(&members));
    node.flags = WIRE_NODE_NO_JOBS;
    put(&node);
    cr_expect(members_changed(&members));
    publish();
    node.services[0].service_id++;
    put(&node);
    cr_expect(members_changed(&members));
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

Test(members, a_list_removes_whom_it_did_not_name, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    bool known;
    for (int i = 0; i < 3; i++)
        put(&nodes[i]);
    members_list_begin(&members);
    put(&nodes[1]);
    put(&nodes[1]);
    cr_expect_eq(members_list_end(&members), 2);
    cr_expect_eq(offered(ECHO_ID, &known), 1);
    cr_expect_neq(members_find(&members, &nodes[1].address), MEMBER_NONE);
    cr_expect_eq(members_list_end(&members), 0);
}

Test(members, thousands_come_and_go_in_the_slots_of_a_few, .init = setup, .fini = teardown)
{
    for (uint32_t round = 0; round < 300; round++) {
        struct wire_node nodes[10];
        for (uint16_t i = 0; i < 10; i++) {
            nodes[i] = worker((uint16_t)(round * 10 + i + 1));
            put(&nodes[i]);
        }
        publish();
        for (uint16_t i = 0; i < 10; i++)
            cr_assert(members_remove(&members, &nodes[i].address));
        publish();
    }
    cr_expect_eq(members.slot_count, 10);
    cr_expect_eq(members.present_count, 0);
}

/* ---- weights ---- */

static const struct snapshot_service *echo_service(void)
{
    return snapshot_service_find(current, ECHO_ID);
}

static void weigh(struct wire_node *node, float weight)
{
    node->services[0].weight = weight;
    put(node);
}

/* Of all draws. */
static double share_of(uint32_t slot)
{
    const struct snapshot_service *service = echo_service();
    double share = 0;
    for (uint32_t i = 0; i < service->member_count; i++) {
        double keep = service->shares[i].keep / 0x1p32;
        share += service->members[i].slot == slot ? keep : 0;
        share += service->shares[i].other.slot == slot ? 1 - keep : 0;
    }
    return share / service->member_count;
}

Test(weights, make_no_shares_unless_wanted, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    weigh(&node, 3);
    cr_expect_not(members_weights_moved(&members));
    publish();
    cr_expect_null(echo_service()->shares);
}

Test(weights, of_a_new_member_are_in_the_next_snapshot, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    members_set_weighted(&members, true);
    weigh(&nodes[0], 1);
    weigh(&nodes[1], 3);
    publish();
    cr_expect_not(members_weights_moved(&members));
    cr_expect_float_eq(share_of(members_find(&members, &nodes[1].address)), 0.75, 1e-6);
}

Test(weights, that_move_wait_until_they_are_due, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    members_set_weighted(&members, true);
    weigh(&nodes[0], 1);
    weigh(&nodes[1], 1);
    publish();
    weigh(&nodes[0], 4);
    cr_expect(members_weights_moved(&members));
    cr_expect_not(members_changed(&members));
    members_reweigh(&members);
    cr_expect(members_changed(&members));
    publish();
    cr_expect_not(members_weights_moved(&members));
    cr_expect_not(members_changed(&members));
    cr_expect_float_eq(share_of(members_find(&members, &nodes[0].address)), 0.8, 1e-6);
    weigh(&nodes[0], 4);
    cr_expect_not(members_weights_moved(&members), "the same weight again");
}

Test(weights, of_who_is_out_of_service_are_nothing, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(1), worker(2), worker(3)};
    members_set_weighted(&members, true);
    for (int i = 0; i < 3; i++)
        weigh(&nodes[i], 1);
    publish();
    nodes[0].flags = WIRE_NODE_ADMIN_DRAIN;
    nodes[1].flags = WIRE_NODE_LAST;
    weigh(&nodes[0], 1);
    weigh(&nodes[1], 1);
    members_reweigh(&members);
    publish();
    cr_expect_float_eq(share_of(members_find(&members, &nodes[2].address)), 1, 1e-6);
    nodes[0].flags = 0;
    weigh(&nodes[0], 1);
    members_reweigh(&members);
    publish();
    cr_expect_float_eq(share_of(members_find(&members, &nodes[2].address)), 0.5, 1e-6);
}

Test(weights, kept_from_before_are_used_once_they_are_wanted, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(1), worker(2)};
    weigh(&nodes[0], 1);
    weigh(&nodes[1], 9);
    publish();
    members_set_weighted(&members, true);
    cr_assert(members_weights_moved(&members));
    members_reweigh(&members);
    publish();
    cr_expect_float_eq(share_of(members_find(&members, &nodes[1].address)), 0.9, 1e-6);
    members_set_weighted(&members, false);
    cr_expect_not(members_weights_moved(&members));
}

Test(weights, are_noted_still_when_a_build_is_given_up, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(1);
    struct members_gone gone;
    struct snapshot *next;
    members_set_weighted(&members, true);
    weigh(&node, 1);
    publish();
    weigh(&node, 2);
    members_reweigh(&members);
    for (int64_t work = 1; members.build.phase != BUILD_PUT; work = 1)
        cr_assert_eq(members_build(&members, current, &work, &next, &gone), -EAGAIN);
    cr_expect_not(members_weights_moved(&members));
    members_build_abandon(&members);
    cr_expect(members_weights_moved(&members));
    publish();
    cr_expect_not(members_weights_moved(&members));
}
