/* job - a job on its way through the node: accepted by the loop, queued, run by an executor, answered by the loop.
 *
 * Invariant: the loop's thread makes and frees it, and frees it only after `end` came back from the executors: every job that was
 * submitted comes back exactly once, also one that was dropped while it was queued.
 * Thread: the fields say whose they are. Memory: the parameters are an allocation of their own, so that those of a
 * dropped job go at once. Nothing blocks. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/inbox.h"
#include "core/base/macros.h"
#include "core/io/timer.h"
#include "core/node/service.h"
#include "core/wire/job.h"

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING, /* or ended: the executor's result is final */
    JOB_DROPPED, /* before it was started; the queue still holds it */
};

/* Why the loop stopped it, for the answer. Loop only. */
enum job_stop {
    JOB_STOP_NONE,
    JOB_STOP_CLIENT_GONE,
    JOB_STOP_CONNECTION_ENDS, /* another job of the connection exceeded its service time */
    JOB_STOP_LEAVING,
};

struct connection;

/* What an executor hands to the loop: a part of the output, as a whole frame, or the job's end with the last part. */
struct job_part {
    struct inbox_node node; /* `next` links it in the connection's list later */
    struct job *job;
    bool end;
    struct buffer frame; /* RESULT, with room for its header before the loop has filled it in */
};

struct job {
    /* Constant after job_new, but for `wire.data` of a dropped job: see job_data_free. */
    struct wire_job wire;
    uint8_t *data; /* what wire.data points to; NULL: no parameters */
    uint64_t request_id;
    uint64_t received_ns; /* CLOCK_MONOTONIC */
    const struct service *service;
    uint32_t service_index;

    /* Between loop and executors. */
    _Atomic uint32_t state; /* enum job_state */
    _Atomic bool stopped; /* the service shall end */
    _Atomic uint32_t parts_unsent; /* parts that left the executor and not the loop */
    _Atomic bool waits_for_room; /* wake the executor when one of them has left */
    struct executor *executor; /* written before state becomes JOB_RUNNING */

    /* The executor's until `end` is handed over, then the loop's. */
    struct job_part end;
    int result; /* 0, or why there is no result */
    bool started;
    int unable; /* negative errno: the service could not even be started, for this; else 0 */
    uint32_t waited_us;
    uint32_t ran_us;
    char text[ERROR_TEXT_BYTES_MAX + 1]; /* why the service failed; "" */

    /* The loop's. */
    struct connection *connection; /* NULL: nobody waits for an answer */
    struct job *previous; /* in the connection's list */
    struct job *next;
    enum job_stop stop;
    struct timer wait_timer; /* while it waits, and its client does not for ever */
};

/* Copies the parameters. wait_timer is left to the caller. -ENOMEM. */
NODISCARD int job_new(const struct wire_job *wire, uint64_t request_id, uint64_t received_ns, struct job **ret_job);
void job_free(struct job *job);

/* A dropped job's parameters: nobody will read them. */
void job_data_free(struct job *job);
