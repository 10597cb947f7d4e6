/* The request queue under contention: one producer, one consumer, random batches, a small ring so that it is often full and often
 * empty. Every item arrives once, in order, and whole. */
#include <string.h>

#include "core/base/spsc_queue.h"
#include "tests/support/stress.h"

#define WORDS 5 /* an item that lies across cache lines */
#define BATCH_MAX 12

struct item {
    uint64_t words[WORDS];
};

struct run {
    struct spsc_queue queue;
    uint64_t item_count;
};

static size_t batch_choose(struct random_state *random, size_t available, uint64_t left)
{
    size_t batch = 1 + random_below(random, BATCH_MAX);
    if (batch > available)
        batch = available;
    return batch < left ? batch : (size_t)left;
}

static void *produce(void *argument)
{
    struct run *run = argument;
    struct random_state random;
    random_init(&random, 1);
    for (uint64_t next = 0; next < run->item_count;) {
        size_t free_count;
        struct item *items = spsc_queue_reserve(&run->queue, &free_count);
        size_t batch = batch_choose(&random, free_count, run->item_count - next);
        for (size_t i = 0; i < batch; i++, next++)
            for (uint64_t word = 0; word < WORDS; word++)
                items[i].words[word] = next * WORDS + word;
        spsc_queue_publish(&run->queue, batch);
        if (batch == 0)
            sched_yield();
        stress_pause(&random);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct run *run = argument;
    struct random_state random;
    random_init(&random, 2);
    for (uint64_t expected = 0; expected < run->item_count;) {
        size_t filled_count;
        struct item *items = spsc_queue_peek(&run->queue, &filled_count);
        size_t batch = batch_choose(&random, filled_count, run->item_count - expected);
        for (size_t i = 0; i < batch; i++, expected++)
            for (uint64_t word = 0; word < WORDS; word++)
                CHECK(items[i].words[word] == expected * WORDS + word);
        /* What is released may be overwritten: a race here would show. */
        memset(items, 0, batch * sizeof(*items));
        spsc_queue_release(&run->queue, batch);
        if (batch == 0)
            sched_yield();
        stress_pause(&random);
    }
    return NULL;
}

static void run_with(size_t capacity, uint64_t item_count, uint64_t start)
{
    struct run run = {.item_count = item_count};
    CHECK(spsc_queue_init(&run.queue, capacity, sizeof(struct item)) == 0);
    atomic_store(&run.queue.tail, start);
    atomic_store(&run.queue.head, start);
    run.queue.head_cached = start;
    run.queue.tail_cached = start;

    pthread_t threads[2];
    stress_thread_start(&threads[0], produce, &run);
    stress_thread_start(&threads[1], consume, &run);
    /* A third thread's view, while both run. */
    for (int i = 0; i < 1000; i++) {
        CHECK(spsc_queue_length(&run.queue) <= capacity);
        sched_yield();
    }
    stress_threads_join(threads, 2);
    CHECK(spsc_queue_length(&run.queue) == 0);
    spsc_queue_done(&run.queue);
}

int main(int argc, char **argv)
{
    uint32_t item_count = stress_operations(argc, argv, 1000000);
    run_with(8, item_count, UINT64_MAX - item_count / 2); /* the indices overflow on the way */
    run_with(1, item_count / 8 + 1, 0);
    run_with(1024, item_count, 0);
    printf("spsc_queue: %u items through rings of 8, 1 and 1024, in order\n", item_count);
    return 0;
}
