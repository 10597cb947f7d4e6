/* The queue between one producer and one consumer: by single items, as ck_ring has it, and in batches, as a dispatcher's core uses it. */
#include <stdlib.h>

#include "bench/parts/queue_bench.h"
#include "core/base/memory.h"
#include "core/base/spsc_queue.h"

static void *spsc_make(void)
{
    struct spsc_queue *queue = memory_new_aligned(sizeof(*queue));
    if (queue && spsc_queue_init(queue, QUEUE_CAPACITY, sizeof(uintptr_t)) < 0) {
        free(queue);
        return NULL;
    }
    return queue;
}

static void spsc_free(void *queue)
{
    spsc_queue_done(queue);
    free(queue);
}

static inline bool spsc_push(void *queue, uintptr_t item)
{
    size_t count;
    uintptr_t *slot = spsc_queue_reserve(queue, &count);
    if (count == 0)
        return false;
    *slot = item;
    spsc_queue_publish(queue, 1);
    return true;
}

static inline bool spsc_pop(void *queue, uintptr_t *ret_item)
{
    size_t count;
    const uintptr_t *slot = spsc_queue_peek(queue, &count);
    if (count == 0)
        return false;
    *ret_item = *slot;
    spsc_queue_release(queue, 1);
    return true;
}

static const struct queue_access spsc_access = {spsc_push, spsc_pop};

static int spsc_pairs(struct queue_test *test)
{
    return loop_pairs(spsc_access, test);
}

static int spsc_rounds(struct queue_test *test)
{
    return loop_rounds(spsc_access, test);
}

static int spsc_work(void *ctx, uint32_t index, struct crew *crew)
{
    return loop_work(spsc_access, ctx, index, crew);
}

/* In batches: the next numbers into what is free, at most QUEUE_BATCH and up to `last`. Returns how many. */
static uint64_t batch_push(struct spsc_queue *queue, uint64_t next, uint64_t last)
{
    size_t count;
    uintptr_t *slots = spsc_queue_reserve(queue, &count);
    if (count > QUEUE_BATCH)
        count = QUEUE_BATCH;
    if (count > last + 1 - next)
        count = last + 1 - next;
    for (size_t i = 0; i < count; i++)
        slots[i] = next + i;
    spsc_queue_publish(queue, count);
    return count;
}

/* What there is, at most QUEUE_BATCH. Returns how many; *ret_wrong: not the numbers from `next` on. */
static uint64_t batch_pop(struct spsc_queue *queue, uint64_t next, uint64_t *ret_wrong)
{
    size_t count;
    const uintptr_t *slots = spsc_queue_peek(queue, &count);
    if (count > QUEUE_BATCH)
        count = QUEUE_BATCH;
    for (size_t i = 0; i < count; i++)
        *ret_wrong |= slots[i] ^ (next + i);
    spsc_queue_release(queue, count);
    return count;
}

static int batch_rounds(struct queue_test *test)
{
    uint64_t wrong = 0;
    for (uint64_t pushed = 0, popped = 0; popped < test->count;) {
        pushed += batch_push(test->queue, pushed + 1, test->count);
        popped += batch_pop(test->queue, popped + 1, &wrong);
    }
    return wrong ? -EBADMSG : 0;
}

static int batch_produce(struct queue_test *test, struct crew *crew)
{
    uint32_t tries = 0;
    for (uint64_t next = 1; next <= test->count;) {
        uint64_t count = batch_push(test->queue, next, test->count);
        next += count;
        if (count == 0 && !crew_wait(crew, &tries))
            return -ETIMEDOUT;
    }
    return 0;
}

static int batch_consume(struct queue_test *test, struct crew *crew)
{
    uint64_t wrong = 0, next = 1;
    uint32_t tries = 0;
    while (next <= test->count) {
        uint64_t count = batch_pop(test->queue, next, &wrong);
        next += count;
        if (count == 0 && !crew_wait(crew, &tries))
            return -ETIMEDOUT;
    }
    struct queue_seen seen = {.count = test->count, .sum = test->count * (test->count + 1) / 2};
    return wrong ? -EBADMSG : seen_add(test, &seen);
}

static int batch_work(void *ctx, uint32_t index, struct crew *crew)
{
    return index == 0 ? batch_produce(ctx, crew) : batch_consume(ctx, crew);
}

static const struct queue_kind spsc_kind = {"spsc_queue", spsc_make, spsc_free, spsc_pairs, spsc_rounds, spsc_work};
static const struct queue_kind batch_kind = {
    "spsc_queue in batches", spsc_make, spsc_free, batch_rounds, batch_rounds, batch_work};

int micro_spsc(struct micro *micro)
{
    const struct queue_kind *const kinds[] = {ck_spsc_kind, &spsc_kind, &batch_kind};
    const enum queue_way ways[] = {QUEUE_ROUNDS, QUEUE_ONE_TO_ONE};
    const double goals[] = {0, 1.5};
    if (!ck_spsc_kind)
        micro_note(micro,
                   "no comparison with ck_ring: <ck_ring.h> was missing when this was built; run tools/deps bench, build again");
    return queue_bench_compare(micro, kinds, ARRAY_COUNT(kinds), ways, goals, ARRAY_COUNT(ways));
}
