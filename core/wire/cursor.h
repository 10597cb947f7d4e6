/* cursor - reading and writing big-endian fields within bounds.
 *
 * Failure is sticky: after the first one reads give zeros, writes do nothing, and only the end is checked. A reader remembers why
 * it failed: `section` says which part of the message is being read, and running out of bytes there is that part's refusal.
 * Invariant: begin ≤ at ≤ end; nothing outside is touched.
 * Thread: one owner. Nothing blocks or allocates; the bytes belong to the caller and must stay. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/wire/refusal.h"

static inline uint16_t bytes_load_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return __builtin_bswap16(value);
}

static inline uint32_t bytes_load_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return __builtin_bswap32(value);
}

static inline uint64_t bytes_load_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return __builtin_bswap64(value);
}

static inline void bytes_store_u16(uint8_t *bytes, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline void bytes_store_u32(uint8_t *bytes, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline void bytes_store_u64(uint8_t *bytes, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(bytes, &value, sizeof(value));
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the loads and stores above swap unconditionally");

bool bytes_are_zero(const uint8_t *bytes, size_t length);

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    enum refusal section; /* what running out of bytes means here */
    enum refusal refusal; /* REFUSAL_NONE while all is well */
    bool newer; /* from a newer minor version: bits, reserved bytes and bytes at the end may mean something we don't know */
};

static inline struct wire_reader wire_reader_over(const uint8_t *bytes, size_t length, bool newer)
{
    return (struct wire_reader){.at = bytes, .end = bytes + length, .section = REFUSAL_SHORT_FIELDS, .newer = newer};
}

static inline size_t wire_reader_left(const struct wire_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The first refusal stays; the reader is at its end from then on. */
void wire_reader_refuse(struct wire_reader *reader, enum refusal refusal);

/* The next `length` bytes, or NULL when they are not there. */
static inline const uint8_t *wire_read_bytes(struct wire_reader *reader, size_t length)
{
    const uint8_t *bytes = reader->at;
    if (UNLIKELY(length > wire_reader_left(reader) || reader->refusal != REFUSAL_NONE)) {
        wire_reader_refuse(reader, reader->section);
        return NULL;
    }
    reader->at += length;
    return bytes;
}

static inline uint8_t wire_read_u8(struct wire_reader *reader)
{
    const uint8_t *bytes = wire_read_bytes(reader, 1);
    return bytes ? *bytes : 0;
}

static inline uint16_t wire_read_u16(struct wire_reader *reader)
{
    const uint8_t *bytes = wire_read_bytes(reader, 2);
    return bytes ? bytes_load_u16(bytes) : 0;
}

static inline uint32_t wire_read_u32(struct wire_reader *reader)
{
    const uint8_t *bytes = wire_read_bytes(reader, 4);
    return bytes ? bytes_load_u32(bytes) : 0;
}

static inline uint64_t wire_read_u64(struct wire_reader *reader)
{
    const uint8_t *bytes = wire_read_bytes(reader, 8);
    return bytes ? bytes_load_u64(bytes) : 0;
}

/* The bits of the smallest float that is not finite. Any with the sign bit set are greater, so one comparison refuses all. */
#define F32_INFINITY_BITS UINT32_C(0x7f800000)

/* Finite and ≥ 0, else REFUSAL_BAD_FLOAT. */
float wire_read_f32(struct wire_reader *reader);

/* Of a process's start: never 0, else REFUSAL_BAD_VALUE. */
uint64_t wire_read_boot_id(struct wire_reader *reader);

/* Reserved bytes: zero, else REFUSAL_RESERVED. */
void wire_read_reserved(struct wire_reader *reader, size_t length);

/* A field of flags: bits outside `known` are REFUSAL_BAD_BITS; from a newer version they are masked off. */
uint32_t wire_known_bits(struct wire_reader *reader, uint32_t bits, uint32_t known);

/* A fixed address, whatever its port and IP. */
struct address wire_read_any_address(struct wire_reader *reader);

/* An address somebody can connect to. */
struct address wire_read_fixed_address(struct wire_reader *reader);
struct address wire_read_compact_address(struct wire_reader *reader, uint8_t *ret_state);

/* The same where the state has no meaning and must be 0. */
struct address wire_read_stateless_address(struct wire_reader *reader);

/* The end of a body: zeros may be left if padding is allowed, anything may be left from a newer version. 0, or USHER_EPROTOCOL
 * with the first refusal in *ret_refusal. */
NODISCARD int wire_reader_finish(struct wire_reader *reader, bool padding, enum refusal *ret_refusal);

struct wire_writer {
    uint8_t *begin;
    uint8_t *at;
    uint8_t *end;
    int error; /* 0, -EMSGSIZE (full) or -EINVAL (a value that may not go out) */
};

static inline struct wire_writer wire_writer_over(uint8_t *bytes, size_t capacity)
{
    return (struct wire_writer){.begin = bytes, .at = bytes, .end = bytes + capacity};
}

static inline size_t wire_writer_left(const struct wire_writer *writer)
{
    return (size_t)(writer->end - writer->at);
}

/* The first error stays. */
void wire_writer_fail(struct wire_writer *writer, int error);

/* Room for the next `length` bytes, or NULL. */
static inline uint8_t *wire_write_room(struct wire_writer *writer, size_t length)
{
    uint8_t *bytes = writer->at;
    if (UNLIKELY(length > wire_writer_left(writer) || writer->error)) {
        wire_writer_fail(writer, -EMSGSIZE);
        return NULL;
    }
    writer->at += length;
    return bytes;
}

static inline void wire_write_u8(struct wire_writer *writer, uint8_t value)
{
    uint8_t *bytes = wire_write_room(writer, 1);
    if (bytes)
        *bytes = value;
}

static inline void wire_write_u16(struct wire_writer *writer, uint16_t value)
{
    uint8_t *bytes = wire_write_room(writer, 2);
    if (bytes)
        bytes_store_u16(bytes, value);
}

static inline void wire_write_u32(struct wire_writer *writer, uint32_t value)
{
    uint8_t *bytes = wire_write_room(writer, 4);
    if (bytes)
        bytes_store_u32(bytes, value);
}

static inline void wire_write_u64(struct wire_writer *writer, uint64_t value)
{
    uint8_t *bytes = wire_write_room(writer, 8);
    if (bytes)
        bytes_store_u64(bytes, value);
}

void wire_write_bytes(struct wire_writer *writer, const void *bytes, size_t length);
void wire_write_zeros(struct wire_writer *writer, size_t length);

/* -EINVAL unless finite and ≥ 0. */
void wire_write_f32(struct wire_writer *writer, float value);

/* -EINVAL for 0. */
void wire_write_boot_id(struct wire_writer *writer, uint64_t boot_id);

/* -EINVAL for a family other than 4 and 6. */
void wire_write_any_address(struct wire_writer *writer, const struct address *address);

/* -EINVAL for an address nobody can connect to. */
void wire_write_fixed_address(struct wire_writer *writer, const struct address *address);
void wire_write_compact_address(struct wire_writer *writer, const struct address *address, uint8_t state);

/* Whether somebody can connect to it: a family, a port and an IP other than 0, multicast and broadcast. */
bool wire_address_usable(const struct address *address);
