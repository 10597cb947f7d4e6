/* frame - the header that every message has, over UDP and TCP alike (docs/PROTOCOL.md, "Frame").
 *
 * A datagram holds one or more whole frames; a stream is frames back to back. Decoding is pure: nothing is allocated or kept,
 * a frame's body points into the bytes handed in.
 * Invariant: a decoded frame's body lies wholly within the bytes given; its flags are ones its type has.
 * Thread: any. Nothing here blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/wire/limits.h"
#include "core/wire/refusal.h"

enum frame_transport {
    FRAME_UDP = 1,
    FRAME_TCP = 2,
};

/* Bits of `flags` in the header. */
enum frame_flag {
    FRAME_MORE = 1, /* RESULT, DIRECTORY: more parts follow */
    FRAME_FIRST = 2, /* DIRECTORY: this part begins a list */
    FRAME_TRUNCATED = 4, /* ADDRESS, LOCATION, ERROR: there would have been more; ask over TCP */
    FRAME_FEEDBACK = 8, /* REQUEST_ADDRESS: carries feedback on the last job */
    FRAME_PUSH = 16, /* SUBSCRIBE: send changes by yourself */
};

enum frame_type {
#define FRAME(symbol, number, name, transports, flags, bytes_max, trailer) FRAME_TYPE_##symbol = (number),
#include "core/wire/frame_types.def"
#undef FRAME
};

#define FRAME_REPLY_BIT 0x8000u

struct frame {
    uint16_t type; /* enum frame_type, or one we don't know */
    uint16_t flags;
    uint8_t minor;
    uint32_t length; /* of the whole frame */
    uint64_t request_id;
    const uint8_t *body;
    uint32_t body_length; /* without the trailer */
};

/* Replies and errors are never answered, whatever they say (CVE-2024-2169: two servers spoofed into a loop). */
static inline bool frame_is_reply(uint16_t type)
{
    return (type & FRAME_REPLY_BIT) != 0;
}

/* Decodes the frame at the beginning of a datagram's remaining bytes; returns its length, to be added before the next one.
 * A type we don't know is decoded like any other: the caller's switch counts it as REFUSAL_UNKNOWN_TYPE and goes on.
 * USHER_EPROTOCOL, USHER_EVERSION, USHER_ETOOLARGE, USHER_ENOTACCEPTED (wrong transport): the reason is in *ret_refusal,
 * what is left of the datagram is worthless; frame_answerable says whether it may get an ERROR. */
NODISCARD int frame_decode_datagram(const uint8_t *bytes, size_t length, struct frame *ret_frame, enum refusal *ret_refusal);

/* The same for bytes of a stream. -EAGAIN: no whole frame yet, read more and come again with the same bytes in front.
 * After any other error the stream is out of step: answer if frame_answerable, then close. */
NODISCARD int frame_decode_stream(const uint8_t *bytes, size_t length, struct frame *ret_frame, enum refusal *ret_refusal);

/* What a frame's header says of which frame_decode_stream wants more, the body as far as it is there. False: not even the header is. */
bool frame_begun(const uint8_t *bytes, size_t length, struct frame *ret_frame);

/* Whether refused bytes were somebody's request, so that one ERROR may go back: a whole header, the magic, and neither a reply nor
 * an IDLE_TOKEN (these fields lie at the same place in all major versions). ret_limit: how long that ERROR may be over UDP. */
bool frame_answerable(const uint8_t *bytes, size_t length, uint64_t *ret_request_id, uint32_t *ret_limit);
