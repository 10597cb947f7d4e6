#include "rm/mirror_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_FIRST 256u
#define DIGIT_BITS 11u
#define DIGITS 3u
#define DIGIT_VALUES (1u << DIGIT_BITS)

static int order_grow(struct mirror_order *order)
{
    uint32_t capacity = order->capacity ? order->capacity * 2 : ORDER_FIRST;
    struct mirror_order_item *items = realloc(order->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    order->items = items;
    struct mirror_order_item *spare = realloc(order->spare, capacity * sizeof(*spare));
    if (!spare)
        return -ENOMEM;
    order->spare = spare;
    order->capacity = capacity;
    return 0;
}

int mirror_order_put(struct mirror_order *order, uint32_t slot, float load, uint32_t *place)
{
    struct mirror_order_item item = {.slot = slot};
    memcpy(&item.key, &load, sizeof(load));
    /* A place from before the order was last cleared is somebody else's by now, or nobody's. */
    if (*place < order->count && order->items[*place].slot == slot) {
        order->items[*place] = item;
        return 0;
    }
    int error = order->count == order->capacity ? order_grow(order) : 0;
    if (error < 0)
        return error;
    *place = order->count;
    order->items[order->count++] = item;
    return 0;
}

/* By one digit, those that have the same staying as they are; the two arrays swap. */
static void digit_sort(struct mirror_order *order, uint32_t shift)
{
    uint32_t ends[DIGIT_VALUES] = {0};
    uint32_t begin = 0;
    for (uint32_t i = 0; i < order->count; i++)
        ends[order->items[i].key >> shift & (DIGIT_VALUES - 1)]++;
    for (uint32_t value = 0; value < DIGIT_VALUES; value++) {
        uint32_t count = ends[value];
        ends[value] = begin;
        begin += count;
    }
    for (uint32_t i = 0; i < order->count; i++)
        order->spare[ends[order->items[i].key >> shift & (DIGIT_VALUES - 1)]++] = order->items[i];
    struct mirror_order_item *sorted = order->spare;
    order->spare = order->items;
    order->items = sorted;
}

void mirror_order_sort(struct mirror_order *order)
{
    for (uint32_t digit = 0; digit < DIGITS; digit++)
        digit_sort(order, digit * DIGIT_BITS);
}

uint32_t mirror_order_next(struct mirror_order *order, uint32_t limit, uint32_t *slots)
{
    uint32_t count = 0;
    while (count < limit && order->taken < order->count)
        slots[count++] = order->items[order->taken++].slot;
    return count;
}

void mirror_order_clear(struct mirror_order *order)
{
    order->count = 0;
    order->taken = 0;
}

void mirror_order_done(struct mirror_order *order)
{
    free(order->items);
    free(order->spare);
    *order = (struct mirror_order){.items = NULL};
}
