#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/heartbeat.h"
#include "core/wire/job.h"
#include "tests/support/wire_any.h"

static const struct wire_address_request plain_request = {.service_id = 7, .wait_ms = 50, .count = 1};

static uint32_t request_encode(uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    int length = wire_address_request_encode(&plain_request, request_id, 44, bytes, capacity);
    cr_assert_eq(length, 44);
    return (uint32_t)length;
}

Test(address, what_nobody_can_connect_to_is_not_usable)
{
    static const char *const none[] = {"0.0.0.0:80",         "10.0.0.1:0", "224.0.0.1:80", "239.255.255.255:80",
                                       "255.255.255.255:80", "[::]:80",    "[ff02::1]:80"};
    struct address address;
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        cr_assert_eq(address_parse(none[i], &address), 0);
        cr_expect_not(wire_address_usable(&address), "%s", none[i]);
    }
}

Test(address, others_are_usable)
{
    static const char *const some[] = {"127.0.0.1:80", "223.255.255.255:1", "240.0.0.1:80", "[::1]:80", "[fe80::ff]:80"};
    struct address address;
    for (size_t i = 0; i < ARRAY_COUNT(some); i++) {
        cr_assert_eq(address_parse(some[i], &address), 0);
        cr_expect(wire_address_usable(&address), "%s", some[i]);
    }
}

Test(frame, unknown_type_is_decoded_so_that_it_can_be_skipped)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes[4] = 0x12;
    bytes[7] = 0xff;
    cr_expect_eq(frame_decode_datagram(bytes, length, &frame, &refusal), 44);
    cr_expect_eq(frame.type, 0x1201);
}

Test(frame, unknown_flag_of_the_same_minor_is_refused)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes[6] = 0x40;
    cr_expect_eq(frame_decode_datagram(bytes, length, &frame, &refusal), USHER_EPROTOCOL);
    cr_expect_eq(refusal, REFUSAL_BAD_FLAGS);
}

Test(frame, unknown_flag_of_a_newer_minor_is_ignored)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes[3] = 1;
    bytes[6] = 0x40;
    cr_expect_eq(frame_decode_datagram(bytes, length, &frame, &refusal), 44);
    cr_expect_eq(frame.flags, 0);
}

Test(frame, failure_leaves_the_result_untouched)
{
    static const uint8_t bytes[FRAME_HEADER_BYTES] = {0x55, 0x53, 1};
    struct frame frame = {.request_id = 99};
    enum refusal refusal;
    cr_expect_eq(frame_decode_datagram(bytes, sizeof(bytes), &frame, &refusal), USHER_EPROTOCOL);
    cr_expect_eq(frame.request_id, 99);
}

Test(frame, job_over_udp_is_not_accepted)
{
    uint8_t bytes[JOB_HEAD_BYTES];
    struct frame frame;
    enum refusal refusal;
    struct wire_job job = {.service_time_ms = 1};
    cr_assert_eq(wire_job_encode_head(&job, 1, bytes, sizeof(bytes)), JOB_HEAD_BYTES);
    cr_expect_eq(frame_decode_datagram(bytes, sizeof(bytes), &frame, &refusal), USHER_ENOTACCEPTED);
    cr_expect_eq(refusal, REFUSAL_WRONG_TRANSPORT);
}

Test(frame, stream_refuses_a_strangers_first_bytes)
{
    struct frame frame;
    enum refusal refusal;
    cr_expect_eq(frame_decode_stream((const uint8_t *)"GET", 3, &frame, &refusal), USHER_EPROTOCOL);
    cr_expect_eq(refusal, REFUSAL_BAD_MAGIC);
}

Test(frame, stream_refuses_a_length_too_large_for_the_type_before_it_is_there)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes_store_u32(bytes + 8, DATAGRAM_BYTES_MAX + 1);
    cr_expect_eq(frame_decode_stream(bytes, length, &frame, &refusal), USHER_ETOOLARGE);
    cr_expect_eq(refusal, REFUSAL_TOO_LARGE);
}

Test(frame, stream_waits_for_every_missing_byte)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    for (uint32_t there = 0; there < length; there++)
        cr_expect_eq(frame_decode_stream(bytes, there, &frame, &refusal), -EAGAIN, "%u", there);
    cr_expect_eq(frame_decode_stream(bytes, length, &frame, &refusal), 44);
}

Test(frame, full_datagram_holds_28_requests)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct frame frame;
    enum refusal refusal;
    uint32_t length = 0;
    uint64_t request_id = 0;
    while (length + 44 <= sizeof(bytes))
        length += request_encode(request_id++, bytes + length, sizeof(bytes) - length);
    cr_expect_eq(request_id, 28);
    uint32_t at = 0;
    for (uint64_t expected = 0; expected < 28; expected++) {
        int used = frame_decode_datagram(bytes + at, length - at, &frame, &refusal);
        cr_assert_eq(used, 44);
        cr_expect_eq(frame.request_id, expected);
        at += (uint32_t)used;
    }
    cr_expect_eq(at, length);
}

Test(frame, reply_is_never_answerable)
{
    uint8_t bytes[64];
    uint64_t request_id;
    uint32_t limit;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes[4] = 0x80;
    cr_expect_not(frame_answerable(bytes, length, &request_id, &limit));
}

Test(frame, idle_token_is_never_answerable)
{
    uint8_t bytes[IDLE_TOKEN_BYTES];
    struct wire_idle_token token = {.trailer = {.boot_id = 1, .sequence = 1}};
    struct frame frame;
    enum refusal refusal;
    uint64_t request_id;
    uint32_t limit;
    cr_assert_eq(address_parse("127.0.0.1:7500", &token.node), 0);
    cr_assert_eq(wire_idle_token_encode(&token, 1, bytes, sizeof(bytes)), IDLE_TOKEN_BYTES);
    cr_expect_eq(frame_decode_stream(bytes, sizeof(bytes), &frame, &refusal), USHER_ENOTACCEPTED);
    cr_expect_not(frame_answerable(bytes, sizeof(bytes), &request_id, &limit));
}

Test(frame, fragment_of_a_header_is_not_answerable)
{
    uint8_t bytes[64];
    uint64_t request_id;
    uint32_t limit;
    request_encode(1, bytes, sizeof(bytes));
    cr_expect_not(frame_answerable(bytes, FRAME_HEADER_BYTES - 1, &request_id, &limit));
}

Test(frame, request_of_another_major_version_is_answerable)
{
    uint8_t bytes[64];
    struct frame frame;
    enum refusal refusal;
    uint64_t request_id;
    uint32_t limit;
    uint32_t length = request_encode(77, bytes, sizeof(bytes));
    bytes[2] = 2;
    cr_expect_eq(frame_decode_datagram(bytes, length, &frame, &refusal), USHER_EVERSION);
    cr_assert(frame_answerable(bytes, length, &request_id, &limit));
    cr_expect_eq(request_id, 77);
    cr_expect_eq(limit, 44);
}

Test(frame, answer_to_a_lying_length_is_no_longer_than_what_came)
{
    uint8_t bytes[64];
    uint64_t request_id;
    uint32_t limit;
    uint32_t length = request_encode(1, bytes, sizeof(bytes));
    bytes_store_u32(bytes + 8, 1000);
    cr_assert(frame_answerable(bytes, length, &request_id, &limit));
    cr_expect_eq(limit, length);
}

Test(refusal, each_has_a_counter_of_its_name)
{
    for (int i = REFUSAL_NONE + 1; i < REFUSALS; i++) {
        char labels[64];
        const struct counter_row *row = &counter_rows[refusal_counter((enum refusal)i)];
        snprintf(labels, sizeof(labels), "reason=\"%s\"", wire_any_refusal_name((enum refusal)i));
        cr_expect_str_eq(row->name, "usher_malformed_total");
        cr_expect_str_eq(row->labels, labels);
        cr_expect_gt(strlen(refusal_text((enum refusal)i)), 0);
    }
}
