#include "rm/mirror_text.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/id_text.h"
#include "core/wire/cursor.h"
#include "core/wire/service.h"
#include "rm/row.h"

static void service_print(const struct cluster *cluster, const struct node_service *offered, struct row *row)
{
    const struct service *service = &cluster->services.item[offered->service];
    row_text(row, service->name[0] == '\0' ? "\"#" : "\"");
    if (service->name[0] == '\0')
        row_id(row, "", service->service_id);
    else
        row_text(row, service->name);
    row_text(row, "\":[");
    row_float(row, offered->work_s);
    row_text(row, ",");
    row_float(row, offered->rate);
    row_text(row, "]");
}

static void state_print(const struct node *node, struct row *row)
{
    row_text(row, node->kind == WIRE_NODE_DISPATCHER ? "{\"kind\":\"dispatcher\",\"flags\":" : "{\"kind\":\"worker\",\"flags\":");
    row_count(row, node->flags);
    row_text(row, ",\"slots\":");
    row_count(row, node->slots);
    row_id(row, ",\"boot\":\"", node->boot.boot_id);
    row_text(row, "\",\"sequence\":");
    row_count(row, node->boot.sequence);
    row_text(row, ",\"registered\":");
    row_bool(row, node->registered_boot == node->boot.boot_id);
    row_text(row, ",\"timestamp_ms\":");
    row_count(row, node->timestamp_ms);
    row_text(row, ",\"load\":");
    row_float(row, node->load_index);
    row_text(row, ",\"load_per_job\":");
    row_float(row, node->load_per_job);
    row_text(row, ",\"queued\":");
    row_count(row, node->jobs_queued);
    row_text(row, ",\"running\":");
    row_count(row, node->jobs_running);
}

int mirror_node_print(const struct cluster *cluster, const struct node *node, struct buffer *text)
{
    struct row row = {.text = text};
    state_print(node, &row);
    row_text(&row, ",\"services\":{");
    for (uint8_t i = 0; i < node->service_count; i++) {
        row_text(&row, i > 0 ? "," : "");
        service_print(cluster, &node->services[i], &row);
    }
    row_text(&row, "},\"metadata\":{");
    row_metadata(&row, node->metadata, node->metadata_count);
    row_text(&row, "}}");
    return row.error;
}

static int service_id_take(struct services *services, const char *name, uint64_t *ret_service_id)
{
    uint32_t index;
    if (name[0] == '#')
        return id_text_parse(name + 1, ret_service_id);
    if (!service_name_valid(name, strlen(name)))
        return -EINVAL;
    int error = services_put_name(services, name, strlen(name), &index);
    if (error == 0)
        *ret_service_id = service_id(name, strlen(name));
    return error;
}

/* A JSON number that may go out on the wire. */
static int number_take(const json_t *value, float *ret_number)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || number < 0 || number > 1e30)
        return -EINVAL;
    *ret_number = (float)number;
    return 0;
}

static int services_take(struct services *services, json_t *object, struct cluster_restored *restored)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        struct wire_service_load *load = &restored->services[restored->service_count];
        if (restored->service_count == NODE_SERVICES_MAX || service_id_take(services, name, &load->service_id) < 0 ||
            number_take(json_array_get(value, 0), &load->work_s) < 0 || number_take(json_array_get(value, 1), &load->rate) < 0)
            return -EINVAL;
        for (uint8_t i = 0; i < restored->service_count; i++)
            if (restored->services[i].service_id == load->service_id)
                return -EINVAL;
        restored->service_count++;
    }
    return 0;
}

/* Capacities, above all: a node over HTTP tells them once. Names that we don't know are passed over, as keys in heartbeats. */
static int metadata_take(json_t *object, struct cluster_restored *restored)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        return -EINVAL;
    json_object_foreach(object, name, value)
    {
        uint8_t key = wire_metadata_find(name);
        if (key == 0)
            continue;
        struct wire_metadata *metadata = &restored->metadata[restored->metadata_count];
        if (restored->metadata_count == METADATA_MAX || number_take(value, &metadata->value) < 0)
            return -EINVAL;
        metadata->key = key;
        restored->metadata_count++;
    }
    return 0;
}

static int jobs_take(const json_t *value, uint32_t *ret_jobs)
{
    json_int_t jobs = json_integer_value(value);
    if (!json_is_integer(value) || jobs < 0 || jobs > UINT32_MAX)
        return -EINVAL;
    *ret_jobs = (uint32_t)jobs;
    return 0;
}

static int node_take(struct services *services, json_t *root, struct cluster_restored *restored)
{
    const char *kind, *boot;
    int flags, slots;
    json_int_t sequence, timestamp_ms;
    json_t *load, *load_per_job, *queued, *running, *offered, *metadata;
    if (json_unpack(root, "{s:s, s:i, s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "kind", &kind, "flags", &flags, "slots",
                    &slots, "boot", &boot, "sequence", &sequence, "timestamp_ms", &timestamp_ms, "load", &load, "load_per_job",
                    &load_per_job, "queued", &queued, "running", &running, "services", &offered, "metadata", &metadata) < 0)
        return -EINVAL;
    if (jobs_take(queued, &restored->jobs_queued) < 0 || jobs_take(running, &restored->jobs_running) < 0 ||
        metadata_take(metadata, restored) < 0)
        return -EINVAL;
    if (flags < 0 || (flags & ~WIRE_NODE_FLAGS_OF_NODE) != 0 || slots < 0 || slots > UINT16_MAX || sequence < 0 ||
        timestamp_ms < 0 || !json_is_object(offered) || id_text_parse(boot, &restored->boot.boot_id) < 0 ||
        number_take(load, &restored->load_index) < 0 || number_take(load_per_job, &restored->load_per_job) < 0)
        return -EINVAL;
    restored->kind = strcmp(kind, "dispatcher") == 0 ? WIRE_NODE_DISPATCHER : WIRE_NODE_WORKER;
    restored->flags = (uint8_t)flags;
    restored->slots = (uint16_t)slots;
    restored->boot.sequence = (uint64_t)sequence;
    restored->timestamp_ms = (uint64_t)timestamp_ms;
    restored->registered = json_is_true(json_object_get(root, "registered"));
    return services_take(services, offered, restored);
}

int mirror_address_parse(const char *text, struct address *ret_address)
{
    struct address address;
    if (address_parse(text, &address) < 0 || !wire_address_usable(&address))
        return -EINVAL;
    *ret_address = address;
    return 0;
}

int mirror_node_parse(struct services *services, const char *address, const char *text, size_t length,
                      struct cluster_restored *ret_restored)
{
    struct cluster_restored restored = {.service_count = 0};
    if (mirror_address_parse(address, &restored.address) < 0)
        return -EINVAL;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    int error = root ? node_take(services, root, &restored) : -EINVAL;
    json_decref(root);
    if (error == 0)
        *ret_restored = restored;
    return error;
}

int mirror_admin_print(const struct node *node, struct buffer *text)
{
    json_t *root = json_pack("{s:I, s:s, s:b}", "version_ms", (json_int_t)node->admin.version_ms, "writer",
                             id_text_of(node->admin.writer_rm_id).text, "drain", node_is_drained(node));
    if (node->admin.flags & WIRE_ADMIN_WEIGHT)
        json_object_set_new(root, "weight", json_real((double)node->admin.weight));
    if (node->reason)
        json_object_set_new(root, "reason", json_string(node->reason));
    char *dump = root ? json_dumps(root, JSON_COMPACT) : NULL;
    int error = dump ? buffer_append(text, dump, strlen(dump)) : -ENOMEM;
    free(dump);
    json_decref(root);
    return error;
}

static int admin_take(json_t *root, struct wire_admin *admin, char reason[static NODE_REASON_BYTES_MAX + 1])
{
    const char *writer, *given = "";
    json_int_t version_ms;
    int drain;
    const json_t *weight = json_object_get(root, "weight");
    if (json_unpack(root, "{s:I, s:s, s:b, s?s}", "version_ms", &version_ms, "writer", &writer, "drain", &drain, "reason",
                    &given) < 0)
        return -EINVAL;
    if (version_ms <= 0 || id_text_parse(writer, &admin->writer_rm_id) < 0)
        return -EINVAL;
    if (weight && number_take(weight, &admin->weight) < 0)
        return -EINVAL;
    admin->version_ms = (uint64_t)version_ms;
    admin->flags = (uint8_t)((drain ? WIRE_ADMIN_DRAIN : 0) | (weight ? WIRE_ADMIN_WEIGHT : 0));
    snprintf(reason, NODE_REASON_BYTES_MAX + 1, "%s", given);
    return 0;
}

int mirror_admin_parse(const char *text, size_t length, struct wire_admin *ret_admin,
                       char ret_reason[static NODE_REASON_BYTES_MAX + 1])
{
    struct wire_admin admin = {.version_ms = 0};
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    int error = root ? admin_take(root, &admin, ret_reason) : -EINVAL;
    json_decref(root);
    if (error == 0)
        *ret_admin = admin;
    return error;
}
