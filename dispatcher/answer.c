#include "dispatcher/answer.h"

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"

static uint32_t answer_error(const struct request *request, enum wire_error_code code, bool truncated, const char *text,
                             uint8_t *bytes)
{
    int length = wire_error_encode(code, false, truncated, text, request->request_id, bytes, request->limit);
    return length < 0 ? 0 : (uint32_t)length;
}

static uint32_t answer_refused(const struct request *request, uint8_t *bytes)
{
    const char *text = request->refusal != REFUSAL_NONE ? refusal_text((enum refusal)request->refusal) : NULL;
    int length = wire_error_encode((enum wire_error_code)request->error_code, false, false, text, request->request_id, bytes,
                                   request->limit);
    return length < 0 ? 0 : (uint32_t)length;
}

static __attribute__((noinline, cold)) uint32_t answer_failed(struct answer_context *context, const struct request *request,
                                                              int error, uint8_t *bytes)
{
    /* Before rm has named a node every service is unknown, and no name is wrong: clients may wait. */
    bool empty = snapshot_is_empty(context->view->snapshot);
    bool unknown = error == USHER_ENOSERVICE && !empty;
    counter_add(context->counters, unknown ? COUNTER_PICKS_NO_SERVICE : COUNTER_PICKS_NO_NODE, 1);
    return answer_error(request, unknown ? WIRE_ERROR_NO_SERVICE : WIRE_ERROR_NO_NODE, false,
                        empty ? "this dispatcher knows no nodes yet; is rm reachable?" : NULL, bytes);
}

static uint8_t address_state(const struct snapshot_node *node, const struct node_values *values)
{
    uint8_t state = 0;
    if (node->flags & SNAPSHOT_NODE_DISPATCHER)
        state |= WIRE_ADDRESS_DISPATCHER;
    if (node->flags & SNAPSHOT_NODE_NO_ECHO)
        state |= WIRE_ADDRESS_NO_ECHO;
    if (atomic_load_explicit(&values->flags, memory_order_relaxed) & NODE_VALUE_LAST)
        state |= WIRE_ADDRESS_LAST;
    return state;
}

/* Those that did not fit into the answer were not sent anybody. */
static __attribute__((noinline, cold)) void picks_take_back(struct answer_context *context, const uint32_t slots[], int first,
                                                            int count)
{
    for (int i = first; i < count; i++)
        atomic_fetch_sub_explicit(&context->values[slots[i]].picks, 1, memory_order_relaxed);
}

static uint32_t answer_address(struct answer_context *context, const struct request *request, const struct address excludes[],
                               uint8_t *bytes)
{
    uint32_t slots[PICKS_MAX];
    struct wire_address reply;
    uint8_t fitted;
    struct pick_query query = {
        .service_id = request->service_id,
        .excludes = excludes,
        .exclude_count = request->exclude_count,
        .count = request->count,
    };
    const struct snapshot *snapshot = context->view->snapshot;
    int count = policy_pick(context->policy, context->picks, snapshot, context->values, &query, slots);
    if (UNLIKELY(count < 0))
        return answer_failed(context, request, count, bytes);
    reply.boot_id = context->boot_id;
    reply.regions_version = context->view->location->version;
    reply.region = context->region;
    reply.count = (uint8_t)count;
    for (int i = 0; i < count; i++) {
        const struct snapshot_node *node = &snapshot->nodes[slots[i]];
        reply.entries[i].address = node->address;
        reply.entries[i].state = address_state(node, &context->values[slots[i]]);
    }
    int length = wire_address_encode(&reply, request->request_id, bytes, request->limit, &fitted);
    if (UNLIKELY(length < 0)) {
        picks_take_back(context, slots, 0, count);
        return answer_error(request, WIRE_ERROR_TOO_LARGE, true, NULL, bytes);
    }
    if (UNLIKELY(fitted < count))
        picks_take_back(context, slots, fitted, count);
    counter_add(context->counters, COUNTER_PICKS_OK, 1);
    return (uint32_t)length;
}

static uint32_t answer_location(struct answer_context *context, const struct request *request, uint8_t *bytes)
{
    const struct location *location = context->view->location;
    struct wire_location reply = {
        .region = location_region_of(location, &request->peer),
        .own_region = context->region,
        .regions_version = location->version,
        .dispatcher_total = location->dispatcher_count,
    };
    counter_add(context->counters, COUNTER_LOCATION_REQUESTS, 1);
    int length = wire_location_encode(&reply, location->dispatchers, request->request_id, bytes, request->limit);
    return length < 0 ? answer_error(request, WIRE_ERROR_TOO_LARGE, true, NULL, bytes) : (uint32_t)length;
}

uint32_t answer_encode(struct answer_context *context, const struct request *request, const struct address excludes[],
                       uint64_t now_ns, uint8_t *bytes)
{
    if (UNLIKELY(request->wait_ms != 0 && now_ns - request->arrived_ns > request->wait_ms * NS_PER_MS)) {
        counter_add(context->counters, COUNTER_REQUESTS_EXPIRED, 1);
        return 0;
    }
    if (LIKELY(request->kind == REQUEST_ADDRESS))
        return answer_address(context, request, excludes, bytes);
    return request->kind == REQUEST_LOCATION ? answer_location(context, request, bytes) : answer_refused(request, bytes);
}
