#include "rm/event_log.h"

#include "core/base/clock.h"
#include "core/base/log.h"

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
    [CLUSTER_NODE_SET_BACK] = {MESSAGE_RM_NODE_SET_BACK, COUNTERS},
    [CLUSTER_NAME_COLLISION] = {MESSAGE_RM_NAME_COLLISION, COUNTERS},
    [CLUSTER_PROTECTION_BEGAN] = {MESSAGE_RM_PROTECTION_BEGAN, COUNTER_PROTECTIONS},
    [CLUSTER_PROTECTION_ENDED] = {MESSAGE_RM_PROTECTION_ENDED, COUNTERS},
    [CLUSTER_RESUMED] = {MESSAGE_RM_RESUMED, COUNTER_RM_PAUSES},
};

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
    char address[ADDRESS_TEXT_BYTES];
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
    const struct node *node = &cluster->nodes[slot];
    LOG(rows[event].message, LOG_TEXT("node", address_format(&node->address, address)),
        LOG_TEXT("kind", node->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker"));
}
