/* Datagrams into the request queue.
 *
 * One datagram gets one datagram at most, and no more bytes than it had, however many requests it packs and whatever is wrong with them:
 * nobody shall be able to aim us at a victim. So refusals wait in the queue for their turn like requests, and are packed with the
 * answers. Only what finds the queue full is refused at once; where something of the datagram is in the queue already, by silence. */
#include "core/base/errors.h"
#include "core/wire/error.h"
#include "dispatcher/core_internal.h"

/* Returns 1 when the refusal is in the queue. `from->limit` bytes of the datagram are its share of the answer. */
static __attribute__((noinline, cold)) int datagram_refuse(struct core *core, uint64_t request_id, const struct request *from,
                                                           int error, enum refusal refusal)
{
    core_count_refusal(core, refusal);
    if (error != USHER_EQUEUEFULL && core_enqueue_refusal(core, request_id, from, error, refusal) == 0)
        return 1;
    int length = wire_error_encode(WIRE_ERROR_QUEUE_FULL, false, false, NULL, request_id, core->refused + core->refused_length,
                                   from->limit);
    if (length > 0)
        core->refused_length += (uint32_t)length;
    return 0;
}

/* What is not even a frame, up to the datagram's end. */
static __attribute__((noinline, cold)) int datagram_refuse_bytes(struct core *core, const uint8_t *bytes, uint32_t length,
                                                                 struct request *from, int error, enum refusal refusal)
{
    uint64_t request_id;
    uint32_t limit;
    if (frame_answerable(bytes, length, &request_id, &limit)) {
        from->limit = (uint16_t)limit;
        return datagram_refuse(core, request_id, from, error, refusal);
    }
    core_count_refusal(core, refusal);
    return 0;
}

static __attribute__((noinline, cold)) void datagram_send_refused(struct core *core, const struct address *peer, int queued)
{
    if (queued == 0 && udp_send(core->udp, peer, core->refused, core->refused_length) < 0)
        return; /* dropped and counted by the loop */
}

/* What is left of a datagram from byte `used` on; of what was before, `queued` requests are in the queue. */
static void datagram_take(struct core *core, struct request *from, const uint8_t *bytes, uint32_t length, uint32_t used,
                          int queued)
{
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    uint32_t usual_count;
    if (UNLIKELY(length > DATAGRAM_BYTES_MAX || length == 0)) {
        core_count_refusal(core, length ? REFUSAL_TOO_LARGE : REFUSAL_SHORT_HEADER);
        return;
    }
    core->refused_length = 0;
    for (; used < length; used += frame.length) {
        used += core_enqueue_usual(core, bytes + used, length - used, length, from, length, &usual_count);
        queued += (int)usual_count;
        if (LIKELY(used == length))
            break;
        int result = frame_decode_datagram(bytes + used, length - used, &frame, &refusal);
        if (UNLIKELY(result < 0)) {
            queued += datagram_refuse_bytes(core, bytes + used, length - used, from, result, refusal);
            break;
        }
        from->limit = (uint16_t)frame.length;
        result = core_enqueue(core, &frame, from, &refusal);
        if (UNLIKELY(result < 0)) {
            result = datagram_refuse(core, frame.request_id, from, result, refusal);
            refusal = REFUSAL_NONE;
        }
        queued += result;
    }
    if (UNLIKELY(core->refused_length))
        datagram_send_refused(core, &from->peer, queued);
}

void core_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct core *core = ctx;
    struct request from = {
        .arrived_ns = udp_arrived_ns(udp),
        .peer = *peer,
        .source = ++core->datagram_count,
        .generation = udp_datagram_via(udp),
        .transport = FRAME_UDP,
    };
    datagram_take(core, &from, bytes, length, 0, 0);
}

void core_on_joined(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length,
                    uint32_t segment_bytes)
{
    struct core *core = ctx;
    uint32_t used = 0, usual_count = 0, first = core->datagram_count + 1;
    struct request from = {
        .arrived_ns = udp_arrived_ns(udp),
        .peer = *peer,
        .source = first,
        .generation = udp_datagram_via(udp),
        .transport = FRAME_UDP,
    };
    core->datagram_count += (length + segment_bytes - 1) / segment_bytes;
    if (LIKELY(segment_bytes <= DATAGRAM_BYTES_MAX))
        used = core_enqueue_usual(core, bytes, length, segment_bytes, &from, UINT32_MAX, &usual_count);
    if (LIKELY(used == length))
        return;
    /* From the first one on that is not as usual, one by one. */
    uint32_t index = used / segment_bytes, begun = used % segment_bytes;
    for (uint32_t at = index * segment_bytes; at < length; at += segment_bytes, begun = 0) {
        uint32_t rest = length - at;
        from.source = first + index++;
        datagram_take(core, &from, bytes + at, rest < segment_bytes ? rest : segment_bytes, begun, begun > 0);
    }
}
