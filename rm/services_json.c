#include "rm/services_json.h"

#include <inttypes.h>
#include <stdio.h>

static json_t *service_name_json(const struct service *service)
{
    char text[24];
    snprintf(text, sizeof(text), "#%016" PRIx64, service->service_id);
    return json_string(service->name[0] != '\0' ? service->name : text);
}

/* Which terms of the weight count for a service, and of how many nodes the others are missing. */
static json_t *weight_terms_json(const struct service *service)
{
    json_t *terms = json_object();
    for (uint32_t term = 0; term < WEIGHT_TERMS; term++) {
        bool counts = weights_term_counts(service, (enum weight_term)term);
        char text[48];
        if (service->weights.count == 0)
            snprintf(text, sizeof(text), "no nodes");
        else
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
