#include "core/wire/frame.h"

#include <errno.h>

#include "core/base/errors.h"
#include "core/wire/envelope.h"

/* Offsets in the header. They are the same in every major version, so that a stranger can be told that he is one. */
#define OFFSET_MAJOR 2
#define OFFSET_MINOR 3
#define OFFSET_TYPE 4
#define OFFSET_FLAGS 6
#define OFFSET_LENGTH 8
#define OFFSET_REQUEST_ID 12

struct frame_row {
    uint32_t bytes_max;
    uint16_t flags;
    uint8_t transports; /* 0: no such type */
    bool trailer;
};

/* Requests 0 … 15, replies 16 … 31, ERROR 32. */
#define FRAME_ROW_ERROR 32
#define FRAME_ROW(number) ((number) == 0x80ff ? FRAME_ROW_ERROR : ((number) >> 15) * 16 + ((number)&15))

static const struct frame_row frame_rows[FRAME_ROW_ERROR + 1] = {
#define FRAME(symbol, number, name, transports, flags, bytes_max, trailer)                                                       \
    [FRAME_ROW(number)] = {bytes_max, flags, transports, trailer},
#include "core/wire/frame_types.def"
#undef FRAME
};

#define FRAME(symbol, number, name, transports, flags, bytes_max, trailer)                                                       \
    _Static_assert((number) == 0x80ff || ((number)&0x7ff0) == 0, name " has a row in frame_rows");                               \
    _Static_assert((bytes_max) <= FRAME_BYTES_MAX, name " is within the limit of all frames");
#include "core/wire/frame_types.def"
#undef FRAME

/* Whatever a type that we don't know may be, it is skipped by its length. */
static const struct frame_row unknown_row = {
    .bytes_max = FRAME_BYTES_MAX,
    .flags = UINT16_MAX,
    .transports = FRAME_UDP | FRAME_TCP,
};

static inline const struct frame_row *frame_row_find(uint16_t type)
{
    if (LIKELY((type & 0x7ff0) == 0 || type == FRAME_TYPE_ERROR)) {
        const struct frame_row *row = &frame_rows[FRAME_ROW(type)];
        if (LIKELY(row->transports != 0))
            return row;
    }
    return &unknown_row;
}

static int frame_refuse(int error, enum refusal refusal, enum refusal *ret_refusal)
{
    *ret_refusal = refusal;
    return error;
}

/* A frame of which a whole header is there. Returns its length; -EAGAIN when not all of it is there.
 *
 * Every request passes here: fields stay in registers until they are stored, one by one, where they belong. A local struct copied
 * at the end cost 7 ns more: wide loads of what narrow stores have just written have to wait for these. */
static inline __attribute__((always_inline)) int frame_decode(const uint8_t *bytes, size_t available,
                                                              enum frame_transport transport, struct frame *ret_frame,
                                                              enum refusal *ret_refusal)
{
    if (UNLIKELY(bytes_load_u16(bytes) != WIRE_MAGIC))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_MAGIC, ret_refusal);
    if (UNLIKELY(bytes[OFFSET_MAJOR] != WIRE_MAJOR))
        return frame_refuse(USHER_EVERSION, REFUSAL_VERSION, ret_refusal);
    uint32_t length = bytes_load_u32(bytes + OFFSET_LENGTH);
    if (UNLIKELY(length < FRAME_HEADER_BYTES))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_LENGTH, ret_refusal);

    uint16_t type = bytes_load_u16(bytes + OFFSET_TYPE);
    const struct frame_row *row = frame_row_find(type);
    uint32_t bytes_max = transport == FRAME_UDP && row->bytes_max > DATAGRAM_BYTES_MAX ? DATAGRAM_BYTES_MAX : row->bytes_max;
    if (UNLIKELY((row->transports & transport) == 0))
        return frame_refuse(USHER_ENOTACCEPTED, REFUSAL_WRONG_TRANSPORT, ret_refusal);
    if (UNLIKELY(length > bytes_max))
        return frame_refuse(USHER_ETOOLARGE, REFUSAL_TOO_LARGE, ret_refusal);
    if (UNLIKELY(length > available))
        return transport == FRAME_TCP ? -EAGAIN : frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_LENGTH, ret_refusal);

    uint16_t flags = bytes_load_u16(bytes + OFFSET_FLAGS);
    uint8_t minor = bytes[OFFSET_MINOR];
    if (UNLIKELY((flags & ~row->flags) != 0 && minor <= WIRE_MINOR))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_FLAGS, ret_refusal);
    uint32_t trailer_bytes = row->trailer ? FRAME_TRAILER_BYTES : 0;
    if (UNLIKELY(length - FRAME_HEADER_BYTES < trailer_bytes))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_SHORT_TRAILER, ret_refusal);

    ret_frame->type = type;
    ret_frame->flags = flags & row->flags;
    ret_frame->minor = minor;
    ret_frame->length = length;
    ret_frame->request_id = bytes_load_u64(bytes + OFFSET_REQUEST_ID);
    ret_frame->body = bytes + FRAME_HEADER_BYTES;
    ret_frame->body_length = length - FRAME_HEADER_BYTES - trailer_bytes;
    return (int)length;
}

int frame_decode_datagram(const uint8_t *bytes, size_t length, struct frame *ret_frame, enum refusal *ret_refusal)
{
    if (UNLIKELY(length < FRAME_HEADER_BYTES))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_SHORT_HEADER, ret_refusal);
    return frame_decode(bytes, length, FRAME_UDP, ret_frame, ret_refusal);
}

int frame_decode_stream(const uint8_t *bytes, size_t length, struct frame *ret_frame, enum refusal *ret_refusal)
{
    if (UNLIKELY(length < FRAME_HEADER_BYTES)) {
        /* A stranger ("GET / HTTP/1.0" is shorter than a header) need not be waited for. */
        if (length > OFFSET_MAJOR && bytes_load_u16(bytes) != WIRE_MAGIC)
            return frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_MAGIC, ret_refusal);
        return -EAGAIN;
    }
    return frame_decode(bytes, length, FRAME_TCP, ret_frame, ret_refusal);
}

bool frame_begun(const uint8_t *bytes, size_t length, struct frame *ret_frame)
{
    if (length < FRAME_HEADER_BYTES)
        return false;
    *ret_frame = (struct frame){
        .type = bytes_load_u16(bytes + OFFSET_TYPE),
        .flags = bytes_load_u16(bytes + OFFSET_FLAGS),
        .minor = bytes[OFFSET_MINOR],
        .length = bytes_load_u32(bytes + OFFSET_LENGTH),
        .request_id = bytes_load_u64(bytes + OFFSET_REQUEST_ID),
        .body = bytes + FRAME_HEADER_BYTES,
        .body_length = (uint32_t)(length - FRAME_HEADER_BYTES),
    };
    return true;
}

bool frame_answerable(const uint8_t *bytes, size_t length, uint64_t *ret_request_id, uint32_t *ret_limit)
{
    if (length < FRAME_HEADER_BYTES || bytes_load_u16(bytes) != WIRE_MAGIC)
        return false;
    uint16_t type = bytes_load_u16(bytes + OFFSET_TYPE);
    if (frame_is_reply(type) || type == FRAME_TYPE_IDLE_TOKEN)
        return false;
    uint32_t claimed = bytes_load_u32(bytes + OFFSET_LENGTH);
    *ret_request_id = bytes_load_u64(bytes + OFFSET_REQUEST_ID);
    *ret_limit = claimed < length ? claimed : (uint32_t)length;
    return true;
}

struct wire_writer frame_begin(enum frame_type type, uint32_t flags, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = wire_writer_over(bytes, capacity);
    uint8_t *header = wire_write_room(&writer, FRAME_HEADER_BYTES);
    if (header)
        frame_header_store(header, type, flags, 0, request_id);
    return writer;
}

int frame_finish_head(struct wire_writer *writer, uint32_t data_length)
{
    if (writer->error)
        return writer->error;
    size_t head_length = (size_t)(writer->at - writer->begin);
    const struct frame_row *row = frame_row_find(bytes_load_u16(writer->begin + OFFSET_TYPE));
    if (data_length > row->bytes_max || head_length > row->bytes_max - data_length)
        return -EMSGSIZE;
    bytes_store_u32(writer->begin + OFFSET_LENGTH, (uint32_t)head_length + data_length);
    return (int)head_length;
}

int frame_finish(struct wire_writer *writer, uint32_t padded_length)
{
    size_t length = (size_t)(writer->at - writer->begin);
    if (padded_length > length)
        wire_write_zeros(writer, padded_length - length);
    return frame_finish_head(writer, 0);
}

int frame_finish_control(struct wire_writer *writer, uint32_t padded_length, const struct wire_trailer *trailer)
{
    size_t length = (size_t)(writer->at - writer->begin) + FRAME_TRAILER_BYTES;
    if (padded_length > length)
        wire_write_zeros(writer, padded_length - length);
    wire_write_u32(writer, 0); /* key ID */
    wire_write_boot_id(writer, trailer->boot_id);
    wire_write_u64(writer, trailer->sequence);
    wire_write_zeros(writer, 16); /* MAC */
    return frame_finish_head(writer, 0);
}

int frame_trailer_decode(const struct frame *frame, struct wire_trailer *ret_trailer, enum refusal *ret_refusal)
{
    const uint8_t *bytes = frame->body + frame->body_length;
    if (bytes_load_u32(bytes) != 0 || !bytes_are_zero(bytes + 20, 16))
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_UNEXPECTED_KEY, ret_refusal);
    uint64_t boot_id = bytes_load_u64(bytes + 4);
    if (boot_id == 0)
        return frame_refuse(USHER_EPROTOCOL, REFUSAL_BAD_VALUE, ret_refusal);
    ret_trailer->boot_id = boot_id;
    ret_trailer->sequence = bytes_load_u64(bytes + 12);
    return 0;
}
