#include "bench/fleet/swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/wire/service.h"

#define SWARM_PORT 7500
#define SWARM_SLOTS 8
#define SWARM_SERIALS (1u << 24) /* addresses: one comes again only long after its first bearer has left */
#define SWARM_STEP 0.2f /* how far a load wanders from one heartbeat to the next, at most */
#define SWARM_LOAD_MAX 2.0f
#define SWARM_JOB_S 0.05f

static struct address swarm_address(uint32_t serial)
{
    return (struct address){
        .family = ADDRESS_IPV4,
        .port = SWARM_PORT,
        .ip = {10, (uint8_t)(serial >> 16), (uint8_t)(serial >> 8), (uint8_t)serial},
    };
}

static int service_name_print(uint32_t index, char name[static SERVICE_NAME_BYTES_MAX + 1])
{
    return index == 0 ? snprintf(name, SERVICE_NAME_BYTES_MAX + 1, "echo")
                      : snprintf(name, SERVICE_NAME_BYTES_MAX + 1, "echo-%u", index);
}

static uint32_t service_of(const struct swarm *swarm, const struct swarm_node *node, uint32_t ordinal)
{
    return (uint32_t)(((uint64_t)node->serial * swarm->config.services_per_node + ordinal) % swarm->config.service_count);
}

static void node_join(struct swarm *swarm, struct swarm_node *node)
{
    *node = (struct swarm_node){
        .serial = swarm->next_serial++ % SWARM_SERIALS,
        .load = (float)random_unit(&swarm->random),
        .jobs = random_below(&swarm->random, 1000),
    };
}

static void order_shuffle(struct swarm *swarm)
{
    uint32_t count = swarm->config.node_count;
    for (uint32_t i = 0; i < count; i++)
        swarm->order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = random_below(&swarm->random, i + 1);
        uint32_t kept = swarm->order[i];
        swarm->order[i] = swarm->order[other];
        swarm->order[other] = kept;
    }
}

int swarm_init(struct swarm *swarm, const struct swarm_config *config)
{
    *swarm = (struct swarm){.config = *config};
    random_init(&swarm->random, config->seed);
    swarm->nodes = calloc(config->node_count, sizeof(*swarm->nodes));
    swarm->order = calloc(config->node_count, sizeof(*swarm->order));
    swarm->service_ids = calloc(config->service_count, sizeof(*swarm->service_ids));
    if (!swarm->nodes || !swarm->order || !swarm->service_ids) {
        swarm_done(swarm);
        return -ENOMEM;
    }
    if (config->services_per_node > config->service_count)
        swarm->config.services_per_node = config->service_count;
    for (uint32_t i = 0; i < config->service_count; i++) {
        char name[SERVICE_NAME_BYTES_MAX + 1];
        swarm->service_ids[i] = service_id(name, (size_t)service_name_print(i, name));
    }
    for (uint32_t i = 0; i < config->node_count; i++)
        node_join(swarm, &swarm->nodes[i]);
    order_shuffle(swarm);
    return 0;
}

void swarm_done(struct swarm *swarm)
{
    free(swarm->nodes);
    free(swarm->order);
    free(swarm->service_ids);
}

void swarm_count_anew(struct swarm *swarm)
{
    swarm->stats = (struct swarm_stats){.registers = 0};
}

void swarm_replace(struct swarm *swarm)
{
    struct swarm_node *node = &swarm->nodes[random_below(&swarm->random, swarm->config.node_count)];
    swarm->registered_count -= node->registered;
    node_join(swarm, node);
    swarm->stats.changes++;
}

float swarm_wander(struct swarm *swarm, uint32_t index, struct address *ret_address)
{
    struct swarm_node *node = &swarm->nodes[index];
    float load = node->load + ((float)random_unit(&swarm->random) - 0.5f) * 2 * SWARM_STEP;
    node->load = load < 0 ? -load : load > SWARM_LOAD_MAX ? 2 * SWARM_LOAD_MAX - load : load;
    node->jobs += (uint32_t)(node->load * SWARM_SLOTS);
    *ret_address = swarm_address(node->serial);
    return node->load;
}

/* ---- what a node says ---- */

/* Capacities differ from node to node, by its serial; what is in use goes with its load. */
static void metadata_tell(struct wire_heartbeat *heartbeat, const struct swarm_node *node)
{
    float busy = node->load < 1 ? node->load : 1;
    float cores = (float)(4u << node->serial % 5);
    float nic = node->serial % 3 ? 1250 : 125;
    const struct wire_metadata told[] = {
        {WIRE_METADATA_CPU_USE, busy},
        {WIRE_METADATA_MEMORY_USE, 0.3f + 0.5f * busy},
        {WIRE_METADATA_DISK_USE, 0.2f * busy},
        {WIRE_METADATA_QUEUE_LENGTH, (float)(heartbeat->jobs_queued + heartbeat->jobs_running)},
        {WIRE_METADATA_CPU_CORES, cores},
        {WIRE_METADATA_MEMORY_GB, 4 * cores},
        {WIRE_METADATA_NIC_IN_CAPACITY, nic},
        {WIRE_METADATA_NIC_OUT_CAPACITY, nic},
        {WIRE_METADATA_DISK_READ, 50 * busy},
        {WIRE_METADATA_DISK_WRITE, 20 * busy},
        {WIRE_METADATA_NIC_IN, 0.1f * nic * busy},
        {WIRE_METADATA_NIC_OUT, 0.2f * nic * busy},
        {WIRE_METADATA_PRESSURE_CPU, 0.1f * busy},
        {WIRE_METADATA_PRESSURE_IO, 0.02f * busy},
    };
    memcpy(heartbeat->metadata, told, sizeof(told));
    heartbeat->metadata_count = ARRAY_COUNT(told);
}

/* Boots of nodes need not be secret here, only different from each other and from 0. */
static struct wire_trailer trailer_of(const struct swarm_node *node)
{
    return (struct wire_trailer){.boot_id = node->serial + UINT64_C(1), .sequence = node->sequence};
}

/* The index comes back with the acknowledgement. */
static uint64_t request_id_of(uint32_t index, const struct swarm_node *node)
{
    return (uint64_t)index << 32 | node->sequence;
}

static int heartbeat_encode(struct swarm *swarm, uint32_t index, uint64_t wall_ms, uint8_t *bytes)
{
    struct swarm_node *node = &swarm->nodes[index];
    struct wire_heartbeat *heartbeat = &swarm->heartbeat;
    float load = swarm_wander(swarm, index, &heartbeat->node);
    float used = load * SWARM_SLOTS;
    heartbeat->kind = WIRE_NODE_WORKER;
    heartbeat->slots = SWARM_SLOTS;
    heartbeat->timestamp_ms = wall_ms;
    heartbeat->load_per_job = 0.5f / SWARM_SLOTS;
    heartbeat->jobs_running = used < SWARM_SLOTS ? (uint32_t)used : SWARM_SLOTS;
    heartbeat->jobs_queued = (uint32_t)used - heartbeat->jobs_running;
    metadata_tell(heartbeat, node);
    heartbeat->load_index = 0.3f * heartbeat->metadata[0].value + 0.1f * heartbeat->metadata[1].value + 0.5f * load;
    heartbeat->service_count = (uint8_t)swarm->config.services_per_node;
    for (uint32_t i = 0; i < heartbeat->service_count; i++)
        heartbeat->services[i] = (struct wire_service_load){
            .service_id = swarm->service_ids[service_of(swarm, node, i)],
            .work_s = used * SWARM_JOB_S,
            .rate = SWARM_SLOTS,
        };
    heartbeat->echo_count = (uint8_t)swarm->dispatcher_count;
    for (uint32_t i = 0; i < swarm->dispatcher_count; i++)
        heartbeat->echoes[i] =
            (struct wire_echo){.dispatcher_boot_id = swarm->dispatchers[i], .jobs = node->jobs / swarm->dispatcher_count};
    heartbeat->trailer = trailer_of(node);
    return wire_heartbeat_encode(heartbeat, request_id_of(index, node),
                                 wire_heartbeat_ack_bytes(swarm->dispatcher_total, ADDRESS_IPV4), bytes, DATAGRAM_BYTES_MAX);
}

static int register_encode(const struct swarm *swarm, uint32_t index, uint8_t *bytes)
{
    const struct swarm_node *node = &swarm->nodes[index];
    struct wire_register registration = {
        .node = swarm_address(node->serial),
        .kind = WIRE_NODE_WORKER,
        .slots = SWARM_SLOTS,
        .service_count = (uint8_t)swarm->config.services_per_node,
        .trailer = trailer_of(node),
    };
    for (uint32_t i = 0; i < registration.service_count; i++)
        registration.services[i].length = (uint8_t)service_name_print(service_of(swarm, node, i), registration.services[i].text);
    return wire_register_encode(&registration, request_id_of(index, node),
                                wire_heartbeat_ack_bytes(swarm->dispatcher_total, ADDRESS_IPV4), bytes, DATAGRAM_BYTES_MAX);
}

uint32_t swarm_speak(struct swarm *swarm, uint32_t index, uint64_t now_ns, uint64_t wall_ms, uint8_t *bytes)
{
    struct swarm_node *node = &swarm->nodes[index];
    if (node->unanswered)
        swarm->stats.lost++;
    node->sequence++;
    node->sent_ns = now_ns;
    node->unanswered = true;
    int length = node->registered ? heartbeat_encode(swarm, index, wall_ms, bytes) : register_encode(swarm, index, bytes);
    CHECK(length > 0);
    if (node->registered)
        swarm->stats.heartbeats++;
    else
        swarm->stats.registers++;
    return (uint32_t)length;
}

/* ---- what rm says ---- */

/* Padded to the number that rm tells, the next requests leave room for all of them. */
static void dispatchers_take(struct swarm *swarm, const struct wire_heartbeat_ack *ack)
{
    swarm->dispatcher_total = ack->dispatcher_total;
    if (ack->dispatcher_count < ack->dispatcher_total && ack->dispatcher_count < ECHOES_MAX)
        return;
    swarm->dispatcher_count = ack->dispatcher_count < ECHOES_MAX ? ack->dispatcher_count : ECHOES_MAX;
    for (uint32_t i = 0; i < swarm->dispatcher_count; i++)
        swarm->dispatchers[i] = ack->dispatchers[i].boot_id;
}

static uint32_t ack_take(struct swarm *swarm, const struct frame *frame, const struct wire_heartbeat_ack *ack, uint64_t now_ns)
{
    uint32_t index = (uint32_t)(frame->request_id >> 32);
    struct swarm_node *node = index < swarm->config.node_count ? &swarm->nodes[index] : NULL;
    if (!node || (uint32_t)frame->request_id != ack->acked_sequence) {
        swarm->stats.errors++;
        return UINT32_MAX;
    }
    dispatchers_take(swarm, ack);
    if (ack->acked_sequence != node->sequence || !node->unanswered) {
        swarm->stats.acks_late++;
        return UINT32_MAX;
    }
    bool was = node->registered;
    node->unanswered = false;
    node->registered = !(ack->flags & WIRE_ACK_REGISTER_WANTED);
    swarm->registered_count += (uint32_t)node->registered - (uint32_t)was;
    swarm->stats.acks++;
    histogram_add(&swarm->stats.ack_us, (now_ns - node->sent_ns) / NS_PER_US);
    return node->registered && !was ? index : UINT32_MAX;
}

uint32_t swarm_hear(struct swarm *swarm, const uint8_t *bytes, uint32_t length, uint64_t now_ns)
{
    struct frame frame;
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    if (frame_decode_datagram(bytes, length, &frame, &refusal) < 0 || frame.type != FRAME_TYPE_HEARTBEAT_ACK ||
        wire_heartbeat_ack_decode(&frame, &ack, &refusal) < 0) {
        swarm->stats.errors++;
        return UINT32_MAX;
    }
    return ack_take(swarm, &frame, &ack, now_ns);
}
