#include "dispatcher/answer.h"

#include <limits.h>

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
    /* Before rm has named a node every service is unknown, and what has been offered since the last run was saved is not known: no name
       is wrong, clients may wait. */
    const struct members *members = context->view->members;
    bool empty = snapshot_is_empty(context->view->snapshot);
    bool restored = members && atomic_load_explicit(&members->restored, memory_order_relaxed);
    bool unknown = error == USHER_ENOSERVICE && !empty && !restored;
    counter_add(context->counters, unknown ? COUNTER_PICKS_NO_SERVICE : COUNTER_PICKS_NO_NODE, 1);
    return answer_error(request, unknown ? WIRE_ERROR_NO_SERVICE : WIRE_ERROR_NO_NODE, false,
                        empty ? "this dispatcher knows no nodes yet; is rm reachable?" : NULL, bytes);
}

#define STATES_TOLD (WIRE_ADDRESS_DISPATCHER | WIRE_ADDRESS_NO_ECHO | WIRE_ADDRESS_LAST)
_Static_assert((int)NODE_VALUE_DISPATCHER == (int)WIRE_ADDRESS_DISPATCHER, "a node's flags are its state on the wire");
_Static_assert((int)NODE_VALUE_NO_ECHO == (int)WIRE_ADDRESS_NO_ECHO, "the same");
_Static_assert((int)NODE_VALUE_LAST == (int)WIRE_ADDRESS_LAST, "the same");

static uint8_t address_state(const struct node_values *values)
{
    return (uint8_t)(atomic_load_explicit(&values->flags, memory_order_relaxed) & STATES_TOLD);
}

/* Those that did not fit into the answer were not sent anybody. */
static __attribute__((noinline, cold)) void picks_take_back(struct answer_context *context, const uint32_t slots[], int first,
                                                            int count)
{
    for (int i = first; i < count; i++)
        atomic_fetch_sub_explicit(&context->values[slots[i]].picks, 1, memory_order_relaxed);
}

/* What finish-time says of how it picked, since it had picked so many. */
static inline void count_ways(struct answer_context *context, uint64_t turns, uint64_t idle_picks)
{
    const struct pick_state *picks = context->picks;
    if (picks->turns != turns)
        counter_add(context->counters, COUNTER_PICKS_IN_TURN, picks->turns - turns);
    if (picks->idle_picks != idle_picks)
        counter_add(context->counters, COUNTER_PICKS_IDLE, picks->idle_picks - idle_picks);
}

/* Of several nodes, or with excludes. */
static uint32_t answer_addresses(struct answer_context *context, const struct request *request, uint8_t *bytes)
{
    uint32_t slots[PICKS_MAX];
    struct wire_address reply;
    uint8_t fitted;
    struct pick_query query = {
        .service_id = request->service_id,
        .excludes = request->exclude_count ? request_excludes(context->queue, request) : NULL,
        .exclude_count = request->exclude_count,
        .count = request->count,
    };
    uint64_t turns = context->picks->turns, idle_picks = context->picks->idle_picks;
    int count = policy_pick(context->policy, context->picks, context->view->snapshot, context->values, &query, slots);
    count_ways(context, turns, idle_picks);
    if (UNLIKELY(count < 0))
        return answer_failed(context, request, count, bytes);
    reply.boot_id = context->boot_id;
    reply.regions_version = context->view->location->version;
    reply.region = context->region;
    reply.count = (uint8_t)count;
    for (int i = 0; i < count; i++) {
        const struct node_values *values = &context->values[slots[i]];
        reply.entries[i].address = values->address;
        reply.entries[i].state = address_state(values);
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

/* What answer_prepare says of a request for which it has not picked; policy_pick_batch has no such results. */
#define ANSWER_NONE INT_MIN /* its wait is over */
#define ANSWER_APART (INT_MIN + 1) /* not a usual one: answer_encode does all */

static __attribute__((noinline)) uint32_t answer_apart(struct answer_context *context, const struct request *request, int picked,
                                                       uint8_t *bytes)
{
    if (picked == ANSWER_NONE)
        return 0;
    if (picked != ANSWER_APART)
        return answer_failed(context, request, picked, bytes);
    if (request->kind == REQUEST_ADDRESS)
        return answer_addresses(context, request, bytes);
    return request->kind == REQUEST_LOCATION ? answer_location(context, request, bytes) : answer_refused(request, bytes);
}

/* Not even one address fits: answer_addresses says so. */
static __attribute__((noinline, cold)) uint32_t answer_too_long(struct answer_context *context, const struct request *request,
                                                                int picked, uint8_t *bytes)
{
    uint32_t slot = (uint32_t)picked;
    picks_take_back(context, &slot, 0, 1);
    return answer_addresses(context, request, bytes);
}

void answer_begin(struct answer_context *context, enum policy policy, const struct view *view)
{
    context->policy = policy;
    context->view = view;
    wire_usual_reply_init(&context->reply, context->boot_id, context->region, view->location->version);
}

/* Whether answer_encode does all by itself. */
static inline bool request_is_apart(const struct request *request)
{
    return request->kind != REQUEST_ADDRESS || request->count != 1 || request->exclude_count != 0;
}

static inline bool request_is_expired(const struct request *request, uint64_t now_ns)
{
    return request->wait_ms != 0 && now_ns - request->arrived_ns > request->wait_ms * NS_PER_MS;
}

/* For items begin … end - 1. */
static void run_pick(struct answer_context *context, uint32_t begin, uint32_t end)
{
    struct pick_state *picks = context->picks;
    uint64_t turns = picks->turns, idle_picks = picks->idle_picks;
    policy_pick_batch(context->policy, picks, context->view->snapshot, context->values, context->items + begin, end - begin);
    count_ways(context, turns, idle_picks);
}

void answer_prepare(struct answer_context *context, const struct request requests[], uint32_t count, uint64_t now_ns)
{
    uint32_t begin = 0; /* of a run of usual requests */
    context->first = requests;
    context->picks->now_ns = now_ns;
    for (uint32_t i = 0; i < count; i++) {
        bool expired = request_is_expired(&requests[i], now_ns);
        context->items[i].service_id = requests[i].service_id;
        if (LIKELY(!expired && !request_is_apart(&requests[i])))
            continue;
        run_pick(context, begin, i);
        begin = i + 1;
        context->items[i].result = expired ? ANSWER_NONE : ANSWER_APART;
        counter_add(context->counters, COUNTER_REQUESTS_EXPIRED, expired);
    }
    run_pick(context, begin, count);
}

uint32_t answer_encode(struct answer_context *context, const struct request *request, uint8_t *bytes)
{
    int picked = context->items[request - context->first].result;
    if (UNLIKELY(picked < 0))
        return answer_apart(context, request, picked, bytes);
    const struct node_values *values = &context->values[picked];
    uint32_t length = wire_usual_reply_encode(&context->reply, request->request_id, &values->address, address_state(values),
                                              bytes, request->limit);
    if (UNLIKELY(length == 0))
        return answer_too_long(context, request, picked, bytes);
    counter_add(context->counters, COUNTER_PICKS_OK, 1);
    return length;
}

/* What answer_encode does, with what is the same for all of them in registers: the bytes written could else be part of any of it. */
void answer_encode_run(struct answer_context *context, const struct request requests[], uint32_t count, uint8_t *bytes,
                       size_t room, struct answer_run *ret_run)
{
    const struct wire_usual_reply reply = context->reply;
    const struct pick_item *items = context->items + (requests - context->first);
    const struct node_values *values_of = context->values;
    const uint32_t source = requests->source, generation = requests->generation;
    struct answer_run run = {0};
    for (; run.count < count; run.count++) {
        const struct request *request = &requests[run.count];
        int picked = items[run.count].result;
        if (request->source != source || request->generation != generation || request->transport != FRAME_TCP || picked < 0 ||
            room - run.bytes < request->limit)
            break;
        const struct node_values *values = &values_of[picked];
        uint32_t length = wire_usual_reply_encode(&reply, request->request_id, &values->address, address_state(values),
                                                  bytes + run.bytes, request->limit);
        if (UNLIKELY(length == 0))
            break;
        run.bytes += length;
        run.limits += request->limit;
    }
    counter_add(context->counters, COUNTER_PICKS_OK, run.count);
    *ret_run = run;
}
