#include "core/node/executors.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/node/executors_internal.h"
#include "core/node/run.h"

/* Services keep large things on the heap; ThreadSanitizer and AddressSanitizer need several times what the code does. */
#define STACK_BYTES (512u << 10)

static uint32_t clamp_us(uint64_t ns)
{
    uint64_t us = ns / NS_PER_US;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void part_hand_over(struct executors *executors, struct job_part *part)
{
    if (inbox_push(&executors->done, &part->node))
        executors->config.on_parts(executors->config.ctx);
}

void executor_hand_over(struct executor *executor, struct job_part *part)
{
    part_hand_over(executor->executors, part);
}

/* `end` carries the last part of the output; a failed job's output ends with what left before. */
static void job_run(struct executor *executor, struct job *job, uint64_t started_ns)
{
    struct run run = {
        .executor = executor,
        .job = job,
        .deadline_ns = started_ns + job->wire.service_time_ms * NS_PER_MS,
        .sleep_factor = executors_sleep_factor(executor->executors),
    };
    job->started = true;
    job->result = job->service->function(&run);
    if (job->result == 0)
        job->end.frame = run.output;
    else
        buffer_done(&run.output);
    job->ran_us = clamp_us(clock_monotonic_ns() - started_ns);
}

static void job_take(struct executor *executor, struct job *job)
{
    struct executors *executors = executor->executors;
    uint32_t queued = JOB_QUEUED;
    job->executor = executor;
    /* Release: a loop that finds the job running sees its executor. Acquire: pairs with nothing, the queue has ordered the rest. */
    if (!atomic_compare_exchange_strong_explicit(&job->state, &queued, JOB_RUNNING, memory_order_acq_rel, memory_order_acquire)) {
        executor_hand_over(executor, &job->end);
        return;
    }
    atomic_fetch_add_explicit(&executors->running, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&executors->queued, 1, memory_order_relaxed);
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t waited_ns = now_ns > job->received_ns ? now_ns - job->received_ns : 0;
    job->waited_us = clamp_us(waited_ns);
    if (job->wire.wait_ms != 0 && waited_ns > job->wire.wait_ms * NS_PER_MS)
        job->result = USHER_EWAIT; /* its client has gone on */
    else
        job_run(executor, job, now_ns);
    atomic_fetch_sub_explicit(&executors->running, 1, memory_order_relaxed);
    executor_hand_over(executor, &job->end);
}

static void *executor_main(void *ctx)
{
    struct executor *executor = ctx;
    void *job;
    /* No signal of the process's comes here, and a program that does not read its parameters raises none. Not by the thread's
     * attributes: AddressSanitizer of gcc 14 gives a new thread its maker's mask. */
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    while (job_queue_pop(executor->executors->queue, JOB_QUEUE_WAIT_FOREVER, &job) == 0)
        job_take(executor, job);
    return NULL;
}

static int executor_start(struct executors *executors)
{
    struct executor *executor = &executors->executor[executors->executor_count];
    executor->executors = executors;
    executor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (executor->wake_fd < 0)
        return -errno;
    pthread_attr_t attributes;
    int r = -pthread_attr_init(&attributes);
    if (r == 0) {
        r = -pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (r == 0)
            r = -pthread_create(&executor->thread, &attributes, executor_main, executor);
        pthread_attr_destroy(&attributes);
    }
    if (r < 0) {
        close(executor->wake_fd);
        return r;
    }
    executors->executor_count++;
    return 0;
}

/* As many jobs as may wait or run at the same time. */
static size_t jobs_max(const struct executors_config *config)
{
    return (size_t)config->queue_max + config->slots;
}

/* Room for as many dropped jobs as there may be others: they stay in the queue until an executor or queue_clean comes across them. */
static size_t queue_capacity(const struct executors_config *config)
{
    size_t capacity = 2;
    while (capacity < 2 * jobs_max(config))
        capacity *= 2;
    return capacity;
}

int executors_new(const struct executors_config *config, struct executors **ret_executors)
{
    struct executors *executors =
        aligned_alloc(CACHE_LINE_BYTES, (sizeof(*executors) + config->slots * sizeof(struct executor) + CACHE_LINE_BYTES - 1) /
                                            CACHE_LINE_BYTES * CACHE_LINE_BYTES);
    if (executors == NULL)
        return -ENOMEM;
    executors->config = *config;
    executors->executor_count = 0;
    inbox_init(&executors->done);
    atomic_init(&executors->queued, 0);
    atomic_init(&executors->running, 0);
    atomic_init(&executors->ending, false);
    atomic_init(&executors->sleep_factor, config->sleep_factor);
    int r = job_queue_new(queue_capacity(config), &executors->queue);
    if (r < 0) {
        free(executors);
        return r;
    }
    for (uint32_t i = 0; i < config->slots && r == 0; i++)
        r = executor_start(executors);
    if (r < 0) {
        executors_free(executors);
        return r;
    }
    *ret_executors = executors;
    return 0;
}

static void executor_wake(struct executor *executor)
{
    /* Only a full counter could refuse, and then it is readable anyway. */
    if (eventfd_write(executor->wake_fd, 1) < 0)
        CHECK(errno == EAGAIN);
}

static void parts_free(struct job_part *part)
{
    while (part != NULL) {
        struct job_part *next = (struct job_part *)part->node.next;
        if (part->end) {
            job_free(part->job);
        } else {
            buffer_done(&part->frame);
            free(part);
        }
        part = next;
    }
}

void executors_free(struct executors *executors)
{
    if (executors == NULL)
        return;
    atomic_store_explicit(&executors->ending, true, memory_order_seq_cst);
    job_queue_close(executors->queue);
    for (uint32_t i = 0; i < executors->executor_count; i++)
        executor_wake(&executors->executor[i]);
    for (uint32_t i = 0; i < executors->executor_count; i++) {
        pthread_join(executors->executor[i].thread, NULL);
        close(executors->executor[i].wake_fd);
    }
    void *job;
    while (job_queue_try_pop(executors->queue, &job) == 0)
        job_free(job);
    parts_free(executors_take(executors));
    job_queue_free(executors->queue);
    free(executors);
}

/* Takes the dropped jobs out of the queue: while all executors are busy for long, nobody comes across them, and they would take the room
 * of others. The jobs that wait keep their order among themselves; an executor that becomes free within these microseconds may take one
 * that is not the oldest, as when another executor had popped the oldest and not started it yet. */
static void queue_clean(struct executors *executors)
{
    struct inbox_node *oldest = NULL;
    struct inbox_node **end = &oldest;
    void *popped;
    while (job_queue_try_pop(executors->queue, &popped) == 0) {
        struct job *job = popped;
        if (atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_DROPPED) { /* by this thread */
            part_hand_over(executors, &job->end);
            continue;
        }
        job->end.node.next = NULL;
        *end = &job->end.node;
        end = &job->end.node.next;
    }
    while (oldest != NULL) {
        struct job_part *part = (struct job_part *)oldest;
        oldest = oldest->next; /* before an executor may have it */
        /* Only this thread pushes and closes, so there is room: at most until an executor that is just popping has let go of its cell. */
        while (job_queue_push(executors->queue, part->job) == -EAGAIN)
            sched_yield();
    }
}

int executors_submit(struct executors *executors, struct job *job)
{
    if (job_queue_length(executors->queue) >= 2 * jobs_max(&executors->config)) /* at least half of it dropped */
        queue_clean(executors);
    /* Before the push: an executor may take the job, and count it out, at once. */
    atomic_fetch_add_explicit(&executors->queued, 1, memory_order_relaxed);
    int r = job_queue_push(executors->queue, job);
    if (r < 0)
        atomic_fetch_sub_explicit(&executors->queued, 1, memory_order_relaxed);
    return r;
}

bool executors_drop(struct executors *executors, struct job *job)
{
    uint32_t queued = JOB_QUEUED;
    if (!atomic_compare_exchange_strong_explicit(&job->state, &queued, JOB_DROPPED, memory_order_acq_rel, memory_order_acquire))
        return false;
    atomic_fetch_sub_explicit(&executors->queued, 1, memory_order_relaxed);
    return true;
}

void executors_stop(struct executors *executors, struct job *job)
{
    (void)executors;
    DEBUG_CHECK(atomic_load_explicit(&job->state, memory_order_acquire) == JOB_RUNNING);
    atomic_store_explicit(&job->stopped, true, memory_order_seq_cst);
    executor_wake(job->executor);
}

struct job_part *executors_take(struct executors *executors)
{
    return (struct job_part *)inbox_take_all(&executors->done);
}

/* The executor says that it waits and looks at the count again; here the count falls and then we look whether somebody waits. Both
 * sequentially consistent: one of the two sees the other. */
void executors_part_left(struct executors *executors, struct job_part *part)
{
    (void)executors;
    struct job *job = part->job;
    atomic_fetch_sub_explicit(&job->parts_unsent, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&job->waits_for_room, memory_order_seq_cst))
        executor_wake(job->executor);
    buffer_done(&part->frame);
    free(part);
}

uint32_t executors_queued(const struct executors *executors)
{
    return atomic_load_explicit(&executors->queued, memory_order_relaxed);
}

uint32_t executors_running(const struct executors *executors)
{
    return atomic_load_explicit(&executors->running, memory_order_relaxed);
}

void executors_set_sleep_factor(struct executors *executors, double factor)
{
    atomic_store_explicit(&executors->sleep_factor, factor, memory_order_relaxed);
}

double executors_sleep_factor(const struct executors *executors)
{
    return atomic_load_explicit(&executors->sleep_factor, memory_order_relaxed);
}
