/* What becomes of a job on the loop's side: accepted or refused, cancelled, answered. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/node/node_internal.h"

static void refuse(struct connection *connection, const struct frame *frame, enum counter counter, enum wire_error_code code,
                   bool started, const char *text)
{
    counter_add(&connection->node->counters, counter, 1);
    connection_send_error(connection, frame->request_id, code, started, text);
}

static bool is_full(const struct node *node, const struct wire_job *wire)
{
    return node->job_count >= node->config.queue_max + node->config.slots ||
           node->data_bytes + wire->data_length > NODE_DATA_BYTES_MAX;
}

/* Its client does not wait any longer, and would not be told in time by an executor that comes across it later. */
static void on_wait_time(void *ctx, struct timer *timer)
{
    struct job *job = ctx;
    struct connection *connection = job->connection;
    struct node *node = connection->node;
    (void)timer;
    if (!job_drop(node, job, USHER_EWAIT))
        return; /* it has just been started */
    connection->active_ns = loop_now_ns(node->loop);
    connection_watch(connection);
    node_publish(node);
    node_look_drained(node);
}

/* Appends it to the job queue (N1). -EAGAIN: full. */
static int enqueue(struct connection *connection, const struct wire_job *wire, uint64_t request_id, uint32_t service)
{
    struct node *node = connection->node;
    struct dedupe_key key = {.client_id = wire->client_id, .job_id = wire->job_id};
    uint64_t now_ns = loop_now_ns(node->loop);
    struct job *job;
    if (is_full(node, wire))
        return -EAGAIN;
    int r = job_new(wire, request_id, now_ns, &job);
    if (r < 0)
        return r;
    r = dedupe_add(&node->dedupe, key, now_ns);
    if (r < 0) {
        job_free(job);
        return r;
    }
    job->service = &node->config.services.items[service];
    job->service_index = service;
    job->connection = connection;
    timer_init(&job->wait_timer, on_wait_time, job);
    r = executors_submit(node->executors, job);
    if (r < 0) {
        dedupe_forget(&node->dedupe, key);
        job_free(job);
        return r;
    }
    job->next = connection->jobs;
    if (connection->jobs != NULL)
        connection->jobs->previous = job;
    connection->jobs = job;
    connection_look_busy(connection);
    if (wire->wait_ms != 0)
        timer_start(node->loop, &job->wait_timer, now_ns + wire->wait_ms * NS_PER_MS);
    node->job_count++;
    node->data_bytes += wire->data_length;
    estimate_job_accepted(&node->estimate, service, now_ns);
    return 0;
}

/* Whether it is one that this node would take, if there is room; else it has been refused. */
static bool is_wanted(struct connection *connection, const struct frame *frame, struct wire_job *ret_wire, uint32_t *ret_service)
{
    struct node *node = connection->node;
    enum refusal refusal;
    int r = wire_job_decode(frame, ret_wire, &refusal);
    if (r < 0) {
        refuse(connection, frame, refusal_counter(refusal), WIRE_ERROR_MALFORMED, false, refusal_text(refusal));
        connection_end(connection, JOB_STOP_CONNECTION_ENDS);
        return false;
    }
    if (node->config.no_jobs) {
        refuse(connection, frame, COUNTER_JOBS_REFUSED_NO_JOBS, WIRE_ERROR_NOT_ACCEPTED_HERE, false,
               "this dispatcher takes no jobs (--no-jobs)");
        return false;
    }
    if (node->phase >= NODE_REFUSING) {
        refuse(connection, frame, COUNTER_JOBS_REFUSED_SHUTDOWN, WIRE_ERROR_SHUTTING_DOWN, false, NULL);
        return false;
    }
    *ret_service = service_set_find(&node->config.services, ret_wire->service_id);
    if (*ret_service == NODE_SERVICES_MAX) {
        refuse(connection, frame, COUNTER_JOBS_REFUSED_NO_SERVICE, WIRE_ERROR_NO_SERVICE, false,
               "this node does not offer this service");
        return false;
    }
    struct dedupe_key key = {.client_id = ret_wire->client_id, .job_id = ret_wire->job_id};
    if (dedupe_knows(&node->dedupe, key, loop_now_ns(node->loop))) {
        refuse(connection, frame, COUNTER_JOBS_REFUSED_DUPLICATE, WIRE_ERROR_DUPLICATE_JOB, true, NULL);
        return false;
    }
    return true;
}

void job_accept(struct connection *connection, const struct frame *frame)
{
    struct node *node = connection->node;
    struct wire_job wire;
    uint32_t service;
    if (!is_wanted(connection, frame, &wire, &service))
        return;
    if (enqueue(connection, &wire, frame->request_id, service) < 0) { /* full, or out of memory: both pass */
        counter_add(&node->counters, COUNTER_JOBS_REFUSED_BUSY, 1);
        connection_send_busy(connection, frame->request_id, wire.job_id);
        return;
    }
    counter_add(&node->counters, COUNTER_JOBS_ACCEPTED, 1);
    dispatcher_counts_add(&node->dispatcher_counts, wire.dispatcher_boot_id);
    teller_job_came(node, service, wire.dispatcher_boot_id);
}

void job_refuse_unfinished(struct connection *connection, const struct frame *frame)
{
    struct wire_job wire;
    uint32_t service;
    if (!is_wanted(connection, frame, &wire, &service))
        return;
    counter_add(&connection->node->counters, COUNTER_JOBS_REFUSED_MEMORY, 1);
    connection_send_busy(connection, frame->request_id, wire.job_id);
}

static void unlink_from_connection(struct job *job)
{
    struct connection *connection = job->connection;
    if (connection == NULL)
        return;
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        connection->jobs = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    job->previous = job->next = NULL;
    job->connection = NULL;
    timer_stop(&job->wait_timer);
    connection_look_busy(connection);
}

static enum counter result_counter(const struct job *job, int result)
{
    if (job->unable != 0)
        return COUNTER_JOBS_UNABLE;
    if (job->stop == JOB_STOP_CLIENT_GONE)
        return COUNTER_JOBS_CLIENT_GONE; /* also when it had ended in time: nobody gets the result */
    switch (result) {
    case 0: return COUNTER_JOBS_OK;
    case USHER_ESERVICETIME: return COUNTER_JOBS_SERVICE_TIME;
    case USHER_EWAIT: return COUNTER_JOBS_WAIT;
    case USHER_ESHUTDOWN: return COUNTER_JOBS_SHUTDOWN;
    case USHER_ECANCELLED: return COUNTER_JOBS_CANCELLED;
    default: return COUNTER_JOBS_FAILED;
    }
}

/* The job has ended: nothing is waited for any more but its answer to be sent. */
static void settle(struct node *node, struct job *job, int result, bool started)
{
    counter_add(&node->counters, result_counter(job, result), 1);
    uint64_t now_ns = loop_now_ns(node->loop);
    if (started && result != USHER_ECANCELLED)
        estimate_job_ran(&node->estimate, job->service_index, (float)job->ran_us * 1e-6f, now_ns);
    estimate_job_left(&node->estimate, job->service_index, now_ns);
    if (!started)
        dedupe_forget(&node->dedupe, (struct dedupe_key){.client_id = job->wire.client_id, .job_id = job->wire.job_id});
    node->job_count--;
    teller_job_left(node, job->service_index, job->wire.dispatcher_boot_id);
}

static const char *failure_text(const struct job *job, int result)
{
    if (result == USHER_ECANCELLED)
        return job->stop == JOB_STOP_LEAVING ? "the node was told to stop at once"
                                             : "the connection ends: another job on it was refused or exceeded its service time";
    return job->text[0] != '\0' ? job->text : NULL;
}

static enum wire_error_code failure_code(int result)
{
    switch (result) {
    case USHER_ESERVICETIME:
    case USHER_EWAIT:
    case USHER_ESHUTDOWN:
    case USHER_ECANCELLED: return wire_error_from_error(result);
    default: return WIRE_ERROR_JOB_FAILED;
    }
}

bool job_drop(struct node *node, struct job *job, int error)
{
    if (!executors_drop(node->executors, job))
        return false;
    struct connection *connection = job->connection;
    unlink_from_connection(job);
    settle(node, job, error, false);
    node->data_bytes -= job->wire.data_length;
    job_data_free(job);
    if (job->stop != JOB_STOP_CLIENT_GONE)
        connection_send_error(connection, job->request_id, failure_code(error), false, failure_text(job, error));
    return true;
}

void job_cancel(struct node *node, struct job *job, enum job_stop why)
{
    if (job->stop == JOB_STOP_NONE || why == JOB_STOP_CLIENT_GONE)
        job->stop = why;
    if (job_drop(node, job, USHER_ECANCELLED))
        return;
    executors_stop(node->executors, job);
    if (why == JOB_STOP_CLIENT_GONE)
        unlink_from_connection(job);
}

/* The head of a RESULT, in the room that run.c left for it. */
static int fill_head(struct job *job, struct buffer *frame, bool more)
{
    static const uint8_t head[RESULT_HEAD_BYTES];
    if (frame->length == 0 && buffer_append(frame, head, sizeof(head)) < 0)
        return -ENOMEM;
    struct wire_result result = {
        .job_id = job->wire.job_id,
        .waited_us = job->waited_us,
        .ran_us = more ? 0 : job->ran_us,
        .more = more,
        .data_length = (uint32_t)(frame->length - RESULT_HEAD_BYTES),
    };
    int r = wire_result_encode_head(&result, job->request_id, frame->bytes, RESULT_HEAD_BYTES);
    return r < 0 ? r : 0;
}

static int fill_error(struct job *job, struct buffer *frame)
{
    int r = buffer_reserve(frame, ERROR_REPLY_BYTES_MIN + ERROR_TEXT_BYTES_MAX);
    if (r < 0)
        return r;
    const char *text = failure_text(job, job->result);
    if (text == NULL && failure_code(job->result) == WIRE_ERROR_JOB_FAILED)
        text = error_text(job->result);
    r = wire_error_encode(failure_code(job->result), job->started, false, text, job->request_id, frame->bytes, frame->capacity);
    CHECK(r > 0);
    frame->length = (size_t)r;
    return 0;
}

static void on_end(struct node *node, struct job *job)
{
    if (atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_DROPPED) {
        part_release(node, &job->end); /* answered long ago */
        return;
    }
    struct connection *connection = job->connection;
    unlink_from_connection(job);
    /* A stop that came too late changes nothing: the client gets its result. */
    settle(node, job, job->result, job->started);
    if (job->unable != 0)
        node_note_unable(node, job->unable);
    int result = job->result;
    if (connection == NULL) {
        part_release(node, &job->end);
    } else if ((result == 0 ? fill_head(job, &job->end.frame, false) : fill_error(job, &job->end.frame)) < 0) {
        part_release(node, &job->end);
        stream_abort(connection->stream); /* no memory for an answer */
    } else {
        connection->active_ns = loop_now_ns(node->loop);
        connection_send(connection, &job->end);
        if (result == USHER_ESERVICETIME)
            connection_end(connection, JOB_STOP_CONNECTION_ENDS); /* N4 */
        else
            connection_watch(connection);
    }
}

void job_on_part(struct node *node, struct job_part *part)
{
    struct job *job = part->job;
    if (part->end)
        on_end(node, job);
    else if (job->connection == NULL || fill_head(job, &part->frame, true) < 0)
        part_release(node, part);
    else
        connection_send(job->connection, part);
}
