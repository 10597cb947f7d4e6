#include "rm/node_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/daemon/text_json.h"
#include "rm/row.h"
#include "rm/services.h"

/* Whatever an operator wrote. */
static void row_reason(struct row *row, const char *reason)
{
    json_t *string = text_to_json(reason);
    char *dump = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    if (dump)
        row_text(row, dump);
    else if (row->error == 0)
        row->error = -ENOMEM;
    free(dump);
    json_decref(string);
}

static void services_print(struct row *row, const struct cluster *cluster, const struct node *node)
{
    row_text(row, ",\"services\":[");
    for (uint8_t i = 0; i < node->service_count; i++) {
        const struct service *service = &cluster->services.item[node->services[i].service];
        row_text(row, i ? ",\"" : "\"");
        if (service->name[0] != '\0')
            row_text(row, service->name);
        else
            row_id(row, "#", service->service_id);
        row_bytes(row, "\"", 1);
    }
    row_text(row, "],\"weights\":[");
    for (uint8_t i = 0; i < node->service_count; i++) {
        row_text(row, i ? "," : "");
        row_real(row, (double)weights_of(cluster, node, i));
    }
}

static void metrics_print(struct row *row, const struct node_metrics *metrics)
{
    row_text(row, ",\"metrics\":{");
    for (uint32_t i = 0; i < metrics->count; i++) {
        row_text(row, i ? "," : "");
        row_quoted(row, metrics->item[i].name);
        row_text(row, ":{\"value\":");
        row_real(row, metrics->item[i].value);
        row_text(row, ",\"rate\":");
        row_real(row, metrics->item[i].rate);
        row_bytes(row, "}", 1);
    }
    row_bytes(row, "}", 1);
}

/* For how many of its services the node is marked as below average. */
static uint32_t below_count(const struct node *node)
{
    uint32_t count = 0;
    for (uint8_t i = 0; i < node->service_count; i++)
        count += node->services[i].below_average;
    return count;
}

static const char *kind_word(const struct node *node)
{
    return node->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker";
}

static void state_print(struct row *row, const struct node *node, uint64_t now_ns)
{
    char address[ADDRESS_TEXT_BYTES];
    row_text(row, "{\"address\":");
    row_quoted(row, address_format(&node->address, address));
    row_text(row, ",\"kind\":");
    row_quoted(row, kind_word(node));
    row_text(row, ",\"state\":");
    row_quoted(row, node_word(node));
    row_text(row, ",\"listed\":");
    row_bool(row, node_is_listed(node));
    row_text(row, ",\"load_index\":");
    row_real(row, (double)node->load_index);
    row_text(row, ",\"below_average\":");
    row_count(row, below_count(node));
    row_text(row, ",\"slots\":");
    row_count(row, node->slots);
    row_text(row, ",\"jobs_queued\":");
    row_count(row, node->jobs_queued);
    row_text(row, ",\"jobs_running\":");
    row_count(row, node->jobs_running);
    row_text(row, ",\"age_s\":");
    row_real(row, node->arrival_ns ? (double)node_age_ns(node, now_ns) / (double)NS_PER_S : NAN);
    row_text(row, node->clock_offset_ms < 0 ? ",\"clock_offset_ms\":-" : ",\"clock_offset_ms\":");
    row_count(row, node->clock_offset_ms < 0 ? UINT64_C(0) - (uint64_t)node->clock_offset_ms : (uint64_t)node->clock_offset_ms);
}

int node_text_print(const struct cluster *cluster, const struct node *node, uint64_t now_ns, struct buffer *text)
{
    struct row row = {.text = text};
    state_print(&row, node, now_ns);
    services_print(&row, cluster, node);
    row_text(&row, "],\"metadata\":{");
    row_metadata(&row, node->metadata, node->metadata_count);
    row_bytes(&row, "}", 1);
    if (node->metrics)
        metrics_print(&row, node->metrics);
    row_id(&row, ",\"boot_id\":\"", node->boot.boot_id);
    row_text(&row, "\",\"restored\":");
    row_bool(&row, node->restored);
    if (node->reason) {
        row_text(&row, ",\"reason\":");
        row_reason(&row, node->reason);
    }
    row_bytes(&row, "}", 1);
    return row.error;
}

int node_text_print_targets(const struct cluster *cluster, const struct node *node, const uint64_t *service_id,
                            struct buffer *text)
{
    char address[ADDRESS_TEXT_BYTES];
    struct row row = {.text = text};
    const char *before = "";
    address_format(&node->address, address);
    for (uint8_t i = 0; i < node->service_count; i++) {
        const struct service *service = &cluster->services.item[node->services[i].service];
        if ((service_id && service->service_id != *service_id) || service->name[0] == '\0')
            continue;
        row_text(&row, before);
        row_text(&row, "{\"targets\":[");
        row_quoted(&row, address);
        row_text(&row, "],\"labels\":{\"usher_service\":");
        row_quoted(&row, service->name);
        row_text(&row, ",\"usher_kind\":");
        row_quoted(&row, kind_word(node));
        row_text(&row, ",\"__meta_usher_state\":");
        row_quoted(&row, node_word(node));
        row_text(&row, "}}");
        before = ",";
    }
    return row.error;
}
