#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/directory.h"

static struct address address_of(uint32_t number)
{
    struct address address = {.family = ADDRESS_IPV4, .port = 7500, .ip = {10}};
    address.ip[1] = (uint8_t)(number >> 16);
    address.ip[2] = (uint8_t)(number >> 8);
    address.ip[3] = (uint8_t)number;
    return address;
}

static struct wire_node node_of(uint32_t number)
{
    struct wire_node node = {.address = address_of(number + 1), .kind = WIRE_NODE_WORKER, .boot_id = number, .service_count = 2};
    node.services[1] = (struct wire_node_service){.service_id = number, .flags = WIRE_SERVICE_BELOW_AVERAGE, .rate = 1};
    return node;
}

static struct frame decoded(const uint8_t *bytes, int length)
{
    struct frame frame;
    enum refusal refusal;
    cr_assert_gt(length, 0);
    cr_assert_eq(frame_decode_stream(bytes, (size_t)length, &frame, &refusal), length);
    return frame;
}

Test(directory, node_of_unknown_kind_is_not_added)
{
    uint8_t bytes[1024];
    struct wire_nodes_builder builder;
    struct wire_directory directory = {.node_total = 1};
    struct wire_node node = node_of(1);
    node.kind = 0;
    wire_directory_begin(&builder, &directory, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_add(&builder, &node), -EINVAL);
}

/* A node that may not go out must not spoil the frame of the others. */
Test(directory, bad_node_leaves_the_frame_as_it_was)
{
    uint8_t bytes[1024];
    struct wire_nodes_builder builder;
    struct wire_directory directory = {.node_total = 2};
    struct wire_nodes nodes;
    struct wire_node good = node_of(1);
    struct wire_node bad = node_of(2);
    enum refusal refusal;
    bad.services[1].rate = -1;
    wire_directory_begin(&builder, &directory, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_add(&builder, &bad), -EINVAL);
    cr_expect_eq(wire_nodes_add(&builder, &good), 0);
    struct frame frame = decoded(bytes, wire_nodes_finish(&builder, false));
    cr_assert_eq(wire_directory_decode(&frame, &directory, &nodes, &refusal), 0);
    cr_expect_eq(directory.node_count, 1);
    cr_expect_eq(wire_nodes_next(&nodes, &good, &refusal), 1);
    cr_expect_eq(wire_nodes_next(&nodes, &good, &refusal), 0);
    cr_expect_eq(good.boot_id, 1);
}

Test(directory, frame_too_small_for_its_head_fails)
{
    uint8_t bytes[51];
    struct wire_nodes_builder builder;
    struct wire_directory directory = {0};
    struct wire_node node = node_of(1);
    wire_directory_begin(&builder, &directory, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_add(&builder, &node), -EMSGSIZE);
    cr_expect_eq(wire_nodes_finish(&builder, false), -EMSGSIZE);
}

Test(directory, list_of_5000_nodes_goes_in_parts)
{
    static uint8_t bytes[2 * DIRECTORY_PART_BYTES_MAX];
    enum { NODES = 5000 };
    uint32_t sent = 0;
    uint32_t received = 0;
    uint32_t parts = 0;
    while (sent < NODES) {
        struct wire_nodes_builder builder;
        struct wire_nodes nodes;
        struct wire_node node;
        struct wire_directory directory = {.node_total = NODES, .first = sent == 0};
        enum refusal refusal;
        wire_directory_begin(&builder, &directory, 1, bytes, sizeof(bytes));
        int error = 0;
        while (sent < NODES && error == 0) {
            node = node_of(sent);
            error = wire_nodes_add(&builder, &node);
            sent += error == 0;
        }
        cr_assert(error == 0 || error == -EMSGSIZE);
        int length = wire_nodes_finish(&builder, sent < NODES);
        cr_assert_leq(length, (int)DIRECTORY_PART_BYTES_MAX);
        struct frame frame = decoded(bytes, length);
        cr_assert_eq(wire_directory_decode(&frame, &directory, &nodes, &refusal), 0);
        cr_expect_eq(directory.first, parts++ == 0);
        cr_expect_eq(directory.more, sent < NODES);
        while (wire_nodes_next(&nodes, &node, &refusal) == 1)
            cr_expect_eq(node.boot_id, received++);
    }
    cr_expect_eq(received, NODES);
    cr_expect_eq(parts, 8);
}

Test(delta, sequence_that_goes_back_cannot_be_encoded)
{
    uint8_t bytes[128];
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.base_sequence = 5, .sequence = 4};
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_finish(&builder, false), -EINVAL);
}

Test(delta, change_without_a_new_sequence_cannot_be_encoded)
{
    uint8_t bytes[128];
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.base_sequence = 5, .sequence = 5};
    struct address address = address_of(1);
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_add_removed(&builder, &address), 0);
    cr_expect_eq(wire_nodes_finish(&builder, false), -EINVAL);
}

Test(delta, full_frame_takes_no_more_removed_nodes_and_stays_good)
{
    uint8_t bytes[100];
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.base_sequence = 5, .sequence = 6};
    struct wire_nodes nodes;
    struct address address = address_of(1);
    enum refusal refusal;
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    cr_expect_eq(wire_nodes_add_removed(&builder, &address), 0);
    cr_expect_eq(wire_nodes_add_removed(&builder, &address), 0);
    cr_expect_eq(wire_nodes_add_removed(&builder, &address), -EMSGSIZE);
    struct frame frame = decoded(bytes, wire_nodes_finish(&builder, false));
    cr_assert_eq(wire_delta_decode(&frame, &delta, &nodes, &refusal), 0);
    cr_expect_eq(delta.removed_count, 2);
    cr_expect_eq(delta.node_count, 0);
}

Test(region_table, range_with_host_bits_cannot_be_encoded)
{
    uint8_t bytes[128];
    struct wire_region_table table = {.range_count = 1};
    struct wire_region_range range = {.range = {.base = address_of(1), .prefix_bits = 8}};
    range.range.base.port = 0;
    cr_expect_eq(wire_region_table_encode(&table, NULL, &range, 1, bytes, sizeof(bytes)), -EINVAL);
}

Test(region_table, fullest_one_fits_a_frame)
{
    struct wire_region_table table = {.dispatcher_count = REGION_DISPATCHERS_MAX, .range_count = REGION_RANGES_MAX};
    struct wire_region_dispatcher *dispatchers = calloc(REGION_DISPATCHERS_MAX, sizeof(*dispatchers));
    struct wire_region_range *ranges = calloc(REGION_RANGES_MAX, sizeof(*ranges));
    uint8_t *bytes = malloc(FRAME_BYTES_MAX);
    struct wire_regions regions;
    struct wire_region_range range;
    enum refusal refusal;
    for (uint32_t i = 0; i < REGION_DISPATCHERS_MAX; i++) {
        dispatchers[i].address = address_of(i + 1);
        dispatchers[i].address.family = ADDRESS_IPV6;
    }
    for (uint32_t i = 0; i < REGION_RANGES_MAX; i++)
        ranges[i].range = (struct address_range){.base = {.family = ADDRESS_IPV6, .ip = {1}}, .prefix_bits = 128};
    int length = wire_region_table_encode(&table, dispatchers, ranges, 1, bytes, FRAME_BYTES_MAX);
    cr_expect_eq((uint32_t)length, wire_region_table_bytes_max(&table));
    struct frame frame = decoded(bytes, length);
    cr_assert_eq(wire_region_table_decode(&frame, &table, &regions, &refusal), 0);
    uint32_t count = 0;
    while (wire_regions_next_dispatcher(&regions, &dispatchers[0], &refusal) == 1)
        count++;
    while (wire_regions_next_range(&regions, &range, &refusal) == 1)
        count++;
    cr_expect_eq(count, REGION_DISPATCHERS_MAX + REGION_RANGES_MAX);
    free(bytes);
    free(ranges);
    free(dispatchers);
}
