/* envelope - what the encoders and decoders of this room share: header, padding and trailer around a message's fields.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/wire/cursor.h"
#include "core/wire/frame.h"
#include "core/wire/heartbeat.h"

/* From a newer minor version: what we don't know in it is skipped, not refused. */
static inline bool frame_is_newer(const struct frame *frame)
{
    return frame->minor > WIRE_MINOR;
}

static inline struct wire_reader frame_reader(const struct frame *frame)
{
    return wire_reader_over(frame->body, frame->body_length, frame_is_newer(frame));
}

static inline void frame_header_store(uint8_t *bytes, enum frame_type type, uint32_t flags, uint32_t length, uint64_t request_id)
{
    bytes_store_u16(bytes, WIRE_MAGIC);
    bytes[2] = WIRE_MAJOR;
    bytes[3] = WIRE_MINOR;
    bytes_store_u16(bytes + 4, (uint16_t)type);
    bytes_store_u16(bytes + 6, (uint16_t)flags);
    bytes_store_u32(bytes + 8, length);
    bytes_store_u64(bytes + 12, request_id);
}

/* A writer behind the header, whose length frame_finish fills in. */
struct wire_writer frame_begin(enum frame_type type, uint32_t flags, uint64_t request_id, uint8_t *bytes, size_t capacity);

/* Pads to padded_length (0: not at all) and returns the frame's length; the writer's error; -EMSGSIZE for a frame longer than its
 * type may be. */
NODISCARD int frame_finish(struct wire_writer *writer, uint32_t padded_length);

/* The same, with the trailer at the end. */
NODISCARD int frame_finish_control(struct wire_writer *writer, uint32_t padded_length, const struct wire_trailer *trailer);

/* The same for a frame whose last data_length bytes the caller sends himself: returns what was written before them. */
NODISCARD int frame_finish_head(struct wire_writer *writer, uint32_t data_length);

/* REFUSAL_UNEXPECTED_KEY while there are no keys, REFUSAL_BAD_VALUE without a boot ID. USHER_EPROTOCOL. */
NODISCARD int frame_trailer_decode(const struct frame *frame, struct wire_trailer *ret_trailer, enum refusal *ret_refusal);
