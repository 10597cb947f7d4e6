/* spsc_queue - bounded first-in-first-out ring of fixed-size items between one producer and one consumer: the dispatcher's
 * request queue (requirements D2, D3).
 *
 * Items are written and read in place, in batches: reserve slots, fill them, publish; peek at filled slots, use them, release.
 * Invariant: 0 ≤ tail − head ≤ capacity; slots [head, tail) belong to the consumer, the others to the producer.
 * Thread: one producer, one consumer, which may be the same thread; spsc_queue_length from any.
 * Progress: every function is wait-free; nothing blocks. Full: reserve says 0 slots, and the producer decides what happens.
 * Memory: allocated in spsc_queue_init, freed in spsc_queue_done; nothing in between.
 *
 * Orders (Lamport 1983; cached peer index after Rigtorp's SPSCQueue, https://github.com/rigtorp/SPSCQueue). Each index has one
 * writer, which may read its own index relaxed. publish stores tail with release and peek loads it with acquire, so a slot's
 * bytes are seen whole by the consumer. release stores head with release and reserve loads it with acquire, so the consumer's
 * last read of a slot happens before the producer's next write to it. The peer's index is loaded only when the copy kept from
 * the last time leaves nothing to do: otherwise the two cache lines stay where they are. A stale copy errs on the safe side,
 * since the peer's index only grows. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/check.h"
#include "core/base/macros.h"

#define SPSC_QUEUE_CAPACITY_MAX (UINT32_C(1) << 30)

struct spsc_queue {
    /* Never changes after init; both sides read it. */
    ALIGN_CACHE_LINE uint8_t *slots;
    size_t item_bytes;
    uint64_t capacity; /* power of two */

    /* The producer's line. The indices count items since init; the slot is the index modulo capacity. */
    ALIGN_CACHE_LINE _Atomic uint64_t tail;
    uint64_t head_cached;

    /* The consumer's line. */
    ALIGN_CACHE_LINE _Atomic uint64_t head;
    uint64_t tail_cached;
};

/* capacity: a power of two, 1 … SPSC_QUEUE_CAPACITY_MAX; item_bytes ≥ 1, a multiple of the item's alignment as sizeof gives it;
 * slots start on a cache line. -EINVAL, -ENOMEM: the queue is left untouched. */
NODISCARD int spsc_queue_init(struct spsc_queue *queue, size_t capacity, size_t item_bytes);

/* When neither side uses the queue any more. Items still inside are forgotten. */
void spsc_queue_done(struct spsc_queue *queue);

static inline void *spsc_queue_slot(const struct spsc_queue *queue, uint64_t index)
{
    return queue->slots + (index & (queue->capacity - 1)) * queue->item_bytes;
}

/* From `index` on, `count` slots: how many of them lie behind each other before the ring starts over. */
static inline size_t spsc_queue_contiguous(const struct spsc_queue *queue, uint64_t index, uint64_t count)
{
    uint64_t until_end = queue->capacity - (index & (queue->capacity - 1));
    return (size_t)(count < until_end ? count : until_end);
}

/* Producer: the next free slots; *ret_count of them are contiguous, at least 1 unless the queue is full. Uninitialised or with
 * an old item's bytes. There may be more after publishing these (the ring's start), so a batch may need two rounds. */
NODISCARD static inline void *spsc_queue_reserve(struct spsc_queue *queue, size_t *ret_count)
{
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint64_t free_count = queue->capacity - (tail - queue->head_cached);
    if (UNLIKELY(free_count == 0)) {
        queue->head_cached = atomic_load_explicit(&queue->head, memory_order_acquire);
        free_count = queue->capacity - (tail - queue->head_cached);
    }
    *ret_count = spsc_queue_contiguous(queue, tail, free_count);
    return spsc_queue_slot(queue, tail);
}

/* Producer: hands over the first `count` of the slots that spsc_queue_reserve gave; 0 is allowed. */
static inline void spsc_queue_publish(struct spsc_queue *queue, size_t count)
{
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    DEBUG_CHECK(tail + count - queue->head_cached <= queue->capacity);
    atomic_store_explicit(&queue->tail, tail + count, memory_order_release);
}

/* Consumer: the oldest filled slots; *ret_count of them are contiguous, at least 1 unless the queue is empty. They stay the
 * consumer's, to read or to write, until released. */
NODISCARD static inline void *spsc_queue_peek(struct spsc_queue *queue, size_t *ret_count)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint64_t filled_count = queue->tail_cached - head;
    if (filled_count == 0) {
        queue->tail_cached = atomic_load_explicit(&queue->tail, memory_order_acquire);
        filled_count = queue->tail_cached - head;
    }
    *ret_count = spsc_queue_contiguous(queue, head, filled_count);
    return spsc_queue_slot(queue, head);
}

/* Consumer: gives back the first `count` of the slots that spsc_queue_peek showed; 0 is allowed. */
static inline void spsc_queue_release(struct spsc_queue *queue, size_t count)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    DEBUG_CHECK(count <= queue->tail_cached - head);
    atomic_store_explicit(&queue->head, head + count, memory_order_release);
}

/* How many items are inside: exact on a thread that is both sides, else true of some moment near now, 0 … capacity. head is
 * loaded before tail, so the difference never goes below 0; it may exceed the capacity by what went through in between. */
static inline size_t spsc_queue_length(const struct spsc_queue *queue)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint64_t length = tail - head;
    return (size_t)(length < queue->capacity ? length : queue->capacity);
}
