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
    else if (rm->state == HEARTBEAT_LOST && text[0] == 0)
        LOG(MESSAGE_HEARTBEATS_UNANSWERED, LOG_TEXT("rm", address));
    else if (rm->state == HEARTBEAT_LOST)
        LOG(MESSAGE_HEARTBEATS_FAILING, LOG_TEXT("rm", address), LOG_TEXT("reason", text));
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

void node_report_attached(void *ctx, const struct attach_event *event)
{
    char server[ADDRESS_TEXT_BYTES];
    char rm[ADDRESS_TEXT_BYTES];
    (void)ctx;
    address_format(event->server, server);
    switch (event->kind) {
    case ATTACH_EVENT_BEGUN:
        LOG(MESSAGE_ATTACH_BEGUN, LOG_TEXT("server", server), LOG_NUMBER("worst_ms", event->milliseconds));
        break;
    case ATTACH_EVENT_UP:
        LOG(MESSAGE_ATTACH_UP, LOG_TEXT("server", server), LOG_TEXT("service", event->service),
            LOG_NUMBER("check_ms", event->milliseconds));
        break;
    case ATTACH_EVENT_DOWN:
        LOG(MESSAGE_ATTACH_DOWN, LOG_TEXT("server", server), LOG_TEXT("service", event->service),
            LOG_TEXT("reason", event->text));
        break;
    case ATTACH_EVENT_LOAD_KNOWN: LOG(MESSAGE_ATTACH_LOAD_KNOWN, LOG_TEXT("server", server)); break;
    case ATTACH_EVENT_LOAD_UNKNOWN:
        LOG(MESSAGE_ATTACH_LOAD_UNKNOWN, LOG_TEXT("server", server), LOG_TEXT("reason", event->text));
        break;
    case ATTACH_EVENT_UNHEARD:
        LOG(MESSAGE_ATTACH_UNHEARD, LOG_TEXT("server", server), LOG_TEXT("rm", address_format(event->rm, rm)));
        break;
    case ATTACH_EVENT_HEARD: LOG(MESSAGE_ATTACH_HEARD, LOG_TEXT("server", server)); break;
    case ATTACH_EVENT_REFUSED:
        LOG(MESSAGE_ATTACH_REFUSED, LOG_TEXT("server", server), LOG_TEXT("rm", address_format(event->rm, rm)),
            LOG_TEXT("reason", event->text));
        break;
    }
}

static void attached_measure(const struct attachments *attachments, struct gauges *gauges)
{
    for (uint32_t i = 0; i < attachments_count(attachments); i++) {
        struct attach_stats stats;
        char text[ADDRESS_TEXT_BYTES];
        attachments_read(attachments, i, &stats);
        const char *server = address_format(&stats.address, text);
        gauge_set_labelled(gauges, GAUGE_ATTACHED_LOAD, (double)stats.load_index, &server);
        gauge_set_labelled(gauges, GAUGE_ATTACHED_LOAD_KNOWN, stats.load_known, &server);
        gauge_set_labelled(gauges, GAUGE_ATTACHED_IN_USE, (double)stats.in_use, &server);
        for (uint32_t j = 0; j < stats.service_count; j++) {
            const struct attach_service_stats *service = &stats.services[j];
            const char *const labels[] = {server, service->name};
            gauge_set_labelled(gauges, GAUGE_ATTACHED_UP, service->state == ATTACH_UP, labels);
            gauge_set_labelled(gauges, GAUGE_ATTACHED_CHECK_TIME, (double)service->check_ns / 1e9, labels);
        }
    }
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
    attached_measure(node_attachments(node), gauges);
    for (uint32_t i = 0; i < stats.rm_count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        const char *rm = address_format(&stats.rms[i].address, text);
        gauge_set_labelled(gauges, GAUGE_NODE_RM_UP, stats.rms[i].state == HEARTBEAT_REACHED, &rm);
    }
}
