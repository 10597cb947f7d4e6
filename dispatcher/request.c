#include "dispatcher/request.h"

#include <errno.h>
#include <stdlib.h>

#include "core/wire/address_usual.h"

int request_queue_init(struct request_queue *queue, uint32_t capacity)
{
    queue->excludes = calloc(capacity, EXCLUDES_MAX * sizeof(*queue->excludes));
    if (!queue->excludes)
        return -ENOMEM;
    int error = spsc_queue_init(&queue->items, capacity, sizeof(struct request));
    if (error < 0) {
        free(queue->excludes);
        queue->excludes = NULL;
    }
    return error;
}

void request_queue_done(struct request_queue *queue)
{
    spsc_queue_done(&queue->items);
    free(queue->excludes);
    queue->excludes = NULL;
}

struct address *request_excludes(const struct request_queue *queue, const struct request *request)
{
    size_t slot = (size_t)(request - (const struct request *)(const void *)queue->items.slots);
    return queue->excludes + slot * EXCLUDES_MAX;
}

uint32_t request_queue_take(struct request_queue *queue, const struct request *from, const uint8_t *bytes, uint32_t length,
                            uint32_t segment_bytes, uint32_t requests_max, uint32_t *ret_count)
{
    struct wire_usual_request usual;
    const struct request sender = *from; /* a copy that no store through `request` can change: it stays in registers */
    uint32_t used = 0, count = 0, source = from->source;
    uint32_t end = segment_bytes < length ? segment_bytes : length; /* of the segment */
    size_t room;
    struct request *request = spsc_queue_reserve(&queue->items, &room);
    if (room > requests_max)
        room = requests_max;
    for (; count < room && wire_usual_request_decode(bytes + used, end - used, &usual); count++, request++) {
        request->arrived_ns = sender.arrived_ns;
        request->request_id = usual.request_id;
        request->service_id = usual.service_id;
        request->peer = sender.peer;
        request->source = source;
        request->generation = sender.generation;
        request->wait_ms = usual.wait_ms;
        request->limit = sender.transport == FRAME_UDP ? (uint16_t)usual.length : sender.limit;
        request->kind = REQUEST_ADDRESS;
        request->transport = sender.transport;
        request->count = usual.count;
        request->exclude_count = 0;
        used += usual.length;
        if (used == end) {
            source++;
            end = length - used > segment_bytes ? used + segment_bytes : length;
        }
    }
    spsc_queue_publish(&queue->items, count);
    *ret_count = count;
    return used;
}
