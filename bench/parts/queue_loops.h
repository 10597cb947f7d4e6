/* queue_loops - what queues are measured with: loops that fill and empty one, and check the order of all that comes out.
 *
 * They are inlined into each queue's own functions (struct queue_kind), so that no call stands between loop and queue that would not
 * stand there in a program.
 * An item says who pushed it and the how manieth it was.
 * Thread: as said; a test belongs to one measurement. */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/parts/crew.h"

#define QUEUE_CAPACITY 1024u
#define QUEUE_BATCH 32u
#define QUEUE_PRODUCERS_MAX 2u
#define ITEM_PRODUCER_SHIFT 56

/* One queue under test. The first `producers` threads of a crew push, the others pop; without poppers each does both in turn. */
struct queue_test {
    void *queue;
    uint64_t count; /* items of each producer */
    uint32_t producers;
    _Atomic uint32_t producers_done;
    _Atomic uint64_t popped;
    _Atomic uint64_t popped_sum; /* of the items' numbers */
};

/* One item in or out; false: full, empty. */
struct queue_access {
    bool (*push)(void *queue, uintptr_t item);
    bool (*pop)(void *queue, uintptr_t *ret_item);
};

/* All are given a struct queue_test. */
struct queue_kind {
    const char *name;
    void *(*make)(void); /* NULL: out of memory */
    void (*free)(void *queue);
    int (*pairs)(struct queue_test *test); /* one thread: one in, one out */
    int (*rounds)(struct queue_test *test); /* one thread: QUEUE_BATCH in, QUEUE_BATCH out */
    int (*work)(void *ctx, uint32_t index, struct crew *crew); /* of a crew */
};

/* NULL: not built in. */
extern const struct queue_kind *const ck_spsc_kind;
extern const struct queue_kind *const ck_mpmc_kind;

#define QUEUE_LOOP static inline __attribute__((always_inline))

QUEUE_LOOP int loop_pairs(struct queue_access access, struct queue_test *test)
{
    uintptr_t item;
    for (uint64_t i = 1; i <= test->count; i++)
        if (!access.push(test->queue, i) || !access.pop(test->queue, &item) || item != i)
            return -EBADMSG;
    return 0;
}

QUEUE_LOOP int loop_rounds(struct queue_access access, struct queue_test *test)
{
    uintptr_t item;
    for (uint64_t done = 0; done < test->count; done += QUEUE_BATCH) {
        for (uint64_t i = 1; i <= QUEUE_BATCH; i++)
            if (!access.push(test->queue, done + i))
                return -EBADMSG;
        for (uint64_t i = 1; i <= QUEUE_BATCH; i++)
            if (!access.pop(test->queue, &item) || item != done + i)
                return -EBADMSG;
    }
    return 0;
}

QUEUE_LOOP int loop_produce(struct queue_access access, struct queue_test *test, uint32_t index, struct crew *crew)
{
    uint32_t tries = 0;
    for (uint64_t i = 1; i <= test->count; i++)
        while (!access.push(test->queue, (uintptr_t)index << ITEM_PRODUCER_SHIFT | i))
            if (!crew_wait(crew, &tries))
                return -ETIMEDOUT;
    atomic_fetch_add(&test->producers_done, 1);
    return 0;
}

/* What one consumer has seen. */
struct queue_seen {
    uint64_t last[QUEUE_PRODUCERS_MAX];
    uint64_t count;
    uint64_t sum;
};

/* Each producer's items come in their order. */
QUEUE_LOOP bool item_check(struct queue_seen *seen, uintptr_t item)
{
    uint64_t number = item & ((UINT64_C(1) << ITEM_PRODUCER_SHIFT) - 1);
    uint64_t *last = &seen->last[item >> ITEM_PRODUCER_SHIFT];
    bool in_order = number > *last;
    *last = number;
    seen->count++;
    seen->sum += number;
    return in_order;
}

QUEUE_LOOP int seen_add(struct queue_test *test, const struct queue_seen *seen)
{
    atomic_fetch_add(&test->popped, seen->count);
    atomic_fetch_add(&test->popped_sum, seen->sum);
    return 0;
}

QUEUE_LOOP int loop_consume(struct queue_access access, struct queue_test *test, struct crew *crew)
{
    struct queue_seen seen = {.count = 0};
    uint32_t tries = 0;
    uintptr_t item;
    for (;;) {
        /* Before the look into the queue: what the producers had pushed by then would be found. */
        bool done = atomic_load_explicit(&test->producers_done, memory_order_acquire) == test->producers;
        while (access.pop(test->queue, &item))
            if (!item_check(&seen, item))
                return -EBADMSG;
        if (done)
            return seen_add(test, &seen);
        if (!crew_wait(crew, &tries))
            return -ETIMEDOUT;
    }
}

QUEUE_LOOP int loop_both(struct queue_access access, struct queue_test *test, uint32_t index, struct crew *crew)
{
    struct queue_seen seen = {.count = 0};
    uint32_t tries = 0;
    uintptr_t item;
    for (uint64_t i = 1; i <= test->count; i++) {
        while (!access.push(test->queue, (uintptr_t)index << ITEM_PRODUCER_SHIFT | i))
            if (!crew_wait(crew, &tries))
                return -ETIMEDOUT;
        while (!access.pop(test->queue, &item))
            if (!crew_wait(crew, &tries))
                return -ETIMEDOUT;
        if (!item_check(&seen, item))
            return -EBADMSG;
    }
    return seen_add(test, &seen);
}

QUEUE_LOOP int loop_work(struct queue_access access, struct queue_test *test, uint32_t index, struct crew *crew)
{
    if (crew->size == test->producers)
        return loop_both(access, test, index, crew);
    return index < test->producers ? loop_produce(access, test, index, crew) : loop_consume(access, test, crew);
}
