/* A node that speaks HTTP: what it says becomes the same REGISTER and HEARTBEAT that other nodes send in datagrams. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/api/heartbeat_json.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/http/query.h"
#include "core/wire/service.h"
#include "rm/api.h"

#define INSTANCE_BYTES_MAX 128u
#define TIMESTAMP_MS_MAX INT64_C(4102444800000) /* the year 2100: what is later is no time in milliseconds */

/* What stands in for a load that was not told: the weights that nodes have by default (docs/NODE.md). */
#define LOAD_CPU_WEIGHT 0.3f
#define LOAD_MEMORY_WEIGHT 0.1f
#define LOAD_DISK_WEIGHT 0.1f
#define LOAD_QUEUE_WEIGHT 0.5f

/* A message that is older than the last one by less has been overtaken by it; by more, the node's clock was set back. For no longer than this,
 * and than this part of the valid time, may a clock that was set back keep a node from being heard: it must never cost it its place. */
#define OVERTAKEN_MS_MAX 1000u
#define OVERTAKEN_VALID_DIVISOR 3u

#define LOAD_MAX 1e6f
#define METRIC_MAX 1e9 /* of those that count: floats hold sums and products of such */
#define OWN_METRIC_MAX 1e300 /* of the others: sums and differences of such are numbers still */

/* One request being understood. */
struct body {
    struct http_answer *answer;
    int result; /* what refusing has returned */
    bool force; /* takes the place of a node of Usher's own */
    const char *instance;
    const json_t *services;
    json_int_t timestamp_ms;
    json_int_t slots;
    bool has_load;
    float load;
    uint8_t metadata_count;
    struct wire_metadata metadata[METADATA_MAX];
    uint8_t own_count; /* metrics that are the node's own */
    struct node_metric_told own[NODE_METRICS_OWN_MAX];
};

#define REFUSE(body, ...) ((body)->result = api_refuse((body)->answer, 400, __VA_ARGS__), -EINVAL)

static int take_instance(struct body *body, const json_t *value)
{
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length == 0 || length > INSTANCE_BYTES_MAX)
        return REFUSE(body, "instance: a text of 1 to %u bytes that no other start of this node has had", INSTANCE_BYTES_MAX);
    body->instance = json_string_value(value);
    return 0;
}

static int take_timestamp(struct body *body, const json_t *value)
{
    body->timestamp_ms = json_integer_value(value);
    if (!json_is_integer(value) || body->timestamp_ms <= 0 || body->timestamp_ms > TIMESTAMP_MS_MAX)
        return REFUSE(body, "timestamp: milliseconds since 1970, as `date +%%s%%3N` prints them");
    return 0;
}

static int take_slots(struct body *body, const json_t *value)
{
    body->slots = json_integer_value(value);
    if (!json_is_integer(value) || body->slots < 1 || body->slots > UINT16_MAX)
        return REFUSE(body, "slots: how many requests the node can work on at a time, 1 to %d", UINT16_MAX);
    return 0;
}

static int take_load(struct body *body, const json_t *value)
{
    double load = json_number_value(value);
    if (!json_is_number(value) || !(load >= 0 && load <= (double)LOAD_MAX))
        return REFUSE(body, "load: a number from 0 to 1000000, the more the busier");
    body->load = (float)load;
    body->has_load = true;
    return 0;
}

static int take_services(struct body *body, const json_t *value)
{
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count == 0 || count > NODE_SERVICES_MAX)
        return REFUSE(body, "services: a list of 1 to %u names", NODE_SERVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_array_get(value, i);
        if (!json_is_string(name) || !service_name_valid(json_string_value(name), json_string_length(name)))
            return REFUSE(body, "services: names are 1 to 63 of [A-Za-z0-9._-]; number %zu is not", i + 1);
    }
    body->services = value;
    return 0;
}

static bool metadata_is_share(uint8_t key)
{
    return key == WIRE_METADATA_CPU_USE || key == WIRE_METADATA_MEMORY_USE || key == WIRE_METADATA_DISK_USE;
}

/* Any name will do: it is shown to those who watch, and counts for nothing else. */
static int take_own_metric(struct body *body, const char *name, const json_t *value)
{
    if (!node_metric_name_valid(name))
        return REFUSE(body, "metrics: \"%.64s\" cannot be a name: 1 to %u of [A-Za-z0-9_], no digit first", name,
                      NODE_METRIC_NAME_BYTES_MAX);
    if (!json_is_number(value) || fabs(json_number_value(value)) > OWN_METRIC_MAX)
        return REFUSE(body, "metrics: %s must be a number, of at most %g either way", name, OWN_METRIC_MAX);
    if (body->own_count == NODE_METRICS_OWN_MAX) {
        body->result = api_refuse(body->answer, 422,
                                  "metrics: a node may tell %u of its own in a message, beside those of docs/HTTP.md; tell fewer",
                                  NODE_METRICS_OWN_MAX);
        return -EINVAL;
    }
    body->own[body->own_count++] = (struct node_metric_told){.name = name, .value = json_number_value(value)};
    return 0;
}

static int take_metric(struct body *body, const char *name, const json_t *value)
{
    uint8_t key = wire_metadata_find(name);
    double number = json_number_value(value);
    if (key == 0)
        return take_own_metric(body, name, value);
    if (!json_is_number(value) || !(number >= 0 && number <= METRIC_MAX))
        return REFUSE(body, "metrics: %s must be a number from 0 to %g", name, METRIC_MAX);
    if (metadata_is_share(key) && number > 1)
        return REFUSE(body, "metrics: %s is a share, 0 to 1; %g is more: is it in percent?", name, number);
    body->metadata[body->metadata_count++] = (struct wire_metadata){.key = key, .value = (float)number};
    return 0;
}

static int take_metrics(struct body *body, const json_t *value)
{
    const char *name;
    json_t *metric;
    if (!json_is_object(value))
        return REFUSE(body, "metrics: an object of names and numbers");
    json_object_foreach((json_t *)(uintptr_t)value, name, metric)
    {
        int error = take_metric(body, name, metric);
        if (error < 0)
            return error;
    }
    return 0;
}

static int take_fields(struct body *body, const json_t *root)
{
    static const struct {
        const char *name;
        int (*take)(struct body *body, const json_t *value);
    } fields[] = {
        {"instance", take_instance}, {"timestamp", take_timestamp}, {"services", take_services},
        {"slots", take_slots},       {"load", take_load},           {"metrics", take_metrics},
    };
    const char *name;
    json_t *value;
    if (!json_is_object(root))
        return REFUSE(body, "the body must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        int error = -ENOENT;
        for (size_t i = 0; i < ARRAY_COUNT(fields) && error == -ENOENT; i++)
            if (strcmp(fields[i].name, name) == 0)
                error = fields[i].take(body, value);
        if (error == -ENOENT)
            return REFUSE(body, "\"%.64s\" is no field here; there are instance, timestamp, services, slots, load, metrics",
                          name);
        if (error < 0)
            return error;
    }
    if (!body->instance)
        return REFUSE(body, "instance is missing: a text that says which start of the node speaks");
    if (body->timestamp_ms == 0)
        return REFUSE(body, "timestamp is missing: milliseconds since 1970, as `date +%%s%%3N` prints them");
    return 0;
}

/* ---- into the cluster ---- */

static float metadata_value(const struct body *body, enum wire_metadata_key key)
{
    for (uint8_t i = 0; i < body->metadata_count; i++)
        if (body->metadata[i].key == key)
            return body->metadata[i].value;
    return 0;
}

static float load_of(const struct body *body)
{
    if (body->has_load)
        return body->load;
    float load = LOAD_CPU_WEIGHT * metadata_value(body, WIRE_METADATA_CPU_USE) +
                 LOAD_MEMORY_WEIGHT * metadata_value(body, WIRE_METADATA_MEMORY_USE) +
                 LOAD_DISK_WEIGHT * metadata_value(body, WIRE_METADATA_DISK_USE) +
                 LOAD_QUEUE_WEIGHT * metadata_value(body, WIRE_METADATA_QUEUE_LENGTH) / (float)body->slots;
    return load < LOAD_MAX ? load : LOAD_MAX;
}

static uint64_t boot_of(const struct body *body)
{
    uint64_t hash = hash_fnv1a(body->instance, strlen(body->instance));
    return hash != 0 ? hash : 1;
}

/* What a node's next datagram would carry. Over TCP nothing comes twice or late, so rm numbers them itself. */
static struct wire_trailer trailer_next(const struct rm *rm, const struct body *body, uint32_t slot)
{
    struct wire_trailer trailer = {.boot_id = boot_of(body), .sequence = rm_now(rm).wall_ms};
    if (slot == NODE_NONE)
        return trailer;
    const struct node *node = &rm->cluster->nodes[slot];
    if (node->boot.boot_id == trailer.boot_id && node->boot.sequence >= trailer.sequence)
        trailer.sequence = node->boot.sequence + 1;
    return trailer;
}

int api_refuse_verdict(struct http_answer *answer, enum cluster_verdict verdict)
{
    switch (verdict) {
    case CLUSTER_OLDER_BOOT:
        return api_refuse(answer, 409,
                          "another one that began later speaks for this node: let one alone speak for it, and "
                          "give each start an instance of its own");
    case CLUSTER_COLLISION:
        return api_refuse(answer, 409, "the name of a service collides with another one's ID: rename the service");
    case CLUSTER_TOO_MANY:
        return api_refuse(answer, 429, "too many messages of this node a second: a few heartbeats are enough (--node-messages)");
    case CLUSTER_FULL: return api_refuse(answer, 503, "rm has no room for more nodes or services");
    case CLUSTER_REPLAYED:
    case CLUSTER_ACCEPTED: break;
    }
    return api_refuse(answer, 409, "a later message of this node has been taken already");
}

/* The names, as REGISTER tells them. */
static enum cluster_verdict names_tell(struct rm *rm, const struct address *address, const struct body *body)
{
    uint32_t slot = cluster_find(rm->cluster, address);
    struct wire_register registration = {
        .node = *address,
        .kind = WIRE_NODE_WORKER,
        .node_flags = WIRE_NODE_NO_ECHO,
        .slots = (uint16_t)body->slots,
        .service_count = (uint8_t)json_array_size(body->services),
        .trailer = trailer_next(rm, body, slot),
    };
    for (uint8_t i = 0; i < registration.service_count; i++) {
        const json_t *name = json_array_get(body->services, i);
        registration.services[i].length = (uint8_t)json_string_length(name);
        memcpy(registration.services[i].text, json_string_value(name), registration.services[i].length);
    }
    return cluster_register(rm->cluster, rm_now(rm), &registration, &slot);
}

static void services_tell(const struct rm *rm, const struct body *body, uint32_t slot, struct wire_heartbeat *heartbeat)
{
    for (size_t i = 0; i < json_array_size(body->services); i++) {
        const json_t *name = json_array_get(body->services, i);
        heartbeat->services[heartbeat->service_count++].service_id =
            service_id(json_string_value(name), json_string_length(name));
    }
    if (body->services || slot == NODE_NONE)
        return;
    const struct node *node = &rm->cluster->nodes[slot];
    for (uint8_t i = 0; i < node->service_count; i++)
        heartbeat->services[heartbeat->service_count++].service_id = node->services[i].service_id;
}

/* Capacities rarely change: what an earlier message of this instance told and this one does not, stands. */
static void metadata_keep(const struct rm *rm, uint32_t slot, struct body *body)
{
    const struct node *node = &rm->cluster->nodes[slot];
    for (uint8_t i = 0; i < node->metadata_count && body->metadata_count < METADATA_MAX; i++) {
        bool told = false;
        for (uint8_t j = 0; j < body->metadata_count; j++)
            told = told || body->metadata[j].key == node->metadata[i].key;
        if (!told)
            body->metadata[body->metadata_count++] = node->metadata[i];
    }
}

static enum cluster_verdict heartbeat_tell(struct rm *rm, const struct address *address, struct body *body)
{
    uint32_t slot = cluster_find(rm->cluster, address);
    bool same = slot != NODE_NONE && rm->cluster->nodes[slot].boot.boot_id == boot_of(body);
    if (same)
        metadata_keep(rm, slot, body);
    uint32_t jobs = (uint32_t)metadata_value(body, WIRE_METADATA_QUEUE_LENGTH);
    uint32_t running = jobs < body->slots ? jobs : (uint32_t)body->slots;
    struct wire_heartbeat heartbeat = {
        .node = *address,
        .kind = WIRE_NODE_WORKER,
        .node_flags = WIRE_NODE_NO_ECHO,
        .slots = (uint16_t)body->slots,
        .timestamp_ms = (uint64_t)body->timestamp_ms,
        .load_index = load_of(body),
        .load_per_job = LOAD_QUEUE_WEIGHT / (float)body->slots,
        .jobs_queued = jobs - running,
        .jobs_running = running,
        .metadata_count = body->metadata_count,
        .trailer = trailer_next(rm, body, slot),
    };
    services_tell(rm, body, slot, &heartbeat);
    memcpy(heartbeat.metadata, body->metadata, sizeof(heartbeat.metadata));
    return cluster_heartbeat(rm->cluster, rm_now(rm), &heartbeat, &slot);
}

/* A node of Usher's own, or the node that it is attached to, speaks for it. */
static bool node_is_own(const struct node *node)
{
    return node->state == NODE_FRESH && !node->restored && !node->instance;
}

static bool is_overtaken(const struct cluster *cluster, const struct node *node, uint64_t timestamp_ms)
{
    uint64_t part_ms = cluster->config.valid_ns / OVERTAKEN_VALID_DIVISOR / NS_PER_MS;
    uint64_t limit_ms = part_ms < OVERTAKEN_MS_MAX ? part_ms : OVERTAKEN_MS_MAX;
    return timestamp_ms < node->timestamp_ms && node->timestamp_ms - timestamp_ms < limit_ms;
}

static int node_take(struct rm *rm, const struct address *address, struct body *body)
{
    uint32_t slot = cluster_find(rm->cluster, address);
    bool known = slot != NODE_NONE;
    const struct node *node = &rm->cluster->nodes[known ? slot : 0]; /* to be looked at only when known */
    bool same = known && node->boot.boot_id == boot_of(body);
    if (known && node_is_own(node) && !body->force)
        return api_refuse(body->answer, 409,
                          "a node of Usher's own heartbeats for this address (is it attached? --attach): end that, or "
                          "PUT with ?force=true to take its place");
    if (same && is_overtaken(rm->cluster, node, (uint64_t)body->timestamp_ms))
        return api_refuse(body->answer, 409, "timestamp: this instance has sent a later one, %" PRIu64, node->timestamp_ms);
    bool set_back = same && (uint64_t)body->timestamp_ms < node->timestamp_ms;
    if (body->slots == 0)
        body->slots = same ? node->slots : 1;
    enum cluster_verdict verdict = body->services ? names_tell(rm, address, body) : CLUSTER_ACCEPTED;
    if (verdict == CLUSTER_ACCEPTED)
        verdict = heartbeat_tell(rm, address, body);
    if (verdict != CLUSTER_ACCEPTED)
        return api_refuse_verdict(body->answer, verdict);
    subscribers_notify(rm->subscribers);
    slot = cluster_find(rm->cluster, address);
    rm->cluster->nodes[slot].instance = true;
    if (set_back)
        event_log_note(&rm->events, rm->cluster, CLUSTER_NODE_SET_BACK, slot, rm_now(rm).ns);
    if (cluster_keeps_metrics(rm->cluster))
        node_metrics_tell(&rm->cluster->nodes[slot], body->own, body->own_count, rm_now(rm).ns);
    node = &rm->cluster->nodes[slot];
    return api_answer(body->answer, json_pack("{s:s, s:f, s:f, s:b}", "state", node_word(node), "weight",
                                              (double)weights_of(rm->cluster, node, 0), "heartbeat_valid_s",
                                              (double)rm->cluster->config.valid_ns / 1e9, "drained", node_is_drained(node)));
}

/* -EINVAL: refused, with *ret_result to return. */
static int force_asked(const struct http_request *request, struct http_answer *answer, bool *ret_force, int *ret_result)
{
    char value[HTTP_QUERY_VALUE_BYTES_MAX + 1];
    int found = http_query_get(request->query, "force", value);
    *ret_force = found == 0 && strcmp(value, "true") == 0;
    if (found == -ENOENT || *ret_force || (found == 0 && strcmp(value, "false") == 0))
        return 0;
    *ret_result = api_refuse(answer, 400, "force: true or false");
    return -EINVAL;
}

/* What the library says of these would not help: the one is JSON, the other names a flag of its own. */
static int refuse_text(struct http_answer *answer, const json_error_t *where)
{
    switch (json_error_code(where)) {
    case json_error_duplicate_key:
        return api_refuse(answer, 400, "line %d, column %d: the same name stands twice in one object", where->line,
                          where->column);
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return api_refuse(answer, 400, "line %d, column %d: texts may not contain \\u0000", where->line, where->column);
    case json_error_numeric_overflow:
        return api_refuse(answer, 400, "line %d, column %d: this number is too large", where->line, where->column);
    default: return api_refuse(answer, 400, "not JSON: line %d, column %d: %s", where->line, where->column, where->text);
    }
}

static int body_take(struct rm *rm, const struct address *address, const struct http_request *request, struct http_answer *answer,
                     bool registers)
{
    struct body body = {.answer = answer};
    json_error_t where;
    int refused;
    if (force_asked(request, answer, &body.force, &refused) < 0)
        return refused;
    if (request->body_length == 0)
        return api_refuse(answer, 400, "the body is empty: send a JSON object with instance, timestamp and so on (docs/HTTP.md)");
    json_t *root = json_loadb((const char *)request->body, request->body_length, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return refuse_text(answer, &where);
    if (json_is_of_node(root)) {
        int answered = api_own_take(rm, address, root, registers, answer);
        json_decref(root);
        return answered;
    }
    int error = take_fields(&body, root);
    if (error == 0 && registers && !body.services)
        error = REFUSE(&body, "services is missing: a list of the names that the node offers");
    uint32_t slot = cluster_find(rm->cluster, address);
    if (error == 0 && !body.services && (slot == NODE_NONE || rm->cluster->nodes[slot].service_count == 0)) {
        body.result = api_refuse(answer, 404, "this node has not registered here: PUT /v1/nodes/ADDRESS with its services first");
        error = -ENOENT;
    }
    int result = error < 0 ? body.result : node_take(rm, address, &body);
    json_decref(root);
    return result;
}

int api_node_register(struct rm *rm, const struct address *address, const struct http_request *request,
                      struct http_answer *answer)
{
    return body_take(rm, address, request, answer, true);
}

int api_node_heartbeat(struct rm *rm, const struct address *address, const struct http_request *request,
                       struct http_answer *answer)
{
    return body_take(rm, address, request, answer, false);
}

int api_node_deregister(struct rm *rm, const struct address *address, const struct http_request *request,
                        struct http_answer *answer)
{
    char instance[HTTP_QUERY_VALUE_BYTES_MAX + 1];
    bool force;
    int refused;
    uint32_t slot = cluster_find(rm->cluster, address);
    if (force_asked(request, answer, &force, &refused) < 0)
        return refused;
    if (slot == NODE_NONE)
        return api_refuse(answer, 404, "no such node here; GET /v1/nodes lists all");
    const struct node *node = &rm->cluster->nodes[slot];
    int asked = http_query_get(request->query, "instance", instance);
    if ((asked < 0 && asked != -ENOENT) || (asked == 0 && instance[0] == '\0'))
        return api_refuse(answer, 400, "instance: a text of 1 to %u bytes", INSTANCE_BYTES_MAX);
    if (asked == 0 && boot_of(&(struct body){.instance = instance}) != node->boot.boot_id)
        return api_refuse(answer, 409, "another instance has taken this node over since: it stays");
    if (node_is_own(node) && !force)
        return api_refuse(answer, 409,
                          "a node of Usher's own heartbeats for this address (is it attached? --attach), and it would be back "
                          "at once: end that, or usherctl drain this; with ?force=true it goes until then");
    cluster_deregister(rm->cluster, rm_now(rm), slot);
    subscribers_notify(rm->subscribers);
    return api_answer(answer, json_pack("{s:s}", "state", node_word(&rm->cluster->nodes[slot])));
}
