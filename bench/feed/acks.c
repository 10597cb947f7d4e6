/* A dispatcher is a node too: its REGISTER and HEARTBEAT get the acknowledgement that rm would give. */
#include "bench/feed/feeder.h"
#include "core/wire/heartbeat.h"

/* -1: not a node's frame. */
static int sequence_of(const struct frame *frame, uint64_t *ret_sequence)
{
    struct wire_heartbeat heartbeat;
    struct wire_register registration;
    enum refusal refusal;
    if (frame->type == FRAME_TYPE_HEARTBEAT && wire_heartbeat_decode(frame, &heartbeat, &refusal) == 0)
        *ret_sequence = heartbeat.trailer.sequence;
    else if (frame->type == FRAME_TYPE_REGISTER && wire_register_decode(frame, &registration, &refusal) == 0)
        *ret_sequence = registration.trailer.sequence;
    else
        return -1;
    return 0;
}

static void acknowledge(struct feeder *feeder, const struct address *peer, const struct frame *frame, uint64_t sequence)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat_ack ack = {
        .rm_id = feeder->rm_id,
        .nonce = 1,
        .region = feeder->config.region,
        .acked_sequence = sequence,
        .trailer = {.boot_id = feeder->rm_id, .sequence = ++feeder->ack_sequence},
    };
    int length = wire_heartbeat_ack_encode(&ack, frame->request_id, bytes, frame->length);
    if (length > 0 && udp_send(feeder->udp, peer, bytes, (uint32_t)length) == 0)
        feeder->stats.heartbeats++;
}

void feeder_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct feeder *feeder = ctx;
    struct frame frame;
    enum refusal refusal;
    uint64_t sequence;
    (void)udp;
    for (uint32_t taken = 0; taken < length;) {
        int frame_length = frame_decode_datagram(bytes + taken, length - taken, &frame, &refusal);
        if (frame_length < 0) {
            feeder->stats.refused++;
            return;
        }
        taken += (uint32_t)frame_length;
        if (sequence_of(&frame, &sequence) == 0)
            acknowledge(feeder, peer, &frame, sequence);
        else
            feeder->stats.refused++;
    }
}
