/* A client's connection to the node: frames in, frames out, time limits. What a job means is in job_answer.c. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/node/node_internal.h"

/* A frame must be complete so long after its first byte, however it drips (reliability: slow or idle TCP). */
#define PARTIAL_NS (5 * NS_PER_S)

/* How many of the longest idle connections are looked at to find one whose last answer has left. */
#define EVICT_LOOKS 16u

/* So much of an unfinished JOB is received even when there is no room for more, so that its head can be read. */
#define UNFINISHED_FREE_BYTES ((size_t)4096)

/* Without a job on it. */
#define IDLE_NS (60 * NS_PER_S)

/* While the node refuses new jobs: a client that had connected before gets its "not started" instead of a broken connection. */
#define IDLE_REFUSING_NS (200 * NS_PER_MS)

/* To send what waits, once the connection ends. */
#define ENDING_NS (5 * NS_PER_S)

int connection_new(struct node *node, struct connection **ret_connection)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return -ENOMEM;
    connection->node = node;
    list_init(&connection->idle_link);
    *ret_connection = connection;
    return 0;
}

static void on_time(void *ctx, struct timer *timer);

void connection_look_busy(struct connection *connection)
{
    bool busy = connection->jobs != NULL || connection->unsent_oldest != NULL;
    stream_set_busy(connection->stream, busy);
    list_remove(&connection->idle_link);
    if (!busy && connection->partial_ns == 0 && !connection->ending)
        list_append(&connection->node->idle, &connection->idle_link);
}

bool connection_evict(struct node *node)
{
    struct list_link *link = node->idle.next;
    for (uint32_t looks = 0; looks < EVICT_LOOKS && link != &node->idle; looks++, link = link->next) {
        struct connection *connection = CONTAINER_OF(link, struct connection, idle_link);
        if (stream_pending_bytes(connection->stream) > 0)
            continue;
        list_remove(&connection->idle_link);
        stream_abort(connection->stream);
        return true;
    }
    return false;
}

void connection_open(struct connection *connection, struct stream *stream)
{
    struct node *node = connection->node;
    connection->stream = stream;
    connection->active_ns = loop_now_ns(node->loop);
    timer_init(&connection->timer, on_time, connection);
    connection->next = node->connections;
    if (node->connections != NULL)
        node->connections->previous = connection;
    node->connections = connection;
    node->connection_count++;
    connection_look_busy(connection);
    connection_watch(connection);
}

static void connection_unlink(struct connection *connection)
{
    struct node *node = connection->node;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        node->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    node->connection_count--;
    list_remove(&connection->idle_link);
}

/* So many bytes remain with the stream. */
static void connection_keeps(struct connection *connection, size_t bytes)
{
    connection->node->unfinished_bytes += bytes - connection->unfinished_bytes;
    connection->unfinished_bytes = (uint32_t)bytes;
}

/* The client is gone: nothing can be answered. */
static void connection_free(struct connection *connection)
{
    struct node *node = connection->node;
    timer_stop(&connection->timer);
    while (connection->jobs != NULL)
        job_cancel(node, connection->jobs, JOB_STOP_CLIENT_GONE);
    while (connection->unsent_oldest != NULL) {
        struct job_part *part = connection->unsent_oldest;
        connection->unsent_oldest = (struct job_part *)part->node.next;
        part_release(node, part);
    }
    connection_keeps(connection, 0);
    connection_unlink(connection);
    free(connection);
}

void connection_discard(struct connection *connection)
{
    stream_set_handlers(connection->stream, NULL, NULL);
    stream_abort(connection->stream);
    connection_free(connection);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When the connection must have gone on; UINT64_MAX: it waits for its jobs, or its client to read. */
static uint64_t limit_ns(const struct connection *connection)
{
    const struct node *node = connection->node;
    if (connection->ending)
        return connection->ending_ns + ENDING_NS;
    /* While parts wait to be sent nothing is read: then it is not the client that holds up the frame. */
    bool unfinished = connection->partial_ns != 0 && connection->unsent_oldest == NULL;
    if (connection->jobs == NULL && node->phase >= NODE_REFUSING)
        return later(connection->active_ns, node->refusing_ns) + IDLE_REFUSING_NS;
    if (unfinished)
        return connection->partial_ns + PARTIAL_NS;
    return connection->jobs != NULL ? UINT64_MAX : connection->active_ns + IDLE_NS;
}

/* The timer may run for an earlier limit than today's: then it is started anew when it fires. So a job costs no timer operation. */
void connection_watch(struct connection *connection)
{
    uint64_t at_ns = limit_ns(connection);
    if (at_ns != UINT64_MAX && (!timer_is_running(&connection->timer) || at_ns < connection->timer.at_ns))
        timer_start(connection->node->loop, &connection->timer, at_ns);
}

static void on_time(void *ctx, struct timer *timer)
{
    struct connection *connection = ctx;
    (void)timer;
    if (loop_now_ns(connection->node->loop) < limit_ns(connection)) {
        connection_watch(connection);
        return;
    }
    if (connection->ending || connection->partial_ns != 0) {
        counter_add(&connection->node->counters, COUNTER_NODE_CONNECTIONS_TOO_SLOW, 1);
        stream_abort(connection->stream);
    } else {
        connection_end(connection, JOB_STOP_CONNECTION_ENDS);
    }
}

static void close_if_done(struct connection *connection)
{
    if (!connection->ending || connection->closed || connection->jobs != NULL || connection->unsent_oldest != NULL)
        return;
    connection->closed = true;
    stream_close(connection->stream);
}

void connection_end(struct connection *connection, enum job_stop why)
{
    if (!connection->ending) {
        connection->ending = true;
        connection->ending_ns = loop_now_ns(connection->node->loop);
        list_remove(&connection->idle_link);
        connection_watch(connection);
    }
    for (struct job *job = connection->jobs; job != NULL;) {
        struct job *next = job->next; /* a job that was not started leaves the list at once */
        job_cancel(connection->node, job, why);
        job = next;
    }
    close_if_done(connection);
}

void part_release(struct node *node, struct job_part *part)
{
    if (part->job == NULL) {
        buffer_done(&part->frame);
        free(part);
    } else if (part->end) {
        node->data_bytes -= part->job->wire.data_length;
        job_free(part->job);
    } else {
        executors_part_left(node->executors, part);
    }
}

/* 0: it has left, or never will. */
static int part_send(struct connection *connection, struct job_part *part)
{
    int r = stream_send(connection->stream, part->frame.bytes, part->frame.length);
    if (r == -ENOBUFS)
        return r;
    if (r == -ENOMEM)
        stream_abort(connection->stream); /* without this frame the others make no sense */
    part_release(connection->node, part);
    return 0;
}

void connection_send(struct connection *connection, struct job_part *part)
{
    if (connection->unsent_oldest == NULL && part_send(connection, part) == 0) {
        close_if_done(connection);
        return;
    }
    part->node.next = NULL;
    if (connection->unsent_oldest == NULL)
        connection->unsent_oldest = part;
    else
        connection->unsent_newest->node.next = &part->node;
    connection->unsent_newest = part;
    connection_look_busy(connection);
}

static void connection_flush(struct connection *connection)
{
    if (connection->unsent_oldest == NULL)
        return;
    while (connection->unsent_oldest != NULL) {
        struct job_part *part = connection->unsent_oldest;
        struct job_part *next = (struct job_part *)part->node.next;
        if (part_send(connection, part) < 0)
            return;
        connection->unsent_oldest = next;
    }
    if (connection->partial_ns != 0)
        connection->partial_ns = loop_now_ns(connection->node->loop); /* its rest can come only now */
    connection_look_busy(connection);
    connection_watch(connection);
    close_if_done(connection);
}

/* A frame that belongs to no accepted job. It is short: `bytes` is on the caller's stack. */
static void send_reply(struct connection *connection, const uint8_t *bytes, int length)
{
    CHECK(length > 0);
    struct job_part *part = calloc(1, sizeof(*part));
    if (part == NULL || buffer_append(&part->frame, bytes, (size_t)length) < 0) {
        free(part);
        stream_abort(connection->stream);
        return;
    }
    connection_send(connection, part);
}

void connection_send_error(struct connection *connection, uint64_t request_id, enum wire_error_code code, bool started,
                           const char *text)
{
    uint8_t bytes[ERROR_REPLY_BYTES_MIN + ERROR_TEXT_BYTES_MAX];
    send_reply(connection, bytes, wire_error_encode(code, started, false, text, request_id, bytes, sizeof(bytes)));
}

void connection_send_busy(struct connection *connection, uint64_t request_id, uint64_t job_id)
{
    struct node *node = connection->node;
    struct wire_busy busy = {
        .job_id = job_id,
        .retry_after_ms = estimate_retry_ms(&node->estimate),
        .queued = executors_queued(node->executors),
    };
    uint8_t bytes[BUSY_BYTES];
    send_reply(connection, bytes, wire_busy_encode(&busy, request_id, bytes, sizeof(bytes)));
}

static void on_frame(struct connection *connection, const struct frame *frame)
{
    struct node *node = connection->node;
    if (frame->type == FRAME_TYPE_JOB) {
        job_accept(connection, frame);
        return;
    }
    if (frame_is_reply(frame->type)) {
        counter_add(&node->counters, COUNTER_FRAMES_UNWANTED, 1);
    } else if (frame->type == FRAME_TYPE_ADDRESS_REQUEST || frame->type == FRAME_TYPE_LOCATION_REQUEST) {
        counter_add(&node->counters, COUNTER_FRAMES_UNWANTED, 1);
        if (node->config.kind == WIRE_NODE_WORKER)
            connection_send_error(connection, frame->request_id, WIRE_ERROR_NOT_DISPATCHER, false, NULL); /* D11 */
        else
            connection_send_error(connection, frame->request_id, WIRE_ERROR_NOT_ACCEPTED_HERE, false,
                                  "this connection is for jobs: ask for addresses on one of its own");
    } else if (frame->type == FRAME_TYPE_SUBSCRIBE) {
        counter_add(&node->counters, COUNTER_FRAMES_UNWANTED, 1);
        connection_send_error(connection, frame->request_id, WIRE_ERROR_NOT_ACCEPTED_HERE, false, NULL);
    } else {
        counter_add(&node->counters, refusal_counter(REFUSAL_UNKNOWN_TYPE), 1);
    }
}

/* The stream is out of step: one ERROR, then the end. */
static void on_refused_bytes(struct connection *connection, const uint8_t *bytes, size_t length, int error, enum refusal refusal)
{
    uint64_t request_id;
    uint32_t limit;
    counter_add(&connection->node->counters, refusal_counter(refusal), 1);
    if (frame_answerable(bytes, length, &request_id, &limit))
        connection_send_error(connection, request_id, wire_error_from_error(error), false, refusal_text(refusal));
    connection_end(connection, JOB_STOP_CONNECTION_ENDS);
}

static bool has_room_for_unfinished(const struct connection *connection, size_t bytes)
{
    const struct node *node = connection->node;
    uint64_t all_bytes = node->unfinished_bytes - connection->unfinished_bytes + bytes;
    return bytes <= UNFINISHED_FREE_BYTES ||
           (all_bytes <= NODE_UNFINISHED_BYTES_MAX && node->data_bytes + all_bytes <= NODE_DATA_BYTES_MAX);
}

/* A frame that is not complete yet. Of a JOB all is needed, while there is room for it; of others the header says all. Returns how many
 * bytes are done with. */
static size_t on_begun_frame(struct connection *connection, const uint8_t *bytes, size_t length)
{
    struct frame frame;
    if (!frame_begun(bytes, length, &frame))
        return 0;
    if (frame.type != FRAME_TYPE_JOB)
        on_frame(connection, &frame);
    else if (!has_room_for_unfinished(connection, length))
        job_refuse_unfinished(connection, &frame);
    else
        return 0;
    connection->skip_bytes = frame.length - (uint32_t)length;
    return length;
}

static size_t connection_skip(struct connection *connection, size_t length)
{
    uint32_t skipped = connection->skip_bytes < length ? connection->skip_bytes : (uint32_t)length;
    connection->skip_bytes -= skipped;
    if (skipped > 0 && connection->skip_bytes == 0)
        connection->partial_ns = 0;
    return skipped;
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct connection *connection = ctx;
    (void)stream;
    if (connection->node->phase < NODE_REFUSING) /* from then on nothing new keeps it alive */
        connection->active_ns = loop_now_ns(connection->node->loop);
    connection_flush(connection);
    size_t taken = connection_skip(connection, length);
    bool incomplete = connection->skip_bytes > 0;
    while (!connection->ending && connection->unsent_oldest == NULL && !incomplete && taken < length) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (r == -EAGAIN) {
            incomplete = true;
            taken += on_begun_frame(connection, bytes + taken, length - taken);
        } else if (r < 0) {
            on_refused_bytes(connection, bytes + taken, length - taken, r, refusal);
        } else {
            taken += (size_t)r;
            connection->partial_ns = 0;
            on_frame(connection, &frame);
        }
    }
    if (connection->ending)
        taken = length;
    connection_keeps(connection, length - taken);
    if (connection->ending)
        return length;
    if (incomplete && connection->partial_ns == 0)
        connection->partial_ns = loop_now_ns(connection->node->loop);
    connection_look_busy(connection);
    connection_watch(connection);
    if (connection->node->teller.due)
        teller_look(connection->node);
    return taken;
}

static void on_drained(void *ctx, struct stream *stream)
{
    struct connection *connection = ctx;
    (void)stream;
    connection->active_ns = loop_now_ns(connection->node->loop);
    connection_flush(connection);
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct connection *connection = ctx;
    struct node *node = connection->node;
    (void)stream;
    (void)error;
    connection_free(connection);
    node_publish(node);
    node_look_drained(node);
}

const struct stream_handlers connection_handlers = {
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_closed = on_closed,
};
