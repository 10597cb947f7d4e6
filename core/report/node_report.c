#include "core/report/node_report.h"

#include "core/base/errors.h"
#include "core/base/log.h"

void node_report_rm(void *ctx, const struct heartbeat_rm *rm, const char *text)
{
    char address[ADDRESS_TEXT_BYTES];
    (void)ctx;
    address_format(&rm->address, address);
    if (rm->state == HEARTBEAT_REACHED)
        LOG(MESSAGE_HEARTBEATS_ACKNOWLEDGED, LOG_TEXT("rm", address), LOG_NUMBER("region", rm->region));
    else if (rm->state == HEARTBEAT_LOST)
        LOG(MESSAGE_HEARTBEATS_UNANSWERED, LOG_TEXT("rm", address));
    else
        LOG(MESSAGE_HEARTBEATS_REFUSED, LOG_TEXT("rm", address), LOG_TEXT("reason", text));
}

void node_report_unable(void *ctx, int error)
{
    (void)ctx;
    if (error < 0)
        LOG(MESSAGE_NODE_UNABLE, LOG_TEXT("reason", error_text(error)));
    else
        LOG(MESSAGE_NODE_ABLE);
}

void node_report_measure(const struct node *node, struct measures *measures)
{
    struct gauges *gauges = &measures->gauges;
    struct node_stats stats;
    node_read_stats(node, &stats);
    measures_add_counters(measures, node_counters(node));
    gauge_set(gauges, GAUGE_NODE_SLOTS, stats.slots);
    gauge_set(gauges, GAUGE_JOBS_QUEUED, stats.jobs_queued);
    gauge_set(gauges, GAUGE_JOBS_RUNNING, stats.jobs_running);
    gauge_set(gauges, GAUGE_NODE_CONNECTIONS, stats.connections);
    gauge_set(gauges, GAUGE_NODE_FRESHNESS_BUDGET, (double)stats.freshness_per_s);
    gauge_set(gauges, GAUGE_NODE_LOAD, (double)stats.load.index);
    for (uint32_t i = 0; i < LOAD_PARTS; i++)
        gauge_set_labelled(gauges, GAUGE_NODE_LOAD_MEAN, (double)stats.load.mean[i], &load_part_names[i]);
    for (uint32_t i = 0; i < RESOURCES; i++)
        if (stats.resources.known >> i & 1)
            gauge_set_labelled(gauges, GAUGE_NODE_RESOURCE, (double)stats.resources.value[i], &resource_names[i]);
    for (uint32_t i = 0; i < CHANGE_METRICS; i++)
        gauge_set_labelled(gauges, GAUGE_NODE_CHANGE, (double)stats.change_rate[i], &change_metric_names[i]);
    for (uint32_t i = 0; i < stats.service_count; i++)
        gauge_set_labelled(gauges, GAUGE_NODE_SERVICE_TIME, (double)stats.services[i].mean_s, &stats.services[i].name);
    for (uint32_t i = 0; i < stats.rm_count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        const char *rm = address_format(&stats.rms[i].address, text);
        gauge_set_labelled(gauges, GAUGE_NODE_RM_UP, stats.rms[i].state == HEARTBEAT_REACHED, &rm);
    }
}
