/* mpmc_queue_start - puts an empty queue where it would be after `ticket` pushes and pops, so that tests reach the overflow of
 * the 64-bit tickets, which no run of a program ever does. Thread: before any other uses the queue. */
#pragma once

#include "core/base/mpmc_queue.h"

static inline void mpmc_queue_start(struct mpmc_queue *queue, uint64_t ticket)
{
    for (uint64_t t = ticket; t != ticket + queue->capacity; t++)
        queue->cells[t & (queue->capacity - 1)].turn = t;
    atomic_store(&queue->tail, ticket);
    atomic_store(&queue->head, ticket);
}
