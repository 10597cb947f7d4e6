/* executors_internal - what executors.c (the threads) and run.c (a job on one of them) share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/inbox.h"
#include "core/base/job_queue.h"
#include "core/node/executors.h"

struct executor {
    struct executors *executors;
    pthread_t thread;
    int wake_fd; /* eventfd: look at the job's `stopped` and `parts_unsent` again */
};

struct executors {
    struct executors_config config;
    struct job_queue *queue;
    struct inbox done; /* struct job_part */
    _Atomic uint32_t queued;
    _Atomic uint32_t running;
    _Atomic bool ending; /* everything stops */
    _Atomic double sleep_factor;
    uint32_t executor_count; /* started */
    struct executor executor[]; /* slots */
};

/* Executor's thread: gives a part to the loop. */
void executor_hand_over(struct executor *executor, struct job_part *part);
