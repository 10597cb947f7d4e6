/* membership - nodes come, change their state, and go: the steps that heartbeats, sweeps and restoring share.
 * Thread: the control loop's. Memory: the cluster's; what hangs off a node is the node's. Nothing blocks. */
#pragma once

#include "rm/cluster.h"

/* The node's slot; a new node is NODE_REGISTERED. -ENOSPC: CLUSTER_NODES_MAX. -ENOMEM. */
NODISCARD int membership_put(struct cluster *cluster, struct cluster_time now, const struct address *address, uint32_t *ret_slot);

/* Frees a slot whose node is not listed. */
void membership_forget(struct cluster *cluster, uint32_t slot);

/* Moves the node into a state, to the end of the state's list, also when it is in that state already; keeps the list of changes,
 * averages, the dispatchers and the fault list of the mirror in step. -ENOMEM: the state is entered, but the node is not
 * examined, or not among the dispatchers of acknowledgements. */
NODISCARD int membership_enter(struct cluster *cluster, uint32_t slot, enum node_state state);

/* Replaces the node's services by others, each named once. Not while it is examined. -ENOMEM and -ENOSPC leave it without
 * services. */
NODISCARD int membership_set_services(struct cluster *cluster, uint32_t slot, const struct wire_service_load *services,
                                      uint8_t count);

/* What hangs off one node. -ENOMEM leaves it as it was. */
NODISCARD int node_set_echoes(struct node *node, const struct wire_echo *echoes, uint8_t count);

/* A copy, cut to NODE_REASON_BYTES_MAX, between characters; out of memory means none. NULL: none. */
void node_set_reason(struct node *node, const char *reason);

/* Frees what hangs off it; the slot is then free. */
void node_release(struct node *node);
