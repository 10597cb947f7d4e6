/* Lists of nodes made in slices, while nodes come and go between these. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/loop.h"
#include "rm/listing.h"
#include "rm/node_text.h"
#include "tests/unit/rm/fixture.h"

#define NODES 500u

static struct fixture *fixture;
static struct loop *loop;
static struct pieces pieces;
static struct buffer text;

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    fixture = fixture_new(true);
}

static void teardown(void)
{
    pieces_done(&pieces);
    buffer_done(&text);
    fixture_free(fixture);
    loop_free(loop);
}

TestSuite(listing, .init = setup, .fini = teardown);

static void nodes_join(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        fixture_beat(fixture, i, 0.5f);
}

static void list_open(enum listing_kind kind, const char *service)
{
    uint64_t id = service ? fixture_service(service) : 0;
    text.length = 0;
    cr_assert_eq(listing_open(fixture->cluster, loop, kind, service ? &id : NULL, &pieces), 0);
}

/* The next piece; false: it was the last. */
static bool piece(void)
{
    size_t before = text.length;
    int result = pieces.next(pieces.ctx, &text);
    cr_assert_geq(result, 0);
    cr_assert_leq(text.length - before, 20000, "a piece is a small one");
    return result == PIECES_MORE;
}

/* All that is left of the list, read. */
static json_t *list_end(void)
{
    json_error_t why;
    while (piece())
        ;
    pieces_done(&pieces);
    json_t *list = json_loadb((const char *)text.bytes, text.length, 0, &why);
    cr_assert_not_null(list, "%s: %.*s", why.text, (int)text.length, (const char *)text.bytes);
    cr_assert_eq(text.bytes[text.length - 1], '\n');
    return list;
}

/* How often the node stands in the list. */
static uint32_t times_in(const json_t *list, uint32_t number)
{
    char address[ADDRESS_TEXT_BYTES];
    struct address wanted = fixture_address(number);
    const json_t *rows = json_object_get(list, "nodes");
    uint32_t times = 0;
    address_format(&wanted, address);
    for (size_t i = 0; i < json_array_size(rows); i++)
        times += strcmp(json_string_value(json_object_get(json_array_get(rows, i), "address")), address) == 0;
    return times;
}

static size_t row_count(const json_t *list)
{
    return json_array_size(json_object_get(list, "nodes"));
}

Test(listing, no_nodes_are_an_empty_list)
{
    list_open(LISTING_NODES, NULL);
    json_t *list = list_end();
    cr_expect_eq(row_count(list), 0);
    json_decref(list);
    list_open(LISTING_TARGETS, NULL);
    list = list_end();
    cr_expect(json_is_array(list));
    json_decref(list);
    list_open(LISTING_NODES_ADMIN, "echo");
    list = list_end();
    cr_expect(json_is_true(json_object_get(list, "ok")));
    json_decref(list);
}

Test(listing, that_is_left_unfinished_is_freed)
{
    nodes_join(0, NODES);
    list_open(LISTING_NODES, NULL);
    cr_expect(piece());
}

Test(listing, node_that_joins_between_slices_is_not_in_it)
{
    nodes_join(0, NODES);
    list_open(LISTING_NODES, NULL);
    cr_assert(piece());
    nodes_join(NODES, 4 * NODES); /* the table of nodes moves */
    json_t *list = list_end();
    cr_expect_eq(row_count(list), NODES);
    json_decref(list);
}

Test(listing, node_that_is_forgotten_between_slices_and_comes_again_stands_there_once)
{
    nodes_join(0, NODES);
    list_open(LISTING_NODES, NULL);
    cr_assert(piece());
    for (uint32_t s = 0; s < 3700; s++) { /* all but the last one are forgotten, after an hour */
        fixture_beat(fixture, NODES - 1, 0.5f);
        fixture_pass(fixture, NS_PER_S);
    }
    cr_assert_eq(fixture->cluster->node_count, 1);
    nodes_join(0, 10);
    nodes_join(NODES, 10);
    json_t *list = list_end();
    for (uint32_t i = 0; i < 10; i++)
        cr_expect_eq(times_in(list, i), 1);
    cr_expect_eq(times_in(list, NODES - 2), 0, "forgotten");
    cr_expect_eq(times_in(list, NODES - 1), 1);
    cr_expect_eq(times_in(list, NODES), 0, "joined later");
    json_decref(list);
}

Test(listing, node_that_expires_between_slices_is_told_as_it_is_then)
{
    nodes_join(0, NODES);
    list_open(LISTING_TARGETS, NULL);
    fixture_beat(fixture, 0, 0.5f);
    fixture_pass(fixture, FIXTURE_VALID_NS - NS_PER_S);
    fixture_beat(fixture, 0, 0.5f);
    fixture_pass(fixture, 2 * NS_PER_S);
    json_t *list = list_end();
    cr_expect_eq(json_array_size(list), 0, "their service has no name, and only one is listed");
    json_decref(list);
    list_open(LISTING_NODES, NULL);
    list = list_end();
    cr_expect_eq(row_count(list), NODES, "faulty ones are known");
    json_decref(list);
}

Test(listing, of_a_service_has_its_nodes_alone)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 7000, 1);
    uint32_t slot;
    heartbeat.services[0].service_id = fixture_service("web");
    nodes_join(0, 3000);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    list_open(LISTING_NODES, "web");
    cr_expect(piece(), "it has not looked at all of them");
    json_t *list = list_end();
    cr_expect_eq(row_count(list), 1);
    cr_expect_eq(times_in(list, 7000), 1);
    json_decref(list);
}

Test(listing, targets_are_by_service_and_only_of_those_with_a_name)
{
    struct wire_register registration = {.node = fixture_address(5),
                                         .kind = WIRE_NODE_WORKER,
                                         .slots = 1,
                                         .service_count = 2,
                                         .services = {{.length = 4, .text = "echo"}, {.length = 3, .text = "web"}},
                                         .trailer = {.boot_id = 6, .sequence = 1}};
    uint32_t slot;
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    fixture->sequence = 10;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 5, 1);
    heartbeat.service_count = 2;
    heartbeat.services[1].service_id = fixture_service("web");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    heartbeat = fixture_heartbeat(fixture, 6, 1);
    heartbeat.services[0].service_id = fixture_service("nobody-has-told-this-name");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    list_open(LISTING_TARGETS, NULL);
    json_t *list = list_end();
    cr_assert_eq(json_array_size(list), 2);
    const json_t *labels = json_object_get(json_array_get(list, 1), "labels");
    cr_expect_str_eq(json_string_value(json_object_get(labels, "usher_service")), "web");
    cr_expect_str_eq(json_string_value(json_object_get(labels, "usher_kind")), "worker");
    json_decref(list);
    list_open(LISTING_TARGETS, "web");
    list = list_end();
    cr_expect_eq(json_array_size(list), 1);
    json_decref(list);
}

/* A drained node runs on, so it is to be scraped; what changes with its state must not make other series of it. */
Test(listing, drained_node_stays_a_target_of_the_same_labels)
{
    struct wire_register registration = {.node = fixture_address(5),
                                         .kind = WIRE_NODE_WORKER,
                                         .slots = 1,
                                         .service_count = 1,
                                         .services = {{.length = 4, .text = "echo"}},
                                         .trailer = {.boot_id = 6, .sequence = 1}};
    static const char *const states[] = {"ready", "drained", "ready"};
    uint32_t slot;
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    fixture->sequence = 10;
    (void)fixture_beat(fixture, 5, 1);
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        list_open(LISTING_TARGETS, "echo");
        json_t *list = list_end();
        json_t *labels = json_object_get(json_array_get(list, 0), "labels");
        cr_assert_eq(json_object_size(labels), 3);
        cr_expect_str_eq(json_string_value(json_object_get(labels, "usher_service")), "echo");
        cr_expect_str_eq(json_string_value(json_object_get(labels, "usher_kind")), "worker");
        cr_expect_str_eq(json_string_value(json_object_get(labels, "__meta_usher_state")), states[i]);
        json_decref(list);
        uint8_t drain = i == 0 ? WIRE_ADMIN_DRAIN : 0;
        cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &registration.node, drain, WIRE_ADMIN_DRAIN, NULL), 0);
    }
}

/* ---- a row ---- */

Test(listing, row_of_strange_values_is_json)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1e-7f);
    struct address address = fixture_address(1);
    uint32_t slot;
    heartbeat.timestamp_ms = fixture->now.wall_ms - 1500;
    heartbeat.metadata_count = 2;
    heartbeat.metadata[0] = (struct wire_metadata){WIRE_METADATA_CPU_USE, 0.123456789f};
    heartbeat.metadata[1] = (struct wire_metadata){WIRE_METADATA_MEMORY_GB, 3e20f};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "\"disk\"\\\n\x01 é"), 0);
    cr_assert_eq(node_text_print(fixture->cluster, &fixture->cluster->nodes[slot], fixture->now.ns + 1, &text), 0);
    json_t *row = json_loadb((const char *)text.bytes, text.length, 0, NULL);
    cr_assert_not_null(row, "%.*s", (int)text.length, (const char *)text.bytes);
    const json_t *metadata = json_object_get(row, "metadata");
    cr_expect_float_eq(json_number_value(json_object_get(row, "load_index")), 1e-7, 1e-12);
    cr_expect_float_eq(json_number_value(json_object_get(metadata, "cpu_use")), 0.123457, 1e-9);
    cr_expect_float_eq(json_number_value(json_object_get(metadata, "memory_gb")), 3e20, 1e14);
    cr_expect_str_eq(json_string_value(json_object_get(row, "reason")), "\"disk\"\\\n\x01 é");
    cr_expect_eq(llabs(json_integer_value(json_object_get(row, "clock_offset_ms"))), 1500);
    cr_expect(json_is_array(json_object_get(row, "weights")));
    json_decref(row);
}

Test(listing, row_of_a_node_that_never_heartbeat_has_no_age)
{
    struct wire_register registration = {.node = fixture_address(5),
                                         .kind = WIRE_NODE_WORKER,
                                         .slots = 1,
                                         .service_count = 1,
                                         .services = {{.length = 4, .text = "echo"}},
                                         .trailer = {.boot_id = 6, .sequence = 1}};
    uint32_t slot;
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    list_open(LISTING_NODES, NULL);
    json_t *list = list_end();
    const json_t *row = json_array_get(json_object_get(list, "nodes"), 0);
    cr_expect(json_is_null(json_object_get(row, "age_s")));
    cr_expect_str_eq(json_string_value(json_object_get(row, "state")), "registered");
    json_decref(list);
}
