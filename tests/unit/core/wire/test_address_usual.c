/* The short way of the usual request and reply, against the long way. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/wire/address_usual.h"

enum { ROOM = 160 };

static const struct wire_address_request plain = {.service_id = 0x1122334455667788, .wait_ms = 2500, .count = 3};
static uint8_t bytes[ROOM];

static uint32_t request_make(const struct wire_address_request *request, uint32_t padded_length)
{
    int length = wire_address_request_encode(request, 0x99aabbccddeeff00, padded_length, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    return (uint32_t)length;
}

Test(usual_request, is_refused_when_not_all_of_it_is_there)
{
    struct wire_usual_request usual;
    uint32_t length = request_make(&plain, 60);
    for (size_t available = 0; available < length; available++)
        cr_expect_not(wire_usual_request_decode(bytes, available, &usual), "%zu bytes", available);
}

Test(usual_request, is_refused_when_padding_is_not_zero)
{
    struct wire_usual_request usual;
    for (uint32_t length = USUAL_REQUEST_BYTES_MIN; length < USUAL_REQUEST_BYTES_MIN + 30; length++) {
        for (uint32_t i = USUAL_REQUEST_BYTES_MIN; i < length; i++) {
            request_make(&plain, length);
            bytes[i] = 1;
            cr_expect_not(wire_usual_request_decode(bytes, length, &usual), "byte %u of %u", i, length);
        }
    }
}

Test(usual_request, is_refused_with_excludes_or_feedback)
{
    struct wire_usual_request usual;
    struct wire_address_request request = plain;
    request.exclude_count = 1;
    request.excludes[0] = (struct address){.family = ADDRESS_IPV4, .port = 1, .ip = {1}};
    cr_expect_not(wire_usual_request_decode(bytes, request_make(&request, 0), &usual));
    request = plain;
    request.has_feedback = true;
    request.feedback.node = (struct address){.family = ADDRESS_IPV4, .port = 1, .ip = {1}};
    cr_expect_not(wire_usual_request_decode(bytes, request_make(&request, 0), &usual));
}

Test(usual_request, means_what_the_long_way_says_whatever_byte_is_changed)
{
    uint32_t length = request_make(&plain, 44);
    for (uint32_t i = 0; i < length; i++) {
        for (uint32_t value = 0; value < 256; value++) {
            struct wire_usual_request usual;
            struct wire_address_request request;
            struct frame frame;
            enum refusal refusal;
            request_make(&plain, 44);
            bytes[i] = (uint8_t)value;
            if (!wire_usual_request_decode(bytes, sizeof(bytes), &usual))
                continue;
            cr_assert_eq(frame_decode_datagram(bytes, sizeof(bytes), &frame, &refusal), (int)usual.length);
            cr_assert_eq(wire_address_request_decode(&frame, &request, &refusal), 0);
            cr_expect_eq(request.service_id, usual.service_id);
            cr_expect_eq(request.wait_ms, usual.wait_ms);
            cr_expect_eq(request.count, usual.count);
            cr_expect_eq(frame.request_id, usual.request_id);
        }
    }
}

Test(usual_request, may_have_any_padding)
{
    struct wire_usual_request usual;
    for (uint32_t length = USUAL_REQUEST_BYTES_MIN; length < 100; length++) {
        memset(bytes, 0xff, sizeof(bytes)); /* what lies behind the frame is another's */
        cr_assert_eq(request_make(&plain, length), length);
        cr_assert(wire_usual_request_decode(bytes, sizeof(bytes), &usual), "%u bytes", length);
        cr_expect_eq(usual.length, length);
    }
}

static void expect_same_reply(const struct address *address, uint32_t limit)
{
    uint8_t shorter[ROOM] = {0};
    uint8_t fitted = 0;
    struct wire_usual_reply usual;
    struct wire_address reply = {.boot_id = 77, .region = 3, .regions_version = 9, .count = 1};
    reply.entries[0] = (struct wire_address_entry){.address = *address, .state = WIRE_ADDRESS_LAST};
    memset(bytes, 0, sizeof(bytes));
    int length = wire_address_encode(&reply, 12345, bytes, limit, &fitted);
    wire_usual_reply_init(&usual, 77, 3, 9);
    uint32_t usual_length = wire_usual_reply_encode(&usual, 12345, address, WIRE_ADDRESS_LAST, shorter, limit);
    if (fitted == 0) {
        cr_expect_eq(usual_length, 0);
        return;
    }
    cr_expect_eq(usual_length, (uint32_t)length);
    cr_expect_arr_eq(shorter, bytes, sizeof(bytes));
}

Test(usual_reply, is_what_the_long_way_makes)
{
    struct address ipv4 = {.family = ADDRESS_IPV4, .port = 7500, .ip = {10, 1, 2, 3}};
    struct address ipv6 = {.family = ADDRESS_IPV6, .port = 7500, .ip = {0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    for (uint32_t limit = 0; limit < 80; limit++) {
        expect_same_reply(&ipv4, limit);
        expect_same_reply(&ipv6, limit);
    }
}
