/* address_path - what a client and a dispatcher say to each other: REQUEST_ADDRESS → ADDRESS, LOCATION_REQUEST → LOCATION.
 *
 * Over UDP no reply is longer than its request: the client pads, the dispatcher cuts and sets TRUNCATED.
 * Decoders: USHER_EPROTOCOL with the reason in *ret_refusal; ret_* untouched then. Encoders: the frame's length, or -EMSGSIZE
 * (does not fit), -EINVAL (a field that no decoder would take).
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/base/address.h"
#include "core/wire/cursor.h"
#include "core/wire/frame.h"

/* What became of the job that the client sent to the node it was given last. */
enum wire_outcome {
    WIRE_OUTCOME_OK = 0,
    WIRE_OUTCOME_FAILED = 1, /* refused or failed */
    WIRE_OUTCOME_TIMEOUT = 2,
};

struct wire_feedback {
    struct address node;
    uint8_t outcome; /* enum wire_outcome */
    uint32_t latency_us;
};

struct wire_address_request {
    uint64_t service_id;
    uint32_t wait_ms; /* how long an answer is of use, from now; 0: no limit */
    uint8_t count; /* 1 … ADDRESSES_MAX, of different nodes */
    uint8_t exclude_count; /* 0 … EXCLUDES_MAX */
    bool has_feedback;
    struct wire_feedback feedback; /* set only with has_feedback */
    struct address excludes[EXCLUDES_MAX]; /* the first exclude_count are set */
};

/* The frame is padded to padded_length (0: not at all). */
NODISCARD int wire_address_request_encode(const struct wire_address_request *request, uint64_t request_id, uint32_t padded_length,
                                          uint8_t *bytes, size_t capacity);
NODISCARD int wire_address_request_decode(const struct frame *frame, struct wire_address_request *ret_request,
                                          enum refusal *ret_refusal);

/* Bits of an address's state in ADDRESS. */
enum wire_address_state {
    WIRE_ADDRESS_DISPATCHER = 1, /* the node is a dispatcher */
    WIRE_ADDRESS_NO_ECHO = 2, /* an attached server: it takes no JOB and does not count what it gets */
    WIRE_ADDRESS_LAST = 4, /* its heartbeat has expired, and nothing better was there */
};

struct wire_address_entry {
    struct address address;
    uint8_t state; /* mask of enum wire_address_state */
};

struct wire_address {
    uint64_t boot_id; /* of the dispatcher, for the JOB to carry */
    uint32_t regions_version;
    uint16_t region; /* the dispatcher's */
    uint8_t count; /* 0 … ADDRESSES_MAX; 0 only with truncated */
    bool truncated; /* set by decoding only */
    struct wire_address_entry entries[ADDRESSES_MAX]; /* the first `count` are set */
};

#define ADDRESS_REPLY_BYTES_MIN 36u /* without an entry */

/* How long an ADDRESS with `count` entries of a family is: what a client pads its request to over UDP. */
static inline uint32_t wire_address_bytes(uint32_t count, enum address_family family)
{
    return ADDRESS_REPLY_BYTES_MIN + count * (family == ADDRESS_IPV4 ? COMPACT_ADDRESS_BYTES_IPV4 : COMPACT_ADDRESS_BYTES_IPV6);
}

/* `limit`: room in `bytes` and, over UDP, at most the request's length. Entries that don't fit are left off from the end, TRUNCATED
 * is set, and *ret_fitted says how many went in. -EMSGSIZE: limit < ADDRESS_REPLY_BYTES_MIN: answer ERROR TOO_LARGE, truncated. */
NODISCARD int wire_address_encode(const struct wire_address *reply, uint64_t request_id, uint8_t *bytes, size_t limit,
                                  uint8_t *ret_fitted);
NODISCARD int wire_address_decode(const struct frame *frame, struct wire_address *ret_reply, enum refusal *ret_refusal);

struct wire_location_request {
    uint32_t regions_version; /* of the list the client has; 0: none */
};

NODISCARD int wire_location_request_encode(const struct wire_location_request *request, uint64_t request_id,
                                           uint32_t padded_length, uint8_t *bytes, size_t capacity);
NODISCARD int wire_location_request_decode(const struct frame *frame, struct wire_location_request *ret_request,
                                           enum refusal *ret_refusal);

struct wire_region_dispatcher {
    uint16_t region;
    struct address address;
};

struct wire_location {
    uint16_t region; /* the client's, by its IP */
    uint16_t own_region; /* the dispatcher's */
    uint32_t regions_version;
    uint16_t dispatcher_total; /* in all regions: ≤ REGION_DISPATCHERS_MAX */
    uint16_t dispatcher_count; /* of these in this frame; fewer with truncated */
    bool truncated;
    struct wire_reader dispatchers; /* decoded only: for wire_location_next */
    uint16_t dispatchers_left;
};

#define LOCATION_REPLY_BYTES_MIN 32u /* without a dispatcher */

static inline uint32_t wire_location_bytes(uint32_t count, enum address_family family)
{
    return LOCATION_REPLY_BYTES_MIN +
           count * (2 + (family == ADDRESS_IPV4 ? COMPACT_ADDRESS_BYTES_IPV4 : COMPACT_ADDRESS_BYTES_IPV6));
}

/* Takes region, own_region, regions_version and dispatcher_total from `reply`, and that many `dispatchers`, as far as they fit
 * into `limit` (as in wire_address_encode). */
NODISCARD int wire_location_encode(const struct wire_location *reply, const struct wire_region_dispatcher *dispatchers,
                                   uint64_t request_id, uint8_t *bytes, size_t limit);

/* Checks the fixed fields; the dispatchers are checked as wire_location_next hands them out. The frame's bytes must stay. */
NODISCARD int wire_location_decode(const struct frame *frame, struct wire_location *ret_reply, enum refusal *ret_refusal);

/* 1 and the next dispatcher; 0 after the last one (only then is the frame known to be sound); USHER_EPROTOCOL. */
NODISCARD int wire_location_next(struct wire_location *reply, struct wire_region_dispatcher *ret_dispatcher,
                                 enum refusal *ret_refusal);
