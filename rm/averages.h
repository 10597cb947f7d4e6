/* averages - which nodes count in the averages of their services, and which of them are marked as below (requirement R3); and which stand
 * by, to be picked when no node counts.
 *
 * Examined: fresh, not drained by an operator, not leaving, taking jobs. When a load changes only the node's own marks are looked
 * at; the others' follow within 100 ms (500 ms with 100,000 nodes), in slices (cluster_averages_step). If that left a service without
 * a mark, all of its nodes are looked at at once: a service with examined nodes always has one that is marked.
 * Standing by: expired and still listed, and else as the examined ones.
 * Thread: the control loop's. Memory: the cluster's. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "rm/cluster.h"

/* Makes the node examined, standing by, or neither, as its state and flags say. -ENOMEM: it is neither. */
NODISCARD int averages_update(struct cluster *cluster, uint32_t slot);

/* Neither examined nor standing by any more, whatever its state says: before its services change, or it goes. */
void averages_leave(struct cluster *cluster, uint32_t slot);

/* After load_index of the node changed from old_load. */
void averages_load_changed(struct cluster *cluster, uint32_t slot, float old_load);
