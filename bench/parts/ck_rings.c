/* The rings of Concurrency Kit, to compare with, where its header is there. */
#include <stddef.h>

#include "bench/parts/queue_loops.h"

#if __has_include(<ck_ring.h>)

#include <ck_ring.h>
#include <stdlib.h>

#include "core/base/memory.h"

struct ck_queue {
    ck_ring_t ring;
    ck_ring_buffer_t slots[QUEUE_CAPACITY];
};

static void *ck_make(void)
{
    struct ck_queue *queue = memory_new_aligned(sizeof(*queue));
    if (queue)
        ck_ring_init(&queue->ring, QUEUE_CAPACITY);
    return queue;
}

static inline bool ck_spsc_push(void *queue, uintptr_t item)
{
    struct ck_queue *ck = queue;
    return ck_ring_enqueue_spsc(&ck->ring, ck->slots, (const void *)item);
}

static inline bool ck_spsc_pop(void *queue, uintptr_t *ret_item)
{
    struct ck_queue *ck = queue;
    return ck_ring_dequeue_spsc(&ck->ring, ck->slots, ret_item);
}

static inline bool ck_mpmc_push(void *queue, uintptr_t item)
{
    struct ck_queue *ck = queue;
    return ck_ring_enqueue_mpmc(&ck->ring, ck->slots, (const void *)item);
}

static inline bool ck_mpmc_pop(void *queue, uintptr_t *ret_item)
{
    struct ck_queue *ck = queue;
    return ck_ring_dequeue_mpmc(&ck->ring, ck->slots, ret_item);
}

static const struct queue_access ck_spsc = {ck_spsc_push, ck_spsc_pop};
static const struct queue_access ck_mpmc = {ck_mpmc_push, ck_mpmc_pop};

static int ck_spsc_pairs(struct queue_test *test)
{
    return loop_pairs(ck_spsc, test);
}

static int ck_spsc_rounds(struct queue_test *test)
{
    return loop_rounds(ck_spsc, test);
}

static int ck_spsc_work(void *ctx, uint32_t index, struct crew *crew)
{
    return loop_work(ck_spsc, ctx, index, crew);
}

static int ck_mpmc_pairs(struct queue_test *test)
{
    return loop_pairs(ck_mpmc, test);
}

static int ck_mpmc_rounds(struct queue_test *test)
{
    return loop_rounds(ck_mpmc, test);
}

static int ck_mpmc_work(void *ctx, uint32_t index, struct crew *crew)
{
    return loop_work(ck_mpmc, ctx, index, crew);
}

static const struct queue_kind spsc_kind = {"ck_ring spsc", ck_make, free, ck_spsc_pairs, ck_spsc_rounds, ck_spsc_work};
static const struct queue_kind mpmc_kind = {"ck_ring mpmc", ck_make, free, ck_mpmc_pairs, ck_mpmc_rounds, ck_mpmc_work};
const struct queue_kind *const ck_spsc_kind = &spsc_kind;
const struct queue_kind *const ck_mpmc_kind = &mpmc_kind;

#else

const struct queue_kind *const ck_spsc_kind = NULL;
const struct queue_kind *const ck_mpmc_kind = NULL;

#endif
