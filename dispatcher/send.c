/* From the request queue to the sockets: at the end of each batch, in arrival order. */
#include "dispatcher/core_internal.h"

static void outgoing_flush(struct core *core)
{
    struct outgoing *outgoing = &core->outgoing;
    if (outgoing->open && outgoing->length)
        udp_send_commit_via(core->udp, outgoing->peer, outgoing->via, outgoing->length);
    outgoing->open = false;
}

/* Answers never exceed their requests, so those to one datagram's requests fit one datagram. */
static void send_udp(struct core *core, const struct request *request)
{
    struct outgoing *outgoing = &core->outgoing;
    if (!outgoing->open || outgoing->source != request->source) {
        outgoing_flush(core);
        if (UNLIKELY(!core->sockets_open || udp_send_begin(core->udp, DATAGRAM_BYTES_MAX, &outgoing->bytes) < 0))
            return; /* counted by the loop */
        outgoing->open = true;
        outgoing->source = request->source;
        outgoing->peer = &request->peer;
        outgoing->via = request->generation;
        outgoing->length = 0;
    }
    outgoing->length += answer_encode(&core->answers, request, outgoing->bytes + outgoing->length);
}

static void send_answers(struct core *core, const struct request requests[], uint32_t count, uint64_t now_ns)
{
    answer_prepare(&core->answers, requests, count, now_ns);
    for (uint32_t i = 0; i < count;) {
        if (LIKELY(requests[i].transport == FRAME_UDP))
            send_udp(core, &requests[i++]);
        else
            i += send_tcp(core, &requests[i], count - i);
    }
}

void core_on_batch(void *ctx, struct loop *loop)
{
    struct core *core = ctx;
    struct core_shared *shared = core->shared;
    uint64_t now_ns = loop_now_ns(loop);
    uint32_t budget = ANSWERS_PER_BATCH;
    size_t count;
    const struct request *requests = spsc_queue_peek(&core->queue.items, &count);
    if (count == 0)
        return;
    enum policy policy = (enum policy)atomic_load_explicit(&shared->policy, memory_order_relaxed);
    answer_begin(&core->answers, policy, publication_enter(shared->publication, core->config.index));
    while (count && budget) {
        uint32_t batch = count < ANSWER_BATCH_MAX ? (uint32_t)count : ANSWER_BATCH_MAX;
        send_answers(core, requests, batch, now_ns);
        spsc_queue_release(&core->queue.items, batch);
        budget -= batch < budget ? batch : budget;
        requests = spsc_queue_peek(&core->queue.items, &count);
    }
    outgoing_flush(core);
    send_tcp_flush(core);
    publication_leave(shared->publication, core->config.index);
    if (count)
        timer_start(loop, &core->again, now_ns);
}
