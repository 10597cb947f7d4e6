#include "rm/reception.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/io/udp.h"
#include "core/wire/error.h"

/* 100,000 nodes may beat in one second, and rm may be kept from its CPU for a moment, by its own Redis for example: about 25,000
 * heartbeats wait in the socket; where net.core.rmem_max holds for us, fewer. */
#define SOCKET_RECEIVE_BYTES (16u << 20)

struct reception {
    struct reception_config config;
    struct udp *udp;
    uint64_t sequence; /* of our own control datagrams */
    uint32_t next_dispatcher; /* where the next acknowledgement's choice begins */
    struct cluster_time now; /* of the loop's turn that was asked for last: the wall clock is looked at once in each */
};

/* A datagram being answered. One datagram gets one at most, no longer than itself, however many frames it packs: each answer is no
 * longer than its frame. */
struct beat {
    struct reception *reception;
    const struct frame *frame; /* the current one */
    uint8_t *answers;
    uint32_t answers_length;
};

/* How long the answer to the current frame may be. */
static uint32_t answer_limit(const struct beat *beat)
{
    uint32_t room = DATAGRAM_BYTES_MAX - beat->answers_length;
    return beat->frame->length < room ? beat->frame->length : room;
}

static void answer_error(struct beat *beat, enum wire_error_code code)
{
    int length = wire_error_encode(code, false, false, NULL, beat->frame->request_id, beat->answers + beat->answers_length,
                                   answer_limit(beat));
    if (length > 0)
        beat->answers_length += (uint32_t)length;
}

/* As many as there may be room for; where not all fit, every acknowledgement begins with another one. What an earlier rm left in
 * Redis may lack the boot, and is left out. */
static void dispatchers_choose(struct reception *reception, struct wire_heartbeat_ack *ack)
{
    const struct cluster *cluster = reception->config.cluster;
    uint32_t total = cluster->dispatcher_count;
    uint32_t count = total < ACK_DISPATCHERS_MAX ? total : ACK_DISPATCHERS_MAX;
    ack->dispatcher_total = total < UINT16_MAX ? (uint16_t)total : UINT16_MAX;
    ack->dispatcher_count = 0;
    if (total == 0)
        return;
    reception->next_dispatcher = (reception->next_dispatcher + 1) % total;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = (reception->next_dispatcher + i) % total;
        const struct node *node = &cluster->nodes[cluster->dispatchers[position]];
        if (node->boot.boot_id != 0)
            ack->dispatchers[ack->dispatcher_count++] =
                (struct wire_ack_dispatcher){.boot_id = node->boot.boot_id, .address = node->address};
    }
}

void reception_acknowledge(struct reception *reception, uint32_t slot, uint64_t acked_sequence,
                           struct wire_heartbeat_ack *ret_ack)
{
    const struct cluster *cluster = reception->config.cluster;
    ret_ack->rm_id = reception->config.rm_id;
    ret_ack->nonce = reception->config.nonce;
    ret_ack->region = reception->config.region;
    ret_ack->flags = cluster_wants_register(cluster, slot) ? WIRE_ACK_REGISTER_WANTED : 0;
    ret_ack->acked_sequence = acked_sequence;
    ret_ack->admin = cluster->nodes[slot].admin;
    ret_ack->node_total = cluster->states[NODE_FRESH].count;
    ret_ack->trailer = (struct wire_trailer){.boot_id = reception->config.boot_id, .sequence = ++reception->sequence};
    dispatchers_choose(reception, ret_ack);
}

static void answer_ack(struct beat *beat, uint32_t slot, uint64_t acked_sequence)
{
    struct wire_heartbeat_ack ack;
    reception_acknowledge(beat->reception, slot, acked_sequence, &ack);
    int length =
        wire_heartbeat_ack_encode(&ack, beat->frame->request_id, beat->answers + beat->answers_length, answer_limit(beat));
    if (length > 0)
        beat->answers_length += (uint32_t)length;
}

void reception_count(struct reception *reception, enum cluster_verdict verdict)
{
    static const enum counter counters[] = {
        [CLUSTER_ACCEPTED] = COUNTER_HEARTBEATS_ACCEPTED,     [CLUSTER_REPLAYED] = COUNTER_HEARTBEATS_REPLAYED,
        [CLUSTER_OLDER_BOOT] = COUNTER_HEARTBEATS_OLDER_BOOT, [CLUSTER_COLLISION] = COUNTER_HEARTBEATS_COLLISION,
        [CLUSTER_TOO_MANY] = COUNTER_HEARTBEATS_TOO_MANY,     [CLUSTER_FULL] = COUNTER_HEARTBEATS_FULL,
    };
    counter_add(reception->config.counters, counters[verdict], 1);
}

/* Replays get no answer: whoever sends them is not the node, or has its answer already. */
static void answer(struct beat *beat, enum cluster_verdict verdict, uint32_t slot, uint64_t sequence)
{
    reception_count(beat->reception, verdict);
    if (verdict == CLUSTER_ACCEPTED) {
        answer_ack(beat, slot, sequence);
        beat->reception->config.on_change(beat->reception->config.ctx);
    } else if (verdict == CLUSTER_COLLISION) {
        answer_error(beat, WIRE_ERROR_NAME_COLLISION);
    }
}

static struct cluster_time now_of(struct reception *reception)
{
    struct loop *loop = reception->config.loop;
    if (reception->now.ns != loop_now_ns(loop))
        reception->now = (struct cluster_time){.ns = loop_now_ns(loop), .wall_ms = loop_wall_ms(loop)};
    return reception->now;
}

static void malformed(struct beat *beat, enum refusal refusal)
{
    counter_add(beat->reception->config.counters, refusal_counter(refusal), 1);
    answer_error(beat, WIRE_ERROR_MALFORMED);
}

static void heartbeat_take(struct beat *beat)
{
    struct reception *reception = beat->reception;
    struct wire_heartbeat heartbeat;
    enum refusal refusal;
    uint32_t slot = NODE_NONE;
    if (wire_heartbeat_decode(beat->frame, &heartbeat, &refusal) < 0) {
        malformed(beat, refusal);
        return;
    }
    enum cluster_verdict verdict = cluster_heartbeat(reception->config.cluster, now_of(reception), &heartbeat, &slot);
    answer(beat, verdict, slot, heartbeat.trailer.sequence);
}

static void register_take(struct beat *beat)
{
    struct reception *reception = beat->reception;
    struct wire_register registration;
    enum refusal refusal;
    uint32_t slot = NODE_NONE;
    if (wire_register_decode(beat->frame, &registration, &refusal) < 0) {
        malformed(beat, refusal);
        return;
    }
    enum cluster_verdict verdict = cluster_register(reception->config.cluster, now_of(reception), &registration, &slot);
    answer(beat, verdict, slot, registration.trailer.sequence);
}

static void frame_take(struct beat *beat)
{
    switch (beat->frame->type) {
    case FRAME_TYPE_HEARTBEAT: heartbeat_take(beat); return;
    case FRAME_TYPE_REGISTER: register_take(beat); return;
    case FRAME_TYPE_ADDRESS_REQUEST:
    case FRAME_TYPE_LOCATION_REQUEST: answer_error(beat, WIRE_ERROR_NOT_ACCEPTED_HERE); return;
    default:
        if (!frame_is_reply(beat->frame->type))
            counter_add(beat->reception->config.counters, refusal_counter(REFUSAL_UNKNOWN_TYPE), 1);
    }
}

/* Bytes that are no frame: one ERROR, if they were meant as a request. */
static void refuse(struct beat *beat, const uint8_t *bytes, uint32_t length, int error, enum refusal refusal)
{
    struct frame frame = {.length = 0};
    counter_add(beat->reception->config.counters, refusal_counter(refusal), 1);
    if (!frame_answerable(bytes, length, &frame.request_id, &frame.length))
        return;
    beat->frame = &frame;
    answer_error(beat, wire_error_from_error(error));
    beat->frame = NULL;
}

static void frames_take(struct beat *beat, const uint8_t *bytes, uint32_t length)
{
    struct frame frame;
    uint32_t taken = 0;
    while (taken < length) {
        enum refusal refusal;
        int frame_length = frame_decode_datagram(bytes + taken, length - taken, &frame, &refusal);
        if (frame_length < 0) {
            refuse(beat, bytes + taken, length - taken, frame_length, refusal);
            return;
        }
        taken += (uint32_t)frame_length;
        beat->frame = &frame;
        frame_take(beat);
        beat->frame = NULL;
    }
}

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    uint8_t answers[DATAGRAM_BYTES_MAX];
    struct beat beat = {.reception = ctx, .answers = answers};
    frames_take(&beat, bytes, length);
    if (beat.answers_length > 0 && udp_send(udp, peer, answers, beat.answers_length) < 0)
        return; /* no room: counted by the loop, and the node's next heartbeat is not far */
}

int reception_new(const struct reception_config *config, struct reception **ret_reception)
{
    struct reception *reception = calloc(1, sizeof(*reception));
    struct udp_config udp;
    if (!reception)
        return -ENOMEM;
    reception->config = *config;
    udp_config_init(&udp);
    udp.address = config->listen;
    udp.retry_bind = true;
    udp.socket_receive_bytes = SOCKET_RECEIVE_BYTES;
    udp.on_datagram = on_datagram;
    udp.ctx = reception;
    int error = udp_open(config->loop, &udp, &reception->udp);
    if (error < 0) {
        free(reception);
        return error;
    }
    *ret_reception = reception;
    return 0;
}

void reception_free(struct reception *reception)
{
    if (!reception)
        return;
    udp_close(reception->udp);
    free(reception);
}

struct address reception_address(const struct reception *reception)
{
    return *udp_local_address(reception->udp);
}
