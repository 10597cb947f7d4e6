/* Connections into the request queue.
 *
 * Back-pressure. A connection's answers must fit into its stream's outgoing buffer, since one left out would put the stream out of step;
 * and a client that does not read must not grow it. So each request in the queue counts as `owed` with the longest answer it can get
 * (request.limit), and nothing more is taken in while
 *
 *     bytes that wait to be sent + owed ≥ CONNECTION_HIGH_BYTES        (the stream's high mark: stream_send refuses from there on)
 *
 * Then stream_send cannot refuse an answer. Sending one turns owed bytes into waiting ones, so the sum never grows by that. Let X be what
 * was taken in last: the sum was below the mark before X, so it is below mark + X's bytes. If X is a request, it is still owed while
 * an answer is sent, up to its own: without it less than the mark waits. If X is an ERROR that was sent at once, it is shorter than
 * CONNECTION_ANSWER_BYTES, and at least that much is owed for the answer that is being sent.
 *
 * What is left with the stream meanwhile comes again: a connection that stalls with something owed resumes when the last of it has
 * been answered (send_tcp.c); one with nothing owed has as much waiting as the stream's high mark, so on_drained follows. */
#include <errno.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "dispatcher/core_internal.h"

/* Of any request but a LOCATION_REQUEST, whose answer depends on the number of regions. */
#define CONNECTION_ANSWER_BYTES 512u
_Static_assert(CONNECTION_ANSWER_BYTES >= ADDRESS_REPLY_BYTES_MIN + ADDRESSES_MAX * COMPACT_ADDRESS_BYTES_IPV6, "any ADDRESS");
_Static_assert(CONNECTION_ANSWER_BYTES >= ERROR_REPLY_BYTES_MIN + ERROR_TEXT_BYTES_MAX, "any ERROR");
_Static_assert(ANSWER_BYTES_MAX >= LOCATION_REPLY_BYTES_MIN + REGION_DISPATCHERS_MAX * (2 + COMPACT_ADDRESS_BYTES_IPV6),
               "any LOCATION");
_Static_assert(ANSWER_BYTES_MAX <= UINT16_MAX, "request.limit");

/* A frame must be complete so long after its first byte, however it drips, and an answer be read: what waits in the middle of
 * something cannot be closed to make room for others. */
#define CONNECTION_PATIENCE_NS (5 * NS_PER_S)
#define CONNECTIONS_LOOK_NS NS_PER_S

static bool connection_is_full(const struct connection *connection)
{
    return stream_pending_bytes(connection->stream) + connection->owed_bytes >= CONNECTION_HIGH_BYTES;
}

/* Leaves what has come with the stream, until connection_resume. */
static void connection_stall(struct connection *connection)
{
    connection->stalled = true;
    stream_pause(connection->stream);
}

static void connection_resume(struct connection *connection)
{
    if (!connection->stalled)
        return;
    connection->stalled = false;
    stream_resume(connection->stream);
}

void connection_answered(struct connection *connection, uint32_t limits)
{
    connection->owed_bytes -= limits;
    if (connection->owed_bytes != 0)
        return;
    if (connection->refused)
        stream_close(connection->stream);
    else
        connection_resume(connection);
}

/* An ERROR in its turn; at once where the queue is full. */
static void connection_refuse(struct connection *connection, uint64_t request_id, struct request *from, int error,
                              enum refusal refusal)
{
    uint8_t bytes[CONNECTION_ANSWER_BYTES];
    core_count_refusal(connection->core, refusal);
    from->limit = CONNECTION_ANSWER_BYTES;
    if (error != USHER_EQUEUEFULL && core_enqueue_refusal(connection->core, request_id, from, error, refusal) == 0) {
        connection->owed_bytes += from->limit;
        return;
    }
    int length = wire_error_encode(WIRE_ERROR_QUEUE_FULL, false, false, NULL, request_id, bytes, sizeof(bytes));
    if (length > 0 && stream_send(connection->stream, bytes, (size_t)length) < 0)
        stream_abort(connection->stream); /* no memory */
}

/* The stream is out of step: what is owed is still answered, then one ERROR, then the end. */
static void connection_refuse_bytes(struct connection *connection, const uint8_t *bytes, size_t length, struct request *from,
                                    int error, enum refusal refusal)
{
    uint64_t request_id;
    uint32_t limit;
    connection->refused = true;
    if (frame_answerable(bytes, length, &request_id, &limit))
        connection_refuse(connection, request_id, from, error, refusal);
    else
        core_count_refusal(connection->core, refusal);
    if (connection->owed_bytes == 0)
        stream_close(connection->stream);
}

static void connection_request(struct connection *connection, const struct frame *frame, struct request *from)
{
    enum refusal refusal = REFUSAL_NONE;
    from->limit = frame->type == FRAME_TYPE_LOCATION_REQUEST ? ANSWER_BYTES_MAX : CONNECTION_ANSWER_BYTES;
    int result = core_enqueue(connection->core, frame, from, &refusal);
    if (UNLIKELY(result < 0))
        connection_refuse(connection, frame->request_id, from, result, refusal);
    else if (result > 0)
        connection->owed_bytes += from->limit;
}

static void connection_on_detached(void *ctx, struct stream_handoff *handoff)
{
    struct core *core = ctx;
    core->shared->hand_over(core->shared->ctx, handoff);
}

/* A connection that brings a JOB moves to the node with that frame and everything behind it. From here on nothing is heard of it: were
 * the detaching to fail, its on_closed would find an entry that may be another's. */
static void connection_move(struct connection *connection)
{
    struct core *core = connection->core;
    struct stream *stream = connection->stream;
    connections_remove(&core->connections, connection);
    counter_add(&core->counters, COUNTER_CONNECTIONS_HANDED_OVER, 1);
    stream_set_handlers(stream, NULL, NULL);
    stream_detach(stream, connection_on_detached, core);
}

/* Whether the connection has gone to the node, or will when it is shown these bytes again. */
static bool connection_is_job(struct connection *connection, const struct frame *frame)
{
    if (LIKELY(frame->type != FRAME_TYPE_JOB) || !connection->core->shared->takes_jobs)
        return false;
    /* Answers first: the node's loop does not know what is still owed here. */
    if (connection->owed_bytes)
        connection_stall(connection);
    else
        connection_move(connection);
    return true;
}

/* A frame that is not complete yet. Only the two requests that are answered here are waited for; a JOB moves to the node when its header
 * is there, and of others the header says all: kept, they would cost memory that nobody has granted. Returns how many bytes are done with. */
static size_t connection_begun(struct connection *connection, const uint8_t *bytes, size_t length, struct request *from)
{
    struct frame frame;
    if (!frame_begun(bytes, length, &frame) || frame.type == FRAME_TYPE_ADDRESS_REQUEST ||
        frame.type == FRAME_TYPE_LOCATION_REQUEST || connection_is_job(connection, &frame))
        return 0;
    connection_request(connection, &frame, from);
    connection->skip_bytes = frame.length - (uint32_t)length;
    return length;
}

static size_t connection_skip(struct connection *connection, size_t length)
{
    uint32_t skipped = connection->skip_bytes < length ? connection->skip_bytes : (uint32_t)length;
    connection->skip_bytes -= skipped;
    return skipped;
}

/* The usual requests with which the bytes begin, as many as the connection may have in the queue. */
static size_t connection_take(struct connection *connection, const uint8_t *bytes, size_t length, struct request *from)
{
    size_t room = CONNECTION_HIGH_BYTES - stream_pending_bytes(connection->stream) - connection->owed_bytes;
    uint32_t requests_max = (uint32_t)((room + CONNECTION_ANSWER_BYTES - 1) / CONNECTION_ANSWER_BYTES);
    uint32_t count;
    from->limit = CONNECTION_ANSWER_BYTES;
    uint32_t used = core_enqueue_usual(connection->core, bytes, (uint32_t)length, (uint32_t)length, from, requests_max, &count);
    connection->owed_bytes += count * CONNECTION_ANSWER_BYTES;
    return used;
}

/* Until nothing of it is in progress any more. */
static void connection_watch(struct connection *connection)
{
    struct core *core = connection->core;
    if (LIKELY(!list_is_empty(&connection->watched_link)))
        return;
    connection->seen_pending = 0;
    list_append(&core->connections.watched, &connection->watched_link);
    if (!timer_is_running(&core->look))
        timer_start(core->loop, &core->look, loop_now_ns(core->loop) + CONNECTIONS_LOOK_NS);
}

static size_t connection_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct connection *connection = ctx;
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    size_t used = connection_skip(connection, length);
    struct request from = {
        .arrived_ns = loop_now_ns(connection->core->loop),
        .peer = *stream_peer(stream),
        .source = connection->index,
        .generation = connection->generation,
        .transport = FRAME_TCP,
    };
    if (connection->refused || connection->skip_bytes > 0)
        return length;
    connection_watch(connection);
    uint64_t partial_ns = connection->partial_ns;
    connection->partial_ns = 0;
    while (used < length) {
        if (connection_is_full(connection)) {
            connection_stall(connection);
            break;
        }
        size_t taken = connection_take(connection, bytes + used, length - used, &from);
        used += taken;
        if (taken)
            continue;
        int result = frame_decode_stream(bytes + used, length - used, &frame, &refusal);
        if (result == -EAGAIN) {
            connection->partial_ns = used == 0 && partial_ns ? partial_ns : from.arrived_ns;
            used += connection_begun(connection, bytes + used, length - used, &from);
            break;
        }
        if (result < 0) {
            connection_refuse_bytes(connection, bytes + used, length - used, &from, result, refusal);
            return length;
        }
        if (connection_is_job(connection, &frame))
            break;
        connection_request(connection, &frame, &from);
        used += frame.length;
    }
    connection->taken_bytes += used;
    return used;
}

static void connection_on_closed(void *ctx, struct stream *stream, int error)
{
    struct connection *connection = ctx;
    (void)stream;
    (void)error;
    connections_remove(&connection->core->connections, connection);
}

static void connection_on_drained(void *ctx, struct stream *stream)
{
    struct connection *connection = ctx;
    (void)stream;
    connection_resume(connection);
}

static const struct stream_handlers connection_handlers = {
    .on_bytes = connection_on_bytes,
    .on_drained = connection_on_drained,
    .on_closed = connection_on_closed,
};

void core_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct core *core = ctx;
    (void)listener;
    struct connection *connection = connections_add(&core->connections, stream);
    if (!connection)
        return; /* without handlers the loop closes it */
    connection->core = core;
    stream_set_handlers(stream, &connection_handlers, connection);
}

/* Neither reads what waits for it nor says anything. */
static bool connection_is_unread(struct connection *connection, uint64_t now_ns)
{
    size_t pending = stream_pending_bytes(connection->stream);
    bool still = pending > 0 && pending == connection->seen_pending && connection->taken_bytes == connection->seen_taken;
    connection->seen_pending = pending;
    connection->seen_taken = connection->taken_bytes;
    if (!still)
        connection->still_ns = now_ns;
    return now_ns - connection->still_ns >= CONNECTION_PATIENCE_NS;
}

static bool connection_is_too_slow(struct connection *connection, uint64_t now_ns)
{
    bool partial = connection->partial_ns && now_ns - connection->partial_ns >= CONNECTION_PATIENCE_NS;
    return connection_is_unread(connection, now_ns) || partial;
}

/* Nothing is begun, asked or waits: nothing can become too slow before something comes, which watches it anew. */
static bool connection_is_idle(const struct connection *connection)
{
    return connection->partial_ns == 0 && connection->owed_bytes == 0 && stream_pending_bytes(connection->stream) == 0;
}

void core_on_look(void *ctx, struct timer *timer)
{
    struct core *core = ctx;
    uint64_t now_ns = loop_now_ns(core->loop);
    struct list_link watched;
    list_take_all(&core->connections.watched, &watched);
    for (struct list_link *link; (link = list_take_first(&watched)) != NULL;) {
        struct connection *connection = CONTAINER_OF(link, struct connection, watched_link);
        if (connection_is_too_slow(connection, now_ns)) {
            counter_add(&core->counters, COUNTER_CONNECTIONS_TOO_SLOW, 1);
            stream_abort(connection->stream);
        } else if (!connection_is_idle(connection)) {
            list_append(&core->connections.watched, link);
        }
    }
    if (!list_is_empty(&core->connections.watched))
        timer_start(core->loop, timer, now_ns + CONNECTIONS_LOOK_NS);
}
