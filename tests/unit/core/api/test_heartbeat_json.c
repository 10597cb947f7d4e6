/* Heartbeats as JSON say what they say in datagrams; what is wrong is refused in words. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/api/heartbeat_json.h"

static struct address node;
static char text[HEARTBEAT_JSON_TEXT_BYTES];

static void setup(void)
{
    cr_assert_eq(address_parse("10.0.0.1:80", &node), 0);
}

TestSuite(heartbeat_json, .init = setup);

static struct wire_heartbeat heartbeat_usual(void)
{
    struct wire_heartbeat heartbeat = {
        .node = node,
        .kind = WIRE_NODE_DISPATCHER,
        .node_flags = WIRE_NODE_DRAINING,
        .slots = 8,
        .timestamp_ms = 1700000000123,
        .load_index = 0.7f,
        .load_per_job = 0.0625f,
        .jobs_queued = 4000000000u,
        .jobs_running = 3,
        .admin = {.version_ms = 1700000000001, .writer_rm_id = UINT64_MAX, .flags = WIRE_ADMIN_WEIGHT, .weight = 2.5f},
        .service_count = 2,
        .echo_count = 1,
        .metadata_count = 2,
        .services = {{.service_id = 1, .work_s = 0.25f, .rate = 4}, {.service_id = UINT64_MAX}},
        .echoes = {{.dispatcher_boot_id = 0xfedcba9876543210, .jobs = 7}},
        .metadata = {{.key = WIRE_METADATA_CPU_USE, .value = 0.5f}, {.key = WIRE_METADATA_NIC_OUT, .value = 12.5f}},
        .trailer = {.boot_id = 0x8000000000000001, .sequence = 42},
    };
    return heartbeat;
}

/* The usual one with this member replaced; NULL: without it. */
static int parse_with(const char *member, json_t *value)
{
    struct wire_heartbeat heartbeat = heartbeat_usual(), parsed;
    json_t *object = heartbeat_to_json(&heartbeat);
    text[0] = '\0';
    if (value != NULL)
        json_object_set_new(object, member, value);
    else
        json_object_del(object, member);
    int r = heartbeat_from_json(object, &node, &parsed, text);
    json_decref(object);
    return r;
}

Test(heartbeat_json, what_is_missing_or_unknown_is_named)
{
    cr_expect_eq(parse_with("boot", NULL), -EINVAL);
    cr_expect_not_null(strstr(text, "boot"), "%s", text);
    cr_expect_eq(parse_with("echoes", NULL), -EINVAL);
    cr_expect_eq(parse_with("colour", json_integer(1)), -EINVAL);
    cr_expect_not_null(strstr(text, "colour"), "%s", text);
}

Test(heartbeat_json, wrong_types_and_ranges_are_refused)
{
    cr_expect_eq(parse_with("boot", json_string("12")), -EINVAL);
    cr_expect_eq(parse_with("boot", json_string("000000000000000g")), -EINVAL);
    cr_expect_eq(parse_with("boot", json_string("0000000000000000")), -EINVAL, "no boot is 0");
    cr_expect_eq(parse_with("sequence", json_string("1")), -EINVAL);
    cr_expect_eq(parse_with("sequence", json_integer(-1)), -EINVAL);
    cr_expect_eq(parse_with("slots", json_integer(65536)), -EINVAL);
    cr_expect_eq(parse_with("kind", json_integer(9)), -EINVAL);
    cr_expect_eq(parse_with("flags", json_integer(8)), -EINVAL, "LAST is rm's to say");
    cr_expect_eq(parse_with("load", json_real(-1)), -EINVAL);
    cr_expect_eq(parse_with("load", json_real(1e300)), -EINVAL);
    cr_expect_eq(parse_with("jobs_queued", json_integer(INT64_C(1) << 32)), -EINVAL);
    cr_expect_eq(parse_with("admin", json_array()), -EINVAL);
    cr_expect_eq(parse_with("services", json_pack("[{s:s}]", "service", "0000000000000001")), -EINVAL);
    cr_expect_eq(parse_with("services", json_object()), -EINVAL);
    cr_expect_eq(parse_with("echoes", json_pack("{s:i}", "x", 1)), -EINVAL);
    cr_expect_eq(parse_with("metrics", json_pack("{s:s}", "cpu_use", "1")), -EINVAL);
}

Test(heartbeat_json, too_many_of_anything_is_refused)
{
    json_t *many = json_array(), *echoes = json_object();
    for (uint32_t i = 0; i < 300; i++) {
        char id[17];
        snprintf(id, sizeof(id), "%016x", i + 1);
        json_array_append_new(many, json_pack("{s:s, s:f, s:f}", "service", id, "work_s", 0.0, "rate", 0.0));
        json_object_set_new(echoes, id, json_integer(1));
    }
    cr_expect_eq(parse_with("services", many), -EINVAL);
    cr_expect_eq(parse_with("echoes", echoes), -EINVAL);
}

Test(heartbeat_json, heartbeat_comes_back_as_it_went)
{
    struct wire_heartbeat heartbeat = heartbeat_usual(), parsed;
    uint8_t before[DATAGRAM_BYTES_MAX], after[DATAGRAM_BYTES_MAX];
    json_t *object = heartbeat_to_json(&heartbeat);
    cr_expect(json_is_of_node(object));
    cr_assert_eq(heartbeat_from_json(object, &node, &parsed, text), 0, "%s", text);
    json_decref(object);
    int length = wire_heartbeat_encode(&heartbeat, 1, 0, before, sizeof(before));
    cr_assert_gt(length, 0);
    cr_assert_eq(wire_heartbeat_encode(&parsed, 1, 0, after, sizeof(after)), length);
    cr_expect_arr_eq(before, after, (size_t)length);
}

Test(heartbeat_json, registration_comes_back_as_it_went)
{
    struct wire_register registration = {
        .node = node,
        .kind = WIRE_NODE_WORKER,
        .node_flags = WIRE_NODE_NO_ECHO,
        .slots = 1,
        .service_count = 2,
        .services = {{.length = 3, .text = "web"}, {.length = 1, .text = "a"}},
        .trailer = {.boot_id = 5, .sequence = 6},
    };
    struct wire_register parsed;
    json_t *object = register_to_json(&registration);
    cr_assert_eq(register_from_json(object, &node, &parsed, text), 0, "%s", text);
    cr_expect_eq(parsed.service_count, 2);
    cr_expect_str_eq(parsed.services[0].text, "web");
    cr_expect_eq(parsed.node_flags, WIRE_NODE_NO_ECHO);
    cr_expect_eq(parsed.trailer.sequence, 6);
    json_object_set_new(object, "services", json_pack("[s]", "no blanks"));
    cr_expect_eq(register_from_json(object, &node, &parsed, text), -EINVAL);
    json_decref(object);
}

Test(heartbeat_json, acknowledgement_comes_back_as_it_went)
{
    struct wire_heartbeat_ack ack = {
        .rm_id = 9,
        .region = 3,
        .flags = WIRE_ACK_REGISTER_WANTED,
        .acked_sequence = 42,
        .admin = {.version_ms = 1, .writer_rm_id = 2, .flags = WIRE_ADMIN_DRAIN},
        .dispatcher_total = 200,
        .dispatcher_count = 1,
        .node_total = 100000,
        .dispatchers = {{.boot_id = 77, .address = node}},
        .trailer = {.boot_id = 11, .sequence = 12},
    };
    struct wire_heartbeat_ack parsed;
    json_t *object = heartbeat_ack_to_json(&ack);
    json_object_set_new(object, "newer", json_true());
    cr_assert_eq(heartbeat_ack_from_json(object, &parsed, text), 0, "%s", text);
    cr_expect_eq(parsed.rm_id, 9);
    cr_expect_eq(parsed.region, 3);
    cr_expect_eq(parsed.flags, WIRE_ACK_REGISTER_WANTED);
    cr_expect_eq(parsed.acked_sequence, 42);
    cr_expect_eq(parsed.admin.flags, WIRE_ADMIN_DRAIN);
    cr_expect_eq(parsed.dispatcher_total, 200);
    cr_assert_eq(parsed.dispatcher_count, 1);
    cr_expect_eq(parsed.dispatchers[0].boot_id, 77);
    cr_expect(address_equal(&parsed.dispatchers[0].address, &node));
    cr_expect_eq(parsed.node_total, 100000);
    cr_expect_eq(parsed.trailer.boot_id, 11);
    json_object_del(object, "region");
    cr_expect_eq(heartbeat_ack_from_json(object, &parsed, text), -EINVAL);
    cr_expect_eq(heartbeat_ack_from_json(NULL, &parsed, text), -EINVAL);
    json_decref(object);
}

static void expect_ack_refused(const char *name, json_t *value)
{
    struct wire_heartbeat_ack ack = {.dispatcher_total = 1,
                                     .dispatcher_count = 1,
                                     .dispatchers = {{.boot_id = 77, .address = node}},
                                     .trailer = {.boot_id = 11}};
    struct wire_heartbeat_ack parsed;
    json_t *object = heartbeat_ack_to_json(&ack);
    cr_assert_eq(heartbeat_ack_from_json(object, &parsed, text), 0, "%s", text);
    json_object_set_new(object, name, value);
    cr_expect_eq(heartbeat_ack_from_json(object, &parsed, text), -EINVAL, "%s", name);
    json_decref(object);
}

/* The node would send idle tokens there, and tell other rm what it heard. */
Test(heartbeat_json, acknowledgement_may_say_no_more_than_a_datagram)
{
    expect_ack_refused("dispatchers", json_pack("[{s:s, s:s}]", "address", "224.0.0.1:7400", "boot", "000000000000004d"));
    expect_ack_refused("dispatchers", json_pack("[{s:s, s:s}]", "address", "127.0.0.1:0", "boot", "000000000000004d"));
    expect_ack_refused("dispatchers", json_pack("[{s:s, s:s}]", "address", "127.0.0.1:7400", "boot", "0000000000000000"));
    expect_ack_refused("dispatcher_total", json_integer(0));
    expect_ack_refused("boot", json_string("0000000000000000"));
    expect_ack_refused("admin",
                       json_pack("{s:i, s:s, s:i, s:f}", "version", 1, "writer", "0000000000000001", "flags", 2, "weight", 1e39));
}

Test(heartbeat_json, flags_of_a_newer_rm_are_not_passed_on)
{
    struct wire_heartbeat_ack ack = {.admin = {.version_ms = 1, .flags = 255}, .trailer = {.boot_id = 11}}, parsed;
    json_t *object = heartbeat_ack_to_json(&ack);
    cr_assert_eq(heartbeat_ack_from_json(object, &parsed, text), 0, "%s", text);
    cr_expect_eq(parsed.admin.flags, WIRE_ADMIN_DRAIN | WIRE_ADMIN_WEIGHT);
    json_decref(object);
}
