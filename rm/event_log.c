#include "rm/event_log.h"

#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/id_text.h"
#include "core/base/log.h"

#define WEIGHT_TEXT_BYTES 32

static const struct {
    enum log_message message;
    enum counter counter; /* COUNTERS: none */
} rows[CLUSTER_EVENTS] = {
    [CLUSTER_NODE_JOINED] = {MESSAGE_RM_NODE_JOINED, COUNTER_NODES_JOINED},
    [CLUSTER_NODE_RETURNED] = {MESSAGE_RM_NODE_RETURNED, COUNTER_NODES_RETURNED},
    [CLUSTER_NODE_REBOOTED] = {MESSAGE_RM_NODE_REBOOTED, COUNTER_NODES_REBOOTED},
    [CLUSTER_NODE_EXPIRED] = {MESSAGE_RM_NODE_EXPIRED, COUNTER_NODES_EXPIRED},
    [CLUSTER_NODE_LEFT] = {MESSAGE_RM_NODE_LEFT, COUNTER_NODES_LEFT},
    [CLUSTER_NODE_DRAINED] = {MESSAGE_RM_NODE_DRAINED, COUNTERS},
    [CLUSTER_NODE_READY] = {MESSAGE_RM_NODE_READY, COUNTERS},
    [CLUSTER_NODE_OVERRULED] = {MESSAGE_RM_NODE_OVERRULED, COUNTERS},
    [CLUSTER_NODE_SET_BACK] = {MESSAGE_RM_NODE_SET_BACK, COUNTERS},
    [CLUSTER_NAME_COLLISION] = {MESSAGE_RM_NAME_COLLISION, COUNTERS},
    [CLUSTER_PROTECTION_BEGAN] = {MESSAGE_RM_PROTECTION_BEGAN, COUNTER_PROTECTIONS},
    [CLUSTER_PROTECTION_ENDED] = {MESSAGE_RM_PROTECTION_ENDED, COUNTERS},
    [CLUSTER_RESUMED] = {MESSAGE_RM_RESUMED, COUNTER_RM_PAUSES},
};

static void node_log(enum cluster_event event, const struct node *node)
{
    char address[ADDRESS_TEXT_BYTES], weight[WEIGHT_TEXT_BYTES] = "auto";
    const struct log_field name = LOG_TEXT("node", address_format(&node->address, address));
    const struct log_field kind = LOG_TEXT("kind", node->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker");
    const struct id_text writer = id_text_of(node->admin.writer_rm_id);
    if ((node->admin.flags & WIRE_ADMIN_WEIGHT) != 0)
        snprintf(weight, sizeof(weight), "%.7g", (double)node->admin.weight);
    if (event == CLUSTER_NODE_OVERRULED)
        LOG(rows[event].message, name, kind, LOG_TEXT("rm_id", writer.text),
            LOG_TEXT("drained", node_is_drained(node) ? "yes" : "no"), LOG_TEXT("weight", weight));
    else if (event == CLUSTER_NODE_DRAINED || event == CLUSTER_NODE_READY)
        LOG(rows[event].message, name, kind, LOG_TEXT("rm_id", writer.text));
    else
        LOG(rows[event].message, name, kind);
}

void event_log_flush(struct event_log *log, uint64_t now_ns)
{
    if (now_ns - log->second_ns < NS_PER_S)
        return;
    if (log->suppressed > 0)
        LOG(MESSAGE_RM_EVENTS_SUPPRESSED, LOG_NUMBER("events", log->suppressed));
    log->second_ns = now_ns;
    log->lines = 0;
    log->suppressed = 0;
}

void event_log_note(struct event_log *log, const struct cluster *cluster, enum cluster_event event, uint32_t slot,
                    uint64_t now_ns)
{
    if (rows[event].counter != COUNTERS)
        counter_add(log->counters, rows[event].counter, 1);
    if (slot == NODE_NONE) {
        LOG(rows[event].message, LOG_NUMBER("fresh", cluster->states[NODE_FRESH].count),
            LOG_NUMBER("last", cluster->states[NODE_LAST].count));
        return;
    }
    event_log_flush(log, now_ns);
    if (log->lines >= EVENT_LINES_PER_SECOND) {
        log->suppressed++;
        return;
    }
    log->lines++;
    node_log(event, &cluster->nodes[slot]);
}
