/* The queues between any number of threads: mpmc_queue, and the job queue made of it. */
#include <stdlib.h>

#include "bench/parts/queue_bench.h"
#include "core/base/job_queue.h"
#include "core/base/memory.h"
#include "core/base/mpmc_queue.h"

static void *mpmc_make(void)
{
    struct mpmc_queue *queue = memory_new_aligned(sizeof(*queue));
    if (queue && mpmc_queue_init(queue, QUEUE_CAPACITY) < 0) {
        free(queue);
        return NULL;
    }
    return queue;
}

static void mpmc_free(void *queue)
{
    mpmc_queue_done(queue);
    free(queue);
}

static inline bool mpmc_push(void *queue, uintptr_t item)
{
    return mpmc_queue_push(queue, (void *)item) == 0;
}

static inline bool mpmc_pop(void *queue, uintptr_t *ret_item)
{
    void *item;
    if (mpmc_queue_pop(queue, &item) < 0)
        return false;
    *ret_item = (uintptr_t)item;
    return true;
}

static const struct queue_access mpmc_access = {mpmc_push, mpmc_pop};

static int mpmc_pairs(struct queue_test *test)
{
    return loop_pairs(mpmc_access, test);
}

static int mpmc_rounds(struct queue_test *test)
{
    return loop_rounds(mpmc_access, test);
}

static int mpmc_work(void *ctx, uint32_t index, struct crew *crew)
{
    return loop_work(mpmc_access, ctx, index, crew);
}

static void *job_make(void)
{
    struct job_queue *queue;
    return job_queue_new(QUEUE_CAPACITY, &queue) < 0 ? NULL : queue;
}

static void job_free(void *queue)
{
    job_queue_free(queue);
}

static inline bool job_push(void *queue, uintptr_t item)
{
    return job_queue_push(queue, (void *)item) == 0;
}

static inline bool job_pop(void *queue, uintptr_t *ret_item)
{
    void *item;
    if (job_queue_try_pop(queue, &item) < 0)
        return false;
    *ret_item = (uintptr_t)item;
    return true;
}

static const struct queue_access job_access = {job_push, job_pop};

static int job_pairs(struct queue_test *test)
{
    return loop_pairs(job_access, test);
}

static int job_rounds(struct queue_test *test)
{
    return loop_rounds(job_access, test);
}

static int job_work(void *ctx, uint32_t index, struct crew *crew)
{
    return loop_work(job_access, ctx, index, crew);
}

static const struct queue_kind mpmc_kind = {"mpmc_queue", mpmc_make, mpmc_free, mpmc_pairs, mpmc_rounds, mpmc_work};
static const struct queue_kind job_kind = {"job_queue", job_make, job_free, job_pairs, job_rounds, job_work};

int micro_mpmc(struct micro *micro)
{
    const struct queue_kind *const kinds[] = {ck_mpmc_kind, &job_kind, &mpmc_kind};
    const enum queue_way ways[] = {QUEUE_PAIRS, QUEUE_ROUNDS, QUEUE_ONE_TO_ONE, QUEUE_TWO_TO_TWO, QUEUE_BOTH};
    const double goals[] = {0, 0, 0, 1, 1};
    if (!ck_mpmc_kind)
        micro_note(micro,
                   "no comparison with ck_ring: <ck_ring.h> was missing when this was built; run tools/deps bench, build again");
    return queue_bench_compare(micro, kinds, ARRAY_COUNT(kinds), ways, goals, ARRAY_COUNT(ways));
}
