#include <errno.h>

#include "core/base/check.h"
#include "core/wire/directory.h"
#include "core/wire/envelope.h"

#define REGION_DISPATCHER_BYTES_MAX 22u
#define REGION_RANGE_BYTES 24u

_Static_assert(FRAME_HEADER_BYTES + 8 + REGION_DISPATCHERS_MAX * REGION_DISPATCHER_BYTES_MAX +
                       REGION_RANGES_MAX * REGION_RANGE_BYTES <=
                   FRAME_BYTES_MAX,
               "the fullest REGION_TABLE fits in a frame");

/* Prefix within the family, nothing behind it, no port. */
static bool range_valid(const struct address_range *range)
{
    uint32_t bits_max = range->base.family == ADDRESS_IPV4 ? 32 : 128;
    uint32_t bits = range->prefix_bits;
    if (bits > bits_max || range->base.port != 0)
        return false;
    if (bits % 8 != 0 && (range->base.ip[bits / 8] & (0xffu >> (bits % 8))) != 0)
        return false;
    size_t kept = (bits + 7) / 8;
    return bytes_are_zero(range->base.ip + kept, sizeof(range->base.ip) - kept);
}

int wire_region_table_encode(const struct wire_region_table *table, const struct wire_region_dispatcher *dispatchers,
                             const struct wire_region_range *ranges, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    if (table->dispatcher_count > REGION_DISPATCHERS_MAX || table->range_count > REGION_RANGES_MAX)
        return -EINVAL;
    struct wire_writer writer = frame_begin(FRAME_TYPE_REGION_TABLE, 0, request_id, bytes, capacity);
    wire_write_u32(&writer, table->version);
    wire_write_u16(&writer, table->dispatcher_count);
    wire_write_u16(&writer, table->range_count);
    for (uint32_t i = 0; i < table->dispatcher_count; i++) {
        wire_write_u16(&writer, dispatchers[i].region);
        wire_write_compact_address(&writer, &dispatchers[i].address, 0);
    }
    for (uint32_t i = 0; i < table->range_count; i++) {
        if (!range_valid(&ranges[i].range))
            return -EINVAL;
        wire_write_u16(&writer, ranges[i].region);
        wire_write_u8(&writer, ranges[i].range.prefix_bits);
        wire_write_u8(&writer, 0);
        wire_write_any_address(&writer, &ranges[i].range.base);
    }
    return frame_finish(&writer, 0);
}

int wire_region_table_decode(const struct frame *frame, struct wire_region_table *ret_table, struct wire_regions *ret_regions,
                             enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_region_table table;
    table.version = wire_read_u32(&reader);
    table.dispatcher_count = wire_read_u16(&reader);
    table.range_count = wire_read_u16(&reader);
    if (table.dispatcher_count > REGION_DISPATCHERS_MAX || table.range_count > REGION_RANGES_MAX)
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    if (reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&reader, false, ret_refusal);
    *ret_regions = (struct wire_regions){
        .reader = reader,
        .dispatchers_left = table.dispatcher_count,
        .ranges_left = table.range_count,
    };
    *ret_table = table;
    return 0;
}

int wire_regions_next_dispatcher(struct wire_regions *regions, struct wire_region_dispatcher *ret_dispatcher,
                                 enum refusal *ret_refusal)
{
    struct wire_reader *reader = &regions->reader;
    if (regions->dispatchers_left == 0)
        return 0;
    reader->section = REFUSAL_SHORT_DISPATCHERS;
    struct wire_region_dispatcher dispatcher = {.region = wire_read_u16(reader)};
    dispatcher.address = wire_read_stateless_address(reader);
    if (reader->refusal != REFUSAL_NONE)
        return wire_reader_finish(reader, false, ret_refusal);
    regions->dispatchers_left--;
    *ret_dispatcher = dispatcher;
    return 1;
}

int wire_regions_next_range(struct wire_regions *regions, struct wire_region_range *ret_range, enum refusal *ret_refusal)
{
    CHECK(regions->dispatchers_left == 0);
    struct wire_reader *reader = &regions->reader;
    if (regions->ranges_left == 0)
        return wire_reader_finish(reader, false, ret_refusal);
    reader->section = REFUSAL_SHORT_RANGES;
    struct wire_region_range range = {.region = wire_read_u16(reader)};
    range.range.prefix_bits = wire_read_u8(reader);
    wire_read_reserved(reader, 1);
    range.range.base = wire_read_any_address(reader);
    if (reader->refusal == REFUSAL_NONE && !range_valid(&range.range))
        wire_reader_refuse(reader, REFUSAL_BAD_RANGE);
    if (reader->refusal != REFUSAL_NONE)
        return wire_reader_finish(reader, false, ret_refusal);
    regions->ranges_left--;
    *ret_range = range;
    return 1;
}
