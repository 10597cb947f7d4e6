/* From a frame into the request queue; receive_udp.c and receive_tcp.c bring the frames. */
#include <string.h>

#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "dispatcher/core_internal.h"

void core_count_refusal(struct core *core, enum refusal refusal)
{
    if (refusal != REFUSAL_NONE)
        counter_add(&core->counters, refusal_counter(refusal), 1);
}

/* Room at the tail with the sender filled in; NULL: the queue is full. */
static struct request *request_reserve(struct core *core, uint64_t request_id, const struct request *from)
{
    size_t count;
    struct request *request = spsc_queue_reserve(&core->queue.items, &count);
    if (UNLIKELY(count == 0)) {
        counter_add(&core->counters, COUNTER_REQUESTS_QUEUE_FULL, 1);
        return NULL;
    }
    *request = *from;
    request->request_id = request_id;
    return request;
}

uint32_t core_enqueue_usual(struct core *core, const uint8_t *bytes, uint32_t length, uint32_t segment_bytes,
                            const struct request *from, uint32_t requests_max, uint32_t *ret_count)
{
    uint32_t used = request_queue_take(&core->queue, from, bytes, length, segment_bytes, requests_max, ret_count);
    counter_add(&core->counters, from->transport == FRAME_UDP ? COUNTER_REQUESTS_UDP : COUNTER_REQUESTS_TCP, *ret_count);
    return used;
}

static int address_enqueue(struct core *core, const struct frame *frame, const struct request *from, enum refusal *ret_refusal)
{
    struct wire_address_request wire;
    int error = wire_address_request_decode(frame, &wire, ret_refusal);
    if (UNLIKELY(error < 0))
        return error;
    struct request *request = request_reserve(core, frame->request_id, from);
    if (UNLIKELY(!request))
        return USHER_EQUEUEFULL;
    request->kind = REQUEST_ADDRESS;
    request->service_id = wire.service_id;
    request->wait_ms = wire.wait_ms;
    request->count = wire.count;
    request->exclude_count = wire.exclude_count;
    if (wire.has_feedback && core->shared->feedback)
        feedback_note(&core->shared->feedback->boxes[core->config.index], &wire, &from->peer, &core->counters);
    if (wire.exclude_count)
        memcpy(request_excludes(&core->queue, request), wire.excludes, wire.exclude_count * sizeof(wire.excludes[0]));
    spsc_queue_publish(&core->queue.items, 1);
    return 1;
}

static int location_enqueue(struct core *core, const struct frame *frame, const struct request *from, enum refusal *ret_refusal)
{
    struct wire_location_request wire;
    int error = wire_location_request_decode(frame, &wire, ret_refusal);
    if (error < 0)
        return error;
    struct request *request = request_reserve(core, frame->request_id, from);
    if (!request)
        return USHER_EQUEUEFULL;
    request->kind = REQUEST_LOCATION;
    spsc_queue_publish(&core->queue.items, 1);
    return 1;
}

/* Never answered, whatever it is. */
static int token_take(struct core *core, const struct frame *frame)
{
    struct wire_idle_token token;
    enum refusal refusal;
    if (wire_idle_token_decode(frame, &token, &refusal) < 0)
        core_count_refusal(core, refusal);
    else
        placement_token(&core->shared->placement->boxes[core->config.index], &token, &core->counters);
    return 0;
}

/* What a dispatcher has no use for. A request that it knows is refused by name; what it does not know, and what nobody expects an
 * answer to, is passed over. */
static __attribute__((noinline, cold)) int frame_unwanted(struct core *core, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_TYPE_JOB:
    case FRAME_TYPE_REGISTER:
    case FRAME_TYPE_HEARTBEAT:
    case FRAME_TYPE_SUBSCRIBE: counter_add(&core->counters, COUNTER_FRAMES_UNWANTED, 1); return USHER_ENOTACCEPTED;
    case FRAME_TYPE_IDLE_TOKEN: counter_add(&core->counters, COUNTER_FRAMES_UNWANTED, 1); return 0;
    default:
        if (frame_is_reply(frame->type))
            counter_add(&core->counters, COUNTER_FRAMES_UNWANTED, 1);
        else
            core_count_refusal(core, REFUSAL_UNKNOWN_TYPE);
        return 0;
    }
}

int core_enqueue(struct core *core, const struct frame *frame, const struct request *from, enum refusal *ret_refusal)
{
    if (LIKELY(frame->type == FRAME_TYPE_ADDRESS_REQUEST)) {
        counter_add(&core->counters, from->transport == FRAME_UDP ? COUNTER_REQUESTS_UDP : COUNTER_REQUESTS_TCP, 1);
        return address_enqueue(core, frame, from, ret_refusal);
    }
    if (frame->type == FRAME_TYPE_LOCATION_REQUEST)
        return location_enqueue(core, frame, from, ret_refusal);
    if (frame->type == FRAME_TYPE_IDLE_TOKEN && from->transport == FRAME_UDP && core->shared->placement)
        return token_take(core, frame);
    return frame_unwanted(core, frame);
}

int core_enqueue_refusal(struct core *core, uint64_t request_id, const struct request *from, int error, enum refusal refusal)
{
    struct request *request = request_reserve(core, request_id, from);
    if (!request)
        return USHER_EQUEUEFULL;
    request->kind = REQUEST_REFUSED;
    request->error_code = (uint8_t)wire_error_from_error(error);
    request->refusal = (uint8_t)refusal;
    spsc_queue_publish(&core->queue.items, 1);
    return 0;
}
