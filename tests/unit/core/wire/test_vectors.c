/* The vectors of tests/vectors both ways, and everything near them that must be refused. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/vector.h"
#include "tests/support/wire_any.h"

/* Decodes all frames of `bytes`. 0, -EAGAIN (a stream that goes on), or the first error with its reason; the fields are appended
 * to `text` unless that is NULL. */
static int all_decode(const uint8_t *bytes, size_t length, bool datagram, struct buffer *text, enum refusal *ret_refusal)
{
    static struct wire_any any;
    while (length > 0) {
        struct frame frame;
        int used = datagram ? frame_decode_datagram(bytes, length, &frame, ret_refusal)
                            : frame_decode_stream(bytes, length, &frame, ret_refusal);
        if (used < 0)
            return used;
        int error = wire_any_decode(&frame, &any, ret_refusal);
        if (error < 0)
            return error;
        if (text)
            cr_assert_eq(wire_any_print(&any, text), 0);
        bytes += used;
        length -= (size_t)used;
    }
    return 0;
}

/* The same on a heap copy of exactly that length, so that AddressSanitizer sees a read past it. */
static int copy_decode(const uint8_t *bytes, size_t length, bool datagram, enum refusal *ret_refusal)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    int error = all_decode(copy, length, datagram, NULL, ret_refusal);
    free(copy);
    return error;
}

/* Whether fewer bytes at its end can make a frame as good: less padding, less data, or less that we don't know. */
static bool frame_may_be_shorter(const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_TYPE_ADDRESS_REQUEST:
    case FRAME_TYPE_LOCATION_REQUEST:
    case FRAME_TYPE_REGISTER:
    case FRAME_TYPE_HEARTBEAT:
    case FRAME_TYPE_JOB:
    case FRAME_TYPE_RESULT: return true;
    default: return frame->minor > WIRE_MINOR;
    }
}

static struct frame first_frame(const struct vector *vector)
{
    struct frame frame;
    enum refusal refusal;
    int used = vector->datagram ? frame_decode_datagram(vector->bytes, vector->length, &frame, &refusal)
                                : frame_decode_stream(vector->bytes, vector->length, &frame, &refusal);
    cr_assert_gt(used, 0, "%s", vector->name);
    return frame;
}

Test(vectors, invalid_ones_are_refused_for_their_reason)
{
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        enum refusal refusal = REFUSAL_NONE;
        if (vector->refusal[0] == '\0')
            continue;
        int error = copy_decode(vector->bytes, vector->length, vector->datagram, &refusal);
        cr_expect_lt(error, 0, "%s", vector->name);
        cr_expect_neq(error, -EAGAIN, "%s", vector->name);
        cr_expect_str_eq(wire_any_refusal_name(refusal), vector->refusal, "%s", vector->name);
    }
    vectors_free(&all);
}

Test(vectors, every_refusal_has_a_vector)
{
    struct vectors all = vectors_load();
    for (int refusal = REFUSAL_NONE + 1; refusal < REFUSALS; refusal++) {
        bool found = false;
        for (size_t i = 0; i < all.count; i++)
            found = found || strcmp(all.vectors[i].refusal, wire_any_refusal_name((enum refusal)refusal)) == 0;
        cr_expect(found, "no vector is refused for %s", wire_any_refusal_name((enum refusal)refusal));
    }
    vectors_free(&all);
}

Test(vectors, every_type_has_a_vector)
{
    static const uint16_t types[] = {
#define FRAME(symbol, number, name, transports, flags, bytes_max, trailer) (number),
#include "core/wire/frame_types.def"
#undef FRAME
    };
    struct vectors all = vectors_load();
    for (size_t t = 0; t < ARRAY_COUNT(types); t++) {
        bool found = false;
        for (size_t i = 0; i < all.count; i++)
            found = found || (all.vectors[i].refusal[0] == '\0' && first_frame(&all.vectors[i]).type == types[t]);
        cr_expect(found, "no vector is a %s", wire_any_type_name(types[t]));
    }
    vectors_free(&all);
}

Test(vectors, every_truncation_is_refused)
{
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        if (vector->refusal[0] != '\0')
            continue;
        size_t first_length = first_frame(vector).length;
        for (size_t length = 1; length < first_length; length++) {
            enum refusal refusal = REFUSAL_NONE;
            int error = copy_decode(vector->bytes, length, vector->datagram, &refusal);
            if (vector->datagram)
                cr_expect(refusal == REFUSAL_SHORT_HEADER || refusal == REFUSAL_BAD_LENGTH, "%s[%zu]", vector->name, length);
            else
                cr_expect_eq(error, -EAGAIN, "%s[%zu]", vector->name, length);
        }
    }
    vectors_free(&all);
}

/* The frame ends early, and its length field agrees. */
Test(vectors, every_shortened_frame_is_refused_with_a_reason)
{
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        if (vector->refusal[0] != '\0')
            continue;
        struct frame frame = first_frame(vector);
        for (uint32_t length = FRAME_HEADER_BYTES; length < frame.length; length++) {
            enum refusal refusal = REFUSAL_NONE;
            bytes_store_u32(vector->bytes + 8, length);
            int error = copy_decode(vector->bytes, length, vector->datagram, &refusal);
            if (error == 0)
                cr_expect(frame_may_be_shorter(&frame), "%s[%u]", vector->name, length);
            else
                cr_expect_neq(refusal, REFUSAL_NONE, "%s[%u]", vector->name, length);
        }
    }
    vectors_free(&all);
}

/* The bytes stay, the length field lies. A longer one makes a stream wait; otherwise what is left over is no frame. Only a RESULT
 * that swallows all that follows is good: its data are any bytes. */
Test(vectors, every_wrong_length_field_is_refused_with_a_reason)
{
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        if (vector->refusal[0] != '\0')
            continue;
        uint32_t right = first_frame(vector).length;
        for (uint32_t length = 0; length < right + 100; length++) {
            enum refusal refusal = REFUSAL_NONE;
            bytes_store_u32(vector->bytes + 8, length);
            int error = copy_decode(vector->bytes, vector->length, vector->datagram, &refusal);
            if (length != right && length != vector->length && (vector->datagram || error != -EAGAIN))
                cr_expect(error < 0 && refusal != REFUSAL_NONE, "%s[%u]", vector->name, length);
        }
    }
    vectors_free(&all);
}

/* One byte is another: refused with a reason, or good and then encoded to the same bytes again. */
Test(vectors, every_other_byte_is_refused_or_encodes_again)
{
    static struct wire_any any;
    static uint8_t again[FRAME_BYTES_MAX];
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x10};
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        if (vector->refusal[0] != '\0')
            continue;
        uint32_t length = first_frame(vector).length;
        for (size_t at = 0; at < length * ARRAY_COUNT(flips); at++) {
            struct frame frame;
            enum refusal refusal = REFUSAL_NONE;
            uint8_t *byte = &vector->bytes[at / ARRAY_COUNT(flips)];
            *byte ^= flips[at % ARRAY_COUNT(flips)];
            int used = vector->datagram ? frame_decode_datagram(vector->bytes, vector->length, &frame, &refusal)
                                        : frame_decode_stream(vector->bytes, vector->length, &frame, &refusal);
            int error = used < 0 ? used : wire_any_decode(&frame, &any, &refusal);
            if (error < 0 && error != -EAGAIN)
                cr_expect_neq(refusal, REFUSAL_NONE, "%s[%zu]", vector->name, at);
            if (error == 0 && frame.minor == WIRE_MINOR) {
                cr_expect_eq(wire_any_encode(&any, again, sizeof(again)), used, "%s[%zu]", vector->name, at);
                cr_expect(memcmp(again, vector->bytes, (size_t)used) == 0, "%s[%zu]", vector->name, at);
            }
            *byte ^= flips[at % ARRAY_COUNT(flips)];
        }
    }
    vectors_free(&all);
}

Test(vectors, decode_to_their_fields)
{
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        struct buffer text = {0};
        enum refusal refusal = REFUSAL_NONE;
        if (vector->refusal[0] != '\0')
            continue;
        int error = all_decode(vector->bytes, vector->length, vector->datagram, &text, &refusal);
        cr_expect_eq(error, 0, "%s: %s", vector->name, wire_any_refusal_name(refusal));
        cr_assert_eq(buffer_append(&text, "", 1), 0);
        cr_expect_str_eq((const char *)text.bytes, vector->fields, "%s", vector->name);
        buffer_done(&text);
    }
    vectors_free(&all);
}

Test(vectors, fields_encode_to_their_bytes)
{
    static struct wire_any any;
    static uint8_t again[FRAME_BYTES_MAX];
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        enum refusal refusal = REFUSAL_NONE;
        if (vector->refusal[0] != '\0')
            continue;
        struct frame frame = first_frame(vector);
        if (frame.minor > WIRE_MINOR)
            continue;
        cr_assert_eq(wire_any_decode(&frame, &any, &refusal), 0, "%s", vector->name);
        cr_expect_eq(wire_any_encode(&any, again, sizeof(again)), (int)frame.length, "%s", vector->name);
        cr_expect(memcmp(again, vector->bytes, frame.length) == 0, "%s", vector->name);
    }
    vectors_free(&all);
}

/* Room for all but the last byte is no room. */
Test(vectors, encode_into_too_little_room_fails)
{
    static struct wire_any any;
    static uint8_t again[DATAGRAM_BYTES_MAX];
    struct vectors all = vectors_load();
    for (size_t i = 0; i < all.count; i++) {
        const struct vector *vector = &all.vectors[i];
        enum refusal refusal = REFUSAL_NONE;
        if (vector->refusal[0] != '\0')
            continue;
        struct frame frame = first_frame(vector);
        bool cuts = frame.type == FRAME_TYPE_ADDRESS || frame.type == FRAME_TYPE_LOCATION ||
                    frame.type == FRAME_TYPE_HEARTBEAT_ACK || frame.type == FRAME_TYPE_ERROR;
        bool head_only = frame.type == FRAME_TYPE_JOB || frame.type == FRAME_TYPE_RESULT;
        if (cuts || head_only || frame.minor > WIRE_MINOR)
            continue;
        cr_assert_eq(wire_any_decode(&frame, &any, &refusal), 0, "%s", vector->name);
        cr_expect_eq(wire_any_encode(&any, again, frame.length - 1), -EMSGSIZE, "%s", vector->name);
    }
    vectors_free(&all);
}
