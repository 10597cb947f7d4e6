/* The job queue with executors that sleep: no job is lost, none runs twice, none waits beside a sleeping executor. A lost wake-up
 * hangs, and the watchdog ends the program. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/clock.h"
#include "core/base/job_queue.h"
#include "tests/support/stress.h"

#define THREADS 3u /* pushers, and as many executors */
#define POP_TIMEOUT_NS_MAX 50000u

struct job {
    uint32_t payload;
    uint32_t run_count;
};

struct run {
    struct job_queue *queue;
    struct job *jobs;
    uint32_t job_count; /* a multiple of THREADS */
    _Atomic uint32_t done_count;
    pthread_barrier_t together;
};

struct member {
    struct run *run;
    uint32_t index;
};

static void job_push(struct run *run, uint32_t index, struct random_state *random)
{
    run->jobs[index].payload = index;
    stress_pause(random);
    int r;
    while ((r = job_queue_push(run->queue, &run->jobs[index])) == -EAGAIN)
        sched_yield();
    CHECK(r == 0);
}

static void job_run(struct run *run, struct job *job)
{
    CHECK(job->payload == (uint32_t)(job - run->jobs));
    job->run_count++;
}

/* One job after the other there and back: each push meets an executor that is about to sleep, asleep, or about to wake. */
static void *ping_pong_echo(void *argument)
{
    struct run *runs = argument;
    struct random_state random;
    random_init(&random, 7);
    void *job;
    while (job_queue_pop(runs[0].queue, JOB_QUEUE_WAIT_FOREVER, &job) == 0) {
        stress_pause(&random);
        CHECK(job_queue_push(runs[1].queue, job) == 0);
    }
    return NULL;
}

static void ping_pong(uint32_t round_count)
{
    struct run runs[2] = {0};
    struct job one = {0};
    pthread_t thread;
    struct random_state random;
    random_init(&random, 8);
    CHECK(job_queue_new(2, &runs[0].queue) == 0);
    CHECK(job_queue_new(2, &runs[1].queue) == 0);
    stress_thread_start(&thread, ping_pong_echo, runs);
    for (uint32_t i = 0; i < round_count; i++) {
        stress_pause(&random);
        CHECK(job_queue_push(runs[0].queue, &one) == 0);
        void *job;
        CHECK(job_queue_pop(runs[1].queue, JOB_QUEUE_WAIT_FOREVER, &job) == 0);
        CHECK(job == &one);
    }
    job_queue_close(runs[0].queue);
    stress_threads_join(&thread, 1);
    job_queue_free(runs[0].queue);
    job_queue_free(runs[1].queue);
}

/* As many jobs at a time as there are executors, pushed by different threads, and no job ends before all of them run: a job that
 * was left in the queue beside a sleeping executor would stop everything. */
static void *together_push(void *argument)
{
    struct member *member = argument;
    struct run *run = member->run;
    struct random_state random;
    random_init(&random, member->index);
    for (uint32_t i = member->index; i < run->job_count; i += THREADS) {
        job_push(run, i, &random);
        while (atomic_load_explicit(&run->done_count, memory_order_relaxed) < i - member->index + THREADS)
            sched_yield();
    }
    return NULL;
}

static void *together_execute(void *argument)
{
    struct member *member = argument;
    struct run *run = member->run;
    void *job;
    while (job_queue_pop(run->queue, JOB_QUEUE_WAIT_FOREVER, &job) == 0) {
        job_run(run, job);
        int r = pthread_barrier_wait(&run->together);
        CHECK(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
        atomic_fetch_add_explicit(&run->done_count, 1, memory_order_relaxed);
    }
    return NULL;
}

/* Pushers run ahead, the queue fills; executors give up after random short times, in the middle of pushes, and come back. */
static void *flood_push(void *argument)
{
    struct member *member = argument;
    struct random_state random;
    random_init(&random, member->index);
    for (uint32_t i = member->index; i < member->run->job_count; i += THREADS) {
        if (random_below(&random, 256) == 0)
            usleep(random_below(&random, 200));
        job_push(member->run, i, &random);
    }
    return NULL;
}

static void *flood_execute(void *argument)
{
    struct member *member = argument;
    struct run *run = member->run;
    struct random_state random;
    random_init(&random, 100 + member->index);
    for (;;) {
        bool forever = random_below(&random, 4) == 0;
        uint64_t timeout_ns = forever ? JOB_QUEUE_WAIT_FOREVER : random_below(&random, POP_TIMEOUT_NS_MAX);
        void *job;
        int r = job_queue_pop(run->queue, timeout_ns, &job);
        if (r == -ECANCELED)
            return NULL;
        CHECK(r == 0 || (r == -ETIMEDOUT && !forever));
        if (r != 0)
            continue;
        job_run(run, job);
        stress_pause(&random);
        atomic_fetch_add_explicit(&run->done_count, 1, memory_order_relaxed);
    }
}

static void run_with(void *(*push)(void *), void *(*execute)(void *), uint32_t job_count)
{
    struct run run = {.job_count = job_count / THREADS * THREADS + THREADS};
    CHECK(job_queue_new(8, &run.queue) == 0);
    run.jobs = stress_allocate(run.job_count, sizeof(*run.jobs));
    CHECK(pthread_barrier_init(&run.together, NULL, THREADS) == 0);

    struct member members[THREADS];
    pthread_t pushers[THREADS], executors[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        members[i] = (struct member){.run = &run, .index = i};
        stress_thread_start(&executors[i], execute, &members[i]);
        stress_thread_start(&pushers[i], push, &members[i]);
    }
    stress_threads_join(pushers, THREADS);
    /* Closed with jobs still inside: they are run all the same. */
    job_queue_close(run.queue);
    stress_threads_join(executors, THREADS);

    CHECK(atomic_load(&run.done_count) == run.job_count);
    for (uint32_t i = 0; i < run.job_count; i++)
        CHECK(run.jobs[i].run_count == 1);
    CHECK(job_queue_length(run.queue) == 0);
    CHECK(pthread_barrier_destroy(&run.together) == 0);
    free(run.jobs);
    job_queue_free(run.queue);
}

int main(int argc, char **argv)
{
    uint32_t operation_count = stress_operations(argc, argv, 60000);
    ping_pong(operation_count / 4);
    run_with(together_push, together_execute, operation_count / 8);
    run_with(flood_push, flood_execute, operation_count);
    printf("job_queue: %u jobs, each run once, none beside a sleeping executor\n", operation_count);
    return 0;
}
