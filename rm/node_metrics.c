#include "rm/node_metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
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

/* Whose values another boot has told has none yet. */
static void boot_look(struct node *node)
{
    if (node->metrics && node->metrics->boot_id != node->boot.boot_id)
        node_metrics_clear(node);
}

/* Room for one more. NULL: no memory. */
static struct node_metric *metric_append(struct node *node)
{
    uint32_t count = node->metrics ? node->metrics->count : 0;
    struct node_metrics *metrics = realloc(node->metrics, sizeof(*metrics) + (count + 1) * sizeof(metrics->item[0]));
    if (!metrics)
        return NULL;
    if (count == 0)
        *metrics = (struct node_metrics){.boot_id = node->boot.boot_id, .tellings = 1};
    node->metrics = metrics;
    return &metrics->item[metrics->count++];
}

/* That has not been told for longest. There is one of an earlier telling: those of this one are fewer than all, as long as one of them has no
 * room yet. */
static struct node_metric *own_oldest(struct node_metrics *metrics)
{
    struct node_metric *oldest = NULL;
    for (uint32_t i = 0; i < metrics->count; i++) {
        struct node_metric *metric = &metrics->item[i];
        if (metric->telling != 0 && (!oldest || metric->telling < oldest->telling))
            oldest = metric;
    }
    CHECK(oldest && oldest->telling < metrics->tellings);
    return oldest;
}

static void metric_begin(struct node_metric *metric, const char *name, double value, uint64_t now_ns)
{
    *metric = (struct node_metric){.value = value, .at_ns = now_ns};
    memcpy(metric->name, name, strlen(name) + 1);
}

static void metric_go_on(struct node_metric *metric, double value, uint64_t now_ns)
{
    if (now_ns > metric->at_ns) {
        double rate = fabs(value - metric->value) * (double)NS_PER_S / (double)(now_ns - metric->at_ns);
        metric->rate = rate < RATE_MAX ? rate : RATE_MAX;
    }
    metric->value = value;
    metric->at_ns = now_ns;
}

static int own_add(struct node *node, const struct node_metric_told *told, uint64_t telling, uint64_t now_ns)
{
    bool full = node->metrics && node->metrics->own_count == NODE_METRICS_OWN_MAX;
    struct node_metric *metric = full ? own_oldest(node->metrics) : metric_append(node);
    if (!metric)
        return -ENOMEM;
    metric_begin(metric, told->name, told->value, now_ns);
    metric->telling = telling;
    node->metrics->own_count += !full;
    return 0;
}

void node_metrics_tell(struct node *node, const struct node_metric_told *told, uint32_t count, uint64_t now_ns)
{
    uint32_t new_count = 0;
    const struct node_metric_told *new_ones[NODE_METRICS_OWN_MAX];
    CHECK(count <= NODE_METRICS_OWN_MAX);
    boot_look(node);
    uint64_t telling = node->metrics ? ++node->metrics->tellings : 1;
    /* Those that stand there first, so that none of them is taken for one that is told no longer. */
    for (uint32_t i = 0; i < count; i++) {
        struct node_metric *metric = metric_find(node->metrics, told[i].name);
        if (metric) {
            metric_go_on(metric, told[i].value, now_ns);
            metric->telling = telling;
        } else {
            new_ones[new_count++] = &told[i];
        }
    }
    for (uint32_t i = 0; i < new_count; i++)
        if (own_add(node, new_ones[i], telling, now_ns) < 0)
            return;
}

static int metadata_tell(struct node *node, const char *name, double value, uint64_t now_ns)
{
    struct node_metric *metric = metric_find(node->metrics, name);
    if (metric) {
        metric_go_on(metric, value, now_ns);
        return 0;
    }
    metric = metric_append(node);
    if (!metric)
        return -ENOMEM;
    metric_begin(metric, name, value, now_ns);
    return 0;
}

void node_metrics_take(struct node *node, uint64_t now_ns)
{
    boot_look(node);
    for (uint8_t i = 0; i < node->metadata_count; i++) {
        const char *name = wire_metadata_name(node->metadata[i].key);
        if (name && metadata_tell(node, name, (double)node->metadata[i].value, now_ns) < 0)
            return;
    }
}

void node_metrics_clear(struct node *node)
{
    free(node->metrics);
    node->metrics = NULL;
}
