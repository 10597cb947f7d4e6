/* From the request queue to the sockets: at the end of each batch, in arrival order. */
#include "dispatcher/core_internal.h"

static void outgoing_flush(struct core *core)
{
    struct outgoing *outgoing = &core->outgoing;
    if (outgoing->open && outgoing->length)
        udp_send_commit(core->udp, &outgoing->peer, outgoing->length);
    outgoing->open = false;
}

/* Answers never exceed their requests, so those to one datagram's requests fit one datagram. */
static void send_udp(struct core *core, struct answer_context *context, const struct request *request,
                     const struct address excludes[], uint64_t now_ns)
{
    struct outgoing *outgoing = &core->outgoing;
    if (!outgoing->open || outgoing->source != request->source) {
        outgoing_flush(core);
        if (UNLIKELY(!core->sockets_open || udp_send_begin(core->udp, DATAGRAM_BYTES_MAX, &outgoing->bytes) < 0))
            return; /* counted by the loop */
        outgoing->open = true;
        outgoing->source = request->source;
        outgoing->peer = request->peer;
        outgoing->length = 0;
    }
    outgoing->length += answer_encode(context, request, excludes, now_ns, outgoing->bytes + outgoing->length);
}

static void send_tcp(struct core *core, struct answer_context *context, const struct request *request,
                     const struct address excludes[], uint64_t now_ns)
{
    struct connection *connection = connections_find(&core->connections, request->source, request->generation);
    if (!connection)
        return; /* its client has gone */
    uint32_t length = answer_encode(context, request, excludes, now_ns, core->stream_bytes);
    if (length && stream_send(connection->stream, core->stream_bytes, length) < 0)
        stream_abort(connection->stream); /* an answer may not be left out of a stream */
    connection_answered(connection, request->limit);
}

static void send_answer(struct core *core, struct answer_context *context, const struct request *request, uint64_t now_ns)
{
    size_t slot = (size_t)(request - (const struct request *)(const void *)core->queue.slots);
    const struct address *excludes = core->excludes + slot * EXCLUDES_MAX;
    if (LIKELY(request->transport == FRAME_UDP))
        send_udp(core, context, request, excludes, now_ns);
    else
        send_tcp(core, context, request, excludes, now_ns);
}

void core_on_batch(void *ctx, struct loop *loop)
{
    struct core *core = ctx;
    struct core_shared *shared = core->shared;
    uint64_t now_ns = loop_now_ns(loop);
    uint32_t budget = ANSWERS_PER_BATCH;
    size_t count;
    const struct request *requests = spsc_queue_peek(&core->queue, &count);
    if (count == 0)
        return;
    struct answer_context context = {
        .policy = (enum policy)atomic_load_explicit(&shared->policy, memory_order_relaxed),
        .picks = &core->picks,
        .view = publication_enter(shared->publication, core->config.index),
        .values = shared->values,
        .counters = &core->counters,
        .boot_id = shared->boot_id,
        .region = shared->region,
    };
    while (count && budget) {
        size_t batch = count < budget ? count : budget;
        for (size_t i = 0; i < batch; i++)
            send_answer(core, &context, &requests[i], now_ns);
        spsc_queue_release(&core->queue, batch);
        budget -= (uint32_t)batch;
        requests = spsc_queue_peek(&core->queue, &count);
    }
    outgoing_flush(core);
    publication_leave(shared->publication, core->config.index);
    if (count)
        timer_start(loop, &core->again, now_ns);
}
