#include <errno.h>

#include "core/wire/address_path.h"
#include "core/wire/envelope.h"

int wire_location_request_encode(const struct wire_location_request *request, uint64_t request_id, uint32_t padded_length,
                                 uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = frame_begin(FRAME_TYPE_LOCATION_REQUEST, 0, request_id, bytes, capacity);
    wire_write_u32(&writer, request->regions_version);
    wire_write_u32(&writer, 0);
    return frame_finish(&writer, padded_length);
}

int wire_location_request_decode(const struct frame *frame, struct wire_location_request *ret_request, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_location_request request = {.regions_version = wire_read_u32(&reader)};
    wire_read_reserved(&reader, 4);
    int error = wire_reader_finish(&reader, true, ret_refusal);
    if (error < 0)
        return error;
    *ret_request = request;
    return 0;
}

int wire_location_encode(const struct wire_location *reply, const struct wire_region_dispatcher *dispatchers, uint64_t request_id,
                         uint8_t *bytes, size_t limit)
{
    if (reply->dispatcher_total > REGION_DISPATCHERS_MAX)
        return -EINVAL;
    size_t left = limit < LOCATION_REPLY_BYTES_MIN ? 0 : limit - LOCATION_REPLY_BYTES_MIN;
    uint16_t count = 0;
    for (; count < reply->dispatcher_total; count++) {
        uint32_t entry_bytes = wire_location_bytes(1, dispatchers[count].address.family) - LOCATION_REPLY_BYTES_MIN;
        if (left < entry_bytes)
            break;
        left -= entry_bytes;
    }
    uint32_t flags = count < reply->dispatcher_total ? FRAME_TRUNCATED : 0;
    struct wire_writer writer = frame_begin(FRAME_TYPE_LOCATION, flags, request_id, bytes, limit);
    wire_write_u16(&writer, reply->region);
    wire_write_u16(&writer, reply->own_region);
    wire_write_u32(&writer, reply->regions_version);
    wire_write_u16(&writer, reply->dispatcher_total);
    wire_write_u16(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_write_u16(&writer, dispatchers[i].region);
        wire_write_compact_address(&writer, &dispatchers[i].address, 0);
    }
    return frame_finish(&writer, 0);
}

int wire_location_decode(const struct frame *frame, struct wire_location *ret_reply, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_location reply = {.truncated = (frame->flags & FRAME_TRUNCATED) != 0};
    reply.region = wire_read_u16(&reader);
    reply.own_region = wire_read_u16(&reader);
    reply.regions_version = wire_read_u32(&reader);
    reply.dispatcher_total = wire_read_u16(&reader);
    reply.dispatcher_count = wire_read_u16(&reader);
    if (reader.refusal == REFUSAL_NONE &&
        (reply.dispatcher_total > REGION_DISPATCHERS_MAX || reply.dispatcher_count > reply.dispatcher_total ||
         reply.truncated != (reply.dispatcher_count < reply.dispatcher_total)))
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    if (reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&reader, false, ret_refusal);
    reader.section = REFUSAL_SHORT_DISPATCHERS;
    reply.dispatchers = reader;
    reply.dispatchers_left = reply.dispatcher_count;
    *ret_reply = reply;
    return 0;
}

int wire_location_next(struct wire_location *reply, struct wire_region_dispatcher *ret_dispatcher, enum refusal *ret_refusal)
{
    struct wire_reader *reader = &reply->dispatchers;
    if (reply->dispatchers_left == 0)
        return wire_reader_finish(reader, false, ret_refusal);
    struct wire_region_dispatcher dispatcher = {.region = wire_read_u16(reader)};
    dispatcher.address = wire_read_stateless_address(reader);
    if (reader->refusal != REFUSAL_NONE)
        return wire_reader_finish(reader, false, ret_refusal);
    reply->dispatchers_left--;
    *ret_dispatcher = dispatcher;
    return 1;
}
