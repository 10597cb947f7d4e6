#include "tests/support/wire_any.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"

static int location_walk(struct wire_location location, enum refusal *ret_refusal)
{
    struct wire_region_dispatcher dispatcher;
    int more;
    while ((more = wire_location_next(&location, &dispatcher, ret_refusal)) == 1)
        CHECK(wire_address_usable(&dispatcher.address));
    return more;
}

static int nodes_walk(struct wire_nodes nodes, enum refusal *ret_refusal)
{
    struct wire_node node;
    struct address removed;
    int more;
    while ((more = wire_nodes_next_removed(&nodes, &removed, ret_refusal)) == 1)
        CHECK(wire_address_usable(&removed));
    if (more < 0)
        return more;
    while ((more = wire_nodes_next(&nodes, &node, ret_refusal)) == 1)
        CHECK(wire_address_usable(&node.address) && node.service_count <= NODE_SERVICES_MAX);
    return more;
}

static int regions_walk(struct wire_regions regions, enum refusal *ret_refusal)
{
    struct wire_region_dispatcher dispatcher;
    struct wire_region_range range;
    int more;
    while ((more = wire_regions_next_dispatcher(&regions, &dispatcher, ret_refusal)) == 1)
        CHECK(wire_address_usable(&dispatcher.address));
    if (more < 0)
        return more;
    while ((more = wire_regions_next_range(&regions, &range, ret_refusal)) == 1)
        CHECK(range.range.prefix_bits <= 128);
    return more;
}

/* Messages of TCP's long lists: the head, then a walk. */
static int list_decode(const struct frame *frame, struct wire_any *any, enum refusal *ret_refusal)
{
    int error;
    switch (frame->type) {
    case FRAME_TYPE_LOCATION:
        error = wire_location_decode(frame, &any->location, ret_refusal);
        return error < 0 ? error : location_walk(any->location, ret_refusal);
    case FRAME_TYPE_DIRECTORY:
        error = wire_directory_decode(frame, &any->directory, &any->nodes, ret_refusal);
        return error < 0 ? error : nodes_walk(any->nodes, ret_refusal);
    case FRAME_TYPE_DELTA:
        error = wire_delta_decode(frame, &any->delta, &any->nodes, ret_refusal);
        return error < 0 ? error : nodes_walk(any->nodes, ret_refusal);
    case FRAME_TYPE_REGION_TABLE:
        error = wire_region_table_decode(frame, &any->region_table, &any->regions, ret_refusal);
        return error < 0 ? error : regions_walk(any->regions, ret_refusal);
    default: *ret_refusal = REFUSAL_UNKNOWN_TYPE; return USHER_EPROTOCOL;
    }
}

int wire_any_decode(const struct frame *frame, struct wire_any *ret_any, enum refusal *ret_refusal)
{
    memset(ret_any, 0, sizeof(*ret_any));
    ret_any->frame = *frame;
    switch (frame->type) {
    case FRAME_TYPE_ADDRESS_REQUEST: return wire_address_request_decode(frame, &ret_any->address_request, ret_refusal);
    case FRAME_TYPE_LOCATION_REQUEST: return wire_location_request_decode(frame, &ret_any->location_request, ret_refusal);
    case FRAME_TYPE_JOB: return wire_job_decode(frame, &ret_any->job, ret_refusal);
    case FRAME_TYPE_REGISTER: return wire_register_decode(frame, &ret_any->registration, ret_refusal);
    case FRAME_TYPE_HEARTBEAT: return wire_heartbeat_decode(frame, &ret_any->heartbeat, ret_refusal);
    case FRAME_TYPE_SUBSCRIBE: return wire_subscribe_decode(frame, &ret_any->subscribe, ret_refusal);
    case FRAME_TYPE_IDLE_TOKEN: return wire_idle_token_decode(frame, &ret_any->idle_token, ret_refusal);
    case FRAME_TYPE_ADDRESS: return wire_address_decode(frame, &ret_any->address, ret_refusal);
    case FRAME_TYPE_RESULT: return wire_result_decode(frame, &ret_any->result, ret_refusal);
    case FRAME_TYPE_BUSY: return wire_busy_decode(frame, &ret_any->busy, ret_refusal);
    case FRAME_TYPE_HEARTBEAT_ACK: return wire_heartbeat_ack_decode(frame, &ret_any->heartbeat_ack, ret_refusal);
    case FRAME_TYPE_ERROR: return wire_error_decode(frame, &ret_any->error, ret_refusal);
    default: return list_decode(frame, ret_any, ret_refusal);
    }
}

/* Room for `count` things; freed by the caller. The test is over when memory is. */
static void *array_new(size_t count, size_t size)
{
    void *array = calloc(count, size);
    CHECK(array != NULL);
    return array;
}

/* A truncated answer is one from which an entry was left off: an IPv6 one that finds no room where the frame ends. */
static const struct address left_off = {.family = ADDRESS_IPV6, .port = 1, .ip = {1}};

static int address_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    struct wire_address reply = any->address;
    uint8_t fitted;
    if (reply.truncated && reply.count < ADDRESSES_MAX) {
        capacity = any->frame.length;
        reply.entries[reply.count++].address = left_off;
    }
    return wire_address_encode(&reply, any->frame.request_id, bytes, capacity, &fitted);
}

static int location_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    struct wire_location location = any->location;
    struct wire_region_dispatcher *dispatchers = array_new(location.dispatcher_count + 1u, sizeof(*dispatchers));
    enum refusal refusal;
    uint32_t count = 0;
    while (wire_location_next(&location, &dispatchers[count], &refusal) == 1)
        count++;
    dispatchers[count].address = left_off;
    if (location.truncated)
        capacity = any->frame.length;
    int length = wire_location_encode(&location, dispatchers, any->frame.request_id, bytes, capacity);
    free(dispatchers);
    return length;
}

static int nodes_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    struct wire_nodes_builder builder;
    struct wire_nodes nodes = any->nodes;
    struct wire_node node;
    struct address removed;
    enum refusal refusal;
    bool directory = any->frame.type == FRAME_TYPE_DIRECTORY;
    int error = 0;
    if (directory)
        wire_directory_begin(&builder, &any->directory, any->frame.request_id, bytes, capacity);
    else
        wire_delta_begin(&builder, &any->delta, any->frame.request_id, bytes, capacity);
    while (error == 0 && wire_nodes_next_removed(&nodes, &removed, &refusal) == 1)
        error = wire_nodes_add_removed(&builder, &removed);
    while (error == 0 && wire_nodes_next(&nodes, &node, &refusal) == 1)
        error = wire_nodes_add(&builder, &node);
    return error < 0 ? error : wire_nodes_finish(&builder, directory && any->directory.more);
}

static int region_table_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    const struct wire_region_table *table = &any->region_table;
    struct wire_regions regions = any->regions;
    struct wire_region_dispatcher *dispatchers = array_new(table->dispatcher_count + 1u, sizeof(*dispatchers));
    struct wire_region_range *ranges = array_new(table->range_count + 1u, sizeof(*ranges));
    enum refusal refusal;
    for (uint32_t i = 0; wire_regions_next_dispatcher(&regions, &dispatchers[i], &refusal) == 1; i++)
        CHECK(i < table->dispatcher_count);
    for (uint32_t i = 0; wire_regions_next_range(&regions, &ranges[i], &refusal) == 1; i++)
        CHECK(i < table->range_count);
    int length = wire_region_table_encode(table, dispatchers, ranges, any->frame.request_id, bytes, capacity);
    free(dispatchers);
    free(ranges);
    return length;
}

/* Appends a JOB's or RESULT's data to its head. */
static int data_append(int head_length, const uint8_t *data, uint32_t data_length, uint8_t *bytes, size_t capacity)
{
    if (head_length < 0)
        return head_length;
    CHECK((size_t)head_length + data_length <= capacity);
    memcpy(bytes + head_length, data, data_length);
    return head_length + (int)data_length;
}

static int control_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    uint64_t request_id = any->frame.request_id;
    uint32_t padded_length = any->frame.length;
    switch (any->frame.type) {
    case FRAME_TYPE_REGISTER: return wire_register_encode(&any->registration, request_id, padded_length, bytes, capacity);
    case FRAME_TYPE_HEARTBEAT: return wire_heartbeat_encode(&any->heartbeat, request_id, padded_length, bytes, capacity);
    case FRAME_TYPE_HEARTBEAT_ACK: return wire_heartbeat_ack_encode(&any->heartbeat_ack, request_id, bytes, capacity);
    case FRAME_TYPE_IDLE_TOKEN: return wire_idle_token_encode(&any->idle_token, request_id, bytes, capacity);
    case FRAME_TYPE_SUBSCRIBE: return wire_subscribe_encode(&any->subscribe, request_id, bytes, capacity);
    case FRAME_TYPE_REGION_TABLE: return region_table_encode(any, bytes, capacity);
    default: return nodes_encode(any, bytes, capacity);
    }
}

int wire_any_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity)
{
    uint64_t request_id = any->frame.request_id;
    uint32_t padded_length = any->frame.length;
    switch (any->frame.type) {
    case FRAME_TYPE_ADDRESS_REQUEST:
        return wire_address_request_encode(&any->address_request, request_id, padded_length, bytes, capacity);
    case FRAME_TYPE_LOCATION_REQUEST:
        return wire_location_request_encode(&any->location_request, request_id, padded_length, bytes, capacity);
    case FRAME_TYPE_ADDRESS: return address_encode(any, bytes, capacity);
    case FRAME_TYPE_LOCATION: return location_encode(any, bytes, capacity);
    case FRAME_TYPE_JOB:
        return data_append(wire_job_encode_head(&any->job, request_id, bytes, capacity), any->job.data, any->job.data_length,
                           bytes, capacity);
    case FRAME_TYPE_RESULT:
        return data_append(wire_result_encode_head(&any->result, request_id, bytes, capacity), any->result.data,
                           any->result.data_length, bytes, capacity);
    case FRAME_TYPE_BUSY: return wire_busy_encode(&any->busy, request_id, bytes, capacity);
    case FRAME_TYPE_ERROR:
        return wire_error_encode(any->error.code, any->error.started, any->error.truncated, any->error.text, request_id, bytes,
                                 capacity);
    default: return control_encode(any, bytes, capacity);
    }
}
