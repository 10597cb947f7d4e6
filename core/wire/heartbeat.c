#include "core/wire/heartbeat.h"

#include <errno.h>
#include <string.h>

#include "core/wire/envelope.h"
#include "core/wire/heartbeat_parts.h"

#define SERVICE_LOAD_BYTES 16u
#define ECHO_BYTES 12u
#define METADATA_BYTES 5u
#define HEARTBEAT_FIXED_BYTES 72u /* of the body, before the lists */

_Static_assert(FRAME_HEADER_BYTES + HEARTBEAT_FIXED_BYTES + NODE_SERVICES_MAX * SERVICE_LOAD_BYTES + ECHOES_MAX * ECHO_BYTES +
                       METADATA_MAX * METADATA_BYTES + FRAME_TRAILER_BYTES <=
                   DATAGRAM_BYTES_MAX,
               "the fullest HEARTBEAT fits in a datagram");

bool wire_admin_is_later(const struct wire_admin *word, const struct wire_admin *than)
{
    if (word->version_ms != than->version_ms)
        return word->version_ms > than->version_ms;
    return word->writer_rm_id > than->writer_rm_id;
}

void wire_admin_write(struct wire_writer *writer, const struct wire_admin *admin)
{
    if ((admin->flags & ~WIRE_ADMIN_FLAGS_KNOWN) != 0)
        wire_writer_fail(writer, -EINVAL);
    wire_write_u64(writer, admin->version_ms);
    wire_write_u64(writer, admin->writer_rm_id);
    wire_write_u8(writer, admin->flags);
    wire_write_f32(writer, admin->weight);
}

struct wire_admin wire_admin_read(struct wire_reader *reader)
{
    struct wire_admin admin;
    admin.version_ms = wire_read_u64(reader);
    admin.writer_rm_id = wire_read_u64(reader);
    admin.flags = (uint8_t)wire_known_bits(reader, wire_read_u8(reader), WIRE_ADMIN_FLAGS_KNOWN);
    admin.weight = wire_read_f32(reader);
    return admin;
}

uint8_t wire_node_kind_read(struct wire_reader *reader)
{
    uint8_t kind = wire_read_u8(reader);
    if (kind != WIRE_NODE_DISPATCHER && kind != WIRE_NODE_WORKER)
        wire_reader_refuse(reader, REFUSAL_BAD_KIND);
    return kind;
}

static bool heartbeat_sendable(const struct wire_heartbeat *heartbeat)
{
    return (heartbeat->kind == WIRE_NODE_DISPATCHER || heartbeat->kind == WIRE_NODE_WORKER) &&
           (heartbeat->node_flags & ~WIRE_NODE_FLAGS_OF_NODE) == 0 && heartbeat->service_count <= NODE_SERVICES_MAX &&
           heartbeat->echo_count <= ECHOES_MAX && heartbeat->metadata_count <= METADATA_MAX;
}

static void heartbeat_lists_write(struct wire_writer *writer, const struct wire_heartbeat *heartbeat)
{
    wire_write_u8(writer, heartbeat->service_count);
    wire_write_u8(writer, heartbeat->echo_count);
    wire_write_u8(writer, heartbeat->metadata_count);
    for (uint32_t i = 0; i < heartbeat->service_count; i++) {
        wire_write_u64(writer, heartbeat->services[i].service_id);
        wire_write_f32(writer, heartbeat->services[i].work_s);
        wire_write_f32(writer, heartbeat->services[i].rate);
    }
    for (uint32_t i = 0; i < heartbeat->echo_count; i++) {
        wire_write_u64(writer, heartbeat->echoes[i].dispatcher_boot_id);
        wire_write_u32(writer, heartbeat->echoes[i].jobs);
    }
    for (uint32_t i = 0; i < heartbeat->metadata_count; i++) {
        wire_write_u8(writer, heartbeat->metadata[i].key);
        wire_write_f32(writer, heartbeat->metadata[i].value);
    }
}

int wire_heartbeat_encode(const struct wire_heartbeat *heartbeat, uint64_t request_id, uint32_t padded_length, uint8_t *bytes,
                          size_t capacity)
{
    if (!heartbeat_sendable(heartbeat))
        return -EINVAL;
    struct wire_writer writer = frame_begin(FRAME_TYPE_HEARTBEAT, 0, request_id, bytes, capacity);
    wire_write_fixed_address(&writer, &heartbeat->node);
    wire_write_u8(&writer, heartbeat->kind);
    wire_write_u8(&writer, heartbeat->node_flags);
    wire_write_u16(&writer, heartbeat->slots);
    wire_write_u64(&writer, heartbeat->timestamp_ms);
    wire_write_f32(&writer, heartbeat->load_index);
    wire_write_f32(&writer, heartbeat->load_per_job);
    wire_write_u32(&writer, heartbeat->jobs_queued);
    wire_write_u32(&writer, heartbeat->jobs_running);
    wire_admin_write(&writer, &heartbeat->admin);
    heartbeat_lists_write(&writer, heartbeat);
    return frame_finish_control(&writer, padded_length, &heartbeat->trailer);
}

static void heartbeat_lists_read(struct wire_reader *reader, struct wire_heartbeat *heartbeat)
{
    reader->section = REFUSAL_SHORT_SERVICES;
    for (uint32_t i = 0; reader->refusal == REFUSAL_NONE && i < heartbeat->service_count; i++) {
        heartbeat->services[i].service_id = wire_read_u64(reader);
        heartbeat->services[i].work_s = wire_read_f32(reader);
        heartbeat->services[i].rate = wire_read_f32(reader);
    }
    reader->section = REFUSAL_SHORT_ECHOES;
    for (uint32_t i = 0; reader->refusal == REFUSAL_NONE && i < heartbeat->echo_count; i++) {
        heartbeat->echoes[i].dispatcher_boot_id = wire_read_u64(reader);
        heartbeat->echoes[i].jobs = wire_read_u32(reader);
    }
    reader->section = REFUSAL_SHORT_METADATA;
    for (uint32_t i = 0; reader->refusal == REFUSAL_NONE && i < heartbeat->metadata_count; i++) {
        heartbeat->metadata[i].key = wire_read_u8(reader);
        heartbeat->metadata[i].value = wire_read_f32(reader);
    }
}

int wire_heartbeat_decode(const struct frame *frame, struct wire_heartbeat *ret_heartbeat, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_heartbeat heartbeat = {0};
    int error = frame_trailer_decode(frame, &heartbeat.trailer, ret_refusal);
    if (error < 0)
        return error;
    heartbeat.node = wire_read_fixed_address(&reader);
    heartbeat.kind = wire_node_kind_read(&reader);
    heartbeat.node_flags = (uint8_t)wire_known_bits(&reader, wire_read_u8(&reader), WIRE_NODE_FLAGS_OF_NODE);
    heartbeat.slots = wire_read_u16(&reader);
    heartbeat.timestamp_ms = wire_read_u64(&reader);
    heartbeat.load_index = wire_read_f32(&reader);
    heartbeat.load_per_job = wire_read_f32(&reader);
    heartbeat.jobs_queued = wire_read_u32(&reader);
    heartbeat.jobs_running = wire_read_u32(&reader);
    heartbeat.admin = wire_admin_read(&reader);
    heartbeat.service_count = wire_read_u8(&reader);
    heartbeat.echo_count = wire_read_u8(&reader);
    heartbeat.metadata_count = wire_read_u8(&reader);
    if (heartbeat.service_count > NODE_SERVICES_MAX || heartbeat.echo_count > ECHOES_MAX ||
        heartbeat.metadata_count > METADATA_MAX)
        wire_reader_refuse(&reader, REFUSAL_BAD_COUNT);
    heartbeat_lists_read(&reader, &heartbeat);
    error = wire_reader_finish(&reader, true, ret_refusal);
    if (error < 0)
        return error;
    *ret_heartbeat = heartbeat;
    return 0;
}

const char *wire_metadata_name(uint8_t key)
{
    switch (key) {
#define METADATA(symbol, key, name, text)                                                                                        \
    case WIRE_METADATA_##symbol:                                                                                                 \
        return name;
#include "core/wire/metadata.def"
#undef METADATA
    default: return NULL;
    }
}

uint8_t wire_metadata_find(const char *name)
{
#define METADATA(symbol, key, known, text)                                                                                       \
    if (strcmp(name, known) == 0)                                                                                                \
        return WIRE_METADATA_##symbol;
#include "core/wire/metadata.def"
#undef METADATA
    return 0;
}
