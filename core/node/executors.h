/* executors - the threads that run jobs, one for each slot, fed by the job queue in order of arrival (requirements N1, N3).
 *
 * Invariant: whatever is submitted comes back by executors_take, with `end` set, exactly once; at most `slots` jobs run.
 * Thread: executors_submit, _drop, _stop, _part_left and _take belong to one thread, the loop's; the functions at the end of this header
 * to any. Memory: executors_new allocates, executors_free frees; jobs and parts are the loop's as soon as it has taken them.
 * Blocks: executors_free only, until the services have noticed that they are to stop. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/node/job.h"

struct executors;

struct executors_config {
    uint32_t slots; /* ≥ 1 */
    uint32_t queue_max; /* jobs that may be waiting, without the dropped ones; the caller sees to it */
    double sleep_factor;
    void (*on_parts)(void *ctx); /* any thread: there is something to take, and there was not */
    void *ctx;
};

/* -ENOMEM, -EAGAIN (no more threads), -EMFILE. */
NODISCARD int executors_new(const struct executors_config *config, struct executors **ret_executors);

/* Stops what runs and joins the threads. What was not taken is freed. NULL is a no-op. */
void executors_free(struct executors *executors);

/* -EAGAIN: the queue is full; the job stays the caller's. */
NODISCARD int executors_submit(struct executors *executors, struct job *job);

/* True: the job was still waiting and will not be run. False: it runs or has ended; see executors_stop. Either way it comes back. */
NODISCARD bool executors_drop(struct executors *executors, struct job *job);

/* A job that did not come back yet and that executors_drop returned false for: its service shall end now. */
void executors_stop(struct executors *executors, struct job *job);

/* The parts handed over so far, oldest first, linked by node.next; NULL: none. */
NODISCARD struct job_part *executors_take(struct executors *executors);

/* A part that was taken (not an end) has left: its job may hand over another. Frees the part. */
void executors_part_left(struct executors *executors, struct job_part *part);

/* Jobs waiting, without the dropped ones, and running: true of about now. */
uint32_t executors_queued(const struct executors *executors);
uint32_t executors_running(const struct executors *executors);

/* Counts from the next job on. */
void executors_set_sleep_factor(struct executors *executors, double factor);
double executors_sleep_factor(const struct executors *executors);
