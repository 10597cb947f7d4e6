/* mpmc_queue - bounded first-in-first-out ring of pointers between any number of producers and consumers.
 *
 * Invariant: items leave in the order in which their pushes took effect; each is popped once (linearizable, as are "full" and
 * "empty": at some moment within the call the queue was so).
 * Thread: any. Nothing blocks or makes a system call.
 * Progress: lock-free. A thread that is stopped anywhere, for however long, keeps no other from pushing or popping; a single
 * thread may retry while others succeed (not wait-free), and then stays out of their way for some microseconds.
 * Memory: allocated in mpmc_queue_init, freed in mpmc_queue_done; nothing in between. 16 bytes per item.
 * Needs a 16-byte compare-and-swap (cmpxchg16b: every x86-64 processor since 2006).
 *
 * The algorithm and its memory orders are argued in mpmc_queue.c. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

#define MPMC_QUEUE_CAPACITY_MIN 2u
#define MPMC_QUEUE_CAPACITY_MAX (UINT32_C(1) << 28)

/* `turn` is t while the cell waits for ticket t's item, t + 1 while it holds it. */
struct mpmc_cell {
    union {
        struct {
            uint64_t turn;
            void *item;
        };
        unsigned __int128 pair; /* both, for the compare-and-swap */
    };
};

struct mpmc_queue {
    /* Never changes after init. */
    ALIGN_CACHE_LINE struct mpmc_cell *cells;
    uint64_t capacity; /* power of two */

    /* Lower bounds of the next ticket to push and to pop: where to start looking. */
    ALIGN_CACHE_LINE _Atomic uint64_t tail;
    ALIGN_CACHE_LINE _Atomic uint64_t head;
};

/* capacity: a power of two, MPMC_QUEUE_CAPACITY_MIN … MAX. -EINVAL, -ENOMEM: the queue is left untouched. */
NODISCARD int mpmc_queue_init(struct mpmc_queue *queue, size_t capacity);

/* When no thread uses the queue any more. Items still inside are forgotten. */
void mpmc_queue_done(struct mpmc_queue *queue);

/* -EAGAIN: full. Any item, NULL too. A push that succeeds is a seq_cst read-modify-write, and an empty pop a seq_cst load: what
 * parking.h asks of its condition. */
NODISCARD int mpmc_queue_push(struct mpmc_queue *queue, void *item);

/* -EAGAIN: empty. */
NODISCARD int mpmc_queue_pop(struct mpmc_queue *queue, void **ret_item);

/* How many items are inside: exact while nobody pushes or pops, else true of about now; 0 … capacity. */
size_t mpmc_queue_length(const struct mpmc_queue *queue);
