/* node - a simulated node: its queue, its slots, its speed, and the product's code that reports on them.
 * Thread: one owner. */
#pragma once

#include "tools/sim/world.h"

#define NODE_SAMPLE_NS (100 * NS_PER_MS) /* as --load-window 1s and --load-samples 10 */

/* A node that is down loses the job. */
void sim_node_take_job(struct world *world, uint32_t node, uint32_t job);

/* `slot` << 32 | generation; does nothing when the speed has changed since this end was planned. */
void sim_node_end_job(struct world *world, uint32_t node, uint64_t slot_generation);

/* > 0. What runs goes on at the new speed. */
void sim_node_set_speed(struct world *world, uint32_t node, double speed);

/* Down: all its jobs are lost. */
void sim_node_set_up(struct world *world, uint32_t node, bool up);

/* Samples the load, and plans the next sample. */
void sim_node_sample(struct world *world, uint32_t node);

void sim_node_report(struct world *world, uint32_t node, struct report *ret_report);
