/* What operators may ask rm and tell it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/service.h"
#include "rm/rm.h"

static json_t *service_name_json(const struct service *service)
{
    char text[24];
    snprintf(text, sizeof(text), "#%016" PRIx64, service->service_id);
    return json_string(service->name[0] != '\0' ? service->name : text);
}

static json_t *node_services_json(const struct cluster *cluster, const struct node *node)
{
    json_t *names = json_array();
    for (uint8_t i = 0; i < node->service_count; i++)
        json_array_append_new(names, service_name_json(&cluster->services.item[node->services[i].service]));
    return names;
}

/* For how many of its services the node is marked as below average. */
static uint32_t below_count(const struct node *node)
{
    uint32_t count = 0;
    for (uint8_t i = 0; i < node->service_count; i++)
        count += node->services[i].below_average;
    return count;
}

static json_t *metadata_json(const struct node *node)
{
    json_t *values = json_object();
    for (uint8_t i = 0; i < node->metadata_count; i++) {
        const char *name = wire_metadata_name(node->metadata[i].key);
        if (name)
            json_object_set_new(values, name, json_real((double)node->metadata[i].value));
    }
    return values;
}

static json_t *node_json(const struct rm *rm, const struct node *node)
{
    char address[ADDRESS_TEXT_BYTES];
    char boot[20];
    uint64_t now_ns = rm_now(rm).ns;
    json_t *row = json_object();
    snprintf(boot, sizeof(boot), "%016" PRIx64, node->boot.boot_id);
    json_object_set_new(row, "address", json_string(address_format(&node->address, address)));
    json_object_set_new(row, "kind", json_string(node->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker"));
    json_object_set_new(row, "state", json_string(node_word(node)));
    json_object_set_new(row, "listed", json_boolean(node_is_listed(node)));
    json_object_set_new(row, "load_index", json_real((double)node->load_index));
    json_object_set_new(row, "below_average", json_integer(below_count(node)));
    json_object_set_new(row, "slots", json_integer(node->slots));
    json_object_set_new(row, "jobs_queued", json_integer(node->jobs_queued));
    json_object_set_new(row, "jobs_running", json_integer(node->jobs_running));
    json_object_set_new(row, "age_s",
                        node->arrival_ns ? json_real((double)node_age_ns(node, now_ns) / (double)NS_PER_S) : json_null());
    json_object_set_new(row, "clock_offset_ms", json_integer(node->clock_offset_ms));
    json_object_set_new(row, "services", node_services_json(rm->cluster, node));
    json_object_set_new(row, "metadata", metadata_json(node));
    json_object_set_new(row, "boot_id", json_string(boot));
    json_object_set_new(row, "restored", json_boolean(node->restored));
    if (node->reason)
        json_object_set_new(row, "reason", json_string(node->reason));
    return row;
}

static bool node_offers(const struct node *node, uint64_t wanted)
{
    for (uint8_t i = 0; i < node->service_count; i++)
        if (node->services[i].service_id == wanted)
            return true;
    return false;
}

int rm_admin_nodes(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    const char *service = call->word_count > 0 ? call->words[0] : NULL;
    if (service && !service_name_valid(service, strlen(service)))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" cannot be a service: names are 1 to 63 of [A-Za-z0-9._-]",
                          service);
    uint64_t id = service ? service_id(service, strlen(service)) : 0;
    if (service && map_get(&rm->cluster->services.by_id, &id) == MAP_NONE)
        return admin_fail(call, USHER_ENOSERVICE, EXIT_CODE_NO_NODE,
                          "no node has ever offered %s here; is its name right? `services` lists all", service);
    json_t *rows = json_array();
    for (uint32_t slot = 0; slot < rm->cluster->slot_count; slot++) {
        const struct node *node = &rm->cluster->nodes[slot];
        if (node->address.family == ADDRESS_NONE)
            continue;
        if (!service || node_offers(node, id))
            json_array_append_new(rows, node_json(rm, node));
    }
    json_object_set_new(call->answer, "nodes", rows);
    return 0;
}

int rm_admin_services(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    json_t *rows = json_array();
    for (uint32_t i = 0; i < rm->cluster->services.item_count; i++) {
        const struct service *service = &rm->cluster->services.item[i];
        if (!service->in_use)
            continue;
        double count = (double)service->member_count;
        json_t *row = json_object();
        json_object_set_new(row, "service", service_name_json(service));
        json_object_set_new(row, "nodes", json_integer(service->member_count));
        json_object_set_new(row, "below_average", json_integer(service->below_count));
        json_object_set_new(row, "average_load", json_real(count > 0 ? (double)service->load_sum / 1e6 / count : 0));
        json_array_append_new(rows, row);
    }
    json_object_set_new(call->answer, "services", rows);
    return 0;
}

int rm_admin_subscribers(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    json_t *rows = json_array();
    subscribers_list(rm->subscribers, rows);
    json_object_set_new(call->answer, "subscribers", rows);
    return 0;
}

/* What follows from its state. */
static const char *node_outlook(const struct node *node)
{
    if (node_is_drained(node))
        return "dispatchers do not hand it out";
    if ((node->flags & WIRE_NODE_DRAINING) != 0)
        return "it is leaving: dispatchers do not hand it out";
    if (node->state == NODE_LAST)
        return "its heartbeats are missing: dispatchers hand it out after all others";
    return node->state == NODE_FRESH ? "dispatchers hand it out" : "it does not heartbeat: dispatchers do not hand it out";
}

static int admin_set(struct rm *rm, struct admin_call *call, uint8_t set, uint8_t clear)
{
    struct address address;
    const char *reason;
    int error = admin_option(call, 1, "--reason", &reason);
    if (error < 0)
        return error;
    if (address_parse(call->words[0], &address) < 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is not a node: give its address, ip:port or [ip6]:port",
                          call->words[0]);
    error = cluster_admin_set(rm->cluster, rm_now(rm), &address, set, clear, reason);
    if (error < 0)
        return admin_fail(call, error, EXIT_CODE_FAILED, "no node %s has heartbeaten here; `nodes` lists those that have",
                          call->words[0]);
    subscribers_notify(rm->subscribers);
    const struct node *node = &rm->cluster->nodes[cluster_find(rm->cluster, &address)];
    json_object_set_new(call->answer, "node", json_string(call->words[0]));
    json_object_set_new(call->answer, "state", json_string(node_word(node)));
    json_object_set_new(call->answer, "drained", json_boolean(node_is_drained(node)));
    json_object_set_new(call->answer, "now", json_string(node_outlook(node)));
    return 0;
}

int rm_admin_drain(void *state, struct admin_call *call)
{
    return admin_set(state, call, WIRE_ADMIN_DRAIN, 0);
}

int rm_admin_ready(void *state, struct admin_call *call)
{
    return admin_set(state, call, 0, WIRE_ADMIN_DRAIN);
}
