/* nodes - a directory as a dispatcher's cores see it, of as many nodes as wanted, to pick from.
 * Thread: built by the main thread. Memory: micro_nodes_init allocates. */
#pragma once

#include "core/policy/policy.h"
#include "dispatcher/view.h"

#define MICRO_SERVICES 4u /* which every node offers */

struct micro_nodes {
    uint32_t count;
    struct node_values *values;
    struct view *view;
    struct snapshot_share *shares; /* of the view's services, for the weighted policy */
    struct finish_time finish;
};

extern const uint32_t micro_node_counts[];
#define MICRO_NODE_COUNTS 5u

/* -ENOMEM. */
NODISCARD int micro_nodes_init(struct micro_nodes *nodes, uint32_t count);
void micro_nodes_done(struct micro_nodes *nodes);

/* Another view of the same nodes, in which all weigh alike. -ENOMEM. */
NODISCARD int micro_nodes_view(const struct micro_nodes *nodes, struct view **ret_view);

/* What node `slot` reports: a load around 1, half of the nodes below average. It weighs 2 less its load. */
struct node_report micro_node_report(uint32_t slot, uint64_t sequence);

uint64_t micro_service_id(uint32_t index); /* index < MICRO_SERVICES */
