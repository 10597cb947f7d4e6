/* references - what the product's policies are measured against: those that know everything, and those that others use.
 * Thread: one owner. Memory: as policies.h says. */
#pragma once

#include "tools/sim/world.h"

void *oracle_open(struct world *world);
void oracle_close(void *state);
uint32_t oracle_pick(struct world *world, uint32_t dispatcher);
void oracle_on_node(struct world *world, uint32_t node);

void *jiq_open(struct world *world);
void jiq_close(void *state);
uint32_t jiq_pick(struct world *world, uint32_t dispatcher);
void jiq_on_node(struct world *world, uint32_t node);

void *prequal_open(struct world *world);
void prequal_close(void *state);
uint32_t prequal_pick(struct world *world, uint32_t dispatcher);

/* Those that decide on reported queues: stale.c. */
void *stale_open_own(struct world *world);
void *stale_open_two(struct world *world);
void *stale_open_interpretation(struct world *world);
void *stale_open_weighted(struct world *world);
void *stale_open_least(struct world *world);
void stale_close(void *state);
uint32_t stale_pick(struct world *world, uint32_t dispatcher);
void stale_on_report(struct world *world, uint32_t dispatcher, const struct report *report);
