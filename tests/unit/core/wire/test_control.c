/* Control datagrams and services. */
#include <criterion/criterion.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/cursor.h"
#include "core/wire/heartbeat.h"
#include "core/wire/service.h"

static const struct address node = {.family = ADDRESS_IPV6, .port = 7500, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
static const struct address ipv4 = {.family = ADDRESS_IPV4, .port = 7400, .ip = {192, 0, 2, 1}};

static struct frame decoded(const uint8_t *bytes, int length)
{
    struct frame frame;
    enum refusal refusal;
    cr_assert_gt(length, 0);
    cr_assert_eq(frame_decode_datagram(bytes, (size_t)length, &frame, &refusal), length);
    return frame;
}

static struct wire_heartbeat plain_heartbeat(void)
{
    return (struct wire_heartbeat){.node = node, .kind = WIRE_NODE_WORKER, .trailer = {.boot_id = 1, .sequence = 2}};
}

static struct wire_register plain_register(uint8_t service_count)
{
    return (struct wire_register){
        .node = node, .kind = WIRE_NODE_WORKER, .service_count = service_count, .trailer = {.boot_id = 1, .sequence = 2}};
}

Test(service, name_that_is_empty_is_invalid)
{
    cr_expect_not(service_name_valid("", 0));
}

Test(service, name_of_64_bytes_is_invalid)
{
    char name[64];
    memset(name, 'a', sizeof(name));
    cr_expect_not(service_name_valid(name, 64));
    cr_expect(service_name_valid(name, 63));
}

Test(service, name_with_other_characters_is_invalid)
{
    cr_expect_not(service_name_valid("a b", 3));
    cr_expect_not(service_name_valid("a/b", 3));
    cr_expect_not(service_name_valid("\xc3\xa9", 2));
    cr_expect_not(service_name_valid("a\0b", 3));
    cr_expect(service_name_valid("Az09._-", 7));
}

Test(service, id_is_fnv_1a_64_of_the_name)
{
    cr_expect_eq(service_id("echo", 4), UINT64_C(0x3000e56026044164));
    cr_expect_eq(service_id("foobar", 6), UINT64_C(0x85944171f73967e8)); /* the authors' own test vector */
}

Test(heartbeat, load_that_is_no_number_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    static const float bad[] = {NAN, INFINITY, -INFINITY, -1.0f};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct wire_heartbeat heartbeat = plain_heartbeat();
        heartbeat.load_index = bad[i];
        cr_expect_eq(wire_heartbeat_encode(&heartbeat, 1, 0, bytes, sizeof(bytes)), -EINVAL);
    }
}

Test(heartbeat, boot_id_0_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = plain_heartbeat();
    heartbeat.trailer.boot_id = 0;
    cr_expect_eq(wire_heartbeat_encode(&heartbeat, 1, 0, bytes, sizeof(bytes)), -EINVAL);
}

Test(heartbeat, flags_of_rm_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = plain_heartbeat();
    heartbeat.node_flags = WIRE_NODE_LAST;
    cr_expect_eq(wire_heartbeat_encode(&heartbeat, 1, 0, bytes, sizeof(bytes)), -EINVAL);
}

Test(heartbeat, negative_zero_is_sent_as_zero)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = plain_heartbeat();
    enum refusal refusal;
    heartbeat.load_index = -0.0f;
    struct frame frame = decoded(bytes, wire_heartbeat_encode(&heartbeat, 1, 0, bytes, sizeof(bytes)));
    cr_expect_eq(wire_heartbeat_decode(&frame, &heartbeat, &refusal), 0);
}

Test(heartbeat, fullest_one_fits_a_datagram)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = plain_heartbeat();
    enum refusal refusal;
    heartbeat.service_count = NODE_SERVICES_MAX;
    heartbeat.echo_count = ECHOES_MAX;
    heartbeat.metadata_count = METADATA_MAX;
    heartbeat.services[NODE_SERVICES_MAX - 1].rate = 1.5f;
    heartbeat.echoes[ECHOES_MAX - 1].jobs = 77;
    heartbeat.metadata[METADATA_MAX - 1] = (struct wire_metadata){.key = WIRE_METADATA_QUEUE_LENGTH, .value = 9};
    struct frame frame = decoded(bytes, wire_heartbeat_encode(&heartbeat, 1, 0, bytes, sizeof(bytes)));
    memset(&heartbeat, 0xff, sizeof(heartbeat));
    cr_assert_eq(wire_heartbeat_decode(&frame, &heartbeat, &refusal), 0);
    cr_expect_eq(heartbeat.services[NODE_SERVICES_MAX - 1].rate, 1.5f);
    cr_expect_eq(heartbeat.echoes[ECHOES_MAX - 1].jobs, 77);
    cr_expect_eq(heartbeat.metadata[METADATA_MAX - 1].value, 9);
    cr_expect_eq(heartbeat.trailer.sequence, 2);
}

Test(metadata, unknown_key_has_no_name)
{
    cr_expect_null(wire_metadata_name(0));
    cr_expect_str_eq(wire_metadata_name(WIRE_METADATA_CPU_USE), "cpu_use");
}

Test(metadata, unknown_name_has_no_key)
{
    cr_expect_eq(wire_metadata_find("colour"), 0);
    cr_expect_eq(wire_metadata_find(""), 0);
    cr_expect_eq(wire_metadata_find("pressure_io"), WIRE_METADATA_PRESSURE_IO);
}

Test(register, invalid_name_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_register registration = plain_register(1);
    registration.services[0] = (struct wire_service_name){.length = 3, .text = "a b"};
    cr_expect_eq(wire_register_encode(&registration, 1, 0, bytes, sizeof(bytes)), -EINVAL);
}

Test(register, fullest_one_fits_a_datagram)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_register registration = plain_register(NODE_SERVICES_MAX);
    enum refusal refusal;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++) {
        registration.services[i].length = SERVICE_NAME_BYTES_MAX;
        memset(registration.services[i].text, 'a' + (int)i, SERVICE_NAME_BYTES_MAX);
    }
    struct frame frame = decoded(bytes, wire_register_encode(&registration, 1, 0, bytes, sizeof(bytes)));
    memset(&registration, 0xff, sizeof(registration));
    cr_assert_eq(wire_register_decode(&frame, &registration, &refusal), 0);
    cr_expect_eq(strlen(registration.services[NODE_SERVICES_MAX - 1].text), SERVICE_NAME_BYTES_MAX);
}

Test(heartbeat_ack, limit_below_the_fixed_fields_fails)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat_ack ack = {0};
    cr_expect_eq(wire_heartbeat_ack_encode(&ack, 1, bytes, HEARTBEAT_ACK_BYTES_MIN - 1), -EMSGSIZE);
}

Test(heartbeat_ack, every_limit_is_kept_and_told)
{
    static uint8_t bytes[2 * DATAGRAM_BYTES_MAX];
    static struct wire_heartbeat_ack ack;
    for (size_t limit = HEARTBEAT_ACK_BYTES_MIN; limit <= sizeof(bytes); limit++) {
        enum refusal refusal;
        ack = (struct wire_heartbeat_ack){
            .dispatcher_total = 200, .dispatcher_count = ACK_DISPATCHERS_MAX, .trailer = {.boot_id = 1, .sequence = 1}};
        for (uint32_t i = 0; i < ACK_DISPATCHERS_MAX; i++)
            ack.dispatchers[i] = (struct wire_ack_dispatcher){.boot_id = i + 1, .address = limit % 2 ? ipv4 : node};
        int length = wire_heartbeat_ack_encode(&ack, 1, bytes, limit);
        cr_assert(length > 0 && (size_t)length <= limit && (size_t)length <= DATAGRAM_BYTES_MAX);
        struct frame frame = decoded(bytes, length);
        cr_assert_eq(wire_heartbeat_ack_decode(&frame, &ack, &refusal), 0);
        cr_expect_eq(ack.dispatcher_total, 200);
        cr_expect_eq((uint32_t)length, wire_heartbeat_ack_bytes(ack.dispatcher_count, limit % 2 ? ADDRESS_IPV4 : ADDRESS_IPV6));
    }
}

Test(reader, failure_is_sticky_and_keeps_its_first_reason)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct wire_reader reader = wire_reader_over(bytes, sizeof(bytes), false);
    enum refusal refusal;
    cr_expect_eq(wire_read_u16(&reader), 0x0102);
    cr_expect_eq(wire_read_u16(&reader), 0);
    reader.section = REFUSAL_SHORT_TEXT;
    cr_expect_eq(wire_read_u8(&reader), 0);
    wire_reader_refuse(&reader, REFUSAL_BAD_KIND);
    cr_expect_eq(wire_reader_finish(&reader, false, &refusal), USHER_EPROTOCOL);
    cr_expect_eq(refusal, REFUSAL_SHORT_FIELDS);
}

Test(writer, failure_is_sticky_and_writes_nothing_more)
{
    uint8_t bytes[4] = {0};
    struct wire_writer writer = wire_writer_over(bytes, 3);
    wire_write_u16(&writer, 0x0102);
    wire_write_u16(&writer, 0x0304);
    wire_write_u8(&writer, 5);
    cr_expect_eq(writer.error, -EMSGSIZE);
    cr_expect_eq(bytes[2], 0);
    cr_expect_eq(bytes[3], 0);
}

Test(bytes, one_bit_anywhere_is_not_zero)
{
    uint8_t bytes[40] = {0};
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        cr_expect(bytes_are_zero(bytes, length));
        for (size_t at = 0; at < length; at++) {
            bytes[at] = 0x10;
            cr_expect_not(bytes_are_zero(bytes, length));
            bytes[at] = 0;
        }
    }
}
