#include "core/wire/directory.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/wire/envelope.h"
#include "core/wire/heartbeat_parts.h"
#include "core/wire/node_entry.h"

/* Offsets in the frame. */
#define DIRECTORY_COUNT_OFFSET 48 /* node_count */
#define DELTA_BASE_OFFSET 36 /* base_sequence, then sequence */
#define DELTA_COUNT_OFFSET 52 /* removed_count, then node_count */
#define FLAGS_OFFSET 6

int wire_subscribe_encode(const struct wire_subscribe *subscribe, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    uint32_t flags = subscribe->push ? FRAME_PUSH : 0;
    struct wire_writer writer = frame_begin(FRAME_TYPE_SUBSCRIBE, flags, request_id, bytes, capacity);
    wire_write_fixed_address(&writer, &subscribe->subscriber);
    wire_write_boot_id(&writer, subscribe->boot_id);
    wire_write_u16(&writer, subscribe->region);
    wire_write_u16(&writer, 0);
    wire_write_u64(&writer, subscribe->have.rm_id);
    wire_write_u64(&writer, subscribe->have.epoch);
    wire_write_u64(&writer, subscribe->have.sequence);
    wire_write_u32(&writer, subscribe->regions_version);
    return frame_finish(&writer, 0);
}

static struct wire_version version_read(struct wire_reader *reader)
{
    struct wire_version version;
    version.rm_id = wire_read_u64(reader);
    version.epoch = wire_read_u64(reader);
    version.sequence = wire_read_u64(reader);
    return version;
}

int wire_subscribe_decode(const struct frame *frame, struct wire_subscribe *ret_subscribe, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_subscribe subscribe = {.push = (frame->flags & FRAME_PUSH) != 0};
    subscribe.subscriber = wire_read_fixed_address(&reader);
    subscribe.boot_id = wire_read_boot_id(&reader);
    subscribe.region = wire_read_u16(&reader);
    wire_read_reserved(&reader, 2);
    subscribe.have = version_read(&reader);
    subscribe.regions_version = wire_read_u32(&reader);
    int error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_subscribe = subscribe;
    return 0;
}

static void nodes_builder_init(struct wire_nodes_builder *builder, enum frame_type type, uint32_t flags, uint64_t request_id,
                               uint8_t *bytes, size_t capacity)
{
    if (capacity > DIRECTORY_PART_BYTES_MAX)
        capacity = DIRECTORY_PART_BYTES_MAX;
    *builder = (struct wire_nodes_builder){
        .writer = frame_begin(type, flags, request_id, bytes, capacity),
        .delta = type == FRAME_TYPE_DELTA,
    };
}

void wire_directory_begin(struct wire_nodes_builder *builder, const struct wire_directory *directory, uint64_t request_id,
                          uint8_t *bytes, size_t capacity)
{
    uint32_t flags = directory->first ? FRAME_FIRST : 0;
    nodes_builder_init(builder, FRAME_TYPE_DIRECTORY, flags, request_id, bytes, capacity);
    wire_write_u64(&builder->writer, directory->version.rm_id);
    wire_write_u64(&builder->writer, directory->version.epoch);
    wire_write_u64(&builder->writer, directory->version.sequence);
    wire_write_u32(&builder->writer, directory->node_total);
    wire_write_u32(&builder->writer, 0);
}

void wire_delta_begin(struct wire_nodes_builder *builder, const struct wire_delta *delta, uint64_t request_id, uint8_t *bytes,
                      size_t capacity)
{
    nodes_builder_init(builder, FRAME_TYPE_DELTA, 0, request_id, bytes, capacity);
    if (delta->sequence < delta->base_sequence)
        wire_writer_fail(&builder->writer, -EINVAL);
    wire_write_u64(&builder->writer, delta->rm_id);
    wire_write_u64(&builder->writer, delta->epoch);
    wire_write_u64(&builder->writer, delta->base_sequence);
    wire_write_u64(&builder->writer, delta->sequence);
    wire_write_u32(&builder->writer, 0);
    wire_write_u32(&builder->writer, 0);
}

/* Whether an entry may be begun: 0, the frame's own error, or -EMSGSIZE with the frame left as it is. */
static int nodes_builder_room(const struct wire_nodes_builder *builder, size_t entry_bytes)
{
    if (builder->writer.error)
        return builder->writer.error;
    return wire_writer_left(&builder->writer) < entry_bytes ? -EMSGSIZE : 0;
}

/* Ends an entry begun at `start`: one that may not go out is taken back. */
static int nodes_builder_commit(struct wire_nodes_builder *builder, uint8_t *start)
{
    int error = builder->writer.error;
    if (error) {
        builder->writer.at = start;
        builder->writer.error = 0;
    }
    return error;
}

int wire_nodes_add_removed(struct wire_nodes_builder *builder, const struct address *address)
{
    CHECK(builder->delta && builder->node_count == 0);
    uint8_t *start = builder->writer.at;
    int error = nodes_builder_room(builder, FIXED_ADDRESS_BYTES);
    if (error < 0)
        return error;
    wire_write_fixed_address(&builder->writer, address);
    error = nodes_builder_commit(builder, start);
    if (error < 0)
        return error;
    builder->removed_count++;
    return 0;
}

static void node_write(struct wire_writer *writer, const struct wire_node *node)
{
    wire_write_fixed_address(writer, &node->address);
    wire_write_u8(writer, node->kind);
    wire_write_u8(writer, node->flags);
    wire_write_u16(writer, node->slots);
    wire_write_u64(writer, node->boot_id);
    wire_write_u32(writer, node->age_ms);
    wire_write_f32(writer, node->load_index);
    wire_write_f32(writer, node->load_per_job);
    wire_write_u32(writer, node->jobs_queued);
    wire_write_u32(writer, node->jobs_running);
    wire_write_u32(writer, node->echo_jobs);
    wire_write_u8(writer, node->service_count);
    for (uint32_t i = 0; i < node->service_count; i++) {
        if ((node->services[i].flags & ~(unsigned)WIRE_SERVICE_BELOW_AVERAGE) != 0)
            wire_writer_fail(writer, -EINVAL);
        wire_write_u64(writer, node->services[i].service_id);
        wire_write_u8(writer, node->services[i].flags);
        wire_write_f32(writer, node->services[i].work_s);
        wire_write_f32(writer, node->services[i].rate);
        wire_write_f32(writer, node->services[i].weight);
    }
}

int wire_nodes_add(struct wire_nodes_builder *builder, const struct wire_node *node)
{
    if ((node->kind != WIRE_NODE_DISPATCHER && node->kind != WIRE_NODE_WORKER) || (node->flags & ~WIRE_NODE_FLAGS_OF_RM) != 0 ||
        node->service_count > NODE_SERVICES_MAX)
        return -EINVAL;
    uint8_t *start = builder->writer.at;
    int error = nodes_builder_room(builder, NODE_ENTRY_BYTES_MIN + node->service_count * NODE_ENTRY_SERVICE_BYTES);
    if (error < 0)
        return error;
    node_write(&builder->writer, node);
    error = nodes_builder_commit(builder, start);
    if (error < 0)
        return error;
    builder->node_count++;
    return 0;
}

int wire_nodes_finish(struct wire_nodes_builder *builder, bool more)
{
    if (builder->writer.error)
        return builder->writer.error;
    uint8_t *bytes = builder->writer.begin;
    if (builder->delta) {
        CHECK(!more);
        bool empty = builder->removed_count == 0 && builder->node_count == 0;
        if (!empty && bytes_load_u64(bytes + DELTA_BASE_OFFSET) == bytes_load_u64(bytes + DELTA_BASE_OFFSET + 8))
            return -EINVAL;
        bytes_store_u32(bytes + DELTA_COUNT_OFFSET, builder->removed_count);
        bytes_store_u32(bytes + DELTA_COUNT_OFFSET + 4, builder->node_count);
    } else {
        bytes_store_u32(bytes + DIRECTORY_COUNT_OFFSET, builder->node_count);
        if (more)
            bytes_store_u16(bytes + FLAGS_OFFSET, (uint16_t)(bytes_load_u16(bytes + FLAGS_OFFSET) | FRAME_MORE));
    }
    return frame_finish(&builder->writer, 0);
}

int wire_directory_decode(const struct frame *frame, struct wire_directory *ret_directory, struct wire_nodes *ret_nodes,
                          enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_directory directory = {
        .first = (frame->flags & FRAME_FIRST) != 0,
        .more = (frame->flags & FRAME_MORE) != 0,
    };
    directory.version = version_read(&reader);
    directory.node_total = wire_read_u32(&reader);
    directory.node_count = wire_read_u32(&reader);
    if (directory.node_count > directory.node_total)
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    if (reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&reader, false, ret_refusal);
    *ret_nodes = (struct wire_nodes){.reader = reader, .nodes_left = directory.node_count};
    *ret_directory = directory;
    return 0;
}

int wire_delta_decode(const struct frame *frame, struct wire_delta *ret_delta, struct wire_nodes *ret_nodes,
                      enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_delta delta;
    delta.rm_id = wire_read_u64(&reader);
    delta.epoch = wire_read_u64(&reader);
    delta.base_sequence = wire_read_u64(&reader);
    delta.sequence = wire_read_u64(&reader);
    delta.removed_count = wire_read_u32(&reader);
    delta.node_count = wire_read_u32(&reader);
    bool empty = delta.removed_count == 0 && delta.node_count == 0;
    if (delta.sequence < delta.base_sequence || (delta.sequence == delta.base_sequence && !empty))
        wire_reader_refuse(&reader, REFUSAL_BAD_SEQUENCE);
    if (reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&reader, false, ret_refusal);
    *ret_nodes = (struct wire_nodes){
        .reader = reader,
        .removed_left = delta.removed_count,
        .nodes_left = delta.node_count,
    };
    *ret_delta = delta;
    return 0;
}

int wire_nodes_next_removed(struct wire_nodes *nodes, struct address *ret_address, enum refusal *ret_refusal)
{
    if (nodes->removed_left == 0)
        return 0;
    nodes->reader.section = REFUSAL_SHORT_REMOVED;
    struct address address = wire_read_fixed_address(&nodes->reader);
    if (nodes->reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&nodes->reader, false, ret_refusal);
    nodes->removed_left--;
    *ret_address = address;
    return 1;
}

static void node_read(struct wire_reader *reader, struct wire_node *node)
{
    node->address = wire_read_fixed_address(reader);
    node->kind = wire_node_kind_read(reader);
    node->flags = (uint8_t)wire_known_bits(reader, wire_read_u8(reader), WIRE_NODE_FLAGS_OF_RM);
    node->slots = wire_read_u16(reader);
    node->boot_id = wire_read_u64(reader);
    node->age_ms = wire_read_u32(reader);
    node->load_index = wire_read_f32(reader);
    node->load_per_job = wire_read_f32(reader);
    node->jobs_queued = wire_read_u32(reader);
    node->jobs_running = wire_read_u32(reader);
    node->echo_jobs = wire_read_u32(reader);
    node->service_count = wire_read_u8(reader);
    if (node->service_count > NODE_SERVICES_MAX)
        wire_reader_refuse(reader, REFUSAL_BAD_COUNT);
    for (uint32_t i = 0; reader->refusal == REFUSAL_NONE && i < node->service_count; i++) {
        struct wire_node_service *service = &node->services[i];
        service->service_id = wire_read_u64(reader);
        service->flags = (uint8_t)wire_known_bits(reader, wire_read_u8(reader), WIRE_SERVICE_BELOW_AVERAGE);
        service->work_s = wire_read_f32(reader);
        service->rate = wire_read_f32(reader);
        service->weight = wire_read_f32(reader);
    }
}

int wire_nodes_next(struct wire_nodes *nodes, struct wire_node *ret_node, enum refusal *ret_refusal)
{
    CHECK(nodes->removed_left == 0);
    if (nodes->nodes_left == 0)
        return wire_reader_finish(&nodes->reader, false, ret_refusal);
    nodes->reader.section = REFUSAL_SHORT_NODES;
    struct wire_node node = {0};
    node_read(&nodes->reader, &node);
    if (nodes->reader.refusal != REFUSAL_NONE)
        return wire_reader_finish(&nodes->reader, false, ret_refusal);
    nodes->nodes_left--;
    *ret_node = node;
    return 1;
}

/* Whether nothing in the entry is in want of node_read's judgement: all that a receiver of a hundred thousand entries a second has to
 * ask of each. False does not mean that it is wrong. */
static bool entry_is_plain(const uint8_t *bytes, size_t left)
{
    if (left < NODE_ENTRY_BYTES_MIN)
        return false;
    struct node_entry entry = {bytes};
    uint8_t count = node_entry_service_count(entry);
    uint64_t ip_high = bytes_load_u64(bytes + NODE_ENTRY_IP);
    uint64_t ip_low = bytes_load_u64(bytes + NODE_ENTRY_IP + 8);
    bool ipv4 = bytes[0] == ADDRESS_IPV4 && ip_low == 0 && (ip_high & UINT32_MAX) == 0;
    bool bad = (!ipv4 && bytes[0] != ADDRESS_IPV6) || bytes[1] != 0 || bytes_load_u16(bytes + NODE_ENTRY_PORT) == 0 ||
               (ip_high | ip_low) == 0;
    bad |= bytes[NODE_ENTRY_KIND] != WIRE_NODE_DISPATCHER && bytes[NODE_ENTRY_KIND] != WIRE_NODE_WORKER;
    bad |= (bytes[NODE_ENTRY_FLAGS] & ~WIRE_NODE_FLAGS_OF_RM) != 0;
    bad |= bytes_load_u32(bytes + NODE_ENTRY_LOAD_INDEX) >= F32_INFINITY_BITS;
    bad |= bytes_load_u32(bytes + NODE_ENTRY_LOAD_PER_JOB) >= F32_INFINITY_BITS;
    if (bad || count > NODE_SERVICES_MAX || left < NODE_ENTRY_BYTES_MIN + count * NODE_ENTRY_SERVICE_BYTES)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *service = node_entry_service(entry, i);
        bad |= (service[8] & ~(unsigned)WIRE_SERVICE_BELOW_AVERAGE) != 0;
        bad |= bytes_load_u32(service + 9) >= F32_INFINITY_BITS || bytes_load_u32(service + 13) >= F32_INFINITY_BITS;
        bad |= bytes_load_u32(service + NODE_ENTRY_SERVICE_WEIGHT) >= F32_INFINITY_BITS;
    }
    return !bad;
}

int wire_nodes_next_entry(struct wire_nodes *nodes, struct node_entry *ret_entry, enum refusal *ret_refusal)
{
    struct wire_reader *reader = &nodes->reader;
    const uint8_t *bytes = reader->at;
    struct wire_node node;
    CHECK(nodes->removed_left == 0);
    if (nodes->nodes_left == 0 || !entry_is_plain(bytes, wire_reader_left(reader))) {
        int more = wire_nodes_next(nodes, &node, ret_refusal);
        if (more > 0)
            ret_entry->bytes = bytes;
        return more;
    }
    reader->at += NODE_ENTRY_BYTES_MIN + bytes[NODE_ENTRY_SERVICE_COUNT] * NODE_ENTRY_SERVICE_BYTES;
    nodes->nodes_left--;
    ret_entry->bytes = bytes;
    return 1;
}
