/* What a worker answers over UDP (requirement D11). */
#include <criterion/criterion.h>
#include <string.h>

#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "core/wire/heartbeat.h"
#include "core/wire/job.h"
#include "worker/datagrams.h"

static struct counters counters;
static uint8_t answer[DATAGRAM_BYTES_MAX];

static struct frame decode_answer(size_t length, struct wire_error *ret_error)
{
    struct frame frame;
    enum refusal refusal;
    cr_assert_eq(frame_decode_datagram(answer, length, &frame, &refusal), (int)length);
    cr_assert_eq(frame.type, FRAME_TYPE_ERROR);
    cr_assert_eq(wire_error_decode(&frame, ret_error, &refusal), 0);
    return frame;
}

static int encode_request(uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_address_request request = {.service_id = 1, .count = 1};
    return wire_address_request_encode(&request, request_id, 44, bytes, capacity);
}

Test(datagrams, garbage_gets_no_answer)
{
    cr_expect_eq(datagram_answer((const uint8_t *)"", 0, &counters, answer), 0);
    cr_expect_eq(datagram_answer((const uint8_t *)"hello, is anybody there?", 24, &counters, answer), 0);
    cr_expect_eq(counter_read(&counters, refusal_counter(REFUSAL_BAD_MAGIC)), 1);
}

Test(datagrams, error_is_not_answered)
{
    uint8_t bytes[100];
    int length = wire_error_encode(WIRE_ERROR_NOT_DISPATCHER, false, false, NULL, 7, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    cr_expect_eq(datagram_answer(bytes, (size_t)length, &counters, answer), 0);
}

Test(datagrams, request_for_an_address_is_told_not_dispatcher)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_error error;
    int length = encode_request(7, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    size_t answer_length = datagram_answer(bytes, (size_t)length, &counters, answer);
    cr_assert_gt(answer_length, 0);
    cr_expect_leq(answer_length, (size_t)length);
    cr_expect_eq(decode_answer(answer_length, &error).request_id, 7);
    cr_expect_eq(error.code, WIRE_ERROR_NOT_DISPATCHER);
    cr_expect_not(error.started);
}

Test(datagrams, request_for_the_region_is_told_not_dispatcher)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_location_request request = {.regions_version = 0};
    struct wire_error error;
    int length = wire_location_request_encode(&request, 8, DATAGRAM_BYTES_MAX, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    decode_answer(datagram_answer(bytes, (size_t)length, &counters, answer), &error);
    cr_expect_eq(error.code, WIRE_ERROR_NOT_DISPATCHER);
}

Test(datagrams, job_is_told_to_come_over_tcp)
{
    uint8_t bytes[JOB_HEAD_BYTES];
    struct wire_job job = {.client_id = 1, .job_id = 2, .service_id = 3, .service_time_ms = 1000};
    struct wire_error error;
    int length = wire_job_encode_head(&job, 9, bytes, sizeof(bytes));
    cr_assert_eq(length, JOB_HEAD_BYTES);
    size_t answer_length = datagram_answer(bytes, (size_t)length, &counters, answer);
    cr_expect_leq(answer_length, (size_t)length);
    decode_answer(answer_length, &error);
    cr_expect_eq(error.code, WIRE_ERROR_NOT_ACCEPTED_HERE);
    cr_expect_str_eq(error.text, "send jobs over TCP");
}

Test(datagrams, heartbeat_at_a_worker_is_told_so)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = {.kind = WIRE_NODE_WORKER, .slots = 1, .trailer = {1, 1}};
    struct wire_error error;
    cr_assert_eq(address_parse("127.0.0.1:7500", &heartbeat.node), 0);
    int length = wire_heartbeat_encode(&heartbeat, 10, 0, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    decode_answer(datagram_answer(bytes, (size_t)length, &counters, answer), &error);
    cr_expect_eq(error.code, WIRE_ERROR_NOT_ACCEPTED_HERE);
}

Test(datagrams, many_requests_get_one_datagram_no_longer_than_theirs)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    size_t length = 0;
    uint64_t requests = 0;
    for (; length + 44 <= sizeof(bytes); requests++)
        length += (size_t)encode_request(requests, bytes + length, sizeof(bytes) - length);
    size_t answer_length = datagram_answer(bytes, length, &counters, answer);
    cr_expect_leq(answer_length, length);
    cr_expect_eq(counter_read(&counters, COUNTER_FRAMES_UNWANTED), requests);
    struct frame frame;
    enum refusal refusal;
    uint64_t answers = 0;
    for (size_t at = 0; at < answer_length; at += frame.length, answers++)
        cr_assert_gt(frame_decode_datagram(answer + at, answer_length - at, &frame, &refusal), 0);
    cr_expect_eq(answers, requests);
}
