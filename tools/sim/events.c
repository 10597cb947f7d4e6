#include "tools/sim/events.h"

#include <stdlib.h>

#include "core/base/check.h"

#define WIDTH 4u
#define CAPACITY_FIRST 1024u

void events_init(struct events *events)
{
    *events = (struct events){.heap = NULL};
}

void events_done(struct events *events)
{
    free(events->heap);
    events->heap = NULL;
}

static bool event_is_earlier(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void events_add(struct events *events, uint64_t at_ns, uint32_t kind, uint32_t subject, uint64_t detail)
{
    if (events->count == events->capacity) {
        uint32_t capacity = events->capacity ? events->capacity * 2 : CAPACITY_FIRST;
        struct event *heap = realloc(events->heap, capacity * sizeof(*heap));
        CHECK(heap != NULL);
        events->heap = heap;
        events->capacity = capacity;
    }
    struct event event = {.at_ns = at_ns, .order = events->next_order++, .kind = kind, .subject = subject, .detail = detail};
    uint32_t at = events->count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / WIDTH;
        if (!event_is_earlier(&event, &events->heap[parent]))
            break;
        events->heap[at] = events->heap[parent];
        at = parent;
    }
    events->heap[at] = event;
}

/* The earliest of a node's children, or `count` when it has none. */
static uint32_t earliest_child(const struct events *events, uint32_t at)
{
    uint32_t child = at * WIDTH + 1;
    if (child >= events->count)
        return events->count;
    uint32_t end = child + WIDTH < events->count ? child + WIDTH : events->count;
    uint32_t best = child;
    for (child++; child < end; child++)
        if (event_is_earlier(&events->heap[child], &events->heap[best]))
            best = child;
    return best;
}

bool events_take(struct events *events, struct event *ret_event)
{
    if (events->count == 0)
        return false;
    *ret_event = events->heap[0];
    struct event last = events->heap[--events->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = earliest_child(events, at);
        if (child == events->count || !event_is_earlier(&events->heap[child], &last))
            break;
        events->heap[at] = events->heap[child];
        at = child;
    }
    events->heap[at] = last;
    return true;
}
