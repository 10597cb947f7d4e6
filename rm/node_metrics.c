#include "rm/node_metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "rm/node.h"

/* Neither JSON nor every reader of Prometheus' text knows what is infinite. */
#define RATE_MAX 1e300

bool node_metric_name_valid(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t length = strlen(name);
    return length >= 1 && length <= NODE_METRIC_NAME_BYTES_MAX && strchr(first, name[0]) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == length;
}

static struct node_metric *metric_find(struct node_metrics *metrics, const char *name)
{
    for (uint32_t i = 0; metrics && i < metrics->count; i++)
        if (strcmp(metrics->item[i].name, name) == 0)
            return &metrics->item[i];
    return NULL;
}

static bool is_own(const char *name)
{
    return wire_metadata_find(name) == 0;
}

bool node_metrics_fit(const struct node *node, uint64_t boot_id, const char *const *names, uint32_t count)
{
    struct node_metrics *told = node->metrics && node->metrics->boot_id == boot_id ? node->metrics : NULL;
    uint32_t own_count = told ? told->own_count : 0;
    for (uint32_t i = 0; i < count; i++)
        own_count += is_own(names[i]) && !metric_find(told, names[i]);
    return own_count <= NODE_METRICS_OWN_MAX;
}

static int metric_add(struct node *node, const char *name, double value, uint64_t now_ns)
{
    uint32_t count = node->metrics ? node->metrics->count : 0;
    uint32_t own_count = (node->metrics ? node->metrics->own_count : 0) + is_own(name);
    if (own_count > NODE_METRICS_OWN_MAX)
        return -ENOSPC;
    struct node_metrics *metrics = realloc(node->metrics, sizeof(*metrics) + (count + 1) * sizeof(metrics->item[0]));
    if (!metrics)
        return -ENOMEM;
    metrics->boot_id = node->boot.boot_id;
    metrics->count = count + 1;
    metrics->own_count = own_count;
    metrics->item[count] = (struct node_metric){.value = value, .at_ns = now_ns};
    memcpy(metrics->item[count].name, name, strlen(name) + 1);
    node->metrics = metrics;
    return 0;
}

int node_metrics_set(struct node *node, const char *name, double value, uint64_t now_ns)
{
    if (node->metrics && node->metrics->boot_id != node->boot.boot_id)
        node_metrics_clear(node);
    struct node_metric *metric = metric_find(node->metrics, name);
    if (!metric)
        return metric_add(node, name, value, now_ns);
    if (now_ns > metric->at_ns) {
        double rate = fabs(value - metric->value) * (double)NS_PER_S / (double)(now_ns - metric->at_ns);
        metric->rate = rate < RATE_MAX ? rate : RATE_MAX;
    }
    metric->value = value;
    metric->at_ns = now_ns;
    return 0;
}

void node_metrics_take(struct node *node, uint64_t now_ns)
{
    for (uint8_t i = 0; i < node->metadata_count; i++) {
        const char *name = wire_metadata_name(node->metadata[i].key);
        if (name && node_metrics_set(node, name, (double)node->metadata[i].value, now_ns) < 0)
            return;
    }
}

void node_metrics_clear(struct node *node)
{
    free(node->metrics);
    node->metrics = NULL;
}
