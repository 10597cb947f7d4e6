/* From the sockets into the request queue. Whatever is not a request for this room is answered or refused right here. */
#include <errno.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "dispatcher/core_internal.h"

/* An answer of at least this length is owed to each request that a connection has in the queue. */
_Static_assert(CONNECTION_HIGH_BYTES / CONNECTION_REQUESTS_MAX >=
                   ADDRESS_REPLY_BYTES_MIN + ADDRESSES_MAX * COMPACT_ADDRESS_BYTES_IPV6,
               "the answers to all queued requests of a connection fit into its outgoing buffer");

struct request *core_queue_reserve(struct core *core, struct address **ret_excludes)
{
    size_t count;
    struct request *request = spsc_queue_reserve(&core->queue, &count);
    if (UNLIKELY(count == 0))
        return NULL;
    size_t slot = (size_t)(request - (struct request *)(void *)core->queue.slots);
    *ret_excludes = core->excludes + slot * EXCLUDES_MAX;
    return request;
}

static void count_refusal(struct core *core, enum refusal refusal)
{
    counter_add(&core->counters, refusal_counter(refusal), 1);
}

/* Decodes a request into the queue. 0; USHER_EPROTOCOL with the refusal; USHER_EQUEUEFULL; USHER_ENOTACCEPTED: not for a dispatcher. */
static int request_enqueue(struct core *core, const struct frame *frame, const struct request *from, enum refusal *ret_refusal)
{
    struct wire_address_request address_request;
    struct wire_location_request location_request;
    struct address *excludes;
    int error = USHER_ENOTACCEPTED;
    if (LIKELY(frame->type == FRAME_TYPE_ADDRESS_REQUEST))
        error = wire_address_request_decode(frame, &address_request, ret_refusal);
    else if (frame->type == FRAME_TYPE_LOCATION_REQUEST)
        error = wire_location_request_decode(frame, &location_request, ret_refusal);
    if (UNLIKELY(error < 0))
        return error;
    struct request *request = core_queue_reserve(core, &excludes);
    if (UNLIKELY(!request)) {
        counter_add(&core->counters, COUNTER_REQUESTS_QUEUE_FULL, 1);
        return USHER_EQUEUEFULL;
    }
    *request = *from;
    request->request_id = frame->request_id;
    if (LIKELY(frame->type == FRAME_TYPE_ADDRESS_REQUEST)) {
        request->kind = REQUEST_ADDRESS;
        request->service_id = address_request.service_id;
        request->wait_ms = address_request.wait_ms;
        request->count = address_request.count;
        request->exclude_count = address_request.exclude_count;
        if (UNLIKELY(address_request.exclude_count))
            memcpy(excludes, address_request.excludes, address_request.exclude_count * sizeof(*excludes));
    } else {
        request->kind = REQUEST_LOCATION;
    }
    spsc_queue_publish(&core->queue, 1);
    return 0;
}

/* One ERROR for a whole frame that cannot be served, never for a reply. */
static __attribute__((noinline, cold)) void datagram_refuse(struct core *core, const struct address *peer,
                                                            const struct frame *frame, int error, enum refusal refusal)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    if (refusal != REFUSAL_NONE)
        count_refusal(core, refusal);
    if (frame_is_reply(frame->type))
        return;
    const char *text = refusal != REFUSAL_NONE ? refusal_text(refusal) : NULL;
    int length = wire_error_encode(wire_error_from_error(error), false, false, text, frame->request_id, bytes, frame->length);
    if (length > 0 && udp_send(core->udp, peer, bytes, (uint32_t)length) < 0)
        return; /* dropped and counted by the loop */
}

/* What is not even a frame. */
static __attribute__((noinline, cold)) void datagram_refuse_bytes(struct core *core, const struct address *peer,
                                                                  const uint8_t *bytes, uint32_t length, int error,
                                                                  enum refusal refusal)
{
    struct frame frame = {.type = 0};
    if (frame_answerable(bytes, length, &frame.request_id, &frame.length))
        datagram_refuse(core, peer, &frame, error, refusal);
    else
        count_refusal(core, refusal);
}

void core_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct core *core = ctx;
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    (void)udp;
    struct request from = {
        .arrived_ns = loop_now_ns(core->loop),
        .peer = *peer,
        .source = ++core->datagram_count,
        .transport = FRAME_UDP,
    };
    if (UNLIKELY(length > DATAGRAM_BYTES_MAX || length == 0)) {
        count_refusal(core, length ? REFUSAL_TOO_LARGE : REFUSAL_SHORT_HEADER);
        return;
    }
    for (uint32_t used = 0; used < length; used += frame.length) {
        int error = frame_decode_datagram(bytes + used, length - used, &frame, &refusal);
        if (UNLIKELY(error < 0)) {
            datagram_refuse_bytes(core, peer, bytes + used, length - used, error, refusal);
            return;
        }
        from.limit = (uint16_t)frame.length;
        counter_add(&core->counters, COUNTER_REQUESTS_UDP, frame.type == FRAME_TYPE_ADDRESS_REQUEST);
        error = request_enqueue(core, &frame, &from, &refusal);
        if (UNLIKELY(error < 0)) {
            datagram_refuse(core, peer, &frame, error, refusal);
            refusal = REFUSAL_NONE;
        }
    }
}

/* ---- TCP ---- */

static void connection_error(struct connection *connection, uint64_t request_id, int error, enum refusal refusal)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 4 + ERROR_TEXT_BYTES_MAX];
    const char *text = refusal != REFUSAL_NONE ? refusal_text(refusal) : NULL;
    int length = wire_error_encode(wire_error_from_error(error), false, false, text, request_id, bytes, sizeof(bytes));
    if (length > 0 && stream_send(connection->stream, bytes, (size_t)length) < 0)
        stream_abort(connection->stream); /* reads nothing, sends nonsense */
}

static void connection_refuse_bytes(struct connection *connection, const uint8_t *bytes, size_t length, int error,
                                    enum refusal refusal)
{
    uint64_t request_id;
    uint32_t limit;
    count_refusal(connection->core, refusal);
    if (frame_answerable(bytes, length, &request_id, &limit))
        connection_error(connection, request_id, error, refusal);
    stream_close(connection->stream);
}

static void connection_on_detached(void *ctx, struct stream_handoff *handoff)
{
    struct core *core = ctx;
    core->shared->hand_over(core->shared->ctx, handoff);
}

/* A connection that brings a JOB moves to the node with everything behind that frame. */
static void connection_move(struct connection *connection)
{
    struct core *core = connection->core;
    struct stream *stream = connection->stream;
    connections_remove(&core->connections, connection);
    counter_add(&core->counters, COUNTER_CONNECTIONS_HANDED_OVER, 1);
    stream_detach(stream, connection_on_detached, core);
}

static bool connection_is_full(const struct connection *connection)
{
    return connection->queued >= CONNECTION_REQUESTS_MAX ||
           stream_pending_bytes(connection->stream) + connection->queued * (CONNECTION_HIGH_BYTES / CONNECTION_REQUESTS_MAX) >=
               CONNECTION_HIGH_BYTES;
}

/* Leaves what has come with the stream, until connection_resume. */
static void connection_stall(struct connection *connection)
{
    connection->stalled = true;
    stream_pause(connection->stream);
}

static void connection_request(struct connection *connection, const struct frame *frame, const struct request *from)
{
    struct core *core = connection->core;
    enum refusal refusal = REFUSAL_NONE;
    counter_add(&core->counters, COUNTER_REQUESTS_TCP, frame->type == FRAME_TYPE_ADDRESS_REQUEST);
    int error = request_enqueue(core, frame, from, &refusal);
    if (error == 0) {
        connection->queued++;
        return;
    }
    if (refusal != REFUSAL_NONE)
        count_refusal(core, refusal);
    if (!frame_is_reply(frame->type))
        connection_error(connection, frame->request_id, error, refusal);
}

static size_t connection_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct connection *connection = ctx;
    struct core *core = connection->core;
    struct request from = {
        .arrived_ns = loop_now_ns(core->loop),
        .peer = *stream_peer(stream),
        .source = connection->index,
        .generation = connection->generation,
        .limit = ANSWER_BYTES_MAX,
        .transport = FRAME_TCP,
    };
    size_t used = 0;
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    while (used < length) {
        if (connection_is_full(connection)) {
            connection_stall(connection);
            break;
        }
        int error = frame_decode_stream(bytes + used, length - used, &frame, &refusal);
        if (error == -EAGAIN)
            break;
        if (error < 0) {
            connection_refuse_bytes(connection, bytes + used, length - used, error, refusal);
            return length;
        }
        if (frame.type == FRAME_TYPE_JOB && core->shared->takes_jobs) {
            /* Answers first: the node's loop does not know what is still owed here. */
            if (connection->queued)
                connection_stall(connection);
            else
                connection_move(connection);
            break;
        }
        connection_request(connection, &frame, &from);
        used += frame.length;
    }
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

void connection_resume(struct connection *connection)
{
    if (!connection->stalled)
        return;
    connection->stalled = false;
    stream_resume(connection->stream);
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
