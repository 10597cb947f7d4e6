#include "core/wire/error.h"

#include <errno.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/envelope.h"

struct wire_error_row {
    enum wire_error_code code;
    int error;
};

static const struct wire_error_row wire_error_rows[] = {
#define WIRE_ERROR(symbol, code, error) {WIRE_ERROR_##symbol, error},
#include "core/wire/error_codes.def"
#undef WIRE_ERROR
};

int wire_error_to_error(uint16_t code)
{
    for (size_t i = 0; i < ARRAY_COUNT(wire_error_rows); i++)
        if (wire_error_rows[i].code == code)
            return wire_error_rows[i].error;
    return USHER_EPROTOCOL;
}

enum wire_error_code wire_error_from_error(int error)
{
    for (size_t i = 0; i < ARRAY_COUNT(wire_error_rows); i++)
        if (wire_error_rows[i].error == error)
            return wire_error_rows[i].code;
    return WIRE_ERROR_MALFORMED;
}

/* Peers print the text on terminals: nothing but printable ASCII. */
static bool text_byte_valid(uint8_t byte)
{
    return byte >= 0x20 && byte <= 0x7e;
}

int wire_error_encode(enum wire_error_code code, bool started, bool truncated, const char *text, uint64_t request_id,
                      uint8_t *bytes, size_t limit)
{
    if (limit < ERROR_REPLY_BYTES_MIN)
        return -EMSGSIZE;
    if (!text)
        text = error_text(wire_error_to_error((uint16_t)code));
    size_t text_length = strnlen(text, ERROR_TEXT_BYTES_MAX + 1);
    size_t room = limit - ERROR_REPLY_BYTES_MIN;
    if (room > ERROR_TEXT_BYTES_MAX)
        room = ERROR_TEXT_BYTES_MAX;
    if (text_length > room) {
        text_length = room;
        truncated = true;
    }

    struct wire_writer writer = frame_begin(FRAME_TYPE_ERROR, truncated ? FRAME_TRUNCATED : 0, request_id, bytes, limit);
    wire_write_u16(&writer, (uint16_t)code);
    wire_write_u8(&writer, started);
    wire_write_u8(&writer, (uint8_t)text_length);
    for (size_t i = 0; i < text_length; i++)
        wire_write_u8(&writer, text_byte_valid((uint8_t)text[i]) ? (uint8_t)text[i] : '?');
    return frame_finish(&writer, 0);
}

int wire_error_decode(const struct frame *frame, struct wire_error *ret_error, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_error error = {.code = wire_read_u16(&reader), .truncated = (frame->flags & FRAME_TRUNCATED) != 0};
    uint8_t started = wire_read_u8(&reader);
    error.text_length = wire_read_u8(&reader);
    reader.section = REFUSAL_SHORT_TEXT;
    const uint8_t *text = wire_read_bytes(&reader, error.text_length);
    if (text && (error.code == 0 || started > 1))
        wire_reader_refuse(&reader, REFUSAL_BAD_VALUE);
    for (uint32_t i = 0; text && i < error.text_length; i++) {
        if (!text_byte_valid(text[i]))
            wire_reader_refuse(&reader, REFUSAL_BAD_TEXT);
        error.text[i] = (char)text[i];
    }
    int result = wire_reader_finish(&reader, false, ret_refusal);
    if (result < 0)
        return result;
    error.started = started == 1;
    *ret_error = error;
    return 0;
}
