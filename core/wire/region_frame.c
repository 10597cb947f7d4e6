#include "core/wire/region_frame.h"

#include <errno.h>
#include <stdlib.h>

#include "core/wire/directory.h"

int region_frame_make(const struct region_table *table, struct buffer *frame)
{
    if (table->dispatcher_count > REGION_DISPATCHERS_MAX || table->range_count > REGION_RANGES_MAX)
        return -EMSGSIZE;
    struct wire_region_table head = {
        .version = table->version,
        .dispatcher_count = (uint16_t)table->dispatcher_count,
        .range_count = (uint16_t)table->range_count,
    };
    uint32_t capacity = wire_region_table_bytes_max(&head);
    struct wire_region_dispatcher *dispatchers = calloc(table->dispatcher_count + 1u, sizeof(*dispatchers));
    struct wire_region_range *ranges = calloc(table->range_count + 1u, sizeof(*ranges));
    int error = dispatchers && ranges ? buffer_reserve(frame, capacity) : -ENOMEM;
    if (error == 0) {
        for (uint32_t i = 0; i < table->dispatcher_count; i++)
            dispatchers[i] =
                (struct wire_region_dispatcher){.region = table->dispatchers[i].region, .address = table->dispatchers[i].address};
        for (uint32_t i = 0; i < table->range_count; i++)
            ranges[i] = (struct wire_region_range){.region = table->ranges[i].region, .range = table->ranges[i].range};
        error = wire_region_table_encode(&head, dispatchers, ranges, 0, frame->bytes + frame->length, capacity);
    }
    free(dispatchers);
    free(ranges);
    if (error < 0)
        return error;
    frame->length += (size_t)error;
    return 0;
}
