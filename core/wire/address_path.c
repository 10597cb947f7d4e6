#include "core/wire/address_path.h"

#include <errno.h>

#include "core/base/errors.h"
#include "core/wire/envelope.h"

#define REQUEST_FIXED_BYTES 14u /* of the body, before the excludes */
#define ADDRESS_STATES_KNOWN (WIRE_ADDRESS_DISPATCHER | WIRE_ADDRESS_NO_ECHO | WIRE_ADDRESS_LAST)

int wire_address_request_encode(const struct wire_address_request *request, uint64_t request_id, uint32_t padded_length,
                                uint8_t *bytes, size_t capacity)
{
    uint32_t flags = request->has_feedback ? FRAME_FEEDBACK : 0;
    struct wire_writer writer = frame_begin(FRAME_TYPE_ADDRESS_REQUEST, flags, request_id, bytes, capacity);
    if (request->count == 0 || request->count > ADDRESSES_MAX || request->exclude_count > EXCLUDES_MAX)
        return -EINVAL;
    wire_write_u64(&writer, request->service_id);
    wire_write_u32(&writer, request->wait_ms);
    wire_write_u8(&writer, request->count);
    wire_write_u8(&writer, request->exclude_count);
    for (uint32_t i = 0; i < request->exclude_count; i++)
        wire_write_compact_address(&writer, &request->excludes[i], 0);
    if (request->has_feedback) {
        if (request->feedback.outcome > WIRE_OUTCOME_TIMEOUT)
            wire_writer_fail(&writer, -EINVAL);
        wire_write_compact_address(&writer, &request->feedback.node, request->feedback.outcome);
        wire_write_u32(&writer, request->feedback.latency_us);
    }
    return frame_finish(&writer, padded_length);
}

static struct wire_feedback feedback_read(struct wire_reader *reader)
{
    struct wire_feedback feedback = {0};
    reader->section = REFUSAL_SHORT_FEEDBACK;
    feedback.node = wire_read_compact_address(reader, &feedback.outcome);
    feedback.latency_us = wire_read_u32(reader);
    if (feedback.outcome > WIRE_OUTCOME_TIMEOUT)
        wire_reader_refuse(reader, REFUSAL_BAD_STATE);
    return feedback;
}

/* A request that leaves nodes out, tells about the last job, or has something wrong with it. */
static int address_request_decode_rest(const struct frame *frame, struct wire_address_request *ret_request,
                                       enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_address_request request = {.has_feedback = (frame->flags & FRAME_FEEDBACK) != 0};
    request.service_id = wire_read_u64(&reader);
    request.wait_ms = wire_read_u32(&reader);
    request.count = wire_read_u8(&reader);
    request.exclude_count = wire_read_u8(&reader);
    if (reader.refusal == REFUSAL_NONE &&
        (request.count == 0 || request.count > ADDRESSES_MAX || request.exclude_count > EXCLUDES_MAX))
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    reader.section = REFUSAL_SHORT_EXCLUDES;
    for (uint32_t i = 0; reader.refusal == REFUSAL_NONE && i < request.exclude_count; i++)
        request.excludes[i] = wire_read_stateless_address(&reader);
    if (request.has_feedback && reader.refusal == REFUSAL_NONE)
        request.feedback = feedback_read(&reader);
    int error = wire_reader_finish(&reader, true, ret_refusal);
    if (error < 0)
        return error;
    *ret_request = request;
    return 0;
}

int wire_address_request_decode(const struct frame *frame, struct wire_address_request *ret_request, enum refusal *ret_refusal)
{
    const uint8_t *body = frame->body;
    uint32_t body_length = frame->body_length;
    /* Nearly every request: nothing but the fixed fields, and padding. count - 1 wraps for 0. */
    if (LIKELY(body_length >= REQUEST_FIXED_BYTES && frame->flags == 0 && body[13] == 0 && body[12] - 1u < ADDRESSES_MAX &&
               bytes_are_zero(body + REQUEST_FIXED_BYTES, body_length - REQUEST_FIXED_BYTES))) {
        ret_request->service_id = bytes_load_u64(body);
        ret_request->wait_ms = bytes_load_u32(body + 8);
        ret_request->count = body[12];
        ret_request->exclude_count = 0;
        ret_request->has_feedback = false;
        return 0;
    }
    return address_request_decode_rest(frame, ret_request, ret_refusal);
}

/* A straight line, since every answer passes here: the entries come from the directory, whose decoder has checked them. */
int wire_address_encode(const struct wire_address *reply, uint64_t request_id, uint8_t *bytes, size_t limit, uint8_t *ret_fitted)
{
    if (UNLIKELY(limit < ADDRESS_REPLY_BYTES_MIN))
        return -EMSGSIZE;
    if (UNLIKELY(reply->count == 0 || reply->count > ADDRESSES_MAX || reply->boot_id == 0))
        return -EINVAL;
    uint8_t *at = bytes + ADDRESS_REPLY_BYTES_MIN;
    const uint8_t *end = bytes + limit;
    uint8_t fitted = 0;
    for (; fitted < reply->count; fitted++) {
        const struct wire_address_entry *entry = &reply->entries[fitted];
        bool ipv4 = entry->address.family == ADDRESS_IPV4;
        size_t entry_bytes = ipv4 ? COMPACT_ADDRESS_BYTES_IPV4 : COMPACT_ADDRESS_BYTES_IPV6;
        if (UNLIKELY(!ipv4 && entry->address.family != ADDRESS_IPV6))
            return -EINVAL;
        if (UNLIKELY((size_t)(end - at) < entry_bytes))
            break;
        at[0] = entry->address.family;
        at[1] = entry->state;
        bytes_store_u16(at + 2, entry->address.port);
        if (LIKELY(ipv4))
            memcpy(at + 4, entry->address.ip, 4);
        else
            memcpy(at + 4, entry->address.ip, 16);
        at += entry_bytes;
    }
    uint32_t length = (uint32_t)(at - bytes);
    uint32_t flags = fitted < reply->count ? FRAME_TRUNCATED : 0;
    frame_header_store(bytes, FRAME_TYPE_ADDRESS, flags, length, request_id);
    bytes_store_u64(bytes + 20, reply->boot_id);
    bytes_store_u16(bytes + 28, reply->region);
    bytes[30] = fitted;
    bytes[31] = 0;
    bytes_store_u32(bytes + 32, reply->regions_version);
    *ret_fitted = fitted;
    return (int)length;
}

int wire_address_decode(const struct frame *frame, struct wire_address *ret_reply, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_address reply = {.truncated = (frame->flags & FRAME_TRUNCATED) != 0};
    reply.boot_id = wire_read_boot_id(&reader);
    reply.region = wire_read_u16(&reader);
    reply.count = wire_read_u8(&reader);
    wire_read_reserved(&reader, 1);
    reply.regions_version = wire_read_u32(&reader);
    if (reader.refusal == REFUSAL_NONE && (reply.count > ADDRESSES_MAX || (reply.count == 0 && !reply.truncated)))
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    reader.section = REFUSAL_SHORT_ADDRESSES;
    for (uint32_t i = 0; reader.refusal == REFUSAL_NONE && i < reply.count; i++) {
        struct wire_address_entry *entry = &reply.entries[i];
        entry->address = wire_read_compact_address(&reader, &entry->state);
        if ((entry->state & ~ADDRESS_STATES_KNOWN) != 0 && !reader.newer)
            wire_reader_refuse(&reader, REFUSAL_BAD_STATE);
        entry->state &= ADDRESS_STATES_KNOWN;
    }
    int error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_reply = reply;
    return 0;
}
