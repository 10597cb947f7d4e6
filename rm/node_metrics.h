/* node_metrics - what a node tells of itself, by name, and how fast each value changes (requirements N8, N10): for those who watch.
 *
 *     rate = |Z − Z′| / T, Z and Z′ the metric's values in two messages in a row, T the time between them
 *
 * All that a heartbeat's metadata say, and what else a node names over HTTP, its own. Values come and go with the boot that told them, those
 * of its own also when it tells so many others that there is no room for them any longer.
 * Invariant: a name stands once; at most NODE_METRICS_OWN_MAX of a node beside those of metadata.def, which always find room.
 * Thread: the control loop's. Memory: 80 bytes a metric, belongs to the node; node_metrics_clear frees. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

struct node;

#define NODE_METRIC_NAME_BYTES_MAX 47u
#define NODE_METRICS_OWN_MAX 32u /* that are none of metadata.def */

struct node_metric {
    char name[NODE_METRIC_NAME_BYTES_MAX + 1];
    double value;
    double rate; /* by the second; 0 after its first value */
    uint64_t at_ns; /* when it was told */
    uint64_t telling; /* the last one of its own that it stood in; 0: it is one of metadata.def */
};

/* What a node tells. */
struct node_metric_told {
    const char *name;
    double value;
};

struct node_metrics {
    uint64_t boot_id; /* who told them */
    uint32_t count;
    uint32_t own_count; /* of these, that are none of metadata.def */
    uint64_t tellings; /* of its own, so far */
    struct node_metric item[];
};

/* 1 to NODE_METRIC_NAME_BYTES_MAX of [a-zA-Z0-9_], not a digit first: what Prometheus takes. */
bool node_metric_name_valid(const char *name);

/* Those of its own that a message holds, all different and at most NODE_METRICS_OWN_MAX. Where there is no room for all that it has told, those
 * go that it has not told for longest. Without memory the rest is left out, as with node_metrics_take. */
void node_metrics_tell(struct node *node, const struct node_metric_told *told, uint32_t count, uint64_t now_ns);

/* All that its metadata say now. Without memory for it, the rest is left out: these are only for those who watch. */
void node_metrics_take(struct node *node, uint64_t now_ns);

void node_metrics_clear(struct node *node);
