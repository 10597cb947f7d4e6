#include "core/base/spsc_queue.h"

#include <errno.h>
#include <stdlib.h>

int spsc_queue_init(struct spsc_queue *queue, size_t capacity, size_t item_bytes)
{
    if (capacity == 0 || capacity > SPSC_QUEUE_CAPACITY_MAX || (capacity & (capacity - 1)) != 0)
        return -EINVAL;
    if (item_bytes == 0 || item_bytes > (SIZE_MAX - CACHE_LINE_BYTES) / capacity)
        return -EINVAL;

    /* aligned_alloc wants whole lines; whole lines also keep the last slots apart from a neighbour's memory. */
    size_t bytes = (capacity * item_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    uint8_t *slots = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (slots == NULL)
        return -ENOMEM;

    queue->slots = slots;
    queue->item_bytes = item_bytes;
    queue->capacity = capacity;
    atomic_init(&queue->tail, 0);
    atomic_init(&queue->head, 0);
    queue->head_cached = 0;
    queue->tail_cached = 0;
    return 0;
}

void spsc_queue_done(struct spsc_queue *queue)
{
    free(queue->slots);
    queue->slots = NULL;
}
