/* product - the product's own policies (core/policy) on the product's own data: a snapshot, and values for each dispatcher.
 * Thread: one owner. Memory: as policies.h says. */
#pragma once

#include "tools/sim/world.h"

void *product_open_finish_time(struct world *world);
void *product_open_two_choices(struct world *world);
void *product_open_round_robin(struct world *world);
void *product_open_random(struct world *world);
void *product_open_below_average(struct world *world);
void product_close(void *state);
uint32_t product_pick(struct world *world, uint32_t dispatcher);
void product_on_report(struct world *world, uint32_t dispatcher, const struct report *report);
void product_on_token(struct world *world, uint32_t dispatcher, uint32_t node);
