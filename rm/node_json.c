#include "rm/node_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/clock.h"

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

static json_t *metrics_json(const struct node_metrics *metrics)
{
    json_t *values = json_object();
    for (uint32_t i = 0; i < metrics->count; i++)
        json_object_set_new(values, metrics->item[i].name,
                            json_pack("{s:f, s:f}", "value", metrics->item[i].value, "rate", metrics->item[i].rate));
    return values;
}

static json_t *node_weights_json(const struct cluster *cluster, const struct node *node)
{
    json_t *weights = json_array();
    for (uint8_t i = 0; i < node->service_count; i++)
        json_array_append_new(weights, json_real((double)weights_of(cluster, node, i)));
    return weights;
}

json_t *node_json(const struct cluster *cluster, const struct node *node, uint64_t now_ns)
{
    char address[ADDRESS_TEXT_BYTES];
    char boot[20];
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
    json_object_set_new(row, "services", node_services_json(cluster, node));
    json_object_set_new(row, "weights", node_weights_json(cluster, node));
    json_object_set_new(row, "metadata", metadata_json(node));
    if (node->metrics)
        json_object_set_new(row, "metrics", metrics_json(node->metrics));
    json_object_set_new(row, "boot_id", json_string(boot));
    json_object_set_new(row, "restored", json_boolean(node->restored));
    if (node->reason)
        json_object_set_new(row, "reason", json_string(node->reason));
    return row;
}

bool node_offers(const struct node *node, uint64_t wanted)
{
    for (uint8_t i = 0; i < node->service_count; i++)
        if (node->services[i].service_id == wanted)
            return true;
    return false;
}

json_t *nodes_json(const struct cluster *cluster, const uint64_t *service_id, uint64_t now_ns)
{
    json_t *rows = json_array();
    for (uint32_t slot = 0; slot < cluster->slot_count; slot++) {
        const struct node *node = &cluster->nodes[slot];
        if (node->address.family != ADDRESS_NONE && (!service_id || node_offers(node, *service_id)))
            json_array_append_new(rows, node_json(cluster, node, now_ns));
    }
    return rows;
}

/* Which terms of the weight count for a service, and of how many nodes the others are missing. */
static json_t *weight_terms_json(const struct service *service)
{
    json_t *terms = json_object();
    for (uint32_t term = 0; term < WEIGHT_TERMS; term++) {
        bool counts = weights_term_counts(service, (enum weight_term)term);
        char text[48];
        snprintf(text, sizeof(text), "not told by %" PRIu32 " of %" PRIu32, service->weights.lacking[term],
                 service->weights.count);
        json_object_set_new(terms, weight_term_names[term], json_string(counts ? "counts" : text));
    }
    return terms;
}

json_t *services_json(const struct cluster *cluster)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < cluster->services.item_count; i++) {
        const struct service *service = &cluster->services.item[i];
        if (!service->in_use)
            continue;
        double count = (double)service->member_count;
        json_t *row = json_object();
        json_object_set_new(row, "service", service_name_json(service));
        json_object_set_new(row, "nodes", json_integer(service->member_count));
        json_object_set_new(row, "below_average", json_integer(service->below_count));
        json_object_set_new(row, "average_load", json_real(count > 0 ? (double)service->load_sum / 1e6 / count : 0));
        json_object_set_new(row, "weight_terms", weight_terms_json(service));
        json_array_append_new(rows, row);
    }
    return rows;
}
