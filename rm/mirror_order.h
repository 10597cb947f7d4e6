/* mirror_order - nodes whose loads are to be written, put into the order of these before they are.
 *
 * Redis keeps loads in a skip list. Neighbours in it, one after the other, are found on a path that its caches have already: a command
 * of loads in order costs it half of one in any order. Arrivals need no sorting, they come so.
 * A load may have changed when it is written, and a node be gone: the order is only about speed, so who uses it looks at the nodes anew.
 * Thread: the control loop's. Memory: 16 bytes for each node, of as many as ever stood there together; mirror_order_done frees. Nothing
 * blocks: sorting 100,000 takes a millisecond. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

struct mirror_order_item {
    uint32_t key; /* a load's bits: floats ≥ 0 are in the order of their bits */
    uint32_t slot;
};

struct mirror_order {
    struct mirror_order_item *items;
    struct mirror_order_item *spare; /* as many, for sorting */
    uint32_t count;
    uint32_t capacity;
    uint32_t taken; /* items that mirror_order_next has returned */
};

/* Until it is sorted. Each node stands there once, with the load put last (a slot that has got a new node, perhaps twice): *place, whatever
 * it holds at first, is kept with the slot to tell where. -ENOMEM. */
NODISCARD int mirror_order_put(struct mirror_order *order, uint32_t slot, float load, uint32_t *place);

/* From here on slots are taken, until all are, or it is cleared. */
void mirror_order_sort(struct mirror_order *order);

/* Up to `limit` slots, in order; none are left when it returns fewer. */
uint32_t mirror_order_next(struct mirror_order *order, uint32_t limit, uint32_t *slots);

static inline uint32_t mirror_order_left(const struct mirror_order *order)
{
    return order->count - order->taken;
}

void mirror_order_clear(struct mirror_order *order);
void mirror_order_done(struct mirror_order *order);
