/* error - ERROR frames: a code, whether the job had been started, and a text for people.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/wire/frame.h"

enum wire_error_code {
#define WIRE_ERROR(symbol, code, error) WIRE_ERROR_##symbol = (code),
#include "core/wire/error_codes.def"
#undef WIRE_ERROR
};

#define ERROR_REPLY_BYTES_MIN 24u

struct wire_error {
    uint16_t code; /* enum wire_error_code, or one of a newer version */
    bool started; /* the job may have had effects: only an idempotent one may be tried elsewhere */
    bool truncated; /* the text was cut; with TOO_LARGE: the answer did not fit, ask over TCP */
    uint8_t text_length;
    char text[ERROR_TEXT_BYTES_MAX + 1]; /* printable ASCII, NUL-terminated */
};

/* Returns the frame's length. `limit` is the room in `bytes` and, over UDP, at most the request's length: the text is cut to it.
 * text NULL: the code's own. Bytes that are not printable ASCII go out as '?'. `truncated` sets the flag even if the text fits.
 * -EMSGSIZE: limit is below ERROR_REPLY_BYTES_MIN; over UDP the request then gets nothing. Only for requests, never for replies. */
NODISCARD int wire_error_encode(enum wire_error_code code, bool started, bool truncated, const char *text, uint64_t request_id,
                                uint8_t *bytes, size_t limit);

/* USHER_EPROTOCOL with the reason in *ret_refusal. */
NODISCARD int wire_error_decode(const struct frame *frame, struct wire_error *ret_error, enum refusal *ret_refusal);

/* Our error (core/base/errors.def) for a code; USHER_EPROTOCOL for one we don't know. */
int wire_error_to_error(uint16_t code);

/* The code for what one of our functions returned; WIRE_ERROR_MALFORMED for an error without a code of its own. */
enum wire_error_code wire_error_from_error(int error);
