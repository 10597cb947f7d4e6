#include <errno.h>

#include "core/wire/envelope.h"
#include "core/wire/heartbeat.h"
#include "core/wire/heartbeat_parts.h"
#include "core/wire/service.h"

#define REGISTER_FIXED_BYTES 25u /* of the body, before the names */

_Static_assert(FRAME_HEADER_BYTES + REGISTER_FIXED_BYTES + NODE_SERVICES_MAX * (1 + SERVICE_NAME_BYTES_MAX) +
                       FRAME_TRAILER_BYTES <=
                   DATAGRAM_BYTES_MAX,
               "the fullest REGISTER fits in a datagram");

int wire_register_encode(const struct wire_register *registration, uint64_t request_id, uint32_t padded_length, uint8_t *bytes,
                         size_t capacity)
{
    if ((registration->kind != WIRE_NODE_DISPATCHER && registration->kind != WIRE_NODE_WORKER) ||
        (registration->node_flags & ~WIRE_NODE_FLAGS_OF_NODE) != 0 || registration->service_count > NODE_SERVICES_MAX)
        return -EINVAL;
    struct wire_writer writer = frame_begin(FRAME_TYPE_REGISTER, 0, request_id, bytes, capacity);
    wire_write_fixed_address(&writer, &registration->node);
    wire_write_u8(&writer, registration->kind);
    wire_write_u8(&writer, registration->node_flags);
    wire_write_u16(&writer, registration->slots);
    wire_write_u8(&writer, registration->service_count);
    for (uint32_t i = 0; i < registration->service_count; i++) {
        const struct wire_service_name *name = &registration->services[i];
        if (!service_name_valid(name->text, name->length))
            return -EINVAL;
        wire_write_u8(&writer, name->length);
        wire_write_bytes(&writer, name->text, name->length);
    }
    return frame_finish_control(&writer, padded_length, &registration->trailer);
}

static struct wire_service_name name_read(struct wire_reader *reader)
{
    struct wire_service_name name = {.length = wire_read_u8(reader)};
    const uint8_t *text = wire_read_bytes(reader, name.length);
    if (text && !service_name_valid((const char *)text, name.length))
        wire_reader_refuse(reader, REFUSAL_BAD_NAME);
    else if (text)
        memcpy(name.text, text, name.length);
    return name;
}

int wire_register_decode(const struct frame *frame, struct wire_register *ret_registration, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_register registration = {0};
    int error = frame_trailer_decode(frame, &registration.trailer, ret_refusal);
    if (error < 0)
        return error;
    registration.node = wire_read_fixed_address(&reader);
    registration.kind = wire_node_kind_read(&reader);
    registration.node_flags = (uint8_t)wire_known_bits(&reader, wire_read_u8(&reader), WIRE_NODE_FLAGS_OF_NODE);
    registration.slots = wire_read_u16(&reader);
    registration.service_count = wire_read_u8(&reader);
    if (registration.service_count > NODE_SERVICES_MAX)
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    reader.section = REFUSAL_SHORT_NAMES;
    for (uint32_t i = 0; reader.refusal == REFUSAL_NONE && i < registration.service_count; i++)
        registration.services[i] = name_read(&reader);
    error = wire_reader_finish(&reader, true, ret_refusal);
    if (error < 0)
        return error;
    *ret_registration = registration;
    return 0;
}

int wire_idle_token_encode(const struct wire_idle_token *token, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = frame_begin(FRAME_TYPE_IDLE_TOKEN, 0, request_id, bytes, capacity);
    wire_write_fixed_address(&writer, &token->node);
    return frame_finish_control(&writer, 0, &token->trailer);
}

int wire_idle_token_decode(const struct frame *frame, struct wire_idle_token *ret_token, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_idle_token token;
    int error = frame_trailer_decode(frame, &token.trailer, ret_refusal);
    if (error < 0)
        return error;
    token.node = wire_read_fixed_address(&reader);
    error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_token = token;
    return 0;
}
