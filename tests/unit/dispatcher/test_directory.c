/* The directory takes in what rm sends: whole frames or nothing, newer or nothing, never down to nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/service.h"
#include "dispatcher/directory.h"

#define NOW_NS (100 * NS_PER_S)

static struct directory *directory;
static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];

static void setup(void)
{
    cr_assert_eq(directory_new(1, 1, &directory), 0);
}

static void teardown(void)
{
    directory_free(directory);
}

static struct wire_node worker(uint16_t port)
{
    return (struct wire_node){
        .address = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}},
        .kind = WIRE_NODE_WORKER,
        .slots = 2,
        .boot_id = port,
        .age_ms = 100,
        .load_index = 0.5f,
        .load_per_job = 0.25f,
        .service_count = 1,
        .services = {{.service_id = service_id("echo", 4), .flags = WIRE_SERVICE_BELOW_AVERAGE, .rate = 1}},
    };
}

static struct wire_version version(uint64_t rm_id, uint64_t epoch, uint64_t sequence)
{
    return (struct wire_version){.rm_id = rm_id, .epoch = epoch, .sequence = sequence};
}

static int take(int length)
{
    struct frame frame;
    enum refusal refusal;
    cr_assert_gt(length, 0);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    return directory_take(directory, &frame, NOW_NS, &refusal);
}

static int take_list_part(struct wire_version list_version, uint32_t total, const struct wire_node *nodes, uint32_t count,
                          bool first, bool more)
{
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = list_version, .node_total = total, .first = first};
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(wire_nodes_add(&builder, &nodes[i]), 0);
    return take(wire_nodes_finish(&builder, more));
}

static int take_list(struct wire_version list_version, const struct wire_node *nodes, uint32_t count)
{
    return take_list_part(list_version, count, nodes, count, true, false);
}

static int take_delta(uint64_t base, uint64_t sequence, const struct wire_node *node, const struct address *removed)
{
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.rm_id = 9, .epoch = 1, .base_sequence = base, .sequence = sequence};
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    if (removed)
        cr_assert_eq(wire_nodes_add_removed(&builder, removed), 0);
    if (node)
        cr_assert_eq(wire_nodes_add(&builder, node), 0);
    return take(wire_nodes_finish(&builder, false));
}

static uint32_t offered(void)
{
    const struct snapshot_service *service = snapshot_service_find(directory->view->snapshot, service_id("echo", 4));
    return service ? service->member_count : 0;
}

Test(directory, ignores_an_empty_list_where_it_has_nodes, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_assert_eq(take_list(version(9, 1, 1), &node, 1), 0);
    cr_expect_eq(take_list(version(9, 1, 2), NULL, 0), -ESTALE);
    cr_expect_eq(take_list(version(8, 7, 2), NULL, 0), -ESTALE, "nor from another rm");
    cr_expect_eq(offered(), 1);
}

Test(directory, ignores_an_older_list_of_the_same_rm, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(7500), worker(7501)};
    cr_assert_eq(take_list(version(9, 2, 5), nodes, 2), 0);
    cr_expect_eq(take_list(version(9, 2, 4), nodes, 1), -ESTALE);
    cr_expect_eq(take_list(version(9, 1, 9), nodes, 1), -ESTALE);
    cr_expect_eq(offered(), 2);
}

Test(directory, takes_the_list_of_another_rm_whatever_its_sequence, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(7500), worker(7501)};
    cr_assert_eq(take_list(version(9, 2, 5), nodes, 2), 0);
    cr_expect_eq(take_list(version(8, 1, 1), nodes, 1), 0);
    cr_expect_eq(offered(), 1);
}

Test(directory, wants_the_full_list_when_a_delta_leaves_a_gap, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_expect_eq(take_delta(1, 2, &node, NULL), -ENODATA, "before any list");
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    cr_expect_eq(take_delta(6, 7, &node, NULL), -ENODATA);
    cr_expect_eq(directory->version.sequence, 5);
}

Test(directory, ignores_a_delta_that_is_older, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    cr_expect_eq(take_delta(3, 4, NULL, &node.address), -ESTALE);
    cr_expect_eq(offered(), 1);
}

Test(directory, takes_nothing_of_a_frame_that_is_broken_at_its_end, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(7500), worker(7501)};
    struct wire_nodes_builder builder;
    struct wire_directory list = {.version = version(9, 1, 1), .node_total = 2, .first = true};
    wire_directory_begin(&builder, &list, 1, bytes, sizeof(bytes));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(wire_nodes_add(&builder, &nodes[i]), 0);
    int length = wire_nodes_finish(&builder, false);
    bytes[length - 1] = 0xff; /* the last number becomes something that is not one: see bad_float */
    bytes[length - 4] = 0xff;
    cr_expect_eq(take(length), USHER_EPROTOCOL);
    cr_expect_eq(directory->members.present_count, 0);
}

Test(directory, applies_additions_and_removals_of_a_delta, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(7500), worker(7501)};
    cr_assert_eq(take_list(version(9, 1, 5), nodes, 1), 0);
    cr_assert_eq(take_delta(5, 6, &nodes[1], NULL), 0);
    cr_expect_eq(offered(), 2);
    cr_assert_eq(take_delta(6, 7, NULL, &nodes[0].address), 0);
    cr_expect_eq(offered(), 1);
    cr_expect_eq(directory->version.sequence, 7);
}

Test(directory, an_empty_delta_says_that_nothing_changed, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    const struct view *before = directory->view;
    cr_expect_eq(take_delta(5, 5, NULL, NULL), 0);
    cr_expect_eq(directory->view, before);
}

Test(directory, replaces_everything_only_when_the_last_part_has_come, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(7500), worker(7501), worker(7502)};
    cr_assert_eq(take_list(version(9, 1, 1), &nodes[2], 1), 0);
    cr_assert_eq(take_list_part(version(9, 1, 2), 2, &nodes[0], 1, true, true), 0);
    cr_expect_eq(offered(), 1, "still the old list");
    cr_assert_eq(take_list_part(version(9, 1, 2), 2, &nodes[1], 1, false, false), 0);
    cr_expect_eq(offered(), 2);
    cr_expect_eq(members_find(&directory->members, &nodes[2].address), MEMBER_NONE);
}

Test(directory, refuses_a_part_without_its_beginning, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_expect_eq(take_list_part(version(9, 1, 2), 2, &node, 1, false, false), -ENODATA);
    cr_assert_eq(take_list_part(version(9, 1, 2), 2, &node, 1, true, true), 0);
    cr_expect_eq(take_list_part(version(9, 1, 3), 2, &node, 1, false, false), -ENODATA, "a part of another list");
}

Test(directory, changes_values_in_place_without_a_new_snapshot, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    const struct view *before = directory->view;
    uint32_t slot = members_find(&directory->members, &node.address);
    struct node_values *values = &directory->members.values[slot];
    atomic_store(&values->picks, 7);
    node.flags = WIRE_NODE_ADMIN_DRAIN;
    node.load_index = 2;
    node.age_ms = 0;
    cr_assert_eq(take_delta(5, 6, &node, NULL), 0);
    cr_expect_eq(directory->view, before);
    cr_expect_eq(atomic_load(&values->flags), NODE_VALUE_DRAIN);
    cr_expect_float_eq(node_values_expected_load(values), 2.0f, 1e-6f, "own picks before the report are forgotten");
}

Test(directory, keeps_own_picks_when_the_same_report_is_told_again, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    struct node_values *values = &directory->members.values[members_find(&directory->members, &node.address)];
    atomic_store(&values->picks, 2);
    cr_assert_eq(take_list(version(9, 1, 6), &node, 1), 0);
    cr_expect_float_eq(node_values_expected_load(values), 1.0f, 1e-6f);
}

Test(directory, a_node_without_jobs_is_known_but_not_offered, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7500);
    node.kind = WIRE_NODE_DISPATCHER;
    node.flags = WIRE_NODE_NO_JOBS;
    cr_assert_eq(take_list(version(9, 1, 5), &node, 1), 0);
    cr_expect_eq(offered(), 0);
    cr_expect_eq(directory->view->location->dispatcher_count, 1);
}

Test(directory, a_service_that_nobody_offers_any_more_stays_known, .init = setup, .fini = teardown)
{
    struct wire_node nodes[2] = {worker(7500), worker(7501)};
    nodes[1].services[0].service_id = service_id("spin", 4);
    cr_assert_eq(take_list(version(9, 1, 5), nodes, 2), 0);
    cr_assert_eq(take_delta(5, 6, NULL, &nodes[0].address), 0);
    cr_expect_not_null(snapshot_service_find(directory->view->snapshot, service_id("echo", 4)));
    cr_expect_eq(offered(), 0);
}

Test(directory, gives_a_slot_away_only_after_the_cores_have_moved_on, .init = setup, .fini = teardown)
{
    struct wire_node nodes[3] = {worker(7500), worker(7501), worker(7502)};
    cr_assert_eq(take_list(version(9, 1, 1), nodes, 2), 0);
    uint32_t slot = members_find(&directory->members, &nodes[0].address);
    (void)publication_enter(&directory->publication, 0);
    cr_assert_eq(take_delta(1, 2, NULL, &nodes[0].address), 0);
    cr_assert_eq(take_delta(2, 3, &nodes[2], NULL), 0);
    cr_expect(address_equal(&directory->members.values[slot].address, &nodes[0].address));
    cr_expect_neq(members_find(&directory->members, &nodes[2].address), slot);
    publication_leave(&directory->publication, 0);
    nodes[0].address.port = 7600;
    cr_assert_eq(take_delta(3, 4, &nodes[0], NULL), 0);
    cr_expect_eq(members_find(&directory->members, &nodes[0].address), slot);
}

static void take_regions(uint32_t table_version, uint16_t region)
{
    struct wire_region_table head = {.version = table_version, .dispatcher_count = 1, .range_count = 1};
    struct wire_region_dispatcher dispatcher = {
        .region = region,
        .address = {.family = ADDRESS_IPV4, .port = 7400, .ip = {127, 0, 1, 1}},
    };
    struct wire_region_range range = {.region = region};
    cr_assert_eq(address_range_parse("127.0.1.0/24", &range.range), 0);
    cr_assert_eq(take(wire_region_table_encode(&head, &dispatcher, &range, 1, bytes, sizeof(bytes))), 0);
}

Test(directory, finds_the_region_of_a_client_in_the_table, .init = setup, .fini = teardown)
{
    struct address inside;
    struct address outside;
    cr_assert_eq(address_parse_ip("127.0.1.9", &inside), 0);
    cr_assert_eq(address_parse_ip("127.0.2.9", &outside), 0);
    cr_expect_eq(location_region_of(directory->view->location, &inside), 1, "without a table: the region that was asked");
    take_regions(5, 2);
    cr_expect_eq(location_region_of(directory->view->location, &inside), 2);
    cr_expect_eq(location_region_of(directory->view->location, &outside), 1);
    take_regions(6, 3);
    cr_expect_eq(location_region_of(directory->view->location, &inside), 3);
    cr_expect_eq(directory->table_version, 6);
}

Test(directory, its_location_version_follows_the_content, .init = setup, .fini = teardown)
{
    struct wire_node node = worker(7400);
    node.kind = WIRE_NODE_DISPATCHER;
    uint32_t before = directory->view->location->version;
    cr_assert_eq(take_list(version(9, 1, 1), &node, 1), 0);
    uint32_t with_dispatcher = directory->view->location->version;
    cr_expect_neq(with_dispatcher, before);
    node = worker(7500);
    cr_assert_eq(take_delta(1, 2, &node, NULL), 0);
    cr_expect_eq(directory->view->location->version, with_dispatcher, "a worker changes nothing for clients");
}
