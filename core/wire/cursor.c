#include "core/wire/cursor.h"

#include "core/base/errors.h"

_Static_assert(sizeof(float) == sizeof(uint32_t), "f32 fields are IEEE-754 binary32");

bool bytes_are_zero(const uint8_t *bytes, size_t length)
{
    uint64_t word;
    uint64_t seen = 0;
    for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        seen |= word;
    }
    for (; length > 0; bytes++, length--)
        seen |= *bytes;
    return seen == 0;
}

void wire_reader_refuse(struct wire_reader *reader, enum refusal refusal)
{
    if (reader->refusal == REFUSAL_NONE)
        reader->refusal = refusal;
    reader->at = reader->end;
}

float wire_read_f32(struct wire_reader *reader)
{
    uint32_t bits = wire_read_u32(reader);
    float value = 0;
    if (bits >= F32_INFINITY_BITS)
        wire_reader_refuse(reader, REFUSAL_BAD_FLOAT);
    else
        memcpy(&value, &bits, sizeof(value));
    return value;
}

uint64_t wire_read_boot_id(struct wire_reader *reader)
{
    uint64_t boot_id = wire_read_u64(reader);
    if (UNLIKELY(boot_id == 0))
        wire_reader_refuse(reader, REFUSAL_BAD_VALUE);
    return boot_id;
}

void wire_read_reserved(struct wire_reader *reader, size_t length)
{
    const uint8_t *bytes = wire_read_bytes(reader, length);
    if (bytes && !reader->newer && !bytes_are_zero(bytes, length))
        wire_reader_refuse(reader, REFUSAL_RESERVED);
}

uint32_t wire_known_bits(struct wire_reader *reader, uint32_t bits, uint32_t known)
{
    if ((bits & ~known) != 0 && !reader->newer)
        wire_reader_refuse(reader, REFUSAL_BAD_BITS);
    return bits & known;
}

bool wire_address_usable(const struct address *address)
{
    return (address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6) && address->port != 0 &&
           !bytes_are_zero(address->ip, sizeof(address->ip)) && !address_is_for_many(address);
}

struct address wire_read_any_address(struct wire_reader *reader)
{
    struct address address = {.family = wire_read_u8(reader)};
    wire_read_reserved(reader, 1);
    address.port = wire_read_u16(reader);
    const uint8_t *ip = wire_read_bytes(reader, sizeof(address.ip));
    if (!ip)
        return (struct address){0};
    memcpy(address.ip, ip, sizeof(address.ip));
    if (address.family != ADDRESS_IPV4 && address.family != ADDRESS_IPV6)
        wire_reader_refuse(reader, REFUSAL_BAD_FAMILY);
    else if (address.family == ADDRESS_IPV4 && !bytes_are_zero(ip + 4, sizeof(address.ip) - 4))
        wire_reader_refuse(reader, REFUSAL_BAD_ADDRESS);
    return address;
}

struct address wire_read_fixed_address(struct wire_reader *reader)
{
    struct address address = wire_read_any_address(reader);
    if (!wire_address_usable(&address))
        wire_reader_refuse(reader, REFUSAL_BAD_ADDRESS);
    return address;
}

struct address wire_read_compact_address(struct wire_reader *reader, uint8_t *ret_state)
{
    struct address address = {.family = wire_read_u8(reader)};
    uint8_t state = wire_read_u8(reader);
    address.port = wire_read_u16(reader);
    if (reader->refusal == REFUSAL_NONE && address.family != ADDRESS_IPV4 && address.family != ADDRESS_IPV6)
        wire_reader_refuse(reader, REFUSAL_BAD_FAMILY);
    size_t ip_bytes = address.family == ADDRESS_IPV4 ? 4 : 16;
    const uint8_t *ip = wire_read_bytes(reader, ip_bytes);
    if (!ip)
        return (struct address){0};
    memcpy(address.ip, ip, ip_bytes);
    if (!wire_address_usable(&address))
        wire_reader_refuse(reader, REFUSAL_BAD_ADDRESS);
    *ret_state = state;
    return address;
}

struct address wire_read_stateless_address(struct wire_reader *reader)
{
    uint8_t state = 0;
    struct address address = wire_read_compact_address(reader, &state);
    if (state != 0 && !reader->newer)
        wire_reader_refuse(reader, REFUSAL_BAD_STATE);
    return address;
}

int wire_reader_finish(struct wire_reader *reader, bool padding, enum refusal *ret_refusal)
{
    size_t left = wire_reader_left(reader);
    if (left > 0 && !reader->newer) {
        if (!padding)
            wire_reader_refuse(reader, REFUSAL_TRAILING);
        else if (!bytes_are_zero(reader->at, left))
            wire_reader_refuse(reader, REFUSAL_PADDING);
    }
    if (reader->refusal == REFUSAL_NONE)
        return 0;
    *ret_refusal = reader->refusal;
    return USHER_EPROTOCOL;
}

void wire_writer_fail(struct wire_writer *writer, int error)
{
    if (writer->error == 0)
        writer->error = error;
}

void wire_write_bytes(struct wire_writer *writer, const void *bytes, size_t length)
{
    uint8_t *room = wire_write_room(writer, length);
    if (room && length > 0)
        memcpy(room, bytes, length);
}

void wire_write_zeros(struct wire_writer *writer, size_t length)
{
    uint8_t *room = wire_write_room(writer, length);
    if (room && length > 0)
        memset(room, 0, length);
}

void wire_write_f32(struct wire_writer *writer, float value)
{
    uint32_t bits;
    if (value == 0)
        value = 0; /* -0 compares equal, and its sign bit would be refused */
    memcpy(&bits, &value, sizeof(bits));
    if (bits >= F32_INFINITY_BITS)
        wire_writer_fail(writer, -EINVAL);
    wire_write_u32(writer, bits);
}

void wire_write_boot_id(struct wire_writer *writer, uint64_t boot_id)
{
    if (boot_id == 0)
        wire_writer_fail(writer, -EINVAL);
    wire_write_u64(writer, boot_id);
}

void wire_write_any_address(struct wire_writer *writer, const struct address *address)
{
    if (address->family != ADDRESS_IPV4 && address->family != ADDRESS_IPV6)
        wire_writer_fail(writer, -EINVAL);
    wire_write_u8(writer, address->family);
    wire_write_u8(writer, 0);
    wire_write_u16(writer, address->port);
    wire_write_bytes(writer, address->ip, sizeof(address->ip));
}

void wire_write_fixed_address(struct wire_writer *writer, const struct address *address)
{
    if (!wire_address_usable(address))
        wire_writer_fail(writer, -EINVAL);
    wire_write_any_address(writer, address);
}

void wire_write_compact_address(struct wire_writer *writer, const struct address *address, uint8_t state)
{
    if (!wire_address_usable(address))
        wire_writer_fail(writer, -EINVAL);
    wire_write_u8(writer, address->family);
    wire_write_u8(writer, state);
    wire_write_u16(writer, address->port);
    wire_write_bytes(writer, address->ip, address->family == ADDRESS_IPV4 ? 4 : 16);
}
