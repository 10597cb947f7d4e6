/* Any bytes as a datagram, and as a stream, of several frames, through the decoders of all messages. What is accepted must encode
 * to the same bytes again: a decoder that overlooks something, and an encoder that adds something, both show. */
#include <stdint.h>
#include <string.h>

#include "core/base/check.h"
#include "core/wire/address_usual.h"
#include "tests/support/wire_any.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

/* A request that the short way takes is one that the long way takes, and means the same. */
static void usual_try(const uint8_t *bytes, size_t length)
{
    struct wire_usual_request usual;
    struct wire_address_request request;
    struct frame frame;
    enum refusal refusal;
    if (!wire_usual_request_decode(bytes, length, &usual))
        return;
    CHECK(frame_decode_datagram(bytes, length, &frame, &refusal) == (int)usual.length);
    CHECK(frame.type == FRAME_TYPE_ADDRESS_REQUEST && frame.request_id == usual.request_id);
    CHECK(wire_address_request_decode(&frame, &request, &refusal) == 0);
    CHECK(request.exclude_count == 0 && !request.has_feedback);
    CHECK(request.service_id == usual.service_id && request.wait_ms == usual.wait_ms && request.count == usual.count);
}

static void frame_try(const uint8_t *bytes, const struct frame *frame)
{
    static struct wire_any any;
    static uint8_t again[FRAME_BYTES_MAX];
    enum refusal refusal = REFUSAL_NONE;
    if (wire_any_decode(frame, &any, &refusal) < 0) {
        CHECK(refusal != REFUSAL_NONE);
        return;
    }
    if (frame->minor > WIRE_MINOR)
        return;
    int length = wire_any_encode(&any, again, sizeof(again));
    CHECK(length >= 0 && (uint32_t)length == frame->length);
    CHECK(memcmp(again, bytes, frame->length) == 0);
}

static void frames_try(const uint8_t *bytes, size_t length,
                       int (*decode)(const uint8_t *, size_t, struct frame *, enum refusal *))
{
    struct frame frame;
    enum refusal refusal;
    int used;
    usual_try(bytes, length);
    while (length > 0 && (used = decode(bytes, length, &frame, &refusal)) > 0) {
        CHECK((size_t)used <= length);
        frame_try(bytes, &frame);
        bytes += used;
        length -= (size_t)used;
        usual_try(bytes, length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    uint64_t request_id;
    uint32_t limit;
    if (frame_answerable(data, data_size, &request_id, &limit))
        CHECK(limit <= data_size);
    frames_try(data, data_size, frame_decode_datagram);
    frames_try(data, data_size, frame_decode_stream);
    return 0;
}
