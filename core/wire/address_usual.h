/* address_usual - the request and the reply that nearly every exchange consists of, in straight lines over whole words: a
 * REQUEST_ADDRESS of our own version that excludes nothing and brings no feedback, and an ADDRESS with one entry. Whatever else there
 * is, address_path.h deals with; where both apply they agree byte for byte (tests/fuzz/fuzz_frame.c).
 *
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/wire/address_path.h"

#define USUAL_REQUEST_BYTES_MIN 34u /* without padding */

struct wire_usual_request {
    uint64_t request_id;
    uint64_t service_id;
    uint32_t length; /* of the frame */
    uint32_t wait_ms;
    uint8_t count; /* 1 … ADDRESSES_MAX */
};

/* Whether all bytes are zero from `at` to `end`, before which at least 8 bytes can be read. */
static inline bool wire_padding_is_zero(const uint8_t *at, const uint8_t *end)
{
    uint64_t seen = 0;
    for (; end - at >= 8; at += 8)
        seen |= bytes_load_u64(at);
    /* The last 0 to 7 bytes are the low ones of a big-endian load that ends with them; two shifts, since one by 64 is undefined. */
    uint32_t left_bits = 8 * (uint32_t)(end - at);
    return (seen | bytes_load_u64(end - 8) << (56 - left_bits) << 8) == 0;
}

/* False: the bytes begin with something else, or not with all of it. */
static inline bool wire_usual_request_decode(const uint8_t *bytes, size_t available, struct wire_usual_request *ret_request)
{
    const uint64_t head = (uint64_t)WIRE_MAGIC << 48 | (uint64_t)WIRE_MAJOR << 40 | (uint64_t)WIRE_MINOR << 32 |
                          (uint64_t)FRAME_TYPE_ADDRESS_REQUEST << 16;
    if (UNLIKELY(available < USUAL_REQUEST_BYTES_MIN || bytes_load_u64(bytes) != head))
        return false;
    uint32_t length = bytes_load_u32(bytes + 8);
    uint32_t longest = available < DATAGRAM_BYTES_MAX ? (uint32_t)available : DATAGRAM_BYTES_MAX;
    uint8_t count = bytes[32];
    if (UNLIKELY(length < USUAL_REQUEST_BYTES_MIN || length > longest || count - 1u >= ADDRESSES_MAX || bytes[33] != 0))
        return false;
    if (length != USUAL_REQUEST_BYTES_MIN && UNLIKELY(!wire_padding_is_zero(bytes + USUAL_REQUEST_BYTES_MIN, bytes + length)))
        return false;
    ret_request->length = length;
    ret_request->request_id = bytes_load_u64(bytes + 12);
    ret_request->service_id = bytes_load_u64(bytes + 20);
    ret_request->wait_ms = bytes_load_u32(bytes + 28);
    ret_request->count = count;
    return true;
}

/* What is the same in all replies: an ADDRESS up to its one entry. */
struct wire_usual_reply {
    uint8_t bytes[ADDRESS_REPLY_BYTES_MIN];
};

/* boot_id ≠ 0. */
void wire_usual_reply_init(struct wire_usual_reply *reply, uint64_t boot_id, uint16_t region, uint32_t regions_version);

/* Returns the frame's length, or 0: more than `limit`. The address is one that somebody can connect to. */
static inline uint32_t wire_usual_reply_encode(const struct wire_usual_reply *reply, uint64_t request_id,
                                               const struct address *address, uint8_t state, uint8_t *bytes, size_t limit)
{
    bool ipv4 = address->family == ADDRESS_IPV4;
    uint32_t length = ADDRESS_REPLY_BYTES_MIN + (ipv4 ? COMPACT_ADDRESS_BYTES_IPV4 : COMPACT_ADDRESS_BYTES_IPV6);
    if (UNLIKELY(length > limit))
        return 0;
    memcpy(bytes, reply->bytes, sizeof(reply->bytes));
    bytes_store_u32(bytes + 8, length);
    bytes_store_u64(bytes + 12, request_id);
    uint8_t *entry = bytes + ADDRESS_REPLY_BYTES_MIN;
    entry[0] = address->family;
    entry[1] = state;
    bytes_store_u16(entry + 2, address->port);
    memcpy(entry + 4, address->ip, 4);
    if (!ipv4)
        memcpy(entry + 8, address->ip + 4, 12);
    return length;
}
