#include "dispatcher/location.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"

static int dispatcher_compare(const void *left, const void *right)
{
    const struct wire_region_dispatcher *a = left;
    const struct wire_region_dispatcher *b = right;
    if (a->region != b->region)
        return a->region < b->region ? -1 : 1;
    return memcmp(&a->address, &b->address, sizeof(a->address));
}

static uint16_t dispatchers_unique(struct wire_region_dispatcher *dispatchers, uint32_t count)
{
    uint32_t kept = 0;
    qsort(dispatchers, count, sizeof(*dispatchers), dispatcher_compare);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || dispatcher_compare(&dispatchers[kept - 1], &dispatchers[i]) != 0)
            dispatchers[kept++] = dispatchers[i];
    return (uint16_t)(kept < REGION_DISPATCHERS_MAX ? kept : REGION_DISPATCHERS_MAX);
}

/* Field by field: the struct has a hole. */
static uint32_t location_hash(const struct location *location)
{
    uint64_t hash = hash_mix(location->table ? location->table->version : 0);
    for (uint32_t i = 0; i < location->dispatcher_count; i++) {
        const struct wire_region_dispatcher *dispatcher = &location->dispatchers[i];
        hash = hash_mix(hash ^ hash_fnv1a(&dispatcher->address, sizeof(dispatcher->address)));
        hash = hash_mix(hash + dispatcher->region);
    }
    uint32_t version = (uint32_t)(hash ^ (hash >> 32));
    return version ? version : 1;
}

int location_new(uint16_t own_region, const struct region_table *table, const struct address *alive, uint32_t alive_count,
                 struct location **ret_location)
{
    uint32_t table_count = table ? table->dispatcher_count : 0;
    uint32_t count = table_count + alive_count;
    struct location *location = calloc(1, sizeof(*location) + (count + 1) * sizeof(location->dispatchers[0]));
    if (!location)
        return -ENOMEM;
    location->own_region = own_region;
    location->table = table;
    for (uint32_t i = 0; i < table_count; i++)
        location->dispatchers[i] = (struct wire_region_dispatcher){
            .region = table->dispatchers[i].region,
            .address = table->dispatchers[i].address,
        };
    for (uint32_t i = 0; i < alive_count; i++)
        location->dispatchers[table_count + i] = (struct wire_region_dispatcher){.region = own_region, .address = alive[i]};
    location->dispatcher_count = dispatchers_unique(location->dispatchers, count);
    location->version = location_hash(location);
    *ret_location = location;
    return 0;
}

void location_free(struct location *location)
{
    free(location);
}

uint16_t location_region_of(const struct location *location, const struct address *client)
{
    uint16_t region = location->table ? region_table_find(location->table, client) : REGION_NONE;
    return region == REGION_NONE ? location->own_region : region;
}
