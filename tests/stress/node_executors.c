/* Executors under contention: thousands of jobs are submitted, dropped, stopped and throttled while eight executors run them. Every job
 * must come back exactly once, whatever happened to it, and its output in order. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/random.h"
#include "core/node/executors.h"
#include "core/node/run.h"
#include "tests/support/stress.h"

#define JOBS_DEFAULT 6000u
#define SLOTS 8u
#define OUTSTANDING_MAX 64u
#define PARTS_IN_OUTPUT 9u

static int wake_fd;
static struct job **jobs; /* NULL: came back */
static uint8_t *returns;
static uint32_t *parts_seen;

static void on_parts(void *ctx)
{
    (void)ctx;
    CHECK(eventfd_write(wake_fd, 1) == 0);
}

static int service_nothing(struct run *run)
{
    return run_check(run);
}

static int service_doze(struct run *run)
{
    return run_sleep(run, clock_monotonic_ns() + 300 * NS_PER_US);
}

/* More parts than may wait: it must be throttled by the taker. */
static int service_pour(struct run *run)
{
    static const uint8_t part[RESULT_PART_BYTES_MAX];
    int r = 0;
    for (uint32_t i = 0; i < PARTS_IN_OUTPUT && r == 0; i++)
        r = run_write(run, part, sizeof(part));
    return r;
}

static const struct service services[] = {
    {.name = "nothing", .function = service_nothing},
    {.name = "doze", .function = service_doze},
    {.name = "pour", .function = service_pour},
};

static void take_part(struct executors *executors, struct job_part *part, uint32_t *outstanding)
{
    uint64_t index = part->job->wire.job_id;
    if (!part->end) {
        CHECK(part->frame.length == RESULT_HEAD_BYTES + RESULT_PART_BYTES_MAX);
        parts_seen[index]++;
        executors_part_left(executors, part);
        return;
    }
    CHECK(returns[index]++ == 0);
    if (part->job->result == 0 && part->job->started && part->job->service->function == service_pour)
        CHECK(parts_seen[index] == PARTS_IN_OUTPUT - 1 && part->frame.length == RESULT_HEAD_BYTES + RESULT_PART_BYTES_MAX);
    jobs[index] = NULL;
    job_free(part->job);
    (*outstanding)--;
}

static void take_all(struct executors *executors, uint32_t *outstanding, int timeout_ms)
{
    struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
    eventfd_t count;
    if (poll(&wake, 1, timeout_ms) == 1)
        CHECK(eventfd_read(wake_fd, &count) == 0);
    struct job_part *part = executors_take(executors);
    while (part != NULL) {
        struct job_part *next = (struct job_part *)part->node.next;
        take_part(executors, part, outstanding);
        part = next;
    }
}

static struct job *make_job(struct random_state *random, uint64_t index)
{
    struct wire_job wire = {.job_id = index, .service_time_ms = 10000};
    struct job *job;
    CHECK(job_new(&wire, index, clock_monotonic_ns(), &job) == 0);
    job->service = &services[random_below(random, ARRAY_COUNT(services))];
    return job;
}

/* Drops or stops it, whichever applies. */
static void cancel(struct executors *executors, struct job *job, uint32_t *dropped, uint32_t *stopped)
{
    if (job == NULL || atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_DROPPED)
        return;
    if (executors_drop(executors, job)) {
        (*dropped)++;
    } else {
        executors_stop(executors, job);
        (*stopped)++;
    }
}

static void end_in_the_midst_of_work(struct executors *executors, struct random_state *random)
{
    for (uint32_t i = 0; i < OUTSTANDING_MAX; i++)
        CHECK(executors_submit(executors, make_job(random, i)) == 0);
    executors_free(executors);
}

int main(int argc, char **argv)
{
    struct executors_config config = {.slots = SLOTS, .queue_max = OUTSTANDING_MAX, .sleep_factor = 1, .on_parts = on_parts};
    struct executors *executors;
    struct random_state random;
    uint32_t job_count = stress_operations(argc, argv, JOBS_DEFAULT);
    uint32_t outstanding = 0, dropped = 0, stopped = 0;
    jobs = stress_allocate(job_count, sizeof(void *));
    returns = stress_allocate(job_count, sizeof(*returns));
    parts_seen = stress_allocate(job_count, sizeof(*parts_seen));
    random_init(&random, 20260101);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(wake_fd >= 0 && executors_new(&config, &executors) == 0);
    for (uint32_t i = 0; i < job_count; i++) {
        jobs[i] = make_job(&random, i);
        CHECK(executors_submit(executors, jobs[i]) == 0);
        outstanding++;
        if (random_below(&random, 3) == 0)
            cancel(executors, jobs[i - random_below(&random, i < OUTSTANDING_MAX ? i + 1 : OUTSTANDING_MAX)], &dropped, &stopped);
        while (outstanding == OUTSTANDING_MAX)
            take_all(executors, &outstanding, 1000);
        if (random_below(&random, 3) == 0)
            take_all(executors, &outstanding, 0);
    }
    while (outstanding > 0)
        take_all(executors, &outstanding, 1000);
    for (uint32_t i = 0; i < job_count; i++)
        CHECK(returns[i] == 1);
    CHECK(executors_queued(executors) == 0 && executors_running(executors) == 0);
    end_in_the_midst_of_work(executors, &random);
    close(wake_fd);
    free(jobs);
    free(returns);
    free(parts_seen);
    printf("%u jobs came back once each; %u were dropped, %u stopped\n", job_count, dropped, stopped);
    return 0;
}
