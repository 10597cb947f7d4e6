#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/wire_any.h"

/* A prefix such as "nodes.0.services.1." for the lines of a list's entry. */
#define PREFIX_BYTES 64

struct printer {
    struct buffer *text;
    char prefix[PREFIX_BYTES];
    int error; /* the first one stays */
};

static void line_print(struct printer *printer, const char *key, const char *value)
{
    if (printer->error == 0)
        printer->error = buffer_print(printer->text, "%s%s=%s\n", printer->prefix, key, value);
}

static void number_print(struct printer *printer, const char *key, uint64_t number)
{
    char value[32];
    snprintf(value, sizeof(value), "%" PRIu64, number);
    line_print(printer, key, value);
}

static void id_print(struct printer *printer, const char *key, uint64_t id)
{
    char value[32];
    snprintf(value, sizeof(value), "0x%016" PRIx64, id);
    line_print(printer, key, value);
}

static void float_print(struct printer *printer, const char *key, float number)
{
    char value[32];
    snprintf(value, sizeof(value), "%.9g", (double)number);
    line_print(printer, key, value);
}

static void address_print(struct printer *printer, const char *key, const struct address *address)
{
    char value[ADDRESS_TEXT_BYTES];
    line_print(printer, key, address_format(address, value));
}

static void hex_print(struct printer *printer, const char *key, const uint8_t *bytes, uint32_t length)
{
    if (printer->error == 0)
        printer->error = buffer_print(printer->text, "%s%s=", printer->prefix, key);
    for (uint32_t i = 0; i < length && printer->error == 0; i++)
        printer->error = buffer_print(printer->text, "%02x", bytes[i]);
    if (printer->error == 0)
        printer->error = buffer_print(printer->text, "\n");
}

static void flags_print(struct printer *printer, uint16_t flags)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } names[] = {
        {FRAME_MORE, "MORE"},         {FRAME_FIRST, "FIRST"}, {FRAME_TRUNCATED, "TRUNCATED"},
        {FRAME_FEEDBACK, "FEEDBACK"}, {FRAME_PUSH, "PUSH"},
    };
    char value[64] = "";
    size_t length = 0;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (flags & names[i].flag)
            length += (size_t)snprintf(value + length, sizeof(value) - length, "%s%s", length > 0 ? "," : "", names[i].name);
    line_print(printer, "flags", length > 0 ? value : "-");
}

static void address_request_print(struct printer *printer, const struct wire_address_request *request)
{
    id_print(printer, "service_id", request->service_id);
    number_print(printer, "wait_ms", request->wait_ms);
    number_print(printer, "count", request->count);
    number_print(printer, "exclude_count", request->exclude_count);
    for (uint32_t i = 0; i < request->exclude_count; i++) {
        char key[PREFIX_BYTES];
        snprintf(key, sizeof(key), "excludes.%u", i);
        address_print(printer, key, &request->excludes[i]);
    }
    if (request->has_feedback) {
        address_print(printer, "feedback.node", &request->feedback.node);
        number_print(printer, "feedback.outcome", request->feedback.outcome);
        number_print(printer, "feedback.latency_us", request->feedback.latency_us);
    }
}

static void address_reply_print(struct printer *printer, const struct wire_address *reply)
{
    id_print(printer, "boot_id", reply->boot_id);
    number_print(printer, "region", reply->region);
    number_print(printer, "count", reply->count);
    number_print(printer, "regions_version", reply->regions_version);
    for (uint32_t i = 0; i < reply->count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "entries.%u.", i);
        address_print(printer, "address", &reply->entries[i].address);
        number_print(printer, "state", reply->entries[i].state);
    }
}

static void region_dispatcher_print(struct printer *printer, uint32_t index, const struct wire_region_dispatcher *dispatcher)
{
    snprintf(printer->prefix, PREFIX_BYTES, "dispatchers.%u.", index);
    number_print(printer, "region", dispatcher->region);
    address_print(printer, "address", &dispatcher->address);
}

static void location_print(struct printer *printer, struct wire_location location)
{
    struct wire_region_dispatcher dispatcher;
    enum refusal refusal;
    number_print(printer, "region", location.region);
    number_print(printer, "own_region", location.own_region);
    number_print(printer, "regions_version", location.regions_version);
    number_print(printer, "dispatcher_total", location.dispatcher_total);
    number_print(printer, "dispatcher_count", location.dispatcher_count);
    for (uint32_t i = 0; wire_location_next(&location, &dispatcher, &refusal) == 1; i++)
        region_dispatcher_print(printer, i, &dispatcher);
}

static void job_print(struct printer *printer, const struct wire_job *job)
{
    id_print(printer, "client_id", job->client_id);
    id_print(printer, "job_id", job->job_id);
    id_print(printer, "service_id", job->service_id);
    number_print(printer, "service_time_ms", job->service_time_ms);
    number_print(printer, "wait_ms", job->wait_ms);
    id_print(printer, "dispatcher_boot_id", job->dispatcher_boot_id);
    hex_print(printer, "data", job->data, job->data_length);
}

static void result_print(struct printer *printer, const struct wire_result *result)
{
    id_print(printer, "job_id", result->job_id);
    number_print(printer, "waited_us", result->waited_us);
    number_print(printer, "ran_us", result->ran_us);
    hex_print(printer, "data", result->data, result->data_length);
}

static void busy_print(struct printer *printer, const struct wire_busy *busy)
{
    id_print(printer, "job_id", busy->job_id);
    number_print(printer, "retry_after_ms", busy->retry_after_ms);
    number_print(printer, "queued", busy->queued);
}

static void error_print(struct printer *printer, const struct wire_error *error)
{
    number_print(printer, "code", error->code);
    number_print(printer, "started", error->started);
    number_print(printer, "text_length", error->text_length);
    line_print(printer, "text", error->text);
}

static void trailer_print(struct printer *printer, const struct wire_trailer *trailer)
{
    printer->prefix[0] = '\0';
    id_print(printer, "trailer.boot_id", trailer->boot_id);
    number_print(printer, "trailer.sequence", trailer->sequence);
}

static void register_print(struct printer *printer, const struct wire_register *registration)
{
    address_print(printer, "node", &registration->node);
    number_print(printer, "kind", registration->kind);
    number_print(printer, "node_flags", registration->node_flags);
    number_print(printer, "slots", registration->slots);
    number_print(printer, "service_count", registration->service_count);
    for (uint32_t i = 0; i < registration->service_count; i++) {
        char key[PREFIX_BYTES];
        snprintf(key, sizeof(key), "services.%u", i);
        line_print(printer, key, registration->services[i].text);
    }
    trailer_print(printer, &registration->trailer);
}

static void admin_print(struct printer *printer, const struct wire_admin *admin)
{
    number_print(printer, "admin.version_ms", admin->version_ms);
    id_print(printer, "admin.writer_rm_id", admin->writer_rm_id);
    number_print(printer, "admin.flags", admin->flags);
    float_print(printer, "admin.weight", admin->weight);
}

static void heartbeat_print(struct printer *printer, const struct wire_heartbeat *heartbeat)
{
    address_print(printer, "node", &heartbeat->node);
    number_print(printer, "kind", heartbeat->kind);
    number_print(printer, "node_flags", heartbeat->node_flags);
    number_print(printer, "slots", heartbeat->slots);
    number_print(printer, "timestamp_ms", heartbeat->timestamp_ms);
    float_print(printer, "load_index", heartbeat->load_index);
    float_print(printer, "load_per_job", heartbeat->load_per_job);
    number_print(printer, "jobs_queued", heartbeat->jobs_queued);
    number_print(printer, "jobs_running", heartbeat->jobs_running);
    admin_print(printer, &heartbeat->admin);
    number_print(printer, "service_count", heartbeat->service_count);
    number_print(printer, "echo_count", heartbeat->echo_count);
    number_print(printer, "metadata_count", heartbeat->metadata_count);
    for (uint32_t i = 0; i < heartbeat->service_count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "services.%u.", i);
        id_print(printer, "service_id", heartbeat->services[i].service_id);
        float_print(printer, "work_s", heartbeat->services[i].work_s);
        float_print(printer, "rate", heartbeat->services[i].rate);
    }
    for (uint32_t i = 0; i < heartbeat->echo_count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "echoes.%u.", i);
        id_print(printer, "dispatcher_boot_id", heartbeat->echoes[i].dispatcher_boot_id);
        number_print(printer, "jobs", heartbeat->echoes[i].jobs);
    }
    for (uint32_t i = 0; i < heartbeat->metadata_count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "metadata.%u.", i);
        number_print(printer, "key", heartbeat->metadata[i].key);
        float_print(printer, "value", heartbeat->metadata[i].value);
    }
    trailer_print(printer, &heartbeat->trailer);
}

static void heartbeat_ack_print(struct printer *printer, const struct wire_heartbeat_ack *ack)
{
    id_print(printer, "rm_id", ack->rm_id);
    id_print(printer, "nonce", ack->nonce);
    number_print(printer, "region", ack->region);
    number_print(printer, "flags", ack->flags);
    number_print(printer, "acked_sequence", ack->acked_sequence);
    admin_print(printer, &ack->admin);
    number_print(printer, "dispatcher_total", ack->dispatcher_total);
    number_print(printer, "dispatcher_count", ack->dispatcher_count);
    number_print(printer, "node_total", ack->node_total);
    for (uint32_t i = 0; i < ack->dispatcher_count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "dispatchers.%u.", i);
        id_print(printer, "boot_id", ack->dispatchers[i].boot_id);
        address_print(printer, "address", &ack->dispatchers[i].address);
    }
    trailer_print(printer, &ack->trailer);
}

static void version_print(struct printer *printer, const struct wire_version *version)
{
    id_print(printer, "rm_id", version->rm_id);
    number_print(printer, "epoch", version->epoch);
    number_print(printer, "sequence", version->sequence);
    printer->prefix[0] = '\0';
}

static void subscribe_print(struct printer *printer, const struct wire_subscribe *subscribe)
{
    address_print(printer, "subscriber", &subscribe->subscriber);
    id_print(printer, "boot_id", subscribe->boot_id);
    number_print(printer, "region", subscribe->region);
    snprintf(printer->prefix, PREFIX_BYTES, "have.");
    version_print(printer, &subscribe->have);
    number_print(printer, "regions_version", subscribe->regions_version);
}

static void node_print(struct printer *printer, uint32_t index, const struct wire_node *node)
{
    snprintf(printer->prefix, PREFIX_BYTES, "nodes.%u.", index);
    address_print(printer, "address", &node->address);
    number_print(printer, "kind", node->kind);
    number_print(printer, "flags", node->flags);
    number_print(printer, "slots", node->slots);
    id_print(printer, "boot_id", node->boot_id);
    number_print(printer, "age_ms", node->age_ms);
    float_print(printer, "load_index", node->load_index);
    float_print(printer, "load_per_job", node->load_per_job);
    number_print(printer, "jobs_queued", node->jobs_queued);
    number_print(printer, "jobs_running", node->jobs_running);
    number_print(printer, "echo_jobs", node->echo_jobs);
    number_print(printer, "service_count", node->service_count);
    for (uint32_t i = 0; i < node->service_count; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "nodes.%u.services.%u.", index, i);
        id_print(printer, "service_id", node->services[i].service_id);
        number_print(printer, "flags", node->services[i].flags);
        float_print(printer, "work_s", node->services[i].work_s);
        float_print(printer, "rate", node->services[i].rate);
        float_print(printer, "weight", node->services[i].weight);
    }
}

static void nodes_print(struct printer *printer, struct wire_nodes nodes)
{
    struct wire_node node;
    struct address removed;
    enum refusal refusal;
    for (uint32_t i = 0; wire_nodes_next_removed(&nodes, &removed, &refusal) == 1; i++) {
        char key[PREFIX_BYTES];
        snprintf(key, sizeof(key), "removed.%u", i);
        address_print(printer, key, &removed);
    }
    for (uint32_t i = 0; wire_nodes_next(&nodes, &node, &refusal) == 1; i++)
        node_print(printer, i, &node);
}

static void directory_print(struct printer *printer, const struct wire_any *any)
{
    snprintf(printer->prefix, PREFIX_BYTES, "version.");
    version_print(printer, &any->directory.version);
    number_print(printer, "node_total", any->directory.node_total);
    number_print(printer, "node_count", any->directory.node_count);
    nodes_print(printer, any->nodes);
}

static void delta_print(struct printer *printer, const struct wire_any *any)
{
    id_print(printer, "rm_id", any->delta.rm_id);
    number_print(printer, "epoch", any->delta.epoch);
    number_print(printer, "base_sequence", any->delta.base_sequence);
    number_print(printer, "sequence", any->delta.sequence);
    number_print(printer, "removed_count", any->delta.removed_count);
    number_print(printer, "node_count", any->delta.node_count);
    nodes_print(printer, any->nodes);
}

/* "10.0.0.0/8": the address without its port, which is 0, and its brackets. */
static void range_print(struct printer *printer, const struct address_range *range)
{
    char address[ADDRESS_TEXT_BYTES];
    char value[ADDRESS_TEXT_BYTES + 8];
    address_format(&range->base, address);
    *strrchr(address, ':') = '\0';
    char *ip = address;
    if (*ip == '[') {
        ip[strlen(ip) - 1] = '\0';
        ip++;
    }
    snprintf(value, sizeof(value), "%s/%u", ip, range->prefix_bits);
    line_print(printer, "range", value);
}

static void region_table_print(struct printer *printer, const struct wire_any *any)
{
    struct wire_regions regions = any->regions;
    struct wire_region_dispatcher dispatcher;
    struct wire_region_range range;
    enum refusal refusal;
    number_print(printer, "version", any->region_table.version);
    number_print(printer, "dispatcher_count", any->region_table.dispatcher_count);
    number_print(printer, "range_count", any->region_table.range_count);
    for (uint32_t i = 0; wire_regions_next_dispatcher(&regions, &dispatcher, &refusal) == 1; i++)
        region_dispatcher_print(printer, i, &dispatcher);
    for (uint32_t i = 0; wire_regions_next_range(&regions, &range, &refusal) == 1; i++) {
        snprintf(printer->prefix, PREFIX_BYTES, "ranges.%u.", i);
        number_print(printer, "region", range.region);
        range_print(printer, &range.range);
    }
}

static void idle_token_print(struct printer *printer, const struct wire_idle_token *token)
{
    address_print(printer, "node", &token->node);
    trailer_print(printer, &token->trailer);
}

const char *wire_any_type_name(uint16_t type)
{
    switch (type) {
#define FRAME(symbol, number, name, transports, flags, bytes_max, trailer)                                                       \
    case FRAME_TYPE_##symbol:                                                                                                    \
        return name;
#include "core/wire/frame_types.def"
#undef FRAME
    default: return "unknown";
    }
}

const char *wire_any_refusal_name(enum refusal refusal)
{
    static const char *const names[REFUSALS] = {
        [REFUSAL_NONE] = "none",
#define REFUSAL(symbol, name, text) [REFUSAL_##symbol] = name,
#include "core/base/refusals.def"
#undef REFUSAL
    };
    return names[refusal];
}

int wire_any_print(const struct wire_any *any, struct buffer *text)
{
    struct printer printer = {.text = text};
    line_print(&printer, "type", wire_any_type_name(any->frame.type));
    flags_print(&printer, any->frame.flags);
    number_print(&printer, "minor", any->frame.minor);
    id_print(&printer, "request_id", any->frame.request_id);
    switch (any->frame.type) {
    case FRAME_TYPE_ADDRESS_REQUEST: address_request_print(&printer, &any->address_request); break;
    case FRAME_TYPE_LOCATION_REQUEST: number_print(&printer, "regions_version", any->location_request.regions_version); break;
    case FRAME_TYPE_JOB: job_print(&printer, &any->job); break;
    case FRAME_TYPE_REGISTER: register_print(&printer, &any->registration); break;
    case FRAME_TYPE_HEARTBEAT: heartbeat_print(&printer, &any->heartbeat); break;
    case FRAME_TYPE_SUBSCRIBE: subscribe_print(&printer, &any->subscribe); break;
    case FRAME_TYPE_IDLE_TOKEN: idle_token_print(&printer, &any->idle_token); break;
    case FRAME_TYPE_ADDRESS: address_reply_print(&printer, &any->address); break;
    case FRAME_TYPE_LOCATION: location_print(&printer, any->location); break;
    case FRAME_TYPE_RESULT: result_print(&printer, &any->result); break;
    case FRAME_TYPE_BUSY: busy_print(&printer, &any->busy); break;
    case FRAME_TYPE_HEARTBEAT_ACK: heartbeat_ack_print(&printer, &any->heartbeat_ack); break;
    case FRAME_TYPE_DIRECTORY: directory_print(&printer, any); break;
    case FRAME_TYPE_DELTA: delta_print(&printer, any); break;
    case FRAME_TYPE_REGION_TABLE: region_table_print(&printer, any); break;
    case FRAME_TYPE_ERROR: error_print(&printer, &any->error); break;
    default: return -EINVAL;
    }
    return printer.error;
}
