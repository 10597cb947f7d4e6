#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"

static const struct address ipv4 = {.family = ADDRESS_IPV4, .port = 7500, .ip = {192, 0, 2, 1}};
static const struct address ipv6 = {.family = ADDRESS_IPV6, .port = 7500, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};

static struct wire_address reply_of(uint8_t count, const struct address *address)
{
    struct wire_address reply = {.boot_id = 1, .region = 2, .regions_version = 3, .count = count};
    for (uint32_t i = 0; i < count; i++)
        reply.entries[i] = (struct wire_address_entry){.address = *address, .state = WIRE_ADDRESS_DISPATCHER};
    return reply;
}

static struct wire_address reply_decoded(const uint8_t *bytes, int length)
{
    struct frame frame;
    struct wire_address reply;
    enum refusal refusal;
    cr_assert_eq(frame_decode_datagram(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(wire_address_decode(&frame, &reply, &refusal), 0);
    return reply;
}

Test(address_request, count_of_zero_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_address_request request = {.count = 0};
    cr_expect_eq(wire_address_request_encode(&request, 1, 0, bytes, sizeof(bytes)), -EINVAL);
}

Test(address_request, unknown_outcome_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_address_request request = {.count = 1, .has_feedback = true, .feedback = {.node = ipv4, .outcome = 3}};
    cr_expect_eq(wire_address_request_encode(&request, 1, 0, bytes, sizeof(bytes)), -EINVAL);
}

Test(address_request, padding_beyond_a_datagram_cannot_be_encoded)
{
    uint8_t bytes[2 * DATAGRAM_BYTES_MAX];
    struct wire_address_request request = {.count = 1};
    cr_expect_eq(wire_address_request_encode(&request, 1, DATAGRAM_BYTES_MAX + 1, bytes, sizeof(bytes)), -EMSGSIZE);
}

Test(address_request, refused_one_leaves_the_result_untouched)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_address_request request = {.count = 1, .exclude_count = 1, .excludes = {ipv4}};
    struct wire_address_request decoded = {.service_id = 99};
    struct frame frame;
    enum refusal refusal;
    int length = wire_address_request_encode(&request, 1, 0, bytes, sizeof(bytes));
    cr_assert_eq(length, 42);
    bytes[34] = 5;
    cr_assert_eq(frame_decode_datagram(bytes, 42, &frame, &refusal), 42);
    cr_expect_eq(wire_address_request_decode(&frame, &decoded, &refusal), USHER_EPROTOCOL);
    cr_expect_eq(refusal, REFUSAL_BAD_FAMILY);
    cr_expect_eq(decoded.service_id, 99);
}

Test(address_request, most_of_everything_fits_a_datagram)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_address_request request = {.service_id = UINT64_MAX, .wait_ms = UINT32_MAX, .count = ADDRESSES_MAX};
    struct wire_address_request decoded;
    struct frame frame;
    enum refusal refusal;
    for (; request.exclude_count < EXCLUDES_MAX; request.exclude_count++)
        request.excludes[request.exclude_count] = ipv6;
    request.has_feedback = true;
    request.feedback = (struct wire_feedback){.node = ipv6, .outcome = WIRE_OUTCOME_TIMEOUT, .latency_us = UINT32_MAX};
    int length = wire_address_request_encode(&request, 1, 0, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    cr_assert_eq(frame_decode_datagram(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(wire_address_request_decode(&frame, &decoded, &refusal), 0);
    cr_expect_eq(decoded.exclude_count, EXCLUDES_MAX);
    cr_expect(address_equal(&decoded.excludes[EXCLUDES_MAX - 1], &ipv6));
    cr_expect_eq(decoded.feedback.latency_us, UINT32_MAX);
}

Test(address_reply, limit_below_the_fixed_fields_fails)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint8_t fitted = 99;
    struct wire_address reply = reply_of(1, &ipv4);
    cr_expect_eq(wire_address_encode(&reply, 1, bytes, ADDRESS_REPLY_BYTES_MIN - 1, &fitted), -EMSGSIZE);
    cr_expect_eq(fitted, 99);
}

Test(address_reply, none_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint8_t fitted;
    struct wire_address reply = reply_of(0, &ipv4);
    cr_expect_eq(wire_address_encode(&reply, 1, bytes, sizeof(bytes), &fitted), -EINVAL);
}

Test(address_reply, address_without_a_family_cannot_be_encoded)
{
    static const struct address none = {0};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint8_t fitted;
    struct wire_address reply = reply_of(1, &none);
    cr_expect_eq(wire_address_encode(&reply, 1, bytes, sizeof(bytes), &fitted), -EINVAL);
}

/* No reply is longer than its request, whatever the request's length. */
Test(address_reply, every_limit_is_kept_and_told)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    for (size_t limit = ADDRESS_REPLY_BYTES_MIN; limit < 400; limit++) {
        uint8_t fitted;
        struct wire_address reply = reply_of(ADDRESSES_MAX, limit % 2 ? &ipv4 : &ipv6);
        int length = wire_address_encode(&reply, 1, bytes, limit, &fitted);
        cr_assert(length > 0 && (size_t)length <= limit);
        struct wire_address decoded = reply_decoded(bytes, length);
        cr_expect_eq(decoded.count, fitted);
        cr_expect_eq(decoded.truncated, fitted < ADDRESSES_MAX);
        cr_expect_eq((uint32_t)length, wire_address_bytes(fitted, limit % 2 ? ADDRESS_IPV4 : ADDRESS_IPV6));
    }
}

Test(address_reply, one_ipv4_address_needs_44_bytes)
{
    cr_expect_eq(wire_address_bytes(1, ADDRESS_IPV4), 44);
    cr_expect_eq(DATAGRAM_BYTES_MAX / wire_address_bytes(1, ADDRESS_IPV4), 28);
}

Test(location, more_dispatchers_than_allowed_cannot_be_encoded)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_region_dispatcher dispatcher = {.region = 1, .address = ipv4};
    struct wire_location location = {.dispatcher_total = REGION_DISPATCHERS_MAX + 1};
    cr_expect_eq(wire_location_encode(&location, &dispatcher, 1, bytes, sizeof(bytes)), -EINVAL);
}

Test(location, limit_below_the_fixed_fields_fails)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_location location = {0};
    cr_expect_eq(wire_location_encode(&location, NULL, 1, bytes, LOCATION_REPLY_BYTES_MIN - 1), -EMSGSIZE);
}

Test(location, every_limit_is_kept_and_told)
{
    static uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_region_dispatcher dispatchers[8];
    for (uint16_t i = 0; i < ARRAY_COUNT(dispatchers); i++)
        dispatchers[i] = (struct wire_region_dispatcher){.region = i, .address = i % 2 ? ipv6 : ipv4};
    for (size_t limit = LOCATION_REPLY_BYTES_MIN; limit < 200; limit++) {
        struct wire_location location = {.dispatcher_total = ARRAY_COUNT(dispatchers)};
        struct wire_region_dispatcher dispatcher;
        struct frame frame;
        enum refusal refusal;
        int length = wire_location_encode(&location, dispatchers, 1, bytes, limit);
        cr_assert(length > 0 && (size_t)length <= limit);
        cr_assert_eq(frame_decode_datagram(bytes, (size_t)length, &frame, &refusal), length);
        cr_assert_eq(wire_location_decode(&frame, &location, &refusal), 0);
        cr_expect_eq(location.truncated, location.dispatcher_count < ARRAY_COUNT(dispatchers));
        uint32_t count = 0;
        while (wire_location_next(&location, &dispatcher, &refusal) == 1)
            cr_expect_eq(dispatcher.region, count++);
        cr_expect_eq(count, location.dispatcher_count);
    }
}

Test(error_reply, too_short_a_request_gets_nothing)
{
    uint8_t bytes[64];
    cr_expect_eq(wire_error_encode(WIRE_ERROR_NO_NODE, false, false, NULL, 1, bytes, ERROR_REPLY_BYTES_MIN - 1), -EMSGSIZE);
}

static struct wire_error error_decoded(const uint8_t *bytes, int length)
{
    struct frame frame;
    struct wire_error error;
    enum refusal refusal;
    cr_assert_eq(frame_decode_datagram(bytes, (size_t)length, &frame, &refusal), length);
    cr_assert_eq(wire_error_decode(&frame, &error, &refusal), 0);
    return error;
}

Test(error_reply, text_is_cut_to_the_request)
{
    uint8_t bytes[64];
    int length = wire_error_encode(WIRE_ERROR_NO_NODE, false, false, "a text of some length", 1, bytes, 30);
    cr_assert_eq(length, 30);
    struct wire_error error = error_decoded(bytes, length);
    cr_expect(error.truncated);
    cr_expect_str_eq(error.text, "a text");
}

Test(error_reply, long_text_is_cut_to_what_its_length_can_say)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    int length = wire_error_encode(WIRE_ERROR_JOB_FAILED, true, false, text, 1, bytes, sizeof(bytes));
    struct wire_error error = error_decoded(bytes, length);
    cr_expect(error.truncated);
    cr_expect(error.started);
    cr_expect_eq(strlen(error.text), ERROR_TEXT_BYTES_MAX);
}

Test(error_reply, unprintable_bytes_become_question_marks)
{
    uint8_t bytes[64];
    int length = wire_error_encode(WIRE_ERROR_JOB_FAILED, true, false, "a\x1b[2J\n\xc3\xa9", 1, bytes, sizeof(bytes));
    cr_expect_str_eq(error_decoded(bytes, length).text, "a?[2J???");
}

Test(error_reply, each_code_is_an_error_of_ours_and_back)
{
    static const enum wire_error_code codes[] = {
#define WIRE_ERROR(symbol, code, error) WIRE_ERROR_##symbol,
#include "core/wire/error_codes.def"
#undef WIRE_ERROR
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        cr_expect_eq(wire_error_from_error(wire_error_to_error((uint16_t)codes[i])), codes[i]);
}

Test(error_reply, unknown_code_is_a_protocol_error)
{
    cr_expect_eq(wire_error_to_error(9999), USHER_EPROTOCOL);
}
