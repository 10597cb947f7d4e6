#include "core/base/region_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"

/* Ranges of one family either nest or are disjoint, so at most one of each prefix length is open at a time. */
#define NESTING_MAX 129

static uint32_t ip_bytes(const struct address *address)
{
    return address->family == ADDRESS_IPV4 ? 4 : 16;
}

static int ip_compare(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* Outer ranges before the ranges inside them. */
static int range_compare(const void *left, const void *right)
{
    const struct region_range *a = left;
    const struct region_range *b = right;
    int order = ip_compare(&a->range.base, &b->range.base);
    if (order != 0)
        return order;
    return (int)a->range.prefix_bits - (int)b->range.prefix_bits;
}

/* The address behind the range's last one; false when the range reaches to the end of the family. */
static bool range_end(const struct address_range *range, struct address *ret_end)
{
    struct address end = range->base;
    uint32_t byte = range->prefix_bits / 8;
    uint32_t step = 1u << (8 - range->prefix_bits % 8);
    if (range->prefix_bits % 8 == 0) {
        if (byte == 0)
            return false;
        byte--;
        step = 1;
    }
    for (;;) {
        uint32_t sum = end.ip[byte] + step;
        end.ip[byte] = (uint8_t)sum;
        if (sum <= UINT8_MAX)
            break;
        if (byte == 0)
            return false;
        byte--;
        step = 1;
    }
    *ret_end = end;
    return true;
}

/* Intervals under construction, and the ranges that hold the place reached, outermost first. */
struct flattening {
    struct region_table *table;
    const struct region_range *open[NESTING_MAX];
    uint32_t open_count;
};

static void interval_add(struct region_table *table, const struct address *first, uint16_t region)
{
    CHECK(table->intervals);
    struct region_interval *last = table->interval_count > 0 ? &table->intervals[table->interval_count - 1] : NULL;
    if (last && ip_compare(&last->first, first) == 0) {
        last->region = region; /* a range that begins where its outer one does, or where its neighbour ends */
        return;
    }
    table->intervals[table->interval_count++] = (struct region_interval){.first = *first, .region = region};
}

/* Closes the open ranges that end at or before `place` (NULL: all of them). */
static void ranges_close(struct flattening *flattening, const struct address *place)
{
    while (flattening->open_count > 0) {
        const struct region_range *inner = flattening->open[flattening->open_count - 1];
        struct address end;
        bool ends = range_end(&inner->range, &end);
        if (place && inner->range.base.family == place->family && (!ends || ip_compare(&end, place) > 0))
            return;
        flattening->open_count--;
        if (ends)
            interval_add(flattening->table, &end,
                         flattening->open_count > 0 ? flattening->open[flattening->open_count - 1]->region : REGION_NONE);
    }
}

static void table_flatten(struct region_table *table)
{
    struct flattening flattening = {.table = table};
    for (uint32_t i = 0; i < table->range_count; i++) {
        const struct region_range *range = &table->ranges[i];
        ranges_close(&flattening, &range->range.base);
        CHECK(flattening.open_count < NESTING_MAX);
        flattening.open[flattening.open_count++] = range;
        interval_add(table, &range->range.base, range->region);
    }
    ranges_close(&flattening, NULL);
}

static bool range_is_valid(const struct region_range *range)
{
    const struct address *base = &range->range.base;
    if (range->region == REGION_NONE || base->port != 0)
        return false;
    if (base->family != ADDRESS_IPV4 && base->family != ADDRESS_IPV6)
        return false;
    uint32_t bits = ip_bytes(base) * 8;
    if (range->range.prefix_bits > bits)
        return false;
    for (uint32_t bit = range->range.prefix_bits; bit < bits; bit++)
        if (base->ip[bit / 8] & (0x80u >> bit % 8))
            return false;
    return true;
}

static int table_check(const struct region_table *table)
{
    for (uint32_t i = 0; i < table->range_count; i++) {
        if (!range_is_valid(&table->ranges[i]))
            return -EINVAL;
        if (i > 0 && range_compare(&table->ranges[i - 1], &table->ranges[i]) == 0)
            return -EEXIST;
    }
    for (uint32_t i = 0; i < table->dispatcher_count; i++)
        if (table->dispatchers[i].region == REGION_NONE)
            return -EINVAL;
    return 0;
}

/* A copy on the heap, also of nothing: so that NULL means out of memory. */
static void *copy_new(const void *items, size_t count, size_t item_bytes)
{
    void *copy = calloc(count + 1, item_bytes);
    if (copy && count > 0)
        memcpy(copy, items, count * item_bytes);
    return copy;
}

int region_table_new(uint32_t version, const struct region_range *ranges, uint32_t range_count,
                     const struct region_dispatcher *dispatchers, uint32_t dispatcher_count, struct region_table **ret_table)
{
    if (version == 0)
        return -EINVAL;
    struct region_table *table = calloc(1, sizeof(*table));
    if (!table)
        return -ENOMEM;
    table->version = version;
    table->range_count = range_count;
    table->dispatcher_count = dispatcher_count;
    table->ranges = copy_new(ranges, range_count, sizeof(*ranges));
    table->dispatchers = copy_new(dispatchers, dispatcher_count, sizeof(*dispatchers));
    table->intervals = calloc((size_t)range_count * 2 + 1, sizeof(*table->intervals)); /* a begin and an end each */
    int error = -ENOMEM;
    if (table->ranges && table->dispatchers && table->intervals) {
        qsort(table->ranges, range_count, sizeof(*table->ranges), range_compare);
        error = table_check(table);
    }
    if (error < 0) {
        region_table_free(table);
        return error;
    }
    table_flatten(table);
    *ret_table = table;
    return 0;
}

void region_table_free(struct region_table *table)
{
    if (!table)
        return;
    free(table->ranges);
    free(table->dispatchers);
    free(table->intervals);
    free(table);
}

uint16_t region_table_find(const struct region_table *table, const struct address *client)
{
    struct address plain = address_plain(client);
    uint32_t low = 0;
    uint32_t high = table->interval_count; /* the answer is the interval before the first that begins behind the client */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ip_compare(&table->intervals[middle].first, &plain) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || table->intervals[low - 1].first.family != plain.family)
        return REGION_NONE;
    return table->intervals[low - 1].region;
}
