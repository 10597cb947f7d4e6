/* event_log - counts and logs what happens to nodes, a line each as long as they are few.
 * Thread: the control loop's. Memory: a member of its owner. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "rm/cluster.h"

#define EVENT_LINES_PER_SECOND 20u

struct event_log {
    struct counters *counters;
    uint64_t second_ns; /* when the second in progress began */
    uint32_t lines; /* in it */
    uint64_t suppressed; /* since the last line that told so */
};

/* slot NODE_NONE: the event is about the cluster. */
void event_log_note(struct event_log *log, const struct cluster *cluster, enum cluster_event event, uint32_t slot,
                    uint64_t now_ns);

/* Says how many lines were left out, when their second is over. Call now and then. */
void event_log_flush(struct event_log *log, uint64_t now_ns);
