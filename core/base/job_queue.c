#include "core/base/job_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/mpmc_queue.h"
#include "core/base/parking.h"

struct job_queue {
    struct mpmc_queue jobs;
    struct parking executors;
    ALIGN_CACHE_LINE _Atomic bool closed;
};

int job_queue_new(size_t capacity, struct job_queue **ret_queue)
{
    struct job_queue *queue = aligned_alloc(CACHE_LINE_BYTES, sizeof(*queue));
    if (queue == NULL)
        return -ENOMEM;
    int r = mpmc_queue_init(&queue->jobs, capacity);
    if (r < 0) {
        free(queue);
        return r;
    }
    parking_init(&queue->executors);
    atomic_init(&queue->closed, false);
    *ret_queue = queue;
    return 0;
}

void job_queue_free(struct job_queue *queue)
{
    if (queue == NULL)
        return;
    mpmc_queue_done(&queue->jobs);
    free(queue);
}

int job_queue_push(struct job_queue *queue, void *job)
{
    /* Relaxed: a push beside a close may come out either way. */
    if (UNLIKELY(atomic_load_explicit(&queue->closed, memory_order_relaxed)))
        return -ECANCELED;
    int r = mpmc_queue_push(&queue->jobs, job);
    if (r < 0)
        return r;
    parking_wake_one(&queue->executors);
    return 0;
}

int job_queue_try_pop(struct job_queue *queue, void **ret_job)
{
    return mpmc_queue_pop(&queue->jobs, ret_job);
}

/* `closed` is read before the queue is looked at: what was pushed before the close is then found. seq_cst, as parking.h asks. */
static int pop_or_closed(struct job_queue *queue, void **ret_job)
{
    bool closed = atomic_load_explicit(&queue->closed, memory_order_seq_cst);
    int r = mpmc_queue_pop(&queue->jobs, ret_job);
    return r == -EAGAIN && closed ? -ECANCELED : r;
}

static uint64_t deadline_after(uint64_t timeout_ns)
{
    if (timeout_ns == JOB_QUEUE_WAIT_FOREVER)
        return PARKING_FOREVER;
    uint64_t now_ns = clock_monotonic_ns();
    return timeout_ns < PARKING_FOREVER - now_ns ? now_ns + timeout_ns : PARKING_FOREVER;
}

/* The queue was found empty. */
static int pop_parked(struct job_queue *queue, uint64_t deadline_ns, void **ret_job)
{
    for (;;) {
        uint32_t key = parking_prepare(&queue->executors);
        int r = pop_or_closed(queue, ret_job);
        if (r != -EAGAIN) {
            parking_cancel(&queue->executors);
            return r;
        }
        if (parking_wait(&queue->executors, key, deadline_ns) == -ETIMEDOUT) {
            /* A last look: a push may have seen this thread as the sleeper to wake while its time ran out. */
            r = pop_or_closed(queue, ret_job);
            return r == -EAGAIN ? -ETIMEDOUT : r;
        }
    }
}

int job_queue_pop(struct job_queue *queue, uint64_t timeout_ns, void **ret_job)
{
    int r = pop_or_closed(queue, ret_job);
    if (r != -EAGAIN)
        return r;
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    return pop_parked(queue, deadline_after(timeout_ns), ret_job);
}

size_t job_queue_length(const struct job_queue *queue)
{
    return mpmc_queue_length(&queue->jobs);
}

void job_queue_close(struct job_queue *queue)
{
    atomic_store_explicit(&queue->closed, true, memory_order_seq_cst);
    parking_wake_all(&queue->executors);
}
