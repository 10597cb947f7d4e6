#include <errno.h>

#include "core/wire/envelope.h"
#include "core/wire/heartbeat.h"
#include "core/wire/heartbeat_parts.h"

_Static_assert(HEARTBEAT_ACK_BYTES_MIN + ACK_DISPATCHERS_MAX * ACK_DISPATCHER_BYTES_IPV4 <= DATAGRAM_BYTES_MAX &&
                   HEARTBEAT_ACK_BYTES_MIN + (ACK_DISPATCHERS_MAX + 1) * ACK_DISPATCHER_BYTES_IPV4 > DATAGRAM_BYTES_MAX,
               "ACK_DISPATCHERS_MAX is what a datagram holds");

/* How many of the dispatchers, from the first on, fit into the rest of a frame. */
static uint8_t dispatchers_fitting(const struct wire_heartbeat_ack *ack, size_t left)
{
    uint8_t count = 0;
    for (; count < ack->dispatcher_count; count++) {
        const struct address *address = &ack->dispatchers[count].address;
        size_t entry_bytes = address->family == ADDRESS_IPV4 ? ACK_DISPATCHER_BYTES_IPV4 : ACK_DISPATCHER_BYTES_IPV6;
        if (left < entry_bytes)
            break;
        left -= entry_bytes;
    }
    return count;
}

int wire_heartbeat_ack_encode(const struct wire_heartbeat_ack *ack, uint64_t request_id, uint8_t *bytes, size_t limit)
{
    if (limit < HEARTBEAT_ACK_BYTES_MIN)
        return -EMSGSIZE;
    if (limit > DATAGRAM_BYTES_MAX)
        limit = DATAGRAM_BYTES_MAX;
    if ((ack->flags & ~(unsigned)WIRE_ACK_REGISTER_WANTED) != 0 || ack->dispatcher_count > ACK_DISPATCHERS_MAX ||
        ack->dispatcher_total < ack->dispatcher_count)
        return -EINVAL;
    uint8_t count = dispatchers_fitting(ack, limit - HEARTBEAT_ACK_BYTES_MIN);
    struct wire_writer writer = frame_begin(FRAME_TYPE_HEARTBEAT_ACK, 0, request_id, bytes, limit);
    wire_write_u64(&writer, ack->rm_id);
    wire_write_u64(&writer, ack->nonce);
    wire_write_u16(&writer, ack->region);
    wire_write_u16(&writer, ack->flags);
    wire_write_u64(&writer, ack->acked_sequence);
    wire_admin_write(&writer, &ack->admin);
    wire_write_u16(&writer, ack->dispatcher_total);
    wire_write_u8(&writer, count);
    wire_write_u8(&writer, 0);
    wire_write_u32(&writer, ack->node_total);
    for (uint32_t i = 0; i < count; i++) {
        wire_write_boot_id(&writer, ack->dispatchers[i].boot_id);
        wire_write_compact_address(&writer, &ack->dispatchers[i].address, 0);
    }
    return frame_finish_control(&writer, 0, &ack->trailer);
}

int wire_heartbeat_ack_decode(const struct frame *frame, struct wire_heartbeat_ack *ret_ack, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_heartbeat_ack ack = {0};
    int error = frame_trailer_decode(frame, &ack.trailer, ret_refusal);
    if (error < 0)
        return error;
    ack.rm_id = wire_read_u64(&reader);
    ack.nonce = wire_read_u64(&reader);
    ack.region = wire_read_u16(&reader);
    ack.flags = (uint16_t)wire_known_bits(&reader, wire_read_u16(&reader), WIRE_ACK_REGISTER_WANTED);
    ack.acked_sequence = wire_read_u64(&reader);
    ack.admin = wire_admin_read(&reader);
    ack.dispatcher_total = wire_read_u16(&reader);
    ack.dispatcher_count = wire_read_u8(&reader);
    wire_read_reserved(&reader, 1);
    ack.node_total = wire_read_u32(&reader);
    if (ack.dispatcher_count > ACK_DISPATCHERS_MAX || ack.dispatcher_count > ack.dispatcher_total)
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    reader.section = REFUSAL_SHORT_DISPATCHERS;
    for (uint32_t i = 0; reader.refusal == REFUSAL_NONE && i < ack.dispatcher_count; i++) {
        ack.dispatchers[i].boot_id = wire_read_boot_id(&reader);
        ack.dispatchers[i].address = wire_read_stateless_address(&reader);
    }
    error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_ack = ack;
    return 0;
}
