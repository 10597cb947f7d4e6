/* The codec of the address path: the usual ways, and the general ones beside them. */
#include <errno.h>

#include "bench/parts/micro.h"
#include "core/base/clock.h"
#include "core/wire/address_usual.h"

#define FRAMES 64u
#define FRAME_BYTES 44u /* has room for one IPv4 address in the answer */

struct codec_bench {
    uint8_t requests[FRAMES * FRAME_BYTES];
    uint8_t reply[DATAGRAM_BYTES_MAX];
    struct wire_usual_reply usual_reply;
    struct address node;
};

static int decode_general(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct codec_bench *bench = ctx;
    struct wire_address_request request;
    struct frame frame;
    enum refusal refusal;
    int failed = 0;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        const uint8_t *bytes = bench->requests + i % FRAMES * FRAME_BYTES;
        failed |= frame_decode_datagram(bytes, FRAME_BYTES, &frame, &refusal);
        failed |= wire_address_request_decode(&frame, &request, &refusal);
        micro_keep(request.service_id + frame.request_id);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return failed < 0 ? -EBADMSG : 0;
}

static int decode_usual(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct codec_bench *bench = ctx;
    struct wire_usual_request request = {.count = 0};
    bool all = true;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        all &= wire_usual_request_decode(bench->requests + i % FRAMES * FRAME_BYTES, FRAME_BYTES, &request);
        micro_keep(request.service_id + request.request_id + request.wait_ms + request.count);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return all ? 0 : -EBADMSG;
}

static int encode_general(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct codec_bench *bench = ctx;
    struct wire_address reply = {.boot_id = 77, .region = 1, .regions_version = 1, .count = 1};
    uint8_t fitted;
    int failed = 0;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        reply.entries[0].address = bench->node;
        reply.entries[0].state = 0;
        failed |= wire_address_encode(&reply, i, bench->reply, FRAME_BYTES, &fitted);
        micro_keep((uintptr_t)bench->reply);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return failed < 0 ? -EBADMSG : 0;
}

static int encode_usual(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct codec_bench *bench = ctx;
    bool all = true;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        all &= wire_usual_reply_encode(&bench->usual_reply, i, &bench->node, 0, bench->reply, FRAME_BYTES) > 0;
        micro_keep((uintptr_t)bench->reply);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return all ? 0 : -EBADMSG;
}

int micro_codec(struct micro *micro)
{
    struct codec_bench bench = {.node = {.family = ADDRESS_IPV4, .port = 7500, .ip = {10, 0, 0, 1}}};
    const struct wire_address_request request = {.service_id = 5, .count = 1, .wait_ms = 1000};
    const struct micro_subject subjects[] = {
        {.name = "decode REQUEST_ADDRESS, general", .run = decode_general, .ctx = &bench, .against = MICRO_NONE},
        {.name = "decode REQUEST_ADDRESS, usual", .run = decode_usual, .ctx = &bench, .against = 0},
        {.name = "encode ADDRESS, general", .run = encode_general, .ctx = &bench, .against = MICRO_NONE},
        {.name = "encode ADDRESS, usual", .run = encode_usual, .ctx = &bench, .against = 2},
    };
    wire_usual_reply_init(&bench.usual_reply, 77, 1, 1);
    for (uint32_t i = 0; i < FRAMES; i++)
        if (wire_address_request_encode(&request, i, FRAME_BYTES, bench.requests + i * FRAME_BYTES, FRAME_BYTES) < 0)
            return micro_fail(micro, -EBADMSG, "a request could not be encoded: this is a bug");
    return micro_measure(micro, subjects, ARRAY_COUNT(subjects));
}
