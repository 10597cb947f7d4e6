/* job_queue - the node's job queue: network loops push jobs at the tail, executors pop the oldest (requirements N1, D3).
 *
 * An mpmc_queue whose consumers sleep while it is empty (parking.h). Jobs are opaque pointers.
 * Invariant: first in, first out; a job in the queue never waits while an executor sleeps in job_queue_pop.
 * Thread: any. job_queue_pop blocks; nothing else does, so a network loop may push. A push with no executor asleep makes no
 * system call.
 * Progress: push and try_pop are lock-free (mpmc_queue.h).
 * Memory: allocated in job_queue_new; the jobs stay the caller's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

#define JOB_QUEUE_WAIT_FOREVER UINT64_MAX

struct job_queue;

/* capacity: a power of two, 2 … 2^28. -EINVAL, -ENOMEM. */
NODISCARD int job_queue_new(size_t capacity, struct job_queue **ret_queue);

/* When no thread uses the queue any more. Jobs still inside are not freed: take them out before (job_queue_try_pop). NULL is a
 * no-op. */
void job_queue_free(struct job_queue *queue);

/* -EAGAIN: full, answer BUSY. -ECANCELED: closed. */
NODISCARD int job_queue_push(struct job_queue *queue, void *job);

/* -EAGAIN: empty. Works on a closed queue too. */
NODISCARD int job_queue_try_pop(struct job_queue *queue, void **ret_job);

/* Sleeps while the queue is empty, at most timeout_ns (0: like try_pop; JOB_QUEUE_WAIT_FOREVER: no limit). -ETIMEDOUT.
 * -ECANCELED: closed and empty. */
NODISCARD int job_queue_pop(struct job_queue *queue, uint64_t timeout_ns, void **ret_job);

/* Jobs in the queue: true of about now. */
size_t job_queue_length(const struct job_queue *queue);

/* From now on pushes are refused, and pops return -ECANCELED when nothing is left; wakes all that sleep. A push that runs at the
 * same time may still get its job in behind the last pop: when pushers and poppers are done, the owner looks once more with
 * job_queue_try_pop. */
void job_queue_close(struct job_queue *queue);
