/* The many-to-many queue under contention, and proof that what it did was first in first out.
 *
 * Every push and pop notes a moment (from one counter) before it begins and after it ended. Afterwards a sweep over all moments
 * looks for what no first-in-first-out queue could have done:
 *   - an item popped never, twice, or with another's payload; a consumer seeing one producer's items out of order;
 *   - A's push ended before B's began, yet B's pop ended before A's began;
 *   - a pop that said "empty" although some item was inside from before it began until after it ended;
 *   - a push that said "full" although at no moment of it as many items as the capacity could have been inside. */
#include <errno.h>

#include "core/base/mpmc_queue.h"
#include "tests/support/mpmc_queue_start.h"
#include "tests/support/stress.h"

#define THREADS_EACH_MAX 4u
#define REFUSALS_MAX 20000u /* noted per thread; the rest goes unchecked */

struct item {
    uint32_t producer;
    uint32_t sequence;
    uint64_t payload;
    uint64_t push_begin, push_end; /* the producer's */
    uint64_t pop_begin, pop_end; /* the consumer's */
    uint32_t popped_count;
};

/* A pop that found the queue empty, or a push that found it full. */
struct refusal {
    uint64_t begin, end;
};

struct side {
    struct run *run;
    uint32_t index;
    uint32_t refusal_count;
    struct refusal *refusals;
};

struct run {
    struct mpmc_queue queue;
    _Atomic uint64_t moment;
    _Atomic uint32_t popped_count;
    uint32_t each_count; /* producers, and as many consumers */
    uint32_t item_count; /* per producer */
    struct item *items; /* each_count × item_count */
    struct side producers[THREADS_EACH_MAX];
    struct side consumers[THREADS_EACH_MAX];
};

enum event_kind { EVENT_PUSH_BEGIN, EVENT_PUSH_END, EVENT_POP_END, EVENT_EMPTY_BEGIN, EVENT_FULL_BEGIN, EVENT_FULL_END };

struct event {
    uint64_t moment;
    enum event_kind kind;
    uint64_t other; /* of an item: the moment its pop began or ended; of a refusal: its end, or how it stood at its begin */
};

/* Relaxed on purpose: the counter must give ThreadSanitizer no happens-before that the queue itself should have given. Its order
 * relative to the queue's operations holds all the same: calls into another translation unit on the compiler's side, a locked
 * instruction on the processor's. */
static uint64_t moment_next(struct run *run)
{
    return atomic_fetch_add_explicit(&run->moment, 1, memory_order_relaxed);
}

static void refusal_note(struct side *side, uint64_t begin)
{
    if (side->refusal_count < REFUSALS_MAX)
        side->refusals[side->refusal_count++] = (struct refusal){.begin = begin, .end = moment_next(side->run)};
}

static uint64_t payload_of(uint32_t producer, uint32_t sequence)
{
    return ((uint64_t)producer << 32 | sequence) * UINT64_C(0x9e3779b97f4a7c15);
}

static void *produce(void *argument)
{
    struct side *side = argument;
    struct run *run = side->run;
    struct random_state random;
    random_init(&random, side->index);
    for (uint32_t i = 0; i < run->item_count; i++) {
        struct item *item = &run->items[side->index * run->item_count + i];
        item->producer = side->index;
        item->sequence = i;
        item->payload = payload_of(side->index, i);
        for (;;) {
            item->push_begin = moment_next(run);
            stress_pause(&random);
            int r = mpmc_queue_push(&run->queue, item);
            if (r == 0)
                break;
            CHECK(r == -EAGAIN);
            refusal_note(side, item->push_begin);
            sched_yield();
        }
        item->push_end = moment_next(run);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct side *side = argument;
    struct run *run = side->run;
    struct random_state random;
    random_init(&random, 100 + side->index);
    int64_t sequence_last[THREADS_EACH_MAX] = {-1, -1, -1, -1};
    uint32_t all_count = run->each_count * run->item_count;
    while (atomic_load_explicit(&run->popped_count, memory_order_relaxed) < all_count) {
        uint64_t begin = moment_next(run);
        void *popped;
        int r = mpmc_queue_pop(&run->queue, &popped);
        if (r != 0) {
            CHECK(r == -EAGAIN);
            refusal_note(side, begin);
            sched_yield();
            continue;
        }
        stress_pause(&random);
        struct item *item = popped;
        item->pop_begin = begin;
        item->pop_end = moment_next(run);
        item->popped_count++;
        CHECK(item->payload == payload_of(item->producer, item->sequence));
        CHECK(item->sequence > sequence_last[item->producer]);
        sequence_last[item->producer] = item->sequence;
        atomic_fetch_add_explicit(&run->popped_count, 1, memory_order_relaxed);
        CHECK(mpmc_queue_length(&run->queue) <= run->queue.capacity);
    }
    return NULL;
}

static int event_compare(const void *a, const void *b)
{
    const struct event *left = a, *right = b;
    return (left->moment > right->moment) - (left->moment < right->moment);
}

/* All that happened, by moment. */
static struct event *events_collect(const struct run *run, size_t *ret_count)
{
    size_t all_count = (size_t)run->each_count * run->item_count;
    struct event *events = stress_allocate(all_count * 3 + (size_t)REFUSALS_MAX * THREADS_EACH_MAX * 3, sizeof(*events));
    size_t count = 0;
    for (size_t i = 0; i < all_count; i++) {
        const struct item *item = &run->items[i];
        CHECK(item->popped_count == 1);
        events[count++] = (struct event){item->push_begin, EVENT_PUSH_BEGIN, item->pop_end};
        events[count++] = (struct event){item->push_end, EVENT_PUSH_END, item->pop_begin};
        events[count++] = (struct event){item->pop_end, EVENT_POP_END, 0};
    }
    for (uint32_t t = 0; t < run->each_count; t++) {
        for (uint32_t i = 0; i < run->consumers[t].refusal_count; i++) {
            const struct refusal *empty = &run->consumers[t].refusals[i];
            events[count++] = (struct event){empty->begin, EVENT_EMPTY_BEGIN, empty->end};
        }
        for (uint32_t i = 0; i < run->producers[t].refusal_count; i++) {
            const struct refusal *full = &run->producers[t].refusals[i];
            events[count++] = (struct event){full->begin, EVENT_FULL_BEGIN, full->end};
            events[count++] = (struct event){full->end, EVENT_FULL_END, full->begin};
        }
    }
    qsort(events, count, sizeof(*events), event_compare);
    *ret_count = count;
    return events;
}

/* The pops ended by each "full"'s begin, found again at its end by the same begin: a thread has one refusal at a time, so a
 * small table of those in progress is enough. */
struct full_in_progress {
    uint64_t begin;
    uint64_t popped_count;
};

static void order_verify(const struct run *run)
{
    size_t count;
    struct event *events = events_collect(run, &count);
    struct full_in_progress fulls[THREADS_EACH_MAX] = {0};
    uint64_t pushes_begun = 0, pops_ended = 0;
    uint64_t pop_begin_max = 0; /* among the items whose push has ended */
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &events[i];
        uint32_t slot = 0;
        switch (event->kind) {
        case EVENT_PUSH_BEGIN: /* other: when this one's pop ended */
            CHECK(pop_begin_max < event->other);
            pushes_begun++;
            break;
        case EVENT_PUSH_END: /* other: when this one's pop began */
            pop_begin_max = event->other > pop_begin_max ? event->other : pop_begin_max;
            break;
        case EVENT_POP_END: pops_ended++; break;
        case EVENT_EMPTY_BEGIN: CHECK(pop_begin_max < event->other); break; /* other: when it said "empty" */
        case EVENT_FULL_BEGIN:
            while (fulls[slot].begin != 0)
                CHECK(++slot < THREADS_EACH_MAX);
            fulls[slot] = (struct full_in_progress){.begin = event->moment, .popped_count = pops_ended};
            break;
        case EVENT_FULL_END: /* other: when it began */
            while (fulls[slot].begin != event->other)
                CHECK(++slot < THREADS_EACH_MAX);
            CHECK(pushes_begun - fulls[slot].popped_count >= run->queue.capacity);
            fulls[slot].begin = 0;
            break;
        }
    }
    free(events);
}

static void run_with(uint32_t each_count, size_t capacity, uint32_t item_count, uint64_t start)
{
    struct run run = {.moment = 1, .each_count = each_count, .item_count = item_count};
    CHECK(mpmc_queue_init(&run.queue, capacity) == 0);
    mpmc_queue_start(&run.queue, start);
    run.items = stress_allocate((size_t)each_count * item_count, sizeof(*run.items));

    pthread_t threads[THREADS_EACH_MAX * 2];
    for (uint32_t i = 0; i < each_count; i++) {
        struct refusal *refusals = stress_allocate((size_t)REFUSALS_MAX * 2, sizeof(*refusals));
        run.producers[i] = (struct side){.run = &run, .index = i, .refusals = refusals};
        run.consumers[i] = (struct side){.run = &run, .index = i, .refusals = refusals + REFUSALS_MAX};
        stress_thread_start(&threads[i], produce, &run.producers[i]);
        stress_thread_start(&threads[each_count + i], consume, &run.consumers[i]);
    }
    stress_threads_join(threads, each_count * 2);
    CHECK(mpmc_queue_length(&run.queue) == 0);
    order_verify(&run);

    for (uint32_t i = 0; i < each_count; i++)
        free(run.producers[i].refusals);
    free(run.items);
    mpmc_queue_done(&run.queue);
}

int main(int argc, char **argv)
{
    uint32_t item_count = stress_operations(argc, argv, 200000);
    run_with(4, 8, item_count / 8 + 1, UINT64_MAX - item_count / 4); /* the tickets overflow on the way */
    run_with(4, 2, item_count / 16 + 1, 0);
    run_with(2, 1024, item_count / 4 + 1, 0);
    run_with(1, 8, item_count / 4 + 1, 0);
    /* More room than items: here every "full" is a lie. */
    for (uint32_t i = 0; i < item_count; i += 10000)
        run_with(4, 1024, 255, 0);
    printf("mpmc_queue: %u items per ring, first in first out, empty and full told truly\n", item_count);
    return 0;
}
