/* The nodes that bench-fleet plays say what nodes say, and count what they are told. */
#include <criterion/criterion.h>
#include <string.h>

#include "bench/fleet/swarm.h"
#include "core/base/clock.h"

#define NODES 8u

static struct swarm swarm;
static uint8_t bytes[DATAGRAM_BYTES_MAX];

static void setup(void)
{
    const struct swarm_config config = {.node_count = NODES, .service_count = 3, .services_per_node = 2, .seed = 1};
    cr_assert_eq(swarm_init(&swarm, &config), 0);
}

static void teardown(void)
{
    swarm_done(&swarm);
}

TestSuite(swarm, .init = setup, .fini = teardown);

/* The node speaks; its frame, decoded. */
static struct frame speak(uint32_t index, uint64_t now_ns)
{
    struct frame frame;
    enum refusal refusal;
    uint32_t length = swarm_speak(&swarm, index, now_ns, 1, bytes);
    cr_assert_eq(frame_decode_datagram(bytes, length, &frame, &refusal), (int)length);
    return frame;
}

static uint32_t acknowledge(const struct frame *frame, uint64_t sequence, uint16_t flags, uint64_t now_ns)
{
    uint8_t answer[DATAGRAM_BYTES_MAX];
    const struct wire_heartbeat_ack ack = {
        .rm_id = 7,
        .nonce = 1,
        .region = 1,
        .flags = flags,
        .acked_sequence = sequence,
        .dispatcher_total = 1,
        .dispatcher_count = 1,
        .dispatchers = {{.boot_id = 99, .address = {.family = ADDRESS_IPV4, .port = 7400, .ip = {127, 0, 0, 1}}}},
        .trailer = {.boot_id = 7, .sequence = 1},
    };
    int length = wire_heartbeat_ack_encode(&ack, frame->request_id, answer, frame->length);
    cr_assert_gt(length, 0);
    return swarm_hear(&swarm, answer, (uint32_t)length, now_ns);
}

Test(swarm, bytes_that_are_no_acknowledgement_are_errors)
{
    const uint8_t nonsense[] = "nonsense";
    struct frame frame = speak(0, 1);
    cr_assert_eq(swarm_hear(&swarm, nonsense, sizeof(nonsense), 2), UINT32_MAX);
    cr_assert_eq(swarm_hear(&swarm, bytes, frame.length, 2), UINT32_MAX);
    cr_assert_eq(acknowledge(&frame, 2, 0, 2), UINT32_MAX, "of something never sent");
    cr_assert_eq(swarm.stats.errors, 3);
    cr_assert_eq(swarm.stats.acks, 0);
}

Test(swarm, an_acknowledgement_counts_once)
{
    struct frame frame = speak(0, 1);
    (void)acknowledge(&frame, 1, 0, 2);
    (void)acknowledge(&frame, 1, 0, 3);
    cr_assert_eq(swarm.stats.acks, 1);
    cr_assert_eq(swarm.stats.acks_late, 1);
}

Test(swarm, a_message_without_answer_is_lost_when_the_node_speaks_again)
{
    struct frame first = speak(0, 1);
    cr_assert_eq(swarm.stats.lost, 0);
    (void)speak(0, 2);
    cr_assert_eq(swarm.stats.lost, 1);
    (void)acknowledge(&first, 1, 0, 3);
    cr_assert_eq(swarm.stats.acks, 0);
    cr_assert_eq(swarm.stats.acks_late, 1);
}

Test(swarm, a_node_registers_until_that_is_acknowledged)
{
    cr_assert_eq(speak(3, 1).type, FRAME_TYPE_REGISTER);
    struct frame frame = speak(3, 2);
    cr_assert_eq(frame.type, FRAME_TYPE_REGISTER);
    cr_assert_eq(acknowledge(&frame, 2, 0, 3), 3, "it heartbeats at once");
    frame = speak(3, 4);
    cr_assert_eq(frame.type, FRAME_TYPE_HEARTBEAT);
    cr_assert_eq(swarm.registered_count, 1);
    cr_assert_eq(acknowledge(&frame, 3, WIRE_ACK_REGISTER_WANTED, 5), UINT32_MAX);
    cr_assert_eq(speak(3, 6).type, FRAME_TYPE_REGISTER, "rm has forgotten it");
    cr_assert_eq(swarm.registered_count, 0);
}

Test(swarm, heartbeats_tell_load_metadata_and_echoes)
{
    struct wire_heartbeat heartbeat;
    enum refusal refusal;
    struct frame frame = speak(0, 1);
    (void)acknowledge(&frame, 1, 0, 2);
    frame = speak(0, 3);
    (void)acknowledge(&frame, 2, 0, 4); /* the first one had no room for dispatchers */
    frame = speak(0, 5);
    cr_assert_eq(wire_heartbeat_decode(&frame, &heartbeat, &refusal), 0);
    cr_assert_eq(heartbeat.service_count, 2);
    cr_assert_eq(heartbeat.echo_count, 1);
    cr_assert_eq(heartbeat.echoes[0].dispatcher_boot_id, 99);
    cr_assert_gt(heartbeat.metadata_count, 8);
    cr_assert_geq(frame.length, wire_heartbeat_ack_bytes(1, ADDRESS_IPV4), "the acknowledgement has room");
}

Test(swarm, a_replaced_node_has_another_address_and_registers)
{
    struct address before[NODES], after[NODES];
    uint32_t changed = 0;
    for (uint32_t i = 0; i < NODES; i++)
        (void)swarm_wander(&swarm, i, &before[i]);
    swarm_replace(&swarm);
    for (uint32_t i = 0; i < NODES; i++) {
        (void)swarm_wander(&swarm, i, &after[i]);
        changed += memcmp(&before[i], &after[i], sizeof(before[i])) != 0;
    }
    cr_assert_eq(changed, 1);
    cr_assert_eq(swarm.stats.changes, 1);
}

Test(swarm, everybody_has_a_turn)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < NODES; i++)
        seen |= 1u << swarm_speaker(&swarm, i);
    cr_assert_eq(seen, (1u << NODES) - 1);
}
